"""The lab's Ansible inventory, from its spec and, for machines that the user handed over, what came with them.

Plain `ansible-playbook -i inventory.yml` accepts it from a plain shell: the way to the hosts is in the lab's
ssh_config, which the inventory names.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

import yaml

from provisioner import shipping
from provisioner.lab import HostSpec, LabSpec
from provisioner.machines.inventory import given
from provisioner.state import LabFolder

# The base image holds apt's lists and the packages that they name, and a lab may have no network to fetch newer ones.
_NEVER_REFRESHED = 10 * 365 * 86400

# What the roles are told on hosts of a provider, beyond their defaults.
VARIABLES: Mapping[str, Mapping[str, object]] = {
    "lxc": {
        "ansible_user": "root",
        # The second one lies in a folder that the host shares with the machine, past the network namespaces.
        "docker_sockets": ["/run/docker.sock", "/srv/provision/docker.sock"],
        "docker_apt_cache_valid_time": _NEVER_REFRESHED,
        "base_apt_cache_valid_time": _NEVER_REFRESHED,
    },
    "vagrant": {
        "docker_users": ["vagrant"],
        "docker_sockets": ["/run/docker.sock"],
    },
    # Machines that somebody has already: Docker is what was asked for, and nothing else is installed or set unless the
    # inventory says so. A second time client would even take the first one's place.
    "inventory": {
        "base_packages": [],
        "base_time_sync": False,
        "docker_keep": True,
    },
}

# On virtual machines whose box holds all packages: it has no package lists, and the machines may have no network.
ALL_PACKAGES_INSIDE: Mapping[str, object] = {
    "docker_apt_cache_valid_time": _NEVER_REFRESHED,
    "base_apt_cache_valid_time": _NEVER_REFRESHED,
}


EMULATED: Mapping[str, object] = {"swarmd_etcd_heartbeat": 100, "swarmd_etcd_election": 1000}


def build(spec: LabSpec, lab: LabFolder) -> dict[str, object]:
    """The inventory in the form of Ansible's yaml plugin: all, with the groups managers and workers."""
    hosts = _handed_over(spec, lab) if spec.provider == given.PROVIDER else {h.name: _host(h) for h in spec.hosts}
    return {
        "all": {
            "vars": {
                "ansible_python_interpreter": "/usr/bin/python3",
                # In place of Ansible's own default (ControlMaster, ControlPath): the ssh_config has connections that
                # everything on this lab shares, and Ansible's would be the same for two labs with equal addresses.
                "ansible_ssh_args": f"-F {shlex.quote(str(lab.ssh_config))}",
                "ansible_ssh_pipelining": True,
                **VARIABLES.get(spec.provider, {}),
                **(_of_swarmd(spec) if spec.engine == shipping.ENGINE else {}),
                **(ALL_PACKAGES_INSIDE if spec.vagrant is not None and spec.vagrant.packages else {}),
            },
            "children": {
                "managers": {"hosts": {host.name: hosts[host.name] for host in spec.managers}},
                "workers": {"hosts": {host.name: hosts[host.name] for host in spec.workers}},
            },
        }
    }


def _of_swarmd(spec: LabSpec) -> dict[str, object]:
    """What the role is told; its front takes the places at which the engine would listen."""
    sockets = VARIABLES.get(spec.provider, {}).get("docker_sockets")
    return {
        "swarmd_state": "present",
        "swarmd_bundles": [bundle.as_variable() for bundle in shipping.of_lab(spec)],
        **({"swarmd_sockets": sockets} if sockets else {}),
        # Images are loaded into a lab; without a registry each start of a task would cost a pull that fails.
        **({"swarmd_prefer_offline_image": True} if spec.provider != given.PROVIDER else {}),
        # Without the help of the processor, 50 and 300 ms do not hold under load (measured).
        **(EMULATED if spec.vagrant is not None and spec.vagrant.emulated else {}),
    }


def text(spec: LabSpec, lab: LabFolder) -> str:
    """The inventory as YAML."""
    title = f"# Lab {spec.name}. Made by provision; it is written anew by the next `provision up`.\n"
    # Through JSON, so that equal lists are written out twice instead of as a YAML anchor and its alias.
    return title + yaml.safe_dump(json.loads(json.dumps(build(spec, lab))), sort_keys=False)


def _host(host: HostSpec) -> dict[str, object]:
    return {
        "ansible_host": str(host.address),
        **({} if host.user == "root" else {"ansible_user": host.user}),
        "swarm_availability": host.availability,
        "swarm_labels": dict(host.labels),
    }


def _handed_over(spec: LabSpec, lab: LabFolder) -> dict[str, dict[str, object]]:
    """Each host with the user's variables, which go before ours, but for the way there and what `provision` itself
    needs: Docker's socket where it is expected, open to the user who logs in."""
    kept = given.kept(lab).hosts
    mark = lab.identity.read_text().strip() if lab.identity.exists() else ""
    hosts: dict[str, dict[str, object]] = {}
    for host in spec.hosts:
        theirs = kept[host.name].variables
        users = [*theirs.get("docker_users", []), *([host.user] if host.user != "root" else [])]
        written = [part for part in ("daemon", "sockets") if theirs.get(f"docker_{part}")]
        hosts[host.name] = {
            **theirs,
            **_host(host),
            "ansible_user": host.user,
            "docker_users": list(dict.fromkeys(users)),
            "docker_configured": theirs.get("docker_configured", [*written, "restarts"]),
            "record_lab": f"{spec.name}.{mark}",
        }
    return hosts
