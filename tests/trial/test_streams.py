"""Captures are put together as the receiver had them."""

import itertools

import pytest

from dlp.trial.capture import Frame
from dlp.trial.streams import conversations
from tests import packets as pk


def sent(*packets: object) -> list[Frame]:
    return [Frame(number, 1, bytes(one)) for number, one in enumerate(packets, 1)]  # type: ignore[call-overload]


def texts(*packets: object) -> list[bytes]:
    return [b"".join(one.stream.segments) for one in conversations(sent(*packets)).found]


def seg(data: bytes, at: int, first: int = 1000, **fields) -> object:
    return pk.tcp(data, port=4000, seq=(first + at) % (1 << 32), **fields)


@pytest.mark.parametrize("order", list(itertools.permutations([0, 1, 2])))
@pytest.mark.parametrize("first", [1000, (1 << 32) - 3])
def test_any_order(order, first):
    """Segments that come out of order, also where numbers wrap."""
    parts = [seg(b"abc", 0, first), seg(b"def", 3, first), seg(b"ghi", 6, first)]

    assert [b"abcdefghi"] == texts(*(parts[number] for number in order))


def test_sent_twice():
    """The first copy counts, and of one that overlaps what is new."""
    assert [b"abcdefgh"] == texts(seg(b"abcd", 0), seg(b"XXXX", 0), seg(b"YYefgh", 2))


def test_a_gap():
    """What is beyond missing bytes is another stream, at its own offset; they are counted."""
    found = conversations(sent(seg(b"abc", 0), seg(b"xyz", 10)))

    assert [(b"abc", 0), (b"xyz", 10)] == [
        (b"".join(one.stream.segments), one.base) for one in found.found
    ]
    assert 7 == found.missing


def test_connections():
    """A SYN with another number under the same ports begins another connection."""
    found = texts(
        seg(b"", -1, flags="S"),
        seg(b"abc", 0),
        seg(b"", -1, 90_000, flags="S"),
        seg(b"de", 0, 90_000),
    )

    assert [b"abc", b"de"] == found


def test_directions():
    """Each direction is a stream of its own."""
    back = pk.ethernet() / pk.IP(src=pk.THEIRS4, dst=pk.OURS4) / pk.TCP(sport=9000, dport=4000)

    assert [b"abc", b"def"] == texts(seg(b"abc", 0), back / b"def")


def test_datagrams():
    """They stay apart; those of one sender are one conversation, with their packets' numbers."""
    found = conversations(sent(pk.udp(b"a", port=1), pk.udp(b"b", port=1), pk.udp(b"c", port=2)))

    assert [(b"a", b"b"), (b"c",)] == [one.stream.segments for one in found.found]
    assert all(one.stream.datagrams for one in found.found)
    assert (1, 2) == found.found[0].packets


def test_skipped():
    """Packets that carry nothing that is judged are counted by reason."""
    found = conversations(sent(pk.ethernet() / pk.ARP(), pk.ip4(flags="MF") / b"x", seg(b"a", 0)))

    assert {"not IP": 1, "fragment": 1} == found.skipped
    assert 3 == found.packets
