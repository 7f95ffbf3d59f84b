"""A check that cannot fail is a defect: each suite meets a lab that was broken on purpose, and names the cause.

Every test repairs what it broke; the last of each suite sees it green again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from provisioner import checks, command
from provisioner.machines import ssh
from provisioner.progress import Progress
from provisioner.report import Report
from provisioner.state import LabFolder


@dataclass(frozen=True)
class Break:
    """Something wrong on a host, its repair, and how a check tells of it."""

    host: str
    do: str
    undo: str
    claim: str
    """The sentence of a check that must fail."""
    cause: str
    """What its message must contain."""


def on(lab: LabFolder, host: str, script: str) -> str:
    return command.run(ssh.argv(lab, host, [script]), timeout=120).stdout.strip()


def wait_on(lab: LabFolder, host: str, script: str, *, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while (done := command.run(ssh.argv(lab, host, [script]), check=False)).status != 0:
        assert time.monotonic() < end, f"{host}: `{script}` has not succeeded within {seconds} s: {done.stderr}"
        time.sleep(0.2)


@contextlib.contextmanager
def broken(lab: LabFolder, *breaks: Break) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for one in breaks:
            stack.callback(on, lab, one.host, one.undo)
            on(lab, one.host, one.do)
        yield


def verify(lab: LabFolder, suite: str) -> Report:
    return checks.run(lab, [suite], progress=Progress(quiet=True), log=lab.new_log(f"verify-{suite}"))


def assert_named(report: Report, *breaks: Break) -> None:
    failures = {failure.sentence: failure.message for failure in report.failures}
    for one in breaks:
        assert one.claim in failures, f"not noticed: {one.do}\n{report.explanation()}"
        assert one.cause in failures[one.claim], report.explanation()


def assert_green(lab: LabFolder, suite: str) -> None:
    report = verify(lab, suite)
    assert not report.failures, report.explanation()


HOSTS = (
    Break(
        "manager3",
        "systemctl stop docker.socket docker.service",
        "systemctl start docker.socket docker.service",
        "Docker is running on manager3",
        "docker.service on manager3 is inactive (dead)",
    ),
    Break(
        "manager3",
        "systemctl disable --quiet docker.service",
        "systemctl enable --quiet docker.service",
        "Docker starts with manager3",
        "is not enabled",
    ),
    Break(
        "manager2",
        "systemd-run --quiet --unit=swarmd sleep infinity",
        "systemctl stop swarmd",
        "The swarm mode on manager2 is the one that was asked for",
        "manager2 has the swarm mode of swarmd, not of docker",
    ),
    Break(
        "manager2",
        "hostname wrong",
        "hostname manager2",
        "manager2 calls itself by its name",
        "the kernel's hostname on manager2 is 'wrong'",
    ),
    Break(
        "manager2",
        "cp /etc/hostname /root/hostname && echo other >/etc/hostname",
        "mv /root/hostname /etc/hostname",
        "manager2 keeps its name when it is restarted",
        "/etc/hostname on manager2 says 'other'",
    ),
    Break(
        "manager1",
        "cp /etc/hosts /root/hosts && sed 's/^192.168.56.12 /192.168.56.99 /' /root/hosts >/etc/hosts",
        "cat /root/hosts >/etc/hosts",
        "manager1 resolves the name of every other host",
        "manager3 is 192.168.56.99 instead of 192.168.56.12",
    ),
    Break(
        "manager1",
        "systemd-run --quiet --unit check-broken false; sleep 0.5",
        "systemctl reset-failed check-broken",
        "systemd on manager1 is up, and no unit has failed",
        "failed units: check-broken.service",
    ),
    Break(
        "manager1",
        # All that is free but half of what the check asks for.
        "fallocate -l $(($(df --output=avail -B1M /var/lib/docker | tail -n 1) - 512))M /var/lib/docker/filler",
        "rm -f /var/lib/docker/filler",
        "manager1 has room for images and containers",
        "MiB left, 1024 are needed",
    ),
)


def test_hosts(lab: LabFolder) -> None:
    with broken(lab, *HOSTS):
        report = verify(lab, "hosts")
    assert_named(report, *HOSTS)
    wait_on(lab, "manager1", "test $(docker node ls --format '{{.ManagerStatus}}' | grep -c 'Reachable\\|Leader') = 3")
    # A node tells the swarm its hostname every 20 s, so it may have told the wrong one.
    wait_on(lab, "manager1", "docker node ls --format '{{.Hostname}}' | grep --line-regexp manager2")
    assert_green(lab, "hosts")


def follower(lab: LabFolder) -> str:
    """A manager that does not lead, and is not the first, which the checks ask."""
    listing = on(lab, "manager1", "docker node ls --format '{{.Hostname}} {{.ManagerStatus}}'")
    statuses = dict(line.split(" ", 1) for line in listing.splitlines())
    return next(name for name in ("manager2", "manager3") if statuses[name] != "Leader")


def test_topology_behind_our_back(lab: LabFolder) -> None:
    demoted = follower(lab)
    other = "manager2" if demoted == "manager3" else "manager3"
    breaks = (
        Break(
            "manager1",
            f"docker node demote {demoted}",
            f"docker node promote {demoted}",
            f"The swarm lists {demoted} in the role that the lab gives it",
            f"the lab says that {demoted} is a manager, the swarm says worker",
        ),
        Break(
            "manager1",
            f"docker node update --availability drain {other}",
            f"docker node update --availability active {other}",
            f"{other} takes tasks as the lab says",
            f"the availability of {other} is drain, the lab says active",
        ),
    )
    with broken(lab, *breaks):
        wait_on(lab, demoted, "test $(docker info --format '{{.Swarm.ControlAvailable}}') = false")
        report = verify(lab, "topology")
    assert_named(report, *breaks)
    failures = {failure.sentence: failure.message for failure in report.failures}
    assert failures[f"{demoted} acts in the role that the lab gives it"].endswith("it acts as a worker")
    assert "3 managers, 2 reachable: tolerates 0 more; it should tolerate 1" in report.explanation()
    wait_on(lab, "manager1", "test $(docker node ls --format '{{.ManagerStatus}}' | grep -c 'Reachable\\|Leader') = 3")
    wait_on(lab, demoted, "docker node ls")


def test_topology_of_a_manager_that_is_gone(lab: LabFolder) -> None:
    gone = follower(lab)
    breaks = (
        Break(
            gone,
            "systemctl stop docker.socket docker.service",
            "systemctl start docker.socket docker.service",
            f"The other managers reach {gone}",
            "is unreachable",
        ),
        Break(
            "manager1",
            "nft 'add table inet check; add chain inet check in { type filter hook input priority -10; }; "
            "add rule inet check in tcp dport 2377 ct state new drop'",
            "nft delete table inet check",
            f"{gone} reaches every manager on port 2377 and meets the CA that the tokens pin",
            "manager1 (192.168.56.10:2377): timed out",
        ),
    )
    with broken(lab, *breaks):
        wait_on(lab, "manager1", f"docker node ls | grep {gone} | grep Unreachable")
        report = verify(lab, "topology")
    assert_named(report, *breaks)
    wait_on(lab, "manager1", "test $(docker node ls --format '{{.ManagerStatus}}' | grep -c 'Reachable\\|Leader') = 3")
    wait_on(lab, "manager1", "! docker node ls --format '{{.Status}}' | grep --invert-match Ready")
    assert_green(lab, "topology")


def dropping(rule: str, *, claim: str, cause: str) -> Break:
    return Break(
        "manager2",
        "nft 'add table inet check; add chain inet check in { type filter hook input priority -10; }; "
        f"add rule inet check in {rule} drop'",
        "nft delete table inet check",
        claim,
        cause,
    )


# In a file: systemd would read $container as a variable of its own.
LEAK = """cat >/root/leak.sh <<'end'
while :; do
    for container in $(docker ps --quiet --filter name=check-.*-other); do
        docker network connect $(docker network ls --format '{{.Name}}' --filter name=check-.*-first) $container
    done
    sleep 0.1
done
end
systemd-run --quiet --unit check-leak sh /root/leak.sh"""


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(
            dropping(
                "udp dport 4789",
                claim="A container on manager1 reaches one on manager2 by address",
                cause="UDP 4789 (VXLAN) is cut between manager1 and manager2",
            ),
            id="VXLAN is cut",
        ),
        pytest.param(
            dropping(
                "udp dport 4789 meta length gt 1400",
                claim="A packet of the network's full size gets from manager1 to manager2 and back",
                cause="small ones get through: is the MTU of the hosts' network below 1500?",
            ),
            id="large packets are lost",
        ),
        pytest.param(
            Break(
                "manager1",
                LEAK,
                "systemctl stop check-leak; rm /root/leak.sh",
                "A container on manager1 does not reach another network by name",
                "from manager1 it reaches check-",
            ),
            id="networks leak",
        ),
    ],
)
def test_overlay(lab: LabFolder, wrong: Break) -> None:
    with broken(lab, wrong):
        report = verify(lab, "overlay")
    assert_named(report, wrong)
    assert report.passed, "all of it failed, so that it names nothing"


def test_overlay_is_green_again(lab: LabFolder) -> None:
    assert_green(lab, "overlay")


def test_services(lab: LabFolder) -> None:
    breaks = (
        Break(
            "manager1",
            "docker node update --availability pause manager2",
            "docker node update --availability active manager2",
            "The replicas are spread over the hosts",
            "manager2 runs 0",
        ),
        Break(
            "manager1",
            "docker swarm update --task-history-limit 0",
            "docker swarm update --task-history-limit 5",
            "`docker service ps` keeps the task that was lost",
            "is not in the history",
        ),
    )
    with broken(lab, *breaks):
        report = verify(lab, "services")
    assert_named(report, *breaks)


def test_services_that_do_not_start(lab: LabFolder) -> None:
    # Nothing runs containers any more, as when runc is broken by an upgrade.
    runc = "/usr/sbin/runc"
    for host in ("manager1", "manager2", "manager3"):
        on(lab, host, f"test -x {runc} && mv {runc} {runc}.away && ln -s /bin/false {runc}")
    try:
        report = verify(lab, "services")
    finally:
        for host in ("manager1", "manager2", "manager3"):
            on(lab, host, f"mv --force {runc}.away {runc}")
    messages = {failure.sentence: failure.message for failure in report.failures}
    assert "runc" in messages["A created service runs its task"], report.explanation()
    assert not report.passed


def test_services_are_green_again(lab: LabFolder) -> None:
    assert_green(lab, "services")


def test_everything_of_the_checks_is_gone(lab: LabFolder) -> None:
    for kind in ("container ls --all", "network ls", "service ls", "config ls"):
        assert on(lab, "manager1", f"docker {kind} --quiet --filter label=provision.check") == "", kind
