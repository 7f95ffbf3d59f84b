"""The lab's own network: a bridge, a resolver that answers at once, and the optional way out.

All of it lies in the lab's network namespace.
"""

from __future__ import annotations

import json
import time
from ipaddress import IPv4Network
from pathlib import Path

from provisioner import command
from provisioner.errors import ProvisionError
from provisioner.lab import LabSpec
from provisioner.machines.namespaces import uplink
from provisioner.machines.namespaces.keeper import Keeper
from provisioner.state import LabFolder, write_atomically

BRIDGE = "br0"
SERVICES = "services"
READY_SECONDS = 10

_BRIDGE_SCRIPT = f"""
ip link set lo up
ip link show {BRIDGE} >/dev/null 2>&1 || ip link add {BRIDGE} type bridge
ip address replace "$1" dev {BRIDGE}
ip link set {BRIDGE} up
sysctl -qw net.ipv4.icmp_ratelimit=0
"""


class LabNetwork:
    def __init__(self, lab: LabFolder, spec: LabSpec, keeper: Keeper) -> None:
        self.lab = lab
        self.spec = spec
        self.keeper = keeper

    def start(self) -> None:
        """Bring up what is not up."""
        # Unreachable addresses must be refused at once, also the hundredth in a second: Docker asks for an image
        # before each start of a task, and a dropped answer costs it seconds. Hence no limit on ICMP errors.
        self.keeper.script(_BRIDGE_SCRIPT, f"{self.spec.gateway}/{self.spec.network.prefixlen}")
        running = self._services()
        way_out = not self.spec.offline and uplink.is_possible()
        if way_out and "slirp4netns" not in running:
            uplink.start(self.keeper, SERVICES, self.lab.path / "uplink.log")
        if "dnsmasq" not in running:
            self._start_resolver(uplink.DNS if way_out else None)

    def _services(self) -> set[str]:
        return {_comm(pid) for pid in self.keeper.cgroup.processes(SERVICES)}

    def _start_resolver(self, upstream: str | None) -> None:
        names = "".join(f"{host.address} {host.name}\n" for host in self.spec.hosts)
        write_atomically(self.lab.path / "names", names, mode=0o644)
        settings = [
            "user=root", "pid-file=", "no-hosts", "no-resolv", "cache-size=1000", "bind-interfaces",
            f"interface={BRIDGE}", "except-interface=lo", f"addn-hosts={self.lab.path / 'names'}",
            # The hosts' names are short names; asking the outside for them would only leak them.
            "domain-needed", "bogus-priv",
            # Without an upstream every other name does not exist, and that is said at once.
            f"server={upstream}" if upstream else "address=/#/",
        ]  # fmt: skip
        config = self.lab.path / "dnsmasq.conf"
        write_atomically(config, "\n".join(settings) + "\n", mode=0o644)
        log_path = self.lab.path / "dnsmasq.log"
        with log_path.open("a") as log:
            dnsmasq = self.keeper.inside(["dnsmasq", "--keep-in-foreground", f"--conf-file={config}"])
            self.keeper.spawn(SERVICES, dnsmasq, log=log)
        deadline = time.monotonic() + READY_SECONDS
        while not self._listens():
            if time.monotonic() > deadline:
                raise ProvisionError(f"the lab's resolver did not start: {_tail(log_path)}", log=log_path)
            time.sleep(0.02)

    def _listens(self) -> bool:
        sockets = self.keeper.run(["ss", "-Hlnu", "sport", "=", ":53"]).stdout
        return str(self.spec.gateway) in sockets

    def cut(self, host: str) -> None:
        """Take a host's link away: what it sends, a FIN of a dying process included, goes nowhere."""
        self.keeper.run(["ip", "link", "set", host, "nomaster", "down"], check=False)

    def unplug(self, host: str) -> None:
        """Remove what is left of a dead host's link.

        Connections that it could not end (its link was cut) hold its namespace, and the link with it, for up to 100 s
        more: tcp_orphan_retries. A host of that name could not start meanwhile.
        """
        self.keeper.run(["ip", "link", "delete", host], check=False)


def overlapping(subnet: IPv4Network) -> list[str]:
    """The networks of this machine that share addresses with a subnet, as "192.0.2.0/24 (eth0)"."""
    routes = json.loads(command.run(["ip", "-json", "-4", "route", "show"]).stdout or "[]")
    return [
        f"{route['dst']} ({route.get('dev', 'no device')})"
        for route in routes
        if route["dst"] != "default" and IPv4Network(route["dst"]).overlaps(subnet)
    ]


def _comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _tail(path: Path) -> str:
    lines = path.read_text(errors="replace").splitlines()
    return lines[-1] if lines else "it said nothing"
