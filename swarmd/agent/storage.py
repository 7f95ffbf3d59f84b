"""The node's tasks on its disk, one file each, so that they go on without any manager."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from swarmd.files import half_written, private_folder, write_atomically
from swarmd.model import Task

log = logging.getLogger(__name__)

_ID = re.compile(r"[0-9a-z]+")
_SUFFIX = ".json"
_DAMAGED = ".damaged"


class Storage:
    """Files in ``folder``, which is made. Each holds a task with the status that the agent knows. Calls block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        private_folder(folder)

    def load(self) -> list[Task]:
        """All that can be read. What cannot is set aside under another name, with a line in the log."""
        for half in half_written(self._folder):
            half.unlink()
        return list(self._readable())

    def _readable(self) -> Iterator[Task]:
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            try:
                task = msgspec.json.decode(path.read_bytes(), type=Task)
            except (OSError, ValueError) as error:
                self._set_aside(path, str(error))
                continue
            if task.id == path.stem:
                yield task
            else:
                self._set_aside(path, f"it holds task {task.id}")

    def _set_aside(self, path: Path, reason: str) -> None:
        aside = path.with_suffix(_DAMAGED)
        log.error("a task's file is damaged and set aside as %s: %s", aside, reason)
        path.replace(aside)

    def save(self, task: Task) -> None:
        """The file holds either the old task or the new one, whenever the power goes."""
        write_atomically(self._path(task.id), msgspec.json.encode(task))

    def delete(self, task_id: str) -> None:
        self._path(task_id).unlink(missing_ok=True)

    def _path(self, task_id: str) -> Path:
        if not _ID.fullmatch(task_id):
            raise ValueError(f"no task's id: {task_id!r}")
        return self._folder / f"{task_id}{_SUFFIX}"
