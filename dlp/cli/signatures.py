"""Commands on signatures: list, explain, check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlp.cli import exchange, trial
from dlp.cli.output import Json, examples, print_json, print_table

if TYPE_CHECKING:
    from dlp.signatures.image import ImageSignature
    from dlp.signatures.pack import Pack, Signature

_Packs = Annotated[
    list[str] | None,
    typer.Option("--pack", help="A pack by name or path; repeatable.", metavar="PACK"),
]
_Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Take the packs of a policy file.", metavar="FILE"),
]
_Held = Annotated[
    bool, typer.Option("--held", help="As under a rule that holds it: with its triggers.")
]
_Id = Annotated[str, typer.Argument(help="As `dlp signatures list` shows it.", metavar="ID")]
_Files = Annotated[list[str], typer.Argument(help="Packs by name or path.", metavar="PACK...")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        name="signatures",
        help="What is looked for, and how; no privileges needed.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command(
        "list",
        epilog=examples(
            "dlp signatures list", "dlp signatures list --pack pci --pack ./my-pack.yaml --json"
        ),
    )(list_)
    group.command(
        "explain",
        epilog=examples(
            "dlp signatures explain pii.us.ssn",
            "dlp signatures explain secrets.jwt.token --held",
        ),
    )(explain)
    group.command("check", epilog=examples("dlp signatures check ./my-pack.yaml"))(check)
    group.command("test", epilog=examples(*trial.EXAMPLES))(trial.try_)
    exchange.register(group)
    app.add_typer(group)


def list_(*, pack: _Packs = None, config: _Config = None, json: Json = False) -> None:
    """List signatures and where each is decided.

    Of all packs that ship with the gateway, unless some are named.
    """
    from dlp.cli.packs import load_set  # noqa: PLC0415
    from dlp.signatures.cache import Cache, usual_directory  # noqa: PLC0415

    packs, image = load_set(config, pack or ())
    sources = ((source, entry) for source in packs for entry in source.signatures)
    known = Cache(usual_directory()).subjects(packs)
    rows = [
        _row(source, entry, compiled, subject.confidence)
        for (source, entry), compiled, subject in zip(sources, image.signatures, known, strict=True)
    ]
    if json:
        print_json(rows)
        return
    columns = ("id", "severity", "confidence", "decided", "name")
    print_table(columns, [[row[name] for name in columns] for row in rows], empty="no signatures")


def _row(
    pack: Pack, source: Signature, compiled: ImageSignature, confidence: str
) -> dict[str, Any]:
    near = source.proximity
    return {
        "id": source.id,
        "name": source.name,
        "pack": pack.name,
        "version": pack.version,
        "severity": source.severity,
        "confidence": confidence,
        "categories": [source.category],
        "decided": compiled.decided.value,
        "reason": compiled.why,
        "description": source.description,
        "tags": list(source.tags),
        "controls": list(source.controls),
        "threshold": source.threshold,
        "draft": source.draft,
        "proximity": near
        and {
            "keywords": [word.decode() for word in near.keywords],
            "distance": near.distance,
            "side": near.side,
        },
    }


def explain(id_: _Id, *, held: _Held = False, pack: _Packs = None, config: _Config = None) -> None:
    """Tell how a signature is found, where it is decided, and why there."""
    from ctypes import sizeof  # noqa: PLC0415

    from dlp.cli.packs import load_set  # noqa: PLC0415
    from dlp.datapath import abi  # noqa: PLC0415
    from dlp.signatures.explain import Rows  # noqa: PLC0415
    from dlp.signatures.explain import explain as explained  # noqa: PLC0415

    packs, image = load_set(config, pack or (), held=(id_,) if held else ())
    rows = Rows(
        signature=sizeof(abi.SignatureStruct),
        shape=sizeof(abi.ShapeStruct),
        anchor=sizeof(abi.AnchorStruct),
    )
    typer.echo(explained(image, id_, packs, held=held, rows=rows))


def check(packs: _Files, *, json: Json = False) -> None:
    """Compile packs and try their samples."""
    from dlp.cli.packs import load_set  # noqa: PLC0415

    loaded, image = load_set(None, packs)
    samples = sum(
        len(entry.must_match) + len(entry.must_not_match)
        for pack in loaded
        for entry in pack.signatures
    )
    if json:
        names = [pack.name for pack in loaded]
        print_json({"packs": names, "signatures": len(image.signatures), "samples": samples})
        return
    typer.echo(f"OK: {len(image.signatures)} signatures, {samples} samples agree")
