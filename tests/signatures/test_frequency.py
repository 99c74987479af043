import pytest

from dlp.signatures.frequency import share


def sets(text: str) -> list[tuple[int, ...]]:
    return [(ord(character),) for character in text]


def test_whole():
    """All grams together are all positions."""
    every = tuple(value | 32 for value in range(256) if value & 32)

    assert share([every] * 3) == pytest.approx(1.0)


def test_order():
    """Common words are likelier than odd letters."""
    assert share(sets(" the")) > 100 * share(sets("zqxj"))
