"""How a found value may be shown and compared: masked text and a keyed digest.

Nothing here keeps or returns the value itself.
"""

from __future__ import annotations

import hmac
from typing import Final, Protocol

from dlp.signatures.image import ImageSignature
from dlp.signatures.validators import alphanumeric

WIDTH: Final = 24
ENDS: Final = 8
# Shorter values show nothing: their ends would tell too much of them.
LEAST: Final = 13


class Masked(Protocol):
    """How many characters may be shown at either end."""

    @property
    def mask_head(self) -> int: ...

    @property
    def mask_tail(self) -> int: ...


def mask(head: bytes, tail: bytes, length: int, signature: Masked) -> str:
    """Masked text of a match of `length` bytes.

    Args:
        head, tail: first and last bytes, up to 8 each, as the kernel reports them (6 and
            4 of a match shorter than 16); all zero or empty where the match is shorter
            than 13, and then nothing shows.
        length: of the match in bytes.
        signature: says how many characters may show at either end.

    What is hidden reads as `*`, what cannot be printed as `?`. Text wider than WIDTH
    has its middle cut out and an ellipsis put there.
    """
    shown_head = head[: signature.mask_head] if length >= LEAST and any(head) else b""
    shown_tail = tail[-signature.mask_tail :] if signature.mask_tail else b""
    shown_tail = shown_tail if length >= LEAST and any(tail) else b""
    left, right = _printable(shown_head), _printable(shown_tail)
    hidden = max(length - len(left) - len(right), 0)
    room = WIDTH - len(left) - len(right)
    if hidden <= room:
        return left + "*" * hidden + right
    before = (room - 1) // 2
    return f"{left}{'*' * before}…{'*' * (room - 1 - before)}{right}"


def normalise(value: bytes, alnum: bool) -> bytes:  # noqa: FBT001 - the image's flag, as it is
    """Letters and digits only, in upper case, where `alnum`; else the value unchanged."""
    return alphanumeric(value) if alnum else value


def digest(key: bytes, value: bytes, signature: ImageSignature) -> bytes:
    """HMAC-SHA-256 (RFC 2104) of the normalised value, 32 bytes, as the kernel computes it."""
    return hmac.digest(key, normalise(value, signature.normalise), "sha256")


def _printable(text: bytes) -> str:
    return "".join(chr(byte) if 0x20 < byte < 0x7F else "?" for byte in text)  # noqa: PLR2004
