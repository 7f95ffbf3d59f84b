"""A manager whose disk is full: its daemon and its tasks live on, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import must, new_lab, run_provision
from on_hosts import ROLES, on, until

from provisioner.state import LabFolder

pytestmark = pytest.mark.slow

SERVICES = "docker service ls --format '{{.Name}} {{.Replicas}}'"
ALL_REACHABLE = "manager1 Leader\nmanager2 Reachable\nmanager3 Reachable"
# etcd preallocates two segments of 64 MB for its log, and a snapshot may lie beside them for a moment.
MEGABYTES = 300


@pytest.fixture(scope="module")
def lab() -> Iterator[LabFolder]:
    """Three managers, of which manager3 has its state on a file system that can be filled."""
    with new_lab("full", "--managers", "3", "--engine", "swarmd") as lab:
        must(run_provision("images", "load", "busybox", "--name", lab.name))
        small = f"mount -t tmpfs -o mode=700,size={MEGABYTES}m small /var/lib/swarmd"
        on(
            lab,
            "manager3",
            "systemctl stop swarmd swarmd-etcd && cp -a /var/lib/swarmd /root/kept"
            f" && {small} && cp -a /root/kept/. /var/lib/swarmd/ && systemctl start swarmd",
        )
        until(lab, "manager1", ROLES, ALL_REACHABLE)
        yield lab


def fill(lab: LabFolder) -> None:
    on(lab, "manager3", "dd if=/dev/zero of=/var/lib/swarmd/fill bs=64k 2>/dev/null || :")
    assert on(lab, "manager3", "df --output=avail /var/lib/swarmd | tail -1") == "0"


def test_on_a_full_disk_tasks_run_and_the_daemon_answers(lab):
    on(lab, "manager1", "docker service create --detach --init --name before --replicas 3 busybox sleep 3600")
    until(lab, "manager1", SERVICES, "before 3/3")
    daemon = on(lab, "manager3", "systemctl show -P MainPID swarmd")
    fill(lab)
    on(lab, "manager1", "docker service create --detach --init --name during --replicas 3 busybox sleep 3600")
    until(lab, "manager1", SERVICES, "before 3/3\nduring 3/3")
    assert on(lab, "manager3", "docker info --format '{{.Swarm.LocalNodeState}}' 2>/dev/null") == "active"
    assert on(lab, "manager3", "systemctl show -P MainPID swarmd") == daemon
    on(lab, "manager1", "docker service rm before")
    until(lab, "manager3", "docker ps --all --quiet --filter label=com.docker.swarm.service.name=before", "")


def test_an_etcd_that_cannot_write_comes_back_when_there_is_room(lab):
    # A member that begins anew needs room at once; one that runs may have room left in its preallocated log.
    on(lab, "manager3", "systemctl restart swarmd swarmd-etcd || :")
    on(lab, "manager1", "docker service create --detach --name kept --replicas 0 busybox")
    assert "kept" in on(lab, "manager1", SERVICES)
    running = "docker ps --quiet --filter label=com.docker.swarm.service.name=during | wc -l"
    until(lab, "manager3", running, "1")
    on(lab, "manager3", "rm /var/lib/swarmd/fill")
    until(lab, "manager1", ROLES, ALL_REACHABLE)
    until(lab, "manager3", SERVICES, "during 3/3\nkept 0/0")
    assert on(lab, "manager3", "systemctl --failed --plain --no-legend") == ""
