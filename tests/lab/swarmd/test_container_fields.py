"""Each field of a container, read back from the kernel inside it, or from the engine where the kernel has none."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
from agent_host import Host, a_task, emptied, give, one_host, run_on, so, state, working

from swarmd.agent.worker import Worker
from swarmd.engine.container import container_name
from swarmd.model import (
    BindOptions,
    DiscreteGeneric,
    DNSConfig,
    Driver,
    EndpointSpec,
    GenericResource,
    HealthConfig,
    Mount,
    MountPropagation,
    MountType,
    NamedGeneric,
    PortConfig,
    PortConfigPublishMode,
    Task,
    TaskState,
    TmpfsOptions,
    Ulimit,
    VolumeDriver,
    VolumeOptions,
)
from swarmd.wire import Assignments

SLEEP = "sleep 600"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with one_host() as made:
        yield made


@pytest.fixture
async def worker(host: Host, tmp_path: Path) -> AsyncIterator[Worker]:
    async with emptied(tmp_path, host) as started:
        yield started


def inside(host: Host, task: Task, command: str) -> str:
    return host.docker("exec", container_name(task), "sh", "-c", command)


def mounted(host: Host, task: Task, target: str) -> list[str]:
    """The mount's line in /proc/self/mountinfo, as words."""
    return inside(host, task, f"awk '$5 == \"{target}\"' /proc/self/mountinfo").split()


def with_driver(task: Task, driver: Driver) -> Task:
    return msgspec.structs.replace(task, spec=msgspec.structs.replace(task.spec, log_driver=driver))


async def give_up(worker: Worker, host: Host, task: Task) -> None:
    await worker.assign(Assignments(complete=False, tasks=[], removed=[task.id]))
    await so(lambda: not host.exists(task))


async def test_a_bind_mount_is_there_and_read_only(host, worker):
    # The engine refuses a slave of what is not shared.
    host.run("mkdir -p /srv/bound && mount --bind /srv/bound /srv/bound && mount --make-shared /srv/bound")
    host.run("echo hello > /srv/bound/file")
    options = BindOptions(MountPropagation.RSLAVE)
    task = a_task(SLEEP, mounts=[Mount(source="/srv/bound", target="/in", read_only=True, bind_options=options)])
    try:
        await run_on(worker, task)
        assert inside(host, task, "cat /in/file") == "hello"
        line = mounted(host, task, "/in")
        assert "ro" in line[5].split(",")
        assert any(word.startswith("master:") for word in line)
    finally:
        await give_up(worker, host, task)
        host.run("umount /srv/bound")


async def test_a_volume_is_made_with_its_labels_and_options_and_outlives_its_task(host, worker):
    driver = VolumeDriver("local", {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"})
    options = VolumeOptions(labels={"of": "{{.Service.Name}}"}, driver_config=driver)
    mount = Mount(MountType.VOLUME, "data-{{.Task.Slot}}", "/in", volume_options=options)
    task = a_task(SLEEP, mounts=[mount])
    try:
        await run_on(worker, task)
        (volume,) = json.loads(host.docker("volume", "inspect", "data-1"))
        assert (volume["Driver"], volume["Labels"]["of"]) == ("local", "web")
        assert volume["Options"] == driver.options
        assert "size=1024k" in mounted(host, task, "/in")[-1]
        await give_up(worker, host, task)
        assert json.loads(host.docker("volume", "inspect", "data-1"))
    finally:
        await give_up(worker, host, task)
        host.docker("volume", "rm", "-f", "data-1")


async def test_an_anonymous_volume_goes_with_its_task(host, worker):
    task = a_task(SLEEP, mounts=[Mount(MountType.VOLUME, target="/in")])
    await run_on(worker, task)
    (mount,) = host.inspect(task)["Mounts"]
    assert mount["Name"] in host.docker("volume", "ls", "-q").split()
    await give_up(worker, host, task)
    assert mount["Name"] not in host.docker("volume", "ls", "-q").split()


async def test_a_tmpfs_has_its_size_and_mode(host, worker):
    tmpfs = TmpfsOptions(size_bytes=1 << 20, mode=0o700)
    task = a_task(SLEEP, mounts=[Mount(MountType.TMPFS, target="/in", tmpfs_options=tmpfs)])
    await run_on(worker, task)
    line = mounted(host, task, "/in")
    assert "size=1024k" in line[-1]
    assert inside(host, task, "stat -c %a /in") == "700"


async def test_a_bind_mounts_missing_source_rejects_the_task_and_is_not_made(host, worker):
    task = a_task(SLEEP, mounts=[Mount(source="/srv/absent", target="/in")])
    await give(worker, task)
    status = await state(worker, task, TaskState.REJECTED)
    assert status.err == 'invalid mount config for type "bind": bind source path does not exist: /srv/absent'
    assert host.run("test -e /srv/absent || echo absent") == "absent"


async def test_a_missing_source_is_made_where_the_user_says_so(host, worker):
    mount = Mount(source="/srv/made", target="/in", bind_options=BindOptions(create_mountpoint=True))
    task = a_task(SLEEP, mounts=[mount])
    await run_on(worker, task)
    assert host.run("test -d /srv/made && echo there") == "there"


async def test_the_services_own_health_check_decides_when_a_task_runs(host, worker):
    check = HealthConfig(["CMD-SHELL", "test -f /ok"], interval=500_000_000, start_period=60_000_000_000, retries=1)
    task = a_task(SLEEP, healthcheck=check)
    await give(worker, task)
    await so(lambda: host.exists(task) and host.inspect(task)["State"]["Status"] == "running")
    assert worker.tasks[task.id].status.state == TaskState.STARTING
    inside(host, task, "touch /ok")
    await state(worker, task, TaskState.RUNNING)
    inside(host, task, "rm /ok")
    assert (await state(worker, task, TaskState.FAILED)).err.endswith("dockerexec: unhealthy container")


async def test_a_start_interval_that_is_too_short_is_refused_by_the_engine(worker):
    task = a_task(SLEEP, healthcheck=HealthConfig(["CMD", "true"], start_interval=1))
    await give(worker, task)
    err = (await state(worker, task, TaskState.REJECTED)).err
    assert err == "StartInterval in Healthcheck cannot be less than 1ms"


async def test_hosts_and_resolvers_are_in_the_containers_files(host, worker):
    dns = DNSConfig(["10.0.0.53"], ["example.org"], ["ndots:2"])
    task = a_task(SLEEP, hosts=["10.0.0.7 db alias", "fd00::7 six"], dns_config=dns)
    await run_on(worker, task)
    lines = [line.split() for line in inside(host, task, "cat /etc/hosts").splitlines()]
    assert ["10.0.0.7", "db"] in lines
    assert ["fd00::7", "six"] in lines
    resolv = inside(host, task, "cat /etc/resolv.conf")
    for line in ("nameserver 10.0.0.53", "search example.org", "options ndots:2"):
        assert line in resolv.splitlines()


async def test_sysctls_capabilities_and_ulimits_reach_the_kernel(host, worker):
    task = a_task(
        SLEEP,
        sysctls={"net.ipv4.ip_unprivileged_port_start": "99"},
        capability_add=["CAP_NET_ADMIN"],
        capability_drop=["ALL"],
        ulimits=[Ulimit("nofile", hard=2048, soft=1024)],
    )
    await run_on(worker, task)
    assert inside(host, task, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start") == "99"
    only_net_admin = f"{1 << 12:016x}"
    assert inside(host, task, "awk '/^CapBnd/ {print $2}' /proc/1/status") == only_net_admin
    assert inside(host, task, "awk '/^Max open files/ {print $4, $5}' /proc/1/limits") == "1024 2048"


async def test_the_log_driver_is_the_services(host, worker):
    task = with_driver(a_task("echo hello; sleep 600"), Driver("local", {"max-size": "1m"}))
    await run_on(worker, task)
    assert host.inspect(task)["HostConfig"]["LogConfig"] == {"Type": "local", "Config": {"max-size": "1m"}}
    await so(lambda: host.docker("logs", container_name(task)) == "hello")


async def test_an_unknown_log_driver_rejects_the_task_in_the_engines_words(worker):
    task = with_driver(a_task(SLEEP), Driver("nothing"))
    await give(worker, task)
    err = (await state(worker, task, TaskState.REJECTED)).err
    assert err == 'error looking up logging plugin nothing: plugin "nothing" not found'


async def test_host_ports_are_bound_and_told(host, worker):
    ports = [
        PortConfig(target_port=80, published_port=18080, publish_mode=PortConfigPublishMode.HOST),
        PortConfig(target_port=81, publish_mode=PortConfigPublishMode.HOST),
    ]
    task = a_task("echo from the task > /tmp/f; while :; do nc -l -p 80 < /tmp/f; done")
    task = msgspec.structs.replace(task, endpoint=EndpointSpec(ports=ports))
    status = await run_on(worker, task)
    read = "timeout 2 bash -c 'cat < /dev/tcp/127.0.0.1/18080' || true"
    first, second = status.ports
    assert first == ports[0]
    assert (second.target_port, second.published_port > 0) == (81, True)
    await so(lambda: host.run(read) == "from the task")
    taken = msgspec.structs.replace(a_task(SLEEP), endpoint=EndpointSpec(ports=ports[:1]))
    await give(worker, taken)
    failed = await state(worker, taken, TaskState.FAILED)
    assert "port is already allocated" in failed.err
    assert failed.err.startswith("starting container failed: ")


async def test_what_a_task_has_of_the_nodes_things_is_in_its_environment(host, worker):
    assigned = [
        GenericResource(named_resource_spec=NamedGeneric("gpu", "uuid1")),
        GenericResource(discrete_resource_spec=DiscreteGeneric("ssd", 3)),
    ]
    task = msgspec.structs.replace(a_task(SLEEP), assigned_generic_resources=assigned)
    await run_on(worker, task)
    variables = inside(host, task, "env").splitlines()
    assert "DOCKER_RESOURCE_GPU=uuid1" in variables
    assert "DOCKER_RESOURCE_SSD=3" in variables


async def test_with_what_is_there_a_task_runs_without_asking_any_registry(host, tmp_path, caplog):
    """The lab has none: to ask is to fail, and that is logged."""
    async with working(tmp_path, host, prefer_offline_image=True) as worker:
        task = a_task(SLEEP)
        await run_on(worker, task)
        await give_up(worker, host, task)
    assert not [words for words in caplog.messages if words.startswith("pulling ")]
