"""The lab as Vagrant is to see it: a JSON file that the repository's Vagrantfile reads, and nothing but data.

The Vagrantfile maps it to each hypervisor's settings; what to set is decided here and by the provider. The file holds
no secrets and is readable by all, so that `vagrant` works on it for whoever may use the hypervisor.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from provisioner import state
from provisioner.lab import DEFAULT_MEMORY, HostSpec, Hypervisor
from provisioner.machines.vagrant import box as box_of_ours

FORMAT = 1
FOLDER = "vagrant"
"""Within the lab's: where `vagrant` works."""
FILE = "machines.json"
BOOT_SECONDS = 300  # Vagrant's own default; an emulated VM on a busy machine takes up to 60

Driver = Literal["kvm", "qemu"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MachineDescription(_Model):
    name: str
    address: IPv4Address


class Box(_Model):
    """What machines are made from. ``url`` may be a path; empty: the name is found by itself."""

    name: str
    url: str = ""
    version: str = ""
    command_line: bool = False
    """Whether its kernel command line gives name and address, as that of our own boxes does. Otherwise Vagrant sets
    them over ssh, which takes 6 to 16 s."""


class Libvirt(_Model):
    """Settings that libvirt alone has. The defaults are those of vagrant-libvirt, for a libvirt of the machine."""

    uri: str = "qemu:///system"
    driver: Driver = "kvm"
    cpu_model: str = ""
    """A model's name; empty: the machine's own CPU where KVM is used, else qemu64, which Docker starts soonest on
    under emulation (23 to 26 s, against 28 to 31 with ``max``)."""
    emulator: str = ""
    pool: str = "default"
    management_network: str = "vagrant-libvirt"
    management_address: str = "192.168.121.0/24"
    network: str = ""
    """The private network's name; empty: vagrant-libvirt finds or makes one by its address."""
    keep_networks: bool = False
    """Whether `vagrant destroy` of the last machine leaves the networks."""
    consoles: str = ""
    """A folder for a log of each machine's serial console; empty: none is kept."""


class Lxc(_Model):
    bridge: str = ""
    """The bridge that containers are on; empty: the one of LXC's own default configuration."""


class Description(_Model):
    format: int = FORMAT
    lab: str
    prefix: str
    """What the hypervisor's own names begin with: ``manager1`` is its ``<prefix>manager1``. Holds the lab's id, so that
    a machine of ours is told from others of the same name."""
    hypervisor: Hypervisor
    box: Box
    memory: int = DEFAULT_MEMORY
    """MB."""
    cpus: int = 1
    netmask: str = "255.255.255.0"
    boot_seconds: int = BOOT_SECONDS
    insert_key: bool = True
    """Whether Vagrant replaces its well-known key by one of its own at the first `up`."""
    key: str = ""
    """The path of a private key that may open the machines too, where Vagrant keeps its well-known one."""
    machines: tuple[MachineDescription, ...]
    lxc: Lxc = Lxc()
    libvirt: Libvirt = Libvirt()


def machines(hosts: Iterable[HostSpec]) -> tuple[MachineDescription, ...]:
    return tuple(MachineDescription(name=host.name, address=host.address) for host in hosts)


def box(ours: box_of_ours.Box | None, named: str) -> Box:
    """:param ours: a box that `provision box build` made.
    :param named: any other, by name, path or URL; read where there is none of ours.
    """
    if ours is not None:
        return Box(name=ours.name, url=str(ours.catalog), version=ours.version, command_line=ours.kernel is not None)
    if "://" in named or Path(named).is_file():
        return Box(name=Path(named).name.removesuffix(".box"), url=named)
    return Box(name=named)


def write(folder: Path, description: Description) -> Path:
    """Have ``folder`` be one that `vagrant` works in: the Vagrantfile, and the description beside it.

    :returns: the description's path.
    """
    path = folder / FILE
    state.write_atomically(path, description.model_dump_json(indent=2) + "\n", mode=0o644)
    state.write_atomically(folder / "Vagrantfile", vagrantfile().read_text(), mode=0o644)
    return path


def read(folder: Path) -> Description:
    """:raises pydantic.ValidationError: it is damaged."""
    return Description.model_validate_json((folder / FILE).read_text())


def vagrantfile() -> Path:
    """The Vagrantfile: within the installed package, or at the top of the repository."""
    packaged = Path(__file__).parents[2] / "Vagrantfile"
    return packaged if packaged.exists() else Path(__file__).parents[3] / "Vagrantfile"
