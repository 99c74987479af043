"""How the gateway is, in a few numbers and sentences."""

from __future__ import annotations

import platform
from collections.abc import Sequence

import dlp
from dlp.enforcement.loaded import Loaded
from dlp.model import Protection, Workload, WorkloadState
from dlp.service import Health


def health_of(
    workloads: Sequence[Workload],
    loaded: Loaded,
    *,
    release: int,
    uptime_s: float,
    matcher_alive: bool,
    events_lost: int,
    verdicts_lost: int,
    incidents_lost: int,
    gates: Sequence[str] = (),
    releases: Sequence[str] = (),
    now: float,
) -> Health:
    """What is wrong makes the status `degraded`; what was chosen or cannot be otherwise warns.

    Args:
        gates: why gates that are asked for are not in place.
        releases: what is wrong with the release that runs.
        now: seconds since the epoch.
    """
    enforced = sum(one.state is WorkloadState.ENFORCED for one in workloads)
    unguarded = [
        one for one in workloads if one.guard in {Protection.UNGUARDED, Protection.PARTIAL}
    ]
    cut = [one for one in workloads if one.quarantined]
    problems = [f"{one.name}: {one.error}" for one in workloads if one.error]
    if verdicts_lost:
        problems.append(f"{verdicts_lost} verdicts could not be stored")
    if incidents_lost:
        problems.append(f"{incidents_lost} incidents could not be stored")
    if not matcher_alive:
        problems.append("the matcher process does not answer")
    problems += gates
    problems += releases
    problems += [
        f"exception of policy {name} has ended" for name, _ in loaded.policies.expired(now)
    ]
    warnings = [
        f"{one.name}: unguarded on {', '.join(one.unguarded) or 'all devices'}: what goes round"
        " its classifier is not stopped"
        for one in unguarded
    ]
    warnings += [f"{one.name}: quarantined, `dlp release {one.name}` ends it" for one in cut]
    return Health(
        status="degraded" if problems else "ok",
        version=dlp.__version__,
        uptime_s=uptime_s,
        kernel=platform.release(),
        release=release,
        signatures=len(loaded.live),
        signature_release=loaded.sets.release,
        image=loaded.image.version,
        workloads_enforced=enforced,
        workloads_pending=len(workloads) - enforced,
        workloads_unguarded=len(unguarded),
        workloads_quarantined=len(cut),
        events_lost=events_lost + verdicts_lost,
        inspector="alive" if matcher_alive else "down",
        problems=tuple(problems),
        warnings=tuple(warnings),
    )
