"""What is done with the etcd of a manager at every start of the daemon: start it again, finish its join, or join anew.

Whatever moment an earlier start, join or removal was broken off at, this leads to a member that votes and serves, or
says why not (tried 50 times with kill -9 at random moments of a join: control-notes.md part 1).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum, auto

from swarmd.errors import Internal, SwarmError
from swarmd.etcd import EtcdClient, EtcdUnavailable
from swarmd.member.admission import Standing, Voter
from swarmd.member.arguments import InitialState, MemberConfig, as_environment, prepare, read_environment, settings
from swarmd.member.disk import Exchange, has_log, loaded_bytes
from swarmd.member.join import LOADING, POLL, join, patience, take_part
from swarmd.member.process import EtcdProcess

PUBLISHING = 8.0
"""Seconds in which etcd, where its publication was lost, publishes again by itself (5 s and two election timeouts)."""
LOOK = 0.25
"""Seconds between two looks at the process and questions to a voter."""

WORTHLESS = ("tocommit", "crc mismatch", "cannot be repaired")
"""Words of an etcd that ends because its disk was wiped, is an older copy, or is damaged: no restart helps."""
NOT_ITS_DATA = (
    *("address already in use", "cannot assign requested address", "permission denied", "no such file or directory"),
    *(
        "no space left on device",
        "read-only file system",
        "too many open files",
        "input/output error",
        "cannot allocate",
    ),
    *("tls:", "x509:", "pem:", "exit status 127", "signal SIG"),
)
"""Words of one that ends for what is around it. There its data are good, and to join anew would not help."""


class Step(Enum):
    WAIT = auto()
    TAKE_PART = auto()
    """It serves: have it promoted, if it is a learner."""
    RESTART = auto()
    JOIN_ANEW = auto()
    FAIL = auto()
    """Nothing that this daemon could do helps; etcd's words say what does."""


@dataclass(frozen=True)
class Seen:
    """What is known of the member at one moment after its start."""

    has_log: bool
    """Before the start; without it etcd does not know which member it is."""
    serves: bool = False
    ended: str | None = None
    """Why its process has ended."""
    silent_for: float = 0.0
    """Seconds since its last start."""
    patience: float = 0.7
    restarts: int = 0
    standing: Standing | None = None
    """How a healthy voter lists it. None: no voter answers, so that there may be no quorum; then a member that runs is
    silent for that reason alone, and nothing of it may be given up."""


def decide(seen: Seen) -> Step:
    if not seen.has_log:
        return Step.JOIN_ANEW
    if seen.serves:
        return Step.TAKE_PART
    if seen.ended is not None:
        return _after_its_end(seen, seen.ended)
    if seen.silent_for <= seen.patience or seen.standing is None:
        return Step.WAIT
    return _while_silent(seen, seen.standing)


def _while_silent(seen: Seen, standing: Standing) -> Step:
    if standing is Standing.ABSENT:
        return Step.JOIN_ANEW
    if not seen.restarts:
        return Step.RESTART
    if standing is Standing.VOTER and seen.silent_for <= PUBLISHING:
        return Step.WAIT
    return Step.JOIN_ANEW


def _after_its_end(seen: Seen, why: str) -> Step:
    """Damage has too many words to know them all. With a healthy cluster to join, nothing is lost with the damaged."""
    if seen.standing is None:
        return Step.WAIT if seen.silent_for <= PUBLISHING else Step.FAIL
    if any(words in why for words in NOT_ITS_DATA):
        return Step.FAIL if seen.restarts else Step.RESTART
    if seen.restarts or seen.standing is not Standing.VOTER or any(words in why for words in WORTHLESS):
        return Step.JOIN_ANEW
    return Step.RESTART


class RecoveryFailed(Internal):
    """This manager's etcd cannot be brought to serve now; ``str()`` says why. To try again later may help."""


async def recover(config: MemberConfig, process: EtcdProcess, voter: Voter) -> str:
    """Bring this manager's member to vote and serve. While there is no quorum it waits, as long as it takes.

    :param voter: any other healthy manager, found anew at each question.
    :returns: one sentence: what was done, and why.
    :raises RecoveryFailed: etcd ends, and not for its data; or it has none and no voter answers.
    :raises swarmd.member.join.JoinFailed: joining anew did not succeed.
    :raises swarmd.errors.SwarmError: a voter's refusal, such as that this node is no manager any more.
    """
    restarts, seen, step = 0, Seen(has_log=await _start(config, process)), Step.WAIT
    if seen.has_log:
        seen, step = await _watch(config, process, voter, restarts)
        while step is Step.RESTART:
            restarts += 1
            await process.stop()
            await process.start()
            seen, step = await _watch(config, process, voter, restarts)
    if step is Step.TAKE_PART:
        await take_part(config, process, voter)
        await asyncio.to_thread(Exchange(config).tidy)
        return "etcd was started with the data that it had" + (", twice, since it hung at first" if restarts else "")
    if step is Step.FAIL:
        raise RecoveryFailed(f"etcd ended: {seen.ended}")
    await join(config, process, voter)
    return f"this manager joined etcd's cluster anew, because {_reason(seen)}"


async def _start(config: MemberConfig, process: EtcdProcess) -> bool:
    """Start it, unless it runs as it should: swarmd starts more often than etcd. False where it has no log."""
    alone = [(config.name, config.peer_url)]  # etcd ignores it, since it has a log
    wanted = as_environment(settings(config, alone, InitialState.EXISTING))
    if await process.ended() is None and _lasting(wanted) == _lasting(read_environment(config.environment)):
        return True
    await process.stop()
    await asyncio.to_thread(Exchange(config).complete)
    if not await asyncio.to_thread(has_log, config.data):
        return False
    await asyncio.to_thread(prepare, config, alone, InitialState.EXISTING)
    await process.start()
    return True


def _lasting(environment: dict[str, str]) -> dict[str, str]:
    """Without what etcd reads at its first start only."""
    return {name: value for name, value in environment.items() if not name.startswith("ETCD_INITIAL_CLUSTER")}


def _reason(seen: Seen) -> str:
    if not seen.has_log:
        return "there was nothing of an earlier member on its disk"
    if seen.ended is not None:
        return f"the etcd that it had ended ({seen.ended})"
    return "the etcd that it had did not answer, though the cluster has a quorum"


async def _watch(config: MemberConfig, process: EtcdProcess, voter: Voter, restarts: int) -> tuple[Seen, Step]:
    """Look at the member until there is something to do."""
    loop = asyncio.get_running_loop()
    begin = looked = loop.time()
    async with EtcdClient(config.socket) as client:
        while True:
            try:
                await client.status(timeout=0.2)
                seen = Seen(has_log=True, serves=True, restarts=restarts)
                return seen, decide(seen)
            except EtcdUnavailable:
                pass
            if loop.time() - looked >= LOOK:
                looked = loop.time()
                silent = looked - begin
                limit = patience(config) + loaded_bytes(config.data) / LOADING
                ended = await process.ended()
                standing = None
                if ended is not None or silent > limit:
                    standing = await _standing(config, voter)
                seen = Seen(
                    has_log=True,
                    ended=ended,
                    silent_for=silent,
                    patience=limit,
                    restarts=restarts,
                    standing=standing,
                )
                step = decide(seen)
                if step is not Step.WAIT:
                    return seen, step
            await asyncio.sleep(POLL)


async def _standing(config: MemberConfig, voter: Voter) -> Standing | None:
    try:
        async with asyncio.timeout(2.0):
            return await voter.standing(config.peer_url)
    except SwarmError as error:
        if error.status < 500:
            raise
    except (Internal, TimeoutError):
        pass
    return None
