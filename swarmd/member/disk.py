"""What of a member lies on this node's disk."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from swarmd.files import sync_folder
from swarmd.member.arguments import MemberConfig

DISCARDED = ".discarded"


def has_log(data: Path) -> bool:
    """Whether etcd has a log of its own there, and so remembers which member it is.

    etcd makes the log's folder whole or not at all: it renames it into place.
    """
    return any((data / "member" / "wal").glob("*.wal"))


def loaded_bytes(data: Path) -> int:
    """Bytes of the database and of what a joiner is receiving to become it."""
    total = 0
    for file in (data / "member" / "snap").glob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


def wipe(data: Path) -> None:
    """Remove a member's data. Interrupted anywhere, there is either the whole of it or none at its place.

    A half-removed log must never be started: it would be a voter that has forgotten its vote.
    """
    discarded = data.with_name(data.name + DISCARDED)
    shutil.rmtree(discarded, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        data.rename(discarded)
        sync_folder(data.parent)
    shutil.rmtree(discarded, ignore_errors=True)


class Exchange:
    """The folders that stand beside the data while they are exchanged for restored ones (quorum_loss.py)."""

    def __init__(self, config: MemberConfig) -> None:
        self.data = config.data
        self.old = config.data.with_name("data.old")
        self.restoring = config.data.with_name("data.restoring")
        self.restored = config.data.with_name("data.restored")
        """Has this name once it is whole."""
        self.snapshot = config.folder / "snapshot.db"

    def make(self) -> None:
        """Put the restored data in the place of the others, which are kept."""
        shutil.rmtree(self.old, ignore_errors=True)
        self.data.rename(self.old)
        self.restored.rename(self.data)
        sync_folder(self.data.parent)

    def undo(self) -> None:
        wipe(self.data)
        self.old.rename(self.data)
        sync_folder(self.data.parent)

    def complete(self) -> None:
        """At a start: put in place what a crash between two renames left without one."""
        if self.data.exists():
            return
        for folder in (self.restored, self.old):
            if folder.exists():
                folder.rename(self.data)
                sync_folder(self.data.parent)
                return

    def tidy(self) -> None:
        """Once the data in place have served, or are given up: nothing of an earlier member comes back later."""
        for folder in (self.old, self.restored, self.restoring):
            shutil.rmtree(folder, ignore_errors=True)
        self.snapshot.unlink(missing_ok=True)


def discard(config: MemberConfig) -> None:
    """Remove all data of an earlier member."""
    Exchange(config).tidy()
    wipe(config.data)


def forget(config: MemberConfig) -> None:
    """Remove all that would start this member again: the settings first, then the data."""
    config.environment.unlink(missing_ok=True)
    discard(config)
