"""One host's Docker Engine, reached through its socket in the lab's folder, and the agent's worker on it.

``SWARMD_LAB`` names a lab that is up, whose host manager1 is in no swarm, to be used instead of one of the test's own.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from conftest import must, new_lab, run_provision

from provisioner import state as labs
from swarmd.agent.storage import Storage
from swarmd.agent.worker import Worker
from swarmd.engine.client import Engine
from swarmd.engine.container import TASK_ID, container_name
from swarmd.model import ContainerSpec, Task, TaskSpec, TaskState, TaskStatus, new_id
from swarmd.wire import Assignments

NODE = "n000000000000000000000node"
LONG = 60


@dataclass(frozen=True)
class Host:
    lab: str

    @property
    def socket(self) -> Path:
        return labs.folder(self.lab).path / "hosts" / "manager1" / "shared" / "docker.sock"

    def run(self, command: str) -> str:
        return must(run_provision("ssh", "--name", self.lab, "manager1", "--", command)).stdout.strip()

    def docker(self, *words: str) -> str:
        return self.run(shlex.join(("docker", *words)))

    def inspect(self, task: Task) -> dict:
        return json.loads(self.docker("inspect", container_name(task)))[0]

    def exists(self, task: Task) -> bool:
        return self.docker("ps", "-aq", "--filter", f"label={TASK_ID}={task.id}") != ""


@contextmanager
def one_host() -> Iterator[Host]:
    """With Docker in no swarm, with live-restore and busybox."""
    if given := os.environ.get("SWARMD_LAB"):
        yield Host(given)
        return
    with new_lab("agent", "--engine", "docker", "--managers", "1") as lab:
        made = Host(lab.name)
        made.docker("swarm", "leave", "--force")
        must(run_provision("images", "load", "busybox", "--name", lab.name))
        made.run("""echo '{"live-restore": true}' > /etc/docker/daemon.json && systemctl reload docker""")
        yield made


@asynccontextmanager
async def working(folder: Path, host: Host, **given: Any) -> AsyncIterator[Worker]:
    """Ends as a daemon does: by cancellation."""
    async with Engine(host.socket) as engine:
        worker = Worker(engine, Storage(folder), NODE, **given)
        running = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def emptied(folder: Path, host: Host) -> AsyncIterator[Worker]:
    """Has no tasks in the end, and so leaves no containers."""
    async with working(folder, host) as worker:
        yield worker
        await worker.assign(Assignments(complete=True, tasks=[]))
        await so(lambda: worker.tasks == {})


def a_task(shell: str, *, desired: TaskState = TaskState.RUNNING, **spec: object) -> Task:
    now = datetime.now(UTC)
    container = ContainerSpec(image="busybox", args=["sh", "-c", shell], stop_grace_period=1_000_000_000)
    return Task(
        id=new_id(),
        service_id="s000000000000000000000000",
        service_name="web",
        slot=1,
        spec=TaskSpec(container_spec=msgspec.structs.replace(container, **spec)),
        spec_version=1,
        created_at=now,
        updated_at=now,
        desired_state=desired,
        status=TaskStatus(timestamp=now, state=TaskState.ASSIGNED),
        node_id=NODE,
    )


def desired(task: Task, state: TaskState) -> Task:
    return msgspec.structs.replace(task, desired_state=state)


async def give(worker: Worker, *tasks: Task) -> None:
    await worker.assign(Assignments(complete=False, tasks=list(tasks)))


async def so(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG):
        while not condition():
            await asyncio.sleep(0.05)


async def state(worker: Worker, task: Task, wanted: TaskState) -> TaskStatus:
    """Once the task has come to this state, its status; at once where it can never come to it."""

    def status() -> TaskStatus:
        return worker.tasks[task.id].status

    await so(lambda: status().state >= wanted)
    assert status().state == wanted, status()
    return status()


async def run_on(worker: Worker, task: Task) -> TaskStatus:
    await give(worker, task)
    return await state(worker, task, TaskState.RUNNING)
