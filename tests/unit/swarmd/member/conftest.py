"""Managers' etcd members on loopback: peers with a CA of the test's own, each joined by the code under test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from managers import Managers


@pytest.fixture
async def managers(etcd: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Managers]:
    async with Managers(etcd, tmp_path_factory.mktemp("m")) as made:
        yield made
