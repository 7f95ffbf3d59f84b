"""``/services``: create, list, inspect, change and remove."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from aiohttp import web

from swarmd.api import answers, quorum, reading, registry_auth, rendering, validation
from swarmd.api.context import Route
from swarmd.api.decoding import not_implemented
from swarmd.api.defaults import complete_task
from swarmd.api.filters import any_prefix, labels_match, one_of, parse_filters
from swarmd.api.given_names import given_name
from swarmd.api.lookup import find_service
from swarmd.errors import AlreadyExists, OutOfSequence, Unimplemented
from swarmd.model import PortConfig, ReplicatedMode, Service, ServiceMode, ServiceSpec, TaskState, new_id
from swarmd.store import Delete, Kind, Put, Snapshot, Unchanged

_FILTERS = ("name", "id", "label", "mode", "runtime")


async def index(request: web.Request) -> web.Response:
    filters = parse_filters(request.query.get("filters"), _FILTERS)
    with_status = answers.strict_flag(request, "status")
    snapshot = await quorum.read(request)
    status_of = _statuses(snapshot) if with_status else None
    chosen = [
        entry
        for entry in snapshot.services.values()
        if any_prefix(entry.value.id, filters.get("id"))
        and any_prefix(entry.value.spec.name, filters.get("name"))
        and labels_match(entry.value.spec.labels, filters.get("label"))
        and one_of("global" if entry.value.spec.is_global else "replicated", filters.get("mode"))
        and one_of("container", [name or "container" for name in filters.get("runtime", ())])
    ]
    chosen.sort(key=lambda entry: entry.value.id)
    return answers.json(
        [
            rendering.service(
                entry,
                update=snapshot.update_of(entry),
                status=None if status_of is None else status_of(entry.value),
            )
            for entry in chosen
        ]
    )


def _statuses(snapshot: Snapshot) -> Callable[[Service], dict[str, int]]:
    """ServiceStatus by service. Counted as running is what runs, whatever is wanted of it; a global service is to have
    as many tasks as are wanted to run."""
    tasks = [entry.value for entry in snapshot.tasks.values()]
    running = Counter(task.service_id for task in tasks if task.status.state is TaskState.RUNNING)
    wanted = Counter(task.service_id for task in tasks if task.desired_state is TaskState.RUNNING)

    def status_of(service: Service) -> dict[str, int]:
        desired = wanted[service.id] if service.spec.is_global else service.spec.replicas
        return {"RunningTasks": running[service.id], "DesiredTasks": desired, "CompletedTasks": 0}

    return status_of


async def create(request: web.Request) -> web.Response:
    spec = await reading.service_spec(request)
    if not spec.name:
        spec = msgspec.structs.replace(spec, name=given_name())
    spec = _with_replicas(spec)
    validation.check_service(spec)
    snapshot = await quorum.read(request)
    taken = AlreadyExists(f"name conflicts with an existing object: service {spec.name} already exists")
    if any(entry.value.spec.name == spec.name for entry in snapshot.services.values()):
        raise taken
    now = datetime.now(UTC)
    kept = registry_auth.of_created(request)
    service = Service(id=new_id(), spec=spec, spec_version=1, created_at=now, updated_at=now, registry_auth=kept.sealed)
    try:
        await quorum.write(request, [Put(Kind.SERVICE, service.id, service)], Unchanged(Kind.SERVICE, service.id, 0))
    except AlreadyExists:
        raise taken from None
    return answers.json({"ID": service.id, "Warnings": kept.warnings}, 201)


async def inspect(request: web.Request) -> web.Response:
    insert_defaults = answers.strict_flag(request, "insertDefaults")
    snapshot = await quorum.read(request)
    entry = find_service(snapshot, request.match_info["id"])
    update = snapshot.update_of(entry)
    return answers.json(rendering.service(entry, update=update, insert_defaults=insert_defaults))


async def update(request: web.Request) -> web.Response:
    spec = await reading.service_spec(request)
    version = answers.version(request, "service")
    if request.query.get("rollback", "") not in {"", "none"}:
        raise not_implemented("docker service rollback")
    entry = find_service(await quorum.read(request), request.match_info["id"])
    service = entry.value
    kept = registry_auth.of_updated(request, service)
    spec = _with_replicas(spec)
    validation.check_service(spec)
    if spec.name != service.spec.name:
        raise Unimplemented("renaming services is not supported")
    if spec.is_global != service.spec.is_global:
        raise Unimplemented("service mode change is not allowed")
    if version != entry.version:
        raise OutOfSequence
    changed = msgspec.structs.replace(
        service,
        spec=spec,
        registry_auth=kept.sealed,
        previous_spec=service.spec,
        previous_registry_auth=service.registry_auth,
        spec_version=service.spec_version + makes_out_of_date(service.spec, spec),
        updated_at=datetime.now(UTC),
    )
    guard = Unchanged(Kind.SERVICE, service.id, version)
    await quorum.write(request, [Put(Kind.SERVICE, service.id, changed)], guard)
    return answers.json({"Warnings": kept.warnings})


def makes_out_of_date(old: ServiceSpec, new: ServiceSpec) -> bool:
    """Whether tasks of the old spec must be replaced. Placement alone does not: a task stays where it still fits.

    Compared is what the specs come to: docker-py sends the defaults explicitly with each update, and no task is to
    restart for that.
    """
    before, after = complete_task(old.task_template), complete_task(new.task_template)
    return msgspec.structs.replace(after, placement=before.placement) != before or _ports(old) != _ports(new)


def _ports(spec: ServiceSpec) -> list[PortConfig]:
    return [] if spec.endpoint_spec is None else spec.endpoint_spec.ports


async def remove(request: web.Request) -> web.Response:
    """Whatever version it has: a removal that races an update wins."""
    for _ in range(5):
        entry = find_service(await quorum.read(request), request.match_info["id"])
        identity = entry.value.id
        try:
            removed = [Delete(Kind.SERVICE, identity), Delete(Kind.UPDATE, identity)]
            await quorum.write(request, removed, Unchanged(Kind.SERVICE, identity, entry.version))
        except OutOfSequence:
            continue
        return answers.nothing()
    raise OutOfSequence


def _with_replicas(spec: ServiceSpec) -> ServiceSpec:
    """Their number stands in the spec also where it was not sent; a global service has none."""
    if spec.is_global:
        return spec
    return msgspec.structs.replace(spec, mode=ServiceMode(ReplicatedMode(spec.replicas)))


ROUTES: tuple[Route, ...] = (
    ("GET", "/services", index),
    ("POST", "/services/create", create),
    ("GET", "/services/{id:[^/]+}", inspect),
    ("POST", "/services/{id:[^/]+}/update", update),
    ("DELETE", "/services/{id:[^/]+}", remove),
)
