"""A pytest plugin that tells `provision` what the checks do, while they do it.

A check's sentence is the first line of its docstring; names of its parameters in braces are filled in. Its message is
what its assertion says, without pytest's traceback: that is in the log.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Generator

import pytest

from provisioner import check_events as events
from provisioner.errors import ProvisionError

MESSAGE_LINES = 12

_phases = pytest.StashKey[list[pytest.TestReport]]()
_cause = pytest.StashKey[str]()
_impossible = pytest.StashKey[bool]()


class Stream:
    """Writes events to the descriptor that `--events` names; without one, it writes nothing."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def send(self, event: events.Event) -> None:
        if self._descriptor is None:
            return
        try:
            os.write(self._descriptor, events.to_line(event).encode())
        except BrokenPipeError:
            # Our reader was killed. Ending the run now lets every fixture clean up what it made on the lab.
            self._descriptor = None
            pytest.exit("the `provision` that asked for these checks has ended", returncode=2)

    def doing(self, text: str) -> None:
        """Show what a long check does at this moment."""
        self.send(events.Doing(text=text))

    def note(self, text: str) -> None:
        """Print a line that stays."""
        self.send(events.Note(text=text))

    def data(self, name: str, value: object) -> None:
        """Hand a value (of JSON's types) to the caller: it is in the report's ``data``."""
        self.send(events.Data(name=name, value=value))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--events", type=int, metavar="FD", help="write events to this file descriptor")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Reporter(Stream(config.getoption("--events"))), "provision-reporter")


def stream_of(config: pytest.Config) -> Stream:
    reporter = config.pluginmanager.get_plugin("provision-reporter")
    assert isinstance(reporter, Reporter)
    return reporter.stream


def not_possible(item: pytest.Item, reason: str) -> None:
    """Skip a check for what the hosts' kernel lacks; it is counted apart from others that are skipped."""
    item.stash[_impossible] = True
    item.user_properties.append(("impossible", reason))
    pytest.skip(reason)


def suite_of(item: pytest.Item) -> str:
    """The sub-folder of provisioner/suites that a check lies in."""
    return item.path.relative_to(item.config.rootpath).parts[0]


def sentence_of(item: pytest.Item) -> str:
    """The claim of a check in words: "manager2 resolves every host of the lab"."""
    callspec = getattr(item, "callspec", None)
    values = {name: str(value) for name, value in callspec.params.items()} if callspec else {}
    doc = inspect.cleandoc(getattr(getattr(item, "function", None), "__doc__", "") or "")
    if not doc:
        words = item.originalname if isinstance(item, pytest.Function) else item.name
        return " ".join([words.removeprefix("test_").replace("_", " "), *values.values()])
    return doc.splitlines()[0].rstrip(".").format_map(values)


def cause_of(error: BaseException) -> str:
    """Why a check failed, in the words that it was written with."""
    text = str(error).strip()
    if isinstance(error, AssertionError | pytest.fail.Exception):
        text = text.split("\nassert ")[0]  # what pytest adds to the sentence of an assert
    elif isinstance(error, ProvisionError):
        text = f"{error.message}\n{error.hint}".strip()
    else:
        text = f"{type(error).__name__}: {text} (an error of the check itself; its traceback is in the log)"
    lines = text.splitlines()
    if len(lines) > MESSAGE_LINES:
        lines = [*lines[:MESSAGE_LINES], "…"]
    return "\n".join(lines)


class Reporter:
    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.stream.send(events.Broken(where=report.nodeid, message=report.longreprtext))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.stream.send(events.Collected(checks=len(session.items)))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        suite, sentence = suite_of(item), sentence_of(item)
        item.user_properties.append(("sentence", sentence))
        item.stash[_phases] = []
        self.stream.send(events.Started(nodeid=item.nodeid, suite=suite, sentence=sentence))
        result = yield
        outcome, message = _outcome(item)
        seconds = sum(phase.duration for phase in item.stash[_phases])
        self.stream.send(
            events.Finished(
                nodeid=item.nodeid, suite=suite, sentence=sentence, outcome=outcome, message=message, seconds=seconds
            )
        )
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        item.stash[_phases].append(report)
        if report.failed and call.excinfo is not None and _cause not in item.stash:
            where = "cleaning up after it failed: " if report.when == "teardown" else ""
            item.stash[_cause] = where + cause_of(call.excinfo.value)
        elif report.skipped and call.excinfo is not None:
            item.stash[_cause] = str(call.excinfo.value)
        return report

    def pytest_internalerror(self, excrepr: object) -> None:
        self.stream.send(events.Broken(where="pytest", message=str(excrepr)))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int) -> Generator[None, None, None]:
        yield
        self.stream.send(events.Ended(status=int(exitstatus)))


def _outcome(item: pytest.Item) -> tuple[events.Outcome, str]:
    phases = item.stash[_phases]
    if any(phase.failed for phase in phases):
        return "failed", item.stash.get(_cause, "")
    if any(phase.skipped for phase in phases):
        return ("impossible" if item.stash.get(_impossible, False) else "skipped"), item.stash.get(_cause, "")
    return "passed", ""
