"""The playbooks on real hosts: run by hand, changed by the inventory, repaired after a loss, silent about tokens."""

from __future__ import annotations

import email
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import yaml

from provisioner import playbooks, state
from provisioner.machines import ssh
from provisioner.progress import Progress
from provisioner.state import LabFolder

ANSIBLE_PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
Play = Callable[..., str]

# Whole tokens; the bare prefix stands in sources and documents.
TOKEN = re.compile(rb"SWMTKN-1-[a-z0-9]{20}")


@pytest.fixture
def lab(one_manager_lab: LabFolder) -> LabFolder:
    return one_manager_lab


@pytest.fixture
def play(lab: LabFolder, tmp_path: Path) -> Iterator[Play]:
    """Runs site.yml as a user does by hand, with variables of hosts changed and hosts of `workers` made managers."""

    def run(*options: str, managers: tuple[str, ...] = (), fails: bool = False, **hosts: dict[str, Any]) -> str:
        inventory = yaml.safe_load(lab.inventory.read_text())
        children = inventory["all"]["children"]
        for name in managers:
            children["managers"]["hosts"][name] = children["workers"]["hosts"].pop(name)
        for group in children.values():
            for name, variables in group["hosts"].items():
                variables.update(hosts.get(name, {}))
        path = tmp_path / "inventory.yml"
        path.write_text(yaml.safe_dump(inventory))
        site = playbooks.playbooks_dir() / "site.yml"
        done = subprocess.run(
            [ANSIBLE_PLAYBOOK, "-i", path, site, *options], capture_output=True, text=True, cwd="/", check=False
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout

    yield run
    run("--tags", "topology")


def on(lab: LabFolder, host: str, command: str, *, stdin: str | None = None) -> str:
    done = subprocess.run(
        ssh.argv(lab, host, [command]), capture_output=True, text=True, input=stdin, timeout=120, check=False
    )
    assert done.returncode == 0, f"{host}: {command}: {done.stderr}"
    return done.stdout


def nodes(lab: LabFolder) -> list[tuple[str, str]]:
    """Hostname and manager status of each node, sorted."""
    lines = on(lab, "manager1", "docker node ls --format '{{.Hostname}} {{.ManagerStatus}}'").splitlines()
    return sorted((line.split()[0], " ".join(line.split()[1:])) for line in lines)


def changed(output: str) -> dict[str, int]:
    """Host -> number of changes, from the recap."""
    return {host: int(count) for host, count in re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", output, re.MULTILINE)}


def test_a_second_run_changes_nothing(play):
    play()
    assert set(changed(play()).values()) == {0}
    assert set(changed(play("--check", "--diff")).values()) == {0}


def test_the_inventory_decides_roles_labels_and_availability(lab, play):
    wish = {"worker1": {"swarm_labels": {"disk": "ssd"}, "swarm_availability": "drain"}, "managers": ("worker2",)}
    foreseen = play("--tags", "topology", "--check", "--diff", **wish)
    assert "~ worker2: promoted to manager" in foreseen
    assert nodes(lab) == [("manager1", "Leader"), ("worker1", ""), ("worker2", "")]
    play("--tags", "topology", **wish)
    assert nodes(lab) == [("manager1", "Leader"), ("worker1", ""), ("worker2", "Reachable")]
    spec = on(lab, "manager1", "docker node inspect worker1 --format '{{json .Spec}}'")
    assert json.loads(spec) == {"Role": "worker", "Availability": "drain", "Labels": {"disk": "ssd"}}
    assert set(changed(play("--tags", "topology", **wish)).values()) == {0}
    play("--tags", "topology", "-e", "topology_labels_state=replace")
    assert nodes(lab) == [("manager1", "Leader"), ("worker1", ""), ("worker2", "")]
    assert "{}" in on(lab, "manager1", "docker node inspect worker1 --format '{{json .Spec.Labels}}'")


def test_a_wiped_host_joins_anew_and_what_it_was_is_gone(lab, play):
    wipe = "systemctl stop docker.socket docker && rm -r /var/lib/docker/swarm && systemctl start docker"
    on(lab, "worker1", wipe)
    play("--tags", "topology")
    assert nodes(lab) == [("manager1", "Leader"), ("worker1", ""), ("worker2", "")]
    play("--tags", "topology", managers=("worker1", "worker2"))
    on(lab, "worker2", wipe)
    play("--tags", "topology", managers=("worker1", "worker2"))
    assert [name for name, _ in nodes(lab)] == ["manager1", "worker1", "worker2"]
    assert sorted(status for _, status in nodes(lab)) == ["Leader", "Reachable", "Reachable"]


def test_a_host_of_another_swarm_is_named_and_left_alone(lab, play):
    on(lab, "worker1", "docker swarm leave")
    on(lab, "worker1", "docker swarm init --advertise-addr 192.168.56.11")
    output = play("--tags", "topology", fails=True)
    assert "2 different swarms" in output
    assert "docker swarm leave --force" in output
    on(lab, "worker1", "docker swarm leave --force")


def test_tokens_are_seen_nowhere(lab, play):
    for host in ("worker1", "worker2", "manager1"):
        on(lab, host, "docker swarm leave --force")
    found: list[str] = []
    ended = threading.Event()
    looks = 0

    def look() -> None:
        nonlocal looks
        while not ended.is_set():
            # The hosts' processes too: theirs are this machine's, seen from outside.
            files = [*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")]
            # Ansible removes folders while we look; os.walk passes over those, Path.rglob raises.
            files += [Path(folder, name) for folder, _, names in os.walk(lab.path / "ansible") for name in names]
            found.extend(str(path) for path in files if _holds_token(path))
            looks += 1

    looking = threading.Thread(target=look)
    looking.start()
    log = lab.new_log("tokens")
    try:
        stats = playbooks.run(
            lab, "site.yml", progress=Progress(quiet=True), inventory=lab.inventory, tags=["names", "topology"], log=log
        )
    finally:
        ended.set()
        looking.join()
    assert stats.changed["worker1"] == 1
    assert looks > 10
    assert found == []
    assert [str(path) for path in lab.path.glob("*") if path.is_file() and _holds_token(path)] == []
    assert [str(path) for path in lab.logs.iterdir() if _holds_token(path)] == []
    on(lab, "worker1", "docker swarm leave --force")
    assert not TOKEN.search(play("--tags", "topology", "-vvvv").encode())
    for host in ("manager1", "worker1", "worker2"):
        assert on(lab, host, "journalctl --no-pager | grep -c 'SWMTKN-1-[a-z0-9]' || :").strip() == "0"


def _holds_token(path: Path) -> bool:
    try:
        return bool(TOKEN.search(path.read_bytes()))
    except OSError:
        return False


@pytest.mark.skipif(shutil.which("gpg") is None, reason="signing a repository needs gpg (package gnupg)")
def test_docker_from_its_own_repository(lab, play, tmp_path):
    served = tmp_path / "served"
    _repository(served / "debian", tmp_path)
    url = f"http://{_gateway(lab)}:8000/debian"
    server = subprocess.Popen(
        ["nsenter", f"--net={lab.path / 'net'}", sys.executable, "-m", "http.server", "8000", "-d", served],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        options = (
            "-l",
            "worker2",
            "--tags",
            "docker",
            "-e",
            "docker_source=docker",
            "-e",
            f"docker_repository_url={url}",
        )
        time.sleep(0.5)
        play(*options)
        assert set(changed(play(*options)).values()) == {0}
    finally:
        server.terminate()
        server.wait()
    status = on(
        lab, "worker2", "dpkg-query -W -f '${Package} ${db:Status-Status}\n' docker-ce docker-ce-cli containerd.io"
    )
    assert status.split() == ["containerd.io", "installed", "docker-ce", "installed", "docker-ce-cli", "installed"]
    assert "Engine" in on(lab, "worker2", "docker version")
    assert "Signed-By: /etc/apt/keyrings/docker.asc" in on(lab, "worker2", "cat /etc/apt/sources.list.d/docker.sources")


def _gateway(lab: LabFolder) -> str:
    addresses = subprocess.run(
        ["nsenter", f"--net={lab.path / 'net'}", "ip", "-4", "-brief", "address", "show", "br0"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return addresses.stdout.split()[2].split("/")[0]


# Docker's packages and the ones of Debian whose place they take.
INSTEAD = {"docker-ce": "docker.io", "docker-ce-cli": "docker-cli", "containerd.io": "containerd"}


def _repository(root: Path, workplace: Path) -> None:
    """A signed repository laid out as Docker's, with Debian's programs in packages of Docker's names."""
    pool = root / "pool"
    pool.mkdir(parents=True)
    for package, debian in INSTEAD.items():
        (original,) = (state.home() / "cache/packages/trixie").glob(f"{debian}_*.deb")
        folder = workplace / package
        subprocess.run(["dpkg-deb", "--raw-extract", original, folder], check=True)
        control = folder / "DEBIAN/control"
        fields = email.message_from_string(control.read_text())
        fields.replace_header("Package", package)
        for name in ("Conflicts", "Replaces", "Breaks", "Recommends", "Suggests", "Source"):
            del fields[name]
        fields["Conflicts"] = fields["Replaces"] = debian
        depends = fields["Depends"]
        for new, old in INSTEAD.items():
            depends = re.sub(rf"(?<![\w.-]){re.escape(old)}(?![\w.-])( \([^)]*\))?", new, depends)
        fields.replace_header("Depends", depends)
        control.write_text("".join(f"{name}: {value}\n" for name, value in fields.items()))
        subprocess.run(
            ["dpkg-deb", "-Znone", "--build", folder, pool / f"{package}.deb"], check=True, capture_output=True
        )
    index = root / "dists/trixie/stable/binary-amd64/Packages"
    index.parent.mkdir(parents=True)
    index.write_bytes(subprocess.run(["dpkg-scanpackages", "pool"], cwd=root, check=True, capture_output=True).stdout)
    data = index.read_bytes()
    release = root / "dists/trixie/Release"
    release.write_text(
        f"Suite: trixie\nCodename: trixie\nDate: {formatdate(usegmt=True)}\nArchitectures: amd64\nComponents: stable\n"
        f"SHA256:\n {hashlib.sha256(data).hexdigest()} {len(data)} stable/binary-amd64/Packages\n"
    )
    home = workplace / "gnupg"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
    try:
        for words in (
            ["--quick-generate-key", "test", "ed25519", "sign"],
            ["--armor", "--output", root / "gpg", "--export", "test"],
            ["--clearsign", "--output", release.with_name("InRelease"), release],
        ):
            subprocess.run([*gpg, *words], check=True, capture_output=True)
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)
