"""Files tried against a set: places in words, masked values, nothing else of what they hold."""

import json

import pytest
from scapy.utils import wrpcap

from dlp.cli.output import plain
from dlp.errors import UsageError
from dlp.trial.traffic import read_sources, sources
from tests import packets as pk
from tests.trial.texts import CARD


@pytest.fixture
def capture(tmp_path):
    """A card cut over two segments, another in a datagram, and a fragment."""
    file = tmp_path / "traffic.pcap"
    stream = b"POST / n=" + CARD + b";"
    parts = [
        pk.tcp(stream[:15], port=4000, seq=1),
        pk.udp(b"hello", port=5),
        pk.tcp(stream[15:], port=4000, seq=16),
        pk.udp(b"n " + CARD, port=5),
        pk.ip4(flags="MF") / b"x" * 1,
    ]
    wrpcap(str(file), parts)
    return file


def test_capture(engine, capture):
    """A match says between whom, in which packet, and where."""
    (read,) = read_sources(engine, sources([capture], []))
    wheres = {match.where for match in read.matches}

    assert {"pci.card.visa"} == {match.signature for match in read.matches}
    assert {
        f"{pk.OURS4}:4000 > {pk.THEIRS4}:9000 tcp, packet 1, stream offset 9",
        f"{pk.OURS4}:5 > {pk.THEIRS4}:9000 udp, packet 4, byte 2",
    } == wheres
    assert {"fragment": 1} == read.skipped
    assert "1 packets skipped: fragment" in read.told()


def test_text(engine, tmp_path):
    """A match in a text says line and column."""
    file = tmp_path / "log.txt"
    file.write_bytes(b"one\ntwo " + CARD + b"\nthree\n")
    (read,) = read_sources(engine, sources([], [file]))

    assert ["line 2, column 5"] == [match.where for match in read.matches]
    assert (1, file.stat().st_size) == (read.streams, read.bytes)


def test_a_long_text(engine, tmp_path):
    """Values at every place of a text that is longer than any segment are found."""
    file = tmp_path / "long.txt"
    values = [f"4111{number:011d}" for number in range(40)]
    cards = [f"{one}{(10 - luhn(one)) % 10}".encode() for one in values]
    file.write_bytes(b"".join(b"x" * 1733 + b" " + card + b"\n" for card in cards))
    (read,) = read_sources(engine, sources([], [file]))

    found = [match for match in read.matches if match.signature == "pci.card.visa"]
    assert [f"line {number}, column 1735" for number in range(1, 41)] == [
        one.where for one in found
    ]


def luhn(digits: str) -> int:
    doubled = [int(one) * (2 - place % 2) for place, one in enumerate(reversed(digits))]
    return sum(one - 9 if one > 9 else one for one in doubled)


def test_no_value_shows(engine, capture):
    """Not in JSON, nor in a repr."""
    given = sources([capture], [])
    read = read_sources(engine, given)

    told = json.dumps(plain(read)) + repr(read) + repr(given)
    assert "1111" in told
    assert CARD.decode() not in told
    assert "4111" not in told


def test_bad_files(tmp_path):
    """They are named."""
    for pcaps, texts in (([tmp_path / "no.pcap"], []), ([], [tmp_path / "no.txt"])):
        with pytest.raises(UsageError, match=r"no\.\w+: cannot be read"):
            sources(pcaps, texts)
