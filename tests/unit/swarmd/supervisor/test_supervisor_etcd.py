"""The supervisor beside real etcd members: leadership leaves when the daemon does, and stays when there is no cause."""

from __future__ import annotations

import os
import signal
import time

from etcd_members import Member, Members

from swarmd.supervisor import gateway
from swarmd.supervisor.gateway import hand_over

BEATING = """
import asyncio
from swarmd.supervisor.heartbeat import beat, descriptor

async def main():
    number = descriptor()
    os.write(number, b'.')
    tell(f'pid {os.getpid()}')
    await beat(number)

asyncio.run(main())
"""

ENDING = """
import signal, sys, time
from swarmd.supervisor.heartbeat import descriptor

def on_end(*_):
    tell('told to end')
    sys.exit(0)

signal.signal(signal.SIGTERM, on_end)
number = descriptor()
tell('ready')
while True:
    os.write(number, b'.')
    time.sleep(0.1)
"""


def status(member: Member) -> tuple[str, str]:
    """Its own id and the leader's."""
    answer = gateway.json.loads(gateway._post(str(member.socket), "maintenance/status", {}, time.monotonic() + 5))
    return answer["header"]["member_id"], answer["leader"]


def leader_of(members: list[Member]) -> Member:
    while True:
        for member in members:
            own, leader = status(member)
            if own == leader:
                return member
        time.sleep(0.02)


def test_leadership_is_handed_to_another_voter(etcd_members: Members):
    members = etcd_members.cluster(3)
    old = leader_of(members)
    assert hand_over(str(old.socket)).startswith("handed etcd's leadership to member")
    assert leader_of(members) is not old


def test_a_follower_has_nothing_to_hand_over(etcd_members: Members):
    members = etcd_members.cluster(3)
    leader = leader_of(members)
    follower = next(member for member in members if member is not leader)
    assert "elsewhere" in hand_over(str(follower.socket))
    assert leader_of(members) is leader


def test_a_member_alone_keeps_it(etcd_members: Members):
    assert "no other voter" in hand_over(str(etcd_members.start().socket))


def test_a_dead_voter_is_passed_over(etcd_members: Members):
    members = etcd_members.cluster(3)
    leader = leader_of(members)
    dead, alive = (member for member in members if member is not leader)
    dead.pause()
    assert "handed" in hand_over(str(leader.socket))
    assert leader_of([leader, alive]) is alive


def test_an_etcd_that_does_not_answer_is_given_up(etcd_members: Members):
    member = etcd_members.start()
    member.pause()
    assert "not handed over" in hand_over(str(member.socket))


def test_no_etcd_costs_nothing(tmp_path):
    assert "not handed over" in hand_over(str(tmp_path / "none.sock"))


def test_a_killed_daemon_takes_leadership_with_it(etcd_members: Members, supervise):
    members = etcd_members.cluster(3)
    old = leader_of(members)
    supervised = supervise(BEATING, etcd_socket=old.socket)
    os.kill(int(supervised.line().split()[1]), signal.SIGKILL)
    supervised.line()
    assert leader_of(members) is not old


def test_a_frozen_daemon_takes_leadership_with_it(etcd_members: Members, supervise):
    members = etcd_members.cluster(3)
    old = leader_of(members)
    supervised = supervise(BEATING, etcd_socket=old.socket)
    os.kill(int(supervised.line().split()[1]), signal.SIGSTOP)
    supervised.line()
    assert leader_of(members) is not old


def test_an_orderly_end_hands_over_first(etcd_members: Members, supervise):
    members = etcd_members.cluster(3)
    old = leader_of(members)
    supervised = supervise(ENDING, etcd_socket=old.socket)
    assert supervised.line() == "ready"
    supervised.process.terminate()
    assert supervised.line() == "told to end"
    own, leader = status(old)
    assert own != leader
    assert supervised.process.wait(20) == 0
