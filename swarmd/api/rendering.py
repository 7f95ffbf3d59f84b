"""The model's objects as Docker's API prints them: what Go omits when it is empty is omitted, and nothing else."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from swarmd.api.defaults import complete_service
from swarmd.membership import Reachability
from swarmd.model import (
    Cluster,
    Config,
    ContainerSpec,
    Node,
    NodeLiveness,
    NodeState,
    Resources,
    RestartPolicy,
    Service,
    ServiceSpec,
    SwarmSpec,
    Task,
    TaskSpec,
    TLSInfo,
    UpdateConfig,
)
from swarmd.model.specs import ResourceObject
from swarmd.store import Entry

Json = dict[str, Any]


def timestamp(moment: datetime | None) -> str:
    """RFC 3339 in UTC with as many digits as needed, as Go writes it; its zero time for None."""
    if moment is None:
        return "0001-01-01T00:00:00Z"
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


def _meta(entry: Entry[Any]) -> Json:
    return {
        "ID": entry.value.id,
        "Version": {"Index": entry.version},
        "CreatedAt": timestamp(entry.value.created_at),
        "UpdatedAt": timestamp(entry.value.updated_at),
    }


def _sorted(labels: Mapping[str, str]) -> dict[str, str]:
    return dict(sorted(labels.items()))


def _without_empty(**members: object) -> Json:
    return {key: value for key, value in members.items() if value not in ("", 0, None, [], {})}


def cluster(entry: Entry[Cluster], *, tokens: bool) -> Json:
    """``GET /swarm``; without tokens it is ``docker info``'s Swarm.Cluster."""
    value = entry.value
    shown = _meta(entry) | {
        "Spec": swarm_spec(value.spec),
        "TLSInfo": msgspec.to_builtins(root_info(value.ca_certificate)),
        "RootRotationInProgress": False,
        "DefaultAddrPool": value.default_addr_pool,
        "SubnetSize": value.subnet_size,
        "DataPathPort": value.data_path_port,
    }
    if tokens:
        shown["JoinTokens"] = {"Worker": value.worker_token, "Manager": value.manager_token}
    return shown


@lru_cache(maxsize=4)
def root_info(certificate: str) -> TLSInfo:
    """What identifies the root; the CLI compares it with each node's. Of a damaged certificate only its text."""
    try:
        root = x509.load_pem_x509_certificate(certificate.encode())
    except ValueError:
        return TLSInfo(trust_root=certificate)
    key = root.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return TLSInfo(
        trust_root=certificate,
        cert_issuer_subject=base64.b64encode(root.subject.public_bytes()).decode(),
        cert_issuer_public_key=base64.b64encode(key).decode(),
    )


def swarm_spec(spec: SwarmSpec) -> Json:
    shown: Json = msgspec.to_builtins(spec)
    return shown | {"Labels": _sorted(spec.labels)}


def node(entry: Entry[Node], liveness: NodeLiveness | None, reachability: Reachability) -> Json:
    value = entry.value
    seen = liveness or NodeLiveness(state=NodeState.UNKNOWN)
    shown = _meta(entry) | {
        "Spec": _without_empty(Name=value.spec.name)
        | {
            "Labels": _sorted(value.spec.labels),
            "Role": value.spec.role,
            "Availability": value.spec.availability.value,
        },
        "Description": _description(seen),
        "Status": {"State": seen.state.value} | _without_empty(Message=seen.message, Addr=seen.address),
    }
    if value.manager is not None:
        shown["ManagerStatus"] = _without_empty(Leader=reachability.leader == value.id or None) | {
            "Reachability": "reachable" if value.id in reachability.reachable else "unreachable",
            "Addr": value.manager.address,
        }
    return shown


def _description(seen: NodeLiveness) -> Json:
    said = seen.description
    return _without_empty(Hostname=said.hostname) | {
        "Platform": _without_empty(Architecture=said.platform.architecture, OS=said.platform.os),
        "Resources": _resources(said.resources),
        "Engine": _without_empty(
            EngineVersion=said.engine.engine_version,
            Labels=_sorted(said.engine.labels),
            Plugins=[{"Type": plugin.type, "Name": plugin.name} for plugin in said.engine.plugins],
        ),
        "TLSInfo": msgspec.to_builtins(said.tls_info),
    }


def _resources(value: Resources | ResourceObject) -> Json:
    return _without_empty(NanoCPUs=value.nano_cpus, MemoryBytes=value.memory_bytes)


def config(entry: Entry[Config]) -> Json:
    spec = entry.value.spec
    return _meta(entry) | {"Spec": {"Name": spec.name, "Labels": _sorted(spec.labels)} | _without_empty(Data=spec.data)}


def service(entry: Entry[Service], *, insert_defaults: bool = False, status: Json | None = None) -> Json:
    """
    :param insert_defaults: show what holds where the user gave nothing, as the CLI asks.
    :param status: ServiceStatus, where it was asked for.
    """
    value = entry.value
    spec = complete_service(value.spec) if insert_defaults else value.spec
    shown = _meta(entry) | {"Spec": service_spec(spec)}
    if value.previous_spec is not None:
        shown["PreviousSpec"] = service_spec(value.previous_spec)
    shown["Endpoint"] = {"Spec": {}}
    if status is not None:
        shown["ServiceStatus"] = status
    return shown


def service_spec(spec: ServiceSpec) -> Json:
    task = task_spec(spec.task_template) | {"Runtime": "container"}
    shown: Json = {
        "Name": spec.name,
        "Labels": _sorted(spec.labels),
        "TaskTemplate": task,
        "Mode": {"Replicated": {"Replicas": spec.replicas}},
    }
    if spec.update_config is not None:
        shown["UpdateConfig"] = _update_config(spec.update_config)
    if spec.rollback_config is not None:
        shown["RollbackConfig"] = _update_config(spec.rollback_config)
    if spec.endpoint_spec is not None:
        shown["EndpointSpec"] = {"Mode": spec.endpoint_spec.mode or "vip"}
    return shown


def task_spec(spec: TaskSpec) -> Json:
    """A task's own spec, where Docker does not name the runtime."""
    shown: Json = {"ContainerSpec": _container_spec(spec.container_spec)}
    if spec.resources is not None:
        shown["Resources"] = {
            name: _resources(part) | _without_empty(Pids=part.pids)
            for name, part in (("Limits", spec.resources.limits), ("Reservations", spec.resources.reservations))
            if part is not None
        }
    if spec.restart_policy is not None:
        shown["RestartPolicy"] = _restart_policy(spec.restart_policy)
    if spec.placement is not None:
        shown["Placement"] = msgspec.to_builtins(spec.placement)
    return shown | {"ForceUpdate": spec.force_update}


def _container_spec(spec: ContainerSpec) -> Json:
    shown: Json = msgspec.to_builtins(spec)
    if spec.labels:
        shown["Labels"] = _sorted(spec.labels)
    return shown | {"DNSConfig": {}, "Isolation": "default"}


def _restart_policy(policy: RestartPolicy) -> Json:
    shown: Json = {"Condition": policy.condition.value}
    if policy.delay is not None:
        shown["Delay"] = policy.delay
    return shown | {"MaxAttempts": policy.max_attempts} | _without_empty(Window=policy.window)


def _update_config(config: UpdateConfig) -> Json:
    ratio = config.max_failure_ratio
    return (
        {"Parallelism": config.parallelism}
        | _without_empty(Delay=config.delay, FailureAction=config.failure_action, Monitor=config.monitor)
        | {"MaxFailureRatio": int(ratio) if ratio == int(ratio) else ratio, "Order": config.order}
    )


def task(entry: Entry[Task]) -> Json:
    value, status = entry.value, entry.value.status
    shown_status: Json = {"Timestamp": timestamp(status.timestamp), "State": status.state.word} | _without_empty(
        Message=status.message, Err=status.err
    )
    if status.container is not None:
        shown_status["ContainerStatus"] = {
            "ContainerID": status.container.container_id,
            "PID": status.container.pid,
            "ExitCode": status.container.exit_code,
        }
    shown = _meta(entry) | {"Labels": {}, "Spec": task_spec(value.spec), "ServiceID": value.service_id}
    shown |= _without_empty(Slot=value.slot, NodeID=value.node_id)
    return shown | {
        "Status": shown_status | {"PortStatus": {}},
        "DesiredState": value.desired_state.word,
        "Volumes": None,
    }
