"""Ports that tasks publish on their hosts, and plugins that their engines must have."""

from collections import Counter

import pytest
from msgspec.structs import replace
from simulation import Simulation, TaskState, service

from swarmd.model import (
    ContainerSpec,
    Driver,
    EndpointSpec,
    EngineDescription,
    EnginePlugin,
    Mount,
    MountType,
    PortConfig,
    PortConfigProtocol,
    PortConfigPublishMode,
    VolumeDriver,
    VolumeOptions,
)

USED = "no suitable node (host-mode port already in use on 2 nodes)"
MISSING = "no suitable node (missing plugin on 1 node)"


def host_port(published, protocol=PortConfigProtocol.TCP, mode=PortConfigPublishMode.HOST):
    return PortConfig(protocol=protocol, target_port=80, published_port=published, publish_mode=mode)


def add(cluster, name, *ports, replicas=1):
    new = service(name, replicas)
    cluster.add_service(replace(new, spec=replace(new.spec, endpoint_spec=EndpointSpec(ports=list(ports)))))
    cluster.orchestrate()
    cluster.schedule()


@pytest.fixture
def two():
    cluster = Simulation()
    cluster.add_node("a")
    cluster.add_node("b")
    return cluster


def test_a_port_of_a_host_is_one_tasks(two):
    add(two, "web", host_port(80), replicas=3)
    assert Counter(task.node_id for task in two.tasks("web")) == Counter({"a": 1, "b": 1, "": 1})
    assert two.current("web", 3).status.err == USED
    add(two, "db", host_port(80))
    assert two.current("db").status.err == USED


@pytest.mark.parametrize(
    "port",
    [
        host_port(81),
        host_port(80, PortConfigProtocol.UDP),
        host_port(0),
        host_port(80, mode=PortConfigPublishMode.INGRESS),
    ],
)
def test_what_is_not_in_the_way(two, port):
    """Another port, another protocol, one that the engine chooses, and the routing mesh's, which the API guards."""
    add(two, "web", host_port(80), replicas=2)
    add(two, "db", port)
    assert two.current("db").node_id


def test_ports_that_engines_choose_are_in_nobodys_way(two):
    add(two, "web", host_port(0), replicas=6)
    assert all(task.node_id for task in two.tasks("web"))


def test_all_ports_must_be_free(two):
    add(two, "web", host_port(80), replicas=2)
    add(two, "db", host_port(81), host_port(80))
    assert two.current("db").status.err == USED


def test_a_port_is_its_tasks_until_it_has_stopped(two):
    add(two, "web", host_port(80), replicas=2)
    two.agents()
    two.remove_service("web")
    two.orchestrate()
    add(two, "db", host_port(80))
    assert two.current("db").status.err == USED
    two.report(two.tasks("web")[0], TaskState.SHUTDOWN)
    two.schedule()
    assert two.current("db").node_id == "a"


def volume(driver, type_=MountType.VOLUME):
    return Mount(type_, "data", "/data", volume_options=VolumeOptions(driver_config=VolumeDriver(driver)))


def told(plugins, *mounts, log_driver=None):
    """What a task is told where the only node has these plugins."""
    cluster = Simulation()
    cluster.add_node("a", engine=EngineDescription(plugins=[EnginePlugin(*each) for each in plugins]))
    new = service("web", log_driver=log_driver)
    template = replace(new.spec.task_template, container_spec=ContainerSpec(image="img", mounts=list(mounts)))
    cluster.add_service(replace(new, spec=replace(new.spec, task_template=template)))
    cluster.orchestrate()
    cluster.schedule()
    return cluster.current("web").status.err


@pytest.mark.parametrize("name", ["nfs", "nfs:latest"])
def test_a_volumes_driver_is_there_also_without_its_usual_tag(name):
    assert told([("Volume", name)], volume("nfs")) == ""


@pytest.mark.parametrize("plugins", [[], [("Volume", "nfs:1.0")], [("Log", "nfs")], [("Volume", "nfs2")]])
def test_a_volumes_driver_that_is_not_there(plugins):
    assert told(plugins, volume("nfs")) == MISSING


def test_drivers_of_all_volumes_are_needed():
    assert told([("Volume", "nfs")], volume("nfs"), volume("zfs")) == MISSING


@pytest.mark.parametrize("mount", [volume("local"), volume(""), volume("nfs", MountType.BIND), Mount(MountType.VOLUME)])
def test_mounts_that_need_no_plugin(mount):
    assert told([], mount) == ""


def test_a_log_driver_must_be_there():
    assert told([("Log", "json-file")], log_driver=Driver("splunk")) == MISSING
    assert told([("Log", "json-file"), ("Log", "splunk")], log_driver=Driver("splunk")) == ""


@pytest.mark.parametrize("driver", [Driver("none"), Driver(options={"max-size": "1m"})])
def test_no_log_driver_and_the_engines_own_are_always_there(driver):
    assert told([("Log", "json-file")], log_driver=driver) == ""


def test_an_engine_that_names_no_log_drivers_is_trusted_to_have_it():
    assert told([("Volume", "local")], log_driver=Driver("splunk")) == ""
