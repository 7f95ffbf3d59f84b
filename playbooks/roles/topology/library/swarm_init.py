#!/usr/bin/python
"""Ansible module: a manager of a swarm, and how to join it."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.swarm_engine import (
    DOCKER_SOCKET,
    SWARM_PORT,
    Engine,
    EngineError,
    membership,
    persistently,
    with_port,
)
from ansible.module_utils.swarm_plan import is_reachable_manager

DOCUMENTATION = r"""
module: swarm_init
short_description: Have a swarm on this manager, and tell how to join it
description:
  - Forms a swarm where the engine is in none; otherwise only reads. The answer holds the join tokens, so a task that
    uses this module must have C(no_log).
options:
  docker_socket:
    description: Where the engine listens on the host.
    type: path
    default: /run/docker.sock
  advertise_addr:
    description: The address at which the other nodes reach this one.
    type: str
    required: true
  default_addr_pool:
    description: Subnets from which overlay networks are numbered; the engine's own (10.0.0.0/8) where empty.
    type: list
    elements: str
    default: []
  subnet_size:
    description: Prefix length of one overlay network.
    type: int
    default: 24
author: provision
"""

EXAMPLES = r"""
- name: A swarm is there
  swarm_init:
    advertise_addr: 192.168.56.10
  no_log: true
  register: topology_swarm
"""

RETURN = r"""
cluster_id: {description: The swarm's id., type: str, returned: always}
nodes: {description: The ids of its nodes., type: list, elements: str, returned: always}
managers: {description: "Addresses of its managers, as host:port.", type: list, elements: str, returned: always}
tokens: {description: "Join tokens, by role: manager, worker.", type: dict, returned: always}
"""

TOKENS_OF_A_CHECK = {"manager": "", "worker": ""}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "docker_socket": {"type": "path", "default": DOCKER_SOCKET},
            "advertise_addr": {"type": "str", "required": True},
            "default_addr_pool": {"type": "list", "elements": "str", "default": []},
            "subnet_size": {"type": "int", "default": 24},
        },
        supports_check_mode=True,
    )
    engine = Engine(module.params["docker_socket"])
    try:
        module.exit_json(**ensure(engine, module.params, check=module.check_mode))
    except EngineError as error:
        module.fail_json(msg=error.message)


def ensure(engine: Engine, params: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """The module's result, after a swarm was formed where there was none."""
    if check and _is_outside(engine):
        return {"changed": True, "cluster_id": "", "nodes": [], "managers": [], "tokens": TOKENS_OF_A_CHECK}
    changed = not membership(engine).node_id
    if changed:
        engine.post("/swarm/init", _request(params))
    cluster = persistently(lambda: engine.get("/swarm"))
    nodes = persistently(lambda: engine.get("/nodes"))
    reachable = [node["ManagerStatus"]["Addr"] for node in nodes if is_reachable_manager(node)]
    return {
        "changed": changed,
        "cluster_id": cluster["ID"],
        "nodes": [node["ID"] for node in nodes],
        "managers": reachable or [with_port(params["advertise_addr"])],
        "tokens": {"manager": cluster["JoinTokens"]["Manager"], "worker": cluster["JoinTokens"]["Worker"]},
    }


def _is_outside(engine: Engine) -> bool:
    try:
        return not membership(engine).node_id
    except EngineError as error:
        if error.status:
            raise
        return True  # a check of a host that has no Docker yet


def _request(params: dict[str, Any]) -> dict[str, Any]:
    request: dict[str, Any] = {
        "ListenAddr": f"0.0.0.0:{SWARM_PORT}",
        "AdvertiseAddr": with_port(params["advertise_addr"]),
        "Spec": {},
    }
    if params["default_addr_pool"]:
        request |= {"DefaultAddrPool": params["default_addr_pool"], "SubnetSize": params["subnet_size"]}
    return request


if __name__ == "__main__":
    main()
