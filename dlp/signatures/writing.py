"""Packs as the YAML text of their files, as `document` reads it.

Written by hand, so that texts are quoted where they must be and nothing is a tag, an anchor or
another type than it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from dlp.signatures.pack import Signature

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*( [A-Za-z0-9_./(),;-]+)*")
_WORDS: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off"})
_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def pack_text(
    name: str,
    version: int,
    description: str,
    signatures: Sequence[Signature],
    notes: Iterable[str] = (),
) -> str:
    """A pack's file; `notes` become comments at its top."""
    lines = [f"# {line}" for note in notes for line in note.splitlines()]
    lines += [
        f"pack: {name}",
        f"version: {version}",
        f"description: {scalar(description)}",
        "",
        "signatures:",
    ]
    for number, signature in enumerate(signatures):
        lines += [""] if number else []
        lines += _signature(signature)
    return "\n".join(lines) + "\n"


def scalar(text: str) -> str:
    """A text as a YAML scalar that reads as this text again."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    if text and all(0x20 <= ord(character) < 0x7F for character in text):  # noqa: PLR2004 - ASCII
        return "'" + text.replace("'", "''") + "'"
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    number = ord(character)
    if number < 0x10000:  # noqa: PLR2004 - of four digits
        return f"\\u{number:04x}"
    return f"\\U{number:08x}"


def _signature(one: Signature) -> Iterator[str]:
    yield f"  - id: {one.id}"
    for key, text in (
        ("name", one.name),
        ("severity", one.severity),
        ("description", one.description),
        ("category", one.category),
        ("regex", one.regex),
    ):
        yield f"    {key}: {scalar(text)}"
    yield from _options(one)
    for key, samples in (("must_match", one.must_match), ("must_not_match", one.must_not_match)):
        yield f"    {key}:"
        yield from (f"      - {scalar(sample.decode())}" for sample in samples)


def _options(one: Signature) -> Iterator[str]:
    """Keys that say something other than their default."""
    if one.validator:
        yield f"    validator: {one.validator}"
    if one.normalise != bool(one.validator):
        yield f"    normalise: {str(one.normalise).lower()}"
    if one.mask_head or one.mask_tail:
        yield f"    mask: {{head: {one.mask_head}, tail: {one.mask_tail}}}"
    if one.controls:
        yield f"    controls: {_list(one.controls)}"
    if one.tags:
        yield f"    tags: {_list(one.tags)}"
    if one.confidence:
        yield f"    confidence: {one.confidence}"
    if one.proximity:
        yield "    proximity:"
        yield f"      keywords: {_list(word.decode() for word in one.proximity.keywords)}"
        yield f"      distance: {one.proximity.distance}"
        yield f"      side: {one.proximity.side}"
    if one.threshold != 1:
        yield f"    threshold: {one.threshold}"
    if one.draft:
        yield "    draft: true"


def _list(texts: Iterable[str]) -> str:
    """A list in brackets, in which a comma or a bracket would end a plain text."""
    quoted = ("'" + text.replace("'", "''") + "'" for text in texts)
    return "[" + ", ".join(quoted) + "]"
