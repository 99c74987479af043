import hashlib

import pytest

from dlp.signatures.mnemonic import bip39, words
from tests.signatures.generate_wallets import wallet_words

ABANDON = b"abandon " * 11


def test_list():
    """The list is that of BIP-39: 2,048 words in order, by the digest of the file."""
    text = b"".join(word + b"\n" for word in words())

    assert 2048 == len(words())
    assert (
        "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"
        == hashlib.sha256(text).hexdigest()
    )


@pytest.mark.parametrize(
    "value",
    [
        ABANDON + b"about",
        b"legal winner thank year wave sausage worth useful legal winner thank yellow",
        b"zoo " * 11 + b"wrong",
        b"zoo " * 23 + b"vote",
        b"Seed phrase: " + ABANDON + b"about (do not lose it)",
    ],
)
def test_published(value):
    """Mnemonics published with BIP-39 hold, with words around them too."""
    assert bip39(value)


@pytest.mark.parametrize(
    "value",
    [
        ABANDON + b"abandon",
        ABANDON.strip(),
        b"zoo " * 23 + b"zoo",
        ABANDON + b"bitcoin",
        b"",
        b"the quick brown fox jumps over the lazy dog and runs away",
    ],
)
def test_refused(value):
    """A wrong last word, a word too few, a word outside the list, a sentence."""
    assert not bip39(value)


@pytest.mark.parametrize("count", [12, 15, 18, 21, 24])
def test_lengths(count):
    """Every length holds."""
    assert all(bip39(wallet_words(count, f"{count} {number}").encode()) for number in range(20))


def test_order():
    """With two words exchanged, one mnemonic of twelve words in sixteen still holds."""
    made = [wallet_words(12, str(number)).split() for number in range(160)]
    changed = [" ".join([one[1], one[0], *one[2:]]) for one in made]

    assert sum(bip39(one.encode()) for one in changed) < 25
