"""gitleaks' TOML becomes a pack of drafts, and every rule is accounted for."""

import re
from pathlib import Path

import pytest

from dlp.errors import PackError
from dlp.signatures.compiler import compile_packs
from dlp.signatures.importers.gitleaks import import_rules
from dlp.signatures.pack import load_pack
from dlp.signatures.writing import pack_text

RULES = r"""
title = "test rules"
[allowlist]
paths = ['''vendor/''']
regexes = ['''^example$''']

[[rules]]
id = "acme-token"
description = "A token of Acme."
regex = '''\b(acme_(?i)[a-z0-9]{32})(?:[\x60'"\s;]|\\[nr]|$)'''
entropy = 3.5
keywords = ["acme_"]
tags = ["Cloud Key"]

[[rules]]
id = "assigned"
description = "Assigned to a name."
regex = '''(?i)[\w.-]{0,50}?(?:corpname)(?:[ \t]{0,20})(?:=|:)\s{0,3}([a-f0-9]{32})(?:[\s;]|$)'''
secretGroup = 1
keywords = ["corpname"]
[[rules.allowlists]]
stopwords = ["aaaa"]
regexTarget = "line"
regexes = ["x", "y"]

[[rules]]
id = "near"
description = "A key with a word far off."
regex = '''\bpk[0-9]{2}\.[a-f0-9]{64}\b'''
keywords = ["widgetco"]

[[rules]]
id = "only-a-path"
path = '''\.p12$'''

[[rules]]
id = "weak"
description = "Nothing to find it by."
regex = '''[a-z]{20}'''

[[rules]]
id = "unknown"
description = "Beyond this reader."
regex = '''\p{Greek}{8}key'''
path = '''\.ts$'''
"""


@pytest.fixture
def file(tmp_path) -> Path:
    file = tmp_path / "rules.toml"
    file.write_text(RULES)
    return file


@pytest.fixture
def outcomes(file):
    return {one.rule: one for one in import_rules(file, "leaks").outcomes}


def test_every_rule_is_told(outcomes):
    """In the file's order; those that are not carried say why."""
    assert ["acme-token", "assigned", "near", "only-a-path", "weak", "unknown"] == list(outcomes)
    assert {"only-a-path", "weak", "unknown"} == {
        rule for rule, one in outcomes.items() if not one.signature
    }
    assert "paths only" in outcomes["only-a-path"].reason
    assert "no anchor" in outcomes["weak"].reason
    assert r"the escape \p" in outcomes["unknown"].reason


def test_what_is_left_out(outcomes):
    """Entropy, paths, allowlists and groups that a signature cannot say are named."""
    assert "entropy 3.5: not asked for" in outcomes["acme-token"].notes
    assert any(note.startswith("path: not applicable") for note in outcomes["unknown"].notes)
    assert any("2 regexes, 1 stopwords" in note for note in outcomes["assigned"].notes)
    assert any(note.startswith("secretGroup") for note in outcomes["assigned"].notes)
    assert not any(note.startswith("secretGroup") for note in outcomes["acme-token"].notes)


def test_keywords(file):
    """Part of the expression as a rule; where they are not, one must stand near."""
    by_id = {one.id: one for one in import_rules(file, "leaks").pack.signatures}

    assert by_id["leaks.acme.token"].proximity is None
    near = by_id["leaks.near.key"].proximity
    assert near is not None
    assert ((b"widgetco",), "either") == (near.keywords, near.side)
    assert all(b"widgetco" in sample for sample in by_id["leaks.near.key"].must_match)


def test_the_pack(file, tmp_path):
    """It is written, read and compiled again; each signature is a draft with samples."""
    pack = import_rules(file, "leaks").pack
    written = tmp_path / "leaks.yaml"
    written.write_text(pack_text(pack.name, 1, pack.description, pack.signatures))
    again = load_pack(written)

    assert 3 == len(compile_packs([again]).signatures)
    for one in again.signatures:
        assert one.draft
        assert (3, 3) == (len(set(one.must_match)), len(set(one.must_not_match)))
    assert ("gitleaks", "cloud-key") == again.signatures[0].tags


def test_meaning(file):
    """A generated sample matches the original expression too, as Python would run that."""
    original = re.compile(rb"\b(acme_(?i:[a-z0-9]{32}))(?:[\x60'\"\s;]|\\[nr]|$)")
    token = import_rules(file, "leaks").pack.signatures[0]

    assert all(original.search(sample) for sample in token.must_match)
    assert not any(original.search(sample) for sample in token.must_not_match)


def test_notes_on_the_file(file):
    """The global allowlist is told once."""
    notes = import_rules(file, "leaks").notes

    assert 1 == len(notes)
    assert "for all rules" in notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[rules]\n", "is not TOML"),
        ("title = 'x'\n", "is no gitleaks configuration"),
        ("[[rules]]\nregex = 'x'\n", "is no gitleaks configuration"),
        ("[[rules]]\nid = 'a'\nregex = 7\n", "is no gitleaks configuration"),
        ("[[rules]]\nid = 'a'\nregex = 'x'\n[[rules]]\nid = 'a'\nregex = 'y'\n", "there twice"),
        ("[[rules]]\nid = 'a'\npath = 'x'\n", "no rule of it carries over"),
        ("\udcff", "is not UTF-8"),
    ],
)
def test_bad_files(tmp_path, text, message):
    """Each is refused with its file, and nothing is made of it."""
    file = tmp_path / "bad.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))

    with pytest.raises(PackError, match=message) as raised:
        import_rules(file, "leaks")
    assert str(raised.value).startswith(str(file))


def test_a_missing_file(tmp_path):
    with pytest.raises(PackError, match="cannot be read"):
        import_rules(tmp_path / "none.toml", "leaks")


def test_ids_stay_apart(tmp_path):
    """Rules whose names differ in punctuation only have ids of their own."""
    file = tmp_path / "rules.toml"
    rule = "[[rules]]\nid = '{}'\ndescription = 'x'\nregex = '''{}_[a-f]{{20}}'''\n"
    file.write_text(rule.format("a-key", "alphakey") + rule.format("a_key", "bravokey"))

    ids = [one.signature for one in import_rules(file, "leaks").outcomes]
    assert ["leaks.a.key", "leaks.a.key-2"] == ids
