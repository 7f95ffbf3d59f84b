"""my-tomcat: create, inspect, logs, scale, a container that is lost and replaced, remove. In this order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from testinfra.host import Host

from provisioner.lab import LabSpec
from provisioner.suites import docker_cli
from provisioner.suites.capabilities import SERVICE_LOGS
from provisioner.suites.connection import HostUnreachable, output
from provisioner.suites.docker_cli import Task, containers, running, told
from provisioner.suites.waiting import wait_until
from provisioner.suites.workspace import SERVICE_LABELS, Workspace

REPLICAS = 3

# Tomcat is up in 2 to 4 s; the restart delay is 5 s by default; a shared machine may be several times slower.
CREATE_SECONDS = 60
LOGS_SECONDS = 40
SCALE_SECONDS = 40
REPLACE_SECONDS = 45
REMOVE_SECONDS = 30

_STATUS = "python3 -c 'import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=3).status)' %s"
_ADDRESS = "docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' %s"


@dataclass(frozen=True)
class Replacement:
    lost: Task
    before: list[Task]
    after: list[Task]


@pytest.fixture(scope="module")
def created(workspace: Workspace, manager: Host) -> str:
    """The service's name. Its creation waits, as users see it, until its task has been stable for 5 s."""
    name = workspace.name("tomcat")
    try:
        output(manager, f"docker service create {SERVICE_LABELS} --name %s tomcat", name, timeout=CREATE_SECONDS)
    except HostUnreachable as error:  # it waits for a task that runs, however long that takes
        tasks = told(docker_cli.tasks(manager, name)[:3])
        raise AssertionError(f"{name} does not run, {CREATE_SECONDS} s after it was created: {tasks}") from error
    return name


@pytest.fixture(scope="module")
def task(created: str, manager: Host) -> Task:
    """Its only task."""
    tasks = docker_cli.tasks(manager, created)
    assert len(tasks) == 1, f"one task was asked for, there are: {told(tasks)}"
    return tasks[0]


@pytest.fixture(scope="module")
def scaled(created: str, manager: Host) -> list[Task]:
    """The running tasks once there are as many as asked for."""
    output(manager, f"docker service scale --detach %s={REPLICAS}", created)
    seen = wait_until(
        f"{REPLICAS} tasks run",
        lambda: docker_cli.tasks(manager, created),
        lambda tasks: len(running(tasks)) == REPLICAS,
        seconds=SCALE_SECONDS,
        words=told,
    )
    return running(seen)


@pytest.fixture(scope="module")
def replaced(created: str, scaled: list[Task], manager: Host, hosts: Mapping[str, Host]) -> Replacement:
    """One container removed by force, as `docker rm -f` does it, and what came of it."""
    lost = scaled[-1]
    output(hosts[lost.node], "docker rm --force %s", lost.container)
    seen = wait_until(
        f"{lost.name} is replaced after its container on {lost.node} was removed",
        lambda: docker_cli.tasks(manager, created),
        lambda tasks: len(running(tasks)) == REPLICAS and lost.id not in [task.id for task in running(tasks)],
        seconds=REPLACE_SECONDS,
        words=told,
    )
    return Replacement(lost, scaled, running(seen))


def test_runs(task: Task) -> None:
    """A created service runs its task."""
    assert (task.desired, task.state) == ("Running", "Running"), str(task)


def test_listed(created: str, manager: Host) -> None:
    """`docker service ls` shows it with one replica of one."""
    line = docker_cli.json_lines(manager, "docker service ls --filter name=%s --format '{{json .}}'", created)[0]
    shown = (line["Name"], line["Mode"], line["Replicas"], line["Image"])
    assert shown == (created, "replicated", "1/1", "tomcat:latest"), f"it shows {shown}"


def test_inspect(created: str, manager: Host) -> None:
    """`docker service inspect` shows its spec."""
    spec = json.loads(output(manager, "docker service inspect %s", created))[0]["Spec"]
    assert spec["Name"] == created, f"its name there is {spec['Name']}"
    image = spec["TaskTemplate"]["ContainerSpec"]["Image"]
    assert image.startswith("tomcat:latest"), f"its image there is {image}"
    assert spec["Mode"] == {"Replicated": {"Replicas": 1}}, f"its mode there is {spec['Mode']}"


def test_container_name(task: Task, hosts: Mapping[str, Host]) -> None:
    """Its container is called <service>.<slot>.<task id>."""
    names = output(hosts[task.node], "docker ps --format '{{.Names}}'").split()
    assert task.container in names, (
        f"on {task.node} there are {', '.join(names) or 'no containers'}, not {task.container}"
    )


def test_answers(task: Task, hosts: Mapping[str, Host]) -> None:
    """Tomcat answers HTTP on its container's address."""
    host = hosts[task.node]
    url = f"http://{output(host, _ADDRESS, task.container)}:8080/"
    wait_until(
        f"{url} on {task.node} answers 200",
        lambda: host.run(_STATUS, url),
        lambda done: done.stdout.strip() == "200",
        seconds=LOGS_SECONDS,
        words=lambda done: done.stdout.strip() or done.stderr.strip().splitlines()[-1],
    )


@pytest.mark.needs(SERVICE_LOGS)
def test_logs(created: str, task: Task, manager: Host) -> None:
    """`docker service logs` shows what Tomcat says, wherever it runs."""
    wait_until(
        f"the logs of {created} say that Tomcat has started",
        lambda: manager.run("docker service logs %s 2>&1", created).stdout,
        lambda text: "Server startup" in text and task.node in text,
        seconds=LOGS_SECONDS,
        words=lambda text: text.strip().splitlines()[-1] if text.strip() else "no lines",
    )


def test_scaled(created: str, scaled: list[Task], manager: Host) -> None:
    """Scaled to three, it has three replicas of three."""
    line = docker_cli.json_lines(manager, "docker service ls --filter name=%s --format '{{json .}}'", created)[0]
    assert line["Replicas"] == f"{REPLICAS}/{REPLICAS}", f"`docker service ls` shows {line['Replicas']}"


def test_slots(scaled: list[Task], created: str) -> None:
    """Each replica has a slot of its own."""
    names = sorted(task.name for task in scaled)
    assert names == [f"{created}.{slot}" for slot in range(1, REPLICAS + 1)], f"the tasks are {', '.join(names)}"


def test_spread(scaled: list[Task], spec: LabSpec) -> None:
    """The replicas are spread over the hosts."""
    taking = [host.name for host in spec.hosts if host.availability == "active"]
    counts = {name: sum(task.node == name for task in scaled) for name in taking}
    words = ", ".join(f"{name} runs {count}" for name, count in counts.items())
    assert sum(counts.values()) == REPLICAS, f"{words}: some run on other nodes"
    assert max(counts.values()) - min(counts.values()) <= 1, words


def test_replaced(replaced: Replacement) -> None:
    """A container that is removed by force is replaced by a new task in the same slot."""
    slot = [task for task in replaced.after if task.name == replaced.lost.name]
    assert len(slot) == 1, f"the slot of {replaced.lost.name} has {told(slot)}"
    assert slot[0].id != replaced.lost.id, "the old task is still there"


def test_others_untouched(replaced: Replacement) -> None:
    """The other replicas go on undisturbed."""
    others = {task.id for task in replaced.before} - {replaced.lost.id}
    gone = others - {task.id for task in replaced.after}
    assert not gone, f"tasks that were not touched have ended: {', '.join(gone)}; there are {told(replaced.after)}"


def test_history(replaced: Replacement, created: str, manager: Host) -> None:
    """`docker service ps` keeps the task that was lost."""
    kept = [task for task in docker_cli.tasks(manager, created) if task.id == replaced.lost.id]
    assert kept, f"{replaced.lost.name} ({replaced.lost.id}) is not in the history"
    assert kept[0].state in ("Failed", "Shutdown", "Complete"), str(kept[0])


def test_replacement_runs(replaced: Replacement, created: str, hosts: Mapping[str, Host]) -> None:
    """Exactly the tasks that are listed have containers."""
    listed = sorted(task.container for task in replaced.after)
    found = wait_until(
        "the containers are those of the tasks",
        lambda: sorted(name for names in containers(hosts, created).values() for name in names),
        lambda names: names == listed,
        seconds=5,
        words=lambda names: f"containers {', '.join(names)}; tasks {', '.join(listed)}",
    )
    assert len(found) == REPLICAS, f"there are {len(found)} containers"


def test_removed(created: str, replaced: Replacement, manager: Host, hosts: Mapping[str, Host]) -> None:
    """A removed service is gone, and its containers with it."""
    output(manager, "docker service rm %s", created)
    done = manager.run("docker service inspect %s", created)
    assert done.rc != 0, "`docker service inspect` still shows it"
    wait_until(
        "its containers are gone",
        lambda: {name: names for name, names in containers(hosts, created).items() if names},
        lambda left: not left,
        seconds=REMOVE_SECONDS,
        words=lambda left: "; ".join(f"{', '.join(names)} on {name}" for name, names in left.items()),
    )
