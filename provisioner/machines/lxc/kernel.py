"""What the machine's kernel has. LXC hosts share it and cannot load modules of their own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from provisioner import command

# How to find out by trying, in a network namespace that is gone afterwards: a kernel with everything built in may
# come without the lists of modules.
_TRIALS = {
    "vxlan": "ip link add v type vxlan id 1 dstport 4789",
    "veth": "ip link add v type veth",
    "bridge": "ip link add v type bridge",
    "nf_tables": "nft list ruleset",
    "br_netfilter": "test -e /proc/sys/net/bridge/bridge-nf-call-iptables",
    # Docker has it loaded when it makes the first virtual IP; until then, only whoever tries knows that it can be.
    # Loaded, it does nothing to the machine, unlike br_netfilter, which changes what the rules of its bridges see.
    "ip_vs": "modprobe -q ip_vs; test -e /proc/net/ip_vs",
}


def has_file_system(name: str) -> bool:
    """Whether it can be mounted; loads its module where that is there."""
    if not _lists_file_system(name):
        load(name)
    return _lists_file_system(name)


def has_module(name: str) -> bool:
    """Whether it is loaded or built in."""
    if Path(f"/sys/module/{name}").exists():
        return True
    builtin = Path(f"/lib/modules/{os.uname().release}/modules.builtin")
    if builtin.exists() and f"/{name}.ko" in builtin.read_text():
        return True
    trial = _TRIALS.get(name)
    return trial is not None and command.run(["unshare", "--net", "sh", "-c", trial], check=False).status == 0


def is_loadable(name: str) -> bool:
    return _modprobe("--dry-run", name)


def load(name: str) -> bool:
    return _modprobe(name)


def _modprobe(*arguments: str) -> bool:
    if shutil.which("modprobe") is None:
        return False
    return command.run(["modprobe", "--quiet", *arguments], check=False).status == 0


def _lists_file_system(name: str) -> bool:
    return any(line.split()[-1] == name for line in Path("/proc/filesystems").read_text().splitlines())
