from __future__ import annotations

import msgspec

from swarmd.engine.describe import Info, node_description
from swarmd.model import DiscreteGeneric, EnginePlugin, GenericResource, NamedGeneric, TLSInfo

ANSWER = {
    "Name": "manager1",
    "Architecture": "x86_64",
    "OSType": "linux",
    "NCPU": 2,
    "MemTotal": 4096,
    "ServerVersion": "26.1.5+dfsg1",
    "Labels": ["disk=ssd", "empty=", "without", "a=b=c"],
    "Plugins": {"Volume": ["local"], "Network": ["bridge", "overlay"], "Authorization": None, "Log": ["json-file"]},
    "SomethingNew": 1,
}


def test_a_node_tells_what_its_engine_knows():
    told = node_description(msgspec.convert(ANSWER, Info), TLSInfo(trust_root="PEM"))
    assert (told.hostname, told.platform.architecture, told.platform.os) == ("manager1", "x86_64", "linux")
    assert (told.resources.nano_cpus, told.resources.memory_bytes) == (2_000_000_000, 4096)
    assert told.engine.engine_version == "26.1.5+dfsg1"
    assert told.engine.labels == {"disk": "ssd", "empty": "", "a": "b=c"}
    assert told.tls_info.trust_root == "PEM"


def test_plugins_are_sorted_named_once_and_always_hold_overlay():
    told = node_description(msgspec.convert({"Plugins": {"Network": ["host", "bridge"]}}, Info), TLSInfo())
    assert told.engine.plugins == [EnginePlugin("Network", name) for name in ("bridge", "host", "overlay")]
    told = node_description(msgspec.convert(ANSWER, Info), TLSInfo())
    assert [(plugin.type, plugin.name) for plugin in told.engine.plugins] == [
        ("Log", "json-file"),
        ("Network", "bridge"),
        ("Network", "overlay"),
        ("Volume", "local"),
    ]


def test_a_node_tells_its_generic_resources():
    said = [
        {"NamedResourceSpec": {"Kind": "GPU", "Value": "uuid1"}},
        {"DiscreteResourceSpec": {"Kind": "SSD", "Value": 3}},
    ]
    told = node_description(msgspec.convert({"GenericResources": said}, Info), TLSInfo())
    assert told.resources.generic_resources == [
        GenericResource(named_resource_spec=NamedGeneric("GPU", "uuid1")),
        GenericResource(discrete_resource_spec=DiscreteGeneric("SSD", 3)),
    ]
    assert node_description(msgspec.convert({"GenericResources": None}, Info), TLSInfo()).resources == (
        node_description(Info(), TLSInfo()).resources
    )
