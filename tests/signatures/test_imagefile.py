import json
from dataclasses import replace

import pytest

from dlp.signatures import imagefile
from dlp.signatures.compiler import compile_packs


def test_round_trip(image, packs):
    """An image is the same after it was text, with triggers and without."""
    held = compile_packs(packs, held=[one.id for pack in packs for one in pack.signatures])

    for whole in (image, held):
        assert whole == imagefile.loads(imagefile.dumps(whole))
        assert whole.version == imagefile.loads(imagefile.dumps(whole)).version


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.pop("stride"),
        lambda raw: raw.update(more=1),
        lambda raw: raw.update(lane={"data": "Path", "is": {}}),
        lambda raw: raw["shapes"][0].update(literal="x"),
    ],
)
def test_other_text(image, change):
    """What is no image raises, and no other class can be named."""
    raw = json.loads(imagefile.dumps(image))
    change(raw)

    with pytest.raises((ValueError, TypeError, KeyError)):
        imagefile.loads(json.dumps(raw))


def test_nothing_else_is_written(image):
    """A value that could not be read again is refused when it is written."""
    with pytest.raises(TypeError, match="cannot hold object"):
        imagefile.dumps(replace(image, stride=object()))
