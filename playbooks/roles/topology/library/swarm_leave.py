#!/usr/bin/python
"""Ansible module: an engine that is in no swarm."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.swarm_engine import DOCKER_SOCKET, Engine, EngineError, membership

DOCUMENTATION = r"""
module: swarm_leave
short_description: Have an engine leave its swarm
description:
  - By force, as of a swarm that is given up; whether a quorum is left for the others is the caller's affair.
options:
  docker_socket:
    description: Where the engine listens on the host.
    type: path
    default: /run/docker.sock
  required:
    description: Whether an engine that does not answer is a failure; it is none where Docker is about to go.
    type: bool
    default: true
author: provision
"""

EXAMPLES = r"""
- name: The host is in no swarm
  swarm_leave:
"""

RETURN = r""" # """


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "docker_socket": {"type": "path", "default": DOCKER_SOCKET},
            "required": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    engine = Engine(module.params["docker_socket"])
    try:
        is_member = membership(engine).state != "inactive"
        if is_member and not module.check_mode:
            engine.call("POST", "/swarm/leave", force=1)
    except EngineError as error:
        if module.params["required"] or error.status:
            module.fail_json(msg=error.message)
        is_member = False
    module.exit_json(changed=is_member)


if __name__ == "__main__":
    main()
