"""An archive against a trust."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlp.errors import ReleaseError
from dlp.releases import archive, keys, metadata, trust
from dlp.releases.verify import verify
from tests.releases.conftest import LATER, NOW, OTHER, PACK

MOMENT = NOW.timestamp()


def refused(raw, root, **options):
    """The reason why an archive is refused."""
    with pytest.raises(ReleaseError) as caught:
        verify(raw, root, now=MOMENT, **options)
    return caught.value.reason


def test_whole(makes):
    """A release signed by two of three keys is taken, with its packs and signers."""
    raw = makes.release()

    found = verify(raw, makes.root_bytes, now=MOMENT, installed=6)

    assert (7, len(raw), ()) == (found.version, found.size, found.notes)
    assert {"own": PACK.encode(), "other": OTHER.encode()} == found.packs
    assert sorted(one.public.id for one in makes.keys[:2]) == list(found.signers)
    assert makes.root_bytes == found.root


@pytest.mark.parametrize(
    ("signers", "reason"),
    [((), "threshold"), ((0,), "threshold"), ((0, "stranger"), "unknown_key")],
)
def test_signers(makes, signers, reason):
    """Too few signatures, or one by a key that the trust does not list: refused."""
    assert reason == refused(makes.release(signers=signers), makes.root_bytes)


def test_other_trust(makes):
    """Under another organisation's trust nothing of it counts."""
    other = keys.generate()
    root = trust.create(
        [other.public], [other.public], root_threshold=1, threshold=1, expires=LATER
    )
    trust.sign(root, other)

    assert "unknown_key" == refused(makes.release(roots=[]), root.to_bytes())


@pytest.mark.parametrize("installed", [7, 8, 2**31 - 2])
def test_old(makes, installed):
    """What is not newer than what was installed is refused."""
    assert "old" == refused(makes.release(), makes.root_bytes, installed=installed)


def test_expired(makes):
    """An expired release is refused; one that is in force is kept, and it is said."""
    raw = makes.release(expires=NOW - timedelta(seconds=1))

    assert "expired" == refused(raw, makes.root_bytes)
    kept = verify(raw, makes.root_bytes, now=MOMENT, keep=True)
    assert ("release 7 has expired on 2029-12-31",) == kept.notes


def test_trust_expired(makes):
    """After the trust's end no release is taken, however fresh it is."""
    late = LATER + timedelta(days=1)
    raw = makes.release(expires=late + timedelta(days=9))

    with pytest.raises(ReleaseError) as caught:
        verify(raw, makes.root_bytes, now=late.timestamp())

    assert "trust_expired" == caught.value.reason


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_byte(makes, data):
    """Whichever byte is altered, in whichever way, the archive is refused."""
    raw = bytearray(makes.release())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))

    refused(bytes(raw), makes.root_bytes)


def test_every_byte_of_metadata(makes):
    """Flipping the case of a letter, or any bit of any byte of root and release, is seen."""
    raw = makes.release()
    start = raw.index(b"root/1.json")
    end = raw.index(b"packs/other.yaml")
    for at in range(start, end, 3):
        for bit in (1, 0x20):
            altered = bytearray(raw)
            altered[at] ^= bit
            refused(bytes(altered), makes.root_bytes)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_truncated(makes, data):
    """Cut anywhere, it is refused."""
    raw = makes.release()

    refused(raw[: data.draw(st.integers(0, len(raw) - 1))], makes.root_bytes)


def test_packs(makes):
    """A pack that is not listed, one that lacks and one that is another are refused."""
    packs = {"own": PACK.encode(), "other": OTHER.encode()}
    release = metadata.create(packs, version=7, expires=LATER)
    for key in makes.keys[:2]:
        trust.sign(release, key)
    signed = release.to_bytes()
    for changed, reason in (
        ({**packs, "third": b"x"}, "pack"),
        ({"own": packs["own"]}, "pack"),
        ({**packs, "own": packs["own"] + b" "}, "altered"),
    ):
        raw = archive.write([], signed, changed)
        assert reason == refused(raw, makes.root_bytes)


def test_upper_case_signature(makes):
    """A signature in capital digits says the same number and is refused all the same."""
    raw = makes.release()
    found = archive.read(raw)
    at = found.release.index(b'"sig":"') + 7
    shouted = found.release[:at] + found.release[at : at + 128].upper() + found.release[at + 128 :]

    assert "altered" == refused(archive.write([], shouted, found.packs), makes.root_bytes)


def test_rotation(makes):
    """A chain of roots leads from the trust to new keys; the old ones count no more."""
    fresh = [keys.generate() for _ in range(2)]
    second = trust.change(
        makes.root,
        add_release=[one.public for one in fresh],
        remove=[one.public.id for one in makes.keys[1:]],
        expires=LATER,
    )
    trust.sign(second, makes.keys[0])
    chain = [makes.root_bytes, second.to_bytes()]
    packs = {"own": PACK.encode()}
    release = metadata.create(packs, version=8, expires=LATER)
    for key in fresh:
        trust.sign(release, key)
    raw = archive.write(chain, release.to_bytes(), packs)

    found = verify(raw, makes.root_bytes, now=MOMENT)
    assert second.to_bytes() == found.root
    # Once the new root is known, what the old keys sign is refused.
    assert "unknown_key" == refused(makes.release(version=9), found.root)
    assert "unknown_key" == refused(makes.release(version=9, roots=chain), makes.root_bytes)
