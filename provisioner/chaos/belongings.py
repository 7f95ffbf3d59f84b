"""What a cluster holds beside services: an object of each kind, made before the fault and looked for after it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    for kind in kinds:
        ids |= {f"{kind} {name}": identity for name, identity in _listed(client, kind)}
    return Belongings(ids)


def remove(client: docker.APIClient, kinds: Iterable[str]) -> None:
    """Remove what `create` made."""
    for kind in kinds:
        for name, identity in _listed(client, kind):
            if name == f"{PREFIX}{kind}":
                getattr(client, f"remove_{kind}")(identity)


def _listed(client: docker.APIClient, kind: str) -> Sequence[tuple[str, str]]:
    """Name and id of each."""
    if kind == "network":
        return [(each["Name"], each["Id"]) for each in client.networks() if each["Scope"] == "swarm"]
    listed: list[dict[str, Any]] = client.secrets() if kind == "secret" else client.configs()
    return [(each["Spec"]["Name"], each["ID"]) for each in listed]
