"""Keys, trusts, packs and releases as tests need them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dlp.releases import archive, keys, metadata, trust

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=90)

PACK = """\
pack: own
version: 1
description: For tests.
signatures:
  - id: own.key.long
    name: Long key
    severity: high
    description: For tests.
    category: secret
    regex: 'LONGKEY-[A-Z0-9]{12}(?![A-Z0-9])'
    must_match: ["LONGKEY-ABCDEFGHIJ12", "x LONGKEY-ABCDEFGHIJ34", "LONGKEY-000000000000"]
    must_not_match: ["LONGKEY-ABC", "LONGKEY-ABCDEFGHIJ123", "longkey-ABCDEFGHIJ12"]
"""
OTHER = PACK.replace("own", "other").replace("LONGKEY", "OTHERKEY")


class Makes:
    """Makes signed things out of three keys, of which two must sign."""

    def __init__(self):
        self.keys = [keys.generate() for _ in range(3)]
        self.stranger = keys.generate()
        self.root = trust.create(
            [self.keys[0].public],
            [one.public for one in self.keys],
            root_threshold=1,
            threshold=2,
            expires=LATER,
        )
        trust.sign(self.root, self.keys[0])

    @property
    def root_bytes(self):
        return self.root.to_bytes()

    def release(self, version=7, packs=None, *, signers=(0, 1), expires=LATER, roots=None):
        packs = packs or {"own": PACK.encode(), "other": OTHER.encode()}
        release = metadata.create(packs, version=version, expires=expires)
        for index in signers:
            key = self.stranger if index == "stranger" else self.keys[index]
            trust.sign(release, key)
        return archive.write(
            [self.root_bytes] if roots is None else roots, release.to_bytes(), packs
        )


@pytest.fixture(scope="session")
def makes():
    return Makes()
