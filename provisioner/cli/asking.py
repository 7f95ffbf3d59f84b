"""From the options of `provision up` to a lab's record: the one that is there, or a new one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provisioner import doctor, lab, state
from provisioner.cli.options import require_known
from provisioner.errors import LabNotFound, UsageError
from provisioner.lab import BASES, HYPERVISORS, LabSpec
from provisioner.machines import select
from provisioner.state import LabFolder, Record

ENGINES = ("docker", "swarmd")
# Options that mean something to one provider only.
_ONLY = {
    "vagrant": ("hypervisor", "box", "memory", "cpus", "isolated"),
    "inventory": ("inventory",),
}
_NOT_WITH_INVENTORY = ("managers", "workers", "subnet", "base", "offline")


@dataclass(frozen=True)
class Asked:
    record: Record
    why: str
    """Why its provider is the one it is; empty where the user has named it."""
    notes: Sequence[str]
    """What the user should know about the lab on this machine."""


def record_of(folder: LabFolder, asked: Mapping[str, Any]) -> Asked:
    """The record of the lab that was asked for: the one that is there, or a new one.

    :param asked: the options that were given, by their names.
    :raises UsageError: what was asked for cannot be, or the lab is there already and is something else.
    :raises MachineLacks: this machine lacks what a new lab needs.
    """
    require_known("provider", asked.get("provider"), select.PROVIDERS)
    require_known("engine", asked.get("engine"), ENGINES)
    require_known("base", asked.get("base"), BASES)
    require_known("hypervisor", asked.get("hypervisor"), HYPERVISORS)
    try:
        record = state.load(folder)
    except LabNotFound:
        return _new(folder, asked)
    _require_same(folder, record.spec, asked)
    return Asked(record, "", select.provider(folder, record).preflight())


def _new(folder: LabFolder, asked: Mapping[str, Any]) -> Asked:
    name, why = asked.get("provider"), ""
    if name is None:
        name, why = select.default()
    for provider, options in _ONLY.items():
        if name != provider and (given := [option for option in options if option in asked]):
            raise UsageError(
                f"--{given[0]} is for the {provider} provider, and this lab is on {name}",
                hint=f"add --provider {provider}, or leave it out",
            )
    spec, reason, keep = _spec(folder, name, asked)
    provided = select.provider(folder, state.draft(spec))
    doctor.require(spec)
    notes = provided.preflight()
    keep()
    return Asked(state.create(folder, spec), reason or why, notes)


def _spec(folder: LabFolder, provider: str, asked: Mapping[str, Any]) -> tuple[LabSpec, str, Callable[[], None]]:
    """The spec, why it is so, and what writes down what the record does not hold."""
    plain = {key: asked[key] for key in ("managers", "workers", "engine", "base", "subnet", "offline") if key in asked}
    if provider == "inventory":
        from provisioner.machines.inventory import given  # noqa: PLC0415 (runs Ansible)

        if refused := [option for option in _NOT_WITH_INVENTORY if option in asked]:
            raise UsageError(
                f"--{refused[0]} cannot be chosen for machines that are there already",
                hint="leave it out: the inventory says which machines there are, and its groups what each shall be",
            )
        if "inventory" not in asked:
            raise UsageError("which machines?", hint="provision up --provider inventory -i hosts.yml")
        described = given.describe(folder, asked["inventory"], engine=asked.get("engine", "docker"))
        return described.spec, "", lambda: described.keep(folder)
    if provider == "vagrant":
        from provisioner.machines.vagrant import choice  # noqa: PLC0415 (lxc does without)

        options = {key: asked[key] for key in _ONLY["vagrant"] if key in asked}
        return *choice.describe(folder, options, plain), _nothing
    return lab.describe(name=folder.name, provider=provider, **plain), "", _nothing


def _nothing() -> None:
    pass


def _require_same(folder: LabFolder, was: LabSpec, asked: Mapping[str, Any]) -> None:
    """:raises UsageError: the lab differs from what was asked for."""
    there: dict[str, object] = {
        "managers": len(was.managers), "workers": len(was.workers), "provider": was.provider, "engine": was.engine,
        "base": was.base, "subnet": was.subnet, "offline": was.offline,
        **(was.vagrant.model_dump() if was.vagrant else {}),
    }  # fmt: skip
    wanted = dict(asked)
    if inventory := wanted.pop("inventory", None):
        from provisioner.machines.inventory import given  # noqa: PLC0415

        given.require_same(folder, inventory)
    changes = [
        f"{key} {there.get(key)} (asked for: {value})" for key, value in wanted.items() if there.get(key) != value
    ]
    if changes:
        raise UsageError(
            f"lab {was.name!r} is there already, with {', '.join(changes)}",
            hint=f"give the new one another name (--name), or take this one away first: "
            f"provision down --name {was.name}",
        )
