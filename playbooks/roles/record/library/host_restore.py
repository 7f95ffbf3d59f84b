#!/usr/bin/python
"""Ansible module: take back what was done to a host, as far as host_record has written it down."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.machine_state import (
    DOCKER_LINKS,
    FORWARDING,
    RECORD,
    Json,
    file_state,
    groups,
    home,
    is_system_user,
    load,
    packages,
    removes_docker,
    run,
    users,
    write_file,
)

DOCUMENTATION = r"""
module: host_restore
short_description: Take back what host_record has written down, and nothing else
description:
  - Packages that came, files, lines in shared files, users, groups, the hostname, and what Docker leaves in the kernel.
    A file that somebody has changed since stays as it is, with a warning.
  - Fails before anything is done where what came is needed by what is somebody else's, such as Docker by a volume.
options:
  lab:
    description: Who prepared the host. A record of another one is left alone.
    type: str
    required: true
  force:
    description: Leave what is needed there instead of failing.
    type: bool
    default: false
author: provision
"""

EXAMPLES = r"""
- name: The host is as before
  host_restore:
    lab: course
"""

RETURN = r""" # """

DOCKER = Path("/var/lib/docker")
ANONYMOUS = re.compile(r"[0-9a-f]{64}")  # a volume that nobody named
SWARM_LABEL = "com.docker.swarm.task.id"
# What a home has before anybody has worked there.
PLAIN_HOME = frozenset({".bash_logout", ".bashrc", ".profile", ".ssh", ".bash_history", ".cache", ".ansible"})


def main() -> None:
    module = AnsibleModule(
        argument_spec={"lab": {"type": "str", "required": True}, "force": {"type": "bool", "default": False}},
        supports_check_mode=True,
    )
    record = load()
    if record is None or record["lab"] != module.params["lab"]:
        module.exit_json(changed=False)
    in_use = list(needed(record))
    if in_use and not module.params["force"]:
        module.fail_json(
            msg=f"{'; '.join(in_use)}. Take that away first, or leave it and what it needs: provision down --force"
        )
    if module.check_mode:
        module.exit_json(changed=True, diff={"before": json.dumps(record, indent=1) + "\n", "after": ""})
    try:
        warnings = [*in_use, *Restoring(record, keep_packages=bool(in_use)).all()]
    except (RuntimeError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, warnings=warnings)


def needed(record: Json) -> Iterator[str]:
    """What somebody else needs of what came, one phrase each."""
    present = sorted(set(record["packages"]) & set(packages()))
    if present:
        plan = run("apt-get", "--simulate", "purge", *present)
        going = set(re.findall(r"^(?:Purg|Remv) (\S+)", plan, re.MULTILINE))
        ours = {package.partition(":")[0] for package in record["packages"]}
        if others := sorted(going - ours):
            yield f"{', '.join(others)} needs packages that came with the lab"
    if removes_docker(record):
        if names := sorted(_volumes()):
            yield f"Docker came with the lab and has volumes: {', '.join(names)}"
        if names := sorted(_containers()):
            yield f"Docker came with the lab and has containers that are not the swarm's: {', '.join(names)}"


# Both are read from Docker's own files, because the engine may not be running.
def _volumes() -> Iterator[str]:
    for folder in (DOCKER / "volumes").glob("*/_data"):
        if not ANONYMOUS.fullmatch(folder.parent.name):
            yield folder.parent.name


def _containers() -> Iterator[str]:
    for path in (DOCKER / "containers").glob("*/config.v2.json"):
        with contextlib.suppress(OSError, ValueError):
            container = json.loads(path.read_text())
            if SWARM_LABEL not in (container["Config"].get("Labels") or {}):
                yield container["Name"].lstrip("/")


class Restoring:
    def __init__(self, record: Json, *, keep_packages: bool) -> None:
        self.record = record
        self.keep_packages = keep_packages
        self.warnings: list[str] = []

    def all(self) -> list[str]:
        """:returns: what was left as it is, and why."""
        steps: list[Callable[[], None]] = [self._swarm_bridge, self._members, self._files, self._lines]
        if not self.keep_packages:
            steps[:0] = [self._docker, self._packages, self._docker_folders]
        steps += [self._users, self._groups, self._folders, self._hostname, self._reload, self._working_folders]
        steps += [self._forget]
        for step in steps:
            step()
        return self.warnings

    def _swarm_bridge(self) -> None:
        """An engine keeps this network when it leaves its swarm; refused where a container is on it."""
        if "docker_gwbridge" not in self.record["network"]["links"] and not self._docker_goes():
            run("docker", "network", "rm", "docker_gwbridge", check=False)

    def _docker_goes(self) -> bool:
        return removes_docker(self.record) and not self.keep_packages

    def _docker(self) -> None:
        """Stop the engine, and clear what it would leave in the kernel until the next boot."""
        if not removes_docker(self.record):
            return
        run("systemctl", "stop", "docker.socket", "docker.service", "containerd.service", check=False)
        before = self.record["network"]
        for link in DOCKER_LINKS:
            if link not in before["links"] and Path("/sys/class/net", link).exists():
                run("ip", "link", "delete", link)
        for program, policy in before["policies"].items():
            if rules := run(f"{program}-save", check=False):
                run(f"{program}-restore", stdin=without_docker(rules, policy))
        if FORWARDING.read_text().strip() != before["forwarding"]:
            FORWARDING.write_text(before["forwarding"])

    def _packages(self) -> None:
        if present := sorted(set(self.record["packages"]) & set(packages())):
            run("apt-get", "--yes", "--quiet", "purge", *present)

    def _docker_folders(self) -> None:
        if not removes_docker(self.record):
            return
        for folder in map(Path, self.record["docker_folders"]):
            for part in list(folder.iterdir()) if folder.is_dir() else []:
                if part.is_dir() and not part.is_symlink():
                    shutil.rmtree(part)
                else:
                    part.unlink()
            with contextlib.suppress(OSError):  # a disk of its own may be mounted there
                folder.rmdir()

    def _members(self) -> None:
        present = groups()
        for user, group in self.record["members"]:
            if user in present.get(group, []):
                run("gpasswd", "--delete", user, group)

    def _files(self) -> None:
        for path, states in self.record["files"].items():
            present = file_state(path)
            if present == states["after"]:
                write_file(path, states["before"])
            elif present not in (None, states["before"]):
                self.warnings.append(f"{path} was changed since: it stays as it is")

    def _lines(self) -> None:
        for path, entry in self.record["lines"].items():
            state = file_state(path)
            if state is None or "text" not in state:
                continue
            text = without_lines(state["text"], entry["added"])
            write_file(path, None if not text and not entry["was_there"] else {**state, "text": text})

    def _users(self) -> None:
        for user in (user for user in self.record["users"] if user in users()):
            if is_system_user(user):
                if not self.keep_packages:
                    run("userdel", user, check=False)
            elif own := sorted(path.name for path in Path(home(user)).glob("*") if path.name not in PLAIN_HOME):
                self.warnings.append(f"the user {user} stays: {home(user)} has {', '.join(own[:5])}")
            else:
                run("userdel", "--remove", user)

    def _groups(self) -> None:
        for group in self.record["groups"]:
            if groups().get(group) == [] and not self.keep_packages:
                run("groupdel", group, check=False)  # refused where it is a user's own

    def _folders(self) -> None:
        for folder in reversed(self.record["folders"]):
            with contextlib.suppress(OSError):  # it is gone, or somebody uses it
                Path(folder).rmdir()

    def _hostname(self) -> None:
        changed = self.record["hostname"]
        if changed and socket.gethostname() == changed["after"]:
            socket.sethostname(changed["before"])

    def _reload(self) -> None:
        run("systemctl", "daemon-reload", check=False)
        configured = any("docker" in path for path in self.record["files"])
        if not self._docker_goes() and (configured or self.record["hostname"]):
            # With the configuration and under the name that it had; the service goes and comes with its socket.
            run("systemctl", "restart", "docker.socket", check=False)

    def _working_folders(self) -> None:
        """Ansible's own, of root and of whoever logged in; empty unless somebody else's Ansible is at work too."""
        for user in {"root", os.environ.get("SUDO_USER", "root")}:
            for folder in (Path(home(user), ".ansible/tmp"), Path(home(user), ".ansible")):
                with contextlib.suppress(OSError):
                    folder.rmdir()

    def _forget(self) -> None:
        RECORD.unlink()
        with contextlib.suppress(OSError):
            RECORD.parent.rmdir()


def without_docker(rules: str, policy: str) -> str:
    """The output of iptables-save without Docker's chains and rules, and with the former policy for forwarding."""
    kept = []
    table = ""
    for line in rules.splitlines():
        if line.startswith("*"):
            table = line[1:]
        if table == "filter" and line.startswith(":FORWARD "):
            kept.append(re.sub(r"^:FORWARD \w+", f":FORWARD {policy}", line))
        elif not re.search(r"\bDOCKER\b|DOCKER-|docker0|docker_gwbridge", line):
            kept.append(line)
    return "\n".join(kept) + "\n"


def without_lines(text: str, added: list[str]) -> str:
    """The text without these lines, each taken away once, from the end."""
    lines = text.splitlines(keepends=True)
    for line in reversed(added):
        for place in range(len(lines) - 1, -1, -1):
            if lines[place].rstrip("\n") == line:
                del lines[place]
                break
    return "".join(lines)


if __name__ == "__main__":
    main()
