"""A word that comes late, about bytes that are no longer those that wait."""

import pytest

from dlp.datapath.abi import Reason
from tests.datapath.holding import SUSPECT, changed

pytest_plugins = ["tests.kernelpath_fixture", "tests.datapath.holding_fixture"]
pytestmark = pytest.mark.kernel


def test_word_about_the_bytes_before(flow):
    """Sent again with other bytes before the word: that word lets none of them out."""
    other = changed(SUSPECT, 20)
    flow.send(SUSPECT, 0)
    first = flow.question
    flow.send(other, 0)
    flow.clear(len(SUSPECT), question=first)

    assert flow.send(other, 0).waits
    flow.clear(len(SUSPECT))
    assert flow.send(other, 0).rises[Reason.RELEASED]
