"""gitleaks' rules (its TOML, version 8) as a pack, and rule by rule what did not carry over.

What a rule says there, and what becomes of it:

    regex        rewritten for streams (see `rewrite`)
    keywords     part of the expression as a rule; else words that must stand near (proximity)
    secretGroup  the match is the value where nothing but places stands outside the group
    entropy      not asked for: a stream's signature is decided without it; told
    path         not applicable: traffic has no file names; told
    allowlists   not carried: exceptions are a policy's business, by digest; told
    tags         tags
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from dlp.errors import PackError, Place
from dlp.signatures import generate
from dlp.signatures.compiler import compile_packs
from dlp.signatures.importers.rewrite import Rewritten, rewrite
from dlp.signatures.pack import Pack, Signature
from dlp.signatures.proximity import Proximity

LARGEST: Final = 4 << 20
DISTANCE: Final = 256  # bytes between a keyword that is no part of the expression and the value
_SAMPLES: Final = 3
_ID: Final = 64
_PATH: Final = "path: not applicable, traffic has no file names"

Text = Annotated[str, StringConstraints(max_length=8192)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class _Allowlist(_Model):
    description: Text = ""
    condition: Text = ""
    paths: list[Text] = []
    regexes: list[Text] = []
    stopwords: list[Text] = []
    commits: list[Text] = []


class _Rule(_Model):
    id: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    description: Text = ""
    regex: Text | None = None
    path: Text | None = None
    entropy: float = 0.0
    secret_group: int = Field(default=0, alias="secretGroup", ge=0)
    keywords: list[Text] = []
    tags: list[Text] = []
    allowlist: _Allowlist | None = None
    allowlists: list[_Allowlist] = []


class _File(_Model):
    title: Text = ""
    rules: list[_Rule] = Field(min_length=1, max_length=4096)
    allowlist: _Allowlist | None = None
    allowlists: list[_Allowlist] = []

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        seen: set[str] = set()
        for rule in self.rules:
            if rule.id in seen:
                raise ValueError(f"rule {rule.id} is there twice")
            seen.add(rule.id)
        return self


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one rule.

    Attributes:
        signature: its id in the pack; empty where it was not carried over.
        decided: `kernel` or `inspector`.
        reason: why it was not carried over, or why the inspector decides it.
        notes: what of it did not carry over, or changed.
    """

    rule: str
    signature: str
    decided: str
    reason: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Imported:
    """A file's rules as a pack; `notes` are about the file as a whole."""

    pack: Pack
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Made:
    signature: Signature
    notes: tuple[str, ...]


def import_rules(file: Path, name: str) -> Imported:
    """Read a file and make a pack of that name.

    Raises PackError where the file is no gitleaks TOML, or nothing of it carries over.
    """
    source = _read(file)
    taken: set[str] = set()
    made: dict[str, _Made] = {}
    refused: dict[str, tuple[str, tuple[str, ...]]] = {}
    for number, rule in enumerate(source.rules):
        try:
            made[rule.id] = _made(rule, name, file, number, taken)
        except PackError as error:
            refused[rule.id] = _reason(error), _left_out(rule)
    pack, decided = _compiled(made, refused, name, source, file)
    outcomes = [
        Outcome(rule.id, "", "", *refused[rule.id])
        if rule.id in refused
        else Outcome(rule.id, made[rule.id].signature.id, *decided[rule.id], made[rule.id].notes)
        for rule in source.rules
    ]
    return Imported(pack, tuple(outcomes), _about(source))


def _read(file: Path) -> _File:
    try:
        with file.open("rb") as stream:
            raw = stream.read(LARGEST + 1)
    except OSError as error:
        raise PackError(
            f"cannot be read: {error.strerror}", place=Place(file), remedy="check path and rights"
        ) from error
    if len(raw) > LARGEST:
        raise PackError(f"is larger than {LARGEST >> 20} MiB", place=Place(file))
    try:
        return _File.model_validate(tomllib.loads(raw.decode("utf-8")))
    except UnicodeDecodeError as error:
        raise PackError("is not UTF-8", place=Place(file)) from error
    except tomllib.TOMLDecodeError as error:
        raise PackError(f"is not TOML: {error}", place=Place(file)) from None
    except RecursionError:
        raise PackError("is nested too deeply", place=Place(file)) from None
    except ValidationError as error:
        first: Any = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise PackError(
            f"is no gitleaks configuration: {first['msg']}",
            place=Place(file, None, key),
            remedy="rules are [[rules]] with id and regex",
        ) from None


def _made(rule: _Rule, pack: str, file: Path, number: int, taken: set[str]) -> _Made:
    if rule.regex is None:
        raise PackError("it has no regex: a rule about paths only")
    rewritten = rewrite(rule.regex, rule.secret_group)
    near = _near(rule, rewritten)
    matching = generate.positives(rewritten.regex, count=_SAMPLES, near=near)
    others = generate.near_misses(rewritten.regex, of=matching, count=_SAMPLES, near=near)
    if not others:
        raise PackError("no near miss could be made of the expression")
    signature = Signature(
        id=_id(pack, rule.id, taken),
        name=_title(rule.id),
        severity="high",
        description=rule.description or f"Imported from gitleaks: {rule.id}.",
        category="credential",
        regex=rewritten.regex,
        validator="",
        normalise=False,
        mask_head=0,
        mask_tail=0,
        controls=(),
        must_match=matching,
        must_not_match=others,
        tags=tuple(dict.fromkeys(filter(None, map(_word, ["gitleaks", *rule.tags])))),
        proximity=near,
        draft=True,
        place=Place(file, None, f"rules[{number}]"),
        lines=(),
    )
    _compile([signature], pack, file)
    notes = (*_left_out(rule), *rewritten.notes, *_of_value(rewritten), *_of_words(rule, near))
    return _Made(signature, notes)


def _near(rule: _Rule, rewritten: Rewritten) -> Proximity | None:
    """Keywords as proximity, unless the expression holds one of them or has it as a choice."""
    text = "\0".join(rewritten.words)
    plain = re.sub(r"[\\()?:|\[\]]", "", rewritten.regex).lower()
    keywords = [keyword.lower() for keyword in rule.keywords]
    if not keywords or any(keyword in text or keyword in plain for keyword in keywords):
        return None
    usable = tuple(
        dict.fromkeys(
            keyword.encode()
            for keyword in keywords
            if keyword.isascii() and keyword.isprintable() and 0 < len(keyword.strip()) <= 32  # noqa: PLR2004
        )
    )
    return Proximity(usable, DISTANCE, "either") if usable else None


def _left_out(rule: _Rule) -> tuple[str, ...]:
    notes = []
    if rule.path is not None:
        notes.append(_PATH)
    if rule.entropy:
        notes.append(f"entropy {rule.entropy:g}: not asked for")
    lists = [*rule.allowlists, *([rule.allowlist] if rule.allowlist else [])]
    notes += [_of_allowlist(one) for one in lists]
    return tuple(notes)


def _of_allowlist(one: _Allowlist) -> str:
    parts = [
        f"{len(entries)} {kind}"
        for kind, entries in (
            ("regexes", one.regexes),
            ("stopwords", one.stopwords),
            ("paths", one.paths),
            ("commits", one.commits),
        )
        if entries
    ]
    what = ", ".join(parts) or "empty"
    return f"allowlist ({what}): not carried, a policy makes exceptions by digest"


def _of_value(rewritten: Rewritten) -> tuple[str, ...]:
    if rewritten.bare:
        return ()
    return ("secretGroup: digest and masked text cover the whole match, not the group alone",)


def _of_words(rule: _Rule, near: Proximity | None) -> tuple[str, ...]:
    if near is not None:
        return (f"keywords: one must stand within {DISTANCE} bytes",)
    return ("keywords: part of the expression",) if rule.keywords else ()


def _about(source: _File) -> tuple[str, ...]:
    lists = [*source.allowlists, *([source.allowlist] if source.allowlist else [])]
    return tuple(f"for all rules: {_of_allowlist(one)}" for one in lists)


def _compiled(
    made: dict[str, _Made],
    refused: dict[str, tuple[str, tuple[str, ...]]],
    name: str,
    source: _File,
    file: Path,
) -> tuple[Pack, dict[str, tuple[str, str]]]:
    """The pack of all that compile together, and by rule where each is decided and why."""
    while made:
        pack = _pack([one.signature for one in made.values()], name, file, source.title)
        try:
            image = compile_packs([pack])
        except PackError as error:
            rule = next((rule for rule, one in made.items() if one.signature.id in str(error)), "")
            if not rule:
                raise
            refused[rule] = (_reason(error), made.pop(rule).notes)
            continue
        places = {one.id: (one.decided.value, one.why) for one in image.signatures}
        return pack, {rule: places[one.signature.id] for rule, one in made.items()}
    raise PackError("no rule of it carries over", place=Place(file))


def _compile(signatures: Sequence[Signature], name: str, file: Path) -> None:
    compile_packs([_pack(signatures, name, file, "")])


def _pack(signatures: Sequence[Signature], name: str, file: Path, title: str) -> Pack:
    return Pack(
        name=name,
        version=1,
        description=f"Imported from gitleaks{f': {title}' if title else ''}.",
        signatures=tuple(replace(one) for one in signatures),
        file=file,
    )


def _reason(error: PackError) -> str:
    """The error without the id it begins with, which the report names anyway."""
    message = re.sub(r"^signature \S+: ", "", error.message)
    return f"{message} ({error.remedy})" if error.remedy else message


def _id(pack: str, rule: str, taken: set[str]) -> str:
    """`pack.group.name` of a rule's id; a number behind it where that is taken."""
    words = [word for word in re.split(r"[^a-z0-9]+", rule.lower()) if word] or ["rule"]
    group, rest = words[0], "-".join(words[1:]) or "key"
    text = f"{pack}.{group}.{rest}"[:_ID].rstrip("-.")
    number = 2
    while text in taken:
        tail = f"-{number}"
        text = f"{pack}.{group}.{rest}"[: _ID - len(tail)].rstrip("-.") + tail
        number += 1
    taken.add(text)
    return text


def _title(rule: str) -> str:
    return rule.replace("-", " ").replace("_", " ").strip().capitalize() or rule


def _word(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:64]
