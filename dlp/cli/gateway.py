"""Commands that start, change and end a gateway: run, reload, detach."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dlp.cli.client import Api, Token, ask
from dlp.cli.output import Json, examples, print_json

ConfigFile = Annotated[Path, typer.Option("--config", "-c", help="Policy file.", metavar="FILE")]
_Netns = Annotated[
    list[str] | None,
    typer.Option("--netns", help="A further network namespace; repeatable.", metavar="NAME"),
]
_Wait = Annotated[
    float,
    typer.Option(
        "--wait",
        min=0,
        help="Wait so long for namespaces that do not exist yet.",
        metavar="SECONDS",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=examples(
            "dlp run --config /etc/dlp/dlp.yaml",
            "dlp run --config dlp.yaml --netns web --netns billing --wait 30",
        )
    )(run)
    app.command(epilog=examples("dlp reload", "dlp reload --json"))(reload)
    app.command(epilog=examples("dlp detach"))(detach)


def run(*, config: ConfigFile, netns: _Netns = None, wait: _Wait = 0.0) -> None:
    """Run the gateway until SIGTERM.

    Stays in the foreground. Prints `ready` once every namespace that exists is enforced.
    SIGHUP reads the policy file and packs again. When it ends, the kernel goes on enforcing:
    `dlp detach` ends that.
    """
    from dlp.gateway import run as run_gateway  # noqa: PLC0415 - loads the whole product

    raise typer.Exit(run_gateway(config, list(netns or ()), wait))


def reload(*, api: Api = "", token: Token = "", json: Json = False) -> None:
    """Read the policy file and packs again.

    A bad file or pack is an error, and then nothing changes.
    """
    result = ask(api, token, "reload", method="POST")
    if json:
        print_json(result)
        return
    changed = "changed" if result.get("changed") else "nothing changed"
    typer.echo(
        f"{changed}: release {result.get('release')}, {result.get('signatures')} signatures, "
        f"{result.get('policies')} policies"
    )


def detach(
    *,
    everywhere: Annotated[
        bool,
        typer.Option("--all", help="Search every namespace: for when the record is lost."),
    ] = False,
) -> None:
    """Take the gateway out of the kernel.

    Removes all that it made there and puts back every setting; after it nothing is inspected
    or stopped. Stop the gateway first.
    """
    from dlp.gateway import detach as detach_gateway  # noqa: PLC0415 - loads the whole product

    count = detach_gateway(everywhere=everywhere)
    typer.echo(f"detached: {count} {'classifier' if count == 1 else 'classifiers'} taken off")
