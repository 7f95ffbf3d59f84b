"""Finding boxes in the cache, and what the command line says about them; nothing is built."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from provisioner.cli import app
from provisioner.errors import MachineLacks
from provisioner.machines.vagrant import box
from provisioner.machines.vagrant.box import assembly, debootstrap
from provisioner.machines.vagrant.box.definition import Definition, Format


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path))
    return tmp_path


def place(
    definition: Definition, provider: Format = "libvirt", packages: tuple[str, ...] = ("docker.io=26.1",)
) -> Path:
    """What a build leaves, with small files."""
    folder = definition.folder / provider
    folder.mkdir(parents=True)
    for name in ("vmlinux", "initrd", "box.img"):
        (folder / name).write_text(name)
    target = folder / f"{definition.name}-{provider}.box"
    target.write_text("box")
    assembly.describe(definition, provider, folder, target, packages)
    return folder


def run(*words: str) -> str:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["box", *words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_box_that_is_not_built_is_not_found() -> None:
    assert box.find() is None


def test_a_box_is_found_by_base_format_and_docker() -> None:
    folder = place(Definition("trixie"))
    found = box.find("trixie", "libvirt", docker=True)
    assert found is not None
    assert found.path == folder / "trixie-libvirt.box"
    assert (found.kernel, found.initrd, found.image) == (folder / "vmlinux", folder / "initrd", folder / "box.img")
    assert box.find("bookworm") is None
    assert box.find("trixie", "lxc") is None
    assert box.find("trixie", docker=False) is None


def test_other_packages_make_another_version_of_the_box() -> None:
    place(Definition("trixie"), "libvirt", ("docker.io=26.1",))
    place(Definition("trixie"), "lxc", ("docker.io=26.2",))
    versions = [each.version for each in box.boxes()]
    assert len(set(versions)) == 2
    assert all(version.startswith("13.") and version.replace(".", "").isdigit() for version in versions)


def test_the_catalog_holds_the_digest_that_vagrant_checks() -> None:
    place(Definition("trixie"))
    found = box.find()
    assert found is not None
    catalog = json.loads(found.catalog.read_text())
    provider = catalog["versions"][0]["providers"][0]
    assert (catalog["name"], catalog["versions"][0]["version"]) == (found.name, found.version)
    assert (provider["name"], provider["url"]) == ("libvirt", found.path.as_uri())
    assert (provider["checksum_type"], provider["checksum"]) == ("sha256", found.sha256)


def test_a_build_that_did_not_end_is_no_box(home: Path) -> None:
    unfinished = home / "cache" / "boxes" / ".unfinished-trixie" / "libvirt"
    unfinished.mkdir(parents=True)
    (unfinished / "box.json").write_text("{}")
    assert box.boxes() == []


def test_boot_files_say_which_command_makes_them() -> None:
    with pytest.raises(MachineLacks) as caught:
        box.boot_files("bookworm", docker=False)
    assert "provision box build --base bookworm --format libvirt --no-docker" in caught.value.hint


def test_a_machine_without_mmdebstrap_is_told_where_to_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineLacks, match="mmdebstrap") as caught:
        debootstrap.require()
    assert "vagrant box add" in caught.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
def test_a_user_who_may_make_no_namespace_is_told_what_to_do() -> None:
    program = (
        "import os\n"
        "from provisioner.machines.vagrant.box import debootstrap\n"
        "from provisioner.errors import MachineLacks\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: debootstrap.require()\n"
        "except MachineLacks as error: print(error.message, '|', error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    if not done.stdout:
        pytest.skip("any user of this machine may make user namespaces")
    assert "user namespace" in done.stdout
    assert "sudo provision box build" in done.stdout


def test_list_names_the_command_that_makes_the_first_box() -> None:
    assert "provision box build" in run("list")


def test_list_shows_each_box_with_its_digest() -> None:
    place(Definition("trixie"))
    place(Definition("bookworm", docker=False), packages=("bash=5",))
    shown = run("list")
    assert "provision/trixie" in shown
    assert "provision/bookworm-plain" in shown
    rows = json.loads(run("list", "--json"))
    assert [(row["base"], row["docker"], row["current"]) for row in rows] == [
        ("bookworm", False, True),
        ("trixie", True, True),
    ]
    assert rows[1]["packages"] == ["docker.io=26.1"]


def test_build_of_a_box_that_is_there_only_names_it() -> None:
    folder = place(Definition("trixie"))
    lines = run("build", "--quiet").splitlines()
    assert lines[0] == str(folder / "trixie-libvirt.box")
    assert lines[1].startswith("sha256:")


@pytest.mark.parametrize("words", [("--format", "vmware"), ("--base", "sid")], ids=" ".join)
def test_what_cannot_be_built_is_a_usage_error(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, ["box", "build", *words])
    assert getattr(done.exception, "exit_code", None) == 2
