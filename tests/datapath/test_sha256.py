"""SHA-256's constants and states, against published ones and hashlib."""

import hashlib
import struct

import pytest

from dlp.datapath import sha256


def test_round_constants():
    """As FIPS 180-4 lists them."""
    constants = sha256.round_constants()

    assert 64 == len(constants)
    assert (0x428A2F98, 0x71374491, 0xC67178F2) == (constants[0], constants[1], constants[63])


@pytest.mark.parametrize("message", [b"", b"abc", bytes(range(55))])
def test_state_is_the_digest_of_one_block(message):
    """Of a message that is one block with its padding, the state is the digest."""
    block = message + b"\x80"
    block = block.ljust(56, b"\0") + struct.pack(">Q", len(message) * 8)

    assert hashlib.sha256(message).digest() == struct.pack(">8I", *sha256.state_behind(block))


def test_a_block_has_its_size():
    with pytest.raises(ValueError, match="64 bytes, this one 63"):
        sha256.state_behind(bytes(63))
