"""What holds in every history of a cluster, not only in those that we thought of."""

import os
from collections import Counter
from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from simulation import (
    EVERYWHERE,
    Availability,
    NodeState,
    Resources,
    RestartPolicy,
    Simulation,
    TaskState,
    at_once,
    service,
)

from swarmd.model import ContainerSpec, ResourceRequirements, RestartCondition, UpdateConfig, UpdateState
from swarmd.model.specs import ResourceObject
from swarmd.orchestrator import plan
from swarmd.scheduler import place
from swarmd.store.contract import Kind

GIB = 1 << 30

NODES = ("a", "b", "c")
SERVICES = ("web", "db", "agent")
GLOBAL = "agent"
ENDS = (TaskState.COMPLETE, TaskState.FAILED, TaskState.REJECTED, TaskState.SHUTDOWN)

policies = st.one_of(
    st.none(),
    st.builds(
        RestartPolicy,
        condition=st.sampled_from(list(RestartCondition)),
        delay=st.sampled_from([None, 0, 2_000_000_000]),
        max_attempts=st.sampled_from([0, 0, 1, 3]),
        window=st.sampled_from([0, 4_000_000_000]),
    ),
)
updates = st.one_of(
    st.none(),
    st.builds(
        UpdateConfig,
        parallelism=st.sampled_from([0, 1, 2]),
        delay=st.sampled_from([0, 3_000_000_000]),
        monitor=st.sampled_from([0, 1, 5_000_000_000]),
        failure_action=st.sampled_from(["pause", "continue"]),
        max_failure_ratio=st.sampled_from([0, 0.5]),
        order=st.sampled_from(["stop-first", "start-first"]),
    ),
)
constraints = st.sampled_from([(), (), ("node.labels.zone==east",), ("node.labels.zone!=east",)])
events = st.one_of(
    st.tuples(st.just("create"), st.sampled_from(SERVICES), st.integers(0, 5), policies, updates),
    st.tuples(st.just("scale"), st.sampled_from(SERVICES), st.integers(0, 6)),
    st.tuples(st.just("update"), st.sampled_from(SERVICES)),
    st.tuples(st.just("update"), st.sampled_from(SERVICES)),
    st.tuples(st.just("configure"), st.sampled_from(SERVICES), updates),
    st.tuples(st.just("constrain"), st.sampled_from(SERVICES), constraints),
    st.tuples(st.just("zone"), st.sampled_from(NODES), st.sampled_from(["east", "west"])),
    st.tuples(st.just("memory"), st.sampled_from(NODES), st.sampled_from([1, 2, 8])),
    st.tuples(st.just("remove"), st.sampled_from(SERVICES)),
    st.tuples(st.just("state"), st.sampled_from(NODES), st.sampled_from([NodeState.READY, NodeState.DOWN])),
    st.tuples(st.just("availability"), st.sampled_from(NODES), st.sampled_from(list(Availability))),
    st.tuples(st.just("node removed"), st.sampled_from(NODES)),
    st.tuples(st.just("silent"), st.sampled_from(NODES)),
    st.tuples(st.just("heard"), st.sampled_from(NODES)),
    st.tuples(st.just("end"), st.integers(0, 20), st.sampled_from(ENDS)),
    st.tuples(st.just("history"), st.sampled_from([-1, 0, 1, 2])),
    st.tuples(st.just("advance"), st.sampled_from([1, 5, 61, 86_400])),
    st.tuples(st.just("act")),
    st.tuples(st.just("act")),
    st.tuples(st.just("act")),
    st.tuples(st.just("half of a plan"), st.integers(0, 3)),
)


class History(Simulation):
    """Events that make no sense in their place do nothing."""

    def __init__(self):
        super().__init__()
        self._known = {}
        for name in NODES:
            self.add_node(name, resources=Resources(memory_bytes=8 * GIB))

    def play(self, kind, *details):
        getattr(self, "_play_" + kind.replace(" ", "_"))(*details)
        self.check_that_nothing_went_back()

    def _play_create(self, name, replicas, policy, update):
        if name not in self.snapshot.services:
            mode = EVERYWHERE if name == GLOBAL else None
            reserved = ResourceRequirements(reservations=ResourceObject(memory_bytes=GIB if name == "db" else 0))
            self.add_service(service(name, replicas, policy=policy, mode=mode, update=update, resources=reserved))

    def _play_scale(self, name, replicas):
        if name in self.snapshot.services and name != GLOBAL:
            self.scale(name, replicas)

    def _play_configure(self, name, update):
        if name in self.snapshot.services:
            old = self.snapshot.services[name].value
            self.put(Kind.SERVICE, name, replace(old, spec=replace(old.spec, update_config=update)))

    def _play_constrain(self, name, wanted):
        if name in self.snapshot.services:
            self.constrain(name, *wanted)

    def _play_zone(self, name, zone):
        if name in self.snapshot.nodes:
            self.label(name, zone=zone)

    def _play_memory(self, name, gibibytes):
        if name in self.snapshot.liveness:
            self.resize(name, memory_bytes=gibibytes * GIB)

    def _play_update(self, name):
        if name in self.snapshot.services:
            self.update(name, container_spec=ContainerSpec(image=f"at {self.snapshot.revision}"))

    def _play_remove(self, name):
        if name in self.snapshot.services:
            self.remove_service(name)

    def _play_state(self, name, state):
        if name in self.snapshot.nodes:
            self.set_state(name, state)

    def _play_availability(self, name, availability):
        if name in self.snapshot.nodes:
            self.set_availability(name, availability)

    def _play_node_removed(self, name):
        if name in self.snapshot.nodes:
            self.remove_node(name)

    def _play_history(self, limit):
        self.history(limit)

    def _play_silent(self, name):
        self.silent.add(name)

    def _play_heard(self, name):
        self.silent.discard(name)

    def _play_end(self, number, state):
        going = [task for task in self.tasks() if TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING]
        if going:
            self.report(going[number % len(going)], state)

    def _play_advance(self, seconds):
        self.advance(seconds)

    def _play_act(self):
        self.orchestrate_and_check()
        self.schedule_and_check()
        self.agents()

    def _play_half_of_a_plan(self, most):
        """As if the leader had died between two commits."""
        for decision in plan(self.snapshot, self.now, lambda: next(self._ids)).decisions[:most]:
            at_once(self.store.commit(decision.changes, guards=decision.guards))
        for decision in place(self.snapshot, self.now).decisions[:most]:
            at_once(self.store.commit(decision.changes, guards=decision.guards))

    def orchestrate_and_check(self):
        planned = self.orchestrate()
        again = plan(self.snapshot, self.now)
        assert again.decisions == [], f"after {planned.decisions} still {again.decisions}"
        self.check_that_no_slot_has_too_many()

    def schedule_and_check(self):
        self.schedule()
        assert place(self.snapshot, self.now).decisions == []

    def check_that_no_slot_has_too_many(self):
        """One task that is to run; or an old and a new one, while an update starts the new one first."""
        services = self.snapshot.services
        runnable = [task for task in self.tasks() if task.desired_state <= TaskState.RUNNING]
        count = Counter((task.service_id, task.slot or task.node_id) for task in runnable)
        for (name, _), most in count.items():
            config = services[name].value.spec.update_config
            assert most == 1 or (most == 2 and config is not None and config.order == "start-first")
        for task in runnable:
            if task.service_id == GLOBAL:
                assert self.snapshot.nodes[task.node_id].value.spec.availability is not Availability.DRAIN
                assert self.snapshot.liveness[task.node_id].value.state is not NodeState.DOWN

    def check_that_nothing_went_back(self):
        tasks = {task_id: entry.value for task_id, entry in self.snapshot.tasks.items()}
        for task_id, task in tasks.items():
            before = self._known.get(task_id)
            if before is not None:
                assert task.desired_state >= before.desired_state
                assert task.status.state >= before.status.state
                assert before.node_id in ("", task.node_id)
                assert (task.slot, task.spec, task.spec_version) == (before.slot, before.spec, before.spec_version)
        self._known = tasks

    def current_of(self, task):
        """The newest task of the same slot."""
        return [
            other
            for other in self.tasks(task.service_id)
            if (other.slot, other.slot or other.node_id) == (task.slot, task.slot or task.node_id)
        ][-1]

    def heal(self):
        self.silent.clear()
        for name in NODES:
            if name in self.snapshot.nodes:
                self.set_state(name, NodeState.READY)
                self.set_availability(name, Availability.ACTIVE)
            else:
                self.add_node(name)
            self.label(name, zone="east")
            self.resize(name, memory_bytes=100 * GIB)
        for name in self.snapshot.services:
            self.constrain(name)
            if (update := self.update_of(name)) and update.state is UpdateState.PAUSED:
                self.put(Kind.SERVICE, name, self.snapshot.services[name].value)
        for _ in range(70):
            self.converge()
            self.check_that_nothing_went_back()
            self.advance(1)


@st.composite
def histories(draw, most):
    """The first events give each service; what comes then is left to chance."""
    created = [("create", name, draw(st.integers(0, 5)), draw(policies), draw(updates)) for name in SERVICES]
    return [*created, ("act",), *draw(st.lists(events, max_size=most))]


EXAMPLES = int(os.environ.get("SWARMD_EXAMPLES", "100"))
"""More are worth a try by hand after a change of the rules; in the suite they are the same ones each time."""
same_each_time = settings(
    max_examples=EXAMPLES,
    derandomize=EXAMPLES == 100,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@same_each_time
@given(histories(25))
def test_all_histories_end_well(story):
    """States only advance, a plan that is applied leaves nothing to plan, in the end each service has what it wants."""
    history = History()
    for event in story:
        history.play(*event)
    history.heal()

    runnable = [task for task in history.tasks() if task.desired_state <= TaskState.RUNNING]
    most = Counter((task.service_id, task.slot or task.node_id) for task in runnable)
    assert all(count == 1 for count in most.values())
    assert all(task.status.state is TaskState.RUNNING for task in runnable)
    for name, entry in history.snapshot.services.items():
        slots = {task.slot or task.node_id for task in history.tasks(name)}
        assert slots == set(NODES) if name == GLOBAL else len(slots) == entry.value.spec.replicas
        for task in runnable:
            if task.service_id == name and task.spec_version != entry.value.spec_version:
                # Started first, a new task has ended for good: the old one was kept.
                assert history.current_of(task).spec_version == entry.value.spec_version
                assert history.current_of(task).desired_state is TaskState.SHUTDOWN
        update = history.update_of(name)
        assert update is None or update.state is not UpdateState.UPDATING
    assert {task.service_id for task in history.tasks()} <= history.snapshot.services.keys()
    assert history.snapshot.updates.keys() <= history.snapshot.services.keys()


@same_each_time
@given(histories(15))
def test_a_plan_wakes_when_there_is_something_to_do_and_not_before(story):
    history = History()
    for event in story:
        history.play(*event)
    history.orchestrate()
    wake_at = plan(history.snapshot, history.now).wake_at
    if wake_at is None:
        assert plan(history.snapshot, history.now + timedelta(days=365)).decisions == []
    else:
        assert plan(history.snapshot, wake_at - timedelta(milliseconds=1)).decisions == []
        assert plan(history.snapshot, wake_at).decisions != []
