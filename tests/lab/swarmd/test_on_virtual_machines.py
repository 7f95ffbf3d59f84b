"""swarmd on three real virtual machines, formed by the playbooks. A pulled machine loses its page cache: the only proof
here that what is acknowledged is on the disk."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from conftest import must, new_lab, run_provision

from provisioner.machines.vagrant import box
from provisioner.progress import Progress

pytestmark = pytest.mark.slow

SECONDS = 1200


@pytest.fixture(scope="module")
def lab() -> Iterator[str]:
    box.build(progress=Progress(quiet=True))
    with new_lab("vms", "--provider", "vagrant", "--isolated", "--engine", "swarmd", "--managers", "3") as lab:
        must(run_provision("images", "load", "busybox", "--name", lab.name, timeout=SECONDS))
        yield lab.name


def typed(lab: str, host: str, command: str) -> str:
    return must(run_provision("ssh", "--name", lab, host, "--", command)).stdout


def test_the_checks_pass(lab: str) -> None:
    done = run_provision("verify", "hosts", "topology", "--json", "--name", lab, timeout=SECONDS)
    assert done.returncode == 0, json.loads(done.stdout)["failures"]


def test_clocks_ten_minutes_off_take_no_node_away(lab: str) -> None:
    states = "docker node ls --format '{{.Hostname}} {{.Status}} {{.ManagerStatus}}'"
    before = typed(lab, "manager2", states)
    assert before.count("Ready") == 3
    try:
        for host, minutes in (("manager1", "+10"), ("manager3", "-10")):
            typed(lab, host, f"sudo date --set '{minutes} min'")
        typed(lab, "manager2", "docker service create --quiet --init --name clocks --replicas 3 busybox sleep 3600")
        for host in ("manager1", "manager2", "manager3"):
            assert typed(lab, host, "docker service ls --format '{{.Name}} {{.Replicas}}'") == "clocks 3/3\n"
        assert typed(lab, "manager2", states) == before
        typed(lab, "manager2", "docker service rm clocks")
    finally:
        for host, minutes in (("manager1", "-10"), ("manager3", "+10")):
            typed(lab, host, f"sudo date --set '{minutes} min'")


@pytest.mark.parametrize("scenario", ["kill-leader", "kill-managers"])
def test_no_acknowledged_write_is_lost_with_a_pulled_machine(lab: str, scenario: str) -> None:
    count = ("--count", "1") if scenario == "kill-managers" else ()
    done = run_provision("chaos", scenario, *count, "--json", "--name", lab, timeout=SECONDS)
    report = json.loads(done.stdout)
    assert done.returncode == 0, report["failures"]
    assert report["failures"] == []


def test_all_of_them_pulled_at_once_come_back_with_what_was_written(lab: str) -> None:
    for number in range(5):
        typed(lab, "manager1", f"docker service create --detach --name kept{number} --replicas 0 busybox")
    must(run_provision("stop", "--power-off", "--name", lab))
    must(run_provision("start", "--name", lab, timeout=SECONDS))
    found = typed(lab, "manager1", "docker service ls --filter name=kept --format '{{.Name}}'")
    assert sorted(found.split()) == [f"kept{number}" for number in range(5)]
