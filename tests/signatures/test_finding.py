from dlp.signatures.finding import finds


def test_every_start():
    """Overlapping matches are found at each start, with what stands before in view."""
    assert [(0, 2), (1, 3)] == list(finds("aa", "", b"aaa"))
    assert [(1, 2)] == list(finds(r"(?<=x)a", "", b"xaa"))
