"""Managers' etcd members on loopback: peers with a CA of the test's own, each joined by the code under test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from managers import Managers


@pytest.fixture
async def managers(etcd: Path, members_folder: Path) -> AsyncIterator[Managers]:
    async with Managers(etcd, members_folder) as made:
        yield made
