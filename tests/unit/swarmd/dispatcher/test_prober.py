"""Probes of machines: what they count, and real ones of this machine's kernel."""

import asyncio
import socket

import pytest

from swarmd.dispatcher.judge import Signal
from swarmd.dispatcher.probe import IcmpProbe
from swarmd.dispatcher.prober import Prober, after
from swarmd.model import NodeLiveness, NodeState
from swarmd.store import Kind, Put
from swarmd.store.memory import MemoryStore


@pytest.mark.parametrize(
    ("known", "answered", "then"),
    [
        (Signal(), True, Signal(answers=1)),
        (Signal(5), False, Signal(5, losses=1, silent=0.5)),
        (Signal(5, 3, 1.5), False, Signal(5, 4, 2.0)),
        (Signal(5, 3, 1.5), True, Signal(6)),
        (Signal(5, 3, 1.5), None, Signal(5, 3, 1.5)),
    ],
)
def test_what_is_known_after_one_more_probe(known, answered, then):
    assert after(known, answered, 0.5) == then


class Machines:
    """A probe that answers as told, and lets a test wait for the n-th question."""

    def __init__(self, clock=None, late=0.0):
        self.answers = {}
        self.asked = []
        self.clock, self.late = clock, late
        self._more = asyncio.Condition()

    async def answered(self, address):
        async with self._more:
            self.asked.append(address)
            self._more.notify_all()
        if self.clock:
            self.clock.now += self.late
        return self.answers[address]

    async def until_asked(self, address, times):
        async with asyncio.timeout(5), self._more:
            await self._more.wait_for(lambda: self.asked.count(address) >= times)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


async def running(prober, body):
    async with asyncio.TaskGroup() as group:
        task = group.create_task(prober.run())
        await body
        task.cancel()


async def test_each_machine_is_asked_again_and_again():
    machines = Machines()
    machines.answers = {"a": True, "b": False}
    prober = Prober(machines, interval=0.001)
    prober.watch(["a", "b", "", "127.0.0.1", "::1"])

    async def body():
        await machines.until_asked("a", 3)
        await machines.until_asked("b", 3)
        assert prober.signals["a"].answers >= 2
        assert prober.signals["b"].losses >= 2
        assert prober.signals.keys() == {"a", "b"}

    await running(prober, body())


async def test_who_comes_is_asked_and_who_goes_is_not():
    machines = Machines()
    machines.answers = {"a": True, "b": True}
    prober = Prober(machines, interval=0.001)

    async def body():
        prober.watch(["a"])
        await machines.until_asked("a", 3)
        prober.watch(["a", "b"])
        await machines.until_asked("b", 2)
        assert prober.signals["a"].answers >= 2
        prober.watch(["b"])
        await machines.until_asked("b", 5)
        machines.asked.clear()
        await machines.until_asked("b", 5)
        assert "a" not in machines.asked
        assert prober.signals.keys() == {"b"}

    await running(prober, body())


async def test_the_other_nodes_of_the_cluster_are_followed():
    machines = Machines()
    machines.answers = {"10.0.0.2": True, "10.0.0.3": True}
    store = MemoryStore()
    prober = Prober(machines, interval=0.001)

    async def seen(node_id, address):
        await store.commit([Put(Kind.LIVENESS, node_id, NodeLiveness(NodeState.READY, address=address))])

    await seen("own", "10.0.0.1")
    await seen("n2", "10.0.0.2")

    async def body():
        async with asyncio.TaskGroup() as group:
            following = group.create_task(prober.follow(store, "own"))
            await machines.until_asked("10.0.0.2", 2)
            await seen("n3", "10.0.0.3")
            await machines.until_asked("10.0.0.3", 2)
            following.cancel()
        assert "10.0.0.1" not in machines.asked

    await running(prober, body())


async def test_a_loss_that_this_process_was_too_late_to_judge_is_not_counted():
    clock = Clock()
    machines = Machines(clock, late=10.0)
    machines.answers = {"a": False}
    prober = Prober(machines, interval=0.001, clock=clock)
    prober.watch(["a"])

    async def body():
        await machines.until_asked("a", 3)
        assert prober.signals["a"] == Signal()

    await running(prober, body())


class Silent(Machines):
    """Machines that answer as told, or not before the question is taken back."""

    async def answered(self, address):
        if address not in self.answers:
            await asyncio.Event().wait()
        return self.answers[address]


async def test_machines_asked_at_once_are_not_waited_for_when_one_is_silent():
    machines = Silent()
    machines.answers = {"10.0.0.1": True, "10.0.0.2": False, "10.0.0.4": True, "127.0.0.1": True}
    asked = {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "127.0.0.1", ""}
    assert await Prober(machines).answering(asked, within=0.05) == {"10.0.0.1", "10.0.0.4"}


@pytest.fixture
async def icmp():
    probe = IcmpProbe(timeout=1.0)
    yield probe
    probe.close()


@pytest.fixture
def permitted():
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP).close()
            return
        except PermissionError:
            continue
    pytest.skip("neither CAP_NET_RAW nor ping_group_range permits a probe here")


@pytest.mark.usefixtures("permitted")
async def test_this_machines_kernel_answers(icmp):
    for _ in range(3):
        assert await icmp.answered("127.0.0.1") is True


@pytest.mark.usefixtures("permitted")
async def test_many_machines_are_asked_at_once(icmp):
    addresses = [f"127.0.0.{n}" for n in range(1, 50)]
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(icmp.answered(address)) for address in addresses]
    assert all(task.result() is True for task in asked)


@pytest.mark.usefixtures("permitted")
async def test_one_answer_is_for_all_who_ask_the_same_machine(icmp):
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(icmp.answered("127.0.0.1")) for _ in range(5)]
    assert all(task.result() is True for task in asked)


async def test_a_name_cannot_be_asked(icmp):
    assert await icmp.answered("node1") is None
