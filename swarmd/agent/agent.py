"""The agent of a node: its tasks run on from the disk at once, its sessions follow as managers can be reached."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from swarmd.agent.logs import Logs
from swarmd.agent.remotes import Remotes
from swarmd.agent.session import ClusterChanged, Credentials
from swarmd.agent.sessions import Sessions
from swarmd.agent.storage import Storage
from swarmd.agent.worker import Worker
from swarmd.engine.client import Engine
from swarmd.engine.describe import node_description
from swarmd.errors import EngineRefused, EngineUnreachable
from swarmd.model import NodeDescription, TLSInfo
from swarmd.task_group import TaskGroup
from swarmd.wire import Manager

log = logging.getLogger(__name__)


class Agent:
    """
    :param engine: entered by the caller; it may be absent, now and at any time.
    :param folder: where the tasks are stored; made where it is missing, 0700.
    :param managers: those known from the last run, or from joining.
    :param cluster_changed: told managers and wanted role; they are to be kept for the next start.
    :param session_lost: told at each end of a session, and when none came to be.
    :param prefer_offline_image: pull an image only where it is missing.
    :param removed: told when a manager says that this node is not in the cluster any more, and its words.
    """

    def __init__(
        self,
        *,
        node_id: str,
        engine: Engine,
        folder: Path,
        credentials: Credentials,
        managers: Iterable[Manager],
        cluster_changed: ClusterChanged,
        removed: Callable[[str], None] = lambda _: None,
        session_lost: Callable[[], None] = lambda: None,
        tls_info: Callable[[], TLSInfo] = TLSInfo,
        prefer_offline_image: bool = False,
    ) -> None:
        self._engine = engine
        self._tls_info = tls_info
        self._description: NodeDescription | None = None
        self.worker = Worker(engine, Storage(folder), node_id, prefer_offline_image=prefer_offline_image)
        self.logs = Logs(engine, lambda: self.worker.tasks, credentials)
        self.sessions = Sessions(
            Remotes(managers),
            credentials=credentials,
            worker=self.worker,
            describe=self._describe,
            cluster_changed=cluster_changed,
            removed=removed,
            lost=session_lost,
            logs_wanted=self.logs.bring,
        )

    async def run(self) -> None:
        """Until cancelled; leaves containers as they are."""
        async with TaskGroup() as group:
            group.create_task(self.worker.run())
            group.create_task(self.logs.run())
            group.create_task(self.sessions.run())

    async def _describe(self) -> NodeDescription:
        """Waits for the engine the first time; later, without it, what was last known is said again."""
        while True:
            try:
                self._description = node_description(await self._engine.info(), self._tls_info())
            except (EngineUnreachable, EngineRefused) as error:
                if self._description is None:
                    log.info("no session before the Docker Engine answers: %s", error)
                    await self.worker.watch.answering()
                    await asyncio.sleep(0.1)
                    continue
            return self._description
