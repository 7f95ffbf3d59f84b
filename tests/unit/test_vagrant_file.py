"""The Vagrantfile maps a description to each provider's settings, and gives the walkthrough's machines without one.

It is evaluated by the real Ruby, with a recorder in Vagrant's place, since VirtualBox cannot run here.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from provisioner import lab
from provisioner.machines.vagrant import description
from provisioner.machines.vagrant.description import Box, Description, Libvirt, Lxc

VAGRANTFILE = Path(__file__).parents[2] / "Vagrantfile"
EVALUATE = Path(__file__).parent / "vagrant" / "evaluate.rb"

pytestmark = pytest.mark.skipif(shutil.which("ruby") is None, reason="ruby is not on this machine")


def evaluate(vagrantfile: Path, **environment: str) -> dict[str, Any]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PROVISION_", "VAGRANT_"))}
    done = subprocess.run(
        ["ruby", EVALUATE, vagrantfile], env=clean | environment, capture_output=True, text=True, check=True, cwd="/"
    )
    return json.loads(done.stdout)


def describe(**fields: Any) -> Description:
    spec = lab.describe(managers=2, workers=1, subnet=IPv4Network("192.168.57.0/25"))
    given: dict[str, Any] = {
        "lab": "course", "prefix": "course-0a1b2c3d-", "hypervisor": "libvirt", "box": Box(name="bento/debian-13"),
        "memory": 900, "cpus": 2, "netmask": "255.255.255.128", "machines": description.machines(spec.hosts),
    }  # fmt: skip
    return Description(**(given | fields))


def evaluated(folder: Path, **fields: Any) -> dict[str, Any]:
    description.write(folder, describe(**fields))
    return evaluate(folder / "Vagrantfile")


def test_without_a_description_there_are_the_walkthroughs_three_managers() -> None:
    machines = evaluate(VAGRANTFILE)
    found = {name: of["virtualbox"]["common"]["vm.network"][0][1]["ip"] for name, of in machines.items()}
    assert found == {"manager1": "192.168.56.10", "manager2": "192.168.56.11", "manager3": "192.168.56.12"}
    for name, of in machines.items():
        assert {provider["common"]["vm.hostname"] for provider in of.values()} == {name}
    assert machines["manager1"]["virtualbox"]["common"]["vm.box"] == "bento/debian-13"
    assert machines["manager1"]["libvirt"]["common"]["vm.box"] == "provision/trixie"


def test_a_user_of_vagrant_alone_names_a_box_and_the_driver() -> None:
    machine = evaluate(VAGRANTFILE, PROVISION_BOX="debian/trixie64", PROVISION_DRIVER="qemu")["manager1"]
    assert {provider["common"]["vm.box"] for provider in machine.values()} == {"debian/trixie64"}
    assert machine["libvirt"]["settings"]["driver"] == "qemu"
    assert "cmd_line" not in machine["libvirt"]["settings"], "only our own box reads its name there"


def test_a_description_beside_it_decides(tmp_path: Path) -> None:
    machines = evaluated(tmp_path)
    assert list(machines) == ["manager1", "manager2", "worker1"]
    worker = machines["worker1"]
    assert worker["virtualbox"]["common"]["vm.hostname"] == "worker1"
    assert worker["virtualbox"]["common"]["vm.network"] == [
        ["private_network", {"ip": "192.168.57.12", "netmask": "255.255.255.128"}]
    ]
    for provider in ("virtualbox", "libvirt"):
        assert (worker[provider]["settings"]["memory"], worker[provider]["settings"]["cpus"]) == (900, 2)


def test_a_description_that_is_named_decides_over_one_beside_it(tmp_path: Path) -> None:
    evaluated(tmp_path / "beside")
    named = description.write(tmp_path / "named", describe(memory=1234))
    machines = evaluate(tmp_path / "beside" / "Vagrantfile", PROVISION_DESCRIPTION=str(named))
    assert machines["manager1"]["libvirt"]["settings"]["memory"] == 1234


def test_a_named_description_that_is_missing_is_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        evaluate(VAGRANTFILE, PROVISION_DESCRIPTION=str(tmp_path / "none.json"))
    assert "none.json" in caught.value.stderr


def test_the_hypervisors_names_carry_the_labs_id(tmp_path: Path) -> None:
    machine = evaluated(tmp_path)["manager1"]
    assert machine["virtualbox"]["settings"]["name"] == "course-0a1b2c3d-manager1"
    assert machine["libvirt"]["settings"]["default_prefix"] == "course-0a1b2c3d-"
    assert machine["lxc"]["settings"]["container_name"] == "course-0a1b2c3d-manager1"


def test_our_own_box_is_named_and_addressed_by_the_kernels_command_line(tmp_path: Path) -> None:
    machine = evaluated(tmp_path, box=Box(name="provision/trixie", command_line=True))["manager2"]["libvirt"]
    words = machine["settings"]["cmd_line"].split()
    assert "systemd.hostname=manager2" in words
    assert "ip=192.168.57.11:::255.255.255.128::eth1:off" in words
    assert machine["common"]["vm.network"][0][1]["auto_config"] is False
    assert machine["common"]["ssh.insert_key"] is False


def test_any_other_box_is_named_and_addressed_by_vagrant(tmp_path: Path) -> None:
    machine = evaluated(tmp_path)["manager2"]["libvirt"]
    assert "cmd_line" not in machine["settings"]
    assert machine["common"]["vm.network"][0][1]["auto_config"] is True
    assert machine["common"]["ssh.insert_key"] is True


@pytest.mark.parametrize(
    ("given", "mode", "model"),
    [
        (Libvirt(driver="kvm"), "host-passthrough", None),
        (Libvirt(driver="qemu"), "custom", "qemu64"),
        (Libvirt(driver="kvm", cpu_model="Westmere"), "custom", "Westmere"),
    ],
)
def test_the_cpu_follows_from_the_driver(tmp_path: Path, given: Libvirt, mode: str, model: str | None) -> None:
    settings = evaluated(tmp_path, libvirt=given)["manager1"]["libvirt"]["settings"]
    assert (settings["driver"], settings["cpu_mode"], settings.get("cpu_model")) == (given.driver, mode, model)


def test_a_libvirt_of_the_labs_own_keeps_its_networks_and_logs_consoles(tmp_path: Path) -> None:
    own = Libvirt(network="lab", management_network="management", keep_networks=True, consoles="/c", emulator="/e")
    machine = evaluated(tmp_path, libvirt=own, prefix="")["manager1"]["libvirt"]
    network = machine["common"]["vm.network"][0][1]
    assert (network["libvirt__network_name"], network["libvirt__always_destroy"]) == ("lab", False)
    settings = machine["settings"]
    assert (settings["management_network_name"], settings["management_network_keep"]) == ("management", True)
    assert settings["serial"] == [[{"type": "file", "source": {"path": "/c/manager1.log"}}]]
    assert settings["emulator_path"] == "/e"
    assert settings["default_prefix"] == "", "not Vagrant's own, which is the folder's name"


def test_containers_have_their_address_from_lxc_itself(tmp_path: Path) -> None:
    settings = evaluated(tmp_path, lxc=Lxc(bridge="br7"))["manager1"]["lxc"]["settings"]
    assert settings["customize"] == [["net.0.link", "br7"], ["net.0.ipv4.address", "192.168.57.10/25"]]
    assert settings["ssh_ip_addr"] == "192.168.57.10"


def test_the_labs_key_is_tried_before_vagrants_well_known_one(tmp_path: Path) -> None:
    common = evaluated(tmp_path, insert_key=False, key="/lab/id_ed25519")["manager1"]["virtualbox"]["common"]
    assert common["ssh.private_key_path"] == ["/lab/id_ed25519", "/home/ada/.vagrant.d/insecure_private_key"]
    assert "ssh.private_key_path" not in evaluated(tmp_path)["manager1"]["virtualbox"]["common"]


def test_a_box_may_have_an_address_and_a_version(tmp_path: Path) -> None:
    box = Box(name="course", url="https://example.org/course.json", version="1.2.0")
    common = evaluated(tmp_path, box=box)["manager1"]["virtualbox"]["common"]
    assert (common["vm.box_url"], common["vm.box_version"]) == (box.url, box.version)


def test_the_description_can_be_read_by_whoever_may_use_the_hypervisor(tmp_path: Path) -> None:
    path = description.write(tmp_path, describe())
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert description.read(tmp_path) == describe()


@pytest.mark.skipif(shutil.which("vagrant") is None, reason="Vagrant is not on this machine")
def test_vagrant_itself_takes_it(tmp_path: Path) -> None:
    description.write(tmp_path, describe())
    environment = {
        **os.environ, "VAGRANT_HOME": str(tmp_path / "home"), "VAGRANT_CWD": str(tmp_path),
        "VAGRANT_CHECKPOINT_DISABLE": "1", "PROVISION_DESCRIPTION": str(tmp_path / description.FILE),
    }  # fmt: skip
    argv = ["vagrant", "validate", "--ignore-provider"]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert "Vagrantfile validated successfully." in done.stdout, done.stderr
