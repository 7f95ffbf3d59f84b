"""Is a machine of the user's one that a swarm can be made of? Asked over ssh, answered in words."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

from provisioner import command
from provisioner.command import CommandFailed
from provisioner.lab import HostSpec
from provisioner.machines import ssh
from provisioner.machines.inventory.routes import Way
from provisioner.state import LabFolder

PROBE_SECONDS = 45
SSH_FAILED = 255
DEBIANS = (12, 13)

_NO_PYTHON = "provision: there is no python3"
_NEEDS_PYTHON = f"command -v python3 >/dev/null || {{ echo '{_NO_PYTHON}' >&2; exit 1; }}; exec python3 -"

# Runs as root on the machine, from standard input. Its record is what the role `record` writes.
_SCRIPT = r"""
import http.client, json, pathlib, socket, sys

def swarm():
    connection = http.client.HTTPConnection("docker", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(10)
    try:
        connection.sock.connect("/run/docker.sock")
        connection.request("GET", "/_ping")
        answer = connection.getresponse()
        answer.read()
        if (state := answer.headers.get("Swarm")) is None:  # before API 1.42
            connection.request("GET", "/info")
            state = json.loads(connection.getresponse().read())["Swarm"]["LocalNodeState"]
        return state.partition("/")[0]
    except OSError:
        return ""

def record():
    try:
        return json.loads(pathlib.Path("/var/lib/provision/machine.json").read_text())["lab"]
    except OSError:
        return ""

release = dict(
    line.split("=", 1) for line in pathlib.Path("/etc/os-release").read_text().splitlines() if "=" in line
)
release = {key: value.strip('"') for key, value in release.items()}
print(json.dumps({
    "system": release.get("ID", ""), "version": release.get("VERSION_ID", ""), "name": release.get("PRETTY_NAME", ""),
    "swarm": swarm(), "lab": record(),
}))
"""

# What ssh and sudo say -> what it means. {user} logs in at {host}, port {port}.
_MEANINGS = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key is another one than the known one: was it installed anew? If so: ssh-keygen -R '{alias}', then "
        "log in once by hand",
    ),
    (
        "Host key verification failed",
        "its host key is not known here: log in once by hand and compare the fingerprint: ssh -p {port} {user}@{host}",
    ),
    ("Permission denied", "it does not let {user} in: put your public key there, ssh-copy-id -p {port} {user}@{host}"),
    (
        "sudo: a password is required",
        "{user} may not sudo without a password: add NOPASSWD to the user's line of sudoers, see sudoers(5)",
    ),
    ("sudo: not found", "it has no sudo: install it, or let ssh in as root"),
    ("not in the sudoers file", "{user} may not sudo: see sudoers(5)"),
    (_NO_PYTHON, "it has no Python: apt-get install python3"),
)


@dataclass(frozen=True)
class Found:
    """A machine's answer."""

    problem: str = ""
    """Why no swarm can be made of it; empty where one can."""
    swarm: str = ""
    """Docker's word for its place in a swarm; empty without Docker."""
    lab: str = ""
    """Whose record it bears; empty where `provision` has not been."""


def ask(lab: LabFolder, host: HostSpec, way: Way) -> Found:
    words = [_NEEDS_PYTHON] if host.user == "root" else ssh.as_root(_NEEDS_PYTHON)
    try:
        done = command.run(ssh.argv(lab, host.name, words), stdin=_SCRIPT, timeout=PROBE_SECONDS, check=False)
    except CommandFailed:
        ssh.hang_up(lab, [host.name])
        return Found(f"it has not answered after {PROBE_SECONDS} s")
    if done.status != 0:
        return Found(_meaning(done.stderr, host, way, by_ssh=done.status == SSH_FAILED))
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    problem = ""
    if answer["system"] != "debian" or answer["version"] not in map(str, DEBIANS):
        problem = f"it runs {answer['name'] or 'an unknown system'}; the playbooks are for Debian 12 and 13"
    return Found(problem, answer["swarm"], answer["lab"])


def _meaning(said: str, host: HostSpec, way: Way, *, by_ssh: bool) -> str:
    for sign, meaning in _MEANINGS:
        if sign in said:
            return meaning.format(
                user=host.user, host=shlex.quote(way.host), port=way.port, alias=way.options["hostkeyalias"]
            )
    last = (said.strip().splitlines() or ["it gives no reason"])[-1]
    return f"{'ssh does not get there' if by_ssh else 'it cannot be used'}: {last}"
