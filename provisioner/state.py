"""What `provision` keeps on disk: one folder per lab, its record, and the lock that one verb at a time holds.

The record is written before the first machine exists, so that `down` can work from it alone whatever happened
in between. Every write is atomic: a reader sees the old file or the new one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from provisioner.errors import LabBusy, LabNotFound, MachineLacks, ProvisionError
from provisioner.lab import LabSpec, valid_name

FORMAT = 1
HOME_VARIABLE = "PROVISION_HOME"
ROOTS_HOME = Path("/var/lib/provision")


class Record(BaseModel):
    """A lab as it was made. ``id`` marks everything on the machine that belongs to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    id: str
    created: datetime
    spec: LabSpec

    @property
    def mark(self) -> str:
        """The lab's name and id: what its cgroup is called, and what handed-over machines bear."""
        return f"{self.spec.name}.{self.id}"


class LabFolder:
    """The files of one lab. Properties are paths, whether or not the file is there."""

    def __init__(self, home: Path, name: str) -> None:
        self.home = home
        self.name = name
        self.path = home / "labs" / name

    @property
    def record(self) -> Path:
        return self.path / "lab.json"

    @property
    def identity(self) -> Path:
        """Holds the lab's id alone, so that a damaged record does not hide what belongs to the lab."""
        return self.path / "id"

    @property
    def lock(self) -> Path:
        return self.home / "locks" / f"{self.name}.lock"

    @property
    def key(self) -> Path:
        """The private key that opens every host of the lab (user root)."""
        return self.path / "id_ed25519"

    @property
    def ssh_config(self) -> Path:
        return self.path / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        return self.path / "known_hosts"

    @property
    def inventory(self) -> Path:
        return self.path / "inventory.yml"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def host(self, name: str) -> Path:
        return self.path / "hosts" / name

    def new_log(self, what: str) -> Path:
        """A fresh file name under logs/, for example logs/20261124-081500-up.log."""
        self.logs.mkdir(parents=True, exist_ok=True)
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        return self.logs / f"{stamp}-{what}.log"


def home() -> Path:
    """The folder of all labs and caches: $PROVISION_HOME, else /var/lib/provision for root, else a folder of the
    user's (XDG Base Directory Specification: $XDG_DATA_HOME, ~/.local/share)."""
    if named := os.environ.get(HOME_VARIABLE):
        return Path(named).absolute()
    if os.geteuid() == 0:
        return ROOTS_HOME
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share").absolute() / "provision"


def folder(name: str) -> LabFolder:
    return LabFolder(home(), valid_name(name))


def lab_names() -> list[str]:
    """Every lab that has a folder, in alphabetical order."""
    labs = home() / "labs"
    return sorted(path.name for path in labs.iterdir() if path.is_dir()) if labs.is_dir() else []


def draft(spec: LabSpec) -> Record:
    """The record of a lab that is not there yet."""
    return Record(id=secrets.token_hex(4), created=datetime.now(UTC), spec=spec)


def create(lab: LabFolder, spec: LabSpec) -> Record:
    """Write the record of a new lab."""
    record = draft(spec)
    if not lab.identity.exists():  # a folder without a record: a run that was killed right here
        write_atomically(lab.identity, record.id + "\n")
    record = record.model_copy(update={"id": lab.identity.read_text().strip()})
    save(lab, record)
    return record


def save(lab: LabFolder, record: Record) -> None:
    write_atomically(lab.record, record.model_dump_json(indent=2) + "\n")


def load(lab: LabFolder) -> Record:
    """Read a lab's record.

    :raises LabNotFound: there is no such lab.
    :raises ProvisionError: its record is damaged, or of another version of `provision`.
    """
    try:
        text = lab.record.read_text()
    except FileNotFoundError as error:
        if lab.logs.exists():  # logs are written after the record
            raise damaged(lab, "it is missing") from error
        raise not_found(lab.name) from error
    try:
        version = json.loads(text).get("format")
    except (ValueError, AttributeError) as error:
        raise damaged(lab, "it is not JSON") from error
    if version != FORMAT:
        raise ProvisionError(
            f"lab {lab.name!r} was made by another version of provision "
            f"(its record has format {version}, this one reads {FORMAT})",
            hint=f"use that version, or take the lab away: provision down --name {lab.name}",
        )
    try:
        return Record.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise damaged(lab, f"{where}: {first['msg']}") from error


def not_found(name: str) -> LabNotFound:
    names = lab_names()
    if not names and os.geteuid() != 0 and (ROOTS_HOME / "labs").exists():
        return LabNotFound(f"you have no lab {name!r}", hint="root's labs are root's: sudo provision list")
    hint = f"labs here: {', '.join(names)}" if names else "make one: provision up --managers 3"
    return LabNotFound(f"there is no lab {name!r}", hint=hint)


def damaged(lab: LabFolder, why: str) -> ProvisionError:
    return ProvisionError(
        f"the record of lab {lab.name!r} is damaged: {why} ({lab.record})",
        hint=f"its hosts cannot be read from it any more; take the lab away: provision down --name {lab.name}",
    )


def write_atomically(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Replace a file in one step: readers and a crash see the old text or the new, never a part."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise disk_error(error, path) from error


def disk_error(error: OSError, path: Path) -> ProvisionError:
    if error.errno == errno.ENOSPC:
        free = shutil.disk_usage(path.parent if path.parent.exists() else "/").free
        return MachineLacks(
            f"no space left for {path} ({free >> 20} MiB free)",
            hint="free some disk, for example by `provision cache prune`, then repeat the command",
        )
    return ProvisionError(f"{path}: {error.strerror}")


@contextlib.contextmanager
def locked(lab: LabFolder, verb: str) -> Iterator[None]:
    """Hold the lab for one verb. The kernel drops the lock with the process, however that ends (flock(2)).

    :raises LabBusy: another `provision` holds it; the message says which.
    """
    with contextlib.ExitStack() as stack:
        try:
            descriptor = stack.enter_context(_lock(lab.lock, fcntl.LOCK_EX | fcntl.LOCK_NB))
        except BlockingIOError as error:
            holder = ""
            with contextlib.suppress(FileNotFoundError):
                holder = lab.lock.read_text(errors="replace").strip()
            raise LabBusy(
                f"lab {lab.name!r} is in use by {holder or 'another provision'}",
                hint="wait until it has ended; `provision status` may be asked meanwhile",
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"`provision {verb}` (process {os.getpid()})\n".encode())
        yield


@contextlib.contextmanager
def machine_lock(what: str) -> Iterator[None]:
    """Serialise work that labs share, such as building one image. Waits for its turn."""
    with _lock(home() / "locks" / f"machine-{what}.lock", fcntl.LOCK_EX):
        yield


def sweep_locks() -> None:
    """Delete the files of machine-wide locks that nobody holds: a killed process leaves its file behind."""
    for path in (home() / "locks").glob("machine-*.lock"):
        with contextlib.suppress(BlockingIOError), _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
            pass


@contextlib.contextmanager
def _lock(path: Path, operation: int) -> Iterator[int]:
    """:raises BlockingIOError: LOCK_NB was asked for and another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, operation)
        except BaseException:
            os.close(descriptor)
            raise
        if _is_current(descriptor, path):
            break
        os.close(descriptor)  # its holder unlinked it between our open and our lock: take the new file
    try:
        yield descriptor
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _is_current(descriptor: int, path: Path) -> bool:
    try:
        return os.fstat(descriptor).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
