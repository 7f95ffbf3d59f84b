"""The lab's Ansible inventory, from its spec alone. Pure: nothing here touches a machine or a file.

Plain `ansible-playbook -i inventory.yml` accepts it from a plain shell: the way to the hosts is in the lab's
ssh_config, which the inventory names.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

import yaml

from provisioner.lab import HostSpec, LabSpec
from provisioner.state import LabFolder

# The base image holds apt's lists and the packages that they name, and a lab may have no network to fetch newer ones.
_NEVER_REFRESHED = 10 * 365 * 86400

# What the roles are told on hosts of a provider, beyond their defaults.
VARIABLES: Mapping[str, Mapping[str, object]] = {
    "lxc": {
        # The second one lies in a folder that the host shares with the machine, past the network namespaces.
        "docker_sockets": ["/run/docker.sock", "/srv/provision/docker.sock"],
        "docker_apt_cache_valid_time": _NEVER_REFRESHED,
        "base_apt_cache_valid_time": _NEVER_REFRESHED,
    },
}


def build(spec: LabSpec, lab: LabFolder) -> dict[str, object]:
    """The inventory in the form of Ansible's yaml plugin: all, with the groups managers and workers."""
    return {
        "all": {
            "vars": {
                "ansible_user": "root",
                "ansible_python_interpreter": "/usr/bin/python3",
                # In place of Ansible's own default (ControlMaster, ControlPath): the ssh_config has connections that
                # everything on this lab shares, and Ansible's would be the same for two labs with equal addresses.
                "ansible_ssh_args": f"-F {shlex.quote(str(lab.ssh_config))}",
                "ansible_ssh_pipelining": True,
                **VARIABLES.get(spec.provider, {}),
            },
            "children": {
                "managers": {"hosts": {host.name: _host(host) for host in spec.managers}},
                "workers": {"hosts": {host.name: _host(host) for host in spec.workers}},
            },
        }
    }


def text(spec: LabSpec, lab: LabFolder) -> str:
    """The inventory as YAML."""
    title = f"# Lab {spec.name}. Made by provision; it is written anew by the next `provision up`.\n"
    # Through JSON, so that equal lists are written out twice instead of as a YAML anchor and its alias.
    return title + yaml.safe_dump(json.loads(json.dumps(build(spec, lab))), sort_keys=False)


def _host(host: HostSpec) -> dict[str, object]:
    return {
        "ansible_host": str(host.address),
        "swarm_availability": host.availability,
        "swarm_labels": dict(host.labels),
    }
