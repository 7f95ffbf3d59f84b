"""etcd's settings, made from a MemberConfig, and the files around a member.

They are written as an environment file (``ETCD_NAME=…``), which the unit swarmd-etcd.service reads
(``EnvironmentFile=``) and a plain child process is given.
Source: etcd 3.5 ``etcd --help``; why each value: control-notes.md parts 1, 2 and 6.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from swarmd.files import private_folder, write_atomically

PEER_PORT = 2380
ADVERTISED_TO_NOBODY = "http://127.0.0.1:2379"
"""etcd demands a client address that looks like host:port; ours is a unix socket, which no other host uses."""
DEFAULT_CLUSTER = "swarmd"


class InitialState(StrEnum):
    NEW = "new"
    EXISTING = "existing"


@dataclass(frozen=True)
class PeerFiles:
    """PEM files of the peers' own CA, read by etcd at every handshake (the CA: at start only)."""

    certificate: Path
    key: Path
    authority: Path
    revoked: Path
    """DER revocation list. It must exist: without it every handshake fails."""


@dataclass(frozen=True)
class MemberConfig:
    name: str
    """The node's id."""
    folder: Path
    """Of this member alone, 0700; its path is short enough for a unix socket below it (under 90 characters)."""
    peer_url: str
    """``https://host:port`` at which the other members reach it."""
    peers: PeerFiles
    listen_url: str = ""
    """``https://host:port`` to bind to; the peer URL where empty."""
    heartbeat_ms: int = 50
    election_ms: int = 300
    """50/300 does not hold under load on emulated machines: 100/1000 there."""

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def socket(self) -> Path:
        """etcd's client port. Its folder is 0700, because etcd makes the socket 0755."""
        return self.folder / "client" / "c.sock"

    @property
    def environment(self) -> Path:
        return self.folder / "etcd.env"

    @property
    def log(self) -> Path:
        """Of an etcd that runs as a plain child; systemd's journal has the unit's."""
        return self.folder / "etcd.log"


def settings(
    config: MemberConfig, cluster: Sequence[tuple[str, str]], state: InitialState, *, token: str = DEFAULT_CLUSTER
) -> dict[str, str]:
    """etcd's flags, without their dashes.

    :param cluster: name and peer URL of each member as the cluster is when this one starts for the first time, itself
        included. etcd ignores it, ``state`` and ``token`` once it has a log of its own.
    :param token: for a new cluster, ``new_token()``: what its ids are made from besides URLs.
    """
    return {
        "name": config.name,
        "data-dir": str(config.data),
        "listen-client-urls": f"unix://{config.socket}",
        "advertise-client-urls": ADVERTISED_TO_NOBODY,
        "listen-peer-urls": config.listen_url or config.peer_url,
        "initial-advertise-peer-urls": config.peer_url,
        "initial-cluster": ",".join(f"{name}={url}" for name, url in cluster),
        "initial-cluster-state": state.value,
        "initial-cluster-token": token,
        "heartbeat-interval": str(config.heartbeat_ms),
        "election-timeout": str(config.election_ms),
        # The check costs 5 s per join; admission.py and removal.py ask the members' health instead.
        "strict-reconfig-check": "false",
        "max-txn-ops": "4096",
        "max-request-bytes": "8388608",
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": "10m",
        "snapshot-count": "10000",
        "peer-client-cert-auth": "true",
        # A machine with several addresses may call from another one than it is reached at; the CA and its revocation
        # list say who may call.
        "experimental-peer-skip-client-san-verification": "true",
        "peer-cert-file": str(config.peers.certificate),
        "peer-key-file": str(config.peers.key),
        "peer-trusted-ca-file": str(config.peers.authority),
        "peer-crl-file": str(config.peers.revoked),
        "log-level": "warn",
    }


def new_token() -> str:
    """For each new cluster another one: a member of an earlier cluster at the same URL must not be taken for ours."""
    return f"{DEFAULT_CLUSTER}-{secrets.token_hex(8)}"


def as_environment(flags: Mapping[str, str]) -> dict[str, str]:
    return {f"ETCD_{flag.upper().replace('-', '_')}": value for flag, value in flags.items()}


def prepare(
    config: MemberConfig, cluster: Sequence[tuple[str, str]], state: InitialState, *, token: str = DEFAULT_CLUSTER
) -> None:
    """Write the environment file and make the folders, so that the member can be started."""
    for folder in (config.folder, config.socket.parent):
        private_folder(folder)
    environment = as_environment(settings(config, cluster, state, token=token))
    lines = [f'{name}="{_quoted(value)}"\n' for name, value in environment.items()]
    write_atomically(config.environment, "".join(lines).encode())


def read_environment(path: Path) -> dict[str, str]:
    """The environment file's variables; empty where there is none."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in text.splitlines() if line)
    return {name: re.sub(r"\\(.)", r"\1", value.removeprefix('"').removesuffix('"')) for name, _, value in pairs}


def _quoted(value: str) -> str:
    """For systemd's EnvironmentFile=: within double quotes (systemd.exec(5))."""
    return re.sub(r'(["\\`$])', r"\\\1", value)
