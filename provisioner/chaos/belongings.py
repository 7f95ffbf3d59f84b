"""What a cluster holds beside services: a network and a secret, made before the fault and looked for after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioner.chaos.workload import MARK, PREFIX

if TYPE_CHECKING:
    import docker

NETWORK = f"{PREFIX}network"
SECRET = f"{PREFIX}secret"


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


def create(client: docker.APIClient) -> None:
    """Make an overlay network and a secret; the secret's content is of no value."""
    client.create_network(NETWORK, driver="overlay", labels={MARK: "network"}, attachable=True)
    client.create_secret(SECRET, b"kept by every manager", labels={MARK: "secret"})


def read(client: docker.APIClient) -> Belongings:
    """All services, secrets and cluster-wide networks of the swarm."""
    ids = {f"service {each['Spec']['Name']}": each["ID"] for each in client.services()}
    ids |= {f"secret {each['Spec']['Name']}": each["ID"] for each in client.secrets()}
    ids |= {f"network {each['Name']}": each["Id"] for each in client.networks() if each["Scope"] == "swarm"}
    return Belongings(ids)
