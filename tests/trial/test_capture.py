"""Captures are read as scapy wrote them; hostile ones are refused with the byte at fault."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.utils import wrpcap, wrpcapng

from dlp.errors import UsageError
from dlp.trial.capture import frames
from tests import packets as pk

SENT = [bytes(pk.tcp(b"x" * size, port=4000)) for size in (1, 2, 3, 100, 1400)]


@pytest.fixture(params=[wrpcap, wrpcapng], ids=["pcap", "pcapng"])
def file(request, tmp_path):
    """The same packets in either format."""
    path = tmp_path / "file.cap"
    request.param(str(path), [pk.ethernet().__class__(data) for data in SENT])
    return path


def test_frames(file):
    """Every packet, in order, with its number and link type."""
    found = list(frames(file))

    assert SENT == [frame.data for frame in found]
    assert [1, 2, 3, 4, 5] == [frame.number for frame in found]
    assert {1} == {frame.link for frame in found}
    assert {0} == {frame.cut for frame in found}


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("magic", [0xA1B2C3D4, 0xA1B23C4D])
def test_orders(tmp_path, order, magic):
    """Both byte orders, micro- and nanoseconds; a frame that was cut says by how much."""
    header = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 64, 101)
    (tmp_path / "f").write_bytes(header + struct.pack(f"{order}IIII", 1, 2, 3, 9) + b"abc")
    (frame,) = frames(tmp_path / "f")

    assert (b"abc", 101, 6) == (frame.data, frame.link, frame.cut)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(f"{order}I", len(body) + 12)
    return struct.pack(f"{order}I", kind) + size + body + size


def section(order: str = "<") -> bytes:
    body = struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1)
    return block(0x0A0D0D0A, body, order)


def test_blocks(tmp_path):
    """Packet blocks old and new, interfaces, sections in either order; others are passed over."""
    interface = struct.pack("<HHI", 1, 0, 4)
    parts = [
        section(),
        block(1, interface),
        block(5, b"statistics  "),
        block(6, struct.pack("<IIIII", 0, 0, 0, 3, 3) + b"abc"),
        block(2, struct.pack("<HHIIII", 0, 0, 0, 0, 2, 9) + b"de"),
        block(3, struct.pack("<I", 9) + b"fghi"),
        section(">"),
        block(1, struct.pack(">HHI", 101, 0, 0), ">"),
        block(6, struct.pack(">IIIII", 0, 0, 0, 1, 1) + b"j", ">"),
    ]
    (tmp_path / "f").write_bytes(b"".join(parts))

    found = [(one.data, one.link, one.cut) for one in frames(tmp_path / "f")]
    assert [(b"abc", 1, 0), (b"de", 1, 7), (b"fghi", 1, 5), (b"j", 101, 0)] == found


PCAP = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "ends in the middle of its first four bytes"),
        (b"GIF89a..", "neither pcap nor pcapng"),
        (PCAP[:20], "ends in the middle of the file's header"),
        (PCAP[:4] + b"\x09" + PCAP[5:], "version 9"),
        (PCAP + b"\0" * 7, "header of packet 1"),
        (PCAP + struct.pack("<IIII", 0, 0, 0xFFFFFFFF, 1), "packet 1 has an impossible length"),
        (PCAP + struct.pack("<IIII", 0, 0, 9, 4), "packet 1 has an impossible length"),
        (PCAP + struct.pack("<IIII", 0, 0, 9, 9) + b"x", "ends in the middle of packet 1"),
        (section()[:10], "ends in the middle"),
        (section()[:8] + b"abcd" + section()[12:], "no byte order"),
        (section() + struct.pack("<II", 6, 0x7FFFFFFC), "impossible length"),
        (section() + struct.pack("<II", 6, 13), "impossible length"),
        (section() + struct.pack("<II", 6, 0), "impossible length"),
        (section() + block(6, b"")[:-4] + b"\1\0\0\0", "does not end as it began"),
        (section() + block(6, b"abcd"), "too short for what it is"),
        (section() + block(6, struct.pack("<IIIII", 0, 0, 0, 0, 0)), "an interface that is not"),
        (
            section() + block(1, struct.pack("<HHI", 1, 0, 0))
            + block(6, struct.pack("<IIIII", 0, 0, 0, 99, 99)),
            "impossible length",
        ),
        (section() + block(1, struct.pack("<HHI", 1, 0, 0)) * 4097, "more than 4096 interfaces"),
    ],
)  # fmt: skip
def test_bad(tmp_path, data, message):
    """Each is an error with the file and the byte, and no frame is made up."""
    file = tmp_path / "bad.pcap"
    file.write_bytes(data)

    with pytest.raises(UsageError, match=message) as raised:
        list(frames(file))
    assert str(raised.value).startswith(f"{file}: ")
    assert "at byte" in str(raised.value)


def test_missing(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        list(frames(tmp_path / "none"))


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, 2000), byte=st.integers(0, 255), cut=st.integers(0, 2000))
def test_damaged(tmp_path_factory, place, byte, cut):
    """Whatever is changed or missing, the answer is frames or an error of ours."""
    parts = [section(), block(1, struct.pack("<HHI", 1, 0, 0))]
    parts += [block(6, struct.pack("<IIIII", 0, 0, 0, len(one), len(one)) + one) for one in SENT]
    for whole in (b"".join(parts), PCAP + b"".join(
        struct.pack("<IIII", 0, 0, len(one), len(one)) + one for one in SENT
    )):  # fmt: skip
        data = bytearray(whole)
        data[place % len(data)] = byte
        file = tmp_path_factory.getbasetemp() / "damaged.pcap"
        file.write_bytes(data[: len(data) - cut % len(data)])
        try:
            found = list(frames(file))
        except UsageError:
            continue
        assert sum(len(frame.data) for frame in found) <= len(data)
