"""What the model's engine hands on to the inspector is what the kernel would."""

from dlp.signatures.model import Hit
from dlp.trial.modelled import _mirrored


def pieces(end: int, *segments: bytes) -> list[tuple[int, bytes]]:
    return list(_mirrored([Hit(0, 0, end, False)], segments))


def test_mirrored_from_the_first_fit():
    """The segment with which a prefilter fits, the tail before it, and all behind."""
    assert [(0, b"abcdef"), (6, b"ghi")] == pieces(5, b"abc", b"def", b"ghi")
    assert [(0, b"abc"), (3, b"def")] == pieces(2, b"abc", b"def")


def test_no_more_than_the_tail():
    """128 bytes before the segment, and no more."""
    (first,) = pieces(305, b"x" * 300, b"y" * 10)

    assert (172, 138) == (first[0], len(first[1]))


def test_nothing_without_a_fit():
    assert [] == list(_mirrored([], [b"abc"]))
