"""Calls to the local Docker Engine. Each has a deadline; two errors tell what went wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiodocker
import aiohttp
import msgspec

from swarmd.engine.answers import Container, Event, Listed, Progress
from swarmd.engine.container import LABEL
from swarmd.engine.describe import Info
from swarmd.errors import EngineRefused, EngineUnreachable

SOCKET = Path("/run/docker-engine.sock")

ANSWER = 20.0
"""Seconds for what the engine knows by heart."""
WORK = 120.0
"""Seconds for what makes it work: a container's creation and start, on a host with all cores and the disk busy."""
SILENCE = 300.0
"""Seconds without an event or a pull's progress, after which the stream counts as dead."""
NOT_CONNECTED = 900
"""aiodocker's status for an engine that is not there."""
ENDLESS = aiohttp.ClientTimeout(total=None)
"""Of streams: their silence is limited, not their length."""
AT_ONCE = 8
"""Containers that are created or started at the same time. 30 tasks on one busy host ran after 8 s with 2 at once,
4 s with 8, 5-8 s with 32."""


_event: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_progress: msgspec.json.Decoder[Progress] = msgspec.json.Decoder(Progress)


class Engine:
    """The engine behind a unix socket. It may come and go; every call stands for itself.

    All calls raise :class:`EngineUnreachable` when it is absent or late, :class:`EngineRefused` with its own words.
    """

    def __init__(self, socket: Path = SOCKET) -> None:
        self._socket = socket
        self._working = asyncio.Semaphore(AT_ONCE)

    async def __aenter__(self) -> Self:
        self._connector = aiohttp.UnixConnector(str(self._socket), limit=0)
        self._docker = aiodocker.Docker(url="unix://localhost", connector=self._connector)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._docker.close()
        await self._connector.close()

    async def info(self) -> Info:
        with _translated():
            async with asyncio.timeout(ANSWER):
                return msgspec.convert(await self._docker.system.info(), Info)

    async def create(self, name: str, body: dict[str, Any]) -> None:
        """
        :raises EngineRefused: 404 where the image is absent, 409 where the name is taken.
        """
        async with self._working:
            with _translated():
                async with asyncio.timeout(WORK):
                    await self._docker.containers.create(body, name=name)

    async def start(self, container: str) -> None:
        """One that runs already is a success."""
        async with self._working:
            with _translated():
                async with asyncio.timeout(WORK):
                    await self._docker.containers.container(container).start()

    async def stop(self, container: str, grace: int) -> None:
        """Stop signal, ``grace`` seconds, SIGKILL. One that does not run, or is not there, is a success."""
        with _absent_is_well(), _translated():
            async with asyncio.timeout(grace + WORK):
                await self._docker.containers.container(container).stop(t=grace)

    async def remove(self, container: str) -> None:
        """With its anonymous volumes, running or not. One that is not there is a success."""
        with _absent_is_well(), _translated():
            async with asyncio.timeout(WORK):
                await self._docker.containers.container(container).delete(force=True, v=True)

    async def inspect(self, container: str) -> Container | None:
        """By name or id; None where there is none."""
        with _absent_is_well(), _translated():
            async with asyncio.timeout(ANSWER):
                return msgspec.convert(await self._docker.containers.container(container).show(), Container)
        return None

    async def tasks(self) -> list[Listed]:
        """All containers of tasks, running or not."""
        filters = json.dumps({"label": [LABEL]})
        with _translated():
            async with asyncio.timeout(ANSWER):
                found = await self._docker.containers.list(all=True, filters=filters)
                return [Listed(id=each.id, labels=each["Labels"], state=each["State"]) for each in found]

    async def has_image(self, image: str) -> bool:
        with _absent_is_well(), _translated():
            async with asyncio.timeout(ANSWER):
                await self._docker.images.inspect(image)
                return True
        return False

    async def pull(self, image: str, credentials: str = "") -> None:
        """Ends with the pull, or after :data:`SILENCE` seconds without progress.

        :param credentials: ``X-Registry-Auth`` as a client sent it.
        """
        headers = {"X-Registry-Auth": credentials} if credentials else {}
        with _translated():
            async with (
                asyncio.timeout(SILENCE) as deadline,
                # aiodocker would take the credentials apart, and only those of images that name their registry.
                self._docker.session.post(
                    f"{self._docker.docker_host}/images/create",
                    params={"fromImage": image},
                    headers=headers,
                    timeout=ENDLESS,
                ) as answer,
            ):
                if answer.status != 200:
                    raise EngineRefused(answer.status, _words(await answer.text()))
                async for line in _lines(answer.content):
                    deadline.reschedule(asyncio.get_running_loop().time() + SILENCE)
                    if refusal := _progress.decode(line).error:
                        raise EngineRefused(500, refusal)

    @asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[Event]]:
        """What happens to containers of tasks, from the moment that the context is entered.

        The stream ends by an error: :class:`EngineUnreachable`.
        """
        filters = {"type": ["container"], "label": [LABEL], "event": ["start", "die", "destroy", "health_status"]}
        with _translated():
            async with asyncio.timeout(ANSWER):
                # Another engine than last time may be there, of another version.
                version = (await self._docker.version())["ApiVersion"]
                self._docker.api_version = f"v{version}"
                answer = await self._docker.session.get(
                    f"{self._docker.docker_host}/v{version}/events",
                    params={"filters": json.dumps(filters)},
                    timeout=ENDLESS,
                )
            async with answer:
                if answer.status != 200:
                    raise EngineRefused(answer.status, _words(await answer.text()))
                yield _events(answer.content)

    @asynccontextmanager
    async def logs(
        self, container: str, query: Mapping[str, str], *, silence: float | None = None
    ) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        """A container's log, as the engine sends it; what it means is :mod:`swarmd.engine.logs`' to say.

        :param query: of ``GET /containers/{id}/logs``.
        :param silence: seconds without a byte, after which the stream counts as dead.
        """
        with _translated():
            async with asyncio.timeout(ANSWER):
                answer = await self._docker.session.get(
                    f"{self._docker.docker_host}/containers/{container}/logs",
                    params=query,
                    timeout=ENDLESS,
                )
        # Translated are errors of the engine alone, not those of whoever takes the bytes.
        async with answer:
            if answer.status != 200:
                with _translated():
                    words = _words(await answer.text())
                raise EngineRefused(answer.status, words)
            yield _bytes(answer.content, silence)


async def _bytes(stream: aiohttp.StreamReader, silence: float | None) -> AsyncGenerator[bytes, None]:
    while True:
        with _translated():
            async with asyncio.timeout(silence):
                piece = await stream.readany()
        if not piece:
            return
        yield piece


async def _events(stream: aiohttp.StreamReader) -> AsyncIterator[Event]:
    lines = _lines(stream)
    while True:
        with _translated():
            async with asyncio.timeout(SILENCE):
                line = await anext(lines, None)
            if line is None:
                raise EngineUnreachable("the Docker Engine has ended its stream of events")
            event = _event.decode(line)
        yield event


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Those that are not empty, however long: aiohttp's own reader refuses some of them."""
    rest = b""
    while piece := await stream.readany():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.strip():
                yield line
    if rest.strip():
        yield rest


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of the libraries become the two of this module's."""
    try:
        yield
    except aiodocker.DockerError as error:
        if error.status == NOT_CONNECTED:
            raise EngineUnreachable(f"cannot connect to the Docker Engine: {error.message}") from error
        raise EngineRefused(error.status, _words(error.message)) from error
    except TimeoutError as error:
        raise EngineUnreachable("the Docker Engine did not answer in time") from error
    except aiohttp.ClientConnectorError as error:
        raise EngineUnreachable(f"cannot connect to the Docker Engine: {error}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise EngineUnreachable(f"the Docker Engine went away: {error}") from error
    except (msgspec.MsgspecError, json.JSONDecodeError, KeyError) as error:
        raise EngineUnreachable(f"the Docker Engine's answer makes no sense: {error!r}") from error


def _words(body: str) -> str:
    """The message in the engine's answer, which aiodocker unpacks only under the plainest content type."""
    try:
        return msgspec.json.decode(body, type=_Refusal).message
    except msgspec.MsgspecError:
        return body.strip()


class _Refusal(msgspec.Struct):
    message: str


class _absent_is_well(AbstractContextManager[None]):  # noqa: N801 (a statement, as contextlib.suppress)
    """The engine's 404 is no error: what was to be done is done, what was looked for is not there."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return isinstance(error, EngineRefused) and error.status == 404
