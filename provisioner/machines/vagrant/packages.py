"""Debian packages for machines that are slow or have no way out: fetched once, by this machine, for all of them.

While the playbook runs, each machine's apt is led through its ssh (``ssh -R``) to an HTTP proxy in this process, which
keeps packages in ``cache/packages/http``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from provisioner import command
from provisioner.errors import ProvisionError
from provisioner.machines import ssh
from provisioner.machines.vagrant import proxy
from provisioner.state import LabFolder, home

# On the machine's loopback; the port that apt's caches have by custom.
REMOTE_PORT = 3142
FORWARD_SECONDS = 30


def folder() -> Path:
    return home() / "cache" / "packages" / "http"


@contextlib.contextmanager
def served(lab: LabFolder, names: Sequence[str]) -> Iterator[Mapping[str, object]]:
    """Serve packages to running machines for the length of the block.

    :returns: the playbook's variables that lead apt here.
    :raises ProvisionError: a machine does not let the port be forwarded.
    """
    with ExitStack() as stack:
        port = stack.enter_context(proxy.serving(folder()))
        for name in names:
            forward = f"{REMOTE_PORT}:127.0.0.1:{port}"
            _control(lab, name, "forward", forward)
            stack.callback(_control, lab, name, "cancel", forward, check=False)
        yield {"proxy_env": {"http_proxy": f"http://127.0.0.1:{REMOTE_PORT}"}}


def _control(lab: LabFolder, name: str, what: str, forward: str, *, check: bool = True) -> None:
    """Add a forward to the shared connection of a machine, or take it away (ssh(1), -O)."""
    if check:  # there must be a shared connection
        command.run(ssh.argv(lab, name, ["true"]), timeout=FORWARD_SECONDS)
    done = command.run(
        ssh.argv(lab, name, [], options=["-O", what, "-R", forward]), timeout=FORWARD_SECONDS, check=False
    )
    if check and done.status != 0:
        raise ProvisionError(
            f"{name} does not let its port {REMOTE_PORT} be forwarded: {done.stderr.strip()}",
            hint="its sshd may forbid it (AllowTcpForwarding); a box with Docker's packages inside needs none: "
            "provision box build",
        )
