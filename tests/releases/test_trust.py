"""The trust and its rotation."""

from __future__ import annotations

import json

import pytest

from dlp.errors import ReleaseError
from dlp.releases import keys, trust
from tests.releases.conftest import LATER


@pytest.fixture
def three():
    return [keys.generate() for _ in range(3)]


def made(root, release=None, *, root_threshold=1, threshold=1):
    publics = [one.public for one in root]
    releases = [one.public for one in release or root]
    return trust.create(
        publics, releases, root_threshold=root_threshold, threshold=threshold, expires=LATER
    )


def signed(root, *signers):
    for key in signers:
        trust.sign(root, key)
    return root


def reason(call, *arguments):
    with pytest.raises(ReleaseError) as caught:
        call(*arguments)
    return caught.value.reason


@pytest.mark.parametrize(("root_threshold", "threshold"), [(0, 1), (1, 0), (3, 1), (1, 3)])
def test_thresholds(three, root_threshold, threshold):
    """A threshold that no set of keys can meet makes no trust."""
    with pytest.raises(ReleaseError) as caught:
        made(three[:2], root_threshold=root_threshold, threshold=threshold)

    assert "threshold" == caught.value.reason


def test_same_key_twice(three):
    """A key given twice is one key: it cannot meet a threshold of two."""
    with pytest.raises(ReleaseError):
        made([three[0], three[0]], threshold=2)


def test_round_trip(three):
    """A signed trust comes back out of its bytes."""
    root = signed(made(three, root_threshold=2), three[0], three[1])

    found = trust.parse(root.to_bytes())
    trust.check_self(found)
    assert root == found


def test_self(three):
    """A trust that its own keys did not sign is refused."""
    assert "threshold" == reason(trust.check_self, made(three))
    assert "threshold" == reason(trust.check_self, signed(made(three, root_threshold=2), three[0]))


def test_rotation(three):
    """A new root needs the threshold of the old one and of itself."""
    old = signed(made(three[:1]), three[0])
    new = trust.change(
        old,
        add_root=[three[1].public],
        add_release=[three[1].public],
        remove=[three[0].public.id],
        expires=LATER,
    )
    chain = [old.to_bytes()]
    for signers, told in (((0,), "threshold"), ((1,), "threshold"), ((0, 1, 2), "altered")):
        candidate = trust.Trust(new.signed)
        signed(candidate, *(three[number] for number in signers))
        assert told == reason(trust.follow, old, [*chain, candidate.to_bytes()])
    whole = signed(new, three[0], three[1])
    assert 2 == trust.follow(old, [*chain, whole.to_bytes()]).signed.version


def test_gap(three):
    """A chain without one of its links is refused."""
    roots = [signed(made(three[:1]), three[0])]
    for _ in range(2):
        roots.append(signed(trust.change(roots[-1], expires=LATER), three[0]))
    first, second, third = (one.to_bytes() for one in roots)

    assert "chain" == reason(trust.follow, roots[0], [first, third])
    assert "chain" == reason(trust.follow, roots[0], [third])
    assert "chain" == reason(trust.follow, roots[0], [second, third])
    assert 3 == trust.follow(roots[0], [first, second, third]).signed.version
    assert 3 == trust.follow(roots[2], [first, second, third]).signed.version
    assert 3 == trust.follow(roots[2], [first]).signed.version


def test_foreign_chain(three):
    """A chain of somebody else's, whole in itself, leads nowhere."""
    ours = signed(made(three[:1]), three[0])
    theirs = signed(made(three[1:2]), three[1])
    next_ = signed(trust.change(theirs, expires=LATER), three[1])

    told = reason(trust.follow, ours, [theirs.to_bytes(), next_.to_bytes()])
    assert "threshold" == told


def test_removal(three):
    """A key is named by its id or its beginning; one that is not there is an error."""
    old = made(three)
    new = trust.change(old, remove=[three[0].public.id[:8]], expires=LATER)

    assert three[0].public.id not in new.signed.keys
    for wanted in ("0" * 64, three[0].public.id[:4]):
        with pytest.raises(ReleaseError):
            trust.change(old, remove=[wanted], expires=LATER)


@pytest.mark.parametrize(
    "alter",
    [
        lambda found: found.update(extra=1),
        lambda found: found["signed"].update(extra=1),
        lambda found: found["signatures"][0].update(extra=1),
        lambda found: found["signed"].update(_type="targets"),
        lambda found: found["signed"].update(version=0),
        lambda found: found["signed"]["roles"].pop("timestamp"),
        lambda found: found["signed"].update(keys={}),
        lambda found: found.pop("signatures"),
    ],
)
def test_hostile(three, alter):
    """What was added, lacks or is of another kind is refused."""
    root = signed(made(three), three[0])
    found = json.loads(root.to_bytes())
    alter(found)
    raw = json.dumps(found, sort_keys=True, separators=(",", ":")).encode()

    def judge():
        trust.check_self(trust.parse(raw))

    assert reason(judge) in {"malformed", "altered", "threshold"}


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b"1" * 300_000])
def test_no_metadata(raw):
    """What is no metadata at all is refused, whatever it is."""
    assert "malformed" == reason(trust.parse, raw)


def test_key_under_another_id(three):
    """One key under two ids would count twice: ids must be digests."""
    root = made(three[:2])
    found = json.loads(root.to_bytes())
    keyid = three[0].public.id
    found["signed"]["keys"]["f" * 64] = found["signed"]["keys"][keyid]
    found["signed"]["roles"]["targets"]["keyids"].append("f" * 64)
    raw = json.dumps(found, sort_keys=True, separators=(",", ":")).encode()

    assert "malformed" == reason(trust.parse, raw)
