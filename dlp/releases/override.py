"""Development mode: single packs and single signatures in place of those of a set.

Unsigned, and therefore only where the policy file asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from dlp.errors import PackError, Place, UsageError
from dlp.signatures.pack import Pack, Signature, check_distinct, parse_pack

ORIGIN: Final = Path("development")

_WORD = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_PACK = re.compile(rf"{_WORD}")
_ID = re.compile(rf"({_WORD}(?:\.{_WORD}){{2,3}})")
_HEAD = "pack: {pack}\nversion: 1\ndescription: Of development mode.\nsignatures:\n"
_HEAD_LINES = 4


def check_name(name: str) -> None:
    """Raise UsageError unless it is a pack's name or a signature's id; it becomes a file's."""
    if len(name) > 64 or not (_PACK.fullmatch(name) or _ID.fullmatch(name)):  # noqa: PLR2004
        raise UsageError(
            "no name of a pack, nor id of a signature", remedy="as pci, or pci.card.visa"
        )


def overridden(packs: Sequence[Pack], overrides: Mapping[str, bytes]) -> tuple[Pack, ...]:
    """The packs with overrides by name: whole packs first, then single signatures.

    Raises:
        PackError: one of them is bad, or its id is another pack's.
    """
    found = {pack.name: pack for pack in packs}
    for name in sorted(overrides, key=lambda name: ("." in name, name)):
        if "." in name:
            pack = _owner(name, found.values())
            found[pack.name] = _with(pack, one(name, overrides[name], pack.name))
        else:
            found[name] = parse_pack(overrides[name], ORIGIN / f"{name}.yaml")
    made = tuple(pack for pack in found.values() if pack.signatures)
    check_distinct(made)
    return made


def one(id_: str, text: bytes, pack: str) -> Signature:
    """A signature out of the YAML mapping that stands in a pack below its dash.

    Raises:
        PackError: with the line in `text`.
    """
    try:
        lines = text.decode().splitlines()
    except UnicodeDecodeError as error:
        raise PackError("is not UTF-8", place=Place(ORIGIN / f"{id_}.yaml")) from error
    head = _HEAD.format(pack=pack)
    body = "\n".join(
        ("  - " if number == 0 else "    ") + line for number, line in enumerate(lines)
    )
    try:
        parsed = parse_pack(f"{head}{body}\n".encode(), ORIGIN / f"{pack}.yaml")
    except PackError as error:
        raise _moved(error, id_) from error
    if len(parsed.signatures) != 1 or parsed.signatures[0].id != id_:
        raise PackError(
            f"this is not the one signature {id_}",
            place=Place(ORIGIN / f"{id_}.yaml"),
            remedy="send the mapping of one signature, `id:` first",
        )
    return parsed.signatures[0]


def _owner(id_: str, packs: Collection[Pack]) -> Pack:
    """The pack that a signature belongs to: the one that has it, or whose name begins its id."""
    for pack in packs:
        if any(signature.id == id_ for signature in pack.signatures):
            return pack
    for pack in packs:
        if id_.startswith((f"{pack.name}.", pack.name.replace("-", ".", 1) + ".")):
            return pack
    return Pack(
        name=id_.partition(".")[0],
        version=1,
        description="Of development mode.",
        signatures=(),
        file=ORIGIN / f"{id_}.yaml",
    )


def _with(pack: Pack, signature: Signature) -> Pack:
    kept = [known for known in pack.signatures if known.id != signature.id]
    place = next(
        (at for at, known in enumerate(pack.signatures) if known.id == signature.id), len(kept)
    )
    return replace(pack, signatures=(*kept[:place], signature, *kept[place:]))


def _moved(error: PackError, id_: str) -> PackError:
    """The error with its line in what was sent."""
    place = error.place
    line = place.line - _HEAD_LINES if place and place.line else None
    key = place.key if place else ""
    return PackError(
        error.message,
        remedy=error.remedy,
        place=Place(ORIGIN / f"{id_}.yaml", max(line, 1) if line is not None else None, key),
    )
