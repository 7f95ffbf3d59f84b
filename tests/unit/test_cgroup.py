"""The lab's cgroup: how processes enter it, on folders instead of a kernel's cgroup file system."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from provisioner.errors import ProvisionError
from provisioner.machines.namespaces import cgroup
from provisioner.machines.namespaces.cgroup import LabCgroup


@pytest.fixture
def hierarchies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    v1 = [tmp_path / name for name in ("cpu", "pids", "systemd")]
    for folder in v1:
        folder.mkdir()
    monkeypatch.setattr(cgroup, "mounted_hierarchies", lambda: (v1, []))
    return v1


def test_a_program_enters_the_lab_before_it_starts_and_keeps_its_process_id(hierarchies: list[Path]) -> None:
    lab = LabCgroup("lab.0a1b2c3d")
    with subprocess.Popen(lab.joining("keeper", ["true"])) as process:
        process.wait()
    for hierarchy in ("pids", "systemd"):
        entered = (hierarchies[0].parent / hierarchy / "provision/lab.0a1b2c3d/keeper/cgroup.procs").read_text()
        assert entered == f"{process.pid}\n"
    assert not (hierarchies[0] / "provision").exists(), "our own processes need two hierarchies, not all"


def test_words_of_a_program_are_not_read_by_a_shell(hierarchies: list[Path]) -> None:
    argv = LabCgroup("lab.0a1b2c3d").joining("keeper", ["printf", "%s", "$HOME; a  b"])
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout == "$HOME; a  b"


def test_processes_are_found_in_the_whole_tree(hierarchies: list[Path]) -> None:
    lab = LabCgroup("lab.0a1b2c3d")
    for part, pids in (("keeper", "1\n"), ("host/manager1", "2\n3\n"), ("host/manager1/system.slice", "4\n")):
        lab.directory(part).mkdir(parents=True, exist_ok=True)
        (lab.directory(part) / "cgroup.procs").write_text(pids)
    assert sorted(lab.processes()) == [1, 2, 3, 4]
    assert sorted(lab.processes("host/manager1")) == [2, 3, 4]
    assert lab.processes("host/manager2") == []


def test_only_the_labs_own_tree_is_removed(hierarchies: list[Path]) -> None:
    (hierarchies[0] / "provision" / "other.99999999").mkdir(parents=True)
    (hierarchies[0] / "provision" / "lab.0a1b2c3d" / "host" / "manager1").mkdir(parents=True)
    LabCgroup("lab.0a1b2c3d").remove()
    assert [path.name for path in (hierarchies[0] / "provision").iterdir()] == ["other.99999999"]


@pytest.fixture
def unified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Version 2 only, with this process in a scope of systemd's."""
    (tmp_path / "user.slice" / "run-1.scope").mkdir(parents=True)
    monkeypatch.setattr(cgroup, "mounted_hierarchies", lambda: ([], [tmp_path]))
    monkeypatch.setattr(cgroup, "_own_cgroups", lambda: {"": "/user.slice/run-1.scope"})
    return tmp_path


def test_with_version_2_a_process_is_in_one_place_and_goes_back_to_where_it_was(unified: Path) -> None:
    lab = LabCgroup("lab.0a1b2c3d")
    assert lab.own == (unified,)
    with lab.joined():
        assert (lab.directory("work") / "cgroup.procs").read_text() == str(os.getpid())
    assert (unified / "user.slice/run-1.scope/cgroup.procs").read_text() == str(os.getpid())


def test_a_process_whose_scope_has_gone_meanwhile_does_not_stay_in_the_lab(unified: Path) -> None:
    with LabCgroup("lab.0a1b2c3d").joined():
        (unified / "user.slice/run-1.scope").rmdir()
    assert (unified / "cgroup.procs").read_text() == str(os.getpid())


def test_with_version_2_a_part_is_frozen_and_thawed_by_one_word(unified: Path) -> None:
    lab = LabCgroup("lab.0a1b2c3d")
    lab.directory("host/manager1").mkdir(parents=True)
    (lab.directory("host/manager1") / "cgroup.events").write_text("populated 1\nfrozen 1\n")
    freeze = lab.directory("host/manager1") / "cgroup.freeze"
    lab.freeze("host/manager1")
    assert freeze.read_text() == "1"
    lab.thaw("host/manager1")
    assert freeze.read_text() == "0"


def test_what_does_not_stand_still_goes_on_and_is_named(unified: Path) -> None:
    lab = LabCgroup("lab.0a1b2c3d")
    lab.directory("host/manager1").mkdir(parents=True)
    (lab.directory("host/manager1") / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    with pytest.raises(ProvisionError, match="host/manager1 do not stand still"):
        lab.freeze("host/manager1", seconds=0)
    assert (lab.directory("host/manager1") / "cgroup.freeze").read_text() == "0"


def test_a_part_that_is_not_there_need_not_be_thawed(unified: Path, hierarchies: list[Path]) -> None:
    LabCgroup("lab.0a1b2c3d").thaw("host/manager1")
