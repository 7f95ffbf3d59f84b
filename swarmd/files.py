"""Files that are whole at any moment, also when the power fails."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_UNFINISHED = ".new"


def write_atomically(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace a file: it is the old one or the new one at any moment, and lasts once this has returned.

    :raises OSError: nothing was changed.
    """
    number, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_UNFINISHED, dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def half_written(folder: Path) -> list[Path]:
    """What a crash in the middle of a write has left; worth nothing."""
    return list(folder.glob(f".*{_UNFINISHED}"))


def sync_folder(folder: Path) -> None:
    """Make a rename or a removal in it outlast a loss of power."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def private_folder(folder: Path) -> Path:
    """Have a folder that only its owner enters."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder
