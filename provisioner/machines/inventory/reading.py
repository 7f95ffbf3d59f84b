"""A user's Ansible inventory, in any format that Ansible takes, as hosts with their roles and variables."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner import command
from provisioner.errors import UsageError
from provisioner.lab import Role

GROUPS: Mapping[str, Role] = {"managers": "manager", "workers": "worker"}
READING_SECONDS = 60
EXAMPLE = "all: {children: {managers: {hosts: {manager1: {ansible_host: 10.0.0.10}}}}}"

# It becomes the machine's hostname (63 bytes, hostname(7)), a folder, and a pattern in ssh_config.
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
# Variables that mean something to the roles or to the way there; one of them that is vaulted cannot be passed over.
_MEANT = re.compile(r"(ansible|base|docker|swarm|topology)_")
# What Ansible can do and provision cannot: its own ssh, its checks and its way to Docker's socket go without.
_KEY_WANTED = "ssh takes no password here; put a key there: ssh-copy-id USER@HOST"
_NOPASSWD_WANTED = "sudo must ask for no password: add NOPASSWD to the user's line of sudoers, see sudoers(5)"
_REFUSED = {
    "ansible_password": _KEY_WANTED,
    "ansible_ssh_pass": _KEY_WANTED,
    "ansible_become_password": _NOPASSWD_WANTED,
    "ansible_become_pass": _NOPASSWD_WANTED,
    "ansible_sudo_pass": _NOPASSWD_WANTED,
}
_ONLY = {"ansible_connection": ("ssh", "smart"), "ansible_become_method": ("sudo",), "ansible_become_user": ("root",)}


@dataclass(frozen=True)
class GivenHost:
    name: str
    role: Role
    variables: Mapping[str, Any]
    """Group variables among them, as Ansible merges them."""


def read(path: Path) -> dict[str, Any]:
    """What `ansible-inventory --list` answers.

    :raises UsageError: there is no such inventory, or it is none.
    """
    if not path.exists():
        raise UsageError(f"there is no inventory {path}", hint="provision up --provider inventory -i hosts.yml")
    program = Path(sys.executable).with_name("ansible-inventory")
    # The user's ansible.cfg and environment stay in force: they may name a vault's password or an inventory plugin.
    env = {**os.environ, "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1", "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}
    done = command.run([program, "-i", path, "--list"], timeout=READING_SECONDS, check=False, env=env)
    if done.status != 0:
        raise UsageError(f"{path} is not an Ansible inventory: {_reason(done.stderr)}", hint=f"such as: {EXAMPLE}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def hosts(path: Path, answer: Mapping[str, Any]) -> list[GivenHost]:
    """The hosts of the groups `managers` and `workers`, in the inventory's order; other groups are passed over.

    :param answer: what :func:`read` has told of ``path``.
    :raises UsageError: a swarm cannot be made of them; the message says why.
    """
    members = {group: list(_hosts_of(answer, group)) for group in GROUPS}
    if not members["managers"]:
        raise UsageError(
            f"{path} has no host in a group `managers`", hint=f"at least one, for example: {EXAMPLE}; see inventories/"
        )
    if both := sorted(set(members["managers"]) & set(members["workers"])):
        raise UsageError(f"{path}: {both[0]} is in both groups, `managers` and `workers`; a host has one role")
    variables = answer["_meta"]["hostvars"]
    return [
        GivenHost(_valid_name(path, host), role, _checked(host, variables.get(host, {})))
        for group, role in GROUPS.items()
        for host in members[group]
    ]


def _reason(said: str) -> str:
    """The plugins' own words, each once; Ansible says them with headings, origins and blank lines around."""
    lines = [line.strip() for line in said.splitlines()]
    tried = [line.partition("plugin: ")[2] or line for line in lines if "Failed to parse" in line and ": " in line]
    wanted = [line for line in tried if line and not line.endswith("plugin.")]
    other = [line for line in lines if line.startswith(("ERROR", "[ERROR]"))]
    return "; ".join(dict.fromkeys(wanted)) or " ".join(other) or "ansible-inventory gives no reason"


def _hosts_of(answer: Mapping[str, Any], group: str) -> Iterator[str]:
    """The hosts of a group and of the groups in it, each once."""
    seen = dict.fromkeys(answer.get(group, {}).get("hosts", []))
    for child in answer.get(group, {}).get("children", []):
        seen |= dict.fromkeys(_hosts_of(answer, child))
    yield from seen


def _valid_name(path: Path, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{path}: {name!r} cannot be a host's name, and it would be its hostname",
            hint="use lower-case letters, digits and inner hyphens; the machine's address goes into ansible_host",
        )
    return name


def _checked(host: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables without those that are vaulted and mean nothing here.

    :raises UsageError: one of them asks for what cannot be.
    """
    kept: dict[str, Any] = {}
    for name, value in variables.items():
        if name in _REFUSED:
            raise UsageError(f"{host}: {name} cannot be used: {_REFUSED[name]}")
        if name in _ONLY and value not in _ONLY[name]:
            raise UsageError(f"{host}: {name} is {value!r}, and machines are reached by ssh and sudo only")
        if _is_vaulted(value):
            if _MEANT.match(name):
                raise UsageError(
                    f"{host}: {name} is vaulted, and the lab's own inventory would have to hold it in plain text",
                    hint=f"give {name} as a plain value, or leave it out",
                )
            continue
        kept[name] = value
    return kept


def _is_vaulted(value: object) -> bool:
    if isinstance(value, dict):
        return "__ansible_vault" in value or any(_is_vaulted(part) for part in value.values())
    return isinstance(value, list) and any(_is_vaulted(part) for part in value)
