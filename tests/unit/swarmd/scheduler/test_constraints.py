"""Placement constraints: what is one, and which nodes satisfy it."""

import pytest
from msgspec.structs import replace
from simulation import Platform, node

from swarmd.constraints import hold, parse
from swarmd.errors import ClusterError
from swarmd.model import EngineDescription, NodeLiveness, NodeState

MEMBER, LIVENESS = node(
    "Host-1", platform=Platform("x86_64", "linux"), engine=EngineDescription(labels={"disk": "ssd"})
)
MEMBER = replace(MEMBER, id="n1", spec=replace(MEMBER.spec, labels={"zone": "East", "Zone": "west"}))


def holds(*constraints):
    return hold(constraints, MEMBER, LIVENESS)


@pytest.mark.parametrize(
    "constraint",
    [
        "node.id==n1",
        "node.id == N1",
        "node.id!=n2",
        "node.hostname==host-1",
        "node.role==worker",
        "node.role != manager",
        "NODE.ROLE == worker",
        "node.platform.os==linux",
        "node.platform.arch==x86_64",
        "node.labels.zone==east",
        "node.labels.Zone==west",
        "node.labels.none!=east",
        "engine.labels.disk==ssd",
        "engine.labels.none!=ssd",
        "node.ip==10.0.0.1",
        "node.ip!=10.0.0.2",
        "node.ip==10.0.0.0/8",
        "node.ip!=192.168.0.0/16",
        "node.ip != fd00::/8",
    ],
)
def test_it_holds(constraint):
    assert holds(constraint)


@pytest.mark.parametrize(
    "constraint",
    [
        "node.id==n",
        "node.id!=n1",
        "node.hostname==host-2",
        "node.role==manager",
        "node.platform.arch==amd64",
        "node.labels.zone==west",
        "node.labels.none==east",
        "engine.labels.disk!=SSD",
        "node.ip==10.0.0.2",
        "node.ip!=10.0.0.0/8",
        "node.ip==somewhere",
        "node.ip!=somewhere",
        "node.rack==1",
        "node.rack!=1",
        "node.labels.==x",
        "node.labels.!=x",
    ],
)
def test_it_does_not_hold(constraint):
    assert not holds(constraint)


def test_all_must_hold():
    assert holds("node.role==worker", "node.labels.zone==east")
    assert not holds("node.role==worker", "node.labels.zone==north")


def test_of_a_node_that_was_never_heard_nothing_is_known():
    unheard = NodeLiveness(state=NodeState.UNKNOWN)
    assert not hold(["node.hostname==host-1"], MEMBER, unheard)
    assert hold(["node.hostname!=host-1"], MEMBER, unheard)
    assert not hold(["node.ip==10.0.0.0/8"], MEMBER, unheard)
    assert hold(["node.ip!=10.0.0.0/8"], MEMBER, unheard)
    assert hold(["node.labels.zone==east"], MEMBER, unheard)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("node.role", "constraint expected one operator from ==, !="),
        ("node.role=worker", "constraint expected one operator from ==, !="),
        ("node.role>worker", "constraint expected one operator from ==, !="),
        ("==worker", "key '' is invalid"),
        ("1node==worker", "key '1node' is invalid"),
        ("node role==worker", "key 'node role' is invalid"),
        ("node.role==", "value '' is invalid"),
        ("node.role==a,b", "value 'a,b' is invalid"),
        ("node.role===worker", "value '=worker' is invalid"),
        ("node.labels.x==ä", "value 'ä' is invalid"),
    ],
)
def test_what_is_none_is_refused_in_dockers_words(text, words):
    with pytest.raises(ClusterError) as caught:
        parse(text)
    assert str(caught.value) == f"rpc error: code = Unknown desc = {words}"
    assert caught.value.status == 500


def test_what_cannot_be_read_holds_nowhere():
    assert not holds("node.role=worker")
