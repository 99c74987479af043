import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
)
from tap import ETH_P_IP, ETH_P_IP6, payload_of

FOUR = IP(src="10.77.0.10", dst="203.0.113.10")
SIX = IPv6(src="fd77::10", dst="2001:db8:113::10")


@pytest.mark.parametrize(
    ("packet", "name"),
    [
        (FOUR / ICMP(type=8) / b"payload", "icmp"),
        (FOUR / UDP(dport=53) / b"payload", "udp"),
        (IP(src="10.77.0.10", proto=253) / b"payload", "proto-253"),
        (IP(src="10.77.0.10", proto=17, frag=10) / b"payload", "fragment"),
        (IP(src="10.77.0.10", proto=17, flags="MF") / b"payload", "fragment"),
    ],
)
def test_ipv4(packet, name):
    """Payload is what is behind the headers; of a fragment, all behind the IP header."""

    assert (name, "10.77.0.10", b"payload") == payload_of(bytes(packet), ETH_P_IP)


@pytest.mark.parametrize(
    ("packet", "name"),
    [
        (SIX / ICMPv6EchoRequest(data=b"payload"), "icmp6"),
        (SIX / IPv6ExtHdrDestOpt() / UDP(dport=53) / b"payload", "udp"),
        (SIX / IPv6ExtHdrFragment(offset=4, nh=17) / b"payload", "fragment"),
    ],
)
def test_ipv6(packet, name):
    """Extension headers are stepped over."""

    assert (name, "fd77::10", b"payload") == payload_of(bytes(packet), ETH_P_IP6)


def test_neighbour_discovery_is_of_no_interest():
    """The lab's own chatter is not recorded."""

    assert payload_of(bytes(SIX / ICMPv6ND_NS(tgt="fd77::1")), ETH_P_IP6) is None


@pytest.mark.parametrize("ethertype", [ETH_P_IP, ETH_P_IP6, 0x88B5])
def test_what_cannot_be_parsed_is_recorded_whole(ethertype):
    """A packet too short for its header may carry something all the same."""

    assert (f"ether-{ethertype:04x}", "", b"short") == payload_of(b"short", ethertype)
