from hypothesis import given
from hypothesis import strategies as st

from dlp.inspector.window import Window, WindowCounts, Windows


def placed(windows, offset, data, flow=1):
    window = windows.use(flow, offset)
    return windows.place(window, offset, data)


def test_records_join():
    """Records in order are one stretch of bytes; only the new ones are fresh."""
    windows = Windows()
    window = placed(windows, 100, b"abc")
    window.fresh = 3

    assert window is placed(windows, 103, b"def")
    assert (100, b"abcdef", 3) == (window.base, bytes(window.data), window.fresh)


def test_gap_starts_anew():
    """What lies behind missing bytes is not joined to what lies before them."""
    windows = Windows()
    placed(windows, 0, b"abc")

    window = placed(windows, 10, b"xyz")

    assert (10, b"xyz", 0, False) == (window.base, bytes(window.data), window.fresh, window.cut)
    assert WindowCounts(gaps=1, gap_bytes=7) == windows.taken()


def test_retransmission_adds_nothing():
    """The same bytes again, whole or in part, leave the window as it is, plus what is new."""
    windows = Windows()
    window = placed(windows, 0, b"abcdef")
    window.fresh = 6

    placed(windows, 2, b"cd")
    placed(windows, 4, b"efgh")

    assert (b"abcdefgh", 6) == (bytes(window.data), window.fresh)
    assert WindowCounts(retransmitted=4) == windows.taken()


def test_other_bytes_under_old_numbers_are_fresh():
    """A retransmission that differs replaces what was there and is searched again."""
    windows = Windows()
    window = placed(windows, 0, b"abcdef")
    window.fresh = 6
    window.consumed = {"early": 2, "late": 5}

    placed(windows, 2, b"XY")

    assert (b"abXYef", 2, {"early": 2}) == (bytes(window.data), window.fresh, window.consumed)
    assert WindowCounts(rewritten=2) == windows.taken()


def test_record_older_than_the_window_is_searched_by_itself():
    """Bytes whose place has been dropped are not put anywhere, and share what was told."""
    windows = Windows(overlap=4)
    window = placed(windows, 0, b"abcdefgh")
    window.trim(4)

    detached = placed(windows, 0, b"abcd")

    assert detached is not window
    assert (0, b"abcd") == (detached.base, bytes(detached.data))
    assert detached.seen is window.seen
    assert (4, b"efgh") == (window.base, bytes(window.data))


def test_trim_keeps_the_end():
    """Only the overlap stays, and offsets still name the same bytes."""
    window = Window(base=10, data=bytearray(b"0123456789"), fresh=10, consumed={"a": 12, "b": 18})

    window.trim(4)

    assert (16, b"6789", 4, True) == (window.base, bytes(window.data), window.fresh, window.cut)
    assert {"b": 18} == window.consumed


def test_flows_are_bounded():
    """Past the bound the flow that was not used for longest is given up, and counted."""
    windows = Windows(max_flows=2)
    for flow in (1, 2):
        placed(windows, 0, b"x", flow)
        windows.settle(flow)
    windows.use(1, 1)
    placed(windows, 0, b"x", 3)

    assert [2] == [flow for flow, _ in windows.settle(3)]
    assert 1 == windows.taken().evicted
    assert {1, 3} == {flow for flow, _ in windows}


def test_memory_is_bounded():
    """Many bytes in few flows are bounded too; the flow just used stays."""
    windows = Windows(max_bytes=10_000)
    evicted = []
    for flow in range(10):
        placed(windows, 0, bytes(3000), flow)
        evicted += [gone for gone, _ in windows.settle(flow)]

    assert [0, 1, 2, 3, 4, 5, 6, 7] == evicted
    assert 2 == len(windows)


def test_each_finding_is_told_once_and_forgotten_in_the_end():
    """What was told is remembered within bounds."""
    window = Window(base=0)

    assert window.first_time("a", 1, b"d")
    assert not window.first_time("a", 1, b"d")
    for start in range(2000):
        window.first_time("b", start, b"d")
    assert 1024 == len(window.seen)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 40)), max_size=40))
def test_window_holds_the_stream(pieces):
    """Whatever comes in whatever order, a window holds the stream's bytes at its offsets."""
    stream = bytes(range(100))
    windows = Windows(overlap=32)
    for offset, length in pieces:
        window = windows.use(1, offset)
        data = stream[offset : offset + length]
        target = windows.place(window, offset, data)
        for one in (window, target):
            assert stream[one.base : one.end] == bytes(one.data)
            assert 0 <= one.fresh <= len(one.data)
        window.fresh = len(window.data)
        window.trim(32)
