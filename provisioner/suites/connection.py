"""testinfra's way to a host of the lab: the lab's own ssh_config, a deadline on every command, errors in words."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

from provisioner import command
from provisioner.command import CommandFailed
from provisioner.lab import HostSpec
from provisioner.machines import ssh
from provisioner.state import LabFolder
from provisioner.suites.waiting import patient

# A manager without a quorum answers after 20 s (Docker's own limit): longer than that is a hang.
DEADLINE_SECONDS = 30

# A host without power costs 3 to 10 s per attempt; the checks that follow within this time need not try again.
UNREACHABLE_SECONDS = 10

SSH_FAILED = 255
COMMAND_WIDTH = 160  # a script as an argument would bury what the command said
T = TypeVar("T")


class HostUnreachable(AssertionError):
    """ssh did not get there, or the host did not answer in time."""


class LabBackend(BaseBackend):  # type: ignore[misc] # testinfra has no types
    """Runs commands on one host through the shared connections of the lab's ssh_config."""

    NAME = "ssh"

    def __init__(self, lab: LabFolder, name: str, *, sudo: bool) -> None:
        super().__init__(name)
        self._sudo = sudo
        self._encoding = "UTF-8"
        self._lab = lab
        self._unreachable = ""
        self._until = 0.0

    def run(self, command: str, *args: str, timeout: float = DEADLINE_SECONDS) -> CommandResult:
        """:raises HostUnreachable: no connection, or no end of the command after so many seconds."""
        if time.monotonic() < self._until:
            raise HostUnreachable(self._unreachable)
        text, timeout = self.get_command(command, *args), patient(timeout)
        result = self._ssh(text, timeout=timeout)
        if result.status == SSH_FAILED:
            raise self._gone(f"{self.hostname} cannot be reached by ssh: {result.stderr.strip() or 'no reason given'}")
        return self.result(result.status, text.encode(), result.stdout.encode(), result.stderr.encode())

    def _ssh(self, text: str, *, timeout: float) -> command.Result:
        argv = ssh.argv(self._lab, self.hostname, ssh.as_root(text) if self._sudo else [text])
        try:
            return command.run(argv, timeout=timeout, check=False)
        except CommandFailed as error:
            ssh.hang_up(self._lab, [self.hostname])  # the shared connection may be what hangs
            raise HostUnreachable(f"{self.hostname}: `{_short(text)}` has not ended after {timeout:g} s") from error

    def _gone(self, sentence: str) -> HostUnreachable:
        ssh.hang_up(self._lab, [self.hostname])
        self._unreachable, self._until = sentence, time.monotonic() + UNREACHABLE_SECONDS
        return HostUnreachable(sentence)

    def forget(self) -> None:
        """Try the host again at once: it has been started."""
        self._until = 0.0
        ssh.hang_up(self._lab, [self.hostname])


def connect(lab: LabFolder, spec: HostSpec) -> Host:
    backend = LabBackend(lab, spec.name, sudo=spec.user != "root")
    host = Host(backend)
    backend.set_host(host)
    return host


def name_of(host: Host) -> str:
    return str(host.backend.hostname)


def output(host: Host, text: str, *args: str, timeout: float = DEADLINE_SECONDS) -> str:
    """What a command prints on a host, without the last newline; ``%s`` in it stands for a quoted argument.

    :raises AssertionError: it failed; the message names the host, the command and what it said.
    """
    __tracebackhide__ = True
    done = host.run(text, *args, timeout=timeout)
    if done.rc != 0:
        raise AssertionError(failure(host, done))
    return str(done.stdout).rstrip("\n")


def failure(host: Host, done: CommandResult) -> str:
    """A failed command as a sentence."""
    said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-3:]
    return f"{name_of(host)}: `{_short(done.command.decode())}` ended with status {done.rc}: {' '.join(said)}"


def _short(text: str) -> str:
    return textwrap.shorten(text, COMMAND_WIDTH, placeholder=" …")


def everywhere(hosts: Mapping[str, Host], ask: Callable[[Host], T]) -> dict[str, T]:
    """Ask all hosts at the same time; the first error is raised when all have ended."""
    pool = ThreadPoolExecutor(max(1, len(hosts)))
    answers = {name: pool.submit(ask, host) for name, host in hosts.items()}
    try:
        wait(answers.values())
    finally:
        # An interruption too waits for what is under way, so that nothing is made after it was cleaned up.
        pool.shutdown(cancel_futures=True)
    return {name: answer.result() for name, answer in answers.items()}
