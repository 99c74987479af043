"""The work that a packet may cost, where it is larger than what TCP sends.

Counts, not times: how much is looked at before the packet is given up.
"""

import itertools
import random
from collections.abc import Iterator

import pytest

from dlp.datapath.abi import Reason
from dlp.model import Action
from dlp.signatures.image import KernelImage
from dlp.signatures.pack import load_packs
from tests.datapath.egress import Egress
from tests.images import IMAGES
from tests.kernelpath import Rises, policy
from tests.netlab import DEVICE, sh

pytest_plugins = ["tests.kernelpath_fixture", "tests.datapath.egress_fixture"]
pytestmark = pytest.mark.kernel

LARGE = 32 << 10
CHUNK = 16 << 10  # the most that TCP sends through the gateway
MTU = 65_000


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> KernelImage:
    """Sets that fill the digit lane, and one of q-grams."""
    names = ("pci", "pii-us", "secrets")
    return IMAGES.image(load_packs(names, tmp_path_factory.mktemp("packs")))


@pytest.fixture
def wide(bench, egress, pair, cards) -> Egress:
    """Datagrams of any size are one packet; matches alert."""
    for netns in (pair.inner, pair.outer):
        sh(f"ip -n {netns} link set dev {DEVICE} mtu {MTU}")
    bench.load(cards, policy(cards, Action.ALERT, threshold=255))
    return egress


def filled(parts: Iterator[bytes], size: int) -> bytes:
    """The parts one after the other, cut to the size."""
    text = bytearray()
    while len(text) < size:
        text += next(parts)
    return bytes(text[:size])


def dates() -> Iterator[bytes]:
    rng = random.Random(3)
    while True:
        day, second = rng.randint(10, 28), rng.randint(10, 59)
        yield b"2024-0%d-%d 1%d:%d:%d\n" % (rng.randint(1, 9), day, rng.randint(0, 9), second, 59)


def numbers() -> Iterator[bytes]:
    rng = random.Random(3)
    while True:
        yield b"%.8f," % rng.random()


def addresses() -> Iterator[bytes]:
    rng = random.Random(3)
    while True:
        yield b".".join(b"%d" % byte for byte in rng.randbytes(4)) + b" "


def ones() -> Iterator[bytes]:
    return itertools.repeat(b"4 ")


def keys() -> Iterator[bytes]:
    return itertools.cycle((b"ghp_ ", b"glpat- ", b"xoxb- ", b"AKIA "))


def sent(egress: Egress, payload: bytes) -> Rises:
    """Counters that one datagram made rise: it is inspected, or over the budget."""
    rises = egress.counted(lambda: egress.datagram(payload), Reason.PACKETS)
    assert 1 == rises[Reason.INSPECTED] + rises[Reason.OVER_BUDGET], rises
    return rises


@pytest.mark.parametrize("text", [dates, numbers, addresses, ones])
def test_digit_groups_of_a_large_packet(wide, text):
    """Some 26 microseconds of them, at 17 nanoseconds each; what a call adds is 1,000."""
    rises = sent(wide, filled(text(), LARGE))

    assert rises[Reason.OVER_BUDGET]
    assert rises[Reason.DIGIT_CANDIDATE] < 26_000 // 17 + 1000


def test_beginnings_of_keys_in_a_large_packet(wide):
    """The same of q-grams: a call's list is not looked through a second time."""
    rises = sent(wide, filled(keys(), LARGE))

    assert rises[Reason.OVER_BUDGET]
    assert rises[Reason.BLOOM_CANDIDATE] <= 2 * 512
    assert rises[Reason.SHAPE_CANDIDATE] <= 512


@pytest.mark.parametrize("text", [dates, numbers, addresses])
def test_one_chunk_is_worked_off(wide, text):
    """As much as TCP sends at a time goes over no bound of work: it would come again as it is."""
    rises = sent(wide, filled(text(), CHUNK))

    assert rises[Reason.INSPECTED]
    assert rises[Reason.DIGIT_CANDIDATE] > 2000


@pytest.mark.parametrize("size", [CHUNK, LARGE, MTU - 100])
def test_what_holds_little_leaves(wide, size):
    """The bound is of what is looked at more closely, not of bytes: noise passes at any size."""
    rises = sent(wide, random.Random(3).randbytes(size))

    assert rises[Reason.INSPECTED]
