import socket
import struct

from scapy.layers.inet import ICMP
from sender import TCP_RTO_MAX_MS, Sender, echo_request


def listener():
    return socket.create_server(("127.0.0.1", 0))


def test_each_part_is_a_send_of_its_own():
    """Parts arrive apart where there is a pause between them."""

    with listener() as taker:
        sender = Sender()
        port = taker.getsockname()[1]
        opened = sender.do(
            {"do": "open", "key": 0, "kind": "tcp", "host": "127.0.0.1", "port": port}
        )
        peer, address = taker.accept()
        sender.do({"do": "send", "key": 0, "data": "YWJjZGVm", "cuts": [2], "pace": 0.05})

        with peer:
            assert (opened["source"][1], b"ab", b"cdef") == (
                address[1],
                peer.recv(2),
                peer.recv(100),
            )
            assert [] == sender.do({"do": "drain", "timeout": 1})["unacknowledged"]
        sender.do({"do": "close"})


def test_errors_of_the_network_are_answers():
    """A refused connection does not end the program."""

    with listener() as taker:
        port = taker.getsockname()[1]
    sender = Sender()
    answer = sender.do({"do": "open", "key": 0, "kind": "tcp", "host": "127.0.0.1", "port": port})
    sender.do({"do": "close"})

    assert "ConnectionRefusedError" == answer["error"]


def test_echo_request_has_the_right_sum():
    """The checksum is the one scapy computes."""

    ours = echo_request(b"odd length.", 7, 3, six=False)
    expected = ICMP(type=8, id=7, seq=3) / b"odd length."

    assert bytes(expected) == ours
    assert 0 == struct.unpack("!H", echo_request(b"", 1, 1, six=True)[2:4])[0]


def test_tries_again_after_a_pause_at_most():
    """As far as the kernel lets a program say so (6.15)."""

    opened = {"do": "open", "key": 0, "kind": "tcp", "host": "127.0.0.1"}
    with listener() as taker, socket.socket() as asked:
        sender = Sender()
        sender.do(opened | {"port": taker.getsockname()[1], "pause": 1.5})
        try:
            asked.setsockopt(socket.IPPROTO_TCP, TCP_RTO_MAX_MS, 1500)
            set_to = sender._sockets[0].getsockopt(socket.IPPROTO_TCP, TCP_RTO_MAX_MS)
        except OSError:
            set_to = 1500
        sender.do({"do": "close"})

    assert 1500 == set_to
