"""How a lab's hosts are reached: its key, its known hosts, and an ssh_config that plain `ssh -F` takes too."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from provisioner import command
from provisioner.lab import HostSpec
from provisioner.state import LabFolder, write_atomically

# By name and by address: Ansible reaches a host by its address. Of two values of a setting the first one counts.
_HOST = """\
Host {names}
  HostName {host}
  Port {port}
  User {user}
{more}  HostKeyAlias {name}
"""

# ControlPath is part of a socket address, 108 bytes at most (unix(7)): the folder's name is short.
_COMMON = """\
Host *
  UserKnownHostsFile "{known_hosts}"
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  UpdateHostKeys no
  ConnectTimeout 5
  ServerAliveInterval 5
  ServerAliveCountMax 3
  ControlMaster auto
  ControlPath "{control}/%k"
  ControlPersist 60
  LogLevel ERROR
{more}"""

# The lab's own key and no other, so that an agent full of keys does not run into a host's limit of attempts.
_LAB_KEY = """\
  IdentityFile "{key}"
  IdentitiesOnly yes
  PreferredAuthentications publickey
"""


@dataclass(frozen=True)
class Route:
    """How ssh gets to a host."""

    spec: HostSpec
    host: str
    """An address or a name that this machine resolves."""
    port: int = 22
    options: Mapping[str, str] = field(default_factory=dict)
    """More of ssh_config(5), for example {"ProxyJump": "bastion"}."""


def make_key(lab: LabFolder) -> str:
    """The lab's public key; makes the pair where there is none."""
    if not lab.key.with_suffix(".pub").exists():
        lab.key.unlink(missing_ok=True)
        generate_key(lab.key, comment=f"lab {lab.name}")
    return lab.key.with_suffix(".pub").read_text().strip()


def generate_key(path: Path, *, comment: str) -> str:
    """Make an ed25519 pair at ``path`` and ``path``.pub, and return the public key's line."""
    command.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path])
    return path.with_name(path.name + ".pub").read_text().strip()


def write_known_hosts(lab: LabFolder, public_keys: Mapping[str, str]) -> None:
    """:param public_keys: host name -> its public host key ("ssh-ed25519 AAAA… comment")."""
    lines = [f"{name} {' '.join(key.split()[:2])}" for name, key in public_keys.items()]
    write_atomically(lab.known_hosts, "\n".join(lines) + "\n")


def write_config(lab: LabFolder, routes: Sequence[Route], *, proxy: str = "", more: str | None = None) -> None:
    """Write the ssh_config through which everything reaches the lab's hosts.

    :param proxy: a ProxyCommand for all, with %h and %p for address and port.
    :param more: what else holds for all, as lines of ssh_config(5); the lab's own key where absent.
    """
    control = control_folder(lab)
    control.mkdir(parents=True, exist_ok=True)
    common = _LAB_KEY.format(key=lab.key) if more is None else more
    if proxy:
        common += f"  ProxyCommand {proxy}\n"
    entries = [
        _HOST.format(
            names=" ".join(dict.fromkeys([route.spec.name, str(route.spec.address)])),
            host=route.host, port=route.port, user=route.spec.user, name=route.spec.name,
            more="".join(f"  {key} {value}\n" for key, value in route.options.items()),
        )
        for route in routes
    ]  # fmt: skip
    whole = "".join(entries) + _COMMON.format(known_hosts=lab.known_hosts, control=control, more=common)
    write_atomically(lab.ssh_config, whole)


def control_folder(lab: LabFolder) -> Path:
    return lab.path / "ctl"


def argv(lab: LabFolder, host: str, words: Sequence[str], *, options: Sequence[str] = ()) -> list[str]:
    return ["ssh", "-F", str(lab.ssh_config), *options, host, *words]


def as_root(text: str) -> list[str]:
    """The words that let root's shell read ``text``, for a user who may sudo without a password."""
    return ["sudo", "-n", "--", "sh", "-c", shlex.quote(text)]


def hang_up(lab: LabFolder, hosts: Sequence[str]) -> None:
    """End the shared connections to hosts: one to a host without power would take 15 s to notice."""
    for host in hosts:
        end(lab, host, control_folder(lab) / host)


def end(lab: LabFolder, host: str, control: Path) -> None:
    """End the ssh that serves a control socket, and remove the socket. May be repeated."""
    if control.exists():
        command.run(["ssh", "-F", lab.ssh_config, "-S", control, "-O", "exit", host], check=False, timeout=5)
        control.unlink(missing_ok=True)
