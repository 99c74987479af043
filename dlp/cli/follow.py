"""Printing what is stored and then what comes: the option --follow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import typer

from dlp.cli.client import Client, items
from dlp.cli.output import print_json_line, printable

Row = Callable[[Mapping[str, Any]], list[object]]


async def follow_stored(
    client: Client, path: str, query: Mapping[str, object], row: Row, *, limit: int, json: bool
) -> None:
    """The last stored entries of a list, then what is stored after them.

    None twice, none missing.
    """
    newest = items(await client.ask(path, {"limit": 1}))
    last = int(newest[0].get("id", 0)) if newest else 0
    stored = [
        entry for entry in await client.pages(path, query, limit) if entry.get("id", 0) <= last
    ]
    for entry in reversed(stored):
        _print_one(entry, row, json=json)
    await print_stream(client.events(path, after=last), query, row, json=json)


async def print_stream(
    stream: AsyncIterator[dict[str, Any]], query: Mapping[str, object], row: Row, *, json: bool
) -> None:
    """Print those that fit the query, as they come."""
    async for entry in stream:
        if _wanted(entry, query):
            _print_one(entry, row, json=json)


def _wanted(entry: Mapping[str, Any], query: Mapping[str, object]) -> bool:
    return all(
        value is None or name == "since" or fnmatchcase(str(entry.get(name)), str(value))
        for name, value in query.items()
    )


def _print_one(entry: dict[str, Any], row: Row, *, json: bool) -> None:
    if json:
        print_json_line(entry)
    else:
        typer.echo("  ".join(printable(cell) for cell in row(entry)))
