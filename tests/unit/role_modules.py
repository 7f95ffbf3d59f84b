"""The playbooks' own Ansible modules, loaded from the roles' folders as Ansible itself finds them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROLES = Path(__file__).parents[2] / "playbooks" / "roles"


def load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where the role's modules look for what they share
    spec.loader.exec_module(module)
    return module
