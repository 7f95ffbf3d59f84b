"""What the vagrant provider looks at before a machine is touched. A program stands in for Vagrant."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner import lab, state
from provisioner.errors import MachineLacks, UsageError
from provisioner.lab import VagrantSpec
from provisioner.machines.vagrant import description
from provisioner.machines.vagrant.description import Box, Description
from provisioner.machines.vagrant.provider import VagrantProvider
from provisioner.progress import Progress
from provisioner.state import LabFolder

RECORDED = Path(__file__).parent / "vagrant"
VIRTUAL = VagrantSpec(hypervisor="libvirt", packages=True)
SPEC = lab.describe(provider="vagrant", managers=1, user="vagrant", vagrant=VIRTUAL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabFolder:
    """A lab's folder in a home without boxes."""
    program = tmp_path / "bin" / "vagrant"
    _stand_in(
        program, f'[ "$1" != --version ] || {{ echo "Vagrant 2.3.4"; exit; }}\ncat {RECORDED / "plugin-list.csv"}'
    )
    _stand_in(program.with_name("virsh"), "")
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv(state.HOME_VARIABLE, str(tmp_path))
    monkeypatch.setattr("provisioner.machines.sockets.PATH_BYTES", 1000)  # pytest's folders have long names
    return LabFolder(tmp_path, "lab")


def _stand_in(program: Path, script: str) -> None:
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def _provider(folder: LabFolder) -> VagrantProvider:
    return VagrantProvider(folder, state.draft(SPEC))


@pytest.mark.parametrize(("engine", "converged"), [("docker", True), ("swarmd", False)])
def test_a_box_with_dockers_packages_is_all_that_dockers_swarm_mode_needs(
    folder: LabFolder, engine: str, converged: bool
) -> None:
    spec = lab.describe(provider="vagrant", managers=1, user="vagrant", engine=engine, vagrant=VIRTUAL)
    provider = VagrantProvider(folder, state.draft(spec))
    assert provider.prepare(Progress(quiet=True), converged_by="", converge=None) is converged


def test_a_new_lab_needs_the_box(folder: LabFolder) -> None:
    with pytest.raises(MachineLacks, match="there is no box of Debian trixie for libvirt") as caught:
        _provider(folder).preflight()
    assert "provision box build" in caught.value.hint


def test_a_lab_whose_machines_are_made_goes_on_without_it(folder: LabFolder) -> None:
    description.write(
        folder.path / description.FOLDER,
        Description(lab="lab", prefix="lab-1-", hypervisor="libvirt", box=Box(name="provision/trixie"),
                    machines=description.machines(SPEC.hosts)),
    )  # fmt: skip
    assert _provider(folder).preflight() == []


def test_a_folder_too_long_for_the_sockets_below_it_is_refused(
    folder: LabFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provisioner.machines.sockets.PATH_BYTES", 20)
    monkeypatch.setattr(VagrantProvider, "_box", lambda _provider: None)
    with pytest.raises(UsageError, match="bytes long, and a socket's path may have"):
        _provider(folder).preflight()


def test_a_libvirt_that_does_not_answer_is_said_before_anything_is_made(
    folder: LabFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As virsh 9.0 says it.
    _stand_in(
        folder.home / "bin" / "virsh",
        "echo 'error: failed to connect to the hypervisor' >&2\n"
        "echo \"error: Failed to connect socket to '/var/run/libvirt/libvirt-sock': No such file or directory\" >&2\n"
        "exit 1",
    )
    monkeypatch.setattr(VagrantProvider, "_box", lambda _provider: None)
    with pytest.raises(MachineLacks, match="libvirt does not answer: Failed to connect socket") as caught:
        _provider(folder).preflight()
    assert "systemctl start libvirtd" in caught.value.hint
