"""The command line: the tree of commands, and how an error ends it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from dlp import __version__
from dlp.cli import (
    doctor,
    gateway,
    keys,
    observe,
    policy_file,
    releases,
    signatures,
    simulate,
    tokens,
)
from dlp.errors import DlpError

app = typer.Typer(
    name="dlp",
    help="Stops confidential data at the egress of every container, in the kernel.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        typer.echo(f"dlp {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Stops confidential data at the egress of every container, in the kernel."""


for part in (
    gateway,
    policy_file,
    signatures,
    keys,
    releases,
    observe,
    tokens,
    simulate,
    doctor,
):
    part.register(app)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and leave with its exit code.

    A DlpError becomes a line on standard error for each problem, never a traceback.
    """
    command = typer.main.get_command(app)
    try:
        command.main(args=None if arguments is None else list(arguments), prog_name="dlp")
    except DlpError as error:
        for problem in getattr(error, "problems", (error,)):
            sys.stderr.write(f"dlp: error: {_one_line(str(problem))}\n")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        # Nobody reads on (`dlp verdicts | head`). Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    raise SystemExit(0)


def _one_line(text: str) -> str:
    """Control characters, as a file's name may hold, must not reach the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
