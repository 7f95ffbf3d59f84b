"""When a replacement may run: delays and waits are part of the task, and survive leaders, nodes and wrong clocks."""

from datetime import timedelta

import pytest
from msgspec.structs import replace
from simulation import START, Availability, NodeState, RestartPolicy, Simulation, TaskState, service

FIVE = timedelta(seconds=5)


@pytest.fixture
def cluster():
    cluster = Simulation()
    cluster.add_node("a")
    cluster.add_node("b")
    cluster.add_service(service("web"))
    cluster.converge()
    return cluster


def fail(cluster):
    cluster.report(cluster.current("web"), TaskState.FAILED)
    return cluster.orchestrate()


def test_the_delay_is_five_seconds_and_the_plan_says_when_it_ends(cluster):
    plan = fail(cluster)
    assert plan.wake_at == START + FIVE
    assert cluster.current("web").run_at == START + FIVE
    assert cluster.current("web").desired_state is TaskState.READY


def test_a_new_leader_goes_on_with_a_delay_that_is_half_over(cluster):
    fail(cluster)
    cluster.advance(3)
    assert cluster.orchestrate().wake_at == START + FIVE
    cluster.advance(2)
    cluster.orchestrate()
    assert cluster.current("web").desired_state is TaskState.RUNNING


def test_a_new_leader_whose_clock_is_an_hour_behind_does_not_wait_an_hour(cluster):
    fail(cluster)
    cluster.advance(-3600)
    cluster.orchestrate()
    assert cluster.current("web").desired_state is TaskState.RUNNING


def test_a_new_leader_whose_clock_is_a_second_behind_waits_for_the_old_ones_delay(cluster):
    fail(cluster)
    cluster.advance(-1)
    assert cluster.orchestrate().wake_at == START + FIVE
    assert cluster.current("web").desired_state is TaskState.READY


def test_a_clock_an_hour_off_does_not_prolong_the_wait_for_the_old_tasks_end(cluster):
    node_id = cluster.current("web").node_id
    cluster.silent.add(node_id)
    cluster.set_availability(node_id, Availability.DRAIN)
    assert cluster.orchestrate().wake_at == START + timedelta(minutes=1)
    cluster.advance(-3600)
    cluster.orchestrate()
    assert cluster.current("web").desired_state is TaskState.RUNNING


def test_a_delay_longer_than_a_minute_is_kept(cluster):
    cluster.add_service(service("slow", policy=RestartPolicy(delay=600_000_000_000)))
    cluster.converge()
    cluster.report(cluster.current("slow"), TaskState.FAILED)
    cluster.orchestrate()
    cluster.advance(599)
    cluster.orchestrate()
    assert cluster.current("slow").desired_state is TaskState.READY
    cluster.advance(1)
    cluster.orchestrate()
    assert cluster.current("slow").desired_state is TaskState.RUNNING


def test_without_a_delay_the_replacement_of_an_ended_task_is_to_run_at_once(cluster):
    cluster.add_service(service("quick", policy=RestartPolicy(delay=0)))
    cluster.converge()
    cluster.report(cluster.current("quick"), TaskState.FAILED)
    assert cluster.orchestrate().wake_at is None
    assert cluster.current("quick").desired_state is TaskState.RUNNING


def test_without_a_delay_it_still_waits_for_a_task_that_goes_on(cluster):
    old = cluster.current("web")
    cluster.silent.add(old.node_id)
    cluster.set_availability(old.node_id, Availability.DRAIN)
    cluster.orchestrate()
    new = cluster.current("web")
    assert (new.desired_state, new.waits_for, new.run_at) == (TaskState.READY, old.id, None)


def test_nothing_is_heard_from_a_node_that_is_down_so_nothing_is_waited_for(cluster):
    cluster.set_state(cluster.current("web").node_id, NodeState.DOWN)
    cluster.orchestrate()
    assert not cluster.current("web").waits_for
    assert cluster.current("web").desired_state is TaskState.RUNNING


def test_a_node_that_goes_down_while_its_task_is_waited_for_ends_the_wait(cluster):
    old = cluster.current("web")
    cluster.silent.add(old.node_id)
    cluster.set_availability(old.node_id, Availability.DRAIN)
    cluster.orchestrate()
    cluster.set_state(old.node_id, NodeState.DOWN)
    cluster.orchestrate()
    assert cluster.current("web").desired_state is TaskState.RUNNING


def test_a_replacement_whose_node_is_lost_during_the_delay_moves_and_need_not_wait_any_more(cluster):
    fail(cluster)
    cluster.schedule()
    waiting = cluster.current("web")
    cluster.advance(2)
    cluster.set_state(waiting.node_id, NodeState.DOWN)
    cluster.orchestrate()
    moved = cluster.current("web")
    assert moved.id != waiting.id
    assert moved.desired_state is TaskState.RUNNING
    assert cluster.snapshot.tasks[waiting.id].value.desired_state is TaskState.SHUTDOWN


def test_a_replacement_whose_node_is_drained_during_the_delay_need_not_wait_any_more(cluster):
    fail(cluster)
    cluster.schedule()
    cluster.set_availability(cluster.current("web").node_id, Availability.DRAIN)
    cluster.orchestrate()
    assert cluster.current("web").desired_state is TaskState.RUNNING


def test_the_observed_state_of_a_lost_nodes_task_stays(cluster):
    old = cluster.current("web")
    cluster.set_state(old.node_id, NodeState.DOWN)
    cluster.orchestrate()
    seen = cluster.snapshot.tasks[old.id].value
    assert (seen.desired_state, seen.status.state) == (TaskState.SHUTDOWN, TaskState.RUNNING)


def test_tasks_are_made_pending_with_what_the_service_says(cluster):
    new = service("other", version=7)
    cluster.add_service(replace(new, spec=replace(new.spec, labels={"tier": "one"})))
    cluster.orchestrate()
    task = cluster.current("other")
    assert (task.status.state, task.status.message) == (TaskState.PENDING, "pending task scheduling")
    assert (task.service_name, task.slot, task.spec_version, task.service_labels) == ("other", 1, 7, {"tier": "one"})
    assert (task.created_at, task.updated_at, task.node_id) == (START, START, "")


def test_a_task_that_waits_for_a_node_is_not_touched(cluster):
    cluster.add_service(service("other"))
    cluster.orchestrate()
    cluster.set_state("a", NodeState.DOWN)
    cluster.set_state("b", NodeState.DOWN)
    assert all("other" not in decision.why for decision in cluster.orchestrate().decisions)


def test_a_node_that_was_never_heard_keeps_its_tasks(cluster):
    node_id = cluster.current("web").node_id
    cluster.forget_liveness(node_id)
    assert cluster.orchestrate().decisions == []
