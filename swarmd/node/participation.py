"""One membership of this node in one cluster, from entering to leaving: its agent, its certificate, and managing."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from datetime import UTC, datetime, timedelta
from typing import NoReturn, TypeVar

import msgspec
import structlog

from swarmd import wire
from swarmd.agent.agent import Agent
from swarmd.agent.session import Credentials as Passport
from swarmd.config import Config
from swarmd.engine.client import Engine
from swarmd.errors import Internal, NodeUnavailable, PermissionDenied, SwarmError
from swarmd.identity import contexts, renewal
from swarmd.identity.credentials import Credentials
from swarmd.identity.root import BACKDATED, new_key, new_request
from swarmd.member import disk, recovery
from swarmd.member.arguments import MemberConfig
from swarmd.member.process import EtcdProcess
from swarmd.model import NodeRole
from swarmd.node import protocol, remote, state
from swarmd.node.authority import Authority, Keys, NoAuthority
from swarmd.node.etcd import member_config
from swarmd.node.manager import Entrance, Manager, Seed
from swarmd.node.state import NodeState
from swarmd.node.voters import RemoteVoter
from swarmd.task_group import TaskGroup

log = structlog.get_logger()

Answer = TypeVar("Answer")

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 8.0
"""Seconds until managing, or a renewal, is tried again after it failed."""
REMOVED = (
    'This node has been removed from the swarm. Use "docker swarm leave --force" to join it, or another one, again.'
)


class Participation:
    def __init__(
        self, config: Config, engine: Engine, credentials: Credentials, local: NodeState, etcd: EtcdProcess
    ) -> None:
        """
        :param etcd: this node's one, whether or not it runs; it outlives this.
        """
        self._etcd = etcd
        self.credentials, self.local = credentials, local
        self.manager: Manager | None = None
        self.error = ""
        """Why the node does not take part as it should, for ``docker info``."""
        self._config = config
        self._context = credentials.client_context()
        self._wanted = credentials.role
        self._wish = asyncio.Event()
        self._role_changed = asyncio.Event()
        self._welcomed = asyncio.Event()
        self._managed = asyncio.Event()
        self.agent = Agent(
            node_id=credentials.node_id,
            engine=engine,
            folder=config.state / "tasks",
            credentials=Passport(lambda: self._context),
            managers=local.managers,
            cluster_changed=self._cluster_changed,
            removed=self._removed,
            session_lost=self._session_lost,
            tls_info=credentials.tls_info,
            prefer_offline_image=config.prefer_offline_image,
        )

    async def run(self, entrance: Entrance | None = None, seed: Seed | None = None) -> None:
        """Until cancelled. Whatever fails is tried again; the node's tasks run on meanwhile.

        :param entrance: how etcd is entered the first time, where that is not by recovery.
        """
        async with TaskGroup() as group:
            group.create_task(self.agent.run())
            group.create_task(self._keep_certificate())
            group.create_task(self._keep_managing(entrance, seed))

    async def taking_part(self) -> None:
        """Wait until the node is in a session, and a manager's etcd votes and serves."""
        if self.is_manager:
            await self._managed.wait()
        await self._welcomed.wait()

    @property
    def is_manager(self) -> bool:
        return self.credentials.role is NodeRole.MANAGER

    async def lacks_leader(self) -> bool:
        """As ``swarmd.membership.Membership``'s. One that could not be made to take part is tried again, but not waited
        for."""
        if self.manager is not None and await self.manager.lacks_leader():
            return True
        return self.is_manager and not self._managed.is_set() and bool(self.error)

    def _cluster_changed(self, managers: list[wire.Manager], role: str) -> None:
        if managers and managers != self.local.managers:
            self.local = msgspec.structs.replace(self.local, managers=managers)
            state.save(self._config.state, self.local)
        self._welcomed.set()
        if self.error == REMOVED:
            self.error = ""
        self._wish_for(NodeRole(role))

    def _removed(self, words: str) -> None:
        """Nobody may end the tasks of a node that is out of reach but its user."""
        if not self.error:
            log.warning("this node has been removed from the cluster: docker swarm leave --force", why=words)
        self.error = REMOVED

    def _session_lost(self) -> None:
        if self.manager is not None:
            self.manager.session_lost()

    def _wish_for(self, role: NodeRole) -> None:
        self._wanted = role
        self._wish.set()

    # The certificate, which says the role

    async def _keep_certificate(self) -> NoReturn:
        """Renew before the certificate's life ends, and at once where the node is to have another role."""
        draw, pause = random.random(), FIRST_PAUSE  # noqa: S311 (spreads renewals)
        while True:
            now = datetime.now(UTC)
            due = renewal.until_renewal(self.credentials.begin, self.credentials.end, draw=draw, now=now)
            if self._wanted is self.credentials.role and due:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(due, renewal.LONGEST_WAIT).total_seconds()):
                        await self._wish.wait()
                self._wish.clear()
                continue
            try:
                await self._renew()
            except (SwarmError, Internal) as error:
                log.warning("this node's certificate could not be renewed", why=str(error))
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                draw, pause = random.random(), FIRST_PAUSE  # noqa: S311
                if self.credentials.begin > datetime.now(UTC):
                    log.warning("this node's new certificate has not begun yet: compare the clocks of the nodes")
                    await asyncio.sleep(
                        renewal.LONGEST_WAIT.total_seconds()
                    )  # else the next would be asked for at once

    async def _renew(self) -> None:
        key = new_key()
        request = new_request(key)
        chain = self._sign_for_itself(request) or await self._ask_for_certificate(request)
        before = self.credentials.role
        await asyncio.to_thread(self.credentials.renew, key_pem=key, chain_pem=chain)
        if self.credentials.role is not before:
            log.info("this node has a new role", role=self.credentials.role.value)
        self._wanted = self.credentials.role
        self._role_changed.set()

    def _sign_for_itself(self, request: bytes) -> bytes | None:
        """A manager whose certificate has ended: no other may be up, in a lab that was off for months."""
        credentials = self.credentials
        if not self.is_manager or credentials.begin <= datetime.now(UTC) < credentials.end:
            return None
        try:
            authority = Authority.load(self._config.state)
        except NoAuthority:
            return None
        life: timedelta = credentials.end - credentials.begin - BACKDATED
        return authority.root.sign(
            request,
            node_id=credentials.node_id,
            role=NodeRole.MANAGER,
            cluster_id=credentials.cluster_id,
            valid_for=life,
        )

    async def _ask_for_certificate(self, request: bytes) -> bytes:
        asked = renewal.ask(request, certificate_pem=self.credentials.certificate_pem, key_pem=self.credentials.key_pem)
        # Without the present certificate, which may have ended: the request itself proves who asks.
        context = contexts.joining_context(self.credentials.ca.certificate_pem)
        return (await self._ask_managers(protocol.RENEW, asked, protocol.Renewed, context)).certificate.encode()

    async def _ask_managers(
        self, path: str, body: msgspec.Struct, answer: type[Answer], context: ssl.SSLContext
    ) -> Answer:
        failures: list[str] = []
        managers = list(self.local.managers)
        random.shuffle(managers)
        for manager in managers:
            try:
                return await remote.ask(manager.address, path, body, answer, context=context)
            except remote.Unreachable as error:
                failures.append(str(error))
        raise NodeUnavailable(f"no manager answers: {'; '.join(failures) or 'none is known'}")

    # Managing

    async def _keep_managing(self, entrance: Entrance | None, seed: Seed | None) -> NoReturn:
        pause = FIRST_PAUSE
        while True:
            if not self.is_manager:
                await self._forget_managing()
                await self._until(NodeRole.MANAGER)
                pause = FIRST_PAUSE
            try:
                async with TaskGroup() as group:
                    managing = group.create_task(self._manage(entrance, seed))
                    await self._until(NodeRole.WORKER)
                    managing.cancel()
            except* (SwarmError, Internal, OSError) as failures:
                self._failed(failures.exceptions)
            except* Exception:
                log.exception("managing failed in a way that was not foreseen")
            finally:
                self.manager = None
                self._managed.clear()
            entrance = None
            if self.is_manager:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _manage(self, entrance: Entrance | None, seed: Seed | None) -> None:
        authority = await self._authority()
        manager = self.manager = Manager(
            self._config,
            self.credentials,
            authority,
            self.local,
            self._etcd,
            leader_found=self.agent.sessions.leader_is,
        )
        async with TaskGroup() as group:
            group.create_task(manager.run(entrance or self._recover, seed))
            await manager.serving()
            self.error = ""
            self._managed.set()

    def _failed(self, failures: tuple[BaseException, ...]) -> None:
        self.error = "; ".join(str(failure) for failure in _leaves(failures))
        log.warning("this manager does not take part", why=self.error)
        if any(isinstance(failure, PermissionDenied) for failure in _leaves(failures)):
            # It was demoted while it was away; the certificate that it gets says what it is now.
            self._wish_for(NodeRole.WORKER)

    async def _recover(self, member: MemberConfig, process: EtcdProcess) -> None:
        voter = RemoteVoter(self._other_managers, self._context)
        log.info(await recovery.recover(member, process, voter))

    def _other_managers(self) -> list[str]:
        return [one.address for one in self.local.managers if one.node_id != self.credentials.node_id]

    async def _authority(self) -> Authority:
        folder = self._config.state
        try:
            return await asyncio.to_thread(Authority.load, folder)
        except NoAuthority as error:
            log.info("asking another manager for the CA's keys", why=str(error))
        keys = await self._ask_managers(protocol.KEYS, protocol.KeysAsked(), Keys, self._context)
        authority = Authority.from_keys(keys)
        await asyncio.to_thread(authority.save, folder)
        return authority

    async def _forget_managing(self) -> None:
        """A worker has no etcd, and none of the CA's keys."""
        Authority.forget(self._config.state)
        member = member_config(self._config, self.credentials.node_id, self.local)
        if member.folder.exists():
            await self._etcd.stop()
            await asyncio.to_thread(disk.forget, member)

    async def _until(self, role: NodeRole) -> None:
        while self.credentials.role is not role:
            self._role_changed.clear()
            await self._role_changed.wait()


def _leaves(failures: tuple[BaseException, ...]) -> list[BaseException]:
    found: list[BaseException] = []
    for failure in failures:
        found += _leaves(failure.exceptions) if isinstance(failure, BaseExceptionGroup) else [failure]
    return found
