"""A real etcd for the tests of the daemon."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from etcd_members import Members

REPOSITORY = Path(__file__).parents[3]

# Before gRPC is imported: tests of the playbooks fork later in the same process, where gRPC's handlers now and then
# cannot stop its threads, and the child does nothing for ever.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"


@pytest.fixture(scope="session")
def etcd() -> Path:
    """The program; etcdctl and etcdutl lie beside it. ``SWARMD_ETCD`` names another one than Debian 13's."""
    if given := os.environ.get("SWARMD_ETCD"):
        return Path(given)
    folder = REPOSITORY / ".cache" / "etcd"
    subprocess.run([REPOSITORY / "scripts" / "etcd-binary", folder], check=True, timeout=300)
    return folder / "etcd"


@pytest.fixture
def members_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """
    Where etcd's members live. It goes with the test: each member preallocates two WAL segments of 64 MB, and some
    hundred tests with three members would fill a disk. It lies outside of tmp_path, whose name may be too long for
    a socket's.
    """
    folder = tmp_path_factory.mktemp("e")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def etcd_members(etcd: Path, members_folder: Path) -> Iterator[Members]:
    members = Members(etcd, members_folder)
    try:
        yield members
    finally:
        members.close()
