#!/usr/bin/python
"""Ansible module: write down on a host what is done to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.machine_state import (
    DOCKER_FOLDERS,
    FORMAT,
    RECORD,
    Json,
    brings_swarmd,
    file_state,
    home,
    is_system_user,
    lines_of,
    load,
    missing_folders,
    network,
    removes_docker,
    situation,
    text_of,
)

DOCUMENTATION = r"""
module: host_record
short_description: Write down on a host what is done to it, so that host_restore can take it back
description:
  - C(open) notes how the host is before other tasks, C(closed) what they have changed. What somebody else changes
    between two runs is not taken for ours. A run that broke off stays open, and the next one goes on with it.
options:
  state:
    description: C(read) only tells whether there is a record.
    type: str
    choices: [open, closed, read]
    required: true
  lab:
    description: Who prepares the host. A record of another one is left alone.
    type: str
    required: true
  files:
    description: Files that may be written.
    type: list
    elements: path
    default: []
  shared_files:
    description: Files that lines may be added to. Relative ones are each user's.
    type: list
    elements: str
    default: []
  users:
    description: Users who may be made, or put into groups.
    type: list
    elements: str
    default: []
author: provision
"""

EXAMPLES = r"""
- name: How the host is before is written down
  host_record:
    state: open
    lab: course
    files: [/etc/docker/daemon.json]
"""

RETURN = r"""
is_ours: {description: Whether there is a record of this lab., type: bool, returned: always}
removes_docker: {description: Whether Docker came by it., type: bool, returned: always}
brings_swarmd: {description: Whether swarmd came by it., type: bool, returned: always}
"""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "required": True, "choices": ["open", "closed", "read"]},
            "lab": {"type": "str", "required": True},
            "files": {"type": "list", "elements": "path", "default": []},
            "shared_files": {"type": "list", "elements": "str", "default": []},
            "users": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    params = module.params
    record = load()
    if record is not None and record["lab"] != params["lab"]:
        if params["state"] == "read":
            module.exit_json(changed=False, is_ours=False, removes_docker=False, brings_swarmd=False)
        module.fail_json(msg=f"this host belongs to another lab, {record['lab']}: take that one away first")
    before = text_of(record) if record else ""
    if params["state"] == "open":
        was_there = record is not None
        record = opened(record or _first(params["lab"]), params)
        _write(module, before, record)
        closed(record, params["users"])  # as it would be now, also after a run that broke off
        module.exit_json(changed=not was_there, is_ours=True, **_told(record))
    if record is None:
        module.exit_json(changed=False, is_ours=False, removes_docker=False, brings_swarmd=False)
    stood = _settled(record)
    closed(record, params["users"])
    if params["state"] == "closed":
        _write(module, before, record)
    is_new = params["state"] == "closed" and _settled(record) != stood
    module.exit_json(changed=is_new, is_ours=True, **_told(record))


def _told(record: Json) -> dict[str, bool]:
    return {"removes_docker": removes_docker(record), "brings_swarmd": brings_swarmd(record)}


def _first(lab: str) -> Json:
    absent = [folder for folder in DOCKER_FOLDERS if not Path(folder).is_dir() or not any(Path(folder).iterdir())]
    return {
        "format": FORMAT, "lab": lab, "files": {}, "lines": {}, "folders": [], "packages": [], "users": [],
        "groups": [], "members": [], "hostname": None, "docker_folders": absent, "network": network(),
    }  # fmt: skip


def opened(record: Json, params: dict[str, Any]) -> Json:
    """The record with the present situation in it, where a run that broke off has left none."""
    if "open" in record:
        return record
    shared = [path for path in params["shared_files"] if path.startswith("/")]
    for user in params["users"]:
        shared += [f"{home(user) or f'/home/{user}'}/{path}" for path in params["shared_files"] if path[0] != "/"]
    watched = {"files": params["files"], "lines": shared}
    record["open"] = situation() | {kind: {path: file_state(path) for path in paths} for kind, paths in watched.items()}
    absent = {folder for path in [*params["files"], *shared] for folder in missing_folders(path)}
    record["open"]["folders"] = sorted(absent)
    return record


def closed(record: Json, users: list[str]) -> None:
    """Take what has changed since into the record."""
    if (then := record.pop("open", None)) is None:
        return
    now = situation()
    for path, was in then["files"].items():
        if (present := file_state(path)) != was:
            record["files"].setdefault(path, {"before": was})["after"] = present
    for path, was in then["lines"].items():
        added = _added(lines_of(was), lines_of(file_state(path)))
        if added or path in record["lines"]:
            entry = record["lines"].setdefault(path, {"was_there": was is not None, "added": []})
            present = lines_of(file_state(path))
            entry["added"] = [line for line in entry["added"] if line in present and line not in added] + added
    record["folders"] = sorted({*record["folders"], *(f for f in then["folders"] if Path(f).is_dir())})
    record["packages"] = sorted({*record["packages"], *(set(now["packages"]) - set(then["packages"]))})
    new = [user for user in set(now["users"]) - set(then["users"]) if user in users or is_system_user(user)]
    record["users"] = sorted({*record["users"], *new})
    record["groups"] = sorted({*record["groups"], *(set(now["groups"]) - set(then["groups"]))})
    joined = [
        [user, group] for group, members in now["groups"].items() for user in members
        if user in users and user not in then["groups"].get(group, [])
    ]  # fmt: skip
    record["members"] = sorted([*record["members"], *(pair for pair in joined if pair not in record["members"])])
    if now["hostname"] != then["hostname"]:
        first = (record["hostname"] or {"before": then["hostname"]})["before"]
        record["hostname"] = {"before": first, "after": now["hostname"]}


def _settled(record: Json) -> str:
    return text_of({key: value for key, value in record.items() if key != "open"})


def _added(before: list[str], after: list[str]) -> list[str]:
    left = list(before)
    added = []
    for line in after:
        if line in left:
            left.remove(line)
        else:
            added.append(line)
    return added


def _write(module: AnsibleModule, before: str, record: Json) -> None:
    text = text_of(record)
    if text == before or module.check_mode:
        return
    RECORD.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = Path(module.tmpdir) / RECORD.name
    temporary.touch(mode=0o600)
    temporary.write_text(text)
    module.atomic_move(str(temporary), str(RECORD))


if __name__ == "__main__":
    main()
