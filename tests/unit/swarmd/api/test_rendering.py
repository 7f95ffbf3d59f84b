"""What Docker shows of fields that the tests of the API do not send."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from swarmd.api import rendering
from swarmd.api.lookup import task_name
from swarmd.api.services import makes_out_of_date
from swarmd.api.validation.endpoint import check_endpoint
from swarmd.errors import InvalidArgument
from swarmd.model import (
    BindOptions,
    ContainerSpec,
    DiscreteGeneric,
    DNSConfig,
    Driver,
    EndpointSpec,
    GenericResource,
    GlobalMode,
    Mount,
    MountType,
    NamedGeneric,
    Placement,
    PlacementPreference,
    PortConfig,
    PortConfigProtocol,
    PortConfigPublishMode,
    ResourceObject,
    ResourceRequirements,
    Service,
    ServiceMode,
    ServiceSpec,
    SpreadOver,
    Task,
    TaskSpec,
    TaskState,
    TaskStatus,
)
from swarmd.store import Entry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOST = PortConfig(target_port=80, published_port=8080, publish_mode=PortConfigPublishMode.HOST)
HOST_SHOWN = {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "host"}
GPU = GenericResource(named_resource_spec=NamedGeneric("GPU", "UUID1"))
GPU_SHOWN = {"NamedResourceSpec": {"Kind": "GPU", "Value": "UUID1"}}


def test_a_global_service():
    assert rendering.service_spec(ServiceSpec(mode=ServiceMode(global_mode=GlobalMode())))["Mode"] == {"Global": {}}


def test_ports():
    spec = ServiceSpec(endpoint_spec=EndpointSpec(ports=[HOST]))
    shown = rendering.service(Entry(Service("s", spec, 1, NOW, NOW), 1, 1))
    assert shown["Spec"]["EndpointSpec"] == {"Mode": "vip", "Ports": [HOST_SHOWN]}
    assert shown["Endpoint"] == {"Spec": {"Mode": "vip", "Ports": [HOST_SHOWN]}, "Ports": [HOST_SHOWN]}


def test_a_mounts_type_and_propagation_are_shown_also_where_they_are_the_default():
    spec = TaskSpec(
        container_spec=ContainerSpec(
            mounts=[Mount(source="/a", target="/b", bind_options=BindOptions()), Mount(MountType.VOLUME, target="/c")]
        )
    )
    assert rendering.task_spec(spec)["ContainerSpec"]["Mounts"] == [
        {"Type": "bind", "Source": "/a", "Target": "/b", "BindOptions": {"Propagation": "rprivate"}},
        {"Type": "volume", "Target": "/c"},
    ]


def test_what_a_task_is_made_of():
    spec = TaskSpec(
        container_spec=ContainerSpec(image="i", dns_config=DNSConfig(nameservers=["10.0.0.1"])),
        resources=ResourceRequirements(
            reservations=ResourceObject(
                generic_resources=[GPU, GenericResource(discrete_resource_spec=DiscreteGeneric("SSD", 3))]
            )
        ),
        placement=Placement(preferences=[PlacementPreference(SpreadOver("node.labels.zone"))]),
        log_driver=Driver("json-file", {"max-size": "1m"}),
    )
    shown = rendering.task_spec(spec)
    assert shown["ContainerSpec"] == {
        "Image": "i",
        "DNSConfig": {"Nameservers": ["10.0.0.1"]},
        "Isolation": "default",
    }
    assert shown["Resources"]["Reservations"] == {
        "GenericResources": [GPU_SHOWN, {"DiscreteResourceSpec": {"Kind": "SSD", "Value": 3}}]
    }
    assert shown["Placement"] == {"Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.zone"}}]}
    assert shown["LogDriver"] == {"Name": "json-file", "Options": {"max-size": "1m"}}


def test_a_task_of_a_global_service():
    task = Task(
        id="t",
        service_id="s",
        service_name="web",
        slot=0,
        spec=TaskSpec(),
        spec_version=1,
        created_at=NOW,
        updated_at=NOW,
        desired_state=TaskState.RUNNING,
        status=TaskStatus(NOW, TaskState.RUNNING, ports=[HOST]),
        node_id="n1",
        assigned_generic_resources=[GPU],
    )
    shown = rendering.task(Entry(task, 1, 1))
    assert "Slot" not in shown
    assert shown["GenericResources"] == [GPU_SHOWN]
    assert shown["Status"]["PortStatus"] == {"Ports": [HOST_SHOWN]}
    assert task_name(task) == "web.n1.t"


def test_other_ports_make_tasks_out_of_date():
    old = ServiceSpec(endpoint_spec=EndpointSpec(mode="vip", ports=[HOST]))
    assert not makes_out_of_date(old, old)
    assert makes_out_of_date(old, ServiceSpec(endpoint_spec=EndpointSpec(mode="vip")))
    assert makes_out_of_date(ServiceSpec(), old)
    assert not makes_out_of_date(ServiceSpec(), ServiceSpec(endpoint_spec=EndpointSpec(mode="vip")))


UDP = PortConfig(protocol=PortConfigProtocol.UDP, target_port=80, published_port=8080)
ANY = PortConfig(target_port=80)


@pytest.mark.parametrize(
    ("mode", "ports", "words"),
    [
        ("dnsrr", [HOST, UDP], "EndpointSpec: port published with ingress mode can't be used with dnsrr mode"),
        ("vip", [HOST, HOST], "EndpointSpec: duplicate published ports provided"),
    ],
)
def test_ports_that_contradict_each_other_are_refused(mode, ports, words):
    with pytest.raises(InvalidArgument) as refused:
        check_endpoint(EndpointSpec(mode, ports))
    assert refused.value.message == words


@pytest.mark.parametrize(("mode", "ports"), [("dnsrr", [HOST]), ("vip", [HOST, UDP]), ("vip", [ANY, ANY])])
def test_ports_that_do_not(mode, ports):
    check_endpoint(EndpointSpec(mode, ports))
