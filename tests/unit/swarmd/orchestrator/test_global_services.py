"""Which nodes have a task of a global service; the story is in tests/scenarios/global.txt."""

import pytest
from simulation import EVERYWHERE, Availability, NodeState, RestartPolicy, Simulation, TaskState, service

from swarmd.model import Placement, RestartCondition


@pytest.fixture
def cluster():
    cluster = Simulation()
    for name in ("a", "b", "c"):
        cluster.add_node(name)
    return cluster


def create(cluster, **given):
    cluster.add_service(service("web", mode=EVERYWHERE, **given))
    cluster.converge()


def where(cluster, most=TaskState.RUNNING):
    return sorted(task.node_id for task in cluster.tasks("web") if task.desired_state <= most)


def test_each_node_has_one_from_the_beginning(cluster):
    cluster.add_service(service("web", mode=EVERYWHERE))
    cluster.orchestrate()
    assert [(task.node_id, task.slot, task.status.state) for task in cluster.tasks("web")] == [
        ("a", 0, TaskState.PENDING),
        ("b", 0, TaskState.PENDING),
        ("c", 0, TaskState.PENDING),
    ]


def test_nodes_that_do_not_fit_have_none(cluster):
    cluster.label("a", zone="east")
    cluster.set_availability("b", Availability.PAUSE)
    create(cluster, placement=Placement(constraints=["node.labels.zone!=east"]))
    assert where(cluster) == ["c"]


def test_a_node_that_is_unknown_has_one_and_one_that_is_down_has_none(cluster):
    cluster.set_state("a", NodeState.UNKNOWN)
    cluster.set_state("b", NodeState.DOWN)
    create(cluster)
    assert where(cluster) == ["a", "c"]
    assert cluster.on("a", "web").status.err == "1 node not available for new tasks"


def test_a_task_that_waits_on_a_node_which_does_not_fit_any_more_is_given_up(cluster):
    cluster.set_state("a", NodeState.UNKNOWN)
    create(cluster, placement=Placement(constraints=["node.labels.zone!=east"]))
    cluster.label("a", zone="east")
    cluster.converge()
    assert where(cluster) == ["b", "c"]


def test_a_removed_nodes_history_goes_with_it(cluster):
    create(cluster)
    cluster.remove_node("b")
    cluster.converge()
    assert [task.node_id for task in cluster.tasks("web")] == ["a", "c"]


def test_a_node_that_fits_again_gets_one_again(cluster):
    cluster.label("a", zone="east")
    create(cluster, placement=Placement(constraints=["node.labels.zone==east"]))
    cluster.label("a", zone="west")
    cluster.converge()
    assert where(cluster) == []
    cluster.label("a", zone="east")
    cluster.converge()
    assert where(cluster) == ["a"]


@pytest.mark.parametrize(
    ("policy", "end", "again"),
    [
        (RestartPolicy(condition=RestartCondition.NONE), TaskState.FAILED, False),
        (RestartPolicy(condition=RestartCondition.ON_FAILURE), TaskState.COMPLETE, False),
        (RestartPolicy(condition=RestartCondition.ON_FAILURE, delay=0), TaskState.FAILED, True),
        (RestartPolicy(delay=0), TaskState.COMPLETE, True),
    ],
)
def test_a_task_that_has_ended_comes_again_on_its_node_if_the_policy_wants_it(cluster, policy, end, again):
    create(cluster, policy=policy)
    cluster.report(cluster.on("b", "web"), end)
    cluster.converge()
    assert where(cluster) == (["a", "b", "c"] if again else ["a", "c"])


def test_a_node_that_was_drained_has_used_up_no_attempt(cluster):
    create(cluster, policy=RestartPolicy(max_attempts=1))
    for _ in range(3):
        cluster.set_availability("a", Availability.DRAIN)
        cluster.converge()
        cluster.set_availability("a", Availability.ACTIVE)
        cluster.converge()
    assert where(cluster) == ["a", "b", "c"]


def test_the_last_attempt_is_the_last(cluster):
    create(cluster, policy=RestartPolicy(max_attempts=1, delay=0))
    for _ in range(2):
        cluster.report(cluster.on("a", "web"), TaskState.FAILED)
        cluster.converge()
    assert where(cluster) == ["b", "c"]


def test_with_the_condition_none_a_drained_node_gets_none_when_it_is_back(cluster):
    create(cluster, policy=RestartPolicy(condition=RestartCondition.NONE))
    cluster.set_availability("a", Availability.DRAIN)
    cluster.converge()
    cluster.set_availability("a", Availability.ACTIVE)
    cluster.converge()
    assert where(cluster) == ["b", "c"]


def test_users_constraints_hold_on_a_paused_node_too(cluster):
    create(cluster)
    cluster.set_availability("a", Availability.PAUSE)
    cluster.constrain("web", "node.id!=a")
    cluster.converge()
    assert where(cluster) == ["b", "c"]


def test_a_removed_service_leaves_nothing(cluster):
    create(cluster)
    cluster.remove_service("web")
    cluster.converge()
    assert cluster.tasks() == []
