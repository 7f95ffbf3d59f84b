"""What Docker's API has and this daemon does not act on yet: it is answered with 501, never taken and forgotten.

A field works once its line is gone from here. One key a line, in groups that are learned together.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterable

from swarmd.api.decoding import NotYet
from swarmd.api.sent import InitSent
from swarmd.model import (
    CAConfig,
    ConfigSpec,
    ContainerSpec,
    Mount,
    MountType,
    ServiceMode,
    ServiceSpec,
    TaskDefaults,
    TaskSpec,
)

Keys = tuple[tuple[type, str], ...]

# Refused unless they are empty.

_SECRETS_AND_CONFIGS: Keys = (
    (ContainerSpec, "Secrets"),
    (ContainerSpec, "Configs"),
    (ConfigSpec, "Templating"),
)

_NETWORKS: Keys = (
    (TaskSpec, "Networks"),
    (ServiceSpec, "Networks"),
)

_RUNTIMES: Keys = (
    (TaskSpec, "PluginSpec"),
    (TaskSpec, "NetworkAttachmentSpec"),
    (ContainerSpec, "Privileges"),
    (Mount, "ClusterOptions"),
)

_SWARM: Keys = (
    (TaskDefaults, "LogDriver"),
    (CAConfig, "ExternalCAs"),
    (CAConfig, "SigningCACert"),
    (CAConfig, "SigningCAKey"),
    (CAConfig, "ForceRotate"),
    (InitSent, "AutoLockManagers"),
)

# Refused by their presence: they say something even if they are empty.

_JOBS: Keys = (
    (ServiceMode, "ReplicatedJob"),
    (ServiceMode, "GlobalJob"),
)


def _by_struct(*groups: Iterable[tuple[type, str]]) -> NotYet:
    keys: defaultdict[type, set[str]] = defaultdict(set)
    for group in groups:
        for kind, key in group:
            keys[kind].add(key)
    return {kind: frozenset(names) for kind, names in keys.items()}


NOT_YET = _by_struct(_SECRETS_AND_CONFIGS, _NETWORKS, _RUNTIMES, _SWARM)
PRESENT = _by_struct(_JOBS)
WORDS: frozenset[enum.Enum] = frozenset({MountType.NPIPE, MountType.CLUSTER})
