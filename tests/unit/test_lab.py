"""The lab as asked for: hosts, addresses, and what cannot be."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from provisioner import lab
from provisioner.errors import UsageError


def test_hosts_are_the_walkthroughs() -> None:
    spec = lab.describe(managers=1, workers=2)
    assert [(host.name, host.role, str(host.address)) for host in spec.hosts] == [
        ("manager1", "manager", "192.168.56.10"),
        ("worker1", "worker", "192.168.56.11"),
        ("worker2", "worker", "192.168.56.12"),
    ]


def test_the_gateway_is_the_first_address() -> None:
    assert lab.describe(subnet=IPv4Network("10.1.0.0/16")).gateway == IPv4Address("10.1.0.1")


@pytest.mark.parametrize(
    ("managers", "majority", "losses"), [(1, 1, 0), (2, 2, 0), (3, 2, 1), (4, 3, 1), (5, 3, 2), (7, 4, 3)]
)
def test_quorum_arithmetic(managers: int, majority: int, losses: int) -> None:
    assert (lab.majority(managers), lab.tolerated_losses(managers)) == (majority, losses)


def test_an_even_number_of_managers_is_warned_of_with_the_arithmetic() -> None:
    (warning,) = lab.warnings(lab.describe(managers=4))
    assert warning == ("4 managers tolerate 1 loss, no more than 3 do: a majority of 4 is 3. An odd number is advised.")


def test_more_than_seven_managers_are_warned_of() -> None:
    (warning,) = lab.warnings(lab.describe(managers=9))
    assert "each write waits for 5 of them" in warning


def test_an_odd_number_of_managers_is_not_warned_of() -> None:
    assert not list(lab.warnings(lab.describe(managers=3)))


@pytest.mark.parametrize("managers", [0, -1])
def test_a_lab_without_managers_is_refused(managers: int) -> None:
    with pytest.raises(UsageError, match="at least one manager"):
        lab.describe(managers=managers)


@pytest.mark.parametrize("name", ["", "Lab", "a_b", "-a", "a-", "x" * 31, "a/b", "..", "ä"])
def test_a_name_that_cannot_be_a_folder_or_cgroup_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="not a valid name"):
        lab.describe(name=name)


@pytest.mark.parametrize("name", ["a", "course-1", "x" * 30, "7"])
def test_plain_names_are_taken(name: str) -> None:
    assert lab.describe(name=name).name == name


def test_a_subnet_without_room_says_how_large_it_must_be() -> None:
    with pytest.raises(UsageError, match="room for 5 hosts") as raised:
        lab.describe(managers=7, subnet=IPv4Network("192.168.56.0/28"))
    assert raised.value.hint == "use a /27 or larger"


@pytest.mark.parametrize("hosts", [1, 5, 6, 53, 117])
def test_the_advised_size_has_room_and_the_next_smaller_has_not(hosts: int) -> None:
    with pytest.raises(UsageError) as raised:
        lab.valid_subnet(IPv4Network("192.168.56.0/30"), hosts=hosts)
    prefix = int(raised.value.hint.split("/")[1].split()[0])
    lab.valid_subnet(IPv4Network(f"192.168.0.0/{prefix}"), hosts=hosts)
    with pytest.raises(UsageError):
        lab.valid_subnet(IPv4Network(f"192.168.0.0/{prefix + 1}"), hosts=hosts)


@pytest.mark.parametrize("subnet", ["8.8.8.0/24", "192.169.0.0/24", "172.32.0.0/16", "0.0.0.0/0"])
def test_a_subnet_outside_the_private_ranges_is_refused(subnet: str) -> None:
    with pytest.raises(UsageError, match="private range"):
        lab.describe(subnet=IPv4Network(subnet))


@pytest.mark.parametrize("text", ["192.168.56.0", "192.168.56.0/33", "192.168.56.1/24", "lab"])
def test_what_is_no_subnet_is_refused(text: str) -> None:
    if text == "192.168.56.0":  # a single address is a /32
        with pytest.raises(UsageError, match="room for 0"):
            lab.describe(subnet=lab.parse_subnet(text))
    else:
        with pytest.raises(UsageError, match="not an IPv4 subnet"):
            lab.parse_subnet(text)


def test_an_unknown_host_is_named_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="no host 'manager9'") as raised:
        lab.describe(managers=1, workers=1).host("manager9")
    assert "manager1, worker1" in raised.value.hint


def test_a_slow_machine_has_more_patience_with_every_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = lab.describe().patience
    monkeypatch.setenv(lab.PATIENCE_VARIABLE, "2.5")
    assert lab.describe().patience == 2.5 * usual
    monkeypatch.setenv(lab.PATIENCE_VARIABLE, "much")
    with pytest.raises(UsageError, match="PROVISION_PATIENCE=much"):
        _ = lab.describe().patience
