"""What a service asks of its nodes, from the request of the client to what the node's engine is told."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from scripted_membership import MANAGER1, MANAGER2, WORKER1

from swarmd import orchestrator, scheduler
from swarmd.engine.container import create_body
from swarmd.model import DiscreteGeneric, GenericResource, NamedGeneric, Task
from swarmd.reconcile import now_utc
from swarmd.store import Kind, Put


class Cluster:
    """The API on a store, and a leader that plans when a test says so."""

    def __init__(self, api) -> None:
        self.api = api

    @property
    def store(self):
        return self.api.membership.the_store

    async def equip(self, node_id: str, *resources: GenericResource) -> None:
        """What the node's engine says that it has."""
        known = self.store.snapshot().liveness[node_id].value
        all_of_it = replace(known.description.resources, generic_resources=list(resources))
        changed = replace(known, description=replace(known.description, resources=all_of_it))
        await self.store.commit([Put(Kind.LIVENESS, node_id, changed)])

    async def create(self, **spec: object) -> str:
        template = {"ContainerSpec": {"Image": "nginx"}} | spec.pop("TaskTemplate", {})
        sent = {"Name": "web"} | spec | {"TaskTemplate": template}
        status, answer = await self.api.call("POST", "/v1.45/services/create", sent)
        assert status == 201, answer
        return answer["ID"]

    async def plan(self) -> list[Task]:
        """All tasks once they have been made and placed, by node and slot."""
        for plan in (orchestrator.plan, scheduler.place):
            for decision in plan(self.store.snapshot(), now_utc()).decisions:
                await self.store.commit(decision.changes, guards=decision.guards)
        tasks = [entry.value for entry in self.store.snapshot().tasks.values()]
        return sorted(tasks, key=lambda task: (task.node_id, task.slot))

    def told(self, task: Task) -> dict[str, object]:
        """The engine of the task's node."""
        return create_body(task, self.store.snapshot().liveness[task.node_id].value.description)


@pytest.fixture
def cluster(swarm) -> Cluster:
    return Cluster(swarm)


def gpu(name: str) -> GenericResource:
    return GenericResource(NamedGeneric("gpu", name))


def reserving(kind: str, count: int) -> dict[str, object]:
    wanted = [{"DiscreteResourceSpec": {"Kind": kind, "Value": count}}]
    return {"Resources": {"Reservations": {"GenericResources": wanted}}}


def published(*ports: tuple[int, int]) -> dict[str, object]:
    return {"Ports": [{"TargetPort": target, "PublishedPort": port, "PublishMode": "host"} for target, port in ports]}


async def test_generic_resources(cluster):
    await cluster.equip(WORKER1, gpu("u1"), gpu("u2"), gpu("u3"))
    identity = await cluster.create(TaskTemplate=reserving("gpu", 2), Mode={"Replicated": {"Replicas": 2}})
    waiting, placed = await cluster.plan()
    assert waiting.status.err == "no suitable node (insufficient resources on 3 nodes)"
    assert placed.node_id == WORKER1
    assert "DOCKER_RESOURCE_GPU=u1,u2" in cluster.told(placed)["Env"]
    shown = await cluster.api.get(f"/tasks/{placed.id}")
    assert shown["GenericResources"] == [{"NamedResourceSpec": {"Kind": "gpu", "Value": name}} for name in ("u1", "u2")]
    spec = (await cluster.api.get(f"/services/{identity}"))["Spec"]["TaskTemplate"]
    assert spec["Resources"]["Reservations"] == reserving("gpu", 2)["Resources"]["Reservations"]


async def test_generic_resources_of_a_global_service(cluster):
    await cluster.equip(WORKER1, GenericResource(discrete_resource_spec=DiscreteGeneric("ssd", 3)))
    await cluster.create(TaskTemplate=reserving("ssd", 2), Mode={"Global": {}})
    tasks = {task.node_id: task for task in await cluster.plan()}
    assert {tasks[node].status.err for node in (MANAGER1, MANAGER2)} == {"insufficient resources on 1 node"}
    assert "DOCKER_RESOURCE_SSD=2" in cluster.told(tasks[WORKER1])["Env"]


async def test_ports_published_in_host_mode(cluster):
    identity = await cluster.create(EndpointSpec=published((80, 8080), (443, 0)), Mode={"Replicated": {"Replicas": 4}})
    waiting, *placed = await cluster.plan()
    assert waiting.status.err == "no suitable node (host-mode port already in use on 3 nodes)"
    assert [task.node_id for task in placed] == [MANAGER1, MANAGER2, WORKER1]
    for task in placed:
        told = cluster.told(task)
        assert told["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostPort": "8080"}], "443/tcp": [{}]}
        assert told["ExposedPorts"] == {"80/tcp": {}, "443/tcp": {}}
    ports = [
        {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "host"},
        {"Protocol": "tcp", "TargetPort": 443, "PublishMode": "host"},
    ]
    assert (await cluster.api.get(f"/services/{identity}"))["Endpoint"]["Ports"] == ports


async def test_ports_of_a_global_service_stand_in_the_way_of_others(cluster):
    await cluster.create(EndpointSpec=published((80, 8080)), Mode={"Global": {}})
    tasks = await cluster.plan()
    assert [task.node_id for task in tasks] == [MANAGER1, MANAGER2, WORKER1]
    assert all(cluster.told(task)["ExposedPorts"] == {"80/tcp": {}} for task in tasks)
    await cluster.create(Name="other", EndpointSpec=published((8080, 8080)))
    (waiting,) = [task for task in await cluster.plan() if task.service_name == "other"]
    assert waiting.status.err == "no suitable node (host-mode port already in use on 3 nodes)"
