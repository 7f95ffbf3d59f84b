"""How this node's etcd is run: as systemd's unit, or as a plain child of this process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from swarmd.errors import Internal
from swarmd.member.arguments import MemberConfig, read_environment

UNIT = "swarmd-etcd.service"
COMMAND_DEADLINE = 15.0
STOP_DEADLINE = 5.0
"""Seconds that etcd has after SIGTERM: it hands its leadership over and closes its files, which takes 0.1 s."""


class ProcessFailed(Internal):
    """etcd could not be started or stopped."""


class EtcdProcess(Protocol):
    """The one etcd of this node. Its settings are those of the environment file."""

    async def start(self) -> None:
        """Start it, and return before it serves. Nothing where it runs already.

        :raises ProcessFailed: there is no such program or unit.
        """

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after 5 s; returns once it has ended. Nothing where it does not run.

        :raises ProcessFailed: it could not be stopped.
        """

    async def ended(self) -> str | None:
        """Why it does not run, in words, or None while it does."""


class ChildProcess:
    """etcd as a child, for tests and for a swarmd that is run by hand. Not restarted when it ends.

    It dies with this process, however that ends: two etcds on one data folder would wait for each other's lock.
    """

    def __init__(self, program: Path, config: MemberConfig, *, extra: Sequence[str] = ()) -> None:
        self._program, self._config, self._extra = program, config, tuple(extra)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        if self.pid is not None:
            return
        environment = {**_basic_environment(), **read_environment(self._config.environment)}
        with self._config.log.open("ab") as log:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *("setpriv", "--pdeathsig", "KILL", "--", str(self._program), *self._extra),
                    env=environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            except OSError as error:
                raise ProcessFailed(f"{self._program}: {error.strerror}") from error

    async def stop(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_DEADLINE):
                await process.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """SIGKILL, as a loss of power ends it."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def ended(self) -> str | None:
        if self._process is None:
            return "it was not started"
        code = self._process.returncode
        if code is None:
            return None
        why = f"exit status {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        return f"{why}: {_last_line(self._config.log)}" if code else why


class Unit:
    """etcd as systemd's unit, which restarts it when it crashes and keeps it running beside a swarmd that does not.

    The unit is of ``Type=exec`` (with ``notify`` a start would last until etcd has published itself, up to 5.6 s),
    with ``Restart=on-failure``, ``StartLimitIntervalSec=0`` and ``TimeoutStopSec=5``.
    """

    def __init__(self, name: str = UNIT, *, systemctl: str = "systemctl") -> None:
        self._name, self._systemctl = name, systemctl
        self._restarts: int | None = None
        """By systemd, of an etcd that this process has not started; more than that is a crash."""

    async def start(self) -> None:
        await self._run("reset-failed", check=False)
        await self._run("start")
        self._restarts = _number((await self._properties()).get("NRestarts", ""))

    async def stop(self) -> None:
        await self._run("stop")

    async def ended(self) -> str | None:
        found = await self._properties()
        state, result = found.get("ActiveState", ""), found.get("Result", "")
        # One that systemd has restarted has ended, even if it happens to run at this moment.
        restarts = _number(found.get("NRestarts", ""))
        if self._restarts is None:
            self._restarts = restarts
        crashed = restarts > self._restarts
        if state in ("active", "deactivating") and not crashed:
            return None
        status = found.get("ExecMainStatus", "?")
        why = f"exit status {status}"
        return f"{why}: {await self._last_words()}" if result != "success" else why

    async def _properties(self) -> dict[str, str]:
        wanted = "--property=ActiveState,Result,ExecMainStatus,NRestarts"
        text = await self._run("show", wanted)
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    async def _last_words(self) -> str:
        try:
            _, text = await run(
                ["journalctl", f"--unit={self._name}", "--lines=40", "--output=cat", "--no-pager"],
                deadline=COMMAND_DEADLINE,
            )
        except ProcessFailed:
            return ""
        return _last_message(text)

    async def _run(self, verb: str, *options: str, check: bool = True) -> str:
        status, output = await run([self._systemctl, verb, *options, self._name], deadline=COMMAND_DEADLINE)
        if status and check:
            raise ProcessFailed(f"systemctl {verb} {self._name}: {output.strip() or f'exit status {status}'}")
        return output


async def run(argv: Sequence[str], *, deadline: float) -> tuple[int, str]:
    """Run a program to its end. Returns its exit status and what it printed on both streams.

    :raises ProcessFailed: there is no such program, or it did not end in time and was killed.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        raise ProcessFailed(f"{argv[0]}: {error.strerror}") from error
    try:
        async with asyncio.timeout(deadline):
            output, _ = await process.communicate()
    except TimeoutError:
        raise ProcessFailed(f"{argv[0]} did not end within {deadline:.0f} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return process.returncode or 0, output.decode(errors="replace")


def _basic_environment() -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TZ")}


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 65536))
            return _last_message(file.read().decode(errors="replace"))
    except FileNotFoundError:
        return ""


def _last_message(text: str) -> str:
    """The last line that etcd logged; what Go prints about a panic after it is left out."""
    return next((line for line in reversed(text.splitlines()) if '"msg"' in line), "")


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
