"""``python -m swarmd.supervisor [--etcd-socket PATH] -- COMMAND…``: run the command for ever, see that it is alive."""

from __future__ import annotations

import sys
from functools import partial

from swarmd.supervisor.gateway import hand_over
from swarmd.supervisor.loop import Supervisor

USAGE = "usage: python -m swarmd.supervisor [--etcd-socket PATH] -- COMMAND..."
ETCD_SOCKET = "/var/lib/swarmd/etcd/client/c.sock"


def main(arguments: list[str]) -> int:
    # argparse would cost 2 MB of the 12 that this process may take.
    own, dashes, command = arguments, "", list[str]()
    if "--" in arguments:
        at = arguments.index("--")
        own, dashes, command = arguments[:at], "--", arguments[at + 1 :]
    socket_path = ETCD_SOCKET
    if len(own) == 2 and own[0] == "--etcd-socket":
        socket_path, own = own[1], []
    if own or not dashes or not command:
        print(USAGE, file=sys.stderr)
        return 2
    return Supervisor(command, partial(hand_over, socket_path)).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
