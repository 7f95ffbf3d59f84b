"""What a task asks of its host: the part ``HostConfig`` of a container's creation. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from swarmd.engine.mounts import engine_mount
from swarmd.engine.ports import port_bindings
from swarmd.model import ContainerSpec, DNSConfig, ResourceRequirements, Task


def host_config(task: Task, spec: ContainerSpec) -> dict[str, Any]:
    """Without a restart policy: what comes after a task's end is the managers' to say.

    :param spec: the task's, with its placeholders filled in.
    """
    host: dict[str, Any] = {
        "NetworkMode": "default",
        "RestartPolicy": {"Name": "no"},
        "GroupAdd": spec.groups,
        "ReadonlyRootfs": spec.read_only,
        "Mounts": [engine_mount(mount) for mount in spec.mounts],
        "Sysctls": spec.sysctls,
        "CapAdd": spec.capability_add,
        "CapDrop": spec.capability_drop,
        "ExtraHosts": list(_extra_hosts(spec.hosts)),
        "PortBindings": port_bindings(task.endpoint),
        # Each with both limits: the model leaves out those that are 0.
        "Ulimits": [{"Name": each.name, "Hard": each.hard, "Soft": each.soft} for each in spec.ulimits],
    }
    if spec.init is not None:
        host["Init"] = spec.init
    if task.spec.log_driver is not None:
        host["LogConfig"] = {"Type": task.spec.log_driver.name, "Config": task.spec.log_driver.options}
    return host | _dns(spec.dns_config) | _limits(task.spec.resources)


def _extra_hosts(lines: Iterable[str]) -> Iterable[str]:
    """``address name [alias …]`` as ``name:address``. Docker ignores aliases and lines without a name, too."""
    for line in lines:
        match line.split():
            case [address, name, *_]:
                yield f"{name}:{address}"


def _dns(config: DNSConfig | None) -> dict[str, Any]:
    if config is None:
        return {}
    return {"Dns": config.nameservers, "DnsSearch": config.search, "DnsOptions": config.options}


def _limits(resources: ResourceRequirements | None) -> dict[str, Any]:
    """Reservations are the scheduler's alone; the engine never hears of them."""
    limits = resources.limits if resources else None
    if limits is None:
        return {}
    named = {"NanoCpus": limits.nano_cpus, "Memory": limits.memory_bytes, "PidsLimit": limits.pids}
    return {name: value for name, value in named.items() if value > 0}
