"""What Docker's managers refuse in a spec, with their words (moby/swarmkit ``manager/controlapi``)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from datetime import UTC, datetime

from swarmd import constraints
from swarmd.engine import template
from swarmd.errors import BadRequest, InvalidArgument
from swarmd.model import (
    NodeDescription,
    RestartPolicy,
    ServiceSpec,
    SwarmSpec,
    Task,
    TaskSpec,
    TaskState,
    TaskStatus,
    UpdateConfig,
)
from swarmd.model.specs import ResourceObject

CLUSTER_PORT = 2377
_SMALLEST_CPU = 1_000_000
_SMALLEST_MEMORY = 4 << 20
_SHORTEST_CERTIFICATE = 3600 * 1_000_000_000

_DNS_LABEL = re.compile(r"[a-zA-Z0-9](?:[-_]*[A-Za-z0-9]+)*")

_PATH_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN_COMPONENT = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_DOMAIN_COMPONENT}(?:\.{_DOMAIN_COMPONENT})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_PATH = re.compile(rf"{_PATH_COMPONENT}(?:/{_PATH_COMPONENT})*")
_TAG = re.compile(r"[\w][\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")
_LONGEST_PATH = 255


def check_service(spec: ServiceSpec) -> None:
    """
    :raises InvalidArgument: a value is not allowed.
    :raises swarmd.errors.ClusterError: a constraint cannot be read; Docker answers 500 to that.
    """
    if not spec.name:
        raise InvalidArgument("meta: name must be provided")
    if not _DNS_LABEL.fullmatch(spec.name):
        raise InvalidArgument("name must be valid as a DNS name component")
    if len(spec.name) > 63:
        raise InvalidArgument("name must be 63 characters or fewer")
    _check_task(spec.task_template)
    _check_templates(spec)
    _check_update(spec.update_config)
    _check_update(spec.rollback_config)
    if spec.replicas >= 1 << 63:
        raise InvalidArgument("Number of replicas must be non-negative")


def _check_task(task: TaskSpec) -> None:
    if task.resources is not None:
        _check_resources(task.resources.limits)
        _check_resources(task.resources.reservations)
    _check_restart(task.restart_policy)
    if task.placement is not None:
        for constraint in task.placement.constraints:
            constraints.parse(constraint)
    image = task.container_spec.image
    if not image:
        raise InvalidArgument("ContainerSpec: image reference must be provided")
    if not is_image_reference(image):
        raise InvalidArgument(f'ContainerSpec: "{image}" is not a valid repository/tag')
    grace = task.container_spec.stop_grace_period
    if grace is not None and grace < 0:
        raise InvalidArgument("ContainerSpec: stop-grace-period cannot be negative")


def _check_resources(resources: ResourceObject | None) -> None:
    if resources is None:
        return
    if resources.nano_cpus != 0 and resources.nano_cpus < _SMALLEST_CPU:
        raise InvalidArgument(f"invalid cpu value {resources.nano_cpus / 1e9:g}: Must be at least 0.001")
    if resources.memory_bytes != 0 and resources.memory_bytes < _SMALLEST_MEMORY:
        raise InvalidArgument(f"invalid memory value {resources.memory_bytes}: Must be at least 4MiB")


def _check_restart(policy: RestartPolicy | None) -> None:
    if policy is None:
        return
    if policy.delay is not None and policy.delay < 0:
        raise InvalidArgument("TaskSpec: restart-delay cannot be negative")
    if policy.window < 0:
        raise InvalidArgument("TaskSpec: restart-window cannot be negative")


def _check_update(config: UpdateConfig | None) -> None:
    if config is None:
        return
    if config.delay < 0:
        raise InvalidArgument("TaskSpec: update-delay cannot be negative")
    if config.monitor < 0:
        raise InvalidArgument("TaskSpec: update-monitor cannot be negative")
    if not 0 <= config.max_failure_ratio <= 1:
        raise InvalidArgument("TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1")


def _check_templates(spec: ServiceSpec) -> None:
    """Expand placeholders once, with made-up values, so that a wrong one is refused here and not on some node."""
    container = spec.task_template.container_spec
    if not any(template.has_placeholder(text) for text in (container.hostname, *container.env)):
        return
    known = template.values(_made_up_task(spec), NodeDescription(), name=f"{spec.name}.1.task")
    for field, texts in (("hostname", [container.hostname]), ("env", container.env)):
        try:
            for text in texts:
                template.expand(text, known)
        except template.BadTemplate as error:
            raise InvalidArgument(f"expanding {field} failed: {error}") from None


def _made_up_task(spec: ServiceSpec) -> Task:
    now = datetime.now(UTC)
    return Task(
        id="task",
        service_id="service",
        service_name=spec.name,
        slot=1,
        spec=spec.task_template,
        spec_version=0,
        created_at=now,
        updated_at=now,
        desired_state=TaskState.RUNNING,
        status=TaskStatus(now, TaskState.NEW),
        service_labels=spec.labels,
    )


def is_image_reference(image: str) -> bool:
    """As ``reference.ParseNormalizedNamed``: an optional host, a path in lower case, an optional tag and digest."""
    if re.fullmatch(r"[a-f0-9]{64}", image):
        return False
    name, at, digest = image.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        return False
    head, slash, rest = name.partition("/")
    is_host = slash and ("." in head or ":" in head or head == "localhost" or head.lower() != head)
    path = rest if is_host else name
    if is_host and not _DOMAIN.fullmatch(head):
        return False
    path, colon, tag = path.partition(":")
    if colon and not _TAG.fullmatch(tag):
        return False
    return bool(_PATH.fullmatch(path)) and len(path) <= _LONGEST_PATH


def check_swarm(spec: SwarmSpec) -> None:
    """
    :raises InvalidArgument: a value is not allowed.
    """
    if spec.ca_config.node_cert_expiry < _SHORTEST_CERTIFICATE:
        raise InvalidArgument("minimum certificate expiry time is: 1h0m0s")
    if spec.dispatcher.heartbeat_period < 0:
        raise InvalidArgument("heartbeat time period cannot be a negative duration")


def check_address_pool(pools: Iterable[str], subnet_size: int) -> None:
    """
    :raises BadRequest: a pool is no IPv4 network, is smaller than one subnet, or overlaps another.
    """
    size = subnet_size or 24
    if size > 29:
        raise BadRequest(f"subnet size is out of range: {size}")
    seen: list[ipaddress.IPv4Network] = []
    for pool in pools:
        try:
            network = ipaddress.IPv4Network(pool, strict=False)
        except ValueError:
            raise BadRequest(f"invalid base pool {pool}: invalid CIDR address: {pool}") from None
        if size < network.prefixlen:
            raise BadRequest(f"invalid CIDR: {pool}. Subnet size is too small for pool: {size}")
        if any(network.overlaps(other) for other in seen):
            raise BadRequest(f"invalid base pool {pool}: it overlaps another one")
        seen.append(network)


def check_data_path_port(port: int) -> None:
    """
    :raises BadRequest: it is neither 0 (the default) nor between 1024 and 49151.
    """
    if port != 0 and not 1024 <= port <= 49151:
        raise BadRequest(f"Datapath port number is not in valid range (1024-49151) : {port}")


def with_port(address: str, name: str) -> str:
    """host:port of an address that may lack the port.

    :param name: the field's, for the refusal.
    :raises BadRequest: it is empty.
    """
    if not address:
        raise BadRequest(f'invalid {name} "": invalid empty address')
    address = address.removeprefix("tcp://")
    if address.startswith("["):
        return address if "]:" in address else f"{address}:{CLUSTER_PORT}"
    if address.count(":") > 1:
        return f"[{address}]:{CLUSTER_PORT}"
    return address if ":" in address else f"{address}:{CLUSTER_PORT}"
