"""Names of images as Docker shows them: ``docker.io/library/busybox`` is ``busybox:latest``."""

from __future__ import annotations

import re

_ID = re.compile(r"(sha256:)?[0-9a-f]{64}")
_DEFAULT_REGISTRIES = ("docker.io/", "index.docker.io/")


def is_id(image: str) -> bool:
    """Whether it names an image by its id, which no registry can be asked for."""
    return _ID.fullmatch(image) is not None


def has_digest(image: str) -> bool:
    return "@" in image


def familiar(image: str) -> str:
    """With the tag or digest that counts, without Docker's own registry. An id stays as it is.

    Source: distribution/reference ``FamiliarString(TagNameOnly(...))``, as moby's ``containerConfig.image``.
    """
    if is_id(image):
        return image
    for registry in _DEFAULT_REGISTRIES:
        if image.startswith(registry):
            image = image.removeprefix(registry).removeprefix("library/")
            break
    else:
        image = image.removeprefix("library/")
    if has_digest(image) or ":" in image.rpartition("/")[2]:
        return image
    return f"{image}:latest"
