"""Clusters on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nodes import Nodes, nodes_on_loopback


@pytest.fixture
async def nodes(etcd: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nodes]:
    # Outside of tmp_path, whose name may be too long for a socket's.
    async with nodes_on_loopback(etcd, tmp_path_factory.mktemp("n")) as found:
        yield found
