"""The keeper: one sleeping process that holds the lab's network and mount namespaces.

The namespaces live as long as a process is in them, so ending the lab's processes takes every interface, rule, mount
and loop device with it: nothing is left to undo, whenever `provision` was killed. The mount namespace is a slave of
the machine's: what the machine unmounts is unmounted there too, what the lab mounts is seen by the lab alone.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from provisioner import command
from provisioner.errors import LabUnhealthy, ProvisionError
from provisioner.machines.namespaces.cgroup import LabCgroup
from provisioner.state import LabFolder

PART = "keeper"


class Keeper:
    def __init__(self, lab: LabFolder, cgroup: LabCgroup) -> None:
        self.lab = lab
        self.cgroup = cgroup

    @property
    def pid(self) -> int | None:
        """Its process id, once the namespaces are made and it sleeps in them."""
        for pid in self.cgroup.processes(PART):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text() == "sleep\n":
                    return pid
        return None

    @property
    def network(self) -> Path:
        """A stable name for the lab's network namespace, for `nsenter --net=`."""
        return self.lab.path / "net"

    def start(self) -> None:
        """Make the namespaces, unless they are there."""
        if self.pid is None:
            self._launch()
        self.network.unlink(missing_ok=True)
        self.network.symlink_to(f"/proc/{self.pid}/ns/net")

    def _launch(self) -> None:
        self.cgroup.kill(PART)  # what a killed `provision` left half-way
        title = f"provision: holds the namespaces of lab {self.lab.name}"
        hold = ["bash", "-c", 'echo ready; exec -a "$1" sleep infinity', "bash", title]
        argv = self.cgroup.joining(PART, ["unshare", "--net", "--mount", "--propagation", "slave", "--", *hold])
        with subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True, cwd="/",
        ) as process:  # fmt: skip
            assert process.stdout is not None  # noqa: S101
            assert process.stderr is not None  # noqa: S101
            if process.stdout.readline() != "ready\n":
                raise ProvisionError(
                    f"the namespaces of lab {self.lab.name!r} could not be made: {process.stderr.read().strip()}",
                    hint="provision doctor",
                )
            process.stdout.close()
            process.stderr.close()
            while self.pid is None:  # it has said that it is ready, and is about to become `sleep`
                if process.poll() is not None:
                    raise ProvisionError(f"the keeper of lab {self.lab.name!r} has ended", hint="repeat the command")
                time.sleep(0.001)
            # It is to outlive us: do not wait for it at the end of the `with` block.
            process.returncode = 0

    def inside(self, argv: Sequence[str | Path]) -> list[str]:
        """The argv that runs a program in the lab's namespaces.

        :raises LabUnhealthy: there are none.
        """
        pid = self.pid
        if pid is None:
            raise LabUnhealthy(f"lab {self.lab.name!r} is stopped", hint=f"provision start --name {self.lab.name}")
        enter = ["nsenter", f"--net=/proc/{pid}/ns/net", f"--mount=/proc/{pid}/ns/mnt", "--"]
        return [*enter, *map(str, argv)]

    def run(self, argv: Sequence[str | Path], *, timeout: float = 30, check: bool = True) -> command.Result:
        return command.run(self.inside(argv), timeout=timeout, check=check)

    def script(self, text: str, *arguments: str | Path, timeout: float = 60) -> command.Result:
        """Run a shell script in the lab's namespaces; the first command that fails ends it."""
        return self.run(["sh", "-euc", text, "provision", *arguments], timeout=timeout)

    def spawn(self, part: str, argv: Sequence[str | Path], *, log: IO[str], pass_fds: Sequence[int] = ()) -> None:
        """Start a program in the lab's cgroup that outlives this one: in the lab's namespaces with `inside`."""
        process = subprocess.Popen(
            self.cgroup.joining(part, argv),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, pass_fds=pass_fds, cwd="/",
        )  # fmt: skip
        process.returncode = 0

    def path(self, path: Path) -> Path:
        """A path inside the lab's mount namespace, as seen from outside of it (proc(5), /proc/pid/root)."""
        return Path(f"/proc/{self.pid}/root") / path.relative_to("/")
