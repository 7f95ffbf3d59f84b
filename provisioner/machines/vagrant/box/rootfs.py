"""A box's root as one tar file: read from, and written again in other shapes, always equal for equal roots."""

from __future__ import annotations

import copy
import io
import re
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from provisioner.errors import ProvisionError
from provisioner.machines.vagrant.box.definition import TIME


class RootArchive:
    """Paths are relative: ``usr/bin/sh``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tar = tarfile.open(path)  # noqa: SIM115 (closed by __exit__)
        self._members = {member.name.removeprefix("./"): member for member in self._tar}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tar.close()

    def find(self, pattern: str) -> str:
        """The one path that matches.

        :raises ProvisionError: none does.
        """
        found = next((name for name in self._members if re.fullmatch(pattern, name)), None)
        if found is None:
            raise ProvisionError(f"the root of the box has no {pattern}")
        return found

    def below(self, top: str, target: Path, *, without: tuple[str, ...]) -> None:
        """Write this root as an archive with everything in one folder.

        :param without: folders that are to be empty, each with a slash at its end.
        """
        with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
            for path, member in self._members.items():
                if path.startswith(without) and path not in without:
                    continue
                content = self._tar.extractfile(member) if member.isreg() else None
                moved = copy.copy(member)
                moved.name = f"{top}/{path}".rstrip("/.")
                moved.pax_headers = {
                    name: value for name, value in member.pax_headers.items() if name.startswith("SCHILY.")
                }
                if member.islnk():
                    moved.linkname = f"{top}/{member.linkname.removeprefix('./')}"
                tar.addfile(moved, content)

    def with_files(self, target: Path, added: Mapping[str, bytes]) -> None:
        """Write this root and more files as another archive."""
        shutil.copyfile(self.path, target)
        with tarfile.open(target, "a", format=tarfile.PAX_FORMAT) as tar:
            for path, content in added.items():
                member = tarfile.TarInfo(f"./{path}")
                member.size, member.mtime, member.mode = len(content), TIME, 0o644
                tar.addfile(member, io.BytesIO(content))

    def read(self, path: str) -> bytes:
        try:
            file = self._tar.extractfile(self._members[path])
        except KeyError as error:
            raise ProvisionError(f"the root of the box has no {path}") from error
        if file is None:
            raise ProvisionError(f"{path} in the root of the box is not a file")
        return file.read()
