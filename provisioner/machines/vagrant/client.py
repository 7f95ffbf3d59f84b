"""Vagrant, driven through python-vagrant: its commands with a deadline each, its states and its errors in our words."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeVar

from provisioner import command
from provisioner.command import CommandFailed
from provisioner.errors import MachineLacks
from provisioner.lab import Hypervisor
from provisioner.machines.vagrant import description, failures, output
from provisioner.machines.vagrant.output import Activity, Told, silent, unseen

logging.getLogger("vagrant").addHandler(logging.NullHandler())  # a missing Vagrant is said by preflight, once
import vagrant  # noqa: E402

VagrantState = Literal["running", "stopped", "saved", "absent"]
Inside = Callable[[Sequence[str | Path]], list[str]]
"""Makes of an argv the one that runs it elsewhere: ``Keeper.inside``, or what leaves it as it is."""

OLDEST = (2, 3)  # 2.3.4 is what was tried; `validate --ignore-provider` and machine-readable status are older
ASK_SECONDS = 120  # status of three machines takes 1 s, Ruby's start included

# python-vagrant calls libvirt's `shutoff` poweroff and its `paused` saved.
_STATES: Mapping[str, VagrantState] = MappingProxyType({
    "not_created": "absent",
    "running": "running",
    "inaccessible": "running",  # on libvirt: no address yet
    "starting": "running",
    "shutting_down": "running",
    "poweroff": "stopped", "aborted": "stopped", "stopped": "stopped", "crashed": "stopped", "preparing": "stopped",
    "gurumeditation": "stopped",
    "saved": "saved", "paused": "saved", "frozen": "saved", "pmsuspended": "saved",
})  # fmt: skip


_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Access:
    """How ssh reaches a machine, as `vagrant ssh-config` has it."""

    host: str
    port: int
    user: str
    key: Path


class VagrantClient:
    """`vagrant` on one folder that :func:`description.write` has filled."""

    def __init__(
        self,
        folder: Path,
        hypervisor: Hypervisor,
        *,
        inside: Inside = lambda argv: [*map(str, argv)],
        home: Path | None = None,
        new_log: Callable[[str], Path],
    ) -> None:
        """:param home: VAGRANT_HOME; None: the user's own.
        :param new_log: makes the path of a log file from a verb (``LabFolder.new_log``).
        """
        self.folder = folder
        self.hypervisor = hypervisor
        self.inside = inside
        self.new_log = new_log
        self.environment = _environment(folder, home)

    def preflight(self) -> None:
        """:raises MachineLacks: Vagrant is missing or too old, or the hypervisor's plug-in is missing."""
        if shutil.which("vagrant") is None:
            raise MachineLacks("Vagrant is not on this machine", hint=_install_vagrant())
        version = self._ask(lambda vagrant: vagrant.version())
        if too_old(version):
            raise MachineLacks(
                f"Vagrant is {version}, and {'.'.join(map(str, OLDEST))} is the oldest that this works with",
                hint=_install_vagrant(),
            )
        if self.hypervisor == "virtualbox":
            return  # its provider is part of Vagrant
        plugin = f"vagrant-{self.hypervisor}"
        if plugin not in {found.name for found in self._ask(lambda vagrant: vagrant.plugin_list())}:
            raise MachineLacks(
                f"Vagrant's plug-in {plugin} is not installed",
                hint=f"apt-get install {plugin}, or: vagrant plugin install {plugin}",
            )

    def up(
        self, names: Sequence[str], *, parallel: bool = True, told: Told = silent, activity: Activity = unseen
    ) -> None:
        """Make and boot machines, or resume saved ones; returns when ssh answers on all.

        :param parallel: all at once where the hypervisor allows it.
        :param activity: a value that changes while work is done that Vagrant does not speak of.
        :raises ProvisionError: Vagrant failed; the message is in our words where its error is a known one.
        """
        # vagrant-lxc's parallel machines race for its bridge.
        one_by_one = {} if parallel and self.hypervisor != "lxc" else {"VAGRANT_NO_PARALLEL": "1"}
        vagrant = self._telling("up", told, activity, **one_by_one)
        vagrant.up(vm_name=_pattern(names), provider=self.hypervisor)

    def halt(self, names: Sequence[str], *, told: Told = silent) -> None:
        self._telling("halt", told).halt(vm_name=_pattern(names))

    def suspend(self, names: Sequence[str], *, told: Told = silent, activity: Activity = unseen) -> None:
        self._telling("suspend", told, activity).suspend(vm_name=_pattern(names))

    def resume(self, names: Sequence[str], *, told: Told = silent) -> None:
        self._telling("resume", told).resume(vm_name=_pattern(names))

    def destroy(self, names: Sequence[str], *, told: Told = silent) -> None:
        self._telling("destroy", told).destroy(vm_name=_pattern(names))

    def status(self) -> dict[str, VagrantState]:
        """The state of every machine of the description.

        On libvirt, Vagrant takes a saved machine for a halted one: ``Virsh.domains`` tells them apart.
        """
        statuses = self._ask(lambda vagrant: vagrant.status())
        return {status.name: state_of(status.state) for status in statuses if status.name}

    def ssh_config(self, names: Sequence[str] | None = None) -> dict[str, Access]:
        """How to reach machines that run; without names, all that run."""
        if names is None:
            names = [name for name, state in self.status().items() if state == "running"]
        if not names:
            return {}
        pattern = _pattern(names)
        return parse_ssh_config(self._ask(lambda vagrant: vagrant.ssh_config(pattern)))

    def machine_id(self, name: str) -> str:
        """The hypervisor's own id of a machine (a UUID; on lxc a name), "" where Vagrant knows none."""
        with contextlib.suppress(OSError):
            return (self._state(name) / "id").read_text().strip()
        return ""

    def forget(self, name: str) -> None:
        """Have Vagrant forget a machine that was taken away behind its back."""
        shutil.rmtree(self._state(name), ignore_errors=True)

    def _state(self, name: str) -> Path:
        return self.folder / ".vagrant" / "machines" / name / self.hypervisor

    def _ask(self, question: Callable[[_Commands], _Answer]) -> _Answer:
        """Ask what Vagrant answers at once."""
        try:
            return question(_Commands(self.folder, self.inside, self.environment, lambda _: None))
        except CommandFailed as error:
            said = error.result.stderr + error.result.stdout
            raise failures.explain(said, lab=self._lab(), verb=error.result.argv[-1]) from error

    def _telling(self, verb: str, told: Told, activity: Activity = unseen, **environment: str) -> _Commands:
        """A Vagrant that tells of its work, line by line."""
        env = self.environment | environment

        def call(argv: list[str]) -> None:
            output.run(
                argv, env=env, verb=verb, lab=self._lab(), log_path=self.new_log(f"vagrant-{verb}"),
                told=told, activity=activity,
            )  # fmt: skip

        return _Commands(self.folder, self.inside, env, call)

    def _lab(self) -> str:
        with contextlib.suppress(OSError, ValueError):
            return description.read(self.folder).lab
        return self.folder.name


class _Commands(vagrant.Vagrant):
    """python-vagrant knows the commands; how they are run is ours: its methods for that are overridden here."""

    def __init__(self, folder: Path, inside: Inside, env: Mapping[str, str], call: Callable[[list[str]], None]) -> None:
        super().__init__(root=str(folder), env=dict(env))  # type: ignore[no-untyped-call]
        self._inside = inside
        self._call = call

    def _make_vagrant_command(self, args: Sequence[str | None]) -> list[str]:
        executable = shutil.which("vagrant")
        if executable is None:
            raise MachineLacks("Vagrant is not on this machine", hint=_install_vagrant())
        return self._inside([executable, *(word for word in args if word is not None)])

    def _run_vagrant_command(self, args: Sequence[str | None]) -> str:
        return command.run(self._make_vagrant_command(args), env=self.env, timeout=ASK_SECONDS).stdout

    def _call_vagrant_command(self, args: Sequence[str | None]) -> None:
        self._call(self._make_vagrant_command(args))


def _environment(folder: Path, home: Path | None) -> dict[str, str]:
    # What the user's shell says to a Vagrant of his own must not reach the lab's.
    own = {name: value for name, value in os.environ.items() if not re.match(r"VAGRANT_(?!HTTP|HOME$|LOG)", name)}
    own |= {
        "VAGRANT_CWD": str(folder), "VAGRANT_CHECKPOINT_DISABLE": "1", "VAGRANT_NO_COLOR": "1",
        "PROVISION_DESCRIPTION": str(folder / description.FILE),
    }  # fmt: skip
    return own | ({"VAGRANT_HOME": str(home)} if home else {})


def _pattern(names: Sequence[str]) -> str:
    """Several machines in one call, whose commands take one name or a pattern."""
    return names[0] if len(names) == 1 else f"/^({'|'.join(map(re.escape, names))})$/"


def too_old(version: str) -> bool:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2]) < OLDEST


def state_of(word: str) -> VagrantState:
    """A hypervisor's word for a state, in ours. What no hypervisor is known to say counts as halted."""
    return _STATES.get(word, "stopped")


def parse_ssh_config(text: str) -> dict[str, Access]:
    """Read what `vagrant ssh-config` prints: one Host section per machine."""
    found: dict[str, Access] = {}
    for section in re.split(r"^Host ", text, flags=re.MULTILINE)[1:]:
        name, *lines = section.splitlines()
        pairs = (line.split(None, 1) for line in lines if line.strip())
        # The first key is the one that Vagrant put there.
        values: dict[str, str] = {}
        for key, value in pairs:
            values.setdefault(key, value.strip().strip('"'))
        found[name.strip()] = Access(
            values["HostName"], int(values["Port"]), values["User"], Path(values["IdentityFile"])
        )
    return found


def _install_vagrant() -> str:
    if sys.platform == "darwin":
        return "brew install --cask vagrant"
    return "apt-get install vagrant, or a package from Vagrant's own site"
