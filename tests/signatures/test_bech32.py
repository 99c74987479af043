import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import bitcoin

from dlp.signatures.bech32 import ALPHABET, bech32
from tests.signatures.generate_wallets import wallet_bech32


@given(st.integers())
def test_addresses(seed):
    """One letter changed is refused, as BIP-173 promises up to four of them."""
    address = wallet_bech32("bc", "q", 32, str(seed))
    place = 4 + seed % (len(address) - 4)
    other = chr(ALPHABET[(ALPHABET.index(address[place].encode()) + 1) % 32])

    assert bech32(address.encode())
    assert bech32(address.upper().encode())
    assert not bech32((address[:place] + other + address[place + 1 :]).encode())


@pytest.mark.parametrize(
    "value",
    [
        b"A12UEL5L",
        b"abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
        b"split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w",
        b"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        b"lightning:bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        b"A1LQFN3A",
        b"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
    ],
)
def test_published(value):
    """The examples of BIP-173 and BIP-350 hold, and not with a letter less."""
    assert bech32(value)
    assert not bech32(value[:-1])


@pytest.mark.parametrize(
    "value",
    [b"", b"1", b"abc", b"1qzzfhee", b"A1lqfn3a", b"x1b4n0q5v", b"li1dgmt3", b"de1lg7wt\xff"],
)
def test_refused(value):
    """No prefix, mixed case, a letter outside the alphabet, too short a checksum."""
    assert not bech32(value)


def test_against_stdnum():
    """A segwit address of python-stdnum's documentation holds."""
    address = "BC1QARDV855YJNGSPVXUTTQ897AQCA3LXJU2Y69JCE"

    assert bitcoin.is_valid(address)
    assert bech32(address.encode())
