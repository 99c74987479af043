"""Health and counters in Prometheus' text format, version 0.0.4.

Totals and workloads are metrics of their own, so that a sum over labels counts nothing
twice. Reasons become labels as the kernel names them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dlp.model import Counter, IncidentKind, Stats
from dlp.service import Health

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

METRICS = {
    "dlp_build_info": ("gauge", "Always 1; the version is a label."),
    "dlp_healthy": ("gauge", "1 if the gateway's status is ok, 0 if it is degraded."),
    "dlp_uptime_seconds": ("gauge", "Since the gateway started."),
    "dlp_release": ("gauge", "Number of the kernel's tables; it grows with each reload."),
    "dlp_signature_release": ("gauge", "Version of the live signature release, 0 without one."),
    "dlp_signatures": ("gauge", "Signatures in force."),
    "dlp_workloads": ("gauge", "Workloads by state."),
    "dlp_workloads_unguarded": ("gauge", "Workloads with a device that has no guard."),
    "dlp_workloads_quarantined": ("gauge", "Workloads whose egress is cut."),
    "dlp_incidents_total": ("counter", "Incidents by kind, each occurrence."),
    "dlp_holds_total": ("counter", "Holds by how they ended; those that have begun too."),
    "dlp_hold_words_total": ("counter", "Words of the inspector on held flows."),
    "dlp_hold_wait_seconds_total": ("counter", "From what was held to its word, summed."),
    "dlp_events_lost_total": ("counter", "Events the kernel could not hand over."),
    "dlp_packets_total": ("counter", "Packets by reason."),
    "dlp_bytes_total": ("counter", "Bytes by reason."),
    "dlp_workload_packets_total": ("counter", "Packets by workload and reason."),
    "dlp_workload_bytes_total": ("counter", "Bytes by workload and reason."),
}

Sample = tuple[dict[str, str], float]


def exposition(health: Health, stats: Stats) -> str:
    """All metrics with their help and type, each ending in a line feed."""
    return "".join(_lines(_samples(health, stats)))


def _samples(health: Health, stats: Stats) -> dict[str, list[Sample]]:
    every = [(name, counter) for name, counters in stats.workloads.items() for counter in counters]
    return {
        "dlp_build_info": [({"version": health.version}, 1)],
        "dlp_healthy": [({}, int(health.status == "ok"))],
        "dlp_uptime_seconds": [({}, health.uptime_s)],
        "dlp_release": [({}, health.release)],
        "dlp_signature_release": [({}, health.signature_release)],
        "dlp_signatures": [({}, health.signatures)],
        "dlp_workloads": [
            ({"state": "enforced"}, health.workloads_enforced),
            ({"state": "pending"}, health.workloads_pending),
        ],
        "dlp_workloads_unguarded": [({}, health.workloads_unguarded)],
        "dlp_workloads_quarantined": [({}, health.workloads_quarantined)],
        "dlp_incidents_total": [
            ({"kind": kind.value}, stats.incidents.get(kind.value, 0)) for kind in IncidentKind
        ],
        "dlp_holds_total": [
            ({"state": state}, getattr(stats.holds, state))
            for state in ("begun", "cleared", "blocked", "undecided")
        ],
        "dlp_hold_words_total": [({}, stats.holds.words)],
        "dlp_hold_wait_seconds_total": [({}, stats.holds.wait_s)],
        "dlp_events_lost_total": [({}, health.events_lost)],
        "dlp_packets_total": [(_reason(counter), counter.packets) for counter in stats.total],
        "dlp_bytes_total": [(_reason(counter), counter.bytes) for counter in stats.total],
        "dlp_workload_packets_total": [
            ({"workload": name} | _reason(counter), counter.packets) for name, counter in every
        ],
        "dlp_workload_bytes_total": [
            ({"workload": name} | _reason(counter), counter.bytes) for name, counter in every
        ],
    }


def _lines(samples: dict[str, list[Sample]]) -> Iterator[str]:
    for name, (kind, explanation) in METRICS.items():
        yield f"# HELP {name} {explanation}\n# TYPE {name} {kind}\n"
        for labels, value in samples[name]:
            yield f"{name}{_labels(labels.items())} {value}\n"


def _reason(counter: Counter) -> dict[str, str]:
    return {"reason": counter.reason}


def _labels(labels: Iterable[tuple[str, str]]) -> str:
    text = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{text}}}" if text else ""


def _escaped(value: str) -> str:
    # Lone surrogates, of names that are no UTF-8, could not be encoded.
    text = value.encode("utf-8", "backslashreplace").decode()
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
