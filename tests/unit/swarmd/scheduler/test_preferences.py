"""Placement preferences: tasks are spread over the values of labels, first over those of the first one."""

from collections import Counter

import pytest
from msgspec.structs import replace
from simulation import Availability, Resources, Simulation, TaskState, service

from swarmd.model import (
    EngineDescription,
    Placement,
    PlacementPreference,
    ResourceObject,
    ResourceRequirements,
    SpreadOver,
)
from swarmd.store.contract import Kind

ZONE = "node.labels.zone"


def spread(*descriptors, **placement):
    return Placement(preferences=[PlacementPreference(SpreadOver(each)) for each in descriptors], **placement)


def cluster_of(nodes, **description):
    """Nodes by name, with their labels."""
    cluster = Simulation()
    for name, labels in nodes.items():
        cluster.add_node(name, **description)
        label(cluster, name, labels)
    return cluster


def label(cluster, name, labels):
    member = cluster.snapshot.nodes[name].value
    cluster.put(Kind.NODE, name, replace(member, spec=replace(member.spec, labels=labels)))


def zones(**nodes):
    """Nodes by the zone that they are in: ``zones(a="x", b="y")``."""
    return cluster_of({name: {"zone": zone} for name, zone in nodes.items()})


def add(cluster, name, replicas, placement, **task):
    cluster.add_service(service(name, replicas, placement=placement, **task))
    cluster.converge()


def where(cluster, name="web"):
    return Counter(task.node_id for task in cluster.tasks(name) if task.desired_state <= TaskState.RUNNING)


def test_each_zone_gets_as_many_however_many_nodes_it_has():
    cluster = zones(a="x", b="x", c="x", d="y")
    add(cluster, "web", 6, spread(ZONE))
    assert where(cluster) == Counter(a=1, b=1, c=1, d=3)


def test_without_a_preference_each_node_gets_as_many():
    cluster = zones(a="x", b="x", c="x", d="y")
    add(cluster, "web", 8, None)
    assert where(cluster) == Counter(a=2, b=2, c=2, d=2)


def test_nodes_without_the_label_are_a_zone_too():
    cluster = cluster_of({"a": {"zone": "x"}, "b": {"zone": "x"}, "c": {}, "d": {"rack": "1"}})
    add(cluster, "web", 4, spread(ZONE))
    assert where(cluster) == Counter(a=1, b=1, c=1, d=1)
    add(cluster, "db", 2, spread(ZONE))
    assert len(where(cluster, "db").keys() & {"a", "b"}) == 1


def test_a_second_preference_counts_within_the_branches_of_the_first():
    cluster = cluster_of(
        {
            "a": {"zone": "x", "rack": "1"},
            "b": {"zone": "x", "rack": "2"},
            "c": {"zone": "x", "rack": "2"},
            "d": {"zone": "y", "rack": "1"},
        }
    )
    add(cluster, "web", 8, spread(ZONE, "node.labels.rack"))
    assert where(cluster) == Counter(a=2, b=1, c=1, d=4)
    add(cluster, "db", 8, spread("node.labels.rack", ZONE))
    assert where(cluster, "db") == Counter(a=2, b=2, c=2, d=2)


def test_what_runs_already_counts():
    cluster = zones(a="x", b="y", c="y")
    cluster.set_availability("a", Availability.PAUSE)
    add(cluster, "web", 4, spread(ZONE))
    cluster.set_availability("a", Availability.ACTIVE)
    cluster.scale("web", 7)
    cluster.converge()
    assert where(cluster) == Counter(a=3, b=2, c=2)


def test_tasks_are_never_moved_for_a_preference():
    cluster = zones(a="x", b="x")
    add(cluster, "web", 4, spread(ZONE))
    cluster.add_node("c")
    label(cluster, "c", {"zone": "y"})
    cluster.converge()
    assert where(cluster) == Counter(a=2, b=2)


def test_a_branch_without_room_leaves_its_part_to_the_others():
    cluster = cluster_of({"a": {"zone": "x"}, "b": {"zone": "y"}, "c": {"zone": "z"}}, resources=Resources(4, 0))
    one = ResourceRequirements(reservations=ResourceObject(nano_cpus=1))
    add(cluster, "full", 3, Placement(constraints=["node.id==a"]), resources=one)
    add(cluster, "web", 7, spread(ZONE), resources=one)
    assert where(cluster) == Counter(a=1, b=3, c=3)
    add(cluster, "more", 4, spread(ZONE), resources=one)
    assert where(cluster, "more") == Counter({"b": 1, "c": 1, "": 2})
    assert cluster.current("more", 4).status.err == "no suitable node (insufficient resources on 3 nodes)"


def test_a_zone_whose_nodes_are_paused_gets_nothing():
    cluster = zones(a="x", b="y", c="z")
    cluster.set_availability("a", Availability.PAUSE)
    add(cluster, "web", 4, spread(ZONE))
    assert where(cluster) == Counter(b=2, c=2)


def test_what_a_zone_with_more_than_its_part_has_the_others_make_up_for_evenly():
    """swarmkit gives all ten to one of the two."""
    cluster = zones(a="x", b="y", c="z")
    add(cluster, "web", 20, Placement(constraints=["node.id==a"]))
    for number in range(21, 31):
        task = cluster.current("web", 1)
        pending = replace(task.status, state=TaskState.PENDING)
        new = replace(task, id=f"x{number}", slot=number, node_id="", status=pending)
        cluster.put(Kind.TASK, new.id, replace(new, spec=replace(new.spec, placement=spread(ZONE))))
    cluster.schedule()
    assert where(cluster) == Counter(a=20, b=5, c=5)


def test_engines_labels_count_as_well():
    cluster = Simulation()
    for name, disk in {"a": "ssd", "b": "ssd", "c": "hdd"}.items():
        cluster.add_node(name, engine=EngineDescription(labels={"disk": disk}))
    add(cluster, "web", 4, spread("engine.labels.disk"))
    assert where(cluster) == Counter(a=1, b=1, c=2)


def test_the_kind_of_label_is_read_without_case_its_name_with_it():
    cluster = zones(a="x", b="x", c="y")
    add(cluster, "web", 4, spread("Node.Labels.zone"))
    assert where(cluster) == Counter(a=1, b=1, c=2)
    add(cluster, "db", 3, spread("node.labels.Zone"))
    assert where(cluster, "db") == Counter(a=1, b=1, c=1)


@pytest.mark.parametrize("descriptor", ["node.hostname", "node.labels.", "zone", ""])
def test_what_is_no_label_is_passed_over(descriptor):
    cluster = zones(a="x", b="x", c="y")
    add(cluster, "web", 4, spread(descriptor, ZONE))
    assert where(cluster) == Counter(a=1, b=1, c=2)


def test_among_branches_with_as_many_the_one_with_the_better_node_is_taken():
    cluster = zones(a="x", b="y")
    add(cluster, "busy", 3, Placement(constraints=["node.id==a"]))
    add(cluster, "web", 1, spread(ZONE))
    assert where(cluster) == Counter(b=1)


def test_a_preference_without_a_spread_is_none():
    cluster = zones(a="x", b="x", c="y")
    add(cluster, "web", 3, Placement(preferences=[PlacementPreference()]))
    assert where(cluster) == Counter(a=1, b=1, c=1)
