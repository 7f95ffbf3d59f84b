"""The bundle of swarmd for hosts without a network: what is in it, what its name depends on, how its making fails.

pip is the real one, with wheels of the test's own in place of the package index.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from ipaddress import IPv4Network
from pathlib import Path

import pytest
import yaml

from provisioner import inventory, lab, playbooks, shipping
from provisioner.errors import MachineLacks
from provisioner.progress import Progress
from provisioner.shipping import bundle, etcd, libraries, requirements, target
from provisioner.state import HOME_VARIABLE, LabFolder

TRIXIE = target.Target("3.13", "x86_64")
BOOKWORM = target.Target("3.11", "x86_64")
QUIET = Progress(quiet=True)
OURS = target.Target(f"{sys.version_info.major}.{sys.version_info.minor}", os.uname().machine)


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))


@pytest.fixture
def index(tmp_path, monkeypatch):
    """Makes wheels that pip finds instead of those of the package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))

    def make(name: str, *requires: str, tag: str = "py3-none-any") -> Path:
        path = folder / f"{name}-1.0-{tag}.whl"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        metadata += "".join(f"Requires-Dist: {line}\n" for line in requires)
        info = f"{name}-1.0.dist-info"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{name}.py", f"NAME = {name!r}\n")
            archive.writestr(f"{info}/METADATA", metadata)
            archive.writestr(
                f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n"
            )
            archive.writestr(f"{info}/RECORD", "")
        return path

    return make


@pytest.fixture
def made(index, monkeypatch, tmp_path):
    """A bundle for this machine's own Python, with a small library and no etcd to fetch."""
    index("smallest")

    def no_etcd(folder, *, log):
        folder.mkdir(parents=True, exist_ok=True)
        for program in etcd.PROGRAMS:
            (folder / program).write_text("#!/bin/sh\n")
            (folder / program).chmod(0o755)

    monkeypatch.setattr(requirements, "pins", lambda wanted: ("smallest==1.0",))
    monkeypatch.setattr(etcd, "fetch", no_etcd)
    monkeypatch.setitem(target._FULL_VERSIONS, OURS.python, f"{OURS.python}.0")
    described = bundle.describe(OURS)
    shipping.make([described], QUIET, log=tmp_path / "log")
    return described


def test_pins_are_those_of_our_own_metadata_and_of_nothing_else():
    pins = requirements.pins(TRIXIE)
    names = {pin.partition("==")[0] for pin in pins}
    assert {"aiohttp", "grpcio", "msgspec", "cryptography"} <= names
    assert not names & {"pytest", "ansible-core", "mypy"}
    assert all("==" in pin and ";" not in pin for pin in pins)


def test_markers_are_judged_for_the_host_and_not_for_this_machine(index, tmp_path):
    index("asks", 'older; python_version < "3.13"', 'newer; python_version >= "3.13"', 'never; sys_platform == "win32"')
    index("older")
    index("newer")
    for wanted, there, absent in ((BOOKWORM, "older", "newer"), (TRIXIE, "newer", "older")):
        tree = tmp_path / wanted.name
        libraries.make(wanted, ["asks==1.0"], tree, log=tmp_path / "log", doing=lambda what: None)
        assert (tree / "asks.py").is_file()
        assert (tree / f"{there}.py").is_file()
        assert not (tree / f"{absent}.py").exists()


def test_a_wheel_for_another_python_is_not_taken(index, tmp_path):
    index("compiled", tag="cp311-cp311-manylinux_2_28_x86_64")
    libraries.make(BOOKWORM, ["compiled==1.0"], tmp_path / "tree", log=tmp_path / "log", doing=lambda what: None)
    with pytest.raises(MachineLacks, match="could not be fetched"):
        libraries.make(TRIXIE, ["compiled==1.0"], tmp_path / "tree", log=tmp_path / "log", doing=lambda what: None)


def test_without_a_network_the_message_says_what_is_fetched_and_how_to_go_on(monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(MachineLacks, match="libraries of swarmd could not be fetched") as caught:
        libraries.make(TRIXIE, ["no-such==1"], tmp_path / "tree", log=tmp_path / "log", doing=lambda what: None)
    assert "PIP_INDEX_URL" in caught.value.hint
    assert caught.value.log == tmp_path / "log"


def test_etcd_out_of_reach_is_told_with_apts_reason(monkeypatch, tmp_path):
    script = tmp_path / "etcd-binary"
    script.write_text("echo 'E: Failed to fetch http://mirror/etcd  Connection refused' >&2; exit 100\n")
    monkeypatch.setattr(etcd, "scripts", lambda: (script,))
    with pytest.raises(MachineLacks, match="etcd could not be fetched: Failed to fetch http://mirror/etcd") as caught:
        etcd.fetch(tmp_path / "etcd", log=tmp_path / "log")
    assert "PROVISION_DEBIAN_MIRROR" in caught.value.hint


def test_the_tree_is_the_daemon_and_its_libraries_ready_to_run(made, tmp_path):
    with tarfile.open(made.path) as archive:
        names = archive.getnames()
        assert {member.uid for member in archive} == {0}
        assert all(member.mode & 0o022 == 0 for member in archive)
        archive.extractall(tmp_path / "host", filter="data")
    assert {"bin/etcd", "bin/etcdutl", "bin/swarmd", "bundle.json", "lib/swarmd/__main__.py"} <= set(names)
    assert not [name for name in names if "__pycache__" in name or "_cache" in name]
    environment = {"PYTHONPATH": str(tmp_path / "host" / "lib"), "PATH": os.environ["PATH"], "PYTHONSAFEPATH": "1"}
    said = subprocess.run(
        [sys.executable, "-c", "import smallest, swarmd; print(swarmd.__file__, smallest.NAME)"],
        env=environment, capture_output=True, text=True, check=True, cwd="/",
    ).stdout  # fmt: skip
    assert said.split() == [str(tmp_path / "host/lib/swarmd/__init__.py"), "smallest"]


def test_a_bundle_that_is_there_is_not_made_again(made, monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_FIND_LINKS", "/nonexistent")
    before = made.path.stat().st_mtime_ns
    shipping.make([bundle.describe(OURS)], QUIET, log=tmp_path / "log")
    assert made.path.stat().st_mtime_ns == before
    assert shipping.is_current("no-such-entry") is False


def test_a_making_that_fails_leaves_nothing_half_made(index, monkeypatch, tmp_path):
    monkeypatch.setattr(requirements, "pins", lambda wanted: ("absent==1.0",))
    wanted = bundle.describe(TRIXIE)
    with pytest.raises(MachineLacks):
        shipping.make([wanted], QUIET, log=tmp_path / "log")
    assert list(wanted.path.parent.iterdir()) == []


@pytest.fixture
def source(tmp_path, monkeypatch):
    copy = tmp_path / "swarmd"
    shutil.copytree(bundle.source(), copy, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    monkeypatch.setattr(bundle, "source", lambda: copy)
    return copy


def test_the_version_changes_with_the_sources_and_the_front_only_with_its_own(source):
    first = bundle.describe(TRIXIE)
    (source / "wire.py").write_text("# another\n")
    second = bundle.describe(TRIXIE)
    assert second.version != first.version
    assert second.front == first.front
    (source / "front" / "heads.py").write_text("# another\n")
    assert bundle.describe(TRIXIE).front != first.front


def test_bytecode_and_caches_of_tools_do_not_count(source):
    first = bundle.describe(TRIXIE)
    for folder in ("__pycache__", ".mypy_cache"):
        (source / folder).mkdir()
        (source / folder / "x").write_text("x")
    assert bundle.describe(TRIXIE) == first


def test_the_version_changes_with_pins_and_python(monkeypatch):
    assert bundle.describe(TRIXIE).version != bundle.describe(BOOKWORM).version
    first = bundle.describe(TRIXIE).version
    monkeypatch.setattr(requirements, "pins", lambda wanted: ("aiohttp==1",))
    assert bundle.describe(TRIXIE).version != first


def _spec(engine: str, base: lab.Base | None = "trixie") -> lab.LabSpec:
    return lab.describe(engine=engine, base=base, subnet=IPv4Network("192.168.56.0/24"))


def test_docker_labs_have_no_bundle_and_others_one_per_debian_they_may_run():
    assert shipping.of_lab(_spec("docker")) == []
    assert [each.target.python for each in shipping.of_lab(_spec("swarmd", "bookworm"))] == ["3.11"]
    assert [each.target.python for each in shipping.of_lab(_spec("swarmd", None))] == ["3.13", "3.11"]


def test_the_inventory_tells_the_role_what_it_needs(tmp_path):
    told = yaml.safe_load(inventory.text(_spec("swarmd"), LabFolder(tmp_path, "lab")))["all"]["vars"]
    (described,) = shipping.of_lab(_spec("swarmd"))
    assert told["swarmd_state"] == "present"
    assert told["swarmd_bundles"] == [described.as_variable()]
    assert told["swarmd_sockets"] == told["docker_sockets"]
    assert told["swarmd_prefer_offline_image"] is True
    plain = yaml.safe_load(inventory.text(_spec("docker"), LabFolder(tmp_path, "lab")))["all"]["vars"]
    assert not [name for name in plain if name.startswith("swarmd")]


def test_images_of_hosts_are_made_anew_for_another_bundle_and_docker_images_are_not(source, monkeypatch):
    plain, with_swarmd = playbooks.digest(), playbooks.digest(shipping.of_lab(_spec("swarmd")))
    assert plain != with_swarmd
    (source / "wire.py").write_text("# another\n")
    assert playbooks.digest(shipping.of_lab(_spec("swarmd"))) != with_swarmd
    assert playbooks.digest(shipping.of_lab(_spec("docker"))) == plain


def test_what_the_role_is_told_is_in_the_bundle(made):
    with tarfile.open(made.path) as archive:
        inside = archive.extractfile("bundle.json")
        assert inside is not None
        assert json.load(inside) == made.as_variable()
