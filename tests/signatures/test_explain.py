import pytest

from dlp.errors import PackError
from dlp.model import DecidedBy
from dlp.signatures.explain import explain


def test_digit_lane(image, packs):
    """A card tells its steps, boundaries, checksum and lane."""
    found = explain(image, "pci.card.amex", packs)
    (shape,) = found.shapes

    assert shape.lane
    assert '"3" [47] [0-9]{2}' in shape.steps
    assert shape.before == "[^0-9] or none"
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
