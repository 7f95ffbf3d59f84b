"""The lxc provider on a machine as most users have it: Debian's own kernel, systemd, cgroup v2 only.

Such a machine is emulated, and `inside_cgroup2.py` is run on it, offline, with the caches of this one. Ten minutes.
"""

from __future__ import annotations

import re
import secrets
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from conftest import must, run_provision
from virtual_machine import PLACE, TESTS, VirtualMachine

from provisioner import images, state
from provisioner.progress import Progress

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
HOME = Path("/var/lib/provision")  # on the machine
RESULT = Path("/root/result.xml")
# Developers' tools, which a user who only makes labs does not need.
NOT_NEEDED = {"python3-venv", "shellcheck", "dpkg-dev"}
# The kernel's package recommends it, so that every Debian has it.
USUAL = ["apparmor"]


@pytest.fixture
def machine(short_folder: Path) -> VirtualMachine:
    machine = VirtualMachine(short_folder)
    layers = _warm_caches()
    machine.install_debian([*_packages(), *USUAL])
    machine.install_provision(ROOT, python_root=layers[-1])
    _fill(machine, layers)
    return machine


def _fill(machine: VirtualMachine, layers: list[Path]) -> None:
    for layer in layers:
        machine.add(layer, HOME / layer.relative_to(state.home()))
    for name in images.names():
        archive = images.archive(name, Progress(quiet=True))
        machine.add_file(archive.read_bytes(), HOME / archive.relative_to(state.home()))
    # It would compile a hundred profiles while it boots; the ones that matter here are loaded by the tests.
    machine.add_link(Path("/etc/systemd/system/apparmor.service"), Path("/dev/null"))
    for name in ("conftest.py", "leftovers.py", "inside_cgroup2.py"):
        machine.add_file(Path(__file__).with_name(name).read_bytes(), Path("/") / TESTS / name)
    python = Path("/") / PLACE / "bin/python3"
    machine.run_when_booted(
        [python, "-m", "pytest", "-v", "-s", "-p", "no:cacheprovider", f"--junit-xml={RESULT}",
         f"--rootdir=/{TESTS}", f"/{TESTS}/inside_cgroup2.py"],
        result=RESULT,
    )  # fmt: skip
    machine.write_disk()


def _packages() -> list[str]:
    """Those that the Makefile installs, by which a user comes to this provider."""
    found = re.search(r"^PACKAGES := ((?:.*\\\n)*.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found
    return [word for word in found[1].replace("\\\n", " ").split() if word not in NOT_NEEDED]


def _warm_caches() -> list[Path]:
    """The layers that hosts are made of, the base image last."""
    name = f"warm-{secrets.token_hex(2)}"
    must(run_provision("up", "--name", name, "--managers", "1", "--offline", "--no-verify"))
    try:
        return [Path(line) for line in (state.folder(name).path / "layers").read_text().splitlines()]
    finally:
        must(run_provision("down", "--name", name))


def test_the_lxc_provider_on_a_machine_with_cgroup_v2_only(
    machine: VirtualMachine, capsys: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    outcome = machine.run()
    seconds = time.monotonic() - started
    assert outcome, f"nothing was run on the machine; its console:\n{machine.last_lines()}"
    cases = list(ElementTree.fromstring(outcome).iter("testcase"))  # noqa: S314 (our own)
    with capsys.disabled():
        print(f"\n{seconds:.0f} s from power-on to power-off")
        for case in cases:
            print(f"  {float(case.get('time', 0)):6.1f} s  {case.get('name')}")
    bad = [
        f"{case.get('name')}: {problem.text}"
        for case in cases
        for problem in case
        if problem.tag in ("failure", "error")
    ]
    assert not bad, "\n".join([*bad, machine.last_lines()])
    assert cases
