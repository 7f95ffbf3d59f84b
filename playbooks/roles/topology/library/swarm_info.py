#!/usr/bin/python
"""Ansible module: an engine's place in a swarm."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.swarm_engine import DOCKER_SOCKET, Engine, EngineError, Membership, settled_membership

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
        argument_spec={"docker_socket": {"type": "path", "default": DOCKER_SOCKET}}, supports_check_mode=True
    )
    docker_socket = module.params["docker_socket"]
    if module.check_mode and not Path(docker_socket).exists():
        present = Membership()  # a check of a host that has no Docker yet
    else:
        try:
            present = settled_membership(Engine(docker_socket))
        except EngineError as error:
            module.fail_json(msg=error.message)
    module.exit_json(changed=False, quorum=present.quorum, **asdict(present))


if __name__ == "__main__":
    main()
