"""Hand etcd's leadership to another member, by etcd's JSON gateway on its unix socket.

The daemon's own client is gRPC, which would cost this process 30 MB. HTTP is written by hand for the same reason:
``http.client`` brings 4 MB of mail parsing. HTTP/1.0 keeps the answer free of chunks.
Source: etcd 3.5 ``api/etcdserverpb/gw/rpc.pb.gw.go``; numbers of 64 bits come as text.
"""

from __future__ import annotations

import json
import socket
import time

DEADLINE = 1.0
ATTEMPT = 0.45
"""Seconds for one target. A transfer to a live member takes 0.05 s; raft gives up on a dead one after an election
timeout (0.3 s)."""
LARGEST_ANSWER = 4 << 20


class GatewayError(Exception):
    """etcd did not answer, or refused; ``str()`` says which."""


def hand_over(socket_path: str, *, deadline: float = DEADLINE) -> str:
    """Move etcd's leadership away, if the member on this socket has it. Waits at most ``deadline`` seconds.

    :returns: one sentence that says what was done and why; nothing is raised, since the caller restarts the daemon
        in any case.
    """
    end = time.monotonic() + deadline
    try:
        status = json.loads(_post(socket_path, "maintenance/status", {}, end))
        own = str(status["header"]["member_id"])
        if str(status.get("leader", "0")) != own:
            return "etcd's leadership is elsewhere: nothing to hand over"
        listed = json.loads(_post(socket_path, "cluster/member/list", {}, end))["members"]
        voters = [str(member["ID"]) for member in listed if not member.get("isLearner") and str(member["ID"]) != own]
        if not voters:
            return "there is no other voter to hand etcd's leadership to"
        quiet = _inactive(socket_path, end)
    except (GatewayError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"etcd's leadership was not handed over: {error}"
    voters.sort(key=lambda voter: f"{int(voter):x}" in quiet)
    why = ""
    for voter in voters:
        attempt = min(end, time.monotonic() + ATTEMPT)
        try:
            _post(socket_path, "maintenance/transfer-leadership", {"targetID": voter}, attempt)
        except GatewayError as error:
            why = str(error)
            if time.monotonic() >= end:
                break
        else:
            return f"handed etcd's leadership to member {int(voter):x}"
    return f"etcd's leadership was not handed over: {why}"


def _inactive(socket_path: str, end: float) -> set[str]:
    """Members, in hexadecimal, to which etcd has no live stream. Late by up to 5 s, so it only orders the attempts."""
    try:
        text = _exchange(socket_path, b"GET /metrics HTTP/1.0\r\nHost: etcd\r\n\r\n", end).decode(errors="replace")
    except GatewayError:
        return set()
    peers = (
        line for line in text.splitlines() if line.startswith("etcd_network_active_peers{") and line.endswith(" 0")
    )
    return {line.partition('Remote="')[2].partition('"')[0] for line in peers}


def _post(socket_path: str, call: str, message: dict[str, str], end: float) -> bytes:
    body = json.dumps(message).encode()
    head = f"POST /v3/{call} HTTP/1.0\r\nHost: etcd\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return _exchange(socket_path, head.encode() + b"\r\n\r\n" + body, end)


def _exchange(socket_path: str, request: bytes, end: float) -> bytes:
    """One request, one answer's body.

    :raises GatewayError: no answer before ``end``, or another status than 200.
    """
    answer = bytearray()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
            _limit(stream, end)
            stream.connect(socket_path)
            stream.sendall(request)
            while len(answer) < LARGEST_ANSWER:
                _limit(stream, end)
                part = stream.recv(65536)
                if not part:
                    break
                answer += part
    except OSError as error:
        raise GatewayError(str(error) or "no answer in time") from None
    head, _, body = bytes(answer).partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    if status != [b"200"]:
        raise GatewayError(body.decode(errors="replace").strip()[:200] or "etcd closed the connection")
    return body


def _limit(stream: socket.socket, end: float) -> None:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    stream.settimeout(left)
