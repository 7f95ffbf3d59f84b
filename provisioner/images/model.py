"""What a container image is: one TOML file per image beside this module, read into a frozen, validated model."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from provisioner.errors import ProvisionError, UsageError
from provisioner.lab import Base

# Raised when the builder changes what it makes of an unchanged definition.
FORMAT = 1

# mmdebstrap's variants. `extract` unpacks the packages and runs none of their scripts: the smallest and quickest.
# `essential` is a configured Debian without apt.
Variant = Literal["extract", "essential"]

AbsolutePath = Annotated[str, StringConstraints(pattern=r"^/")]
Port = Annotated[str, StringConstraints(pattern=r"^\d{1,5}/(tcp|udp|sctp)$")]

_NAME = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")  # a repository name as Docker's reference grammar has it


class File(BaseModel):
    """A file written into the root before its setup runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: AbsolutePath
    text: str
    mode: int = 0o644


class Image(BaseModel):
    """One image. The fields from ``entrypoint`` on mean what they mean in a Dockerfile."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=f"^{_NAME.pattern}$")]
    tags: Annotated[tuple[str, ...], Field(min_length=1)]
    suite: Base = "trixie"
    variant: Variant = "essential"
    packages: Annotated[tuple[str, ...], Field(min_length=1)]
    path_exclude: tuple[AbsolutePath, ...] = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
    """Patterns that dpkg does not unpack; copyright files stay in any case."""
    files: tuple[File, ...] = ()
    setup: str = ""
    """A shell script that runs inside the root as its last step, under ``setup_shell`` and ``-eu``."""
    setup_shell: tuple[str, ...] = ("/bin/sh",)
    keep: tuple[AbsolutePath, ...] = ()
    """Paths or globs: where given, only these (a folder with all below it) become the image."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: dict[str, str] = {}
    ports: tuple[Port, ...] = ()
    volumes: tuple[AbsolutePath, ...] = ()
    workdir: AbsolutePath = "/"
    user: str = ""
    stop_signal: str = ""

    @property
    def key(self) -> str:
        """A short hash of all that decides the image: equal keys, equal images (up to Debian's own updates)."""
        parts = f"{FORMAT}\n{os.uname().machine}\n{self.model_dump_json()}"
        return hashlib.sha256(parts.encode()).hexdigest()[:12]


def names() -> list[str]:
    """Every image that there is a definition of, in alphabetical order."""
    return sorted(file.name.removesuffix(".toml") for file in _definitions())


def definition(name: str) -> Image:
    """Read one image's definition.

    :raises UsageError: there is none of that name.
    :raises ProvisionError: it is not a valid definition; the message says where.
    """
    for file in _definitions():
        if file.name == f"{name}.toml":
            return parse(file.read_text(), source=file.name)
    raise UsageError(f"there is no image {name!r}", hint=f"there are: {', '.join(names())}")


def parse(text: str, *, source: str) -> Image:
    """:param source: the file's name, for messages; its stem is the image's name, and ``<stem>:latest`` its tag.

    :raises ProvisionError: not TOML, or not a valid definition.
    """
    stem = source.removesuffix(".toml")
    try:
        return Image.model_validate({"name": stem, "tags": (f"{stem}:latest",), **tomllib.loads(text)})
    except tomllib.TOMLDecodeError as error:
        raise ProvisionError(f"the image definition {source} is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ProvisionError(
            f"the image definition {source} is not valid: {where}: {first['msg']}",
            hint="docs/images.md lists what a definition may hold",
        ) from error


def _definitions() -> list[Traversable]:
    return [file for file in resources.files(__package__).iterdir() if file.name.endswith(".toml")]
