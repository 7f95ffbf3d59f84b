"""Vagrant's answers in our words. A program stands in for Vagrant that prints what Vagrant 2.3.4 has printed."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from provisioner import lab
from provisioner.errors import LabBusy, MachineLacks, ProvisionError
from provisioner.machines.vagrant import description
from provisioner.machines.vagrant.client import Access, VagrantClient, state_of, too_old
from provisioner.machines.vagrant.description import Box, Description

RECORDED = Path(__file__).parent / "vagrant"


class Stage:
    """A folder with a `vagrant` on the PATH, and a client that finds it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        monkeypatch.setenv("PATH", f"{self.bin}:/usr/bin:/bin")
        spec = lab.describe(managers=3)
        description.write(
            folder / "vagrant",
            Description(lab="course", prefix="c-", hypervisor="libvirt", box=Box(name="b"),
                        machines=description.machines(spec.hosts)),
        )  # fmt: skip

    def vagrant(self, script: str) -> None:
        program = self.bin / "vagrant"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def says(self, recorded: str, status: int = 0) -> None:
        self.vagrant(f"cat {shlex.quote(str(RECORDED / recorded))}; exit {status}")

    def client(self, hypervisor: lab.Hypervisor = "libvirt", **options) -> VagrantClient:
        return VagrantClient(
            self.folder / "vagrant", hypervisor, new_log=lambda verb: self.folder / f"{verb}.log", **options
        )


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)


# -- what the machine lacks -------------------------------------------------------------------------------------------


def test_a_vagrant_that_is_missing_is_said(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(stage.bin))
    for question in (stage.client().preflight, stage.client().status, lambda: stage.client().up(["manager1"])):
        with pytest.raises(MachineLacks, match="Vagrant is not on this machine"):
            question()


def test_a_vagrant_that_is_too_old_is_said(stage: Stage) -> None:
    stage.vagrant("echo Vagrant 2.2.19")
    with pytest.raises(MachineLacks, match=r"Vagrant is 2\.2\.19, and 2\.3 is the oldest"):
        stage.client().preflight()


@pytest.mark.parametrize(("version", "old"), [("2.3.4", False), ("2.4.9", False), ("3.0.0", False), ("2.2.19", True)])
def test_versions_are_compared_by_number(version: str, old: bool) -> None:
    assert too_old(version) is old


def test_a_plugin_that_is_missing_is_said(stage: Stage) -> None:
    stage.vagrant('[ "$1" = --version ] && echo Vagrant 2.3.4; exit 0')
    with pytest.raises(MachineLacks, match="plug-in vagrant-libvirt is not installed") as caught:
        stage.client().preflight()
    assert "vagrant plugin install vagrant-libvirt" in caught.value.hint
    stage.client("virtualbox").preflight()  # which needs none


def test_with_both_there_is_nothing_to_say(stage: Stage) -> None:
    stage.vagrant(f'[ "$1" = --version ] && echo Vagrant 2.3.4 || cat {RECORDED}/plugin-list.csv')
    stage.client("libvirt").preflight()
    stage.client("lxc").preflight()


# -- states and ways in -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recorded", "state"), [("status-running.csv", "running"), ("status-halted.csv", "stopped"),
                            ("status-saved.csv", "stopped")],
)  # fmt: skip
def test_the_status_of_libvirts_machines(stage: Stage, recorded: str, state: str) -> None:
    """Vagrant says the same of a halted and of a saved one: virsh is asked for that."""
    stage.says(recorded)
    assert stage.client().status() == {"manager1": state}


@pytest.mark.parametrize(
    ("word", "state"),
    [
        # vagrant 2.3.4, plugins/providers/virtualbox/driver/base.rb and action/: VirtualBox's own words
        ("running", "running"), ("poweroff", "stopped"), ("aborted", "stopped"), ("saved", "saved"),
        ("paused", "saved"), ("gurumeditation", "stopped"), ("not_created", "absent"),
        # vagrant-lxc 1.4.3, lib/vagrant-lxc/driver/cli.rb
        ("stopped", "stopped"), ("frozen", "saved"), ("starting", "running"),
        # vagrant-libvirt 0.11.2, lib/vagrant-libvirt/driver.rb: it runs, its address is not known yet
        ("inaccessible", "running"),
    ],
)  # fmt: skip
def test_each_hypervisors_words_for_a_state(word: str, state: str) -> None:
    assert state_of(word) == state


def test_how_ssh_reaches_a_machine(stage: Stage) -> None:
    stage.says("ssh-config.txt")
    key = Path("/var/lib/provision/labs/lab/vagrant/home/insecure_private_key")
    assert stage.client().ssh_config(["manager1"]) == {"manager1": Access("192.168.121.43", 22, "vagrant", key)}


def test_several_machines_and_keys_are_told_apart(stage: Stage) -> None:
    section = (
        'Host {}\n  HostName 127.0.0.1\n  User vagrant\n  Port {}\n  IdentityFile "/a b/{}"\n  IdentityFile /z\n\n'
    )
    text = section.format("manager1", 2222, "one") + section.format("manager2", 2200, "two")
    stage.vagrant(f"cat <<'END'\n{text}END")
    found = stage.client("virtualbox").ssh_config(["manager1", "manager2"])
    assert found == {
        "manager1": Access("127.0.0.1", 2222, "vagrant", Path("/a b/one")),
        "manager2": Access("127.0.0.1", 2200, "vagrant", Path("/a b/two")),
    }


def test_a_halted_machine_is_not_asked_for(stage: Stage) -> None:
    stage.says("status-halted.csv")
    assert stage.client().ssh_config() == {}


def test_a_question_that_fails_is_explained(stage: Stage) -> None:
    stage.says("ssh-config-halted.txt", status=1)
    with pytest.raises(ProvisionError, match="a machine does not run"):
        stage.client().ssh_config(["manager1"])


# -- what takes minutes -----------------------------------------------------------------------------------------------


def test_several_machines_are_one_call(stage: Stage) -> None:
    stage.vagrant('echo "$@"')
    told: list[str] = []
    client = stage.client()
    client.up(["manager1", "manager2"], told=lambda _, text: told.append(text))
    client.halt(["manager2"], told=lambda _, text: told.append(text))
    client.destroy(["manager1", "manager2"], told=lambda _, text: told.append(text))
    assert told == [
        "up /^(manager1|manager2)$/ --provider=libvirt", "halt manager2", "destroy /^(manager1|manager2)$/ --force"
    ]  # fmt: skip


def test_machines_start_one_by_one_where_that_is_asked_for_or_needed(stage: Stage) -> None:
    stage.vagrant('echo "one by one: ${VAGRANT_NO_PARALLEL:-no}"')
    told: list[str] = []
    stage.client().up(["manager1"], told=lambda _, text: told.append(text))
    stage.client().up(["manager1"], parallel=False, told=lambda _, text: told.append(text))
    stage.client("lxc").up(["manager1"], told=lambda _, text: told.append(text))
    assert told == ["one by one: no", "one by one: 1", "one by one: 1"]


def test_a_call_that_fails_is_explained_and_leaves_its_log(stage: Stage) -> None:
    stage.says("locked.txt", status=1)
    with pytest.raises(LabBusy, match="another Vagrant is at work on manager1") as caught:
        stage.client().up(["manager1"])
    assert caught.value.log is not None
    assert "it is locked!" in caught.value.log.read_text()


def test_what_the_users_shell_says_to_vagrant_stays_there(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VAGRANT_VAGRANTFILE", "VAGRANT_DOTFILE_PATH", "VAGRANT_DEFAULT_PROVIDER", "VAGRANT_HOME"):
        monkeypatch.setenv(name, "/users")
    own = stage.client().environment
    assert own["VAGRANT_HOME"] == "/users", "his boxes are there"
    assert {name for name, value in own.items() if value == "/users"} == {"VAGRANT_HOME"}
    assert own["VAGRANT_CWD"] == str(stage.folder / "vagrant")
    assert stage.client(home=Path("/lab/home")).environment["VAGRANT_HOME"] == "/lab/home"


def test_it_can_be_run_elsewhere(stage: Stage) -> None:
    stage.vagrant('echo "$INSIDE"')
    told: list[str] = []
    client = stage.client(inside=lambda argv: ["env", "INSIDE=yes", *map(str, argv)])
    client.up(["manager1"], told=lambda _, text: told.append(text))
    assert told == ["yes"]


def test_a_machine_that_was_taken_away_can_be_forgotten(stage: Stage) -> None:
    folder = stage.folder / "vagrant" / ".vagrant" / "machines" / "manager1" / "libvirt"
    folder.mkdir(parents=True)
    (folder / "id").write_text("311e5dbf-4c17-4e5c-9a4f-6ad4b1d2a9c0")
    client = stage.client()
    assert client.machine_id("manager1") == "311e5dbf-4c17-4e5c-9a4f-6ad4b1d2a9c0"
    client.forget("manager1")
    assert client.machine_id("manager1") == ""
    client.forget("manager1")


def test_importing_it_without_vagrant_says_nothing(tmp_path: Path) -> None:
    """python-vagrant warns on standard error as it is imported."""
    done = subprocess.run(
        [sys.executable, "-c", "import provisioner.machines.vagrant.client"],
        env={**os.environ, "PATH": str(tmp_path)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
