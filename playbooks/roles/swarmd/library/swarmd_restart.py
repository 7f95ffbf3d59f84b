#!/usr/bin/python
"""Ansible module: restart swarmd, and wait until the host takes part in its cluster as before."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: swarmd_restart
short_description: Restart swarmd, and wait until the host takes part in its cluster as before
description:
  - One task, so that a C(throttle) of one restarts the next host's daemon only when this one's is back.
options:
  docker_socket:
    description: Where Docker's API is.
    type: path
    default: /run/docker.sock
  unit:
    description: The daemon's unit.
    type: str
    default: swarmd.service
  timeout:
    description: Seconds.
    type: int
    default: 60
author: provision
"""

EXAMPLES = r"""
- name: The daemon runs its new version
  swarmd_restart:
  throttle: 1
"""

RETURN = r"""
state: {description: The host's place in a swarm now., type: str, returned: always}
"""

ANSWER_SECONDS = 5.0
PAUSE = 0.2


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "docker_socket": {"type": "path", "default": "/run/docker.sock"},
            "unit": {"type": "str", "default": "swarmd.service"},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    unit = module.params["unit"]
    if module.check_mode:
        module.exit_json(changed=True, state="")
    before = _place(module.params["docker_socket"])
    done = subprocess.run(
        ["systemctl", "restart", unit], capture_output=True, text=True, timeout=module.params["timeout"], check=False
    )
    if done.returncode != 0:
        module.fail_json(msg=f"{unit} does not start: {done.stderr.strip()}; journalctl --unit {unit} says why")
    end = time.monotonic() + module.params["timeout"]
    while not is_back(before, now := _place(module.params["docker_socket"])):
        if time.monotonic() > end:
            module.fail_json(
                msg=f"{unit} was restarted, and after {module.params['timeout']} s the host is {_words(now)}; it was "
                f"{_words(before)}. journalctl --unit {unit} says why"
            )
        time.sleep(PAUSE)
    module.exit_json(changed=True, state=now["LocalNodeState"])


def is_back(before: dict[str, Any] | None, now: dict[str, Any] | None) -> bool:
    """Whether the host is in its cluster again. One that was not before has nothing to come back to."""
    if now is None:
        return False
    if before is None or before["LocalNodeState"] != "active":
        return True
    was_manager, is_manager = bool(before["ControlAvailable"]), bool(now["ControlAvailable"])
    return now["LocalNodeState"] == "active" and not now.get("Error") and (is_manager or not was_manager)


def _words(place: dict[str, Any] | None) -> str:
    if place is None:
        return "silent"
    role = "manager" if place["ControlAvailable"] else "worker"
    why = f" ({place['Error']})" if place.get("Error") else ""
    return f"{place['LocalNodeState']} as {role}{why}" if place["LocalNodeState"] == "active" else "in no swarm" + why


def _place(path: str) -> dict[str, Any] | None:
    """``Swarm`` of ``docker info``; None where nothing answers."""
    connection = http.client.HTTPConnection("docker", timeout=ANSWER_SECONDS)
    try:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(ANSWER_SECONDS)
        connection.sock.connect(path)
        connection.request("GET", "/info")
        swarm = json.loads(connection.getresponse().read())["Swarm"]
        return {"LocalNodeState": "", "ControlAvailable": False, **swarm}
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        connection.close()


if __name__ == "__main__":
    main()
