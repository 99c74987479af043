"""How commands print: tables for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import enum
import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def examples(*commands: str) -> str:
    """The epilog of a command's help."""
    # \b keeps the help's formatter from joining the lines.
    return "\b\nExamples:\n" + "\n".join(f"  {command}" for command in commands)


def print_json(value: Any) -> None:
    """One indented document; keys in the order of their dataclass or of the API's answer."""
    sys.stdout.write(json.dumps(plain(value), indent=2) + "\n")


def print_json_line(value: Any) -> None:
    """One value in one line, at once: somebody may be following."""
    sys.stdout.write(json.dumps(plain(value), separators=(",", ":")) + "\n")
    sys.stdout.flush()


def plain(value: Any) -> Any:
    """A value as JSON knows them: enums as lower-case words, bytes as hex."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value if isinstance(value, enum.StrEnum) else value.name.lower()
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, Path) else value


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table, or the sentence `empty` where there are no rows.

    Cells may hold what a workload sent (masked text, names): markup in them is not obeyed and
    control characters are not printed.
    """
    from rich.console import Console  # noqa: PLC0415 - 60 ms that --help need not wait for
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    cells = [[printable(cell) for cell in row] for row in rows]
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    if not cells:
        console.print(Text(empty))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    if not sys.stdout.isatty():
        # Wide enough never to fold: the reader is a program or a file.
        console.width = 1000
    console.print(table)


def printable(value: object) -> str:
    """A cell's text: absent as `-`, numbers in digits, no control characters."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, list | tuple):
        return printable(", ".join(str(item) for item in value))
    return "".join(character if character.isprintable() else "?" for character in str(value))


def clock(seconds: float) -> str:
    """A moment (seconds since the epoch) in UTC, to the millisecond."""
    moment = datetime.fromtimestamp(seconds, tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
