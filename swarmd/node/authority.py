"""The keys of the cluster's two CAs, which every manager keeps: a lab that slept for months signs for itself."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path

import msgspec
from cryptography import x509

from swarmd.errors import Internal
from swarmd.files import private_folder, write_atomically
from swarmd.identity.root import PEERS_CA, RootCA, load_key, new_key, new_request
from swarmd.identity.vault import Vault
from swarmd.member import revocation
from swarmd.member.arguments import PeerFiles
from swarmd.model import NodeRole
from swarmd.node.addresses import host_of

FILE = "authority.json"
PEER_LIFE = timedelta(days=90)


class NoAuthority(Internal):
    """This node does not have the CAs' keys: it is no manager, or its file is damaged (``str()`` says which)."""


class Keys(msgspec.Struct, frozen=True):
    """As on disk, and as a manager hands them to one that joins; PEM."""

    root_certificate: str
    root_key: str
    peers_certificate: str
    peers_key: str


class Authority:
    def __init__(self, root: RootCA, peers: RootCA) -> None:
        """
        :param root: signs what nodes know each other by.
        :param peers: signs what etcd's members know each other by; workers never see it.
        """
        self.root, self.peers = root, peers

    @classmethod
    def create(cls) -> Authority:
        return cls(RootCA.create(), RootCA.create(PEERS_CA))

    @classmethod
    def from_keys(cls, keys: Keys) -> Authority:
        """
        :raises ValueError: the keys and certificates do not belong together.
        """
        return cls(
            RootCA.from_pem(keys.root_certificate.encode(), keys.root_key.encode()),
            RootCA.from_pem(keys.peers_certificate.encode(), keys.peers_key.encode()),
        )

    @classmethod
    def load(cls, folder: Path) -> Authority:
        """
        :raises NoAuthority:
        """
        path = folder / FILE
        try:
            return cls.from_keys(msgspec.json.decode(path.read_bytes(), type=Keys))
        except FileNotFoundError:
            raise NoAuthority(f"there is no {path}") from None
        except (msgspec.DecodeError, ValueError) as error:
            raise NoAuthority(f"{path} is damaged ({error})") from error

    @property
    def keys(self) -> Keys:
        return Keys(
            self.root.certificate_pem.decode(),
            (self.root.key_pem or b"").decode(),
            self.peers.certificate_pem.decode(),
            (self.peers.key_pem or b"").decode(),
        )

    @cached_property
    def vault(self) -> Vault:
        """By the peers' CA: it is no user's to rotate, and no external one can stand in its place."""
        return Vault(self.peers.key_pem or b"")

    def save(self, folder: Path) -> None:
        write_atomically(private_folder(folder) / FILE, msgspec.json.encode(self.keys))

    @staticmethod
    def forget(folder: Path) -> None:
        (folder / FILE).unlink(missing_ok=True)

    def sign_peer(self, files: PeerFiles, *, node_id: str, cluster_id: str, advertise_address: str) -> None:
        """Write the certificate, key and CA of this node's etcd; it reads them anew at every handshake.

        The serial number is made from the node's id, so that a node's certificates can be revoked by its id alone.
        """
        key = new_key()
        certificate = self.peers.sign(
            new_request(key),
            node_id=node_id,
            role=NodeRole.MANAGER,
            cluster_id=cluster_id,
            valid_for=PEER_LIFE,
            sans=[ip_address(host_of(advertise_address))],
            serial=serial_of(node_id),
        )
        private_folder(files.certificate.parent)
        # A handshake between these two writes fails; etcd repeats it, and running streams go on.
        write_atomically(files.key, key)
        write_atomically(files.certificate, certificate)
        write_atomically(files.authority, self.peers.certificate_pem)
        if not files.revoked.exists():
            self.revoke(files, set())

    @staticmethod
    def is_peer_due(files: PeerFiles, now: datetime) -> bool:
        """Whether half of the life of the certificate on disk is over."""
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        return now >= certificate.not_valid_before_utc + PEER_LIFE / 2

    def revoke(self, files: PeerFiles, node_ids: set[str]) -> None:
        """Shut these nodes' etcd out of new connections to this node's."""
        now = datetime.now(UTC)
        der = revocation.revocation_list(
            self.peers.certificates[0],
            load_key(self.peers.key_pem or b""),
            {serial_of(node_id): now for node_id in node_ids},
            now,
        )
        revocation.write(files.revoked, der)


def serial_of(node_id: str) -> int:
    """Positive and of 19 bytes, which fits RFC 5280's 20."""
    return int.from_bytes(hashlib.sha256(node_id.encode()).digest()[:19], "big") | 1
