"""What containers on overlay networks see of each other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from testinfra.host import Host

from provisioner.suites.connection import everywhere, name_of, output

SERVE = (resources.files(__package__) / "serve.sh").read_text()
OBSERVE = (resources.files(__package__) / "observe.sh").read_text()


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


MEGABYTE_MD5 = _md5("".join(f"{n}\n" for n in range(1, 150001)))  # as serve.sh makes it
NOTHING_MD5 = _md5("")

# A host that the engine's gossip has just told of a container may need a moment to reach it.
SETTLE_SECONDS = 15


@dataclass(frozen=True)
class Container:
    name: str
    host: str
    address: str


@dataclass(frozen=True)
class Sight:
    """What a container saw of another; an answer is empty where there was none."""

    address: str = ""
    """The host's name, asked for at the other's address."""
    name: str = ""
    """The same, asked for at the other's name."""
    packet: str = ""
    """"bytes from", the answer to a packet of the full size."""
    megabyte: str = ""
    """The MD5 of what came when a megabyte was sent."""

    def is_full(self, host: str) -> bool:
        return (self.address, self.name, self.packet, self.megabyte) == (host, host, "bytes from", MEGABYTE_MD5)


@dataclass(frozen=True)
class Sights:
    """What containers see of others, by the host of the one and of the other."""

    pairs: Mapping[tuple[str, str], Sight]

    def all_well(self) -> bool:
        return all(sight.is_full(target) for (_, target), sight in self.pairs.items())

    def from_host(self, source: str) -> dict[str, Sight]:
        return {target: sight for (host, target), sight in self.pairs.items() if host == source}


def observe(hosts: Mapping[str, Host], sources: Mapping[str, Container], targets: Mapping[str, Container]) -> Sights:
    """Let every source look at every target but itself, all at the same time."""

    def look_from(host: Host) -> dict[str, Sight]:
        source = sources[name_of(host)]
        return look(host, source, [target for target in targets.values() if target != source])

    seen = everywhere({name: hosts[name] for name in sources}, look_from)
    return Sights({(source, target): sight for source, of in seen.items() for target, sight in of.items()})


def look(host: Host, source: Container, targets: Sequence[Container]) -> dict[str, Sight]:
    words = [f"{target.host}={target.name}={target.address}" for target in targets]
    script = "docker exec %s sh -c %s sh " + " ".join(["%s"] * len(words))
    answers: dict[str, dict[str, str]] = {target.host: {} for target in targets}
    for line in output(host, script, source.name, OBSERVE, *words).splitlines():
        target, kind, answer = f"{line}  ".split(" ", 2)
        answers[target][kind] = answer.strip()
    return {target: Sight(**found) for target, found in answers.items()}
