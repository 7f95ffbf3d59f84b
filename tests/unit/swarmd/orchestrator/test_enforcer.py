"""When a node changes so that it is not fit for its tasks any more."""

import pytest
from msgspec.structs import replace
from simulation import Availability, NodeState, Resources, Simulation, TaskState, service

from swarmd.model import (
    ContainerStatus,
    DiscreteGeneric,
    GenericResource,
    NamedGeneric,
    NodeLiveness,
    Placement,
    ResourceRequirements,
)
from swarmd.model.specs import ResourceObject
from swarmd.store.contract import Kind

CPU, GIB = 1_000_000_000, 1 << 30
EAST = Placement(constraints=["node.labels.zone==east"])


@pytest.fixture
def cluster():
    cluster = Simulation()
    cluster.add_node("a", resources=Resources(4 * CPU, 8 * GIB))
    cluster.label("a", zone="east")
    return cluster


def runs(cluster, name="web", replicas=1, **task):
    cluster.add_service(service(name, replicas, **task))
    cluster.converge()
    return cluster.tasks(name)


def reserve(cpus=0, memory=0):
    return ResourceRequirements(reservations=ResourceObject(nano_cpus=cpus, memory_bytes=memory))


def evicted(cluster):
    cluster.orchestrate()
    return [task.id for task in cluster.tasks() if task.status.state is TaskState.REJECTED]


def test_an_evicted_task_says_so_and_is_restarted_as_its_policy_says(cluster):
    (task,) = runs(cluster, placement=EAST)
    container = ContainerStatus("c" * 64, 42)
    status = replace(task.status, container=container)
    cluster.put(Kind.TASK, task.id, replace(task, status=status))
    cluster.label("a", zone="west")
    cluster.advance(1)
    cluster.orchestrate()
    seen = cluster.snapshot.tasks[task.id].value
    assert (seen.status.state, seen.desired_state) == (TaskState.REJECTED, TaskState.SHUTDOWN)
    assert seen.status.message == "task rejected by constraint enforcer"
    assert seen.status.err == "assigned node no longer meets constraints"
    assert (seen.status.timestamp, seen.status.container) == (cluster.now, container)
    new = cluster.current("web")
    assert (new.desired_state, new.node_id, new.waits_for) == (TaskState.READY, "", "")


def test_another_label_evicts_nobody(cluster):
    runs(cluster, placement=EAST)
    cluster.label("a", zone="east", disk="big")
    assert evicted(cluster) == []


@pytest.mark.parametrize("availability", [Availability.PAUSE, Availability.DRAIN])
def test_a_node_that_is_not_active_is_left_to_other_rules(cluster, availability):
    runs(cluster, placement=EAST)
    cluster.set_availability("a", availability)
    cluster.label("a", zone="west")
    assert evicted(cluster) == []


def test_of_a_node_that_is_down_nothing_is_evicted(cluster):
    runs(cluster, placement=EAST)
    cluster.set_state("a", NodeState.DOWN)
    cluster.label("a", zone="west")
    assert evicted(cluster) == []


def test_a_node_that_is_unknown_after_a_change_of_leader_keeps_what_fits(cluster):
    runs(cluster, placement=EAST, resources=reserve(memory=GIB))
    cluster.set_state("a", NodeState.UNKNOWN)
    assert evicted(cluster) == []


@pytest.mark.parametrize("seen", [None, NodeLiveness(NodeState.UNKNOWN)])
def test_a_node_of_which_nothing_is_known_keeps_its_reservations(cluster, seen):
    runs(cluster, resources=reserve(memory=GIB))
    if seen is None:
        cluster.forget_liveness("a")
    else:
        cluster.put(Kind.LIVENESS, "a", seen)
    assert evicted(cluster) == []


def test_of_what_does_not_fit_together_the_youngest_go(cluster):
    first, second, third = runs(cluster, replicas=3, resources=reserve(memory=2 * GIB))
    cluster.resize("a", memory_bytes=5 * GIB)
    assert evicted(cluster) == [third.id]
    cluster.resize("a", memory_bytes=2 * GIB)
    assert evicted(cluster) == [second.id, third.id]
    assert cluster.snapshot.tasks[first.id].value.desired_state is TaskState.RUNNING


def test_a_big_one_goes_for_itself(cluster):
    (big,) = runs(cluster, "big", resources=reserve(cpus=3 * CPU))
    runs(cluster, "small", resources=reserve(cpus=1 * CPU))
    cluster.resize("a", nano_cpus=2 * CPU)
    assert evicted(cluster) == [big.id]


def test_what_reserves_nothing_is_never_too_much(cluster):
    runs(cluster)
    cluster.resize("a", memory_bytes=1, nano_cpus=1)
    assert evicted(cluster) == []


def test_generic_resources_that_are_not_there_any_more(cluster):
    gpu = GenericResource(named_resource_spec=NamedGeneric("gpu", "g1"))
    other = GenericResource(named_resource_spec=NamedGeneric("gpu", "g2"))
    slots = GenericResource(discrete_resource_spec=DiscreteGeneric("fpga", 2))
    (one,) = runs(cluster, "one")
    (two,) = runs(cluster, "two")
    cluster.put(Kind.TASK, one.id, replace(one, assigned_generic_resources=[gpu]))
    cluster.put(Kind.TASK, two.id, replace(two, assigned_generic_resources=[slots]))
    cluster.resize("a", generic_resources=[gpu, other, slots])
    assert evicted(cluster) == []
    fewer = GenericResource(discrete_resource_spec=DiscreteGeneric("fpga", 1))
    cluster.resize("a", generic_resources=[other, fewer])
    assert evicted(cluster) == [one.id, two.id]


def test_constraints_that_the_service_has_no_more_evict_nobody(cluster):
    runs(cluster, placement=EAST)
    cluster.constrain("web")
    cluster.label("a", zone="west")
    assert evicted(cluster) == []


def test_other_constraints_are_the_updates_which_takes_one_at_a_time(cluster):
    runs(cluster, replicas=3, placement=EAST)
    cluster.silent.add("a")
    cluster.constrain("web", "node.labels.zone==west")
    assert evicted(cluster) == []
    wanted = [task.desired_state for task in cluster.tasks("web")[:3]]
    assert sorted(wanted) == [TaskState.RUNNING, TaskState.RUNNING, TaskState.SHUTDOWN]


def test_a_task_that_waits_for_its_update_is_held_to_what_it_was_made_with(cluster):
    old = runs(cluster, replicas=2, placement=EAST)
    cluster.silent.add("a")
    cluster.update("web", placement=Placement(constraints=["node.labels.zone==west"]))
    assert evicted(cluster) == []
    cluster.label("a", zone="north")
    (gone,) = evicted(cluster)
    assert gone in {task.id for task in old}
