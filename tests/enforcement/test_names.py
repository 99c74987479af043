"""Names of past releases, on disk."""

import pytest

from dlp.enforcement import names
from dlp.enforcement.names import ReleaseNames, SignatureName

SIGNATURES = (
    SignatureName("pci.card.visa", "critical", 0, 4),
    SignatureName("own.key.a", "low", 2, 0),
)


def release(number: int) -> ReleaseNames:
    return ReleaseNames(number, SIGNATURES, ("(strictest)", "default"))


@pytest.fixture
def path(tmp_path):
    """Where nothing has been written yet."""
    return tmp_path / "run" / "releases.json"


def test_round_trip(path):
    """What is read is what was added, in order."""
    names.add(release(1), path)
    names.add(release(2), path)

    assert (release(1), release(2)) == names.read(path)


def test_only_the_latest_are_kept(path):
    """The file does not grow with the number of reloads."""
    for number in range(1, 21):
        names.add(release(number), path)
    kept = [one.number for one in names.read(path)]

    assert list(range(13, 21)) == kept
    assert [path] == list(path.parent.iterdir())


def test_number_used_again(path):
    """A release of the same number takes the other's place."""
    names.add(release(1), path)
    names.add(ReleaseNames(1, SIGNATURES[:1], ("other",)), path)

    assert (ReleaseNames(1, SIGNATURES[:1], ("other",)),) == names.read(path)


@pytest.mark.parametrize("text", ["", "[", "7", "[1]", '[{"number": 1}]', "{}x"])
def test_harmed(path, text: str):
    """What cannot be read is nothing, and is written anew."""
    path.parent.mkdir()
    path.write_text(text)
    before = names.read(path)
    names.add(release(3), path)

    assert () == before
    assert (release(3),) == names.read(path)
