"""What a task is to the engine."""

from __future__ import annotations

import pytest
from agent_tasks import NODE, a_task

from swarmd.engine.container import container_name, create_body, needs_node, stop_grace
from swarmd.engine.template import BadTemplate
from swarmd.model import (
    ContainerSpec,
    DiscreteGeneric,
    DNSConfig,
    Driver,
    EndpointSpec,
    GenericResource,
    HealthConfig,
    Mount,
    MountType,
    NamedGeneric,
    NodeDescription,
    Platform,
    PortConfig,
    PortConfigProtocol,
    PortConfigPublishMode,
    ResourceRequirements,
    TaskSpec,
    Ulimit,
    VolumeDriver,
    VolumeOptions,
)
from swarmd.model.specs import ResourceObject

HOST = NodeDescription(hostname="worker1", platform=Platform(architecture="x86_64", os="linux"))


def body_of(**spec):
    return create_body(a_task(ContainerSpec(image="busybox", **spec)), HOST)


def test_is_named_by_service_slot_and_task():
    task = a_task()
    assert container_name(task) == f"web.1.{task.id}"


def test_a_task_without_a_slot_is_named_by_its_node():
    task = a_task(slot=0)
    assert container_name(task) == f"web.{NODE}.{task.id}"


def test_the_users_labels_stand_below_swarms_own():
    task = a_task(ContainerSpec(image="x", labels={"mine": "1", "com.docker.swarm.task.id": "forged"}))
    assert create_body(task, HOST)["Labels"] == {
        "mine": "1",
        "com.docker.swarm.task": "",
        "com.docker.swarm.task.id": task.id,
        "com.docker.swarm.task.name": container_name(task),
        "com.docker.swarm.node.id": NODE,
        "com.docker.swarm.service.id": task.service_id,
        "com.docker.swarm.service.name": "web",
    }


def test_the_services_command_is_the_containers_entrypoint_and_args_its_command():
    body = body_of(command=["/bin/sh", "-c"], args=["sleep 5"])
    assert (body["Entrypoint"], body["Cmd"]) == (["/bin/sh", "-c"], ["sleep 5"])


def test_args_alone_leave_the_images_entrypoint():
    body = body_of(args=["sleep", "5"])
    assert "Entrypoint" not in body
    assert body["Cmd"] == ["sleep", "5"]


def test_what_the_user_gave_arrives():
    body = body_of(
        env=["A=1"], dir="/srv", user="1:2", groups=["video"], tty=True, open_stdin=True, read_only=True, init=False,
        stop_signal="SIGUSR1", stop_grace_period=2_900_000_000, hostname="fixed",
    )  # fmt: skip
    host = body["HostConfig"]
    assert (body["Env"], body["WorkingDir"], body["User"], body["Hostname"]) == (["A=1"], "/srv", "1:2", "fixed")
    assert (body["Tty"], body["OpenStdin"], body["StopSignal"], body["StopTimeout"]) == (True, True, "SIGUSR1", 2)
    assert (host["GroupAdd"], host["ReadonlyRootfs"], host["Init"]) == (["video"], True, False)


def test_what_the_user_did_not_give_is_left_to_the_engine():
    body = body_of()
    assert not {"Entrypoint", "Cmd", "StopTimeout", "Healthcheck"} & set(body)
    assert not {"Init", "NanoCpus", "Memory", "PidsLimit", "LogConfig", "Dns"} & set(body["HostConfig"])
    asked = ("Mounts", "Sysctls", "CapAdd", "CapDrop", "ExtraHosts", "PortBindings", "Ulimits")
    assert not any(body["HostConfig"][name] for name in asked)
    assert body["ExposedPorts"] == {}


def test_the_engine_never_restarts_a_task():
    assert body_of()["HostConfig"]["RestartPolicy"] == {"Name": "no"}


def test_limits_bind_the_container_and_reservations_do_not():
    resources = ResourceRequirements(
        limits=ResourceObject(nano_cpus=500_000_000, memory_bytes=64 << 20, pids=100),
        reservations=ResourceObject(nano_cpus=1, memory_bytes=5 << 20),
    )
    task = a_task(spec=TaskSpec(container_spec=ContainerSpec(image="x"), resources=resources))
    host = create_body(task, HOST)["HostConfig"]
    assert (host["NanoCpus"], host["Memory"], host["PidsLimit"]) == (500_000_000, 64 << 20, 100)
    assert "MemoryReservation" not in host


def test_a_health_check_says_only_what_is_not_the_images():
    check = HealthConfig(["CMD", "true"], interval=1, timeout=2, start_period=3, start_interval=4, retries=5)
    assert body_of(healthcheck=check)["Healthcheck"] == {
        "Test": ["CMD", "true"], "Interval": 1, "Timeout": 2, "StartPeriod": 3, "StartInterval": 4, "Retries": 5,
    }  # fmt: skip
    assert body_of(healthcheck=HealthConfig(interval=9))["Healthcheck"] == {"Interval": 9}
    assert body_of(healthcheck=HealthConfig(["NONE"]))["Healthcheck"] == {"Test": ["NONE"]}


def test_hosts_are_turned_round_and_have_one_name_each():
    hosts = ["10.0.0.1 db", "  fe80::1\tcache alias ", "10.0.0.2", ""]
    assert body_of(hosts=hosts)["HostConfig"]["ExtraHosts"] == ["db:10.0.0.1", "cache:fe80::1"]


def test_resolvers_capabilities_sysctls_and_ulimits_arrive():
    host = body_of(
        dns_config=DNSConfig(["10.0.0.53"], ["example.org"], ["ndots:2"]),
        capability_add=["CAP_NET_ADMIN"],
        capability_drop=["ALL"],
        sysctls={"net.core.somaxconn": "99"},
        ulimits=[Ulimit("nofile", hard=2, soft=1), Ulimit("core")],
    )["HostConfig"]
    assert (host["Dns"], host["DnsSearch"], host["DnsOptions"]) == (["10.0.0.53"], ["example.org"], ["ndots:2"])
    assert (host["CapAdd"], host["CapDrop"]) == (["CAP_NET_ADMIN"], ["ALL"])
    assert host["Sysctls"] == {"net.core.somaxconn": "99"}
    assert host["Ulimits"] == [{"Name": "nofile", "Hard": 2, "Soft": 1}, {"Name": "core", "Hard": 0, "Soft": 0}]


def test_a_log_driver_arrives_with_its_options():
    spec = TaskSpec(container_spec=ContainerSpec(image="x"), log_driver=Driver("local", {"max-size": "1m"}))
    host = create_body(a_task(spec=spec), HOST)["HostConfig"]
    assert host["LogConfig"] == {"Type": "local", "Config": {"max-size": "1m"}}


def test_ports_in_host_mode_are_bound_and_exposed_and_those_in_ingress_mode_are_not():
    host_mode = {"publish_mode": PortConfigPublishMode.HOST}
    ports = [
        PortConfig(target_port=80, published_port=8080, **host_mode),
        PortConfig(target_port=80, published_port=8081, **host_mode),
        PortConfig(target_port=53, protocol=PortConfigProtocol.UDP, **host_mode),
        PortConfig(target_port=443, published_port=443),
    ]
    body = create_body(a_task(endpoint=EndpointSpec(ports=ports)), HOST)
    assert body["HostConfig"]["PortBindings"] == {
        "80/tcp": [{"HostPort": "8080"}, {"HostPort": "8081"}],
        "53/udp": [{}],
    }
    assert body["ExposedPorts"] == {"80/tcp": {}, "53/udp": {}}


def test_the_generic_resources_that_a_task_has_are_in_its_environment():
    assigned = [
        GenericResource(named_resource_spec=NamedGeneric("gpu", "uuid2")),
        GenericResource(discrete_resource_spec=DiscreteGeneric("SSD", 3)),
        GenericResource(named_resource_spec=NamedGeneric("gpu", "uuid1")),
    ]
    body = create_body(a_task(ContainerSpec(image="x", env=["A=1"]), assigned_generic_resources=assigned), HOST)
    assert body["Env"] == ["A=1", "DOCKER_RESOURCE_SSD=3", "DOCKER_RESOURCE_GPU=uuid2,uuid1"]


def test_the_grace_is_ten_seconds_unless_the_user_says_otherwise():
    assert stop_grace(a_task()) == 10
    assert stop_grace(a_task(ContainerSpec(image="x", stop_grace_period=0))) == 0


def test_placeholders_in_hostname_and_environment_are_filled_in():
    task = a_task(
        ContainerSpec(
            image="x",
            hostname="{{.Service.Name}}-{{.Task.Slot}}-{{ .Node.Hostname }}",
            env=[
                "TASK={{.Task.Name}}/{{.Task.ID}}",
                "ON={{.Node.ID}}/{{.Node.Platform.OS}}/{{.Node.Platform.Architecture}}",
                'LABEL={{.Service.Labels.tier}}{{index .Service.Labels "no.such"}}{{index .Service.Labels "a.b"}}',
                'JOINED={{join "+" .Service.Name "x"}}',
                "PLAIN={ {x} }",
                "{{.Task.ID}}=the name is no template",
            ],
        ),
        service_labels={"tier": "front", "a.b": "c"},
    )
    body = create_body(task, HOST)
    assert body["Hostname"] == "web-1-worker1"
    assert body["Env"] == [
        f"TASK=web.1.{task.id}/{task.id}",
        f"ON={NODE}/linux/x86_64",
        "LABEL=frontc",
        "JOINED=web+x",
        "PLAIN={ {x} }",
        "{{.Task.ID}}=the name is no template",
    ]


def test_placeholders_in_mounts_are_filled_in():
    options = VolumeOptions(
        labels={"{{.Task.Slot}}": "{{.Task.Slot}}"},
        driver_config=VolumeDriver("local", {"device": "/srv/{{.Node.Hostname}}"}),
    )
    mount = Mount(MountType.VOLUME, "{{.Service.Name}}-{{.Task.Slot}}", "/{{.Node.Hostname}}", volume_options=options)
    (told,) = body_of(mounts=[mount])["HostConfig"]["Mounts"]
    assert told == {
        "Type": "volume",
        "Source": "web-1",
        "Target": "/worker1",
        "VolumeOptions": {
            "Labels": {"{{.Task.Slot}}": "1"},
            "DriverConfig": {"Name": "local", "Options": {"device": "/srv/worker1"}},
        },
    }


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"env": ['A="{{.No}}"']}, r'expanding env failed: expanding env "A=\"{{.No}}\"": '),
        ({"hostname": "{{.No}}"}, "expanding hostname failed: "),
        ({"mounts": [Mount(source="{{.No}}")]}, 'expanding mounts failed: expanding mount source "{{.No}}": '),
        ({"mounts": [Mount(target="{{.No}}")]}, 'expanding mounts failed: expanding mount target "{{.No}}": '),
        (
            {"mounts": [Mount(volume_options=VolumeOptions(labels={"a": "{{.No}}"}))]},
            'expanding mounts failed: expanding volume labels: expanding map entry "a"="{{.No}}": ',
        ),
        (
            {"mounts": [Mount(volume_options=VolumeOptions(driver_config=VolumeDriver("d", {"a": "{{.No}}"})))]},
            'expanding mounts failed: expanding volume driver config: expanding map entry "a"="{{.No}}": ',
        ),
    ],
)
def test_what_could_not_be_filled_in_is_named_in_dockers_words(spec, words):
    with pytest.raises(BadTemplate) as refused:
        body_of(**spec)
    assert str(refused.value) == f"{words}template: expansion: there is no .No"


@pytest.mark.parametrize(
    "text", ["{{.Node.Nothing}}", "{{.Service.Labels.no}}", "{{", "{{}}", "{{exec 1}}", "{{.Node}}"]
)
def test_placeholders_that_mean_nothing_are_refused(text):
    with pytest.raises(BadTemplate, match=r"^expanding hostname failed: template: expansion: "):
        body_of(hostname=text)


def test_only_placeholders_need_the_nodes_description():
    assert needs_node(a_task(ContainerSpec(image="x", env=["A={{.Node.Hostname}}"])))
    assert not needs_node(a_task(ContainerSpec(image="x", env=["A=1"], mounts=[Mount(target="/x")])))
    in_label = VolumeOptions(labels={"a": "{{.Node.ID}}"})
    in_option = VolumeOptions(driver_config=VolumeDriver("d", {"a": "{{.Node.ID}}"}))
    for mount in (
        Mount(source="{{.Node.ID}}"),
        Mount(target="{{.Node.ID}}"),
        Mount(volume_options=in_label),
        Mount(volume_options=in_option),
    ):
        assert needs_node(a_task(ContainerSpec(image="x", mounts=[mount])))
