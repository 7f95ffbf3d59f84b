"""What systemd hands to a service, and is told by it: sd_listen_fds(3), sd_notify(3).

Without asyncio: the supervisor, which may take 12 MB, uses it as well.
"""

from __future__ import annotations

import os
import socket

FIRST = 3


def inherited_sockets() -> list[socket.socket]:
    """Those handed to this very process, which takes them out of the environment: no child shall think them its own."""
    mine = os.environ.pop("LISTEN_PID", "") == str(os.getpid())
    count = int(os.environ.pop("LISTEN_FDS", "0") or 0)
    os.environ.pop("LISTEN_FDNAMES", None)
    found = [socket.socket(fileno=number) for number in range(FIRST, FIRST + count)] if mine else []
    for one in found:
        one.setblocking(False)
        os.set_inheritable(one.fileno(), False)
    return found


def notify(state: str) -> None:
    """Send one message, such as ``READY=1``. Without systemd, or with a systemd that does not listen, nothing."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as stream:
            stream.sendto(state.encode(), address)
    except OSError:
        return
