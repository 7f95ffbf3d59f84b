"""How many tasks there are, which go first, and how long they are remembered."""

import pytest
from msgspec.structs import replace
from simulation import Availability, NodeState, RestartPolicy, Simulation, TaskState, service

from swarmd.model import RestartCondition
from swarmd.store.contract import Delete, Kind, Put, Unchanged


@pytest.fixture
def cluster():
    cluster = Simulation()
    for name in ("a", "b", "c"):
        cluster.add_node(name)
    return cluster


def slots(cluster, desired=TaskState.RUNNING):
    return [task.slot for task in cluster.tasks("web") if task.desired_state is desired]


def place_by_hand(cluster, nodes, states=None):
    """Slots 1, 2, … on these nodes."""
    cluster.add_service(service("web", len(nodes)))
    cluster.orchestrate()
    for number, name in enumerate(nodes, start=1):
        task = cluster.current("web", number)
        cluster.put(Kind.TASK, task.id, replace(task, node_id=name))
        if name:
            cluster.report(task, (states or {}).get(number, TaskState.RUNNING))


def left_by_scaling_to(cluster, replicas):
    cluster.scale("web", replicas)
    cluster.orchestrate()
    return sorted(slots(cluster))


def test_nodes_with_most_copies_give_up_first(cluster):
    place_by_hand(cluster, ["a", "a", "a", "b", "c"])
    assert left_by_scaling_to(cluster, 3) == [1, 4, 5]


def test_of_a_node_what_does_not_run_is_given_up_first(cluster):
    place_by_hand(cluster, ["a", "a", "b"], {1: TaskState.PREPARING})
    assert left_by_scaling_to(cluster, 2) == [2, 3]


def test_else_high_slots_go_before_low_ones(cluster):
    place_by_hand(cluster, ["c", "b", "a"])
    assert left_by_scaling_to(cluster, 1) == [1]


def test_what_waits_for_a_node_is_given_up_before_what_has_one(cluster):
    place_by_hand(cluster, ["", "a", "a"])
    assert left_by_scaling_to(cluster, 2) == [2, 3]


def test_free_slots_are_filled_from_the_lowest(cluster):
    place_by_hand(cluster, ["", "a", "", "b"])
    assert left_by_scaling_to(cluster, 2) == [2, 4]
    assert left_by_scaling_to(cluster, 5) == [1, 2, 3, 4, 5]


def test_a_slot_that_is_still_stopping_may_be_filled_again(cluster):
    place_by_hand(cluster, ["a", "b"])
    left_by_scaling_to(cluster, 1)
    left_by_scaling_to(cluster, 2)
    assert slots(cluster) == [1, 2]
    assert slots(cluster, TaskState.REMOVE) == [2]


def test_a_removed_slots_history_goes_with_it(cluster):
    cluster.add_service(service("web", 2, policy=RestartPolicy(delay=0)))
    cluster.converge()
    cluster.report(cluster.current("web", 2), TaskState.FAILED)
    cluster.converge()
    cluster.scale("web", 1)
    cluster.converge()
    assert [task.slot for task in cluster.tasks("web")] == [1]


def test_a_finished_slot_counts_as_a_replica(cluster):
    cluster.add_service(service("web", 2, policy=RestartPolicy(condition=RestartCondition.NONE)))
    cluster.converge()
    cluster.report(cluster.current("web", 1), TaskState.COMPLETE)
    cluster.converge()
    assert [task.slot for task in cluster.tasks("web")] == [1, 2]


def test_a_finished_slot_is_not_forgotten_even_where_no_history_is_kept(cluster):
    cluster.history(0)
    test_a_finished_slot_counts_as_a_replica(cluster)


def test_two_tasks_that_are_to_run_in_one_slot_become_one_the_one_that_runs(cluster):
    place_by_hand(cluster, ["a"])
    first = cluster.current("web")
    double = replace(first, id="double", node_id="b", status=replace(first.status, state=TaskState.ASSIGNED))
    cluster.put(Kind.TASK, "double", double)
    cluster.orchestrate()
    assert cluster.snapshot.tasks[first.id].value.desired_state is TaskState.RUNNING
    assert cluster.snapshot.tasks["double"].value.desired_state is TaskState.SHUTDOWN


def restart_often(cluster, times):
    for _ in range(times):
        cluster.report(cluster.current("web"), TaskState.FAILED)
        cluster.converge()


@pytest.mark.parametrize(("limit", "kept"), [(5, 5), (2, 2), (1, 1), (0, 1), (-1, 9)])
def test_so_many_tasks_of_a_slot_are_kept_the_running_one_included(cluster, limit, kept):
    cluster.history(limit)
    cluster.add_service(service("web", policy=RestartPolicy(delay=0)))
    cluster.converge()
    restart_often(cluster, 8)
    assert len(cluster.tasks("web")) == kept


def test_with_a_limit_of_attempts_all_that_must_be_counted_is_kept(cluster):
    cluster.history(2)
    cluster.add_service(service("web", policy=RestartPolicy(delay=0, max_attempts=6)))
    cluster.converge()
    restart_often(cluster, 6)
    assert len(cluster.tasks("web")) == 7
    cluster.report(cluster.current("web"), TaskState.FAILED)
    assert len(cluster.orchestrate().decisions) == 1
    assert cluster.current("web").desired_state is TaskState.SHUTDOWN


def test_what_may_still_run_is_never_forgotten(cluster):
    cluster.history(0)
    cluster.add_service(service("web"))
    cluster.converge()
    old = cluster.current("web")
    cluster.set_state(old.node_id, NodeState.DOWN)
    cluster.converge()
    assert old.id in cluster.snapshot.tasks


def test_a_decision_holds_only_while_its_service_and_tasks_are_unchanged(cluster):
    place_by_hand(cluster, ["a"])
    service_version = cluster.snapshot.services["web"].version
    task = cluster.current("web")
    task_version = cluster.snapshot.tasks[task.id].version
    cluster.set_availability("a", Availability.DRAIN)
    (decision,) = cluster.orchestrate().decisions
    new = cluster.current("web")
    assert set(decision.guards) == {
        Unchanged(Kind.SERVICE, "web", service_version),
        Unchanged(Kind.TASK, task.id, task_version),
        Unchanged(Kind.TASK, new.id, 0),
    }
    assert [change.id for change in decision.changes if isinstance(change, Put)] == [task.id, new.id]


def test_a_history_longer_than_a_transaction_is_forgotten_piece_by_piece(cluster):
    cluster.history(-1)
    cluster.add_service(service("web", policy=RestartPolicy(delay=0)))
    cluster.converge()
    restart_often(cluster, 20)
    cluster.history(5)
    decisions = cluster.orchestrate().decisions
    assert [len(decision.changes) for decision in decisions] == [1] * 16
    assert {decision.why for decision in decisions} == {"web: history shortened"}


def test_tasks_of_a_removed_service_go_only_while_there_is_none_of_its_id(cluster):
    cluster.add_service(service("web"))
    cluster.orchestrate()
    cluster.remove_service("web")
    (decision,) = cluster.orchestrate().decisions
    assert Unchanged(Kind.SERVICE, "web", 0) in decision.guards
    assert isinstance(decision.changes[0], Delete)
    assert decision.why == "web: task forgotten"
