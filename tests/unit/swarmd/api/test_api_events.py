"""The events' stream: the engine's and the swarm's in one."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager, suppress

import msgspec
import pytest
from scripted_membership import LONG_AGO, MANAGER1, MANAGER2, WORKER1

from swarmd.api import events
from swarmd.api.context import EVENTS
from swarmd.membership import Reachability
from swarmd.model import NodeState, ServiceUpdate, UpdateState
from swarmd.store import Delete, Kind, Put

ENGINE_EVENT = b'{"Type":"container","Action":"start","Actor":{"ID":"abc"},"scope":"local","time":1,"timeNano":1}\n'
WEB = {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "nginx:1"}}}


@asynccontextmanager
async def listening(api, **query):
    """Yields a function that returns the next event."""
    if "filters" in query:
        query["filters"] = json.dumps(query["filters"])
    async with api.client.get("http://docker/v1.45/events", params=query) as response:
        assert response.status == 200, await response.text()

        async def following() -> dict[str, object]:
            return json.loads(await asyncio.wait_for(response.content.readline(), 10))

        yield following


@pytest.fixture
async def told(swarm):
    """The log follows the store: what is written from now on is told."""
    log = swarm.application[EVENTS]
    async with log.listening() as (_, queue):
        for number in range(100):  # until the first change is noticed
            reachable = {MANAGER1, MANAGER2} if number % 2 else {MANAGER1}
            swarm.membership.reach = Reachability(MANAGER1, frozenset(reachable))
            with suppress(TimeoutError):
                await asyncio.wait_for(queue.get(), 0.2)
                break
    log.kept.clear()
    return swarm


async def test_a_service_is_created_updated_and_removed(told):
    async with listening(told, filters={"type": ["service"]}) as following:
        _, created = await told.call("POST", "/services/create", WEB)
        event = await following()
        assert event.pop("time") * 1_000_000_000 <= event.pop("timeNano")
        assert event == {
            "Type": "service",
            "Action": "create",
            "Actor": {"ID": created["ID"], "Attributes": {"name": "web"}},
            "scope": "swarm",
        }
        version = (await told.get("/services/web"))["Version"]["Index"]
        changed = {
            "Name": "web",
            "TaskTemplate": {"ContainerSpec": {"Image": "nginx:2"}},
            "Mode": {"Replicated": {"Replicas": 4}},
        }
        await told.call("POST", f"/services/web/update?version={version}", changed)
        attributes = (await following())["Actor"]["Attributes"]
        assert attributes == {
            "name": "web",
            "image.old": "nginx:1",
            "image.new": "nginx:2",
            "replicas.old": "1",
            "replicas.new": "4",
        }
        await told.call("DELETE", "/services/web")
        assert (await following())["Action"] == "remove"


async def test_how_an_update_gets_on_is_told_as_the_services_update(told):
    store = told.membership.the_store
    async with listening(told, filters={"type": ["service"], "event": ["update"]}) as following:
        _, created = await told.call("POST", "/services/create", WEB)
        identity = created["ID"]
        version = store.snapshot().services[identity].version
        update = ServiceUpdate(identity, version, UpdateState.UPDATING, LONG_AGO, message="update in progress")
        await store.commit([Put(Kind.UPDATE, identity, update)])
        event = await following()
        assert event["Actor"] == {"ID": identity, "Attributes": {"name": "web", "updatestate.new": "updating"}}
        done = msgspec.structs.replace(update, state=UpdateState.COMPLETED)
        await store.commit([Put(Kind.UPDATE, identity, msgspec.structs.replace(update, message="other words"))])
        await store.commit([Put(Kind.UPDATE, identity, done)])
        attributes = (await following())["Actor"]["Attributes"]
        assert attributes == {"name": "web", "updatestate.old": "updating", "updatestate.new": "completed"}
        # A user's next change makes the state void, which is no event of its own.
        await told.call("POST", f"/services/web/update?version={version}", WEB | {"Labels": {"a": "b"}})
        assert (await following())["Actor"]["Attributes"] == {"name": "web"}


async def test_a_global_service_has_no_replicas_to_change(told):
    everywhere = WEB | {"Mode": {"Global": {}}}
    async with listening(told, filters={"type": ["service"], "event": ["update"]}) as following:
        _, created = await told.call("POST", "/services/create", everywhere)
        version = told.membership.the_store.snapshot().services[created["ID"]].version
        changed = everywhere | {"TaskTemplate": {"ContainerSpec": {"Image": "nginx:2"}}}
        await told.call("POST", f"/services/web/update?version={version}", changed)
        attributes = (await following())["Actor"]["Attributes"]
        assert attributes == {"name": "web", "image.old": "nginx:1", "image.new": "nginx:2"}


async def test_nodes_change_and_go(told):
    store = told.membership.the_store
    async with listening(told, filters={"node": ["worker1"], "type": ["node"]}) as following:
        version = (await told.get("/nodes/worker1"))["Version"]["Index"]
        spec = {"Role": "worker", "Availability": "drain"}
        await told.call("POST", f"/nodes/worker1/update?version={version}", spec)
        attributes = (await following())["Actor"]["Attributes"]
        assert attributes == {"name": "worker1", "availability.old": "active", "availability.new": "drain"}
        seen = store.snapshot().liveness[WORKER1].value
        down = msgspec.structs.replace(seen, state=NodeState.DOWN)
        await store.commit([Put(Kind.LIVENESS, WORKER1, down)])
        attributes = (await following())["Actor"]["Attributes"]
        assert attributes == {"name": "worker1", "state.old": "ready", "state.new": "down"}
        await store.commit([Delete(Kind.NODE, WORKER1), Delete(Kind.LIVENESS, WORKER1)])
        event = await following()
        assert (event["Action"], event["Actor"]["Attributes"]) == ("remove", {"name": "worker1"})


async def test_a_new_leader_is_an_update_of_both_managers(told):
    async with listening(told, filters={"event": ["update"]}) as following:
        told.membership.reach = Reachability(MANAGER2, frozenset({MANAGER1, MANAGER2}))
        both = [await following(), await following()]
    changes = {event["Actor"]["ID"]: event["Actor"]["Attributes"] for event in both}
    assert changes[MANAGER1] | {"leader.old": "true", "leader.new": "false"} == changes[MANAGER1]
    assert changes[MANAGER2] | {"leader.old": "false", "leader.new": "true"} == changes[MANAGER2]


async def test_the_engines_events_come_whole_and_in_between(told):
    async with listening(told, filters={"scope": ["swarm", "local"]}) as following:
        told.engine.events.put_nowait(ENGINE_EVENT[:20])
        await told.call("POST", "/services/create", WEB)
        assert (await following())["Type"] == "service"
        told.engine.events.put_nowait(ENGINE_EVENT[20:])
        assert (await following())["Type"] == "container"
    assert told.engine.asked[-1].startswith("GET /v1.45/events?filters=")


async def test_the_past_is_told_on_request(told):
    async with listening(told) as following:
        await told.call("POST", "/services/create", WEB)
        await following()
    begun = f"{time.time() - 60:.9f}"
    async with listening(told, since=begun, filters={"scope": ["swarm"]}) as following:
        assert (await following())["Actor"]["Attributes"] == {"name": "web"}
    async with told.client.get("http://docker/events", params={"since": begun, "until": str(time.time())}) as response:
        lines = (await response.text()).splitlines()
    assert [json.loads(line)["Type"] for line in lines] == ["service"]


async def test_others_are_filtered_out(told):
    async with listening(told, filters={"service": ["we"]}) as following:
        await told.call("POST", "/services/create", WEB | {"Name": "db"})
        await told.call("POST", "/services/create", WEB)
        assert (await following())["Actor"]["Attributes"]["name"] == "web"
    async with listening(told, filters={"label": ["name=cache"]}) as following:
        await told.call("POST", "/services/create", WEB | {"Name": "queue"})
        await told.call("POST", "/services/create", WEB | {"Name": "cache"})
        assert (await following())["Actor"]["Attributes"]["name"] == "cache"


async def test_the_stream_ends_with_the_engines(told):
    async with told.client.get("http://docker/events") as response:
        told.engine.events.put_nowait(None)
        assert await asyncio.wait_for(response.read(), 10) == b""


async def test_a_wrong_time_is_refused(told):
    status, message = await told.refused("GET", "/events", params={"since": "yesterday"})
    assert (status, message[:23]) == (400, "invalid value for since")


async def test_a_client_that_has_gone_is_noticed_without_an_event(told, monkeypatch):
    monkeypatch.setattr(events, "LOOK_AT_CLIENT_EVERY", 0.02)
    log = told.application[EVENTS]
    async with told.client.get("http://docker/events"):
        assert log.listeners == 1
    async with asyncio.timeout(10):
        while log.listeners:
            await asyncio.sleep(0.01)
