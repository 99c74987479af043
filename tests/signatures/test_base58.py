import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import bitcoin

from dlp.signatures.base58 import ALPHABET, RIPPLE, base58check, base58check_ripple, decode
from tests.signatures.generate_wallets import wallet_base58


@given(st.integers(), st.sampled_from([b"\x00", b"\x05"]))
def test_addresses(seed, version):
    """Addresses with a right checksum agree with python-stdnum; one letter changed is refused."""
    address = wallet_base58(version, 20, str(seed))
    place = seed % (len(address) - 1) + 1
    other = ALPHABET[(ALPHABET.index(address[place].encode()) + 1) % 58 :][:1].decode()
    changed = address[:place] + other + address[place + 1 :]

    assert bitcoin.is_valid(address)
    assert base58check(address.encode())
    assert bitcoin.is_valid(changed) is base58check(changed.encode()) is False


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (base58check, b"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
        (base58check, b"btc_address = 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
        (base58check, b"5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ"),
        (base58check_ripple, b"rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh"),
    ],
)
def test_published(check, value):
    """Addresses and keys from the documentation of Bitcoin and the XRP Ledger hold."""
    assert check(value)
    assert not check(value[:-1])
    assert not check(value + b"z")


def test_decode():
    """Leading zero digits are zero bytes; the alphabets differ."""
    assert b"\x00\x00\x01" == decode(b"112")
    assert b"\x00\x01" == decode(b"rp", RIPPLE)
    with pytest.raises(ValueError, match="not found"):
        decode(b"0")
