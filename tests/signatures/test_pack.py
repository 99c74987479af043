from pathlib import Path

import pytest

from dlp.errors import PackError
from dlp.signatures import byteset
from dlp.signatures.branches import Run, branches
from dlp.signatures.pack import Proximity, builtin_names, load_pack, load_packs
from dlp.signatures.regex import parse

TEXTUAL = ("secrets", "crypto", "source-code", "confidential", "exfil")
# Members of a class that masked text may show: a digit, or one of few letters.
SHOWN = 10

GOOD = """\
pack: mine
version: 3
description: Mine.
signatures:
  - id: mine.token.first
    name: First
    severity: high
    description: A token.
    category: credential
    regex: 'mytoken_[0-9]{8}'
    must_match: ['mytoken_12345678']
    must_not_match: ['mytoken_1234567']
"""


def written(directory: Path, text: str = GOOD, name: str = "mine") -> Path:
    file = directory / f"{name}.yaml"
    file.write_text(text)
    return file


def test_loads(tmp_path):
    """A pack becomes values with defaults filled in and the places of its keys."""
    pack = load_pack(written(tmp_path))
    (signature,) = pack.signatures

    assert ("mine", 3, 1) == (pack.name, pack.version, len(pack.signatures))
    assert ("", False, 0, ()) == (
        signature.validator,
        signature.normalise,
        signature.mask_head,
        signature.controls,
    )
    assert signature.at("regex").line == 10
    assert signature.at("must_match[0]").key == "signatures[0].must_match[0]"


def test_normalise_follows_the_validator(tmp_path):
    """With a validator the digest is over letters and digits unless the pack says otherwise."""
    with_validator = GOOD + "    validator: luhn\n"

    assert load_pack(written(tmp_path, with_validator)).signatures[0].normalise
    refused = with_validator + "    normalise: false\n"
    assert not load_pack(written(tmp_path, refused)).signatures[0].normalise


def test_literals(tmp_path):
    """Literals become an expression, every odd byte of them escaped."""
    text = GOOD.replace("regex: 'mytoken_[0-9]{8}'", "literals: ['a.b', 'ü']\n    nocase: true")

    assert load_pack(written(tmp_path, text)).signatures[0].regex == r"(?i:a\x2eb|\xc3\xbc)"


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("severity: high", "severity: grave", 7, "signature mine.token.first"),
        ("category: credential", "category: credential\n    colour: x", 10, "extra inputs"),
        ("    name: First\n", "", 5, "field required"),
        ("id: mine.token.first", "id: other.token.first", 5, "does not begin with its pack"),
        ("id: mine.token.first", "id: Mine", 5, "signatures"),
        ("version: 3", "version: '3'", 2, "integer"),
        ("pack: mine", "pack: yours", 1, "file of another name"),
        ("must_not_match: ['mytoken_1234567']", "must_not_match: []", 12, "at least 1"),
        ("regex: 'mytoken_[0-9]{8}'", "nocase: false", 5, "either regex or literals"),
    ],
)
def test_refused(tmp_path, old, new, line, message):
    """An error names file, line, key and remedy."""
    with pytest.raises(PackError, match=message) as caught:
        load_pack(written(tmp_path, GOOD.replace(old, new)))

    assert caught.value.place is not None
    assert line == caught.value.place.line
    assert caught.value.remedy


def test_errors_hold_no_value(tmp_path):
    """A sample of a wrong type is named by its place, never shown."""
    text = GOOD.replace("['mytoken_12345678']", "['mytoken_12345678', 4111111111111111]")

    with pytest.raises(PackError) as caught:
        load_pack(written(tmp_path, text))
    assert "must_match[1]" in str(caught.value)
    assert "4111" not in str(caught.value)


def test_names_and_paths(tmp_path):
    """A bare name is a built-in pack; a path is relative to the base."""
    written(tmp_path)
    packs = load_packs(["pci", "./mine.yaml"], tmp_path)

    assert ["pci", "mine"] == [pack.name for pack in packs]
    assert {"pci", "pii-us", "secrets"} <= set(builtin_names())
    with pytest.raises(PackError, match="no signature pack 'nope'"):
        load_packs(["nope"], tmp_path)
    with pytest.raises(PackError, match="no signature pack"):
        load_packs([".."], tmp_path)


def test_an_id_twice(tmp_path):
    """Two packs cannot share an id; a pack that is listed twice is read once."""
    written(tmp_path)
    (tmp_path / "other").mkdir()
    written(tmp_path / "other")

    assert 1 == len(load_packs(["mine.yaml", "mine.yaml"], tmp_path))
    with pytest.raises(PackError, match="there twice"):
        load_packs(["mine.yaml", "other/mine.yaml"], tmp_path)


def test_families(tmp_path, monkeypatch):
    """A bare name is each pack of its family, whose ids begin with family and region."""
    monkeypatch.setattr("dlp.signatures.pack.signatures_dir", lambda: tmp_path)
    for region in ("aa", "bb"):
        text = GOOD.replace("pack: mine", f"pack: my-{region}").replace(
            "id: mine.", f"id: my.{region}."
        )
        written(tmp_path, text, f"my-{region}")

    assert ["my-aa", "my-bb"] == [pack.name for pack in load_packs(["my", "my-bb"], tmp_path)]


def test_proximity(tmp_path):
    """Keywords are kept in lower case, each once; before the value unless it says otherwise."""
    text = GOOD + "    proximity: {keywords: [Token, token, 'API key'], distance: 30}\n"
    proximity = load_pack(written(tmp_path, text)).signatures[0].proximity

    assert Proximity((b"token", b"api key"), 30, "before") == proximity


def test_builtin_packs(packs):
    """Each built-in signature has name, description, controls and samples; how many there are."""
    counts = {pack.name: len(pack.signatures) for pack in packs}
    signatures = [one for pack in packs for one in pack.signatures]

    assert all(one.controls and one.name and one.description for one in signatures)
    assert counts["secrets"] >= 220
    assert len({one.id.split(".")[1] for one in signatures if one.id.startswith("secrets.")}) >= 300
    assert sum(counts[name] for name in TEXTUAL) >= 280


@pytest.mark.parametrize("name", TEXTUAL)
def test_samples_of_builtin_packs(packs, name):
    """Three or more samples of either kind, none of them twice."""
    (pack,) = [each for each in packs if each.name == name]

    for one in pack.signatures:
        for samples in (one.must_match, one.must_not_match):
            assert len(set(samples)) == len(samples) >= 3, one.id


@pytest.mark.parametrize("name", TEXTUAL)
def test_nothing_is_shape_only(packs, name):
    """Every alternative of every expression has four fixed bytes, or three other than digits."""
    (pack,) = [each for each in packs if each.name == name]

    for one in pack.signatures:
        for alternative in branches(parse(one.regex)):
            runs = [part for part in alternative.elements if isinstance(part, Run)]
            fixed = [run for run in runs if byteset.single(run.mask)]
            letters = [run for run in fixed if not run.mask & byteset.DIGITS]
            enough = sum(run.min for run in fixed) >= 4 or sum(run.min for run in letters) >= 3
            assert enough or one.validator, one.id


@pytest.mark.parametrize("name", TEXTUAL)
def test_masks_show_no_more_than_the_prefix(packs, name):
    """What masked text shows at the head is the same in all matches, or nothing; no tail."""
    (pack,) = [each for each in packs if each.name == name]

    for one in pack.signatures:
        assert 0 == one.mask_tail, one.id
        for alternative in branches(parse(one.regex)):
            shown = one.mask_head
            for part in (part for part in alternative.elements if isinstance(part, Run)):
                if shown <= 0:
                    break
                assert part.mask.bit_count() <= SHOWN, one.id
                shown -= part.min
