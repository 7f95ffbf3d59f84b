"""Clusters on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nodes import Nodes, nodes_on_loopback


@pytest.fixture
async def nodes(etcd: Path, members_folder: Path) -> AsyncIterator[Nodes]:
    async with nodes_on_loopback(etcd, members_folder) as found:
        yield found
