"""Spreads, verdicts over targets, tables and JSON."""

import json

import pytest

from bench import report
from bench.report import Bound, Results, Spread, Table, Target

AT_MOST = Target("cost", "Cost", Bound.AT_MOST, 1.0, 0.5, "ns/B")
AT_LEAST = Target("share", "Share", Bound.AT_LEAST, 35, None, "%")


def spread(value):
    return Spread(value, value, value, 1)


def test_a_spread_is_median_and_extremes():
    """One slow round moves the maximum and nothing else."""
    assert Spread(2.0, 1.0, 9.0, 3) == Spread.of([9.0, 1.0, 2.0])


def test_no_samples_are_an_error():
    """A measurement that was not made must not read as zero."""
    with pytest.raises(ValueError, match="no sample"):
        Spread.of([])


@pytest.mark.parametrize(
    ("target", "value", "expected"),
    [
        (AT_MOST, 0.5, "aim"),
        (AT_MOST, 0.7, "limit"),
        (AT_MOST, 1.1, "MISSED"),
        (AT_LEAST, 35, "limit"),
        (AT_LEAST, 34, "MISSED"),
    ],
)
def test_the_median_decides(target, value, expected):
    """Bounds include their value; a target without an aim knows only the limit."""
    assert expected == report.verdict(target, spread(value))


def test_what_was_not_measured_is_said_to_be_so():
    """A part left out by --only is neither met nor missed."""
    assert "not measured" == report.verdict(AT_MOST, None)


def test_comparison_shows_limit_aim_measured_and_met():
    """The columns a reader compares."""
    table = report.comparison({"cost": spread(0.7)}, [AT_MOST, AT_LEAST])

    assert ("limit", "aim", "measured", "unit", "met") == table.columns
    assert ("Cost", ("≤ 1.00", "0.500", spread(0.7), "ns/B", "limit")) == table.rows[0]
    assert ("Share", ("≥ 35.0", "", None, "%", "not measured")) == table.rows[1]


def test_a_rendered_table_is_aligned():
    """Every column ends where its heading ends."""
    table = Table("T", ("a", "bb"), (("row", (Spread(1.5, 1.0, 2.0, 3), "x")), ("r", (None, "y"))))

    lines = report.render(table).splitlines()

    assert lines[3] == "row  1.50 (1.00-2.00)   x"
    assert lines[4] == "r                   -   y"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0"), (0.0523, "0.052"), (0.5, "0.500"), (12.34, "12.3"), (1234.5, "1,234")],
)
def test_figures_have_three_digits(value, expected):
    """No more digits than a measurement on a shared machine has."""
    assert expected == report.figure(value)


def test_json_holds_measures_targets_tables_and_faults():
    """Machines read all that people do."""
    results = Results({"kernel": "6.1"})
    results.measures["attach"] = spread(7.0)
    results.tables.append(Table("T", ("c",), (("r", (spread(1.0),)),)))
    results.faults.append("too fast")

    read = json.loads(report.to_json(results))

    assert {"kernel": "6.1"} == read["host"]
    assert 7.0 == read["measures"]["attach"]["median"]
    assert {"aim"} == {each["met"] for each in read["targets"] if each["measure"] == "attach"}
    assert ["too fast"] == read["faults"]
