"""Our own boxes, built from packages and booted in an emulator: with the box's kernel, and with its own boot loader."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import must, run_provision

PROGRAMS = ("mmdebstrap", "qemu-img", "qemu-system-x86_64", "vagrant")
BOOT_SECONDS = 300
COMMAND_LINE = (
    "root=/dev/vda rw rootfstype=ext4 fsck.mode=skip net.ifnames=0 console=ttyS0 quiet systemd.show_status=no "
    "mitigations=off systemd.hostname=manager7 ip=192.168.56.77:::255.255.255.0::eth1:off"
)

# Two builds of all formats and two boots: five minutes on two idle cores.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(shutil.which(program) is None for program in PROGRAMS), reason=f"needs {', '.join(PROGRAMS)}"
    ),
]


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("boxes")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def boxes(homes: Path) -> dict[str, dict[str, Any]]:
    """Boxes of all formats, by format, from one build."""
    formats = ("--format", "libvirt", "--format", "lxc", "--format", "virtualbox")
    done = must(run_provision("box", "build", *formats, "--json", env=home(homes / "first"), timeout=1800))
    return {box["provider"]: box for box in json.loads(done.stdout)}


def home(folder: Path) -> dict[str, str]:
    return {"PROVISION_HOME": str(folder)}


@contextlib.contextmanager
def booted(folder: Path, disk: list[str], *words: str | Path) -> Iterator[list[str]]:
    """A virtual machine with two cards and no way out; gives the ssh command that opens it, once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    emulator = [
        "qemu-system-x86_64", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "qemu64", "-m", "768", "-nographic",
        "-no-reboot", *disk, *words,
        "-object", "rng-random,id=random", "-device", "virtio-rng-pci,rng=random",
        "-netdev", f"user,id=first,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22",
        "-device", "virtio-net-pci,netdev=first",
        "-netdev", "user,id=second,restrict=on", "-device", "virtio-net-pci,netdev=second",
    ]  # fmt: skip
    key = folder / "key"
    # Vagrant's own, which lies beside the program.
    known = subprocess.run(["dpkg", "-L", "vagrant"], capture_output=True, text=True, check=True).stdout.splitlines()
    key.write_text(Path(next(path for path in known if path.endswith("/keys/vagrant"))).read_text())
    key.chmod(0o600)
    ssh = [
        "ssh", "-i", str(key), "-p", str(port), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
        "-o", "ConnectTimeout=5", "-o", "LogLevel=ERROR", "vagrant@127.0.0.1",
    ]  # fmt: skip
    console = folder / "console"
    with console.open("w") as output:
        machine = subprocess.Popen(emulator, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + BOOT_SECONDS
            while subprocess.run([*ssh, "true"], capture_output=True, check=False).returncode != 0:
                assert machine.poll() is None, console.read_text(errors="replace")[-2000:]
                assert time.monotonic() < deadline, f"no ssh\n{console.read_text(errors='replace')[-2000:]}"
                time.sleep(1)
            yield ssh
        finally:
            machine.kill()
            machine.wait()


def overlay(folder: Path, image: Path, kind: str) -> Path:
    disk = folder / "disk.qcow2"
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", kind, "-b", image, disk]
    subprocess.run(create, check=True)
    return disk


def ask(ssh: list[str], command: str) -> str:
    done = subprocess.run([*ssh, command], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def test_equal_packages_give_equal_boxes(boxes: dict[str, dict[str, Any]], homes: Path) -> None:
    second = homes / "second"
    packages = second / "cache" / "packages"
    packages.mkdir(parents=True)
    shutil.copytree(homes / "first/cache/packages/trixie", packages / "trixie")
    words = ("box", "build", "--format", "libvirt", "--format", "lxc", "--format", "virtualbox", "--json")
    again = json.loads(must(run_provision(*words, env=home(second), timeout=1800)).stdout)
    shutil.rmtree(second)
    assert [box["packages"] for box in again] == [boxes[box["provider"]]["packages"] for box in again]
    assert [box["sha256"] for box in again] == [boxes[box["provider"]]["sha256"] for box in again]


def test_a_second_build_takes_the_box_from_the_cache(boxes: dict[str, dict[str, Any]], homes: Path) -> None:
    done = must(run_provision("box", "build", env=home(homes / "first")))
    assert done.stdout.splitlines()[0] == boxes["libvirt"]["path"]
    assert "Building" not in done.stderr


def test_a_machine_of_the_libvirt_box_has_its_name_address_and_docker(
    boxes: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    folder = Path(boxes["libvirt"]["path"]).parent
    disk = ["-drive", f"file={overlay(tmp_path, folder / 'box.img', 'qcow2')},if=virtio,cache=unsafe"]
    kernel = ["-kernel", folder / "vmlinux", "-initrd", folder / "initrd", "-append", COMMAND_LINE]
    with booted(tmp_path, disk, *kernel) as ssh:
        assert ask(ssh, "hostname -f") == "manager7"
        assert "192.168.56.77/24" in ask(ssh, "ip -brief -4 address show eth1")
        assert ask(ssh, "sudo id -un") == "root"
        label = json.loads(ask(ssh, "cat /etc/provision-box"))
        assert label == {"key": boxes["libvirt"]["key"], "base": "trixie", "docker": True}
        assert ask(ssh, "cat /sys/module/ip_vs/version 2>/dev/null; sudo modprobe ip_vs && echo loaded") == "loaded"
        # `docker info` waits for the engine, which the socket starts if need be.
        assert ask(ssh, "sudo docker info --format '{{.Driver}} {{.CgroupVersion}}'") == "overlay2 2"
        assert ask(ssh, "systemctl --failed --no-legend") == ""
        assert ask(ssh, "systemctl is-enabled docker.service docker.socket").split() == ["enabled", "enabled"]
        first = ask(ssh, "cat /etc/ssh/ssh_host_ed25519_key.pub")
        ask(ssh, "sudo rm /etc/ssh/ssh_host_ed25519_key* && sudo systemctl restart ssh")
        assert ask(ssh, "cat /etc/ssh/ssh_host_ed25519_key.pub") != first


def test_no_host_key_is_in_a_box(boxes: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    with tarfile.open(boxes["lxc"]["path"]) as box:
        box.extract("rootfs.tar.gz", tmp_path, filter="data")
    with tarfile.open(tmp_path / "rootfs.tar.gz") as root:
        names = root.getnames()
    assert "rootfs/etc/ssh/sshd_config" in names
    assert not [name for name in names if "ssh_host_" in name]
    assert not [name for name in names if name.startswith(("rootfs/usr/lib/modules/", "rootfs/var/lib/docker/"))]


def test_the_virtualbox_disk_boots_by_itself_and_is_named_as_vagrant_does(
    boxes: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    with tarfile.open(boxes["virtualbox"]["path"]) as box:
        box.extractall(tmp_path, filter="data")
    assert json.loads((tmp_path / "metadata.json").read_text()) == {"provider": "virtualbox"}
    image = overlay(tmp_path, tmp_path / "box-disk001.vmdk", "vmdk")
    disk = ["-device", "ahci,id=ahci", "-drive", f"file={image},if=none,id=disk,cache=unsafe"]
    with booted(tmp_path, [*disk, "-device", "ide-hd,drive=disk,bus=ahci.0"]) as ssh:
        assert "GRUB" in (tmp_path / "console").read_text(errors="replace")
        assert ask(ssh, "findmnt --noheadings --output SOURCE /") == "/dev/sda1"
        assert ask(ssh, "systemctl is-active systemd-networkd.service") == "active"
        # What the capabilities of Vagrant's Debian guest do: configure_networks.rb, change_host_name.rb.
        network = "[Match]\nName=eth1\n[Network]\nDHCP=no\nAddress=192.168.56.78/24\n"
        place = "/etc/systemd/network/50-vagrant-eth1.network"
        ask(ssh, f"echo '{network}' | sudo tee {place} && sudo systemctl restart systemd-networkd.service")
        ask(ssh, "sudo hostnamectl set-hostname worker8")
        assert ask(ssh, "hostname -f") == "worker8"
        assert "192.168.56.78/24" in ask(ssh, "sleep 2; ip -brief -4 address show eth1")


@pytest.mark.parametrize("provider", ["libvirt", "lxc", "virtualbox"])
def test_vagrant_adds_the_box_with_its_version(
    boxes: dict[str, dict[str, Any]], provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAGRANT_HOME", str(tmp_path / "vagrant"))
    monkeypatch.setenv("VAGRANT_CHECKPOINT_DISABLE", "1")
    add = ["vagrant", "box", "add", "--provider", provider, boxes[provider]["catalog"]]
    subprocess.run(add, check=True, capture_output=True, timeout=300, cwd=tmp_path)
    listed = subprocess.run(["vagrant", "box", "list"], check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    assert boxes[provider]["name"] in listed
    assert boxes[provider]["version"] in listed
    shutil.rmtree(tmp_path / "vagrant")
