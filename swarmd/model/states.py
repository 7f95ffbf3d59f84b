"""The states of a task, in their order. Neither the observed nor the desired one ever goes back."""

from __future__ import annotations

import enum


class TaskState(enum.IntEnum):
    """Numbers as in swarmkit's ``api/types.proto``, which leaves room between them."""

    NEW = 0
    PENDING = 64
    ASSIGNED = 192
    ACCEPTED = 256
    PREPARING = 320
    READY = 384
    STARTING = 448
    RUNNING = 512
    COMPLETE = 576
    SHUTDOWN = 640
    FAILED = 704
    REJECTED = 768
    REMOVE = 800
    """Only ever desired: the task is to stop and to be forgotten."""
    ORPHANED = 832

    @property
    def word(self) -> str:
        """As Docker's API says it: ``running``."""
        return self.name.lower()

    @property
    def is_final(self) -> bool:
        """Whether the task has ended, in whatever way, and will never run again."""
        return self > TaskState.RUNNING

    @classmethod
    def of(cls, word: str) -> TaskState:
        """
        :raises KeyError: Docker has no such state.
        """
        return cls[word.upper()]
