"""The compiled signature set: what the compiler returns and the tables are filled from.

Immutable and free of kernel types; datapath.tables alone turns it into map values.
The limits are those of bpf/abi.h.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from dlp.model import DecidedBy
from dlp.signatures.keywords import NO_KEYWORDS, KeywordTable
from dlp.signatures.proximity import Proximity
from dlp.signatures.weighted import Weighted

TAIL = 128
SPAN = 126
LITERAL = 32
STEPS = 16
CLASSES = 256
ANCHORS_PER_GRAM = 8
ANCHORS = 65535
LANE_SHAPES = 64
SIGNATURES = 4096
SHAPES = 16384
SUMS = 256
BLOOM_WORDS = 2048
BLOOM_WORDS_MOST = 8192
STRIDES = (2, 3, 6)


class Check(enum.IntEnum):
    """Checksums that the kernel computes; numbers as enum dlp_check in bpf/abi.h."""

    NONE = 0
    LUHN = 1
    IBAN = 2
    US_SSN = 3
    NHS = 4
    DE_TAX = 5
    ES_DNI = 6
    FR_NIR = 7
    WEIGHTED = 8
    VERHOEFF = 9


@dataclass(frozen=True, slots=True)
class Step:
    """A run of min..max bytes of a class, taken possessively. Class 0 is any byte."""

    cls: int
    min: int
    max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One way in which a signature can match, decided from its first byte.

    Attributes:
        signature: index into KernelImage.signatures.
        literal: bytes that stand at `literal_offset` from the start, folded bytes
            with bit 5 set; empty where the shape has none.
        fold: as long as literal; 0x20 where case is folded, else 0.
        steps: cover the match from its first byte to its last; a literal is stepped
            over with class 0.
        left, right: class of the byte before the start and behind the end (0: any).
            Before a stream and behind a segment that byte reads as NUL.
        grams: q-grams (4 folded bytes) with their offsets from the start of the
            match; every variant is listed, for each remainder of the offset modulo the
            stride at least one place.
            Empty for the digit lane.
        lane: True where the digit lane finds it.
        lane_offset: from the start of the match to its first digit group.
        span: most bytes of a match, boundaries not counted; at most SPAN.
        trigger: True for the front of a match, which begins a hold and decides nothing.
    """

    signature: int
    literal: bytes
    fold: bytes
    literal_offset: int
    steps: tuple[Step, ...]
    left: int
    right: int
    grams: tuple[tuple[bytes, int], ...]
    lane: bool
    lane_offset: int
    span: int
    trigger: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSignature:
    """What the kernel and the reports need to know of one signature.

    Attributes:
        id: `pack.group.name`.
        decided: KERNEL where shapes and check equal the regex; INSPECTOR where the
            shapes are a prefilter only.
        why: one sentence that says why it is decided there.
        normalise: digest over letters and digits only, in upper case.
        mask_head, mask_tail: characters shown at either end in masked text.
        regex: source text, for the inspector; shapes: indices into KernelImage.shapes.
        leaves: most bytes of a match that can have left in earlier segments when it is
            found, or when a hold begins where the signature has triggers; None where the
            inspector decides and nothing bounds it.
        sums: what the kernel computes under Check.WEIGHTED, one or two; all must hold.
        proximity: keywords one of which must stand near; who decides the signature decides
            that too.
    """

    id: str
    severity: str
    decided: DecidedBy
    why: str
    check: Check
    normalise: bool
    mask_head: int
    mask_tail: int
    regex: str
    validator: str
    shapes: tuple[int, ...]
    leaves: int | None = None
    sums: tuple[Weighted, ...] = ()
    proximity: Proximity | None = None

    @property
    def near(self) -> Proximity | None:
        """The proximity, where the kernel decides it."""
        return self.proximity if self.decided is DecidedBy.KERNEL else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """Digit lane tables: see struct dlp_lane.

    `first` has 512 words, `second` 16, `before` and `after` 256 each, by byte value.
    """

    first: tuple[int, ...]
    second: tuple[int, ...]
    before: tuple[int, ...] = ((1 << LANE_SHAPES) - 1,) * 256
    after: tuple[int, ...] = ((1 << LANE_SHAPES) - 1,) * 256
    shapes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelImage:
    """A signature set as the kernel programs read it.

    Attributes:
        version: hex SHA-256 over all that follows, so that equal sets are equal.
        stride: distance in bytes between sampled q-grams; one of STRIDES.
        classes: byte classes as sets of byte values; number 0 holds all bytes.
        bloom: words of 64 bits; BLOOM_WORDS to BLOOM_WORDS_MOST of them, a power of two.
        anchors: folded gram (4 bytes) to (shape index, offset) entries.
        keywords: of the signatures whose proximity the kernel decides.
    """

    version: str
    stride: int
    signatures: tuple[ImageSignature, ...]
    shapes: tuple[Shape, ...]
    classes: tuple[frozenset[int], ...]
    bloom: tuple[int, ...]
    anchors: dict[bytes, tuple[tuple[int, int], ...]]
    lane: Lane
    keywords: KeywordTable = NO_KEYWORDS


GRAM_MULTIPLIER = 0x9E3779B97F4A7C15


def bloom_bits(gram: bytes, words: int = BLOOM_WORDS) -> tuple[int, int, int]:
    """Word index and the two bit numbers of a folded gram in a blocked Bloom filter of `words`.

    The same arithmetic stands in bpf/scan.h: a 64-bit product of the gram, read as a
    little-endian 32-bit number; the top bits (11 for 2,048 words) name the word, bits
    32..37 and 42..47 the two bits in it.
    """
    product = (int.from_bytes(gram, "little") * GRAM_MULTIPLIER) & 0xFFFF_FFFF_FFFF_FFFF
    return product >> (65 - words.bit_length()), (product >> 32) & 63, (product >> 42) & 63
