"""An HTTP proxy for apt that keeps packages, on this machine's loopback.

A package's file name holds its version, so what was fetched once is never fetched again. Everything else, such as
package lists, is passed on as it is. Debian's archive is served by plain HTTP and signed, so nothing is taken on trust.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import secrets
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

FETCH_SECONDS = 60
SHUTDOWN_POLL_SECONDS = 0.05
_KEPT = (".deb", ".udeb")
_HOP_BY_HOP = {"connection", "proxy-connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"}


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[int]:
    """Serve for the length of the block.

    :param folder: where packages are kept.
    :returns: the port on 127.0.0.1.
    """
    with _Server(folder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(SHUTDOWN_POLL_SECONDS,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Proxy)
        self.folder = folder
        self._locks: dict[Path, threading.Lock] = {}
        self._guard = threading.Lock()

    def lock(self, path: Path) -> threading.Lock:
        """Machines ask for the same package at the same time: the second waits for the first one's."""
        with self._guard:
            return self._locks.setdefault(path, threading.Lock())


class _Proxy(BaseHTTPRequestHandler):
    """The part of HTTP/1.1 that apt speaks to a proxy: GET and HEAD of absolute URLs (RFC 9112, section 3.2.2)."""

    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.scheme != "http" or not url.hostname:
            self.send_error(400, "only http:// is served here")
            return
        kept = self.server.folder / f"{hashlib.sha256(self.path.encode()).hexdigest()[:16]}-{Path(url.path).name}"
        try:
            if url.path.endswith(_KEPT) and "range" not in self.headers:
                self._send_kept(kept)
            else:
                self._pass()
        except (OSError, http.client.HTTPException) as error:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.send_error(502, f"{url.hostname}: {error}")

    do_HEAD = do_GET  # noqa: N815 (http.server's name)

    def log_message(self, *_: object) -> None:
        pass

    def _send_kept(self, kept: Path) -> None:
        with self.server.lock(kept):
            if not kept.exists():
                with self._fetch() as answer:
                    if answer.status != http.client.OK:
                        self._relay(answer)
                        return
                    self._keep(answer, kept)
        with kept.open("rb") as file:
            self.send_response(http.client.OK)
            self.send_header("Content-Length", str(os.fstat(file.fileno()).st_size))
            self.end_headers()
            if self.command != "HEAD":
                shutil.copyfileobj(file, self.wfile)

    def _keep(self, answer: http.client.HTTPResponse, kept: Path) -> None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        unfinished = kept.with_name(f".{kept.name}.{secrets.token_hex(4)}")
        try:
            with unfinished.open("wb") as file:
                shutil.copyfileobj(answer, file)
            missing = int(answer.headers["Content-Length"]) - unfinished.stat().st_size
            if missing:
                raise http.client.IncompleteRead(b"", missing)
            unfinished.replace(kept)
        finally:
            unfinished.unlink(missing_ok=True)

    def _pass(self) -> None:
        with self._fetch() as answer:
            self._relay(answer)

    @contextlib.contextmanager
    def _fetch(self) -> Iterator[http.client.HTTPResponse]:
        url = urlsplit(self.path)
        connection = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=FETCH_SECONDS)
        try:
            headers = {key: value for key, value in self.headers.items() if key.lower() not in _HOP_BY_HOP}
            path = url.path + (f"?{url.query}" if url.query else "")
            connection.request(self.command, path, headers=headers)
            yield connection.getresponse()
        finally:
            connection.close()

    def _relay(self, answer: http.client.HTTPResponse) -> None:
        body = b"" if self.command == "HEAD" else answer.read()
        self.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in _HOP_BY_HOP | {"content-length", "server", "date"}:
                self.send_header(key, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(body))
        if length is not None and answer.status != http.client.NOT_MODIFIED:
            self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(body)
