import pytest
from recorder import Arrivals, Recorder


@pytest.fixture
def recorder(tmp_path):
    made = Recorder(tmp_path)
    yield made
    made.close()


def test_stream_is_followed_while_it_grows(tmp_path, recorder):
    """A reader sees a stream's bytes before it is closed, and how it ended after."""

    arrivals = Arrivals(tmp_path)
    stream = recorder.open("tcp", ("::ffff:10.77.0.10", 4000))
    stream.write(b"abc")
    [seen] = arrivals.of("tcp")

    assert (("10.77.0.10", 4000), b"abc", None) == (seen.peer, seen.read(), seen.closed)

    stream.write(memoryview(b"def"))
    stream.close("eof")
    [seen] = arrivals.of("tcp")

    assert (b"abcdef", "eof") == (seen.read(), seen.how)


def test_datagrams_and_requests(tmp_path, recorder):
    """Each datagram is a record of its own; requests of a connection are counted."""

    recorder.datagram("udp", ("fd77::10", 1), b"one")
    recorder.datagram("udp", ("fd77::10", 1), b"two")
    stream = recorder.open("http", ("10.77.0.10", 2))
    recorder.note(stream, "request")
    recorder.note(stream, "request")
    stream.close("eof")
    arrivals = Arrivals(tmp_path)

    assert [b"one", b"two"] == [item.read() for item in arrivals.of("udp")]
    assert [2] == [item.requests for item in arrivals.of("http")]


def test_half_written_line_waits(tmp_path, recorder):
    """A line of the index that is still being written is read when it is complete."""

    recorder.datagram("udp", ("10.77.0.10", 1), b"one")
    index = tmp_path / "index.jsonl"
    whole = index.read_bytes()
    index.write_bytes(whole[:-5])
    arrivals = Arrivals(tmp_path)

    assert [] == arrivals.all()

    index.write_bytes(whole)

    assert 1 == len(arrivals.all())
