"""The command that attacks the gateway in the lab and shows what came of it."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

import dlp
from dlp.cli.output import Json, examples
from dlp.errors import MissingDependency

LAB = Path(dlp.__file__).resolve().parents[1] / "netns-lab"

_Only = Annotated[
    list[str] | None,
    typer.Option("--only", help="An attack by name or glob; repeatable.", metavar="NAME"),
]
_NoGateway = Annotated[
    bool, typer.Option("--no-gateway", help="Show what each attack leaks with nothing in the way.")
]
_Flows = Annotated[
    int, typer.Option("--flows", min=1, help="Flows in a flood of them.", metavar="N")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        name="simulate",
        help="What an attacker would try, in a lab of network namespaces.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.callback()(_group)
    group.command(
        "attack",
        epilog=examples(
            "dlp simulate attack",
            "dlp simulate attack --only 'af-*' --only urgent",
            "dlp simulate attack --no-gateway",
        ),
    )(attack)
    app.add_typer(group)


def _group() -> None:
    """Without this a group of one command would be that command."""


def attack(
    *,
    only: _Only = None,
    no_gateway: _NoGateway = False,
    flows: _Flows = 100_000,
    json: Json = False,
) -> None:
    """Attack a gateway of its own in the lab, as root in a container would.

    Builds a container host and an internet in network namespaces, starts a gateway there, and
    runs every attack of the lab's list: what was tried, with which capabilities, what arrived,
    what stopped it. Nothing of this machine's network is touched, nor a gateway that guards
    it. The exit code is 1 if something arrived, or was not counted as expected.
    """
    command = [sys.executable, str(lab()), "attack", "--flows", str(flows)]
    for name in only or ():
        command += ["--only", name]
    if no_gateway:
        command.append("--no-gateway")
    with tempfile.TemporaryDirectory(prefix="dlp-") as directory:
        results = Path(directory) / "results.json"
        if json:
            command += ["--json", str(results)]
        code = run(command, quiet=json)
        if results.exists():
            sys.stdout.write(results.read_text())
    raise typer.Exit(code)


def run(command: list[str], *, quiet: bool) -> int:
    """Run a program to its end, with `quiet` its output on standard error; its exit status.

    Ctrl-C reaches it too: it takes its lab down, and that must not be cut short.
    """
    process = subprocess.Popen(command, stdout=sys.stderr if quiet else None)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return process.wait()
    finally:
        signal.signal(signal.SIGINT, before)


def lab(directory: Path = LAB) -> Path:
    """The lab's program in the source tree.

    Raises:
        MissingDependency: this installation is no checkout.
    """
    if not (directory / "__main__.py").is_file():
        raise MissingDependency(
            "the lab is not part of this installation",
            remedy="it comes with the source tree: run `make attack` in a checkout",
        )
    return directory
