"""The archive that goes to a host, and its place in the cache: named by all that decides its content."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import json
import re
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import ProvisionError
from provisioner.lab import BASES, Base, LabSpec
from provisioner.progress import Progress
from provisioner.shipping import etcd, libraries, requirements, target
from provisioner.shipping.target import Target
from provisioner.state import disk_error, home, machine_lock

KIND = "swarmd"
ENGINE = "swarmd"
PACKAGE = "swarmd"
# Raised where the archive's layout changes, so that no host takes an older one for it.
FORMAT = 1
# What the front runs of the package; it restarts, which cuts streams, only where this changes.
_OF_THE_FRONT = ("front", "systemd.py", "__init__.py")
# Libraries are binaries that compress little more at higher levels: 61 MB take 1.5 s.
_COMPRESSION = 3

_SWARMD = """\
#!/bin/sh
# The daemon's own command line: swarmd --version, swarmd check.
PYTHONPATH=/opt/swarmd/current/lib PYTHONSAFEPATH=1 exec /usr/bin/python3 -m swarmd "$@"
"""


@dataclass(frozen=True)
class Bundle:
    """An archive, whether or not it is made: ``lib/`` for PYTHONPATH, ``bin/``, and ``bundle.json``."""

    target: Target
    version: str
    """Of the daemon, and a digest of all that is in it: a host's folder of it is called so."""
    front: str
    """A digest of what the front is made of."""

    @property
    def path(self) -> Path:
        return _folder() / f"{self.version}.tar.gz"

    def as_variable(self) -> dict[str, str]:
        """What the role is told of it."""
        return {
            "python": self.target.python, "machine": self.target.machine, "version": self.version,
            "front": self.front, "path": str(self.path),
        }  # fmt: skip


def source() -> Path:
    """The folder of the daemon's package, which is installed beside ours. It is found and not imported.

    :raises ProvisionError: there is none.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ProvisionError("the package swarmd is not installed beside provision", hint="install provision anew")
    return Path(found.submodule_search_locations[0]).resolve()


def describe(wanted: Target) -> Bundle:
    """The bundle for such hosts, as it would be made now."""
    root = source()
    whole = hashlib.sha256(json.dumps(_decided_by(wanted), sort_keys=True).encode())
    front = hashlib.sha256()
    for path in _sources(root):
        name = path.relative_to(root)
        for digest in (whole, front) if name.parts[0] in _OF_THE_FRONT else (whole,):
            digest.update(f"\0{name}\0".encode() + path.read_bytes())
    return Bundle(wanted, f"{_version(root)}-{whole.hexdigest()[:12]}", front.hexdigest()[:12])


def of_lab(spec: LabSpec) -> list[Bundle]:
    """The bundles that a lab's hosts take, made or not; none where the swarm mode is Docker's own."""
    return [describe(wanted) for wanted in target.of_lab(spec)] if spec.engine == ENGINE else []


def of_base(base: Base) -> Bundle:
    return describe(target.of_base(base))


def is_current(name: str) -> bool:
    """Whether a new lab would use this entry of the cache."""
    wanted = [target.of_base(base) for base in BASES]
    used = {describe(each).path.name for each in wanted} | {_libraries(each).name for each in wanted}
    return name in used | {_etcd(each).name for each in wanted}


def make(bundles: Sequence[Bundle], progress: Progress, *, log: Path) -> None:
    """Have these archives in the cache.

    :param log: takes what the programs say that fetch.
    :raises MachineLacks: no network, no pip, no space.
    """
    for bundle in bundles:
        if bundle.path.is_file():
            continue
        with machine_lock(KIND):
            if bundle.path.is_file():  # another lab made it while we waited
                continue
            with progress.stage(f"Bundling swarmd and its libraries for Python {bundle.target.python}"), _disk():
                _make(bundle, progress, log)


def _make(bundle: Bundle, progress: Progress, log: Path) -> None:
    _folder().mkdir(parents=True, exist_ok=True, mode=0o700)
    tree = _libraries(bundle.target)
    if not tree.is_dir():
        unfinished = tree.with_name(f".unfinished-{tree.name}")
        libraries.make(
            bundle.target, requirements.pins(bundle.target), unfinished, log=log,
            doing=lambda what: progress.host("", what),
        )  # fmt: skip
        unfinished.rename(tree)
    programs = _etcd(bundle.target)
    progress.host("", "fetching etcd")
    etcd.fetch(programs, log=log)
    progress.host("", "packing")
    unfinished = bundle.path.with_name(f".unfinished-{bundle.path.name}")
    with tarfile.open(unfinished, "w:gz", compresslevel=_COMPRESSION) as archive:
        archive.add(tree, "lib", filter=_anybodys)
        root = source()
        for path in _sources(root):
            archive.add(path, f"lib/{PACKAGE}/{path.relative_to(root)}", filter=_anybodys)
        for program in etcd.PROGRAMS:
            archive.add(programs / program, f"bin/{program}", filter=_anybodys)
        _add(archive, "bin/swarmd", _SWARMD, mode=0o755)
        _add(archive, "bundle.json", json.dumps(bundle.as_variable(), indent=1) + "\n", mode=0o644)
    unfinished.rename(bundle.path)


def _decided_by(wanted: Target) -> dict[str, object]:
    return {
        "format": FORMAT,
        "etcd": _etcd(wanted).name,
        "libraries": _libraries(wanted).name,
        "swarmd": _SWARMD,
    }


def _libraries(wanted: Target) -> Path:
    text = json.dumps([FORMAT, wanted.name, requirements.pins(wanted)])
    return _folder() / f"libraries-{wanted.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _etcd(wanted: Target) -> Path:
    """Of one release of Debian there is one etcd; the scripts that fetch it name the release."""
    key = hashlib.sha256(b"".join(path.read_bytes() for path in etcd.scripts())).hexdigest()[:12]
    return _folder() / f"etcd-{wanted.machine}-{key}"


def _sources(root: Path) -> Iterator[Path]:
    """Its files, without what tools leave there: bytecode, caches in hidden folders."""
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if path.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in parts):
            yield path


def _version(root: Path) -> str:
    found = re.search(r'^__version__ = "([^"]+)"', (root / "__init__.py").read_text(), re.MULTILINE)
    if found is None:
        raise ProvisionError(f"{root} does not say which version of swarmd it is", hint="install provision anew")
    return found[1]


def _add(archive: tarfile.TarFile, name: str, text: str, *, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(text.encode()), mode
    archive.addfile(entry, io.BytesIO(text.encode()))


def _anybodys(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Root's on the host and readable there, whoever made it and with which umask; no bytecode of this machine's."""
    if "__pycache__" in entry.name:
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry


def _folder() -> Path:
    return home() / "cache" / KIND


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise disk_error(error, _folder()) from error
    finally:
        for left in _folder().glob(".unfinished-*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
