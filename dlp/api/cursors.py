"""Cursors: a place in a list as opaque text, so that nobody builds one by hand."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cursor:
    """The cursors of one list.

    Attributes:
        letter: tells them from another list's.
        top: highest number that one can hold; the lowest is 0.
    """

    letter: str
    top: int

    def encode(self, number: int) -> str:
        """The text of a place."""
        return base64.urlsafe_b64encode(f"{self.letter}{number:x}".encode()).decode().rstrip("=")

    def decode(self, text: str) -> int:
        """The inverse.

        Raises:
            ValueError: `encode` of this list never made it.
        """
        number = self._number(text)
        if number is None or number > self.top or self.encode(number) != text:
            raise ValueError("Expected the value of `next` of the page before")
        return number

    def _number(self, text: str) -> int | None:
        try:
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            inner = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
        except (UnicodeError, binascii.Error):
            return None
        if not re.fullmatch(f"{self.letter}[0-9a-f]{{1,16}}", inner):
            return None
        return int(inner[1:], 16)


verdict_cursor = Cursor("v", 2**63 - 1)
flow_cursor = Cursor("f", 2**64 - 1)
incident_cursor = Cursor("i", 2**63 - 1)
