"""A word that comes late, about bytes that are no longer those that wait."""

import pytest

from tests.datapath.holding import SUSPECT, changed

pytest_plugins = ["tests.kernelpath_fixture", "tests.datapath.holding_fixture"]
pytestmark = pytest.mark.kernel


@pytest.mark.xfail(strict=True, reason="a word does not say which question it answers")
def test_word_about_the_bytes_before(flow):
    """Sent again with other bytes before the word: that word lets none of them out."""
    other = changed(SUSPECT, 20)
    flow.send(SUSPECT, 0)
    flow.send(other, 0)
    flow.clear(len(SUSPECT))  # about the first bytes

    assert flow.send(other, 0).waits
