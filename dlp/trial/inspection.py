"""The inspector's part of a trial: its matcher, in this process, on what it would be given.

In a gateway it is a process that holds no privilege. Here it reads the author's own samples
and captures, so it needs no walls.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable

from dlp.inspector.matcher import Matcher
from dlp.inspector.messages import Record, Rule
from dlp.model import DecidedBy
from dlp.signatures.image import KernelImage
from dlp.trial.engine import Match

_KEY = b"trial"  # of digests that nobody sees

Piece = tuple[int, bytes]  # stream offset of the first byte, and the bytes


class Inspection:
    """The signatures of an image that the inspector decides, or `only` some of them."""

    def __init__(self, image: KernelImage, only: Collection[int] | None = None) -> None:
        self._ids = [signature.id for signature in image.signatures]
        self._flows = itertools.count(1)
        self._matcher = Matcher(
            [
                Rule.of(index, one)
                for index, one in enumerate(image.signatures)
                if one.decided is DecidedBy.INSPECTOR and (only is None or index in only)
            ],
            key=_KEY,
        )

    def read(self, pieces: Iterable[Piece], *, segment: int = 0) -> list[Match]:
        """Matches in the pieces of one stream, the last of which ends it.

        `segment`: number that the matches carry.
        """
        given = list(pieces)
        flow = next(self._flows)
        return [
            Match(segment, one.offset, one.length, self._ids[one.signature], one.masked)
            for number, (offset, data) in enumerate(given, 1)
            for one in self._matcher.feed(
                Record(flow=flow, offset=offset, data=data, final=number == len(given))
            )
        ]
