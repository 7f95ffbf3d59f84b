"""Stories about a cluster, told in text files: tests/scenarios/*.txt.

A block is some commands, a line ``----``, and what they print. ``pytest --rewrite`` writes what they print now; the
difference is then to be read. Time moves only by ``run``, in steps of a second; each second the orchestrator, the
scheduler and all agents act until nothing is left to do.

    node a [cpus=2] [memory=512M] [arch=aarch64]        node a down | unknown | ready | drain | pause | active | removed
    node a silent | heard                               its agent reports nothing, while the node seems fine
    node a zone=east                                    a label
    node a memory=256M                                  less of it, or more
    history 3                                           kept tasks of a slot
    service web replicas=3 [condition=on-failure] [delay=5] [attempts=2] [window=60] [constraint=node.labels.zone==east]
                [max=1] [cpus=1] [memory=256M] [platform=arm64]
                [parallelism=2] [pace=10] [monitor=5] [order=start-first] [action=continue] [ratio=0.5]
    service web global …                                pace is the delay between two slots of an update
    scale web 5        update web image=other           remove web        constrain web node.labels.zone==east
    task web.1 failed | complete | … [words]            what the agent reports of the slot's newest task
    task web.a failed | complete | … [words]            the same of a global service's on a node
    task t1 failed | complete | … [words]               the same of a task
    run 5              later 86400                      ps [web]          status web

``later`` lets time go by with nobody acting, as if the leader had slept; at its end they act.
"""

import re
import shlex
from datetime import timedelta
from pathlib import Path

import pytest
from simulation import (
    EVERYWHERE,
    START,
    Availability,
    NodeState,
    Platform,
    Resources,
    RestartPolicy,
    Simulation,
    TaskState,
    service,
)

from swarmd.model import ContainerSpec, Placement, ResourceRequirements, RestartCondition, UpdateConfig
from swarmd.model.specs import ResourceObject

SCENARIOS = Path(__file__).parents[3] / "scenarios"
SECOND = 1_000_000_000
SIZES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class Story:
    def __init__(self):
        self._cluster = Simulation()

    def tell(self, command):
        verb, *words = shlex.split(command)
        return getattr(self, f"_{verb}")(*words) or []

    def _history(self, limit):
        self._cluster.history(int(limit))

    def _node(self, name, *words):
        cluster, options = self._cluster, dict(word.split("=", 1) for word in words if "=" in word)
        if name not in cluster.snapshot.nodes:
            resources = Resources(nano_cpus=int(options.get("cpus", 4)) * SECOND, memory_bytes=_size(options, "8G"))
            cluster.add_node(name, resources=resources, platform=Platform(options.get("arch", "x86_64"), "linux"))
            return
        if "cpus" in options:
            cluster.resize(name, nano_cpus=int(options.pop("cpus")) * SECOND)
        if "memory" in options:
            cluster.resize(name, memory_bytes=_size(options, ""))
            del options["memory"]
        if options:
            cluster.label(name, **options)
        for word in words:
            if word in list(NodeState):
                cluster.set_state(name, NodeState(word))
            elif word in list(Availability):
                cluster.set_availability(name, Availability(word))
            elif word == "removed":
                cluster.remove_node(name)
            elif word == "silent":
                cluster.silent.add(name)
            elif word == "heard":
                cluster.silent.remove(name)

    def _service(self, name, *words):
        options = dict(word.split("=", 1) for word in words if "=" in word)
        policy = None
        if {"condition", "delay", "attempts", "window"} & options.keys():
            policy = RestartPolicy(
                condition=RestartCondition(options.get("condition", "any")),
                delay=int(options["delay"]) * SECOND if "delay" in options else None,
                max_attempts=int(options.get("attempts", 0)),
                window=int(options.get("window", 0)) * SECOND,
            )
        reserved = ResourceObject(nano_cpus=int(options.get("cpus", 0)) * SECOND, memory_bytes=_size(options, "0M"))
        placement = Placement(
            constraints=[options["constraint"]] if "constraint" in options else [],
            max_replicas=int(options.get("max", 0)),
            platforms=[Platform(options["platform"], "linux")] if "platform" in options else [],
        )
        new = service(
            name,
            int(options.get("replicas", 1)),
            policy=policy,
            placement=placement,
            resources=ResourceRequirements(reservations=reserved),
            mode=EVERYWHERE if "global" in words else None,
            update=UpdateConfig(
                parallelism=int(options.get("parallelism", 1)),
                delay=int(options.get("pace", 0)) * SECOND,
                monitor=int(options.get("monitor", 5)) * SECOND,
                order=options.get("order", "stop-first"),
                failure_action=options.get("action", "pause"),
                max_failure_ratio=float(options.get("ratio", 0)),
            ),
        )
        self._cluster.add_service(new)

    def _constrain(self, name, *constraints):
        self._cluster.constrain(name, *constraints)

    def _scale(self, name, replicas):
        self._cluster.scale(name, int(replicas))

    def _update(self, name, word):
        _, image = word.split("=")
        self._cluster.update(name, container_spec=ContainerSpec(image=image))

    def _remove(self, name):
        self._cluster.remove_service(name)

    def _task(self, name, state, *words):
        service_id, _, slot = name.partition(".")
        if not slot:
            task = self._cluster.snapshot.tasks[name].value
        elif slot.isdigit():
            task = self._cluster.current(service_id, int(slot))
        else:
            task = self._cluster.on(slot, service_id)
        self._cluster.report(task, TaskState.of(state), err=" ".join(words))

    def _run(self, seconds):
        said = []
        for second in range(int(seconds) + 1):
            if second:
                self._cluster.advance(1)
            said += [f"{second} s: {sentence}" for sentence in self._settle()]
        return said

    def _later(self, seconds):
        self._cluster.advance(int(seconds))
        return self._run(0)

    def _settle(self):
        cluster, said = self._cluster, []
        for _ in range(100):
            before = cluster.snapshot.revision
            for plan in (cluster.orchestrate(), cluster.schedule()):
                said += [decision.why for decision in plan.decisions]
            cluster.agents()
            if cluster.snapshot.revision == before:
                return [f"{why} ({said.count(why)})" for why in dict.fromkeys(said)]
        raise AssertionError("still changing")

    def _ps(self, service_id=None):
        tasks = self._cluster.tasks(service_id)
        for task in sorted(tasks, key=lambda task: (task.service_id, task.slot, "" if task.slot else task.node_id)):
            version = f"v{task.spec_version}" if task.spec_version > 1 else ""
            parts = [
                f"{task.service_name}.{task.slot or task.node_id}",
                task.id,
                f"on {task.node_id or '-'}",
                task.status.state.word,
                f"(wanted: {task.desired_state.word}{self._delay(task)})",
                version,
                task.status.err and f"err: {task.status.err}",
            ]
            yield " ".join(part for part in parts if part)

    def _status(self, name):
        update = self._cluster.update_of(name)
        if update is None:
            return [f"{name}: no update"]
        began = (update.started_at - START).total_seconds()
        took = (update.completed_at or update.started_at) - update.started_at
        ended = f", took {took.total_seconds():.0f} s" if update.completed_at else ""
        return [f"{name}: {update.state}, began at {began:.0f} s{ended}: {update.message}"]

    def _delay(self, task):
        if task.desired_state is not TaskState.READY or task.run_at is None:
            return ""
        return f" for {(task.run_at - self._cluster.now) / timedelta(seconds=1):.0f} s"


def _size(options, default):
    number, unit = re.fullmatch(r"(\d+)([KMG])", options.get("memory", default)).groups()
    return int(number) * SIZES[unit]


def _play(text):
    """The file as it would be if all that it expects were true."""
    story, told = Story(), []
    for block in text.strip("\n").split("\n\n"):
        lines = block.splitlines()
        commands = lines[: lines.index("----")] if "----" in lines else lines
        printed = [said for line in commands if not line.startswith("#") for said in story.tell(line)]
        told.append("\n".join([*commands, "----", *printed] if "----" in lines else commands))
    return "\n\n".join(told) + "\n"


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.txt")), ids=lambda path: path.stem)
def test_scenario(path, request):
    written = path.read_text()
    told = _play(written)
    if request.config.getoption("rewrite"):
        path.write_text(told)
    else:
        assert told == written


def test_there_are_scenarios():
    assert list(SCENARIOS.glob("*.txt"))
