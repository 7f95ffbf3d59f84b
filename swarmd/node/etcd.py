"""This node's one etcd: where its files are, and how it is run."""

from __future__ import annotations

from pathlib import Path

from swarmd.config import Config
from swarmd.member.arguments import MemberConfig, PeerFiles
from swarmd.member.process import ChildProcess, EtcdProcess, Unit
from swarmd.node.addresses import host_of
from swarmd.node.state import NodeState


def member_config(config: Config, node_id: str, local: NodeState) -> MemberConfig:
    folder = config.state / "etcd"
    host = host_of(local.advertise_address)
    at = f"[{host}]" if ":" in host else host
    tls = folder / "tls"
    return MemberConfig(
        name=node_id,
        folder=folder,
        peer_url=f"https://{at}:{config.etcd.peer_port}",
        peers=PeerFiles(tls / "peer.crt", tls / "peer.key", tls / "ca.crt", tls / "revoked.crl"),
        heartbeat_ms=config.etcd.heartbeat_interval,
        election_ms=config.etcd.election_timeout,
    )


def etcd_process(config: Config, member: MemberConfig) -> EtcdProcess:
    return Unit(config.etcd.unit) if config.etcd.unit else ChildProcess(Path(config.etcd.binary), member)
