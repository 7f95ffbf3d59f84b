"""Docker on each host."""

from __future__ import annotations

from collections.abc import Mapping

from testinfra.host import Host

from provisioner.lab import LabSpec
from provisioner.suites.connection import everywhere, output
from provisioner.suites.docker_cli import info

# API 1.44 is what Go clients asked for at least from 2024 to 2026; Debian 12's engine has 1.41, and its own client.
MINIMUM_API = {"trixie": (1, 44), "bookworm": (1, 41)}
OLDEST_API = (1, 41)


def test_running(host: Host, host_name: str) -> None:
    """Docker is running on {host_name}."""
    unit = host.service("docker")
    assert unit.is_running, f"docker.service on {host_name} is {_state(host)}"


def test_enabled(host: Host, host_name: str) -> None:
    """Docker starts with {host_name}."""
    unit = host.service("docker")
    assert unit.is_enabled, f"docker.service on {host_name} is not enabled: {_state(host)}"


def test_answers(host: Host, host_name: str) -> None:
    """Docker on {host_name} answers its command line."""
    assert info(host)["Name"] == host_name, f"the engine on {host_name} was started under another hostname"


def test_api(host: Host, host_name: str, spec: LabSpec) -> None:
    """Docker on {host_name} speaks an API that today's clients accept."""
    version = output(host, "docker version --format '{{.Server.APIVersion}}'")
    least = MINIMUM_API.get(spec.base or "", OLDEST_API)
    assert tuple(int(part) for part in version.split(".")) >= least, (
        f"the engine on {host_name} speaks API {version}, {'.'.join(map(str, least))} is needed"
    )


def test_same_version(hosts: Mapping[str, Host]) -> None:
    """Every host runs the same version of Docker."""
    versions = everywhere(hosts, lambda host: output(host, "docker version --format '{{.Server.Version}}'"))
    assert len(set(versions.values())) == 1, ", ".join(f"{name} has {version}" for name, version in versions.items())


def test_swarm_mode(host: Host, host_name: str, spec: LabSpec) -> None:
    """The swarm mode on {host_name} is the one that was asked for."""
    there = "swarmd" if host.service("swarmd").is_running else "docker"
    assert there == spec.engine, f"{host_name} has the swarm mode of {there}, not of {spec.engine}"


def test_storage(host: Host, host_name: str) -> None:
    """Docker on {host_name} shares image layers between containers."""
    driver = info(host)["Driver"]
    assert driver != "vfs", f"the storage driver on {host_name} is vfs, which copies the whole image per container"


def test_limits(host: Host, host_name: str) -> None:
    """Containers on {host_name} can be limited in memory and CPU."""
    engine = info(host)
    missing = [what for what in ("MemoryLimit", "CpuCfsQuota", "PidsLimit") if not engine[what]]
    assert not missing, f"the kernel gives {host_name} no {', '.join(missing)} (see `docker info` there)"


def _state(host: Host) -> str:
    """A unit's state in systemd's words: "inactive (dead), enabled, result success"."""
    properties = output(host, "systemctl show docker --property=ActiveState,SubState,UnitFileState,Result")
    values = dict(line.split("=", 1) for line in properties.splitlines())
    return "{ActiveState} ({SubState}), {UnitFileState}, result {Result}".format(**values)
