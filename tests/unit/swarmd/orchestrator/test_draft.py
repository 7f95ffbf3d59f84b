"""What a service's tasks are sorted into, and what a new one is made of."""

from datetime import UTC, datetime

import msgspec
from simulation import Simulation, TaskState, service

from swarmd.model import EndpointSpec, GlobalMode, PortConfig, ServiceMode
from swarmd.orchestrator.draft import Draft, View
from swarmd.orchestrator.nodes import Nodes
from swarmd.store.contract import Entry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ENDPOINT = EndpointSpec(mode="dnsrr", ports=[PortConfig(target_port=80)])


def draft(mode: ServiceMode, *tasks) -> Draft:
    new = service("web")
    new = msgspec.structs.replace(new, spec=msgspec.structs.replace(new.spec, mode=mode, endpoint_spec=ENDPOINT))
    ids = iter(["t1", "t2", "t3"])
    made = Draft("web", Entry(new, 1, 1), View(NOW, Nodes(Simulation().snapshot), 5, lambda: next(ids)))
    for _ in made.read(Entry(task, number, number) for number, task in enumerate(tasks, 1)):
        pass
    return made


def test_a_task_of_a_replicated_service_waits_for_its_node():
    made = draft(ServiceMode())
    task = made.new_task(made.slot(3))
    assert (task.slot, task.node_id, task.status.state) == (3, "", TaskState.PENDING)


def test_a_task_of_a_global_service_has_its_node_in_place_of_a_slot():
    made = draft(ServiceMode(global_mode=GlobalMode()))
    task = made.new_task(made.slot("n1"))
    assert (task.slot, task.node_id, task.status.state) == (0, "n1", TaskState.PENDING)


def test_tasks_are_found_again_by_slot_or_node():
    made = draft(ServiceMode())
    numbered = made.new_task(made.slot(2))
    made = draft(ServiceMode(global_mode=GlobalMode()))
    of_node = made.new_task(made.slot("n1"))
    again = draft(ServiceMode(), numbered, of_node)
    assert again.slots.keys() == {2, "n1"}
    assert again.slot(2).tasks == [numbered]
    assert again.slot("n1").tasks == [of_node]
    assert (again.slot("n1").number, again.slot("n1").node_id) == (0, "n1")


def test_a_task_carries_the_ports_that_its_service_had():
    made = draft(ServiceMode())
    assert made.new_task(made.slot(1)).endpoint == ENDPOINT
