"""A cluster whose time, agents and users are played by the test; the store and the planners are the real ones."""

import itertools
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from swarmd.model import (
    Availability,
    Cluster,
    ContainerSpec,
    GlobalMode,
    Node,
    NodeDescription,
    NodeLiveness,
    NodeRole,
    NodeSpec,
    NodeState,
    OrchestrationConfig,
    Placement,
    Platform,
    ReplicatedMode,
    Resources,
    RestartPolicy,
    Service,
    ServiceMode,
    ServiceSpec,
    ServiceUpdate,
    SwarmSpec,
    Task,
    TaskSpec,
    TaskState,
    TaskStatus,
)
from swarmd.orchestrator import plan
from swarmd.scheduler import place
from swarmd.store.contract import Delete, Kind, Put, Snapshot
from swarmd.store.memory import MemoryStore

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
GOES_ON = (TaskState.ACCEPTED, TaskState.PREPARING, TaskState.READY, TaskState.STARTING, TaskState.RUNNING)


def node(name, **description):
    spec = NodeSpec()
    liveness = NodeLiveness(
        NodeState.READY, address="10.0.0.1", description=NodeDescription(hostname=name, **description), since=START
    )
    return Node(name, spec, NodeRole.WORKER, START, START), liveness


EVERYWHERE = ServiceMode(global_mode=GlobalMode())


def service(name, replicas=1, *, version=1, policy=None, mode=None, update=None, **task):
    spec = ServiceSpec(
        name=name,
        task_template=TaskSpec(container_spec=ContainerSpec(image="img"), restart_policy=policy, **task),
        mode=mode or ServiceMode(ReplicatedMode(replicas)),
        update_config=update,
    )
    return Service(name, spec, version, START, START)


class Simulation:
    """Ids are t1, t2, …; ``now`` moves only by ``advance``."""

    def __init__(self):
        self.store = MemoryStore()
        self.now = START
        self.silent = set()
        """Nodes whose agents report nothing."""
        self._ids = (f"t{number}" for number in itertools.count(1))
        self.history(5)

    # What users do

    def history(self, limit):
        spec = SwarmSpec(orchestration=OrchestrationConfig(task_history_retention_limit=limit))
        self.put(Kind.CLUSTER, "c", Cluster("c", spec, START, START, "", "", ""))

    def add_node(self, name, **description):
        member, liveness = node(name, **description)
        self._commit([Put(Kind.NODE, name, member), Put(Kind.LIVENESS, name, liveness)])

    def set_state(self, name, state):
        liveness = self.snapshot.liveness[name].value
        self.put(Kind.LIVENESS, name, replace(liveness, state=state, since=self.now))

    def set_availability(self, name, availability):
        member = self.snapshot.nodes[name].value
        self.put(Kind.NODE, name, replace(member, spec=replace(member.spec, availability=availability)))

    def label(self, name, **labels):
        member = self.snapshot.nodes[name].value
        self.put(Kind.NODE, name, replace(member, spec=replace(member.spec, labels=labels)))

    def resize(self, name, **resources):
        liveness = self.snapshot.liveness[name].value
        described = liveness.description
        described = replace(described, resources=replace(described.resources, **resources))
        self.put(Kind.LIVENESS, name, replace(liveness, description=described))

    def remove_node(self, name):
        self._commit([Delete(Kind.NODE, name), Delete(Kind.LIVENESS, name)])

    def forget_liveness(self, name):
        self._commit([Delete(Kind.LIVENESS, name)])

    def add_service(self, new):
        self.put(Kind.SERVICE, new.id, new)

    def scale(self, name, replicas):
        old = self.snapshot.services[name].value
        spec = replace(old.spec, mode=ServiceMode(ReplicatedMode(replicas)))
        self.put(Kind.SERVICE, name, replace(old, spec=spec))

    def update(self, name, **task):
        old = self.snapshot.services[name].value
        spec = replace(old.spec, task_template=replace(old.spec.task_template, **task))
        self.put(Kind.SERVICE, name, replace(old, spec=spec, spec_version=old.spec_version + 1))

    def constrain(self, name, *constraints):
        """Nothing but the placement changes, which makes no new version of what tasks are made of."""
        old = self.snapshot.services[name].value
        template = replace(old.spec.task_template, placement=Placement(constraints=list(constraints)))
        self.put(Kind.SERVICE, name, replace(old, spec=replace(old.spec, task_template=template)))

    def remove_service(self, name):
        self._commit([Delete(Kind.SERVICE, name), Delete(Kind.UPDATE, name)])

    # What agents do

    def report(self, task, state, err="", message=""):
        assert state > self.snapshot.tasks[task.id].value.status.state, "a state never goes back"
        status = TaskStatus(timestamp=self.now, state=state, message=message, err=err)
        task = self.snapshot.tasks[task.id].value
        ran_at = self.now if state is TaskState.RUNNING else task.ran_at
        self.put(Kind.TASK, task.id, replace(task, status=status, ran_at=ran_at, updated_at=self.now))

    def agents(self):
        """Agents that can be heard bring their tasks to what is wanted; what is to stop stops at once."""
        for task in self.tasks():
            if self._is_deaf(task):
                continue
            wanted, state = task.desired_state, task.status.state
            if wanted > TaskState.RUNNING:
                self.report(task, TaskState.SHUTDOWN)
            elif state < wanted:
                self.report(task, wanted)

    def _is_deaf(self, task):
        member, seen = self.snapshot.nodes.get(task.node_id), self.snapshot.liveness.get(task.node_id)
        return (
            member is None
            or seen.value.state is NodeState.DOWN
            or task.node_id in self.silent
            or task.status.state.is_final
            or task.status.state < TaskState.ASSIGNED
        )

    # What the leader does

    def orchestrate(self):
        """Returns what was planned; it is applied."""
        planned = plan(self.snapshot, self.now, lambda: next(self._ids))
        self._apply(planned)
        return planned

    def schedule(self):
        planned = place(self.snapshot, self.now)
        self._apply(planned)
        return planned

    def converge(self, within=200):
        """Until neither planner nor agent has anything to do at this moment."""
        for _ in range(within):
            before = self.snapshot.revision
            self.orchestrate()
            self.schedule()
            self.agents()
            if self.snapshot.revision == before:
                return
        raise AssertionError(f"still changing after {within} rounds")

    def advance(self, seconds):
        self.now += timedelta(seconds=seconds)

    # What is there

    @property
    def snapshot(self) -> Snapshot:
        return self.store.snapshot()

    def tasks(self, service_id=None, slot=None) -> list[Task]:
        """Oldest first."""
        entries = sorted(self.snapshot.tasks.values(), key=lambda entry: (entry.created, entry.value.slot))
        return [
            entry.value
            for entry in entries
            if service_id in (None, entry.value.service_id) and slot in (None, entry.value.slot)
        ]

    def current(self, service_id, slot=1) -> Task:
        """The slot's newest."""
        return self.tasks(service_id, slot)[-1]

    def on(self, node_id, service_id) -> Task:
        """A global service's newest on the node."""
        return [task for task in self.tasks(service_id) if task.node_id == node_id][-1]

    def update_of(self, name) -> ServiceUpdate | None:
        return self.snapshot.update_of(self.snapshot.services[name])

    def put(self, kind, key, value):
        self._commit([Put(kind, key, value)])

    def _apply(self, planned):
        for decision in planned.decisions:
            self._commit(decision.changes, decision.guards)

    def _commit(self, changes, guards=()):
        at_once(self.store.commit(changes, guards=guards))


def at_once(coroutine: Coroutine):
    """What a coroutine returns that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


__all__ = [
    "EVERYWHERE",
    "START",
    "Availability",
    "NodeState",
    "Platform",
    "Resources",
    "RestartPolicy",
    "Simulation",
    "TaskState",
    "at_once",
    "node",
    "service",
]
