from dlp.signatures.branches import BRANCHES, Run, branches
from dlp.signatures.byteset import DIGITS, of
from dlp.signatures.regex import parse


def test_written_out():
    """Alternations and repeated groups are written out in the order of the expression."""
    found = branches(parse("(?:ab|c){1,2}"))

    a, b, c = (Run(of(byte), 1, 1) for byte in (b"a", b"b", b"c"))
    assert [(a, b), (c,), (a, b, a, b), (a, b, c), (c, a, b), (c, c)] == [
        sequence.elements for sequence in found
    ]
    assert not any(sequence.cut for sequence in found)


def test_runs_stay():
    """A repeated class stays one run, whatever its bounds."""
    (found,) = branches(parse("[0-9]{3,900}"))

    assert (Run(DIGITS, 3, 900),) == found.elements


def test_cut():
    """What would grow too large, or has no end, is cut off and says why."""
    (unbounded,) = branches(parse("x(?:ab)*y"))
    many = branches(parse("x" + "(?:ab|cd)" * 10))

    assert "without an upper bound" in unbounded.cut
    assert len(many) <= BRANCHES
    assert all(str(BRANCHES) in sequence.cut for sequence in many)
