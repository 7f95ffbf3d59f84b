"""One line per event of the cluster, on standard error; systemd's journal adds the time."""

from __future__ import annotations

import logging
import os
import sys

import structlog
from aiohttp.http_exceptions import HttpProcessingError
from structlog.typing import Processor


def configure(level: str) -> None:
    """
    :param level: debug, info, warning or error.
    """
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    if "JOURNAL_STREAM" not in os.environ:
        shared.insert(0, structlog.processors.TimeStamper(fmt="%H:%M:%S.%f"))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _line],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("aiohttp").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.server").addFilter(without_what_was_sent)


def without_what_was_sent(record: logging.LogRecord) -> bool:
    """For aiohttp's log: of a request whose head it cannot read, it would show the line, which may hold credentials."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args = "a request could not be read (%s)", (type(error).__name__,)
        record.exc_info = record.exc_text = None
    return True


def _line(_: object, __: str, event: structlog.typing.EventDict) -> str:
    """``12:00:00.000000 warning: node is down (node=…, why=…)``; the level only where it is not the usual one."""
    stamp, level = event.pop("timestamp", ""), event.pop("level", "info")
    text, trace = event.pop("event", ""), event.pop("exception", "")
    facts = ", ".join(f"{name}={value}" for name, value in event.items())
    line = f"{text} ({facts})" if facts else str(text)
    if level != "info":
        line = f"{level}: {line}"
    return "\n".join(part for part in (f"{stamp} {line}".strip(), trace) if part)
