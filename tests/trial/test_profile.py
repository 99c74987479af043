"""A profile shows which signature costs: a bad anchor stands at the top."""

import pytest

from dlp.signatures.compiler import compile_packs
from dlp.trial.choice import Wanted
from dlp.trial.engine import Stream
from dlp.trial.profile import profile_of
from dlp.trial.streams import Conversation
from dlp.trial.traffic import Source
from tests.signatures.making import pack, signature

BAD = signature(r"\bself\.[a-z_]{1,20}==[0-9]{4}", id_="made.one.bad")
GOOD = signature(r"\bqzxkey_[0-9a-f]{32}\b", id_="made.one.good")


@pytest.fixture
def image():
    return compile_packs([pack(GOOD, BAD)])


def text_source(tmp_path, data: bytes) -> Source:
    return Source(tmp_path / "t.txt", (Conversation("", Stream((data,)), 0, ()),), {}, text=True)


def test_a_bad_anchor(image):
    """On ordinary text one that begins with a common word has all the candidates."""
    profile = profile_of(image, [], Wanted.MODEL)

    first, second = profile.signatures
    assert ("made.one.bad", "made.one.good") == (first.signature, second.signature)
    assert first.candidates > 100
    assert 0 == second.candidates
    assert first.share > 0.99
    assert ("built-in corpus",) == profile.sources


def test_counts(image, tmp_path):
    """Candidates, those that fit, work: of the bytes that are given."""
    data = b"qzxkey_" + b"0" * 32 + b" and qzxkey_0000 and self.x self.y"
    profile = profile_of(image, [text_source(tmp_path, data)], Wanted.MODEL)
    by_id = {one.signature: one for one in profile.signatures}

    assert (2, 1) == (by_id["made.one.good"].candidates, by_id["made.one.good"].confirmed)
    assert by_id["made.one.good"].work > 39
    assert 0 == by_id["made.one.bad"].confirmed
    assert len(data) == profile.bytes
    assert profile.candidates == sum(one.candidates for one in profile.signatures)


@pytest.mark.kernel
def test_with_the_kernel(image):
    """Where it can be had, its own counters stand beside the model's, and agree about grams."""
    profile = profile_of(image, [], Wanted.KERNEL)

    assert profile.kernel is not None
    assert profile.kernel.ns_per_byte > 0
    assert abs(profile.kernel.grams - profile.grams) <= profile.grams * 0.1 + 5
    assert "kernel: " in profile.lines()[-1]


def test_without_the_kernel(image, monkeypatch):
    """It is told why."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    profile = profile_of(image, [], Wanted.AUTO)

    assert profile.kernel is None
    assert "loads programs" in profile.lines()[-1]
