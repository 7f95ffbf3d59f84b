"""What boxes are made of: archives, boot sector, kernel, order of modules, and the key that decides them."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import tarfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

from provisioner.errors import ProvisionError
from provisioner.lab import Base
from provisioner.machines.vagrant.box import bootloader, cpio, formats, kernel
from provisioner.machines.vagrant.box.definition import DISK_BYTES, Definition
from provisioner.machines.vagrant.box.rootfs import RootArchive

MODULES_DEP = """\
kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko
kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko
kernel/net/core/failover.ko:
kernel/drivers/block/virtio_blk.ko.xz:
kernel/drivers/ata/sd-mod.ko:
"""


def test_a_module_is_loaded_after_all_that_it_needs() -> None:
    assert kernel.load_order(MODULES_DEP, ("virtio_net",)) == [
        "kernel/net/core/failover.ko",
        "kernel/drivers/net/net_failover.ko",
        "kernel/drivers/net/virtio_net.ko",
    ]


def test_a_module_that_two_need_is_loaded_once() -> None:
    ordered = kernel.load_order(MODULES_DEP, ("net_failover", "virtio_net"))
    assert len(ordered) == len(set(ordered)) == 3


def test_a_driver_that_is_built_into_the_kernel_is_no_module_to_load() -> None:
    assert kernel.load_order(MODULES_DEP, ("ext4",)) == []


def test_a_module_is_found_by_its_name_whatever_its_file_is_called() -> None:
    assert kernel.load_order(MODULES_DEP, ("sd_mod", "virtio_blk")) == [
        "kernel/drivers/ata/sd-mod.ko",
        "kernel/drivers/block/virtio_blk.ko.xz",
    ]


@pytest.mark.skipif(shutil.which("busybox") is None, reason="busybox is what reads the archive here")
def test_an_initrd_archive_is_read_by_another_program(tmp_path: Path) -> None:
    packed = cpio.archive(
        [
            cpio.folder("bin"),
            cpio.program("bin/busybox", b"\x7fELF odd length"),
            cpio.link("bin/sh", "busybox"),
            cpio.file("empty", b""),
        ]
    )
    subprocess.run(["busybox", "cpio", "-i", "-d"], input=packed, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "bin/busybox").read_bytes() == b"\x7fELF odd length"
    assert (tmp_path / "bin/busybox").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "bin/sh").readlink() == Path("busybox")
    assert (tmp_path / "empty").read_bytes() == b""


def test_an_initrd_archive_keeps_to_the_format() -> None:
    packed = cpio.archive([cpio.character_device("dev/console", 5, 1)])
    assert packed.startswith(b"070701")
    fields = [int(packed[6 + 8 * number : 14 + 8 * number], 16) for number in range(13)]
    assert fields[1] == 0o020600
    assert fields[5] == 0, "its time is fixed"
    assert fields[9:11] == [5, 1]
    assert b"TRAILER!!!" in packed
    assert len(packed) % 4 == 0


def test_the_boot_sector_has_grubs_code_and_one_active_partition() -> None:
    sector = bootloader.master_boot_record(b"\x90" * 512)
    assert len(sector) == 512
    assert sector[:440] == b"\x90" * 440
    assert sector[510:] == b"\x55\xaa"
    status, _, kind, _, first, sectors = struct.unpack_from("<B3sB3sII", sector, 446)
    assert (status, kind) == (0x80, 0x83)
    assert first * 512 == bootloader.FIRST
    assert (first + sectors) * 512 == DISK_BYTES
    assert sector[462:510] == bytes(48), "the other three entries are empty"


def bzimage(payload: bytes) -> bytes:
    """A kernel's file as boot.rst describes it, with two sectors of setup code."""
    image = bytearray(3 * 512 + 100)
    image[0x1F1] = 2
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", image, 0x248, 100, len(payload) + 4)
    return bytes(image) + payload + b"size" + b"more"


def test_the_compressed_kernel_is_found_where_the_header_says() -> None:
    assert kernel.embedded(bzimage(b"\x1f\x8bcontent")) == b"\x1f\x8bcontent"


def test_a_file_that_is_no_kernel_is_refused() -> None:
    with pytest.raises(ProvisionError, match="not an x86 bzImage"):
        kernel.embedded(b"\x7fELF" + bytes(1024))


def root_archive(path: Path) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in (("./boot/vmlinuz-6", b"kernel"), ("./dev/null", b""), ("./etc/shadow", b"secret")):
            member = tarfile.TarInfo(name)
            member.size, member.uid, member.gid, member.mode = len(content), 0, 42, 0o640
            tar.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("./etc/shadow-again")
        link.type, link.linkname = tarfile.LNKTYPE, "./etc/shadow"
        tar.addfile(link)
    return path


def test_a_root_moves_into_a_folder_with_its_owners_and_hard_links(tmp_path: Path) -> None:
    with RootArchive(root_archive(tmp_path / "root.tar")) as root:
        root.below("rootfs", tmp_path / "moved.tar", without=("boot/", "dev/"))
    with tarfile.open(tmp_path / "moved.tar") as moved:
        assert moved.getnames() == ["rootfs/etc/shadow", "rootfs/etc/shadow-again"]
        assert (moved.getmember("rootfs/etc/shadow").gid, moved.getmember("rootfs/etc/shadow").mode) == (42, 0o640)
        assert moved.getmember("rootfs/etc/shadow-again").linkname == "rootfs/etc/shadow"


def test_a_root_takes_more_files(tmp_path: Path) -> None:
    with RootArchive(root_archive(tmp_path / "root.tar")) as root:
        root.with_files(tmp_path / "more.tar", {"boot/grub.cfg": b"boot\n"})
    with RootArchive(tmp_path / "more.tar") as more:
        assert more.read("boot/grub.cfg") == b"boot\n"
        assert more.read("etc/shadow") == b"secret"
        assert more.find(r"boot/vmlinuz-.*") == "boot/vmlinuz-6"
        with pytest.raises(ProvisionError, match="has no boot/initrd"):
            more.read("boot/initrd")


def test_release_docker_and_mirror_decide_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {Definition(base, docker).key for base in ("trixie", "bookworm") for docker in (True, False)}
    assert len(keys) == 4
    assert Definition("trixie").key in keys
    monkeypatch.setenv("PROVISION_DEBIAN_MIRROR", "http://mirror.example/debian")
    assert Definition("trixie").key not in keys


@pytest.mark.parametrize(("base", "controller"), [("trixie", ("20", "AHCI")), ("bookworm", ("5", "PIIX4"))])
def test_the_appliance_has_a_disk_that_its_kernel_has_a_driver_for(base: Base, controller: tuple[str, str]) -> None:
    rasd = "{http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData}"
    ovf = "{http://schemas.dmtf.org/ovf/envelope/1}"
    machine = ElementTree.fromstring(formats.appliance(base, 1234))  # noqa: S314
    items = {item.findtext(f"{rasd}InstanceID"): item for item in machine.iter(f"{ovf}Item")}
    disk = next(item for item in items.values() if item.findtext(f"{rasd}ResourceType") == "17")
    parent = items[disk.findtext(f"{rasd}Parent")]
    assert (parent.findtext(f"{rasd}ResourceType"), parent.findtext(f"{rasd}ResourceSubType")) == controller
    card = next(item for item in items.values() if item.findtext(f"{rasd}ResourceType") == "10")
    assert card.findtext(f"{rasd}ResourceSubType") == "virtio"
    file = next(machine.iter(f"{ovf}File"))
    assert (file.get(f"{ovf}href"), file.get(f"{ovf}size")) == ("box-disk001.vmdk", "1234")
