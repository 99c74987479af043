"""The inspector's matcher on pieces of a stream."""

from dlp.signatures.compiler import compile_packs
from dlp.trial.inspection import Inspection
from tests.signatures.making import pack, signature

LONG = r"\bLONGKEY-[a-z]{5,300}\b"


def inspection() -> Inspection:
    made = pack(
        signature(LONG, id_="made.one.long"),
        signature(r"\bOTHERKEY-[a-z]{5,300}\b", id_="made.one.other"),
        signature(r"\bEXACTKEY-[a-z]{5}\b", id_="made.one.exact"),
    )
    return Inspection(compile_packs([made]))


def test_matches():
    """Values over pieces, with their places; signatures of the kernel are not asked."""
    found = inspection().read([(10, b"x LONGKEY-"), (20, b"abcdef EXACTKEY-abcde")], segment=4)

    assert [(4, 12, 14, "made.one.long")] == [
        (one.segment, one.offset, one.length, one.signature) for one in found
    ]
    assert "abcdef" not in found[0].masked


def test_streams_are_apart():
    """What one stream began another does not end."""
    reader = inspection()

    assert [] == reader.read([(0, b"LONGKEY-")])
    assert [] == reader.read([(8, b"abcdef")])
    assert [] == reader.read([])


def test_only_one():
    """Of the signatures those that are asked for."""
    made = pack(signature(LONG, id_="made.one.long"), signature(r"\bOTHERKEY-[a-z]{5,300}\b"))
    reader = Inspection(compile_packs([made]), only=(1,))

    assert [] == reader.read([(0, b"LONGKEY-abcdef.")])
    assert 1 == len(reader.read([(0, b"OTHERKEY-abcdef.")]))
