"""Tasks that have a node already: confirmed there, or told why not."""

import pytest
from simulation import EVERYWHERE, Resources, Simulation, TaskState, service

from swarmd.model import Placement, ResourceRequirements
from swarmd.model.specs import ResourceObject
from swarmd.store.contract import Kind, Unchanged

GIB = 1 << 30


@pytest.fixture
def cluster():
    cluster = Simulation()
    for name in ("a", "b"):
        cluster.add_node(name, resources=Resources(0, 2 * GIB))
    return cluster


def create(cluster, name="web", memory=0, **given):
    reserved = ResourceRequirements(reservations=ResourceObject(memory_bytes=memory * GIB))
    cluster.add_service(service(name, resources=reserved, **given))
    cluster.orchestrate()


def test_a_confirmed_task_says_so(cluster):
    create(cluster, mode=EVERYWHERE)
    cluster.advance(1)
    planned = cluster.schedule()
    for task in cluster.tasks("web"):
        assert task.status.state is TaskState.ASSIGNED
        assert task.status.message == "scheduler confirmed task can run on preassigned node"
        assert task.status.timestamp == task.updated_at == cluster.now
    assert [decision.why for decision in planned.decisions] == ["web: confirmed"] * 2


def test_it_is_confirmed_only_while_its_node_is_as_it_was(cluster):
    create(cluster, mode=EVERYWHERE)
    task = cluster.on("a", "web")
    version = cluster.snapshot.tasks[task.id].version
    guards = {guard for decision in cluster.schedule().decisions for guard in decision.guards}
    assert Unchanged(Kind.TASK, task.id, version) in guards
    assert Unchanged(Kind.NODE, "a", cluster.snapshot.nodes["a"].version) in guards


def test_it_is_told_in_the_words_for_one_node_and_stays_pending(cluster):
    create(cluster, memory=3, mode=EVERYWHERE)
    cluster.schedule()
    for task in cluster.tasks("web"):
        assert (task.status.state, task.status.err) == (TaskState.PENDING, "insufficient resources on 1 node")
    assert cluster.schedule().decisions == []


def test_max_replicas_counts_what_the_node_has(cluster):
    create(cluster, mode=EVERYWHERE, placement=Placement(max_replicas=1))
    cluster.schedule()
    assert all(task.status.state is TaskState.ASSIGNED for task in cluster.tasks("web"))


def test_it_comes_before_those_that_could_go_elsewhere(cluster):
    create(cluster, "other", memory=2, replicas=2)
    create(cluster, memory=1, mode=EVERYWHERE)
    cluster.schedule()
    assert {task.status.state for task in cluster.tasks("web")} == {TaskState.ASSIGNED}
    assert {task.status.state for task in cluster.tasks("other")} == {TaskState.PENDING}


def test_what_is_not_confirmed_yet_takes_no_room(cluster):
    create(cluster, memory=3, mode=EVERYWHERE)
    create(cluster, "other", memory=2, replicas=2)
    cluster.schedule()
    assert {task.status.state for task in cluster.tasks("other")} == {TaskState.ASSIGNED}


def test_confirmed_ones_add_up(cluster):
    create(cluster, "one", memory=1, mode=EVERYWHERE)
    create(cluster, "two", memory=1, mode=EVERYWHERE)
    create(cluster, "three", memory=1, mode=EVERYWHERE)
    cluster.schedule()
    assert [task.service_id for task in cluster.tasks() if task.status.state is TaskState.PENDING] == ["three"] * 2


def test_one_on_a_node_that_is_gone_is_the_orchestrators(cluster):
    create(cluster, mode=EVERYWHERE)
    cluster.remove_node("a")
    assert [decision.why for decision in cluster.schedule().decisions] == ["web: confirmed"]
