"""The stock docker CLI against the API: what a user types, and what the terminal shows."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil

import pytest
from scripted_membership import LONG_AGO, MANAGER1, MANAGER2, WORKER1
from terminal import Terminal, columns

from swarmd.errors import FailedPrecondition
from swarmd.membership import LogPiece, LogSelector, LogStream
from swarmd.model import ServiceUpdate, TaskState, UpdateState
from swarmd.store import Kind, Put
from swarmd.wire import LogOptions

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="the docker CLI is not on this machine")


@pytest.fixture
def outside(api, tmp_path) -> Terminal:
    return Terminal(api, tmp_path)


@pytest.fixture
def docker(swarm, tmp_path) -> Terminal:
    return Terminal(swarm, tmp_path)


async def test_init_prints_the_join_command(outside):
    text = await outside("swarm init --advertise-addr 192.168.56.10 --task-history-limit 3")
    assert f"Swarm initialized: current node ({MANAGER1}) is now a manager." in text
    assert f"docker swarm join --token SWMTKN-1-{'a' * 50}-worker 192.168.56.10:2377" in text
    assert outside.api.membership.calls[0].spec.orchestration.task_history_retention_limit == 3
    text = await outside("swarm init", fails=True)
    assert "Error response from daemon: This node is already part of a swarm." in text


async def test_join_and_leave(outside):
    assert "This node is not a swarm manager" in await outside("node ls", fails=True)
    assert await outside("swarm join --token x 192.168.56.10:2377") == "This node joined a swarm as a worker.\n"
    assert "Worker nodes can't be used to view or modify cluster state" in await outside("node ls", fails=True)
    assert "Is Manager: false" in await outside("info")
    assert await outside("swarm leave") == "Node left the swarm.\n"
    assert "This node is not part of a swarm" in await outside("swarm leave", fails=True)
    assert " Swarm: inactive\n" in await outside("info")


async def test_node_ls(docker):
    assert columns(await docker("node ls")) == [
        ["ID", "HOSTNAME", "STATUS", "AVAILABILITY", "MANAGER STATUS", "ENGINE VERSION"],
        [f"{MANAGER1} *", "manager1", "Ready", "Active", "Leader", "26.1.5"],
        [MANAGER2, "manager2", "Ready", "Active", "Unreachable", "26.1.5"],
        ["3worker1".ljust(25, "0"), "worker1", "Ready", "Active", "26.1.5"],
    ]


async def test_node_inspect_update_and_rm(docker):
    text = await docker("node inspect --pretty self")
    assert "Hostname:              \tmanager1" in text
    assert " Leader:\t\tYes" in text
    assert await docker("node update --label-add disk=big --availability drain worker1") == "worker1\n"
    text = await docker("node inspect --pretty worker1")
    assert " - disk=big\n - zone=a" in text
    assert "Availability:         \tDrain" in text
    assert await docker("node update --label-rm zone worker1") == "worker1\n"
    assert "zone=a" not in await docker("node inspect worker1")
    assert "is not down and can't be removed" in await docker("node rm worker1", fails=True)
    assert await docker("node rm --force worker1") == "worker1\n"
    assert "Error response from daemon: node worker1 not found" in await docker("node inspect worker1", fails=True)


async def test_promote_and_demote(docker):
    assert await docker("node promote worker1") == "Node worker1 promoted to a manager in the swarm.\n"
    assert await docker("node promote manager2") == f"Node {MANAGER2} is already a manager.\n"
    assert await docker("node demote manager2") == "Manager manager2 demoted in the swarm.\n"
    words = "attempting to demote the last manager of the swarm"
    docker.api.membership.refuse_demotion = FailedPrecondition(words)
    text = await docker("node demote manager1", fails=True)
    assert text == f"Error response from daemon: rpc error: code = FailedPrecondition desc = {words}\n"


async def test_join_token_and_its_rotation(docker):
    token = f"SWMTKN-1-{'a' * 50}-worker"
    assert await docker("swarm join-token -q worker") == f"{token}\n"
    text = await docker("swarm join-token --rotate worker")
    assert "Successfully rotated worker join token." in text
    assert f"docker swarm join --token {token}2 192.168.56.10:2377" in text


async def test_swarm_update_is_seen_in_info(docker):
    text = await docker(
        "swarm update --task-history-limit 7 --cert-expiry 48h --dispatcher-heartbeat 7s --snapshot-interval 9"
    )
    assert text == "Swarm updated.\n"
    text = await docker("info")
    assert "Task History Retention Limit: 7" in text
    assert "Snapshot Interval: 9" in text
    assert "Heartbeat Period: 7 seconds" in text
    assert "Expiry Duration: 2 days" in text
    assert "  Managers: 2\n  Nodes: 3\n" in text
    assert "two-manager configuration" in text
    assert "minimum certificate expiry time is: 1h0m0s" in await docker("swarm update --cert-expiry 1m", fails=True)
    assert "AutoLockManagers is not implemented" in await docker("swarm update --autolock", fails=True)
    assert await docker("swarm unlock-key", fails=True) == "no unlock key is set\n"
    assert "BEGIN CERTIFICATE" in await docker("swarm ca")
    assert "CAConfig.ForceRotate is not implemented" in await docker("swarm ca --rotate -d", fails=True)


async def test_a_service_from_create_to_rm(docker, add_task):
    text = await docker(
        "service create -d --name web --replicas 2 --env A=b --label x=y --limit-cpu 0.5 nginx:alpine sh -c true"
    )
    identity = text.split()[-1]
    assert len(identity) == 25
    await add_task(identity, 1, TaskState.RUNNING)
    await add_task(identity, 2, TaskState.REJECTED, desired=TaskState.SHUTDOWN, err="No such image: nginx:alpine")
    assert columns(await docker("service ls")) == [
        ["ID", "NAME", "MODE", "REPLICAS", "IMAGE", "PORTS"],
        [identity[:12], "web", "replicated", "1/2", "nginx:alpine"],
    ]
    shown = columns(await docker("service ps web"))
    assert shown[0] == ["ID", "NAME", "IMAGE", "NODE", "DESIRED STATE", "CURRENT STATE", "ERROR", "PORTS"]
    assert shown[1][1:5] == ["web.1", "nginx:alpine", "worker1", "Running"]
    assert shown[2][1:5] == ["web.2", "nginx:alpine", "worker1", "Shutdown"]
    assert "No such image: nginx:al" in shown[2][6]
    assert [line[1] for line in columns(await docker("node ps worker1"))[1:]] == ["web.1", "web.2"]
    assert await docker("service scale -d web=5") == "web scaled to 5\n"
    text = await docker("service inspect --pretty web")
    for line in (
        "Name:\t\tweb",
        " x=y",
        " Replicas:\t5",
        " Image:\t\tnginx:alpine",
        " Args:\t\tsh -c true",
        "  CPU:\t\t0.5",
        "Endpoint Mode:\tvip",
    ):
        assert line in text.splitlines() or f"{line} " in text.splitlines(), text
    assert "could not be accessed on a registry" in await docker("service update -d --image nginx:2 web")
    assert await docker("inspect -f {{.Spec.TaskTemplate.ContainerSpec.Image}} web") == "nginx:2\n"
    assert await docker("service rm web") == "web\n"
    assert "service web not found" in await docker("service rm web", fails=True)


async def test_the_progress_display_ends(docker, add_task):
    async def run_it() -> None:
        services = await services_of(docker.api.membership.the_store)
        await add_task(next(iter(services)), 1, TaskState.RUNNING)

    line = "service create --name web --update-monitor 1ms nginx:alpine"
    text, _ = await asyncio.gather(docker(line), run_it())
    assert "overall progress: 1 out of 1 tasks" in text
    assert "verify: Service " in text
    assert "converged" in text


async def test_what_a_container_is_given_is_seen_in_inspect(docker):
    await docker(
        "service create -d --name web --mount type=volume,source=data,target=/x,readonly --mount type=tmpfs,target=/t"
        " --health-cmd true --health-interval 2s --host db:10.0.0.1 --dns 10.0.0.53 --dns-option ndots:2"
        " --sysctl net.core.somaxconn=99 --cap-add NET_ADMIN --ulimit nofile=1:2 --log-driver local nginx"
    )
    shown = [" ".join(line.split()) for line in (await docker("service inspect --pretty web")).splitlines()]
    mounts = shown.index("Mounts:")
    assert shown[mounts + 1 : mounts + 5] == ["Target: /x", "Source: data", "ReadOnly: true", "Type: volume"]
    driver = shown.index("Log Driver:")
    assert shown[driver + 1] == "Name: local"
    for line in ("Add: CAP_NET_ADMIN", "net.core.somaxconn: 99", "nofile: 1:2", "Type: tmpfs", "Interval = 2s"):
        assert line in shown
    await docker("service update -d --mount-rm /x --host-rm db:10.0.0.1 --no-healthcheck web")
    (service,) = json.loads(await docker("service inspect web"))
    left = service["Spec"]["TaskTemplate"]["ContainerSpec"]
    assert ([mount["Target"] for mount in left["Mounts"]], left.get("Hosts")) == (["/t"], None)
    assert left["Healthcheck"] == {"Test": ["NONE"]}


async def services_of(store):
    """The stored services, once there are some."""
    while not (services := store.snapshot().services):
        await store.changed(store.snapshot().revision)
    return services


async def test_the_progress_display_of_a_global_service_ends(docker, add_task):
    async def run_them() -> None:
        identity = next(iter(await services_of(docker.api.membership.the_store)))
        await add_task(identity, 0, TaskState.RUNNING)
        await add_task(identity, 0, TaskState.RUNNING, node=MANAGER1)

    line = "service create --name agent --mode global --update-monitor 1ms nginx:alpine"
    text, _ = await asyncio.gather(docker(line), run_them())
    assert "overall progress: 2 out of 2 tasks" in text
    assert "converged" in text
    identity = next(iter(docker.api.membership.the_store.snapshot().services))
    assert columns(await docker("service ls"))[1] == [identity[:12], "agent", "global", "2/2", "nginx:alpine"]
    names = {line[1] for line in columns(await docker("service ps agent"))[1:]}
    assert names == {f"agent.{MANAGER1}", f"agent.{WORKER1}"}
    assert "Service Mode:\tGlobal" in await docker("service inspect --pretty agent")
    assert "scale can only be used with replicated" in await docker("service scale agent=2", fails=True)


async def test_the_progress_display_of_an_update_says_why_it_was_paused(docker, add_task):
    await docker("service create -d --name web nginx:1")
    store = docker.api.membership.the_store
    identity, first = next(iter(store.snapshot().services.items()))
    await add_task(identity, 1, TaskState.RUNNING)
    words = "update paused due to failure or early termination of task x"

    async def fail() -> None:
        while (entry := store.snapshot().services[identity]).version == first.version:
            await store.changed(store.snapshot().revision)
        update = ServiceUpdate(identity, entry.version, UpdateState.PAUSED, LONG_AGO, message=words)
        await store.commit([Put(Kind.UPDATE, identity, update)])

    text, _ = await asyncio.gather(docker("service update --image nginx:2 web", fails=True), fail())
    assert f"service update paused: {words}" in text
    text = await docker("service inspect --pretty web")
    assert " State:\t\tpaused\n" in text
    assert f" Message:\t{words}\n" in text


async def test_what_is_not_there_yet_is_said(docker):
    await docker("service create -d --name web nginx")
    for line, words in (
        ("service create -d --update-failure-action rollback nginx", "UpdateConfig.FailureAction rollback"),
        ("service create -d -p 80:80 nginx", "EndpointSpec.Ports.PublishMode ingress"),
        ("service rollback -d web", "docker service rollback"),
    ):
        sentence = (
            f"Error response from daemon: {words} is not implemented by swarmd yet; it comes with a later version\n"
        )
        assert (await docker(line, fails=True)).endswith(sentence)


async def test_without_a_quorum(docker):
    docker.api.membership.the_store.lost = True
    assert "The swarm does not have a leader." in await docker("node ls", fails=True)
    assert "The swarm does not have a leader." in await docker("info")


async def test_the_version_is_the_lower_one(docker):
    assert "API version:      1.45 (minimum version 1.24)" in await docker("version")
    docker.api.engine.api_version = "1.44"
    assert "1.44 (downgraded from" in await docker("version")


async def a_service_that_speaks(docker, add_task, *lines: tuple[int, bytes]) -> tuple[str, list[str]]:
    """Two tasks; who says each of the lines is told by its slot. Returns the ids of the service and its tasks."""
    service = (await docker("service create -d --name web --replicas 2 nginx")).split()[-1]
    tasks = [(await add_task(service, slot, TaskState.RUNNING)).id for slot in (1, 2)]
    moment = "2026-01-02T03:04:05.000000006Z"
    docker.api.membership.brought = [
        [LogPiece(service, tasks[slot - 1], WORKER1, LogStream.STDOUT, moment, text, {"env": "blue"})]
        for slot, text in lines
    ]
    return service, tasks


async def test_service_logs(docker, add_task):
    _, tasks = await a_service_that_speaks(docker, add_task, (1, b"one two\n"), (2, b"\n"), (1, b"last\n"))
    names = [f"web.{slot}.{task[:12]}@worker1    | " for slot, task in enumerate(tasks, 1)]
    assert await docker("service logs web") == f"{names[0]}one two\n{names[1]}\n{names[0]}last\n"
    assert await docker("service logs --raw web") == "one two\n\nlast\n"
    assert await docker("service logs --no-task-ids --tail 5 web") == (
        "web.1@worker1    | one two\nweb.2@worker1    | \nweb.1@worker1    | last\n"
    )
    text = await docker("service logs --no-trunc --timestamps --details web")
    assert text.startswith(f"2026-01-02T03:04:05.000000006Z web.1.{tasks[0]}@worker1    | env=blue one two\n")
    text = await docker("service logs --no-resolve --since 2026-01-01T00:00:00Z web")
    assert f".1.{tasks[0][:12]}@{WORKER1}    | one two\n" in text
    options = [call[1] for call in docker.api.membership.calls]
    assert [(one.tail, one.since, one.follow) for one in options] == [
        (-1, "", False),
        (-1, "", False),
        (5, "", False),
        (-1, "", False),
        (-1, "1767225600.000000000", False),
    ]


async def test_logs_of_one_task(docker, add_task):
    _, tasks = await a_service_that_speaks(docker, add_task, (2, b"one\n"))
    assert await docker(f"service logs --follow {tasks[1]}") == f"web.2.{tasks[1][:12]}@worker1    | one\n"
    assert docker.api.membership.calls == [(LogSelector(task_id=tasks[1]), LogOptions(follow=True))]
    assert await docker("service logs none", fails=True) == "no such task or service: none\n"


async def test_logs_that_could_not_be_had(docker, add_task):
    _, tasks = await a_service_that_speaks(docker, add_task, (1, b"one\n"))
    docker.api.membership.lacking = [f"node {MANAGER2} is not available"]
    assert await docker("service logs web", fails=True) == (
        f"web.1.{tasks[0][:12]}@worker1    | one\n"
        "error from daemon in stream: Error grabbing logs: rpc error: code = Unknown desc = warning: incomplete log "
        f"stream. some logs could not be retrieved for the following reasons: node {MANAGER2} is not available\n\n"
    )


async def test_logs_of_a_terminal_are_raw(docker, add_task):
    await docker("service create -d --name tty --tty nginx")
    docker.api.membership.brought = [[LogPiece("s", "t", WORKER1, LogStream.STDOUT, "", b"one\r\n")]]
    assert await docker("service logs tty", fails=True) == "tty service logs only supported with --raw\n"
    assert await docker("service logs --raw tty") == "one\r\n"


async def test_registry_credentials_are_sent_once_kept_and_never_shown(docker, tmp_path):
    def log_in(password: str) -> None:
        auth = base64.b64encode(f"user:{password}".encode()).decode()
        (tmp_path / ".docker").mkdir(exist_ok=True)
        (tmp_path / ".docker" / "config.json").write_text(
            json.dumps({"auths": {"registry.example.org": {"auth": auth}}})
        )

    def kept() -> str:
        (service,) = docker.api.membership.the_store.snapshot().services.values()
        header = docker.api.membership.vault.open(service.value.registry_auth)
        return json.loads(base64.urlsafe_b64decode(header))["password"]

    log_in("hunter2")
    await docker("service create -d --name web --with-registry-auth registry.example.org/app")
    assert kept() == "hunter2"
    log_in("correct-horse")
    await docker("service update -d --label-add a=b web")
    assert kept() == "hunter2"
    await docker("service update -d --with-registry-auth web")
    assert kept() == "correct-horse"
    shown = await docker("service inspect web")
    assert "PreviousSpec" in shown
    assert not [word for word in ("hunter2", "correct-horse", "RegistryAuth", "PullOptions") if word in shown]
