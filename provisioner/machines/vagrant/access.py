"""The way to a virtual machine: from what Vagrant can open to the lab's own key, host keys and ssh_config."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from provisioner import command
from provisioner.command import CommandFailed
from provisioner.errors import ProvisionError
from provisioner.lab import HostSpec, LabSpec
from provisioner.machines import ssh
from provisioner.machines.vagrant.client import Access
from provisioner.machines.vagrant.hypervisor import Hypervisor
from provisioner.state import LabFolder

ANSWER_SECONDS = 30
STALLED_SECONDS = 60
# A machine made anew has another MAC address: what was known of the old one is believed for some seconds (arp(7)).
NEIGHBOUR_SECONDS = 30
_KEY_TYPE = "ssh-ed25519"

# The first connection is with the key that Vagrant has, to put the lab's own there. Our own box holds Vagrant's
# well-known key, whose private half is public: it goes.
_REPLACE = "umask 077; mkdir -p ~/.ssh; echo {key} > ~/.ssh/authorized_keys"
_APPEND = "umask 077; mkdir -p ~/.ssh; echo {key} >> ~/.ssh/authorized_keys"


def establish(
    lab: LabFolder,
    spec: LabSpec,
    hosts: Sequence[HostSpec],
    found: Mapping[str, Access],
    *,
    new: Sequence[str],
    booting: Sequence[str],
    ours: bool,
    hypervisor: Hypervisor,
) -> dict[str, str]:
    """Have ``ssh -F`` of the lab reach running machines with the lab's key.

    :param found: how Vagrant reaches them.
    :param new: those whose host key is not known yet, or is another than before.
    :param booting: those that Vagrant has not waited for: an `up` that was killed left them running.
    :param ours: whether they are made of a box of our own.
    :returns: the machines that it does not reach, with the reason.
    """
    known = {name: key for name, key in _known(lab).items() if name not in new}
    asked = [host for host in hosts if host.name in booting or host.name not in known]
    with ThreadPoolExecutor(8) as pool:
        patience = [STALLED_SECONDS if host.name in booting else NEIGHBOUR_SECONDS for host in asked]
        keys = pool.map(lambda host, seconds: _host_key(found[host.name], hypervisor, seconds), asked, patience)
        for host, key in zip(asked, keys, strict=True):
            if key:
                known.setdefault(host.name, key)
    ssh.write_known_hosts(lab, {host.name: known[host.name] for host in spec.hosts if host.name in known})
    routes = [
        ssh.Route(host, found[host.name].host if host.name in found else str(host.address),
                  found[host.name].port if host.name in found else 22)
        for host in spec.hosts
    ]  # fmt: skip
    ssh.write_config(lab, routes, proxy=hypervisor.proxy())
    with ThreadPoolExecutor(8) as pool:
        reasons = pool.map(lambda host: _let_in(lab, host, found[host.name], ours=ours), hosts)
        return {host.name: reason for host, reason in zip(hosts, reasons, strict=True) if reason}


def set_clock(lab: LabFolder, name: str) -> None:
    """Give a machine this machine's time: one that was saved is behind by the time away."""
    words = ssh.as_root(f"date -s @{time.time():.3f} >/dev/null")
    command.run(ssh.argv(lab, name, words), timeout=ANSWER_SECONDS)


def _known(lab: LabFolder) -> dict[str, str]:
    if not lab.known_hosts.exists():
        return {}
    return dict(line.split(" ", 1) for line in lab.known_hosts.read_text().splitlines() if line)


def _host_key(to: Access, hypervisor: Hypervisor, patience: float) -> str:
    """The host key of a machine; empty where its ssh does not answer and nothing has happened for so many seconds."""
    seen, since = hypervisor.activity(), time.monotonic()
    while True:
        if key := _scan(to, hypervisor):
            return key
        now = hypervisor.activity()
        if now != seen:
            seen, since = now, time.monotonic()
        if time.monotonic() - since >= patience:
            return ""
        time.sleep(1)


def _scan(to: Access, hypervisor: Hypervisor) -> str:
    argv = ["ssh-keyscan", "-T", "10", "-t", "ed25519", "-p", str(to.port), to.host]
    for line in command.run(hypervisor.inside(argv), timeout=ANSWER_SECONDS, check=False).stdout.splitlines():
        _, kind, key = line.split()[:3]
        if kind == _KEY_TYPE:
            return f"{kind} {key}"
    return ""


def _let_in(lab: LabFolder, host: HostSpec, to: Access, *, ours: bool) -> str:
    """Put the lab's key there, unless it opens the machine already.

    :returns: why not, or an empty string.
    """
    try:
        if command.run(ssh.argv(lab, host.name, ["true"]), check=False, timeout=ANSWER_SECONDS).status == 0:
            return ""
        options = ["-o", f"IdentityFile={to.key}", "-o", "ControlPath=none"]
        install = _REPLACE if ours else _APPEND
        words = [install.format(key=shlex.quote(ssh.make_key(lab)))]
        command.run(ssh.argv(lab, host.name, words, options=options), timeout=ANSWER_SECONDS)
        command.run(ssh.argv(lab, host.name, ["true"]), timeout=ANSWER_SECONDS)
    except CommandFailed as error:
        said = error.result.stderr.strip() or error.message.splitlines()[0]
        return f"ssh does not get into {host.name}: {said}"
    except ProvisionError as error:
        return error.message
    return ""
