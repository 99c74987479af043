"""Verdicts for the store's tests."""

from __future__ import annotations

from typing import Any

import pytest

from dlp.model import Action, DecidedBy, Endpoint, Verdict


def make_verdict(**changes: Any) -> Verdict:
    values: dict[str, Any] = {
        "time": 1_700_000_000.25,
        "kind": "match",
        "workload": "web",
        "cgroup": 4711,
        "flow": 2**64 - 1,
        "protocol": "tcp",
        "source": Endpoint(address="10.0.0.2", port=40000),
        "destination": Endpoint(address="2001:db8::1", port=443),
        "signature": "pci.card.visa",
        "severity": "high",
        "policy": "default",
        "rule": 0,
        "action": Action.DROP,
        "enforced": True,
        "decided": DecidedBy.KERNEL,
        "masked": "4111********1111",
        "digest": "ab" * 32,
        "offset": 17,
        "length": 16,
        "sent_before": 3,
        "count": 1,
        "release": 1,
        "detail": "",
    }
    return Verdict(**(values | changes))


@pytest.fixture
def verdict():
    return make_verdict
