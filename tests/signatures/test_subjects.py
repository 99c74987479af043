import pytest

from dlp.errors import PackError
from dlp.signatures.subjects import subjects
from tests.signatures.making import pack, signature


def test_subjects(packs, image):
    """Policies see the signatures in the image's order, each with its computed confidence."""
    found = subjects(packs)

    assert [one.id for one in image.signatures] == [one.id for one in found]
    by_id = {one.id: one for one in found}
    assert "high" == by_id["secrets.github.personal-token"].confidence
    assert {"low", "medium", "high"} == {one.confidence for one in found}
    assert "payment-card" == by_id["pci.card.visa"].category


def test_bad_expression():
    """An expression that does not parse is told with its signature and line."""
    with pytest.raises(PackError, match=r"made\.one\.signature: regex does not parse") as raised:
        subjects([pack(signature("(a"))])

    assert 9 == raised.value.place.line
