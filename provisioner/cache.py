"""What is kept on this machine so that the next lab starts in seconds: images, packages, container images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from provisioner import command, shipping, state
from provisioner.lab import BASES
from provisioner.machines.vagrant import box

BASE = "base"
BOXES = "boxes"
CONTAINERS = "containers"
CONVERGED = "converged"
PACKAGES = "packages"
SWARMD = shipping.KIND


@dataclass(frozen=True)
class Entry:
    kind: str
    """base, boxes, containers, converged, packages or swarmd."""
    name: str
    path: Path
    size: int
    """Bytes on disk."""
    modified: datetime
    labs: tuple[str, ...]
    """The labs whose hosts stand on it: it cannot go while they are there."""


def entries() -> list[Entry]:
    """Everything in the cache, by kind and name."""
    users = _users()
    found = []
    for kind, folder in _folders().items():
        paths = sorted(folder.iterdir()) if folder.is_dir() else []
        for path in paths:
            if path.name.startswith(".") or path.suffix == ".log":  # being made; how it was made
                continue
            labs = tuple(sorted(lab for lab, layers in users.items() if any(path in layer.parents for layer in layers)))
            modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            found.append(Entry(kind, path.name, path, _size(path), modified, labs))
    return found


def prune(*, everything: bool) -> list[Entry]:
    """Remove what no lab stands on and no new lab would use; with ``everything``, also what a new one would.

    :returns: what was removed.
    """
    from provisioner import images  # noqa: PLC0415 (needs Docker's library, and `cache list` does without)

    removed = []
    for entry in entries():
        if entry.kind == CONTAINERS or entry.labs or (not everything and _is_current(entry)):
            continue
        with state.machine_lock(f"{entry.kind}-{entry.name}"):
            command.run(["rm", "-rf", "--one-file-system", entry.path], timeout=300)
        removed.append(entry)
    containers = {entry.path: entry for entry in entries() if entry.kind == CONTAINERS}
    return removed + [containers[path] for path, _ in images.prune(everything=everything)]


def _folders() -> dict[str, Path]:
    cache = state.home() / "cache"
    return {kind: cache / kind for kind in (BASE, BOXES, CONVERGED, CONTAINERS, PACKAGES, SWARMD)}


def _is_current(entry: Entry) -> bool:
    """Whether a new lab would use it."""
    if entry.kind == BOXES:
        return any(made.folder.parent == entry.path and made.is_current for made in box.boxes())
    if entry.kind in (BASE, CONVERGED):
        from provisioner import playbooks  # noqa: PLC0415 (loads Ansible's runner)
        from provisioner.machines.lxc import base, converged  # noqa: PLC0415 (Linux only)

        if entry.kind == BASE:
            return entry.name in {base.key(of) for of in BASES}
        digests = [(of, bundles) for of in BASES for bundles in ((), (shipping.of_base(of),))]
        return entry.name in {converged.key(of, playbooks.digest(bundles)) for of, bundles in digests}
    if entry.kind == SWARMD:
        return shipping.is_current(entry.name)
    return True


def _users() -> dict[str, list[Path]]:
    return {name: list(_layers(name)) for name in state.lab_names()}


def _layers(lab: str) -> Iterator[Path]:
    try:
        yield from map(Path, (state.folder(lab).path / "layers").read_text().splitlines())
    except FileNotFoundError:
        return


def _size(path: Path) -> int:
    words = command.run(["du", "-s", "--block-size=1", path], timeout=120, check=False).stdout.split()
    return int(words[0]) if words else 0
