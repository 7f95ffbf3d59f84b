"""Placeholders in a service's hostname, environment and mounts: ``{{.Node.Hostname}}``.

Docker expands them as Go templates, over a fixed set of values. What stands in for them here is the part of that
language which has a use over those values: fields, ``index`` over the labels, and ``join``.
Source: moby/swarmkit ``template/{context,expand,template}.go``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec

from swarmd.model import ContainerSpec, Mount, NodeDescription, Task, VolumeOptions

Value = str | Mapping[str, "Value"]

_ACTION = re.compile(r"(?:\s*(?={{-))?{{-?(.*?)-?}}(?:(?<=-}})\s*)?", re.DOTALL)
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|`([^`]*)`|(\S+)')
_FIELD = re.compile(r"(\.\w+)+")


class BadTemplate(ValueError):
    """The text is no template, or asks for what there is not; ``str()`` says what."""


def values(task: Task, node: NodeDescription, *, name: str) -> Mapping[str, Value]:
    """What templates of this task can name.

    :param name: the task's, which is its container's.
    """
    platform = {"Architecture": node.platform.architecture, "OS": node.platform.os}
    return {
        "Service": {"ID": task.service_id, "Name": task.service_name, "Labels": dict(task.service_labels)},
        "Node": {"ID": task.node_id, "Hostname": node.hostname, "Platform": platform},
        "Task": {"ID": task.id, "Name": name, "Slot": str(task.slot) if task.slot else task.node_id},
    }


def has_placeholder(text: str) -> bool:
    return "{{" in text


def texts(spec: ContainerSpec) -> Iterator[str]:
    """All that may hold a placeholder."""
    yield spec.hostname
    yield from spec.env
    for mount in spec.mounts:
        yield mount.source
        yield mount.target
        if (options := mount.volume_options) is not None:
            yield from options.labels.values()
            yield from options.driver_config.options.values() if options.driver_config else ()


def expand_container(spec: ContainerSpec, known: Mapping[str, Value]) -> ContainerSpec:
    """
    :raises BadTemplate: a placeholder is not closed, or names what there is not; with the field, as Docker says it.
    """
    replace = msgspec.structs.replace
    with _of("expanding env failed"):
        spec = replace(spec, env=[_expand_variable(variable, known) for variable in spec.env])
    with _of("expanding mounts failed"):
        spec = replace(spec, mounts=[_expand_mount(mount, known) for mount in spec.mounts])
    with _of("expanding hostname failed"):
        return replace(spec, hostname=expand(spec.hostname, known))


def _expand_variable(variable: str, known: Mapping[str, Value]) -> str:
    """Its value; a name is no template."""
    name, equals, value = variable.partition("=")
    with _of(f"expanding env {_quoted(variable)}"):
        return f"{name}{equals}{expand(value, known)}"


def _expand_mount(mount: Mount, known: Mapping[str, Value]) -> Mount:
    replace = msgspec.structs.replace
    with _of(f"expanding mount source {_quoted(mount.source)}"):
        mount = replace(mount, source=expand(mount.source, known))
    with _of(f"expanding mount target {_quoted(mount.target)}"):
        mount = replace(mount, target=expand(mount.target, known))
    if (options := mount.volume_options) is not None:
        mount = replace(mount, volume_options=_expand_volume(options, known))
    return mount


def _expand_volume(options: VolumeOptions, known: Mapping[str, Value]) -> VolumeOptions:
    replace = msgspec.structs.replace
    with _of("expanding volume labels"):
        options = replace(options, labels=_expand_map(options.labels, known))
    if (driver := options.driver_config) is not None:
        with _of("expanding volume driver config"):
            driver = replace(driver, options=_expand_map(driver.options, known))
        options = replace(options, driver_config=driver)
    return options


def _expand_map(values: Mapping[str, str], known: Mapping[str, Value]) -> dict[str, str]:
    """Its values; keys are no templates."""
    expanded = {}
    for key, value in values.items():
        with _of(f"expanding map entry {_quoted(key)}={_quoted(value)}"):
            expanded[key] = expand(value, known)
    return expanded


@contextmanager
def _of(what: str) -> Iterator[None]:
    """Put in front of a refusal what was to be expanded."""
    try:
        yield
    except BadTemplate as error:
        raise BadTemplate(f"{what}: {error}") from None


def _quoted(text: str) -> str:
    """As Go's ``%q``."""
    return json.dumps(text, ensure_ascii=False)


def expand(text: str, known: Mapping[str, Value]) -> str:
    """
    :raises BadTemplate: a placeholder is not closed, or names what there is not.
    """
    expanded = _ACTION.sub(lambda action: _evaluate(action[1].strip(), known), text)
    if has_placeholder(_ACTION.sub("", text)):
        raise BadTemplate(f"template: expansion: unclosed action in {text!r}")
    return expanded


def _evaluate(action: str, known: Mapping[str, Value]) -> str:
    words = list(_WORD.finditer(action))
    if not words:
        raise BadTemplate("template: expansion: missing value for command")
    head = words[0][0]
    arguments = [_argument(word, known) for word in words[1:]]
    match head, arguments:
        case "index", [labels, str(key)] if not isinstance(labels, str):
            found = labels.get(key, "")
        case "join", [str(separator), *parts] if all(isinstance(part, str) for part in parts):
            found = separator.join(str(part) for part in parts)
        case _, []:
            found = _argument(words[0], known)
        case _:
            raise BadTemplate(f"template: expansion: cannot expand {{{{{action}}}}}")
    if not isinstance(found, str):
        raise BadTemplate(f"template: expansion: {{{{{action}}}}} is not a text")
    return found


def _argument(word: re.Match[str], known: Mapping[str, Value]) -> Value:
    quoted, raw, bare = word.groups()
    if quoted is not None:
        return re.sub(r"\\(.)", r"\1", quoted)
    if raw is not None:
        return str(raw)
    if not _FIELD.fullmatch(bare):
        raise BadTemplate(f'template: expansion: function "{bare}" not defined')
    found: Value = known
    for name in bare[1:].split("."):
        if isinstance(found, str) or name not in found:
            raise BadTemplate(f"template: expansion: there is no {bare}")
        found = found[name]
    return found
