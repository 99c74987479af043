"""What is written as a pack reads as the same pack."""

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dlp.errors import Place
from dlp.signatures import document
from dlp.signatures.pack import Pack, load_pack
from dlp.signatures.proximity import Proximity
from dlp.signatures.writing import pack_text, scalar
from tests.signatures.making import signature

NOWHERE = Place(Path())


def bare(pack: Pack) -> list:
    """Signatures without their places."""
    return [replace(one, place=NOWHERE, lines=()) for one in pack.signatures]


def test_builtin_packs(packs, tmp_path):
    """Every pack that ships with the gateway comes back as it was."""
    for pack in packs:
        file = tmp_path / f"{pack.name}.yaml"
        file.write_text(pack_text(pack.name, pack.version, pack.description, pack.signatures))
        again = load_pack(file)

        assert bare(pack) == bare(again)
        assert (pack.version, pack.description) == (again.version, again.description)


def test_every_key(tmp_path):
    """Keys that built-in packs may not use are written too."""
    one = replace(
        signature("a{4}", must_match=(b"tab\there", b'it\'s "x"'), must_not_match=(b"- no: #",)),
        tags=("one", "two-three"),
        controls=("PCI-DSS-3.4", "it's, [so]"),
        confidence="medium",
        proximity=Proximity((b"key", b"it's"), 17, "either"),
        threshold=9,
        draft=True,
        normalise=True,
    )
    file = tmp_path / "made.yaml"
    file.write_text(pack_text("made", 3, "A: b", [one], ["note", "two\nlines"]))

    assert [replace(one, place=NOWHERE, lines=())] == bare(load_pack(file))


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_any_text(text):
    """A text stays this text, whatever YAML would make of it."""
    try:
        read = document.parse(f"key: {scalar(text)}\n".encode(), Path("x.yaml"))
    except Exception:
        # The reader refuses what no file may hold; none of it is printable.
        assert not text.isprintable()
        raise

    assert {"key": text} == read.value


def test_words_that_are_no_words():
    """Texts that YAML takes for something else are quoted."""
    for text in (
        "no",
        "True",
        "null",
        "~",
        "12",
        "1.5",
        "",
        "a: b",
        "- x",
        "# x",
        "*x",
        "&x",
        "!x",
    ):
        assert {"key": text} == document.parse(f"key: {scalar(text)}".encode(), Path("x")).value
