"""``python -m swarmd.front``: serves Docker's socket until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import grp
import logging
import os
import resource
import shutil
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from swarmd import __version__
from swarmd.front.framing import Malformed
from swarmd.front.server import Front
from swarmd.front.servers import Servers, refusal, swarm_state
from swarmd.front.stream import Gone
from swarmd.front.upstreams import Unreachable, Upstream
from swarmd.systemd import inherited_sockets

SWARMD_SOCKET = "/run/swarmd/api.sock"
ENGINE_SOCKET = "/run/docker-engine.sock"
DOCKER_GROUP = "docker"
BACKLOG = 4096

log = logging.getLogger("swarmd.front")


class CannotListen(Exception):
    pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 after an orderly stop or a good check, 1 if it cannot serve."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    options = _parse(arguments)
    servers = Servers(Upstream("swarmd", options.swarmd), Upstream("the Docker Engine", options.engine))
    with asyncio.Runner() as runner:
        if options.check:
            return runner.run(_check(options.listen, servers))
        try:
            listeners = [listen(options.listen)] if options.listen else handed_over()
        except CannotListen as error:
            sys.stderr.write(f"{error}\n")
            return 1
        _raise_file_limit()
        runner.run(_serve(listeners, servers))
    if options.listen:
        Path(options.listen).unlink(missing_ok=True)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="swarmd-front", description="Docker's socket: swarmd's requests and the engine's"
    )
    parser.add_argument(
        "--listen", metavar="PATH", help="a unix socket to make, instead of those that systemd hands over"
    )
    parser.add_argument("--swarmd", metavar="PATH", default=SWARMD_SOCKET, help="swarmd's socket (%(default)s)")
    parser.add_argument("--engine", metavar="PATH", default=ENGINE_SOCKET, help="the engine's socket (%(default)s)")
    parser.add_argument("--check", action="store_true", help="say what it would serve, and whether both servers answer")
    parser.add_argument("--version", action="version", version=f"swarmd-front {__version__}")
    return parser.parse_args(arguments)


def listen(path: str) -> socket.socket:
    """A listening socket of mode 0660, the docker group's where there is one. One that a dead process left is replaced.

    :raises CannotListen: somebody listens on it, or it cannot be made.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, contextlib.suppress(FileNotFoundError):
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                Path(path).unlink()
            else:
                raise CannotListen(f"somebody listens on {path} already")
        mask = os.umask(0o117)
        try:
            sock.bind(path)
        finally:
            os.umask(mask)
        with contextlib.suppress(KeyError, PermissionError):
            shutil.chown(path, group=grp.getgrnam(DOCKER_GROUP).gr_gid)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise CannotListen(f"cannot listen on {path}: {error.strerror or error}") from error
    except CannotListen:
        sock.close()
        raise
    return sock


def handed_over() -> list[socket.socket]:
    """
    :raises CannotListen: systemd has handed over none.
    """
    if listeners := inherited_sockets():
        return listeners
    raise CannotListen("no socket to listen on: start swarmd-front.socket, or name one by --listen PATH")


def _raise_file_limit() -> None:
    """Two or three descriptors per client: systemd's soft limit of 1,024 is too few for a busy node."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(listeners: Sequence[socket.socket], servers: Servers) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    names = ", ".join(str(listener.getsockname()) for listener in listeners)
    log.info("serves %s: swarm's requests by %s, all else by %s", names, servers.swarmd.path, servers.engine.path)
    await Front(listeners, servers).run(stopped)


async def _check(path: str | None, servers: Servers) -> int:
    """What it would serve, on standard output. Returns 0 if the engine answers and leaves room for swarmd."""
    print(f"listens on {path or 'what systemd hands over: /run/docker.sock by swarmd-front.socket'}")
    try:
        (await servers.swarmd.connect()).close()
        print(f"swarmd at {servers.swarmd.path}: answers")
    except Unreachable as error:
        print(f"swarmd at {servers.swarmd.path}: {error}")
    try:
        state = await swarm_state(servers.engine)
    except (Unreachable, Gone, Malformed, ValueError, TimeoutError) as error:
        print(f"Docker Engine at {servers.engine.path}: {error or 'does not answer'}; see `systemctl status docker`")
        return 1
    if state != "inactive":
        print(refusal(servers.engine, state))
        return 1
    print(f"Docker Engine at {servers.engine.path}: answers, and is in no swarm of its own")
    return 0


if __name__ == "__main__":
    sys.exit(main())
