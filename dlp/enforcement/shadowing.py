"""The lane of what only counts: a matcher process for the candidate's own signatures.

    ring of shadow payload ─► matcher process, niced ─► verdict that nobody acts on ─► account

A process of its own, so that a candidate's expressions cost the live set neither time nor a
flow's window. Its payload is read now and then, a bounded piece each time: where that is too
slow, the kernel finds the ring full and counts what is left out.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from dlp.datapath.abi import WINDOW
from dlp.datapath.events import Payload
from dlp.enforcement.loaded import Loaded, shadow_rules
from dlp.enforcement.verdicts import Translator
from dlp.errors import DlpError, PackError
from dlp.inspector.account import Missed
from dlp.inspector.client import MatcherProcess
from dlp.inspector.messages import Finding, Record, Rule
from dlp.inspector.session import Limits
from dlp.model import Verdict

# Its queue is short, and so is the wait for its end: nothing of the live set waits for it.
LIMITS: Final = Limits(
    cpu_s=0.5, start_s=10.0, stop_s=1.0, queue=2 * 1024 * 1024, in_flight=4, nice=10
)
FLOWS: Final = 4096
_READ_S: Final = 0.2
_PATIENCE_S: Final = 2.0  # with what is queued before other rules; then a new process has them
_WINDOWS: Final = 4096


class ShadowWindows:
    """Distinct values of shadow rules in windows of time, as far as the inspector finds them.

    Not in the kernel's table, whose rows are needed by what acts.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: OrderedDict[tuple[int, str, int], OrderedDict[bytes, float]] = OrderedDict()

    def note(self, netns: int, policy: str, rule_index: int, window_s: int, digest: bytes) -> int:
        """Note a value; how many distinct ones the rule's window has, this one included."""
        key, now = (netns, policy, rule_index), self._clock()
        values = self._seen.setdefault(key, OrderedDict())
        self._seen.move_to_end(key)
        if len(self._seen) > _WINDOWS:
            self._seen.popitem(last=False)
        values[digest] = now
        values.move_to_end(digest)
        while len(values) > WINDOW or now - next(iter(values.values())) >= window_s:
            values.popitem(last=False)
        return len(values)


class ShadowLane:
    """Finds what a candidate would find, where its rules only count.

    The process runs while a candidate is beside that has signatures of its own for it. That it
    does not start, or ends, concerns nothing but the counts.

    Args:
        translator: with the releases that are loaded; judges by shadow rules.
        key: of the digests.
        tell: called with each match that some shadow rule names.
    """

    def __init__(
        self,
        translator: Translator,
        *,
        key: bytes,
        tell: Callable[[Finding, Verdict], None],
        log: Any,
    ) -> None:
        self._translator = translator
        self._key = key
        self._tell = tell
        self._log = log
        self._group: asyncio.TaskGroup | None = None
        self._matcher: MatcherProcess | None = None
        self._read: Callable[[], int] = int
        self._rules: list[Rule] = []
        self._release = 0
        self._needed = asyncio.Event()
        self._missed = [0, 0]

    @property
    def missed(self) -> tuple[int, int]:
        """Records and bytes that came and were not searched."""
        records, size = self._missed
        return records, size

    async def start(self, group: asyncio.TaskGroup, read: Callable[[], int]) -> None:
        """From now on `replace` starts the process; at once where rules are there.

        `read`: reads some of the ring, record by record into `take`.
        """
        self._group, self._read = group, read
        if self._rules:
            try:
                await self._begin(group)
            except PackError as error:
                self._log.error("shadow inspector refuses", reason=error.message)

    async def run(self) -> None:
        """Read the ring while a candidate needs it, until cancelled."""
        while True:
            await self._needed.wait()
            self._read()
            await asyncio.sleep(_READ_S)

    async def replace(self, loaded: Loaded, release: int) -> None:
        """Look for what that configuration has beside, from here on.

        Raises PackError where a rule is refused: it must not be loaded then.
        """
        if self._needed.is_set():
            self._read()  # by the rules that it came for
        self._rules, self._release = shadow_rules(loaded), release
        if self._group is None:
            return
        if not self._rules:
            self._end(self._group)
        elif self._matcher is None:
            await self._begin(self._group)
        else:
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await self._matcher.replace(self._rules, release)
            except PackError:
                raise
            except (DlpError, TimeoutError) as error:
                self._log.warning("shadow inspector begins anew", reason=type(error).__name__)
                self._end(self._group)
                await self._begin(self._group)

    async def stop(self) -> None:
        """End the process; what it has in its queue is waited for a moment only."""
        self._needed.clear()
        if self._matcher is not None:
            await self._matcher.stop()

    def take(self, payload: Payload) -> None:
        """A record of the ring of shadow payload."""
        if not self._rules:
            return  # of a candidate that is gone
        if self._matcher is None or payload.release < self._release:
            self._count(len(payload.data))
            return
        self._translator.saw(payload)
        self._matcher.submit(
            Record(
                flow=payload.flow,
                offset=payload.offset,
                data=payload.data,
                final=payload.final,
                cut=payload.offset > 0,
            )
        )

    async def _begin(self, group: asyncio.TaskGroup) -> None:
        matcher = MatcherProcess(
            self._rules,
            key=self._key,
            on_finding=self._on_finding,
            on_missed=self._on_missed,
            release=self._release,
            limits=LIMITS,
            log=self._log,
        )
        self._needed.set()
        try:
            await matcher.start(group)
        except PackError:
            raise
        except DlpError as error:
            self._log.error("shadow inspector does not start", reason=error.message)
            return
        self._matcher = matcher

    def _end(self, group: asyncio.TaskGroup) -> None:
        """Let the process finish in its own time."""
        self._needed.clear()
        if self._matcher is not None:
            group.create_task(self._matcher.stop())
            self._matcher = None

    def _on_finding(self, finding: Finding) -> None:
        verdict = self._translator.from_finding(finding)
        if verdict is not None:
            self._tell(finding, verdict)

    def _on_missed(self, missed: Missed) -> None:
        self._count(missed.length)

    def _count(self, size: int) -> None:
        self._missed[0] += 1
        self._missed[1] += size
