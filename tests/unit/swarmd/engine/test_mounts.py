"""Mounts: what the engine is told, and what is refused before it is asked."""

from __future__ import annotations

import pytest

from swarmd.engine.mounts import BadMount, check, engine_mount
from swarmd.model import (
    BindOptions,
    Mount,
    MountPropagation,
    MountType,
    TmpfsOptions,
    VolumeDriver,
    VolumeOptions,
)


def test_a_bind_mount_is_told_with_its_type_and_propagation_also_where_they_are_the_default():
    told = engine_mount(Mount(source="/a", target="/b", bind_options=BindOptions()))
    assert told == {"Type": "bind", "Source": "/a", "Target": "/b", "BindOptions": {"Propagation": "rprivate"}}
    assert engine_mount(Mount(source="/a", target="/b")) == {"Type": "bind", "Source": "/a", "Target": "/b"}


def test_every_option_of_a_bind_mount_arrives():
    options = BindOptions(
        MountPropagation.RSLAVE,
        non_recursive=True,
        create_mountpoint=True,
        read_only_non_recursive=True,
        read_only_force_recursive=True,
    )
    told = engine_mount(Mount(source="/a", target="/b", read_only=True, bind_options=options))
    assert told["ReadOnly"] is True
    assert told["BindOptions"] == {
        "Propagation": "rslave",
        "NonRecursive": True,
        "CreateMountpoint": True,
        "ReadOnlyNonRecursive": True,
        "ReadOnlyForceRecursive": True,
    }


def test_every_option_of_a_volume_arrives():
    options = VolumeOptions(
        no_copy=True, labels={"a": "b"}, subpath="sub", driver_config=VolumeDriver("nfs", {"o": "ro"})
    )
    assert engine_mount(Mount(MountType.VOLUME, "data", "/b", volume_options=options)) == {
        "Type": "volume",
        "Source": "data",
        "Target": "/b",
        "VolumeOptions": {
            "NoCopy": True,
            "Labels": {"a": "b"},
            "Subpath": "sub",
            "DriverConfig": {"Name": "nfs", "Options": {"o": "ro"}},
        },
    }


def test_every_option_of_a_tmpfs_arrives():
    mount = Mount(MountType.TMPFS, target="/b", tmpfs_options=TmpfsOptions(size_bytes=4096, mode=0o700))
    assert engine_mount(mount) == {
        "Type": "tmpfs",
        "Target": "/b",
        "TmpfsOptions": {"SizeBytes": 4096, "Mode": 0o700},
    }


def test_consistency_means_nothing_on_linux():
    assert "Consistency" not in engine_mount(Mount(source="/a", target="/b", consistency="cached"))


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        (Mount(source="/a", target="b"), "invalid mount target, must be an absolute path: b"),
        (Mount(MountType.TMPFS, target=""), "invalid mount target, must be an absolute path: "),
        (Mount(source="a", target="/b"), "invalid bind mount source, must be an absolute path: a"),
        (Mount(target="/b"), "invalid bind mount source, must be an absolute path: "),
        # Docker looks at it before it fills placeholders in.
        (
            Mount(source="{{.Node.ID}}", target="/b"),
            "invalid bind mount source, must be an absolute path: {{.Node.ID}}",
        ),
        (Mount(MountType.VOLUME, "/a", "/b"), "invalid volume mount source, must not be an absolute path: /a"),
        (Mount(MountType.TMPFS, "a", "/b"), "invalid tmpfs source, source must be empty"),
    ],
)
def test_a_mount_that_no_node_can_have_is_refused_in_dockers_words(mount, words):
    with pytest.raises(BadMount) as refused:
        check([Mount(source="/fine", target="/fine"), mount])
    assert str(refused.value) == words


def test_mounts_of_all_three_types_are_let_through():
    check([
        Mount(source="/a", target="/b"),
        Mount(MountType.VOLUME, "data", "/c"),
        Mount(MountType.VOLUME, "", "/anonymous"),
        Mount(MountType.TMPFS, target="/d"),
    ])  # fmt: skip
