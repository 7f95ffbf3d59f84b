"""The lab's cgroup: every process of a lab is in it, so that `down` finds them all and nothing else.

    provision/<lab>.<id>/keeper            the process that holds the lab's namespaces
                        /services          resolver, uplink
                        /monitor, /host    LXC's monitors and the hosts themselves
                        /work              a running `provision` with its children (ssh, Ansible, pytest)

On cgroup v1 the tree stands once per hierarchy; LXC uses all of them, our own processes two: `pids`, and `systemd`'s
named one, lest logind ends them with the user's session.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import ProvisionError

ROOT = "provision"
KILL_SECONDS = 10
FREEZE_SECONDS = 5


def mounted_hierarchies() -> tuple[list[Path], list[Path]]:
    """Where cgroup file systems of version 1 and of version 2 are mounted. Both: v1 holds the controllers."""
    v1: list[Path] = []
    v2: list[Path] = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mountpoint, kind, *_ = line.split()
        if kind == "cgroup":
            v1.append(Path(mountpoint))
        elif kind == "cgroup2":
            v2.append(Path(mountpoint))
    return v1, v2


class LabCgroup:
    def __init__(self, name: str) -> None:
        """:param name: the lab's name and id, for example ``lab.1f2e3d4c``."""
        self.path = f"{ROOT}/{name}"
        v1, v2 = mounted_hierarchies()
        self.v2 = not v1
        self.hierarchies = v1 or v2
        self.everywhere = [*v1, *v2]
        # With v1, one hierarchy is enough to find every process again.
        preferred = [h for h in self.hierarchies if h.name == "pids"] or self.hierarchies[:1]
        if not preferred:
            raise ProvisionError("no cgroup file system is mounted", hint="provision doctor")
        self.main = preferred[0]
        self.own = self.main, *(h for h in self.hierarchies if h.name == "systemd" and h != self.main)

    def directory(self, part: str = "") -> Path:
        return self.main / self.path / part

    def processes(self, part: str = "") -> list[int]:
        """Process ids in a part of the lab's tree, sub-cgroups included."""
        found: list[int] = []
        for directory, _, _ in os.walk(self.directory(part)):
            with contextlib.suppress(OSError):
                found += [int(pid) for pid in (Path(directory) / "cgroup.procs").read_text().split()]
        return found

    def joining(self, part: str, argv: Sequence[str | Path]) -> list[str]:
        """An argv that enters a part of the lab's cgroup and then becomes ``argv``, keeping its process id."""
        enter = []
        for hierarchy in self.own:
            directory = hierarchy / self.path / part
            directory.mkdir(parents=True, exist_ok=True)
            enter.append(f"echo $$ > {directory}/cgroup.procs")
        return ["sh", "-c", " && ".join([*enter, 'exec "$@"']), "sh", *map(str, argv)]

    @contextlib.contextmanager
    def joined(self, part: str = "work") -> Iterator[None]:
        """Be in a part of the lab's cgroup, and with this process every child that it starts."""
        before = _own_cgroups()
        for hierarchy in self.own:
            directory = hierarchy / self.path / part
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "cgroup.procs").write_text(str(os.getpid()))
        try:
            yield
        finally:
            self.leave(before)

    def leave(self, before: dict[str, str] | None = None) -> None:
        """Go back to where this process was, or to the top where that is unknown."""
        for hierarchy in self.own:
            controller = "" if self.v2 else f"name={hierarchy.name}" if hierarchy.name == "systemd" else hierarchy.name
            was = (before or {}).get(controller, "/").lstrip("/")
            if was.startswith(f"{self.path}/"):
                was = ""
            # systemd removes a scope (of `systemd-run`, of a desktop's application) when its last process goes.
            for place in dict.fromkeys((was, "")):
                with contextlib.suppress(OSError):
                    (hierarchy / place / "cgroup.procs").write_text(str(os.getpid()))
                    break

    def kill(self, part: str = "", *, seconds: float = KILL_SECONDS) -> None:
        """End every process in a part of the lab's tree but this one, and wait until they are gone.

        :raises ProvisionError: some are still there after ``seconds``.
        """
        self._thaw(part)
        deadline = time.monotonic() + seconds
        while victims := [pid for pid in self.processes(part) if pid != os.getpid()]:
            for pid in victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise ProvisionError(
                    f"{len(victims)} processes of the lab do not end: {_names(victims)}",
                    hint="they may wait for a disk; repeat the command",
                )
            time.sleep(0.01)

    def freeze(self, part: str, *, seconds: float = FREEZE_SECONDS) -> None:
        """Stop every process in a part of the lab's tree where it is, and wait until all stand still.

        :raises ProvisionError: the kernel has no freezer, or some do not stand still after ``seconds``.
        """
        freezer = self._freezer(part)
        if freezer is None:
            raise ProvisionError(f"nothing here can freeze {self.path}/{part}", hint="provision doctor")
        deadline = time.monotonic() + seconds
        freezer.write(frozen=True)
        while not freezer.is_frozen():
            if time.monotonic() > deadline:
                freezer.write(frozen=False)
                raise ProvisionError(
                    f"the processes of {self.path}/{part} do not stand still", hint="repeat the command"
                )
            time.sleep(0.01)
            freezer.write(frozen=True)  # v1 gives up on a process that was just starting another

    def thaw(self, part: str) -> None:
        """Let what was frozen go on; what is frozen inside (a paused container) stays so."""
        if freezer := self._freezer(part):
            freezer.write(frozen=False)

    def _freezer(self, part: str) -> _Freezer | None:
        hierarchy = self.main if self.v2 else next((h for h in self.hierarchies if h.name == "freezer"), None)
        folder = hierarchy / self.path / part if hierarchy else None
        return _Freezer(folder, v2=self.v2) if folder and folder.is_dir() else None

    def remove(self) -> None:
        """Take the (empty) tree away in every hierarchy."""
        for hierarchy in self.everywhere:
            top = hierarchy / self.path
            for _ in range(50):
                if _remove_tree(top):
                    break
                time.sleep(0.02)  # the kernel frees a cgroup a moment after its last process
            with contextlib.suppress(OSError):
                (hierarchy / ROOT).rmdir()  # fails while another lab is there

    def clear(self, part: str) -> None:
        """Remove an empty part, which an aborted start may have left: LXC would go on under another name."""
        for hierarchy in self.everywhere:
            _remove_tree(hierarchy / self.path / part)

    def _thaw(self, part: str) -> None:
        # SIGKILL waits for a frozen process to thaw on cgroup v1.
        freezer = next((h for h in self.hierarchies if h.name == "freezer"), None)
        if freezer is None:
            return
        for directory, _, _ in os.walk(freezer / self.path / part):
            with contextlib.suppress(OSError):
                (Path(directory) / "freezer.state").write_text("THAWED")


@dataclass(frozen=True)
class _Freezer:
    """A cgroup's freezer: of cgroup v1 (freezer.state), or of v2 (cgroup.freeze)."""

    folder: Path
    v2: bool

    def write(self, *, frozen: bool) -> None:
        name = "cgroup.freeze" if self.v2 else "freezer.state"
        word = str(int(frozen)) if self.v2 else "FROZEN" if frozen else "THAWED"
        (self.folder / name).write_text(word)

    def is_frozen(self) -> bool:
        if self.v2:
            return "frozen 1" in (self.folder / "cgroup.events").read_text()
        return (self.folder / "freezer.state").read_text().strip() == "FROZEN"


def _remove_tree(top: Path) -> bool:
    for directory, _, _ in os.walk(top, topdown=False):
        with contextlib.suppress(OSError):
            Path(directory).rmdir()
    return not top.exists()


def _own_cgroups() -> dict[str, str]:
    """Controller -> path of this process; the controller of v2 is the empty string (cgroups(7))."""
    own = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            own[controller] = path
    return own


def _names(pids: Sequence[int]) -> str:
    words = []
    for pid in pids[:5]:
        with contextlib.suppress(OSError):
            words.append(f"{Path(f'/proc/{pid}/comm').read_text().strip()} ({pid})")
    return ", ".join(words)
