"""This node's key, certificate and the roots that it trusts, in its state folder.

All three are one PEM file, so that one rename replaces them together and they always match; the generation before is
kept beside it. A file that was damaged (a full disk, a lost sector, an editor) is healed from there.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from swarmd.errors import Internal, SwarmError
from swarmd.files import private_folder, sync_folder, write_atomically
from swarmd.identity import contexts
from swarmd.identity.peer import Peer
from swarmd.identity.root import RootCA, load_key, pem_of
from swarmd.model import NodeRole, TLSInfo

CURRENT, PREVIOUS = "node.pem", "node.pem.previous"

log = structlog.get_logger()


class NoCredentials(Internal):
    """This node has none: it is in no cluster, or its files are damaged beyond repair (``str()`` says which)."""


@dataclass(frozen=True)
class Generation:
    """One key with its certificate and the roots, checked to belong together."""

    key_pem: bytes
    certificate: x509.Certificate
    ca: RootCA
    peer: Peer

    @classmethod
    def parse(cls, key_pem: bytes, chain_pem: bytes, ca_pem: bytes) -> Generation:
        """
        :raises ValueError: they do not belong together; the sentence says how.
        """
        certificate = x509.load_pem_x509_certificate(chain_pem)
        ca = RootCA.from_pem(ca_pem)
        if load_key(key_pem).public_key() != certificate.public_key():
            raise ValueError("the key is not the certificate's")
        if not ca.has_issued(certificate):
            raise ValueError("the certificate was issued by another CA")
        try:
            peer = Peer.of_certificate(certificate)
        except SwarmError as error:
            raise ValueError(error.message) from error
        return cls(key_pem, certificate, ca, peer)

    @classmethod
    def read(cls, path: Path) -> Generation:
        """
        :raises ValueError: the file is damaged.
        :raises OSError: it cannot be read, or there is none.
        """
        text = path.read_bytes()
        key_pem = load_key(text).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        certificates = x509.load_pem_x509_certificates(text)
        if len(certificates) < 2:
            raise ValueError("the certificate or its CA is missing")
        leaf, *roots = map(pem_of, certificates)
        return cls.parse(key_pem, leaf, b"".join(roots))

    @property
    def text(self) -> bytes:
        return self.key_pem + pem_of(self.certificate) + self.ca.certificate_pem


class Credentials:
    """Made by ``load`` or ``install``; contexts that it has handed out follow every renewal."""

    def __init__(self, folder: Path, generation: Generation) -> None:
        self._folder = folder
        self._generation = generation
        self._contexts: dict[Callable[[], ssl.SSLContext], ssl.SSLContext] = {}
        """By what has made them."""
        self._lock = threading.Lock()

    @classmethod
    def load(cls, folder: Path) -> Credentials:
        """What is in the folder; a certificate that has ended is loaded like any other.

        :raises NoCredentials:
        """
        try:
            return cls(folder, Generation.read(folder / CURRENT))
        except (OSError, ValueError) as error:
            damage = error
        try:
            generation = Generation.read(folder / PREVIOUS)
        except FileNotFoundError:
            raise NoCredentials(_why(damage, folder / CURRENT)) from damage
        except (OSError, ValueError):
            raise NoCredentials(f"{_why(damage, folder / CURRENT)}, and so is the generation before") from damage
        log.warning("healed this node's certificate from the generation before", damage=str(damage))
        write_atomically(folder / CURRENT, generation.text)
        return cls(folder, generation)

    @classmethod
    def install(cls, folder: Path, *, key_pem: bytes, chain_pem: bytes, ca_pem: bytes) -> Credentials:
        """The first ones of this node. Waits for the disk: call it in a thread.

        :raises ValueError: they do not belong together.
        """
        generation = Generation.parse(key_pem, chain_pem, ca_pem)
        _clear(private_folder(folder))
        write_atomically(folder / CURRENT, generation.text)
        return cls(folder, generation)

    def renew(self, *, key_pem: bytes, chain_pem: bytes, ca_pem: bytes | None = None) -> None:
        """Take the next certificate, on disk first, then in every context. Waits for the disk: call it in a thread.

        :raises ValueError: they do not belong together, or they are another node's; nothing has changed.
        """
        with self._lock:
            generation = Generation.parse(key_pem, chain_pem, ca_pem or self._generation.ca.certificate_pem)
            known = self._generation.peer
            if (generation.peer.node_id, generation.peer.cluster_id) != (known.node_id, known.cluster_id):
                raise ValueError("the new certificate is another node's")
            _keep(self._folder / CURRENT, self._folder / PREVIOUS)
            write_atomically(self._folder / CURRENT, generation.text)
            self._generation = generation
            for context in self._contexts.values():
                self._arm(context)

    def remove(self) -> None:
        """Forget who this node was: it has left."""
        _clear(self._folder)

    @property
    def path(self) -> Path:
        """The file with all of it."""
        return self._folder / CURRENT

    @property
    def key_pem(self) -> bytes:
        return self._generation.key_pem

    @property
    def certificate_pem(self) -> bytes:
        """This node's alone, without its CA's."""
        return pem_of(self._generation.certificate)

    @property
    def ca(self) -> RootCA:
        """The roots that are trusted, without a key."""
        return self._generation.ca

    @property
    def node_id(self) -> str:
        return self._generation.peer.node_id

    @property
    def role(self) -> NodeRole:
        return self._generation.peer.role

    @property
    def cluster_id(self) -> str:
        return self._generation.peer.cluster_id

    @property
    def begin(self) -> datetime:
        return self._generation.certificate.not_valid_before_utc

    @property
    def end(self) -> datetime:
        return self._generation.certificate.not_valid_after_utc

    def tls_info(self) -> TLSInfo:
        return self.ca.tls_info()

    def server_context(self) -> ssl.SSLContext:
        """For the cluster port, always the same one. See ``contexts.server_context``."""
        return self._living(contexts.server_context)

    def client_context(self) -> ssl.SSLContext:
        """For calls to managers, always the same one. See ``contexts.ManagerContext``."""
        return self._living(contexts.client_context)

    def _living(self, make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        with self._lock:
            if make not in self._contexts:
                context = make()
                self._arm(context)
                self._contexts[make] = context
            return self._contexts[make]

    def _arm(self, context: ssl.SSLContext) -> None:
        contexts.load(context, self.path, self._generation.ca.certificate_pem)


def _why(damage: Exception, path: Path) -> str:
    if isinstance(damage, FileNotFoundError):
        return f"there is no {path}"
    return f"{path} is damaged ({damage})"


def _clear(folder: Path) -> None:
    """Temporary files of writes that died hold keys too."""
    if not folder.is_dir():
        return
    for file in [*folder.glob(CURRENT), *folder.glob(PREVIOUS), *folder.glob(f".{CURRENT}*")]:
        file.unlink(missing_ok=True)
    sync_folder(folder)


def _keep(current: Path, previous: Path) -> None:
    """Make the current generation the previous one too, unless it is damaged: then the older one stays."""
    try:
        text = Generation.read(current).text
    except (OSError, ValueError):
        return
    write_atomically(previous, text)
