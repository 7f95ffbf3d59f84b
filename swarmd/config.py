"""The daemon's configuration file, ``/etc/swarmd/swarmd.toml``: docs/operations.md explains each setting."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from swarmd.errors import SwarmError

DEFAULT_PATH = Path("/etc/swarmd/swarmd.toml")


class BadConfiguration(SwarmError):
    """The file cannot be read, or says what cannot be."""


class EtcdConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    binary: str = "/opt/swarmd/current/bin/etcd"
    etcdutl: str = "/opt/swarmd/current/bin/etcdutl"
    unit: str = "swarmd-etcd.service"
    """systemd unit that runs it; empty: a child process of the daemon."""
    heartbeat_interval: int = 50
    """Milliseconds."""
    election_timeout: int = 300
    """Milliseconds. A machine without hardware virtualisation needs 100 and 1000: 50 and 300 do not hold there."""
    peer_port: int = 2380


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    state_folder: str = "/var/lib/swarmd"
    engine_socket: str = "/run/docker-engine.sock"
    api_socket: str = "/run/swarmd/api.sock"
    """Listened on where systemd hands no socket over."""
    metrics_address: str = ""
    """host:port of ``/metrics``; empty: only on the API's socket."""
    log_level: str = "info"
    prefer_offline_image: bool = False
    """Pull an image only where it is missing: Docker's DOCKER_SERVICE_PREFER_OFFLINE_IMAGE."""
    etcd: EtcdConfig = EtcdConfig()

    @property
    def state(self) -> Path:
        return Path(self.state_folder)


def load(path: Path = DEFAULT_PATH, *, required: bool = False) -> Config:
    """
    :param required: the user named the file, so that its absence is an error.
    :raises BadConfiguration: with the file, the setting and what is wrong with it.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        if required:
            raise BadConfiguration(f"{path}: there is no such file") from None
        return Config()
    except OSError as error:
        raise BadConfiguration(f"{path}: {error.strerror}") from error
    try:
        return msgspec.convert(tomllib.loads(text), Config)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadConfiguration(f"{path}: {error}") from error
