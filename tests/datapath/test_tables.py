"""What stands in the kernel's tables is what the kernel acts on."""

import functools
import hmac
import ipaddress
import struct
import time
from ctypes import c_uint32

import pytest

from dlp.datapath import abi, sha256, tables
from dlp.datapath.abi import EventFlag, Reason
from dlp.errors import KernelError
from dlp.model import Action, DestinationAction
from dlp.policy import DestinationRow, KernelPolicy, PolicyFlag, RuleRow
from dlp.signatures import masking
from tests import packets as pk
from tests.kernelpath import ALPHA, BRAVO, HMAC_KEY, LONG, NETNS, Made, compiled, policy, value

pytest_plugins = ["tests.kernelpath_fixture"]

ANY_LENGTH = Made("any", "KEY-[A-Za-z0-9]{5,122}(?![A-Za-z0-9])", "KEY-abcde")
NORMALISED = Made("shown", "NUM-[A-Za-z0-9 -]{4,121}!", "NUM-a b-C!", normalise=True)
FILLER = b"aB1cD2eF3gH4iJ5kL6mN7oP8qR9s" * 5


# -- constants: no kernel ---------------------------------------------------------------------


def test_round_constants():
    """The first and last of SHA-256's 64 round constants, as FIPS 180-4 prints them."""
    table = tables.constants()

    assert [0x428A2F98, 0x71374491] == table.sha256[:2]
    assert [0xBEF9A3F7, 0xC67178F2] == table.sha256[62:]


def test_bit_numbers():
    """The de Bruijn product of each single bit leads to its number."""
    table = tables.constants()
    found = [
        table.bit_number[((1 << bit) * abi.DEBRUIJN & (1 << 64) - 1) >> 58] for bit in range(64)
    ]

    assert list(range(64)) == found


def test_byte_values():
    """Digits and letters of either case count from 0 to 35, all other bytes are none."""
    table = tables.constants()
    expected = {byte: int(bytes([byte]), 36) for byte in range(256) if bytes([byte]).isalnum()}

    assert expected == {byte: one for byte, one in enumerate(table.value) if one != 0xFF}
    assert 62 == len(expected)


def test_dni_letters():
    """The check letters of the Spanish DNI in the order of the remainders."""
    table = tables.constants()
    letters = "".join(chr(ord("A") + one - 10) for one in table.dni_letter[:23])

    assert "TRWAGMYFPDXBNJZSQVHLCKE" == letters


def test_hmac_states():
    """The digest that goes on from the states is that of RFC 2104."""
    inner, outer = tables.hmac_states(HMAC_KEY)
    built = goes_on(outer, goes_on(inner, b"value"))

    assert hmac.digest(HMAC_KEY, b"value", "sha256") == built


def goes_on(state: list[int], text: bytes) -> bytes:
    """The digest of one block of key, of which the state is, and a text that fits in the next."""
    block = (text + b"\x80").ljust(56, b"\0") + struct.pack(">Q", (64 + len(text)) * 8)
    return struct.pack(">8I", *sha256.state_behind(block, state))


# -- the table of q-grams: no kernel ----------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 5000, abi.GRAM_ENTRIES])
def test_buckets_hold_every_anchor(count):
    """From a gram's bucket to its last anchor stand all of the gram, each once, and no others."""
    made = {
        (number * 2654435761 % 2**32).to_bytes(4, "little"): ((number % 9, number % 5 - 1),)
        for number in range(count)
    }
    starts, rows = tables._anchor_table(made)
    entries = [abi.AnchorStruct.from_buffer_copy(rows, at) for at in range(0, len(rows), 8)]
    met = {}
    for (bucket,) in struct.iter_unpack("=H", starts):
        place = bucket
        while place:
            one = entries[place]
            met[one.gram.to_bytes(4, "little")] = ((one.shape, one.offset),)
            place = 0 if one.last else place + 1

    assert made == met
    assert entries[0].last
    assert 2 * abi.GRAM_BUCKETS == len(starts)


def test_full_table_of_anchors():
    """One more than there is room for is refused."""
    made = {number.to_bytes(4, "big"): ((0, 0),) for number in range(abi.GRAM_ENTRIES + 1)}

    with pytest.raises(KernelError, match="full"):
        tables._anchor_table(made)


def test_rows_of_rules():
    """A row is there once for all signatures that have it; of what is allowed there is none."""
    one, other, none = (
        RuleRow(action, 0, 1) for action in (Action.DROP, Action.ALERT, Action.ALLOW)
    )
    image = [one] * 100 + [other, none]
    policies = [named("a", image), named("b", image)]
    rows, pages = tables._rule_table(policies)

    assert 4 == len(rows)  # values count by policy and rule
    assert [1, 2, 0] == [pages[1][at] for at in (35, 36, 37)]
    assert {0, 1, 64, 65} == set(pages)


def test_too_many_rows_of_rules():
    """More different rows than there is room for are refused, by their number."""
    rows = [RuleRow(Action.DROP, 0, 1, alone=str(number)) for number in range(abi.RULES)]

    with pytest.raises(KernelError, match=f"{abi.RULES} different rows"):
        tables._rule_table([named("a", rows)])


def named(name, rows) -> KernelPolicy:
    return KernelPolicy(
        name=name,
        flags=PolicyFlag(0),
        uninspectable=Action.ALLOW,
        destinations=(),
        rules=dict(enumerate(rows)),
        exceptions=(),
    )


# -- digests ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digests(bench, tmp_path_factory):
    image = compiled(tmp_path_factory.mktemp("digests"), ANY_LENGTH, NORMALISED)
    bench.load(image, policy(image, Action.ALERT))
    return image


def told(bench, packets) -> list[bytes]:
    """Digests of the events that the packets make, in their order."""
    bench.drain()
    for packet in packets:
        bench.post(packet)
    bench.rings[0].consume()
    found = [event.digest for event in bench.events]
    bench.drain()
    return found


@pytest.mark.kernel
def test_digest_of_every_length_and_alignment(bench, digests):
    """The kernel's HMAC-SHA-256 is Python's, for values of 9 to 126 bytes at each of 8 offsets."""
    lengths = range(9, abi.SPAN + 1)
    values = [(at, b"KEY-" + FILLER[at : at + n - 4]) for n in lengths for at in range(8)]
    packets = [pk.udp(b"." * at + one, port=bench.port()) for at, one in values]

    assert [hmac.digest(HMAC_KEY, one, "sha256") for _, one in values] == told(bench, packets)


@pytest.mark.kernel
def test_normalised_digest_of_every_length(bench, digests):
    """Letters and digits only, upper case: what Python's `masking.digest` makes of the value."""
    signature = digests.signatures[1]
    values = []
    for length in range(9, abi.SPAN + 1):
        middle = b" ".join([FILLER[:7], FILLER[7:20]] + [FILLER[20:30]] * 12)[: length - 5]
        values.append(b"NUM-" + middle + b"!")
    packets = [pk.udp(b";" * (i % 8) + one, port=bench.port()) for i, one in enumerate(values)]

    assert [masking.digest(HMAC_KEY, one, signature) for one in values] == told(bench, packets)


@pytest.mark.kernel
def test_digest_of_a_cut_value(bench, digests):
    """Cut into two segments, a value's digest is of what is a match at the segment's end."""
    whole = b"KEY-" + FILLER[:60]
    packets = []
    for cut in range(1, len(whole)):
        port = bench.port()
        packets += [
            pk.tcp(b"", port=port, flags="S", seq=999),
            pk.tcp(b"x" * 40 + b"=" + whole[:cut], port=port, seq=1000),
            pk.tcp(whole[cut:] + b";", port=port, seq=1041 + cut),
        ]
    found = told(bench, packets)

    # A first part of 9 bytes is a match at its segment's end; then the whole is none any more.
    expected = hmac.digest(HMAC_KEY, whole, "sha256")
    firsts = [hmac.digest(HMAC_KEY, whole[:cut], "sha256") for cut in range(9, len(whole))]
    assert [expected] * 8 + firsts == found


@pytest.mark.kernel
def test_equal_values_in_other_writing(bench, digests):
    """Spaces, hyphens and case do not matter to a normalised digest; they do to a raw one."""
    written = (b"NUM-abcd 12-34!", b"NUM-AB-CD1234!", b"NUM-abCD1234!")
    normal = told(bench, [pk.udp(one, port=bench.port()) for one in written])
    raw = told(bench, [pk.udp(one, port=bench.port()) for one in (b"KEY-abcdef", b"KEY-ABCDEF")])

    assert 1 == len(set(normal))
    assert 3 == len(normal)
    assert 2 == len(set(raw))


@pytest.mark.kernel
def test_key_of_the_digests(bench, digests, tmp_path):
    """Another key gives other digests: they say nothing without it."""
    image = compiled(tmp_path, ANY_LENGTH)
    bench.load(image, policy(image, Action.ALERT), hmac_key=b"another")
    found = told(bench, [pk.udp(b"KEY-abcdef", port=bench.port())])
    bench.load(digests, policy(digests, Action.ALERT))

    assert [hmac.digest(b"another", b"KEY-abcdef", "sha256")] == found


# -- generations ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Images of alpha alone, of bravo alone, and of both."""
    return (
        compiled(tmp_path_factory.mktemp("alpha"), ALPHA),
        compiled(tmp_path_factory.mktemp("bravo"), BRAVO),
        compiled(tmp_path_factory.mktemp("both"), ALPHA, BRAVO),
    )


@pytest.mark.kernel
def test_a_set_takes_the_place_of_another(bench, images):
    """After a load only the new set's signatures match."""
    alpha, bravo, _ = images
    for image, hit, miss in ((alpha, ALPHA, BRAVO), (bravo, BRAVO, ALPHA), (alpha, ALPHA, BRAVO)):
        bench.load(image, policy(image))

        assert not bench.send(pk.datagram(value(hit, 1), port=bench.port())).passed
        assert bench.send(pk.datagram(value(miss, 1), port=bench.port())).passed


@pytest.mark.kernel
def test_events_name_their_release(bench, images):
    """An event carries the number of the set that it was decided with."""
    alpha, bravo, _ = images
    for image, signature in ((alpha, ALPHA), (bravo, BRAVO)):
        release = bench.load(image, policy(image))
        (event,) = bench.send(pk.datagram(value(signature, 1), port=bench.port())).events

        assert release == event.release


def keys(bench, name: str) -> list:
    return list(bench.datapath.tables[name].keys())


def grams_of(bench, generation: int) -> set[int]:
    """What the programs can meet: each bucket's anchors, from its first to its last."""
    tables = bench.datapath.tables
    row = functools.cache(lambda name, number: tables[name].lookup(c_uint32(number)))
    found = set()
    for bucket in range(abi.GRAM_BUCKETS):
        at, place = divmod(bucket, abi.GRAM_STARTS)
        number = row("gram_starts", generation * 16 + at).first[place]
        last = False
        while not last:
            at, place = divmod(number, abi.GRAM_ROW)
            anchor = row("anchors", generation * abi.GRAM_ROWS + at).entry[place]
            found.add(anchor.gram)
            number, last = number + 1, anchor.last
    return found - {0}


@pytest.mark.kernel
def test_nothing_of_the_old_set_is_left(bench, images):
    """A generation that is written anew holds the new set's anchors, rules and exceptions alone."""
    alpha, bravo, both = images
    digest = bytes(32)
    bench.load(both, policy(both, exceptions=(digest,)), policy(both), policy(both))
    bench.load(alpha, policy(alpha, exceptions=(digest,)))
    bench.load(bravo, policy(bravo))
    live = bench.datapath.settings.generation
    grams = grams_of(bench, live)
    pages = bench.datapath.tables["rule_pages"]
    own = [key for key in keys(bench, "rule_pages") if key.value >> 12 == live]
    rules = {
        (key.value >> 6 & 63, (key.value & 63) * abi.RULE_PAGE + place)
        for key in own
        for place, number in enumerate(pages.lookup(key).rule)
        if number
    }
    exceptions = {key.policy >> 31 for key in keys(bench, "exceptions")}

    assert {int.from_bytes(gram, "little") for gram in bravo.anchors} == grams
    assert {(0, 0), (1, 0)} == rules
    assert live not in exceptions


@pytest.mark.kernel
def test_the_live_set_is_untouched_until_the_switch(bench, images):
    """While the other generation is written, packets meet the set that is live."""
    alpha, bravo, _ = images
    bench.load(alpha, policy(alpha))
    other = 1 - bench.datapath.settings.generation
    bench.datapath.tables.write_image(other, bravo)

    assert not bench.send(pk.datagram(value(ALPHA, 2), port=bench.port())).passed
    assert bench.send(pk.datagram(value(BRAVO, 2), port=bench.port())).passed


@pytest.mark.kernel
def test_a_flow_meets_the_new_set(bench, images):
    """A secret whose first half left under the old set is found by the new one."""
    alpha, bravo, _ = images
    secret, port = value(BRAVO, 3), bench.port()
    bench.load(alpha, policy(alpha))
    assert bench.send(pk.tcp(b"", port=port, flags="S", seq=0)).passed
    assert bench.send(pk.tcp(b"say " + secret[:9], port=port, seq=1)).passed
    bench.load(bravo, policy(bravo))
    fate = bench.send(pk.tcp(secret[9:], port=port, seq=14))

    assert not fate.passed
    assert [9] == [event.sent_before for event in fate.events]


@pytest.mark.kernel
def test_counts_of_distinct_values_outlive_a_swap(bench, images):
    """A threshold is per flow: a new release does not start it over."""
    _, _, both = images
    port = bench.port()
    two = policy(both, threshold=2)
    bench.load(both, two)
    first = bench.send(pk.datagram(value(ALPHA, 1), port=port))
    bench.load(both, two)
    second = bench.send(pk.datagram(value(ALPHA, 2), port=port))

    assert (True, False) == (first.passed, second.passed)


# -- destinations -----------------------------------------------------------------------------


def row(network: str, action: DestinationAction, low: int = 0, high: int = 65535) -> DestinationRow:
    """Written out here and not taken from dlp.policy: that is what is compared."""
    net = ipaddress.ip_network(network)
    address, mask = net.network_address.packed, net.netmask.packed
    if net.version == 4:
        address, mask = b"\0" * 10 + b"\xff\xff" + address, b"\xff" * 12 + mask
    return DestinationRow(address=address, mask=mask, port_low=low, port_high=high, action=action)


EXEMPT, DENY, INSPECT = DestinationAction.EXEMPT, DestinationAction.DENY, DestinationAction.INSPECT
HOST = "198.51.100.7/32"
DESTINATIONS = {
    "no row": ([], Reason.MATCH_DROPPED),
    "exempt host": ([row(HOST, EXEMPT)], Reason.EXEMPT),
    "exempt network": ([row("198.51.0.0/16", EXEMPT)], Reason.EXEMPT),
    "exempt all of IPv4": ([row("0.0.0.0/0", EXEMPT)], Reason.EXEMPT),
    "another host": ([row("198.51.100.8/32", EXEMPT)], Reason.MATCH_DROPPED),
    "a network beside": ([row("198.51.102.0/23", EXEMPT)], Reason.MATCH_DROPPED),
    "denied": ([row(HOST, DENY)], Reason.DENIED),
    "port fits": ([row(HOST, EXEMPT, 9000, 9000)], Reason.EXEMPT),
    "port in a range": ([row(HOST, EXEMPT, 8999, 9001)], Reason.EXEMPT),
    "port below": ([row(HOST, EXEMPT, 9001, 9999)], Reason.MATCH_DROPPED),
    "port above": ([row(HOST, EXEMPT, 1, 8999)], Reason.MATCH_DROPPED),
    "first of two: deny": ([row(HOST, DENY), row(HOST, EXEMPT)], Reason.DENIED),
    "first of two: exempt": ([row(HOST, EXEMPT), row(HOST, DENY)], Reason.EXEMPT),
    "inspect ends the search": (
        [row(HOST, INSPECT), row("198.51.0.0/16", EXEMPT)],
        Reason.MATCH_DROPPED,
    ),
    "the last of 32": (
        [row(f"192.0.2.{n}/32", DENY) for n in range(31)] + [row(HOST, EXEMPT)],
        Reason.EXEMPT,
    ),
    "IPv6 rows do not fit IPv4": ([row("2000::/3", EXEMPT)], Reason.MATCH_DROPPED),
}
DESTINATIONS6 = {
    "exempt host": ([row("2001:db8::7/128", EXEMPT)], Reason.EXEMPT),
    "exempt network": ([row("2001:db8::/32", EXEMPT)], Reason.EXEMPT),
    "bits past 64": ([row("2001:db8::4/126", DENY)], Reason.DENIED),
    "beside past 64": ([row("2001:db8::8/126", DENY)], Reason.MATCH_DROPPED),
    "denied port": ([row("2001:db8::/64", DENY, 9000, 9000)], Reason.DENIED),
    "IPv4 rows do not fit": ([row("0.0.0.0/0", EXEMPT)], Reason.MATCH_DROPPED),
}


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("family", "name"),
    [(4, name) for name in DESTINATIONS] + [(6, name) for name in DESTINATIONS6],
)
def test_destination(bench, images, family: int, name: str):
    """The first row that fits address and port decides, whether over TCP or UDP."""
    rows, reason = (DESTINATIONS if family == 4 else DESTINATIONS6)[name]
    alpha = images[0]
    bench.load(alpha, policy(alpha, destinations=tuple(rows)))
    udp = bench.send(pk.udp(value(ALPHA, 1), port=bench.port(), family=family))
    tcp = bench.send(pk.tcp(value(ALPHA, 1), port=bench.port(), family=family))

    for fate in (udp, tcp):
        assert (reason is Reason.EXEMPT) == fate.passed
        assert 1 == fate.rises[reason]


@pytest.mark.kernel
def test_denied_flow_tells_once(bench, images):
    """The first packet of a denied flow is an event; the others are counted."""
    alpha = images[0]
    bench.load(alpha, policy(alpha, destinations=(row(HOST, DENY),)))
    port = bench.port()
    told_of = [len(bench.send(pk.datagram(b"hello", port=port)).events) for _ in range(3)]

    assert [1, 0, 0] == told_of


@pytest.mark.kernel
def test_destinations_change_with_a_release(bench, images):
    """A running flow that a new release denies is denied from its next packet on."""
    alpha = images[0]
    port = bench.port()
    bench.load(alpha, policy(alpha))
    before = bench.send(pk.datagram(b"hello", port=port)).passed
    bench.load(alpha, policy(alpha, destinations=(row(HOST, DENY),)))
    after = bench.send(pk.datagram(b"hello", port=port)).passed

    assert (True, False) == (before, after)


@pytest.mark.kernel
def test_exempt_bytes_are_counted(bench, images):
    """Coverage is honest: what is exempt was not inspected."""
    alpha = images[0]
    bench.load(alpha, policy(alpha, destinations=(row(HOST, EXEMPT),)))
    port = bench.port()
    bench.send(pk.datagram(b"12345678", port=port))
    (flow,) = [
        flow
        for key, flow in bench.datapath.flows(1 << 16)
        if (key.netns, key.source_port) == (NETNS, port)
    ]

    assert (0, 8) == (flow.inspected, flow.missed)


# -- rules, thresholds, exceptions ------------------------------------------------------------


@pytest.mark.kernel
def test_signature_without_a_rule(bench, images):
    """What no rule of the policy names is not acted on and not told."""
    both = images[2]
    bench.load(both, policy(both, rules={1: RuleRow(Action.DROP, 0, 1)}))
    alpha = bench.send(pk.datagram(value(ALPHA, 1), port=bench.port()))
    bravo = bench.send(pk.datagram(value(BRAVO, 1), port=bench.port()))

    assert (True, ()) == (alpha.passed, alpha.events)
    assert not bravo.passed


@pytest.mark.kernel
@pytest.mark.parametrize("action", [Action.ALLOW, Action.ALERT, Action.MIRROR, Action.DROP])
def test_action(bench, images, action: Action):
    """Only drop drops, only mirror mirrors; allow tells nothing, the others tell the action."""
    alpha = images[0]
    bench.load(alpha, policy(alpha, action))
    fate = bench.send(pk.datagram(value(ALPHA, 1), port=bench.port()))

    assert (action is not Action.DROP) == fate.passed
    assert ([action] if action else []) == [event.action for event in fate.events]
    assert (action is Action.MIRROR) == bool(fate.payloads)


@pytest.mark.kernel
def test_strongest_action_of_a_packet(bench, images):
    """Of two matches in a packet the stronger decides, in either order."""
    both = images[2]
    rules = {0: RuleRow(Action.ALERT, 0, 1), 1: RuleRow(Action.DROP, 1, 1)}
    bench.load(both, policy(both, rules=rules))
    weak, strong = value(ALPHA, 1), value(BRAVO, 1)
    for text in (weak + b" " + strong, strong + b" " + weak):
        assert not bench.send(pk.datagram(text, port=bench.port())).passed


@pytest.mark.kernel
def test_threshold_counts_distinct_values(bench, images):
    """Under a threshold of 3 the third distinct value is dropped; repeats count for nothing."""
    alpha = images[0]
    bench.load(alpha, policy(alpha, threshold=3))
    port = bench.port()
    fates = [bench.send(pk.datagram(value(ALPHA, n), port=port)) for n in (1, 1, 2, 1, 2, 3)]

    assert [True, True, True, True, True, False] == [fate.passed for fate in fates]
    assert [1, 0, 1, 0, 0, 1] == [len(fate.events) for fate in fates]
    counts = [(event.count, event.flags) for fate in fates for event in fate.events]
    below = EventFlag.BELOW_THRESHOLD
    assert [(1, below), (2, below), (3, EventFlag(0))] == counts


@pytest.mark.kernel
def test_threshold_within_one_packet(bench, images):
    """Values of one packet count one after another: the packet that brings the N-th is dropped."""
    alpha = images[0]
    bench.load(alpha, policy(alpha, threshold=3))
    two = b" ".join(value(ALPHA, n) for n in (1, 2))
    three = b" ".join(value(ALPHA, n) for n in (1, 2, 3))

    assert bench.send(pk.datagram(two, port=bench.port())).passed
    assert not bench.send(pk.datagram(three, port=bench.port())).passed


@pytest.mark.kernel
def test_threshold_is_of_a_rule(bench, images):
    """Signatures of one rule count together; apart those of two, and by their own thresholds."""
    both = images[2]
    together = {0: RuleRow(Action.DROP, 0, 2), 1: RuleRow(Action.DROP, 0, 2)}
    apart = {0: RuleRow(Action.DROP, 0, 2), 1: RuleRow(Action.DROP, 1, 2)}
    alone = {0: RuleRow(Action.DROP, 0, 2), 1: RuleRow(Action.DROP, 0, 2, alone="b")}
    passed = []
    for rules in (together, apart, alone):
        bench.load(both, policy(both, rules=rules))
        port = bench.port()
        bench.send(pk.datagram(value(ALPHA, 1), port=port))
        passed.append(bench.send(pk.datagram(value(BRAVO, 1), port=port)).passed)

    assert [False, True, True] == passed


@pytest.mark.kernel
def test_threshold_is_of_a_flow(bench, images):
    """Another flow starts from nothing."""
    alpha = images[0]
    bench.load(alpha, policy(alpha, threshold=2))
    fates = [bench.send(pk.datagram(value(ALPHA, n), port=bench.port())) for n in (1, 2, 3)]

    assert [True] * 3 == [fate.passed for fate in fates]


@pytest.mark.kernel
def test_threshold_outlives_a_flood(bench, images):
    """A flow knows how many values it let out, also where the table of values has forgotten."""
    alpha = images[0]
    bench.load(alpha, policy(alpha, threshold=3))
    port, passed, seen = bench.port(), [], bench.datapath.tables["seen"]
    for number in (1, 2, 3):
        passed.append(bench.send(pk.datagram(value(ALPHA, number), port=port)).passed)
        for key in list(seen.keys()):
            seen.delete(key)

    assert [True, True, False] == passed


@pytest.mark.kernel
def test_the_value_that_reached_the_threshold_stays_out(bench, images):
    """A value sent again past the threshold does not leave."""
    alpha = images[0]
    bench.load(alpha, policy(alpha, threshold=2))
    port = bench.port()
    fates = [bench.send(pk.datagram(value(ALPHA, n), port=port)) for n in (1, 2, 2, 1)]

    assert [True, False, False, False] == [fate.passed for fate in fates]


@pytest.mark.kernel
def test_exception_lets_its_value_out(bench, images):
    """A digest on the list passes and is told as such; another value does not pass."""
    alpha = images[0]
    known = hmac.digest(HMAC_KEY, value(ALPHA, 1), "sha256")
    bench.load(alpha, policy(alpha, exceptions=(known,)))
    excepted = bench.send(pk.datagram(value(ALPHA, 1), port=bench.port()))
    other = bench.send(pk.datagram(value(ALPHA, 2), port=bench.port()))

    assert excepted.passed
    assert [EventFlag.EXCEPTED] == [event.flags for event in excepted.events]
    assert [Action.ALLOW] == [event.action for event in excepted.events]
    assert not other.passed


@pytest.mark.kernel
def test_exception_does_not_count(bench, images):
    """An excepted value brings a flow no nearer to its threshold."""
    alpha = images[0]
    known = hmac.digest(HMAC_KEY, value(ALPHA, 1), "sha256")
    bench.load(alpha, policy(alpha, threshold=2, exceptions=(known,)))
    port = bench.port()
    fates = [bench.send(pk.datagram(value(ALPHA, n), port=port)) for n in (1, 2, 3)]

    assert [True, True, False] == [fate.passed for fate in fates]


@pytest.mark.kernel
def test_exception_is_of_a_policy(bench, images):
    """Under another policy the same value is dropped."""
    alpha = images[0]
    known = hmac.digest(HMAC_KEY, value(ALPHA, 1), "sha256")
    bench.load(alpha, policy(alpha, exceptions=(known,)), policy(alpha))
    bench.use(2)

    assert not bench.send(pk.datagram(value(ALPHA, 1), port=bench.port())).passed


# -- policies ---------------------------------------------------------------------------------


@pytest.mark.kernel
def test_monitor_drops_nothing(bench, images):
    """Monitor mode tells the same verdict with its flag and counts what enforce would drop."""
    alpha = images[0]
    bench.load(alpha, policy(alpha, flags=PolicyFlag.MONITOR))
    fate = bench.send(pk.datagram(value(ALPHA, 1), port=bench.port()))

    assert fate.passed
    assert [(Action.DROP, EventFlag.MONITOR)] == [(e.action, e.flags) for e in fate.events]
    assert 1 == fate.rises[Reason.WOULD_DROP]


@pytest.mark.kernel
def test_no_policy_falls_to_the_strictest(bench, images):
    """A namespace that nothing binds meets policy 0, and that is counted."""
    alpha = images[0]
    bench.load(alpha, policy(alpha), policy(alpha, Action.ALERT))
    bench.use(2)
    bound = bench.send(pk.datagram(value(ALPHA, 1), port=bench.port()))
    bench.datapath.unbind(NETNS, 0)
    unbound = bench.send(pk.datagram(value(ALPHA, 1), port=bench.port()))
    bench.use(1)

    assert bound.passed
    assert not unbound.passed
    assert 1 == unbound.rises[Reason.NO_POLICY]
    assert [0] == [event.policy for event in unbound.events]


@pytest.fixture(scope="module")
def long_image(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("long"), LONG)


@pytest.mark.kernel
@pytest.mark.parametrize("alive", [True, False])
@pytest.mark.parametrize("closed", [True, False])
def test_inspector_down(bench, long_image, *, closed: bool, alive: bool):
    """What the inspector must decide is dropped only where it is down and the policy is closed."""
    flags = PolicyFlag.INSPECTOR_DOWN_CLOSED if closed else PolicyFlag(0)
    bench.load(long_image, policy(long_image, flags=flags))
    bench.datapath.beat(time.monotonic_ns() - (0 if alive else 60_000_000_000))
    fate = bench.send(pk.datagram(value(LONG, 1), port=bench.port()))

    assert (alive or not closed) == fate.passed
    assert (closed and not alive) == (Reason.INSPECTOR_DOWN in fate.rises)


@pytest.mark.kernel
def test_prefilter_mirrors(bench, long_image):
    """What the inspector must decide passes with its payload handed on, and makes no event."""
    bench.load(long_image, policy(long_image))
    fate = bench.send(pk.datagram(value(LONG, 1), port=bench.port()))

    assert fate.passed
    assert ((), 1) == (fate.events, len(fate.payloads))


@pytest.mark.kernel
def test_settings_are_read_back(bench, images):
    """What a load writes into the settings is what stands there."""
    alpha = images[0]
    release = bench.load(alpha, policy(alpha), cgroup_level=3)
    settings = bench.datapath.settings
    live = settings.generation

    assert release == settings.release
    assert 3 == settings.cgroup_level
    assert abi.SCAN_SLOT[alpha.stride] == settings.scan_slot[live]
    assert tables.bloom_shift(alpha) == settings.bloom_shift[live]
    bench.load(alpha, policy(alpha))


@pytest.mark.kernel
def test_rows_as_written(bench, images):
    """A policy's row reads back field by field."""
    alpha = images[0]
    rows = (row(HOST, DENY, 80, 443), row("2001:db8::/32", EXEMPT))
    bench.load(alpha, policy(alpha, flags=PolicyFlag.OTHER_DROP, destinations=rows))
    live = bench.datapath.settings.generation
    found = bench.datapath.tables["policies"].lookup(c_uint32(live * abi.POLICIES + 1))

    assert (PolicyFlag.OTHER_DROP, 2) == (found.flags, found.destinations)
    assert [
        (bytes(one.address), bytes(one.mask), one.port_low, one.port_high, one.action)
        for one in found.destination[:2]
    ] == [(one.address, one.mask, one.port_low, one.port_high, one.action) for one in rows]
    bench.load(alpha, policy(alpha))
