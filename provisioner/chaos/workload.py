"""The workload: one writer per manager, each with a service of its own that it labels again and again.

A write adds the label ``w.<n>`` to the newest version of the service, on condition that the version is still the same
(Docker's ?version=). So a lost race cannot undo an acknowledged write, and a write that comes late fails. The services
have no replicas: what is written is the cluster's state, and nothing is scheduled.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from provisioner.chaos.history import History
from provisioner.machines import Machine
from provisioner.swarm import connect, reason

if TYPE_CHECKING:
    import docker

PREFIX = "chaos-"
MARK = "provision.chaos"
IMAGE = "busybox:latest"
INTERVAL = 0.1
# A healthy manager commits in well under 0.1 s, also on busy machines; without a leader calls hang for up to 20 s.
TIMEOUT = 1.0
# Docker's words for a version that is not the newest any more.
OUT_OF_SEQUENCE = "update out of sequence"


def writer_service(manager: str) -> str:
    return f"{PREFIX}writer-{manager}"


class Writer(threading.Thread):
    """Writes through one manager, one write at a time, until it is stopped."""

    def __init__(self, machine: Machine, history: History) -> None:
        super().__init__(name=f"writer-{machine.name}", daemon=True)
        self._machine = machine
        self._history = history
        self._ended = threading.Event()
        self._client: docker.APIClient | None = None
        # Read after each write, not before: so what is under way when a leader dies is a write, and not a read.
        self._service: dict[str, Any] | None = None

    def run(self) -> None:
        number = 0
        while not self._ended.is_set():
            number += 1
            self._write(number)
            self._ended.wait(INTERVAL)
        self._disconnect()

    def stop(self) -> None:
        self._ended.set()

    def _write(self, number: int) -> None:
        process = self._machine.name
        self._history.record(process, "invoke", number)
        try:
            client = self._connected()
            service = self._service or self._read(client)
        except Exception as error:  # nothing was sent yet, whatever it was
            self._disconnect()
            self._history.record(process, "fail", number, reason(error))
            return
        try:
            self._update(client, service, number)
        except Exception as error:  # Docker repeats calls on a new leader by itself: even a refusal proves nothing
            words = reason(error)
            if OUT_OF_SEQUENCE in words:
                self._service = None
            self._disconnect()
            self._history.record(process, "unknown", number, words)
            return
        self._history.record(process, "ok", number)
        self._service = None
        with contextlib.suppress(Exception):  # the next write tries again
            self._service = self._read(client)

    def _connected(self) -> docker.APIClient:
        if self._client is None:
            self._client = connect(self._machine, TIMEOUT)
        return self._client

    def _read(self, client: docker.APIClient) -> dict[str, Any]:
        service: dict[str, Any] = client.inspect_service(writer_service(self._machine.name))
        return service

    def _update(self, client: docker.APIClient, service: dict[str, Any], number: int) -> None:
        spec = service["Spec"]
        client.update_service(
            service["ID"],
            service["Version"]["Index"],
            name=spec["Name"],
            labels={**spec["Labels"], f"w.{number}": ""},
            task_template=spec["TaskTemplate"],
            mode=spec["Mode"],
        )

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None


class Writers:
    """All writers of an experiment; a context that stops them."""

    def __init__(self, managers: Sequence[Machine], history: History) -> None:
        self._writers = [Writer(machine, history) for machine in managers]

    def __enter__(self) -> Self:
        for writer in self._writers:
            writer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End after the write under way."""
        for writer in self._writers:
            writer.stop()
        for writer in self._writers:
            writer.join(timeout=5 * TIMEOUT)


def create_services(client: docker.APIClient, managers: Sequence[str]) -> None:
    """One service without replicas for each writer."""
    from docker.types import ContainerSpec, ServiceMode, TaskTemplate  # noqa: PLC0415

    for manager in managers:
        client.create_service(
            TaskTemplate(ContainerSpec(IMAGE, args=["true"])),
            name=writer_service(manager),
            labels={MARK: "writer"},
            mode=ServiceMode("replicated", 0),
        )


def read_writes(client: docker.APIClient, writers: Sequence[str]) -> dict[str, set[int]]:
    """Every number that a manager's state holds, by writer. A service that is gone holds none."""
    services = {
        service["Spec"]["Name"]: service["Spec"] for service in client.services(filters={"name": f"{PREFIX}writer-"})
    }
    return {
        writer: {
            int(label.removeprefix("w."))
            for label in services.get(writer_service(writer), {}).get("Labels", {})
            if label.startswith("w.")
        }
        for writer in writers
    }
