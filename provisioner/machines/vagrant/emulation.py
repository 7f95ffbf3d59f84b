"""KVM or software emulation: which this machine has, found by booting a kernel, and the emulator's settings."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from provisioner import command, state
from provisioner.state import write_atomically

SYSTEM = "qemu-system-x86_64"
KVM = Path("/dev/kvm")
BOOT_SECONDS = 3
FIRST_LINE = "Linux version"
TRANSLATION_MB = 512  # QEMU takes 1.0 GB with it, 1.5 with its own 1024; 128 cost CPU time

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_WRAPPER = f"""\
#!/bin/sh
# libvirt has no setting for the size of QEMU's translation cache. Of QEMU from {{installed}}.
for word do
  shift
  [ "$word" != tcg ] || word=tcg,thread=multi,tb-size={TRANSLATION_MB}
  set -- "$@" "$word"
done
exec {{emulator}} "$@"
"""


def kvm_works(kernel: Path) -> bool:
    """Whether a kernel boots under KVM here. Remembered until the machine boots again.

    A /dev/kvm that opens proves nothing: on some machines VMs are created and then stop with "KVM internal error"
    while QEMU stays alive. So a kernel is booted for up to 3 s, and its first console line counts. Where this user may
    not open /dev/kvm, nothing can be tried, and a libvirtd that may is trusted.

    :param kernel: an uncompressed one with a PVH note (`vmlinux`) or a bzImage; our boxes hold one.
    :raises MachineLacks: there is no QEMU.
    """
    if not KVM.exists():
        return False
    if not os.access(KVM, os.R_OK | os.W_OK):
        return True
    memory = state.home() / "cache" / "kvm.json"
    now = _BOOT_ID.read_text().strip()
    try:
        remembered = json.loads(memory.read_text())
        if remembered["boot"] == now:
            return bool(remembered["works"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    works = boots(kernel, accelerator="kvm", cpu="host")
    write_atomically(memory, json.dumps({"boot": now, "works": works}) + "\n")
    return works


def boots(kernel: Path, *, accelerator: str, cpu: str, seconds: float = BOOT_SECONDS) -> bool:
    """Whether a kernel says its first line on the console within ``seconds``. QEMU has ended afterwards in any case."""
    qemu = shutil.which(SYSTEM)
    if qemu is None:
        raise command.missing_program(SYSTEM)
    machine: list[str | Path] = [
        qemu, "-accel", accelerator, "-cpu", cpu, "-m", "256", "-nodefaults", "-no-user-config", "-display", "none",
        "-serial", "stdio", "-no-reboot", "-kernel", kernel,
        # Without a root file system it panics, and with -no-reboot QEMU ends.
        "-append", "console=ttyS0 earlyprintk=ttyS0 panic=-1",
    ]  # fmt: skip
    # timeout(1) ends QEMU also if this process is killed meanwhile.
    argv = ["timeout", "--signal=KILL", str(seconds), *machine]
    return FIRST_LINE in command.run(argv, check=False, timeout=seconds + 10).stdout


def write_wrapper(path: Path) -> Path:
    """Have an emulator to be named to libvirt: QEMU with a small translation cache.

    It is written anew only where QEMU has changed: libvirt asks an emulator that is younger than what it remembers of
    it once more for all that it can do.

    :returns: ``path``.
    :raises MachineLacks: there is no QEMU.
    """
    emulator = shutil.which(SYSTEM)
    if emulator is None:
        raise command.missing_program(SYSTEM)
    text = _WRAPPER.format(emulator=emulator, installed=Path(emulator).stat().st_ctime_ns)
    if not path.exists() or path.read_text() != text:
        write_atomically(path, text, mode=0o755)
    return path
