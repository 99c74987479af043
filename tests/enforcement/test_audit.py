"""What happens to releases, written down."""

from __future__ import annotations

import structlog

from dlp.enforcement.audit import Audit
from dlp.model import IncidentKind
from dlp.releases.life import State
from tests.api.fake import make_release


class Store:
    """Keeps what is recorded."""

    def __init__(self):
        self.recorded = []

    async def record(self, moved, steps):
        self.recorded.append((moved, steps))


async def test_move():
    """The state and the step that led there are recorded at one time."""
    store = Store()
    release = make_release(7, state=State.SHADOW)
    audit = Audit(store, lambda _: None, structlog.get_logger())
    await audit.move(release, State.REJECTED, "rollback", "ops", "false alarms")

    (((moved,), (step,)),) = store.recorded
    assert (State.REJECTED, "false alarms") == (moved.state, moved.reason)
    assert (7, "ops", "rollback", "shadow", "rejected", "false alarms") == (
        step.version,
        step.who,
        step.what,
        step.before,
        step.after,
        step.reason,
    )


def test_incident():
    """An incident of releases names what, and no workload."""
    told = []
    Audit(Store(), told.append, structlog.get_logger()).incident("expired", "It has expired.")

    (one,) = told
    assert (IncidentKind.RELEASE, "expired", "") == (one.kind, one.what, one.workload)
