#!/usr/bin/python
"""Ansible module: a swarm's nodes as the inventory says."""

from __future__ import annotations

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.swarm_engine import DOCKER_SOCKET, Engine, EngineError, membership, persistently
from ansible.module_utils.swarm_plan import (
    DEMOTE,
    PROMOTE,
    REMOVE,
    Action,
    Wanted,
    is_manager,
    is_reachable_manager,
    plan,
)

DOCUMENTATION = r"""
module: swarm_nodes
short_description: Have the roles, labels and availability of a swarm's nodes as given
description:
  - Runs once, on a manager. Promotes before it demotes, and waits until each role is in effect.
  - Takes away the node that a host was before it was wiped and joined anew.
  - Nodes that are not given are left as they are.
options:
  docker_socket:
    description: Where the engine listens on the host.
    type: path
    default: /run/docker.sock
  hosts:
    description: The hosts, with the id and hostname that M(swarm_join) told.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: The host's name in the inventory., type: str, required: true}
      node_id: {description: The node that it is., type: str, required: true}
      hostname: {description: The name that the swarm shows., type: str, required: true}
      address: {description: The address that it advertises., type: str, required: true}
      role: {description: The role it shall have., type: str, choices: [manager, worker], required: true}
      availability: {description: Left as it is where empty., type: str, default: ""}
      labels: {description: Node labels., type: dict, default: {}}
  labels_state:
    description: Whether labels that are not given are kept (merge) or taken away (replace).
    type: str
    choices: [merge, replace]
    default: merge
  timeout:
    description: Seconds after which a role that does not come into effect is given up.
    type: int
    default: 60
author: provision
"""

EXAMPLES = r"""
- name: Roles match
  swarm_nodes:
    hosts:
      - {name: worker1, node_id: x5k3…, hostname: worker1, address: 192.168.56.11, role: worker, labels: {disk: ssd}}
"""

RETURN = r"""
actions: {description: "What was changed, one sentence each.", type: list, elements: str, returned: always}
"""

HOST = {
    "name": {"type": "str", "required": True},
    "node_id": {"type": "str", "required": True},
    "hostname": {"type": "str", "required": True},
    "address": {"type": "str", "required": True},
    "role": {"type": "str", "required": True, "choices": ["manager", "worker"]},
    "availability": {"type": "str", "default": ""},
    "labels": {"type": "dict", "default": {}},
}


class ReconcileError(Exception):
    """The module's message: what is not as it shall be, and why."""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "docker_socket": {"type": "path", "default": DOCKER_SOCKET},
            "hosts": {"type": "list", "elements": "dict", "required": True, "options": HOST},
            "labels_state": {"type": "str", "default": "merge", "choices": ["merge", "replace"]},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    engine = Engine(module.params["docker_socket"])
    wanted = [_wanted(host) for host in module.params["hosts"]]
    try:
        reconciler = Reconciler(engine, wanted, module.params["labels_state"] == "replace", module.params["timeout"])
        result = reconciler.foresee() if module.check_mode else reconciler.run()
    except ReconcileError as error:
        module.fail_json(msg=str(error))
    except EngineError as error:
        module.fail_json(msg=error.message)
    module.exit_json(**result)


def _wanted(host: dict[str, Any]) -> Wanted:
    return Wanted(**{**host, "labels": {key: str(value) for key, value in host["labels"].items()}})


class Reconciler:
    """Plans afresh after every step, because each one changes what the others may rely on."""

    def __init__(self, engine: Engine, wanted: list[Wanted], replace_labels: bool, seconds: float) -> None:
        self.engine = engine
        self.wanted = wanted
        self.replace_labels = replace_labels
        self.seconds = seconds
        self.done: list[str] = []

    def foresee(self) -> dict[str, Any]:
        """The result of a check: what would be done, leaving out the hosts that would have to join first."""
        self.wanted = [host for host in self.wanted if host.node_id]
        if not self.wanted:
            return self._result([])
        return self._result([_sentence(action) for action in self._plan()])

    def run(self) -> dict[str, Any]:
        """The result, after everything was done.

        :raises ReconcileError: a host is no node of the swarm, or a role did not come into effect.
        """
        seen: set[tuple[str, str]] = set()
        while actions := self._plan():
            action = actions[0]
            if (action.verb, action.node_id) in seen:
                raise ReconcileError(f"{_sentence(action)}: done, and undone by someone else")
            seen.add((action.verb, action.node_id))
            if self._take(action):
                break
        return self._result(self.done)

    def _plan(self) -> list[Action]:
        nodes = persistently(lambda: self.engine.get("/nodes"), seconds=self.seconds)
        strangers = [host.name for host in self.wanted if host.node_id not in {node["ID"] for node in nodes}]
        if strangers:
            raise ReconcileError(f"no nodes of the swarm: {', '.join(strangers)}. Run this again: they will join anew")
        return plan(nodes, self.wanted, replace_labels=self.replace_labels)

    def _take(self, action: Action) -> bool:
        """Do one step and wait for its effect. True where this manager has demoted itself: that is the last step."""
        myself = action.verb == DEMOTE and membership(self.engine).node_id == action.node_id
        try:
            if action.verb == REMOVE:
                # By force, as the engine counts a node as up for some 15 s after it was wiped.
                persistently(lambda: self.engine.call("DELETE", f"/nodes/{action.node_id}", force=1))
            else:
                persistently(lambda: self._send(action), seconds=self.seconds)
        except EngineError as error:
            raise ReconcileError(f"{_sentence(action)}: refused: {error.message}") from error
        self.done.append(_sentence(action))
        if action.verb in (PROMOTE, DEMOTE):
            self._wait(action, myself)
        return myself

    def _send(self, action: Action) -> None:
        version = self.engine.get(f"/nodes/{action.node_id}")["Version"]["Index"]
        self.engine.post(f"/nodes/{action.node_id}/update", action.spec, version=version)

    def _wait(self, action: Action, myself: bool) -> None:
        deadline = time.monotonic() + self.seconds
        while not self._in_effect(action, myself):
            if time.monotonic() > deadline:
                node = self.engine.get(f"/nodes/{action.node_id}")
                raise ReconcileError(
                    f"{_sentence(action)}: not in effect after {self.seconds:g} s: its state is "
                    f"{node['Status']['State']}, as a manager it is {node.get('ManagerStatus') or 'none'}"
                )
            time.sleep(0.1)

    def _in_effect(self, action: Action, myself: bool) -> bool:
        if myself:
            return not membership(self.engine).manager
        node = persistently(lambda: self.engine.get(f"/nodes/{action.node_id}"), seconds=self.seconds)
        return is_reachable_manager(node) if action.verb == PROMOTE else not is_manager(node)

    def _result(self, actions: list[str]) -> dict[str, Any]:
        result: dict[str, Any] = {"changed": bool(actions), "actions": actions}
        if actions:
            result["diff"] = {"prepared": "".join(f"~ {action}\n" for action in actions)}
        return result


def _sentence(action: Action) -> str:
    return f"{action.host}: {', '.join(action.changes)}"


if __name__ == "__main__":
    main()
