"""`docker service logs` on real hosts and engines: whole lines from everywhere, and an end whatever happens."""

from __future__ import annotations

import contextlib
import re
import time
from collections import defaultdict
from collections.abc import Iterator

import pytest
from conftest import must, new_lab, run_provision
from on_hosts import WITHIN, on, run, until

from provisioner.state import LabFolder

MANAGERS = ("manager1", "manager2", "manager3")
WORKER = "worker1"
TICKS = "i=0; while true; do echo tick $i; i=$((i+1)); sleep 0.2; done"
LINE = re.compile(r"\S+\.(\d+)\.\w+@(\S+) +\| tick (\d+)")


@pytest.fixture(scope="module")
def lab() -> Iterator[LabFolder]:
    """Three managers and a worker."""
    with new_lab("logs", "--managers", "3", "--workers", "1", "--engine", "swarmd") as lab:
        must(run_provision("images", "load", "busybox", "--name", lab.name))
        yield lab


@contextlib.contextmanager
def service(lab: LabFolder, name: str, command: str, *options: str, by: str = "manager1") -> Iterator[None]:
    """Runs a script of busybox's shell; not below an init, which has words of its own to log."""
    words = " ".join(("--detach", "--quiet", "--stop-signal KILL", f"--name {name}", *options))
    on(lab, by, f"docker service create {words} busybox sh -c '{command}'")
    try:
        yield
    finally:
        on(lab, by, f"docker service rm {name}")


def running(lab: LabFolder, name: str, count: int, by: str = "manager1") -> None:
    until(lab, by, f"docker service ls --filter name={name} --format '{{{{.Replicas}}}}'", f"{count}/{count}")


def leader(lab: LabFolder, by: str = "manager1") -> str:
    text = on(lab, by, "docker node ls --format '{{.Hostname}} {{.ManagerStatus}}'")
    return next(line.split()[0] for line in text.splitlines() if line.endswith(" Leader"))


def lines(lab: LabFolder, host: str, words: str) -> list[str]:
    return on(lab, host, f"docker service logs {words}").splitlines()


def test_lines_of_all_nodes_whichever_manager_is_asked(lab):
    with service(lab, "hello", "echo hello $HOSTNAME; echo bad >&2; exec sleep 3600", "--replicas 4"):
        running(lab, "hello", 4)
        for manager in MANAGERS:
            until(lab, manager, "docker service logs hello 2>/dev/null | grep -c hello", "4")
            shown = lines(lab, manager, "hello 2>/dev/null")
            assert {re.search(r"@(\S+)", line).group(1) for line in shown} == {*MANAGERS, WORKER}
        assert lines(lab, "manager2", "--raw hello 2>&1 >/dev/null") == ["bad"] * 4
        one = on(lab, "manager1", "docker service ps --quiet --no-trunc hello").splitlines()[0]
        (shown,) = lines(lab, "manager3", f"--no-trunc {one} 2>/dev/null")
        assert f".{one}@" in shown


def test_which_lines(lab):
    with service(lab, "counted", "for i in 1 2 3 4 5; do echo line $i; sleep 1; done; exec sleep 3600"):
        until(lab, "manager2", "docker service logs --raw counted | tail -n 1", "line 5")
        assert lines(lab, "manager2", "--raw --tail 2 counted") == ["line 4", "line 5"]
        stamped = lines(lab, "manager2", "--raw --timestamps counted")
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line \d", line) for line in stamped)
        since = stamped[2].split()[0]
        assert lines(lab, "manager2", f"--raw --since {since} counted") == ["line 3", "line 4", "line 5"]


def test_long_lines_and_lines_without_an_end(lab):
    command = 'head -c 200000 /dev/zero | tr "\\\\0" x; echo; printf unfinished; exec sleep 3600'
    with service(lab, "long", command, "--replicas 2"):
        until(lab, "manager1", "docker service logs --raw long | grep -c xxx", "2")
        assert {len(line) for line in lines(lab, "manager1", "--raw long") if line.startswith("x")} == {200_000}


def test_a_terminals_log(lab):
    with service(lab, "screen", "echo one; echo two; exec sleep 3600", "--tty"):
        until(lab, "manager1", "docker service logs --raw screen | tr -d '\\r'", "one\ntwo")
        assert "only supported with --raw" in run(lab, "manager1", "docker service logs screen").stderr


def test_a_task_that_has_ended_is_followed_to_its_end(lab):
    with service(lab, "brief", "echo all there is", "--restart-condition none"):
        until(lab, "manager1", "docker service ps brief --format '{{.CurrentState}}' | cut -d ' ' -f 1", "Complete")
        task = on(lab, "manager1", "docker service ps --quiet --no-trunc brief")
        assert lines(lab, "manager2", f"--raw --follow {task}") == ["all there is"]


@pytest.mark.slow  # a minute
def test_a_hundred_megabytes_for_a_slow_reader(lab):
    """The daemon of the manager that brings them holds none of them back in its memory."""
    count = 1_000_000
    command = f'yes $(head -c 99 /dev/zero | tr "\\\\0" x) | head -n {count}; exec sleep 3600'
    memory = "ps -o rss= -p $(pgrep --parent $(systemctl show --property MainPID --value swarmd.service))"
    with service(lab, "big", command, f"--constraint node.hostname=={WORKER}"):
        running(lab, "big", 1)
        until(lab, "manager1", "docker service logs --raw --tail 1 big | wc -c", "100")
        before = int(on(lab, "manager1", memory))
        reader = f"{{ read first; sleep 20; {memory}; wc -l; }}"
        until(lab, WORKER, "docker logs $(docker ps --quiet --filter name=big) | wc -l", str(count))
        during, rest = on(lab, "manager1", f"docker service logs --raw big | {reader}").split()
        assert int(rest) == count - 1
        assert int(during) - before < 50_000  # KiB


def test_a_dead_node_hides_nothing_of_the_others(lab):
    with service(lab, "spread", "echo hello; exec sleep 3600", "--replicas 4", "--restart-delay 3600s"):
        running(lab, "spread", 4)
        must(run_provision("stop", WORKER, "--power-off", "--name", lab.name))
        try:
            began = time.monotonic()
            done = run(lab, "manager1", "docker service logs spread")
            assert time.monotonic() - began < 20, "it took as long as a user waits"
            assert {re.search(r"@(\S+)", line).group(1) for line in done.stdout.splitlines()} >= {*MANAGERS}
            assert done.returncode == 1
            assert re.search(
                r"error from daemon in stream: Error grabbing logs: rpc error: code = Unknown desc = warning: "
                r"incomplete log stream\. some logs could not be retrieved for the following reasons: "
                r"node \w{25} (is not available|disconnected unexpectedly)\n",
                done.stderr,
            )
        finally:
            must(run_provision("start", WORKER, "--name", lab.name))
        until(lab, "manager1", f"docker node ls --filter name={WORKER} --format '{{{{.Status}}}}'", "Ready")


def test_who_follows_notices_no_change_of_leader(lab):
    leads = leader(lab)
    asked = next(name for name in MANAGERS if name != leads)
    others = {*MANAGERS, WORKER} - {leads}
    with service(lab, "ticking", TICKS, "--replicas 4", "--restart-delay 3600s", by=asked):
        running(lab, "ticking", 4, by=asked)
        follow = "exec docker service logs --follow ticking > /root/ticking 2>&1"
        on(lab, asked, f"touch /root/ticking && systemd-run --quiet --unit following sh -c '{follow}'")
        try:
            _until_ticks(lab, asked, {*MANAGERS, WORKER}, more=5)
            must(run_provision("stop", leads, "--power-off", "--name", lab.name))
            try:
                until(lab, asked, "docker node ls --format '{{.ManagerStatus}}' | grep -c Leader", "1")
                ticks = _until_ticks(lab, asked, others, more=25)
            finally:
                must(run_provision("start", leads, "--name", lab.name))
            for (_, host), numbers in ticks.items():
                if host in others:
                    assert numbers == list(range(len(numbers))), f"the ticks of {host} are {numbers}"
            assert on(lab, asked, "systemctl is-active following") == "active"
        finally:
            run(lab, asked, "systemctl stop following")
    until(lab, asked, "docker node ls --format '{{.Status}}' | sort -u", "Ready")


def test_following_ends_with_the_service(lab):
    with service(lab, "short", TICKS):
        running(lab, "short", 1)
        on(lab, "manager2", "systemd-run --quiet --unit ending sh -c 'docker service logs --follow short'")
        until(lab, "manager2", "systemctl is-active ending", "active")
    until(lab, "manager2", "systemctl show --property Result,ActiveState --value ending | sort", "inactive\nsuccess")


def _until_ticks(lab: LabFolder, host: str, hosts: set[str], *, more: int) -> dict[tuple[str, str], list[int]]:
    """By slot and host, in the order of the file, once all these hosts have ticked on so often from now."""
    before = {key: len(numbers) for key, numbers in _ticks(lab, host).items()}
    end = time.monotonic() + WITHIN
    while True:
        ticks = _ticks(lab, host)
        grown = {key[1] for key, numbers in ticks.items() if len(numbers) >= before.get(key, 0) + more}
        if hosts <= grown:
            return ticks
        assert time.monotonic() < end, f"after {WITHIN} s only {grown} of {hosts} tick on"
        time.sleep(0.5)


def _ticks(lab: LabFolder, host: str) -> dict[tuple[str, str], list[int]]:
    found: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for line in on(lab, host, "cat /root/ticking").splitlines():
        if match := LINE.fullmatch(line):
            found[match[1], match[2]].append(int(match[3]))
    return found
