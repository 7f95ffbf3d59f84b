"""Statuses on their way to the managers."""

from __future__ import annotations

from agent_tasks import THEN

from swarmd.agent.outbox import Outbox
from swarmd.model import TaskState, TaskStatus

READY, RUNNING = (TaskStatus(timestamp=THEN, state=state) for state in (TaskState.READY, TaskState.RUNNING))


async def test_the_newest_status_of_each_task_stays_until_it_is_delivered():
    outbox = Outbox()
    outbox.put("a", READY)
    outbox.put("a", RUNNING)
    assert await outbox.some(10) == await outbox.some(10) == {"a": RUNNING}
    outbox.put("b", READY)
    outbox.delivered({"a": RUNNING})
    assert await outbox.some(10) == {"b": READY}


async def test_what_was_reached_while_an_older_status_was_on_its_way_stays():
    outbox = Outbox()
    outbox.put("a", READY)
    sent = await outbox.some(10)
    outbox.put("a", RUNNING)
    outbox.delivered(sent)
    assert await outbox.some(10) == {"a": RUNNING}


async def test_no_more_than_asked_for_at_once():
    outbox = Outbox()
    for task_id in "abc":
        outbox.put(task_id, READY)
    assert list(await outbox.some(2)) == ["a", "b"]
