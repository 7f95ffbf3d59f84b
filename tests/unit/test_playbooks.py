"""Runs real playbooks on hosts that are this machine (ansible_connection: local), and reads events by hand."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from provisioner import inventory, playbooks
from provisioner.errors import ProvisionError
from provisioner.playbook_events import Events, message_of
from provisioner.progress import Progress
from provisioner.state import LabFolder

INVENTORY = """
all:
  vars: {ansible_connection: local, ansible_python_interpreter: %s}
  hosts:
    here:
    there:
    nowhere: {ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}
"""

PLAYBOOK = """
- name: Test
  hosts: all
  tasks:
    - name: Fails there
      ansible.builtin.command: sh -c 'echo the reason >&2; exit 3'
      changed_when: true
      when: inventory_hostname in failing | default([])
    - name: Keeps a secret
      ansible.builtin.command: sh -c 'echo {{ secret }}; exit 1'
      no_log: true
      changed_when: true
      when: secret is defined
    - name: Rests
      ansible.builtin.command: sleep {{ rest | default(0) }}
      changed_when: true
      tags: rest
"""


@pytest.fixture
def progress() -> Progress:
    return Progress(console=Console(stderr=True, quiet=True), quiet=True)


@pytest.fixture
def lab(tmp_path: Path) -> LabFolder:
    return LabFolder(tmp_path, "lab")


@pytest.fixture
def run(tmp_path, lab, progress, monkeypatch):
    folder = tmp_path / "playbooks"
    folder.mkdir()
    (folder / "site.yml").write_text(PLAYBOOK)
    shutil.copy(playbooks.playbooks_dir() / "ansible.cfg", folder)
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(INVENTORY % sys.executable)
    monkeypatch.setattr(playbooks, "playbooks_dir", lambda: folder)
    # What a user's shell may say must not matter.
    monkeypatch.setenv("ANSIBLE_CONFIG", "/nonexistent")
    monkeypatch.setenv("ANSIBLE_STRATEGY", "nonsense")
    # A module that is killed leaves its unpacked payload on its host, which is this machine here.
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def call(limit="here,there", **options):
        return playbooks.run(
            lab, "site.yml", progress=progress, inventory=inventory, limit=limit, log=tmp_path / "log", **options
        )

    return call


def test_a_run_counts_what_changed_and_leaves_nothing_but_its_log(run, lab, tmp_path):
    stats = run(tags=["rest"])
    assert stats.changed == {"here": 1, "there": 1}
    assert stats.total_changed == 2
    assert not (lab.path / "ansible").exists()
    assert "Rests" in (tmp_path / "log").read_text()
    assert (tmp_path / "log").stat().st_mode & 0o077 == 0


def test_all_that_failed_is_named_with_its_reason(run, tmp_path, progress):
    with pytest.raises(ProvisionError) as caught:
        run(limit="", extra_vars={"failing": ["there"], "secret": "xyzzy"})
    message = caught.value.message
    assert "there: Fails there: non-zero return code / the reason" in message
    assert "here: Keeps a secret: failed; its answer is hidden" in message
    assert "nowhere: " in message
    assert "unreachable" in message
    assert "xyzzy" not in message + (tmp_path / "log").read_text()
    assert caught.value.log == tmp_path / "log"
    assert progress.last_seen("there") == "failed: Fails there"


def test_extra_variables_are_no_arguments_of_a_process(run):
    found = threading.Event()

    def look():
        while not found.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    words = path.read_bytes()
                except OSError:
                    continue
                if b"xyzzy" in words:
                    found.set()
            time.sleep(0.02)

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    run(extra_vars={"unused": "xyzzy"}, tags=["rest"])
    assert not found.is_set()
    found.set()
    looking.join()


def test_a_silent_run_is_given_up_and_says_what_was_last(run):
    with pytest.raises(ProvisionError, match=r"nothing happened for 5 s; the last was: (here|there): Rests"):
        run(tags=["rest"], extra_vars={"rest": 61.7}, idle=5)
    assert not _running("sleep 61.7")


def test_ctrl_c_ends_the_child_first(run):
    threading.Timer(2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        run(tags=["rest"], extra_vars={"rest": 62.7})
    assert not _running("sleep 62.7")


def test_what_no_host_is_to_blame_for_is_told_from_the_log(run):
    with pytest.raises(ProvisionError, match="leaves us with no hosts to target"):
        run(limit="nobody")


def _running(words: str) -> bool:
    """Whether ansible-playbook's children are still there a moment later; the command itself ends with its session."""
    time.sleep(0.3)
    return words in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.replace(
        "\0", " "
    )


def test_digest_is_of_what_a_converged_host_is(tmp_path, monkeypatch):
    copy = tmp_path / "playbooks"
    shutil.copytree(playbooks.playbooks_dir(), copy)
    before = playbooks.digest()
    monkeypatch.setattr(playbooks, "playbooks_dir", lambda: copy)
    assert playbooks.digest() == before
    (copy / "roles/topology/tasks/main.yml").write_text("[]")
    (copy / "roles/docker/__pycache__").mkdir()
    (copy / "roles/docker/__pycache__/x.pyc").write_text("")
    assert playbooks.digest() == before
    with monkeypatch.context() as patch:
        patch.setattr(inventory, "VARIABLES", {"lxc": {"docker_daemon": {}}})
        assert playbooks.digest() != before
    (copy / "roles/docker/handlers/main.yml").rename(copy / "roles/docker/handlers/other.yml")
    assert playbooks.digest() != before


def test_failures_that_were_rescued_are_none(progress):
    events = Events(progress)
    failed = {"host": "manager1", "task": "Tries", "res": {"msg": "no"}}
    events.take({"event": "runner_on_failed", "event_data": failed})
    assert str(events.failures["manager1"]) == "manager1: Tries: no"
    events.take({"event": "playbook_on_stats", "event_data": {"ok": {"manager1": 2}, "failures": {}, "dark": {}}})
    assert events.failures == {}


def test_ignored_failures_are_none(progress):
    events = Events(progress)
    data = {"host": "manager1", "task": "Tries", "res": {"msg": "no"}, "ignore_errors": True}
    events.take({"event": "runner_on_failed", "event_data": data})
    assert events.failures == {}


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({"msg": "no such host"}, "no such host"),
        ({"msg": "non-zero return code", "stderr": "bad luck\n"}, "non-zero return code / bad luck"),
        ({"msg": "2 items failed", "results": [{"msg": "a", "failed": True}, {"msg": "fine"}]}, "a"),
        ({"censored": "…"}, "failed; its answer is hidden because it may hold a secret"),
        ({}, "failed without a word"),
    ],
)
def test_message_is_what_the_action_said(result, message):
    assert message_of(result) == message
