"""Running one `vagrant` that takes minutes: its lines as they come, a log, and a deadline that counts from progress."""

from __future__ import annotations

import os
import re
import select
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from provisioner import command
from provisioner.errors import ProvisionError
from provisioner.machines.vagrant import failures

Told = Callable[[str, str], None]
"""Takes a machine's name ("" where a line is about none) and what Vagrant says of it, line by line."""
Activity = Callable[[], object]

STALLED_SECONDS = 420  # longer than Vagrant's own wait for a boot (300 s), whose error says more
TICK_SECONDS = 1.0
GRACE_SECONDS = 60  # interrupted, Vagrant first ends the step that it is at

_LINE = re.compile(r"^(?:==>|   )\s*(?P<machine>[\w.-]+): (?P<text>.*)$")
_PERCENT = re.compile(r"^(?:\S+ )?\s*(?:[\w.-]+: )?\s*(?:Progress: )?\d{1,3}%")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Stalled(ProvisionError):
    """Nothing happened for too long."""


def silent(_machine: str, _text: str) -> None:
    """Tell nobody."""


def unseen() -> object:
    """No activity but Vagrant's own words."""
    return None


def run(
    argv: Sequence[str], *, env: Mapping[str, str], verb: str, lab: str, log_path: Path,
    told: Told = silent, activity: Activity = unseen, stalled: float = STALLED_SECONDS,
) -> None:  # fmt: skip
    """Run `vagrant` to its end.

    :param stalled: seconds without a word or other activity, after which it is ended.
    :raises ProvisionError: it failed or stalled. Ctrl-C is passed on to it once, and its end awaited.
    """
    said: list[str] = []
    readable, writable = os.pipe()
    try:
        with log_path.open("a", buffering=1) as log, os.fdopen(writable, "w") as into:
            log.write(f"$ {shlex.join(argv)}\n")
            with command.started(argv, log=into, env=env, grace=GRACE_SECONDS) as process:
                into.close()  # the end of its output is the end of ours
                for line in _lines(readable, process, activity, stalled):
                    machine, text = read_line(line)
                    told(machine, text)
                    if not is_percent(line):
                        said.append(line)
                        log.write(line + "\n")
    except Stalled as error:
        last = said[-1].strip() if said else "nothing"
        raise Stalled(
            f"vagrant {verb} does not go on: nothing has happened for {stalled:g} s; it last said {last!r}",
            hint=f"look at their consoles: provision logs MACHINE --name {lab}; then repeat the command", log=log_path,
        ) from error  # fmt: skip
    finally:
        os.close(readable)
    if process.returncode != 0:
        raise failures.explain("\n".join(said), lab=lab, verb=verb, log=log_path)


def _lines(readable: int, process: subprocess.Popen[bytes], activity: Activity, stalled: float) -> Iterator[str]:
    """Complete lines, and parts of lines that are to be overwritten on a terminal, as they come."""
    pending = b""
    seen, since = activity(), time.monotonic()
    while True:
        ready, _, _ = select.select([readable], [], [], min(TICK_SECONDS, stalled))
        now = time.monotonic()
        if ready:
            chunk = os.read(readable, 1 << 16)
            if not chunk:
                break
            since = now
            *whole, pending = re.split(rb"[\r\n]", pending + chunk)
            yield from filter(None, map(_plain, whole))
        elif process.poll() is not None:
            break  # something that it has started holds its output open
        elif (seen_now := activity()) != seen:
            seen, since = seen_now, now
        if now - since > stalled:
            raise Stalled("")
    yield from filter(None, [_plain(pending)])


def read_line(line: str) -> tuple[str, str]:
    """The machine that a line is about ("" where it is about none), and what it says."""
    found = _LINE.match(line)
    return (found["machine"], found["text"].strip()) if found else ("", line.strip())


def is_percent(line: str) -> bool:
    """Whether it is one of the hundreds of lines that a download or a copy prints, one per percent."""
    return bool(_PERCENT.match(line))


def _plain(line: bytes) -> str:
    return _CONTROL.sub("", line.decode(errors="replace")).rstrip()
