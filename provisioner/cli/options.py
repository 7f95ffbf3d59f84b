"""Options that several verbs share."""

from __future__ import annotations

from typing import Annotated

import typer

from provisioner.lab import DEFAULT_NAME

LabName = Annotated[
    str,
    typer.Option("--name", "-n", envvar="PROVISION_LAB", metavar="LAB", help="The lab's name."),
]
Json = Annotated[bool, typer.Option("--json", help="Print data for programs.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only warnings and errors.")]

DEFAULT = DEFAULT_NAME


def example(*lines: str) -> str:
    """The epilog of a verb's help."""
    shown = "  ".join(f"[bold]{line}[/]" for line in lines)
    return f"Example: {shown}"
