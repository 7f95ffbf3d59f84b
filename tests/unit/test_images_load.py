"""Loading into engines, against small servers on unix sockets that speak the four calls of Docker's API it takes."""

from __future__ import annotations

import hashlib
import io
import json
import socketserver
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from provisioner import images
from provisioner.errors import ProvisionError
from provisioner.images import store, tarball
from provisioner.lab import HostSpec
from provisioner.machines import Machine, MachineState
from provisioner.progress import Progress


class Engine(socketserver.ThreadingUnixStreamServer):
    """An engine's image store. ``refusal`` is what it answers to a load, where it is set."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), Handler)
        self.images: dict[str, dict[str, Any]] = {}
        self.loads = 0
        self.refusal = ""


class Handler(BaseHTTPRequestHandler):
    server: Engine

    def do_GET(self) -> None:
        path = unquote(self.path)
        if path.endswith("/version"):
            self.answer(200, {"ApiVersion": "1.45"})
        elif (name := path.split("/images/")[-1].removesuffix("/json")) in self.server.images:
            self.answer(200, self.server.images[name])
        else:
            self.answer(404, {"message": f"No such image: {name}"})

    def do_POST(self) -> None:
        with tarfile.open(fileobj=io.BytesIO(self.body())) as tar:
            content = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        self.server.loads += 1
        if self.server.refusal:
            self.answer(200, {"errorDetail": {"message": self.server.refusal}, "error": self.server.refusal})
            return
        [manifest] = json.loads(content["manifest.json"])
        config = content[manifest["Config"]]
        document = json.loads(config)
        [tag] = manifest["RepoTags"]
        self.server.images[tag] = {
            "Id": f"sha256:{hashlib.sha256(config).hexdigest()}",
            "RootFS": {"Layers": document["rootfs"]["diff_ids"]},
            "Config": document["config"],
        }
        self.answer(200, {"stream": f"Loaded image: {tag}\n"})

    def body(self) -> bytes:
        """A chunked body (RFC 9112, 7.1)."""
        blocks = []
        while size := int(self.rfile.readline(), 16):
            blocks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(blocks)

    def answer(self, status: int, document: object) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def engine(path: Path) -> Iterator[Engine]:
    with Engine(path) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[tuple[Engine, Engine]]:
    with engine(tmp_path / "manager1.sock") as first, engine(tmp_path / "worker1.sock") as second:
        yield first, second


@pytest.fixture
def machines(tmp_path: Path) -> list[Machine]:
    return [machine(tmp_path, "manager1"), machine(tmp_path, "worker1")]


def machine(folder: Path, name: str, state: MachineState = "running") -> Machine:
    spec = HostSpec(name=name, role="manager", address=IPv4Address("192.168.56.10"))
    return Machine(spec, state, folder / f"{name}.sock")


@pytest.fixture(autouse=True)
def archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home in which both images are built, from a root of one file."""
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path / "home"))
    store.folder().mkdir(parents=True)
    for name in ("busybox", "tomcat"):
        definition = images.definition(name).model_copy(update={"keep": ()})
        root = tmp_path / name
        root.mkdir()
        (root / "program").write_text(name)
        tarball.write(definition, root, store.path(images.definition(name)))


def quiet() -> Progress:
    return Progress(quiet=True)


def test_every_engine_gets_what_it_has_not(engines: tuple[Engine, Engine], machines: list[Machine]) -> None:
    first, second = engines
    images.load(machines[:1], ["busybox"], quiet())
    images.load(machines, ["busybox", "tomcat"], quiet())
    assert (first.loads, second.loads) == (2, 2)
    assert sorted(first.images) == sorted(second.images) == ["busybox:latest", "tomcat:latest"]


def test_a_second_load_does_nothing(engines: tuple[Engine, Engine], machines: list[Machine]) -> None:
    for _ in range(2):
        images.load(machines, ["busybox"], quiet())
    assert [one.loads for one in engines] == [1, 1]


def test_another_image_of_that_name_is_replaced(engines: tuple[Engine, Engine], machines: list[Machine]) -> None:
    images.load(machines, ["busybox"], quiet())
    ours = engines[0].images["busybox:latest"]
    engines[0].images["busybox:latest"] = {
        "Id": "sha256:1",
        "RootFS": {"Layers": ["sha256:2"]},
        "Config": {"Labels": None},
    }
    images.load(machines, ["busybox"], quiet())
    assert engines[0].images["busybox:latest"] == ours


def test_an_engine_with_containerds_store_is_recognised(
    engines: tuple[Engine, Engine], machines: list[Machine]
) -> None:
    images.load(machines, ["busybox"], quiet())
    engines[0].images["busybox:latest"]["Id"] = "sha256:the-digest-of-a-manifest"
    images.load(machines, ["busybox"], quiet())
    assert engines[0].loads == 1


def test_a_host_that_fails_is_named_and_the_others_are_finished(
    engines: tuple[Engine, Engine], machines: list[Machine], tmp_path: Path
) -> None:
    engines[0].refusal = "no space left on device"
    absent = machine(tmp_path, "worker2")
    off = machine(tmp_path, "worker3", "stopped")
    with pytest.raises(ProvisionError) as error:
        images.load([*machines, absent, off], ["busybox"], quiet())
    assert "3 of 4 engines" in error.value.message
    assert "manager1: no space left on device" in error.value.message
    assert "worker2: its engine does not answer" in error.value.message
    assert "worker3: the host is stopped" in error.value.message
    assert "provision logs manager1 --unit docker" in error.value.hint
    assert "busybox:latest" in engines[1].images
