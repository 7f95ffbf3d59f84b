"""The course's hosts, and what is typed on them and waited for."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

from conftest import must, run_provision

from provisioner import state
from provisioner.machines import ssh
from provisioner.state import LabFolder

HOSTS = ("manager1", "worker1", "worker2", "worker3", "worker4")
WITHIN = 90.0
"""Seconds: Docker's managers may take 36 s to find a leader (bench), and its nodes 33 s to be Down."""
ROLES = "docker node ls --format '{{.Hostname}} {{.Status}} {{.Availability}} {{.ManagerStatus}}'"


class Course:
    def __init__(self, folder: LabFolder) -> None:
        self.folder = folder
        self.spec = state.load(folder).spec
        self.address = self._address("manager1")

    def run(self, host: str, command: str) -> subprocess.CompletedProcess[str]:
        argv = ssh.argv(self.folder, host, [command])
        return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)

    def on(self, host: str, command: str) -> str:
        done = self.run(host, command)
        assert done.returncode == 0, f"{host}: {command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def refused(self, host: str, command: str) -> str:
        done = self.run(host, command)
        assert done.returncode != 0, f"{host}: {command}: {done.stdout}"
        return done.stderr.strip()

    def until(self, what: str, done: Callable[[], bool]) -> None:
        end = time.monotonic() + WITHIN
        while not done():
            assert time.monotonic() < end, f"not within {WITHIN:g} s: {what}"
            time.sleep(0.2)

    def nodes(self, host: str) -> dict[str, str]:
        """Hostname -> status, availability and manager status, as a manager lists them."""
        lines = self.run(host, ROLES).stdout.splitlines()
        return {line.split()[0]: line.partition(" ")[2].strip() for line in lines}

    def until_nodes(self, host: str, **wanted: str) -> None:
        """Wait until a manager lists these nodes so; of others nothing is asked."""
        self.until(f"{host} lists {wanted}", lambda: wanted.items() <= self.nodes(host).items())

    def until_running(self, host: str, service: str, replicas: int) -> None:
        """`service ls` would count what was running on hosts that are off as well."""
        states = f"docker service ps {service} --filter desired-state=running --format '{{{{.CurrentState}}}}'"

        def all_run() -> bool:
            found = self.run(host, states).stdout.splitlines()
            return len(found) == replicas and all(state.startswith("Running") for state in found)

        self.until(f"{replicas} tasks of {service} run", all_run)

    def containers(self, host: str, service: str) -> list[str]:
        filtered = f"docker ps --quiet --filter label=com.docker.swarm.service.name={service}"
        return self.on(host, filtered).split()

    def stop(self, *hosts: str) -> None:
        must(run_provision("stop", *hosts, "--power-off", "--name", self.folder.name))

    def start(self, *hosts: str) -> None:
        must(run_provision("start", *hosts, "--name", self.folder.name))

    def has(self, *, managers: tuple[str, ...], workers: tuple[str, ...] = ()) -> None:
        """Form a new swarm of these; the first manager leads."""
        for host in HOSTS:
            self.run(host, "docker swarm leave --force")
        first = managers[0]
        self.on(first, f"docker swarm init --advertise-addr {self._address(first)}")
        for role, hosts in (("manager", managers[1:]), ("worker", workers)):
            token = self.on(first, f"docker swarm join-token --quiet {role}")
            for host in hosts:
                self.on(host, f"docker swarm join --token {token} {self._address(first)}:2377")
        expected = dict.fromkeys(managers[1:], "Ready Active Reachable")
        self.until_nodes(first, **{first: "Ready Active Leader"}, **expected, **dict.fromkeys(workers, "Ready Active"))

    def _address(self, host: str) -> str:
        return self.spec.host(host).address

    def creates(self, host: str, service: str, *options: str) -> None:
        words = " ".join(options)
        self.on(host, f"docker service create --quiet --init --name {service} {words} busybox sleep 3600")
