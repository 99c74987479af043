import pytest
from leaks import CHUNK, LeakSearch
from planted import Planted, plant


def planted(kind, name="card"):
    return Planted(scenario="s", name=name, kind=kind, value=plant(kind, name))


CARD = planted("visa")
TOKEN = planted("github", "token")
SEARCH = LeakSearch([CARD, TOKEN])


def test_finds_whole_secrets():
    """Each complete secret is found, whatever is around it."""

    data = b"\xff\x00" + CARD.value + b"9" + TOKEN.value

    assert {CARD, TOKEN} == SEARCH.in_bytes(data)


@pytest.mark.parametrize("cut", [1, 8, 15])
def test_a_part_is_no_leak(cut):
    """A secret without its last or first byte is not complete."""

    assert set() == SEARCH.in_bytes(CARD.value[:cut])
    assert set() == SEARCH.in_bytes(CARD.value[cut:])


def test_finds_a_card_with_separators():
    """A card arrives complete however it is written."""

    digits = CARD.value.decode()
    written = "-".join([digits[:4], digits[4:8], digits[8:12], digits[12:]])

    assert {CARD} == SEARCH.in_bytes(f"pay {written} now".encode())
    assert {CARD} == SEARCH.in_bytes("\r\n".join(digits).encode())


def test_tokens_are_taken_as_they_are():
    """A token with something in between is none."""

    broken = TOKEN.value[:10] + b" " + TOKEN.value[10:]

    assert set() == SEARCH.in_bytes(broken)


@pytest.mark.parametrize("before", [CHUNK - 20, CHUNK - 8, CHUNK - 1, CHUNK])
def test_finds_across_chunks_of_a_file(tmp_path, before):
    """Reading a large file piece by piece misses nothing at the seams."""

    file = tmp_path / "stream"
    file.write_bytes(b"." * before + CARD.value + b"." * 100)

    assert {CARD} == SEARCH.in_file(file)


def test_nothing_to_look_for():
    """Without secrets nothing is found."""

    assert set() == LeakSearch([]).in_bytes(b"anything")
