"""What a policy will not have whatever it carries: refused under its flag, and only under it."""

import itertools

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Raw

from dlp.datapath.abi import EventFlag, EventKind, GuardFlag, Reason
from dlp.model import Action, DestinationAction
from dlp.policy import DestinationRow, PolicyFlag
from tests import packets as pk
from tests.kernelpath import ALPHA, SLOT, compiled, policy, value

pytest_plugins = ["tests.kernelpath_fixture"]
pytestmark = pytest.mark.kernel

JOIN = (30, b"\x10\x01" + bytes(8))  # RFC 8684, 3.2: 12 bytes, subtype 1
CAPABLE = (30, b"\x00\x81" + bytes(8))  # subtype 0
BUDGET = PolicyFlag.OVER_BUDGET_DROP
HARMLESS = b"harmless"


def syn(port: int, *options, flags: str = "S"):
    return pk.tcp(b"", port=port, flags=flags, seq=0, options=list(options))


def urgent(payload: bytes, port: int):
    return pk.tcp(payload, port=port, flags="PAU", urgptr=1)


def lite(payload: bytes, port: int):
    """UDP-Lite (RFC 3828): UDP's header under a protocol number of its own."""
    return pk.ip4(proto=136) / Raw(pk.udp_bytes(payload, port=port))


def nested(payload: bytes, port: int):
    """A packet in a packet (RFC 2003)."""
    inner = IP(src="10.1.1.1", dst="10.1.1.2") / UDP(sport=port, dport=9000) / Raw(payload)
    return pk.ip4(proto=4) / Raw(bytes(inner))


def tcp_fragment(payload: bytes, port: int):
    """The first part of a TCP segment."""
    body = bytes(pk.tcp(payload.rjust(48), port=port)[TCP])
    return pk.fragments(body + bytes(8), [len(body)], ident=pk.fragment_id(), protocol=6)[0]


# By flag: how a packet is made that the flag refuses, and the reason for it.
REFUSED = {
    "unowned": (
        PolicyFlag.UNOWNED_DROP,
        lambda data, port: pk.tcp(data, port=port),
        Reason.UNOWNED,
    ),
    "unowned over IPv6": (
        PolicyFlag.UNOWNED_DROP,
        lambda data, port: pk.tcp(data, port=port, family=6),
        Reason.UNOWNED,
    ),
    "unowned fragment": (
        PolicyFlag.UNOWNED_DROP,
        lambda data, port: pk.first_fragment(data, port=port)[0],
        Reason.UNOWNED,
    ),
    "urgent": (PolicyFlag.URGENT_DROP, urgent, Reason.URGENT),
    "fragment": (
        PolicyFlag.FRAGMENTS_DROP,
        lambda data, port: pk.first_fragment(data, port=port)[0],
        Reason.FRAGMENT_REFUSED,
    ),
    "fragment over IPv6": (
        PolicyFlag.FRAGMENTS_DROP,
        lambda data, port: pk.first_fragment(data, port=port, family=6)[0],
        Reason.FRAGMENT_REFUSED,
    ),
    "join": (
        PolicyFlag.MPTCP_DROP,
        lambda data, port: pk.tcp(data, port=port, flags="S", options=[JOIN]),
        Reason.MPTCP_JOIN,
    ),
    "udp-lite": (PolicyFlag.OTHER_DROP, lite, Reason.OTHER_PROTOCOL),
    "ip in ip": (PolicyFlag.OTHER_DROP, nested, Reason.OTHER_PROTOCOL),
    "sctp": (
        PolicyFlag.OTHER_DROP,
        lambda data, port: pk.sctp(data, port=port),
        Reason.OTHER_PROTOCOL,
    ),
    "ip options": (
        PolicyFlag.OTHER_DROP,
        lambda data, port: pk.ip4_options(data, port=port),
        Reason.IP_OPTIONS,
    ),
    "extension header": (
        PolicyFlag.OTHER_DROP,
        lambda data, port: pk.destination_options(data, port=port),
        Reason.IP_OPTIONS,
    ),
}
FLAGS = (
    PolicyFlag.UNOWNED_DROP,
    PolicyFlag.URGENT_DROP,
    PolicyFlag.MPTCP_DROP,
    PolicyFlag.FRAGMENTS_DROP,
    PolicyFlag.OTHER_DROP,
)
_HOSTS = itertools.count(1)


def elsewhere(packet):
    """From an address that no other packet has: some protocols have no ports to tell flows by."""
    if IP in packet:
        packet[IP].src = f"10.{next(_HOSTS) % 200 + 20}.0.9"
    return packet


@pytest.fixture(scope="module")
def alpha(bench, tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("refusals"), ALPHA)


@pytest.fixture
def under(bench, alpha):
    """Load a policy of these flags."""

    def load(*flags: PolicyFlag, **options) -> None:
        joined = BUDGET
        for flag in flags:
            joined |= flag
        bench.load(alpha, policy(alpha, flags=joined, **options))

    return load


# -- each flag --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REFUSED)
def test_refused_under_its_flag(bench, under, name: str):
    """A harmless packet of the kind is dropped for what it is, and told of."""
    flag, build, reason = REFUSED[name]
    under(flag)
    fate = bench.send(elsewhere(build(HARMLESS, bench.port())))

    assert not fate.passed
    assert (1, 1) == (fate.rises[reason], fate.rises[Reason.DROPPED])
    assert [(EventKind.REFUSED, reason, Action.DROP)] == [
        (event.kind, event.reason, event.action) for event in fate.events
    ]


@pytest.mark.parametrize("name", REFUSED)
def test_not_refused_without_it(bench, under, name: str):
    """Without any of the flags it passes, is scanned, and nothing is told."""
    _, build, reason = REFUSED[name]
    under()
    fate = bench.send(elsewhere(build(HARMLESS, bench.port())))

    assert fate.passed
    assert reason not in fate.rises
    assert 1 == fate.rises[Reason.INSPECTED]
    assert () == fate.events


@pytest.mark.parametrize("name", REFUSED)
def test_scanned_without_it(bench, under, name: str):
    """Without the flag what it carries is looked at like any payload."""
    _, build, _ = REFUSED[name]
    under()
    fate = bench.send(elsewhere(build(b" " + value(ALPHA, 1) + b" ", bench.port())))

    assert not fate.passed
    assert 1 == fate.rises[Reason.MATCH_DROPPED]


@pytest.mark.parametrize("flag", FLAGS)
def test_ordinary_packets_pass_each_flag(bench, under, flag: PolicyFlag):
    """Datagrams, pings, and TCP without payload are none of what the flags are about."""
    under(flag)
    for packet in (
        pk.udp(HARMLESS, port=bench.port()),
        pk.udp(HARMLESS, port=bench.port(), family=6),
        pk.icmp(HARMLESS),
        pk.icmp6(HARMLESS),
        syn(bench.port()),
        pk.tcp(b"", port=bench.port(), flags="A"),
        pk.tcp(b"", port=bench.port(), flags="FA"),
        pk.tcp(b"", port=bench.port(), flags="R"),
        pk.tcp(b"", port=bench.port(), flags="AU", urgptr=1),
        pk.arp(),
    ):
        fate = bench.send(packet)

        assert fate.passed
        assert () == fate.events


@pytest.mark.parametrize("flag", [None, *FLAGS])
def test_tcp_segment_in_fragments(bench, under, flag: PolicyFlag | None):
    """Refused under every policy: a fragment of a segment is not the stream that is kept."""
    under(*[flag] if flag else [])
    fate = bench.send(tcp_fragment(HARMLESS, bench.port()))

    assert not fate.passed
    assert 1 == fate.rises[Reason.FRAGMENT_REFUSED]


@pytest.mark.parametrize("name", REFUSED)
def test_told_once_a_flow(bench, under, name: str):
    """Each packet is counted; the flow's first is told of."""
    flag, build, reason = REFUSED[name]
    under(flag)
    port = bench.port()
    source = f"10.{next(_HOSTS) % 200 + 20}.1.9"
    fates = []
    for _ in range(3):
        packet = build(HARMLESS, port)
        if IP in packet:
            packet[IP].src = source
        fates.append(bench.send(packet))

    assert [1, 1, 1] == [fate.rises[reason] for fate in fates]
    assert [1, 0, 0] == [len(fate.events) for fate in fates]


@pytest.mark.parametrize("name", REFUSED)
def test_monitor_counts_and_lets_out(bench, under, name: str):
    """Monitor mode says what would have been refused, and the packet goes its way."""
    flag, build, reason = REFUSED[name]
    under(flag, PolicyFlag.MONITOR)
    fate = bench.send(elsewhere(build(HARMLESS, bench.port())))

    assert fate.passed
    assert (1, 1, 1) == (
        fate.rises[reason],
        fate.rises[Reason.WOULD_DROP],
        fate.rises[Reason.PASSED],
    )
    assert Reason.DROPPED not in fate.rises
    (event,) = fate.events
    assert (EventKind.REFUSED, reason) == (event.kind, event.reason)
    assert EventFlag.MONITOR in event.flags


@pytest.mark.parametrize("name", REFUSED)
def test_monitor_goes_on_to_scan(bench, under, name: str):
    """What would have been refused is searched all the same: its match is told of."""
    flag, build, _ = REFUSED[name]
    under(flag, PolicyFlag.MONITOR)
    fate = bench.send(elsewhere(build(b" " + value(ALPHA, 1) + b" ", bench.port())))

    assert fate.passed
    assert [EventKind.REFUSED, EventKind.MATCH] == [event.kind for event in fate.events]


def test_exempt_destination_is_not_refused(bench, under):
    """Where nothing is inspected nothing is refused."""
    everywhere = DestinationRow(
        address=bytes(16),
        mask=bytes(16),
        port_low=0,
        port_high=0xFFFF,
        action=DestinationAction.EXEMPT,
    )
    under(*FLAGS, destinations=(everywhere,))
    for name, (_, build, _) in REFUSED.items():
        fate = bench.send(elsewhere(build(HARMLESS, bench.port())))

        assert fate.passed, name
        assert 1 == fate.rises[Reason.EXEMPT]


# -- what a refused segment leaves behind -----------------------------------------------------


@pytest.mark.parametrize("seen", ["from its start", "in the middle"])
def test_a_refused_segment_is_not_overtaken(bench, under, seen):
    """What follows an urgent segment waits until that has come again without its flag."""
    under(PolicyFlag.URGENT_DROP)
    port = bench.port()
    bench.send(syn(port) if seen == "from its start" else pk.tcp(b"x", port=port, seq=0))
    refused = bench.send(pk.tcp(b"12345678", port=port, flags="PAU", urgptr=1, seq=1))
    beyond = bench.send(pk.tcp(b"beyond", port=port, seq=9))
    again = bench.send(pk.tcp(b"12345678", port=port, seq=1))
    then = bench.send(pk.tcp(b"beyond", port=port, seq=9))

    assert [False, False, True, True] == [f.passed for f in (refused, beyond, again, then)]
    assert 1 == beyond.rises[Reason.OUT_OF_ORDER]


def test_urgent_byte_takes_no_context_away(bench, under):
    """A value around a refused segment is found when its bytes come without the flag."""
    under(PolicyFlag.URGENT_DROP)
    port, secret = bench.port(), value(ALPHA, 3)
    bench.send(syn(port))
    first = bench.send(pk.tcp(b" " + secret[:10], port=port, seq=1))
    bench.send(pk.tcp(secret[10:12], port=port, flags="PAU", urgptr=1, seq=12))
    last = bench.send(pk.tcp(secret[10:] + b" ", port=port, seq=12))

    assert (True, False) == (first.passed, last.passed)
    assert [10] == [event.sent_before for event in last.events]


# -- MPTCP ------------------------------------------------------------------------------------

NOP, STAMP = ("NOP", None), ("Timestamp", (1, 2))
PLACES = {
    "alone": (JOIN,),
    "behind no-ops": (*[NOP] * 28, JOIN),
    "behind a timestamp": (("MSS", 1460), STAMP, NOP, NOP, JOIN),
    "behind one that is capable": (CAPABLE, JOIN),
    "in front": (JOIN, ("MSS", 1460), ("SAckOK", b"")),
    "the shortest": ((30, b"\x10\x01"),),
    "odd lengths in front": ((253, b"abc"), (254, b""), NOP, JOIN),
}


@pytest.mark.parametrize("flags", ["S", "SA"])
@pytest.mark.parametrize("place", PLACES)
def test_join_wherever_it_stands(bench, under, place: str, flags: str):
    """A SYN, or the answer to one, that joins a connection is refused."""
    under(PolicyFlag.MPTCP_DROP)
    fate = bench.send(syn(bench.port(), *PLACES[place], flags=flags))

    assert not fate.passed
    assert 1 == fate.rises[Reason.MPTCP_JOIN]


@pytest.mark.parametrize(
    "options",
    [
        (CAPABLE,),
        (("MSS", 1460), STAMP, ("SAckOK", b""), ("WScale", 7)),
        ((253, b"\x1e\x0c\x10\x01"),),  # a join's bytes inside another option
        (("EOL", None), JOIN),  # behind the end of the list
        (*[NOP] * 40,),
    ],
)
def test_other_options_are_no_join(bench, under, options):
    """The first subflow's SYN passes, and so do options that only look like it."""
    under(PolicyFlag.MPTCP_DROP)

    assert bench.send(syn(bench.port(), *options)).passed


@pytest.mark.parametrize("length", [0, 1, 2, 3, 39, 40, 41, 255])
def test_options_that_lie(bench, under, length: int):
    """An option's length that leads nowhere ends the search; the packet has one fate."""
    under(PolicyFlag.MPTCP_DROP)
    packet = bytearray(bytes(syn(bench.port(), (253, b"\0" * 10), *[NOP] * 28)))
    packet[14 + 20 + 20 + 1] = length
    fate = bench.send(bytes(packet))

    assert fate.passed
    assert 1 == fate.rises[Reason.NO_PAYLOAD]


# -- quarantine -------------------------------------------------------------------------------


@pytest.fixture
def quarantined(bench, under):
    under()
    bench.datapath.set_guard_flags(SLOT, GuardFlag.QUARANTINED)
    yield
    bench.datapath.clear_guard(SLOT)


def test_quarantine_lets_nothing_out(bench, quarantined):
    """Every packet is dropped under its reason, also what a blocked flow may still say."""
    for packet in (
        pk.udp(HARMLESS, port=bench.port()),
        pk.tcp(HARMLESS, port=bench.port(), family=6),
        pk.tcp(b"", port=bench.port(), flags="R"),
        pk.arp(),
        pk.icmp(HARMLESS),
        pk.odd_ethertype(HARMLESS),
    ):
        fate = bench.send(packet)

        assert not fate.passed
        assert (1, 1, 1) == (
            fate.rises[Reason.PACKETS],
            fate.rises[Reason.QUARANTINED],
            fate.rises[Reason.DROPPED],
        )


def test_released_from_quarantine(bench, quarantined):
    """Once the flag is gone packets leave again."""
    port = bench.port()
    cut = bench.send(pk.udp(HARMLESS, port=port)).passed
    bench.datapath.set_guard_flags(SLOT, GuardFlag(0), GuardFlag.QUARANTINED)

    assert (False, True) == (cut, bench.send(pk.udp(HARMLESS, port=port)).passed)


def test_quarantine_in_monitor_mode(bench, under):
    """An operator's word holds under every policy."""
    under(PolicyFlag.MONITOR)
    bench.datapath.set_guard_flags(SLOT, GuardFlag.QUARANTINED)
    fate = bench.send(pk.udp(HARMLESS, port=bench.port()))
    bench.datapath.clear_guard(SLOT)

    assert not fate.passed


def test_quarantine_is_one_workloads(bench, under):
    """The neighbour's row is not asked."""
    under()
    bench.datapath.set_guard_flags(SLOT + 1, GuardFlag.QUARANTINED)
    fate = bench.send(pk.udp(HARMLESS, port=bench.port()))
    bench.datapath.clear_guard(SLOT + 1)

    assert fate.passed
