"""What a task is to the engine."""

from __future__ import annotations

import pytest
from agent_tasks import NODE, a_task

from swarmd.engine.container import container_name, create_body, needs_node, stop_grace
from swarmd.engine.template import BadTemplate
from swarmd.model import ContainerSpec, NodeDescription, Platform, ResourceRequirements, TaskSpec
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
    assert not {"Entrypoint", "Cmd", "StopTimeout"} & set(body)
    assert not {"Init", "NanoCpus", "Memory", "PidsLimit"} & set(body["HostConfig"])


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
    ]


@pytest.mark.parametrize(
    "text", ["{{.Node.Nothing}}", "{{.Service.Labels.no}}", "{{", "{{}}", "{{exec 1}}", "{{.Node}}"]
)
def test_placeholders_that_mean_nothing_are_refused(text):
    with pytest.raises(BadTemplate, match="template: expansion: "):
        body_of(hostname=text)


def test_only_placeholders_need_the_nodes_description():
    assert needs_node(a_task(ContainerSpec(image="x", env=["A={{.Node.Hostname}}"])))
    assert not needs_node(a_task(ContainerSpec(image="x", env=["A=1"])))
