"""What a cluster holds beside services: an object of each kind, made before the fault and looked for after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provisioner.chaos.workload import MARK, PREFIX

if TYPE_CHECKING:
    import docker


@dataclass(frozen=True)
class Belongings:
    """Ids by "kind name"."""

    ids: dict[str, str]

    def missing(self, now: Belongings) -> list[str]:
        """What was there and is not any more, or is another of the same name."""
        return [
            f"the {what} is gone" if what not in now.ids else f"the {what} is another one: its id has changed"
            for what, identity in self.ids.items()
            if now.ids.get(what) != identity
        ]


@dataclass(frozen=True)
class _Belonging:
    name: str
    id: str
    labels: Mapping[str, str]


def create(client: docker.APIClient, kinds: Iterable[str]) -> None:
    """Make an object of each of these kinds (``engines.KINDS``); the content of secrets and configs is of no value."""
    for kind in kinds:
        name, labels = f"{PREFIX}{kind}", {MARK: kind}
        if kind == "network":
            client.create_network(name, driver="overlay", labels=labels, attachable=True)
        elif kind == "secret":
            client.create_secret(name, b"kept by every manager", labels=labels)
        else:
            client.create_config(name, b"kept by every manager", labels=labels)


def read(client: docker.APIClient, kinds: Iterable[str]) -> Belongings:
    """All services of the swarm, and its objects of these kinds; of networks, those that are cluster-wide."""
    ids = {f"service {each['Spec']['Name']}": each["ID"] for each in client.services()}
    ids |= {f"{kind} {each.name}": each.id for kind in kinds for each in _listed(client, kind)}
    return Belongings(ids)


def remove(client: docker.APIClient, kinds: Iterable[str]) -> None:
    """Remove what `create` made."""
    for kind in kinds:
        for each in _listed(client, kind):
            if MARK in each.labels:
                getattr(client, f"remove_{kind}")(each.id)


def _listed(client: docker.APIClient, kind: str) -> list[_Belonging]:
    if kind == "network":
        networks = [each for each in client.networks() if each["Scope"] == "swarm"]
        return [_Belonging(each["Name"], each["Id"], each.get("Labels") or {}) for each in networks]
    listed: Any = client.secrets() if kind == "secret" else client.configs()
    return [_Belonging(each["Spec"]["Name"], each["ID"], each["Spec"].get("Labels") or {}) for each in listed]
