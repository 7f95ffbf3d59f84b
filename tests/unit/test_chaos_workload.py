"""The writers: what counts as acknowledged, refused and unknown, against an engine that compares versions."""

import json
import threading
import time

import pytest
from fake_engine import FakeEngine, machine

from provisioner.chaos import workload
from provisioner.chaos.history import History
from provisioner.chaos.timeline import stopwatch
from provisioner.chaos.workload import Writers, read_writes, writer_service
from provisioner.swarm import connect


class Services:
    """/services with Docker's compare-and-set."""

    def __init__(self, engine):
        self.lock = threading.Lock()
        self.spec = {"Name": writer_service("manager1"), "Labels": {}, "TaskTemplate": {}, "Mode": {}}
        self.version = 1
        self.error = ""
        engine.answers[f"/services/{writer_service('manager1')}"] = lambda _: (200, self.listed())
        engine.answers["/services/s1/update"] = self.update
        engine.answers["/services"] = lambda _: (200, [self.listed()])

    def listed(self):
        return {"ID": "s1", "Version": {"Index": self.version}, "Spec": self.spec}

    def update(self, request):
        body, query = request
        with self.lock:
            if f"version={self.version}" not in query:
                return 500, {"message": "rpc error: code = Unknown desc = update out of sequence"}
            self.spec = {**self.spec, "Labels": body["Labels"]}
            self.version += 1
        return (503, {"message": self.error}) if self.error else (200, {})


@pytest.fixture
def engine(tmp_path):
    with FakeEngine(tmp_path / "manager1.sock") as engine:
        yield engine


@pytest.fixture
def history(tmp_path):
    with History(tmp_path / "history.jsonl", stopwatch()) as history:
        yield history


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(workload, "INTERVAL", 0.01)
    monkeypatch.setattr(workload, "TIMEOUT", 0.3)


def wait_for(history, kind, count=1):
    deadline = time.monotonic() + 5
    while sum(1 for operation in history.operations() if operation.kind == kind) < count:
        assert time.monotonic() < deadline, history.operations()[-3:]
        time.sleep(0.01)


def test_acknowledged_writes_are_all_in_the_service(engine, history, tmp_path):
    Services(engine)
    with Writers([machine("manager1", tmp_path)], history):
        wait_for(history, "ok", 5)
    acknowledged = {operation.value for operation in history.operations() if operation.kind == "ok"}
    with connect(machine("manager1", tmp_path), 1) as client:
        assert read_writes(client, ["manager1", "manager2"]) == {"manager1": acknowledged, "manager2": set()}


def test_a_write_that_cannot_be_sent_fails_and_its_number_is_not_used_again(engine, history, tmp_path):
    with Writers([machine("manager1", tmp_path)], history):
        wait_for(history, "fail", 2)
        Services(engine)
        wait_for(history, "ok")
    begun = [operation.value for operation in history.operations() if operation.kind == "invoke"]
    assert begun == list(range(1, len(begun) + 1))


def test_no_answer_and_an_error_are_unknown_even_when_they_took_effect(engine, history, tmp_path):
    services = Services(engine)
    services.error = "rpc error: code = DeadlineExceeded desc = context deadline exceeded"
    with Writers([machine("manager1", tmp_path)], history):
        wait_for(history, "unknown", 1)
        engine.slow = {"/services/s1/update": 1.0}
        wait_for(history, "unknown", 3)
    kinds = {operation.kind for operation in history.operations()}
    assert "ok" not in kinds
    errors = {operation.error for operation in history.operations() if operation.kind == "unknown"}
    assert errors >= {"context deadline exceeded", "no answer in time"}
    assert "w.1" in services.spec["Labels"]


def test_a_write_keeps_all_earlier_ones_and_names_the_version_that_it_saw(engine, history, tmp_path):
    services = Services(engine)
    with Writers([machine("manager1", tmp_path)], history):
        wait_for(history, "ok", 3)
    numbers = sorted(int(label[2:]) for label in services.spec["Labels"])
    assert numbers == list(range(1, len(numbers) + 1))
    updates = [line for line in engine.seen if "/update" in line]
    assert [line.split("version=")[1] for line in updates] == [str(n) for n in range(1, len(updates) + 1)]


def test_the_history_is_one_object_a_line(engine, history, tmp_path):
    Services(engine)
    with Writers([machine("manager1", tmp_path)], history):
        wait_for(history, "ok")
    first = json.loads(history.path.read_text().splitlines()[0])
    assert first.keys() == {"seconds", "process", "kind", "value", "error"}
    assert (first["process"], first["kind"], first["value"]) == ("manager1", "invoke", 1)
