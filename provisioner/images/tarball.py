"""An image as one file in the docker-archive format, which `docker load` of every Docker version reads.

It holds manifest.json, the image's configuration and its one layer.
Format: github.com/moby/docker-image-spec, v1.2, "Combined Image JSON + Filesystem Changeset Format".
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.errors import ProvisionError
from provisioner.images import layer
from provisioner.images.model import Image

KEY_LABEL = "provision.image.key"
CREATED = "2025-08-09T00:00:00Z"  # layer.TIME

# What Go calls the machines that Debian calls otherwise.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


@dataclass(frozen=True)
class Identity:
    """What tells an image from every other.

    ``id`` is Docker's image id, the digest of the configuration. An engine that keeps its images in containerd shows
    another digest as the id, so the digests of the layers and our key are compared too.
    """

    id: str
    layers: tuple[str, ...]
    key: str


def configuration(image: Image, layer_digest: str) -> bytes:
    """The image's configuration as JSON. Its sha256 is the image id."""
    config: dict[str, Any] = {
        "Env": [f"{name}={value}" for name, value in sorted(image.env.items())],
        "Entrypoint": list(image.entrypoint),
        "Cmd": list(image.cmd),
        "WorkingDir": image.workdir,
        "User": image.user,
        "ExposedPorts": {port: {} for port in image.ports},
        "Volumes": {path: {} for path in image.volumes},
        "StopSignal": image.stop_signal,
        "Labels": {KEY_LABEL: image.key},
    }
    document = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "created": CREATED,
        "config": {name: value for name, value in config.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
        "history": [{"created": CREATED, "created_by": f"provision images: {' '.join(image.packages)}"}],
    }
    return json.dumps(document, sort_keys=True).encode()


def write(image: Image, root: Path, target: Path) -> Identity:
    """Make an archive of an image from its root folder.

    :raises ProvisionError: a path that the definition keeps is not in the root.
    """
    layer_file = target.with_name(f"{target.name}.layer")
    digest = layer.write(root, layer_file, keep=image.keep)
    config = configuration(image, digest)
    image_id = hashlib.sha256(config).hexdigest()
    layer_name = f"{digest.removeprefix('sha256:')}.tar"
    manifest = [{"Config": f"{image_id}.json", "RepoTags": list(image.tags), "Layers": [layer_name]}]
    with tarfile.open(target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        # The small members come first: `read` finds them without passing the layer.
        for name, content in (("manifest.json", json.dumps(manifest).encode()), (f"{image_id}.json", config)):
            tar.addfile(_member(name, len(content)), io.BytesIO(content))
        with layer_file.open("rb") as file:
            tar.addfile(_member(layer_name, layer_file.stat().st_size), file)
    layer_file.unlink()
    return Identity(id=f"sha256:{image_id}", layers=(digest,), key=image.key)


def read(archive: Path) -> Identity:
    """Which image an archive holds.

    :raises ProvisionError: it is damaged.
    """
    try:
        with tarfile.open(archive) as tar:
            manifest = json.loads(_content(tar, "manifest.json"))[0]
            config = _content(tar, manifest["Config"])
        document = json.loads(config)
        return Identity(
            id=f"sha256:{hashlib.sha256(config).hexdigest()}",
            layers=tuple(document["rootfs"]["diff_ids"]),
            key=document["config"]["Labels"][KEY_LABEL],
        )
    except (OSError, tarfile.TarError, ValueError, LookupError, TypeError) as error:
        raise ProvisionError(
            f"the image archive {archive} is damaged: {error}", hint=f"remove it, it is built again: rm {archive}"
        ) from error


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mtime = size, layer.TIME
    return member


def _content(tar: tarfile.TarFile, name: str) -> bytes:
    """A member near the front. (``extractfile(name)`` would read the archive to its end first.)"""
    for member in tar:
        if member.name == name:
            file = tar.extractfile(member)
            return file.read() if file else b""
    raise LookupError(f"it holds no {name}")
