"""Three real virtual machines, emulated where KVM does not work, in a libvirt of the lab's own. A quarter of an hour.

The tests share the lab and are in the order in which they are to run: the last ones take it away.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import leftovers
import pytest
from conftest import PROVISION, must, provider, run_provision

from provisioner import state
from provisioner.machines.vagrant import box
from provisioner.machines.vagrant.libvirt.own import OwnLibvirt
from provisioner.machines.vagrant.provider import VagrantProvider
from provisioner.progress import Progress
from provisioner.state import LabFolder

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LAB = "vm"
UP = ("up", "--name", LAB, "--provider", "vagrant", "--isolated", "--managers", "3", "--offline")
UP_SECONDS = 1200


@pytest.fixture(scope="module")
def machine_before() -> leftovers.Machine:
    return leftovers.machine()


@pytest.fixture(scope="module")
def lab(machine_before: leftovers.Machine) -> Iterator[LabFolder]:
    box.build(progress=Progress(quiet=True))
    must(run_provision(*UP, "--no-verify", timeout=UP_SECONDS))
    yield state.folder(LAB)
    must(run_provision("down", "--name", LAB))


def _status() -> dict[str, str]:
    found = json.loads(must(run_provision("status", "--json", "--name", LAB)).stdout)
    return {host["name"]: host["state"] for host in found["hosts"]}


def _quorum() -> list[str]:
    found = json.loads(must(run_provision("status", "--json", "--name", LAB)).stdout)
    return sorted(found["quorum"]["reachable"])


def _ssh(host: str, text: str) -> str:
    return must(run_provision("ssh", "--name", LAB, host, "--", text)).stdout.strip()


def _hypervisor(lab: LabFolder) -> OwnLibvirt:
    vagrant = provider(lab)
    assert isinstance(vagrant, VagrantProvider)
    assert isinstance(vagrant.hypervisor, OwnLibvirt)
    return vagrant.hypervisor


def test_machines_have_their_names_and_addresses(lab: LabFolder) -> None:
    for number in (1, 2, 3):
        host = f"manager{number}"
        assert _ssh(host, "hostname; hostname -f; cat /etc/hostname").split() == [host, host, host]
        assert f"192.168.56.{9 + number}/24" in _ssh(host, "ip -brief -4 address")


def test_machines_have_host_keys_of_their_own_and_nobody_elses_key_opens_them(lab: LabFolder) -> None:
    assert len({line.split()[2] for line in lab.known_hosts.read_text().splitlines()}) == 3
    assert _ssh("manager1", "cat .ssh/authorized_keys") == lab.key.with_suffix(".pub").read_text().strip()


def test_every_check_passes_virtual_ips_and_the_routing_mesh_included(lab: LabFolder) -> None:
    done = run_provision("verify", "--json", "--name", LAB, timeout=UP_SECONDS)
    report = json.loads(done.stdout)
    assert done.returncode == 0, report["failures"]
    assert report["impossible"] == {}, "the machines' kernel has ip_vs: everything can be checked"
    assert report["passed"] > 150


def test_a_second_up_does_nothing(lab: LabFolder) -> None:
    assert "nothing was to be done" in must(run_provision(*UP)).stderr


def test_a_pulled_manager_is_replaced_and_comes_back(lab: LabFolder) -> None:
    done = run_provision("chaos", "kill-managers", "--count", "1", "--json", "--name", LAB, timeout=UP_SECONDS)
    report = json.loads(done.stdout)
    assert done.returncode == 0, report["failures"]
    assert report["failures"] == []


def test_suspended_machines_are_saved_and_come_back_with_their_clocks_set(lab: LabFolder) -> None:
    must(run_provision("suspend", "--name", LAB))
    assert set(_status().values()) == {"saved"}
    time.sleep(10)  # so far behind would a clock be that nobody sets
    must(run_provision("resume", "--name", LAB))
    assert set(_status().values()) == {"running"}
    assert _quorum() == ["manager1", "manager2", "manager3"]
    assert abs(float(_ssh("manager2", "date +%s.%N")) - time.time()) < 3


def test_halted_and_pulled_machines_are_started_again(lab: LabFolder) -> None:
    must(run_provision("stop", "manager2", "--name", LAB))
    must(run_provision("stop", "manager3", "--power-off", "--name", LAB))
    assert _status() == {"manager1": "running", "manager2": "stopped", "manager3": "stopped"}
    must(run_provision("start", "--name", LAB, timeout=UP_SECONDS))
    assert _quorum() == ["manager1", "manager2", "manager3"]


def test_a_machine_destroyed_behind_our_back_is_made_again(lab: LabFolder) -> None:
    virsh = _hypervisor(lab).libvirt.virsh
    virsh.run("destroy", "manager3")
    virsh.run("undefine", "manager3")  # its volume stays, which Vagrant alone would stumble over
    assert _status()["manager3"] == "absent"
    must(run_provision(*UP, "--no-verify", timeout=UP_SECONDS))
    assert _quorum() == ["manager1", "manager2", "manager3"]


def test_networks_and_pool_that_are_gone_are_made_again(lab: LabFolder) -> None:
    virsh = _hypervisor(lab).libvirt.virsh
    must(run_provision("stop", "manager3", "--power-off", "--name", LAB))
    for network in virsh.run("net-list", "--name").split():
        if network != "vagrant-libvirt":
            virsh.run("net-destroy", network)
    must(run_provision("stop", "--power-off", "--name", LAB))
    for network in virsh.run("net-list", "--name").split():
        virsh.run("net-destroy", network)
    for pool in virsh.run("pool-list", "--name").split():
        virsh.run("pool-destroy", pool)
    must(run_provision("start", "--name", LAB, timeout=UP_SECONDS))
    assert _quorum() == ["manager1", "manager2", "manager3"]


def test_down_leaves_nothing(lab: LabFolder, machine_before: leftovers.Machine) -> None:
    must(run_provision("down", "--name", LAB))
    assert not lab.path.exists()
    assert leftovers.machine() == machine_before
    assert not leftovers.cgroups_of(LAB)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=lambda how: how.name)
def test_an_up_that_was_ended_half_way_goes_on(lab: LabFolder, tmp_path: Path, how: signal.Signals) -> None:
    log = tmp_path / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [PROVISION, *UP, "--no-verify"], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True, env=os.environ,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while "running" not in _hypervisor_states(lab).values():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        process.send_signal(how)
        process.wait(120)
    finally:
        process.kill()
        process.wait()
    must(run_provision(*UP, "--no-verify", timeout=UP_SECONDS))
    assert _quorum() == ["manager1", "manager2", "manager3"]
    must(run_provision("down", "--name", LAB))


def _hypervisor_states(lab: LabFolder) -> dict[str, str]:
    if not lab.record.exists():
        return {}
    hypervisor = _hypervisor(lab)
    try:
        return dict(hypervisor.states() or {}) if hypervisor.keeper.pid else {}
    except state.ProvisionError:
        return {}  # libvirtd is about to come up
