"""A thousand signatures, live and shadow: memory of the tables and time of a load."""

import dataclasses
import hashlib
import itertools
import time
from pathlib import Path

import pytest

from dlp.datapath import abi
from dlp.datapath.tables import SIGNATURE_TABLES
from dlp.model import Action
from dlp.policy import KernelPolicies, RuleRow
from dlp.signatures import image as limits
from dlp.signatures.compiler import compile_packs
from dlp.signatures.image import KernelImage
from dlp.signatures.pack import Pack, builtin_names, load_packs
from tests import packets as pk
from tests.images import IMAGES
from tests.kernelpath import HMAC_KEY, policy
from tests.signatures.making import signature

pytest_plugins = ["tests.kernelpath_fixture"]
pytestmark = [pytest.mark.kernel, pytest.mark.long]  # has limits of time

MB = 1_000_000
COUNT = 1000
HITS = 16_384
PREFIXES = ["".join(each) for each in itertools.product("bcdfghjklm", repeat=3)]


def pack(*kinds: str) -> Pack:
    """A thousand signatures of each kind, as providers' keys look."""
    signatures = tuple(
        signature(rf"\b{prefix}{kind}_[0-9a-f]{{32}}\b", id_=f"made.{kind}.{prefix}")
        for kind in kinds
        for prefix in PREFIXES
    )
    return Pack(name="made", version=1, description="", signatures=signatures, file=Path("made"))


def made(*kinds: str) -> KernelImage:
    return IMAGES.image([pack(*kinds)])


@pytest.fixture(scope="module")
def live() -> KernelImage:
    return made("live")


@pytest.fixture(scope="module")
def union() -> KernelImage:
    """The live set, and a candidate that changes every signature."""
    return made("live", "next")


def rows(image: KernelImage) -> dict[int, RuleRow]:
    return {
        number: RuleRow(Action.DROP, 0, 1, shadow=number >= COUNT)
        for number in range(len(image.signatures))
    }


def fill_hits(bench) -> None:
    """A row for each signature in some workloads, as far as there is room."""
    generation = bench.datapath.settings.generation
    keys = [
        generation << 32 | slot << 16 | signature
        for slot in range(HITS // (2 * COUNT))
        for signature in range(2 * COUNT)
    ]
    bench.datapath.tables["hits"].update_all([(key, abi.HitsStruct(1, 1, 0)) for key in keys])


def memory(bench, live: KernelImage, union: KernelImage) -> dict[str, int]:
    """What the kernel charges with `live` in one generation and the union in the other.

    The kernel's own word: `memlock` of each map in /proc/self/fdinfo.
    """
    for image in (live, union):
        bench.load(image, *[policy(image, rules=rows(image))] * 3)
    fill_hits(bench)
    tables = bench.datapath.table_memory()
    bench.load(live, policy(live))
    return tables


def test_memory(bench, live, union):
    """One generation with the live set, one with live and shadow, policies: at most 8 MB.

    All signatures are other ones in the candidate, at stride 2: the most that a set can need.
    Hits are counted for as many workloads as there is room.
    """
    tables = memory(bench, live, union)

    assert len(tables) == len(SIGNATURE_TABLES)
    assert all(tables.values())
    assert sum(tables.values()) <= 8 * MB, tables


def test_memory_of_the_packs(bench):
    """All packs that ship with the gateway live, a thousand others in shadow: at most 8 MB."""
    packs = load_packs(builtin_names(), Path())
    image = IMAGES.image(packs)
    tables = memory(bench, image, IMAGES.image([*packs, pack("next")]))

    assert len(image.signatures) >= COUNT
    assert sum(tables.values()) <= 8 * MB, tables


def test_load(bench, live, union):
    """A load writes within half a second of processor time, and switches within 10 ms."""
    policies = [policy(union, rules=rows(union))] * 3
    bench.load(union, *policies)
    began = time.process_time()
    times = bench.datapath.load(
        live,
        KernelPolicies(policies=(policy(live, rules=rows(live)),) * 4, next_expiry=None),
        hmac_key=HMAC_KEY,
        release=1,
    )

    assert time.process_time() - began < 0.5
    assert times.switch_s < 0.01


def test_both_work(bench, union):
    """The last signature of either half is found; of the shadow half it is counted."""
    bench.load(union, policy(union, rules=rows(union)))
    for number in (COUNT - 1, 2 * COUNT - 1):
        value = b" %s%s_" % (PREFIXES[-1].encode(), b"live" if number < COUNT else b"next")
        passed = bench.post(pk.udp(value + b"0123456789abcdef" * 2 + b" ", port=bench.port()))

        assert passed == (number >= COUNT)
        assert number in {signature for _, signature in bench.datapath.hits()}


def words(count: int) -> list[bytes]:
    return [
        hashlib.sha256(bytes([n >> 8, n & 255])).hexdigest()[:14].encode() for n in range(count)
    ]


def many(texts: list[bytes]) -> KernelImage:
    """An image with a shape for each text: one that the compiler made, repeated."""
    one = compile_packs(
        [
            Pack(
                name="made",
                version=1,
                description="",
                signatures=(signature(texts[0].decode(), id_="made.words.all"),),
                file=Path("made"),
            )
        ],
        stride=2,
    )
    anchors: dict[bytes, list[tuple[int, int]]] = {}
    bloom = [0] * limits.BLOOM_WORDS_MOST
    for number, text in enumerate(texts):
        for offset in (4, 5):
            gram = text[offset : offset + 4]
            anchors.setdefault(gram, []).append((number, offset))
            word, *bits = limits.bloom_bits(gram, len(bloom))
            bloom[word] |= sum(1 << bit for bit in bits)
    return dataclasses.replace(
        one,
        shapes=tuple(dataclasses.replace(one.shapes[0], literal=text) for text in texts),
        anchors={gram: tuple(entries) for gram, entries in anchors.items()},
        bloom=tuple(bloom),
    )


def test_ten_thousand_literals(bench):
    """They have room, each in a shape of its own; first, middle and last are found."""
    texts = words(10_000)
    image = many(texts)
    bench.load(image, policy(image))

    for text in (texts[0], texts[5000], texts[-1]):
        assert not bench.post(pk.udp(b"a " + text + b" b", port=bench.port()))
        assert bench.post(pk.udp(b"a " + text[:-1] + b"z b", port=bench.port()))
