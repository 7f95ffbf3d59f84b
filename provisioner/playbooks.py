"""Runs playbooks by ansible-runner: what each host is doing now, the full log, and what failed, in words.

The sole import of ansible_runner. The ansible-core beside this Python is used, never another one of the machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ansible_runner import Runner, RunnerConfig

from provisioner import inventory as lab_inventory
from provisioner.errors import ProvisionError
from provisioner.playbook_events import Events, Stats
from provisioner.progress import Progress
from provisioner.shipping import Bundle
from provisioner.state import LabFolder

# The longest silence of a sound run is one package download over a slow line.
IDLE_SECONDS = 300
TERMINATION_SECONDS = 5

# What decides the content of a converged host, below the playbooks' folder.
_OF_CONVERGED = ("converge.yml", "roles/base", "roles/docker")
_OF_SWARMD = "roles/swarmd"


def playbooks_dir() -> Path:
    """The folder of the playbooks: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parent
    for folder in (package.parent / "playbooks", package / "playbooks"):
        if (folder / "site.yml").is_file():
            return folder
    raise ProvisionError(f"the playbooks are not beside {package}", hint="install provision anew")


def digest(bundles: Sequence[Bundle] = ()) -> str:
    """A short hash of everything that decides what a converged host is: the playbooks, and what they are told.

    :param bundles: what they install of swarmd; hosts whose swarm mode is Docker's own have none.
    """
    root = playbooks_dir()
    told = [lab_inventory.VARIABLES, *([[bundle.version for bundle in bundles]] if bundles else [])]
    whole = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for path in _files(root, (*_OF_CONVERGED, _OF_SWARMD) if bundles else _OF_CONVERGED):
        whole.update(f"\0{path.relative_to(root)}\0".encode())
        whole.update(path.read_bytes())
    return whole.hexdigest()[:12]


def _files(root: Path, names: Sequence[str]) -> Iterator[Path]:
    for name in names:
        top = root / name
        found = [top] if top.is_file() else top.rglob("*")
        yield from sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def run(
    lab: LabFolder,
    playbook: str,
    *,
    progress: Progress,
    inventory: Path,
    tags: Sequence[str] = (),
    extra_vars: Mapping[str, object] | None = None,
    limit: str = "",
    log: Path,
    idle: float = IDLE_SECONDS,
) -> Stats:
    """Run one playbook to its end. One run at a time in a lab, under its lock.

    :param playbook: its name in the playbooks' folder, such as "site.yml".
    :param tags: only tasks with one of these; all where empty.
    :param limit: only these hosts, as ansible-playbook's --limit takes them; all where empty.
    :param log: takes everything that ansible-playbook prints, as it comes.
    :param idle: seconds without any event after which the run is given up.
    :raises ProvisionError: hosts failed or were unreachable (all are named), the run was silent for too long, or
        the playbook could not run at all.
    """
    private = lab.path / "ansible"
    shutil.rmtree(private, ignore_errors=True)  # of a run that was killed
    private.mkdir(parents=True, mode=0o700)
    events = Events(progress)
    try:
        with _open_log(log) as output, _interruptible() as interrupted:
            config = _config(
                private,
                playbook=playbooks_dir() / playbook,
                inventory=inventory,
                tags=tags,
                extra_vars=extra_vars or {},
                limit=limit,
            )
            watch = _Watch(interrupted, idle)
            runner = Runner(
                config, event_handler=_handler(events, watch, output), cancel_callback=watch, remove_partials=True
            )
            runner.run()
    finally:
        shutil.rmtree(private, ignore_errors=True)
    if interrupted.is_set():
        raise KeyboardInterrupt
    if watch.is_silent:
        raise ProvisionError(
            f"{playbook}: nothing happened for {idle:g} s; the last was: {events.last or 'the start'}",
            hint="the host may hang: look at its console and log (provision logs HOST), then repeat the command",
            log=log,
        )
    if runner.rc != 0 or events.failures:
        raise _failed(playbook, runner.rc, events, log)
    return events.stats


def _config(
    private: Path,
    *,
    playbook: Path,
    inventory: Path,
    tags: Sequence[str],
    extra_vars: Mapping[str, object],
    limit: str,
) -> Any:  # noqa: ANN401 (ansible_runner has no types)
    variables = private / "extra_vars.json"
    variables.touch(mode=0o600)
    variables.write_text(json.dumps(extra_vars))
    config = RunnerConfig(
        private_data_dir=str(private),
        ident="run",
        playbook=str(playbook),
        inventory=str(inventory),
        limit=limit or None,
        tags=",".join(tags) or None,
        # Only the roles' own checks of their variables have the tag `always`. A run of some tags is one of many, and
        # they are a tenth of it.
        skip_tags="always" if tags else None,
        # A file, because what is on the command line every user of the machine can read.
        cmdline=f"--extra-vars @{shlex.quote(str(variables))}",
        suppress_ansible_output=True,
        suppress_output_file=True,
        quiet=True,
        envvars={"LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1"},
    )
    config.prepare()
    config.pexpect_timeout = 0.5  # seconds between two looks of the watch
    # The settings of the user's shell are for the user's playbooks.
    config.env = {name: value for name, value in config.env.items() if not _of_the_user(name, value)}
    config.env.pop("ANSIBLE_HOST_KEY_CHECKING", None)  # the runner turns it off
    config.env["ANSIBLE_CONFIG"] = str(playbook.parent / "ansible.cfg")
    programs = Path(sys.executable).parent
    config.env["PATH"] = f"{programs}{os.pathsep}{config.env.get('PATH', os.defpath)}"
    config.command = [*_dies_with_us(), str(programs / "ansible-playbook"), *config.command[1:]]
    return config


def _of_the_user(name: str, value: object) -> bool:
    return name.startswith("ANSIBLE_") and os.environ.get(name) == value


def _dies_with_us() -> list[str]:
    """A killed `provision` must not leave a playbook at work on hosts that the next one repairs (prctl(2))."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


class _Watch:
    """Ends a run that was interrupted or has gone silent. The runner asks it twice a second whether to kill.

    The runner would kill ansible-playbook at once, and with it leave the workers, which are sessions of their own;
    ended by SIGTERM, it ends them first.
    """

    def __init__(self, interrupted: threading.Event, idle: float) -> None:
        self.interrupted = interrupted
        self.idle = idle
        self.is_silent = False
        self._process = 0
        self._heard = time.monotonic()
        self._asked = 0.0

    def heard(self, process: int) -> None:
        """Note that something happened; ``process`` is ansible-playbook's id, as events tell it."""
        self._process = process
        self._heard = time.monotonic()

    def __call__(self) -> bool:
        now = time.monotonic()
        if not self._asked:
            self.is_silent = now - self._heard > self.idle
            if not self.is_silent and not self.interrupted.is_set():
                return False
            self._asked = now
            if self._process:
                with suppress(ProcessLookupError):
                    os.kill(self._process, signal.SIGTERM)
        return not self._process or now - self._asked > TERMINATION_SECONDS


def _handler(events: Events, watch: _Watch, output: IO[str]) -> Any:  # noqa: ANN401 (the shape is ansible_runner's)
    def handle(event: Mapping[str, Any]) -> bool:
        watch.heard(event.get("pid", 0))
        if said := event.get("stdout"):
            output.write(f"{said}\n")
            output.flush()
        events.take(event)
        return False  # keep no file of the event

    return handle


def _open_log(log: Path) -> IO[str]:
    log.parent.mkdir(parents=True, exist_ok=True)
    return os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w")


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Notes Ctrl-C instead of raising it, so that the runner ends its child first.

    The child has a terminal of its own, so the key does not reach it. Python allows handlers in the main thread only.
    """
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    before = signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def _failed(playbook: str, status: int, events: Events, log: Path) -> ProvisionError:
    if not events.failures:
        return ProvisionError(f"{playbook}: ansible-playbook ended with status {status}: {_tail(log)}", log=log)
    count = len(events.failures)
    lines = "\n".join(f"  {failure}" for failure in events.failures.values())
    return ProvisionError(
        f"{playbook} failed on {count} {'host' if count == 1 else 'hosts'}:\n{lines}",
        hint="mend the cause, then repeat the command: what is done already stays done",
        log=log,
    )


def _tail(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-4:]) or "it said nothing"
