"""docker-py against the API: it writes keys in lower case and sends fields that nobody asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import docker
import pytest
from docker.errors import APIError
from docker.types import EndpointSpec, Resources, RestartPolicy, ServiceMode, UpdateConfig
from scripted_membership import MANAGER1


@pytest.fixture
async def client(api) -> AsyncIterator[docker.DockerClient]:
    client = await asyncio.to_thread(docker.DockerClient, base_url=f"unix://{api.socket}", version="auto")
    yield client
    client.close()


async def in_thread(function, *arguments, **options):
    return await asyncio.to_thread(function, *arguments, **options)


async def test_init_update_and_leave(api, client):
    swarm = await in_thread(lambda: client.swarm)
    made = await in_thread(swarm.init, advertise_addr="192.168.56.10", task_history_retention_limit=2)
    assert made == MANAGER1
    assert swarm.attrs["Spec"]["Orchestration"]["TaskHistoryRetentionLimit"] == 2
    await in_thread(swarm.update, rotate_worker_token=True)
    assert api.membership.calls[-1] == ("rotate", True, False)
    await in_thread(swarm.reload)
    assert swarm.attrs["JoinTokens"]["Worker"].endswith("-worker2")
    assert await in_thread(swarm.get_unlock_key) == {"UnlockKey": ""}
    assert await in_thread(swarm.leave, force=True)
    with pytest.raises(APIError, match="This node is not a swarm manager"):
        await in_thread(client.nodes.list)


async def test_nodes(swarm, client):
    nodes = await in_thread(client.nodes.list, filters={"role": "worker"})
    assert [node.attrs["Description"]["Hostname"] for node in nodes] == ["worker1"]
    spec = {"Availability": "pause", "Role": "worker", "Labels": {"a": "b"}}
    await in_thread(nodes[0].update, spec)
    await in_thread(nodes[0].reload)
    assert nodes[0].attrs["Spec"] == spec


async def test_services(swarm, client):
    service = await in_thread(
        client.services.create,
        "nginx:alpine",
        ["sh", "-c", "true"],
        name="web",
        env=["A=b"],
        labels={"x": "y"},
        mounts=[],
        networks=[],
        constraints=["node.role == worker"],
        resources=Resources(mem_limit=64 << 20),
        restart_policy=RestartPolicy(condition="any", delay=1_000_000),
        update_config=UpdateConfig(parallelism=2, delay=7),
        mode=ServiceMode("replicated", replicas=2),
        endpoint_spec=EndpointSpec(mode="vip"),
    )
    assert [one.name for one in await in_thread(client.services.list, filters={"name": "web"})] == ["web"]
    assert await in_thread(service.scale, 4)
    await in_thread(service.reload)
    assert service.attrs["Spec"]["Mode"]["Replicated"]["Replicas"] == 4
    stored = next(iter(swarm.membership.the_store.snapshot().services.values())).value
    assert stored.spec_version == 1, "scaling restarts no task, though docker-py sends all defaults with it"
    assert await in_thread(service.update, image="nginx:2", command=["sh"], networks=None)
    await in_thread(service.reload)
    task = service.attrs["Spec"]["TaskTemplate"]
    assert task["ContainerSpec"]["Image"] == "nginx:2"
    assert await in_thread(service.tasks) == []
    assert await in_thread(service.remove)
    assert await in_thread(client.services.list) == []


async def test_a_global_service(swarm, client):
    service = await in_thread(client.services.create, "nginx:1", name="agent", mode=ServiceMode("global"))
    assert service.attrs["Spec"]["Mode"] == {"Global": {}}
    assert await in_thread(service.update, image="nginx:2")
    await in_thread(service.reload)
    assert service.attrs["Spec"]["Mode"] == {"Global": {}}
    assert [found.name for found in await in_thread(client.services.list, filters={"mode": "global"})] == ["agent"]


async def test_what_is_not_there_yet_is_an_error_of_its_kind(swarm, client):
    with pytest.raises(APIError, match=r"Mode\.ReplicatedJob is not implemented") as caught:
        await in_thread(client.services.create, "nginx", mode=ServiceMode("replicated-job"))
    assert caught.value.status_code == 501
    assert await in_thread(client.secrets.list) == []


async def test_info_and_ping(swarm, client):
    assert await in_thread(client.ping) is True
    assert (await in_thread(client.info))["Swarm"]["Nodes"] == 3
