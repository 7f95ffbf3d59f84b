"""What a new lab is made of where the user leaves it open: provider, hypervisor, subnet."""

from __future__ import annotations

import os
import shutil
import sys
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from provisioner import lab, state
from provisioner.errors import UsageError
from provisioner.lab import LabSpec, VagrantSpec
from provisioner.machines import select
from provisioner.machines.vagrant import choice, emulation


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without labs, hypervisors and KVM."""
    monkeypatch.setenv(state.HOME_VARIABLE, str(tmp_path))
    monkeypatch.delenv("VAGRANT_DEFAULT_PROVIDER", raising=False)
    monkeypatch.setattr(shutil, "which", lambda _program: None)
    monkeypatch.setattr(emulation, "kvm_works", lambda _kernel: False)


def _has(monkeypatch: pytest.MonkeyPatch, *programs: str) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}" if program in programs else None)


def _spec(name: str = "lab", **options: object) -> LabSpec:
    return choice.describe(state.folder(name), options, {})[0]


def test_root_on_linux_gets_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert select.default() == ("lxc", "Linux, root")


def test_a_user_on_linux_gets_virtual_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert select.default()[0] == "vagrant"


def test_another_system_gets_virtual_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert select.default()[0] == "vagrant"


def test_virtualbox_comes_before_libvirt(monkeypatch: pytest.MonkeyPatch) -> None:
    _has(monkeypatch, "VBoxManage", "virsh")
    assert choice.hypervisor({})[0] == "virtualbox"


def test_libvirt_is_taken_where_it_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    _has(monkeypatch, "virsh")
    assert choice.hypervisor({})[0] == "libvirt"


def test_vagrants_own_variable_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    _has(monkeypatch, "VBoxManage")
    monkeypatch.setenv("VAGRANT_DEFAULT_PROVIDER", "libvirt")
    assert choice.hypervisor({}) == ("libvirt", "VAGRANT_DEFAULT_PROVIDER says so")


def test_a_first_lab_gets_the_range_that_virtualbox_allows() -> None:
    assert _spec().subnet == IPv4Network("192.168.56.0/24")


def test_a_second_lab_on_the_same_hypervisor_gets_the_next_subnet() -> None:
    state.create(state.folder("one"), _spec("one", hypervisor="virtualbox"))
    assert _spec("two", hypervisor="virtualbox").subnet == IPv4Network("192.168.57.0/24")


def test_a_lab_on_another_hypervisor_or_with_a_libvirt_of_its_own_takes_no_subnet_away() -> None:
    state.create(state.folder("one"), _spec("one", hypervisor="libvirt", isolated=True))
    state.create(state.folder("two"), _spec("two", hypervisor="libvirt"))
    assert _spec("three", hypervisor="virtualbox").subnet == IPv4Network("192.168.56.0/24")
    assert _spec("four", hypervisor="libvirt", isolated=True).subnet == IPv4Network("192.168.56.0/24")


def test_when_every_subnet_is_in_use_the_lab_is_refused_with_the_reason() -> None:
    for number in range(8):
        state.create(state.folder(f"lab{number}"), _spec(f"lab{number}", hypervisor="virtualbox"))
    with pytest.raises(UsageError, match=r"every /24 of 192\.168\.56\.0/21 is in use"):
        _spec("ninth", hypervisor="virtualbox")


def test_only_libvirt_can_be_the_labs_own() -> None:
    with pytest.raises(UsageError, match="only libvirt can be the lab's own"):
        _spec(hypervisor="virtualbox", isolated=True)


def test_machines_of_a_box_that_is_not_ours_have_whatever_debian_is_in_it() -> None:
    assert _spec(hypervisor="virtualbox", box="bento/debian-13").base is None


def test_waits_for_emulated_machines_are_longer() -> None:
    emulated = lab.describe(vagrant=VagrantSpec(hypervisor="libvirt", emulated=True))
    assert emulated.patience > lab.describe().patience
