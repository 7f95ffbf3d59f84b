#!/usr/bin/python
"""Ansible module: an engine's place in a swarm."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.swarm_engine import (
    DOCKER_SOCKET,
    Engine,
    EngineError,
    Membership,
    is_settled,
    settled_membership,
)

DOCUMENTATION = r"""
module: swarm_info
short_description: Tell an engine's place in a swarm
description:
  - Asks the Docker Engine through its socket. Waits until an engine that has just started has found its swarm again.
options:
  docker_socket:
    description: Where the engine listens on the host.
    type: path
    default: /run/docker.sock
  role:
    description: Wait until it has this role in its swarm, and fail where it does not get it.
    type: str
    choices: ["", manager, worker]
    default: ""
  timeout:
    description: Seconds after which the wait is given up.
    type: int
    default: 20
author: provision
"""

EXAMPLES = r"""
- name: Membership is known
  swarm_info:
  register: topology_member
"""

RETURN = r"""
state: {description: "inactive, pending, active, error or locked.", type: str, returned: always}
node_id: {description: Empty outside a swarm., type: str, returned: always}
cluster_id: {description: Known to a manager that has a leader., type: str, returned: always}
manager: {description: Whether it is a manager., type: bool, returned: always}
quorum: {description: Whether it is a manager that has a leader., type: bool, returned: always}
hostname: {description: The name that the swarm shows., type: str, returned: always}
error: {description: Why the engine is not in order., type: str, returned: always}
"""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "docker_socket": {"type": "path", "default": DOCKER_SOCKET},
            "role": {"type": "str", "default": "", "choices": ["", "manager", "worker"]},
            "timeout": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    docker_socket, role = module.params["docker_socket"], module.params["role"]
    if module.check_mode and not Path(docker_socket).exists():
        present = Membership()  # a check of a host that has no Docker yet
    else:
        try:
            present = settled_membership(Engine(docker_socket), role=role, seconds=module.params["timeout"])
        except EngineError as error:
            module.fail_json(msg=error.message)
    if role and not is_settled(present, role):
        module.fail_json(
            msg=f"it is no {role} of the swarm {module.params['timeout']} s after it was made one: its state is "
            f"{present.state} ({present.error or 'it tells no reason'}). Look at its log with `journalctl -u docker`"
        )
    module.exit_json(changed=False, quorum=present.quorum, **asdict(present))


if __name__ == "__main__":
    main()
