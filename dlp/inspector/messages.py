"""What gateway and matcher process say to each other, and how it looks as bytes.

One frame is one datagram of a SOCK_SEQPACKET pair: a header (magic, version, kind, length of the
body), then the body, all in network byte order. The worker reads what an attacker wrote, so the
gateway trusts no frame: each length is checked, each text must be printable. No value here
shows payload or key in its repr.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final, Self

from dlp.signatures.image import ImageSignature
from dlp.signatures.proximity import Proximity

MAGIC: Final = 0xD19E
VERSION: Final = 3
MAX_FRAME: Final = 128 * 1024
MAX_DATA: Final = 64 * 1024
DIGEST: Final = 32

# Policies are numbered from 0; a rule's are the bits of 64.
EVERY_POLICY: Final = (1 << 64) - 1
ANY_POLICY: Final = 0xFFFF

_MAX_TEXT = 16 * 1024
_MAX_STEPS = 32

_HEADER = struct.Struct("!HBBI")
_LENGTH = struct.Struct("!H")
# A verbose regex has newlines and tabs.
_BLANKS = str.maketrans("\n\t", "  ")


class FrameError(ValueError):
    """A frame that this version does not understand. Holds no byte of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A signature as the matcher needs it.

    Attributes:
        index: of the signature in its release.
        regex: Python `re` source, matched on bytes.
        validator: name in the registry of validators; empty: none.
        normalise: digest over letters and digits only, in upper case.
        mask_head, mask_tail: characters shown at either end in masked text.
        front: fewest bytes of a match that make the kernel hold its flow; 0: records of held
            flows are not searched for it.
        policies: bit p: its matches may block a held flow of policy number p.
        keywords: one of which must stand near, a line each; empty: none is asked for.
        distance, side: see signatures.proximity.
    """

    index: int
    id: str
    regex: str
    validator: str = ""
    normalise: bool = False
    mask_head: int = 0
    mask_tail: int = 0
    front: int = 0
    policies: int = EVERY_POLICY
    keywords: str = ""
    distance: int = 0
    side: str = ""

    @classmethod
    def of(
        cls, index: int, one: ImageSignature, *, front: int = 0, policies: int = EVERY_POLICY
    ) -> Self:
        """The rule of a signature of an image."""
        near = one.proximity
        return cls(
            index=index,
            id=one.id,
            regex=one.regex,
            validator=one.validator,
            normalise=one.normalise,
            mask_head=one.mask_head,
            mask_tail=one.mask_tail,
            front=front,
            policies=policies,
            keywords="\n".join(word.decode() for word in near.keywords) if near else "",
            distance=near.distance if near else 0,
            side=near.side if near else "",
        )

    @property
    def proximity(self) -> Proximity | None:
        if not self.keywords:
            return None
        words = tuple(word.encode() for word in self.keywords.split("\n"))
        return Proximity(words, self.distance, self.side)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Payload of a flow. `offset`: of its first byte in the stream; `final`: nothing follows.

    Attributes:
        held: the flow waits for a `Word`.
        again: nothing follows before the word, so that a match at the end has to be decided.
        cut: the first byte is context, for the byte behind it; else nothing stands before it.
        anew: forget what came of the flow before.
        policy: of the flow; rules that cannot block under it are passed over. ANY_POLICY: none is.
        time_ns: when the kernel saw it (CLOCK_MONOTONIC).
        lane: records of different lanes take turns.
        question: of the kernel's, that the word answers. As `time_ns` and `lane`, it is not sent.
    """

    flow: int
    offset: int
    data: bytes = field(repr=False)
    final: bool = False
    sequence: int = 0
    held: bool = False
    again: bool = False
    cut: bool = False
    anew: bool = False
    policy: int = ANY_POLICY
    time_ns: int = 0
    lane: int = 0
    question: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A match that its validator confirmed: no raw value, only its masked text and digest.

    `signature` is an index into release `release`; `offset` counts from the stream's start.
    """

    release: int
    signature: int
    flow: int
    offset: int
    length: int
    digest: bytes
    masked: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What a held record comes to; sent after its findings and before its `Done`.

    Not sent where a search was cut short: there is no word then.

    Attributes:
        since: stream offset from which on the flow's bytes have been searched, without a gap.
        to: up to this offset no match is undecided.
        keep: behind `to`, or across it, one is: bytes to come may complete it.
        back: where that begins; `to` where there is none.
    """

    flow: int
    since: int
    to: int
    keep: bool
    back: int


@dataclass(frozen=True, slots=True)
class Key:
    """Key of the digests; must come before the first `Begin`."""

    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Begin:
    """The `rules` rules sent since the last of these are release `release`, from here on."""

    release: int
    rules: int


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there? Answered by `Done`, as a record is."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Report what is still open, then end."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has locked itself in: steps taken and not possible here, names between spaces."""

    taken: str
    missing: str


@dataclass(frozen=True, slots=True)
class Live:
    """Release `release` decides from here on."""

    release: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Release `release` was not taken; the one before stays."""

    release: int
    reason: str


@dataclass(frozen=True, slots=True)
class Settling:
    """The open matches of a silent flow are being decided, until the same comes with `ended`."""

    flow: int
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Record or ping `sequence` is dealt with. The rest counts what happened since the last one.

    Attributes:
        gaps, gap_bytes: places where a stream jumped ahead, and by how much in all.
        retransmitted, rewritten: bytes that came again the same, and that came again changed.
        evicted: flows forgotten for want of room.
        bounded: searches cut short by a work bound.
        suppressed: findings beyond the bound of one record.
    """

    sequence: int
    gaps: int = 0
    gap_bytes: int = 0
    retransmitted: int = 0
    rewritten: int = 0
    evicted: int = 0
    bounded: int = 0
    suppressed: int = 0


Message = (
    Key
    | Rule
    | Begin
    | Record
    | Ping
    | Stop
    | Ready
    | Live
    | Refused
    | Finding
    | Done
    | Settling
    | Word
)


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a message's fields follow one another in a body.

    First the numbers, then each text behind its length, then `tail` up to the frame's end.
    """

    type: type[Message]
    numbers: str = ""
    fields: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    tail: str = ""


# Numbers are append-only: 1 to 15 go to the worker, 16 and up come from it.
_LAYOUTS = {
    1: _Layout(Key, tail="key"),
    2: _Layout(
        Rule,
        "!I?BBHQH",
        ("index", "normalise", "mask_head", "mask_tail", "front", "policies", "distance"),
        ("id", "regex", "validator", "keywords", "side"),
    ),
    3: _Layout(Begin, "!II", ("release", "rules")),
    4: _Layout(
        Record,
        "!QQQH?????",
        ("sequence", "flow", "offset", "policy", "final", "held", "again", "cut", "anew"),
        tail="data",
    ),
    5: _Layout(Ping, "!Q", ("sequence",)),
    6: _Layout(Stop),
    16: _Layout(Ready, texts=("taken", "missing")),
    17: _Layout(Live, "!I", ("release",)),
    18: _Layout(Refused, "!I", ("release",), ("reason",)),
    19: _Layout(
        Finding,
        f"!IIQQI{DIGEST}s",
        ("release", "signature", "flow", "offset", "length", "digest"),
        ("masked",),
    ),
    20: _Layout(
        Done,
        "!QIQQQIII",
        (
            "sequence",
            "gaps",
            "gap_bytes",
            "retransmitted",
            "rewritten",
            "evicted",
            "bounded",
            "suppressed",
        ),
    ),
    21: _Layout(Settling, "!Q?", ("flow", "ended")),
    22: _Layout(Word, "!QQQ?Q", ("flow", "since", "to", "keep", "back")),
}
_KINDS = {layout.type: kind for kind, layout in _LAYOUTS.items()}


def encode(message: Message) -> bytes:
    """A message as a frame. Raises FrameError where it does not fit."""
    kind = _KINDS[type(message)]
    layout = _LAYOUTS[kind]
    try:
        body = struct.pack(layout.numbers, *(getattr(message, name) for name in layout.fields))
        for name in layout.texts:
            text = getattr(message, name).encode()
            body += _LENGTH.pack(len(text)) + text
    except (struct.error, UnicodeEncodeError):
        # `from None`: such an error shows the value it could not take.
        raise FrameError(f"{layout.type.__name__} that does not fit its frame") from None
    if layout.tail:
        body += getattr(message, layout.tail)
    if len(body) > MAX_FRAME - _HEADER.size:
        raise FrameError(f"{layout.type.__name__} too long for a frame")
    return _HEADER.pack(MAGIC, VERSION, kind, len(body)) + body


def decode(frame: bytes) -> Message:
    """The message of a frame. Raises FrameError for anything malformed or unknown."""
    if not _HEADER.size <= len(frame) <= MAX_FRAME:
        raise FrameError("frame of an impossible length")
    magic, version, kind, length = _HEADER.unpack_from(frame)
    if magic != MAGIC or version != VERSION:
        raise FrameError("frame of another protocol or version")
    if length != len(frame) - _HEADER.size:
        raise FrameError("frame whose length is a lie")
    layout = _LAYOUTS.get(kind)
    if layout is None:
        raise FrameError("frame of an unknown kind")
    return _decode_body(layout, frame[_HEADER.size :])


def _decode_body(layout: _Layout, body: bytes) -> Message:
    try:
        numbers = struct.unpack_from(layout.numbers, body)
        values: dict[str, object] = dict(zip(layout.fields, numbers, strict=True))
        at = struct.calcsize(layout.numbers)
        for name in layout.texts:
            (length,) = _LENGTH.unpack_from(body, at)
            at += _LENGTH.size
            values[name] = _text(body[at : at + length], length)
            at += length
    except struct.error:
        raise FrameError(f"{layout.type.__name__} cut short") from None
    if layout.tail:
        values[layout.tail] = body[at:]
    elif at != len(body):
        raise FrameError(f"{layout.type.__name__} with bytes behind it")
    # The table above gives each class its own fields, which no type can say.
    return layout.type(**values)  # type: ignore[arg-type]


def _text(raw: bytes, length: int) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise FrameError("text that is not UTF-8") from None
    if len(raw) != length or not text.translate(_BLANKS).isprintable():
        raise FrameError("text cut short, or not printable")
    return text
