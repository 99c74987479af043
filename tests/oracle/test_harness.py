"""The sets that run against the model: large, of each kind, at each stride."""

import pytest

from dlp.errors import PackError
from dlp.signatures.pack import load_packs
from tests.oracle import campaign, harness
from tests.oracle.campaign import judge_of
from tests.oracle.harness import signature_set

SEED = 11
# Signatures at least; at 6 what begins with less than nine fixed bytes cannot be had.
LEAST = {None: (100, 170), 2: (100, 170), 6: (60, 95)}
SUMS = {None: 29, 2: 29, 6: 24}


def kinds(image):
    """How signatures are found and decided."""
    lanes = {shape.signature for shape in image.shapes if shape.lane}
    return {
        (one.check, one.sums, one.near is None, one.decided, number in lanes)
        for number, one in enumerate(image.signatures)
    }


@pytest.mark.parametrize("stride", campaign.STRIDES)
def test_sets_are_large(stride):
    """Core and broad set hold so many signatures, of all packs, all checksums and both lanes."""
    core, broad = (signature_set(stride, broad=broad).image for broad in (False, True))
    least_core, least_broad = LEAST[stride]

    assert len(core.signatures) >= least_core
    assert len(broad.signatures) >= least_broad
    assert {one.id for one in core.signatures} < {one.id for one in broad.signatures}
    for image in (core, broad):
        assert kinds(broad) == kinds(image)
        assert 9 == len({one.check for one in image.signatures})
        assert SUMS[stride] == len({one.sums for one in image.signatures})
        assert {"pci", "pii", "secrets", "keyword"} == {
            one.id.split(".")[0] for one in image.signatures
        }
    assert stride in (None, core.stride)
    assert core.stride == broad.stride


def test_every_split_of_the_core_comes():
    """Among a hundred thousand cases are all systematic ones of the core."""
    jobs = [job for job in campaign.jobs_of(SEED, 100_000) if job.stride is None]

    assert judge_of(None, SEED).cases.complete <= max(job.last for job in jobs)


def test_what_has_no_room_goes_by_name(monkeypatch):
    """One signature that the compiler refuses goes, the others stay; many are an error."""
    loaded = load_packs(("pci",), harness.Path.cwd())
    every = [one for pack in loaded for one in pack.signatures]
    compiler = harness.compile_packs
    refused = {every[3].id}

    def crowded(packs, *, stride=None):
        for one in (one for pack in packs for one in pack.signatures):
            if one.id in refused:
                raise PackError(f"signature {one.id}: no room", place=one.place)
        return compiler(packs, stride=stride)

    monkeypatch.setattr(harness, "compile_packs", crowded)
    image = harness._compiled(loaded, 2)
    assert [one.id for one in every if one.id not in refused] == [
        one.id for one in image.signatures
    ]

    with pytest.raises(PackError, match="no room"):
        harness._compiled(loaded, None)
    refused |= {one.id for one in every[:8]}
    with pytest.raises(PackError, match="no room"):
        harness._compiled(loaded, 2)
