"""A client of one etcd member: each call is one attempt with a deadline; errors are this package's own.

Nothing is repeated by itself, because only the caller knows whether that is harmless; see ``persist``.
Source: etcd 3.5's ``api/etcdserverpb/rpc.proto``.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import Self, TypeVar

import grpc
from google.protobuf.message import Message

from swarmd.etcd.errors import EtcdError, EtcdUnavailable
from swarmd.etcd.stubs import rpc_pb2 as rpc

T = TypeVar("T")
Answer = TypeVar("Answer", bound=Message)

ATTEMPT = 0.3
"""Seconds; a request that was on its way when the leader died would else wait for 5.6 s."""
PAUSE = 0.03
"""Seconds between attempts, for failures that come at once, as while etcd's socket is not there."""
LONGEST_SOCKET_PATH = 107

_OPTIONS = (
    ("grpc.max_receive_message_length", -1),    # a list of everything is larger than the 4 MiB of the default
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 50),    # the default of 1 to 120 s would outlast a restart of etcd by far
    ("grpc.min_reconnect_backoff_ms", 1000),    # it is also the time that a connection gets to be made
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.use_local_subchannel_pool", 1),    # else clients share a connection, and one's trouble is another's
)  # fmt: skip
_PASSING = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
_PASSING_WORDS = {"etcdserver: too many requests", "raft: stopped", "raft: raft proposal dropped"}


class EtcdClient:
    """Use as ``async with``: the connection belongs to the loop that it is opened in, and is made when needed.

    Each method raises ``EtcdUnavailable`` or ``EtcdError``. ``timeout`` is in seconds and for that one attempt.
    """

    def __init__(self, socket: str | os.PathLike[str], *, attempt: float = ATTEMPT) -> None:
        self._path = os.path.abspath(socket)  # noqa: PTH100 (Path.absolute keeps "..", which gRPC does not take)
        if len(os.fsencode(self._path)) > LONGEST_SOCKET_PATH:
            raise ValueError(f"the path of etcd's socket is longer than {LONGEST_SOCKET_PATH} bytes: {self._path}")
        self._attempt = attempt
        self._open: grpc.aio.Channel | None = None

    async def __aenter__(self) -> Self:
        self._open = grpc.aio.insecure_channel(f"unix:{self._path}", options=_OPTIONS)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open is not None:
            channel, self._open = self._open, None
            await channel.close(None)

    @property
    def _channel(self) -> grpc.aio.Channel:
        if self._open is None:
            raise EtcdUnavailable("the client of etcd is closed")
        return self._open

    async def _call(self, method: str, request: Message, answer: type[Answer], timeout: float | None) -> Answer:
        call = self._channel.unary_unary(
            f"/etcdserverpb.{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        with _translated():
            done: Answer = await call(request, timeout=self._attempt if timeout is None else timeout)
            return done

    # Keys

    async def range(
        self,
        key: bytes,
        range_end: bytes = b"",
        *,
        revision: int = 0,
        limit: int = 0,
        serializable: bool = False,
        keys_only: bool = False,
        count_only: bool = False,
        timeout: float | None = None,
    ) -> rpc.RangeResponse:
        """Linearizable unless ``serializable``, which answers from this member alone, also without quorum."""
        request = rpc.RangeRequest(
            key=key,
            range_end=range_end,
            revision=revision,
            limit=limit,
            serializable=serializable,
            keys_only=keys_only,
            count_only=count_only,
        )
        return await self._call("KV/Range", request, rpc.RangeResponse, timeout)

    async def txn(
        self,
        compare: Sequence[rpc.Compare],
        success: Sequence[rpc.RequestOp],
        failure: Sequence[rpc.RequestOp] = (),
        *,
        timeout: float | None = None,
    ) -> rpc.TxnResponse:
        request = rpc.TxnRequest(compare=compare, success=success, failure=failure)
        return await self._call("KV/Txn", request, rpc.TxnResponse, timeout)

    async def put(self, key: bytes, value: bytes, *, lease: int = 0, timeout: float | None = None) -> rpc.PutResponse:
        request = rpc.PutRequest(key=key, value=value, lease=lease)
        return await self._call("KV/Put", request, rpc.PutResponse, timeout)

    async def delete(
        self, key: bytes, range_end: bytes = b"", *, timeout: float | None = None
    ) -> rpc.DeleteRangeResponse:
        request = rpc.DeleteRangeRequest(key=key, range_end=range_end)
        return await self._call("KV/DeleteRange", request, rpc.DeleteRangeResponse, timeout)

    async def compact(self, revision: int, *, physical: bool = False, timeout: float | None = None) -> None:
        request = rpc.CompactionRequest(revision=revision, physical=physical)
        await self._call("KV/Compact", request, rpc.CompactionResponse, timeout)

    @asynccontextmanager
    async def watch(self, key: bytes, range_end: bytes = b"", *, start_revision: int) -> AsyncIterator[WatchStream]:
        """Changes of a range from a revision on. Ended by etcd, with an error, when its member has no leader."""
        open_stream = self._channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=rpc.WatchRequest.SerializeToString,
            response_deserializer=rpc.WatchResponse.FromString,
        )
        call = open_stream(None, metadata=(("hasleader", "true"),))
        create = rpc.WatchCreateRequest(key=key, range_end=range_end, start_revision=start_revision)
        try:
            with _translated():
                async with _within(self._attempt):
                    await call.write(rpc.WatchRequest(create_request=create))
            yield WatchStream(call, self._attempt)
        finally:
            call.cancel()

    # Leases

    async def lease_grant(self, ttl: int, *, timeout: float | None = None) -> rpc.LeaseGrantResponse:
        """``ttl`` in seconds; etcd raises it silently to its shortest: read the answer's."""
        return await self._call("Lease/LeaseGrant", rpc.LeaseGrantRequest(TTL=ttl), rpc.LeaseGrantResponse, timeout)

    async def lease_revoke(self, lease: int, *, timeout: float | None = None) -> None:
        await self._call("Lease/LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease), rpc.LeaseRevokeResponse, timeout)

    async def lease_keep_alive(self, lease: int, *, timeout: float | None = None) -> int:
        """Renew once. Returns the seconds that it now lasts; 0: it has run out, or never was."""
        open_stream = self._channel.stream_stream(
            "/etcdserverpb.Lease/LeaseKeepAlive",
            request_serializer=rpc.LeaseKeepAliveRequest.SerializeToString,
            response_deserializer=rpc.LeaseKeepAliveResponse.FromString,
        )
        call = open_stream(None, timeout=self._attempt if timeout is None else timeout)
        try:
            with _translated():
                await call.write(rpc.LeaseKeepAliveRequest(ID=lease))
                answer = await call.read()
        finally:
            call.cancel()
        if not isinstance(answer, rpc.LeaseKeepAliveResponse):
            raise EtcdUnavailable("etcd ended the stream of renewals")
        return answer.TTL

    # Members

    async def member_list(self, *, linearizable: bool = True, timeout: float | None = None) -> rpc.MemberListResponse:
        request = rpc.MemberListRequest(linearizable=linearizable)
        return await self._call("Cluster/MemberList", request, rpc.MemberListResponse, timeout)

    async def member_add(
        self, peer_urls: Sequence[str], *, learner: bool, timeout: float | None = None
    ) -> rpc.MemberAddResponse:
        request = rpc.MemberAddRequest(peerURLs=peer_urls, isLearner=learner)
        return await self._call("Cluster/MemberAdd", request, rpc.MemberAddResponse, timeout)

    async def member_promote(self, member: int, *, timeout: float | None = None) -> rpc.MemberPromoteResponse:
        """etcd does not look whether the learner lives; ask its Status first."""
        request = rpc.MemberPromoteRequest(ID=member)
        return await self._call("Cluster/MemberPromote", request, rpc.MemberPromoteResponse, timeout)

    async def member_remove(self, member: int, *, timeout: float | None = None) -> rpc.MemberRemoveResponse:
        request = rpc.MemberRemoveRequest(ID=member)
        return await self._call("Cluster/MemberRemove", request, rpc.MemberRemoveResponse, timeout)

    async def member_update(
        self, member: int, peer_urls: Sequence[str], *, timeout: float | None = None
    ) -> rpc.MemberUpdateResponse:
        request = rpc.MemberUpdateRequest(ID=member, peerURLs=peer_urls)
        return await self._call("Cluster/MemberUpdate", request, rpc.MemberUpdateResponse, timeout)

    # The member itself

    async def status(self, *, timeout: float | None = None) -> rpc.StatusResponse:
        """Of this member, from its memory: it answers without quorum, too."""
        return await self._call("Maintenance/Status", rpc.StatusRequest(), rpc.StatusResponse, timeout)

    async def move_leader(self, member: int, *, timeout: float | None = None) -> None:
        """Only etcd's leader takes this; another answers "etcdserver: not leader"."""
        request = rpc.MoveLeaderRequest(targetID=member)
        await self._call("Maintenance/MoveLeader", request, rpc.MoveLeaderResponse, timeout)

    async def snapshot(self, *, timeout: float) -> AsyncIterator[bytes]:
        """The database in pieces, its SHA-256 (32 bytes) after it, as ``etcdutl snapshot restore`` takes it.

        It answers without quorum, too. ``timeout`` is for the whole of it.
        """
        open_stream = self._channel.unary_stream(
            "/etcdserverpb.Maintenance/Snapshot",
            request_serializer=rpc.SnapshotRequest.SerializeToString,
            response_deserializer=rpc.SnapshotResponse.FromString,
        )
        call = open_stream(rpc.SnapshotRequest(), timeout=timeout)
        try:
            with _translated():
                async for piece in call:
                    yield piece.blob
        finally:
            call.cancel()

    async def alarms(self, *, timeout: float | None = None) -> Sequence[rpc.AlarmMember]:
        """Those that are raised, as that of a full database."""
        request = rpc.AlarmRequest(action=rpc.AlarmRequest.GET, alarm=rpc.NONE)
        return (await self._call("Maintenance/Alarm", request, rpc.AlarmResponse, timeout)).alarms

    async def disarm(self, alarm: rpc.AlarmMember, *, timeout: float | None = None) -> None:
        request = rpc.AlarmRequest(action=rpc.AlarmRequest.DEACTIVATE, memberID=alarm.memberID, alarm=alarm.alarm)
        await self._call("Maintenance/Alarm", request, rpc.AlarmResponse, timeout)

    async def defragment(self, *, timeout: float) -> None:
        """Give unused space back; the member answers nothing else meanwhile (413 MB: 0.9 s)."""
        request = rpc.DefragmentRequest()
        await self._call("Maintenance/Defragment", request, rpc.DefragmentResponse, timeout)


class WatchStream:
    """The answers of one watch, in their order."""

    def __init__(self, call: grpc.aio.StreamStreamCall[rpc.WatchRequest, rpc.WatchResponse], attempt: float) -> None:
        self._call = call
        self._attempt = attempt
        self._writing = asyncio.Lock()  # gRPC takes one message at a time

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> rpc.WatchResponse:
        """Wait, without a deadline, for the next answer; only an error ends the stream."""
        with _translated():
            answer = await self._call.read()
        if not isinstance(answer, rpc.WatchResponse):
            raise EtcdUnavailable("etcd ended the watch")
        return answer

    async def ask_progress(self) -> None:
        """Have an answer without events sent, whose header says how far the watch is."""
        with _translated():
            async with _within(self._attempt), self._writing:
                await self._call.write(rpc.WatchRequest(progress_request=rpc.WatchProgressRequest()))


async def persist(attempt: Callable[[], Awaitable[T]], *, within: float) -> T:
    """Repeat an attempt that is harmless to repeat while etcd gives no answer.

    :param within: seconds after which no attempt is begun any more.
    :raises EtcdUnavailable: the last attempt's.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while True:
        try:
            return await attempt()
        except EtcdUnavailable:
            if loop.time() + PAUSE >= end:
                raise
        await asyncio.sleep(PAUSE)


def prefix_end(prefix: bytes) -> bytes:
    """The end of the range of all keys that begin with it."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except asyncio.CancelledError as cancelled:
        # gRPC raises it also when the channel is closed under a call; only the task's own must go on as such.
        task = asyncio.current_task()
        if task is not None and not task.cancelling():
            raise EtcdUnavailable("the client of etcd was closed") from cancelled
        raise
    except grpc.aio.AioRpcError as error:
        words = error.details() or ""
        if error.code() in _PASSING or words in _PASSING_WORDS:
            raise EtcdUnavailable(f"{words} ({error.code().name})") from error
        raise EtcdError(error.code().name, words) from error
    except asyncio.InvalidStateError as error:  # a stream that has ended takes no more requests
        raise EtcdUnavailable(str(error)) from error


@asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    """A deadline for what gRPC gives none: a single write to a stream."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise EtcdUnavailable(f"no sign of etcd in {seconds} s") from error
