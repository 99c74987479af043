"""Signature packs: YAML files read into frozen values.

Checks form only; whether a signature compiles and its samples agree is the
compiler's business. An error names file, line, key, signature and remedy, never a
sample or another value of the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from dlp.errors import PackError, Place
from dlp.resources import signatures_dir
from dlp.signatures import document
from dlp.signatures.document import Document, Key
from dlp.signatures.proximity import Proximity

SEVERITIES: Final = ("low", "medium", "high", "critical")
CONFIDENCES: Final = ("low", "medium", "high")
_WORD = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_NAME = re.compile(_WORD)

Id = Annotated[str, StringConstraints(pattern=rf"^{_WORD}(?:\.{_WORD}){{2,3}}$", max_length=64)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Sample = Annotated[str, StringConstraints(min_length=1, max_length=16384)]
Shown = Annotated[int, Field(ge=0, le=8)]
Word = Annotated[str, StringConstraints(pattern=rf"^{_WORD}$", max_length=64)]
Keyword = Annotated[str, StringConstraints(pattern=r"^[!-~](?:[ -~]*[!-~])?$", max_length=32)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class _Mask(_Model):
    head: Shown = 0
    tail: Shown = 0


class _Proximity(_Model):
    keywords: list[Keyword] = Field(min_length=1, max_length=64)
    distance: Annotated[int, Field(ge=1, le=1024)] = 40
    side: Literal["before", "after", "either"] = "before"


class _Signature(_Model):
    id: Id
    name: Text
    severity: Literal["low", "medium", "high", "critical"]
    description: Text
    category: Text
    regex: Text | None = None
    literals: list[Sample] | None = Field(default=None, min_length=1, max_length=1024)
    nocase: bool = False
    validator: str | None = None
    normalise: bool | None = None
    mask: _Mask = _Mask()
    controls: list[Text] = []
    tags: list[Word] = []
    confidence: Literal["low", "medium", "high"] | None = None
    proximity: _Proximity | None = None
    threshold: Annotated[int, Field(ge=1, le=64)] = 1
    draft: bool = False
    must_match: list[Sample] = Field(min_length=1)
    must_not_match: list[Sample] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_pattern(self) -> Self:
        if (self.regex is None) == (self.literals is None):
            raise ValueError("needs either regex or literals")
        if self.nocase and self.literals is None:
            raise ValueError("nocase goes with literals; a regex says (?i)")
        return self


class _Pack(_Model):
    pack: Annotated[str, StringConstraints(pattern=rf"^{_WORD}$", max_length=32)]
    version: Annotated[int, Field(ge=1)]
    description: Text
    signatures: list[_Signature] = Field(min_length=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature of a pack.

    Attributes:
        regex: source; made of the literals where the pack gives those.
        validator: name in signatures.validators, or empty.
        mask_head, mask_tail: characters that masked text may show at either end.
        confidence: claimed by the author, or empty: the compiler computes it.
        threshold: distinct values in a flow before a rule that names none of its own acts.
        draft: samples nobody confirmed; cannot be released.
        place: of the signature in its file; `lines`: of its keys.
    """

    id: str
    name: str
    severity: str
    description: str
    category: str
    regex: str
    validator: str
    normalise: bool
    mask_head: int
    mask_tail: int
    controls: tuple[str, ...]
    must_match: tuple[bytes, ...]
    must_not_match: tuple[bytes, ...]
    tags: tuple[str, ...] = ()
    confidence: str = ""
    proximity: Proximity | None = None
    threshold: int = 1
    draft: bool = False
    place: Place
    lines: tuple[tuple[str, int], ...]

    @property
    def expression(self) -> Place:
        """The place of its regex or literals."""
        return self.at("regex" if "regex" in dict(self.lines) else "literals")

    def at(self, key: str) -> Place:
        """The place of one of its keys, `must_match[2]` for instance."""
        lines = dict(self.lines)
        line = lines.get(key) or lines.get(key.partition("[")[0]) or self.place.line
        return Place(self.place.file, line, f"{self.place.key}.{key}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """A signature pack; `name` is that of its file."""

    name: str
    version: int
    description: str
    signatures: tuple[Signature, ...]
    file: Path


def load_packs(names: Sequence[str | Path], base: Path) -> tuple[Pack, ...]:
    """Read packs in the order given, each once.

    A bare name means the pack that ships with the gateway, or all of a family: `pii` is
    each of pii-us, pii-uk and so on. What holds a `/` or ends in `.yaml` is a path, relative
    to `base`. Raises PackError, also for an id that two packs share.
    """
    files = dict.fromkeys(file for name in names for file in _locate(name, base))
    packs = tuple(load_pack(file) for file in files)
    check_distinct(packs)
    return packs


def check_distinct(packs: Sequence[Pack]) -> None:
    """Raise PackError for an id that two packs share."""
    seen: dict[str, Place] = {}
    for pack in packs:
        for signature in pack.signatures:
            if other := seen.get(signature.id):
                raise PackError(
                    f"signature {signature.id} is there twice, also at {other}",
                    place=signature.at("id"),
                    remedy="give one of them another id, or list the pack once",
                )
            seen[signature.id] = signature.place


def load_pack(file: Path) -> Pack:
    """Read one pack. Raises PackError."""
    return _freeze(document.read(file))


def parse_pack(raw: bytes, file: Path) -> Pack:
    """As `load_pack`, from bytes; `file` names the pack and is told in errors."""
    if len(raw) > document.LARGEST:
        raise PackError(
            f"is larger than {document.LARGEST >> 20} MiB",
            place=Place(file),
            remedy="split the pack",
        )
    return _freeze(document.parse(raw, file))


def builtin_names() -> tuple[str, ...]:
    """Names of the packs that ship with the gateway."""
    return tuple(sorted(file.stem for file in signatures_dir().glob("*.yaml")))


def _locate(name: str | Path, base: Path) -> tuple[Path, ...]:
    text = str(name)
    if "/" in text or text.endswith(".yaml") or isinstance(name, Path):
        return (base / name,)
    if _NAME.fullmatch(text):
        files = [signatures_dir() / f"{text}.yaml"]
        files.extend(sorted(signatures_dir().glob(f"{text}-*.yaml")))
        if found := tuple(file for file in files if file.is_file()):
            return found
    raise PackError(
        f"there is no signature pack {text!r}",
        remedy=f"built in are {', '.join(builtin_names())}; a file is named by its path",
    )


def _prefixes(pack: str) -> tuple[str, ...]:
    """How ids of a pack may begin: `pii-us` holds `pii.us.` ids, `source-code` its own."""
    return (f"{pack}.", pack.replace("-", ".", 1) + ".")


def _freeze(source: Document) -> Pack:
    try:
        model = _Pack.model_validate(source.value)
    except ValidationError as error:
        raise _translated(error, source) from None
    if model.pack != source.file.stem:
        raise PackError(
            f"pack {model.pack} lies in a file of another name",
            place=source.place(("pack",)),
            remedy=f"name the file {model.pack}.yaml",
        )
    signatures = tuple(_signature(model, index, source) for index in range(len(model.signatures)))
    return Pack(
        name=model.pack,
        version=model.version,
        description=model.description,
        signatures=signatures,
        file=source.file,
    )


def _signature(pack: _Pack, index: int, source: Document) -> Signature:
    raw = pack.signatures[index]
    key: Key = ("signatures", index)
    if not raw.id.startswith(_prefixes(pack.pack)):
        raise PackError(
            f"signature id {raw.id} does not begin with its pack",
            place=source.place((*key, "id")),
            remedy=f"ids are {_prefixes(pack.pack)[-1]}group.name",
        )
    return Signature(
        id=raw.id,
        name=raw.name,
        severity=raw.severity,
        description=raw.description,
        category=raw.category,
        regex=raw.regex if raw.regex is not None else _literals(raw),
        validator=raw.validator or "",
        normalise=bool(raw.validator) if raw.normalise is None else raw.normalise,
        mask_head=raw.mask.head,
        mask_tail=raw.mask.tail,
        controls=tuple(raw.controls),
        tags=tuple(raw.tags),
        confidence=raw.confidence or "",
        proximity=_proximity(raw.proximity),
        threshold=raw.threshold,
        draft=raw.draft,
        must_match=tuple(sample.encode() for sample in raw.must_match),
        must_not_match=tuple(sample.encode() for sample in raw.must_not_match),
        place=source.place(key),
        lines=_lines(raw, key, source),
    )


def _proximity(raw: _Proximity | None) -> Proximity | None:
    if raw is None:
        return None
    words = dict.fromkeys(word.lower().encode() for word in raw.keywords)
    return Proximity(tuple(words), raw.distance, raw.side)


def _lines(raw: _Signature, key: Key, source: Document) -> tuple[tuple[str, int], ...]:
    keys: list[Key] = [(name,) for name in raw.model_fields_set]
    for name in ("must_match", "must_not_match"):
        keys.extend((name, index) for index in range(len(getattr(raw, name))))
    return tuple(
        (document.dotted(part), source.lines[*key, *part]) for part in sorted(keys, key=str)
    )


def _literals(raw: _Signature) -> str:
    alternatives = ["".join(map(_escaped, text.encode())) for text in raw.literals or ()]
    return f"(?{'i' if raw.nocase else ''}:{'|'.join(alternatives)})"


def _escaped(byte: int) -> str:
    character = chr(byte)
    return character if character.isascii() and character.isalnum() else f"\\x{byte:02x}"


def _translated(error: ValidationError, source: Document) -> PackError:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    key: Key = tuple(first["loc"])
    remedy = {
        "extra_forbidden": "remove it, or see docs/signatures.md for the keys",
        "missing": "add it",
    }.get(first["type"], "see docs/signatures.md")
    message = first["msg"].removeprefix("Value error, ")
    return PackError(
        f"{_owner(source.value, key)}{message[:1].lower()}{message[1:]}",
        place=source.place(key),
        remedy=remedy,
    )


def _owner(value: Any, key: Key) -> str:
    """`signature pii.us.ssn: ` where the key lies in a signature that has an id."""
    match key:
        case ("signatures", int(index), *_):
            name = value["signatures"][index]
            if isinstance(name, dict) and isinstance(name.get("id"), str):
                return f"signature {name['id'][:64]}: "
    return ""
