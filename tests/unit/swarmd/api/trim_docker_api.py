"""What the fuzzer needs of Docker's API specification: ``python trim_docker_api.py api.yaml > docker_api.json``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

ORIGIN = "moby/moby api/swagger.yaml, API 1.45: its swarm endpoints, without texts and answers"
LICENCE = "Apache-2.0; Copyright 2012-2017 Docker, Inc. This product includes software developed at Docker, Inc."
RESOURCES = {"swarm", "nodes", "services", "tasks", "configs", "secrets"}
TEXTS = {"description", "example", "examples", "title", "summary", "x-go-name", "default", "x-omitempty"}


def trimmed(value: Any, *, names: bool = False) -> Any:
    """
    :param names: the keys are of properties or definitions: a property may be called as one of the texts.
    """
    if isinstance(value, list):
        return [trimmed(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: trimmed(inner, names=key in {"properties", "definitions"} and not names)
        for key, inner in value.items()
        if names or key not in TEXTS
    }


def references(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(references, value)) if value else set()
    if not isinstance(value, dict):
        return set()
    found = {value["$ref"].rpartition("/")[2]} if isinstance(value.get("$ref"), str) else set()
    return found.union(*map(references, value.values()))


def main() -> None:
    api = yaml.safe_load(Path(sys.argv[1]).read_text())
    paths = {
        path: {
            method: {"parameters": trimmed(operation.get("parameters", []))} for method, operation in methods.items()
        }
        for path, methods in api["paths"].items()
        if path.split("/")[1] in RESOURCES
    }
    needed: set[str] = set()
    waiting = references(paths)
    while waiting:
        name = waiting.pop()
        needed.add(name)
        waiting |= references(trimmed(api["definitions"][name])) - needed
    definitions = {name: trimmed(api["definitions"][name]) for name in sorted(needed)}
    head = [f' "origin": {json.dumps(ORIGIN)}', f' "licence": {json.dumps(LICENCE)}']
    print("{\n" + ",\n".join([*head, lines("paths", paths), lines("definitions", definitions)]) + "\n}")


def lines(name: str, values: dict[str, Any]) -> str:
    """One for each, so that a newer version's differences can be read."""
    return (
        f' "{name}": {{\n'
        + ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in values.items())
        + "\n }"
    )


main()
