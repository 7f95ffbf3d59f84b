"""Which server answers which request."""

from __future__ import annotations

import asyncio

import pytest

from swarmd.front.routes import Owner, asks_for_tasks, may_become_raw, rule_for, split


def owner(target: str) -> Owner:
    return rule_for(*split(target)).owner


@pytest.mark.parametrize(
    "target",
    [
        "/v1.45/swarm",
        "/swarm/init",
        "/v1.24/nodes/self/update?version=3",
        "/services?status=true",
        "/v1.45/tasks",
        "/secrets/create",
        "/configs/x",
        "/info",
        "/v1.45/version",
        "/_ping",
        "/v1.45/events?since=1",
        '/v1.45/containers/json?filters={"is-task":{"true":true}}',
        "/containers/json?all=1&filters=%7B%22is-task%22%3A%5B%22false%22%5D%7D",
        "/v1.45/%73warm/init",
        "http://docker/v1.45/swarm",
    ],
)
def test_swarms_requests_are_swarmds(target: str) -> None:
    assert owner(target) is Owner.SWARMD


@pytest.mark.parametrize(
    "target",
    [
        "/v1.45/containers/json",
        '/v1.45/containers/json?filters={"label":{"is-task=1":true}}',
        "/v1.45/containers/json?filters=not-json",
        "/containers/swarm/json",
        "/swarms",
        "/info/",
        "/v1.45",
        "/",
        "*",
        "/images/nodes/json",
        "/v1.45/networks",
    ],
)
def test_all_else_is_the_engines(target: str) -> None:
    assert owner(target) is Owner.ENGINE


def test_a_filter_that_is_no_object_asks_for_no_tasks() -> None:
    assert not asks_for_tasks("filters=[1]&filters=3")


@pytest.mark.parametrize("path", ["/containers/a/attach", "/exec/b/start", "/session", "/grpc"])
def test_streams_of_the_engine_become_raw_after_the_head(path: str) -> None:
    assert may_become_raw("POST", path)
    assert not may_become_raw("GET", path)


def test_other_posts_stay_http() -> None:
    assert not may_become_raw("POST", "/containers/a/start")


async def test_requests_on_one_connection_go_to_the_server_that_each_belongs_to(rig) -> None:
    client = await rig.client()
    for _ in range(3):
        assert (await client.ask("GET", "/v1.45/nodes"))[1]["by"] == "swarmd"
        assert (await client.ask("GET", "/v1.45/images/json"))[1]["by"] == "engine"
        assert (await client.ask("POST", "/v1.45/containers/create"))[1]["by"] == "engine"
    assert rig.swarmd.connections == 1  # kept; as is the engine's, but for POST and the front's own question


async def test_requests_that_come_at_once_are_answered_in_their_order(rig) -> None:
    client = await rig.client()
    lines = ["GET /nodes", "GET /images/json", "DELETE /services/x", "GET /containers/json"]
    await client.send(b"".join(f"{line} HTTP/1.1\r\n\r\n".encode() for line in lines))
    answers = [(await client.read_answer())[1] for _ in lines]
    assert [b'"by": "swarmd"' in answer for answer in answers] == [True, False, True, False]


async def test_many_clients_at_once(rig) -> None:
    clients = [await rig.client() for _ in range(100)]
    answers = await asyncio.gather(*(client.ask("GET", "/nodes") for client in clients))
    assert {status for status, _ in answers} == {200}
