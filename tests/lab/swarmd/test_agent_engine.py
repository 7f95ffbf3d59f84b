"""The agent's worker on a real Docker Engine: a lab host's."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from agent_host import LONG, Host, a_task, desired, emptied, give, one_host, run_on, so, state, working
from conftest import PROVISION, must, run_provision

from swarmd.agent.worker import Worker
from swarmd.engine.client import Engine
from swarmd.engine.container import container_name
from swarmd.engine.describe import node_description
from swarmd.model import ResourceRequirements, TaskState, TLSInfo
from swarmd.model.specs import ResourceObject
from swarmd.wire import Assignments


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with one_host() as made:
        yield made


@pytest.fixture
async def worker(host: Host, tmp_path: Path) -> AsyncIterator[Worker]:
    async with emptied(tmp_path, host) as started:
        yield started


async def test_a_task_runs_under_docker_swarms_name_and_labels(host, worker):
    task = a_task("sleep 600", labels={"mine": "yes"}, hostname="{{.Service.Name}}-{{.Node.Hostname}}", env=["A=1"])
    status = await run_on(worker, task)
    seen = host.inspect(task)
    assert seen["Name"] == f"/web.1.{task.id}"
    assert (status.container.container_id, status.container.pid) == (seen["Id"], seen["State"]["Pid"])
    labels = seen["Config"]["Labels"]
    assert (labels["com.docker.swarm.service.name"], labels["com.docker.swarm.task"], labels["mine"]) == (
        "web",
        "",
        "yes",
    )
    assert seen["Config"]["Hostname"] == "web-manager1"
    assert seen["HostConfig"]["RestartPolicy"]["Name"] == "no"


async def test_a_non_zero_exit_fails_the_task(worker):
    task = a_task("exit 3")
    await give(worker, task)
    status = await state(worker, task, TaskState.FAILED)
    assert (status.err, status.message, status.container.exit_code) == ("task: non-zero exit (3)", "started", 3)


async def test_an_exit_by_zero_completes_it(worker):
    task = a_task("true")
    await give(worker, task)
    assert (await state(worker, task, TaskState.COMPLETE)).message == "finished"


async def test_a_container_removed_by_hand_fails_its_task(host, worker):
    task = a_task("sleep 600")
    await run_on(worker, task)
    host.docker("rm", "-f", container_name(task))
    assert (await state(worker, task, TaskState.FAILED)).err == "task: non-zero exit (137)"


async def test_a_container_stopped_by_hand_fails_its_task(host, worker):
    task = a_task("sleep 600")
    await run_on(worker, task)
    host.docker("stop", container_name(task))
    assert (await state(worker, task, TaskState.FAILED)).err == "task: non-zero exit (143)"


async def test_a_missing_image_rejects_the_task(worker):
    task = a_task("true", image="nowhere/absent")
    await give(worker, task)
    status = await state(worker, task, TaskState.REJECTED)
    assert (status.err, status.message) == ("No such image: nowhere/absent:latest", "preparing")


async def test_a_program_that_is_not_there_fails_the_start(worker):
    task = a_task("", command=["/no/such/program"], args=[])
    await give(worker, task)
    err = (await state(worker, task, TaskState.FAILED)).err
    assert err.startswith("starting container failed: ")
    assert "/no/such/program" in err


async def test_a_ready_task_is_prepared_and_starts_when_it_is_to_run(host, worker):
    task = a_task("sleep 600", desired=TaskState.READY)
    await give(worker, task)
    await state(worker, task, TaskState.READY)
    assert host.inspect(task)["State"]["Status"] == "created"
    await run_on(worker, desired(task, TaskState.RUNNING))


async def test_shutdown_leaves_a_program_its_grace(host, worker):
    task = a_task("trap 'sleep 1; exit 0' TERM; while :; do sleep 0.1; done", stop_grace_period=20_000_000_000)
    await run_on(worker, task)
    await give(worker, desired(task, TaskState.SHUTDOWN))
    status = await state(worker, task, TaskState.SHUTDOWN)
    assert (status.message, status.container.exit_code) == ("shutdown", 0)
    assert host.inspect(task)["State"]["Status"] == "exited"


async def test_shutdown_kills_a_program_that_does_not_heed_it(host, worker):
    task = a_task("trap '' TERM; while :; do sleep 0.1; done")
    await run_on(worker, task)
    await give(worker, desired(task, TaskState.SHUTDOWN))
    assert (await state(worker, task, TaskState.SHUTDOWN)).container.exit_code == 137


async def test_remove_leaves_nothing(host, worker):
    task = a_task("sleep 600")
    await run_on(worker, task)
    await give(worker, desired(task, TaskState.REMOVE))
    await state(worker, task, TaskState.SHUTDOWN)
    await so(lambda: not host.exists(task))


async def test_limits_reach_the_kernel(host, worker):

    task = a_task("sleep 600")
    limits = ResourceRequirements(limits=ResourceObject(memory_bytes=32 << 20, nano_cpus=500_000_000, pids=50))
    task = msgspec.structs.replace(task, spec=msgspec.structs.replace(task.spec, resources=limits))
    await run_on(worker, task)
    seen = host.inspect(task)["HostConfig"]
    assert (seen["Memory"], seen["NanoCpus"], seen["PidsLimit"]) == (32 << 20, 500_000_000, 50)


@pytest.fixture
def checked_image(host: Host) -> Iterator[str]:
    """busybox that is healthy once /ok is there."""
    host.docker("create", "--name", "checked", "busybox")
    change = "HEALTHCHECK --interval=1s --retries=1 --start-period=60s CMD test -f /ok"
    host.docker("commit", "--change", change, "checked", "checked:latest")
    host.docker("rm", "checked")
    yield "checked"
    host.docker("rmi", "-f", "checked")


async def test_a_task_with_a_health_check_starts_until_it_is_healthy_and_fails_when_it_is_not(
    host, worker, checked_image
):
    task = a_task("sleep 600", image=checked_image)
    await give(worker, task)
    await state(worker, task, TaskState.STARTING)
    await so(lambda: host.inspect(task)["State"]["Status"] == "running")
    assert worker.tasks[task.id].status.state == TaskState.STARTING
    host.docker("exec", container_name(task), "touch", "/ok")
    await state(worker, task, TaskState.RUNNING)
    host.docker("exec", container_name(task), "rm", "/ok")
    assert (await state(worker, task, TaskState.FAILED)).err == (
        "task: non-zero exit (143): dockerexec: unhealthy container"
    )


async def test_a_restarted_worker_takes_up_what_runs(host, tmp_path):
    task, ends = a_task("sleep 600"), a_task("while [ ! -f /end ]; do sleep 0.1; done; exit 9")
    async with working(tmp_path, host) as worker:
        await run_on(worker, task)
        await run_on(worker, ends)
    before = host.inspect(task)
    host.docker("exec", container_name(ends), "touch", "/end")
    async with working(tmp_path, host) as worker:
        await so(lambda: ends.id in worker.tasks and worker.tasks[ends.id].status.state.is_final)
        assert worker.tasks[ends.id].status.err == "task: non-zero exit (9)"
        assert worker.tasks[task.id].status.state == TaskState.RUNNING
        await worker.assign(Assignments(complete=True, tasks=[task]))
        await so(lambda: not host.exists(ends))
        after = host.inspect(task)
        assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])
        await worker.assign(Assignments(complete=True, tasks=[]))
        await so(lambda: not host.exists(task))


@pytest.mark.parametrize("how", ["systemctl restart docker", "systemctl kill -s KILL docker"])
async def test_tasks_run_on_while_the_engine_restarts(host, worker, how):
    if "Live Restore Enabled: true" not in host.docker("info"):
        pytest.skip("the engine is without live-restore: its restart ends containers")
    task, ends = a_task("sleep 600"), a_task("while [ ! -f /end ]; do sleep 0.1; done; exit 9")
    await run_on(worker, task)
    await run_on(worker, ends)
    before = host.inspect(task)["State"]["StartedAt"]
    host.run("systemctl reset-failed docker docker.socket")
    host.run(how)
    await so(lambda: host.run("systemctl is-active docker || true") == "active")
    assert worker.tasks[task.id].status.state == TaskState.RUNNING
    host.docker("exec", container_name(ends), "touch", "/end")
    assert (await state(worker, ends, TaskState.FAILED)).err == "task: non-zero exit (9)"
    assert host.inspect(task)["State"]["StartedAt"] == before
    assert worker.tasks[task.id].status.state == TaskState.RUNNING


async def test_after_a_power_cut_tasks_run_again_without_any_manager(host, tmp_path):
    task, done = a_task("sleep 600"), a_task("exit 0")
    async with working(tmp_path, host) as worker:
        await run_on(worker, task)
        await give(worker, done)
        await state(worker, done, TaskState.COMPLETE)
    host.run("sync")
    must(run_provision("stop", "--name", host.lab, "manager1", "--power-off"))
    starting = subprocess.Popen([PROVISION, "start", "--name", host.lab], stdout=subprocess.DEVNULL)
    try:
        await so(lambda: answers(host))
    finally:
        # It would wait for a swarm, which this lab has none of.
        starting.send_signal(signal.SIGINT)
        starting.wait(LONG)
    kernel, ticks = host.run("sed -n 's/^btime //p' /proc/stat; cut -d' ' -f22 /proc/1/stat").split()
    async with working(tmp_path, host, booted=datetime.fromtimestamp(int(kernel) + int(ticks) / 100, UTC)) as worker:
        await so(lambda: task.id in worker.tasks and host.inspect(task)["State"]["Running"])
        assert worker.tasks[task.id].status.state == TaskState.RUNNING
        assert worker.tasks[done.id].status.state == TaskState.COMPLETE
        await worker.assign(Assignments(complete=True, tasks=[]))
        await so(lambda: worker.tasks == {})


def answers(host: Host) -> bool:
    words = [PROVISION, "ssh", "--name", host.lab, "manager1", "--", "docker version"]
    return subprocess.run(words, capture_output=True, timeout=LONG, check=False).returncode == 0


async def test_the_node_is_described(host):
    async with Engine(host.socket) as engine:
        told = node_description(await engine.info(), TLSInfo())
    assert (told.hostname, told.platform.os) == ("manager1", "linux")
    assert told.engine.engine_version == host.docker("version", "--format", "{{.Server.Version}}")
    assert told.resources.memory_bytes > 0
