"""What the bench makes for a gateway and reads of it; the gateway itself is not there."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace

import pytest

from bench import activating
from bench.releasing import THRESHOLD, Gateway, Load, trusted
from bench.signatures import DIGIT_PACKS, PACK, pack_text, tokens
from dlp.releases import keys
from dlp.releases.content import check_fit, packs_of
from dlp.releases.verify import verify
from dlp.signatures.pack import load_pack, load_packs

SAID = "timestamp='2026-11-26T19:00:00Z' level='info' event='{}' release=3 signatures=50 {}\n"


@pytest.fixture
def gateway(tmp_path):
    (tmp_path / "dlp.log").write_text("")
    signers = [keys.generate() for _ in range(THRESHOLD)]
    made = Gateway(tmp_path, 0, os.getpid(), signers)
    yield SimpleNamespace(it=made, signers=signers, log=tmp_path / "dlp.log")
    made.close()


def test_loads(gateway):
    """Each load is told once, with its two times."""
    with gateway.log.open("a") as log:
        log.write(SAID.format("loaded", "write_ms=12.5 switch_ms=0.009"))
        log.write(SAID.format("configuration reloaded", ""))
        log.flush()
        assert [Load(12.5, 0.009)] == gateway.it.loads()
        assert [] == gateway.it.loads()
        log.write(SAID.format("loaded", "write_ms=7.0 switch_ms=0.01"))
        log.flush()
        assert [Load(7.0, 0.01)] == gateway.it.loads()


def test_processor_time(gateway):
    """It grows with the work of the process."""
    before, end = gateway.it.processor_s(), time.process_time() + 0.1
    while time.process_time() < end:
        pass

    assert gateway.it.processor_s() - before > 0.05


def test_releases(gateway, tmp_path):
    """The two sets differ in one signature, are fit to be released, and signed as is asked."""
    members = tokens(5)
    (tmp_path / f"{PACK}.yaml").write_text(pack_text(members))
    packs = (*load_packs(DIGIT_PACKS, tmp_path), load_pack(tmp_path / f"{PACK}.yaml"))
    more, fewer = activating.two_sets(members, packs)
    ids = []
    for version, files in enumerate((more, fewer), 1):
        found = verify(
            gateway.it.made(version, files),
            trusted(gateway.signers).to_bytes(),
            now=time.time(),
        )
        read = packs_of(found.packs, "test")
        check_fit(read)
        ids.append({one.id for pack in read for one in pack.signatures})

    assert {members[-1].id} == ids[0] ^ ids[1]
