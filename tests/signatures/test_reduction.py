from dlp.signatures.branches import Run
from dlp.signatures.byteset import DIGITS, of
from dlp.signatures.forms import Form
from dlp.signatures.reduction import joined, needed, spelled

A, B, C = (Run(of(byte), 1, 1) for byte in (b"a", b"b", b"c"))


def test_needed():
    """A form that another begins is left out; of two alike the exact one stays."""
    short, long = Form(runs=(A, B)), Form(runs=(A, B, C))
    vague = Form(runs=(A, B), why="a prefilter", closed=False)

    assert [short] == needed([long, vague, short])


def test_a_boundary_keeps_both():
    """With a boundary behind it a short form does not stand for a long one."""
    short, long = Form(runs=(A, B), right=DIGITS), Form(runs=(A, B, C))

    assert [short, long] == needed([short, long])


def test_joined():
    """Forms that differ in one byte become one, again and again."""
    forms = [Form(runs=(A, one, Run(DIGITS, 2, 4))) for one in (A, B, C)]

    assert [Form(runs=(A, Run(of(b"abc"), 1, 1), Run(DIGITS, 2, 4)))] == joined(forms)
    assert 2 == len(joined([Form(runs=(A, B)), Form(runs=(B, A))]))


def test_spelled():
    """A small class near the start is written out, a large one is not."""
    small = Form(runs=(A, Run(of(b"bc"), 1, 1), Run(DIGITS, 3, 3)))

    assert [(A, B, Run(DIGITS, 3, 3)), (A, C, Run(DIGITS, 3, 3))] == [
        form.runs for form in spelled(small)
    ]
