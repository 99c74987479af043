"""Compiled sets that are kept: the same as made anew, or made anew."""

import contextlib
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dlp.errors import PackError, Place
from dlp.signatures import cache as caching
from dlp.signatures.cache import KEPT, Cache
from dlp.signatures.compiler import compile_packs
from dlp.signatures.subjects import subjects
from tests.signatures.making import pack, regex_pack, signature


@pytest.fixture
def compiled(monkeypatch):
    """How often something was made."""
    made = []
    for name in ("compile_packs", "subjects"):
        own = getattr(caching, name)
        monkeypatch.setattr(
            caching, name, lambda *args, own=own, **given: made.append(own) or own(*args, **given)
        )
    return made


def test_the_same(tmp_path, packs, compiled):
    """What is kept equals what is made, and is made once."""
    held = ["pci.card.visa", "secrets.github.personal-token"]
    for _ in range(2):
        assert compile_packs(packs, held=held) == Cache(tmp_path / "c").image(packs, held=held)
        assert subjects(packs) == Cache(tmp_path / "c").subjects(packs)

    assert 2 == len(compiled)
    assert {0o600} == {file.stat().st_mode & 0o777 for file in (tmp_path / "c").iterdir()}
    assert 0o700 == (tmp_path / "c").stat().st_mode & 0o777


@pytest.mark.parametrize(
    "change",
    [
        {"regex": "abcdefghijkl"},
        {"must_match": (b"abcdefghijk",)},
        {"severity": "high"},
        {"validator": "luhn"},
        {"tags": ("x",)},
    ],
)
def test_content_counts(tmp_path, compiled, change):
    """Another content is another set; another place in the file is not."""
    one = signature("abcdefghijk")
    Cache(tmp_path).image([pack(one)])
    moved = replace(one, place=Place(Path("other.yaml"), 99, "signatures[3]"), lines=())
    Cache(tmp_path).image([pack(moved)])
    assert 1 == len(compiled)

    with contextlib.suppress(PackError):
        Cache(tmp_path).image([pack(replace(one, **change))])
    assert 2 == len(compiled)


def test_options_count(tmp_path, compiled):
    """Strides and what is held give images of their own."""
    packs = [regex_pack("abcdefghijkl")]
    for options in ({}, {"stride": 2}, {"held": ["made.one.signature"]}):
        assert compile_packs(packs, **options) == Cache(tmp_path).image(packs, **options)

    assert 3 == len(compiled)


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.write_bytes(file.read_bytes().replace(b"kernel", b"kermit")),
        lambda file: file.write_bytes(b"dlp-cache 0 x\n{}"),
        lambda file: caching._write(file, "{}"),
        lambda file: caching._write(file, "["),
        lambda file: file.chmod(0o622),
    ],
)
def test_damage(tmp_path, compiled, damage):
    """A file that is damaged, or that others could write, is made anew and written again."""
    packs = [regex_pack("abcdefghijkl")]
    expected = Cache(tmp_path).image(packs)
    (file,) = tmp_path.iterdir()
    damage(file)

    assert expected == Cache(tmp_path).image(packs)
    assert 2 == len(compiled)
    assert 0o600 == file.stat().st_mode & 0o777
    assert expected == Cache(tmp_path).image(packs)
    assert 2 == len(compiled)


def test_no_directory(tmp_path, compiled):
    """Without a directory, or with one that cannot be made, sets are made each time."""
    packs = [regex_pack("abcdefghijkl")]
    (tmp_path / "file").write_text("")
    for directory in (None, tmp_path / "file" / "below"):
        assert compile_packs(packs) == Cache(directory).image(packs)

    assert 2 == len(compiled)


def test_bad_packs_are_not_kept(tmp_path):
    """A refusal is told each time."""
    for _ in range(2):
        with pytest.raises(PackError, match="can never match"):
            Cache(tmp_path).image([regex_pack("(?=a)b")])

    assert [] == list(tmp_path.iterdir())


def test_old_files_go(tmp_path):
    """The directory keeps the latest files and no partial ones."""
    for number in range(KEPT + 3):
        caching._write(tmp_path / f"image-{number}", "{}")
        os.utime(tmp_path / f"image-{number}", (number, number))

    names = {file.name for file in tmp_path.iterdir()}
    assert KEPT + 1 >= len(names)
    assert f"image-{KEPT + 2}" in names
    assert "image-0" not in names


def test_speed(tmp_path):
    """1,000 signatures are there again within 0.3 s of processor time, a fraction of compiling."""
    many = [
        signature(rf"\btok{n:04}_[0-9a-f]{{32}}\b", id_=f"made.token.n{n}") for n in range(1000)
    ]
    begun = time.process_time()
    Cache(tmp_path).image([pack(*many)])
    Cache(tmp_path).subjects([pack(*many)])
    cold = time.process_time() - begun
    begun = time.process_time()
    Cache(tmp_path).subjects([pack(*many)])
    Cache(tmp_path).image([pack(*many)])

    warm = time.process_time() - begun

    assert warm < 0.3
    assert warm < cold / 3


def test_usual_directory(monkeypatch, tmp_path):
    """Root has one directory, whatever the environment says; others have their own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert caching.SYSTEM == caching.usual_directory()

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert tmp_path / "dlp" / "images" == caching.usual_directory()


def test_found(tmp_path):
    """What was kept is found without compiling; what was not, or elsewhere, is not."""
    packs = [pack(signature("abcdefghijk"))]
    held = [packs[0].signatures[0].id]
    kept, nothing = Cache(tmp_path / "images"), Cache(None)

    assert (None, None) == (kept.found(packs), nothing.found(packs))
    image = kept.image(packs, held=held)
    assert image == kept.found(packs, held=held)
    assert None is kept.found(packs)
