"""``swarmd check``: what this host has of what the daemon needs. Changes nothing; exit status 1 if something lacks."""

from __future__ import annotations

import asyncio
from pathlib import Path

from swarmd.config import Config
from swarmd.engine.client import Engine
from swarmd.errors import EngineRefused, EngineUnreachable
from swarmd.identity.credentials import Credentials, NoCredentials
from swarmd.member.process import ProcessFailed, run


async def check(config: Config) -> int:
    findings = [
        await _engine(config),
        await _program(Path(config.etcd.binary), "--version"),
        await _program(Path(config.etcd.etcdutl), "version"),
        await asyncio.to_thread(_membership, config),
    ]
    for good, sentence in findings:
        print(f"{'ok  ' if good else 'lacks'} {sentence}")
    return 0 if all(good for good, _ in findings) else 1


async def _engine(config: Config) -> tuple[bool, str]:
    async with Engine(Path(config.engine_socket)) as engine:
        try:
            info = await engine.info()
        except (EngineUnreachable, EngineRefused) as error:
            return False, f"no Docker Engine on {config.engine_socket}: {error}; see `systemctl status docker`"
    return True, f"Docker Engine {info.server_version} on {config.engine_socket}"


async def _program(path: Path, option: str) -> tuple[bool, str]:
    try:
        status, output = await run([str(path), option], deadline=5.0)
    except ProcessFailed as error:
        return False, f"{error}; it is needed on managers"
    first = next(iter(output.splitlines()), "")
    return status == 0, f"{path}: {first}"


def _membership(config: Config) -> tuple[bool, str]:
    try:
        credentials = Credentials.load(config.state)
    except NoCredentials:
        return True, "this node is in no cluster"
    end = credentials.end.strftime("%Y-%m-%d %H:%M UTC")
    return True, f"node {credentials.node_id}, {credentials.role.value}; its certificate ends {end}"
