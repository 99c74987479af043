"""docs/api.md against the code."""

from __future__ import annotations

import re
from pathlib import Path

from dlp.api.app import all_routes
from dlp.api.events import DETAILS
from dlp.api.metrics import METRICS
from dlp.api.routes import BASE

TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


def test_every_route():
    """Each route has its heading, and each heading its route."""
    told = re.findall(r"^### `(\w+) (\S+)`", TEXT, re.MULTILINE)

    assert {(route.method, BASE + route.path) for route in all_routes("1")} == set(told)


def test_every_parameter():
    """Each query parameter is told under its route."""
    sections = dict(
        re.findall(r"^### `\w+ (\S+)`\n(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    )
    for route in all_routes("1"):
        for name in route.parameters.model_fields:
            assert f"`{name}`" in sections[BASE + route.path]


def test_every_metric():
    """Each metric is told."""
    assert [] == [name for name in METRICS if f"`{name}`" not in TEXT]


def test_every_end():
    """Each reason for the end of a stream is told."""
    assert [] == [reason for reason in DETAILS if f"`{reason}`" not in TEXT]


def test_every_problem():
    """Each kind of problem is told."""
    source = Path(__file__).parents[2] / "dlp" / "api"
    code = "".join(file.read_text() for file in source.glob("*.py"))
    slugs = set(re.findall(r'Problem\(\s*\d+,\s*"([a-z-]+)"', code))
    slugs |= set(re.findall(r'^    \d{3}: "([a-z-]+)",$', code, re.MULTILINE))

    assert len(slugs) > 10
    assert [] == [slug for slug in sorted(slugs) if f"`{slug}`" not in TEXT]
