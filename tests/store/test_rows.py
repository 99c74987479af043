"""Rows and the statements made from queries."""

from __future__ import annotations

import dataclasses

import pytest

from dlp.errors import StoreError
from dlp.model import Verdict
from dlp.service import VerdictQuery
from dlp.store import rows


def test_every_field_has_a_column(verdict):
    """No field of a verdict is forgotten."""
    fields = {field.name for field in dataclasses.fields(Verdict)}
    split = {"source", "destination"}
    pairs = {f"{end}_{part}" for end in split for part in ("address", "port")}

    assert (fields - split - {"id"}) | pairs == set(rows.COLUMNS)
    assert len(rows.COLUMNS) == len(rows.to_row(verdict()))


@pytest.mark.parametrize("number", [0, 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_signed(number):
    """64 bits fit SQLite's signed numbers and come back."""
    assert -(2**63) <= rows.signed(number) < 2**63
    assert number == rows.unsigned(rows.signed(number))


def test_unknown_action(verdict):
    """An action of a later release is an error, not a guess."""
    row = list(rows.to_row(verdict()))
    row[rows.COLUMNS.index("action")] = 250

    with pytest.raises(StoreError, match="does not know"):
        rows.from_row([1, *row])


def test_values_are_bound():
    """A filter's value never becomes part of the statement."""
    statement, values = rows.select(VerdictQuery(workload="'; DROP TABLE verdict"))

    assert "DROP" not in statement
    assert "'; DROP TABLE verdict" in values
