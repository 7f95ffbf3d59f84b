#!/usr/bin/python
"""Ansible module: membership of a given swarm."""

from __future__ import annotations

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.swarm_engine import (
    DOCKER_SOCKET,
    SWARM_PORT,
    Engine,
    EngineError,
    Membership,
    membership,
    settled_membership,
    with_port,
)

DOCUMENTATION = r"""
module: swarm_join
short_description: Have this engine in a given swarm
description:
  - Joins where the engine is in no swarm. An engine that is in another swarm is left as it is, and the module fails.
  - An engine that does not get into this swarm by itself leaves and joins anew. So do joins that were interrupted, and
    a manager that lost power before it received the log (Docker 26.1 never recovers from that).
  - The role of a node that is in the swarm already is not looked at; M(swarm_nodes) sees to it.
options:
  docker_socket:
    description: Where the engine listens on the host.
    type: path
    default: /run/docker.sock
  cluster_id:
    description: The swarm's id, from M(swarm_init).
    type: str
    required: true
  nodes:
    description: The ids of its nodes, from M(swarm_init).
    type: list
    elements: str
    required: true
  managers:
    description: "Addresses of its managers, as host:port."
    type: list
    elements: str
    required: true
  token:
    description: The join token of the role.
    type: str
    required: true
  advertise_addr:
    description: The address at which the other nodes reach this one.
    type: str
    required: true
  timeout:
    description: Seconds after which a join that does not get through is given up.
    type: int
    default: 120
author: provision
"""

EXAMPLES = r"""
- name: Every host is in the swarm
  swarm_join:
    cluster_id: "{{ topology_swarm.cluster_id }}"
    nodes: "{{ topology_swarm.nodes }}"
    managers: "{{ topology_swarm.managers }}"
    token: "{{ topology_swarm.tokens.worker }}"
    advertise_addr: "{{ ansible_host }}"
"""

RETURN = r"""
node_id: {description: The id that this engine has in the swarm., type: str, returned: always}
hostname: {description: The name that the swarm shows., type: str, returned: always}
"""

LEAVE = "docker swarm leave --force"


class JoinError(Exception):
    """The module's message: what stands in the way, and the way out."""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "docker_socket": {"type": "path", "default": DOCKER_SOCKET},
            "cluster_id": {"type": "str", "required": True},
            "nodes": {"type": "list", "elements": "str", "required": True},
            "managers": {"type": "list", "elements": "str", "required": True},
            "token": {"type": "str", "required": True, "no_log": True},
            "advertise_addr": {"type": "str", "required": True},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    engine = Engine(module.params["docker_socket"])
    try:
        module.exit_json(**ensure(engine, module.params, check=module.check_mode))
    except JoinError as error:
        module.fail_json(msg=str(error))
    except EngineError as error:
        module.fail_json(msg=error.message)


def ensure(engine: Engine, params: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """The module's result, after the engine has joined where it had not.

    :raises JoinError: it is elsewhere, or the join did not get through in time.
    """
    deadline = time.monotonic() + params["timeout"]
    try:
        present = settled_membership(engine)
    except EngineError as error:
        if check and not error.status:
            return {"changed": True, "node_id": "", "hostname": ""}  # a check of a host that has no Docker yet
        raise
    is_member = _is_member(present, params)
    warnings = []
    if not is_member and not check:
        if present.state != "inactive":
            warnings.append(f"it was stuck as {present.state} ({present.error or 'no reason told'}) and joined anew")
            engine.call("POST", "/swarm/leave", force=1)
        present = _join(engine, params, deadline)
    return {
        "changed": not is_member,
        "node_id": present.node_id,
        "hostname": present.hostname,
        **({"warnings": warnings} if warnings else {}),
    }


def _is_member(present: Membership, params: dict[str, Any]) -> bool:
    """Whether it is in the swarm already; False where it may join.

    :raises JoinError: what it is must not be undone without being asked.
    """
    if present.state == "active":
        if present.node_id in params["nodes"] and present.cluster_id in ("", params["cluster_id"]):
            return True
        where = ", ".join(present.managers) or "none that it knows"
        raise JoinError(
            f"it is in another swarm as node {present.node_id} (whose managers are: {where}). To move it, run "
            f"`{LEAVE}` on it, then run this again"
        )
    if present.state == "locked":
        raise JoinError("its swarm is locked: unlock it with `docker swarm unlock`")
    return False


def _join(engine: Engine, params: dict[str, Any], deadline: float) -> Membership:
    """Join, and wait until the node is active.

    Managers that join at the same moment wait for each other at the leader, and some attempts are refused meanwhile.
    """
    request = {
        "ListenAddr": f"0.0.0.0:{SWARM_PORT}",
        "AdvertiseAddr": with_port(params["advertise_addr"]),
        "RemoteAddrs": params["managers"],
        "JoinToken": params["token"],
    }
    pause = 0.25
    said = ""
    while True:
        present = membership(engine)
        if present.state == "active":
            return present
        is_out = present.state in ("inactive", "error")
        if is_out:
            said = _attempt(engine, request, present)
        if time.monotonic() > deadline:
            raise JoinError(
                f"it has not joined within {params['timeout']} s: {said or present.error or present.state}. "
                f"Can it reach {' or '.join(params['managers'])}? Look at its log with `journalctl -u docker`"
            )
        if said or not is_out:
            time.sleep(pause)
            pause = min(2.0, pause * 2)


def _attempt(engine: Engine, request: dict[str, Any], present: Membership) -> str:
    """One request to join. Returns why it failed, or ""."""
    try:
        if present.state == "error":
            engine.call("POST", "/swarm/leave", force=1)
        engine.post("/swarm/join", request)
    except EngineError as error:
        if "invalid join token" in error.message or error.status in (400, 0):
            raise
        return error.message
    return ""


if __name__ == "__main__":
    main()
