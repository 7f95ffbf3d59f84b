"""What is refused in a service's spec (moby/swarmkit ``manager/controlapi/service.go``)."""

from __future__ import annotations

import re

import msgspec

from swarmd import constraints
from swarmd.api.decoding import not_implemented
from swarmd.api.validation.container import check_container, check_templates
from swarmd.api.validation.endpoint import check_endpoint
from swarmd.errors import InvalidArgument
from swarmd.model import (
    EndpointSpec,
    PortConfigPublishMode,
    ResourceObject,
    RestartPolicy,
    ServiceSpec,
    TaskSpec,
    UpdateConfig,
)

LARGEST_SPEC = 1 << 20
"""Bytes of a service's spec as it is stored. Each of its tasks has a copy, and a task goes to its node in one message;
what becomes of a slot's tasks goes to etcd in one request, of 8 MiB at most."""
MOST_REPLICAS = 100_000
"""As many tasks as a cluster was measured with. Docker has no limit; a leader of ours would plan until it has no memory
left, and the next one after it."""
_SMALLEST_CPU = 1_000_000
_SMALLEST_MEMORY = 4 << 20

_DNS_LABEL = re.compile(r"[a-zA-Z0-9](?:[-_]*[A-Za-z0-9]+)*")


def check_service(spec: ServiceSpec) -> None:
    """
    :raises InvalidArgument: a value is not allowed.
    :raises swarmd.errors.NotImplementedYet: a failed update is to be rolled back, or a port published in ingress mode.
    :raises swarmd.errors.ClusterError: a constraint cannot be read; Docker answers 500 to that.
    """
    if not spec.name:
        raise InvalidArgument("meta: name must be provided")
    if not _DNS_LABEL.fullmatch(spec.name):
        raise InvalidArgument("name must be valid as a DNS name component")
    if len(spec.name) > 63:
        raise InvalidArgument("name must be 63 characters or fewer")
    _check_task(spec.task_template)
    check_templates(spec)
    _check_update(spec.update_config)
    _check_update(spec.rollback_config)
    if spec.update_config is not None and spec.update_config.failure_action == "rollback":
        raise not_implemented("UpdateConfig.FailureAction rollback")
    check_endpoint(spec.endpoint_spec)
    _require_host_mode(spec.endpoint_spec)
    if spec.replicas >= 1 << 63:
        raise InvalidArgument("Number of replicas must be non-negative")
    if spec.replicas > MOST_REPLICAS:
        raise InvalidArgument(f"a service may have {MOST_REPLICAS:,} replicas at most")
    _check_size(spec)


def _check_task(task: TaskSpec) -> None:
    if task.resources is not None:
        _check_resources(task.resources.limits)
        _check_resources(task.resources.reservations)
    _check_restart(task.restart_policy)
    if task.placement is not None:
        for constraint in task.placement.constraints:
            constraints.parse(constraint)
    check_container(task.container_spec)


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


def _require_host_mode(endpoint: EndpointSpec | None) -> None:
    """Of ports; ingress, which is what is not said, needs the routing mesh."""
    ports = endpoint.ports if endpoint is not None else []
    if any(port.publish_mode is PortConfigPublishMode.INGRESS for port in ports):
        raise not_implemented("EndpointSpec.Ports.PublishMode ingress")


def _check_size(spec: ServiceSpec) -> None:
    size = len(msgspec.json.encode(spec))
    if size > LARGEST_SPEC:
        raise InvalidArgument(f"the service's spec has {size} bytes, and may have {LARGEST_SPEC} (1 MiB) at most")
