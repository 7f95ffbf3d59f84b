"""Faults that leave a host on: its daemon killed or hung, its links to others cut, all of its processes frozen.

Each is ended by `end`, which may be called at any time. Where nobody is left to call it, a cut and a hang end by
themselves after LONGEST seconds (the kernel forgets the rules' addresses, a timer of the host's systemd lets the daemon
go on), and `provision start`, `up` and `down` thaw what is frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, get_args

from provisioner import command, state
from provisioner.chaos import engines
from provisioner.lab import LabSpec
from provisioner.machines import Provider, ssh

Direction = Literal["both", "in", "out"]
"""Which packets a cut host loses: those that it is sent (in), those that it sends (out), or both."""
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)

LONGEST = 300
SSH_SECONDS = 30.0

_CUT = """nft -f - <<'END'
table inet {table} {{
  set others {{ type ipv4_addr; flags timeout; elements = {{ {elements} }}; }}
  {chains}
}}
END"""
# Before everything else in the kernel's order (raw is -300), so that no rule of Docker's lets a packet through.
_CHAIN = "chain {hook} {{ type filter hook {hook} priority -310; ip {side} @others drop; }}"
_IN, _OUT = _CHAIN.format(hook="input", side="saddr"), _CHAIN.format(hook="output", side="daddr")
_CHAINS: dict[Direction, tuple[str, ...]] = {"both": (_IN, _OUT), "in": (_IN,), "out": (_OUT,)}


@dataclass(frozen=True)
class Faults:
    spec: LabSpec
    provider: Provider

    def kill_daemon(self, host: str) -> None:
        """Kill the engine's swarm daemon, and nothing else.

        :raises CommandFailed: the host cannot be reached, or runs none.
        """
        self._to_daemon(host, "KILL")

    def hang_daemon(self, host: str) -> None:
        """Stop the engine's swarm daemon where it is.

        :raises CommandFailed: the host cannot be reached, or runs none.
        """
        unit = engines.of(self.spec).unit
        timer = f"systemd-run --quiet --collect --on-active={LONGEST} systemctl kill --signal=CONT {unit}"
        self._run(host, timer)
        self._to_daemon(host, "STOP")

    def cut(self, host: str, others: Sequence[str], direction: Direction) -> None:
        """Drop what passes between a host and these others, by rules in its own kernel.

        :raises CommandFailed: the host cannot be reached, or has no nftables.
        """
        elements = ", ".join(f"{self.spec.host(other).address} timeout {LONGEST}s" for other in others)
        chains = "\n  ".join(_CHAINS[direction])
        self._run(host, _CUT.format(table=self.table, elements=elements, chains=chains))

    def freeze(self, host: str) -> None:
        self.provider.freeze([host])

    def end(self) -> None:
        """End every fault on every host that is on. May be repeated.

        :raises CommandFailed: a host cannot be reached.
        """
        self.provider.thaw([host.name for host in self.spec.hosts])
        running = [machine.name for machine in self.provider.machines() if machine.state == "running"]
        unit = engines.of(self.spec).unit
        # A unit without processes is no reason to fail, nor is a table that is not there.
        text = f"nft delete table inet {self.table} 2>/dev/null; systemctl kill --signal=CONT {unit} 2>/dev/null; true"
        with ThreadPoolExecutor(max(1, len(running))) as pool:
            list(pool.map(lambda host: self._run(host, text), running))

    @property
    def table(self) -> str:
        """The nftables table of the rules that cut a host off."""
        return f"provision-{self.spec.name}"

    def _to_daemon(self, host: str, signal: str) -> None:
        self._run(host, f'{engines.of(self.spec).find}; test "${{pid:-0}}" -gt 0 && kill -{signal} "$pid"')

    def _run(self, host: str, text: str) -> None:
        words = [text] if self.spec.host(host).user == "root" else ssh.as_root(text)
        command.run(ssh.argv(state.folder(self.spec.name), host, words), timeout=SSH_SECONDS * self.spec.patience)
