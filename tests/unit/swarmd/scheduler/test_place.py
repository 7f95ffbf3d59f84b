"""Which node a task gets, and what it is told while it has none."""

from collections import Counter

import pytest
from msgspec.structs import replace
from simulation import (
    Availability,
    NodeState,
    Platform,
    Resources,
    RestartPolicy,
    Simulation,
    TaskState,
    service,
)

from swarmd.model import Placement, ResourceRequirements
from swarmd.model.specs import ResourceObject
from swarmd.scheduler import place
from swarmd.scheduler.memory import Memory
from swarmd.store.contract import Kind, Put, Unchanged

CPU, GIB = 1_000_000_000, 1 << 30


@pytest.fixture
def cluster():
    cluster = Simulation()
    for name in ("a", "b", "c"):
        cluster.add_node(name, resources=Resources(4 * CPU, 8 * GIB), platform=Platform("x86_64", "linux"))
    return cluster


def where(cluster, service_id="web"):
    return Counter(task.node_id for task in cluster.tasks(service_id) if task.desired_state <= TaskState.RUNNING)


def reserve(cpus=0, memory=0):
    return ResourceRequirements(reservations=ResourceObject(nano_cpus=cpus, memory_bytes=memory))


def told(cluster, **task):
    """What a task of such a spec is told."""
    cluster.add_service(service("new", **task))
    cluster.converge()
    return cluster.current("new").status.err


def test_an_assigned_task_says_so(cluster):
    cluster.add_service(service("web"))
    cluster.orchestrate()
    cluster.advance(1)
    cluster.schedule()
    task = cluster.current("web")
    assert (task.status.state, task.status.message) == (TaskState.ASSIGNED, "scheduler assigned task to node")
    assert task.status.timestamp == task.updated_at == cluster.now


def test_tasks_made_together_are_spread(cluster):
    cluster.add_service(service("web", 7))
    cluster.converge()
    assert sorted(where(cluster).values()) == [2, 2, 3]


def test_fewest_tasks_of_the_service_count_first_then_fewest_tasks_at_all(cluster):
    cluster.add_service(service("other", 1))
    cluster.converge()
    (busy,) = where(cluster, "other")
    cluster.add_service(service("web", 2))
    cluster.converge()
    assert busy not in where(cluster)
    cluster.scale("web", 3)
    cluster.converge()
    assert where(cluster)[busy] == 1


def test_tasks_that_are_to_stop_do_not_count_as_copies(cluster):
    cluster.add_service(service("web", 3))
    cluster.converge()
    cluster.silent.update("abc")
    cluster.scale("web", 1)
    cluster.converge()
    (kept,) = where(cluster)
    cluster.scale("web", 2)
    cluster.converge()
    assert where(cluster)[kept] == 1


def test_paused_drained_and_unheard_nodes_get_no_task(cluster):
    cluster.set_availability("a", Availability.PAUSE)
    cluster.set_availability("b", Availability.DRAIN)
    cluster.set_state("c", NodeState.UNKNOWN)
    assert told(cluster) == "no suitable node (3 nodes not available for new tasks)"


def test_a_node_without_a_word_of_it_gets_no_task(cluster):
    for name in ("a", "b", "c"):
        cluster.forget_liveness(name)
    assert told(cluster) == "no suitable node (3 nodes not available for new tasks)"


def test_without_any_node_there_is_nothing_to_explain():
    assert told(Simulation()) == "no suitable node"


def test_one_node_is_said_in_the_singular(cluster):
    cluster.remove_node("b")
    cluster.remove_node("c")
    cluster.set_availability("a", Availability.DRAIN)
    assert told(cluster) == "no suitable node (1 node not available for new tasks)"


@pytest.mark.parametrize("wanted", [reserve(cpus=5 * CPU), reserve(memory=9 * GIB)])
def test_reservations_beyond_a_nodes_size_are_refused(cluster, wanted):
    assert told(cluster, resources=wanted) == "no suitable node (insufficient resources on 3 nodes)"


def test_reservations_in_one_run_add_up(cluster):
    cluster.add_service(service("web", 7, resources=reserve(cpus=2 * CPU)))
    cluster.converge()
    assert where(cluster) == Counter({"a": 2, "b": 2, "c": 2, "": 1})


def test_reservations_only_filter_they_do_not_rank(cluster):
    cluster.add_service(service("big", resources=reserve(cpus=4 * CPU)))
    cluster.add_service(service("small", 2))
    cluster.converge()
    (full,) = where(cluster, "big")
    cluster.add_service(service("web", 3))
    cluster.converge()
    assert where(cluster)[full] == 1


def test_constraints(cluster):
    wanted = Placement(constraints=["node.id==b", "node.role==worker"])
    cluster.add_service(service("web", 2, placement=wanted))
    cluster.converge()
    assert where(cluster) == Counter({"b": 2})
    nowhere = Placement(constraints=["node.role==manager"])
    assert told(cluster, placement=nowhere) == "no suitable node (scheduling constraints not satisfied on 3 nodes)"


@pytest.mark.parametrize("platform", [Platform("amd64", "linux"), Platform("x86_64", ""), Platform("", "linux")])
def test_a_platform_is_the_same_by_either_of_its_names(cluster, platform):
    assert told(cluster, placement=Placement(platforms=[Platform("arm64", "linux"), platform])) == ""


@pytest.mark.parametrize("platform", [Platform("aarch64", "linux"), Platform("amd64", "windows")])
def test_another_platform_is_refused(cluster, platform):
    err = told(cluster, placement=Placement(platforms=[platform]))
    assert err == "no suitable node (unsupported platform on 3 nodes)"


def test_no_more_than_the_allowed_copies_per_node(cluster):
    cluster.add_service(service("web", 7, placement=Placement(max_replicas=2)))
    cluster.converge()
    assert where(cluster) == Counter({"a": 2, "b": 2, "c": 2, "": 1})
    assert cluster.current("web", 7).status.err == "no suitable node (max replicas per node limit exceed)"


def test_a_node_counts_for_the_first_thing_wrong_with_it_the_most_frequent_said_first(cluster):
    cluster.set_availability("a", Availability.PAUSE)
    wanted = Placement(constraints=["node.id==a"])
    err = told(cluster, placement=wanted, resources=reserve(cpus=1))
    assert err == (
        "no suitable node (scheduling constraints not satisfied on 2 nodes; 1 node not available for new tasks)"
    )


def test_what_is_said_already_is_not_said_again_and_a_new_reason_is(cluster):
    told(cluster, resources=reserve(cpus=5 * CPU))
    cluster.advance(1)
    assert cluster.schedule().decisions == []
    cluster.set_availability("a", Availability.PAUSE)
    cluster.schedule()
    task = cluster.current("new")
    assert task.status.err == (
        "no suitable node (insufficient resources on 2 nodes; 1 node not available for new tasks)"
    )
    assert (task.status.state, task.status.message) == (TaskState.PENDING, "pending task scheduling")
    assert task.status.timestamp == cluster.now


def test_an_assigned_task_has_no_error_any_more(cluster):
    told(cluster, resources=reserve(cpus=5 * CPU))
    cluster.add_node("d", resources=Resources(8 * CPU, GIB))
    cluster.converge()
    assert (cluster.current("new").node_id, cluster.current("new").status.err) == ("d", "")


def test_what_is_not_to_run_any_more_gets_no_node(cluster):
    cluster.add_service(service("web"))
    cluster.orchestrate()
    task = cluster.current("web")
    cluster.put(Kind.TASK, task.id, replace(task, desired_state=TaskState.SHUTDOWN))
    assert cluster.schedule().decisions == []


def test_tasks_of_a_removed_service_get_no_node(cluster):
    cluster.add_service(service("web"))
    cluster.orchestrate()
    cluster.remove_service("web")
    assert cluster.schedule().decisions == []


def test_a_task_that_is_not_pending_yet_gets_no_node(cluster):
    """New tasks are the allocator's."""
    cluster.add_service(service("web"))
    cluster.orchestrate()
    task = cluster.current("web")
    cluster.put(Kind.TASK, task.id, replace(task, status=replace(task.status, state=TaskState.NEW)))
    assert cluster.schedule().decisions == []


def test_an_assignment_holds_only_while_the_task_and_the_node_are_as_they_were(cluster):
    cluster.add_service(service("web"))
    cluster.orchestrate()
    before = cluster.snapshot
    (decision,) = cluster.schedule().decisions
    (change,) = decision.changes
    assert isinstance(change, Put)
    node_id = change.value.node_id
    assert set(decision.guards) == {
        Unchanged(Kind.TASK, change.id, before.tasks[change.id].version),
        Unchanged(Kind.NODE, node_id, before.nodes[node_id].version),
        Unchanged(Kind.LIVENESS, node_id, before.liveness[node_id].version),
    }


def test_assignments_to_one_node_stand_together_so_that_they_are_written_together(cluster):
    cluster.add_service(service("web", 6))
    cluster.add_service(service("db", 6))
    cluster.orchestrate()
    nodes = [decision.changes[0].value.node_id for decision in cluster.schedule().decisions]
    assert nodes == ["a"] * 4 + ["b"] * 4 + ["c"] * 4


def fail_on(cluster, name, times, service_id="web"):
    """The only task is put on a node and fails there, again and again."""
    for _ in range(times):
        cluster.orchestrate()
        task = cluster.current(service_id)
        cluster.put(Kind.TASK, task.id, replace(task, node_id=name))
        cluster.report(cluster.current(service_id), TaskState.FAILED)
    cluster.orchestrate()


@pytest.mark.parametrize(("times", "goes_to"), [(4, "a"), (5, "b")])
def test_a_node_on_which_it_failed_five_times_comes_last(cluster, times, goes_to):
    cluster.history(-1)
    cluster.add_service(service("web", policy=RestartPolicy(delay=0)))
    fail_on(cluster, "a", times)
    cluster.schedule()
    assert cluster.current("web").node_id == goes_to


@pytest.mark.parametrize(("seconds", "goes_to"), [(299, "b"), (300, "a")])
def test_failures_count_for_five_minutes(cluster, seconds, goes_to):
    cluster.history(-1)
    cluster.add_service(service("web", policy=RestartPolicy(delay=0)))
    fail_on(cluster, "a", 5)
    cluster.advance(seconds)
    cluster.schedule()
    assert cluster.current("web").node_id == goes_to


def test_failures_of_an_older_spec_do_not_count(cluster):
    cluster.history(-1)
    cluster.add_service(service("web", policy=RestartPolicy(delay=0)))
    fail_on(cluster, "a", 5)
    cluster.update("web", placement=Placement(max_replicas=9))
    cluster.converge()
    assert cluster.current("web").node_id == "a"


def test_the_only_node_is_taken_however_often_it_failed(cluster):
    cluster.history(-1)
    cluster.remove_node("b")
    cluster.remove_node("c")
    cluster.add_service(service("web", policy=RestartPolicy(delay=0)))
    fail_on(cluster, "a", 9)
    cluster.schedule()
    assert cluster.current("web").node_id == "a"


def test_failures_are_remembered_when_the_history_has_forgotten_them(cluster):
    cluster.history(3)
    cluster.add_service(service("web", policy=RestartPolicy(delay=0)))
    memory = Memory()
    for _ in range(5):
        fail_on(cluster, "a", 1)
        memory.learn(cluster.snapshot, cluster.now)
    (decision,) = place(cluster.snapshot, cluster.now, memory.failures()).decisions
    assert decision.changes[0].value.node_id == "b"
    cluster.advance(300)
    memory.learn(cluster.snapshot, cluster.now)
    assert memory.failures() == {}
