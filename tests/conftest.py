"""Tells tests that send traffic from those that run programs packet by packet."""

from __future__ import annotations

import pytest

# Fixtures that make namespaces for real connections.
_ROADS = {"pair", "pairs", "roads", "lab", "egress"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what sends traffic: under emulation it takes an hour, and its timers run out."""
    for item in items:
        if _ROADS & set(getattr(item, "fixturenames", ())):
            item.add_marker("traffic")
