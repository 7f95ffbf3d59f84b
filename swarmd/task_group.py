"""``asyncio.TaskGroup``, out of which no cancellation is lost.

Until Python 3.13 a group forgets that its own task was cancelled if one of the group's tasks fails at that moment.
Loops that catch failures and try again then never end: the daemon does not stop, and whoever waits for that waits for
ever.
"""

from __future__ import annotations

import asyncio
import sys
from types import TracebackType
from typing import Self

if sys.version_info >= (3, 13):
    TaskGroup = asyncio.TaskGroup
else:

    class TaskGroup(asyncio.TaskGroup):
        _cancelled_before: int
        """How often the task had been cancelled when it came here."""
        _parent_cancel_requested: bool
        """asyncio's: whether the group itself has cancelled the task, which it does at the first failure."""

        async def __aenter__(self) -> Self:
            self._cancelled_before = _this_task().cancelling()
            return await super().__aenter__()

        async def __aexit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            is_taken_back = self._parent_cancel_requested
            try:
                await super().__aexit__(kind, error, trace)
            except BaseExceptionGroup as failures:
                task = _this_task()
                if self._parent_cancel_requested and not is_taken_back:
                    task.uncancel()  # asyncio takes it back only where the failure came before this exit
                if task.cancelling() > self._cancelled_before:
                    raise asyncio.CancelledError from failures
                raise


def _this_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 (a group is of a task)
    return task
