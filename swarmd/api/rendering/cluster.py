"""The cluster, as ``docker swarm`` and ``docker info`` show it."""

from __future__ import annotations

import base64
from functools import lru_cache

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from swarmd.api.rendering.common import Json, in_order, meta
from swarmd.model import Cluster, SwarmSpec, TLSInfo
from swarmd.store import Entry


def cluster(entry: Entry[Cluster], *, tokens: bool) -> Json:
    """``GET /swarm``; without tokens it is ``docker info``'s Swarm.Cluster."""
    value = entry.value
    shown = meta(entry) | {
        "Spec": swarm_spec(value.spec),
        "TLSInfo": msgspec.to_builtins(root_info(value.ca_certificate)),
        "RootRotationInProgress": False,
        "DefaultAddrPool": value.default_addr_pool,
        "SubnetSize": value.subnet_size,
        "DataPathPort": value.data_path_port,
    }
    if tokens:
        shown["JoinTokens"] = {"Worker": value.worker_token, "Manager": value.manager_token}
    return shown


@lru_cache(maxsize=4)
def root_info(certificate: str) -> TLSInfo:
    """What identifies the root; the CLI compares it with each node's. Of a damaged certificate only its text."""
    try:
        root = x509.load_pem_x509_certificate(certificate.encode())
    except ValueError:
        return TLSInfo(trust_root=certificate)
    key = root.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return TLSInfo(
        trust_root=certificate,
        cert_issuer_subject=base64.b64encode(root.subject.public_bytes()).decode(),
        cert_issuer_public_key=base64.b64encode(key).decode(),
    )


def swarm_spec(spec: SwarmSpec) -> Json:
    shown: Json = msgspec.to_builtins(spec)
    return shown | {"Labels": in_order(spec.labels)}
