from __future__ import annotations

import pytest

from swarmd.engine.reference import familiar

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("busybox", "busybox:latest"),
        ("busybox:1.36", "busybox:1.36"),
        ("docker.io/library/busybox", "busybox:latest"),
        ("index.docker.io/library/busybox:1", "busybox:1"),
        ("library/busybox", "busybox:latest"),
        ("docker.io/grafana/loki", "grafana/loki:latest"),
        ("registry.example:5000/team/app", "registry.example:5000/team/app:latest"),
        ("registry.example:5000/library/app:2", "registry.example:5000/library/app:2"),
        (f"busybox@{DIGEST}", f"busybox@{DIGEST}"),
        (f"busybox:1@{DIGEST}", f"busybox:1@{DIGEST}"),
        (DIGEST, DIGEST),
        ("a" * 64, "a" * 64),
    ],
)
def test_images_are_named_as_docker_names_them(given, shown):
    assert familiar(given) == shown
