"""The command that tells whether this host can run the gateway."""

from __future__ import annotations

import typer

from dlp.cli.output import Json, examples, print_json, print_table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=examples("dlp doctor", "dlp doctor --json"))(doctor)


def doctor(*, json: Json = False) -> None:
    """Check whether the gateway can run here.

    Looks at privileges, kernel, headers and libraries. The exit code is 1 if one fails; what
    is only warned of makes the gateway slower or weaker.
    """
    from dlp.cli.checks import State, run_all  # noqa: PLC0415

    found = run_all()
    if json:
        print_json(found)
    else:
        rows = [(row.state.value, row.name, row.found, row.remedy) for row in found]
        print_table(("", "check", "found", "remedy"), rows, empty="nothing to check")
    if any(row.state is State.FAIL for row in found):
        raise typer.Exit(1)
