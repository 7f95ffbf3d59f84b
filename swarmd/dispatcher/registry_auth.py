"""Which credentials of a registry a node is given with a task: those that came with the task's image, if it has yet to
be pulled. They are opened when a message is made, and kept nowhere."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from swarmd.identity.vault import CannotOpen
from swarmd.model import Service, Task, TaskState
from swarmd.store import Snapshot

log = structlog.get_logger()


class RegistryAuth:
    def __init__(self, unseal: Callable[[str], bytes], snapshot: Callable[[], Snapshot]) -> None:
        """
        :param unseal: raises :class:`swarmd.identity.CannotOpen`.
        :param snapshot: the newest that nodes have been told of.
        """
        self._unseal, self._snapshot = unseal, snapshot
        self._unreadable: set[str] = set()
        """Sealed texts that could not be opened; each is told once."""

    def of(self, task: Task) -> str:
        """``X-Registry-Auth`` for the task's image; empty: it is pulled without."""
        if not is_to_be_pulled(task):
            return ""
        service = self._snapshot().services.get(task.service_id)
        sealed = "" if service is None else sealed_for(task, service.value)
        if not sealed:
            return ""
        try:
            return self._unseal(sealed).decode()
        except CannotOpen as error:
            if sealed not in self._unreadable:
                self._unreadable.add(sealed)
                words = "registry credentials cannot be opened: images are pulled without"
                log.warning(words, service=task.service_name, why=str(error))
            return ""


def is_to_be_pulled(task: Task) -> bool:
    return task.status.state < TaskState.READY and task.desired_state <= TaskState.RUNNING


def sealed_for(task: Task, service: Service) -> str:
    """By its image, not by the version of the spec: credentials go to no other registry than they were given for, and
    where they alone have been replaced, the new ones count."""
    image = task.spec.container_spec.image
    if image == service.spec.task_template.container_spec.image:
        return service.registry_auth
    before = service.previous_spec
    if before is not None and image == before.task_template.container_spec.image:
        return service.previous_registry_auth
    return ""
