"""Addresses as users give them to ``swarm init`` and ``swarm join``: an IP, a host:port, or an interface's name."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct

from swarmd.errors import BadRequest

CLUSTER_PORT = 2377
SIOCGIFADDR = 0x8915
ANY = "0.0.0.0"  # noqa: S104 (Docker's default; who may come in is decided by certificates)


def listen_address(given: str) -> str:
    """``host:port`` to bind to. An interface's name stands for its address; no port for 2377.

    :raises BadRequest: in Docker's words.
    """
    host, port = _split(given or ANY, what="listen")
    return _join(_resolve_interface(host) or host, port)


def advertise_address(given: str, *, listen: str) -> str:
    """``host:port`` under which other nodes reach this one.

    Where none is given: the address listened on, or the one that the machine's way out starts at; a machine with
    several and no way out has to say it.

    :raises BadRequest: in Docker's words.
    """
    listen_host, listen_port = _split(listen, what="listen")
    if given:
        host, port = _split(given, what="advertise", port=listen_port)
        host = _resolve_interface(host) or host
        if _is_unspecified(host):
            raise BadRequest(
                "advertise address must be a non-zero IP address or network interface (with optional port number)"
            )
        return _join(host, port)
    if not _is_unspecified(listen_host):
        return _join(listen_host, listen_port)
    if (system := _way_out()) is None:
        raise BadRequest(
            "could not choose an IP address to advertise since this system has no single address on a way out "
            "- specify one with --advertise-addr"
        )
    return _join(system, listen_port)


def data_path_address(given: str, *, advertise: str) -> str:
    """An IP address without a port.

    :raises BadRequest: in Docker's words.
    """
    if not given:
        return host_of(advertise)
    host = _resolve_interface(given) or given
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise BadRequest("data path address must be a valid IP or network interface") from None
    return host


def remote_address(given: str) -> str:
    """``host:port`` of a manager; no port is 2377.

    :raises BadRequest: it is no address.
    """
    host, port = _split(given, what="remote")
    if not host:
        raise BadRequest(f"invalid remote address {given!r}")
    return _join(host, port)


def host_of(address: str) -> str:
    return _split(address, what="node")[0]


def port_of(address: str) -> int:
    return _split(address, what="node")[1]


def _split(given: str, *, what: str, port: int = CLUSTER_PORT) -> tuple[str, int]:
    text = given.strip()
    if text.startswith("[") and "]" in text:
        host, _, rest = text[1:].partition("]")
        text_port = rest.removeprefix(":")
    elif text.count(":") > 1:
        host, text_port = text, ""
    else:
        host, _, text_port = text.partition(":")
    if not text_port:
        return host, port
    if not text_port.isdigit() or not 0 < int(text_port) < 65536:
        raise BadRequest(f"invalid {what} address {given!r}: the port must be a number from 1 to 65535")
    return host, int(text_port)


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_unspecified(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _resolve_interface(name: str) -> str | None:
    """The IPv4 address of a network interface, None where there is no such interface."""
    try:
        socket.if_nametoindex(name)
    except (OSError, ValueError):
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe, SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
        except OSError:
            raise BadRequest(f"could not find a valid IPv4 address on the interface {name!r}") from None
    return socket.inet_ntoa(answer[20:24])


def _way_out() -> str | None:
    """The address that a packet to elsewhere would leave from; connecting a datagram socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1, RFC 5737
        except OSError:
            return None
        address: str = probe.getsockname()[0]
    return address
