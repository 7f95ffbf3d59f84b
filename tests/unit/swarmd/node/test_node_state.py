"""The file in which a node remembers where it belongs, and the daemon's settings."""

from __future__ import annotations

import stat

import pytest

from swarmd import config
from swarmd.node import state
from swarmd.node.state import NodeState
from swarmd.wire import Manager

LOCAL = NodeState("0.0.0.0:2377", "192.168.56.10:2377", "192.168.56.10", [Manager("abc", "192.168.56.11:2377")])


def test_what_was_saved_is_found_again_and_nobody_else_reads_it(tmp_path):
    state.save(tmp_path / "state", LOCAL)
    assert state.load(tmp_path / "state") == LOCAL
    assert stat.S_IMODE((tmp_path / "state" / state.FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert [path.name for path in (tmp_path / "state").iterdir()] == [state.FILE]


def test_a_node_in_no_cluster_remembers_nothing(tmp_path):
    assert state.load(tmp_path) is None
    state.save(tmp_path, LOCAL)
    state.forget(tmp_path)
    state.forget(tmp_path)
    assert state.load(tmp_path) is None


def test_a_damaged_file_is_set_aside_and_kept(tmp_path):
    (tmp_path / state.FILE).write_text('{"listen_addr')
    assert state.load(tmp_path) is None
    assert (tmp_path / "node.damaged").read_text() == '{"listen_addr'


def test_settings_have_defaults(tmp_path):
    assert config.load(tmp_path / "absent.toml").etcd.election_timeout == 300


def test_settings_that_cannot_be_are_named(tmp_path):
    path = tmp_path / "swarmd.toml"
    with pytest.raises(config.BadConfiguration, match=r"swarmd.toml: there is no such file"):
        config.load(path, required=True)
    path.write_text("[etcd]\nelection-timeout = 'long'\n")
    with pytest.raises(config.BadConfiguration, match=r"swarmd.toml: .*election-timeout"):
        config.load(path)
    path.write_text("engine_socket = '/run/docker.sock'\n")
    with pytest.raises(config.BadConfiguration, match="unknown field `engine_socket`"):
        config.load(path)
    path.write_text("[etcd")
    with pytest.raises(config.BadConfiguration, match=r"swarmd.toml: "):
        config.load(path)
