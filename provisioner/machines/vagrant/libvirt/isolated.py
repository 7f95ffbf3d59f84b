"""A libvirtd of the lab's own, in the lab's network and mount namespaces: the machine's own libvirt is untouched.

libvirt knows its folders by fixed names. So folders of the lab lie over them in the lab's mount namespace, and over
/sys one that shows the lab's network namespace. Every process, QEMU included, is in the lab's cgroup; ending them ends
the namespaces and all that libvirt has made in them.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from provisioner import command
from provisioner.errors import ProvisionError
from provisioner.lab import LabSpec
from provisioner.machines.namespaces import uplink
from provisioner.machines.namespaces.keeper import Keeper
from provisioner.machines.vagrant import box, emulation
from provisioner.machines.vagrant.box import Box
from provisioner.machines.vagrant.description import FOLDER, Driver, Libvirt
from provisioner.machines.vagrant.libvirt import definitions
from provisioner.machines.vagrant.libvirt.definitions import LAB, MANAGEMENT
from provisioner.machines.vagrant.libvirt.virsh import DomainState, Virsh
from provisioner.state import LabFolder, write_atomically

VAGRANTFILE = Path(box.__file__).with_name("Vagrantfile.libvirt")  # the box's own: where its kernel is
POOL = definitions.POOL
PART = "libvirt"
SERVICES = "services"
PREFIX = ""  # no other lab has its machines here
READY_SECONDS = 30
SOCKET = Path("/run/libvirt/libvirt-sock")
PROGRAMS = ("libvirtd", "virsh", "qemu-system-x86_64", "qemu-img", "dnsmasq", "iptables", "nsenter", "unshare")

# The lab's folder for each of libvirt's own. They are part of Debian's packages, so they are there to be mounted over.
_FOLDERS = {"etc": "/etc/libvirt", "lib": "/var/lib/libvirt", "log": "/var/log/libvirt"}
# What libvirtd finds out about QEMU by starting it several times (2 to 4 s) holds for every lab, as long as the
# emulator has the same path and age: both are in a folder that labs share.
_SHARED = "/var/cache/libvirt"
_EMULATOR = "emulator"
# /run is the lab's own too: libvirtd's socket, its process id and what it knows of running machines, all of which
# are to end with the namespace, and no bus whose systemd-machined would move QEMU out of the lab's cgroup.
_MOUNTS = """
if [ -e /etc/libvirt/of-a-lab ]; then exit 0; fi
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /run
while [ $# -gt 0 ]; do
  mount --bind "$1" "$2"
  shift 2
done
ip link set lo up
sysctl -qw net.ipv4.icmp_ratelimit=0
"""
_QEMU_CONF = """\
user = "root"
group = "root"
remember_owner = 0
dynamic_ownership = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
"""
_LIBVIRTD_CONF = """\
auth_unix_rw = "none"
log_outputs = "3:stderr"
"""


class IsolatedLibvirt:
    """The keeper is started by the caller (``keeper.start()``)."""

    def __init__(self, lab: LabFolder, spec: LabSpec, keeper: Keeper) -> None:
        self.lab = lab
        self.spec = spec
        self.keeper = keeper
        self.folder = lab.path / "libvirt"
        self.virsh = Virsh(keeper.inside)

    # -- the daemon -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Have libvirtd run with its pool, its networks and the way out, and repair what is missing of them.

        To be called before every `vagrant up`: `vagrant destroy` of a lab's last machine removes networks.

        :raises ProvisionError: libvirtd does not start; its log's last lines are in the message.
        """
        self._lay_folders()
        if "libvirtd" not in self._processes():
            self._launch()
        upstream = self._way_out()
        self._define_pool()
        self._define_networks(upstream)
        self._delete_strangers()

    def _lay_folders(self) -> None:
        for name in _FOLDERS:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "lib" / "images").mkdir(exist_ok=True)
        self.consoles.mkdir(exist_ok=True)
        write_atomically(self.folder / "etc" / "qemu.conf", _QEMU_CONF, mode=0o644)
        write_atomically(self.folder / "etc" / "libvirtd.conf", _LIBVIRTD_CONF, mode=0o644)
        write_atomically(self.folder / "etc" / "of-a-lab", self.lab.name + "\n", mode=0o644)
        self.shared.mkdir(parents=True, exist_ok=True)
        folders = {self.folder / name: target for name, target in _FOLDERS.items()} | {self.shared: _SHARED}
        self.keeper.script(_MOUNTS, *(path for pair in folders.items() for path in pair))

    def _launch(self) -> None:
        log_path = self.folder / "libvirtd.log"
        with log_path.open("a") as log:
            self.keeper.spawn(PART, self.keeper.inside(["libvirtd"]), log=log)
        deadline = time.monotonic() + READY_SECONDS
        while not self._answers():
            if time.monotonic() > deadline:
                last = "\n".join(f"  {line}" for line in log_path.read_text(errors="replace").splitlines()[-5:])
                raise ProvisionError(
                    f"the libvirtd of lab {self.lab.name!r} does not answer; its log's last lines:\n{last}",
                    hint="provision doctor", log=log_path,
                )  # fmt: skip
            time.sleep(0.05)

    def _answers(self) -> bool:
        return self.keeper.path(SOCKET).exists() and bool(self.virsh.run("uri", check=False))

    def _way_out(self) -> str | None:
        """Start the way out where there is to be one, and return its name server."""
        if self.spec.offline or not uplink.is_possible():
            return None
        if not any(name.startswith("slirp4netns") for name in self._processes(SERVICES)):
            uplink.start(self.keeper, SERVICES, self.lab.path / "uplink.log")
        return uplink.DNS

    def _define_pool(self) -> None:
        if POOL not in _names(self.virsh.run("pool-list", "--all")):
            self.virsh.run("pool-define", str(self._xml("pool", definitions.POOL_XML)))
        if POOL not in _names(self.virsh.run("pool-list")):
            self.virsh.run("pool-start", POOL)
        self.virsh.run("pool-refresh", POOL)

    def _define_networks(self, upstream: str | None) -> None:
        active, defined = _names(self.virsh.run("net-list")), _names(self.virsh.run("net-list", "--all"))
        wanted = {
            LAB: definitions.lab_network(self.spec),
            MANAGEMENT: definitions.management_network(self.spec, upstream),
        }
        for name, xml in wanted.items():
            if name not in active:  # the way out may be another than when it was defined
                if name in defined:
                    self.virsh.run("net-undefine", name)
                self.virsh.run("net-define", str(self._xml(name, xml)))
                self.virsh.run("net-start", name)

    def _delete_strangers(self) -> None:
        """Remove what Vagrant does not know, and would trip over: a domain whose UUID it had no time to write down
        before it was killed, a disk whose domain was undefined behind its back."""
        names = [host.name for host in self.spec.hosts]
        for name, uuid in self.virsh.uuids().items():
            if name in names and self._known_to_vagrant(name) != uuid:
                self.virsh.remove_domain(name, POOL)
        self.virsh.delete_volumes(POOL, self.virsh.orphan_volumes(POOL, *names))

    def _known_to_vagrant(self, name: str) -> str:
        try:
            return (self.lab.path / FOLDER / ".vagrant" / "machines" / name / "libvirt" / "id").read_text().strip()
        except FileNotFoundError:
            return ""

    def _xml(self, name: str, text: str) -> Path:
        path = self.folder / f"{name}.xml"
        write_atomically(path, text, mode=0o644)
        return path

    def _processes(self, part: str = PART) -> set[str]:
        names = set()
        for pid in self.keeper.cgroup.processes(part):
            try:
                names.add(Path(f"/proc/{pid}/comm").read_text().strip())
            except OSError:
                continue
        return names

    # -- what the machines are made from ----------------------------------------------------------------------------

    def place(self, ours: Box) -> None:
        """Have a box of ours for `vagrant` and for libvirt without copying it, by hard links: it lives as long as the
        lab, whatever becomes of the cache, and neither `vagrant box add` nor an upload into the pool takes place."""
        name = ours.name.replace("/", "-VAGRANTSLASH-")
        target = self.vagrant_home / "boxes" / name / ours.version / "libvirt"
        target.mkdir(parents=True, exist_ok=True)
        for file in ("metadata.json", "box.img", "vmlinux", "initrd"):
            _link(ours.folder / file, target / file)
        write_atomically(target / "Vagrantfile", VAGRANTFILE.read_text(), mode=0o644)
        # As vagrant-libvirt names it (action/handle_box_image.rb, get_volume_name).
        images = self.folder / "lib" / "images"
        images.mkdir(parents=True, exist_ok=True)
        _link(ours.folder / "box.img", images / f"{name}_vagrant_box_image_{ours.version}_box.img")
        if "libvirtd" in self._processes():
            self.virsh.run("pool-refresh", POOL)

    def settings(self, driver: Driver) -> Libvirt:
        """What the description says of this libvirt; writes the emulator's wrapper where the driver is qemu."""
        emulator = ""
        if driver == "qemu":
            emulation.write_wrapper(self.shared / _EMULATOR)
            emulator = f"{_SHARED}/{_EMULATOR}"
        return Libvirt(
            driver=driver, emulator=emulator, pool=POOL,
            management_network=MANAGEMENT, management_address=str(definitions.management_subnet(self.spec)),
            network=LAB, keep_networks=True, consoles=str(self.consoles),
        )  # fmt: skip

    @property
    def vagrant_home(self) -> Path:
        """VAGRANT_HOME, in the lab's folder."""
        return self.lab.path / FOLDER / "home"

    @property
    def user_key(self) -> Path:
        """The key that opens our box until the lab's own is there: Vagrant's well-known one."""
        return self.vagrant_home / "insecure_private_key"

    def at_rest(self) -> dict[str, DomainState]:
        """The machines while no libvirtd runs, by the files that one would find."""
        defined = [path.stem for path in (self.folder / "etc" / "qemu").glob("*.xml")]
        saves = self.folder / "lib" / "qemu" / "save"
        return {name: "saved" if (saves / f"{name}.save").exists() else "stopped" for name in defined}

    # -- the machines -----------------------------------------------------------------------------------------------

    @property
    def shared(self) -> Path:
        return self.lab.home / "cache" / "libvirt"

    @property
    def consoles(self) -> Path:
        return self.folder / "consoles"

    def console(self, name: str) -> Path:
        """The log of a machine's serial console."""
        return self.consoles / f"{name}.log"

    def activity(self) -> object:
        """A value that changes while the machines do something to be seen: they write to a console or a disk."""
        files = [*self.consoles.glob("*.log"), *(self.folder / "lib" / "images").glob("*.img")]
        return tuple(sorted((file.name, file.stat().st_size, file.stat().st_blocks) for file in files))


def missing_programs() -> list[str]:
    """The programs for an isolated libvirt that are not on this machine."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


def _link(source: Path, target: Path) -> None:
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:  # another file system
        command.run(["cp", "--reflink=auto", "--sparse=always", source, target], timeout=120)


def _names(table: str) -> set[str]:
    """The first column of what virsh lists."""
    return {line.split()[0] for line in table.splitlines() if line.strip()}
