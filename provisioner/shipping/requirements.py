"""Which distributions swarmd needs on a host: pins from our own metadata, the rest from the wheels'.

pip judges environment markers by the Python that runs it, also when it fetches for another one (``--python-version``):
fetched by 3.13 for 3.11, aiosignal would lack typing-extensions. So the markers are judged here.
"""

from __future__ import annotations

import email.parser
import importlib.metadata
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from provisioner.errors import ProvisionError
from provisioner.shipping.target import Target

DISTRIBUTION = "provision"
EXTRA = "swarmd"


@dataclass(frozen=True)
class Wheel:
    path: Path
    requires: tuple[str, ...]


@dataclass(frozen=True)
class Closure:
    used: frozenset[Path]
    """The wheels that are needed."""
    missing: tuple[str, ...]
    """Requirements that no wheel is there for."""


def pins(target: Target) -> tuple[str, ...]:
    """What the installed ``provision`` names for swarmd (its extra), such as ``aiohttp==3.14.5``, in order of names.

    :raises ProvisionError: it names nothing: it was installed by an older version of it.
    """
    declared = map(Requirement, importlib.metadata.requires(DISTRIBUTION) or ())
    ours = [needed for needed in declared if _holds(needed, target, EXTRA) and not _holds(needed, target, "")]
    found = sorted(map(_plain, ours))
    if not found:
        raise ProvisionError(
            "the installed provision does not say which libraries swarmd needs", hint="install it anew: make setup"
        )
    return tuple(found)


def wheels(folder: Path) -> dict[str, Wheel]:
    """The wheels of a folder by the normalised name of their distribution."""
    return {
        canonicalize_name(path.name.partition("-")[0]): Wheel(path, tuple(_requires(path)))
        for path in sorted(folder.glob("*.whl"))
    }


def closure(wanted: Iterable[str], found: Mapping[str, Wheel], target: Target) -> Closure:
    """What of the wheels is needed for these requirements, and what is not there yet."""
    used: set[Path] = set()
    missing: set[str] = set()
    waiting = [Requirement(text) for text in wanted]
    seen: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        if _plain(requirement) in seen:
            continue
        seen.add(_plain(requirement))
        wheel = found.get(canonicalize_name(requirement.name))
        if wheel is None:
            missing.add(_plain(requirement))
            continue
        used.add(wheel.path)
        waiting += [
            needed
            for needed in map(Requirement, wheel.requires)
            if any(_holds(needed, target, extra) for extra in ("", *requirement.extras))
        ]
    return Closure(frozenset(used), tuple(sorted(missing)))


def _holds(requirement: Requirement, target: Target, extra: str) -> bool:
    marker = requirement.marker
    return marker is None or marker.evaluate({**target.environment, "extra": extra})


def _plain(requirement: Requirement) -> str:
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}{requirement.specifier}"


def _requires(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA") and name.count("/") == 1)
        metadata = email.parser.BytesParser().parsebytes(archive.read(name), headersonly=True)
    return [str(value) for value in metadata.get_all("Requires-Dist", [])]
