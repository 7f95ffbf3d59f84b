"""What an image may be called (``github.com/distribution/reference``)."""

from __future__ import annotations

import re

_PATH_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN_COMPONENT = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_DOMAIN_COMPONENT}(?:\.{_DOMAIN_COMPONENT})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_PATH = re.compile(rf"{_PATH_COMPONENT}(?:/{_PATH_COMPONENT})*")
_TAG = re.compile(r"[\w][\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")
_LONGEST_PATH = 255


def is_image_reference(image: str) -> bool:
    """As ``reference.ParseNormalizedNamed``: an optional host, a path in lower case, an optional tag and digest."""
    if re.fullmatch(r"[a-f0-9]{64}", image):
        return False
    name, at, digest = image.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        return False
    head, slash, rest = name.partition("/")
    is_host = slash and ("." in head or ":" in head or head == "localhost" or head.lower() != head)
    path = rest if is_host else name
    if is_host and not _DOMAIN.fullmatch(head):
        return False
    path, colon, tag = path.partition(":")
    if colon and not _TAG.fullmatch(tag):
        return False
    return bool(_PATH.fullmatch(path)) and len(path) <= _LONGEST_PATH
