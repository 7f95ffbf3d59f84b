"""A voter's side of a join: what a manager does for one that wants to come in.

The joiner asks over the cluster port, of any healthy manager: etcd's followers forward these changes. The order of the
steps is control-notes.md part 1's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

from swarmd.errors import AlreadyExists, FailedPrecondition, NoLeader, NotFound
from swarmd.etcd import EtcdClient, EtcdError, EtcdUnavailable, persist
from swarmd.member.health import Probe, answering
from swarmd.member.removal import WITHIN, remove
from swarmd.member.roster import Member, at, majority, roster, voters

T = TypeVar("T")

QUEUE = 10.0
"""Seconds that a joiner waits for its turn; a join takes 0.1 to 2 s."""
STALE = 30.0
"""Seconds after which a learner that has not become a voter is removed: it blocks every other join."""
SILENT = 5.0
"""Seconds after which one whose peer port does not answer is removed; a joiner's etcd listens within one."""
CATCH_UP = 5_000
"""Log entries that a learner may be behind; etcd keeps as many for slow followers (3.5 DefaultSnapshotCatchUpEntries),
so a learner within them needs no snapshot."""
SAME_SECOND = 0.25
"""Seconds between attempts while an id is taken: ids are made from the URL and the time in whole seconds."""

IN_SYNC = "can only promote a learner member which is in sync with leader"


@dataclass(frozen=True)
class Added:
    member_id: int
    initial_cluster: tuple[tuple[str, str], ...]
    """Name and peer URL of each member. The one that was added has no name yet: it puts its own there."""


class Standing(StrEnum):
    """How the cluster lists a peer URL."""

    ABSENT = "absent"
    LEARNER = "learner"
    VOTER = "voter"


class Voter(Protocol):
    """A manager that votes: called on by a joiner over the cluster port, or here (``Admission``).

    Each method may also raise an ``Internal`` or ``SwarmError`` that says that it could not be asked, or has no quorum.
    """

    async def standing(self, peer_url: str) -> Standing: ...

    async def add(self, peer_url: str) -> Added:
        """Make it a learner. Waits for its turn.

        :raises swarmd.errors.AlreadyExists: a voter has that URL; the joiner removes it first.
        """

    async def promote(self, member_id: int, applied_index: int, peer_url: str) -> None:
        """Make the learner a voter; nothing where it is one. Safe to repeat.

        :param applied_index: what the learner's own etcd said within the last 0.2 s.
        :raises swarmd.errors.FailedPrecondition: it is not in sync, or does not answer: ask again after 50 ms.
        :raises swarmd.errors.NotFound: there is no such member any more: it has to be added again.
        """

    async def remove(self, peer_url: str) -> None:
        """Remove the entry with that URL, if there is one: the joiner has no data for it, or none worth keeping.

        :raises swarmd.errors.FailedPrecondition: the quorum would be lost.
        """


class Admission:
    """One for the life of a manager, since joins queue in it and it knows since when learners have been there."""

    def __init__(self, client: EtcdClient, probe: Probe) -> None:
        self._client, self._probe = client, probe
        self._turn = asyncio.Lock()
        self._learners: dict[int, float] = {}
        """When each was first seen, by this process's clock."""

    async def standing(self, peer_url: str) -> Standing:
        found = at(await self._members(), peer_url)
        if found is None:
            return Standing.ABSENT
        return Standing.LEARNER if found.is_learner else Standing.VOTER

    async def add(self, peer_url: str) -> Added:
        try:
            async with asyncio.timeout(QUEUE), self._turn:
                return await self._add(peer_url)
        except TimeoutError:
            raise FailedPrecondition("too many learner members in cluster: another manager is joining") from None

    async def _add(self, peer_url: str) -> Added:
        while True:
            members = await self._members()
            await self._check_quorum(members)
            await self._remove_learners(members, peer_url)
            if at(voters(members), peer_url) is not None:
                raise AlreadyExists("member ID already exist")
            try:
                answer = await self._client.member_add([peer_url], learner=True, timeout=1.0)
            except EtcdUnavailable:
                # Whether it was added is unknown. If it was, the next pass removes the learner and adds it again,
                # because the answer that it is to be started with is lost.
                await asyncio.sleep(0.05)
            except EtcdError as error:
                await asyncio.sleep(_pause(error))
            else:
                self._learners[answer.member.ID] = _now()
                cluster = tuple((member.name, next(iter(member.peerURLs), "")) for member in answer.members)
                return Added(answer.member.ID, cluster)

    async def promote(self, member_id: int, applied_index: int, peer_url: str) -> None:
        members = await self._members()
        found = next((member for member in members if member.id == member_id), None)
        if found is None:
            raise NotFound("member not found")
        if not found.is_learner:
            return
        # etcd promotes the dead as well: it looks only at how far the learner once was.
        if found.peer_url != peer_url or not await self._probe.answers(found.peer_url):
            raise FailedPrecondition("the learner does not answer")
        status = await self._asked(self._client.status)
        if status.raftAppliedIndex - applied_index > CATCH_UP:
            raise FailedPrecondition(IN_SYNC)
        try:
            await self._client.member_promote(member_id, timeout=1.0)
        except EtcdUnavailable as error:
            raise NoLeader from error
        except EtcdError as error:
            if error.code == "NOT_FOUND":
                raise NotFound("member not found") from error
            if error.words.endswith("can only promote a learner member"):
                return  # The attempt before this one, whose answer was lost, did it.
            raise FailedPrecondition(error.words.removeprefix("etcdserver: ")) from error
        self._learners.pop(member_id, None)

    async def remove(self, peer_url: str) -> None:
        found = at(await self._members(), peer_url)
        if found is not None:
            await remove(self._client, self._probe, found.id)

    async def remove_stale(self) -> tuple[Member, ...]:
        """For the leader, each few seconds: learners whose join has died, and which no later join has met."""
        return await self._remove_learners(await self._members(), "")

    async def _remove_learners(self, members: tuple[Member, ...], peer_url: str) -> tuple[Member, ...]:
        """Those whose join has died, and the joiner's own of an earlier attempt."""
        learners = [member for member in members if member.is_learner]
        self._learners = {member.id: self._learners.get(member.id, _now()) for member in learners}
        removed = [member for member in learners if member.peer_url == peer_url or await self._is_stale(member)]
        for member in removed:
            await remove(self._client, self._probe, member.id)
        return tuple(removed)

    async def _is_stale(self, learner: Member) -> bool:
        age = _now() - self._learners[learner.id]
        return age > STALE or (age > SILENT and not await self._probe.answers(learner.peer_url))

    async def _check_quorum(self, members: tuple[Member, ...]) -> None:
        """A learner does not change what a majority is, but without one there is nobody to add it.

        With a majority of n, the new voter makes a majority of n + 1; so no join has to be refused for a dead voter.
        """
        status = await self._asked(self._client.status)
        voting = voters(members)
        alive = await answering(self._probe, voting, own=status.header.member_id)
        if len(alive) < majority(len(voting)):
            raise NoLeader

    async def _members(self) -> tuple[Member, ...]:
        return await self._asked(lambda: roster(self._client))

    async def _asked(self, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            return await persist(attempt, within=WITHIN)
        except EtcdUnavailable as error:
            raise NoLeader from error


def _pause(error: EtcdError) -> float:
    """Seconds until the same addition may succeed.

    :raises swarmd.errors.FailedPrecondition: it never will.
    """
    words = error.words.lower()
    if "too many learner" in words:
        return 0.05
    if error.code == "NOT_FOUND" or "already exist" in words:
        return SAME_SECOND
    raise FailedPrecondition(error.words) from error


def _now() -> float:
    return asyncio.get_running_loop().time()
