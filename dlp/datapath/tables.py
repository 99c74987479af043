"""Fill the kernel's tables from the compiled signature set and the policies.

The only place that turns image and policy values into map values. Tables are kept in
two generations: one is live, the other is written and then made live by one store.
"""

from __future__ import annotations

import ctypes as ct
import itertools
import zlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from ctypes import c_uint32, c_uint64
from typing import Any

from dlp.datapath import abi, sha256
from dlp.datapath.libbpf import Map
from dlp.errors import KernelError
from dlp.model import Action, DecidedBy
from dlp.policy import KernelPolicies, KernelPolicy, RuleRow
from dlp.signatures.image import GRAM_MULTIPLIER, ImageSignature, KernelImage, Shape
from dlp.signatures.keywords import KeywordTable, start
from dlp.signatures.proximity import Proximity
from dlp.signatures.validators import dihedral, verhoeff_place
from dlp.signatures.weighted import Weighted

_TYPES: dict[str, tuple[type[Any], type[Any]]] = {
    "counters": (c_uint32, abi.CountersStruct),
    "settings": (c_uint32, abi.SettingsStruct),
    "constants": (c_uint32, abi.ConstantsStruct),
    "blooms": (c_uint32, abi.BloomStruct),
    "classes": (c_uint32, abi.ClassesStruct),
    "lanes": (c_uint32, abi.LaneStruct),
    "shapes": (c_uint32, abi.ShapeStruct),
    "signatures": (c_uint32, abi.SignatureStruct),
    "sums": (c_uint32, abi.SumStruct),
    "keywords": (c_uint32, abi.KeywordStruct),
    "starts": (c_uint32, abi.StartsStruct),
    "nears": (c_uint32, abi.NearStruct),
    "policies": (c_uint32, abi.PolicyStruct),
    "gram_starts": (c_uint32, abi.GramStartsStruct),
    "anchors": (c_uint32, abi.AnchorsStruct),
    "rules": (c_uint32, abi.RuleStruct),
    "rule_pages": (c_uint32, abi.RulePageStruct),
    "exceptions": (abi.ExceptionKeyStruct, c_uint64),
    "workloads": (abi.WhoStruct, abi.BindingStruct),
    "words": (c_uint64, abi.WordStruct),
    "blocked": (abi.FlowKeyStruct, abi.BlockStruct),
    "guards": (c_uint32, abi.GuardStruct),
    "datagrams": (abi.FlowKeyStruct, abi.DatagramStruct),
    "buckets": (c_uint32, abi.BucketStruct),
    "admitted": (c_uint64, c_uint32),
    "flows": (abi.FlowKeyStruct, abi.FlowStruct),
    "seen": (abi.SeenKeyStruct, c_uint32),
    "shadow_seen": (abi.SeenKeyStruct, c_uint32),
    "windows": (abi.WindowKeyStruct, abi.WindowStruct),
    "hits": (c_uint64, abi.HitsStruct),
    "programs": (c_uint32, c_uint32),
}

# What signatures and policies take in kernel memory; the others hold flows, or cross programs.
SIGNATURE_TABLES = (
    "settings",
    "constants",
    "blooms",
    "classes",
    "lanes",
    "shapes",
    "signatures",
    "sums",
    "keywords",
    "starts",
    "nears",
    "policies",
    "gram_starts",
    "anchors",
    "rules",
    "rule_pages",
    "exceptions",
    "hits",
    "shadow_seen",
    "shadow_events",
    "shadow_payloads",
)

_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_LAST = 1 << 56  # of struct dlp_anchor as a number
_ENTRY = _LAST - 1
_NOT_ALNUM = 0xFF
_FOLDED = 0xDF
_MASK64 = 0xFFFF_FFFF_FFFF_FFFF
_BUCKET_SHIFT = 65 - abi.GRAM_BUCKETS.bit_length()

Anchors = Mapping[bytes, Sequence[tuple[int, int]]]


def element_types(name: str) -> tuple[type[Any], type[Any]]:
    """Key and value ctypes of a map; opaque 4-byte ones where userspace never looks in."""
    return _TYPES.get(name, (c_uint32, c_uint32))


def constants() -> abi.ConstantsStruct:
    """The table that never changes: SHA-256 round constants, bit numbers, byte values."""
    table = abi.ConstantsStruct()
    table.sha256[:] = sha256.round_constants()
    for bit in range(64):
        table.bit_number[((abi.DEBRUIJN << bit) & _MASK64) >> 58] = bit
    for byte in range(256):
        character = chr(byte)
        table.value[byte] = (
            int(character, 36) if byte < 128 and character.isalnum() else _NOT_ALNUM  # noqa: PLR2004 - ASCII
        )
        if table.value[byte] != _NOT_ALNUM:
            table.kind[byte] = 1 | character.isalpha() << 1
    for index, letter in enumerate(_DNI_LETTERS):
        table.dni_letter[index] = int(letter, 36)
    for one, other in itertools.product(range(10), repeat=2):
        table.verhoeff_product[one * 16 + other] = dihedral(one, other)
    for place, digit in itertools.product(range(8), range(10)):
        table.verhoeff_place[place * 16 + digit] = verhoeff_place(place, digit)
    return table


class Tables:
    """The maps of one build, by name."""

    def __init__(self, maps: dict[str, Map]) -> None:
        self._maps = maps

    def __getitem__(self, name: str) -> Map:
        return self._maps[name]

    def write_image(self, generation: int, image: KernelImage) -> None:
        """Write a signature set into a generation that is not live; its hits begin at 0.

        Raises KernelError where a table is full; the generation is of no use then.
        """
        self._clear("hits", lambda key: key >> 32 == generation)
        bloom = abi.BloomStruct()
        bloom.word[: len(image.bloom)] = image.bloom
        self["blooms"].update(c_uint32(generation), bloom)
        classes = abi.ClassesStruct()
        for number, members in enumerate(image.classes):
            for byte in members:
                classes.member[number * 4 + byte // 64] |= 1 << byte % 64
        self["classes"].update(c_uint32(generation), classes)
        self["lanes"].update(c_uint32(generation), _lane(image))
        self._write_keywords(generation, image.keywords)
        self._write_signatures(generation, image)
        self._clear("shapes", lambda key: key // abi.SHAPES == generation)
        near = [one.near is not None for one in image.signatures]
        self["shapes"].update_all(
            [
                (
                    generation * abi.SHAPES + index,
                    _shape(shape, near=near[shape.signature] and not shape.trigger),
                )
                for index, shape in enumerate(image.shapes)
            ]
        )
        self._write_anchors(generation, image.anchors)

    def _write_anchors(self, generation: int, anchors: Anchors) -> None:
        starts, entries = _anchor_table(anchors)
        for name, rows, first in (
            ("anchors", entries, generation * abi.GRAM_ROWS),
            ("gram_starts", starts, generation * abi.GRAM_BUCKETS // abi.GRAM_STARTS),
        ):
            table = self[name]
            count = len(rows) // ct.sizeof(table.value)
            table.update_packed(range(first, first + count), rows)

    def _write_signatures(self, generation: int, image: KernelImage) -> None:
        rows = _sum_rows(image)
        self["sums"].update_all(
            [(generation * abi.SUMS + row, _sum(spec)) for spec, row in rows.items()]
        )
        self["signatures"].update_all(
            [
                (
                    generation * abi.SIGNATURES + index,
                    _signature(signature, rows, image.keywords),
                )
                for index, signature in enumerate(image.signatures)
            ]
        )

    def _write_keywords(self, generation: int, table: KeywordTable) -> None:
        starts = abi.StartsStruct()
        for number, word in enumerate(table.words):
            at = start(word)
            if not starts.count[at]:
                starts.first[at] = number
            starts.count[at] += 1
        self["keywords"].update_all(
            [
                (generation * abi.KEYWORDS + number, _keyword(word))
                for number, word in enumerate(table.words)
            ]
        )
        self["starts"].update(c_uint32(generation), starts)
        numbers = {word: number for number, word in enumerate(table.words)}
        self["nears"].update_all(
            [
                (generation * abi.NEARS + row, _near(asked, numbers))
                for row, asked in enumerate(table.lists, 1)
            ]
        )

    def write_policies(self, generation: int, policies: KernelPolicies) -> None:
        """Write policies, rules and exceptions into a generation that is not live.

        Raises KernelError where a table is full; the generation is of no use then.
        """
        self._clear("rule_pages", lambda key: key >> 12 == generation)
        self._clear("exceptions", lambda key: key.policy >> 31 == generation)
        rows, pages = _rule_table(policies.policies)
        self["rules"].update_packed(
            [generation * abi.RULES + number for number in rows.values()], b"".join(rows)
        )
        self["rule_pages"].update_packed(
            [generation << 12 | key for key in pages],
            b"".join(page.tobytes() for page in pages.values()),
        )
        for number, policy in enumerate(policies.policies):
            self["policies"].update(c_uint32(generation * abi.POLICIES + number), _policy(policy))
            for digest in policy.exceptions:
                key = abi.ExceptionKeyStruct(policy=generation << 31 | number)
                key.digest[:] = digest
                self["exceptions"].update(key, c_uint64(1))

    def _clear(self, name: str, belongs: Callable[[Any], bool]) -> None:
        table = self[name]
        table.delete_all([key for key in table.all_keys() if belongs(key)])


def rule_id(policy: str, rule_index: int, alone: str = "", *, shadow: bool = False) -> int:
    """The number under which distinct values of a rule are counted, across releases.

    `alone`: the signature whose values are counted by themselves, as RuleRow says. Those of
    shadow rows are counted apart.
    """
    parts = [policy, str(rule_index), *filter(None, [alone]), *["", ""][: 2 * shadow]]
    return zlib.crc32("\0".join(parts).encode())


def bloom_shift(image: KernelImage) -> int:
    """What a 64-bit product is shifted by to number a word of the Bloom filter."""
    return 64 - (len(image.bloom).bit_length() - 1)


def _rule(policy: str, row: RuleRow) -> abi.RuleStruct:
    return abi.RuleStruct(
        action=row.action,
        index=row.rule_index & 0xFF,
        threshold=row.threshold,
        flags=abi.RuleFlag.SHADOW if row.shadow else 0,
        id=rule_id(policy, row.rule_index, row.alone, shadow=row.shadow),
        window_s=row.window_s,
    )


def _rule_table(
    policies: Sequence[KernelPolicy],
) -> tuple[dict[bytes, int], dict[int, array[int]]]:
    """Distinct rows with their numbers from 1 on, and pages of them by policy << 6 | page.

    Raises KernelError where there are more rows than a generation has room for.
    """
    rows: dict[bytes, int] = {}
    pages: dict[int, array[int]] = {}
    for number, policy in enumerate(policies):
        known: dict[RuleRow, int] = {}
        for signature, row in policy.rules.items():
            if row.action is Action.ALLOW:  # as if no rule named it
                continue
            if row not in known:
                known[row] = rows.setdefault(bytes(_rule(policy.name, row)), len(rows) + 1)
            place, at = divmod(signature, abi.RULE_PAGE)
            page = pages.setdefault(number << 6 | place, array("H", bytes(2 * abi.RULE_PAGE)))
            page[at] = known[row]
    if len(rows) >= abi.RULES:
        raise KernelError(
            f"writing map rules: {len(rows)} different rows, there is room for {abi.RULES - 1}",
            remedy="write fewer rules",
        )
    return rows, pages


def _lane(image: KernelImage) -> abi.LaneStruct:
    lane = abi.LaneStruct()
    lane.first[:] = image.lane.first
    lane.second[:] = image.lane.second
    lane.before[:] = image.lane.before
    lane.after[:] = image.lane.after
    for number, index in enumerate(image.lane.shapes):
        lane.shape[number] = index
        lane.offset[number] = image.shapes[index].lane_offset
    return lane


def _anchor_table(anchors: Anchors) -> tuple[bytes, bytes]:
    """Rows of struct dlp_gram_starts and of struct dlp_anchors, packed (little endian).

    Numbers of 64 bits all the way: objects for tens of thousands would take a second.

    Raises KernelError where there are more than a generation has room for.
    """
    sorted_by_bucket = sorted(
        (number * GRAM_MULTIPLIER & _MASK64) >> _BUCKET_SHIFT << 56
        | (offset & 0xFF) << 48
        | shape << 32
        | number
        for gram, entries in anchors.items()
        for number in (int.from_bytes(gram, "little"),)
        for shape, offset in entries
    )
    if len(sorted_by_bucket) > abi.GRAM_ENTRIES:
        raise KernelError("writing map anchors: the table is full", remedy="enable fewer packs")
    starts = array("H", bytes(2 * abi.GRAM_BUCKETS))
    rows, before = array("Q", [0]), -1
    for place, entry in enumerate(sorted_by_bucket, 1):
        bucket = entry >> 56
        if bucket != before:
            starts[bucket], before = place, bucket
            rows[-1] |= _LAST
        rows.append(entry & _ENTRY)
    rows[-1] |= _LAST
    rows.extend([0] * (-len(rows) % abi.GRAM_ROW))
    return starts.tobytes(), rows.tobytes()


def _keyword(word: bytes) -> abi.KeywordStruct:
    row = abi.KeywordStruct(length=len(word))
    row.text[: len(word)] = word
    row.mask[: len(word)] = bytes(_FOLDED if chr(byte).isalpha() else 255 for byte in word)
    return row


def _near(asked: Proximity, numbers: Mapping[bytes, int]) -> abi.NearStruct:
    near = abi.NearStruct(distance=asked.distance)
    for word in asked.keywords:
        near.keyword[numbers[word] // 64] |= 1 << numbers[word] % 64
    return near


def _shape(shape: Shape, *, near: bool) -> abi.ShapeStruct:
    row = abi.ShapeStruct(
        signature=shape.signature,
        literal_offset=shape.literal_offset,
        steps=len(shape.steps),
        left=shape.left,
        right=shape.right,
        trigger=shape.trigger,
        near=near,
    )
    size = len(shape.literal)
    row.literal[:size] = shape.literal
    row.fold[:size] = shape.fold
    row.mask[:size] = b"\xff" * size
    for number, step in enumerate(shape.steps):
        row.step[number].cls = step.cls
        row.step[number].min = step.min
        row.step[number].max = step.max
    return row


def _sum_rows(image: KernelImage) -> dict[Weighted, int]:
    """A row for each weighted sum, however many signatures name it."""
    distinct = dict.fromkeys(each for signature in image.signatures for each in signature.sums)
    return {each: row for row, each in enumerate(distinct)}


def _sum(spec: Weighted) -> abi.SumStruct:
    row = abi.SumStruct(
        modulus=spec.modulus, check=spec.check, length=spec.length, digits=spec.digits
    )
    row.weight[: spec.length] = spec.weights
    row.expected[: spec.modulus] = spec.expected
    return row


def _signature(
    signature: ImageSignature, rows: Mapping[Weighted, int], keywords: KeywordTable
) -> abi.SignatureStruct:
    prefilter = signature.decided is DecidedBy.INSPECTOR
    own = [rows[each] for each in signature.sums]
    row = abi.SignatureStruct(
        check=0 if prefilter else signature.check,
        prefilter=prefilter,
        normalise=signature.normalise,
        sums=len(own),
        near=keywords.row(signature.near),
    )
    row.sum[: len(own)] = own
    return row


def _policy(policy: KernelPolicy) -> abi.PolicyStruct:
    row = abi.PolicyStruct(
        flags=policy.flags,
        uninspectable=policy.uninspectable,
        destinations=len(policy.destinations),
        hold_timeout_ms=policy.hold_timeout_ms,
    )
    for number, destination in enumerate(policy.destinations):
        entry = row.destination[number]
        entry.address[:] = destination.address
        entry.mask[:] = destination.mask
        entry.port_low = destination.port_low
        entry.port_high = destination.port_high
        entry.action = destination.action
    return row


def hmac_states(key: bytes) -> tuple[list[int], list[int]]:
    """States of SHA-256 behind the inner and the outer key block of HMAC (RFC 2104).

    Each is eight words of 32 bits, as a digest of more than that goes on from them. `key`: at most
    64 bytes.
    """
    padded = key.ljust(64, b"\0")
    inner, outer = (bytes(byte ^ pad for byte in padded) for pad in (0x36, 0x5C))
    return sha256.state_behind(inner), sha256.state_behind(outer)


def settings_bytes(settings: abi.SettingsStruct) -> bytes:
    """For comparing two settings."""
    return ct.string_at(ct.byref(settings), ct.sizeof(settings))
