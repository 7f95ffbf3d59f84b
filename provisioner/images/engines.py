"""Images into the engines of a lab's hosts: all hosts at once, each image only where it is not there yet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

import docker
from docker.errors import APIError, DockerException, ImageLoadError, ImageNotFound
from requests.exceptions import RequestException

from provisioner.errors import ProvisionError
from provisioner.images import store, tarball
from provisioner.images.model import definition
from provisioner.images.tarball import Identity
from provisioner.machines import Machine
from provisioner.progress import Progress

# Seconds without one byte read or answered. On three hosts and two cores, an engine takes 3 s to unpack tomcat; that
# it has an image it says in 0.05 s.
LOAD_SECONDS = 90
ANSWER_SECONDS = 20
BLOCK = 1 << 20

T = TypeVar("T")


@dataclass(frozen=True)
class _Wanted:
    name: str
    tags: tuple[str, ...]
    archive: Path
    identity: Identity


def load(machines: Sequence[Machine], names: Sequence[str], progress: Progress) -> None:
    """Have these images in the engines of these machines; builds what is not built.

    :raises ProvisionError: a host has not got them; the message names each such host with its reason. Every other
        host has them.
    """
    wanted = [_wanted(name, progress) for name in names]
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=max(1, len(machines))) as pool:
        try:
            missing, failures = _on_each(pool, machines, lambda machine: _missing(machine, wanted))
            lacking = [machine for machine in machines if missing.get(machine.name)]
            if lacking:
                with progress.stage(_title(missing)):
                    _, failed = _on_each(pool, lacking, lambda m: _load(m, missing[m.name], progress, stop))
                    if failed:
                        _raise(machines, failures | failed)
            if failures:
                _raise(machines, failures)
        finally:
            stop.set()  # leaving the pool waits for its threads: an interrupted load ends at its next block


def _wanted(name: str, progress: Progress) -> _Wanted:
    archive = store.archive(name, progress)
    return _Wanted(name, definition(name).tags, archive, tarball.read(archive))


def _on_each(
    pool: ThreadPoolExecutor, machines: Sequence[Machine], work: Callable[[Machine], T]
) -> tuple[dict[str, T], dict[str, ProvisionError]]:
    """Do the same on all machines at once: what each returned, and the errors of the others, by machine."""
    running = {machine.name: pool.submit(work, machine) for machine in machines}
    done: dict[str, T] = {}
    failed: dict[str, ProvisionError] = {}
    for name, future in running.items():
        try:
            done[name] = future.result()
        except ProvisionError as error:
            failed[name] = error
        except (DockerException, RequestException) as error:
            failed[name] = ProvisionError(_reason(error))
    return done, failed


def _missing(machine: Machine, wanted: Sequence[_Wanted]) -> list[_Wanted]:
    """What the machine's engine has not got, or not the very image of."""
    if machine.state != "running":
        raise ProvisionError(f"the host is {machine.state}")
    with closing(_engine(machine, ANSWER_SECONDS)) as engine:
        return [image for image in wanted if not _has(engine, image)]


def _load(machine: Machine, images: Sequence[_Wanted], progress: Progress, stop: threading.Event) -> None:
    with closing(_engine(machine, LOAD_SECONDS)) as engine:
        for image in images:
            blocks = _blocks(image, lambda doing: progress.host(machine.name, doing), stop)
            engine.images.load(blocks)  # type: ignore[arg-type] # the stubs know files; requests streams iterators
            if not _has(engine, image):
                raise ProvisionError(f"its engine took {image.name} and has another image under {image.tags[0]}")
        progress.host(machine.name, "has them")


def _engine(machine: Machine, timeout: int) -> docker.DockerClient:
    if not machine.docker_socket.is_socket():
        raise ProvisionError(f"its engine does not answer: nothing serves {machine.docker_socket}")
    return docker.DockerClient(base_url=f"unix://{machine.docker_socket}", timeout=timeout)


def _has(engine: docker.DockerClient, image: _Wanted) -> bool:
    return all(_is(engine, tag, image.identity) for tag in image.tags)


def _is(engine: docker.DockerClient, tag: str, identity: Identity) -> bool:
    try:
        attributes = engine.images.get(tag).attrs
    except ImageNotFound:
        return False
    labels = attributes["Config"].get("Labels") or {}
    same = tuple(attributes["RootFS"].get("Layers") or ()), labels.get(tarball.KEY_LABEL)
    return attributes["Id"] == identity.id or same == (identity.layers, identity.key)


def _blocks(image: _Wanted, doing: Callable[[str], None], stop: threading.Event) -> Iterator[bytes]:
    size = max(1, image.archive.stat().st_size)
    sent = 0
    with image.archive.open("rb") as file:
        while block := file.read(BLOCK):
            if stop.is_set():
                raise ProvisionError("interrupted")
            yield block
            sent += len(block)
            doing(f"loading {image.name}: {100 * sent // size} %")
    doing(f"unpacking {image.name}")


def _title(missing: dict[str, list[_Wanted]]) -> str:
    names = sorted({image.name for images in missing.values() for image in images})
    hosts = sum(1 for images in missing.values() if images)
    return f"Loading {' and '.join(names)} into {hosts} {'engine' if hosts == 1 else 'engines'}"


def _reason(error: Exception) -> str:
    """One line: what the engine said, or why it could not say anything (the first cause, without the wrappings)."""
    if isinstance(error, APIError):
        return str(error.explanation or error)
    if isinstance(error, ImageLoadError):
        return str(error)
    cause: BaseException = error
    while inner := cause.__cause__ or cause.__context__:
        cause = inner
    return f"its engine does not answer: {cause}"


def _raise(machines: Sequence[Machine], failures: dict[str, ProvisionError]) -> NoReturn:
    named = [machine.name for machine in machines if machine.name in failures]
    reasons = "\n".join(f"  {name}: {failures[name].message}" for name in named)
    raise ProvisionError(
        f"images could not be loaded into {len(named)} of {len(machines)} engines:\n{reasons}",
        hint=f"look at the engine: provision logs {named[0]} --unit docker",
    )
