"""Placeholders in a service's hostname and environment: ``{{.Node.Hostname}}``.

Docker expands them as Go templates, over a fixed set of values. What stands in for them here is the part of that
language which has a use over those values: fields, ``index`` over the labels, and ``join``.
Source: moby/swarmkit ``template/context.go``, ``template/template.go``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from swarmd.model import NodeDescription, Task

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
