"""How attributes here are called in Docker's JSON: ``nano_cpus`` is ``NanoCPUs``."""

from __future__ import annotations

_SPELLINGS = {
    "ca": "CA",
    "cas": "CAs",
    "cpus": "CPUs",
    "dns": "DNS",
    "gid": "GID",
    "id": "ID",
    "os": "OS",
    "pid": "PID",
    "tls": "TLS",
    "tty": "TTY",
    "uid": "UID",
}


def docker_name(attribute: str) -> str:
    """The JSON key of an attribute, for ``msgspec.Struct(rename=…)``."""
    return "".join(_SPELLINGS.get(word) or word.capitalize() for word in attribute.split("_"))
