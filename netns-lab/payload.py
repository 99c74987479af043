r"""Payload templates: what a scenario writes, as bytes, and where it is cut.

    "order 17, card ${card}\n"     a planted secret by its name in the scenario
    "${card :7}" "${card 7:}"      its first seven bytes, and the rest
    "${text 2k}"                   filler of a size (k is 1024, M a million): text, json, random
    "${text to 16380}"             filler up to that offset of the payload
    "${hex 160301}"                those bytes
    "${shift}"                     as many bytes as the number of the connection (`times`)

Cuts are offsets, or `card+8`: behind the eighth byte of a secret.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

UNITS = {"": 1, "k": 1 << 10, "M": 1_000_000}
PLACE = re.compile(r"\$\{(?P<name>[a-z0-9_-]+)(?: (?P<argument>[^}]*))?\}")
PART = re.compile(r"(\d*):(\d*)")
SIZE = re.compile(r"(?P<to>to )?(?P<number>\d+)(?P<unit>[kM]?)")
PROSE = (
    "the invoice of last month was paid and the goods have left the harbour with a delay of some "
    "days because the weather did not allow the crane to work before noon as the port reported"
)


class TemplateError(ValueError):
    """A template or a cut that cannot be made; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """Bytes to send, and the offset at which each secret begins in them."""

    data: bytes
    at: Mapping[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Without the bytes."""
        return f"<payload of {len(self.data)} bytes>"


def render(
    template: str, secrets: Mapping[str, bytes], *, seed: str = "", shift: int = 0
) -> Payload:
    """Fill in a template.

    Raises:
        TemplateError: a name in it is neither a secret nor a filler.
    """
    out = bytearray()
    at: dict[str, int] = {}
    end = 0
    for place in PLACE.finditer(template):
        out += template[end : place.start()].encode()
        end = place.end()
        name, argument = place["name"], place["argument"]
        if name in secrets and argument is None:
            at.setdefault(name, len(out))
            out += secrets[name]
        elif name in secrets and (part := PART.fullmatch(argument or "")):
            start, stop = (int(number) if number else None for number in part.groups())
            out += secrets[name][start:stop]
        elif name == "shift" and argument is None:
            out += b"." * shift
        elif name == "hex" and argument:
            out += bytes.fromhex(argument)
        else:
            out += _filler(place, len(out), seed)
    out += template[end:].encode()
    return Payload(data=bytes(out), at=at)


def _filler(place: re.Match[str], offset: int, seed: str) -> bytes:
    size = SIZE.fullmatch(place["argument"] or "")
    if place["name"] not in FILLERS or size is None:
        raise TemplateError(
            f"{place.group()} in a payload: expected a secret, shift, hex BYTES or one of"
            f" {', '.join(FILLERS)} with a size"
        )
    count = int(size["number"]) * UNITS[size["unit"]] - (offset if size["to"] else 0)
    if count < 0:
        raise TemplateError(f"{place.group()} in a payload: that offset is passed already")
    return FILLERS[place["name"]](count, seed)


def cut_offsets(cuts: Sequence[int | str] | str, payload: Payload) -> list[int]:
    """Where a payload is cut: `every N`, or offsets and `secret+N` in rising order.

    Raises:
        TemplateError: an unknown secret, or an offset outside of the payload.
    """
    size = len(payload.data)
    if isinstance(cuts, str):
        step = re.fullmatch(r"every ([1-9]\d*)", cuts)
        if not step:
            raise TemplateError(f"cut: {cuts!r}: expected `every N` or a list of offsets")
        return list(range(int(step.group(1)), size, int(step.group(1))))
    offsets = [_offset(cut, payload) for cut in cuts]
    if offsets != sorted(set(offsets)) or any(not 0 < offset < size for offset in offsets):
        raise TemplateError(f"cut: {list(cuts)}: expected rising offsets inside {size} bytes")
    return offsets


def _offset(cut: int | str, payload: Payload) -> int:
    if isinstance(cut, int):
        return cut
    name, plus, number = cut.partition("+")
    if name not in payload.at or not plus or not number.isdigit():
        raise TemplateError(f"cut: {cut!r}: expected an offset or `secret+N`")
    return payload.at[name] + int(number)


def text(size: int, seed: str) -> bytes:
    """Prose without digits."""
    rng = random.Random(seed)
    block = " ".join(rng.choices(PROSE.split(), k=2000)) + ".\n"
    return (block * (size // len(block) + 1))[:size].encode()


def records(size: int, seed: str) -> bytes:
    """JSON lines with many short numbers, none of them a secret."""
    rng = random.Random(seed)
    lines = []
    for number in range(400):
        line = {
            "id": number,
            "time": f"2026-0{rng.randint(1, 9)}-1{rng.randint(0, 9)}T08:{rng.randint(10, 59)}:07Z",
            "amount": rng.randint(1, 99_999) / 100,
            "version": f"{rng.randint(1, 9)}.{rng.randint(0, 40)}.{rng.randint(0, 9)}",
        }
        lines.append(json.dumps(line))
    block = "\n".join(lines) + "\n"
    return (block * (size // len(block) + 1))[:size].encode()


def noise(size: int, seed: str) -> bytes:
    """Random bytes, numbered by the megabyte so that no two stretches are alike."""
    block = random.Random(seed).randbytes(1 << 20)
    count = size // len(block) + 1
    return b"".join(number.to_bytes(8) + block[8:] for number in range(count))[:size]


FILLERS: dict[str, Callable[[int, str], bytes]] = {"text": text, "json": records, "random": noise}
