"""The lane of held flows: a matcher process of its own, with the keeper in front of it.

A process of its own, because a decision is waited for: neither what is mirrored nor a record
that ends the other process may stand before it. It is started with the first rule that holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from dlp.datapath.events import Payload
from dlp.enforcement.holds import HoldKeeper, Speaker, hold_rules
from dlp.enforcement.loaded import Loaded
from dlp.errors import DlpError
from dlp.inspector.account import Missed
from dlp.inspector.client import MatcherProcess
from dlp.inspector.messages import Finding, Record, Word
from dlp.inspector.session import Limits
from dlp.model import HoldCounts

# Less than what a held flow waits, so that a record which is too much costs others little;
# and few records on their way, as those that are take no turns any more.
LIMITS = Limits(cpu_s=0.25, hang_s=2.0, backoff_s=0.01, in_flight=2)


class HoldLane:
    """Decides on held flows.

    Args:
        loaded: the configuration that is to be release number `release`.
        key: of the digests.
        on_finding: called with each match; it calls `blocked` where that blocks its flow.
    """

    def __init__(
        self,
        loaded: Loaded,
        speaker: Speaker,
        *,
        key: bytes,
        release: int,
        on_finding: Callable[[Finding], None],
        log: Any,
    ) -> None:
        self._rules = hold_rules(loaded.image, loaded.policies)
        self._group: asyncio.TaskGroup | None = None
        self._matcher = MatcherProcess(
            self._rules,
            key=key,
            on_finding=on_finding,
            on_missed=self._on_missed,
            on_word=self._on_word,
            on_restart=self._on_restart,
            release=release,
            limits=LIMITS,
            log=log,
        )
        self.keeper = HoldKeeper(self._matcher, speaker, release=release, log=log)
        self._live = release
        self._started = False

    @property
    def needed(self) -> bool:
        """Some policy holds, or drops on the inspector's word."""
        return bool(self._rules)

    @property
    def alive(self) -> bool:
        """The process answers, or none is needed."""
        return self._matcher.alive or not self.needed

    @property
    def counts(self) -> HoldCounts:
        return self.keeper.counts

    async def start(self, group: asyncio.TaskGroup) -> None:
        """Start the process if it is needed, now or after a `replace`. As MatcherProcess.start."""
        self._group = group
        if self.needed and not self._started:
            await self._matcher.start(group)
            self._started = True

    def take(self, payload: Payload) -> None:
        """A record of the ring of held payload."""
        self.keeper.take(payload)

    async def replace(self, loaded: Loaded, release: int) -> None:
        """Make other rules live, before the kernel gets them. As MatcherProcess.replace."""
        before, self._rules = self._rules, hold_rules(loaded.image, loaded.policies)
        # Until the kernel has that release, too, a record's policy may be of either.
        self.keeper.use(None)
        try:
            await self._matcher.replace(self._rules, release)
            if self._group is not None:
                await self.start(self._group)
        except DlpError:
            self._rules = before
            self.keeper.use(self._live)
            raise

    def live(self, release: int) -> None:
        """The kernel numbers its policies as this release does, and so do the rules."""
        self._live = release
        self.keeper.use(release)

    async def stop(self) -> None:
        await self._matcher.stop()

    def _on_word(self, record: Record, word: Word) -> None:
        self.keeper.on_word(record, word)

    def _on_restart(self) -> None:
        self.keeper.restarted()

    def _on_missed(self, missed: Missed) -> None:
        self.keeper.missed(missed.flow)
