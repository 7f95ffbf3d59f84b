"""What labs of LXC hosts need of this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from provisioner.doctor.finding import Finding, disk, memory, programs
from provisioner.machines.lxc import kernel
from provisioner.machines.namespaces.cgroup import mounted_hierarchies

PROVIDER = "lxc"

# Measured: three hosts with Docker in a swarm take about 400 MB, their images and caches about 2 GB of disk.
MEMORY_PER_HOST_MIB = 130
MEMORY_NEEDED_MIB = 1024
DISK_NEEDED_GIB = 4
# A host's systemd, Docker and containerd take about 30 inotify instances; the kernel's default is 128 for all of root.
INOTIFY_INSTANCES = 1024
INOTIFY_WATCHES = 65536
PIDS = 32768


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


def examine() -> Iterator[Finding]:
    """Every finding, the good ones too, in the order in which one would mend them."""
    for check in _CHECKS:
        yield from check()


def _root() -> Iterator[Finding]:
    if os.geteuid() == 0:
        yield Finding(PROVIDER, "rights", "ok", "root")
    else:
        yield Finding(
            PROVIDER, "rights", "missing", "not root", "namespaces and mounts cannot be made", "sudo provision ..."
        )


def _programs() -> Iterator[Finding]:
    yield programs(PROVIDER, _PROGRAMS, "no lab can be made")


def _file_system_maker() -> Iterator[Finding]:
    if shutil.which("mkfs.btrfs") is None:
        yield Finding(
            PROVIDER, "mkfs.btrfs", "advice", "not found", "labs use ext4 instead: no snapshots in no time",
            "apt-get install --no-install-recommends btrfs-progs",
        )  # fmt: skip


def _modules() -> Iterator[Finding]:
    for name, (is_file_system, consequence, needed) in _MODULES.items():
        if kernel.has_file_system(name) if is_file_system else kernel.has_module(name):
            yield Finding(PROVIDER, f"kernel {name}", "ok", "there")
        else:
            loadable = kernel.is_loadable(name)
            yield Finding(
                PROVIDER, f"kernel {name}", "missing" if needed else "advice",
                "not loaded" if loadable else "this kernel does not have it", consequence,
                f"modprobe {name}" if loadable else "",
            )  # fmt: skip


def _cgroups() -> Iterator[Finding]:
    v1, v2 = mounted_hierarchies()
    if v1 or v2:
        yield Finding(PROVIDER, "cgroups", "ok", "version 1" if v1 else "version 2")
    else:
        yield Finding(
            PROVIDER, "cgroups", "missing", "none mounted", "hosts cannot be made",
            "mount -t cgroup2 none /sys/fs/cgroup",
        )  # fmt: skip


def _limits() -> Iterator[Finding]:
    wanted = {
        "fs.inotify.max_user_instances": INOTIFY_INSTANCES,
        "fs.inotify.max_user_watches": INOTIFY_WATCHES,
        "kernel.pid_max": PIDS,
    }
    for key, least in wanted.items():
        value = int(Path("/proc/sys", *key.split(".")).read_text())
        if value >= least:
            yield Finding(PROVIDER, key, "ok", str(value))
        else:
            yield Finding(
                PROVIDER, key, "advice", str(value),
                'with many hosts: "too many open files", services that do not start',
                f"sysctl -w {key}={least}",
            )  # fmt: skip


def _memory() -> Iterator[Finding]:
    yield memory(PROVIDER, needed=MEMORY_NEEDED_MIB, per_host=MEMORY_PER_HOST_MIB)


def _disk() -> Iterator[Finding]:
    yield disk(PROVIDER, needed=DISK_NEEDED_GIB)


_CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _root, _programs, _file_system_maker, _modules, _cgroups, _limits, _memory, _disk,
)  # fmt: skip
