"""Signs of life for systemd's watchdog (sd_watchdog_enabled(3))."""

from __future__ import annotations

import asyncio
import os

from swarmd.systemd import notify


async def keep_quiet() -> None:
    """One each half of the watchdog's time; returns at once where there is no watchdog."""
    microseconds = int(os.environ.get("WATCHDOG_USEC", "0"))
    while microseconds:
        notify("WATCHDOG=1")
        await asyncio.sleep(microseconds / 2_000_000)
