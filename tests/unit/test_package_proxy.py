"""The proxy that machines fetch packages through: each package once, everything else as it is. On loopback."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from provisioner.machines.vagrant import proxy

DEB = "/pool/main/d/docker.io/docker.io_26.1.5_amd64.deb"


class _Archive(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: ClassVar[Counter[str]] = Counter()
    cut_short = False

    def do_GET(self) -> None:
        self.asked[self.path] += 1
        status, body = (404, b"no such file") if "missing" in self.path else (200, self.path.encode() * 1000)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Sat, 09 Aug 2025 00:00:00 GMT")
        self.end_headers()
        if self.cut_short:
            self.wfile.write(body[:100])
            self.close_connection = True
        else:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def archive() -> Iterator[str]:
    _Archive.asked = Counter()
    _Archive.cut_short = False
    with ThreadingHTTPServer(("127.0.0.1", 0), _Archive) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    with proxy.serving(tmp_path) as number:
        yield number


def _get(port: int, url: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", url)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_package_is_fetched_once_for_all_machines(archive: str, port: int) -> None:
    answers = [_get(port, archive + DEB) for _ in range(3)]
    assert answers == [(200, DEB.encode() * 1000)] * 3
    assert _Archive.asked[DEB] == 1


def test_machines_that_ask_at_the_same_time_share_one_fetch(archive: str, port: int) -> None:
    threads = [threading.Thread(target=_get, args=(port, archive + DEB)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _Archive.asked[DEB] == 1


def test_package_lists_are_asked_for_each_time(archive: str, port: int) -> None:
    for _ in range(2):
        assert _get(port, f"{archive}/dists/trixie/InRelease")[0] == 200
    assert _Archive.asked["/dists/trixie/InRelease"] == 2


def test_what_the_archive_does_not_have_is_said_and_not_kept(archive: str, port: int, tmp_path: Path) -> None:
    assert _get(port, f"{archive}/missing_1_amd64.deb") == (404, b"no such file")
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_came_in_part_is_an_error_and_not_kept(archive: str, port: int, tmp_path: Path) -> None:
    _Archive.cut_short = True
    assert _get(port, archive + DEB)[0] == 502
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_does_not_answer_is_named(port: int) -> None:
    status, body = _get(port, f"http://127.0.0.1:1{DEB}")
    assert status == 502
    assert b"127.0.0.1" in body


def test_only_plain_http_is_served(port: int) -> None:
    assert _get(port, "/etc/passwd")[0] == 400
