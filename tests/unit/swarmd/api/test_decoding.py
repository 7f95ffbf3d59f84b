"""From what a client sends to what a node is told: nothing of a spec is lost, changed, or taken without a word."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
import pytest
from any_spec import service_specs
from hypothesis import HealthCheck, given, settings

from swarmd import wire
from swarmd.agent.storage import Storage
from swarmd.api import go, not_yet, reading, rendering
from swarmd.api.decoding import Decoder, parse
from swarmd.api.services import makes_out_of_date
from swarmd.errors import BadRequest, NotImplementedYet
from swarmd.model import (
    ContainerSpec,
    EndpointSpec,
    Mount,
    PlacementPreference,
    PortConfig,
    Service,
    ServiceMode,
    ServiceSpec,
    Task,
    TaskState,
    TaskStatus,
    new_id,
)
from swarmd.store import Kind, Put, codec

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)

knows_all = Decoder(
    not_yet={}, present={}, words=frozenset(), whole=go.WHOLE_NUMBERS, zeros=go.ZEROS, names=go.NAMES
)  # fmt: skip
"""Reads every field that the model has, also those that are refused as of now."""
as_it_is = Decoder(
    not_yet=not_yet.NOT_YET,
    present=not_yet.PRESENT,
    words=not_yet.WORDS,
    whole=go.WHOLE_NUMBERS,
    zeros=go.ZEROS,
    names=go.NAMES,
)
many = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


def complete(spec: ServiceSpec) -> object:
    """With a container's spec, which a service cannot be without."""
    body = json.loads(msgspec.json.encode(spec))
    body.setdefault("TaskTemplate", {}).setdefault("ContainerSpec", {})
    return body


@many
@given(service_specs)
def test_a_spec_comes_unchanged_through_api_store_wire_and_disk(tmp_path, spec):
    read = reading.to_service_spec(parse(json.dumps(complete(spec)).encode()), knows_all)
    assert read == spec

    service = Service(new_id(), read, 1, NOW, NOW, previous_spec=spec, registry_auth="sealed")
    stored = codec.decode(Kind.SERVICE, Put(Kind.SERVICE, service.id, service).encoded)
    assert stored == service

    task = Task(
        id=new_id(),
        service_id=service.id,
        service_name=spec.name,
        slot=0,
        spec=stored.spec.task_template,
        spec_version=1,
        created_at=NOW,
        updated_at=NOW,
        desired_state=TaskState.RUNNING,
        status=TaskStatus(NOW, TaskState.RUNNING, ports=spec.endpoint_spec.ports if spec.endpoint_spec else []),
        node_id="n",
        endpoint=spec.endpoint_spec,
        ran_at=NOW,
    )
    told = wire.from_dispatcher(wire.encode(wire.Assignments(complete=True, tasks=[task], credentials={task.id: "x"})))
    assert told.tasks == [codec.decode(Kind.TASK, Put(Kind.TASK, task.id, task).encoded)] == [task]
    assert told.credentials == {task.id: "x"}

    storage = Storage(tmp_path)
    storage.save(told.tasks[0])
    assert storage.load() == [task]
    storage.delete(task.id)


@many
@given(service_specs)
def test_what_is_shown_can_be_sent_back_and_restarts_nothing(spec):
    """As ``docker service update`` does: it reads, changes one field, and sends all."""
    shown = json.loads(json.dumps(rendering.service_spec(spec)))
    again = reading.to_service_spec(shown, knows_all)
    assert not makes_out_of_date(spec, again)
    assert (again.mode, again.endpoint_spec, again.update_config) == (spec.mode, spec.endpoint_spec, spec.update_config)
    assert again.task_template.placement == spec.task_template.placement


NOT_YET = [(kind, key) for kind, keys in not_yet.NOT_YET.items() for key in sorted(keys)]
PRESENT = [(kind, key) for kind, keys in not_yet.PRESENT.items() for key in sorted(keys)]


@pytest.mark.parametrize(("kind", "key"), NOT_YET)
@pytest.mark.parametrize("value", [None, [], {}, "", 0, False, {"A": None, "B": [], "C": {"D": 0}}])
def test_a_fields_empty_value_is_never_refused(kind, key, value):
    assert as_it_is.struct(kind, {key: value}) == knows_all.struct(kind, {})


@pytest.mark.parametrize(("kind", "key"), NOT_YET)
@pytest.mark.parametrize("value", [["x"], {"A": {"B": 1}}, "x", 1, True])
def test_a_field_that_is_not_acted_on_is_refused_whatever_the_case_of_its_key(kind, key, value):
    for spelled in (key, key.lower(), key.upper()):
        with pytest.raises(NotImplementedYet, match=f"^{key} is not implemented by swarmd yet"):
            as_it_is.struct(kind, {spelled: value})


@pytest.mark.parametrize(("kind", "key"), PRESENT)
def test_a_field_that_says_something_by_being_there_is_refused_unless_it_is_null(kind, key):
    assert as_it_is.struct(kind, {key: None}) == kind()
    with pytest.raises(NotImplementedYet, match=f"^{key} is not implemented by swarmd yet"):
        as_it_is.struct(kind, {key: {}})


def test_words_that_are_not_acted_on_are_refused():
    reads_mounts = Decoder(
        not_yet={}, present={}, words=not_yet.WORDS, whole=go.WHOLE_NUMBERS, zeros=go.ZEROS, names=go.NAMES
    )
    with pytest.raises(NotImplementedYet, match=r"^Mounts.Type cluster is not implemented by swarmd yet"):
        reads_mounts.struct(ContainerSpec, {"Mounts": [{"Type": "cluster"}]})
    with pytest.raises(BadRequest, match=r'^invalid MountType: "Floppy"$'):
        reads_mounts.struct(ContainerSpec, {"Mounts": [{"Type": "Floppy"}]})
    assert reads_mounts.struct(Mount, {"Type": "TmpFS"}).type == "tmpfs"


WRONG = [
    (EndpointSpec, {"Ports": [{"TargetPort": -1}]}, "number -1", "PortConfig.Ports.TargetPort", "uint32"),
    (EndpointSpec, {"Ports": [{"TargetPort": 1 << 32}]}, f"number {1 << 32}", "PortConfig.Ports.TargetPort", "uint32"),
    (EndpointSpec, {"Ports": [{"PublishedPort": 8.5}]}, "number 8.5", "PortConfig.Ports.PublishedPort", "uint32"),
    (EndpointSpec, {"Ports": {}}, "object", "EndpointSpec.Ports", "[]swarm.PortConfig"),
    (EndpointSpec, {"Ports": ["80"]}, "string", "EndpointSpec.Ports", "swarm.PortConfig"),
    (ContainerSpec, {"Mounts": [[]]}, "array", "ContainerSpec.Mounts", "mount.Mount"),
    (Mount, {"TmpfsOptions": {"Mode": -1}}, "number -1", "TmpfsOptions.TmpfsOptions.Mode", "uint32"),
    (Mount, {"VolumeOptions": {"Labels": []}}, "array", "VolumeOptions.VolumeOptions.Labels", "map[string]string"),
    (ContainerSpec, {"Healthcheck": {"Retries": "3"}}, "string", "HealthConfig.Healthcheck.Retries", "int"),
    (ContainerSpec, {"Command": "sh"}, "string", "ContainerSpec.Command", "[]string"),
    (ContainerSpec, {"Command": [1]}, "number", "ContainerSpec.Command", "string"),
    (PlacementPreference, {"Spread": 1}, "number", "PlacementPreference.Spread", "swarm.SpreadOver"),
]


@pytest.mark.parametrize(("kind", "body", "got", "field", "wanted"), WRONG)
def test_a_wrong_type_is_refused_in_gos_words(kind, body, got, field, wanted):
    with pytest.raises(BadRequest) as refused:
        knows_all.struct(kind, body)
    words = f"invalid JSON: json: cannot unmarshal {got} into Go struct field {field} of type {wanted}"
    assert str(refused.value) == words


def test_nulls_in_a_list_are_zeros():
    assert knows_all.struct(EndpointSpec, {"Ports": [None]}).ports == [PortConfig()]
    assert knows_all.struct(ContainerSpec, {"Command": [None, "a"], "Labels": {"a": None}}) == ContainerSpec(
        command=["", "a"], labels={"a": ""}
    )


class Options(msgspec.Struct):
    drivers: dict[str, Mount] = {}


def test_a_map_may_hold_structs():
    assert knows_all.struct(Options, {"drivers": {"a": {"Target": "/x"}, "b": None}}).drivers == {
        "a": Mount(target="/x"),
        "b": Mount(),
    }
    with pytest.raises(BadRequest, match=r"cannot unmarshal array into .* of type map\[string\]mount.Mount"):
        knows_all.struct(Options, {"drivers": []})


def test_a_service_has_one_mode():
    body = {"Mode": {"Global": {}, "Replicated": {}}, "TaskTemplate": {"ContainerSpec": {}}}
    with pytest.raises(BadRequest, match=r"^must specify only one service mode$"):
        reading.to_service_spec(body, knows_all)
    assert knows_all.struct(ServiceMode, {"global": {}, "replicated": None}).global_mode is not None
