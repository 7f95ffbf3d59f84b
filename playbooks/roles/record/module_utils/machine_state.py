"""What a host is like, as far as the roles change it, and the record of what they did. Standard library only."""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

RECORD = Path("/var/lib/provision/machine.json")
FORMAT = 1

# What Docker makes beside its packages; they go with it where they were not there before.
DOCKER_FOLDERS = ("/var/lib/docker", "/var/lib/containerd", "/etc/docker", "/etc/containerd", "/etc/cni")
DOCKER_LINKS = ("docker0", "docker_gwbridge")
DOCKER_PACKAGES = ("docker.io", "docker-ce", "docker-engine", "moby-engine")
# The link to the version of it that is in use.
SWARMD = "/opt/swarmd/current"
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")

# The record and a file's state are JSON; bytes that are no text survive in it as surrogates.
Json = dict[str, Any]


def load() -> Json | None:
    try:
        record: Json = json.loads(RECORD.read_text())
    except FileNotFoundError:
        return None
    return record


def text_of(record: Json) -> str:
    return json.dumps(record, indent=1, sort_keys=True) + "\n"


def run(*argv: str, check: bool = True, stdin: str | None = None) -> str:
    """A program's output; "" where there is no such program and ``check`` is False."""
    if not check and shutil.which(argv[0]) is None:
        return ""
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(argv, capture_output=True, text=True, input=stdin, check=False, env=environment)
    if check and done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-3:]
        raise RuntimeError(f"{' '.join(argv)[:200]}: {' / '.join(said)}")
    return done.stdout


def file_state(path: str) -> Json | None:
    """None where there is no such file."""
    place = Path(path)
    if place.is_symlink():
        return {"link": str(place.readlink())}
    if not place.is_file():
        return None
    status = place.stat()
    text = place.read_bytes().decode(errors="surrogateescape")
    return {"text": text, "mode": status.st_mode & 0o7777, "owner": status.st_uid, "group": status.st_gid}


def write_file(path: str, state: Json | None) -> None:
    place = Path(path)
    if state is None:
        place.unlink(missing_ok=True)
        return
    temporary = place.with_name(f".{place.name}.provision")
    temporary.unlink(missing_ok=True)
    if "link" in state:
        temporary.symlink_to(state["link"])
    else:
        temporary.write_bytes(state["text"].encode(errors="surrogateescape"))
        os.chown(temporary, state["owner"], state["group"])
        temporary.chmod(state["mode"])
    temporary.replace(place)


def lines_of(state: Json | None) -> list[str]:
    return (state or {}).get("text", "").splitlines()


def missing_folders(path: str) -> list[str]:
    """The folders above a file that are not there, the outermost first."""
    return [str(folder) for folder in reversed(Path(path).parents) if not folder.exists()]


def packages() -> list[str]:
    listed = run("dpkg-query", "--show", "--showformat=${db:Status-Status} ${binary:Package}\n")
    return sorted(line.split()[1] for line in listed.splitlines() if line.startswith("installed "))


def removes_docker(record: Json) -> bool:
    """Whether Docker came with the lab, and goes with it."""
    return any(package.partition(":")[0] in DOCKER_PACKAGES for package in record["packages"])


def brings_swarmd(record: Json) -> bool:
    """Whether swarmd came with the lab, and goes with it."""
    states = record["files"].get(SWARMD, {})
    return bool(states.get("after")) and not states.get("before")


def groups() -> dict[str, list[str]]:
    return {group.gr_name: sorted(group.gr_mem) for group in grp.getgrall()}


def users() -> list[str]:
    return sorted(user.pw_name for user in pwd.getpwall())


def home(user: str) -> str:
    """ "" where there is no such user."""
    try:
        return pwd.getpwnam(user).pw_dir
    except KeyError:
        return ""


def is_system_user(user: str) -> bool:
    """Whether it belongs to a package or to the system (adduser.conf(5): people begin at 1000)."""
    try:
        return pwd.getpwnam(user).pw_uid < 1000
    except KeyError:
        return False


def network() -> Json:
    """What Docker changes in the kernel and leaves there when it goes."""
    policies = {}
    for program in ("iptables", "ip6tables"):
        first = run(program, "--list-rules", "FORWARD", check=False).splitlines()[:1]
        policies[program] = first[0].split()[-1] if first else "ACCEPT"
    return {
        "links": [link for link in DOCKER_LINKS if Path("/sys/class/net", link).exists()],
        "forwarding": FORWARDING.read_text().strip(),
        "policies": policies,
    }


def situation() -> Json:
    """What is compared before and after a run of the roles."""
    return {"packages": packages(), "groups": groups(), "users": users(), "hostname": socket.gethostname()}
