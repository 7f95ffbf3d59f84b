"""Whatever makes room for a task that waits has it placed: one case for each thing that can be in its way, and for each
thing that ends it. The scheduler's own loop must see it without being told."""

import asyncio
from contextlib import suppress

import pytest
from msgspec.structs import replace
from simulation import Availability, NodeState, Platform, Resources, Simulation, TaskState, service

from swarmd import scheduler
from swarmd.model import (
    ContainerSpec,
    DiscreteGeneric,
    EndpointSpec,
    EngineDescription,
    EnginePlugin,
    GenericResource,
    Mount,
    MountType,
    NamedGeneric,
    NodeDescription,
    Placement,
    PortConfig,
    PortConfigPublishMode,
    ResourceObject,
    ResourceRequirements,
    VolumeDriver,
    VolumeOptions,
)
from swarmd.store.contract import Delete, Kind

SECONDS = 20
GPU = GenericResource(NamedGeneric("gpu", "u1"))
HAS = NodeDescription(
    "a",
    Platform("x86_64", "linux"),
    Resources(4, 8, [GPU]),
    EngineDescription(plugins=[EnginePlugin("Volume", "local")]),
)


def reserving(cpus=0, memory=0, gpus=0):
    generic = [GenericResource(discrete_resource_spec=DiscreteGeneric("gpu", gpus))] if gpus else []
    return {"resources": ResourceRequirements(reservations=ResourceObject(cpus, memory, generic_resources=generic))}


def constrained(*constraints, **placement):
    return {"placement": Placement(constraints=list(constraints), **placement)}


MOUNT = Mount(MountType.VOLUME, "data", "/data", volume_options=VolumeOptions(driver_config=VolumeDriver("nfs")))
MOUNTED = {"container_spec": ContainerSpec(image="img", mounts=[MOUNT])}
PORT = PortConfig(target_port=80, published_port=80, publish_mode=PortConfigPublishMode.HOST)

# What ends it


def node_is_heard_again(cluster):
    cluster.set_state("a", NodeState.READY)


def node_is_active_again(cluster):
    cluster.set_availability("a", Availability.ACTIVE)


def a_node_comes(cluster):
    cluster.add_node("b", platform=HAS.platform, resources=Resources(8, 16, [GPU, replace_name("u2")]))


def replace_name(name):
    return GenericResource(NamedGeneric("gpu", name))


def node_gets_a_label(cluster):
    member = cluster.snapshot.nodes["a"].value
    cluster.put(Kind.NODE, "a", replace(member, spec=replace(member.spec, labels={"zone": "x"})))


def node_says_of_itself(**news):
    def say(cluster):
        liveness = cluster.snapshot.liveness["a"].value
        description = replace(liveness.description, **news)
        cluster.put(Kind.LIVENESS, "a", replace(liveness, description=description))

    return say


def other_task_ends(cluster):
    cluster.report(cluster.current("other"), TaskState.COMPLETE)


def other_task_is_forgotten(cluster):
    cluster._commit([Delete(Kind.TASK, cluster.current("other").id)])


def other_service_is_removed(cluster):
    """Its task has to stop before what it has is free."""
    cluster.remove_service("other")
    cluster.orchestrate()
    cluster.agents()


def copy_is_to_stop(cluster):
    task = cluster.current("web", 1)
    cluster.put(Kind.TASK, task.id, replace(task, desired_state=TaskState.SHUTDOWN))


def node_is_down(cluster):
    cluster.set_state("a", NodeState.DOWN)


def node_is_drained(cluster):
    cluster.set_availability("a", Availability.DRAIN)


def other_has(**task):
    """Another service's task has it."""

    def occupy(cluster):
        add(cluster, "other", **task)
        assert cluster.current("other").node_id == "a"

    return occupy


def nothing(cluster):
    pass


def a_copy_runs(cluster):
    add(cluster, "web", **constrained(max_replicas=1))
    cluster.scale("web", 2)


CASES = {
    "silence: it is heard": (node_is_down, {}, node_is_heard_again),
    "silence: another node comes": (node_is_down, {}, a_node_comes),
    "drain: active again": (node_is_drained, {}, node_is_active_again),
    "CPU: a task ends": (other_has(**reserving(cpus=3)), reserving(cpus=2), other_task_ends),
    "CPU: a task is forgotten": (other_has(**reserving(cpus=3)), reserving(cpus=2), other_task_is_forgotten),
    "CPU: a service is removed": (other_has(**reserving(cpus=3)), reserving(cpus=2), other_service_is_removed),
    "CPU: another node comes": (nothing, reserving(cpus=8), a_node_comes),
    "CPU: the node gets more": (nothing, reserving(cpus=8), node_says_of_itself(resources=Resources(8, 8))),
    "memory: a task ends": (other_has(**reserving(memory=8)), reserving(memory=1), other_task_ends),
    "generic: a task ends": (other_has(**reserving(gpus=1)), reserving(gpus=1), other_task_ends),
    "generic: a task is forgotten": (other_has(**reserving(gpus=1)), reserving(gpus=1), other_task_is_forgotten),
    "generic: a service is removed": (other_has(**reserving(gpus=1)), reserving(gpus=1), other_service_is_removed),
    "generic: another node comes": (nothing, reserving(gpus=2), a_node_comes),
    "generic: the node gets more": (
        other_has(**reserving(gpus=1)),
        reserving(gpus=1),
        node_says_of_itself(resources=Resources(4, 8, [GPU, replace_name("u2")])),
    ),
    "plugin: it is installed": (
        nothing,
        MOUNTED,
        node_says_of_itself(engine=EngineDescription(plugins=[EnginePlugin("Volume", "nfs:latest")])),
    ),
    "constraint: a label": (nothing, constrained("node.labels.zone==x"), node_gets_a_label),
    "constraint: an engine's label": (
        nothing,
        constrained("engine.labels.disk==ssd"),
        node_says_of_itself(engine=EngineDescription(labels={"disk": "ssd"})),
    ),
    "constraint: another node comes": (nothing, constrained("node.id==b"), a_node_comes),
    "platform: it is another": (
        nothing,
        constrained(platforms=[Platform("arm64", "linux")]),
        node_says_of_itself(platform=Platform("aarch64", "linux")),
    ),
    "port: a task ends": (other_has(port=PORT), {"port": PORT}, other_task_ends),
    "port: a task is forgotten": (other_has(port=PORT), {"port": PORT}, other_task_is_forgotten),
    "port: a service is removed": (other_has(port=PORT), {"port": PORT}, other_service_is_removed),
    "port: another node comes": (other_has(port=PORT), {"port": PORT}, a_node_comes),
    "copies: one is to stop": (a_copy_runs, None, copy_is_to_stop),
    "copies: another node comes": (a_copy_runs, None, a_node_comes),
}


def add(cluster, name, port=None, **task):
    new = service(name, **{key: value for key, value in task.items() if key != "container_spec"})
    if "container_spec" in task:
        template = replace(new.spec.task_template, container_spec=task["container_spec"])
        new = replace(new, spec=replace(new.spec, task_template=template))
    if port is not None:
        new = replace(new, spec=replace(new.spec, endpoint_spec=EndpointSpec(ports=[port])))
    cluster.add_service(new)
    cluster.converge()


@pytest.mark.parametrize("case", CASES)
async def test_a_task_that_waits_is_placed_once_nothing_is_in_its_way(case):
    in_the_way, waiting, ends = CASES[case]
    cluster = Simulation()
    cluster.add_node("a", platform=HAS.platform, resources=HAS.resources, engine=HAS.engine)
    in_the_way(cluster)
    if waiting is not None:
        add(cluster, "web", **waiting)
    cluster.converge()
    (task,) = [task for task in cluster.tasks("web") if not task.node_id]
    assert task.status.err.startswith("no suitable node (")
    assert cluster.schedule().decisions == []
    loop = asyncio.create_task(scheduler.run(cluster.store, cluster.store.lead()))
    try:
        await asyncio.sleep(0)  # it has looked around and waits
        ends(cluster)
        async with asyncio.timeout(SECONDS):
            while not cluster.snapshot.tasks[task.id].value.node_id:
                await cluster.store.changed(cluster.snapshot.revision)
    finally:
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop
    assert cluster.snapshot.tasks[task.id].value.status.err == ""
