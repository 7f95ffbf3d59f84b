"""Services, and how their updates get on."""

from __future__ import annotations

from swarmd.api.defaults import complete_service
from swarmd.api.rendering.common import Json, in_order, meta, timestamp, without_empty
from swarmd.api.rendering.endpoints import endpoint, endpoint_spec
from swarmd.api.rendering.tasks import task_spec
from swarmd.model import Service, ServiceSpec, ServiceUpdate, UpdateConfig
from swarmd.store import Entry


def service(
    entry: Entry[Service],
    *,
    update: ServiceUpdate | None = None,
    insert_defaults: bool = False,
    status: Json | None = None,
) -> Json:
    """
    :param update: how the last update gets on, if there was one.
    :param insert_defaults: show what holds where the user gave nothing, as the CLI asks.
    :param status: ServiceStatus, where it was asked for.
    """
    value = entry.value
    spec = complete_service(value.spec) if insert_defaults else value.spec
    shown = meta(entry) | {"Spec": service_spec(spec)}
    if value.previous_spec is not None:
        shown["PreviousSpec"] = service_spec(value.previous_spec)
    shown["Endpoint"] = endpoint(value.spec.endpoint_spec)
    if update is not None:
        shown["UpdateStatus"] = _update_status(update)
    if status is not None:
        shown["ServiceStatus"] = status
    return shown


def _update_status(update: ServiceUpdate) -> Json:
    shown: Json = {"State": update.state.value, "StartedAt": timestamp(update.started_at)}
    if update.completed_at is not None:
        shown["CompletedAt"] = timestamp(update.completed_at)
    return shown | without_empty(Message=update.message)


def service_spec(spec: ServiceSpec) -> Json:
    task = task_spec(spec.task_template) | {"Runtime": "container"}
    shown: Json = {
        "Name": spec.name,
        "Labels": in_order(spec.labels),
        "TaskTemplate": task,
        "Mode": {"Global": {}} if spec.is_global else {"Replicated": {"Replicas": spec.replicas}},
    }
    if spec.update_config is not None:
        shown["UpdateConfig"] = _update_config(spec.update_config)
    if spec.rollback_config is not None:
        shown["RollbackConfig"] = _update_config(spec.rollback_config)
    if spec.endpoint_spec is not None:
        shown["EndpointSpec"] = endpoint_spec(spec.endpoint_spec)
    return shown


def _update_config(config: UpdateConfig) -> Json:
    ratio = config.max_failure_ratio
    return (
        {"Parallelism": config.parallelism}
        | without_empty(Delay=config.delay, FailureAction=config.failure_action, Monitor=config.monitor)
        | {"MaxFailureRatio": int(ratio) if ratio == int(ratio) else ratio, "Order": config.order}
    )
