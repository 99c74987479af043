"""What the kernel tells, decoded: events, and the payload of mirrored flows."""

import ctypes as ct
import ipaddress

import pytest

from dlp.datapath import abi
from dlp.datapath.abi import EventFlag, EventKind, Reason
from dlp.datapath.events import (
    decode_event,
    decode_payload,
    decode_shadow_payload,
    protocol_name,
)
from dlp.model import Action
from dlp.policy import PolicyFlag
from tests import packets as pk
from tests.kernelpath import ALPHA, BRAVO, LONG, NETNS, compiled, policy, rises, value

pytest_plugins = ["tests.kernelpath_fixture"]

MAPPED = bytes(10) + b"\xff\xff"


def key(family: int, source: str, destination: str, protocol: int = 6) -> abi.FlowKeyStruct:
    made = abi.FlowKeyStruct(
        netns=5, source_port=1024, destination_port=443, protocol=protocol, family=family
    )
    for field, text in ((made.source, source), (made.destination, destination)):
        packed = ipaddress.ip_address(text).packed
        field[:] = MAPPED + packed if len(packed) == 4 else packed
    return made


# -- decoding: no kernel ----------------------------------------------------------------------


def test_event_fields():
    """Every field of the struct comes out under its name."""
    raw = abi.EventStruct(
        kind=EventKind.MATCH,
        size=ct.sizeof(abi.EventStruct),
        time_ns=1,
        flow=2,
        cgroup=3,
        key=key(4, "10.0.0.1", "192.0.2.9"),
        offset=4,
        length=5,
        sent_before=6,
        count=7,
        release=8,
        signature=9,
        policy=10,
        rule=11,
        action=Action.DROP,
        flags=EventFlag.MONITOR | EventFlag.MIDSTREAM,
        reason=12,
        digest=(1,) * 32,
        head=(2,) * 8,
        tail=(3,) * 8,
    )
    event = decode_event(bytes(raw))

    assert EventKind.MATCH is event.kind
    assert (1, 2, 3, 4, 5) == (event.time_ns, event.flow, event.cgroup, event.offset, event.length)
    assert (6, 7, 8, 9) == (event.sent_before, event.count, event.release, event.signature)
    assert (10, 11, 4, 12) == (event.policy, event.rule, event.action, event.reason)
    assert EventFlag.MONITOR | EventFlag.MIDSTREAM == event.flags
    assert (b"\1" * 32, b"\2" * 8, b"\3" * 8) == (event.digest, event.head, event.tail)
    packet = event.packet
    assert ("10.0.0.1", 1024) == (packet.source, packet.source_port)
    assert ("192.0.2.9", 443) == (packet.destination, packet.destination_port)
    assert ("tcp", 4, 5) == (packet.protocol, packet.family, packet.netns)


def test_no_edge_is_shown():
    """The few plain bytes that an event carries do not get into a log by its repr."""
    raw = abi.EventStruct(kind=EventKind.MATCH, key=key(4, "10.0.0.1", "192.0.2.9"))
    raw.head[:] = b"41111111"

    assert "head" not in repr(decode_event(bytes(raw)))


@pytest.mark.parametrize("family", [4, 6])
def test_addresses(family: int):
    """Mapped addresses read as IPv4, others as IPv6."""
    source, destination = ("10.1.2.3", "0.0.0.0") if family == 4 else ("fd00::1", "::")
    raw = abi.EventStruct(kind=EventKind.MATCH, key=key(family, source, destination))
    packet = decode_event(bytes(raw)).packet

    assert (source, destination) == (packet.source, packet.destination)


def test_packet_that_is_not_ip():
    """It has no addresses; its protocol is the ethertype."""
    raw = abi.EventStruct(kind=EventKind.MATCH, key=abi.FlowKeyStruct(protocol=0x88CC))
    packet = decode_event(bytes(raw)).packet

    assert ("", "", "ether-0x88cc") == (packet.source, packet.destination, packet.protocol)


@pytest.mark.parametrize(
    ("family", "number", "expected"),
    [
        (4, 6, "tcp"),
        (6, 17, "udp"),
        (4, 1, "icmp"),
        (6, 58, "icmp6"),
        (4, 132, "sctp"),
        (4, 253, "ip-253"),
        (0, 0x0800, "ether-0x0800"),
    ],
)
def test_protocol_name(family: int, number: int, expected: str):
    """Known protocols have names, others a number that says of what."""

    assert expected == protocol_name(family, number)


@pytest.mark.parametrize("short", [0, 1, ct.sizeof(abi.EventStruct) - 1])
def test_truncated_event(short: int):
    """Fewer bytes than the struct are refused."""
    with pytest.raises(ValueError, match=r"."):
        decode_event(bytes(short))


def test_event_of_a_kind_that_is_not_known():
    """A kind of a later version is refused, not taken for another."""
    with pytest.raises(ValueError, match="99"):
        decode_event(bytes(abi.EventStruct(kind=99)))


def payload(data: bytes, length: int | None = None, *, offset: int = 3, before: int = 0) -> bytes:
    header = abi.PayloadStruct(
        time_ns=1,
        flow=2,
        key=key(4, "10.0.0.1", "192.0.2.9"),
        offset=offset,
        before=before,
        length=len(data) if length is None else length,
        release=4,
        policy=5,
        final=1,
    )
    return bytes(header) + data


def test_payload_fields():
    """Header fields, and as many bytes as the header says."""
    found = decode_payload(payload(b"abcdef", 4) + b"padding")

    assert (1, 2, 3, 4, 5) == (
        found.time_ns,
        found.flow,
        found.offset,
        found.release,
        found.policy,
    )
    assert found.final
    assert b"abcd" == found.data
    assert "data" not in repr(found)


@pytest.mark.parametrize("short", [0, abi.PAYLOAD_HEADER - 1])
def test_truncated_payload_header(short: int):
    """Fewer bytes than the header are refused."""
    with pytest.raises(ValueError, match=r"."):
        decode_payload(payload(b"abc")[:short])


def test_truncated_payload():
    """Fewer bytes than the header promises are refused: the stream must not seem whole."""
    with pytest.raises(ValueError, match="10 bytes of 11"):
        decode_payload(payload(b"0123456789", 11))


BEFORE_ALL = (1 << 64) - 1000  # -1000: sent again in front of what a flow was first seen with


@pytest.mark.parametrize("before", [0, 4])
def test_payload_in_front_of_the_first(before: int):
    """All of its bytes are for the inspector."""
    found = decode_payload(payload(b"tailabcdef", offset=BEFORE_ALL, before=before))

    assert (BEFORE_ALL, before, b"tailabcdef") == (found.offset, found.before, found.data)


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (-4 % (1 << 64), (0, 0, b"abcdef")),
        (-1 % (1 << 64), (0, 3, b"ailabcdef")),
        (0, (0, 4, b"tailabcdef")),
        (7, (7, 4, b"tailabcdef")),
        (BEFORE_ALL, (BEFORE_ALL + 4, 0, b"abcdef")),
    ],
)
def test_shadow_payload(offset: int, expected: tuple[int, int, bytes]):
    """Of the tail before it what is before the stream goes, and no byte of the packet does."""
    found = decode_shadow_payload(payload(b"tailabcdef", offset=offset, before=4))

    assert expected == (found.offset, found.before, found.data)


FLOOD = 7000  # events: more than the ring holds
HEAD = bytes(pk.udp(b"", port=1))[:34]


def datagram(data: bytes, number: int) -> bytes:
    """A datagram of a flow of its own, made without scapy: there are thousands.

    By its address: flows outlive a module, and their ports would be those of `bench.port()`.
    """
    length = 8 + len(data)
    source = (0x0A900000 + number).to_bytes(4, "big")
    head = HEAD[:16] + (20 + length).to_bytes(2, "big") + HEAD[18:26] + source + HEAD[30:]
    ports = (1).to_bytes(2, "big") + (9000).to_bytes(2, "big")
    return head + ports + length.to_bytes(2, "big") + bytes(2) + data


# -- from the kernel --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mirrored(bench, tmp_path_factory):
    """Alpha is mirrored, bravo alerted, the long one left to the inspector."""
    image = compiled(tmp_path_factory.mktemp("mirrored"), ALPHA, BRAVO, LONG)
    bench.load(image, policy(image, Action.MIRROR))
    return image


def stream(bench, *segments: bytes, fin: bool = False):
    """Payload records of a TCP stream sent in these segments."""
    port, at = bench.port(), 1
    found = list(bench.send(pk.tcp(b"", port=port, flags="S", seq=0)).payloads)
    for number, segment in enumerate(segments, 1):
        flags = "FPA" if fin and number == len(segments) else "PA"
        fate = bench.send(pk.tcp(segment, port=port, seq=at, flags=flags))
        assert fate.passed
        found += fate.payloads
        at += len(segment)
    return found


@pytest.mark.kernel
def test_event_of_a_match(bench, mirrored):
    """A match is told with its place, its edges and whose packet it was."""
    secret, port = value(ALPHA, 7), bench.port()
    (event,) = bench.send(pk.udp(b"12345" + secret + b".", port=port)).events

    assert (EventKind.MATCH, 0, 1, 0) == (event.kind, event.signature, event.policy, event.rule)
    assert (5, len(secret), 0, 1) == (event.offset, event.length, event.sent_before, event.count)
    assert (secret[:8], secret[-8:]) == (event.head, event.tail)
    packet = event.packet
    assert (NETNS, "udp", 4) == (packet.netns, packet.protocol, packet.family)
    assert (pk.OURS4, port) == (packet.source, packet.source_port)
    assert (pk.THEIRS4, 9000) == (packet.destination, packet.destination_port)


@pytest.mark.kernel
def test_mirror_begins_with_the_match(bench, mirrored):
    """What left before the match stays out of the mirror, but for the tail of 128 bytes."""
    before, secret = b"x" * 300, value(ALPHA, 1)
    records = stream(bench, before, b"say " + secret, b" and so on")

    assert [300 - abi.TAIL, 300 + 4 + len(secret)] == [one.offset for one in records]
    assert before[-abi.TAIL :] + b"say " + secret == records[0].data
    assert b" and so on" == records[1].data


@pytest.mark.kernel
def test_mirror_of_a_short_stream(bench, mirrored):
    """Before the stream's start there is nothing: the tail is as long as what was sent."""
    records = stream(bench, b"hello ", value(ALPHA, 1))

    assert [0] == [one.offset for one in records]
    assert b"hello " + value(ALPHA, 1) == records[0].data


@pytest.mark.kernel
def test_mirrored_offsets_are_continuous(bench, mirrored):
    """From the match on the pieces join without a gap, whatever the cut."""
    text = b"." * 100 + value(ALPHA, 1) + bytes(range(256)) * 8
    for size in (1, 7, 100, 1000):
        if size == 1:
            cut = [text[at : at + 1] for at in range(300)]
        else:
            cut = [text[at : at + size] for at in range(0, len(text), size)]
        records = stream(bench, *cut)
        joined = b"".join(one.data for one in records)
        ends = [one.offset + len(one.data) for one in records]

        assert ends[:-1] == [one.offset for one in records[1:]]
        assert b"".join(cut)[records[0].offset :] == joined
        assert value(ALPHA, 1) in joined


@pytest.mark.kernel
def test_records_of_a_flow_belong_together(bench, mirrored):
    """Each names the flow, its policy and the release."""
    records = stream(bench, value(ALPHA, 1), b"more", b"and more")

    assert 3 == len(records)
    assert 1 == len({(one.flow, one.policy, one.release, one.packet) for one in records})
    assert not any(one.final for one in records)


@pytest.mark.kernel
def test_fin_is_final(bench, mirrored):
    """The segment that ends a stream says so."""
    records = stream(bench, value(ALPHA, 1), b"the end", fin=True)

    assert [False, True] == [one.final for one in records]


@pytest.mark.kernel
@pytest.mark.parametrize("family", [4, 6])
def test_datagram_is_final(bench, mirrored, family: int):
    """A datagram with a match is mirrored whole, from offset 0, and nothing follows."""
    text = b"x" * 500 + value(ALPHA, 1) + b"." * 500
    (record,) = bench.send(pk.udp(text, port=bench.port(), family=family)).payloads

    assert (0, True, text) == (record.offset, record.final, record.data)


@pytest.mark.kernel
def test_datagrams_of_a_mirrored_flow(bench, mirrored):
    """The datagrams behind the one with the match are mirrored too, each for itself."""
    port = bench.port()
    bench.send(pk.udp(value(ALPHA, 1), port=port))
    (record,) = bench.send(pk.udp(b"nothing", port=port)).payloads

    assert (0, True, b"nothing") == (record.offset, record.final, record.data)


@pytest.mark.kernel
def test_prefilter_makes_no_event(bench, mirrored):
    """What the inspector decides is told by the inspector; the kernel hands on the payload."""
    fate = bench.send(pk.udp(value(LONG, 1), port=bench.port()))

    assert () == fate.events
    assert [value(LONG, 1)] == [one.data for one in fate.payloads]


@pytest.mark.kernel
def test_lost_events_are_counted(bench, mirrored):
    """When nobody reads the ring fills: each event that had no room is counted, none is made up."""
    bench.drain()
    before = bench.packets()
    for number in range(FLOOD):
        bench.post(datagram(value(BRAVO, number), number))
    after = bench.packets()
    bench.read()
    read = len(bench.events)
    lost = after[Reason.EVENT_LOST] - before[Reason.EVENT_LOST]
    bench.drain()

    assert FLOOD == read + lost
    assert lost > 0
    assert read > 3000


@pytest.mark.kernel
def test_lost_events_change_no_verdict(bench, mirrored):
    """With a full ring a drop is still a drop."""
    bench.load(mirrored, policy(mirrored, Action.DROP))
    before = bench.packets()[Reason.EVENT_LOST]
    numbers = range(FLOOD, 2 * FLOOD)
    passed = {bench.post(datagram(value(BRAVO, number), number)) for number in numbers}
    lost = bench.packets()[Reason.EVENT_LOST] - before
    bench.drain()
    bench.load(mirrored, policy(mirrored, Action.MIRROR))

    assert {False} == passed
    assert lost > 0


@pytest.mark.kernel
def test_lost_payload_is_counted(bench, mirrored):
    """A full payload ring counts the pieces that the inspector will miss."""
    bench.drain()
    before = bench.packets()
    text = value(ALPHA, 1) + b"." * 1200
    rounds = 8192
    port = bench.port()
    packet = bytes(pk.udp(text, port=port))
    bench.datapath.test_run(bench.entry, packet, repeat=rounds)
    after = bench.packets()
    bench.read()
    read = len(bench.payloads)
    lost = after[Reason.MIRROR_LOST] - before[Reason.MIRROR_LOST]
    mirrored_packets = after[Reason.MIRRORED] - before[Reason.MIRRORED]
    bench.drain()

    assert rounds == read + lost
    assert read == mirrored_packets
    assert lost > 0


@pytest.mark.kernel
@pytest.mark.parametrize("mode", ["closed", "open", "monitor"])
def test_full_ring_by_policy(bench, mirrored, mode: str):
    """Where the ring is full, a mirrored packet leaves, or under `on_overload: closed` does not.

    Under `monitor` it leaves all the same. With room again, so does the next.
    """
    flags = PolicyFlag.OVER_BUDGET_DROP
    if mode != "open":
        flags |= PolicyFlag.OVERLOAD_CLOSED
    if mode == "monitor":
        flags |= PolicyFlag.MONITOR
    bench.load(mirrored, policy(mirrored, Action.MIRROR, flags=flags))
    packet = bytes(pk.udp(value(ALPHA, 1) + b"." * 1200, port=bench.port()))
    before = bench.packets()
    bench.datapath.test_run(bench.entry, packet, repeat=8192)
    filled = bench.packets()
    passed = bench.post(packet)
    full = rises(filled, bench.packets())
    bench.drain()
    room = bench.send(packet)
    bench.load(mirrored, policy(mirrored, Action.MIRROR))
    lost = filled[Reason.MIRROR_LOST] - before[Reason.MIRROR_LOST]

    assert lost > 0
    assert (mode != "closed") == passed
    assert 1 == full[Reason.MIRROR_LOST]
    assert (mode == "closed") == full[Reason.OVERLOAD] == full[Reason.DROPPED]
    assert (lost if mode == "closed" else 0) == (filled[Reason.OVERLOAD] - before[Reason.OVERLOAD])
    assert room.passed


@pytest.mark.kernel
@pytest.mark.parametrize("cut", range(1, 16))
def test_mirroring_takes_no_context_away(bench, mirrored, cut: int):
    """In a mirrored flow a value cut into three short segments is found like in any other."""
    port, secret, at = bench.port(), value(BRAVO, cut), 1
    bench.send(pk.tcp(b"", port=port, flags="S", seq=0))
    found = []
    for segment in (value(ALPHA, 1) + b" ", secret[:cut], secret[cut:-1], secret[-1:] + b" "):
        fate = bench.send(pk.tcp(segment, port=port, seq=at))
        found += [(event.signature, event.sent_before) for event in fate.events]
        at += len(segment)

    assert [(0, 0), (1, len(secret) - 1)] == found
