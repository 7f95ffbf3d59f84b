"""A lab's life: repeated commands, power cuts, a reboot of the machine, neighbours."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PROVISION, must, path_without, provider, run_provision

from provisioner import state
from provisioner.state import LabFolder


def ssh(lab: LabFolder, host: str, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROVISION, "ssh", "--name", lab.name, host, "--", *words], input=stdin, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


def status(lab: LabFolder) -> dict[str, object]:
    found: dict[str, object] = json.loads(must(run_provision("status", "--json", "--name", lab.name)).stdout)
    return found


def test_a_second_up_does_nothing(lab: LabFolder) -> None:
    logs = sorted(lab.logs.iterdir())
    done = must(run_provision("up", "--name", lab.name))
    assert "nothing was to be done" in done.stderr
    assert sorted(lab.logs.iterdir()) == logs, "a playbook or a suite has run"


def test_status_says_quorum_in_words(lab: LabFolder) -> None:
    shown = must(run_provision("status", "--name", lab.name)).stdout
    assert "3 managers, 3 reachable: tolerates 1 more loss" in shown
    assert shown.count("Leader") == 1


def test_results_are_on_stdout_and_progress_on_stderr(lab: LabFolder) -> None:
    done = must(run_provision("stop", "manager3", "--name", lab.name))
    assert done.stdout == ""
    assert "Shutting down manager3" in done.stderr
    done = must(run_provision("start", "manager3", "--name", lab.name, "-q"))
    assert "manager3" in done.stdout
    assert done.stderr == ""


def test_ssh_hands_on_exit_code_and_input(lab: LabFolder) -> None:
    assert ssh(lab, "manager1", "exit 7").returncode == 7
    assert ssh(lab, "manager2", "tr a-z A-Z", stdin="through\n").stdout == "THROUGH\n"
    assert ssh(lab, "manager1", "echo", "$HOSTNAME").stdout == "manager1\n", "the remote shell reads the words"


def test_plain_ansible_reaches_the_hosts_by_the_inventory(lab: LabFolder, tmp_path: Path) -> None:
    inventory = tmp_path / "lab.yml"
    inventory.write_text(must(run_provision("inventory", "--name", lab.name)).stdout)
    ansible = PROVISION.with_name("ansible")
    argv = [ansible, "-i", inventory, "managers", "-m", "ansible.builtin.command", "-a", "hostname"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(f"manager{n} | CHANGED" in done.stdout for n in (1, 2, 3))


def test_use_lets_a_docker_client_of_the_machine_talk_to_the_swarm(lab: LabFolder) -> None:
    line = must(run_provision("use", "--name", lab.name)).stdout.strip()
    assert line.startswith('export DOCKER_HOST="unix://')
    socket = line.split('"')[1].removeprefix("unix://")
    done = subprocess.run(
        ["curl", "--silent", "--unix-socket", socket, "http://docker/info"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["Swarm"]["ControlAvailable"] is True


def test_names_outside_the_lab_are_refused_at_once_when_it_is_offline(lab: LabFolder) -> None:
    """Docker asks a registry before each start of a task: an answer that never comes costs it 20 s."""
    done = ssh(lab, "manager1", "timeout 2 getent hosts registry.example.org; echo $?")
    assert done.stdout == "2\n", "not found, within 2 s"


def test_power_off_keeps_the_disk_as_it_was(lab: LabFolder) -> None:
    must(ssh(lab, "manager2", "echo before the cut > /root/note && sync"))
    must(run_provision("stop", "--power-off", "manager2", "--name", lab.name))
    assert ssh(lab, "manager2", "true").returncode == 4, "a stopped host is named, not waited for"
    must(run_provision("start", "manager2", "--name", lab.name))
    assert ssh(lab, "manager2", "cat /root/note").stdout == "before the cut\n"
    must(run_provision("up", "--name", lab.name, "--no-verify"))


def test_a_reboot_of_the_machine(lab: LabFolder) -> None:
    """Simulated: every process of the lab ends, and with them its namespaces, mounts and loop devices."""
    before = status(lab)
    must(ssh(lab, "manager1", "docker service create --detach --quiet --name before-the-reboot --replicas 0 busybox"))
    cgroup = provider(lab).cgroup  # type: ignore[attr-defined]
    cgroup.kill()
    cgroup.remove()
    assert {host["state"] for host in status(lab)["hosts"]} == {"stopped"}  # type: ignore[attr-defined]
    assert " stopped " in must(run_provision("list")).stdout
    must(run_provision("start", "--name", lab.name))
    after = status(lab)
    assert after["id"] == before["id"]
    assert after["spec"] == before["spec"]
    assert after["quorum"]["kept"] is True  # type: ignore[index]
    assert ssh(lab, "manager3", "docker service rm before-the-reboot").stdout == "before-the-reboot\n"


def test_a_host_that_lost_its_disk_is_made_again_and_joins_anew(lab: LabFolder) -> None:
    machines = provider(lab)
    machines.power_off(["manager3"])
    keeper, storage = machines.keeper, machines.storage  # type: ignore[attr-defined]
    keeper.script('umount "$1"; rm -rf "$2"', storage.rootfs("manager3"), storage.host("manager3"))
    must(run_provision("up", "--name", lab.name, "--no-verify"))
    nodes = ssh(lab, "manager1", "docker node ls --format '{{.Hostname}} {{.Status}} {{.ManagerStatus}}'").stdout
    assert sorted(line.split()[:2] for line in nodes.splitlines()) == [[f"manager{n}", "Ready"] for n in (1, 2, 3)]


def test_up_starts_docker_where_somebody_stopped_it(lab: LabFolder) -> None:
    must(ssh(lab, "manager2", "systemctl disable --now docker.service docker.socket"))
    must(run_provision("up", "--name", lab.name, "--no-verify"))
    assert (
        ssh(lab, "manager2", "systemctl is-active docker && systemctl is-enabled docker").stdout == "active\nenabled\n"
    )


@pytest.fixture
def neighbour() -> Iterator[LabFolder]:
    must(run_provision("up", "--name", "neighbour", "--managers", "1", "--offline", "--no-verify"))
    yield state.folder("neighbour")
    must(run_provision("down", "--name", "neighbour"))


def test_two_labs_with_equal_addresses_are_apart(lab: LabFolder, neighbour: LabFolder) -> None:
    addresses = [json.dumps(status(of)["spec"]["hosts"][0]["address"]) for of in (lab, neighbour)]  # type: ignore[index]
    assert addresses[0] == addresses[1]
    must(ssh(neighbour, "manager1", "touch /root/mine"))
    assert ssh(lab, "manager1", "test -e /root/mine").returncode == 1
    assert ssh(neighbour, "manager1", "ping -c 1 -W 1 192.168.56.11").returncode == 1, "manager2 is in the other lab"


def test_a_full_disk_is_the_labs_alone(lab: LabFolder, neighbour: LabFolder) -> None:
    """fallocate takes the space in the lab's file system without writing it to the machine's disk."""
    filled = ssh(neighbour, "manager1", "fallocate -l 40G /var/lib/docker/filler; echo $?")
    assert filled.stdout == "1\n", "the lab's disk is bounded"
    must(ssh(neighbour, "manager1", "fallocate -l 19G /var/lib/docker/filler"))
    assert state.folder("neighbour").path.joinpath("disk.img").stat().st_blocks * 512 < 2 << 30
    must(ssh(lab, "manager1", "fallocate -l 1G /var/lib/docker/room && rm /var/lib/docker/room"))


def test_a_machine_without_btrfs_makes_labs_on_ext4(tmp_path: Path) -> None:
    env = {"PATH": path_without(tmp_path, "mkfs.btrfs", "btrfs")}
    try:
        must(run_provision("up", "--name", "plain", "--managers", "1", "--offline", "--no-verify", env=env))
        plain = state.folder("plain")
        assert "Backing Filesystem: extfs" in ssh(plain, "manager1", "docker info").stdout
        must(run_provision("stop", "--power-off", "--name", "plain", env=env))
        must(run_provision("start", "--name", "plain", env=env))
    finally:
        must(run_provision("down", "--name", "plain", env=env))


@pytest.mark.slow
def test_bookworm() -> None:
    try:
        must(run_provision("up", "--name", "twelve", "--base", "bookworm", "--managers", "3", timeout=900))
        assert "20.10" in ssh(state.folder("twelve"), "manager1", "docker version").stdout
    finally:
        must(run_provision("down", "--name", "twelve"))


def test_the_waits_end_when_ssh_answers_not_after_a_fixed_time(lab: LabFolder) -> None:
    """`stop` and `start` of one host: a clean shutdown, and back to an ssh login."""
    started = time.monotonic()
    must(run_provision("stop", "manager2", "--name", lab.name))
    must(run_provision("start", "manager2", "--name", lab.name))
    assert ssh(lab, "manager2", "true").returncode == 0
    print(f"stop and start of one host: {time.monotonic() - started:.1f} s")
