"""Clusters in the middle of their lives, made by chance: all filters and preferences play a part in most of them."""

from __future__ import annotations

import random
from datetime import timedelta

from msgspec.structs import replace
from simulation import START, Platform, Resources, Simulation, TaskState, node, service

from swarmd.model import (
    Availability,
    ContainerSpec,
    DiscreteGeneric,
    Driver,
    EndpointSpec,
    EngineDescription,
    EnginePlugin,
    GenericResource,
    Mount,
    MountType,
    NamedGeneric,
    NodeState,
    Placement,
    PlacementPreference,
    PortConfig,
    PortConfigProtocol,
    PortConfigPublishMode,
    ResourceObject,
    ResourceRequirements,
    SpreadOver,
    Task,
    TaskStatus,
    VolumeDriver,
    VolumeOptions,
)
from swarmd.store.contract import Kind

NAMES = ("gpu0", "gpu1", "gpu2", "gpu3")
DESCRIPTORS = ("node.labels.zone", "Node.Labels.rack", "engine.labels.disk", "node.hostname", "")


def named(name):
    return GenericResource(NamedGeneric("gpu", name))


def discrete(kind, value):
    return GenericResource(discrete_resource_spec=DiscreteGeneric(kind, value))


def random_cluster(seed):
    dice = random.Random(seed)
    cluster = Simulation()
    for number in range(dice.randint(1, 8)):
        add_node(cluster, dice, f"n{number}")
    for number in range(dice.randint(1, 4)):
        add_service(cluster, dice, f"s{number}")
    return cluster


def add_node(cluster, dice, name):
    chosen = dice.random
    resources = Resources(dice.randint(1, 8), dice.randint(1, 8), generic_of_node(dice))
    plugins = [EnginePlugin("Volume", each) for each in ("nfs:latest", "local") if chosen() > 0.2]
    plugins += [EnginePlugin("Log", each) for each in ("json-file", "splunk") if chosen() > 0.3]
    labels = {"disk": dice.choice(["ssd", "hdd"])} if chosen() > 0.3 else {}
    member, liveness = node(
        name,
        resources=resources,
        platform=Platform(dice.choice(["x86_64", "x86_64", "aarch64"]), "linux"),
        engine=EngineDescription(plugins=plugins, labels=labels),
    )
    labels = {label: dice.choice("abc") for label in ("zone", "rack") if chosen() > 0.2}
    availability = Availability.ACTIVE if chosen() > 0.1 else dice.choice([Availability.PAUSE, Availability.DRAIN])
    cluster.put(Kind.NODE, name, replace(member, spec=replace(member.spec, labels=labels, availability=availability)))
    state = NodeState.READY if chosen() > 0.1 else dice.choice([NodeState.DOWN, NodeState.UNKNOWN])
    cluster.put(Kind.LIVENESS, name, replace(liveness, state=state))


def generic_of_node(dice):
    gpus = dice.choice([[], [discrete("gpu", 3)], [named(name) for name in NAMES[: dice.randint(1, 4)]]])
    return gpus + dice.choice([[], [discrete("slot", dice.randint(0, 4))]])


def add_service(cluster, dice, name):
    replicas = dice.randint(0, 8)
    new = service(
        name,
        replicas,
        resources=dice.choice([None, reservations(dice), reservations(dice)]),
        placement=placement(dice),
        log_driver=dice.choice([None, None, None, Driver("splunk"), Driver("none"), Driver()]),
    )
    ports = [port(dice) for _ in range(dice.randint(1, 2))] if dice.random() > 0.7 else []
    template = replace(new.spec.task_template, container_spec=ContainerSpec(image="img", mounts=mounts(dice)))
    new = replace(new, spec=replace(new.spec, task_template=template, endpoint_spec=EndpointSpec(ports=ports)))
    cluster.add_service(new)
    for number in range(dice.randint(0, 10)):
        cluster.put(Kind.TASK, f"{name}.old{number}", older_task(cluster, dice, new, f"{name}.old{number}"))
    for number in range(replicas):
        task = task_of(new, f"{name}.{number}", dice.choice([1, 1, 1, 2]))
        cluster.put(Kind.TASK, task.id, task)


def reservations(dice):
    generic = [discrete("gpu", dice.randint(1, 2))] if dice.random() > 0.6 else []
    generic += [discrete("slot", dice.randint(1, 2))] if dice.random() > 0.7 else []
    asked = ResourceObject(nano_cpus=dice.randint(0, 2), memory_bytes=dice.randint(0, 2), generic_resources=generic)
    return ResourceRequirements(reservations=asked)


def placement(dice):
    if dice.random() < 0.2:
        return None
    spread = [PlacementPreference(SpreadOver(dice.choice(DESCRIPTORS))) for _ in range(dice.randint(0, 3))]
    return Placement(
        constraints=dice.choice([[], [], [], ["node.labels.zone==a"], ["engine.labels.disk!=hdd"]]),
        max_replicas=dice.choice([0, 0, 0, 1, 2]),
        platforms=dice.choice([[], [], [], [Platform("amd64", "linux")], [Platform("arm64", "")]]),
        preferences=dice.choice([[], spread, spread]),
    )


def mounts(dice):
    driver = dice.choice([None, None, "nfs", "local", "zfs"])
    return [] if driver is None else [volume(driver)]


def volume(driver):
    return Mount(MountType.VOLUME, "data", "/data", volume_options=VolumeOptions(driver_config=VolumeDriver(driver)))


def port(dice):
    return PortConfig(
        protocol=dice.choice([PortConfigProtocol.TCP, PortConfigProtocol.UDP]),
        target_port=80,
        published_port=dice.choice([0, 80, 81]),
        publish_mode=PortConfigPublishMode.HOST,
    )


def older_task(cluster, dice, new, task_id):
    """On some node, in some state; what it has been given need not be the node's any more."""
    task = task_of(new, task_id, 1)
    state = dice.choice([TaskState.ASSIGNED, TaskState.RUNNING, TaskState.FAILED, TaskState.FAILED, TaskState.SHUTDOWN])
    asked = task.spec.resources.reservations.generic_resources if task.spec.resources else []
    amounts = {each.discrete_resource_spec.kind: each.discrete_resource_spec.value for each in asked}
    given = [discrete("slot", amounts["slot"])] if "slot" in amounts else []
    node_id = dice.choice([*cluster.snapshot.nodes, *cluster.snapshot.nodes, "gone"])
    taken = {each for other in cluster.tasks() if other.node_id == node_id for each in names_of(other)}
    given += [named(name) for name in [*NAMES, "lost"] if name not in taken][: amounts.get("gpu", 0)]
    ago = timedelta(minutes=dice.choice([1, 1, 1, 6]))
    return replace(
        task,
        node_id=node_id,
        desired_state=dice.choice([TaskState.RUNNING, TaskState.RUNNING, TaskState.READY, TaskState.SHUTDOWN]),
        status=TaskStatus(START - ago, state),
        assigned_generic_resources=given,
    )


def names_of(task):
    return [each.named_resource_spec.value for each in task.assigned_generic_resources if each.named_resource_spec]


def task_of(new, task_id, spec_version):
    return Task(
        task_id,
        new.id,
        new.spec.name,
        1,
        new.spec.task_template,
        spec_version,
        START,
        START,
        TaskState.RUNNING,
        TaskStatus(START, TaskState.PENDING, "pending task scheduling"),
        endpoint=new.spec.endpoint_spec,
    )
