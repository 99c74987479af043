"""The Prometheus exposition."""

from __future__ import annotations

import re

from dlp.api.metrics import METRICS
from dlp.model import IncidentKind


async def test_metrics(local):
    """Totals and workloads apart, labels escaped, every line well formed."""
    async with local.get("metrics") as response:
        text = await response.text()
        assert "text/plain; version=0.0.4; charset=utf-8" == response.headers["Content-Type"]

    sample = re.compile(
        r'[a-z_]+(\{[a-z]+="([^"\\\n]|\\.)*"(,[a-z]+="([^"\\\n]|\\.)*")*\})? [0-9.]+'
    )
    lines = text.splitlines()
    assert text.endswith("\n")
    assert all(sample.fullmatch(line) for line in lines if not line.startswith("#"))
    assert 'dlp_packets_total{reason="pass"} 5' in lines
    assert 'dlp_workload_bytes_total{workload="we\\"b\\n",reason="pass"} 900' in lines
    assert 'dlp_workloads{state="pending"} 1' in lines
    assert "dlp_healthy 0" in lines
    assert 'dlp_incidents_total{kind="bypass"} 15' in lines
    assert 'dlp_incidents_total{kind="tamper"} 0' in lines
    assert "dlp_workloads_quarantined 1" in lines
    assert 'dlp_holds_total{state="begun"} 4' in lines
    assert 'dlp_holds_total{state="undecided"} 0' in lines
    assert "dlp_hold_wait_seconds_total 0.5" in lines


async def test_labels_are_bounded(local):
    """Incidents are counted by kind, each of which is there: no name that others choose."""
    async with local.get("metrics") as response:
        text = await response.text()

    labels = re.findall(r'^dlp_incidents_total\{kind="(\w+)"\}', text, re.MULTILINE)
    assert list(IncidentKind) == labels


async def test_every_metric_is_explained(local):
    """Each has its help and type, and what counts up is named _total."""
    async with local.get("metrics") as response:
        text = await response.text()

    for name, (kind, _) in METRICS.items():
        assert f"# TYPE {name} {kind}\n" in text
        assert ("counter" == kind) == name.endswith("_total")
