"""Commands that take signatures from other tools and hand them out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlp.cli.output import Json, examples, print_json
from dlp.errors import UsageError

if TYPE_CHECKING:
    from dlp.signatures.importers.gitleaks import Imported
    from dlp.signatures.pack import Pack

_COMMENTS = (
    "Imported from gitleaks; every sample is generated. Before a signature can be released,",
    "confirm its samples and take `draft` out. What did not carry over stands in the report.",
)
FORMATS = ("yaml", "json", "gitleaks")

_File = Annotated[Path, typer.Argument(help="gitleaks' TOML.", metavar="FILE")]
_Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Write there; the pack is named as the file.", metavar="FILE"),
]
_Packs = Annotated[
    list[str] | None, typer.Argument(help="Packs by name or path.", metavar="[PACK|PATH...]")
]
_Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Take the packs of a policy file.", metavar="FILE"),
]
_Format = Annotated[
    str, typer.Option("--format", help=f"One of {', '.join(FORMATS)}.", metavar="NAME")
]
_Target = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", help="Write there; for YAML a directory, a file a pack.", metavar="PATH"
    ),
]


def register(group: typer.Typer) -> None:
    """Add `import` and `export` to the group of signatures."""
    importing = typer.Typer(
        name="import",
        help="Make a pack of another tool's rules.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    importing.callback()(_group)
    importing.command(
        "gitleaks",
        epilog=examples(
            "dlp signatures import gitleaks gitleaks.toml --out ./leaks.yaml",
            "dlp signatures import gitleaks gitleaks.toml --json",
        ),
    )(gitleaks)
    group.add_typer(importing)
    group.command(
        "export",
        epilog=examples(
            "dlp signatures export secrets --format gitleaks --out secrets.toml",
            "dlp signatures export --format json",
        ),
    )(export)


def _group() -> None:
    """Without this a group of one command would be that command."""


def gitleaks(file: _File, *, out: _Out = None, json: Json = False) -> None:
    """Turn gitleaks' rules into a pack of drafts.

    Every rule is told with what did not carry over, on standard error beside the pack, or with
    --json as one object. Samples are generated, so that every signature is a draft: read it,
    confirm its samples, take `draft` out.
    """
    from dlp.signatures.importers.gitleaks import import_rules  # noqa: PLC0415
    from dlp.signatures.writing import pack_text  # noqa: PLC0415

    name = out.stem if out else "gitleaks"
    imported = import_rules(file, name)
    text = pack_text(name, 1, imported.pack.description, imported.pack.signatures, _COMMENTS)
    if out:
        _write(out, text)
    if json:
        print_json(
            {
                "file": file,
                "pack": out,
                "rules": len(imported.outcomes),
                "carried": len(imported.pack.signatures),
                "notes": imported.notes,
                "outcomes": imported.outcomes,
            }
        )
        return
    if not out:
        sys.stdout.write(text)
    for line in _told(imported):
        typer.echo(line, err=True)


def export(
    packs: _Packs = None,
    *,
    format_: _Format = "yaml",
    out: _Target = None,
    config: _Config = None,
) -> None:
    """Write packs as YAML, JSON, or rules for gitleaks.

    What gitleaks cannot say is told on standard error, signature by signature.
    """
    from dlp.cli.packs import load_set  # noqa: PLC0415
    from dlp.signatures.importers.export import as_gitleaks, as_json  # noqa: PLC0415

    if format_ not in FORMATS:
        raise UsageError(f"there is no format {format_!r}", remedy=f"one of {', '.join(FORMATS)}")
    loaded, _ = load_set(config, packs or ())
    if format_ == "yaml":
        _export_yaml(loaded, out)
        return
    if format_ == "json":
        import json  # noqa: PLC0415

        text = json.dumps(as_json(loaded), indent=2) + "\n"
    else:
        text, left = as_gitleaks(loaded)
        for one in left:
            what = "left out" if one.whole else "looser"
            typer.echo(f"{one.signature}: {what}: {'; '.join(one.reasons)}", err=True)
    if out:
        _write(out, text)
    else:
        sys.stdout.write(text)


def _export_yaml(packs: Sequence[Pack], out: Path | None) -> None:
    from dlp.signatures.writing import pack_text  # noqa: PLC0415

    texts = {
        pack.name: pack_text(pack.name, pack.version, pack.description, pack.signatures)
        for pack in packs
    }
    if out is None and len(texts) > 1:
        raise UsageError(
            f"{len(texts)} packs are as many files", remedy="name a directory with --out"
        )
    for name, text in texts.items():
        if out is None:
            sys.stdout.write(text)
        elif out.suffix == ".yaml" and len(texts) == 1:
            _write(out, text)
        else:
            _made(out)
            _write(out / f"{name}.yaml", text)


def _told(imported: Imported) -> list[str]:
    lines = [f"note: {note}" for note in imported.notes]
    for one in imported.outcomes:
        if not one.signature:
            lines.append(f"{one.rule}: not carried over: {one.reason}")
        else:
            notes = "".join(f"; {note}" for note in one.notes)
            lines.append(f"{one.rule}: {one.signature}, decided in the {one.decided}{notes}")
    kernel = sum(one.decided == "kernel" for one in imported.outcomes)
    carried = len(imported.pack.signatures)
    lines.append(
        f"{len(imported.outcomes)} rules: {carried} carried over as drafts, {kernel} of them "
        f"decided in the kernel; {len(imported.outcomes) - carried} not"
    )
    return lines


def _made(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{directory} cannot be made: {error.strerror}") from error


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}") from error
