"""Machines that are there already: hosts of an lxc lab before any playbook, reached as anybody's servers are.

They are Debian with ssh, a user who may sudo, and hostnames of their own. What is on them before and after is compared.
"""

from __future__ import annotations

import json
import re
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import PROVISION, must, run_provision

from provisioner import lab as lab_of
from provisioner import playbooks, state
from provisioner.machines import ssh
from provisioner.machines.lxc.provider import LxcProvider
from provisioner.progress import Progress
from provisioner.state import LabFolder

ADDRESSES = {"alpha": "192.168.56.10", "beta": "192.168.56.11", "gamma": "192.168.56.12"}
HOSTS = {"alpha": "manager1", "beta": "worker1", "gamma": "worker2"}
"""The inventory's name of each machine -> the name that it has by itself."""
NEVER_REFRESHED = 10**9  # the machines have no network but each other; Docker's packages lie in apt's cache

# All that is compared: packages, names, users, groups, units, what Docker would leave in the kernel, all files of /etc.
SITUATION = r"""
dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version}\n'
echo "hostname $(hostname)"
getent passwd; getent group
ls /sys/class/net; cat /proc/sys/net/ipv4/ip_forward
ls -A /var/lib/provision /var/lib/docker /var/lib/containerd /root /root/.ssh /home /home/ada /home/ada/.ssh 2>&1
systemctl list-unit-files --no-legend | grep -i -e docker -e containerd -e timesync
cd /etc && find . -type f -not -name '*-' -not -name ld.so.cache -exec sha256sum {} + | sort -k 2
find . -type l -printf '%p -> %l\n' -o -type d -printf '%p/\n' | sort
"""


@dataclass(frozen=True)
class Machines:
    bare: LabFolder
    key: Path
    known_hosts: Path

    def on(self, name: str, script: str, *, stdin: bytes = b"") -> str:
        """Run a script as root on a machine, past everything that is tested."""
        argv = ssh.argv(self.bare, HOSTS[name], [script])
        done = subprocess.run(argv, capture_output=True, input=stdin, timeout=300, check=False)
        assert done.returncode == 0, f"{name}: {script}: {done.stderr.decode()}"
        return done.stdout.decode()

    def situation(self, name: str) -> list[str]:
        return self.on(name, SITUATION).splitlines()

    def inventory(self, path: Path, **hosts: dict[str, Any]) -> Path:
        """An inventory of machines by name, each with variables of its own."""
        way = f'-o ProxyCommand="nsenter --net={self.bare.path}/net nc %h %p" -o UserKnownHostsFile={self.known_hosts}'
        variables = {
            "ansible_user": "ada", "ansible_ssh_private_key_file": str(self.key), "ansible_ssh_common_args": way,
            "base_apt_cache_valid_time": NEVER_REFRESHED, "docker_apt_cache_valid_time": NEVER_REFRESHED,
        }  # fmt: skip
        children: dict[str, Any] = {"managers": {"hosts": {}}, "workers": {"hosts": {}}}
        for name, more in hosts.items():
            group = more.pop("group", "managers")
            children[group]["hosts"][name] = {"ansible_host": ADDRESSES[name], **more}
        path.write_text(yaml.safe_dump({"all": {"vars": variables, "children": children}}))
        return path


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    folder = state.folder(f"bare-{secrets.token_hex(2)}")
    spec = lab_of.describe(name=folder.name, managers=1, workers=2, offline=True)
    quiet = Progress(quiet=True)
    try:
        with state.locked(folder, "test"):
            provider = LxcProvider(folder, state.create(folder, spec))
            with provider.working():
                provider.prepare(quiet, converged_by="", converge=None)
                assert provider.create(quiet) == {}
        there = tmp_path_factory.mktemp("machines")
        public = ssh.generate_key(there / "key", comment="ada")
        made = Machines(folder, there / "key", there / "known_hosts")
        keys = {name.split()[0]: name for name in folder.known_hosts.read_text().splitlines()}
        lines = [keys[own].replace(own, ADDRESSES[name], 1) for name, own in HOSTS.items()]
        made.known_hosts.write_text("\n".join(lines) + "\n")
        packages = there / "packages"
        packages.mkdir(mode=0o755)
        subprocess.run(["apt-get", "download", "sudo"], cwd=packages, check=True, capture_output=True)
        sudo = next(packages.glob("sudo_*.deb")).read_bytes()
        for name in HOSTS:
            made.on(name, "cat >/root/sudo.deb && dpkg -i /root/sudo.deb && rm /root/sudo.deb", stdin=sudo)
            made.on(
                name,
                "useradd --create-home --shell /bin/bash ada && install -d -o ada -g ada -m 700 ~ada/.ssh && "
                f"echo '{public}' | tee ~ada/.ssh/authorized_keys >>/root/.ssh/authorized_keys && "
                "echo 'ada ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/ada",
            )
        yield made
    finally:
        must(run_provision("down", "--name", folder.name))


@pytest.fixture
def name() -> Iterator[str]:
    """The name of a lab that goes with the test."""
    chosen = f"given-{secrets.token_hex(2)}"
    yield chosen
    must(run_provision("down", "--force", "--name", chosen))


def test_from_bare_machines_to_a_swarm_and_back(machines: Machines, name: str, tmp_path: Path) -> None:
    before = {host: machines.situation(host) for host in HOSTS}
    inventory = machines.inventory(
        tmp_path / "hosts.yml",
        alpha={"swarm_labels": {"disk": "ssd"}},
        beta={},
        gamma={"group": "workers", "ansible_user": "root"},
    )

    must(run_provision("up", "-i", inventory, "--name", name, "--no-verify"))
    status = json.loads(must(run_provision("status", "--json", "--name", name)).stdout)
    assert [(h["name"], h["state"], h["node"]["role"]) for h in status["hosts"]] == [
        ("alpha", "running", "manager"), ("beta", "running", "manager"), ("gamma", "running", "worker"),
    ]  # fmt: skip
    assert status["hosts"][0]["node"]["labels"] == {"disk": "ssd"}
    assert machines.on("gamma", "hostname; getent hosts alpha").split()[:2] == ["gamma", ADDRESSES["alpha"]]

    again = must(run_provision("up", "--name", name))
    assert "nothing was to be done" in again.stderr
    log = must(run_provision("logs", "alpha", "--unit", "docker", "--lines", "3", "--name", name))
    assert "dockerd" in log.stdout
    assert "alpha" in must(run_provision("ssh", "alpha", "--name", name, "--", "docker node ls")).stdout
    use = must(run_provision("use", "--name", name)).stdout
    version = subprocess.run(
        ["sh", "-c", f"{use} curl -sS --unix-socket ${{DOCKER_HOST#unix://}} http://d/info"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(version.stdout)["Name"] == "alpha"
    must(run_provision("verify", "hosts", "topology", "overlay", "--name", name))
    _changes_nothing_by_hand(name)

    refused = run_provision("stop", "alpha", "--power-off", "--name", name)
    _explains(refused, 2, "not ours to switch", "sudo poweroff")
    _explains(run_provision("chaos", "kill-leader", "--name", name), 2, "every scenario breaks some")
    assert "expected:" not in refused.stdout

    must(run_provision("down", "--name", name))
    assert not state.folder(name).path.exists()
    for host in HOSTS:
        assert machines.situation(host) == before[host]


def _changes_nothing_by_hand(name: str) -> None:
    """The lab's inventory and the playbook, as a user runs them: neither does anything that is not said beforehand."""
    inventory = state.folder(name).path / "of-the-test.yml"
    inventory.write_text(must(run_provision("inventory", "--name", name)).stdout)
    argv = [PROVISION.with_name("ansible-playbook"), "-i", inventory, playbooks.playbooks_dir() / "site.yml"]
    for options in ([], ["--check", "--diff"]):
        done = subprocess.run(
            [*argv, *options],
            capture_output=True, text=True, cwd="/", check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert set(re.findall(r"changed=(\d+)", done.stdout)) == {"0"}, done.stdout


def test_what_is_somebody_else_s_stays(machines: Machines, name: str, tmp_path: Path) -> None:
    """gamma has a Docker of its owner's; on alpha somebody uses the one that came with the lab."""
    daemon = '{"log-driver": "local"}'
    machines.on(
        "gamma",
        f"mkdir /etc/docker && echo '{daemon}' >/etc/docker/daemon.json && "
        "apt-get install --yes --no-install-recommends docker.io docker-cli && docker volume create precious",
    )
    before = {host: machines.situation(host) for host in ("alpha", "gamma")}
    inventory = machines.inventory(tmp_path / "hosts.yml", alpha={}, gamma={"group": "workers"})
    must(run_provision("up", "-i", inventory, "--name", name, "--no-verify"))
    assert machines.on("gamma", "docker info --format '{{.LoggingDriver}}'").strip() == "local"

    # Other variables for the roles are taken over by the next `up`, and others' lines in a shared file are kept.
    machines.inventory(
        inventory,
        alpha={
            "docker_daemon": {"debug": True},
            "base_users": [{"name": "guest", "authorized_keys": ["ssh-ed25519 AAAA guest"]}],
        },
        gamma={"group": "workers"},
    )
    machines.on("alpha", "echo '192.168.56.1 somewhere' >>/etc/hosts; docker volume create mine")
    must(run_provision("up", "-i", inventory, "--name", name, "--no-verify"))
    assert "debug" in machines.on("alpha", "grep -q guest ~guest/.ssh/authorized_keys && cat /etc/docker/daemon.json")
    other = machines.inventory(tmp_path / "other.yml", alpha={}, beta={"group": "workers"})
    _explains(
        run_provision("up", "-i", other, "--name", name), 2, "no beta (asked for now)", "gamma (asked for no more)"
    )

    must(run_provision("stop", "worker2", "--power-off", "--name", machines.bare.name))
    down = run_provision("down", "--name", name)
    _explains(down, 4, "alpha: ", "has volumes: mine", "gamma: ", "unreachable", "down --force")
    assert state.folder(name).path.exists()
    must(run_provision("start", "worker2", "--name", machines.bare.name))
    machines.on("alpha", "docker volume rm mine; sed -i /somewhere/d /etc/hosts")
    must(run_provision("down", "--name", name))
    for host, situation in before.items():
        assert machines.situation(host) == situation
    assert "precious" in machines.on("gamma", "docker volume ls")
    assert machines.on("gamma", "docker info --format '{{.Name}} {{.LoggingDriver}}'").strip() == "worker2 local"


def test_machines_that_cannot_be_used_are_named_and_left_alone(machines: Machines, name: str, tmp_path: Path) -> None:
    """In the order of docs/errors.md: no host key, no sudo, nobody listens; then one that is in a swarm."""
    machines.on("beta", "useradd --create-home eve && cp -r ~ada/.ssh ~eve && chown -R eve: ~eve/.ssh")
    before = {host: machines.situation(host) for host in HOSTS}
    inventory = machines.inventory(
        tmp_path / "hosts.yml",
        alpha={"ansible_ssh_extra_args": "-o UserKnownHostsFile=/dev/null -o HostKeyAlias=nobody"},
        beta={"ansible_user": "eve"},
        gamma={"ansible_port": 2222},
    )
    _explains(
        run_provision("up", "-i", inventory, "--name", name), 4,
        "alpha: its host key is not known here", "beta: eve may not sudo without a password",
        "gamma: ssh does not get there",
    )  # fmt: skip
    must(run_provision("down", "--name", name))
    assert {host: machines.situation(host) for host in HOSTS} == before

    machines.on("gamma", "docker swarm init --advertise-addr 192.168.56.12")
    inventory = machines.inventory(tmp_path / "hosts.yml", alpha={}, gamma={})
    _explains(run_provision("up", "-i", inventory, "--name", name), 2, "gamma is in a swarm already")
    machines.on("gamma", "docker swarm leave --force")
    assert machines.situation("alpha") == before["alpha"]


def test_mistakes_of_the_command_line(tmp_path: Path) -> None:
    """One message each, and no lab is made."""
    managers = tmp_path / "hosts.yml"
    managers.write_text("all: {hosts: {alpha: }}")
    there = state.lab_names()
    for words, sentence in {
        ("--provider", "inventory"): "which machines?",
        ("-i", "/nonexistent.yml"): "there is no inventory",
        ("-i", str(managers)): "no host in a group `managers`",
        ("-i", str(managers), "--managers", "3"): "--managers cannot be chosen",
        ("-i", str(managers), "--provider", "lxc"): "for the inventory provider",
    }.items():
        _explains(run_provision("up", "--name", "none", *words), 2, sentence, "next:")
    assert state.lab_names() == there


def _explains(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, f"{done.returncode}\n{done.stderr}"
    for word in words:
        assert word in done.stderr, done.stderr
    assert done.stderr.count("error:") == 1, done.stderr
