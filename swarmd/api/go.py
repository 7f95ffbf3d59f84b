"""What Docker's types are in Go, where a refusal shows it or a zero is not our default."""

from __future__ import annotations

from collections.abc import Mapping

from swarmd.api.sent import InitSent, JoinSent, NodeSpecSent
from swarmd.model import (
    BindOptions,
    DiscreteGeneric,
    GlobalMode,
    HealthConfig,
    Mount,
    NamedGeneric,
    ReplicatedMode,
    ResourceObject,
    SwarmSpec,
    TmpfsOptions,
    Ulimit,
    UpdateConfig,
    VolumeDriver,
    VolumeOptions,
)

WHOLE_NUMBERS: Mapping[str, str] = {
    "Replicas": "uint64",
    "MaxAttempts": "uint64",
    "MaxReplicas": "uint64",
    "ForceUpdate": "uint64",
    "Parallelism": "uint64",
    "SnapshotInterval": "uint64",
    "KeepOldSnapshots": "uint64",
    "LogEntriesForSlowFollowers": "uint64",
    "DataPathPort": "uint32",
    "SubnetSize": "uint32",
    "TargetPort": "uint32",
    "PublishedPort": "uint32",
    "Mode": "uint32",    # of a tmpfs
    "Retries": "int",
}  # fmt: skip
"""By JSON key, where it is not int64."""

NAMES: Mapping[type, str] = {
    BindOptions: "mount.BindOptions",
    DiscreteGeneric: "swarm.DiscreteGenericResource",
    GlobalMode: "swarm.GlobalService",
    HealthConfig: "container.HealthConfig",
    InitSent: "swarm.InitRequest",
    JoinSent: "swarm.JoinRequest",
    Mount: "mount.Mount",
    NamedGeneric: "swarm.NamedGenericResource",
    NodeSpecSent: "swarm.NodeSpec",
    ReplicatedMode: "swarm.ReplicatedService",
    ResourceObject: "swarm.Resources",
    SwarmSpec: "swarm.Spec",
    TmpfsOptions: "mount.TmpfsOptions",
    Ulimit: "units.Ulimit",
    VolumeDriver: "mount.Driver",
    VolumeOptions: "mount.VolumeOptions",
}
"""Of structs, where it is not ``swarm.`` and our name."""

ZEROS: Mapping[type, Mapping[str, object]] = {UpdateConfig: {"parallelism": 0}}
"""Per struct, values of fields that were not sent."""
