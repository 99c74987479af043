"""Rows of tokens: renewed, cleared, flagged."""

import time

import pytest

from dlp.datapath.abi import GuardFlag, GuardStruct
from dlp.enforcement import tokens as module
from dlp.enforcement.tokens import Tokens

CUT, MONITOR = GuardFlag.QUARANTINED, GuardFlag.MONITOR
SLOT = 7


class Rows:
    """The part of a datapath that holds rows."""

    def __init__(self) -> None:
        self.rows = {SLOT: GuardStruct()}
        self.renewed = self.written = 0

    def guard_row(self, slot: int) -> GuardStruct:
        return self.rows[slot]

    def renew_tokens(self, slot: int) -> None:
        self.renewed += 1

    def clear_guard(self, slot: int) -> None:
        self.rows[slot] = GuardStruct()

    def set_guard_flags(self, slot: int, on: GuardFlag, off: GuardFlag) -> None:
        self.written += 1
        self.rows[slot].flags = (self.rows[slot].flags | on) & ~off


@pytest.fixture
def rows():
    return Rows()


@pytest.fixture
def tokens(rows):
    return Tokens(rows)


def test_renewed(tokens, rows):
    """Once, and not again before every packet with the token before it has arrived."""

    assert [True, False] == [tokens.renew(SLOT), tokens.renew(SLOT)]
    assert 1 == rows.renewed


def test_renewed_again(tokens, rows, monkeypatch):
    """After that it is."""
    monkeypatch.setattr(module, "_LEAST_S", 0.01)
    tokens.renew(SLOT)
    time.sleep(0.02)

    assert tokens.renew(SLOT)
    assert 2 == rows.renewed


def test_cleared(tokens, rows):
    """A slot's next workload begins with tokens of its own, at once."""
    tokens.renew(SLOT)
    tokens.set(SLOT, CUT, on=True)
    tokens.clear(SLOT)

    assert not tokens.has(SLOT, CUT)
    assert tokens.renew(SLOT)


def test_flags(tokens, rows):
    """One is set and cleared and leaves the others; nothing is written where nothing changes."""
    tokens.set(SLOT, CUT, on=True)
    tokens.set(SLOT, MONITOR, on=True)
    tokens.set(SLOT, MONITOR, on=True)
    tokens.set(SLOT, MONITOR, on=False)

    assert (True, False) == (tokens.has(SLOT, CUT), tokens.has(SLOT, MONITOR))
    assert 3 == rows.written
