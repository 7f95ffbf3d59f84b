"""What the role `record` writes down of a run, and what is taken back of it; on files of the test's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from role_modules import ROLES, load

ROLE = ROLES / "record"


machine_state = load(ROLE / "module_utils/machine_state.py", "ansible.module_utils.machine_state")
host_record = load(ROLE / "library/host_record.py", "host_record")
host_restore = load(ROLE / "library/host_restore.py", "host_restore")


class Host:
    """A machine whose packages, users and groups are what the test says, and whose files are in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.situation: dict[str, Any] = {
            "packages": ["bash"], "groups": {"docker": []}, "users": ["ada", "root"], "hostname": "old",
        }  # fmt: skip
        self.hosts = folder / "hosts"
        self.daemon = folder / "docker" / "daemon.json"
        self.hosts.write_text("127.0.0.1 localhost\n")
        self.record: dict[str, Any] = {
            "lab": "course.1", "files": {}, "lines": {}, "folders": [], "packages": [], "users": [], "groups": [],
            "members": [], "hostname": None, "docker_folders": [],
        }  # fmt: skip

    def open(self) -> None:
        params = {"files": [str(self.daemon)], "shared_files": [str(self.hosts)], "users": ["ada"]}
        host_record.opened(self.record, params)

    def close(self) -> None:
        host_record.closed(self.record, ["ada"])

    def restore(self) -> list[str]:
        restoring = host_restore.Restoring(self.record, keep_packages=False)
        for step in (restoring._files, restoring._lines, restoring._folders):
            step()
        return restoring.warnings


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(tmp_path)
    monkeypatch.setattr(host_record, "situation", lambda: {**made.situation})
    return made


def run(host: Host) -> None:
    """What the roles do."""
    host.daemon.parent.mkdir(exist_ok=True)
    host.daemon.write_text("{}\n")
    with host.hosts.open("a") as file:
        file.write("10.0.0.10 alpha\n")
    host.situation = {
        "packages": ["bash", "docker.io:amd64"], "groups": {"docker": ["ada"]}, "users": ["ada", "root"],
        "hostname": "alpha",
    }  # fmt: skip


def test_what_a_run_changed_is_written_down_and_nothing_else(host):
    host.open()
    run(host)
    host.close()
    assert host.record["packages"] == ["docker.io:amd64"]
    assert host.record["members"] == [["ada", "docker"]]
    assert host.record["hostname"] == {"before": "old", "after": "alpha"}
    assert host.record["lines"][str(host.hosts)]["added"] == ["10.0.0.10 alpha"]
    assert host.record["folders"] == [str(host.daemon.parent)]
    assert machine_state.removes_docker(host.record)
    assert host.restore() == []
    assert not host.daemon.parent.exists()
    assert host.hosts.read_text() == "127.0.0.1 localhost\n"


def test_a_run_that_broke_off_is_taken_back_too(host):
    host.open()
    run(host)
    host.open()  # of the next run
    host.close()
    assert host.record["packages"] == ["docker.io:amd64"]
    assert host.record["hostname"] == {"before": "old", "after": "alpha"}


def test_what_others_do_between_two_runs_is_theirs(host):
    host.open()
    run(host)
    host.close()
    host.situation["packages"] = [*host.situation["packages"], "nginx"]
    host.hosts.write_text(host.hosts.read_text() + "10.0.0.1 printer\n")
    host.open()
    host.close()
    assert host.record["packages"] == ["docker.io:amd64"]
    host.restore()
    assert host.hosts.read_text() == "127.0.0.1 localhost\n10.0.0.1 printer\n"


def test_a_line_of_ours_that_changed_is_taken_back_as_it_is_now(host):
    host.open()
    run(host)
    host.close()
    host.open()
    host.hosts.write_text(host.hosts.read_text().replace("10.0.0.10 alpha", "10.0.0.99 alpha"))
    host.close()
    assert host.record["lines"][str(host.hosts)]["added"] == ["10.0.0.99 alpha"]
    host.restore()
    assert host.hosts.read_text() == "127.0.0.1 localhost\n"


def test_a_file_that_was_there_comes_back_and_one_that_others_changed_stays(host):
    host.daemon.parent.mkdir()
    host.daemon.write_text('{"debug": true}')
    host.daemon.chmod(0o640)
    host.open()
    run(host)
    host.close()
    ours = host.daemon.read_text()
    assert host.restore() == []
    assert (host.daemon.read_text(), host.daemon.stat().st_mode & 0o777) == ('{"debug": true}', 0o640)
    host.daemon.write_text(ours + "\n// by hand\n")
    assert host.restore() == [f"{host.daemon} was changed since: it stays as it is"]
    assert "by hand" in host.daemon.read_text()


def test_a_second_run_that_changes_nothing_adds_nothing(host):
    host.open()
    run(host)
    host.close()
    before = machine_state.text_of(host.record)
    host.open()
    host.close()
    assert machine_state.text_of(host.record) == before


RULES = """\
*mangle
:FORWARD DROP [1:1]
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 10.1.0.0/16 -j MASQUERADE
COMMIT
*filter
:FORWARD DROP [5:300]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker_gwbridge -j ACCEPT
-A FORWARD -i wg0 -j ACCEPT
COMMIT
"""


def test_docker_s_rules_go_and_others_stay():
    assert host_restore.without_docker(RULES, "ACCEPT") == (
        "*mangle\n:FORWARD DROP [1:1]\nCOMMIT\n"
        "*nat\n:PREROUTING ACCEPT [0:0]\n-A POSTROUTING -s 10.1.0.0/16 -j MASQUERADE\nCOMMIT\n"
        "*filter\n:FORWARD ACCEPT [5:300]\n-A FORWARD -i wg0 -j ACCEPT\nCOMMIT\n"
    )
