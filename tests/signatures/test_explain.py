from dataclasses import replace

import pytest

from dlp.errors import PackError
from dlp.model import DecidedBy
from dlp.signatures.compiler import compile_packs
from dlp.signatures.explain import Rows, explain
from dlp.signatures.pack import Proximity
from tests.signatures.making import pack, signature


def test_digit_lane(image, packs):
    """A card tells its steps, boundaries, checksum and lane."""
    found = explain(image, "pci.card.amex", packs)
    (shape,) = found.shapes

    assert shape.lane
    assert '"3" [47] [0-9]{2}' in shape.steps
    assert shape.before == "[^.0-9] or none"
    assert "computed in the kernel as LUHN" in str(found)


def test_q_grams(image, packs):
    """A token tells its anchors and what they cost."""
    found = explain(image, "secrets.github.personal-token", packs)

    assert [-1, 0, 1] == [anchor.offset for anchor in found.shapes[0].anchors]
    assert found.grams == sum(anchor.variants for anchor in found.shapes[0].anchors)
    assert found.per_megabyte > 0
    assert '"ghp_" [0-9A-Za-z]{36}' in str(found)


def test_prefilter(image, packs):
    """What the inspector decides says why."""
    found = explain(image, "secrets.jwt.token", packs)

    assert found.decided is DecidedBy.INSPECTOR
    assert "in the inspector: a match can be longer than 126 bytes" in str(found)


def test_all(image, packs):
    """Every signature can be explained."""
    for one in image.signatures:
        assert one.id in str(explain(image, one.id, packs))


def test_unknown(image, packs):
    """An id that is not there is an error."""
    with pytest.raises(PackError, match="no signature"):
        explain(image, "pci.card.none", packs)


def test_corpora():
    """What an anchor costs is told of text and of JSON: quotes cost more in JSON."""
    made = [pack(signature('"id": "[0-9a-f]{9}"'))]
    found = explain(compile_packs(made), "made.one.signature", made)

    assert found.json > 2 * found.text > 0
    assert f"{found.text:.2f} in text, {found.json:.2f} in JSON" in str(found)
    assert found.text == pytest.approx(sum(one.text for one in found.shapes[0].anchors))


def test_tables(image, packs):
    """Rows of the kernel's tables are told, in bytes where their sizes are known."""
    name = "secrets.github.personal-token"
    found = explain(image, name, packs, rows=Rows(signature=1000, shape=100, anchor=10))

    assert 1000 + 100 * len(found.shapes) + 10 * found.grams == found.table_bytes
    assert f"{found.grams} q-grams, 1 shapes, {found.table_bytes / 1024:.1f} KB" in str(found)
    assert explain(image, name, packs).table_bytes is None


def test_underscore():
    """A q-gram is shown as the text that has it, though `_` is folded with the letters."""
    made = [pack(signature("acme_live_[0-9a-f]{32}"))]

    assert "q-gram _liv at offset 4" in str(
        explain(compile_packs(made, stride=2), "made.one.signature", made)
    )


def test_confidence_and_proximity():
    """The explanation tells how sure a match is, and what must stand near."""
    near = Proximity((b"ssn", b"social security"), 40, "before")
    made = [pack(replace(signature("(?<![0-9])[0-9]{9}(?![0-9])"), proximity=near))]
    text = str(explain(compile_packs(made), "made.one.signature", made))

    assert "confidence medium: a random candidate of its shape" in text
    assert (
        "proximity  one of ssn, social security within 40 bytes before it, decided in the kernel"
        in text
    )
