"""Runs the suites on a lab: pytest as a process of its own, its events as live progress, its outcome as a Report."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import selectors
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from provisioner import check_events as events
from provisioner import command, state
from provisioner.errors import LabUnhealthy, ProvisionError, UsageError
from provisioner.machines import Machine, select
from provisioner.progress import Progress
from provisioner.report import Failure, Report
from provisioner.state import LabFolder

SUITES = "provisioner.suites"
"""The package of the suites. Not imported here: a suite may play a scenario, and scenarios run suites."""

ROOT = Path(__file__).with_name("suites")

DEFAULT_SUITES = ("hosts", "topology", "overlay", "services")
"""In this order, which goes from the ground up: the first that fails is nearest to the cause."""

# The longest check that says nothing meanwhile waits 60 s; ten times that is a hang.
SILENCE_SECONDS = 600

# `failover` starts the hosts again that it has stopped, also when it is interrupted.
CLEAN_UP_SECONDS = 180

COLLECTING = "Collecting the checks"


def available() -> list[str]:
    """Every suite there is, the default ones first."""
    folders = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
    return [*DEFAULT_SUITES, *(name for name in folders if name not in DEFAULT_SUITES)]


def chosen(names: Sequence[str]) -> list[str]:
    """The suites of these names, each once; without names, all but the destructive ones.

    :raises UsageError: there is no such suite.
    """
    for name in names:
        if name not in available():
            raise UsageError(f"there is no suite {name!r}", hint=f"the suites are {', '.join(available())}")
    return list(dict.fromkeys(names or DEFAULT_SUITES))


def run(
    lab: LabFolder,
    suites: Sequence[str] = (),
    *,
    progress: Progress,
    log: Path,
    junit: Path | None = None,
    options: Sequence[str] = (),
) -> Report:
    """Run suites on a lab that is up, load the container images that they need, and report.

    :param suites: their names; all but the destructive ones where there are none.
    :param log: takes pytest's complete output.
    :param junit: where to write JUnit's XML.
    :param options: options of a suite's own, such as ("--count", "2") of `failover`.
    :returns: the report, whether or not checks failed: see :meth:`Report.require_passed`.
    :raises UsageError: an unknown suite, or a file that cannot be written.
    :raises LabUnhealthy: no host of the lab is running.
    :raises ProvisionError: the checks could not be run to their end, or none could be made.
    """
    names = chosen(suites)
    if junit is not None:
        junit = _writable(junit)
    running = _running(lab)
    _load_images(running, names, progress)
    return execute(lab.name, names, root=ROOT, progress=progress, log=log, junit=junit, options=options)


def execute(
    lab: str,
    names: Sequence[str],
    *,
    root: Path,
    progress: Progress,
    log: Path,
    junit: Path | None = None,
    options: Sequence[str] = (),
) -> Report:
    """Run the suites in these sub-folders of ``root``; see :func:`run`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    reading, writing = os.pipe()
    argv = _argv(lab, names, root=root, descriptor=writing, junit=junit, options=options)
    tally = _Tally()
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, reading)
        output = stack.enter_context(log.open("a"))
        close_writing = stack.enter_context(contextlib.ExitStack())
        close_writing.callback(os.close, writing)
        with command.started(
            argv, log=output, env=_environment(), pass_fds=(writing,), grace=CLEAN_UP_SECONDS
        ) as process:
            close_writing.close()  # so that the pipe ends with the process
            try:
                _follow(_read(reading, log), tally, progress)
            except KeyboardInterrupt:
                progress.warn("interrupted: the checks take away what they made on the lab (Ctrl-C again: leave it)")
                raise
    return _judge(tally, process.returncode, lab=lab, log=log)


def _argv(
    lab: str, names: Sequence[str], *, root: Path, descriptor: int, junit: Path | None, options: Sequence[str]
) -> list[str | Path]:
    # -P: a file beside the user that is called like a module of ours must not be imported in its place.
    argv: list[str | Path] = [sys.executable, "-P", "-m", "pytest", "-v", "-c", ROOT / "pytest.ini"]
    argv += ["--rootdir", root, "--confcutdir", root, "-p", "provisioner.suites.stream"]
    argv += ["--lab", lab, "--events", str(descriptor), *options]
    if junit is not None:
        argv += [f"--junitxml={junit}", "-o", f"junit_suite_name=provision verify {lab}"]
    return [*argv, *(root / name for name in names)]


def _environment() -> dict[str, str]:
    """The user's, without what would change pytest: options, plugins of their own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def _writable(junit: Path) -> Path:
    path = junit.absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a").close()
    except OSError as error:
        raise UsageError(f"the JUnit file {junit} cannot be written: {error.strerror}") from error
    return path


def _running(lab: LabFolder) -> list[Machine]:
    machines = select.provider(lab, state.load(lab)).machines()
    running = [machine for machine in machines if machine.state == "running"]
    if not running:
        states = ", ".join(f"{machine.name} is {machine.state}" for machine in machines)
        raise LabUnhealthy(
            f"nothing can be checked, no host of lab {lab.name!r} is running: {states}",
            hint=f"provision start --name {lab.name}",
        )
    return running


def _load_images(machines: Sequence[Machine], names: Sequence[str], progress: Progress) -> None:
    """Every suite names what it needs in its package's IMAGES."""
    needed: dict[str, None] = {}
    for name in names:
        package = importlib.import_module(f"{SUITES}.{name}")
        needed.update(dict.fromkeys(getattr(package, "IMAGES", ())))
    if needed:
        from provisioner import images  # noqa: PLC0415 (it is not needed where no suite runs containers)

        images.load(machines, list(needed), progress)


@dataclass
class _Tally:
    expected: int | None = None
    finished: list[events.Finished] = field(default_factory=list)
    broken: list[events.Broken] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    status: int | None = None
    current: str = ""

    def take(self, event: events.Event) -> None:
        if isinstance(event, events.Collected):
            self.expected = event.checks
        elif isinstance(event, events.Started):
            self.current = event.sentence
        elif isinstance(event, events.Finished):
            self.finished.append(event)
        elif isinstance(event, events.Broken):
            self.broken.append(event)
        elif isinstance(event, events.Data):
            self.data[event.name] = event.value
        elif isinstance(event, events.Ended):
            self.status = event.status


class _SuiteFailed(Exception):
    """Ends a stage of the progress as a failed one."""


def _read(descriptor: int, log: Path) -> Iterator[events.Event]:
    """The events as they come, to the end of the pipe.

    :raises ProvisionError: nothing came for SILENCE_SECONDS.
    """
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            if not selector.select(SILENCE_SECONDS):
                raise ProvisionError(f"the checks have not moved for {SILENCE_SECONDS} s and were stopped", log=log)
            chunk = os.read(descriptor, 65536)
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                try:
                    yield events.from_line(line.decode(errors="replace"))
                except ValidationError as error:
                    raise ProvisionError(f"the checks sent what is not an event: {line[:200]!r}", log=log) from error


def _follow(stream: Iterator[events.Event], tally: _Tally, progress: Progress) -> None:
    """Show each suite as a stage of the progress."""

    def stages() -> Iterator[tuple[str, events.Event | None]]:
        suite = ""
        yield suite, None
        for event in stream:
            if isinstance(event, events.Started):
                suite = event.suite
            yield suite, event

    for suite, group in itertools.groupby(stages(), key=lambda pair: pair[0]):
        began = time.monotonic()
        with contextlib.suppress(_SuiteFailed), progress.stage(f"Checking {suite}" if suite else COLLECTING):
            for _, event in group:
                if event is not None:
                    tally.take(event)
                    _show(event, progress)
            if any(check.suite == suite and check.outcome == "failed" for check in tally.finished):
                raise _SuiteFailed
        if suite:
            tally.seconds[suite] = tally.seconds.get(suite, 0) + time.monotonic() - began


def _show(event: events.Event, progress: Progress) -> None:
    if isinstance(event, events.Started):
        progress.host("", event.sentence)
    elif isinstance(event, events.Doing):
        progress.host("", event.text)
    elif isinstance(event, events.Note):
        progress.note(event.text)
    elif isinstance(event, events.Finished) and event.outcome == "failed":
        progress.note(f"  ✗ {event.sentence}")


def _judge(tally: _Tally, status: int, *, lab: str, log: Path) -> Report:
    """Turn the events into a report, or say why they are not one: silence is never a pass."""
    if tally.broken:
        first = tally.broken[0]
        last_line = first.message.strip().splitlines()[-1:] or ["no message"]
        raise ProvisionError(f"the checks are broken ({first.where or 'pytest'}): {last_line[0]}", log=log)
    if tally.expected == 0:
        raise ProvisionError("there was no check to run", log=log)
    if tally.expected != len(tally.finished) or tally.status != status or status not in (0, 1):
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        during = f" during {tally.current!r}" if tally.current else ""
        expected = "?" if tally.expected is None else tally.expected
        raise ProvisionError(
            f"pytest ended {how}{during}, after {len(tally.finished)} of {expected} checks", log=log,
            hint="the end of the log says why",
        )  # fmt: skip
    outcomes = Counter(check.outcome for check in tally.finished)
    if (status == 1) != (outcomes["failed"] > 0):
        raise ProvisionError(f"pytest ended with status {status}, but {outcomes['failed']} checks failed", log=log)
    report = Report(
        lab=lab,
        log=log,
        passed=outcomes["passed"],
        failures=tuple(
            Failure(check.suite, check.nodeid, check.sentence, check.message)
            for check in tally.finished
            if check.outcome == "failed"
        ),
        impossible=dict(Counter(check.message for check in tally.finished if check.outcome == "impossible")),
        skipped=dict(Counter(check.message for check in tally.finished if check.outcome == "skipped")),
        seconds=tally.seconds,
        data=tally.data,
    )
    if not report.passed and not report.failures:
        raise ProvisionError(f"none of the {report.total} checks could be made: {report.words()}", log=log)
    return report
