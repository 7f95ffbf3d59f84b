"""How a task advances on its node."""

from __future__ import annotations

import pytest
from agent_tasks import THEN

from swarmd.agent.transition import Step, TaskFailure, advanced, exited, failed, hindered, next_step
from swarmd.model import ContainerStatus, TaskState, TaskStatus

UNDER_WAY = [state for state in TaskState if not state.is_final]
ENDED = [TaskState.COMPLETE, TaskState.SHUTDOWN, TaskState.FAILED, TaskState.REJECTED, TaskState.ORPHANED]


def status(state: TaskState, message: str = "as it was") -> TaskStatus:
    return TaskStatus(timestamp=THEN, state=state, message=message)


def steps_until_rest(desired: TaskState) -> list[Step]:
    after = {
        Step.ACCEPT: TaskState.ACCEPTED,
        Step.ANNOUNCE_PREPARATION: TaskState.PREPARING,
        Step.PREPARE: TaskState.READY,
        Step.ANNOUNCE_START: TaskState.STARTING,
        Step.START: TaskState.RUNNING,
        Step.WAIT: TaskState.COMPLETE,
    }
    state, steps = TaskState.ASSIGNED, []
    while (step := next_step(desired, state)) is not Step.NOTHING:
        steps.append(step)
        state = after[step]
    return steps


def test_a_task_that_is_to_run_takes_every_step():
    assert steps_until_rest(TaskState.RUNNING) == [
        Step.ACCEPT,
        Step.ANNOUNCE_PREPARATION,
        Step.PREPARE,
        Step.ANNOUNCE_START,
        Step.START,
        Step.WAIT,
    ]


def test_a_task_that_is_to_be_ready_is_prepared_and_not_started():
    assert steps_until_rest(TaskState.READY) == [Step.ACCEPT, Step.ANNOUNCE_PREPARATION, Step.PREPARE]


def test_a_job_is_awaited():
    assert next_step(TaskState.COMPLETE, TaskState.RUNNING) is Step.WAIT


@pytest.mark.parametrize("observed", UNDER_WAY)
@pytest.mark.parametrize("desired", [TaskState.SHUTDOWN, TaskState.REMOVE])
def test_whatever_has_not_ended_is_shut_down_first(desired, observed):
    assert next_step(desired, observed) is Step.SHUT_DOWN


@pytest.mark.parametrize("observed", ENDED)
def test_what_has_ended_stays_for_its_logs_until_it_is_to_be_removed(observed):
    assert next_step(TaskState.RUNNING, observed) is Step.NOTHING
    assert next_step(TaskState.SHUTDOWN, observed) is Step.NOTHING
    assert next_step(TaskState.REMOVE, observed) is Step.REMOVE


@pytest.mark.parametrize("state", [TaskState.ASSIGNED, TaskState.PREPARING, TaskState.READY])
def test_what_fails_before_starting_is_rejected(state):
    after = failed(status(state, "preparing"), TaskFailure("No such image: x:latest"), THEN)
    assert (after.state, after.message, after.err) == (TaskState.REJECTED, "preparing", "No such image: x:latest")
    assert after.container is None


@pytest.mark.parametrize("state", [TaskState.STARTING, TaskState.RUNNING])
def test_what_fails_from_starting_on_has_failed(state):
    before = advanced(status(state), state, "started", THEN, ContainerStatus(container_id="c", pid=7))
    after = failed(before, exited(137), THEN)
    assert (after.state, after.message, after.err) == (TaskState.FAILED, "started", "task: non-zero exit (137)")
    assert after.container == ContainerStatus(container_id="c", pid=7, exit_code=137)


def test_the_cause_of_an_exit_stands_behind_it():
    assert str(exited(137, "dockerexec: unhealthy container")) == (
        "task: non-zero exit (137): dockerexec: unhealthy container"
    )
    assert str(exited(0, "dockerexec: unhealthy container")) == "dockerexec: unhealthy container"


def test_what_is_hindered_stays_and_says_why_until_it_goes_on():
    waiting = hindered(status(TaskState.PREPARING, "preparing"), "the engine is away", THEN)
    assert (waiting.state, waiting.message, waiting.err) == (TaskState.PREPARING, "preparing", "the engine is away")
    assert advanced(waiting, TaskState.READY, "prepared", THEN).err == ""


def test_a_task_never_goes_back():
    with pytest.raises(ValueError, match="does not go back from running to ready"):
        advanced(status(TaskState.RUNNING), TaskState.READY, "prepared", THEN)
