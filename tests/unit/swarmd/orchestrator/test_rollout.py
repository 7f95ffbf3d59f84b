"""Rolling updates over changes of leader, of clocks and of the user's mind; the stories are in tests/scenarios."""

from datetime import timedelta

import pytest
from msgspec.structs import replace
from simulation import (
    EVERYWHERE,
    START,
    Availability,
    NodeState,
    RestartPolicy,
    Simulation,
    TaskState,
    at_once,
    service,
)

from swarmd.model import ContainerSpec, RestartCondition, UpdateConfig, UpdateState
from swarmd.orchestrator import plan
from swarmd.store.contract import Kind, Put, Unchanged

SECOND = 1_000_000_000
BETTER = ContainerSpec(image="better")
AT_ONCE = RestartPolicy(delay=0)


@pytest.fixture
def cluster():
    cluster = Simulation()
    cluster.add_node("a")
    cluster.add_node("b")
    return cluster


def rolled(cluster, replicas=3, *, policy=AT_ONCE, mode=None, **update):
    """A service that runs, and the update to its next version has begun; the agents have not been heard of it."""
    cluster.add_service(service("web", replicas, policy=policy, mode=mode, update=UpdateConfig(**update)))
    cluster.converge()
    cluster.silent.update("ab")
    cluster.update("web", container_spec=BETTER)
    cluster.converge()
    return cluster


def new_tasks(cluster):
    return [task for task in cluster.tasks("web") if task.spec_version == 2]


def stop_old(cluster, slot=1):
    for task in cluster.tasks("web", slot):
        if task.desired_state > TaskState.RUNNING and not task.status.state.is_final:
            cluster.report(task, TaskState.SHUTDOWN)


def run_new(cluster, slot=1):
    stop_old(cluster, slot)
    cluster.report(cluster.current("web", slot), TaskState.RUNNING)


def state(cluster):
    return cluster.update_of("web").state


def test_it_begins_with_the_service_and_its_version_named(cluster):
    rolled(cluster)
    update = cluster.update_of("web")
    assert (update.service_id, update.service_version) == ("web", cluster.snapshot.services["web"].version)
    assert (update.state, update.message) == (UpdateState.UPDATING, "update in progress")
    assert (update.started_at, update.completed_at) == (START, None)


def test_a_new_service_is_no_update(cluster):
    cluster.add_service(service("web", 3))
    cluster.converge()
    assert cluster.update_of("web") is None


def test_scaling_is_no_update(cluster):
    cluster.add_service(service("web", 1))
    cluster.converge()
    cluster.scale("web", 3)
    cluster.converge()
    assert cluster.update_of("web") is None


def test_its_beginning_comes_before_all_that_it_does(cluster):
    """So that a leader that dies between two commits leaves no update that nobody knows of."""
    cluster.add_service(service("web", 3, update=UpdateConfig(parallelism=0)))
    cluster.converge()
    cluster.update("web", container_spec=BETTER)
    decisions = plan(cluster.snapshot, cluster.now).decisions
    assert [change.kind for change in decisions[0].changes] == [Kind.UPDATE]
    assert len(decisions) == 4


def test_what_is_said_of_it_counts_only_if_the_service_is_as_it_was(cluster):
    cluster.add_service(service("web"))
    cluster.converge()
    cluster.update("web", container_spec=BETTER)
    version = cluster.snapshot.services["web"].version
    first = plan(cluster.snapshot, cluster.now).decisions[0]
    assert set(first.guards) == {Unchanged(Kind.SERVICE, "web", version), Unchanged(Kind.UPDATE, "web", 0)}
    cluster.converge()
    cluster.advance(5)
    known = cluster.snapshot.updates["web"].version
    (done,) = plan(cluster.snapshot, cluster.now).decisions
    assert set(done.guards) == {Unchanged(Kind.SERVICE, "web", version), Unchanged(Kind.UPDATE, "web", known)}


def test_an_update_whose_beginning_was_lost_is_still_watched(cluster):
    rolled(cluster, 1)
    stale = replace(cluster.snapshot.updates["web"].value, service_version=0)
    cluster.put(Kind.UPDATE, "web", stale)
    cluster.orchestrate()
    assert state(cluster) is UpdateState.UPDATING
    stop_old(cluster)
    cluster.report(cluster.current("web"), TaskState.REJECTED)
    cluster.orchestrate()
    assert state(cluster) is UpdateState.PAUSED


def test_the_next_slot_waits_for_the_one_that_is_to_run(cluster):
    rolled(cluster)
    assert len(new_tasks(cluster)) == 1
    cluster.advance(3600)
    cluster.converge()
    assert len(new_tasks(cluster)) == 1
    run_new(cluster, new_tasks(cluster)[0].slot)
    cluster.converge()
    assert len(new_tasks(cluster)) == 2


def test_the_delay_begins_when_the_leader_heard_that_the_task_runs(cluster):
    rolled(cluster, delay=10 * SECOND)
    cluster.advance(7)
    run_new(cluster)
    assert cluster.orchestrate().wake_at == START + timedelta(seconds=17)
    assert len(new_tasks(cluster)) == 1
    cluster.advance(10)
    cluster.orchestrate()
    assert len(new_tasks(cluster)) == 2


def test_a_new_leader_whose_clock_is_an_hour_behind_does_not_wait_an_hour(cluster):
    rolled(cluster, delay=10 * SECOND)
    run_new(cluster)
    cluster.advance(-3600)
    cluster.orchestrate()
    assert len(new_tasks(cluster)) == 2


def test_scaling_meanwhile_takes_no_more_slots_at_once(cluster):
    """The user's change begins the update anew, but its first slot is still under way."""
    rolled(cluster)
    cluster.scale("web", 4)
    cluster.converge()
    assert len([task for task in new_tasks(cluster) if task.slot <= 3]) == 1
    assert state(cluster) is UpdateState.UPDATING


def test_with_less_parallelism_than_slots_under_way_it_waits_for_the_last_of_them(cluster):
    rolled(cluster, 4, parallelism=3, delay=10 * SECOND)
    for slot in (1, 2, 3):
        run_new(cluster, slot)
        cluster.advance(2)
    old = cluster.snapshot.services["web"].value
    slower = UpdateConfig(parallelism=1, delay=10 * SECOND)
    cluster.put(Kind.SERVICE, "web", replace(old, spec=replace(old.spec, update_config=slower)))
    assert cluster.orchestrate().wake_at == START + timedelta(seconds=14)
    assert len(new_tasks(cluster)) == 3


def test_it_is_completed_a_monitor_period_after_the_last_task_ran(cluster):
    rolled(cluster, 1, monitor=8 * SECOND)
    cluster.advance(2)
    run_new(cluster)
    assert cluster.orchestrate().wake_at == START + timedelta(seconds=10)
    cluster.advance(7)
    assert cluster.orchestrate().decisions == []
    cluster.advance(1)
    cluster.orchestrate()
    update = cluster.update_of("web")
    assert (update.state, update.message) == (UpdateState.COMPLETED, "update completed")
    assert (update.started_at, update.completed_at) == (START, START + timedelta(seconds=10))


def test_it_is_not_completed_while_a_task_is_to_run(cluster):
    rolled(cluster, 1)
    cluster.advance(3600)
    cluster.orchestrate()
    assert state(cluster) is UpdateState.UPDATING


def test_what_is_scaled_away_is_not_updated(cluster):
    cluster.add_service(service("web", 2, policy=AT_ONCE))
    cluster.converge()
    cluster.update("web", container_spec=BETTER)
    cluster.scale("web", 0)
    cluster.converge()
    assert cluster.update_of("web") is None


@pytest.mark.parametrize("end", [TaskState.REJECTED, TaskState.FAILED, TaskState.COMPLETE])
def test_a_task_that_ends_before_or_soon_after_it_ran_pauses_it(cluster, end):
    rolled(cluster)
    new = new_tasks(cluster)[0]
    run_new(cluster, new.slot)
    cluster.advance(5)
    cluster.report(new, end)
    cluster.converge()
    update = cluster.update_of("web")
    assert update.state is UpdateState.PAUSED
    assert update.message == f"update paused due to failure or early termination of task {new.id}"
    assert update.completed_at is None
    assert len({task.slot for task in new_tasks(cluster)}) <= 2


def test_one_that_ends_later_does_not(cluster):
    rolled(cluster, 1)
    run_new(cluster)
    cluster.advance(5.1)
    cluster.report(cluster.current("web"), TaskState.FAILED)
    cluster.converge()
    assert state(cluster) is not UpdateState.PAUSED


def test_one_that_managers_stopped_does_not(cluster):
    rolled(cluster, 2)
    new = new_tasks(cluster)[0]
    run_new(cluster, new.slot)
    cluster.set_availability(new.node_id, Availability.DRAIN)
    cluster.orchestrate()
    cluster.report(new, TaskState.SHUTDOWN)
    cluster.converge()
    assert state(cluster) is UpdateState.UPDATING


def test_one_that_was_evicted_does_not(cluster):
    rolled(cluster, 1)
    run_new(cluster)
    new = new_tasks(cluster)[0]
    status = replace(new.status, state=TaskState.REJECTED, message="task rejected by constraint enforcer")
    cluster.put(Kind.TASK, new.id, replace(cluster.snapshot.tasks[new.id].value, status=status))
    cluster.converge()
    assert state(cluster) is UpdateState.UPDATING


def test_of_a_task_whose_node_was_lost_before_it_ran_its_replacement_is_judged(cluster):
    rolled(cluster, 1)
    lost = new_tasks(cluster)[0]
    cluster.set_state(lost.node_id, NodeState.DOWN)
    cluster.converge()
    assert state(cluster) is UpdateState.UPDATING
    cluster.report(cluster.current("web"), TaskState.REJECTED)
    cluster.converge()
    assert cluster.update_of("web").message.endswith(new_tasks(cluster)[1].id)


def test_a_paused_one_stands_still_until_the_users_next_change(cluster):
    rolled(cluster)
    cluster.report(new_tasks(cluster)[0], TaskState.REJECTED)
    cluster.converge()
    cluster.silent.clear()
    cluster.advance(3600)
    cluster.converge()
    assert state(cluster) is UpdateState.PAUSED
    assert len({task.slot for task in new_tasks(cluster)}) == 1
    cluster.put(Kind.SERVICE, "web", cluster.snapshot.services["web"].value)
    cluster.converge()
    cluster.advance(10)
    cluster.converge()
    assert state(cluster) is UpdateState.COMPLETED
    assert {task.slot for task in new_tasks(cluster)} == {1, 2, 3}


@pytest.mark.parametrize("limit", [0, 1, 5])
def test_failures_are_counted_also_where_no_history_is_kept(cluster, limit):
    cluster.history(limit)
    rolled(cluster, 2, max_failure_ratio=0.5)
    first = new_tasks(cluster)[0].slot
    for _ in range(3):
        stop_old(cluster, first)
        cluster.report(cluster.current("web", first), TaskState.REJECTED)
        cluster.converge()
    assert state(cluster) is UpdateState.UPDATING
    second = 3 - first
    stop_old(cluster, second)
    cluster.report(cluster.current("web", second), TaskState.REJECTED)
    cluster.converge()
    assert state(cluster) is UpdateState.PAUSED


def test_a_finished_history_is_short_again(cluster):
    cluster.history(1)
    rolled(cluster, 1)
    cluster.silent.clear()
    cluster.converge()
    assert len(cluster.tasks("web")) == 2
    cluster.advance(5)
    cluster.converge()
    assert state(cluster) is UpdateState.COMPLETED
    assert len(cluster.tasks("web")) == 1


def first(cluster, **given):
    return rolled(cluster, order="start-first", **given)


def runnable(cluster, slot=1):
    return [task.spec_version for task in cluster.tasks("web", slot) if task.desired_state <= TaskState.RUNNING]


def test_start_first_the_new_task_may_run_beside_the_old_one(cluster):
    first(cluster, replicas=1)
    assert runnable(cluster) == [1, 2]
    assert new_tasks(cluster)[0].desired_state is TaskState.RUNNING
    cluster.report(new_tasks(cluster)[0], TaskState.STARTING)
    cluster.converge()
    assert runnable(cluster) == [1, 2]
    cluster.report(new_tasks(cluster)[0], TaskState.RUNNING)
    cluster.converge()
    assert runnable(cluster) == [2]


def test_start_first_an_old_task_that_fails_meanwhile_is_not_restarted(cluster):
    first(cluster, replicas=1)
    old = cluster.tasks("web")[0]
    cluster.report(old, TaskState.FAILED)
    cluster.converge()
    assert runnable(cluster) == [2]
    assert len(cluster.tasks("web")) == 2


def test_start_first_an_old_task_that_does_not_run_is_not_kept(cluster):
    cluster.silent.update("ab")
    cluster.add_service(service("web", update=UpdateConfig(order="start-first")))
    cluster.converge()
    cluster.update("web", container_spec=BETTER)
    cluster.converge()
    assert runnable(cluster) == [2]


def test_start_first_a_new_task_that_has_ended_for_good_leaves_the_old_one(cluster):
    policy = RestartPolicy(condition=RestartCondition.NONE)
    first(cluster, replicas=1, policy=policy, failure_action="continue")
    cluster.report(new_tasks(cluster)[0], TaskState.REJECTED)
    cluster.converge()
    cluster.advance(5)
    cluster.converge()
    assert runnable(cluster) == [1]
    assert len(cluster.tasks("web")) == 2
    assert state(cluster) is UpdateState.COMPLETED


def test_start_first_a_third_spec_takes_the_place_of_the_second(cluster):
    first(cluster, replicas=1)
    cluster.update("web", container_spec=ContainerSpec(image="best"))
    cluster.converge()
    assert runnable(cluster) == [1, 3]


def test_start_first_scaling_down_takes_both(cluster):
    first(cluster, replicas=1)
    cluster.scale("web", 0)
    cluster.converge()
    assert runnable(cluster) == []


def test_start_first_on_a_node_of_a_global_service(cluster):
    first(cluster, mode=EVERYWHERE, parallelism=0)
    assert [task.node_id for task in new_tasks(cluster)] == ["a", "b"]
    cluster.silent.clear()
    cluster.converge()
    running = [task for task in cluster.tasks("web") if task.status.state is TaskState.RUNNING]
    assert [(task.node_id, task.spec_version) for task in running] == [("a", 2), ("b", 2)]


def test_another_order_in_the_middle_leaves_one(cluster):
    first(cluster, replicas=1)
    old = cluster.snapshot.services["web"].value
    changed = replace(old, spec=replace(old.spec, update_config=UpdateConfig()))
    at_once(cluster.store.commit([Put(Kind.SERVICE, "web", changed)]))
    cluster.converge()
    assert runnable(cluster) == [2]
