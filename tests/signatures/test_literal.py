from dlp.signatures.branches import Run
from dlp.signatures.byteset import ALL, DIGITS
from dlp.signatures.literal import GAP, literal, steps
from dlp.signatures.lowering import lower
from dlp.signatures.regex import parse


def runs(source: str) -> tuple[Run, ...]:
    return lower(parse(source), checked=False).forms[0].runs


def test_gaps():
    """Fixed bytes around a class are one literal with gaps; the steps look at the gaps."""
    shape = runs("ab[0-9]{2}(?i:c)-[0-9]{2,4}x")
    fixed = literal(shape)

    assert (0, b"ab\xff\xffc-", bytes([0, 0, GAP, GAP, 0x20, 0])) == (
        fixed.offset,
        fixed.text,
        fixed.fold,
    )
    assert (Run(ALL, 2, 2), Run(DIGITS, 2, 2), Run(ALL, 2, 2), Run(DIGITS, 2, 4)) == steps(shape)[
        :4
    ]


def test_the_window_with_most_fixed_bytes():
    """At most 32 bytes apart, those that hold most fixed bytes."""
    fixed = literal(runs("ab[0-9]{40}secret-[0-9]"))

    assert (42, b"secret-") == (fixed.offset, fixed.text)


def test_none():
    """Where no byte is fixed there is no literal and the steps stay."""
    shape = runs("[0-9]{4}")

    assert (b"", shape) == (literal(shape).text, steps(shape))
