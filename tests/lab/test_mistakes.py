"""Bad input gets one message with the cause and the next step, and loses nothing: docs/errors.md, a test per row."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import PROVISION, must, path_without, provider, run_provision

from provisioner import state
from provisioner.state import LabFolder

Done = subprocess.CompletedProcess[str]


@pytest.fixture
def home(short_folder: Path) -> Path:
    """A PROVISION_HOME without labs; the images are the machine's."""
    (short_folder / "cache").symlink_to(state.home() / "cache")
    return short_folder


@pytest.fixture
def provision(home: Path) -> Callable[..., Done]:
    def run(*words: str, **env: str) -> Done:
        return run_provision(*words, env={state.HOME_VARIABLE: str(home), **env})

    return run


def _explains(done: Done, code: int, *words: str) -> None:
    assert done.returncode == code, f"{done.returncode}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
    assert done.stderr.count("error:") == 1, done.stderr


# As nobody the checkout may not even be readable: only the effective user is changed, after everything is loaded.
AS_NOBODY = "import os; from provisioner.cli import main; os.seteuid(65534); main()"


def _as_nobody(home: Path, *words: str) -> Done:
    return subprocess.run(
        [PROVISION.with_name("python"), "-c", AS_NOBODY, *words], capture_output=True, text=True, cwd="/", check=False,
        env={**os.environ, state.HOME_VARIABLE: str(home)},
    )  # fmt: skip


def test_not_root(tmp_path: Path, short_folder: Path) -> None:
    os.chown(short_folder, 65534, 65534)
    _explains(
        _as_nobody(short_folder, "up", "--provider", "lxc"), 7, "take root", "next:", "sudo", "--provider vagrant"
    )


@pytest.mark.parametrize("verb", ["up", "list", "status", "down"])
def test_a_folder_that_is_roots(home: Path, verb: str) -> None:
    _explains(_as_nobody(home, verb), 7, str(home), "next:", "sudo", state.HOME_VARIABLE)


def test_a_missing_program(provision: Callable[..., Done], tmp_path: Path) -> None:
    done = provision("up", PATH=path_without(tmp_path, "lxc-start", "dnsmasq"))
    _explains(done, 7, "lxc-start, dnsmasq not found", "apt-get install --no-install-recommends dnsmasq-base lxc")


def test_zero_managers(provision: Callable[..., Done]) -> None:
    _explains(provision("up", "--managers", "0"), 2, "at least one manager", "provision up --managers 3")


def test_a_subnet_too_small(provision: Callable[..., Done]) -> None:
    done = provision("up", "--managers", "7", "--subnet", "192.168.56.0/28")
    _explains(done, 2, "room for 5 hosts", "use a /27 or larger")


def test_a_subnet_outside_the_private_ranges(provision: Callable[..., Done]) -> None:
    _explains(provision("up", "--subnet", "8.8.8.0/24"), 2, "not in a private range", "192.168.0.0/16")


def test_what_is_no_subnet(provision: Callable[..., Done]) -> None:
    _explains(provision("up", "--subnet", "lab"), 2, "not an IPv4 subnet", "CIDR")


def test_a_name_that_is_not_valid(provision: Callable[..., Done]) -> None:
    _explains(provision("up", "--name", "My_Lab"), 2, "not a valid name", "lower-case")


def test_a_folder_too_long_for_sockets(tmp_path: Path) -> None:
    home = tmp_path / ("x" * 60)
    home.mkdir()
    done = run_provision("up", env={state.HOME_VARIABLE: str(home)})
    _explains(done, 2, "a socket's path may have 107", state.HOME_VARIABLE)


@pytest.mark.parametrize(("option", "value"), [("--provider", "xen"), ("--engine", "k8s"), ("--base", "sid")])
def test_what_there_is_not(provision: Callable[..., Done], option: str, value: str) -> None:
    _explains(provision("up", option, value), 2, f"there is no {option[2:]} '{value}'", "there is: ")


@pytest.mark.parametrize(
    "words", [["status"], ["ssh", "manager1"], ["logs", "manager1"], ["verify"], ["chaos", "kill-leader"], ["use"],
              ["inventory"], ["stop"], ["start"], ["images", "load"]]
)  # fmt: skip
def test_a_lab_that_is_not_there(provision: Callable[..., Done], words: list[str]) -> None:
    _explains(provision(*words, "--name", "nowhere"), 3, "there is no lab 'nowhere'", "next:")


def test_no_space_on_the_disk(short_folder: Path) -> None:
    """In a mount namespace of the test's own: a PROVISION_HOME on a file system of 64 KiB."""
    small = short_folder
    script = f"mount -t tmpfs -o size=64k tmpfs {small} && {PROVISION} up --managers 3"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, cwd="/", check=False,
        env={**os.environ, state.HOME_VARIABLE: str(small)},
    )  # fmt: skip
    _explains(done, 7, "disk", "free", "provision cache prune")


def test_apt_that_cannot_be_reached(short_folder: Path) -> None:
    home = short_folder
    env = {state.HOME_VARIABLE: str(home), "PROVISION_DEBIAN_MIRROR": "http://127.0.0.1:9/debian"}
    done = run_provision("up", env=env)
    _explains(done, 7, "the base image could not be built", "PROVISION_DEBIAN_MIRROR", "log:")
    assert not list((home / "cache" / "base").glob("*")), "a half image was left"
    must(run_provision("down", env=env))


@pytest.fixture
def broken_lab(lab: LabFolder) -> Iterator[LabFolder]:
    """A lab one of whose hosts cannot boot: its init is not a program."""
    machines = provider(lab)
    machines.power_off(["manager2"])
    init = machines.keeper.path(machines.storage.rootfs("manager2")) / "usr/sbin/init"  # type: ignore[attr-defined]
    target = init.readlink()
    init.unlink()
    init.write_text("#!/bin/sh\necho 'no boot today' > /dev/console\nexit 1\n")
    init.chmod(0o755)
    yield lab
    init.unlink()
    init.symlink_to(target)
    must(run_provision("up", "--name", lab.name, "--no-verify"))


def test_a_host_that_does_not_come_up_while_the_others_are_ready(broken_lab: LabFolder) -> None:
    done = run_provision("up", "--name", broken_lab.name, "--no-verify")
    _explains(done, 4, "manager2", "no boot today", f"repair: provision up --name {broken_lab.name}")
    status = json.loads(must(run_provision("status", "--json", "--name", broken_lab.name)).stdout)
    assert [host["state"] for host in status["hosts"]] == ["running", "stopped", "running"]
    assert status["quorum"]["kept"]


def test_a_damaged_record_does_not_hinder_down(provision: Callable[..., Done], home: Path) -> None:
    must(provision("up", "--name", "dam", "--managers", "1", "--offline", "--no-verify"))
    (home / "labs" / "dam" / "lab.json").write_text('{"format": 1, "spec"')
    for words in (["status"], ["up"], ["verify"]):
        _explains(provision(*words, "--name", "dam"), 1, "damaged", "provision down --name dam")
    assert "damaged" in must(provision("list")).stdout
    must(provision("down", "--name", "dam"))
    assert not (home / "labs" / "dam").exists()


def test_a_lab_of_another_version(provision: Callable[..., Done], home: Path) -> None:
    folder = home / "labs" / "old"
    folder.mkdir(parents=True)
    (folder / "lab.json").write_text('{"format": 0, "hosts": 3}')
    _explains(provision("up", "--name", "old"), 1, "another version of provision", "provision down --name old")
    must(provision("down", "--name", "old"))


def test_a_lab_name_in_use(lab: LabFolder) -> None:
    done = run_provision("up", "--name", lab.name, "--managers", "5")
    _explains(done, 2, "is there already, with managers 3 (asked for: 5)", f"provision down --name {lab.name}")


def test_an_unknown_host(lab: LabFolder) -> None:
    _explains(run_provision("ssh", "--name", lab.name, "manager9"), 2, "no host 'manager9'", "manager1, manager2")


def test_an_unknown_suite(lab: LabFolder) -> None:
    _explains(run_provision("verify", "--name", lab.name, "weather"), 2, "no suite 'weather'", "hosts, topology")


def test_an_impossible_scenario(lab: LabFolder) -> None:
    _explains(run_provision("chaos", "--name", lab.name, "kill-worker"), 2, "worker")


def test_two_at_once_on_one_lab(lab: LabFolder) -> None:
    """`verify` holds the lab for some seconds; `status` may still be asked."""
    first = subprocess.Popen([PROVISION, "verify", "--name", lab.name, "hosts", "-q"], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not lab.lock.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        _explains(
            run_provision("down", "--name", lab.name), 6, "in use by `provision verify`", "wait until it has ended"
        )
        must(run_provision("status", "--name", lab.name))
    finally:
        assert first.wait(120) == 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
def test_an_interruption_is_said_and_ends_with_130(lab: LabFolder, how: signal.Signals) -> None:
    argv = [PROVISION, "verify", "--name", lab.name, "hosts"]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "Collecting" in process.stderr.readline()
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in said
    assert "Traceback" not in said


def test_down_may_be_repeated(provision: Callable[..., Done]) -> None:
    assert "nothing to take away" in must(provision("down", "--name", "never")).stderr


@pytest.mark.parametrize(
    ("managers", "words"), [("2", "2 managers tolerate 0 losses"), ("9", "9 managers: each write")]
)
def test_unwise_numbers_of_managers_are_warned_of_before_anything_is_made(
    provision: Callable[..., Done], managers: str, words: str
) -> None:
    process = subprocess.Popen(
        [PROVISION, "up", "--name", "unwise", "--managers", managers, "--offline", "--no-verify"],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(2)]
    finally:
        process.terminate()
        process.communicate()
        must(run_provision("down", "--name", "unwise"))
    assert any(line.startswith("warning: ") and words in line for line in lines), lines


def test_a_subnet_of_the_machine_itself_is_fine_and_says_why(provision: Callable[..., Done]) -> None:
    script = (
        "ip link set lo up && ip link add lan type bridge && ip address add 192.168.56.99/24 dev lan && "
        f"ip link set lan up && {PROVISION} up --name lan --managers 1 --offline --no-verify; code=$?; "
        f"{PROVISION} down --name lan -q; exit $code"
    )
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "192.168.56.0/24 overlaps 192.168.56.0/24 (lan)" in done.stderr
    assert "that is fine" in done.stderr
