"""Messages and datagrams between the processes of the bench, over a namespace's loopback."""

import socket

import pytest

from bench import datagrams, holding, namespaces
from bench.exchange import exchange

pytestmark = pytest.mark.netns


@pytest.fixture
def place():
    with namespaces.namespace("test-exchange") as name:
        yield name


def test_each_message_is_timed_once(place):
    """Plain ones in between are not, and on loopback none takes long."""
    done = exchange(place, place, "127.0.0.1", message=b"m" * 300, count=4, pause_s=0.001)

    assert 4 == len(done.seconds)
    assert all(0 < taken < 1 for taken in done.seconds)
    assert done.honest > 0


def test_a_receiver_that_is_not_there_is_an_error(place):
    """No figures are made of a failed run."""
    with pytest.raises(RuntimeError, match="exchange ended"):
        exchange(place, place, "127.0.0.9x", message=b"m", count=1, pause_s=0)


def test_datagrams_are_as_many_flows_as_asked_for(place, tmp_path):
    """Ports times sockets, each once."""
    file = tmp_path / "data"
    file.write_bytes(b"payload")
    seen = []
    with namespaces.inside(place):
        sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sink:
        sink.bind(("", datagrams.PORT))
        sink.settimeout(5)
        datagrams.send(place, "127.0.0.1", file, 6, ports=1, sockets=3, paced=True)
        while len(seen) < 6:
            seen.append(sink.recvfrom(64))

    assert {b"payload"} == {data for data, _ in seen}
    assert 3 == len({source for _, source in seen})


def test_the_floor_is_the_namespaces_own(place):
    """What the hold measures lower is not the host's."""
    holding.floor_of(place, 45_000)

    shown = namespaces.run("sysctl", "-n", "net.ipv4.tcp_rto_min_us", namespace=place)
    assert "45000" == shown.strip()
