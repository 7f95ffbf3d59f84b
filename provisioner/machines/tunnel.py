"""A host's Docker socket on this machine, forwarded by an ssh of its own that outlives `provision`.

For hosts whose files this machine cannot see. The ssh serves a socket in the lab's folder (``ssh -L``, ssh(1)); the
swarm's state is then read there as from a local engine.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from provisioner import command
from provisioner.command import CommandFailed
from provisioner.machines import ssh
from provisioner.state import LabFolder

REMOTE = "/run/docker.sock"
OPEN_SECONDS = 20
# A host that does not answer costs up to ConnectTimeout; `status` and what polls it must not pay that each time.
RETRY_SECONDS = 3
# ssh makes a control socket under a longer name first: a dot and 16 letters more (ControlPath, mux.c).
_CONTROL_SUFFIX = 17


class Tunnel:
    def __init__(self, lab: LabFolder, name: str, wrap: Callable[[Sequence[str]], list[str]] = list) -> None:
        """:param wrap: puts the ssh where it belongs, for example into the lab's cgroup."""
        self.lab = lab
        self.name = name
        self.wrap = wrap
        self._tried = 0.0

    @property
    def socket(self) -> Path:
        return self.lab.host(self.name) / "docker.sock"

    @property
    def _control(self) -> Path:
        return ssh.control_folder(self.lab) / f"{self.name}.tunnel"

    @property
    def sockets(self) -> list[Path]:
        """The paths of all sockets that it makes, the short-lived one included."""
        return [self.socket, self._control.with_name(f"{self._control.name}{'.' * _CONTROL_SUFFIX}")]

    def is_open(self) -> bool:
        """Whether its ssh is there. One whose host has gone ends by itself, after ServerAliveInterval's 15 s."""
        with socket.socket(socket.AF_UNIX) as attempt:
            attempt.settimeout(1)
            try:
                attempt.connect(str(self._control))
            except OSError:
                return False
        return self.socket.is_socket()

    def open(self) -> bool:
        """Have it open; tries again only after a while where the host did not let it.

        :returns: whether it is.
        """
        if self.is_open():
            return True
        if time.monotonic() - self._tried < RETRY_SECONDS:
            return False
        self.close()
        self.socket.parent.mkdir(parents=True, exist_ok=True)
        options = [
            "-M", "-S", str(self._control), "-f", "-N", "-T",
            "-o", "ControlPersist=no", "-o", "ExitOnForwardFailure=yes", "-o", "StreamLocalBindUnlink=yes",
            "-L", f"{self.socket}:{REMOTE}",
        ]  # fmt: skip
        try:
            # Its standard error would keep our pipe open for as long as it lives in the background.
            with (self.lab.path / "tunnels.log").open("a") as log:
                command.run(
                    self.wrap(ssh.argv(self.lab, self.name, [], options=options)), timeout=OPEN_SECONDS, log=log
                )
        except CommandFailed:
            self._tried = time.monotonic()
        return self.is_open()

    def close(self) -> None:
        """End its ssh. May be repeated."""
        ssh.end(self.lab, self.name, self._control)
        self.socket.unlink(missing_ok=True)
