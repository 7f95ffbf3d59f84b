"""Every error that a user can meet, and the exit code that it ends the command with.

    ProvisionError               1   something that was tried did not work
    ├── UsageError               2   what was asked for cannot be (typer's own usage errors are 2 too)
    ├── LabNotFound              3   no lab of that name
    ├── LabUnhealthy             4   the lab is not what its spec says
    ├── ChecksFailed             5   a check or an expectation failed
    ├── LabBusy                  6   another `provision` works on this lab
    └── MachineLacks             7   this machine lacks a program, a right, memory, disk or network
    (interrupted)              130

An error says what happened and to what; `hint` says what to do next, preferably as a command to paste.
"""

from __future__ import annotations

from pathlib import Path


class ProvisionError(Exception):
    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", log: Path | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.log = log


class UsageError(ProvisionError):
    exit_code = 2


class LabNotFound(ProvisionError):
    exit_code = 3


class LabUnhealthy(ProvisionError):
    exit_code = 4


class ChecksFailed(ProvisionError):
    exit_code = 5


class LabBusy(ProvisionError):
    exit_code = 6


class MachineLacks(ProvisionError):
    exit_code = 7


INTERRUPTED = 130
