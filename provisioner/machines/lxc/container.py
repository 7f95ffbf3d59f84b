"""One host as an LXC container: its configuration, start, shutdown and power-off.

LXC's command socket is an abstract one, so it lies in the network namespace: every lxc-* program runs inside the
lab's namespaces, with the same absolute -P as lxc-start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner import command
from provisioner.machines.lxc.network import BRIDGE
from provisioner.machines.namespaces.cgroup import LabCgroup
from provisioner.machines.namespaces.keeper import Keeper
from provisioner.state import LabFolder, write_atomically

SHUTDOWN_SECONDS = 30

# Where the folder that host and machine share lies inside the host; Docker listens on a socket in it.
SHARED = Path("/srv/provision")

# lxc.net.0.link would look for the bridge in the machine's /sys. Arguments: lxc.container.conf(5).
_JOIN_BRIDGE = f"""\
#!/bin/sh
exec ip link set "$5" master {BRIDGE} up
"""

_CONFIG = """\
lxc.uts.name = {name}
lxc.rootfs.path = dir:{rootfs}
lxc.mount.auto = proc:rw sys:rw cgroup:rw:force
lxc.mount.entry = {docker_data} var/lib/docker none bind,create=dir 0 0
lxc.mount.entry = {shared} {shared_inside} none bind,create=dir 0 0
lxc.cap.drop =
lxc.apparmor.profile = unconfined
lxc.tty.max = 0
lxc.pty.max = 1024
lxc.signal.halt = SIGRTMIN+3
lxc.console.logfile = {folder}/console.log
lxc.log.file = {folder}/lxc.log
lxc.log.level = WARN
lxc.cgroup.dir.monitor = {cgroup}/monitor/{name}
lxc.cgroup.dir.monitor.pivot = {cgroup}/pivot
lxc.cgroup.dir.container = {cgroup}/host/{name}
lxc.net.0.type = veth
lxc.net.0.veth.pair = {name}
lxc.net.0.name = eth0
lxc.net.0.hwaddr = {mac}
lxc.net.0.script.up = {script}
lxc.net.0.ipv4.address = {address}
lxc.net.0.ipv4.gateway = {gateway}
lxc.net.0.flags = up
"""


@dataclass(frozen=True)
class Plug:
    """Where a container is plugged in."""

    address: str  # with prefix length, "192.168.56.10/24"
    gateway: str
    rootfs: Path
    docker_data: Path


class Container:
    def __init__(self, lab: LabFolder, cgroup: LabCgroup, keeper: Keeper, name: str) -> None:
        self.name = name
        self.folder = lab.host(name)
        self.lab = lab
        self.cgroup = cgroup
        self.keeper = keeper

    @property
    def shared(self) -> Path:
        """A folder that the host sees as /srv/provision."""
        return self.folder / "shared"

    @property
    def console(self) -> Path:
        return self.folder / "console.log"

    def is_running(self) -> bool:
        return bool(self.cgroup.processes(f"host/{self.name}"))

    def configure(self, plug: Plug) -> None:
        self.shared.mkdir(parents=True, exist_ok=True)
        script = self.lab.path / "join-bridge"
        write_atomically(script, _JOIN_BRIDGE, mode=0o700)
        config = _CONFIG.format(
            name=self.name, rootfs=plug.rootfs, docker_data=plug.docker_data, shared=self.shared,
            shared_inside=SHARED.relative_to("/"), folder=self.folder, cgroup=self.cgroup.path, script=script,
            mac=_mac(plug.address), address=plug.address, gateway=plug.gateway,
        )  # fmt: skip
        write_atomically(self.folder / "config", config)

    def start(self) -> None:
        """Power on. Returns when the host's init runs; ssh answers a second later."""
        if self.is_running():
            return
        for part in ("monitor", "host"):
            self.cgroup.clear(f"{part}/{self.name}")
        self.console.write_text("")
        argv = self._lxc("start", "-d", "-f", self.folder / "config")
        command.run(self.cgroup.joining("starting", self.keeper.inside(argv)), timeout=30)

    def shut_down(self) -> None:
        """Shut down as `poweroff` would; what has not ended after 30 s is killed."""
        if self.is_running():
            stop = self._lxc("stop", "-t", str(SHUTDOWN_SECONDS))
            self.keeper.run(stop, timeout=SHUTDOWN_SECONDS + 10, check=False)
        self.kill()

    def freeze(self) -> None:
        self.cgroup.freeze(f"host/{self.name}")

    def thaw(self) -> None:
        self.cgroup.thaw(f"host/{self.name}")

    def kill(self) -> None:
        self.cgroup.kill(f"host/{self.name}")
        self.cgroup.kill(f"monitor/{self.name}")

    def _lxc(self, verb: str, *arguments: str | Path) -> Sequence[str | Path]:
        return [f"lxc-{verb}", "-P", self.folder.parent, "-n", self.name, *arguments]


def _mac(address: str) -> str:
    """A locally administered address made from the IPv4 one, so that it stays over restarts."""
    octets = [int(part) for part in address.split("/", maxsplit=1)[0].split(".")]
    return "02:70:" + ":".join(f"{octet:02x}" for octet in octets)
