"""How this node's etcd becomes a member that votes and serves: the first one, or one that joins.

A joiner is a learner first, and is promoted once its own etcd has answered: etcd itself promotes also what is dead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from swarmd.errors import AlreadyExists, FailedPrecondition, Internal, NotFound, SwarmError
from swarmd.etcd import EtcdClient, EtcdError, EtcdUnavailable, persist
from swarmd.etcd.stubs import rpc_pb2 as rpc
from swarmd.member.admission import Standing, Voter
from swarmd.member.arguments import InitialState, MemberConfig, new_token, prepare
from swarmd.member.disk import discard, forget, loaded_bytes
from swarmd.member.process import EtcdProcess

T = TypeVar("T")

JOINING = 60.0
"""Seconds for a whole join; 0.1 s is usual, and 2 s with a database of 137 MB."""
SERVING = 10.0
"""Seconds from the first Status to a linearizable answer."""
SILENT = 0.7
"""Seconds without a Status after which a joiner's etcd is kicked: it has lost its own publication, and repeats it only
after 5 s and two election timeouts."""
LOADING = 170 << 20
"""Bytes per second that a joiner loads; a database gets that much more time (137 MB: 1.5 s)."""
ASKING = 15.0
"""Seconds for which a voter is looked for that answers and has a quorum."""
POLL = 0.02
PROMOTION = 0.05
"""Seconds between two requests for promotion."""
ENDED = 0.25
"""Seconds between two looks at the process; one of systemd's unit costs 10 ms."""


class MemberEnded(Internal):
    """etcd's process has ended by itself; ``str()`` is why."""


class MemberSilent(Internal):
    """etcd runs and does not serve."""


class JoinFailed(Internal):
    """The join was given up. Another try, or ``recover`` at the next start, puts right what is left of it."""

    def __init__(self, message: str, *, is_member: bool) -> None:
        super().__init__(message)
        self.is_member = is_member
        """The cluster may still count on this node's data, which are kept, and on its etcd, which is left running:
        the node must not take itself for one that is in no cluster."""


async def bootstrap(config: MemberConfig, process: EtcdProcess) -> int:
    """Make a new cluster of this member alone. What an earlier, unfinished attempt left is removed.

    :returns: the member's id.
    :raises MemberEnded: etcd ended; its words are in the message.
    :raises MemberSilent: it did not serve within 10 s.
    """
    await process.stop()
    await asyncio.to_thread(discard, config)
    await asyncio.to_thread(
        lambda: prepare(config, [(config.name, config.peer_url)], InitialState.NEW, token=new_token())
    )
    await process.start()
    async with EtcdClient(config.socket) as client:
        status = await first_status(client, process, within=SERVING)
        await serve(client)
        return status.header.member_id


async def join(config: MemberConfig, process: EtcdProcess, voter: Voter) -> int:
    """Join, from whatever state this node and its entry in the cluster are in. Can be broken off at any point.

    :param voter: any healthy manager. Its ``add`` also brings the peer certificate, so it is asked before etcd starts.
    :returns: the member's id, once it votes and serves.
    :raises JoinFailed: a step did not succeed in time, for the reason in the message.
    :raises swarmd.errors.SwarmError: the voter's refusal. Nothing is left of the join.
    """
    end = asyncio.get_running_loop().time() + JOINING
    while True:
        await _add(config, process, voter)
        try:
            async with asyncio.timeout_at(end):
                return await take_part(config, process, voter)
        except NotFound:
            if asyncio.get_running_loop().time() >= end:
                raise
            # The cluster took us for dead and removed the learner: once more.
        except TimeoutError:
            why = f"{config.peer_url} did not become a voting member within {JOINING:.0f} s"
            raise JoinFailed(why, is_member=not await abandon(config, process, voter)) from None
        except (MemberEnded, MemberSilent) as error:
            raise JoinFailed(str(error), is_member=not await abandon(config, process, voter)) from error
        except SwarmError as error:
            if not await abandon(config, process, voter):
                raise JoinFailed(str(error), is_member=True) from error
            raise


async def _add(config: MemberConfig, process: EtcdProcess, voter: Voter) -> None:
    # Removed while it runs, where it does: one of two voters that has stopped cannot be removed any more.
    if await asked(lambda: voter.standing(config.peer_url)) is not Standing.ABSENT:
        await asked(lambda: voter.remove(config.peer_url))
    await process.stop()
    await asyncio.to_thread(discard, config)
    try:
        added = await asked(lambda: voter.add(config.peer_url))
    except AlreadyExists:
        await asked(lambda: voter.remove(config.peer_url))
        added = await asked(lambda: voter.add(config.peer_url))
    # Members that have not started yet have no name, and etcd takes no entry without one.
    cluster = [(name or (config.name if url == config.peer_url else url), url) for name, url in added.initial_cluster]
    await asyncio.to_thread(prepare, config, cluster, InitialState.EXISTING)
    await process.start()


async def take_part(config: MemberConfig, process: EtcdProcess, voter: Voter) -> int:
    """From a started process to one that votes and serves; kicks it where its start hangs.

    :returns: the member's id.
    :raises MemberEnded: its process ended.
    :raises MemberSilent: it was kicked three times, and still does not answer.
    :raises swarmd.errors.NotFound: the cluster does not list it any more.
    """
    async with EtcdClient(config.socket) as client:
        limit = patience(config)
        for _ in range(3):
            try:
                status = await first_status(client, process, within=limit, loading=lambda: loaded_bytes(config.data))
                break
            except MemberSilent:
                await process.stop()
                await process.start()
                limit *= 2
        else:
            status = await first_status(client, process, within=limit * 2)
        if status.isLearner:
            await _promote(config, client, process, voter)
        await serve(client)
        return status.header.member_id


def patience(config: MemberConfig) -> float:
    """Seconds that etcd gets to its first Status; machines that need slower timings start slower as well."""
    return SILENT * max(1.0, config.election_ms / 300)


async def first_status(
    client: EtcdClient, process: EtcdProcess, *, within: float, loading: Callable[[], int] = lambda: 0
) -> rpc.StatusResponse:
    """Wait for the member's first answer.

    :param loading: bytes that it has received so far; they prolong the wait.
    :raises MemberEnded: its process ended.
    :raises MemberSilent: no answer in time.
    """
    begin = looked = asyncio.get_running_loop().time()
    while True:
        try:
            return await client.status(timeout=0.2)
        except EtcdUnavailable:
            pass
        except EtcdError as error:
            raise MemberSilent(str(error)) from error
        now = asyncio.get_running_loop().time()
        if now - looked >= ENDED:
            looked = now
            if why := await process.ended():
                raise MemberEnded(f"etcd ended: {why}")
        if now - begin > within + loading() / LOADING:
            raise MemberSilent(f"etcd runs but has not answered for {now - begin:.1f} s")
        await asyncio.sleep(POLL)


async def serve(client: EtcdClient) -> None:
    """Wait for a linearizable answer: the member votes, and there is a quorum.

    :raises MemberSilent: none within 10 s.
    """
    try:
        await persist(lambda: client.range(b"\0", count_only=True), within=SERVING)
    except (EtcdUnavailable, EtcdError) as error:
        raise MemberSilent(f"etcd answers but does not serve: {error}") from error


async def _promote(config: MemberConfig, client: EtcdClient, process: EtcdProcess, voter: Voter) -> None:
    why: BaseException | None = None
    end = asyncio.get_running_loop().time() + JOINING
    while asyncio.get_running_loop().time() < end:
        try:
            status = await client.status(timeout=0.2)
            if not status.isLearner:
                return
            await voter.promote(status.header.member_id, status.raftAppliedIndex, config.peer_url)
        except SwarmError as error:
            if not isinstance(error, FailedPrecondition) and error.status < 500:
                raise
            why = error
        except Internal as error:
            why = error
            if ended := await process.ended():
                raise MemberEnded(f"etcd ended: {ended}") from error
        else:
            return
        await asyncio.sleep(PROMOTION)
    raise MemberSilent(f"the learner was not promoted: {why}")


async def asked(question: Callable[[], Awaitable[T]]) -> T:
    """Ask a voter, again while it cannot be reached or has no quorum: elections and restarts come in between.

    :raises swarmd.errors.SwarmError: its refusal; at the end also that it could not be asked.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + ASKING
    while True:
        try:
            return await question()
        except SwarmError as error:
            # What says no is final; 500 is "there is no quorum now" and what nobody foresaw.
            if error.status < 500 or loop.time() >= end:
                raise
        except Internal:
            if loop.time() >= end:
                raise
        await asyncio.sleep(0.1)


async def abandon(config: MemberConfig, process: EtcdProcess, voter: Voter) -> bool:
    """Leave nothing behind after a join that failed: no learner that blocks others, and nothing to be started again.

    :returns: whether that was done. It is not where the cluster cannot be asked (2 s): this member may be a voter by
        now, and without its data the quorum could be lost for good.
    """
    try:
        async with asyncio.timeout(2.0):
            await voter.remove(config.peer_url)
    except (TimeoutError, SwarmError, Internal):
        return False
    await process.stop()
    await asyncio.to_thread(forget, config)
    return True
