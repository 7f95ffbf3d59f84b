"""The role `swarmd` on real hosts: installed, run again, upgraded, taken away and put back, while clients go on."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import must, new_lab, run_provision
from on_hosts import on

from provisioner import inventory, playbooks, state
from provisioner.lab import LabSpec
from provisioner.state import LabFolder

ANSIBLE_PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
Play = Callable[..., str]

ABSENT = ("-e", "swarmd_state=absent")
WORKER = ("--limit", "worker1", "--skip-tags", "topology")


@pytest.fixture(scope="module")
def lab() -> Iterator[LabFolder]:
    """One manager, one worker, with busybox in both engines."""
    with new_lab("role", "--managers", "1", "--workers", "1", "--engine", "swarmd") as lab:
        must(run_provision("images", "load", "busybox", "--name", lab.name))
        yield lab


@pytest.fixture(scope="module")
def spec(lab: LabFolder) -> LabSpec:
    return state.load(lab).spec


@pytest.fixture
def play(lab: LabFolder) -> Play:
    """Runs a playbook as a user does by hand."""

    def run(*options: str, fails: bool = False, playbook: str = "site.yml") -> str:
        path = playbooks.playbooks_dir() / playbook
        done = subprocess.run(
            [ANSIBLE_PLAYBOOK, "-i", lab.inventory, path, *options],
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout

    return run


def changed(output: str) -> dict[str, int]:
    """Host -> number of changes, from the recap."""
    return {host: int(count) for host, count in re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", output, re.MULTILINE)}


@contextmanager
def clients(lab: LabFolder, host: str) -> Iterator[list[str]]:
    """A docker CLI that asks one time after the other, on its host. The list gets what failed, in the CLI's words."""
    loop = "while :; do docker version >>/root/answers 2>>/root/errors; done"
    on(lab, host, f"rm -f /root/answers /root/errors; systemd-run --quiet --unit=clients sh -c '{loop}'")
    failures: list[str] = []
    try:
        yield failures
    finally:
        on(lab, host, "systemctl stop clients")
        failures += on(lab, host, "cat /root/errors").splitlines()
        assert on(lab, host, "grep -c ^Server: /root/answers").strip() != "0"


def test_the_swarm_is_swarmds_and_the_rest_the_engines(lab):
    info = json.loads(on(lab, "manager1", "docker info --format '{{json .}}'"))
    assert info["LiveRestoreEnabled"]
    assert (info["Swarm"]["LocalNodeState"], info["Swarm"]["Nodes"]) == ("active", 2)
    engine = on(lab, "manager1", "docker -H unix:///run/docker-engine.sock info --format '{{.Swarm.LocalNodeState}}'")
    assert engine.strip() == "inactive"
    assert on(lab, "manager1", "echo hello | docker run -i --rm busybox cat") == "hello"
    on(lab, "manager1", "docker run -d --name said busybox echo said && docker wait said")
    assert on(lab, "manager1", "docker logs said; docker rm said >/dev/null") == "said"


def test_the_units_are_as_they_should_be(lab):
    for host, etcd in (("manager1", "active"), ("worker1", "inactive")):
        units = "swarmd-front.socket swarmd-front.service swarmd-api.socket swarmd.service"
        assert set(on(lab, host, f"systemctl is-active {units}").split()) == {"active"}
        assert set(on(lab, host, f"systemctl is-enabled {units}").split()) == {"enabled"}
        assert on(lab, host, "systemctl is-active swarmd-etcd.service || :").strip() == etcd
        assert on(lab, host, "systemctl is-enabled swarmd-etcd.service || :").strip() == "static"
        assert on(lab, host, "systemctl --failed --plain --no-legend") == ""
        assert on(lab, host, "stat -c %a /var/lib/swarmd /run/swarmd /run/swarmd/api.sock").split() == ["700"] * 2 + [
            "600"
        ]
    warnings = on(lab, "manager1", "systemd-analyze verify /etc/systemd/system/swarmd*.service 2>&1 || :")
    assert "swarmd" not in warnings


def test_a_second_run_changes_nothing(play):
    play()
    assert set(changed(play()).values()) == {0}
    assert set(changed(play("--check", "--diff")).values()) == {0}


def test_a_host_of_a_swarm_keeps_its_daemon(lab, play):
    assert "docker swarm leave --force" in play(*WORKER, *ABSENT, fails=True)
    assert on(lab, "worker1", "docker info --format '{{.Swarm.LocalNodeState}}'").strip() == "active"


def test_an_upgrade_restarts_the_daemon_and_neither_the_front_nor_a_container(lab, spec, play, tmp_path):
    told = inventory.build(spec, lab)["all"]["vars"]["swarmd_bundles"]  # type: ignore[index]
    other = tmp_path / "bundles.json"
    other.write_text(json.dumps({"swarmd_bundles": [{**bundle, "version": "0.1.0-other"} for bundle in told]}))
    on(lab, "manager1", "docker run -d --name stays busybox sleep 3600")
    look = "systemctl show -P MainPID swarmd swarmd-front swarmd-etcd; docker inspect -f '{{.State.StartedAt}}' stays"
    before = on(lab, "manager1", look).split()
    with clients(lab, "manager1") as failures:
        play("--limit", "manager1", "--skip-tags", "topology", "-e", f"@{other}")
    after = on(lab, "manager1", look).split()
    assert failures == []
    assert after[0] != before[0]
    assert after[1:] == before[1:]
    assert on(lab, "manager1", "readlink /opt/swarmd/current").strip() == "0.1.0-other"
    assert on(lab, "manager1", "docker node ls -q | wc -l").strip() == "2"
    play("--limit", "manager1", "--skip-tags", "topology")
    assert on(lab, "manager1", "readlink /opt/swarmd/current").strip() == told[0]["version"]
    on(lab, "manager1", "docker rm -f stays")


@pytest.mark.slow
def test_the_engine_gets_its_socket_back_and_gives_it_again(lab, play):
    on(lab, "worker1", "docker swarm leave")
    with clients(lab, "worker1") as failures:
        play(*WORKER, *ABSENT)
    assert failures == []
    assert set(changed(play(*WORKER, *ABSENT)).values()) == {0}
    left = on(
        lab,
        "worker1",
        "ls -d /opt/swarmd /etc/swarmd /var/lib/swarmd /run/swarmd /run/docker-engine.sock 2>/dev/null || :",
    )
    assert left == ""
    assert "swarmd" not in on(lab, "worker1", "systemctl list-unit-files; cat /etc/docker/daemon.json")
    assert (
        on(lab, "worker1", "docker info --format '{{.LiveRestoreEnabled}} {{.Swarm.LocalNodeState}}'")
        == "false inactive"
    )
    on(lab, "worker1", "docker swarm init && docker swarm leave --force")

    foreseen = play(*WORKER, "--check", "--diff")
    assert changed(foreseen)["worker1"] > 0
    assert on(lab, "worker1", "ls -d /opt/swarmd 2>/dev/null || :") == ""

    on(lab, "worker1", "docker run -d --name stays busybox sleep 3600")
    started = on(lab, "worker1", "docker inspect -f '{{.State.StartedAt}}' stays")
    play(*WORKER)
    assert (
        on(lab, "worker1", "docker inspect -f '{{.State.StartedAt}} {{.State.Running}}' stays")
        == f"{started.strip()} true"
    )
    on(lab, "worker1", "docker rm -f stays")
    assert set(changed(play(*WORKER)).values()) == {0}
    play()
    assert on(lab, "manager1", "docker node ls --format '{{.Hostname}} {{.Status}}' | sort -u").splitlines() == [
        "manager1 Ready", "worker1 Ready",
    ]  # fmt: skip


@pytest.mark.slow
def test_an_engine_in_its_own_swarm_is_refused_before_anything_changes(lab, play):
    on(lab, "worker1", "docker swarm leave")
    play(*WORKER, *ABSENT)
    on(lab, "worker1", "docker swarm init")
    refusal = play(*WORKER, fails=True)
    assert "Docker's own swarm mode is on" in re.sub(r"\s+", " ", refusal)
    assert (
        on(lab, "worker1", "docker info --format '{{.LiveRestoreEnabled}} {{.Swarm.LocalNodeState}}'") == "false active"
    )
    on(lab, "worker1", "docker swarm leave --force")
    play()


@pytest.mark.slow
def test_a_machine_that_was_lent_is_given_back_without_swarmd(lab, play):
    on(lab, "worker1", "docker swarm leave")
    play(*WORKER, *ABSENT)
    config = on(lab, "worker1", "cat /etc/docker/daemon.json")
    play(*WORKER, "-e", "record_lab=lent")
    assert on(lab, "worker1", "readlink /opt/swarmd/current") != ""
    output = play("--limit", "worker1", "-e", "record_lab=lent", playbook="leave.yml")
    assert "[WARNING]" not in output
    left = "ls -d /opt/swarmd /etc/swarmd /var/lib/swarmd /run/docker-engine.sock /var/lib/provision 2>/dev/null || :"
    assert on(lab, "worker1", left) == ""
    assert on(lab, "worker1", "cat /etc/docker/daemon.json") == config
    assert (
        on(lab, "worker1", "docker info --format '{{.LiveRestoreEnabled}} {{.Swarm.LocalNodeState}}'")
        == "false inactive"
    )
    play()


def test_after_a_loss_of_power_all_is_back(lab):
    must(run_provision("stop", "worker1", "--power-off", "--name", lab.name))
    must(run_provision("start", "worker1", "--name", lab.name))
    assert on(lab, "worker1", "echo hello | docker run -i --rm busybox cat") == "hello"
    assert on(lab, "worker1", "systemctl --failed --plain --no-legend") == ""
