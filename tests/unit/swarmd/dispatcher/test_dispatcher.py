"""Sessions between a leader and its agents, over real connections."""

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest
from leader_and_agents import MANAGERS, Leader, a_cluster, a_node, a_task

from swarmd import wire
from swarmd.dispatcher.judge import HEARTBEAT_FAILURE, HEARTBEAT_FAILURE_UNKNOWN, NO_ANSWER, Signal
from swarmd.dispatcher.session import Farewell
from swarmd.model import (
    ContainerSpec,
    ManagerMember,
    NodeDescription,
    NodeLiveness,
    NodeRole,
    NodeState,
    TaskSpec,
    TaskState,
    TaskStatus,
)
from swarmd.store import Delete, Kind, Put


def status(state, **given):
    return TaskStatus(datetime(2026, 1, 2, tzinfo=UTC), state, **given)


# Opening.


async def test_a_node_that_registers_is_ready_and_told_what_to_run(leader):
    await leader.put(a_task("t1"), a_task("t2", "n2"), a_task("t3", state=TaskState.PENDING))
    agent = await leader.agent()
    welcome, assignments = await agent.registers("host1")
    assert (welcome.managers, welcome.role) == (MANAGERS, "worker")
    assert assignments == wire.Assignments(complete=True, tasks=[a_task("t1")])
    liveness = leader.store.snapshot().liveness["n1"].value
    assert (liveness.state, liveness.message) == (NodeState.READY, "")
    assert (liveness.address, liveness.description.hostname) == ("127.0.0.1", "host1")


async def test_no_node_is_welcome_before_the_store_knows_of_it(leader):
    leader.store.commits.clear()
    leader.store.knocked.clear()
    agent = await leader.agent()
    async with asyncio.TaskGroup() as group:
        registering = group.create_task(agent.registers())
        await leader.store.knocked.wait()
        for _ in range(200):
            await asyncio.sleep(0)
        assert not registering.done()
        assert not leader.store.snapshot().liveness
        leader.store.commits.set()


async def test_the_complete_assignment_holds_what_the_dispatcher_has_not_heard_of_yet(leader):
    """From an older one the node would conclude that its tasks are to be removed."""
    leader.store.news.clear()
    await leader.put(a_task("t1"))
    _, assignments = await (await leader.agent()).registers()
    assert assignments.tasks == [a_task("t1")]


async def test_a_managers_address_is_the_one_it_advertises(leader):
    """The leader's own agent comes from loopback."""
    member = ManagerMember("192.168.56.10:2377", "https://192.168.56.10:2380", 1)
    await leader.put(msgspec.structs.replace(a_node("n1"), manager=member))
    await (await leader.agent()).registers()
    assert (await leader.liveness("n1", NodeState.READY)).address == "192.168.56.10"


async def test_a_node_that_is_not_in_the_cluster_is_sent_away(leader):
    agent = await leader.agent("stranger")
    await agent.say(wire.Hello(NodeDescription()))
    assert await agent.is_sent_away() == (Farewell.REMOVED, "node stranger is not part of the swarm")
    assert "stranger" not in leader.store.snapshot().liveness


async def test_a_newer_session_of_a_node_ends_the_older(leader):
    older, newer = await leader.agent(), await leader.agent()
    first, _ = await older.registers()
    second, _ = await newer.registers()
    assert first.session_id != second.session_id
    assert (await older.is_sent_away())[0] == Farewell.REPLACED
    await newer.say(wire.Heartbeat())
    assert await newer.hears(wire.Beat)


async def test_who_registers_again_and_again_is_refused_for_a_while(leader):
    for _ in range(3):
        await (await leader.agent()).registers()
    refused = await leader.agent()
    await refused.say(wire.Hello(NodeDescription()))
    assert await refused.is_sent_away() == (
        Farewell.TOO_OFTEN,
        "node n1 exceeded rate limit count of registrations",
    )
    await (await leader.agent("n2")).registers()
    leader.clock.now += 8.1
    await (await leader.agent()).registers()


@pytest.mark.parametrize("first", [wire.encode(wire.Heartbeat()), "{}", "hello", "[1", '{"type":"Hello"}', "\0"])
async def test_a_session_begins_with_hello_and_nothing_else(leader, first):
    agent = await leader.agent()
    await agent.socket.send_str(first)
    assert (await agent.is_sent_away())[0] == Farewell.MALFORMED


async def test_bytes_are_no_messages(leader):
    agent = await leader.agent()
    await agent.registers()
    await agent.socket.send_bytes(b"x")
    assert (await agent.is_sent_away())[0] == Farewell.MALFORMED


# Assignments.


async def test_what_changes_is_told_and_what_the_node_said_itself_is_not(leader):
    agent = await leader.agent()
    await agent.registers()
    await leader.put(a_task("t1"))
    assert (await agent.hears()).tasks == [a_task("t1")]

    running = msgspec.structs.replace(a_task("t1"), status=status(TaskState.RUNNING))
    await leader.put(running)
    stopping = msgspec.structs.replace(running, desired_state=TaskState.SHUTDOWN)
    await leader.put(stopping, a_task("other", "n2"))
    assert await agent.hears() == wire.Assignments(complete=False, tasks=[stopping])

    await leader.store.commit([Delete(Kind.TASK, "t1")])
    assert await agent.hears() == wire.Assignments(complete=False, tasks=[], removed=["t1"])


async def test_a_node_with_thousands_of_tasks_has_a_session_like_others(leader):
    """All of them, in one frame, would be more than an agent takes in."""
    big = TaskSpec(container_spec=ContainerSpec(env=["x" * 1000]))
    tasks = {f"t{n}": msgspec.structs.replace(a_task(f"t{n}"), spec=big) for n in range(6000)}
    for start in range(0, 6000, 500):
        await leader.put(*list(tasks.values())[start : start + 500])
    agent = await leader.agent()
    await agent.say(wire.Hello(NodeDescription()))
    assert isinstance(await agent.hears(), wire.Welcome)
    parts = [await agent.hears(wire.Assignments)]
    while not parts[-1].complete:
        parts.append(await agent.hears(wire.Assignments))
    assert len(parts) > 4
    assert {task.id for part in parts for task in part.tasks} == tasks.keys()
    assert {*parts[-1].known, *(task.id for task in parts[-1].tasks)} == tasks.keys()
    await leader.store.commit([Delete(Kind.TASK, "t0")])
    assert (await agent.hears(wire.Assignments)).removed == ["t0"]


async def test_a_heartbeat_is_answered_between_two_parts(leader):
    """There are 40 MB of them, more than the buffers of a connection take."""
    big = TaskSpec(container_spec=ContainerSpec(env=["x" * 500_000]))
    await leader.put(*(msgspec.structs.replace(a_task(f"t{n}"), spec=big) for n in range(80)))
    agent = await leader.agent()
    _, part = await agent.registers()
    await agent.say(wire.Heartbeat())
    while isinstance(message := await agent.hears(), wire.Assignments):
        part = message
    assert isinstance(message, wire.Beat)
    assert not part.complete


async def test_nothing_is_missed_between_the_complete_assignment_and_the_changes(leader):
    await leader.put(*(a_task(f"t{n}") for n in range(20)))
    agent = await leader.agent()

    async def more():
        for n in range(20, 120):
            await leader.put(a_task(f"t{n}"))
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(more())
        _, complete = await agent.registers()
        known = {task.id for task in complete.tasks}
        while len(known) < 120:
            known |= {task.id for task in (await agent.hears(wire.Assignments)).tasks}


# Reports.


async def test_a_report_is_stored_before_it_is_acknowledged(leader):
    await leader.put(a_task("t1"))
    agent = await leader.agent()
    await agent.registers()
    await agent.say(wire.Report(7, {"t1": status(TaskState.RUNNING, message="started")}))
    assert await agent.hears(wire.Reported) == wire.Reported(7)
    assert leader.store.snapshot().tasks["t1"].value.status == status(TaskState.RUNNING, message="started")


async def test_reports_of_what_is_not_the_nodes_are_acknowledged_and_ignored(leader):
    await leader.put(a_task("t1", "n2"))
    agent = await leader.agent()
    await agent.registers()
    await agent.say(wire.Report(1, {"t1": status(TaskState.FAILED), "gone": status(TaskState.RUNNING)}))
    assert await agent.hears(wire.Reported) == wire.Reported(1)
    assert leader.store.snapshot().tasks["t1"].value == a_task("t1", "n2")


async def test_a_description_that_changed_is_stored(leader):
    agent = await leader.agent()
    await agent.registers("old")
    await agent.say(wire.Described(NodeDescription(hostname="new")))
    snapshot = await leader.becomes(lambda s: s.liveness["n1"].value.description.hostname == "new")
    assert snapshot.liveness["n1"].value.address == "127.0.0.1"


# Changes of the cluster.


async def test_a_node_hears_of_its_new_role_and_of_new_managers(leader):
    """Of the role once it is decided, not when it is asked for."""
    agent = await leader.agent()
    await agent.registers()
    await leader.put(a_node("n1", wanted="manager"))
    await leader.put(a_node("n1", NodeRole.MANAGER, "manager"))
    assert await agent.hears() == wire.ClusterChanged(MANAGERS, "manager")
    leader.managers = [*MANAGERS, wire.Manager("m2", "10.0.0.2:2377")]
    await leader.put(a_node("n3"))
    assert await agent.hears() == wire.ClusterChanged(leader.managers, "manager")


async def test_a_removed_nodes_session_is_closed_at_once(leader):
    agent = await leader.agent()
    await agent.registers()
    await leader.store.commit([Delete(Kind.NODE, "n1"), Delete(Kind.LIVENESS, "n1")])
    assert await agent.is_sent_away() == (Farewell.REMOVED, "node n1 was removed from the swarm")
    leader.clock.now += 0.2
    assert "n1" not in leader.store.snapshot().liveness


async def test_a_leader_that_is_deposed_ends_and_says_so(leader):
    await leader.put(a_task("t1"))
    agent = await leader.agent()
    await agent.registers()
    leader.store.lead()
    await agent.say(wire.Report(1, {"t1": status(TaskState.RUNNING)}))
    assert await agent.hears(wire.Elsewhere) == wire.Elsewhere(MANAGERS)
    assert (await agent.is_sent_away())[0] == Farewell.NOT_LEADING
    async with asyncio.timeout(5):
        await leader.running
    late = await leader.agent("n2")
    await late.say(wire.Hello(NodeDescription()))
    assert await late.hears() == wire.Elsewhere(MANAGERS)


async def test_a_leader_that_is_deposed_while_a_node_registers_says_so_too(leader):
    leader.store.commits.clear()
    leader.store.knocked.clear()
    agent = await leader.agent()
    await agent.say(wire.Hello(NodeDescription()))
    await leader.store.knocked.wait()
    leader.store.lead()
    leader.store.commits.set()
    assert await agent.hears() == wire.Elsewhere(MANAGERS)


# Heartbeats.


async def test_heartbeats_are_answered_with_the_period_varied_by_a_tenth(leader):
    agent = await leader.agent()
    await agent.registers()
    periods = []
    for _ in range(30):
        await agent.say(wire.Heartbeat())
        periods.append((await agent.hears(wire.Beat)).period)
    assert all(4_500_000_000 <= period <= 5_500_000_000 for period in periods)
    assert len(set(periods)) > 1


async def test_a_new_period_holds_from_the_next_heartbeat_on(leader):
    agent = await leader.agent()
    await agent.registers()
    await leader.put(a_cluster(heartbeat_period=20_000_000_000))
    await agent.say(wire.Heartbeat())
    assert 18_000_000_000 <= (await agent.hears(wire.Beat)).period <= 22_000_000_000


async def time_passes(leader, seconds):
    """In steps that the judge takes for time that it was awake, while others run."""

    for _ in range(int(seconds / 0.5)):
        leader.clock.now += 0.5
        leader.dispatcher.look()
        await asyncio.sleep(0)


async def test_a_node_that_falls_silent_is_down_its_session_closed_and_ready_when_it_returns(leader):
    agent = await leader.agent()
    await agent.registers()
    await time_passes(leader, 17)
    down = await leader.liveness("n1", NodeState.DOWN)
    assert (down.message, down.address, down.description.hostname) == (HEARTBEAT_FAILURE, "127.0.0.1", "host1")
    assert (await agent.is_sent_away()) == (Farewell.DOWN, HEARTBEAT_FAILURE)
    await (await leader.agent()).registers()
    assert (await leader.liveness("n1", NodeState.READY)).message == ""


async def test_a_machine_that_lost_its_power_is_down_before_its_heartbeats_are_missed(leader):
    agent = await leader.agent()
    await agent.registers()
    for lost in range(8):
        leader.signals = {"127.0.0.1": Signal(answers=50, losses=lost, silent=lost * 0.5)}
        await time_passes(leader, 0.5)
    assert (await leader.liveness("n1", NodeState.DOWN)).message == NO_ANSWER


async def test_after_a_change_of_leader_nodes_are_unknown_until_they_come_or_their_grace_ends():
    leader = Leader()
    await leader.put(a_cluster(), a_node("n1"), a_node("n2"), a_node("n3"), a_node("n4"))
    for node_id, state in {"n1": NodeState.READY, "n2": NodeState.READY, "n3": NodeState.DOWN}.items():
        await leader.store.commit([Put(Kind.LIVENESS, node_id, NodeLiveness(state, "", f"10.0.0.{node_id[1]}"))])
    async with leader.leads():
        unknown = await leader.liveness("n1", NodeState.UNKNOWN)
        assert unknown.message == 'Node moved to "unknown" state due to leadership change in cluster'
        assert unknown.address == "10.0.0.1"
        await (await leader.agent("n1")).registers()
        await leader.liveness("n1", NodeState.READY)
        await leader.liveness("n2", NodeState.UNKNOWN)
        assert leader.store.snapshot().liveness["n3"].value == NodeLiveness(NodeState.DOWN, "", "10.0.0.3")
        await time_passes(leader, 31)
        assert (await leader.liveness("n2", NodeState.DOWN)).message == HEARTBEAT_FAILURE_UNKNOWN
        assert (await leader.liveness("n4", NodeState.DOWN)).message == HEARTBEAT_FAILURE_UNKNOWN


@pytest.fixture
async def succeeding():
    """A leader that is to take over three nodes that were Ready."""
    leader = Leader()
    for number in (1, 2, 3):
        await leader.put(a_node(f"n{number}"))
        ready = NodeLiveness(NodeState.READY, "", f"10.0.0.{number}")
        await leader.store.commit([Put(Kind.LIVENESS, f"n{number}", ready)])
    return leader


async def test_nodes_whose_machines_answer_stay_ready_while_leadership_changes(succeeding):
    succeeding.answering = {"10.0.0.1"}
    async with succeeding.leads():
        await succeeding.liveness("n2", NodeState.UNKNOWN)
        assert succeeding.state("n1") is NodeState.READY


async def test_the_predecessors_node_is_unknown_although_its_machine_answers(succeeding):
    succeeding.predecessor, succeeding.answering = "n2", {"10.0.0.1", "10.0.0.2", "10.0.0.3"}
    async with succeeding.leads():
        await succeeding.liveness("n2", NodeState.UNKNOWN)
        assert succeeding.state("n1") is NodeState.READY
        assert succeeding.state("n3") is NodeState.READY


async def test_a_node_that_stayed_ready_and_does_not_come_is_unknown_and_down_when_its_grace_ends(succeeding):
    succeeding.answering = {"10.0.0.1", "10.0.0.3"}
    async with succeeding.leads():
        await succeeding.liveness("n2", NodeState.UNKNOWN)
        await (await succeeding.agent("n1")).registers()
        await time_passes(succeeding, 1.5)
        assert succeeding.state("n3") is NodeState.READY
        await time_passes(succeeding, 1)
        await succeeding.liveness("n3", NodeState.UNKNOWN)
        assert succeeding.state("n1") is NodeState.READY
        await time_passes(succeeding, 28)
        assert (await succeeding.liveness("n3", NodeState.DOWN)).message == HEARTBEAT_FAILURE_UNKNOWN


async def test_an_agent_that_asks_faster_than_it_listens_is_cut_off(leader):
    await leader.put(a_task("t1"))
    agent = await leader.agent()
    await agent.registers()
    session = leader.dispatcher.session_of("n1")
    for _ in range(1001):
        session.post(wire.Beat(1))
    assert (await agent.is_sent_away())[0] == Farewell.TOO_SLOW


async def test_an_agent_that_reports_faster_than_the_store_takes_it_in_is_cut_off(leader):
    agent = await leader.agent()
    await agent.registers()
    session = leader.dispatcher.session_of("n1")
    for number in range(1001):
        session.owes(wire.Reported(number))
    assert (await agent.is_sent_away())[0] == Farewell.TOO_SLOW


async def test_a_connection_that_breaks_ends_its_session_and_leaves_the_node_ready(leader):
    agent = await leader.agent()
    await agent.registers()
    agent.socket._response.connection.transport.abort()
    async with asyncio.timeout(5):
        while leader.dispatcher.sessions:
            await asyncio.sleep(0)
    assert leader.store.snapshot().liveness["n1"].value.state is NodeState.READY
