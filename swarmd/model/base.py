"""What all specs have in common."""

from __future__ import annotations

import msgspec

from swarmd.model.naming import docker_name


class Spec(msgspec.Struct, frozen=True, rename=docker_name, omit_defaults=True):
    """Immutable, and written as Docker writes it."""
