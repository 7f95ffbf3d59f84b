"""``swarm init --force-new-cluster``: go on alone with this member's data, when the quorum is lost for good.

The data are restored into a new member, with revisions far above any that were given: the old ones would be given a
second time, and a watch would go on over another history without a word. So every watch ends as compacted and reads
all anew. The ids of the member and of the cluster change, so that a lost member that comes back cannot take part.
control-notes.md part 3.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

from swarmd.errors import Internal
from swarmd.etcd import EtcdClient, EtcdError, EtcdUnavailable
from swarmd.files import sync_folder
from swarmd.member.arguments import InitialState, MemberConfig, new_token, prepare
from swarmd.member.disk import Exchange
from swarmd.member.join import MemberEnded, MemberSilent, first_status, serve
from swarmd.member.process import ChildProcess, EtcdProcess, ProcessFailed, run

BUMP = 1_000_000_000
SNAPSHOT = 60.0
RESTORE = 120.0
"""Seconds; 130 MB take one."""
ALONE = 20.0


class ForceFailed(Internal):
    """The member could not be made a cluster of its own; its data are where and what they were."""


async def force_new_cluster(config: MemberConfig, process: EtcdProcess, *, etcd: Path, etcdutl: Path) -> int:
    """Make this member's data the start of a cluster of its own. Broken off anywhere, the next start
    (recovery.py) finds either the old data or the new.

    A survivor that runs loses nothing that it knew of. One that does not has to be started alone first; a write that
    was acknowledged a moment before all were killed may then be missing.

    :param etcd: the program, which is started outside of its unit, so that the flag that drops the other members
        stands in no file.
    :returns: the new member's id.
    :raises ForceFailed: the old data are in place again.
    """
    folders = Exchange(config)
    try:
        await _take_snapshot(config, process, etcd, folders.snapshot)
        await process.stop()
        await _restore(config, etcdutl, folders)
    except (MemberEnded, MemberSilent, ProcessFailed, EtcdUnavailable, EtcdError, OSError) as error:
        await process.start()
        raise ForceFailed(str(error)) from error
    await asyncio.to_thread(folders.make)
    await asyncio.to_thread(prepare, config, [(config.name, config.peer_url)], InitialState.EXISTING)
    await process.start()
    try:
        async with EtcdClient(config.socket) as client:
            status = await first_status(client, process, within=ALONE)
            await serve(client)
    except (MemberEnded, MemberSilent) as error:
        await process.stop()
        await asyncio.to_thread(folders.undo)
        raise ForceFailed(str(error)) from error
    await asyncio.to_thread(folders.tidy)
    return status.header.member_id


async def _take_snapshot(config: MemberConfig, process: EtcdProcess, etcd: Path, path: Path) -> None:
    """From the etcd that runs; else from one that is started once with the flag that drops the other members."""
    async with EtcdClient(config.socket) as client:
        if await _answers(client):
            await _save(client, path)
            return
        await process.stop()
        await asyncio.to_thread(prepare, config, [(config.name, config.peer_url)], InitialState.EXISTING)
        alone = ChildProcess(etcd, config, extra=["--force-new-cluster"])
        try:
            await alone.start()
            await first_status(client, alone, within=ALONE)
            await serve(client)
            await _save(client, path)
        finally:
            await alone.stop()


async def _answers(client: EtcdClient) -> bool:
    for _ in range(3):
        try:
            await client.status(timeout=0.3)
        except (EtcdUnavailable, EtcdError):
            continue
        return True
    return False


async def _save(client: EtcdClient, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        async for piece in client.snapshot(timeout=SNAPSHOT):
            await asyncio.to_thread(file.write, piece)
        file.flush()
        await asyncio.to_thread(os.fsync, file.fileno())
    temporary.replace(path)


async def _restore(config: MemberConfig, etcdutl: Path, folders: Exchange) -> None:
    for leftover in (folders.restoring, folders.restored):
        await asyncio.to_thread(shutil.rmtree, leftover, ignore_errors=True)
    argv = [
        *(str(etcdutl), "snapshot", "restore", str(folders.snapshot)),
        *(f"--data-dir={folders.restoring}", f"--name={config.name}"),
        *(f"--initial-cluster={config.name}={config.peer_url}", f"--initial-advertise-peer-urls={config.peer_url}"),
        *(f"--initial-cluster-token={new_token()}", f"--bump-revision={BUMP}", "--mark-compacted"),
    ]
    status, output = await run(argv, deadline=RESTORE)
    if status:
        raise ProcessFailed(f"etcdutl snapshot restore: exit status {status}: {output.strip()[-500:]}")
    folders.restoring.rename(folders.restored)
    await asyncio.to_thread(sync_folder, config.folder)
