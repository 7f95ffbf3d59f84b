"""What `--engine swarmd` needs of this machine: it fetches, once, what the hosts get without a network."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

from provisioner.doctor.finding import Finding, programs

PROVIDER = "swarmd"
_CONSEQUENCE = "no lab with --engine swarmd, unless its archive is in the cache"
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def examine() -> Iterator[Finding]:
    if importlib.util.find_spec("pip") is None:
        yield Finding(
            PROVIDER, "pip", "missing", f"{sys.executable} has none", _CONSEQUENCE, f"{sys.executable} -m ensurepip"
        )
    else:
        yield Finding(PROVIDER, "pip", "ok", "there")
    yield programs(PROVIDER, {"bash": "bash", "apt-get": "apt", "dpkg-deb": "dpkg"}, _CONSEQUENCE)
    if _KEYRING.is_file():
        yield Finding(PROVIDER, "Debian's keys", "ok", str(_KEYRING))
    else:
        yield Finding(
            PROVIDER, "Debian's keys", "missing", f"{_KEYRING} is not there", _CONSEQUENCE,
            "apt-get install debian-archive-keyring",
        )  # fmt: skip
