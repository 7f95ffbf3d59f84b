"""Verbs about our own Vagrant boxes."""

from __future__ import annotations

import json
from typing import Annotated, cast

import typer

from provisioner.cli.options import Json, Quiet, example, require_known
from provisioner.cli.showing import columns, results
from provisioner.lab import BASES, DEFAULT_BASE, Base
from provisioner.machines.vagrant import box
from provisioner.machines.vagrant.box import FORMATS, Box, Format
from provisioner.progress import Progress

boxes_app = typer.Typer(help="Vagrant boxes that need no registry: built from Debian packages, kept, used.")


def register(app: typer.Typer) -> None:
    app.add_typer(boxes_app, name="box", no_args_is_help=True)


@boxes_app.command(
    "build",
    epilog=example("provision box build", "provision box build --format virtualbox --base bookworm --no-docker"),
)
def build(
    base: Annotated[str, typer.Option("--base", metavar="trixie|bookworm", help="The Debian release.")] = DEFAULT_BASE,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", metavar="|".join(FORMATS), help="For which provider; repeatable.", show_default="libvirt"
        ),
    ] = None,
    docker: Annotated[bool, typer.Option("--docker/--no-docker", help="With Docker's packages inside.")] = True,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build boxes that are not built yet, and print their files and digests.

    It takes about a minute per box; less where packages are in the cache. Equal packages give equal files.
    """
    wanted = list(dict.fromkeys(formats or ["libvirt"]))
    require_known("base", base, BASES)
    for word in wanted:
        require_known("format", word, FORMATS)
    progress = Progress(quiet=quiet)
    built = box.build(cast("Base", base), cast("list[Format]", wanted), docker, progress=progress)
    if as_json:
        results.print_json(json.dumps([_data(each) for each in built]))
        return
    for each in built:
        typer.echo(each.path)
        typer.echo(f"sha256:{each.sha256}")


@boxes_app.command("list", epilog=example("provision box list --json"))
def list_boxes(as_json: Json = False) -> None:
    """List the boxes that are built."""
    built = box.boxes()
    if as_json:
        results.print_json(json.dumps([_data(each) for each in built]))
        return
    if not built:
        typer.echo("no box is built; the first one: provision box build")
        return
    table = columns("BOX", "FORMAT", "VERSION", "DOCKER", "SIZE", "SHA256", "")
    for each in built:
        docker = next((package for package in each.packages if package.startswith("docker.io=")), "no")
        table.add_row(
            each.name, each.provider, each.version, docker.removeprefix("docker.io="), f"{each.size >> 20} MB",
            each.sha256[:12], "" if each.is_current else "of another version of provision",
        )  # fmt: skip
    results.print(table)


def _data(built: Box) -> dict[str, object]:
    return {
        "name": built.name,
        "version": built.version,
        "provider": built.provider,
        "base": built.base,
        "docker": built.docker,
        "key": built.key,
        "current": built.is_current,
        "path": str(built.path),
        "catalog": str(built.catalog),
        "sha256": built.sha256,
        "size": built.size,
        "packages": list(built.packages),
    }
