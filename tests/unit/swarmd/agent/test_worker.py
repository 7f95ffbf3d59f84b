"""The node's tasks on an engine that does what the test says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from agent_tasks import NODE, a_task, desired
from engine_double import EngineDouble

from swarmd.agent import runner
from swarmd.agent.storage import Storage
from swarmd.agent.worker import Worker
from swarmd.engine.client import Engine
from swarmd.engine.container import container_name
from swarmd.model import (
    ContainerSpec,
    EndpointSpec,
    Mount,
    MountType,
    PortConfig,
    PortConfigPublishMode,
    RestartCondition,
    RestartPolicy,
    Task,
    TaskSpec,
    TaskState,
    TaskStatus,
)
from swarmd.wire import Assignments

LONG = 10


@pytest.fixture
def engine() -> EngineDouble:
    return EngineDouble()


@pytest.fixture
def socket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("e") / "engine.sock"


@asynccontextmanager
async def working(folder: Path, socket: Path, **given: Any) -> AsyncIterator[Worker]:
    """Ends as a daemon does: by cancellation."""
    async with Engine(socket) as client:
        worker = Worker(client, Storage(folder), NODE, **given)
        running = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def until(worker: Worker, task: Task, is_so: Callable[[TaskStatus], bool]) -> TaskStatus:
    async with asyncio.timeout(LONG):
        while True:
            for task_id, status in (await worker.outbox.some(1000)).items():
                worker.outbox.delivered({task_id: status})
                if task_id == task.id and is_so(status):
                    return status


async def state(worker: Worker, task: Task, wanted: TaskState) -> TaskStatus:
    return await until(worker, task, lambda status: status.state == wanted)


async def so(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG):
        while not condition():
            await asyncio.sleep(0.01)


async def give(worker: Worker, *tasks: Task, removed: list[str] | None = None, complete: bool = False) -> None:
    await worker.assign(Assignments(tasks=list(tasks), removed=removed or [], complete=complete))


async def test_a_task_comes_to_run(engine, socket, tmp_path):
    task = a_task()
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, task)
        status = await state(worker, task, TaskState.RUNNING)
        assert engine.status(container_name(task)) == "running"
    assert status.message == "started"
    assert (status.container.container_id, status.container.pid) == (container_name(task), 4711)


async def test_the_state_only_advances_and_says_dockers_words(engine, socket, tmp_path):
    task, seen = a_task(), []
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        put = worker.outbox.put
        worker.outbox.put = lambda task_id, status: (seen.append(status), put(task_id, status))
        await give(worker, task)
        await state(worker, task, TaskState.RUNNING)
        engine.end(container_name(task), 0)
        await state(worker, task, TaskState.COMPLETE)
    assert [(status.state.word, status.message) for status in seen] == [
        ("accepted", "accepted"),
        ("preparing", "preparing"),
        ("ready", "prepared"),
        ("starting", "starting"),
        ("running", "started"),
        ("complete", "finished"),
    ]


async def test_an_image_that_is_nowhere_rejects_the_task(engine, socket, tmp_path):
    task = a_task(ContainerSpec(image="docker.io/library/absent"))
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, task)
        status = await state(worker, task, TaskState.REJECTED)
    assert (status.err, status.message) == ("No such image: absent:latest", "preparing")
    assert engine.pulls == ["absent:latest"]


async def test_a_container_that_exits_by_itself_has_failed(engine, socket, tmp_path):
    task = a_task()
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, task)
        await state(worker, task, TaskState.RUNNING)
        engine.end(container_name(task), 3)
        status = await state(worker, task, TaskState.FAILED)
    assert (status.err, status.container.exit_code) == ("task: non-zero exit (3)", 3)


async def test_a_container_that_is_removed_by_force_has_failed_with_its_exit_code(engine, socket, tmp_path):
    task = a_task()
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, task)
        await state(worker, task, TaskState.RUNNING)
        engine.rm_force(container_name(task))
        status = await state(worker, task, TaskState.FAILED)
    assert status.err == "task: non-zero exit (137)"


async def test_what_happened_while_the_stream_was_broken_is_found_out(engine, socket, tmp_path):
    task = a_task()
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, task)
        await state(worker, task, TaskState.RUNNING)
        engine.end_unheard(container_name(task), 4)
        engine.drop_streams()
        status = await state(worker, task, TaskState.FAILED)
    assert status.err == "task: non-zero exit (4)"


async def test_a_ready_task_waits_for_its_start(engine, socket, tmp_path):
    task = a_task(desired=TaskState.READY)
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, task)
        await state(worker, task, TaskState.READY)
        assert engine.status(container_name(task)) == "created"
        await give(worker, desired(task, TaskState.RUNNING))
        await state(worker, task, TaskState.RUNNING)


async def test_a_ready_task_whose_container_was_removed_fails_at_its_start(engine, socket, tmp_path):
    task = a_task(desired=TaskState.READY)
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, task)
        await state(worker, task, TaskState.READY)
        engine.rm_force(container_name(task))
        await give(worker, desired(task, TaskState.RUNNING))
        status = await state(worker, task, TaskState.FAILED)
    assert status.err == f"No such container: {container_name(task)}"


async def test_a_start_that_fails_says_so(engine, socket, tmp_path):
    task = a_task()
    engine.refuse["start"] = (400, "exec: nothing: not found")
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, task)
        status = await state(worker, task, TaskState.FAILED)
    assert status.err == "starting container failed: exec: nothing: not found"


async def test_shutdown_stops_the_container_and_leaves_it_for_its_logs(engine, socket, tmp_path):
    task = a_task()
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, task)
        await state(worker, task, TaskState.RUNNING)
        await give(worker, desired(task, TaskState.SHUTDOWN))
        status = await state(worker, task, TaskState.SHUTDOWN)
        assert engine.status(container_name(task)) == "exited"
    assert (status.message, status.container.exit_code) == ("shutdown", 143)


async def test_a_container_that_cannot_be_stopped_is_not_called_ended(engine, socket, tmp_path):
    task = a_task()
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, task)
        await state(worker, task, TaskState.RUNNING)
        engine.refuse["stop"] = (500, "tried to kill container, but did not receive an exit event")
        await give(worker, desired(task, TaskState.SHUTDOWN))
        status = await until(worker, task, lambda status: status.err != "")
        assert (status.state, status.err) == (TaskState.RUNNING, engine.refuse["stop"][1])
        del engine.refuse["stop"]
        assert (await state(worker, task, TaskState.SHUTDOWN)).err == ""


async def test_remove_stops_removes_and_reports(engine, socket, tmp_path):
    task = a_task()
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, task)
        await state(worker, task, TaskState.RUNNING)
        await give(worker, desired(task, TaskState.REMOVE))
        await state(worker, task, TaskState.SHUTDOWN)
        await so(lambda: engine.status(container_name(task)) == "absent")
        await give(worker, removed=[task.id])
        await so(lambda: worker.tasks == {})
        await so(lambda: list(tmp_path.glob("*.json")) == [])


async def test_what_a_complete_assignment_does_not_name_goes(engine, socket, tmp_path):
    kept, dropped = a_task(), a_task()
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, kept, dropped, complete=True)
        await so(lambda: engine.status(container_name(dropped)) == engine.status(container_name(kept)) == "running")
        await give(worker, kept, complete=True)
        await so(lambda: engine.status(container_name(dropped)) == "absent")
        assert engine.status(container_name(kept)) == "running"


async def test_containers_of_this_nodes_forgotten_tasks_go_and_those_of_others_stay(engine, socket, tmp_path):
    lost, foreign = a_task(), a_task(node_id="elsewhere")
    async with engine.serving(socket):
        for index, task in enumerate((lost, foreign)):
            async with working(tmp_path / str(index), socket) as worker:
                await give(worker, task)
                await state(worker, task, TaskState.RUNNING)
        async with working(tmp_path / "new", socket) as worker:
            await give(worker, complete=True)
            await so(lambda: engine.status(container_name(lost)) == "absent")
        assert engine.status(container_name(foreign)) == "running"


async def test_a_pull_is_given_up_when_the_task_is_not_wanted_any_more(engine, socket, tmp_path):
    task = a_task()
    engine.hold_pulls = asyncio.Event()
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, task)
        await so(lambda: engine.pulls != [])
        await give(worker, desired(task, TaskState.SHUTDOWN))
        await state(worker, task, TaskState.SHUTDOWN)
        engine.hold_pulls.set()
    assert engine.containers == {}


async def test_the_daemon_ends_at_once_in_the_middle_of_a_pull(engine, socket, tmp_path):
    engine.hold_pulls = asyncio.Event()
    async with engine.serving(socket):
        async with asyncio.timeout(LONG):
            async with working(tmp_path, socket) as worker:
                await give(worker, a_task(), a_task())
                await so(lambda: engine.pulls != [])
        assert not engine.hold_pulls.is_set()


async def test_many_tasks_of_one_image_ask_the_registry_once(engine, socket, tmp_path):
    tasks = [a_task() for _ in range(20)]
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, *tasks)
        await so(lambda: [engine.status(container_name(task)) for task in tasks] == ["running"] * 20)
    assert engine.pulls == ["busybox:latest"]


async def test_tasks_that_wait_for_the_same_pull_share_it(engine, socket, tmp_path):
    tasks = [a_task(ContainerSpec(image="far/away")) for _ in range(5)]
    engine.registry.add("far/away:latest")
    engine.hold_pulls = asyncio.Event()
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, *tasks)
        await so(lambda: engine.pulls != [])
        while [each.state for each in (await worker.outbox.some(5)).values()] != [TaskState.PREPARING] * 5:
            await asyncio.sleep(0.01)
        for _ in range(100):  # what is reported is carried out next
            await asyncio.sleep(0)
        engine.hold_pulls.set()
        await so(lambda: [engine.status(container_name(task)) for task in tasks] == ["running"] * 5)
    assert engine.pulls == ["far/away:latest"]


async def test_an_image_that_comes_to_the_registry_is_pulled_again(engine, socket, tmp_path):
    early, late = (a_task(ContainerSpec(image="far/away")) for _ in range(2))
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, early)
        await state(worker, early, TaskState.REJECTED)
        engine.registry.add("far/away:latest")
        await give(worker, late)
        await state(worker, late, TaskState.RUNNING)
    assert engine.pulls == ["far/away:latest"] * 2


async def test_a_restarted_worker_takes_its_tasks_up_without_any_manager(engine, socket, tmp_path):
    task = a_task()
    async with engine.serving(socket):
        async with working(tmp_path, socket) as worker:
            await give(worker, task)
            await state(worker, task, TaskState.RUNNING)
        assert engine.status(container_name(task)) == "running"
        engine.calls.clear()
        async with working(tmp_path, socket) as worker:
            await so(lambda: f"GET /containers/{container_name(task)}/json" in engine.calls)
            assert worker.tasks[task.id].status.state == TaskState.RUNNING
            engine.end(container_name(task), 5)
            assert (await state(worker, task, TaskState.FAILED)).err == "task: non-zero exit (5)"
    assert not [call for call in engine.calls if call.startswith(("POST", "DELETE"))]


def power_cut(engine: EngineDouble, task: Task, *, code: int = 255) -> datetime:
    """As dockerd leaves a container that ran when the power went. Returns when the machine was on again."""
    booted = datetime.now(UTC)
    engine.end_unheard(container_name(task), code)
    engine.containers[container_name(task)]["State"].update(
        StartedAt=(booted - timedelta(minutes=1)).isoformat(), FinishedAt=(booted + timedelta(seconds=1)).isoformat()
    )
    return booted


async def test_after_a_power_cut_tasks_run_again_without_any_manager(engine, socket, tmp_path):
    task = a_task()
    async with engine.serving(socket):
        async with working(tmp_path, socket) as worker:
            await give(worker, task)
            await state(worker, task, TaskState.RUNNING)
        booted = power_cut(engine, task)
        async with working(tmp_path, socket, booted=booted) as worker:
            await state(worker, task, TaskState.RUNNING)
            assert engine.status(container_name(task)) == "running"


@pytest.mark.parametrize(("code", "policy"), [(3, None), (255, RestartPolicy(condition=RestartCondition.NONE))])
async def test_what_ended_by_itself_or_is_never_to_restart_does_not_run_again(engine, socket, tmp_path, code, policy):
    task = a_task(spec=TaskSpec(container_spec=ContainerSpec(image="busybox"), restart_policy=policy))
    async with engine.serving(socket):
        async with working(tmp_path, socket) as worker:
            await give(worker, task)
            await state(worker, task, TaskState.RUNNING)
        booted = power_cut(engine, task, code=code)
        async with working(tmp_path, socket, booted=booted) as worker:
            assert (await state(worker, task, TaskState.FAILED)).err == f"task: non-zero exit ({code})"


async def test_a_task_whose_file_is_lost_is_found_by_its_container(engine, socket, tmp_path):
    task = a_task()
    async with engine.serving(socket):
        async with working(tmp_path / "old", socket) as worker:
            await give(worker, task)
            await state(worker, task, TaskState.RUNNING)
        engine.calls.clear()
        async with working(tmp_path / "new", socket) as worker:
            await give(worker, task, complete=True)
            await state(worker, task, TaskState.RUNNING)
    assert not [call for call in engine.calls if call.endswith(("/start", "/stop"))]


async def test_a_name_that_is_taken_by_a_stranger_rejects_the_task(engine, socket, tmp_path):
    task = a_task()
    engine.containers[container_name(task)] = {
        "Id": "x",
        "Name": "/x",
        "State": {"Status": "running"},
        "Config": {"Labels": {}},
    }
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, task)
        assert "already in use" in (await state(worker, task, TaskState.REJECTED)).err


async def test_without_its_engine_a_task_waits_and_says_why(engine, socket, tmp_path):
    task = a_task()
    async with working(tmp_path, socket) as worker:
        await give(worker, task)
        status = await until(worker, task, lambda status: "cannot connect to the Docker Engine" in status.err)
        assert status.state == TaskState.PREPARING
        async with engine.serving(socket):
            assert (await state(worker, task, TaskState.RUNNING)).err == ""


async def test_a_running_task_outlives_its_engines_absence(engine, socket, tmp_path):
    task = a_task()
    async with working(tmp_path, socket) as worker:
        async with engine.serving(socket):
            await give(worker, task)
            await state(worker, task, TaskState.RUNNING)
        engine.calls.clear()
        async with engine.serving(socket):
            await so(lambda: f"GET /containers/{container_name(task)}/json" in engine.calls)
            engine.end(container_name(task), 6)
            assert (await state(worker, task, TaskState.FAILED)).err == "task: non-zero exit (6)"


async def test_a_task_with_a_health_check_runs_once_it_is_healthy(engine, socket, tmp_path):
    task = a_task(ContainerSpec(image="busybox", env=["HEALTH=1"]))
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, task)
        await so(lambda: engine.status(container_name(task)) == "running")
        assert worker.tasks[task.id].status.state == TaskState.STARTING
        engine.health(container_name(task), "healthy")
        await state(worker, task, TaskState.RUNNING)


@pytest.mark.parametrize("was_healthy", [True, False])
async def test_an_unhealthy_task_is_stopped_and_fails(engine, socket, tmp_path, was_healthy):
    task = a_task(ContainerSpec(image="busybox", env=["HEALTH=1"]))
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, task)
        await so(lambda: engine.status(container_name(task)) == "running")
        if was_healthy:
            engine.health(container_name(task), "healthy")
            await state(worker, task, TaskState.RUNNING)
        engine.health(container_name(task), "unhealthy")
        status = await state(worker, task, TaskState.FAILED)
    assert status.err == "task: non-zero exit (143): dockerexec: unhealthy container"


async def test_a_bad_placeholder_rejects_the_task(engine, socket, tmp_path):
    task = a_task(ContainerSpec(image="busybox", hostname="{{.Nothing}}"))
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, task)
        status = await state(worker, task, TaskState.REJECTED)
    assert status.err == "expanding hostname failed: template: expansion: there is no .Nothing"
    assert status.message == "resolving controller failed"
    assert engine.pulls == []


async def test_a_mount_that_no_node_can_have_rejects_the_task_before_anything_is_pulled(engine, socket, tmp_path):
    task = a_task(ContainerSpec(image="busybox", mounts=[Mount(type=MountType.VOLUME, source="data", target="srv")]))
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, task)
        status = await state(worker, task, TaskState.REJECTED)
    assert status.err == "invalid mount target, must be an absolute path: srv"
    assert status.message == "resolving controller failed"
    assert engine.pulls == []


async def test_a_mount_that_the_engine_refuses_rejects_the_task_in_its_words(engine, socket, tmp_path):
    task = a_task(ContainerSpec(image="busybox", mounts=[Mount(source="/absent", target="/srv")]))
    engine.refuse["create"] = (400, 'invalid mount config for type "bind": bind source path does not exist: /absent')
    async with engine.serving(socket), working(tmp_path, socket, prefer_offline_image=True) as worker:
        await give(worker, task)
        status = await state(worker, task, TaskState.REJECTED)
    assert (status.err, status.message) == (engine.refuse["create"][1], "preparing")


def published(*ports: tuple[int, int]) -> EndpointSpec:
    return EndpointSpec(
        ports=[
            PortConfig(target_port=target, published_port=port, publish_mode=PortConfigPublishMode.HOST)
            for target, port in ports
        ]
    )


async def test_host_ports_are_shown_as_they_are_bound_while_the_container_runs(engine, socket, tmp_path):
    task = a_task(endpoint=published((80, 8080), (443, 0)))
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, task)
        status = await state(worker, task, TaskState.RUNNING)
        assert status.ports == published((80, 8080), (443, 32768)).ports
        engine.end(container_name(task), 1)
        assert (await state(worker, task, TaskState.FAILED)).ports == []


async def test_a_port_that_is_taken_fails_the_start_in_the_engines_words(engine, socket, tmp_path):
    task = a_task(endpoint=published((80, 8080)))
    engine.refuse["start"] = (500, "driver failed programming external connectivity: port is already allocated")
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, task)
        status = await state(worker, task, TaskState.FAILED)
    assert status.err == f"starting container failed: {engine.refuse['start'][1]}"
    assert status.ports == []


async def test_desired_states_never_go_back(engine, socket, tmp_path):
    task = a_task()
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, task)
        await state(worker, task, TaskState.RUNNING)
        await give(worker, desired(task, TaskState.SHUTDOWN))
        await give(worker, task)
        await state(worker, task, TaskState.SHUTDOWN)


async def test_of_assignments_in_parts_the_last_tells_what_is_removed(engine, socket, tmp_path):
    kept, named_last, gone = a_task(), a_task(), a_task()
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, kept, gone)
        await so(lambda: {engine.status(container_name(task)) for task in (kept, gone)} == {"running"})
        await give(worker, kept)
        assert set(worker.tasks) >= {kept.id, gone.id}
        assert engine.status(container_name(gone)) == "running"
        await worker.assign(Assignments(complete=True, tasks=[named_last], known=[kept.id]))
        await so(lambda: set(worker.tasks) == {kept.id, named_last.id})
        assert engine.status(container_name(kept)) == "running"
        assert engine.status(container_name(gone)) == "absent"


async def test_credentials_are_in_memory_alone_and_only_until_the_image_is_there(engine, socket, tmp_path, caplog):
    task = a_task()
    engine.hold_pulls = asyncio.Event()
    given = Assignments(complete=True, tasks=[task], credentials={task.id: "c2VjcmV0"})
    with caplog.at_level(logging.DEBUG):
        async with engine.serving(socket), working(tmp_path, socket) as worker:
            await worker.assign(given)
            await so(lambda: engine.pulls == ["busybox:latest"])
            assert worker.credentials == {task.id: "c2VjcmV0"}
            engine.hold_pulls.set()
            await state(worker, task, TaskState.RUNNING)
            assert worker.credentials == {}
            await worker.assign(given)  # by a manager that has not heard of it yet
            assert worker.credentials == {}
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and b"c2VjcmV0" in file.read_bytes()]
    assert "c2VjcmV0" not in caplog.text


async def test_credentials_go_with_a_task_that_is_forgotten(engine, socket, tmp_path):
    task = a_task()
    engine.hold_pulls = asyncio.Event()
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await worker.assign(Assignments(complete=True, tasks=[task], credentials={task.id: "c2VjcmV0"}))
        await so(lambda: engine.pulls == ["busybox:latest"])
        await give(worker, complete=True)
        await so(lambda: not worker.tasks)
        assert worker.credentials == {}


async def pulling(engine, socket, tmp_path) -> Task:
    """A task of an image that needs credentials, whose pull ended with the daemon."""
    task = a_task(ContainerSpec(image="far/secret"))
    engine.registry.add("far/secret:latest")
    engine.private["far/secret:latest"] = "dXNlcjpzZWNyZXQ="
    engine.hold_pulls = asyncio.Event()
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await worker.assign(Assignments(complete=True, tasks=[task], credentials={task.id: "dXNlcjpzZWNyZXQ="}))
        await so(lambda: engine.pulls == ["far/secret:latest"])
    engine.hold_pulls = None
    engine.images.discard("far/secret:latest")
    engine.pulls.clear()
    return task


async def test_a_pull_that_was_broken_off_waits_for_its_credentials(engine, socket, tmp_path):
    task = await pulling(engine, socket, tmp_path)
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, a_task())  # a part that does not name it
        await so(lambda: engine.pulls == ["busybox:latest"])
        known = {"known": [other for other in worker.tasks if other != task.id]}
        credentials = {task.id: "dXNlcjpzZWNyZXQ="}
        await worker.assign(Assignments(complete=True, tasks=[task], credentials=credentials, **known))
        await state(worker, task, TaskState.RUNNING)


async def test_without_any_manager_it_waits_for_so_long_and_no_longer(engine, socket, tmp_path, monkeypatch, caplog):
    task = await pulling(engine, socket, tmp_path)
    monkeypatch.setattr(runner, "CREDENTIALS_WITHIN", 0.1)
    engine.images.add("far/secret:latest")
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await state(worker, task, TaskState.RUNNING)
    assert f"task {task.id}: no manager was heard of it; its image is pulled without credentials" in caplog.messages


async def test_a_task_that_managers_do_not_want_any_more_waits_no_longer(engine, socket, tmp_path):
    task = await pulling(engine, socket, tmp_path)
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await so(lambda: task.id in worker.tasks)
        await give(worker, desired(task, TaskState.SHUTDOWN))
        await state(worker, task, TaskState.SHUTDOWN)
    assert engine.pulls == []


async def test_the_newest_of_an_image_is_pulled_unless_what_is_there_is_to_do(engine, socket, tmp_path):
    for prefers, pulls in ((False, ["busybox:latest"]), (True, [])):
        engine.pulls.clear()
        task = a_task()
        folder = tmp_path / str(prefers)
        async with engine.serving(socket), working(folder, socket, prefer_offline_image=prefers) as worker:
            await give(worker, task)
            await state(worker, task, TaskState.RUNNING)
        assert engine.pulls == pulls


async def test_a_missing_image_is_pulled_in_any_case(engine, socket, tmp_path):
    engine.registry.add("other:latest")
    task = a_task(ContainerSpec(image="other"))
    async with engine.serving(socket), working(tmp_path, socket, prefer_offline_image=True) as worker:
        await give(worker, task)
        await state(worker, task, TaskState.RUNNING)
    assert engine.pulls == ["other:latest"]


async def test_an_image_is_pulled_with_the_credentials_of_its_task(engine, socket, tmp_path):
    task, stranger = (a_task(ContainerSpec(image="far/secret")) for _ in range(2))
    engine.registry.add("far/secret:latest")
    engine.private["far/secret:latest"] = "dXNlcjpzZWNyZXQ="
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, stranger)
        assert (await state(worker, stranger, TaskState.REJECTED)).err == "No such image: far/secret:latest"
        await worker.assign(Assignments(complete=False, tasks=[task], credentials={task.id: "dXNlcjpzZWNyZXQ="}))
        await state(worker, task, TaskState.RUNNING)


async def test_tasks_with_other_credentials_do_not_share_a_pull(engine, socket, tmp_path):
    task, stranger = (a_task(ContainerSpec(image="far/secret")) for _ in range(2))
    engine.hold_pulls = asyncio.Event()
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        given = Assignments(complete=False, tasks=[stranger, task], credentials={task.id: "dXNlcjpzZWNyZXQ="})
        await worker.assign(given)
        await so(lambda: engine.pulls == ["far/secret:latest"] * 2)


async def test_a_pull_that_breaks_off_has_failed(engine, socket, tmp_path, caplog):
    task = a_task(ContainerSpec(image="far/away"))
    engine.registry.add("far/away:latest")
    engine.breaking.add("far/away:latest")
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, task)
        assert (await state(worker, task, TaskState.REJECTED)).err == "No such image: far/away:latest"
    assert "pulling far/away:latest failed: unexpected EOF" in caplog.messages


async def test_statuses_have_the_workers_time(engine, socket, tmp_path):
    then, task = datetime(2001, 2, 3, tzinfo=UTC), a_task()
    async with engine.serving(socket), working(tmp_path, socket, now=lambda: then) as worker:
        await give(worker, task)
        assert (await state(worker, task, TaskState.RUNNING)).timestamp == then


async def test_a_manager_that_knows_an_older_status_is_told_the_newer_one_again(engine, socket, tmp_path):
    task = a_task()
    async with engine.serving(socket), working(tmp_path, socket) as worker:
        await give(worker, task)
        await state(worker, task, TaskState.RUNNING)
        await give(worker, task, complete=True)
        await state(worker, task, TaskState.RUNNING)
