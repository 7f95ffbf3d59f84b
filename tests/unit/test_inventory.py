import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from provisioner import inventory, lab
from provisioner.lab import LabSpec
from provisioner.state import LabFolder


@pytest.fixture
def spec() -> LabSpec:
    return lab.describe(name="course", managers=2, workers=1)


@pytest.fixture
def folder(tmp_path: Path) -> LabFolder:
    return LabFolder(tmp_path / "with space", "course")


def test_groups_are_roles_and_hosts_have_addresses(spec, folder):
    children = inventory.build(spec, folder)["all"]["children"]
    assert {name: list(group["hosts"]) for name, group in children.items()} == {
        "managers": ["manager1", "manager2"],
        "workers": ["worker1"],
    }
    assert children["workers"]["hosts"]["worker1"]["ansible_host"] == "192.168.56.12"


def test_labels_and_availability_are_the_spec_s(spec, folder):
    drained = spec.hosts[2].model_copy(update={"labels": {"disk": "ssd"}, "availability": "drain"})
    changed = spec.model_copy(update={"hosts": (*spec.hosts[:2], drained)})
    host = inventory.build(changed, folder)["all"]["children"]["workers"]["hosts"]["worker1"]
    assert (host["swarm_labels"], host["swarm_availability"]) == ({"disk": "ssd"}, "drain")


def test_labs_share_no_connection(spec, folder):
    arguments = inventory.build(spec, folder)["all"]["vars"]["ansible_ssh_args"]
    assert arguments == f"-F '{folder.ssh_config}'"
    assert "ControlPath" not in arguments


def test_text_is_the_same_thing_without_aliases(spec, folder):
    text = inventory.text(spec, folder)
    assert yaml.safe_load(text) == json.loads(json.dumps(inventory.build(spec, folder)))
    assert not any(mark in text for mark in ("&id", "*id", "!!"))


def test_ansible_reads_it(spec, folder, tmp_path):
    path = tmp_path / "inventory.yml"
    path.write_text(inventory.text(spec, folder))
    program = Path(sys.executable).with_name("ansible-inventory")
    done = subprocess.run([program, "-i", path, "--list"], capture_output=True, text=True, check=True)
    assert "WARNING" not in done.stderr
    answer = json.loads(done.stdout)
    assert answer["managers"]["hosts"] == ["manager1", "manager2"]
    assert answer["_meta"]["hostvars"]["manager1"]["docker_sockets"][0] == "/run/docker.sock"


def test_examples_are_inventories():
    examples = sorted((Path(inventory.__file__).parents[1] / "inventories").glob("*.yml"))
    assert examples
    for path in examples:
        children = yaml.safe_load(path.read_text())["all"]["children"]
        assert children["managers"]["hosts"], path
