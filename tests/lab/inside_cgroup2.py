"""What is to hold on a machine with a stock Debian kernel, systemd and cgroup v2 only. Run on it, by test_cgroup2.py.

In this order. Standard error is not captured, so that whoever waits sees how far it is.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import leftovers
import pytest
from conftest import PROVISION

from provisioner import state
from provisioner.machines.namespaces import uplink
from provisioner.machines.namespaces.cgroup import LabCgroup
from provisioner.machines.namespaces.keeper import Keeper
from provisioner.state import LabFolder

LAB = "lab"
CGROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = {"cpu", "cpuset", "io", "memory", "pids"}
# Debian loads them when it boots; compiling all the others takes a minute under emulation.
PROFILES = ("lxc-containers", "usr.bin.lxc-start", "usr.bin.lxc-copy", "slirp4netns")


def _start(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROVISION, *words], stdout=subprocess.PIPE, text=True, timeout=1800, check=False)


def _provision(*words: str) -> str:
    done = _start(*words)
    assert done.returncode == 0, f"provision {' '.join(words)}: exit {done.returncode}\n{done.stdout}"
    return done.stdout


def _host(text: str) -> str:
    return _provision("ssh", "manager1", "--", text).strip()


def _run(*argv: str) -> str:
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, timeout=120).stdout


@pytest.fixture(scope="module")
def before() -> leftovers.Machine:
    return leftovers.machine()


def _lacking() -> dict[str, str]:
    """What the doctor of labs on LXC has found fault with, and its cures."""
    findings = json.loads(_start("doctor", "--json").stdout)
    return {
        finding["subject"]: finding["cure"]
        for finding in findings
        if finding["provider"] == "lxc" and finding["verdict"] != "ok"
    }


def test_the_machine_is_as_debian_makes_it() -> None:
    assert Path("/proc/1/comm").read_text() == "systemd\n"
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    assert [mount for mount in mounts if mount[1].startswith("cgroup")] == [[str(CGROUPS), "cgroup2"]]
    assert Path("/sys/module/apparmor/parameters/enabled").read_text() == "Y\n"
    _run("apparmor_parser", "--replace", *(f"/etc/apparmor.d/{name}" for name in PROFILES))


def test_up_needs_nothing_to_be_done_before(before: leftovers.Machine) -> None:
    _provision("up", "--managers", "1", "--offline", "--no-verify")
    assert json.loads(_provision("status", "--json"))["hosts"][0]["state"] == "running"


def test_what_the_doctor_advises_mends_what_it_finds() -> None:
    lacking = _lacking()
    print("\nthe doctor's advice:", lacking)
    assert "kernel ip_vs" not in lacking, "it is loaded by whoever looks for it"
    for cure in lacking.values():
        _run("sh", "-c", cure)
    assert _lacking() == {}


def test_stopped_hosts_start_again() -> None:
    _provision("stop")
    _provision("start")
    assert json.loads(_provision("status", "--json"))["quorum"]["reachable"] == ["manager1"]


def test_the_lab_is_in_a_cgroup_of_its_own_and_leaves_systemds_alone() -> None:
    (tree,) = leftovers.cgroups_of(LAB)
    assert {path.name for path in tree.iterdir() if path.is_dir()} >= {"host", "keeper", "monitor", "services"}
    assert [path for path in CGROUPS.rglob("*manager1*") if tree not in path.parents] == []
    assert Path("/proc/self/cgroup").read_text() == "0::/system.slice/test.service\n"


def test_hosts_keep_their_controllers_whatever_systemd_does_with_its_own() -> None:
    _run("systemctl", "daemon-reload")
    _run("systemd-run", "--quiet", "--wait", "--property=IOWeight=50", "--property=AllowedCPUs=0", "true")
    assert set(_host("cat /sys/fs/cgroup/cgroup.controllers").split()) >= CONTROLLERS


def test_docker_on_a_host_lacks_nothing() -> None:
    info = json.loads(_host("docker info --format '{{json .}}'"))
    assert (info["CgroupVersion"], info["CgroupDriver"]) == ("2", "systemd")
    assert all(info[what] for what in ("MemoryLimit", "CpuCfsQuota", "PidsLimit", "CPUSet"))
    assert info["Warnings"] in (None, [])


def test_every_check_passes_virtual_ips_and_the_routing_mesh_included() -> None:
    done = _start("verify", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0, report["failures"]
    assert report["impossible"] == {}
    print("\nchecks:", report["passed"])


def test_limits_of_a_container_are_the_kernels() -> None:
    limits = "--memory 64m --cpus 0.5 --pids-limit 20 --cpuset-cpus 1"
    files = " ".join(f"/sys/fs/cgroup/{name}" for name in ("memory.max", "cpu.max", "pids.max", "cpuset.cpus"))
    read = _host(f"docker run --rm --network none {limits} busybox cat {files}")
    assert read.splitlines() == [str(64 << 20), "50000 100000", "20", "1"]


def test_down_leaves_nothing(before: leftovers.Machine) -> None:
    _provision("down")
    assert leftovers.of_home(state.home(), LAB) == leftovers.Leftovers()
    assert leftovers.machine() == before
    assert not (CGROUPS / "provision").exists()


@pytest.fixture
def default_route() -> Iterator[None]:
    """What `up` takes as a way out; it leads nowhere."""
    _run("ip", "link", "add", "out", "type", "dummy")
    _run("ip", "address", "add", "198.51.100.2/24", "dev", "out")
    _run("ip", "link", "set", "out", "up")
    _run("ip", "route", "add", "default", "via", "198.51.100.1")
    yield
    _run("ip", "link", "delete", "out")


def test_a_lab_has_a_way_out(default_route: None, tmp_path: Path) -> None:
    assert uplink.is_possible()
    lab, cgroup = LabFolder(tmp_path, "out"), LabCgroup("out.00000000")
    lab.path.mkdir(parents=True)
    keeper = Keeper(lab, cgroup)
    try:
        keeper.start()
        uplink.start(keeper, "services", tmp_path / "uplink.log")
        assert f"dev {uplink.NAME}" in keeper.run(["ip", "route", "show", "default"]).stdout
    finally:
        cgroup.kill()
        cgroup.remove()
    assert not (CGROUPS / "provision").exists()
