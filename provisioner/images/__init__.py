"""Container images for labs, without a registry: built from Debian packages, kept as archives, loaded into engines."""

from __future__ import annotations

from provisioner.images.engines import load
from provisioner.images.model import Image, definition, names
from provisioner.images.store import Listed, archive, listing, prune

__all__ = ["Image", "Listed", "archive", "definition", "listing", "load", "names", "prune"]
