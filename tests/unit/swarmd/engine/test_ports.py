"""Host-mode ports as the engine has bound them."""

from __future__ import annotations

from swarmd.engine.ports import Binding, bound_ports
from swarmd.model import PortConfig, PortConfigProtocol, PortConfigPublishMode

HOST = PortConfigPublishMode.HOST


def test_a_port_on_both_address_families_is_shown_once():
    assert bound_ports({"80/tcp": [Binding("8080"), Binding("8080")]}) == [
        PortConfig(target_port=80, published_port=8080, publish_mode=HOST)
    ]


def test_several_bindings_of_one_port_are_all_shown_in_order():
    bound = bound_ports({"80/tcp": [Binding("8081"), Binding("8080")], "53/udp": [Binding("53")]})
    assert bound == [
        PortConfig(protocol=PortConfigProtocol.UDP, target_port=53, published_port=53, publish_mode=HOST),
        PortConfig(target_port=80, published_port=8080, publish_mode=HOST),
        PortConfig(target_port=80, published_port=8081, publish_mode=HOST),
    ]


def test_what_is_only_exposed_or_not_bound_yet_is_not_shown():
    assert bound_ports({"80/tcp": None, "81/tcp": [], "82/tcp": [Binding("")]}) == []
