"""The cluster's members, as etcd lists them, and what a majority of them is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from swarmd.etcd import EtcdClient


@dataclass(frozen=True)
class Member:
    id: int
    name: str
    """The node's id; empty until the member has started for the first time."""
    peer_url: str
    is_learner: bool = False


async def roster(client: EtcdClient, *, linearizable: bool = True, timeout: float | None = None) -> tuple[Member, ...]:
    """
    :param linearizable: ask the quorum; else what this member has applied, which also a lost quorum does not delay.
    :raises swarmd.etcd.EtcdUnavailable: no quorum, or no answer.
    """
    answer = await client.member_list(linearizable=linearizable, timeout=timeout)
    return tuple(
        Member(member.ID, member.name, next(iter(member.peerURLs), ""), member.isLearner) for member in answer.members
    )


def voters(members: Iterable[Member]) -> tuple[Member, ...]:
    return tuple(member for member in members if not member.is_learner)


def majority(count: int) -> int:
    return count // 2 + 1


def at(members: Iterable[Member], peer_url: str) -> Member | None:
    return next((member for member in members if member.peer_url == peer_url), None)
