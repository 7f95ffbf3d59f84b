"""The lab's own file system, and the hosts' roots on it.

    disk.img                       a sparse file: btrfs, or ext4 where the machine has no btrfs
    fs/hosts/<host>/upper, work    what the host changed of its image (overlayfs)
                   /docker         /var/lib/docker, on the file system itself: overlay2 does not work on overlayfs
    hosts/<host>/rootfs            upper over the image's layers

The image's layers are folders in the cache, which all hosts of all labs share, on disk and in the page cache. All is
mounted in the lab's mount namespace only. A host's folder is a btrfs subvolume, so that a snapshot of it is the
whole host. The file's size bounds what a lab can fill.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from provisioner import command
from provisioner.machines.lxc import kernel
from provisioner.machines.namespaces.keeper import Keeper
from provisioner.state import LabFolder, disk_error

SIZE_GIB = 20

_MOUNT_SCRIPT = """
mountpoint -q "$2" || mount -o loop,noatime,discard "$1" "$2"
mkdir -p "$2/hosts"
"""

_SUBVOLUME_SCRIPT = """
[ -d "$1" ] || btrfs subvolume create "$1" >/dev/null 2>&1 || mkdir "$1"
"""

# $1 the host's folder, $2 where its root is mounted, $3 the layers of its image
_ROOT_SCRIPT = """
mkdir -p "$1/upper" "$1/work" "$1/docker" "$2"
mountpoint -q "$2" || mount -t overlay -o "lowerdir=$3,upperdir=$1/upper,workdir=$1/work" overlay "$2"
"""


class LabStorage:
    def __init__(self, lab: LabFolder, keeper: Keeper) -> None:
        self.lab = lab
        self.keeper = keeper
        self.image = lab.path / "disk.img"
        self.mountpoint = lab.path / "fs"

    def start(self) -> None:
        """Make the file system where there is none, and mount it where it is not mounted."""
        if not self.image.exists():
            unfinished = self.image.with_suffix(".new")
            try:
                with unfinished.open("wb") as file:
                    file.truncate(SIZE_GIB << 30)
            except OSError as error:
                raise disk_error(error, unfinished) from error
            make = ["mkfs.btrfs", "-q", "-f", "-K"] if has_btrfs() else ["mkfs.ext4", "-q", "-F"]
            command.run([*make, unfinished])
            unfinished.rename(self.image)
        self.mountpoint.mkdir(exist_ok=True)
        self.keeper.script(_MOUNT_SCRIPT, self.image, self.mountpoint)

    def host(self, name: str) -> Path:
        return self.mountpoint / "hosts" / name

    def rootfs(self, name: str) -> Path:
        return self.lab.host(name) / "rootfs"

    def docker_data(self, name: str) -> Path:
        return self.host(name) / "docker"

    def exists(self, name: str) -> bool:
        return self.keeper.path(self.host(name) / "upper").is_dir()

    def mount_host(self, name: str, layers: Sequence[Path]) -> None:
        """Make a host's folder where there is none, and mount its root.

        :param layers: folders of its image, the uppermost first.
        """
        self.keeper.script(_SUBVOLUME_SCRIPT, self.host(name))
        mount_root(self.keeper, self.host(name), self.rootfs(name), layers)


def mount_root(keeper: Keeper, folder: Path, rootfs: Path, layers: Sequence[Path]) -> None:
    """Mount a host's root in the lab's namespace, unless it is mounted.

    :param folder: gets upper, work and docker: what the host changes, overlayfs's own, and Docker's data.
    :param layers: folders of its image, the uppermost first.
    """
    keeper.script(_ROOT_SCRIPT, folder, rootfs, ":".join(map(str, layers)))


def has_btrfs() -> bool:
    """Whether the kernel has btrfs, loaded or loadable, and the program to make one is there."""
    return kernel.has_file_system("btrfs") and shutil.which("mkfs.btrfs") is not None
