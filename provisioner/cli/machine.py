"""Verbs about this machine rather than one lab: images, cache, doctor."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.text import Text

from provisioner import cache, doctor, images, shipping, state
from provisioner.cli.opening import working_on
from provisioner.cli.options import DEFAULT, Json, LabName, Quiet, example, require_known
from provisioner.cli.showing import columns, results
from provisioner.errors import MachineLacks
from provisioner.lab import BASES
from provisioner.machines import select
from provisioner.progress import Progress

images_app = typer.Typer(help="Container images that need no registry: built from Debian packages, kept, loaded.")
cache_app = typer.Typer(help="What is kept so that the next lab starts in seconds.")

MARKS = {"ok": ("✓", "green"), "advice": ("!", "yellow"), "missing": ("✗", "red")}


def register(app: typer.Typer) -> None:
    app.add_typer(images_app, name="images", no_args_is_help=True)
    app.add_typer(cache_app, name="cache", no_args_is_help=True)
    app.command("bundle", epilog=example("provision bundle > bundles.json"))(bundle)
    app.command("doctor", epilog=example("provision doctor"))(diagnose)


Names = Annotated[list[str] | None, typer.Argument(metavar="[IMAGE]...", help="Which; all by default.")]


@images_app.command("list", epilog=example("provision images list"))
def list_images(as_json: Json = False) -> None:
    """List the images that can be built, and which of them are."""
    listed = images.listing()
    if as_json:
        rows = [{"name": i.name, "tags": list(i.tags), "packages": list(i.packages), "size": i.size} for i in listed]
        results.print_json(json.dumps(rows))
        return
    table = columns("IMAGE", "SIZE", "FROM DEBIAN'S PACKAGES")
    for image in listed:
        table.add_row(
            ", ".join(image.tags), _size(image.size) if image.size else "not built", ", ".join(image.packages)
        )
    results.print(table)


@images_app.command("build", epilog=example("provision images build tomcat"))
def build_images(names: Names = None, quiet: Quiet = False) -> None:
    """Build images that are not built yet."""
    progress = Progress(quiet=quiet)
    for name in names or images.names():
        typer.echo(images.archive(name, progress))


@images_app.command("load", epilog=example("provision images load busybox"))
def load_images(names: Names = None, name: LabName = DEFAULT, quiet: Quiet = False) -> None:
    """Load images into the engines of a lab's hosts."""
    progress = Progress(quiet=quiet)
    with working_on(name, "images load") as opened:
        images.load(opened.running(), names or images.names(), progress)


@cache_app.command("list", epilog=example("provision cache list --json"))
def list_cache(as_json: Json = False) -> None:
    """List what is kept, its size, and the labs that stand on it."""
    entries = cache.entries()
    if as_json:
        rows = [
            {"kind": e.kind, "name": e.name, "path": str(e.path), "size": e.size, "labs": list(e.labs)} for e in entries
        ]
        results.print_json(json.dumps(rows))
        return
    table = columns("KIND", "NAME", "SIZE", "MADE", "LABS")
    for entry in entries:
        made = entry.modified.strftime("%Y-%m-%d %H:%M")
        table.add_row(entry.kind, entry.name, _size(entry.size), made, ", ".join(entry.labs) or "-")
    results.print(table)
    results.print(f"{_size(sum(entry.size for entry in entries))} in all")


@cache_app.command("prune", epilog=example("provision cache prune --all"))
def prune_cache(
    everything: Annotated[bool, typer.Option("--all", help="Also what a new lab would use.")] = False,
) -> None:
    """Remove what no lab stands on and no new lab would use."""
    removed = cache.prune(everything=everything)
    for entry in removed:
        results.print(f"{entry.kind} {entry.name} {_size(entry.size)}")
    results.print(f"{_size(sum(entry.size for entry in removed))} freed")


def bundle(
    base: Annotated[str | None, typer.Option(help="Only for this Debian: trixie or bookworm.")] = None,
    quiet: Quiet = False,
) -> None:
    """Make the archives that the role swarmd installs, for a playbook that is run by hand; a lab makes its own.

    Prints what the role is to be told: ansible-playbook … -e @bundles.json -e swarmd_state=present
    """
    require_known("base", base, BASES)
    made = [shipping.of_base(of) for of in BASES if base in (None, of)]
    shipping.make(made, Progress(quiet=quiet), log=state.home() / "cache" / shipping.KIND / "bundle.log")
    results.print_json(json.dumps({"swarmd_bundles": [each.as_variable() for each in made]}))


def diagnose(as_json: Json = False) -> None:
    """Tell what this machine lacks for labs, what will not work without it, and the command that mends it."""
    findings = doctor.examine()
    if as_json:
        results.print_json(json.dumps([vars(finding) for finding in findings]))
    else:
        for finding in findings:
            _print_finding(finding)
    provider, _ = select.default()
    if any(finding.verdict == "missing" and finding.provider == provider for finding in findings):
        raise MachineLacks(
            f"no lab can be made with {provider}, your default provider, as this machine is",
            hint="see the lines marked with a cross",
        )


def _print_finding(finding: doctor.Finding) -> None:
    mark, style = MARKS[finding.verdict]
    label = f"{finding.provider}: {finding.subject}"
    results.print(Text.assemble((mark, style), f" {label:<36} ", (finding.seen, style)))
    if finding.verdict != "ok":
        results.print(f"    therefore: {finding.consequence}", soft_wrap=True)
        results.print(f"    mended by: {finding.cure or 'nothing that this machine has'}", soft_wrap=True)


def _size(size: int) -> str:
    return f"{size / (1 << 20):.0f} MB" if size >= 1 << 20 else f"{size >> 10} kB"
