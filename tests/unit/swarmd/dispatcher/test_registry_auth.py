"""Which credentials of a registry a node is given with its tasks."""

from __future__ import annotations

import msgspec
import pytest
from leader_and_agents import NOW, Leader, a_cluster, a_node, a_task
from structlog.testing import capture_logs

from swarmd import wire
from swarmd.api.reading import LONGEST_FIELD
from swarmd.api.validation import LARGEST_SPEC
from swarmd.dispatcher.assignments import Difference
from swarmd.dispatcher.registry_auth import RegistryAuth
from swarmd.dispatcher.session import complete, messages
from swarmd.identity import CannotOpen
from swarmd.model import ContainerSpec, Service, ServiceSpec, TaskSpec, TaskState
from swarmd.store import Entry, Kind, Put, Snapshot


def runs(image: str) -> TaskSpec:
    return TaskSpec(container_spec=ContainerSpec(image=image))


def a_service(image="here/app", auth="sealed:new", before="there/app", auth_before="sealed:old") -> Service:
    spec, previous = (ServiceSpec(name="web", task_template=runs(each)) for each in (image, before))
    service = Service("s1", spec, 2, NOW, NOW, previous_spec=previous, registry_auth=auth)
    return msgspec.structs.replace(service, previous_registry_auth=auth_before)


def task_of(image="here/app", **fields):
    return msgspec.structs.replace(a_task(**fields), spec=runs(image))


def unseal(sealed: str) -> bytes:
    kind, _, secret = sealed.partition(":")
    if kind != "sealed":
        raise CannotOpen("it is damaged")
    return secret.encode()


def given(task, service: Service | None) -> str:
    services = {} if service is None else {"s1": Entry(service, 1, 1)}
    return RegistryAuth(unseal, lambda: Snapshot(services=services)).of(task)


def test_a_task_gets_those_that_came_with_its_image():
    assert given(task_of("here/app"), a_service()) == "new"
    assert given(task_of("there/app"), a_service()) == "old"


def test_those_of_one_registry_go_to_no_other():
    assert given(task_of("elsewhere/app"), a_service()) == ""


def test_where_they_alone_were_replaced_the_new_ones_count():
    assert given(task_of("here/app"), a_service(before="here/app")) == "new"


@pytest.mark.parametrize("state", [TaskState.ASSIGNED, TaskState.ACCEPTED, TaskState.PREPARING])
def test_a_task_gets_them_until_its_image_is_pulled(state):
    assert given(task_of(state=state), a_service()) == "new"


@pytest.mark.parametrize("state", [TaskState.READY, TaskState.RUNNING, TaskState.REJECTED, TaskState.SHUTDOWN])
def test_a_task_that_pulls_no_more_gets_none(state):
    assert given(task_of(state=state), a_service()) == ""


def test_a_task_that_is_to_end_gets_none():
    assert given(task_of(desired=TaskState.SHUTDOWN), a_service()) == ""
    assert given(task_of(desired=TaskState.READY), a_service()) == "new"


def test_without_a_service_or_credentials_there_are_none():
    assert given(task_of(), None) == ""
    assert given(task_of(), a_service(auth="")) == ""


def test_what_cannot_be_opened_is_told_once_and_without_the_text():
    service = a_service(auth="damaged:secret")
    auth = RegistryAuth(unseal, lambda: Snapshot(services={"s1": Entry(service, 1, 1)}))
    with capture_logs() as told:
        assert [auth.of(task_of()), auth.of(task_of(task_id="t2"))] == ["", ""]
    assert [(line["service"], line["why"]) for line in told] == [("web", "it is damaged")]
    assert "secret" not in str(told)


def test_messages_hold_those_of_their_own_tasks():
    tasks = {f"t{n}": a_task(f"t{n}") for n in range(250)}
    for parts in (
        messages(Difference(tasks), lambda task: f"of {task.id}"),
        complete([*tasks.values()], lambda _: "x"),
    ):
        for part in parts:
            assert part.credentials.keys() == {task.id for task in part.tasks}


def test_a_message_has_no_empty_ones():
    (message,) = messages(Difference({"t1": a_task("t1"), "t2": a_task("t2")}), lambda task: task.id.strip("t1"))
    assert message.credentials == {"t2": "2"}


def test_the_largest_of_all_tasks_with_the_largest_credentials_fit_into_messages():
    largest = TaskSpec(container_spec=ContainerSpec(env=["x" * LARGEST_SPEC]))
    tasks = {
        f"t{n}": msgspec.structs.replace(a_task(f"t{n}"), spec=largest if n % 50 == 0 else TaskSpec())
        for n in range(200)
    }
    credentials = "c" * LONGEST_FIELD
    for parts in (
        messages(Difference(tasks), lambda _: credentials),
        complete([*tasks.values()], lambda _: credentials),
    ):
        sent = list(parts)
        assert max(len(wire.encode(part)) for part in sent) < wire.LARGEST_MESSAGE / 1.5
        assert [task.id for part in sent for task in part.tasks] == list(tasks)
        assert {key for part in sent for key in part.credentials} == tasks.keys()


async def test_a_session_brings_them_with_its_tasks_and_with_later_ones():
    leader = Leader()
    leader.unseal = unseal
    await leader.put(a_cluster(), a_node(), a_node("n2"))
    await leader.store.commit([Put(Kind.SERVICE, "s1", a_service())])
    await leader.put(task_of())
    async with leader.leads():
        agent, other = await leader.agent("n1"), await leader.agent("n2")
        assert (await agent.registers())[1].credentials == {"t1": "new"}
        assert (await other.registers())[1].credentials == {}
        await leader.put(task_of("there/app", task_id="t2"), task_of("here/app", task_id="t3", node_id="n2"))
        assert (await agent.hears(wire.Assignments)).credentials == {"t2": "old"}
        assert (await other.hears(wire.Assignments)).credentials == {"t3": "new"}
