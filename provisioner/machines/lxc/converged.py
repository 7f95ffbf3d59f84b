"""Images of converged hosts: what the playbook changes on a base image, kept as a layer over it.

The first lab makes one by running the playbook on a host of its own, the builder; all hosts then start from it. The
layer is keyed by everything that decides it, so a changed playbook makes a new one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from provisioner import command
from provisioner.lab import Base
from provisioner.machines.lxc import base as base_image
from provisioner.machines.lxc.container import Container
from provisioner.machines.lxc.storage import mount_root
from provisioner.machines.namespaces.keeper import Keeper
from provisioner.progress import Progress
from provisioner.state import LabFolder, home, machine_lock

BUILDER = "builder"

# Nothing that names or opens the builder may be in every host.
_GENERALISE = """
umount "$1"
cd "$2"
rm -rf root/.ssh root/.ansible etc/ssh/ssh_host_* etc/docker/key.json var/log/journal/* var/lib/dbus/machine-id \
  var/lib/docker var/lib/containerd/* var/lib/swarmd srv/provision etc/hostname etc/hosts etc/resolv.conf \
  tmp/* var/tmp/*
: > etc/machine-id
"""


def folder() -> Path:
    return home() / "cache" / "converged"


def key(base: Base, converged_by: str) -> str:
    """:param converged_by: a digest of the playbooks and of what they are told."""
    whole = f"{base_image.key(base)}|{converged_by}"
    return f"{base}-{hashlib.sha256(whole.encode()).hexdigest()[:12]}"


def layer(image: str) -> Path:
    """The layer's folder, whether or not it is there."""
    return folder() / image / "layer"


def build(
    image: str,
    base: Base,
    builder: Container,
    lab: LabFolder,
    keeper: Keeper,
    *,
    start: Callable[[], None],
    converge: Callable[[], None],
    progress: Progress,
) -> None:
    """Make the layer, unless it is there.

    :param start: starts the builder and waits until ssh answers.
    :param converge: runs the playbook on it.
    """
    with machine_lock(f"converged-{image}"):
        if layer(image).is_dir():  # another lab made it while we waited
            return
        # On the machine's own file system beside the cache, so that the finished layer is renamed into it.
        workplace = lab.path / "builder"
        rootfs = builder.folder / "rootfs"
        _remove_builder(builder, keeper, workplace)
        mount_root(keeper, workplace, rootfs, [base_image.root(base)])
        with progress.stage("Converging a host to make the image that all hosts start from"):
            start()
            converge()
            builder.shut_down()
        keeper.script(_GENERALISE, rootfs, workplace / "upper")
        folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        target = layer(image).parent
        target.mkdir(exist_ok=True, mode=0o700)
        (workplace / "upper").rename(target / "layer")
        _remove_builder(builder, keeper, workplace)


def _remove_builder(builder: Container, keeper: Keeper, workplace: Path) -> None:
    """Take a builder away, also one that a killed `provision` left running."""
    builder.kill()
    keeper.script('! mountpoint -q "$1" || umount "$1"', builder.folder / "rootfs")
    for path in (workplace, builder.folder):
        command.run(["rm", "-rf", "--one-file-system", path], timeout=120)
