"""Keywords before a value, decided in the kernel as dlp.signatures.proximity says."""

import itertools
import random
from pathlib import Path

import pytest

from dlp.datapath.abi import EventKind, Reason
from dlp.model import Action, DecidedBy
from dlp.policy import PolicyFlag
from dlp.signatures.compiler import compile_packs
from dlp.signatures.finding import finds
from dlp.signatures.image import KernelImage
from dlp.signatures.pack import Pack, Signature
from dlp.signatures.proximity import Proximity
from tests import packets as pk
from tests.kernelpath import policy
from tests.signatures.making import signature

pytest_plugins = ["tests.kernelpath_fixture"]
pytestmark = pytest.mark.kernel

RECORD = signature(
    r"(?<![0-9A-Za-z-])[0-9]{8}(?![0-9A-Za-z-])",
    id_="made.near.record",
    proximity=Proximity((b"mrn", b"patient id", b"pat", b"a/c no."), 30, "before"),
)
TOKEN = signature(
    r"TOKENKEY-[0-9]{4,20}(?![0-9])",
    id_="made.near.token",
    proximity=Proximity((b"secret", b"patient id"), 76, "before"),
)
PLAIN = signature(r"PLAINKEY-[0-9]{4}(?![0-9])", id_="made.near.plain")
ALL = (RECORD, TOKEN, PLAIN)
VALUES = (b"12345678", b"TOKENKEY-123456", b"PLAINKEY-1234", b"TOKENKEY-1234567890123456789")
WORDS = (
    *(b"mrn", b"MRN", b"Patient ID", b"patient", b"pat", b"A/C No.", b"a/c no", b"secret"),
    *(b"xmrn", b"mrn1", b"_mrn_", b"mrn", b"patid", b"secret", b"id", b"SECRETS"),
)


@pytest.fixture(scope="module")
def near() -> KernelImage:
    pack = Pack(name="made", version=1, description="", signatures=ALL, file=Path("made"))
    image = compile_packs([pack])
    assert {DecidedBy.KERNEL} == {one.decided for one in image.signatures}
    return image


def expected(source: Signature, text: bytes) -> list[int]:
    return [low for low, _ in finds(source.regex, source.validator, text, source.proximity)]


def values_at(text: bytes, place: int) -> bytes:
    """The longest of the values that stands there."""
    return max((value for value in VALUES if text.startswith(value, place)), key=len)


def text_of(rng: random.Random) -> bytes:
    parts = []
    for _ in range(rng.randint(1, 12)):
        parts.append(rng.choice(WORDS))
        parts.append(rng.choice((b" ", b": ", b"-", b"", b"\n", b"." * rng.randint(1, 90))))
        if rng.random() < 0.6:
            parts.append(rng.choice(VALUES))
            parts.append(rng.choice((b" ", b",", b"")))
    return b"".join(parts)[:3300]


def test_random_texts(bench, near):
    """Keywords alone and not, near and far, overlapping, several signatures in one text."""
    bench.load(near, policy(near, Action.ALERT, threshold=255))
    rng = random.Random(5)
    found = missing = 0
    for _ in range(600):
        text = text_of(rng)
        fate = bench.send(pk.datagram(text, port=bench.port()))

        assert fate.passed
        for number, source in enumerate(ALL):
            places = expected(source, text)
            bare = expected(signature(source.regex), text)
            told = [e for e in fate.events if e.kind is EventKind.MATCH and e.signature == number]
            # A value is told once a flow, wherever it stands.
            assert {e.offset for e in told} <= set(places)
            assert {values_at(text, place) for place in places} == {
                text[e.offset : e.offset + e.length] for e in told
            }
            found += len(told)
            missing += len(bare) - len(places)
    assert found > 300
    assert missing > 300


@pytest.mark.parametrize("distance", range(34))
def test_distance(bench, near, distance):
    """To the byte: 30 between keyword and value, and no more."""
    bench.load(near, policy(near))
    between = b"." * distance

    fate = bench.send(pk.datagram(b"mrn" + between + b"12345678", port=bench.port()))

    assert fate.passed == (not 0 < distance <= 30)
    assert (Reason.NO_KEYWORD in fate.rises) == (distance > 30)


def test_wherever_it_is_cut(bench, near):
    """Keyword in one segment, value in another, cut at every byte: the value's end is stopped."""
    bench.load(near, policy(near, flags=PolicyFlag.OVER_BUDGET_DROP))
    text = b"x secret" + b"." * 70 + b" TOKENKEY-1234567890123456789 "
    for cut in range(1, len(text)):
        port = bench.port()
        first = bench.post(pk.tcp(text[:cut], port=port, seq=1))
        second = bench.post(pk.tcp(text[cut:], port=port, seq=1 + cut))
        # A segment's end is an end: as little as four digits make a token.
        complete = cut >= text.index(b"-") + 5
        assert (not complete, False) == (first, second), cut


def test_byte_by_byte(bench, near):
    """The same a byte at a time."""
    bench.load(near, policy(near))
    text = b"mrn" + b"." * 30 + b"12345678 "
    port = bench.port()

    passed = [
        bench.post(pk.tcp(bytes([byte]), port=port, seq=1 + at)) for at, byte in enumerate(text)
    ]

    assert [True] * (len(text) - 2) + [False] * 2 == passed


def test_numbers_without_keyword_stay_within_the_budget(bench, near):
    """Text full of values that lack their keyword, or whose keywords are others', leaves."""
    bench.load(near, policy(near))
    for separator in (b" ", b",", b" pat2 ", b" secret ", b"\n\n"):
        payload = separator.join(b"%08d" % n for n in range(10_000_000, 10_000_400))[:3380]
        fate = bench.send(pk.tcp(payload, port=bench.port()))

        assert fate.passed, separator
        assert fate.rises[Reason.NO_KEYWORD] > 100
        assert not fate.rises[Reason.OVER_BUDGET]


def test_many_marks(bench, near):
    """Keywords in a row: the nearest counts, however many stand between."""
    bench.load(near, policy(near))
    filler = b"mrn " * 500
    for payload, passes in (
        (filler + b"12345678 ", False),
        (filler + b"." * 40 + b"12345678 ", True),
        (b"12345678 " + filler, True),
        (b"secret " + b"mrn " * 17 + b" TOKENKEY-1234 ", False),
        (b"secret " + b"mrn " * 25 + b" TOKENKEY-1234 ", True),
    ):
        assert passes == bench.post(pk.udp(payload, port=bench.port()))


def test_order_of_lanes(bench, near):
    """Hits come by lane, not in the text's order: each finds its own keyword."""
    bench.load(near, policy(near, Action.ALERT, threshold=255))
    unit = b"mrn 1234567%d secret TOKENKEY-111%d " + b"." * 300
    text = b"".join(unit % (n, n) for n in range(9))
    fate = bench.send(pk.datagram(text, port=bench.port()))

    told = [(e.signature, e.offset) for e in fate.events if e.kind is EventKind.MATCH]
    wanted = [(n, at) for n in (0, 1) for at in expected(ALL[n], text)]
    assert 18 == len(wanted)
    assert sorted(wanted) == sorted(told)


def test_one_row_for_equal_lists(bench):
    """Signatures that ask for the same keywords share them."""
    words = RECORD.proximity
    sources = tuple(
        signature(f"KEY{n}KEY-[0-9]{{4}}(?![0-9])", id_=f"made.near.n{n}", proximity=words)
        for n in range(3)
    )
    pack = Pack(name="made", version=1, description="", signatures=sources, file=Path("made"))
    image = compile_packs([pack])
    assert (words,) == image.keywords.lists
    bench.load(image, policy(image))

    for n, keyword in itertools.product(range(3), (True, False)):
        payload = (b"mrn " if keyword else b"not ") + b"KEY%dKEY-1234 " % n
        assert keyword != bench.post(pk.udp(payload, port=bench.port()))
