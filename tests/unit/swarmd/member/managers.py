"""Managers for tests: real etcd processes on loopback, mutual TLS between peers, client ports on unix sockets."""

from __future__ import annotations

import datetime
import ipaddress
import os
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from etcd_members import free_address

from swarmd.etcd import EtcdClient, persist
from swarmd.etcd.stubs import rpc_pb2 as rpc
from swarmd.member import revocation
from swarmd.member.admission import Added, Admission, Standing, Voter
from swarmd.member.arguments import MemberConfig, PeerFiles
from swarmd.member.health import PeerProbe
from swarmd.member.join import bootstrap, join
from swarmd.member.process import ChildProcess

DAY = datetime.timedelta(days=1)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


class Authority:
    """The peers' CA."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._certificate("peers", self.key.public_key(), ca=True)

    def issue(self, name: str, folder: Path) -> PeerFiles:
        key = ec.generate_private_key(ec.SECP256R1())
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = PeerFiles(folder / "peer.crt", folder / "peer.key", folder / "ca.crt", folder / "revoked.crl")
        files.certificate.write_bytes(self._certificate(name, key.public_key(), ca=False).public_bytes(Encoding.PEM))
        files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        files.authority.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        self.revoke(files, {})
        return files

    def revoke(self, files: PeerFiles, serials: dict[int, datetime.datetime]) -> None:
        revocation.write(files.revoked, revocation.revocation_list(self.certificate, self.key, serials, now()))

    def _certificate(self, name: str, key: ec.EllipticCurvePublicKey, *, ca: bool) -> x509.Certificate:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "peers")]))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now() - DAY)
            .not_valid_after(now() + DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
            .sign(self.key, hashes.SHA256())
        )


@dataclass
class Manager:
    config: MemberConfig
    process: ChildProcess
    client: EtcdClient
    probe: PeerProbe
    admission: Admission

    @property
    def url(self) -> str:
        return self.config.peer_url

    def kill(self) -> None:
        """SIGKILL, without waiting for the end to be noticed."""
        if self.process.pid is not None:
            _signal(self.process.pid, signal.SIGKILL)

    def freeze(self) -> None:
        assert self.process.pid is not None
        _signal(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        if self.process.pid is not None:
            _signal(self.process.pid, signal.SIGCONT)

    async def put(self, key: str, value: str) -> None:
        await persist(lambda: self.client.put(key.encode(), value.encode()), within=10)

    async def get(self, key: str) -> str | None:
        found = await persist(lambda: self.client.range(key.encode()), within=10)
        return found.kvs[0].value.decode() if found.kvs else None

    async def names(self) -> list[str]:
        """Of the voters, as the quorum lists them."""
        answer = await persist(self.client.member_list, within=10)
        return sorted(member.name for member in answer.members if not member.isLearner)

    async def status(self) -> rpc.StatusResponse:
        return await persist(self.client.status, within=10)

    async def id(self) -> int:
        return (await self.status()).header.member_id

    async def leads(self) -> bool:
        status = await self.status()
        return bool(status.leader == status.header.member_id)


def _signal(pid: int, number: int) -> None:
    os.kill(pid, number)


class Managers:
    def __init__(self, etcd: Path, folder: Path) -> None:
        self.etcd, self.folder = etcd, folder
        self.authority = Authority()
        self._stack = AsyncExitStack()

    @property
    def etcdutl(self) -> Path:
        return self.etcd.with_name("etcdutl")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def make(self, name: str) -> Manager:
        """A manager whose etcd was never started."""
        folder = self.folder / name
        config = MemberConfig(
            name, folder / "etcd", f"https://{free_address()}", self.authority.issue(name, folder / "tls")
        )
        process = ChildProcess(self.etcd, config)
        self._stack.push_async_callback(process.kill)
        client = await self._stack.enter_async_context(EtcdClient(config.socket))
        probe = await self._stack.enter_async_context(PeerProbe(config.peers))
        return Manager(config, process, client, probe, Admission(client, probe))

    async def first(self, name: str = "n1") -> Manager:
        manager = await self.make(name)
        await bootstrap(manager.config, manager.process)
        return manager

    async def join(self, name: str, voter: Manager) -> Manager:
        manager = await self.make(name)
        await join(manager.config, manager.process, voter.admission)
        return manager

    async def cluster(self, size: int) -> list[Manager]:
        """n1, which leads, and others that have joined it."""
        made = [await self.first()]
        for number in range(2, size + 1):
            made.append(await self.join(f"n{number}", made[0]))
        return made


class Killed(Exception):
    """Stands for kill -9 of the joiner: whatever it would have done next is not done."""


class Dying:
    """A voter as a joiner calls it, with a death before or after one of the calls.

    :param dies: whose etcd is killed there.
    :param raises: the joiner does not go on either.
    """

    def __init__(self, voter: Voter, point: str, dies: Manager, *, raises: bool = True) -> None:
        self._voter, self._point, self._dies, self._raises = voter, point, dies, raises

    def _at(self, point: str) -> None:
        if point == self._point:
            self._dies.kill()
            if self._raises:
                raise Killed(point)

    async def standing(self, peer_url: str) -> Standing:
        return await self._voter.standing(peer_url)

    async def add(self, peer_url: str) -> Added:
        self._at("before add")
        added = await self._voter.add(peer_url)
        self._at("after add")
        return added

    async def promote(self, member_id: int, applied_index: int, peer_url: str) -> None:
        self._at("before promote")
        await self._voter.promote(member_id, applied_index, peer_url)
        self._at("after promote")

    async def remove(self, peer_url: str) -> None:
        self._at("before remove")
        await self._voter.remove(peer_url)
        self._at("after remove")
