"""A user's inventory becomes a lab's spec, an ssh_config and an inventory for the roles. Ansible and ssh are real."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from provisioner import inventory, state
from provisioner.errors import ProvisionError, UsageError
from provisioner.machines.inventory import given
from provisioner.machines.inventory.given import Given
from provisioner.machines.inventory.provider import InventoryProvider
from provisioner.progress import Progress
from provisioner.state import LabFolder

TWO = """
all:
  vars: {ansible_user: admin}
  children:
    managers: {hosts: {alpha: {ansible_host: 10.0.0.10, swarm_labels: {disk: ssd, zone: 1}}}}
    workers:
      vars: {swarm_availability: drain}
      hosts: {beta: {ansible_host: 203.0.113.7, swarm_advertise_addr: 10.0.0.11, ansible_user: root}}
    databases: {hosts: {other: {ansible_password: x}}}
"""
INI = """
[managers]
alpha ansible_host=10.0.0.10 ansible_user=admin docker_source=docker
[workers:children]
second
[second]
beta ansible_host=10.0.0.11 ansible_user=root swarm_availability=drain
"""
VAULTED = {"__ansible_vault": "$ANSIBLE_VAULT;1.1;AES256\n33"}  # as ansible-inventory prints it

Describe = Callable[..., Given]


@pytest.fixture
def lab(tmp_path: Path) -> LabFolder:
    return LabFolder(tmp_path / "home", "course")


@pytest.fixture
def describe(lab: LabFolder, tmp_path: Path) -> Describe:
    """What Ansible makes of a text, and we of that."""

    def call(text: str, name: str = "hosts.yml") -> Given:
        path = tmp_path / name
        path.write_text(text)
        return given.describe(lab, path, engine="docker")

    return call


@pytest.fixture
def of_one(lab: LabFolder, tmp_path: Path) -> Describe:
    """An inventory of one manager, alpha, as Ansible tells it: most tests need not wait for Ansible."""

    def call(**variables: object) -> Given:
        alpha = {"ansible_host": "10.0.0.10", **variables}
        answer = {"managers": {"hosts": ["alpha"]}, "_meta": {"hostvars": {"alpha": alpha}}}
        return given.of_answer(lab, tmp_path / "hosts.yml", answer, engine="docker")

    return call


def test_hosts_have_roles_users_labels_and_the_address_they_advertise(describe):
    alpha, beta = describe(TWO).spec.hosts
    assert (alpha.role, alpha.user, alpha.address) == ("manager", "admin", IPv4Address("10.0.0.10"))
    assert (alpha.labels, alpha.availability) == ({"disk": "ssd", "zone": "1"}, "active")
    assert (beta.role, beta.user, beta.address) == ("worker", "root", IPv4Address("10.0.0.11"))
    assert beta.availability == "drain"


def test_any_format_of_ansible_s_is_taken_and_variables_in_folders_beside_it(describe, tmp_path):
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "managers.yml").write_text("swarm_labels: {rack: r1}")
    alpha, beta = describe(INI, "hosts").spec.hosts
    assert (alpha.name, alpha.role, alpha.labels) == ("alpha", "manager", {"rack": "r1"})
    assert (beta.name, beta.role, beta.labels) == ("beta", "worker", {})


def test_describing_writes_nothing_and_keeping_is_for_the_user_alone(of_one, lab):
    described = of_one()
    assert not lab.path.exists()
    described.keep(lab)
    assert [path.stat().st_mode & 0o077 for path in lab.path.iterdir()] == [0]
    assert given.kept(lab) == described.kept


def ssh_settings(lab: LabFolder, host: str) -> dict[str, str]:
    """What ssh makes of the lab's ssh_config."""
    done = subprocess.run(["ssh", "-G", "-F", lab.ssh_config, host], capture_output=True, text=True, check=True)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def test_ssh_goes_where_the_inventory_says_and_checks_the_user_s_known_hosts(of_one, lab, tmp_path):
    key = tmp_path / "my key"
    key.write_text("")
    described = of_one(
        ansible_port=2222,
        ansible_user="ada",
        ansible_ssh_private_key_file="my key",
        ansible_ssh_common_args="-J outer,eve@bastion:2200 -o 'UserKnownHostsFile=/there /elsewhere'",
    )
    described.keep(lab)
    given.write_ssh_config(lab, described.spec)
    for name in ("alpha", "10.0.0.10"):
        seen = ssh_settings(lab, name)
        assert (seen["hostname"], seen["port"], seen["user"]) == ("10.0.0.10", "2222", "ada")
        assert seen["proxycommand"] == "ssh -o BatchMode=yes -J outer -W '[%h]:%p' ssh://eve@bastion:2200"
        assert seen["identityfile"] == str(key)
        assert (seen["userknownhostsfile"], seen["hostkeyalias"]) == ("/there /elsewhere", "[10.0.0.10]:2222")
        assert seen["controlpath"] == f"{lab.path}/ctl/alpha"
        assert seen["batchmode"] == "yes"
        assert seen["stricthostkeychecking"] == "ask"


def test_a_stanza_of_the_user_s_own_ssh_config_holds(of_one, lab, tmp_path):
    config = tmp_path / "config"
    config.write_text("Host web\n  HostName 10.0.0.99\n  User eve\n  IdentityFile /k1\n  IdentityFile /k2\n")
    described = of_one(ansible_host="web", ansible_ssh_common_args=f"-F {config}")
    assert (described.spec.hosts[0].user, described.spec.hosts[0].address) == ("eve", IPv4Address("10.0.0.99"))
    described.keep(lab)
    given.write_ssh_config(lab, described.spec)
    assert '  identityfile "/k1"\n  identityfile "/k2"\n' in lab.ssh_config.read_text()
    assert ssh_settings(lab, "alpha")["hostname"] == "10.0.0.99"


def test_the_example_of_real_servers_is_taken(lab):
    path = Path(inventory.__file__).parents[1] / "inventories" / "servers.yml"
    described = given.describe(lab, path, engine="docker")
    assert len(described.spec.managers) == 3
    way = described.kept.hosts["worker1"].way
    assert way.options["proxycommand"] == "ssh -o BatchMode=yes -W '[%h]:%p' ssh://admin@203.0.113.10"
    assert described.spec.host("manager1").address == IPv4Address("10.0.0.10")


# -- mistakes -------------------------------------------------------------------------------------------------------


def test_what_is_no_inventory(describe):
    with pytest.raises(UsageError, match=r"is not an Ansible inventory: .*YAML parsing failed"):
        describe("garbage: [")


def test_an_inventory_that_is_not_there(lab, tmp_path):
    with pytest.raises(UsageError, match="there is no inventory"):
        given.describe(lab, tmp_path / "nothing.yml", engine="docker")


@pytest.mark.parametrize(
    ("managers", "workers", "words"),
    [
        ([], ["beta"], "has no host in a group `managers`"),
        (["alpha"], ["alpha"], "alpha is in both groups"),
        (["My_Host"], [], "'My_Host' cannot be a host's name"),
        (["alpha"], ["beta"], "alpha and beta have the same address, 10.0.0.1"),
    ],
)
def test_groups_that_make_no_swarm(lab, tmp_path, managers, workers, words):
    hostvars = {name: {"ansible_host": "10.0.0.1"} for name in managers + workers}
    answer = {"managers": {"hosts": managers}, "workers": {"hosts": workers}, "_meta": {"hostvars": hostvars}}
    with pytest.raises(UsageError, match=words):
        given.of_answer(lab, tmp_path / "hosts.yml", answer, engine="docker")


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("ansible_host", "nobody.invalid", "this machine finds no IPv4 address of nobody.invalid"),
        ("ansible_host", "fd00::1", "fd00::1 is no IPv4 address"),
        ("ansible_host", "127.0.0.1", "the other machines cannot reach it at 127.0.0.1"),
        ("ansible_host", "{{ address }}", "ansible_host is a template"),
        ("ansible_port", [22], r"ansible_port is \[22\], which is no text"),
        ("ansible_ssh_common_args", "-o 'Proxy", "ansible_ssh_common_args cannot be read"),
        ("ansible_ssh_common_args", "-o NoSuch=1", "ssh does not take its settings: .*nosuch"),
        ("ansible_ssh_private_key_file", "nokey", "its key is not there: .*/nokey"),
        ("ansible_password", "x", "ansible_password cannot be used: .*ssh-copy-id"),
        ("ansible_become_password", VAULTED, "ansible_become_password cannot be used: .*NOPASSWD"),
        ("ansible_become_method", "su", "ansible_become_method is 'su'"),
        ("ansible_connection", "local", "ansible_connection is 'local'"),
        ("docker_daemon", {"proxies": [VAULTED]}, "docker_daemon is vaulted"),
        ("swarm_advertise_addr", "eth1", "swarm_advertise_addr is 'eth1', which is no IPv4 address"),
        ("swarm_labels", ["ssd"], r"swarm_labels is \['ssd'\]"),
        ("swarm_availability", "away", "swarm_availability is 'away'"),
    ],
)
def test_what_cannot_be_is_told_with_host_and_variable(of_one, variable, value, words):
    with pytest.raises(UsageError, match=f"(?s)^alpha: {words}"):
        of_one(**{variable: value})


def test_what_is_vaulted_and_means_nothing_here_is_passed_over(describe):
    text = 'all: {children: {managers: {hosts: {alpha: {ansible_host: 1.2.3.4, x: !vault "$ANSIBLE_VAULT;1.1;AES"}}}}}'
    assert "x" not in describe(text).kept.hosts["alpha"].variables


# -- a lab that is there --------------------------------------------------------------------------------------------


@pytest.fixture
def made(lab: LabFolder, tmp_path: Path) -> Given:
    hostvars = {
        "alpha": {"ansible_host": "10.0.0.10", "ansible_user": "admin"},
        "beta": {"ansible_host": "10.0.0.11", "ansible_user": "root", "swarm_availability": "drain"},
    }
    answer = {"managers": {"hosts": ["alpha"]}, "workers": {"hosts": ["beta"]}, "_meta": {"hostvars": hostvars}}
    described = given.of_answer(lab, tmp_path / "hosts.yml", answer, engine="docker")
    described.keep(lab)
    state.create(lab, described.spec)
    return described


def test_the_same_machines_with_other_variables_are_kept_anew(made, lab, tmp_path):
    path = tmp_path / "hosts"
    path.write_text(INI)
    given.require_same(lab, path)
    assert given.kept(lab).hosts["alpha"].variables["docker_source"] == "docker"


def test_other_machines_are_another_lab(made, lab, tmp_path):
    path = tmp_path / "hosts"
    path.write_text(INI.replace("10.0.0.10", "10.0.0.12").replace("beta", "gamma"))
    with pytest.raises(UsageError) as caught:
        given.require_same(lab, path)
    assert "alpha's address 10.0.0.10 (asked for: 10.0.0.12)" in caught.value.message
    assert "beta (asked for no more), no gamma (asked for now)" in caught.value.message
    assert given.kept(lab) == made.kept


def test_a_lost_inventory_is_asked_for_again(made, lab):
    (lab.path / "given.json").write_text("{")
    with pytest.raises(ProvisionError, match="is missing or damaged") as caught:
        given.kept(lab)
    assert "provision up --provider inventory -i" in caught.value.hint


def test_the_roles_get_the_user_s_variables_and_what_provision_needs(of_one, lab):
    described = of_one(ansible_user="ada", docker_users=["eve"], docker_daemon={"debug": True}, base_time_sync=True)
    described.keep(lab)
    record = state.create(lab, described.spec)
    whole = inventory.build(described.spec, lab)["all"]
    seen = whole["vars"] | whole["children"]["managers"]["hosts"]["alpha"]
    assert (seen["ansible_host"], seen["ansible_user"]) == ("10.0.0.10", "ada")
    assert seen["docker_users"] == ["eve", "ada"]
    assert (seen["docker_daemon"], seen["docker_configured"]) == ({"debug": True}, ["daemon", "restarts"])
    assert (seen["base_time_sync"], seen["base_packages"], seen["docker_keep"]) == (True, [], True)
    assert seen["record_lab"] == f"course.{record.id}"


def test_a_docker_whose_configuration_the_inventory_does_not_name_keeps_its_own(made, lab):
    hosts = inventory.build(made.spec, lab)["all"]["children"]["managers"]["hosts"]
    assert hosts["alpha"]["docker_configured"] == ["restarts"]


# -- the provider ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda p: p.power_off(["alpha"]), "sudo poweroff"),
        (lambda p: p.stop(["alpha"], Progress(quiet=True)), "sudo poweroff"),
        (lambda p: p.suspend(["alpha"], Progress(quiet=True)), "sudo systemctl suspend"),
        (lambda p: p.start(["alpha"], Progress(quiet=True)), "where the power is"),
    ],
)
def test_nothing_is_switched(made, lab, call, hint):
    with pytest.raises(UsageError, match="not ours to switch on or off") as caught:
        call(InventoryProvider(lab, state.load(lab)))
    assert hint in caught.value.hint


def test_a_folder_too_long_for_sockets_is_refused_first(made, tmp_path):
    long = LabFolder(tmp_path / ("x" * 100), "course")
    with pytest.raises(UsageError, match="bytes long"):
        InventoryProvider(long, state.draft(made.spec)).preflight()
