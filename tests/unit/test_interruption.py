"""Ctrl-C and SIGTERM are neither lost nor do they leave a lock of Python's own library taken."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator

import pytest

from provisioner.cli import interruption


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    before = [signal.getsignal(number) for number in numbers]
    interruption.install()
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def _interrupt() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0)  # the handler runs before the next bytecodes


def _forget(last: object) -> None:
    del last
    time.sleep(10)  # cut short


def _warn(logger: logging.Logger) -> None:
    logger.warning("said")
    time.sleep(10)  # cut short


def test_an_interruption_ends_what_is_done() -> None:
    with pytest.raises(KeyboardInterrupt):
        _interrupt()


def test_an_interruption_in_a_destructor_comes_after_it_instead_of_being_ignored() -> None:
    steps = []

    class Dying:
        def __del__(self) -> None:
            _interrupt()
            steps.append("destroyed")

    with pytest.raises(KeyboardInterrupt):
        _forget(Dying())
    assert steps == ["destroyed"]


def test_an_interruption_within_logging_comes_after_it_instead_of_keeping_its_lock() -> None:
    steps = []

    class Interrupting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            _interrupt()
            steps.append(record.getMessage())

    logger = logging.Logger("interrupted")
    logger.addHandler(Interrupting())
    with pytest.raises(KeyboardInterrupt):
        _warn(logger)
    assert steps == ["said"]
