import hashlib
import hmac
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dlp.signatures.compiler import compile_packs
from dlp.signatures.masking import WIDTH, digest, mask, normalise
from tests.signatures.making import regex_pack

SIGNATURE = compile_packs([regex_pack("abcdefghijk")]).signatures[0]  # shows 2 and 4


def test_ends_show():
    """Head and tail show as many characters as the signature says, the rest is hidden."""
    assert "41" + "*" * 10 + "1111" == mask(b"41111111", b"11111111", 16, SIGNATURE)


def test_short_matches_are_hidden():
    """What is shorter than 13 bytes shows nothing, whatever comes with it."""
    assert "*" * 11 == mask(bytes(8), bytes(8), 11, SIGNATURE)
    assert "*" * 12 == mask(b"secret", b"secret", 12, SIGNATURE)


def test_unprintable():
    """Bytes that cannot be printed read as question marks."""
    assert mask(b"\x00\xff......", b"....\n\x1b[m", 16, SIGNATURE) == "??" + "*" * 10 + "??[m"


@given(st.binary(min_size=8, max_size=8), st.binary(min_size=8, max_size=8), st.integers(0, 4000))
def test_width_and_secrecy(head, tail, length):
    """Masked text is never wider than WIDTH and shows no more than allowed."""
    text = mask(head, tail, length, SIGNATURE)

    assert len(text) <= WIDTH
    assert sum(character not in "*…" for character in text) <= 6


def test_nothing_shown():
    """With a head and a tail of 0 all is hidden."""
    hidden = replace(SIGNATURE, mask_head=0, mask_tail=0)

    assert "*" * 20 == mask(b"abcdefgh", b"abcdefgh", 20, hidden)


def test_digest_is_of_the_normalised_value():
    """Groups and case make no other digest where the signature normalises."""
    key = b"k" * 32
    normalising = replace(SIGNATURE, normalise=True)

    assert normalise(b"de89 3704-0044", alnum=True) == b"DE8937040044"
    assert normalise(b"de89 3704", alnum=False) == b"de89 3704"
    assert digest(key, b"4111 1111", normalising) == digest(key, b"41111111", normalising)
    assert hmac.new(key, b"4111 1111", hashlib.sha256).digest() == digest(
        key, b"4111 1111", SIGNATURE
    )
