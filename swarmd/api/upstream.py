"""The Docker Engine of this node, as far as its answers are rewritten here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import aiohttp
import msgspec

from swarmd.errors import NodeUnavailable

OURS = "1.45"
"""The newest version of Docker's API that swarmd speaks."""
OLDEST = "1.24"
"""The oldest one that is let through; as Docker 26."""
DEADLINE = 10.0
"""Seconds for one answer: an engine with many containers needs seconds for its info."""


T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self, kind: type[T]) -> T:
        """
        :param kind: what it is to be.
        :raises NodeUnavailable: the engine's answer is something else.
        """
        try:
            return msgspec.json.decode(self.body, type=kind)
        except msgspec.DecodeError:
            raise NodeUnavailable("the Docker Engine on this node gave an answer that cannot be read") from None


@dataclass
class Engine:
    socket: Path
    api_version: str = OURS
    """The version announced: the lower of ours and the engine's, as last heard."""
    _sessions: list[aiohttp.ClientSession] = field(default_factory=list)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        connector = aiohttp.UnixConnector(path=str(self.socket), limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
            self._sessions.append(session)
            try:
                yield
            finally:
                self._sessions.clear()

    async def get(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        version: str | None = None,
        deadline: float = DEADLINE,
    ) -> Answer:
        """One whole answer.

        :param version: of the API, in which the client asked; None is the engine's own.
        :raises NodeUnavailable: the engine does not answer.
        """
        try:
            async with (
                asyncio.timeout(deadline),
                self._session.get(_url(path, version), params=query or {}) as response,
            ):
                answer = Answer(response.status, response.headers.copy(), await response.read())
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise _away(error) from error
        self._learn(answer.headers.get("Api-Version", ""))
        return answer

    @asynccontextmanager
    async def stream(
        self, path: str, query: Mapping[str, str], *, version: str | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer that goes on; its end is the caller's to decide.

        :raises NodeUnavailable: the engine does not begin to answer.
        """
        endless = aiohttp.ClientTimeout(total=None, sock_connect=DEADLINE)
        try:
            async with asyncio.timeout(DEADLINE):
                response = await self._session.get(_url(path, version), params=query, timeout=endless)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise _away(error) from error
        try:
            yield response
        finally:
            response.close()

    @property
    def _session(self) -> aiohttp.ClientSession:
        if not self._sessions:
            raise NodeUnavailable("swarmd is stopping")
        return self._sessions[0]

    def _learn(self, version: str) -> None:
        if version:
            self.api_version = lower(OURS, version)


def numbers(version: str) -> tuple[int, ...]:
    """To be compared. What has more digits than any version is above all that are spoken."""
    return tuple(int(part[:9]) for part in version.split(".") if part.isdigit())


def lower(one: str, other: str) -> str:
    """The lower of two versions of the API."""
    return min(one, other, key=numbers)


def _url(path: str, version: str | None) -> str:
    return f"http://docker/v{version}{path}" if version else f"http://docker{path}"


def _away(error: BaseException) -> NodeUnavailable:
    reason = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return NodeUnavailable(f"the Docker Engine on this node does not answer: {reason}")
