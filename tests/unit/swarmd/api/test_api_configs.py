"""Configs: what is kept, what is refused, and in which words."""

from __future__ import annotations

import base64
import io
import json

import pytest

DATA = base64.b64encode(b"listen 80;").decode()


async def create(api, name: str, data: str = DATA, **more: object) -> str:
    status, answer = await api.call("POST", "/configs/create", {"Name": name, "Labels": {}, "Data": data, **more})
    assert status == 201, answer
    return answer["ID"]


async def test_a_config_is_kept_with_its_data(swarm):
    identity = await create(swarm, "site.conf", Labels={"stage": "test"})
    for wanted in (identity, "site.conf", identity[:6]):
        shown = await swarm.get(f"/configs/{wanted}")
        assert shown["ID"] == identity
        assert shown["Spec"] == {"Name": "site.conf", "Labels": {"stage": "test"}, "Data": DATA}


async def test_lists_are_filtered(swarm):
    first, second = await create(swarm, "site"), await create(swarm, "site-2", Labels={"a": "b"})
    assert {shown["ID"] for shown in await swarm.get("/configs")} == {first, second}
    assert {shown["ID"] for shown in await swarm.get("/configs", {"name": ["site"]})} == {first, second}
    assert [shown["ID"] for shown in await swarm.get("/configs", {"names": ["site"]})] == [first]
    assert [shown["ID"] for shown in await swarm.get("/configs", {"label": ["a=b"]})] == [second]


async def test_a_name_is_given_once_and_again_after_removal(swarm):
    identity = await create(swarm, "site")
    refused = await swarm.refused("POST", "/configs/create", {"Name": "site", "Data": DATA})
    assert refused == (409, "rpc error: code = AlreadyExists desc = config site already exists")
    assert await swarm.call("DELETE", "/configs/site") == (204, "")
    assert await create(swarm, "site") != identity


async def test_only_labels_change(swarm):
    await create(swarm, "site")
    shown = await swarm.get("/configs/site")
    version = {"version": str(shown["Version"]["Index"])}
    spec = {**shown["Spec"], "Labels": {"a": "b"}}
    words = (400, "rpc error: code = InvalidArgument desc = only updates to Labels are allowed")
    for wrong in ({"Name": "other"}, {"Data": base64.b64encode(b"x").decode()}):
        assert await swarm.refused("POST", "/configs/site/update", {**spec, **wrong}, params=version) == words
    assert (await swarm.call("POST", "/configs/site/update", spec, params=version))[0] == 200
    assert (await swarm.get("/configs/site"))["Spec"]["Labels"] == {"a": "b"}
    status, message = await swarm.refused("POST", "/configs/site/update", spec, params=version)
    assert (status, message.rpartition(" desc = ")[2]) == (500, "update out of sequence")


@pytest.mark.parametrize("name", ["", "-site", "site-", "a b", "a" * 65, "sité"])
async def test_names_that_are_none(swarm, name):
    status, message = await swarm.refused("POST", "/configs/create", {"Name": name, "Data": DATA})
    assert status == 400
    assert "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed" in message


@pytest.mark.parametrize("size", [0, 1000 * 1024])
async def test_data_that_are_too_small_or_too_large(swarm, size):
    sent = json.dumps({"Name": "site", "Data": base64.b64encode(b"x" * size).decode()}).encode()
    json_type = {"Content-Type": "application/json"}
    status, message = await swarm.refused("POST", "/configs/create", data=io.BytesIO(sent), headers=json_type)
    assert (status, message.rpartition(" desc = ")[2]) == (
        400,
        "config data must be larger than 0 and less than 1024000 bytes",
    )


async def test_what_is_no_base_64(swarm):
    status, message = await swarm.refused("POST", "/configs/create", {"Name": "site", "Data": "###"})
    assert status == 400
    assert "base 64" in message
