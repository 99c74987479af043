"""Signature packs as the model reads them: plain YAML, no word from the compiler."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.oracle.checks import CHECKS, none
from tests.oracle.model import Near, Rule

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
PACKS = Path(__file__).resolve().parents[2] / "signatures"


@dataclass(frozen=True, slots=True)
class Packs:
    """The rules of some packs in pack order, and the values their authors say must match."""

    rules: tuple[Rule, ...]
    samples: dict[str, tuple[bytes, ...]]


def load(
    names: Iterable[str] | None = None,
    inspected: frozenset[str] = frozenset(),
    only: frozenset[str] | None = None,
) -> Packs:
    """Read packs by name, all of them by default; `only` these ids, where some are named.

    `inspected`: ids that the kernel only prefilters, as `dlp signatures explain` says; the model
    asks no more of it there.
    """
    every = sorted(PACKS.glob("*.yaml"))
    files = every if names is None else [file for name in names for file in files_of(name, every)]
    rules: list[Rule] = []
    samples: dict[str, tuple[bytes, ...]] = {}
    for file in files:
        pack = yaml.load(file.read_text(), _LOADER)  # noqa: S506  (the safe ones)
        for entry in pack["signatures"]:
            name = entry["id"]
            if only is not None and name not in only:
                continue
            validator = entry.get("validator") or ""
            rules.append(
                Rule(
                    id=name,
                    regex=_regex(entry),
                    check=none if name in inspected else CHECKS[validator],
                    exact=name not in inspected,
                    normalise=bool(entry.get("normalise", validator)),
                    near=_near(entry.get("proximity")),
                    ended=_ended(str(entry.get("regex", ""))),
                )
            )
            samples[name] = tuple(sample.encode() for sample in entry["must_match"])
    return Packs(tuple(rules), samples)


def files_of(name: str, every: Iterable[Path]) -> list[Path]:
    """Built-in packs by name, all of a family by its name; one of the oracle's own by its path."""
    if name.endswith(".yaml"):
        return [Path(name)]
    return [file for file in every if f"{file.stem}-".startswith(f"{name}-")]


def _near(entry: dict[str, Any] | None) -> Near | None:
    """What stands behind a value, or on either side, the kernel does not decide."""
    if entry is None or entry.get("side", "before") != "before":
        return None
    words = tuple(word.encode() for word in entry["keywords"])
    return Near(words, entry.get("distance", 40))


def _regex(entry: dict[str, object]) -> re.Pattern[bytes]:
    if "regex" in entry:
        return re.compile(_meant(str(entry["regex"])).encode())
    literals = entry["literals"]
    assert isinstance(literals, list)
    source = b"|".join(re.escape(str(literal).encode()) for literal in literals)
    return re.compile(source, re.IGNORECASE if entry.get("nocase") else 0)


# An escaped character, a class, or an anchor.
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[$^]", re.DOTALL)
_LONG_BEGINNING = re.compile(r"((?:\(\?i\))?)\[[^]]*\]\{0,\d\d+\}\??")


def _meant(source: str) -> str:
    """As docs/signatures.md reads it: a NUL is an end too, a long optional part in front is cut."""
    ends = {"$": r"(?=\x00|\Z)", r"\Z": r"(?=\x00|\Z)", r"\z": r"(?=\x00|\Z)"}
    ends |= {"^": r"(?<![^\x00])", r"\A": r"(?<![^\x00])"}
    source = _TOKEN.sub(lambda found: ends.get(found[0], found[0]), source)
    long = _LONG_BEGINNING.match(source)
    return long[1] + source[long.end() :] if long else source


def _ended(source: str) -> bool:
    """Whether an expression names the end of the data."""
    return any(found[0] in ("$", r"\Z", r"\z") for found in _TOKEN.finditer(source))
