"""The host on which the agent is tried; each file that asks for it has one of its own.

``SWARMD_LAB`` names a lab that is up, whose host manager1 is in no swarm, to be used instead of one of the test's own.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from agent_host import Host, provision, so, working

from swarmd.agent.worker import Worker
from swarmd.wire import Assignments


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """One host with Docker in no swarm, with live-restore and busybox."""
    if given := os.environ.get("SWARMD_LAB"):
        yield Host(given)
        return
    lab = f"agent-{secrets.token_hex(2)}"
    provision("up", "--name", lab, "--engine", "docker", "--offline", "--no-verify", "--managers", "1")
    try:
        made = Host(lab)
        made.docker("swarm", "leave", "--force")
        provision("images", "load", "busybox", "--name", lab)
        made.run("""echo '{"live-restore": true}' > /etc/docker/daemon.json && systemctl reload docker""")
        yield made
    finally:
        provision("down", "--name", lab)


@pytest.fixture
async def worker(host: Host, tmp_path: Path) -> AsyncIterator[Worker]:
    async with working(tmp_path, host) as started:
        yield started
        await started.assign(Assignments(complete=True, tasks=[]))
        await so(lambda: started.tasks == {})
