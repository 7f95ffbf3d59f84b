"""The runner of the checks, on suites of its own in a temporary folder: a real pytest process, no lab."""

from __future__ import annotations

import io
import json
import os
import signal
import threading
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from provisioner import checks, state
from provisioner.errors import ChecksFailed, LabUnhealthy, ProvisionError, UsageError
from provisioner.lab import describe
from provisioner.machines import Machine
from provisioner.progress import Progress
from provisioner.report import Failure, Report

CONFTEST = """
import pytest
from provisioner.suites import stream

def pytest_addoption(parser):
    parser.addoption("--lab")
    parser.addoption("--count")

def pytest_runtest_setup(item):
    for marker in item.iter_markers("needs"):
        stream.not_possible(item, f"no {marker.args[0]}")
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "conftest.py").write_text(CONFTEST)
    return tmp_path / "suites"


def suite(root: Path, name: str, code: str) -> str:
    folder = root / name
    folder.mkdir(exist_ok=True)
    (folder / f"test_{name}.py").write_text("import os, signal, time\nimport pytest\n" + code)
    return name


def execute(root: Path, *names: str, options: tuple[str, ...] = (), junit: Path | None = None) -> tuple[Report, str]:
    screen = io.StringIO()
    progress = Progress(console=Console(file=screen, width=120))
    log = root.parent / "logs" / "checks.log"
    report = checks.execute("lab", names, root=root, progress=progress, log=log, options=options, junit=junit)
    return report, screen.getvalue()


def test_outcomes_are_counted_apart(root):
    suite(
        root,
        "hosts",
        """
@pytest.mark.parametrize("host", ["manager1", "manager2"])
def test_name(host):
    '''{host} has its own name.'''
    name = "manager1"
    assert name == host, f"it calls itself {name}"

@pytest.mark.needs("ip_vs")
def test_mesh():
    '''The routing mesh answers.'''

def test_pairs():
    pytest.skip("one host")
""",
    )
    report, screen = execute(root, "hosts")
    assert (
        report.words() == "1 passed, 1 failed, 1 not possible on this kernel (no ip_vs), 1 not for this lab (one host)"
    )
    assert report.failures == (
        Failure(
            "hosts", "hosts/test_hosts.py::test_name[manager2]", "manager2 has its own name", "it calls itself manager1"
        ),
    )
    assert report.total == 4
    assert "✗ Checking hosts" in screen
    assert "✗ manager2 has its own name" in screen
    with pytest.raises(ChecksFailed) as caught:
        report.require_passed()
    assert caught.value.message.splitlines() == [
        "1 of 4 checks failed on lab 'lab'",
        "  ✗ manager2 has its own name",
        "      it calls itself manager1",
    ]
    assert "provision verify hosts --name lab" in caught.value.hint
    json.dumps(report.as_dict())


def test_suites_run_in_the_order_asked_for_and_are_timed(root):
    suite(root, "beta", "def test_b():\n    time.sleep(0.2)\n")
    suite(root, "alpha", "def test_a(): pass\n")
    report, screen = execute(root, "beta", "alpha")
    assert list(report.seconds) == ["beta", "alpha"]
    assert report.seconds["beta"] >= 0.2
    assert screen.index("Checking beta") < screen.index("Checking alpha")
    assert report.words() == "2 passed"
    report.require_passed()


def test_a_fixture_that_fails_fails_its_checks_with_its_cause_once(root):
    suite(
        root,
        "overlay",
        """
@pytest.fixture(scope="module")
def network():
    raise AssertionError("manager1: `docker network create` ended with status 1: no")

def test_one(network): pass
def test_two(network): pass
""",
    )
    report, _ = execute(root, "overlay")
    assert len(report.failures) == 2
    assert report.explanation().count("docker network create") == 1


def test_a_clean_up_that_fails_is_a_failure(root):
    suite(
        root,
        "services",
        """
@pytest.fixture
def service():
    yield
    raise AssertionError("the service is still there")

def test_one(service): pass
""",
    )
    report, _ = execute(root, "services")
    assert (report.passed, len(report.failures)) == (0, 1)
    assert report.failures[0].message == "cleaning up after it failed: the service is still there"


def test_an_error_of_the_check_itself_is_named_as_one(root):
    suite(root, "hosts", "def test_x():\n    {}['leader']\n")
    report, _ = execute(root, "hosts")
    assert "KeyError: 'leader'" in report.failures[0].message
    assert "an error of the check itself" in report.failures[0].message


def test_values_and_notes_reach_the_caller(root):
    suite(
        root,
        "failover",
        """
from provisioner.suites import stream
def test_x(request):
    events = stream.stream_of(request.config)
    events.doing("pulling the plug")
    events.note("killed manager1")
    events.data("timeline", [["killed", 0.0]])
    assert request.config.getoption("--count") == "2"
""",
    )
    report, screen = execute(root, "failover", options=("--count", "2"))
    assert report.data == {"timeline": [["killed", 0.0]]}
    assert "killed manager1" in screen


def test_junit_has_every_check_with_its_sentence(root, tmp_path):
    suite(root, "hosts", "def test_x():\n    '''The host is there.'''\n")
    execute(root, "hosts", junit=tmp_path / "out.xml")
    case = ET.parse(tmp_path / "out.xml").getroot().find(".//testcase")  # noqa: S314 (ours)
    assert case is not None
    assert case.find("properties/property[@name='sentence']").get("value") == "The host is there"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def test_x():\n    os.kill(os.getpid(), signal.SIGKILL)\n", "by signal 9 during 'x', after 0 of 1 checks"),
        ("def test_x():\n    os._exit(0)\n", "with status 0 during 'x', after 0 of 1 checks"),
        ("def test_x():\n    pytest.exit('enough', returncode=0)\n", "after 0 of 1 checks"),
        ("X = 1\n", "there was no check to run"),
        ("import nothing_of_this_name\n", "No module named 'nothing_of_this_name'"),
        (
            "def test_x():\n    pytest.skip('one host')\n",
            "none of the 1 checks could be made: 0 passed, 1 not for this lab",
        ),
        ("def test_x(no_such_fixture): pass\ndef test_y(): os._exit(1)\n", "with status 1 during 'y', after 1 of 2"),
    ],
)
def test_what_is_not_a_complete_run_is_an_error(root, code, words):
    suite(root, "hosts", code)
    with pytest.raises(ProvisionError) as caught:
        execute(root, "hosts")
    assert words in caught.value.message
    assert not isinstance(caught.value, ChecksFailed)
    assert caught.value.log is not None


def test_a_users_own_pytest_files_do_not_count(root, tmp_path, monkeypatch):
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (tmp_path / "conftest.py").write_text("raise RuntimeError('not ours')\n")
    (tmp_path / "testinfra.py").write_text("raise RuntimeError('not ours')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    suite(root, "hosts", "import testinfra\ndef test_x(): pass\n")
    report, _ = execute(root, "hosts")
    assert report.words() == "1 passed"
    assert not (root / ".pytest_cache").exists()


def test_an_interruption_lets_the_checks_clean_up(root, tmp_path):
    suite(
        root,
        "services",
        f"""
@pytest.fixture
def service():
    open({str(tmp_path / "made")!r}, "w").close()
    yield
    time.sleep(0.5)
    open({str(tmp_path / "removed")!r}, "w").close()

def test_x(service):
    time.sleep(60)
""",
    )

    def interrupt() -> None:
        while not (tmp_path / "made").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        execute(root, "services")
    assert (tmp_path / "removed").exists()
    assert time.monotonic() - began < 30


def test_checks_that_hang_are_stopped(root, monkeypatch):
    monkeypatch.setattr(checks, "SILENCE_SECONDS", 2)
    suite(root, "hosts", "def test_x():\n    time.sleep(60)\n")
    with pytest.raises(ProvisionError, match="have not moved for 2 s"):
        execute(root, "hosts")


def test_the_default_suites_are_there_and_come_first():
    assert checks.available()[:4] == ["hosts", "topology", "overlay", "services"]
    assert checks.chosen([]) == ["hosts", "topology", "overlay", "services"]
    assert checks.chosen(["overlay", "hosts", "overlay"]) == ["overlay", "hosts"]


def test_an_unknown_suite_names_those_there_are():
    with pytest.raises(UsageError) as caught:
        checks.chosen(["networking"])
    assert "'networking'" in caught.value.message
    assert "hosts, topology, overlay, services" in caught.value.hint


@pytest.fixture
def stopped_lab(tmp_path, monkeypatch) -> state.LabFolder:
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path))
    lab = state.folder("course")
    spec = describe(name="course", managers=2)
    state.create(lab, spec)
    stopped = [Machine(host, "stopped", tmp_path / "docker.sock") for host in spec.hosts]
    monkeypatch.setattr(checks.select, "provider", lambda _lab, _record: SimpleNamespace(machines=lambda: stopped))
    return lab


def test_a_lab_without_a_running_host_is_an_error_of_its_own(stopped_lab, tmp_path):
    with pytest.raises(LabUnhealthy) as caught:
        checks.run(stopped_lab, progress=Progress(quiet=True), log=tmp_path / "log")
    assert caught.value.message.endswith("is running: manager1 is stopped, manager2 is stopped")
    assert caught.value.hint == "provision start --name course"
    assert not (tmp_path / "log").exists()


def test_a_junit_file_that_cannot_be_written_is_told_before_anything_runs(stopped_lab, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        checks.run(stopped_lab, progress=Progress(quiet=True), log=tmp_path / "log", junit=tmp_path / "file" / "x.xml")


def test_several_reasons_are_counted_one_by_one():
    report = Report(lab="lab", log=Path("x"), passed=41, impossible={"no ip_vs": 3, "no netem": 1})
    assert report.words() == "41 passed, 4 not possible on this kernel (no ip_vs: 3, no netem: 1)"


def test_many_causes_are_cut_short():
    failures = tuple(Failure("hosts", f"n{i}", f"claim {i}", f"cause {i}") for i in range(14))
    words = Report(lab="lab", log=Path("x"), failures=failures).explanation()
    assert "cause 9" in words
    assert "cause 10" not in words
    assert words.endswith("… and 4 more causes, in the log")
