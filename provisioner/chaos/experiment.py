"""One run of a scenario on a lab: the workload around it, the faults, the clock, and the way back to health.

A context: entering refuses an unhealthy lab and starts the workload, leaving restores the lab whatever happened. The
scenario decides what is broken and what is watched; judging what was seen is left to the suite.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from provisioner.chaos import bystanders, engines, healing, sights, watching, workload
from provisioner.chaos.bounds import Bounds, bounds
from provisioner.chaos.faults import Faults
from provisioner.chaos.history import History
from provisioner.chaos.outcome import CalledDown, Container, Measured, Outcome, Refusal
from provisioner.chaos.timeline import FIRST_WRITE, KILLED, RECOVERY, RESTORED, Event, Timeline, stopwatch
from provisioner.chaos.verdict import accepted_between, first_accepted, judge, longest_gap
from provisioner.chaos.watching import Watch
from provisioner.errors import ProvisionError
from provisioner.lab import LabSpec
from provisioner.machines import Machine, Provider
from provisioner.progress import Progress
from provisioner.swarm import Quorum, Swarm, connect, matches, read

# A single question to an engine: a busy machine of two cores answers in well under a second.
ENGINE_TIMEOUT = 10.0
# A few writes of each writer come before the fault, so that there is something to lose.
WARM_UP = 2.0
# What is looked at where answers of single hosts are all that counts.
NOTHING = Swarm((), (), (), Quorum((), ()))


class Experiment:
    def __init__(
        self,
        spec: LabSpec,
        provider: Provider,
        *,
        history: Path,
        progress: Progress,
        heard: Callable[[Event], None] = lambda _: None,
    ) -> None:
        """:param history: the file that the writers' history goes to.
        :param heard: gets every event of the timeline when it happens.
        """
        self.spec = spec
        self.provider = provider
        self.progress = progress
        self.bounds: Bounds = bounds(spec)
        self._patience = engines.of(spec).patience_of_looks * spec.patience
        self.faults = Faults(spec, provider)
        self.clock = stopwatch()
        self.timeline = Timeline(self.clock, heard)
        self.before: Swarm
        self.heal: Callable[[], None] = lambda: healing.start_all(provider, progress)
        """Brings all hosts back, also after a run that was broken off; what needs more than a start sets it."""
        self._history_file = history
        self._stack = ExitStack()
        self._measured: list[Measured] = []
        self._refusals: list[Refusal] = []
        self._management: list[str] = []
        self._missing: list[str] = []
        self._interrupted: dict[str, str] = {}
        self._released: set[str] = set()
        self._tasks = ""
        self._watched: tuple[Container, ...] = ()
        self._victims: tuple[str, ...] = ()
        self._lost: set[str] = set()
        self._silent: set[str] = set()
        self._called_down: dict[str, float] = {}
        self._killed = 0.0
        self._cut = 0.0
        self._back: float | None = None

    # -- before and after -----------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.before = healing.check(self.spec, self.provider)
        with ExitStack() as stack:
            stack.callback(self._clean_up)
            self._history = stack.enter_context(History(self._history_file, self.clock))
            self._start_workload(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start_workload(self, stack: ExitStack) -> None:
        managers = self.managers()
        healing.remove_leftovers(self.spec, managers[0])
        with connect(managers[0], ENGINE_TIMEOUT) as client:
            self._tasks = bystanders.create(client, replicas=self.replicas)
            workload.create_services(client, [manager.name for manager in managers])
        ready = Watch("tasks run", sights.tasks_running(self.replicas, ()), self.bounds.service)
        self._require(self._watch([ready], since=self.clock()))
        self._writers = stack.enter_context(workload.Writers(managers, self._history))
        started = self.clock()
        write = Watch("writes accepted", sights.write_accepted(self._history, started), self.bounds.service)
        self._require(self._watch([write], since=started))
        time.sleep(WARM_UP)

    def _require(self, measured: Sequence[Measured]) -> None:
        for each in measured:
            if not each.kept:
                raise ProvisionError(
                    f"the workload did not start on lab {self.spec.name!r}: {each.words()}",
                    hint=f"provision verify services --name {self.spec.name}",
                )

    def _clean_up(self) -> None:
        self.heal()
        healing.wait_until_healthy(self.spec, self.provider, within=self.bounds.restored, doing=self.doing)
        healing.remove_leftovers(self.spec, self.managers()[0])

    # -- what scenarios do ----------------------------------------------------------------------------------------

    @property
    def leader(self) -> str:
        """Who led before anything was done."""
        return self.before.quorum.leader

    @property
    def replicas(self) -> int:
        return bystanders.PER_HOST * len(self.spec.hosts)

    def managers(self) -> list[Machine]:
        """Of those, the managers."""
        return [machine for machine in self.running() if machine.spec.role == "manager"]

    def running(self) -> list[Machine]:
        """The machines that are on, but for those which the fault has made dumb."""
        return [machine for machine in self._machines() if machine.state == "running"]

    def _machines(self) -> list[Machine]:
        return [machine for machine in self.provider.machines() if machine.name not in self._silent]

    def doing(self, text: str) -> None:
        self.progress.host("", text)

    def power_off(self, names: Sequence[str]) -> None:
        """Pull the plug of these hosts. Bounds count from the beginning of it, the outage from its end."""
        self._begin(KILLED, names, "power off", watched=[host for host in self._names() if host not in names])
        self.provider.power_off(names)
        self._cut = self.clock()

    def strike(
        self,
        event: str,
        victim: str,
        words: str,
        act: Callable[[], None],
        *,
        silent: bool = True,
        tasks_stay: bool = False,
        leads_no_more: bool = True,
    ) -> None:
        """Do something to a host that leaves it on. Bounds count from the beginning of it.

        :param event: what it is called on the timeline: one of timeline.FAULTS.
        :param act: does it; ``faults`` can end it.
        :param silent: whether the host cannot answer, so that nobody asks it until the fault has ended.
        :param tasks_stay: whether tasks of this host must keep running, too.
        :param leads_no_more: whether another host must lead until the fault has ended.
        """
        self.heal = self._end_fault
        self._begin(event, [victim], words, watched=[h for h in self._names() if tasks_stay or h != victim])
        self._silent = {victim} if silent else set()
        act()
        if not leads_no_more:
            self._lost.clear()
        self._cut = self.clock()

    def end_fault(self, words: str) -> float:
        """Let a host go on that was struck; the moment at which that begins, on the run's clock."""
        began = self.begin_recovery(words)
        self.faults.end()
        self._silent.clear()
        self._lost.clear()
        return began

    def _begin(self, event: str, victims: Sequence[str], words: str, *, watched: Sequence[str]) -> None:
        machines = [machine for machine in self.running() if machine.name in watched]
        self._watched = bystanders.containers(machines, self._tasks, ENGINE_TIMEOUT)
        self._victims = tuple(victims)
        self._lost = set(victims)
        self._killed = self.timeline.mark(event, f"{', '.join(victims)}: {words}").seconds

    def _end_fault(self) -> None:
        self.faults.end()
        healing.start_all(self.provider, self.progress)

    def _names(self) -> list[str]:
        return [host.name for host in self.spec.hosts]

    def begin_recovery(self, words: str) -> float:
        """What comes now may bring management back, so the outage counts as over; the moment, on the run's clock."""
        began = self.timeline.mark(RECOVERY, words).seconds
        self._back = began if self._back is None else self._back
        return began

    def start(self, names: Sequence[str]) -> float:
        """Start hosts again.

        :returns: the moment at which they were told to, on the run's clock.
        :raises ProvisionError: some did not come up.
        """
        began = self.begin_recovery(f"start {', '.join(names)}")
        failures = self.provider.start(names, self.progress)
        if failures:
            raise ProvisionError("; ".join(f"{host} did not start again: {why}" for host, why in failures.items()))
        self._lost -= set(names)
        return began

    def watch(self, watches: Sequence[Watch], *, since: float | None = None) -> None:
        """Look until all have been seen or ran out of time; the outcome keeps how long each took.

        :param since: from when their bounds count, on the run's clock; from the power-off, where absent.
        """
        self._measured += self._watch(watches, since=self._killed if since is None else since)

    def signs_of_management(
        self, leader: str, *, since: float | None = None, within: float | None = None
    ) -> list[Watch]:
        """What shows that management is there: a leader that is not among the lost hosts, and a write accepted.

        :param leader: what the sight of the leader is called.
        :param since: the write is begun after this moment, on the run's clock; after the power-off, where absent.
        :param within: the bound of both; the engine's for a new leader, where absent.
        """
        bound = self.bounds.leader if within is None else within
        begun = self._cut if since is None else since
        return [
            Watch(leader, sights.leader(sorted(self._lost)), bound),
            Watch(FIRST_WRITE, sights.write_accepted(self._history, begun), bound),
        ]

    def measured(self, name: str) -> Measured:
        """The last measurement of that name."""
        return next(each for each in reversed(self._measured) if each.name == name)

    def hold(self, seconds: float, what: str) -> None:
        """Leave things as they are for a while."""
        self.doing(f"{what}, held for {seconds:g} s")
        time.sleep(seconds)

    def look_on(self, until: float, what: str) -> None:
        """Leave things as they are until so many seconds after the fault, and see which nodes are called Down."""
        while (left := self._killed + until - self.clock()) > 0:
            self.doing(f"{what}, for {left:.0f} s more")
            self._look(self._machines())
            time.sleep(min(left, watching.INTERVAL))

    def watch_refusal(self, name: str, hosts: Sequence[str]) -> None:
        """Ask these managers, whatever the fault has made of them, until all say that there is no leader."""
        machines = [machine for machine in self.provider.machines() if machine.name in hosts]
        refused = sights.refused(lambda: watching.refusals(machines, self._patience))
        self._measured += watching.watch(
            [Watch(name, refused, self.bounds.refusal)], lambda: NOTHING, clock=self.clock, since=self._killed,
            timeline=self.timeline, doing=self.doing,
        )  # fmt: skip

    def watch_agreement(self, name: str, *, since: float) -> None:
        """Ask all managers until they name the same leader."""
        machines = self.managers()
        agreed = sights.agreement(lambda: watching.leaders(machines, self._patience))
        self.watch([Watch(name, agreed, self.bounds.agreed)], since=since)

    def ask_survivors(self) -> None:
        """Take down how each living host answers `docker node ls`."""
        # Docker's managers answer late for up to 20 s when they have lost the leader a moment ago.
        self._refusals += watching.refusals(self.running(), timeout=25)

    def check_tasks(self, when: str) -> None:
        """Compare the containers on hosts that were never off with those before."""
        watched = [container for container in self._watched if container.host not in self._released]
        for container, words in self._interruptions(watched).items():
            self._interrupted.setdefault(container, f"{when}: {words}")

    def release_tasks(self, host: str) -> None:
        """From here on the containers of a host need not keep running, but it is noted how many did."""
        self._released.add(host)
        mine = [container for container in self._watched if container.host == host]
        kept = len(mine) - len(self._interruptions(mine))
        self.timeline.mark(f"tasks of {host}", f"{kept} of {len(mine)} kept running through the recovery")

    def _interruptions(self, watched: Sequence[Container]) -> dict[str, str]:
        hosts = {container.host for container in watched}
        machines = [machine for machine in self.running() if machine.name in hosts]
        return bystanders.interruptions(watched, bystanders.containers(machines, self._tasks, ENGINE_TIMEOUT))

    def missed(self, what: str) -> None:
        """Note an object of the cluster that is not there any more."""
        self._missing.append(what)

    def failed(self, what: str) -> None:
        """Note an act of management that did not work during the outage."""
        self._management.append(what)

    def restore(self) -> None:
        """Bring every host back and wait until the lab is as before and all tasks run.

        :raises LabUnhealthy: it does not become so.
        """
        began = self.begin_recovery("bring every host back")
        self.heal()
        self._lost.clear()
        self._silent.clear()
        swarm = healing.wait_until_healthy(self.spec, self.provider, within=self.bounds.restored, doing=self.doing)
        all_run = Watch("all tasks run", sights.tasks_running(self.replicas, ()), self.bounds.restored)
        self.timeline.mark(RESTORED, swarm.quorum.words())
        self._measured += self._watch([all_run], since=began)

    def conclude(self, scenario: str, purpose: str) -> Outcome:
        """Stop the writers, read the cluster's state from every manager, and put together what was seen."""
        end = self.clock()
        self._writers.stop()
        found = {}
        for machine in self.managers():
            with connect(machine, ENGINE_TIMEOUT) as client:
                found[machine.name] = workload.read_writes(client, [host.name for host in self.spec.managers])
        self.check_tasks("after the lab was restored")
        operations = self._history.operations()
        back = end if self._back is None else self._back
        return Outcome(
            scenario=scenario,
            purpose=purpose,
            leader=self.leader,
            victims=self._victims,
            events=self.timeline.events,
            measured=tuple(self._measured),
            refusals=tuple(self._refusals),
            accepted_in_outage=accepted_between(operations, self._cut, back),
            accepted_by_victims=accepted_between(operations, self._cut, back, by=self._victims),
            longest_gap=round(longest_gap(operations, first_accepted(operations, 0) or 0.0, end), 3),
            management=tuple(self._management),
            watched=self._watched,
            released=tuple(self._released),
            interrupted=tuple(self._interrupted.values()),
            missing=tuple(self._missing),
            called_down=tuple(CalledDown(host, round(at, 3)) for host, at in self._called_down.items()),
            verdict=judge(operations, found),
            restored=tuple(self._not_as_before()),
            history=str(self._history.path),
        )

    def _not_as_before(self) -> list[str]:
        swarm = read(self.provider.machines())
        return matches(self.spec, swarm)

    def _look(self, machines: Sequence[Machine]) -> Swarm:
        swarm = read(machines, self._patience)
        if self._victims:
            for node in swarm.nodes:
                if node.status == "down":
                    self._called_down.setdefault(node.hostname, self.clock() - self._killed)
        return swarm

    def _watch(self, watches: Sequence[Watch], *, since: float) -> list[Measured]:
        machines = self._machines()
        return watching.watch(
            watches,
            lambda: self._look(machines),
            clock=self.clock,
            since=since,
            timeline=self.timeline,
            doing=self.doing,
        )
