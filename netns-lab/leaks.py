"""Counting what leaked: complete planted secrets among all that arrived, at every sink.

The measure of the whole lab, so it trusts nobody: it looks for each secret that no policy lets
out in each stream and datagram, as it was planted and without separators, whichever scenario the
stream belongs to and whatever the gateway reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import hyperscan
from planted import SEPARATED, Planted, normalise

CHUNK = 8 << 20
LONGEST_GAPS = 8  # a value with separators is at most so many times as long as without


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A complete secret at a sink."""

    secret: Planted
    sink: str
    stream: int

    @property
    def bytes(self) -> int:
        """How many bytes should not have arrived."""
        return len(self.secret.value)


class LeakSearch:
    """Looks for a set of secrets, all at once: one pass over the data, one without separators."""

    def __init__(self, secrets: Iterable[Planted]) -> None:
        known = list(secrets)
        self._whole = _Literals({secret.value: secret for secret in known})
        self._bare = _Literals(
            {secret.normalised: secret for secret in known if secret.kind in SEPARATED}
        )
        self._overlap = LONGEST_GAPS * max((len(secret.value) for secret in known), default=0)

    def in_bytes(self, data: bytes) -> set[Planted]:
        """The secrets that are complete in data."""
        return self._whole.present(data) | self._bare.present(normalise(data))

    def in_file(self, path: Path) -> set[Planted]:
        """The secrets that are complete in a file, whatever its size."""
        found: set[Planted] = set()
        tail = b""
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                found |= self.in_bytes(tail + chunk)
                tail = chunk[-self._overlap :]
        return found


class _Literals:
    """Byte strings in a Hyperscan database: gigabytes a second, however many they are."""

    def __init__(self, secrets: Mapping[bytes, Planted]) -> None:
        self._secrets = list(secrets.values())
        self._database: hyperscan.Database | None = None
        if secrets:
            flags = hyperscan.HS_FLAG_DOTALL | hyperscan.HS_FLAG_SINGLEMATCH
            self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
            self._database.compile(
                expressions=[b"".join(b"\\x%02x" % byte for byte in value) for value in secrets],
                ids=list(range(len(secrets))),
                flags=[flags] * len(secrets),
            )

    def present(self, data: bytes) -> set[Planted]:
        found: set[Planted] = set()

        def matched(number: int, *_: object) -> None:
            found.add(self._secrets[number])

        if data and self._database is not None:
            self._database.scan(data, match_event_handler=matched)
        return found
