"""swarmd and the engine, and whether they get on: an engine that is in swarm mode itself leaves no room for swarmd."""

from __future__ import annotations

import asyncio
import json
import logging

from swarmd.front.framing import Malformed
from swarmd.front.heads import END, parse_answer
from swarmd.front.stream import Gone
from swarmd.front.upstreams import Unreachable, Upstream

log = logging.getLogger("swarmd.front")

ASK_EVERY = 2.0
"""Seconds between questions while the engine is not up, or has not left its swarm."""
ANSWER_WITHIN = 10.0
_LARGEST_INFO = 8 << 20


class Servers:
    def __init__(self, swarmd: Upstream, engine: Upstream) -> None:
        self.swarmd = swarmd
        self.engine = engine
        self.refusal: str | None = None
        """Why swarm's requests are refused on this node, and the way out."""

    async def watch_swarm_mode(self) -> None:
        """Returns once the engine has said that it is in no swarm."""
        while True:
            try:
                state = await swarm_state(self.engine)
            except (Unreachable, Gone, Malformed, ValueError, TimeoutError):
                state = None
            if state == "inactive":
                if self.refusal:
                    log.info("the Docker Engine has left its own swarm mode; swarm's requests go to swarmd")
                self.refusal = None
                return
            if state and not self.refusal:
                self.refusal = refusal(self.engine, state)
                log.error("%s", self.refusal)
            await asyncio.sleep(ASK_EVERY)


def refusal(engine: Upstream, state: str) -> str:
    return (
        f"The Docker Engine at unix://{engine.path} is in swarm mode itself ({state}), and swarmd cannot work beside "
        f'that. Take it out of its swarm: "docker -H unix://{engine.path} swarm leave --force".'
    )


async def swarm_state(engine: Upstream) -> str:
    """The engine's Swarm.LocalNodeState.

    :raises Unreachable: nobody listens on its socket.
    :raises Gone: it broke the connection.
    :raises TimeoutError: it took longer than 10 s.
    :raises ValueError: it answered something else.
    :raises Malformed: it does not speak HTTP.
    """
    stream = await engine.connect()
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            await stream.send(b"GET /info HTTP/1.0\r\n\r\n")
            head, _, body = (await stream.read_to_end(_LARGEST_INFO)).partition(END)
    finally:
        stream.close()
    if parse_answer(head + END, "GET").status != 200:
        raise ValueError("the engine does not say what it is")
    match json.loads(body):
        case {"Swarm": {"LocalNodeState": str(state)}}:
            return state
    raise ValueError("the engine does not say whether it is in a swarm")
