from dlp.inspector.account import InspectorCounts, MissReason
from dlp.inspector.messages import Done


def test_every_count_of_a_worker_is_added_up():
    """What a worker counts has a place in the totals."""
    assert set(Done.__slots__) - {"sequence"} <= set(InspectorCounts.__slots__)


def test_reasons_keep_their_labels():
    """Reasons are metric labels and stored: append only."""
    assert ["overload", "cpu", "hang", "crash", "poisoned", "down"] == [
        str(reason) for reason in MissReason
    ]
