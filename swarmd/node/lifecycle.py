"""How this node enters a cluster and leaves it: ``swarm init``, ``join`` and ``leave``, and the daemon's starts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import NoReturn

import msgspec
import structlog

from swarmd import wire
from swarmd.config import Config
from swarmd.engine.client import Engine
from swarmd.errors import (
    AlreadyInSwarm,
    BadRequest,
    Lost,
    NodeUnavailable,
    NoLeader,
    NotFound,
    NotInSwarm,
    NotManager,
)
from swarmd.files import private_folder
from swarmd.identity import tokens
from swarmd.identity.credentials import Credentials, NoCredentials
from swarmd.identity.root import new_key, new_request
from swarmd.member import disk, join
from swarmd.member.arguments import MemberConfig
from swarmd.member.process import EtcdProcess
from swarmd.membership import (
    InitRequest,
    JoinRequest,
    LocalNode,
    LocalState,
    LogPiece,
    LogSelector,
    Reachability,
    Remote,
)
from swarmd.model import NodeRole
from swarmd.node import forced, leaving, protocol, state
from swarmd.node.addresses import host_of
from swarmd.node.authority import Authority
from swarmd.node.entering import ask_to_join, first_certificate, local_addresses, new_cluster
from swarmd.node.etcd import etcd_process, member_config
from swarmd.node.manager import Entrance, Manager, Seed
from swarmd.node.participation import Participation
from swarmd.node.state import NodeState
from swarmd.node.voters import RemoteVoter
from swarmd.store import Kind, Put, Store, Unchanged
from swarmd.task_group import TaskGroup
from swarmd.wire import LogOptions

log = structlog.get_logger()

ENTERING = 20.0
"""Seconds until ``swarm init`` and ``join`` tell the user that they go on in the background, as Docker's do."""
NOT_JOINED = (
    "Timeout was reached before node joined. The attempt to join the swarm will continue in the background. "
    'Use the "docker info" command to see the current swarm status of your node.'
)


NOBODY = NodeState("", "127.0.0.1:2377")
"""Stands in where only a member's folder counts."""


class Lifecycle:
    """Implements ``swarmd.membership.Membership``."""

    def __init__(self, config: Config, engine: Engine) -> None:
        self._config, self._engine = config, engine
        # Of this folder, whatever the node's id and addresses come to be.
        self._member = member_config(config, "", NOBODY)
        self._etcd = etcd_process(config, self._member)
        self._current: Participation | None = None
        self._running: asyncio.Task[None] | None = None
        self._verbs = asyncio.Lock()
        self._resumed = asyncio.Event()
        self._tasks: TaskGroup

    async def run(self) -> NoReturn:
        """Take up the membership that the state folder tells of; then until cancelled."""
        async with TaskGroup() as self._tasks:
            await self._resume()
            self._resumed.set()
            await asyncio.Event().wait()
        raise AssertionError

    async def resumed(self) -> None:
        """Wait until it is known what this node is. Before, nothing else here may be called: an ``init`` would not see
        the membership that there is, and would make room for a new one."""
        await self._resumed.wait()

    async def _resume(self) -> None:
        local = state.load(self._config.state)
        try:
            credentials = await asyncio.to_thread(Credentials.load, self._config.state)
        except NoCredentials as error:
            if local is not None:
                log.warning("this node was in a cluster, and cannot prove it any more: leave and join", why=str(error))
            return
        if local is None:
            # Entering was broken off before it had succeeded, or the file was damaged and nobody can be asked.
            await self._forget()
            return
        self._participate(Participation(self._config, self._engine, credentials, local, self._etcd))

    # What is known here

    @property
    def current(self) -> Participation | None:
        """The membership, if there is one."""
        return self._current

    @property
    def manager(self) -> Manager | None:
        return self._current.manager if self._current else None

    def local(self) -> LocalNode:
        current = self._current
        if current is None:
            return LocalNode()
        local = current.local
        return LocalNode(
            state=LocalState.ERROR if current.error else LocalState.ACTIVE,
            node_id=current.credentials.node_id,
            address=host_of(local.advertise_address),
            is_manager=current.is_manager,
            error=current.error,
            managers=tuple(Remote(manager.node_id, manager.address) for manager in local.managers),
        )

    def store(self) -> Store:
        if self._current is None:
            raise NotInSwarm
        if not self._current.is_manager:
            raise NotManager
        if self._current.manager is None:
            raise NoLeader
        return self._current.manager.store

    async def reachability(self) -> Reachability:
        manager = self.manager
        return await manager.reachability() if manager else Reachability()

    async def lacks_leader(self) -> bool:
        return self._current is not None and await self._current.lacks_leader()

    async def check_demotion(self, node_id: str) -> None:
        manager = self.manager
        if manager is None:
            raise NotManager
        entry = manager.store.snapshot().nodes.get(node_id)
        if entry is None:
            raise NotFound(f"node {node_id} not found")
        await manager.quorum.check_demotion(entry.value)

    async def expel(self, node_id: str) -> None:
        """Bar its certificate; its sessions end as its entry goes."""
        store = self.store()
        while (cluster := (await store.fresh()).cluster) is not None and node_id not in cluster.value.barred:
            barred = {**cluster.value.barred, node_id: datetime.now(UTC)}
            changed = msgspec.structs.replace(cluster.value, barred=barred)
            with contextlib.suppress(Lost):
                await store.commit(
                    [Put(Kind.CLUSTER, changed.id, changed)],
                    guards=[Unchanged(Kind.CLUSTER, changed.id, cluster.version)],
                )
                return

    async def rotate_token(self, *, worker: bool, manager: bool) -> None:
        store = self.store()
        while (cluster := (await store.fresh()).cluster) is not None:
            root = self._authority().root
            changed = msgspec.structs.replace(
                cluster.value,
                worker_token=str(tokens.new(root)) if worker else cluster.value.worker_token,
                manager_token=str(tokens.new(root)) if manager else cluster.value.manager_token,
                updated_at=datetime.now(UTC),
            )
            with contextlib.suppress(Lost):
                await store.commit(
                    [Put(Kind.CLUSTER, changed.id, changed)],
                    guards=[Unchanged(Kind.CLUSTER, changed.id, cluster.version)],
                )
                return

    def seal(self, secret: bytes) -> str:
        return self._manager().seal(secret)

    def logs(self, selector: LogSelector, options: LogOptions) -> AsyncGenerator[list[LogPiece], None]:
        return self._manager().log_broker.logs(selector, options)

    def _manager(self) -> Manager:
        """As :meth:`store`."""
        self.store()  # refuses in words where this is no manager
        manager = self.manager
        if manager is None:
            raise NoLeader
        return manager

    # swarm init

    async def init(self, request: InitRequest) -> str:
        async with self._verbs:
            if self._current is not None:
                if request.force_new_cluster:
                    return await self._force_new_cluster(request)
                raise AlreadyInSwarm
            local = local_addresses(request.listen_address, request.advertise_address, request.data_path_address)
            authority = Authority.create()
            seed = new_cluster(request, authority)
            node_id = seed.node.id
            managers = [wire.Manager(node_id, local.advertise_address)]
            local = msgspec.structs.replace(local, managers=managers)
            await self._forget()
            await asyncio.to_thread(authority.save, self._config.state)
            key, chain = first_certificate(seed, authority)
            credentials = await self._install(key, chain, authority.root.certificate_pem)
            await self._enter(credentials, local, _bootstrap, seed)
            log.info("made a new cluster", cluster=seed.cluster.id, node=node_id)
            return node_id

    # swarm join

    async def join(self, request: JoinRequest) -> None:
        async with self._verbs:
            if self._current is not None:
                raise AlreadyInSwarm
            token = tokens.parse(request.token)
            local = local_addresses(request.listen_address, request.advertise_address, request.data_path_address)
            key = new_key()
            asked = protocol.Join(request.token, new_request(key).decode(), request.availability)
            root_pem, joined = await ask_to_join(request.remote_addresses, token, asked)
            await self._forget()
            local = msgspec.structs.replace(local, managers=joined.managers)
            credentials = await self._install(key, joined.certificate.encode(), root_pem)
            entrance: Entrance | None = None
            if credentials.role is NodeRole.MANAGER:
                voter = RemoteVoter(lambda: [one.address for one in joined.managers], credentials.client_context())

                async def entrance(member: MemberConfig, process: EtcdProcess) -> None:
                    await join.join(member, process, voter)

            await self._enter(credentials, local, entrance, None)
            log.info("joined a cluster", cluster=credentials.cluster_id, role=credentials.role.value)

    async def _enter(
        self,
        credentials: Credentials,
        local: NodeState,
        entrance: Entrance | None,
        seed: Seed | None,
    ) -> None:
        """Take part. What is on disk says so from the moment that the cluster knows of this node: one that is killed
        then comes back into it, one that is killed before starts from nothing."""
        if seed is None:
            await asyncio.to_thread(state.save, self._config.state, local)
        participation = Participation(self._config, self._engine, credentials, local, self._etcd)
        self._participate(participation, entrance, seed)
        try:
            async with asyncio.timeout(ENTERING):
                await participation.taking_part()
        except TimeoutError:
            if seed is None:
                raise NodeUnavailable(NOT_JOINED) from None
            why = participation.error or "its etcd did not come to serve"
            await self._stop()
            await self._forget()
            raise NodeUnavailable(f"could not make a new cluster: {why}") from None
        if seed is not None:
            await asyncio.to_thread(state.save, self._config.state, participation.local)

    async def _force_new_cluster(self, request: InitRequest) -> str:
        current = self._current
        if current is None or not current.is_manager:
            raise NotManager
        local = current.local
        if request.advertise_address:
            given = local_addresses(request.listen_address, request.advertise_address, request.data_path_address)
            local = msgspec.structs.replace(given, managers=local.managers)
        node_id = current.credentials.node_id
        local = msgspec.structs.replace(local, managers=[wire.Manager(node_id, local.advertise_address)])
        credentials = current.credentials
        await self._stop()
        await asyncio.to_thread(state.save, self._config.state, local)
        try:
            await forced.go_on_alone(self._config, member_config(self._config, node_id, local), self._etcd)
        finally:
            participation = Participation(self._config, self._engine, credentials, local, self._etcd)
            self._participate(participation)
        async with asyncio.timeout(ENTERING):
            await participation.taking_part()
        log.info("made a new cluster of this manager alone", node=node_id)
        return node_id

    # swarm leave

    async def leave(self, *, force: bool) -> None:
        async with self._verbs:
            current = self._current
            if current is None:
                raise NotInSwarm
            if current.is_manager and not force:
                raise NodeUnavailable(await leaving.refusal(current.manager))
            await leaving.say_goodbye(current)
            await self._stop()
            await leaving.remove_containers(self._engine, current.credentials.node_id)
            await self._forget()
            log.info("left the cluster", cluster=current.credentials.cluster_id)

    # Parts of the above

    def _participate(
        self, participation: Participation, entrance: Entrance | None = None, seed: Seed | None = None
    ) -> None:
        self._current = participation
        self._running = self._tasks.create_task(participation.run(entrance, seed))

    async def _stop(self) -> None:
        running, self._running, self._current = self._running, None, None
        if running is not None:
            running.cancel()
            await asyncio.wait([running])

    async def _install(self, key: bytes, chain: bytes, ca: bytes) -> Credentials:
        try:
            return await asyncio.to_thread(
                lambda: Credentials.install(self._config.state, key_pem=key, chain_pem=chain, ca_pem=ca)
            )
        except ValueError as error:
            raise BadRequest(f"the certificate that was given to this node is not usable: {error}") from error

    async def _forget(self) -> None:
        """Have nothing of a membership in the state folder; what says that there is one goes first."""
        folder = private_folder(self._config.state)
        await asyncio.to_thread(state.forget, folder)
        Authority.forget(folder)
        with contextlib.suppress(NoCredentials):
            (await asyncio.to_thread(Credentials.load, folder)).remove()
        if self._member.folder.exists():
            await self._etcd.stop()
            await asyncio.to_thread(disk.forget, self._member)
        await asyncio.to_thread(leaving.forget_tasks, folder / "tasks")

    def _authority(self) -> Authority:
        return Authority.load(self._config.state)


async def _bootstrap(member: MemberConfig, process: EtcdProcess) -> None:
    await join.bootstrap(member, process)
