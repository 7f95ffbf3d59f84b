"""Options that several verbs share."""

from __future__ import annotations

from typing import Annotated

import typer

from provisioner.errors import UsageError
from provisioner.lab import DEFAULT_NAME

LabName = Annotated[
    str,
    typer.Option("--name", "-n", envvar="PROVISION_LAB", metavar="LAB", help="The lab's name."),
]
Json = Annotated[bool, typer.Option("--json", help="Print data for programs.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only warnings and errors.")]

DEFAULT = DEFAULT_NAME


def require_known(what: str, value: object, known: tuple[str, ...]) -> None:
    """:raises UsageError: an option's word is none of those that there are; None, an option not given, is fine."""
    if value is not None and value not in known:
        raise UsageError(f"there is no {what} {str(value)!r}", hint=f"there is: {', '.join(known)}")


def example(*lines: str) -> str:
    """The epilog of a verb's help."""
    shown = "  ".join(f"[bold]{line}[/]" for line in lines)
    return f"Example: {shown}"
