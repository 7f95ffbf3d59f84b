"""Take a member out of the cluster: alive or dead, follower or leader, this node's or another's.

etcd itself would lose the quorum without a word: asked to go from two members to one while the other is down, it hangs.
So the members' health is asked for first, and the refusal is Docker's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

from swarmd.errors import FailedPrecondition, NoLeader
from swarmd.etcd import EtcdClient, EtcdError, EtcdUnavailable, persist
from swarmd.member.health import Probe, answering
from swarmd.member.roster import Member, majority, roster, voters

WITHIN = 3.0
"""Seconds for a change of the membership; one takes 4 to 50 ms, an election that comes in between up to 0.6 s."""
MOVING = 0.5

LAST_MANAGER = "attempting to demote the last manager of the swarm"
LOSS_OF_QUORUM = "can't remove member from the raft: this would result in a loss of quorum"


def may_remove(members: Collection[Member], healthy: Collection[int], who: int) -> None:
    """Whether the cluster can decide the removal, and can decide anything after it.

    :param members: all, learners included.
    :param healthy: ids of those that answer.
    :raises swarmd.errors.FailedPrecondition: in Docker's words.
    """
    voting = {member.id for member in voters(members)}
    if voting == {who}:
        raise FailedPrecondition(LAST_MANAGER)
    alive = voting.intersection(healthy)
    left = voting - {who}
    if len(alive) < majority(len(voting)) or len(alive - {who}) < majority(len(left)):
        raise FailedPrecondition(LOSS_OF_QUORUM)


async def check_removal(client: EtcdClient, probe: Probe, who: int) -> None:
    """Within a second, with the quorum or without. A member that is not listed may be removed.

    :raises swarmd.errors.FailedPrecondition: in Docker's words.
    :raises swarmd.errors.NoLeader: this node's etcd does not answer.
    """
    try:
        status = await client.status()
        members = await roster(client, linearizable=False)
    except EtcdUnavailable as error:
        raise NoLeader from error
    if any(member.id == who for member in members):
        may_remove(members, await answering(probe, members, own=status.header.member_id), who)


async def remove(
    client: EtcdClient,
    probe: Probe,
    who: int,
    *,
    ask_to_hand_over: Callable[[Member], Awaitable[object]] | None = None,
) -> None:
    """Remove a member, through this node's etcd. A member that is not there counts as removed.

    The removed one's etcd ends by itself, with status 0, also at each later start.

    :param ask_to_hand_over: asks the manager of that member to call ``hand_over`` on its own etcd, which alone can;
        called where another member than ours leads and is to go. Without it, or if it fails, writes stand still for
        the second that an election takes.
    :raises swarmd.errors.FailedPrecondition: in Docker's words.
    :raises swarmd.errors.NoLeader: the quorum did not answer; whether the member was removed is unknown.
    """
    await check_removal(client, probe, who)
    try:
        status = await client.status()
        members = await roster(client, linearizable=False)
        if status.leader == who and status.header.member_id == who:
            await hand_over(client, probe)
        elif status.leader == who and ask_to_hand_over is not None:
            await ask_to_hand_over(next(member for member in members if member.id == who))
        await _remove(client, probe, who, others=[member for member in voters(members) if member.id != who])
    except EtcdUnavailable as error:
        raise NoLeader from error
    except EtcdError as error:
        if error.code != "NOT_FOUND":
            raise FailedPrecondition(error.words) from error


async def _remove(client: EtcdClient, probe: Probe, who: int, *, others: Collection[Member]) -> None:
    async def attempt() -> None:
        try:
            await client.member_remove(who, timeout=1.0)
        except EtcdUnavailable:
            # An etcd that removes itself ends before its answer is out; the others know.
            lists = await asyncio.gather(*(probe.listed(member.peer_url) for member in others))
            if not any(ids is not None and who not in ids for ids in lists):
                raise

    await persist(attempt, within=WITHIN)


async def hand_over(client: EtcdClient, probe: Probe) -> bool:
    """Give etcd's leadership to another voter that answers, if this member has it. Planned changes take 0.1 s so.

    :returns: whether another member leads now.
    """
    try:
        status = await client.status()
        own = status.header.member_id
        if status.leader != own:
            return status.leader != 0
        members = voters(await roster(client, linearizable=False))
        alive = await answering(probe, members, own=own)
    except EtcdUnavailable:
        return False
    for member in members:
        if member.id in alive and member.id != own:
            try:
                await client.move_leader(member.id, timeout=MOVING)
            except (EtcdUnavailable, EtcdError):
                continue
            return True
    return False
