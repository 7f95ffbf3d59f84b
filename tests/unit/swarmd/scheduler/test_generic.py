"""Generic resources: what nodes have beside CPU and memory, and which task has what of it."""

import pytest
from simulation import EVERYWHERE, Resources, Simulation, TaskState, service

from swarmd.model import DiscreteGeneric, GenericResource, NamedGeneric, ResourceObject, ResourceRequirements

REFUSED = "no suitable node (insufficient resources on 1 node)"


def some(kind, value):
    return GenericResource(discrete_resource_spec=DiscreteGeneric(kind, value))


def gpu(name):
    return GenericResource(NamedGeneric("gpu", name))


def cluster_of(*resources):
    """One node that has these."""
    cluster = Simulation()
    cluster.add_node("a", resources=Resources(generic_resources=list(resources)))
    return cluster


def create(cluster, name, *asked, replicas=1, mode=None):
    reservations = ResourceRequirements(reservations=ResourceObject(generic_resources=list(asked)))
    cluster.add_service(service(name, replicas, mode=mode, resources=reservations))
    cluster.orchestrate()


def add(cluster, name, *asked, replicas=1):
    create(cluster, name, *asked, replicas=replicas)
    cluster.schedule()


def given(cluster, name, slot=1):
    return cluster.current(name, slot).assigned_generic_resources


def test_a_number_is_taken_from_the_nodes_number():
    cluster = cluster_of(some("ssd", 5))
    add(cluster, "web", some("ssd", 2), replicas=3)
    assert [given(cluster, "web", slot) for slot in (1, 2, 3)] == [[some("ssd", 2)], [some("ssd", 2)], []]
    assert cluster.current("web", 3).status.err == REFUSED


def test_named_ones_are_asked_for_by_number_and_given_by_name():
    cluster = cluster_of(gpu("u1"), gpu("u2"), gpu("u3"))
    add(cluster, "web", some("gpu", 2))
    add(cluster, "db", some("gpu", 1))
    assert (given(cluster, "web"), given(cluster, "db")) == ([gpu("u1"), gpu("u2")], [gpu("u3")])


def test_a_global_services_task_gets_its_own_nodes():
    cluster = cluster_of(gpu("u1"), gpu("u2"), gpu("u3"))
    create(cluster, "web", some("gpu", 1))
    create(cluster, "everywhere", some("gpu", 2), mode=EVERYWHERE)
    cluster.schedule()
    assert cluster.on("a", "everywhere").assigned_generic_resources == [gpu("u1"), gpu("u2")]
    assert given(cluster, "web") == [gpu("u3")]


def test_no_two_tasks_have_the_same_one_at_once_and_one_that_has_ended_has_none():
    cluster = cluster_of(gpu("u1"), gpu("u2"))
    add(cluster, "web", some("gpu", 1), replicas=3)
    assert cluster.current("web", 3).status.err == REFUSED
    cluster.report(cluster.current("web", 1), TaskState.FAILED)
    cluster.schedule()
    assert given(cluster, "web", 3) == [gpu("u1")]


def test_what_a_task_that_is_to_stop_has_is_its_own_until_it_has_stopped():
    cluster = cluster_of(gpu("u1"))
    add(cluster, "web", some("gpu", 1))
    cluster.remove_service("web")
    cluster.orchestrate()
    add(cluster, "db", some("gpu", 1))
    assert cluster.current("db").status.err == REFUSED


@pytest.mark.parametrize("asked", [some("fpga", 1), some("gpu", 3), some("ssd", 6), gpu("u1")])
def test_refused(asked):
    """None of that kind, too many, and one by its name, which nobody can ask for."""
    cluster = cluster_of(gpu("u1"), gpu("u2"), some("ssd", 5))
    add(cluster, "web", asked)
    assert cluster.current("web").status.err == REFUSED


def test_a_kind_that_is_asked_for_twice_is_added_up():
    cluster = cluster_of(gpu("u1"), gpu("u2"))
    add(cluster, "web", some("gpu", 1), some("gpu", 1))
    assert given(cluster, "web") == [gpu("u1"), gpu("u2")]
    cluster = cluster_of(gpu("u1"))
    add(cluster, "web", some("gpu", 1), some("gpu", 1))
    assert cluster.current("web").status.err == REFUSED


def test_fewer_than_none_are_none():
    cluster = cluster_of(gpu("u1"), some("ssd", 1))
    add(cluster, "web", some("gpu", -1), some("ssd", -1))
    assert given(cluster, "web") == []
    add(cluster, "db", some("ssd", 2))
    assert cluster.current("db").status.err == REFUSED


def test_all_kinds_that_are_asked_for_are_needed():
    cluster = cluster_of(gpu("u1"), some("ssd", 1))
    add(cluster, "web", some("gpu", 1), some("ssd", 2))
    assert cluster.current("web").status.err == REFUSED


@pytest.mark.parametrize(
    ("before", "after", "left"),
    [
        ([gpu("u1"), gpu("u2")], [gpu("u2"), gpu("u3")], [gpu("u2"), gpu("u3")]),
        ([gpu("u1"), gpu("u2")], [some("gpu", 3)], [some("gpu", 2)]),
        ([some("gpu", 3)], [gpu("u1"), gpu("u2"), gpu("u3")], [gpu("u1"), gpu("u2")]),
    ],
)
def test_a_node_may_be_given_others(before, after, left):
    """A task of before has one of before; how many another gets then, and which, before the orchestrator sees it, which
    evicts tasks that have what their node has not."""
    cluster = cluster_of(*before)
    add(cluster, "web", some("gpu", 1))
    create(cluster, "db", some("gpu", 3))
    create(cluster, "cache", some("gpu", 2))
    cluster.resize("a", generic_resources=after)
    cluster.schedule()
    assert cluster.current("db").status.err == REFUSED
    assert given(cluster, "cache") == left
