"""Definitions, the layer and archive writers, and the store; nothing is built, no root is needed."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest

from provisioner import images
from provisioner.errors import ProvisionError, UsageError
from provisioner.images import layer, model, store, tarball
from provisioner.progress import Progress

MINIMAL = 'packages = ["tini"]'


def image(text: str = MINIMAL, name: str = "tiny") -> model.Image:
    return model.parse(text, source=f"{name}.toml")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small root folder with one of everything."""
    top = tmp_path / "root"
    for folder in ("usr/bin", "usr/lib/x86_64-linux-gnu", "etc", "proc/1", "tmp", "dev"):
        (top / folder).mkdir(parents=True)
    (top / "usr/bin/program").write_bytes(b"\x7fELF program")
    (top / "usr/bin/program").chmod(0o4755)
    (top / "usr/bin/again").hardlink_to(top / "usr/bin/program")
    (top / "usr/bin/name").symlink_to("program")
    (top / "bin").symlink_to("usr/bin")
    (top / "usr/lib/x86_64-linux-gnu/libc.so.6").write_text("libc")
    (top / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (top / "etc/resolv.conf").write_text("nameserver 192.0.2.1\n")
    (top / "proc/1/status").write_text("State: S\n")
    (top / "tmp").chmod(0o1777)
    os.mkfifo(top / "dev/pipe")
    os.mkfifo(top / "usr/bin/pipe")
    return top


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def members(archive: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(archive) as tar:
        return {member.name: member for member in tar.getmembers()}


@pytest.mark.parametrize("name", ["busybox", "tomcat"])
def test_shipped_definition_is_valid(name: str) -> None:
    definition = images.definition(name)
    assert (definition.name, definition.tags) == (name, (f"{name}:latest",))


def test_the_documented_definition_is_valid() -> None:
    page = (Path(__file__).parents[2] / "docs/images.md").read_text()
    assert image(page.split("```toml")[1].split("```")[0], name="nginx").ports == ("80/tcp",)


@pytest.mark.parametrize("name", images.names())
def test_every_image_has_an_init_that_passes_sigterm_on(name: str) -> None:
    assert images.definition(name).entrypoint[0].endswith("/tini")


def test_an_unknown_image_is_a_usage_error_that_names_those_there_are() -> None:
    with pytest.raises(UsageError, match="no image 'nginx'") as error:
        images.definition("nginx")
    assert "busybox" in error.value.hint


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("packages = [", "is not TOML"),
        ("packages = []", "packages"),
        (f"{MINIMAL}\nport = 80", "port"),
        (f'{MINIMAL}\nports = ["80"]', r"ports\.0"),
        (f'{MINIMAL}\nkeep = ["usr/bin"]', r"keep\.0"),
        (f'{MINIMAL}\nsuite = "sid"', "suite"),
    ],
)
def test_a_broken_definition_is_refused_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(ProvisionError, match=f"tiny.toml.*{complaint}"):
        image(text)


@pytest.mark.parametrize(
    "change",
    [
        'suite = "bookworm"',
        'cmd = ["sleep"]',
        'setup = "true"',
        'env.A = "b"',
        '[[files]]\npath = "/etc/passwd"\ntext = "x"',
    ],
)
def test_the_key_changes_with_the_definition(change: str) -> None:
    assert image().key == image().key
    assert image(f"{MINIMAL}\n{change}").key != image().key


def test_a_layer_holds_files_links_and_modes(root: Path, tmp_path: Path) -> None:
    digest = layer.write(root, tmp_path / "layer.tar")
    assert digest == f"sha256:{hashlib.sha256((tmp_path / 'layer.tar').read_bytes()).hexdigest()}"
    found = members(tmp_path / "layer.tar")
    assert found["bin"].linkname == "usr/bin"
    assert found["usr/bin/name"].linkname == "program"
    assert found["tmp"].mode == 0o1777
    assert found["usr/bin/again"].mode == 0o4755
    assert found["usr/bin/program"].islnk()
    assert found["usr/bin/program"].linkname == "usr/bin/again"
    assert {(m.mtime, m.uid, m.uname) for m in found.values()} == {(layer.TIME, os.getuid(), "")}


def test_a_layer_leaves_out_the_build_machine_and_special_files(root: Path, tmp_path: Path) -> None:
    layer.write(root, tmp_path / "layer.tar")
    found = members(tmp_path / "layer.tar")
    assert {"proc", "dev", "etc/passwd"} <= set(found)
    assert not {"proc/1", "dev/pipe", "usr/bin/pipe", "etc/resolv.conf"} & set(found)


def test_equal_folders_make_equal_layers(tmp_path: Path) -> None:
    digests = []
    for order in (("a", "b", "c"), ("c", "a", "b")):
        folder = tmp_path / "".join(order)
        folder.mkdir()
        for age, name in enumerate(order):
            (folder / name).write_text(name)
            os.utime(folder / name, (age, age))
        digests.append(layer.write(folder, tmp_path / "layer.tar"))
    assert digests[0] == digests[1]


def test_only_what_is_kept_becomes_the_layer(root: Path, tmp_path: Path) -> None:
    layer.write(root, tmp_path / "layer.tar", keep=["/bin", "/usr/bin/name", "/usr/lib/*/libc.so.6", "/etc"])
    assert set(members(tmp_path / "layer.tar")) == {
        "bin",
        "etc",
        "etc/passwd",
        "usr",
        "usr/bin",
        "usr/bin/name",
        "usr/lib",
        "usr/lib/x86_64-linux-gnu",
        "usr/lib/x86_64-linux-gnu/libc.so.6",
    }


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("/usr/bin/nothing", "nothing matches /usr/bin/nothing"),
        ("/bin/program", "behind a symbolic link"),
        ("/etc/resolv.conf", "never part of an image"),
    ],
)
def test_a_path_that_cannot_be_kept_is_an_error(root: Path, tmp_path: Path, path: str, complaint: str) -> None:
    with pytest.raises(ProvisionError, match=complaint):
        layer.write(root, tmp_path / "layer.tar", keep=[path])


def test_an_archive_is_what_docker_load_reads(root: Path, tmp_path: Path) -> None:
    definition = image(f'{MINIMAL}\nentrypoint = ["/sbin/tini", "--"]\nports = ["80/tcp"]\nenv.A = "b"')
    identity = tarball.write(definition, root, tmp_path / "image.tar")
    with tarfile.open(tmp_path / "image.tar") as tar:
        contents = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    [manifest] = json.loads(contents["manifest.json"])
    assert manifest["RepoTags"] == ["tiny:latest"]
    config = contents[manifest["Config"]]
    assert identity.id == f"sha256:{hashlib.sha256(config).hexdigest()}"
    [layer_name] = manifest["Layers"]
    digest = f"sha256:{hashlib.sha256(contents[layer_name]).hexdigest()}"
    document = json.loads(config)
    assert document["rootfs"] == {"type": "layers", "diff_ids": [digest]}
    assert document["config"] == {
        "Entrypoint": ["/sbin/tini", "--"],
        "Env": ["A=b"],
        "ExposedPorts": {"80/tcp": {}},
        "Labels": {tarball.KEY_LABEL: definition.key},
        "WorkingDir": "/",
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.tar", "root"]


def test_an_archive_tells_which_image_it_is(root: Path, tmp_path: Path) -> None:
    identity = tarball.write(image(), root, tmp_path / "image.tar")
    assert tarball.read(tmp_path / "image.tar") == identity


@pytest.mark.parametrize("content", [b"", b"not a tar", b"\0" * 10240])
def test_a_damaged_archive_is_an_error_that_says_how_to_go_on(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "image.tar").write_bytes(content)
    with pytest.raises(ProvisionError, match="is damaged") as error:
        tarball.read(tmp_path / "image.tar")
    assert error.value.hint.endswith(f"rm {tmp_path / 'image.tar'}")


def test_an_archive_that_is_there_is_not_built_again(home: Path) -> None:
    path = store.path(images.definition("busybox"))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"here")
    assert images.archive("busybox", Progress(quiet=True)) == path
    assert path.read_bytes() == b"here"


def test_the_listing_tells_what_is_built(home: Path) -> None:
    path = store.path(images.definition("busybox"))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"here")
    listed = {line.name: line for line in images.listing()}
    assert sorted(listed) == images.names()
    assert (listed["busybox"].built, listed["busybox"].size) == (True, 4)
    assert (listed["tomcat"].built, listed["tomcat"].size) == (False, None)
    assert "busybox-static" in listed["busybox"].packages


def test_prune_removes_archives_of_earlier_definitions(home: Path) -> None:
    present = store.path(images.definition("busybox"))
    earlier = present.with_name("busybox-000000000000.tar")
    present.parent.mkdir(parents=True)
    present.write_bytes(b"here")
    earlier.write_bytes(b"old")
    (present.parent / ".unfinished" / "root").mkdir(parents=True)
    assert images.prune() == [(earlier, 3)]
    assert list(present.parent.iterdir()) == [present]
    assert images.prune(everything=True) == [(present, 4)]
