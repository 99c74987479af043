"""A kernel image as JSON text, and back.

Nothing but plain values and the named dataclasses and enums of the image can come out of it.
What the shapes already tell (the table of q-grams) is not written but made anew.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, Final

from dlp import model
from dlp.signatures import byteset, collector, image, keywords, proximity, weighted
from dlp.signatures.anchors import GRAM
from dlp.signatures.gramtable import entries
from dlp.signatures.image import KernelImage, Shape, Step

_WORD: Final = 8  # bytes of a word of the Bloom filter
_KNOWN: Final[dict[str, type]] = {
    name: found
    for module in (model, image, keywords, proximity, weighted)
    for name, found in vars(module).items()
    if isinstance(found, type) and (is_dataclass(found) or issubclass(found, enum.Enum))
}


def dumps(whole: KernelImage) -> str:
    """The image as one line of JSON."""
    return json.dumps(_fields(whole, _IMAGE), separators=(",", ":"))


def loads(text: str) -> KernelImage:
    """The image of such a text. Raises ValueError, TypeError or KeyError for any other."""
    with collector.paused():
        raw = json.loads(text)
        found = {name: _IMAGE.get(name, _ANY)[1](value) for name, value in raw.items()}
        return KernelImage(**{**found, "anchors": entries(found["shapes"])})


_Coder = tuple[Callable[[Any], Any], Callable[[Any], Any]]


def _fields(value: Any, special: dict[str, _Coder]) -> dict[str, Any]:
    """The fields of a dataclass by name, each by its own coder where it has one."""
    return {
        field.name: special.get(field.name, _ANY)[0](getattr(value, field.name))
        for field in fields(value)
    }


def _made(cls: Any, raw: dict[str, Any], special: dict[str, _Coder]) -> Any:
    return cls(**{name: special.get(name, _ANY)[1](value) for name, value in raw.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return {"enum": type(value).__name__, "is": value.value}
    if is_dataclass(value) and not isinstance(value, type):
        return {"data": type(value).__name__, "is": _fields(value, {})}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"an image cannot hold {type(value).__name__}")


def _value(raw: Any) -> Any:
    if isinstance(raw, list):
        return tuple(_value(one) if isinstance(one, list | dict) else one for one in raw)
    if not isinstance(raw, dict):
        return raw
    if "bytes" in raw:
        return bytes.fromhex(raw["bytes"])
    if "enum" in raw:
        return _KNOWN[raw["enum"]](raw["is"])
    return _made(_KNOWN[raw["data"]], raw["is"], {})


def _grams(raw: list[Any]) -> tuple[tuple[bytes, int], ...]:
    text = bytes.fromhex(raw[0])
    return tuple(
        (text[place * GRAM : place * GRAM + GRAM], offset) for place, offset in enumerate(raw[1])
    )


def _words(text: str) -> tuple[int, ...]:
    raw = bytes.fromhex(text)
    return tuple(int.from_bytes(raw[at : at + _WORD], "little") for at in range(0, len(raw), _WORD))


_ANY: Final[_Coder] = (_plain, _value)
_BYTES: Final[_Coder] = (bytes.hex, bytes.fromhex)
_SHAPE: Final[dict[str, _Coder]] = {
    "literal": _BYTES,
    "fold": _BYTES,
    "steps": (
        lambda steps: [[step.cls, step.min, step.max] for step in steps],
        lambda raw: tuple(Step(*one) for one in raw),
    ),
    "grams": (
        lambda grams: [b"".join(gram for gram, _ in grams).hex(), [offset for _, offset in grams]],
        _grams,
    ),
}
_IMAGE: Final[dict[str, _Coder]] = {
    "shapes": (
        lambda shapes: [_fields(shape, _SHAPE) for shape in shapes],
        lambda raw: tuple(_made(Shape, one, _SHAPE) for one in raw),
    ),
    "classes": (
        lambda classes: [f"{byteset.of(members):x}" for members in classes],
        lambda raw: tuple(frozenset(byteset.members(int(mask, 16))) for mask in raw),
    ),
    "bloom": (
        lambda words: b"".join(word.to_bytes(_WORD, "little") for word in words).hex(),
        _words,
    ),
    "anchors": (lambda _: [], lambda _: {}),
}
