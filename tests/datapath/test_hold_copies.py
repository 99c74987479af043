"""The inspector's word is about bytes: others under the same numbers are a new question."""

import itertools
from ctypes import c_uint64

import pytest

from dlp.datapath.abi import Reason
from tests.datapath.holding import MORE, SUSPECT, changed, text

pytest_plugins = ["tests.kernelpath_fixture", "tests.datapath.holding_fixture"]
pytestmark = pytest.mark.kernel

COPIES = 512  # the map's


@pytest.mark.parametrize("at", range(len(SUSPECT)))
def test_one_other_byte(flow, at: int):
    """What was cleared does not leave with another byte: it is a new question."""
    flow.send(SUSPECT, 0)
    flow.clear(len(SUSPECT))
    fate = flow.send(changed(SUSPECT, at), 0)

    assert fate.waits
    assert 1 == fate.rises[Reason.REWRITTEN]
    assert [(False, changed(SUSPECT, at))] == [(r.again, r.data) for r in fate.given]


@pytest.mark.parametrize("size", range(1, 20))
def test_one_other_byte_of_a_piece(holding, under, size: int):
    """However short a piece is and wherever it begins, all of it is compared."""
    under()
    data = SUSPECT + text(20)
    for at, other in itertools.product(range(9), {0, size // 2, size - 1}):
        stream = holding.stream()
        stream.send(data, 0)
        stream.clear(len(data))
        if at:
            assert stream.send(data[:at], 0).passed

        assert stream.send(changed(data, at + other)[at : at + size], at).waits


def test_a_new_question_has_a_new_answer(flow):
    """The word on the new bytes lets those out, and not the old ones."""
    other = changed(SUSPECT, 20)
    flow.send(SUSPECT, 0)
    flow.clear(len(SUSPECT))
    flow.send(other, 0)
    assert flow.send(other, 0).waits
    flow.clear(len(SUSPECT))

    assert flow.send(other, 0).passed


def test_the_old_bytes_after_a_new_question(flow):
    """Back to what was cleared at first: that is another question again."""
    flow.send(SUSPECT, 0)
    flow.clear(len(SUSPECT))
    flow.send(changed(SUSPECT, 20), 0)
    flow.clear(len(SUSPECT))

    assert flow.send(SUSPECT, 0).waits


def test_other_bytes_while_it_waits(flow):
    """Sent again with other bytes before the word: given, and not as the same again."""
    flow.send(SUSPECT, 0)
    fate = flow.send(changed(SUSPECT, 20), 0)

    assert [(False, changed(SUSPECT, 20))] == [(r.again, r.data) for r in fate.given]
    assert 1 == fate.rises[Reason.REWRITTEN]


def test_other_bytes_of_what_follows(flow):
    """What joined the question behind the first segment is compared as well."""
    flow.send(SUSPECT, 0)
    flow.send(MORE, len(SUSPECT))
    flow.clear(len(SUSPECT + MORE))
    assert flow.send(SUSPECT, 0).passed
    fate = flow.send(changed(MORE, 3), len(SUSPECT))

    assert fate.waits
    assert [changed(MORE, 3)] == [record.data[record.before :] for record in fate.given]


def test_a_copy_that_is_gone(flow, bench):
    """Without the copy nothing can be compared: it is asked anew."""
    flow.send(SUSPECT, 0)
    flow.clear(len(SUSPECT))
    bench.datapath.tables["copies"].delete(c_uint64(flow.flow))
    fate = flow.send(SUSPECT, 0)
    flow.clear(len(SUSPECT))

    assert fate.waits
    assert [(False, SUSPECT)] == [(r.again, r.data) for r in fate.given]
    assert flow.send(SUSPECT, 0).passed


def test_more_flows_than_copies(holding, under):
    """Where very many flows wait some are asked about twice; none leaks, each leaves in the end."""
    under()
    streams = [holding.stream() for _ in range(COPIES * 2)]
    for stream in streams:
        stream.send(SUSPECT, 0)
        stream.clear(len(SUSPECT))
    others = [stream.send(changed(SUSPECT, 20), 0).passed for stream in streams[:50]]
    for stream in streams[:50]:
        stream.send(SUSPECT, 0)
        stream.clear(len(SUSPECT))

        assert stream.send(SUSPECT, 0).passed
    assert not any(others)
