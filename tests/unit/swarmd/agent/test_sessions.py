"""A node's sessions with managers that say what the test wants."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from agent_tasks import NODE, a_task
from engine_double import EngineDouble
from scripted_manager import Certificate, ScriptedManager

from swarmd import wire
from swarmd.agent.agent import Agent
from swarmd.agent.session import Credentials
from swarmd.engine.client import Engine
from swarmd.engine.container import container_name
from swarmd.model import TaskState, TaskStatus

LONG = 10


class Cluster:
    """Managers, the node's engine, and the node's agent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = Certificate(folder)
        self.engine = EngineDouble()
        self.changes: list[tuple[list[str], str]] = []
        self.lost = asyncio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Cluster:
        await self._stack.enter_async_context(self.engine.serving(self.folder / "engine.sock"))
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._stack.aclose()

    async def manager(self, name: str) -> ScriptedManager:
        return await self._stack.enter_async_context(ScriptedManager(name).serving(self.certificate))

    @asynccontextmanager
    async def agent(
        self, *managers: ScriptedManager, context: Callable[[], ssl.SSLContext] | None = None
    ) -> AsyncIterator[Agent]:
        async with Engine(self.folder / "engine.sock") as engine:
            agent = Agent(
                node_id=NODE,
                engine=engine,
                folder=self.folder / "tasks",
                credentials=Credentials(context or self.certificate.agent),
                managers=[manager.entry for manager in managers],
                cluster_changed=lambda managers, role: self.changes.append(([each.node_id for each in managers], role)),
                session_lost=self.lost.set,
            )
            running = asyncio.create_task(agent.run())
            try:
                yield agent
            finally:
                running.cancel()
                (ended,) = await asyncio.gather(running, return_exceptions=True)
                assert isinstance(ended, asyncio.CancelledError)


@pytest.fixture
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path_factory.mktemp("s")) as made:
        yield made


async def reported(line, task, state: TaskState) -> TaskStatus:
    """Acknowledge reports until one holds the task in this state."""
    while True:
        report = await line.hear(wire.Report)
        await line.say(wire.Reported(number=report.number))
        if task.id in report.statuses and report.statuses[task.id].state == state:
            return report.statuses[task.id]


async def test_a_session_begins_with_what_the_node_is(cluster):
    manager = await cluster.manager("m1")
    async with cluster.agent(manager):
        hello = await (await manager.line()).hear(wire.Hello)
    assert (hello.description.hostname, hello.description.resources.nano_cpus) == ("host", 2_000_000_000)


async def test_the_managers_and_the_role_are_handed_on(cluster):
    manager = await cluster.manager("m1")
    async with cluster.agent(manager):
        line = await manager.line()
        await line.welcome(manager.entry, role="manager")
        await line.say(wire.ClusterChanged(managers=[manager.entry, wire.Manager("m2", "x:1")], role="worker"))
        await line.hear(wire.Heartbeat)
        await line.hear(wire.Heartbeat)
    assert cluster.changes == [(["m1"], "manager"), (["m1", "m2"], "worker")]


async def test_what_is_assigned_runs_and_is_reported(cluster):
    manager, task = await cluster.manager("m1"), a_task()
    async with cluster.agent(manager):
        line = await manager.line()
        await line.welcome(manager.entry)
        await line.say(wire.Assignments(complete=True, tasks=[task]))
        await reported(line, task, TaskState.RUNNING)
    assert cluster.engine.status(container_name(task)) == "running"


async def test_heartbeats_come_as_the_manager_asks(cluster):
    manager = await cluster.manager("m1")
    async with cluster.agent(manager):
        line = await manager.line()
        await line.welcome(manager.entry)
        for _ in range(5):
            await line.hear(wire.Heartbeat)


async def test_another_manager_shows_the_way_to_the_leader(cluster):
    follower, leader = await cluster.manager("m1"), await cluster.manager("m2")
    follower.answer = wire.Elsewhere(managers=[follower.entry, leader.entry], leader=leader.entry)
    async with cluster.agent(follower):
        await (await leader.line()).welcome(leader.entry)
    assert follower.calls == 1


async def test_without_a_leader_the_node_asks_until_there_is_one(cluster):
    manager = await cluster.manager("m1")
    manager.answer = wire.Elsewhere(managers=[manager.entry])
    async with cluster.agent(manager):
        async with asyncio.timeout(LONG):
            while manager.calls < 3:
                await asyncio.sleep(0.01)
        manager.answer = None
        await (await manager.line()).welcome(manager.entry)


async def test_a_lost_leader_is_followed_by_the_next_and_tasks_run_on(cluster):
    first, second, task = await cluster.manager("m1"), await cluster.manager("m2"), a_task()
    second.answer = wire.Elsewhere(managers=[first.entry, second.entry], leader=first.entry)
    async with cluster.agent(first):
        line = await first.line()
        await line.welcome(first.entry, second.entry)
        await line.say(wire.Assignments(complete=True, tasks=[task]))
        await reported(line, task, TaskState.RUNNING)
        first.answer = wire.Elsewhere(managers=[first.entry, second.entry], leader=second.entry)
        second.answer = None
        await line.hang_up()
        after = await second.line()
        await after.welcome(first.entry, second.entry)
        await after.say(wire.Assignments(complete=True, tasks=[task]))
        await reported(after, task, TaskState.RUNNING)
    assert [call for call in cluster.engine.calls if call.endswith("/start")] == [
        f"POST /containers/{container_name(task)}/start"
    ]


@pytest.mark.parametrize("role", ["worker", "manager"])
async def test_a_leader_that_falls_silent_is_left_when_another_leads(cluster, role):
    """No heartbeat is overdue yet, no connection is broken: the machine has lost its power."""
    old, new = await cluster.manager("m1"), await cluster.manager("m2")
    async with cluster.agent(old):
        line = await old.line()
        await line.welcome(old.entry, new.entry, role=role)
        await line.hear(wire.Heartbeat, beats=False)
        await line.say(wire.Beat(period=3600 * 10**9))
        line.is_silent = True
        asked = await new.line()
        await asked.hear(wire.Hello)
        await asked.say(wire.Elsewhere(managers=[old.entry, new.entry], leader=new.entry))
        await asked.closed.wait()
        await (await new.line()).welcome(old.entry, new.entry)


async def test_a_silent_leader_that_the_others_still_follow_is_kept(cluster):
    leader, other, task = await cluster.manager("m1"), await cluster.manager("m2"), a_task()
    other.answer = wire.Elsewhere(managers=[leader.entry, other.entry], leader=leader.entry)
    async with cluster.agent(leader):
        line = await leader.line()
        await line.welcome(leader.entry, other.entry)
        await line.hear(wire.Heartbeat, beats=False)
        await line.say(wire.Beat(period=3600 * 10**9))
        line.is_silent = True
        async with asyncio.timeout(LONG):
            while other.calls < 2:
                await asyncio.sleep(0.01)
        line.is_silent = False
        await line.say(wire.Assignments(complete=True, tasks=[task]))
        await reported(line, task, TaskState.RUNNING)
    assert leader.calls == 1


async def test_news_of_another_leader_end_a_session_at_once(cluster):
    old, new = await cluster.manager("m1"), await cluster.manager("m2")
    async with cluster.agent(old) as agent:
        line = await old.line()
        await line.welcome(old.entry, new.entry)
        await line.hear(wire.Heartbeat)
        agent.sessions.leader_is(old.entry)
        await line.hear(wire.Heartbeat)
        agent.sessions.leader_is(new.entry)
        await (await new.line()).welcome(old.entry, new.entry)
        await line.closed.wait()


async def test_the_end_of_a_session_is_told(cluster):
    manager = await cluster.manager("m1")
    async with cluster.agent(manager):
        line = await manager.line()
        await line.welcome(manager.entry)
        await line.hear(wire.Heartbeat)
        assert not cluster.lost.is_set()
        await line.hang_up()
        async with asyncio.timeout(LONG):
            await cluster.lost.wait()


async def test_reports_that_were_not_acknowledged_come_again_in_the_next_session(cluster):
    manager, task = await cluster.manager("m1"), a_task()
    async with cluster.agent(manager):
        line = await manager.line()
        await line.welcome(manager.entry)
        await line.say(wire.Assignments(complete=True, tasks=[task]))
        await line.hear(wire.Report)
        await line.hang_up()
        line = await manager.line()
        await line.welcome(manager.entry)
        await reported(line, task, TaskState.RUNNING)


async def test_tasks_run_without_any_manager(cluster):
    manager, task = await cluster.manager("m1"), a_task()
    async with cluster.agent(manager):
        line = await manager.line()
        await line.welcome(manager.entry)
        await line.say(wire.Assignments(complete=True, tasks=[task]))
        await reported(line, task, TaskState.RUNNING)
    nobody = ScriptedManager("m2")
    nobody._port = 9
    async with cluster.agent(nobody) as agent:
        async with asyncio.timeout(LONG):
            while task.id not in agent.worker.tasks:
                await asyncio.sleep(0.01)
        cluster.engine.end(container_name(task), 7)
        async with asyncio.timeout(LONG):
            while agent.worker.tasks[task.id].status.err != "task: non-zero exit (7)":
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("nonsense", ["", "[]", '{"type": "Unheard"}', '{"type": "Welcome"}'])
async def test_nonsense_ends_the_session_and_not_the_agent(cluster, nonsense):
    manager = await cluster.manager("m1")
    async with cluster.agent(manager):
        line = await manager.line()
        await line.hear(wire.Hello)
        await line._socket.send_str(nonsense)
        await line.closed.wait()
        await (await manager.line()).welcome(manager.entry)


async def test_a_manager_with_a_foreign_certificate_is_not_spoken_to(cluster, tmp_path):
    impostor, manager = ScriptedManager("m1"), await cluster.manager("m2")
    async with impostor.serving(Certificate(tmp_path)), cluster.agent(impostor, manager):
        await (await manager.line()).welcome(manager.entry)
    assert impostor.calls == 0


async def test_credentials_that_cannot_be_read_do_not_end_the_agent(cluster):
    manager, tries = await cluster.manager("m1"), []

    def context():
        tries.append(1)
        if len(tries) < 3:
            raise FileNotFoundError("node.crt")
        return cluster.certificate.agent()

    async with cluster.agent(manager, context=context):
        await (await manager.line()).welcome(manager.entry)


async def test_the_session_begins_once_the_engine_is_there(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("s"))
    manager = await cluster.manager("m1")
    async with cluster.agent(manager):
        assert manager.calls == 0
        async with cluster:
            assert (await (await manager.line()).hear(wire.Hello)).description.hostname == "host"
