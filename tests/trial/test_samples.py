"""Every sample in every cut; what fails is named by number and cut, never by its text."""

from dataclasses import replace

import pytest

from dlp.signatures.compiler import compile_packs
from dlp.trial.engine import Verdict
from dlp.trial.modelled import ModelEngine
from dlp.trial.samples import EVERY, cuts, places, try_samples
from tests.signatures.making import pack, signature

SECRET = b"MADEKEY-abcd1234"


@pytest.fixture
def made():
    """A pack of one signature, with a sample of either kind."""
    one = signature(
        r"\bMADEKEY-[a-z0-9]{8}\b", must_match=(SECRET,), must_not_match=(b"MADEKEY-abcd12345",)
    )
    return [pack(one)]


class Scripted:
    """An engine that says what it is told to, in turn."""

    name = "scripted"

    def __init__(self, *, found: Verdict, silent: Verdict) -> None:
        self.answers = {True: found, False: silent}

    def judge(self, _, streams):
        return [self.answers[b"".join(segments) == SECRET] for segments in streams]


def test_every_cut():
    """Whole, in two at every byte, and byte by byte; always the same bytes."""
    trials = list(cuts(SECRET))

    assert ["whole", "cut at 1"] == [name for name, _ in trials[:2]]
    assert "byte by byte" == trials[-1][0]
    assert len(SECRET) + 1 == len(trials)
    assert {SECRET} == {b"".join(segments) for _, segments in trials}
    assert 1 == len(list(cuts(b"x")))


def test_places_of_long_samples():
    """Long ones are cut at every byte of their ends, and now and then between."""
    found = places(EVERY * 4)

    assert {1, 2, EVERY // 2 - 1, EVERY * 4 - 1} <= set(found)
    assert len(found) < EVERY * 2
    assert sorted(set(found)) == found


def test_all_is_well(made):
    """Nothing fails where all samples are judged right."""
    image = compile_packs(made)
    (tried,) = try_samples(ModelEngine(image), made, image)

    assert () == tried.failures
    assert ("made.one.signature", "made", 2) == (tried.signature, tried.pack, tried.samples)
    assert len(SECRET) + 1 + len(SECRET) + 2 == tried.streams


@pytest.mark.parametrize(
    ("engine", "sample", "verdict"),
    [
        (Scripted(found=Verdict.SILENT, silent=Verdict.SILENT), "must_match[0]", "silent"),
        (Scripted(found=Verdict.FOUND, silent=Verdict.FOUND), "must_not_match[0]", "found"),
        (Scripted(found=Verdict.UNDECIDED, silent=Verdict.SILENT), "must_match[0]", "undecided"),
    ],
)
def test_a_failure_is_named(made, engine, sample, verdict):
    """By signature, number of the sample and cut, at its line; not by its text."""
    image = compile_packs(made)
    (tried,) = try_samples(engine, made, image)

    first = tried.failures[0]
    assert (sample, "whole", verdict) == (first.sample, first.cut, first.verdict)
    assert str(first).startswith(f"made.yaml:{11 if sample == 'must_match[0]' else 13}: ")
    assert "MADEKEY" not in "".join(map(str, tried.failures)) + repr(tried)


@pytest.mark.kernel
@pytest.mark.long
def test_builtin_packs_in_the_kernel(kernel, packs, image):
    """The programs judge every sample of every built-in pack right, in every cut."""
    tried = list(try_samples(kernel, packs, image))

    assert [] == [str(failure) for one in tried for failure in one.failures]
    assert len(image.signatures) == len(tried)


def test_builtin_packs_in_the_model(packs):
    """So does the model; a third of them, as it is tried on all when it stands for the kernel."""
    some = [replace(each, signatures=each.signatures[::3]) for each in packs]
    image = compile_packs(some)
    tried = list(try_samples(ModelEngine(image), some, image))

    assert [] == [str(failure) for one in tried for failure in one.failures]
