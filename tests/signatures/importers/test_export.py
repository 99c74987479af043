"""Packs as JSON and as gitleaks' rules; what they cannot say is told."""

import re
import tomllib

from dlp.signatures.importers.export import as_gitleaks, as_json
from dlp.signatures.importers.gitleaks import import_rules
from tests.signatures.making import pack, signature


def test_json_has_every_key(packs):
    """With the keys of the file, so that it says all that the pack does."""
    found = as_json(packs)

    assert [one.name for one in packs] == [one["pack"] for one in found]
    first = found[0]["signatures"][0]
    assert packs[0].signatures[0].regex == first["regex"]
    assert {"id", "must_match", "must_not_match", "proximity", "draft", "tags"} <= first.keys()


def test_builtin_rules_find_what_packs_find(packs):
    """Each rule's expression finds, on every sample, what the signature's own does."""
    text, left = as_gitleaks(packs)
    rules = {rule["id"]: rule for rule in tomllib.loads(text)["rules"]}
    whole = {one.signature for one in left if one.whole}
    every = [one for each in packs for one in each.signatures]

    assert {one.id for one in every} == rules.keys() | whole
    assert len(rules) > len(every) * 0.8
    for one in every:
        if one.id in rules:
            own = re.compile(one.regex.encode())
            exported = re.compile(rules[one.id]["regex"].encode())
            group = rules[one.id].get("secretGroup", 0)
            for sample in (*one.must_match, *one.must_not_match):
                first, second = own.search(sample), exported.search(sample)
                assert (first is None) is (second is None), one.id
                assert first is None or first.group() == second.group(group), one.id


def test_what_gitleaks_cannot_say():
    """A look-around within is left out whole; a validator makes a rule looser."""
    made = pack(
        signature("key-(?=[a-f])[a-z]{8}-(?![0-9])x", id_="made.one.within"),
        signature("key[0-9]{16}", id_="made.one.luhn", validator="luhn"),
        signature("key-[a-z]{8}", id_="made.one.plain"),
    )
    text, left = as_gitleaks([made])

    assert ["made.one.luhn", "made.one.plain"] == [
        one["id"] for one in tomllib.loads(text)["rules"]
    ]
    assert [("made.one.within", True), ("made.one.luhn", False)] == [
        (one.signature, one.whole) for one in left
    ]


def test_there_and_back(tmp_path):
    """What was exported is imported as the expression that it was."""
    made = pack(signature(r"(?<![0-9])made[0-9]{16}(?![0-9])"))
    file = tmp_path / "rules.toml"
    file.write_text(as_gitleaks([made])[0])

    again = import_rules(file, "made").pack.signatures[0]
    own, other = (re.compile(one.regex.encode()) for one in (made.signatures[0], again))
    for sample in (b"made" + b"1" * 16, b"7made" + b"1" * 16, b"made" + b"1" * 17, b"x made1"):
        assert bool(own.search(sample)) is bool(other.search(sample)), sample
