"""The docker CLI as a user sees it."""

from __future__ import annotations

import asyncio
import os
import re


class Terminal:
    def __init__(self, api, home) -> None:
        self.api = api
        self._home = home

    async def __call__(self, line: str, *, fails: bool = False) -> str:
        """What the command prints, both streams in one."""
        process = await asyncio.create_subprocess_exec(
            "docker",
            "-H",
            f"unix://{self.api.socket}",
            *line.split(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], "HOME": str(self._home)},
        )
        output, _ = await asyncio.wait_for(process.communicate(), 60)
        text = output.decode()
        assert (process.returncode != 0) is fails, text
        return text


def columns(text: str) -> list[list[str]]:
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
