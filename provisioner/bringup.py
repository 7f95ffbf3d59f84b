"""`provision up` as one visible list of steps, each of which finds out by itself what is left to do.

Nothing records how far a run came: a run that was killed at any moment is continued by the next one, because every
step compares what is there with what is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner import checks, inventory, playbooks, shipping, state, swarm
from provisioner.errors import LabUnhealthy, ProvisionError
from provisioner.lab import HostSpec, majority
from provisioner.machines import Machine, Provider
from provisioner.machines.select import provider as provider_of
from provisioner.progress import Progress
from provisioner.report import Report
from provisioner.state import LabFolder, Record

SITE = "site.yml"
CONVERGE = "converge.yml"
# Docker's managers take 10 to 20 s to find a leader after all were off at once (measured).
UNCHANGED_SECONDS = 30
# What differs from host to host; the rest of a host made from an image of a converged one is as the playbook left it.
PER_HOST = ("names", "keys", "topology")


@dataclass(frozen=True)
class Outcome:
    differences: tuple[str, ...]
    """What was not as asked before; empty when nothing was to be done."""
    report: Report | None
    """The checks' result, where they were asked for."""


def up(lab: LabFolder, record: Record, progress: Progress, *, verify: bool | None, cached: bool) -> Outcome:
    """Bring the lab to what its record asks for.

    :param verify: run the suites afterwards; None: where something was changed.
    :param cached: whether images of converged hosts may be used and made.
    :raises LabUnhealthy: some hosts did not come up or not all of them converged; the others are ready.
    """
    provider = provider_of(lab, record)
    found = differences(record, provider.machines()) or _told_otherwise(lab, record)
    if found:
        _bring_up(lab, record, provider, progress, cached=cached)
    wanted = bool(found) if verify is None else verify
    report = checks.run(lab, [], progress=progress, log=lab.new_log("verify")) if wanted else None
    return Outcome(tuple(found), report)


def differences(record: Record, machines: Sequence[Machine]) -> list[str]:
    """What the lab is not, of what its record asks for, in words; an empty list when it is all of it."""
    if all(machine.state != "running" for machine in machines):
        return [f"{machine.name}: is {machine.state}" for machine in machines]
    return swarm.matches(record.spec, swarm.read(machines))


def _told_otherwise(lab: LabFolder, record: Record) -> list[str]:
    """Whether the roles were told something else the last time, in words: machines that are handed over come with
    variables, which may be others now, and a newer `provision` brings a newer swarmd."""
    if not _told(lab).exists() or _told(lab).read_text() == inventory.text(record.spec, lab):
        return []
    return ["what the inventory tells the roles has changed"]


def _told(lab: LabFolder) -> Path:
    return lab.path / "told.yml"


def _bring_up(lab: LabFolder, record: Record, provider: Provider, progress: Progress, *, cached: bool) -> None:
    # Then hosts that stand on an image have another one below them than a new host would get.
    is_told_otherwise = bool(_told_otherwise(lab, record))
    bundles = shipping.of_lab(record.spec)
    shipping.make(bundles, progress, log=lab.new_log("bundle"))
    converge = _converger(lab, record, progress) if cached else None
    converged = provider.prepare(progress, converged_by=playbooks.digest(bundles), converge=converge)
    failures = provider.create(progress)
    write_inventory(lab, record)
    up_now = [machine.name for machine in provider.machines() if machine.name not in failures]
    if up_now:
        limit = ",".join(up_now) if failures else ""
        try:
            with provider.converging() as variables:
                _converge_all(
                    lab, progress, limit=limit, converged=converged and not is_told_otherwise, variables=variables
                )
        except ProvisionError as error:
            if not failures:
                raise
            failures["the playbook"] = error.message
    if failures:
        raise _incomplete(lab, failures)
    state.write_atomically(_told(lab), inventory.text(record.spec, lab))
    if left := settle(record, provider, progress):
        raise LabUnhealthy(
            "the lab is not what was asked for:\n" + "\n".join(f"  {line}" for line in left),
            hint=f"provision status --name {record.spec.name}; `provision up` tries again",
        )


def _converge_all(
    lab: LabFolder, progress: Progress, *, limit: str, converged: bool, variables: Mapping[str, object]
) -> None:
    """Run the playbook: what is per host where the rest is in the image, and all of it where that does not do.

    Somebody may have changed on a host what the image had right, such as stopped Docker.
    """
    if converged:
        try:
            with progress.stage("Forming the swarm"):
                _run_site(lab, progress, limit=limit, tags=PER_HOST, variables=variables)
            return
        except ProvisionError as error:
            progress.note(f"not enough: {error.message.splitlines()[-1].strip()}; the whole playbook is run")
    with progress.stage("Installing Docker and forming the swarm"):
        _run_site(lab, progress, limit=limit, tags=(), variables=variables)


def _run_site(
    lab: LabFolder, progress: Progress, *, limit: str, tags: Sequence[str], variables: Mapping[str, object]
) -> None:
    playbooks.run(
        lab, SITE, progress=progress, inventory=lab.inventory, tags=tags, limit=limit, extra_vars=variables,
        log=lab.new_log("site"),
    )  # fmt: skip


def settle(record: Record, provider: Provider, progress: Progress) -> list[str]:
    """Wait until the swarm on the running hosts is as asked, or nothing has changed for half a minute.

    :returns: what is still different then.
    """

    def look() -> tuple[list[str], bool]:
        machines = provider.machines()
        return differences(record, machines), _can_decide(record, machines)

    with progress.stage("Waiting until all is as asked"):
        return _until_nothing_changes(look, record, progress)


def recover(lab: LabFolder, record: Record, provider: Provider, progress: Progress) -> None:
    """Wait until the swarm of hosts that were started has come to rest, whatever its users have made of it.

    :raises LabUnhealthy: it has not, and nothing has changed for half a minute. A lab that no `up` has finished has
        no swarm to wait for.
    """
    if not _told(lab).exists():
        return
    with progress.stage("Waiting for the swarm"):
        left = _until_nothing_changes(lambda: (swarm.unrest(swarm.read(provider.machines())), True), record, progress)
    if left:
        raise LabUnhealthy(
            "the hosts run, their swarm does not:\n" + "\n".join(f"  {line}" for line in left),
            hint=f"provision status --name {record.spec.name}; `provision up --name {record.spec.name}` repairs",
        )


def _until_nothing_changes(look: Callable[[], tuple[list[str], bool]], record: Record, progress: Progress) -> list[str]:
    """
    :param look: what is still wanting, and whether waiting can help.
    :returns: what was wanting at the last look.
    """
    seen: list[str] = []
    since = time.monotonic()
    while True:
        left, can_change = look()
        if left != seen:
            seen, since = left, time.monotonic()
            progress.host("", (left or [""])[0])
        if not left or not can_change or time.monotonic() - since > UNCHANGED_SECONDS * record.spec.patience:
            return left
        time.sleep(0.2)


def _can_decide(record: Record, machines: Sequence[Machine]) -> bool:
    """Without a majority of managers running there is nothing to wait for."""
    running = sum(machine.state == "running" and machine.spec.role == "manager" for machine in machines)
    return running >= majority(len(record.spec.managers))


def _converger(lab: LabFolder, record: Record, progress: Progress) -> Callable[[HostSpec], None]:
    def converge(host: HostSpec) -> None:
        spec = record.spec.model_copy(update={"hosts": (host,)})
        path = lab.path / "builder.yml"
        state.write_atomically(path, inventory.text(spec, lab))
        playbooks.run(lab, CONVERGE, progress=progress, inventory=path, log=lab.new_log("converge"))
        path.unlink()

    return converge


def write_inventory(lab: LabFolder, record: Record) -> None:
    state.write_atomically(lab.inventory, inventory.text(record.spec, lab))


def _incomplete(lab: LabFolder, failures: dict[str, str]) -> LabUnhealthy:
    return LabUnhealthy(
        "the lab is up in part:\n" + "\n".join(f"  {host}: {reason}" for host, reason in failures.items()),
        hint=f"look: provision logs HOST --name {lab.name}, or provision ssh HOST --name {lab.name}; "
        f"repair: provision up --name {lab.name}",
        log=lab.logs,
    )
