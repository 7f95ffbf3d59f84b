"""``swarmd``: the swarm's daemon on this node; with ``check`` it says what it would find, and changes nothing."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from swarmd import __version__, logs
from swarmd.config import DEFAULT_PATH, BadConfiguration, Config, load


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="swarmd", description="Docker's swarm mode, as a daemon of its own")
    parser.add_argument("--version", action="version", version=f"swarmd {__version__}")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"settings (default: {DEFAULT_PATH}, if it is there)"
    )
    parser.add_argument("verb", nargs="?", choices=("run", "check"), default="run", help="default: run")
    given = parser.parse_args(arguments)
    try:
        config = load(given.config or DEFAULT_PATH, required=given.config is not None)
        logs.configure(config.log_level)
    except BadConfiguration as error:
        print(f"swarmd: {error}", file=sys.stderr)
        return 2
    if given.verb == "check":
        from swarmd.checking import check  # noqa: PLC0415 (a daemon does without)

        return asyncio.run(check(config))
    return asyncio.run(_run(config))


async def _run(config: Config) -> int:
    from swarmd.daemon import serve  # noqa: PLC0415 (0.2 s of imports, which --help and --version do without)

    task = asyncio.current_task()
    assert task is not None  # noqa: S101 (a coroutine runs in a task)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await serve(config)
    except asyncio.CancelledError:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
