"""Commands on API tokens: create, list, revoke. They work on the file, gateway up or not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlp.cli.output import Json, clock, examples, print_json, print_table
from dlp.errors import UsageError

if TYPE_CHECKING:
    from dlp.store.tokens import TokenStore

_Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Policy file; names the state directory.", metavar="FILE"),
]
_StateDir = Annotated[
    Path | None, typer.Option("--state-dir", help="Where the tokens lie.", metavar="DIR")
]
_Name = Annotated[str, typer.Option("--name", help="Whose it is.", metavar="NAME")]
_Role = Annotated[
    str,
    typer.Option(
        "--role",
        help="viewer: may read; operator: may also change; admin: may also release signatures.",
        metavar="ROLE",
    ),
]
_Revoked = Annotated[str, typer.Argument(help="As `dlp token list` shows it.", metavar="NAME")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        name="token",
        help="Tokens for the API over TCP.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command(
        "create", epilog=examples("dlp token create", "dlp token create --name ci --role operator")
    )(create)
    group.command("list", epilog=examples("dlp token list --json"))(list_)
    group.command("revoke", epilog=examples("dlp token revoke ci"))(revoke)
    app.add_typer(group)


def create(
    *,
    name: _Name = "default",
    role: _Role = "viewer",
    config: _Config = None,
    state_dir: _StateDir = None,
) -> None:
    """Make a token and print it: the only time that it can be seen."""
    from dlp.store.tokens import Role  # noqa: PLC0415

    roles = {choice.value: choice for choice in Role}
    if role not in roles:
        raise UsageError("there is no such role", remedy=f"choose {' or '.join(roles)}")
    typer.echo(_store(config, state_dir).create(name, roles[role]))


def list_(*, config: _Config = None, state_dir: _StateDir = None, json: Json = False) -> None:
    """List the tokens in force, not their values."""
    found = _store(config, state_dir).list()
    if json:
        print_json(found)
        return
    rows = [(token.name, token.role.value, clock(token.created)) for token in found]
    print_table(("name", "role", "created"), rows, empty="no tokens: `dlp token create` makes one")


def revoke(name: _Revoked, *, config: _Config = None, state_dir: _StateDir = None) -> None:
    """End a token at once."""
    _store(config, state_dir).revoke(name)
    typer.echo("revoked")


def _store(config: Path | None, state_dir: Path | None) -> TokenStore:
    from dlp.cli.packs import state_dir_of  # noqa: PLC0415
    from dlp.config.model import TOKENS  # noqa: PLC0415
    from dlp.store.tokens import TokenStore  # noqa: PLC0415

    return TokenStore((state_dir or state_dir_of(config)) / TOKENS)
