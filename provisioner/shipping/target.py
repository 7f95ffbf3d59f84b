"""What the hosts are that something is fetched for, as Python's packaging standards name it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from provisioner.lab import BASES, Base, LabSpec

# Markers may compare the whole version: those of the releases' own packages. 3.12 is Ubuntu 24.04's.
_FULL_VERSIONS = {"3.11": "3.11.2", "3.12": "3.12.3", "3.13": "3.13.5"}
PYTHONS = tuple(_FULL_VERSIONS)
_PYTHON_OF: dict[Base, str] = {"trixie": "3.13", "bookworm": "3.11"}

# macOS calls it otherwise.
_MACHINES = {"arm64": "aarch64"}

# glibc 2.34 is what the newest of the libraries needs (cryptography), and Debian 12 has 2.36.
_NEWEST_GLIBC, _OLDEST_GLIBC = 34, 17


@dataclass(frozen=True)
class Target:
    python: str
    """Its minor version, such as 3.13."""
    machine: str
    """As ``uname -m`` says it on Linux."""

    @property
    def name(self) -> str:
        return f"{self.python}-{self.machine}"

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platform tags of wheels that run there, the best ones first (PEP 600; pip names none by itself)."""
        newer = (f"manylinux_2_{minor}_{self.machine}" for minor in range(_NEWEST_GLIBC, _OLDEST_GLIBC - 1, -1))
        return (*newer, f"manylinux2014_{self.machine}")

    @property
    def environment(self) -> dict[str, str]:
        """What markers of requirements are judged by (PEP 508)."""
        full = _FULL_VERSIONS[self.python]
        return {
            "implementation_name": "cpython", "implementation_version": full, "os_name": "posix",
            "platform_machine": self.machine, "platform_python_implementation": "CPython", "platform_release": "",
            "platform_system": "Linux", "platform_version": "", "python_full_version": full,
            "python_version": self.python, "sys_platform": "linux",
        }  # fmt: skip


def of_lab(spec: LabSpec) -> tuple[Target, ...]:
    """One for the lab's Debian; one for each that we know where the machines were there before the lab.

    Their processor is taken to be of this machine's kind: hosts of a lab are containers or machines on it.
    """
    return tuple(map(of_base, BASES if spec.base is None else (spec.base,)))


def of_base(base: Base) -> Target:
    machine = os.uname().machine
    return Target(_PYTHON_OF[base], _MACHINES.get(machine, machine))
