"""What is said to libvirt and read from it, and how a lab has a libvirt of its own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from provisioner import lab, state
from provisioner.errors import MachineLacks
from provisioner.machines.namespaces import cgroup
from provisioner.machines.namespaces.cgroup import LabCgroup
from provisioner.machines.namespaces.keeper import Keeper
from provisioner.machines.vagrant import emulation
from provisioner.machines.vagrant.box.store import Box
from provisioner.machines.vagrant.libvirt import definitions
from provisioner.machines.vagrant.libvirt.isolated import IsolatedLibvirt
from provisioner.machines.vagrant.libvirt.virsh import Virsh, parse_domains, parse_macs

RECORDED = Path(__file__).parent / "vagrant"
DNSMASQ = "{http://libvirt.org/schemas/network/dnsmasq/1.0}"


# -- virsh ------------------------------------------------------------------------------------------------------------


def test_a_saved_machine_is_told_from_a_halted_one() -> None:
    assert parse_domains((RECORDED / "virsh-list.txt").read_text()) == {"manager1": "saved"}
    # virsh(1), `list`: the other words
    table = " 1   manager1   running\n -   manager2   shut off\n 3   manager3   in shutdown\n 4   w   paused\n"
    assert parse_domains(table) == {
        "manager1": "running", "manager2": "stopped", "manager3": "running", "w": "saved"
    }  # fmt: skip


def test_machines_are_known_to_vagrant_by_their_uuid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "virsh"
    program.write_text(
        "#!/bin/sh\nprintf '311e5dbf-4c17-4e5c-9a4f-6ad4b1d2a9c0 manager1                      \\n\\n'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert Virsh().uuids() == {"manager1": "311e5dbf-4c17-4e5c-9a4f-6ad4b1d2a9c0"}


def test_the_links_of_a_machine() -> None:
    text = (RECORDED / "virsh-domiflist.txt").read_text()
    assert parse_macs(text) == ["52:54:00:2e:0b:50", "52:54:00:f5:b3:14"]


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A virsh that knows manager1 (running) and manager2 (halted), and writes down what it was told to do."""
    said = tmp_path / "said"
    said.touch()
    program = tmp_path / "virsh"
    program.write_text(
        f"""#!/bin/sh
shift 3
case $1 in
  list) printf ' 1   manager1   running\\n -   manager2   shut off\\n' ;;
  domiflist) cat {RECORDED}/virsh-domiflist.txt ;;
  vol-list) printf ' %s /images/x\\n' manager1.img manager3.img provision_vagrant_box_image_1_box.img ;;
  *) echo "$*" >> {said} ;;
esac
"""
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return said


def test_links_go_before_machines_when_the_plug_is_pulled(said: Path) -> None:
    Virsh().power_off(["manager1", "manager2", "manager9"])
    assert said.read_text().splitlines() == [
        "domif-setlink manager1 52:54:00:2e:0b:50 down; domif-setlink manager1 52:54:00:f5:b3:14 down",
        "destroy manager1",
    ]


def test_nothing_is_done_where_nothing_runs(said: Path) -> None:
    Virsh().power_off(["manager2"])
    assert said.read_text() == ""


def test_a_disk_without_a_machine_is_an_orphan_and_a_box_is_not(said: Path) -> None:
    assert Virsh().orphan_volumes("default", "manager1", "manager2", "manager3") == ["manager3.img"]


def test_a_machine_that_is_gone_is_removed_with_its_disk(said: Path) -> None:
    Virsh().remove_domain("manager3", "default")
    assert said.read_text().splitlines() == ["vol-delete manager3.img --pool default"]


# -- networks and pool ------------------------------------------------------------------------------------------------


def parsed(xml: str) -> ET.Element:
    return ET.fromstring(xml)  # noqa: S314 (our own)


def test_the_labs_network_has_the_gateway_and_no_way_out() -> None:
    network = parsed(definitions.lab_network(lab.describe(subnet=IPv4Network("10.9.0.0/16"))))
    ip = network.find("ip")
    assert ip is not None
    assert (ip.get("address"), ip.get("netmask")) == ("10.9.0.1", "255.255.0.0")
    assert network.find("forward") is None
    assert network.find("ip/dhcp") is None


@pytest.mark.parametrize(("upstream", "answer"), [("100.64.0.3", "server=100.64.0.3"), (None, "address=/#/")])
def test_addresses_are_leased_without_a_ping_and_names_answered_at_once(upstream: str | None, answer: str) -> None:
    network = parsed(definitions.management_network(lab.describe(managers=2), upstream))
    options = [option.get("value") for option in network.iterfind(f"{DNSMASQ}options/{DNSMASQ}option")]
    assert "no-ping" in options
    assert answer in options
    names = {host.findtext("hostname"): host.get("ip") for host in network.iterfind("dns/host")}
    assert names == {"manager1": "192.168.56.10", "manager2": "192.168.56.11"}


def test_the_two_networks_never_share_addresses() -> None:
    for subnet in ("192.168.121.0/24", "192.168.122.0/24", "192.168.0.0/16"):
        spec = lab.describe(subnet=IPv4Network(subnet))
        assert not definitions.management_subnet(spec).overlaps(spec.network)


# -- a libvirt of the lab's own ---------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> IsolatedLibvirt:
    monkeypatch.setattr(cgroup, "mounted_hierarchies", lambda: ([tmp_path / "pids"], []))
    folder = state.LabFolder(tmp_path, "course")
    return IsolatedLibvirt(folder, lab.describe(), Keeper(folder, LabCgroup("course.0a1b2c3d")))


def test_a_box_is_shared_with_the_cache_not_copied(own: IsolatedLibvirt, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    for file in ("box.img", "vmlinux", "initrd", "metadata.json", "trixie-libvirt.box"):
        (folder / file).write_text(file)
    box = Box(name="provision/trixie", version="13.1", provider="libvirt", key="k", base="trixie", docker=True,
              path=folder / "trixie-libvirt.box", sha256="")  # fmt: skip
    own.place(box)
    own.place(box)
    volume = own.folder / "lib/images/provision-VAGRANTSLASH-trixie_vagrant_box_image_13.1_box.img"
    known = own.vagrant_home / "boxes/provision-VAGRANTSLASH-trixie/13.1/libvirt"
    assert volume.stat().st_ino == (known / "box.img").stat().st_ino == (folder / "box.img").stat().st_ino
    assert sorted(path.name for path in known.iterdir()) == [
        "Vagrantfile", "box.img", "initrd", "metadata.json", "vmlinux"
    ]  # fmt: skip
    subprocess.run(["rm", "-r", folder], check=True)
    assert volume.read_text() == "box.img", "the lab outlives the cache"


def test_what_is_seen_of_a_machine_at_work(own: IsolatedLibvirt) -> None:
    own.consoles.mkdir(parents=True)
    own.console("manager1").write_text("one\n")
    before = own.activity()
    assert own.activity() == before
    own.console("manager1").write_text("one\ntwo\n")
    assert own.activity() != before


# -- the emulator -----------------------------------------------------------------------------------------------------


@pytest.fixture
def qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder / emulation.SYSTEM


def script(program: Path, text: str) -> None:
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)


def test_the_emulator_changes_one_word_and_no_other(qemu: Path, tmp_path: Path) -> None:
    script(qemu, 'for word do echo "<$word>"; done')
    wrapper = emulation.write_wrapper(tmp_path / "emulator")
    words = ["-accel", "tcg", "-name", "a b", "", "tcg2", "$HOME"]
    done = subprocess.run([wrapper, *words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "<-accel>", "<tcg,thread=multi,tb-size=512>", "<-name>", "<a b>", "<>", "<tcg2>", "<$HOME>"
    ]  # fmt: skip


def test_the_emulator_is_as_old_as_qemu(qemu: Path, tmp_path: Path) -> None:
    """libvirt asks an emulator that has changed for all that it can do, which takes seconds."""
    script(qemu, "true")
    wrapper = emulation.write_wrapper(tmp_path / "emulator")
    first = wrapper.stat().st_ino
    assert emulation.write_wrapper(wrapper).stat().st_ino == first
    qemu.chmod(0o700)  # another QEMU in its place, of another time
    assert emulation.write_wrapper(wrapper).stat().st_ino != first


def test_a_kernel_that_speaks_has_booted(qemu: Path) -> None:
    script(qemu, "echo '[    0.000000] Linux version 6.12'; exit 1")
    assert emulation.boots(Path("vmlinux"), accelerator="kvm", cpu="host")


def test_a_qemu_that_hangs_is_no_kvm_and_is_ended(qemu: Path) -> None:
    script(qemu, "echo 'KVM internal error. Suberror: 1' >&2; while :; do sleep 0.05; done")
    assert not emulation.boots(Path("vmlinux"), accelerator="kvm", cpu="host", seconds=0.3)
    assert [pid for pid, words in _command_lines() if str(qemu) in words] == []


def _command_lines() -> Iterator[tuple[str, str]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.parent.name, path.read_text(errors="replace")


def test_the_answer_is_remembered_until_the_machine_boots_again(
    qemu: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(state.HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setattr(emulation, "KVM", tmp_path)
    monkeypatch.setattr(emulation, "_BOOT_ID", tmp_path / "boot_id")
    (tmp_path / "boot_id").write_text("one\n")
    script(qemu, "echo Linux version")
    assert emulation.kvm_works(Path("vmlinux"))
    script(qemu, "exit 1")
    assert emulation.kvm_works(Path("vmlinux")), "remembered"
    (tmp_path / "boot_id").write_text("two\n")
    assert not emulation.kvm_works(Path("vmlinux"))
    assert json.loads((tmp_path / "home/cache/kvm.json").read_text()) == {"boot": "two", "works": False}


def test_without_the_device_there_is_no_kvm_and_without_qemu_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulation, "KVM", tmp_path / "none")
    assert not emulation.kvm_works(Path("vmlinux"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineLacks, match=emulation.SYSTEM):
        emulation.boots(Path("vmlinux"), accelerator="tcg", cpu="qemu64")
