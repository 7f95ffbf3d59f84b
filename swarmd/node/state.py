"""What a node remembers of its membership: a file that is written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import msgspec
import structlog

from swarmd.files import private_folder, sync_folder, write_atomically
from swarmd.wire import Manager

log = structlog.get_logger()

FILE = "node.json"


class NodeState(msgspec.Struct, frozen=True):
    """Its id, its cluster and its role stand in the certificate."""

    listen_address: str
    """host:port that the cluster port is bound to while the node is a manager."""
    advertise_address: str
    """host:port under which others reach it."""
    data_path_address: str = ""
    managers: list[Manager] = []
    """Those that the node heard of last."""


def load(folder: Path) -> NodeState | None:
    """None where the node is in no cluster. A damaged file is set aside: the certificate then says who the node is."""
    path = folder / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=NodeState)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        aside = path.with_suffix(".damaged")
        path.rename(aside)
        log.warning("the file of this node's membership is damaged and was set aside", file=str(aside), why=str(error))
        return None


def save(folder: Path, state: NodeState) -> None:
    write_atomically(private_folder(folder) / FILE, msgspec.json.format(msgspec.json.encode(state)))


def forget(folder: Path) -> None:
    (folder / FILE).unlink(missing_ok=True)
    sync_folder(folder)
