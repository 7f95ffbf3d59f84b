"""etcd's settings as a file, and etcd as a child or as systemd's unit."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from managers import Managers

from swarmd.files import write_atomically
from swarmd.member.arguments import (
    InitialState,
    MemberConfig,
    PeerFiles,
    as_environment,
    prepare,
    read_environment,
    settings,
)
from swarmd.member.disk import Exchange, has_log, wipe
from swarmd.member.process import ProcessFailed, Unit, run


def config(folder: Path) -> MemberConfig:
    tls = folder / "tls"
    files = PeerFiles(tls / "peer.crt", tls / "peer.key", tls / "ca.crt", tls / "revoked.crl")
    return MemberConfig("node1", folder / "etcd", "https://10.0.0.1:2380", files)


def test_the_file_says_what_etcd_is_to_be_told(tmp_path):
    member = config(tmp_path)
    cluster = [("node0", "https://10.0.0.9:2380"), ("node1", "https://10.0.0.1:2380")]
    prepare(member, cluster, InitialState.EXISTING)
    found = read_environment(member.environment)
    assert found == as_environment(settings(member, cluster, InitialState.EXISTING))
    assert found["ETCD_INITIAL_CLUSTER"] == "node0=https://10.0.0.9:2380,node1=https://10.0.0.1:2380"
    assert found["ETCD_STRICT_RECONFIG_CHECK"] == "false"
    assert "ETCD_FORCE_NEW_CLUSTER" not in found


@pytest.mark.parametrize("odd", ['with "quotes"', "a\\backslash", "$HOME", "`date`", "a space"])
def test_odd_characters_come_back_from_the_file_as_they_were(tmp_path, odd: str):
    member = MemberConfig(odd, tmp_path / "etcd", "https://10.0.0.1:2380", config(tmp_path).peers)
    prepare(member, [(odd, member.peer_url)], InitialState.NEW)
    assert read_environment(member.environment)["ETCD_NAME"] == odd


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_data_are_wiped_whole(tmp_path):
    data = tmp_path / "data"
    (data / "member" / "wal").mkdir(parents=True)
    (data / "member" / "wal" / "0.wal").write_bytes(b"x")
    assert has_log(data)
    wipe(data)
    wipe(data)
    assert list(tmp_path.iterdir()) == []


def test_data_that_were_exchanged_can_be_put_back(tmp_path):
    member = config(tmp_path)
    folders = Exchange(member)
    for folder, content in ((folders.data, "old"), (folders.restored, "new")):
        folder.mkdir(parents=True)
        (folder / "what").write_text(content)
    folders.make()
    assert (folders.data / "what").read_text() == "new"
    folders.undo()
    assert (folders.data / "what").read_text() == "old"


async def test_a_program_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ProcessFailed, match="nonexistent"):
        await run(["/nonexistent/etcdutl"], deadline=5)


async def test_a_program_that_does_not_end_is_killed():
    with pytest.raises(ProcessFailed, match="did not end"):
        await run(["sleep", "3600"], deadline=0.05)


async def test_a_child_says_why_it_ended(managers: Managers):
    manager = await managers.make("n1")
    assert await manager.process.ended() == "it was not started"
    manager.config.peers.key.write_bytes(b"nothing")
    prepare(manager.config, [("n1", manager.url)], InitialState.NEW)
    await manager.process.start()
    async with asyncio.timeout(20):
        while (why := await manager.process.ended()) is None:
            await asyncio.sleep(0.01)
    assert why.startswith("exit status 1: ")


async def test_a_frozen_child_is_stopped_all_the_same(managers: Managers, monkeypatch):
    monkeypatch.setattr("swarmd.member.process.STOP_DEADLINE", 0.2)
    first = await managers.first()
    first.freeze()
    await first.process.stop()
    assert "SIGKILL" in str(await first.process.ended())


def test_a_child_dies_with_the_daemon(tmp_path):
    """Two etcds on one data folder would wait for each other's lock."""
    code = """
import asyncio, os, sys
from pathlib import Path
from swarmd.member.process import ChildProcess
from swarmd.member.arguments import MemberConfig, PeerFiles

async def main():
    folder = Path(sys.argv[1])
    none = folder / "none"
    process = ChildProcess(Path("/bin/sleep"), MemberConfig("n", folder, "", PeerFiles(none, none, none, none)),
                           extra=["3600"])
    await process.start()
    while Path(f"/proc/{process.pid}/comm").read_text() != "sleep\\n":
        await asyncio.sleep(0.01)
    print(process.pid, flush=True)
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""
    argv = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)
    pid = int(done.stdout)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)


SYSTEMCTL = """#!/bin/sh
echo "$@" >> {folder}/called
[ "$1" = show ] && cat {folder}/properties
exit 0
"""


@pytest.fixture
def unit(tmp_path: Path) -> tuple[Unit, Path]:
    """systemd does not run where unit tests do: a script keeps its place, the lab's tests have the real one."""
    script = tmp_path / "systemctl"
    script.write_text(SYSTEMCTL.format(folder=tmp_path))
    script.chmod(0o755)
    (tmp_path / "properties").write_text("ActiveState=active\nResult=success\nExecMainStatus=0\nNRestarts=2\n")
    return Unit("swarmd-etcd.service", systemctl=str(script)), tmp_path


async def test_a_unit_is_started_and_stopped(unit: tuple[Unit, Path]):
    process, folder = unit
    await process.start()
    assert await process.ended() is None
    await process.stop()
    called = (folder / "called").read_text().splitlines()
    verbs = [line.split()[0] for line in called]
    assert verbs == ["reset-failed", "start", "show", "show", "stop"]
    assert all(line.endswith("swarmd-etcd.service") for line in called)


async def test_a_unit_that_ended_in_order_says_so(unit: tuple[Unit, Path]):
    process, folder = unit
    (folder / "properties").write_text("ActiveState=inactive\nResult=success\nExecMainStatus=0\nNRestarts=0\n")
    assert await process.ended() == "exit status 0"


async def test_a_unit_that_systemd_has_restarted_counts_as_ended(unit: tuple[Unit, Path]):
    process, folder = unit
    await process.start()
    (folder / "properties").write_text("ActiveState=active\nResult=exit-code\nExecMainStatus=2\nNRestarts=3\n")
    assert str(await process.ended()).startswith("exit status 2")


async def test_restarts_of_long_ago_are_not_held_against_a_unit_that_runs(unit: tuple[Unit, Path]):
    process, _ = unit
    assert await process.ended() is None


async def test_a_unit_that_is_not_there_is_said(tmp_path):
    script = tmp_path / "systemctl"
    script.write_text("#!/bin/sh\necho 'Unit swarmd-etcd.service not found.' >&2\nexit 5\n")
    script.chmod(0o755)
    with pytest.raises(ProcessFailed, match="not found"):
        await Unit(systemctl=str(script)).start()
