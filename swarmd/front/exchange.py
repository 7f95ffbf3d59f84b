"""One request and its answer: the body goes up beside the answer that comes down, each as far as it is taken."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from swarmd.front.forwarding import forward
from swarmd.front.framing import Malformed, UntilClose
from swarmd.front.hangups import HangUps
from swarmd.front.heads import END, Answer, Request, parse_answer
from swarmd.front.stream import Gone, HeadTooLarge, HeadTooSlow, Stream
from swarmd.task_group import TaskGroup

LINGER = 2.0
"""Seconds that a client may go on with a body after its answer has been given, so that it comes to read the answer."""
LEFTOVER_PATIENCE = 10.0
"""Seconds that the server is given to take what a client had sent before it vanished."""


class NoAnswer(Exception):
    """The server gave no final answer, so another can be given; ``str()`` continues "The server …"."""

    def __init__(self, reason: str, *, may_be_repeated: bool = False) -> None:
        super().__init__(reason)
        self.may_be_repeated = may_be_repeated
        """The connection ended, which a new one may not."""


@dataclass(frozen=True)
class Ending:
    """Which of the two connections can carry another request."""

    client_stays: bool = False
    upstream_stays: bool = False


class Exchange:
    def __init__(
        self, client: Stream, upstream: Stream, request: Request, hangups: HangUps, *, may_become_raw: bool
    ) -> None:
        self._client = client
        self._upstream = upstream
        self._request = request
        self._hangups = hangups
        self._may_become_raw = may_become_raw
        self._uploading = True
        self._client_gone = False
        self._continued = False
        self._leftover: asyncio.TimerHandle | None = None

    def client_vanished(self) -> None:
        """Let the server know, once it has all that the client had sent: it may be idle, and would never notice."""
        self._client_gone = True
        if self._uploading:
            self._leftover = asyncio.get_running_loop().call_later(LEFTOVER_PATIENCE, self._upstream.drop)
        else:
            self._upstream.drop()

    async def run(self, patience: float | None = None) -> Ending:
        """
        :param patience: seconds until the head of the answer must be there.
        :raises NoAnswer: the client waits for an answer still.
        :raises Gone: a side broke off in the middle; there is nothing more to be said to the client.
        """
        try:
            if self._request.body.done:
                return await self._without_body(patience)
            return await self._with_body(patience)
        finally:
            if self._leftover:
                self._leftover.cancel()
            self._hangups.forget(self._upstream.socket)

    async def _without_body(self, patience: float | None) -> Ending:
        try:
            async with asyncio.timeout(patience):
                await self._upload()
                answer = await self._read_answer()
        except TimeoutError:
            raise NoAnswer(f"has been silent for {patience:g} s") from None
        return await self._hand_down(answer, None)

    async def _with_body(self, patience: float | None) -> Ending:
        ending = Ending()
        failure: NoAnswer | Gone | None = None
        async with TaskGroup() as group:
            upload = group.create_task(self._upload())
            try:
                async with asyncio.timeout(patience):
                    answer = await self._read_answer()
                ending = await self._hand_down(answer, upload)
            except TimeoutError:
                failure = NoAnswer(f"has been silent for {patience:g} s")
            except (NoAnswer, Gone) as error:
                failure = error
            finally:
                upload.cancel()
        if failure:
            raise failure
        return ending

    async def _upload(self) -> None:
        """The head and the body. A server that takes no more may still have answered: the rest is thrown away."""
        request = self._request
        try:
            try:
                await forward(self._client, request.body, self._upstream, before=request.raw)
            except Gone as gone:
                if gone.stream is self._client:
                    raise
                await forward(self._client, request.body, None)
        except (Gone, Malformed):
            self._upstream.end_sending()  # the server sees that the body is cut short, and may say so
        self._upload_has_ended()

    def _upload_has_ended(self) -> None:
        self._uploading = False
        if self._client_gone:
            self._upstream.drop()

    async def _read_answer(self) -> Answer:
        """The head of the final answer, or of a switch of protocols; those before it are handed on."""
        while True:
            try:
                head = await self._upstream.read_head()
                if head is None:
                    raise NoAnswer("closed the connection without an answer", may_be_repeated=True)
                answer = parse_answer(head, self._request.method)
            except Gone as gone:
                raise NoAnswer(f"broke the connection ({gone})", may_be_repeated=True) from gone
            except (HeadTooLarge, HeadTooSlow, Malformed) as error:
                raise NoAnswer(f"answered what is not HTTP ({error or type(error).__name__})") from error
            if answer.status >= 200 or answer.status == 101:
                return answer
            self._continued = self._continued or answer.status == 100
            await self._client.send(head)

    async def _hand_down(self, answer: Answer, upload: asyncio.Task[None] | None) -> Ending:
        if answer.status == 101 or (self._may_become_raw and answer.body.ends_with_connection):
            await self._splice(answer.raw, upload)
            return Ending()
        request, head = self._request, answer.raw
        # Without a 100 the client may leave its body out or send it: what follows could not be told apart.
        undecided = request.waits_for_continue and not self._continued and not request.body.done
        if undecided and answer.keeps_alive:
            head = head[: -len(END)] + b"\r\nConnection: close" + END
        try:
            await forward(self._upstream, answer.body, self._client, before=head)
        except Malformed as error:
            raise Gone(self._upstream, str(error)) from error
        if upload and not undecided:
            await asyncio.wait((upload,), timeout=LINGER)
        stays = answer.keeps_alive and not answer.body.ends_with_connection and request.body.done
        return Ending(client_stays=stays and request.keeps_alive and not undecided, upstream_stays=stays)

    async def _splice(self, head: bytes, upload: asyncio.Task[None] | None) -> None:
        """Bytes both ways from here on; each direction ends by itself."""
        self._uploading = True
        async with TaskGroup() as group:
            group.create_task(self._raw_up(upload))
            group.create_task(self._raw_down(head))

    async def _raw_up(self, upload: asyncio.Task[None] | None) -> None:
        if upload:
            await asyncio.wait((upload,))
        self._uploading = True
        await _raw(self._client, self._upstream)
        self._upload_has_ended()

    async def _raw_down(self, head: bytes) -> None:
        await _raw(self._upstream, self._client, head)
        # A server that is gone altogether takes no input either, which an idle client would never find out.
        self._hangups.watch(self._upstream.socket, self._client.end_receiving)


async def _raw(source: Stream, sink: Stream, before: bytes = b"") -> None:
    """All that comes until the end of file, which is handed on too; as is that the sink takes no more."""
    try:
        await forward(source, UntilClose(), sink, before)
    except Gone as gone:
        if gone.stream is sink:
            source.end_receiving()
    sink.end_sending()
