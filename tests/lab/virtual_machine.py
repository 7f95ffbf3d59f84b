"""A virtual machine with a stock Debian kernel, on which `provision` is installed and its caches are warm.

Its root is made here, of Debian packages, as our boxes are: installing them under emulation would take half an hour.
It has no network, and what is run on it is a unit of its systemd. The machine ends when that has ended.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.lab import EMULATION_FACTOR, PATIENCE_VARIABLE, Base
from provisioner.machines.vagrant import emulation
from provisioner.machines.vagrant.box import debootstrap, image, kernel, tools
from provisioner.machines.vagrant.box.definition import Definition
from provisioner.machines.vagrant.box.rootfs import RootArchive
from provisioner.progress import Progress

SUITE: Base = "trixie"
PYTHON = "3.13"  # of that Debian
PLACE = Path("opt/provision")  # a virtual environment, made by hand
TESTS = Path("opt/tests")

MEMORY_MIB = 3072
CPUS = 2
# A step says what it did at its end, and the longest takes 100 s under emulation; a machine with other work is slower.
STALLED_SECONDS = 600

_UNIT = """\
[Unit]
After=network.target
SuccessAction=poweroff-immediate
FailureAction=poweroff-immediate

[Service]
Type=oneshot
Environment=PATH=/{place}/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 {patience}={factor}
# Through a pipe: on a terminal progress is animated, which keeps an emulated CPU busy.
ExecStart=/bin/sh -c '{command} 2>&1 | cat >/dev/ttyS0'
ExecStopPost=-/bin/cp {result} /dev/ttyS1
"""


@dataclass(frozen=True)
class _Machine(Definition):
    """The root of our box without Docker, and what else is to be installed."""

    more: tuple[str, ...] = ()

    @property
    def packages(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*super().packages, *self.more]))


class VirtualMachine:
    def __init__(self, folder: Path) -> None:
        """:param folder: takes 4 GB, on a disk."""
        self.folder = folder
        self.log = folder / "build.log"
        self.console = folder / "console.log"
        self.staging = folder / "staging"
        self._copies: list[tuple[Path, Path]] = []

    # -- what it is made of -----------------------------------------------------------------------------------------

    def install_debian(self, packages: Sequence[str]) -> None:
        root = self.folder / "root.tar"
        tools.provide(Progress(quiet=True), self.log)
        debootstrap.archive(_Machine(SUITE, docker=False, more=tuple(packages)), root, self.log)
        with RootArchive(root) as archive:
            kernel.write(archive, self.folder)

    def install_provision(self, project: Path, *, python_root: Path) -> None:
        """Into a virtual environment, with wheels for the machine's Python, whatever this one's is.

        :param python_root: a root with that Python, which compiles them: under emulation it takes minutes.
        """
        environment = self.staging / PLACE
        library = environment / "lib" / f"python{PYTHON}" / "site-packages"
        self._run(
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile",
            "--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp",
            *(f"--platform={platform}_x86_64" for platform in ("manylinux2014", "manylinux_2_28", "manylinux_2_34")),
            "--target", library, project,
        )  # fmt: skip
        bin_folder = environment / "bin"
        (library / "bin").rename(bin_folder)
        (environment / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
        (bin_folder / "python3").symlink_to("/usr/bin/python3")
        for script in bin_folder.iterdir():
            if not script.is_symlink():
                _, _, rest = script.read_text().partition("\n")
                script.write_text(f"#!/{PLACE}/bin/python3\n{rest}")
        compiling = 'mount --bind "$1" "$2/mnt" && exec chroot "$2" python3 -m compileall -q -j 2 -s /mnt -p "/$3" /mnt'
        self._run("unshare", "--mount", "sh", "-c", compiling, "sh", environment, python_root, PLACE)

    def add(self, source: Path, target: Path) -> None:
        """Have a copy of a folder at ``target``, with all owners, device files and attributes."""
        self._copies.append((source, target))

    def add_file(self, content: bytes, target: Path) -> None:
        path = self.staging / target.relative_to("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def add_link(self, path: Path, target: Path) -> None:
        place = self.staging / path.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)

    def run_when_booted(self, command: Sequence[str | Path], *, result: Path) -> None:
        """:param result: the file that it writes; `run` returns its content."""
        unit = _UNIT.format(
            place=PLACE, command=" ".join(map(str, command)), result=result, patience=PATIENCE_VARIABLE,
            factor=EMULATION_FACTOR,
        )  # fmt: skip
        self.add_file(unit.encode(), Path("/etc/systemd/system/test.service"))
        self.add_link(
            Path("/etc/systemd/system/multi-user.target.wants/test.service"), Path("/etc/systemd/system/test.service")
        )

    def write_disk(self) -> None:
        everything = self.folder / "everything.tar"
        shutil.copyfile(self.folder / "root.tar", everything)
        for _, target in self._copies:
            (self.staging / target.relative_to("/")).mkdir(parents=True, exist_ok=True)
        self._append(everything, self.staging, Path("/"))
        for source, target in self._copies:
            self._append(everything, source, target)
        image.file_system(everything, self.folder / "disk.raw")
        everything.unlink()

    def _append(self, archive: Path, source: Path, target: Path) -> None:
        # A converged layer holds overlayfs's marks: devices 0:0 and trusted attributes. S: what links point to stays.
        place = f"s,^\\.,.{str(target).rstrip('/')},S"
        self._run(
            "tar", "--append", f"--file={archive}", "--format=pax", "--numeric-owner", "--xattrs", "--xattrs-include=*",
            f"--directory={source}", f"--transform={place}", "."
        )  # fmt: skip

    # -- its life ---------------------------------------------------------------------------------------------------

    def run(self) -> str:
        """Boot it and wait for its end.

        :returns: the content of the file that its command has written.
        :raises AssertionError: it said nothing for so long that it hangs.
        """
        result = self.folder / "result"
        accelerator = ["-accel", "kvm", "-cpu", "host"]
        if not emulation.kvm_works(self.folder / "vmlinux"):
            accelerator = ["-accel", f"tcg,thread=multi,tb-size={emulation.TRANSLATION_MB}", "-cpu", "qemu64"]
        argv = [
            emulation.SYSTEM, "-name", "provision-test", *accelerator, "-smp", str(CPUS), "-m", str(MEMORY_MIB),
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none",
            "-serial", f"file:{self.console}", "-serial", f"file:{result}",
            "-device", "virtio-rng-pci",
            "-drive", f"file={self.folder / 'disk.raw'},format=raw,if=virtio,cache=unsafe,discard=unmap",
            "-kernel", self.folder / "vmlinux", "-initrd", self.folder / "initrd",
            "-append", "root=/dev/vda rw rootfstype=ext4 fsck.mode=skip net.ifnames=0 console=ttyS0 quiet "
            "systemd.show_status=no mitigations=off systemd.hostname=machine",
        ]  # fmt: skip
        # It ends with this process, however that ends.
        machine = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *argv], stdin=subprocess.DEVNULL)
        try:
            self._wait(machine)
        finally:
            machine.kill()
            machine.wait()
        return result.read_text(errors="replace").replace("\r", "")

    def _wait(self, machine: subprocess.Popen[bytes]) -> None:
        said, since = -1, time.monotonic()
        while machine.poll() is None:
            size = self.console.stat().st_size if self.console.exists() else 0
            if size != said:
                said, since = size, time.monotonic()
            assert time.monotonic() - since < STALLED_SECONDS, f"nothing for {STALLED_SECONDS} s:\n{self.last_lines()}"
            time.sleep(0.5)
        assert machine.returncode == 0, f"QEMU ended with status {machine.returncode}\n{self.last_lines()}"

    def last_lines(self, lines: int = 60) -> str:
        if not self.console.exists():
            return "(no console)"
        return "\n".join(self.console.read_text(errors="replace").replace("\r", "").splitlines()[-lines:])

    def _run(self, *argv: str | Path) -> None:
        with self.log.open("a") as log:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=900, check=False,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            )  # fmt: skip
        assert done.returncode == 0, f"{argv}: exit {done.returncode}\n{self.log.read_text()[-3000:]}"
