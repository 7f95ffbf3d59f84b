"""What holds where a service's spec says nothing (swarmkit ``api/defaults/service.go``), for showing and comparing."""

from __future__ import annotations

import msgspec

from swarmd.model import DNSConfig, Placement, ResourceRequirements, RestartPolicy, ServiceSpec, TaskSpec, UpdateConfig
from swarmd.model.specs import SECOND, EndpointSpec, ResourceObject

STOP_GRACE = 10 * SECOND
RESTART_DELAY = 5 * SECOND


def complete_service(spec: ServiceSpec) -> ServiceSpec:
    return msgspec.structs.replace(
        spec,
        task_template=complete_task(spec.task_template),
        update_config=spec.update_config or UpdateConfig(),
        rollback_config=spec.rollback_config or UpdateConfig(),
        endpoint_spec=spec.endpoint_spec or EndpointSpec(mode="vip"),
    )


def complete_task(spec: TaskSpec) -> TaskSpec:
    replace = msgspec.structs.replace
    container, restart = spec.container_spec, spec.restart_policy or RestartPolicy()
    resources = spec.resources or ResourceRequirements()
    if container.stop_grace_period is None:
        container = replace(container, stop_grace_period=STOP_GRACE)
    if container.dns_config is None:
        container = replace(container, dns_config=DNSConfig())
    if restart.delay is None:
        restart = replace(restart, delay=RESTART_DELAY)
    return replace(
        spec,
        container_spec=container,
        resources=ResourceRequirements(
            limits=resources.limits or ResourceObject(), reservations=resources.reservations or ResourceObject()
        ),
        restart_policy=restart,
        placement=spec.placement or Placement(),
    )
