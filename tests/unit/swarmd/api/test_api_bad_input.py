"""Malformed, oversized and hostile requests: refused in words, and the next request is answered."""

from __future__ import annotations

import asyncio
import io
import json
import logging

import pytest

from swarmd.api import reading
from swarmd.api.filters import parse_filters
from swarmd.api.validation import is_image_reference, with_port
from swarmd.errors import BadRequest
from swarmd.logs import without_what_was_sent

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "invalid JSON: unexpected EOF"),
        (b'{"Name": "a', "invalid JSON: unexpected EOF"),
        (b"   ", "invalid JSON: got EOF while reading request body"),
        (b"{} {}", "unexpected content after JSON"),
        (b"{Name: 1}", "invalid JSON: invalid character 'N'"),
        (b'{"Name": NaN}', "invalid JSON: invalid character 'N'"),
        (b'{"Name": ["a"]}', "cannot unmarshal array into Go struct field ServiceSpec.Name of type string"),
        (b'{"Labels": {"a": 1}}', "cannot unmarshal number into Go struct field ServiceSpec.Labels of type string"),
        (b'{"TaskTemplate": "x"}', "cannot unmarshal string into"),
        (b'{"TaskTemplate": {"ForceUpdate": 1.5}}', "cannot unmarshal number 1.5 into"),
        (b'{"TaskTemplate": {"ForceUpdate": 18446744073709551616}}', "cannot unmarshal number 18446744073709551616"),
        (b'{"TaskTemplate": {"ForceUpdate": true}}', "cannot unmarshal bool into"),
        (b'"text"', "cannot unmarshal string into Go value of type swarm.ServiceSpec"),
        (b"[" * 100_000, "invalid JSON: exceeded max depth"),
        (b'{"Name": ' + b"9" * 5000 + b"}", "invalid JSON: "),
        (b"\xff\xfe", "invalid JSON: invalid character"),
    ],
)
async def test_malformed_json(swarm, body, words):
    status, message = await swarm.refused("POST", "/services/create", data=body, headers=JSON)
    assert words in message
    assert status == 400
    assert await swarm.get("/services") == []


async def test_a_body_must_be_declared_as_json(swarm):
    status, message = await swarm.refused("POST", "/services/create", data=b"{}", headers={"Content-Type": "text/x"})
    assert (status, message) == (400, "unsupported Content-Type header (text/x): must be 'application/json'")


async def test_a_huge_body_is_refused(swarm):
    body = io.BytesIO(json.dumps({"Name": "x" * reading.LARGEST_BODY}).encode())
    status, message = await swarm.refused("POST", "/services/create", data=body, headers=JSON)
    assert (status, message) == (413, "the request's body is larger than 4 MiB")
    assert await swarm.get("/services") == []


async def test_a_slow_client_is_given_up(swarm, monkeypatch):
    monkeypatch.setattr(reading, "BODY_DEADLINE", 0.1)
    reader, writer = await asyncio.open_unix_connection(str(swarm.socket))
    head = "POST /services/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
    writer.write(head.encode())
    answer = await asyncio.wait_for(reader.readline(), 10)
    assert b" 400 " in answer
    writer.close()
    await writer.wait_closed()
    assert await swarm.get("/services") == []


@pytest.mark.parametrize("ending", ["\0", "\rx", "x" * 70_000])
async def test_a_head_that_cannot_be_read_is_not_written_into_the_log(swarm, caplog, ending):
    """aiohttp shows the line that it stumbles over."""
    logger = logging.getLogger("aiohttp.server")
    logger.addFilter(without_what_was_sent)
    try:
        reader, writer = await asyncio.open_unix_connection(str(swarm.socket))
        field = f"X-Registry-Auth: hunter2-hunter2{ending}"
        writer.write(f"POST /services/create HTTP/1.1\r\nHost: d\r\n{field}\r\n\r\n".encode())
        assert b" 400 " in await asyncio.wait_for(reader.readline(), 10)
        writer.close()
        await writer.wait_closed()
    finally:
        logger.removeFilter(without_what_was_sent)
    assert "a request could not be read" in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("isolation", ["hyperv", 1, ["default"], {"a": 1}])
async def test_an_isolation_of_whatever_type_is_not_there_yet(swarm, isolation):
    body = {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "a", "Isolation": isolation}}}
    status, message = await swarm.refused("POST", "/services/create", body)
    assert (status, message.partition(" ")[0]) == (501, "TaskTemplate.ContainerSpec.Isolation")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "x"])
async def test_what_a_body_says_of_its_encoding_does_not_matter(swarm, encoding):
    """As on Docker, whose server does not look at it."""
    body = b'{"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "a"}}}'
    status, _ = await swarm.call("POST", "/services/create", data=body, headers=JSON | {"Content-Encoding": encoding})
    assert status == 201


@pytest.mark.parametrize("version", ["9" * 5000, "1." + "9" * 5000])
async def test_a_version_of_thousands_of_digits_is_too_new(swarm, version):
    status, message = await swarm.refused("GET", f"/v{version}/nodes")
    assert (status, "is too new" in message) == (400, True)


async def test_half_a_surrogate_pair_is_replaced(swarm):
    body = b'{"Name": "web", "Labels": {"a": "\\ud800"}, "TaskTemplate": {"ContainerSpec": {"Image": "a"}}}'
    status, _ = await swarm.call("POST", "/services/create", data=body, headers=JSON)
    assert status == 201
    (shown,) = await swarm.get("/services")
    assert shown["Spec"]["Labels"] == {"a": "\ufffd"}


async def test_the_last_of_two_keys_counts_whatever_its_case(swarm):
    body = b'{"name": "first", "NAME": "second", "TaskTemplate": {"ContainerSpec": {"Image": "a"}}}'
    await swarm.call("POST", "/services/create", data=body, headers=JSON)
    (shown,) = await swarm.get("/services")
    assert shown["Spec"]["Name"] == "second"


@pytest.mark.parametrize("text", ["[]", "1", '{"a": "b"}', '{"a": [1]}', '{"a": {"b": "c"}}', "{" * 9, "[" * 99_999])
def test_filters_that_are_none(text):
    with pytest.raises(BadRequest, match=r"^invalid filter$"):
        parse_filters(text)


@pytest.mark.parametrize(
    "image",
    [
        "nginx",
        "nginx:alpine",
        "library/nginx",
        "localhost/a",
        "Registry.example.com:5000/team/app:1.0-rc.1",
        "a@sha256:" + "0" * 64,
        "a/b:c@sha256:" + "0" * 64,
        "[fd00::1]:5000/a",
        "a__b/c-d",
    ],
)
def test_image_references(image):
    assert is_image_reference(image)


@pytest.mark.parametrize(
    "image", ["Nginx", "a b", "a:", ":a", "a@sha256:12", "0" * 64, "/a", "a/", "a//b", "-a", "a:b:c", "a" * 256, "ä"]
)
def test_what_is_no_image_reference(image):
    assert not is_image_reference(image)


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("10.0.0.1", "10.0.0.1:2377"),
        ("10.0.0.1:99", "10.0.0.1:99"),
        ("eth0", "eth0:2377"),
        ("fd00::1", "[fd00::1]:2377"),
        ("[fd00::1]", "[fd00::1]:2377"),
        ("[fd00::1]:99", "[fd00::1]:99"),
        ("tcp://10.0.0.1:99", "10.0.0.1:99"),
    ],
)
def test_addresses_get_the_clusters_port(sent, meant):
    assert with_port(sent, "ListenAddr") == meant
