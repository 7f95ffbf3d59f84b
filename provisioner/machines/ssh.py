"""How a lab's hosts are reached: its key, its known hosts, and an ssh_config that plain `ssh -F` takes too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from provisioner import command
from provisioner.lab import HostSpec
from provisioner.state import LabFolder, write_atomically

# By name and by address: Ansible reaches a host by its address.
_HOST = """\
Host {name} {address}
  HostName {address}
  HostKeyAlias {name}
"""

# ControlPath is part of a socket address, 108 bytes at most (unix(7)): the folder's name is short.
_COMMON = """\
Host *
  User root
  IdentityFile "{key}"
  IdentitiesOnly yes
  PreferredAuthentications publickey
  UserKnownHostsFile "{known_hosts}"
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  UpdateHostKeys no
  ProxyCommand {proxy}
  ConnectTimeout 5
  ServerAliveInterval 5
  ServerAliveCountMax 3
  ControlMaster auto
  ControlPath "{control}/%k"
  ControlPersist 60
  LogLevel ERROR
"""


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


def write_config(lab: LabFolder, hosts: Sequence[HostSpec], *, proxy: str) -> None:
    """:param proxy: the ProxyCommand, with %h and %p for address and port (ssh_config(5))."""
    control = control_folder(lab)
    control.mkdir(parents=True, exist_ok=True)
    common = _COMMON.format(key=lab.key, known_hosts=lab.known_hosts, proxy=proxy, control=control)
    entries = [_HOST.format(name=host.name, address=host.address) for host in hosts]
    write_atomically(lab.ssh_config, "".join(entries) + common)


def control_folder(lab: LabFolder) -> Path:
    return lab.path / "ctl"


def argv(lab: LabFolder, host: str, words: Sequence[str], *, options: Sequence[str] = ()) -> list[str]:
    return ["ssh", "-F", str(lab.ssh_config), *options, host, *words]


def hang_up(lab: LabFolder, hosts: Sequence[str]) -> None:
    """End the shared connections to hosts: one to a host without power would take 15 s to notice."""
    for host in hosts:
        if (control_folder(lab) / host).exists():
            command.run(["ssh", "-F", lab.ssh_config, "-O", "exit", host], check=False, timeout=5)
            (control_folder(lab) / host).unlink(missing_ok=True)
