"""The sole subprocess runner: every program that `provision` starts is started here.

A program that fails raises CommandFailed, which holds its argv, exit status and output, and prints as a command
to paste. Every run has a deadline.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from provisioner.errors import MachineLacks, ProvisionError

TAIL_LINES = 15


@dataclass(frozen=True)
class Result:
    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str


class CommandFailed(ProvisionError):
    def __init__(self, result: Result, *, reason: str = "", hint: str = "", log: Path | None = None) -> None:
        output = (result.stderr.strip() or result.stdout.strip()).splitlines()[-TAIL_LINES:]
        why = reason or f"exit status {result.status}"
        message = f"{shlex.join(result.argv)}: {why}"
        if output:
            message += "\n" + "\n".join(f"  {line}" for line in output)
        super().__init__(message, hint=hint, log=log)
        self.result = result


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float = 60,
    check: bool = True,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    log: IO[str] | None = None,
    cwd: Path | None = None,
) -> Result:
    """Run a program to its end and return what it printed.

    :param timeout: seconds, after which it is killed and CommandFailed raised.
    :param stdin: text for its standard input; without it, it reads end of file.
    :param env: the complete environment; the caller's own where absent.
    :param log: takes the output (both streams) instead of the result, as it comes.
    :raises CommandFailed: it failed (unless ``check`` is False) or ran into its deadline.
    :raises MachineLacks: there is no such program.
    """
    words = tuple(str(word) for word in argv)
    try:
        done = subprocess.run(
            words,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            stdout=log or subprocess.PIPE,
            stderr=subprocess.STDOUT if log else subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=timeout,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            check=False,
        )
    except FileNotFoundError as error:
        raise missing_program(words[0]) from error
    except subprocess.TimeoutExpired as error:
        partial = Result(words, -1, _text(error.stdout), _text(error.stderr))
        raise CommandFailed(partial, reason=f"no end after {timeout:g} s, killed") from error
    result = Result(words, done.returncode, done.stdout or "", done.stderr or "")
    if check and done.returncode != 0:
        raise CommandFailed(result, log=Path(log.name) if log else None)
    return result


@contextlib.contextmanager
def started(
    argv: Sequence[str | Path],
    *,
    log: IO[str],
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    grace: float = 60,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs beside us for the length of the block, in a session of its own.

    When the block fails or is interrupted, the program is interrupted too (once, as Ctrl-C does) and has time to
    clean up; a second interruption, or the end of that time, kills it. After the block it has ended in any case.

    :param log: takes its output, both streams.
    :param pass_fds: descriptors that it inherits.
    :param grace: seconds that it may take to end, after the block or an interruption.
    :raises CommandFailed: it had not ended so long after the block, and was killed.
    :raises MachineLacks: there is no such program.
    """
    words = tuple(str(word) for word in argv)
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(env) if env is not None else None,
            pass_fds=tuple(pass_fds),
            start_new_session=True,  # Ctrl-C on the terminal reaches us alone, and we pass it on once
        )
    except FileNotFoundError as error:
        raise missing_program(words[0]) from error
    try:
        yield process
        process.wait(grace)
    except subprocess.TimeoutExpired as error:
        result = Result(words, -1, "", "")
        raise CommandFailed(result, reason=f"no end {grace:g} s after its work, killed", log=Path(log.name)) from error
    except BaseException:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace)
        raise
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def missing_program(program: str) -> MachineLacks:
    return MachineLacks(
        f"the program {program!r} is not on this machine",
        hint="provision doctor lists what is missing and the command that installs it",
    )


def _text(output: bytes | str | None) -> str:
    if output is None:
        return ""
    return output.decode(errors="replace") if isinstance(output, bytes) else output
