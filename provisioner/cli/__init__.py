"""The command line: parse, call, print, exit code. Results go to stdout, progress and errors to stderr.

Exit codes: see :mod:`provisioner.errors`; `provision ssh` ends with the remote command's.
"""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.markup import escape

from provisioner import __version__
from provisioner.cli import boxes, checking, cluster, interruption, machine, reaching, showing
from provisioner.errors import INTERRUPTED, MachineLacks, ProvisionError
from provisioner.state import HOME_VARIABLE

app = typer.Typer(
    name="provision",
    help="Lab machines with Docker, a swarm formed from them, and the proof that it works.",
    epilog="A first lab: provision up --managers 3. What this machine lacks for it: provision doctor.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for part in (cluster, showing, reaching, checking, machine, boxes):
    part.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"provision {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    pass


def main() -> None:
    """Run the command; a user's mistake ends in one message, never in a traceback."""
    interruption.install()
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        # typer returns the code of an Exit, and 130 for Ctrl-C.
        code = app(standalone_mode=False) or 0
    except ProvisionError as error:
        _explain(error, errors)
        code = error.exit_code
    except PermissionError as error:
        refused = MachineLacks(
            f"you have no right to {error.filename}",
            hint=f"if it is root's: sudo provision …; or name a folder of your own in {HOME_VARIABLE}",
        )
        _explain(refused, errors)
        code = refused.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone: `provision status | head -1`
        sys.stderr.close()
        code = 0
    except Exception as error:
        # click's own usage errors know how to show themselves; anything else is our defect, with its traceback.
        if not hasattr(error, "show") or not hasattr(error, "exit_code"):
            raise
        error.show()
        code = error.exit_code
    if code == INTERRUPTED:
        errors.print(
            "[yellow]interrupted[/]; the same command goes on where this one stopped, `provision down` clears up"
        )
    sys.exit(code)


def _explain(error: ProvisionError, errors: Console) -> None:
    errors.print(f"[bold red]error:[/] {escape(error.message)}")
    if error.hint:
        errors.print(f"[bold]next:[/]  {escape(error.hint)}")
    if error.log:
        errors.print(f"[bold]log:[/]   {escape(str(error.log))}")
