"""The stock docker CLI over the API, the real planners and the dispatcher's writes; agents alone are played.

What the CLI waits for in ``service create`` and ``service update`` is what the leader writes while it waits.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator

import pytest
from scripted_membership import MANAGER1, MANAGER2, WORKER1
from terminal import Terminal, columns

from swarmd import orchestrator, scheduler
from swarmd.dispatcher.writes import Writes
from swarmd.model import TaskState, TaskStatus
from swarmd.reconcile import now_utc

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="the docker CLI is not on this machine")

MONITOR = "--update-monitor 200ms"


class Agents:
    """Bring tasks at once to what is wanted of them. One whose image is "broken:1" is rejected; one whose command is
    "wait" is not seen to run before ``let_go`` is set."""

    def __init__(self, store, writes) -> None:
        self._store, self._writes = store, writes
        self.most_running = 0
        self.let_go = asyncio.Event()

    async def run(self) -> None:
        while True:
            snapshot = self._store.snapshot()
            tasks = [entry.value for entry in snapshot.tasks.values()]
            self.most_running = max(self.most_running, sum(task.status.state is TaskState.RUNNING for task in tasks))
            for task in tasks:
                if task.status.state >= TaskState.ASSIGNED and not task.status.state.is_final:
                    self._act(task)
            await self._store.changed(snapshot.revision)

    def _act(self, task) -> None:
        state, err = task.status.state, ""
        if task.desired_state > TaskState.RUNNING:
            state = TaskState.SHUTDOWN
        elif task.spec.container_spec.image == "broken:1":
            state, err = TaskState.REJECTED, "No such image: broken:1"
        elif state < task.desired_state and (task.spec.container_spec.args != ["wait"] or self.let_go.is_set()):
            state = task.desired_state
        if state > task.status.state:
            self._writes.report(task.node_id, {task.id: TaskStatus(now_utc(), state, state.word, err)})


@pytest.fixture
async def agents(swarm) -> AsyncIterator[Agents]:
    store = swarm.membership.the_store
    epoch = store.lead()
    writes = Writes(store, epoch, pause=0)
    agents = Agents(store, writes)
    async with asyncio.TaskGroup() as group:
        loops = [orchestrator.run(store, epoch), scheduler.run(store, epoch), writes.run(), agents.run()]
        running = [group.create_task(loop) for loop in loops]
        yield agents
        for each in running:
            each.cancel()


@pytest.fixture
def docker(swarm, agents, tmp_path) -> Terminal:
    return Terminal(swarm, tmp_path)


async def updated(docker) -> str:
    return (await docker("inspect -f {{.UpdateStatus.State}} web")).strip()


async def test_a_global_service_is_on_all_nodes_when_create_returns(docker):
    text = await docker(f"service create --name web --mode global {MONITOR} nginx:1")
    assert "overall progress: 3 out of 3 tasks" in text
    assert "converged" in text
    assert columns(await docker("service ls"))[1][1:4] == ["web", "global", "3/3"]
    shown = columns(await docker("service ps --no-trunc web"))[1:]
    assert {line[1] for line in shown} == {f"web.{node_id}" for node_id in (MANAGER1, MANAGER2, WORKER1)}
    assert {line[4] for line in shown} == {"Running"}


async def test_constraints_say_which_nodes(docker):
    await docker(f"service create --name web --mode global --constraint node.role==manager {MONITOR} nginx:1")
    assert columns(await docker("service ls"))[1][3] == "2/2"
    await docker("service update --constraint-rm node.role==manager web")
    await docker("service update --constraint-add node.labels.zone==a web")
    assert {line[3] for line in columns(await docker("service ps -f desired-state=running web"))[1:]} == {"worker1"}


async def test_an_update_is_completed_when_the_command_returns_or_soon_after(docker):
    await docker(f"service create --name web --replicas 3 {MONITOR} nginx:1")
    assert "converged" in await docker("service update --image nginx:2 web")
    async with asyncio.timeout(10):
        while await updated(docker) != "completed":
            await asyncio.sleep(0.1)
    text = await docker("service inspect --pretty web")
    assert " Message:\tupdate completed\n" in text
    assert "On failure:\tpause" in text
    running = columns(await docker("service ps -f desired-state=running web"))[1:]
    assert {line[2] for line in running} == {"nginx:2"}


async def test_a_failing_update_is_paused_and_the_command_says_so(docker):
    await docker(f"service create --name web --replicas 3 {MONITOR} nginx:1")
    text = await docker("service update --image broken:1 web", fails=True)
    assert "service update paused: update paused due to failure or early termination of task " in text
    assert await updated(docker) == "paused"
    images = [line[2] for line in columns(await docker("service ps -f desired-state=running web"))[1:]]
    assert images.count("nginx:1") == 2
    assert "converged" in await docker("service update --image nginx:3 web")


async def test_a_failing_update_of_a_global_service_too(docker):
    await docker(f"service create --name web --mode global {MONITOR} nginx:1")
    assert "service update paused" in await docker("service update --image broken:1 web", fails=True)


async def test_start_first_the_service_is_never_less_than_whole(docker, agents):
    await docker(f"service create --name web --update-order start-first {MONITOR} nginx:1")
    await docker("service update -d --image nginx:2 --args wait web")
    async with asyncio.timeout(10):
        while (
            len(lines := columns(await docker("service ps -f node=worker1 -f node=manager1 -f node=manager2 web"))) < 3
        ):
            await asyncio.sleep(0.1)
    assert {line[2]: line[5].split()[0] for line in lines[1:]}["nginx:1"] == "Running"
    agents.let_go.set()
    await docker("service update -d --label-add a=b web")  # something for the agents to look at
    async with asyncio.timeout(10):
        while len(columns(await docker("service ps -f desired-state=running web"))[1:]) != 1:
            await asyncio.sleep(0.1)
    assert agents.most_running == 2
