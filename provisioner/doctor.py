"""What this machine lacks, what will not work without it, and the exact command that mends it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from provisioner import state
from provisioner.errors import MachineLacks
from provisioner.machines.lxc import kernel
from provisioner.machines.lxc.cgroup import mounted_hierarchies

Verdict = Literal["ok", "advice", "missing"]

# Measured: three hosts with Docker in a swarm take about 400 MB, their images and caches about 2 GB of disk.
MEMORY_PER_HOST_MIB = 130
MEMORY_NEEDED_MIB = 1024
DISK_NEEDED_GIB = 4
# A host's systemd, Docker and containerd take about 30 inotify instances; the kernel's default is 128 for all of root.
INOTIFY_INSTANCES = 1024
INOTIFY_WATCHES = 65536
PIDS = 32768


@dataclass(frozen=True)
class Finding:
    provider: str
    subject: str
    verdict: Verdict
    seen: str
    consequence: str = ""
    """What does not work as it is."""
    cure: str = ""
    """The command that mends it; empty where there is none."""


# program -> the Debian package that has it
_PROGRAMS = {
    "lxc-start": "lxc", "mmdebstrap": "mmdebstrap", "dnsmasq": "dnsmasq-base", "slirp4netns": "slirp4netns",
    "nft": "nftables", "ip": "iproute2", "ss": "iproute2", "nsenter": "util-linux", "unshare": "util-linux",
    "mount": "mount", "ssh": "openssh-client", "ssh-keygen": "openssh-client", "nc": "netcat-openbsd",
    "sysctl": "procps",
}  # fmt: skip

# module -> (whether it is a file system, what does not work without it, whether a lab is impossible then)
_MODULES: dict[str, tuple[bool, str, bool]] = {
    "overlay": (True, "hosts cannot be made: their roots are overlays", True),
    "vxlan": (False, "no overlay networks between hosts", True),
    "br_netfilter": (False, "firewall rules do not see what containers of one bridge send each other", False),
    "ip_vs": (False, "no virtual IPs, no routing mesh with Docker's own swarm mode", False),
    "btrfs": (True, "labs use ext4 instead: no snapshots in no time", False),
    "nf_tables": (False, "hosts have no way out, Docker has no rules", True),
    "veth": (False, "hosts have no network", True),
    "bridge": (False, "hosts have no network", True),
}


def examine() -> list[Finding]:
    """Every finding, the good ones too, in the order in which one would mend them."""
    return [finding for check in _CHECKS for finding in check()]


def require(findings: list[Finding] | None = None) -> None:
    """:raises MachineLacks: something is missing without which no lab can be made."""
    missing = [finding for finding in findings or examine() if finding.verdict == "missing"]
    if missing:
        cures = list(dict.fromkeys(finding.cure for finding in missing if finding.cure))
        raise MachineLacks(
            "this machine lacks what a lab needs:\n"
            + "\n".join(f"  {finding.subject}: {finding.seen}; {finding.consequence}" for finding in missing),
            hint=" && ".join(cures) or "provision doctor",
        )


def _root() -> Iterator[Finding]:
    if os.geteuid() == 0:
        yield Finding("lxc", "rights", "ok", "root")
    else:
        yield Finding(
            "lxc", "rights", "missing", "not root", "namespaces and mounts cannot be made", "sudo provision ..."
        )


def _programs() -> Iterator[Finding]:
    absent = {program: package for program, package in _PROGRAMS.items() if shutil.which(program) is None}
    if not absent:
        yield Finding("lxc", "programs", "ok", f"all {len(_PROGRAMS)} are there")
        return
    packages = " ".join(sorted(set(absent.values())))
    yield Finding(
        "lxc", "programs", "missing", f"{', '.join(absent)} not found", "no lab can be made",
        f"apt-get install --no-install-recommends {packages}",
    )  # fmt: skip


def _file_system_maker() -> Iterator[Finding]:
    if shutil.which("mkfs.btrfs") is None:
        yield Finding(
            "lxc", "mkfs.btrfs", "advice", "not found", "labs use ext4 instead: no snapshots in no time",
            "apt-get install --no-install-recommends btrfs-progs",
        )  # fmt: skip


def _modules() -> Iterator[Finding]:
    for name, (is_file_system, consequence, needed) in _MODULES.items():
        if kernel.has_file_system(name) if is_file_system else kernel.has_module(name):
            yield Finding("lxc", f"kernel {name}", "ok", "there")
        else:
            loadable = kernel.is_loadable(name)
            yield Finding(
                "lxc", f"kernel {name}", "missing" if needed else "advice",
                "not loaded" if loadable else "this kernel does not have it", consequence,
                f"modprobe {name}" if loadable else "",
            )  # fmt: skip


def _cgroups() -> Iterator[Finding]:
    v1, v2 = mounted_hierarchies()
    if v1 or v2:
        yield Finding("lxc", "cgroups", "ok", "version 1" if v1 else "version 2")
    else:
        yield Finding(
            "lxc", "cgroups", "missing", "none mounted", "hosts cannot be made", "mount -t cgroup2 none /sys/fs/cgroup"
        )


def _limits() -> Iterator[Finding]:
    wanted = {
        "fs.inotify.max_user_instances": INOTIFY_INSTANCES,
        "fs.inotify.max_user_watches": INOTIFY_WATCHES,
        "kernel.pid_max": PIDS,
    }
    for key, least in wanted.items():
        value = int(Path("/proc/sys", *key.split(".")).read_text())
        if value >= least:
            yield Finding("lxc", key, "ok", str(value))
        else:
            yield Finding(
                "lxc", key, "advice", str(value), 'with many hosts: "too many open files", services that do not start',
                f"sysctl -w {key}={least}",
            )  # fmt: skip


def _memory() -> Iterator[Finding]:
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(lines["MemAvailable"].split()[0]) >> 10
    hosts = available // MEMORY_PER_HOST_MIB
    if available >= MEMORY_NEEDED_MIB:
        yield Finding("lxc", "memory", "ok", f"{available} MiB available: enough for about {hosts} idle hosts")
    else:
        yield Finding("lxc", "memory", "advice", f"{available} MiB available", f"room for {hosts} idle hosts, no more")


def _disk() -> Iterator[Finding]:
    place = state.home()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    seen = f"{free / (1 << 30):.1f} GiB free at {place}"
    if free >= DISK_NEEDED_GIB << 30:
        yield Finding("lxc", "disk", "ok", seen)
    elif free >= 1 << 30:
        yield Finding("lxc", "disk", "advice", seen, f"a first lab with its images takes about {DISK_NEEDED_GIB} GiB")
    else:
        yield Finding("lxc", "disk", "missing", seen, "no base image can be built", "provision cache prune")


_CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _root, _programs, _file_system_maker, _modules, _cgroups, _limits, _memory, _disk,
)  # fmt: skip
