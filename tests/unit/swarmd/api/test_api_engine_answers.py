"""What is the engine's, with ours put in: info, version, ping, containers; and the headers of every answer."""

from __future__ import annotations

import pytest
from scripted_membership import MANAGER1

from swarmd.api import create_application
from swarmd.membership import LocalNode, LocalState


async def test_info_is_the_engines_with_our_swarm(swarm):
    shown = await swarm.get("/v1.45/info")
    assert shown["ServerVersion"] == "26.1.5"
    section = shown["Swarm"]
    assert section.pop("Cluster")["Spec"]["Name"] == "default"
    assert "two-manager configuration" in section.pop("Warnings")[0]
    assert "two-manager configuration" in shown["Warnings"][0]
    assert section == {
        "NodeID": MANAGER1,
        "NodeAddr": "192.168.56.10",
        "LocalNodeState": "active",
        "ControlAvailable": True,
        "Error": "",
        "RemoteManagers": [{"NodeID": MANAGER1, "Addr": "192.168.56.10:2377"}],
        "Nodes": 3,
        "Managers": 2,
    }
    assert swarm.engine.asked == ["GET /v1.45/info"]


async def test_info_shows_no_tokens(swarm):
    _, text = await swarm.call("GET", "/info")
    assert "SWMTKN" not in str(text)


async def test_info_outside_of_a_swarm(api):
    shown = await api.get("/info")
    assert shown["Swarm"]["LocalNodeState"] == "inactive"
    assert shown["Swarm"]["ControlAvailable"] is False
    assert "Cluster" not in shown["Swarm"]


async def test_info_answers_without_a_quorum(swarm):
    swarm.membership.the_store.lost = True
    section = (await swarm.get("/info"))["Swarm"]
    assert section["Error"].startswith("rpc error: code = Unknown desc = The swarm does not have a leader.")
    assert section["LocalNodeState"] == "active"
    assert section["ControlAvailable"] is True


async def test_info_and_the_swarm_answer_without_an_engine(swarm):
    swarm.engine.socket.unlink()
    shown = await swarm.get("/info")
    assert "the Docker Engine on this node does not answer" in shown["Warnings"][0]
    assert shown["Swarm"]["Nodes"] == 3
    assert len(await swarm.get("/nodes")) == 3
    status, message = await swarm.refused("GET", "/version")
    assert (status, message[:46]) == (503, "the Docker Engine on this node does not answer")
    async with swarm.client.get("http://docker/_ping") as response:
        assert (response.status, await response.text()) == (200, "OK")


@pytest.mark.parametrize(("spoken", "announced"), [("1.41", "1.41"), ("1.45", "1.45"), ("1.51", "1.45")])
async def test_the_lower_version_is_announced(api, spoken, announced):
    api.engine.api_version = spoken
    shown = await api.get("/version")
    assert shown["ApiVersion"] == announced
    assert shown["Components"][0]["Details"]["ApiVersion"] == announced
    async with api.client.get("http://docker/_ping") as response:
        assert response.headers["Api-Version"] == announced


async def test_versions_that_are_not_spoken_are_refused(api):
    api.engine.api_version = "1.41"
    await api.get("/version")
    words = "client version 1.42 is too new. Maximum supported API version is 1.41"
    assert await api.refused("GET", "/v1.42/info") == (400, words)
    words = (
        "client version 1.9 is too old. Minimum supported API version is 1.24, "
        "please upgrade your client to a newer version"
    )
    assert await api.refused("GET", "/v1.9/info") == (400, words)


@pytest.mark.parametrize(
    ("local", "header"),
    [
        (LocalNode(), "inactive"),
        (LocalNode(LocalState.PENDING), "pending"),
        (LocalNode(LocalState.ERROR, error="x"), "error"),
        (LocalNode(LocalState.ACTIVE, "a", is_manager=True), "active/manager"),
        (LocalNode(LocalState.ACTIVE, "a"), "active/worker"),
    ],
)
async def test_ping_says_what_the_node_is_in_the_swarm(api, local, header):
    api.membership.now = local
    for method in ("GET", "HEAD"):
        async with api.client.request(method, "http://docker/_ping") as response:
            assert response.status == 200
            assert response.headers["Swarm"] == header
            assert response.headers["Builder-Version"] == "2"
            assert await response.text() == ("OK" if method == "GET" else "")


async def test_every_answer_has_dockers_headers(api):
    for path in ("/info", "/nodes", "/nowhere", "/v9.9/info"):
        async with api.client.get(f"http://docker{path}") as response:
            headers = response.headers
            assert headers["Api-Version"] == "1.45"
            assert headers["Ostype"] == "linux"
            assert headers["Docker-Experimental"] == "false"
            assert headers["Server"].startswith("swarmd/")
            assert headers["Content-Type"].startswith("application/json")


async def test_an_unknown_page(api):
    assert await api.refused("GET", "/nowhere") == (404, "page not found")
    assert await api.refused("PUT", "/swarm") == (404, "page not found")


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (None, ["/web.1.x", "/mine", "/other"]),
        ({"is-task": ["true"]}, ["/web.1.x"]),
        ({"is-task": {"1": True}}, ["/web.1.x"]),
        ({"is-task": ["false"]}, ["/mine", "/other"]),
        ({"is-task": ["true", "false"]}, ["/web.1.x", "/mine", "/other"]),
    ],
)
async def test_whether_a_container_is_a_task_is_asked_by_label(api, filters, names):
    shown = await api.get("/containers/json", filters)
    assert [one["Names"][0] for one in shown] == names
    assert "is-task" not in api.engine.asked[0]


async def test_the_engines_refusal_is_handed_on(api):
    query = {"filters": '{"is-task": ["perhaps"]}'}
    assert await api.refused("GET", "/containers/json", params=query) == (400, "invalid filter 'is-task=[perhaps]'")


def test_it_is_made_outside_of_a_loop(membership, tmp_path):
    create_application(membership, tmp_path / "none.sock")
