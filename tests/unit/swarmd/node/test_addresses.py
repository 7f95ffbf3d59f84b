"""Addresses as users give them to ``swarm init`` and ``swarm join``."""

from __future__ import annotations

import pytest

from swarmd.errors import BadRequest
from swarmd.node.addresses import (
    ANY,
    advertise_address,
    data_path_address,
    host_of,
    listen_address,
    port_of,
    remote_address,
)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("", f"{ANY}:2377"),
        (ANY, f"{ANY}:2377"),
        ("192.168.56.10", "192.168.56.10:2377"),
        ("192.168.56.10:7777", "192.168.56.10:7777"),
        ("lo", "127.0.0.1:2377"),
        ("lo:7777", "127.0.0.1:7777"),
        ("[fd00::1]:7777", "[fd00::1]:7777"),
        ("fd00::1", "[fd00::1]:2377"),
    ],
)
def test_listen_address(given, meant):
    assert listen_address(given) == meant


@pytest.mark.parametrize(
    ("given", "listen", "meant"),
    [
        ("192.168.56.10", f"{ANY}:2377", "192.168.56.10:2377"),
        ("192.168.56.10", f"{ANY}:7777", "192.168.56.10:7777"),
        ("192.168.56.10:8888", f"{ANY}:7777", "192.168.56.10:8888"),
        ("lo", f"{ANY}:2377", "127.0.0.1:2377"),
        ("", "192.168.56.10:2377", "192.168.56.10:2377"),
    ],
)
def test_advertised_address(given, listen, meant):
    assert advertise_address(given, listen=listen) == meant


def test_an_address_of_nobody_is_not_advertised():
    with pytest.raises(BadRequest, match="must be a non-zero IP address"):
        advertise_address(ANY, listen=f"{ANY}:2377")


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
def test_ports_that_are_none(port):
    with pytest.raises(BadRequest, match="port"):
        listen_address(f"192.168.56.10:{port}")


def test_data_path_is_the_advertised_address_unless_given():
    assert data_path_address("", advertise="192.168.56.10:2377") == "192.168.56.10"
    assert data_path_address("10.1.1.1", advertise="192.168.56.10:2377") == "10.1.1.1"
    assert data_path_address("lo", advertise="192.168.56.10:2377") == "127.0.0.1"
    with pytest.raises(BadRequest, match="valid IP or network interface"):
        data_path_address("nowhere9", advertise="192.168.56.10:2377")


def test_a_manager_to_join():
    assert remote_address("manager1") == "manager1:2377"
    assert remote_address("manager1:7777") == "manager1:7777"
    with pytest.raises(BadRequest, match="invalid remote address"):
        remote_address("")


def test_parts():
    assert (host_of("192.168.56.10:2377"), port_of("192.168.56.10:2377")) == ("192.168.56.10", 2377)
    assert (host_of("[fd00::1]:7777"), port_of("[fd00::1]:7777")) == ("fd00::1", 7777)
