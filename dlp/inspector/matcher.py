"""Finds what the full regular expressions say in the records of many flows.

Bytes in, findings out: no sockets, no logging, a clock only to give up. Nothing here keeps a value
longer than its flow's window, and no finding or exception shows one.

A match that touches the end of what has come stays open until the next record, the flow's end, or
`settle` decides it: it may grow, and its boundary may yet fail. So does one whose keyword may be
to come. Matches of one signature do not overlap; a match whose validator says no, or near which
no keyword stands, does not hide one that starts inside it.

Of a flow that is held, `hold` tells besides how much may leave: all in front of the place where a
match may have begun that is not decided.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence

from dlp.errors import PackError
from dlp.inspector.compiled import LEFT, Compiled, TooLongError, Validator, compile_rule
from dlp.inspector.messages import Done, Finding, Record, Rule, Word
from dlp.inspector.window import Window, Windows
from dlp.signatures import masking
from dlp.signatures.validators import VALIDATORS

_REJECTED = 4096  # matches of a signature that its validator may refuse in one search
_FINDINGS = 256  # of one record
_HELD_S = 0.05  # seconds that a held record may take, as far as that can be stopped


class Matcher:
    """The rules of a release, and the windows of the flows they are applied to.

    Args:
        rules: see `replace`.
        key: of the digests, HMAC-SHA-256.
        windows: bounds of what is remembered; the defaults of Windows where it is None.
        validators: by name.
    """

    def __init__(
        self,
        rules: Sequence[Rule] = (),
        *,
        key: bytes,
        release: int = 0,
        windows: Windows | None = None,
        validators: Mapping[str, Validator] = VALIDATORS,
    ) -> None:
        self._key = key
        self._validators = validators
        self._windows = Windows() if windows is None else windows
        self._release = release
        self._compiled: tuple[Compiled, ...] = ()
        self._bounded = 0
        self._suppressed = 0
        self._until = math.inf
        self.replace(rules, release)

    def replace(self, rules: Iterable[Rule], release: int) -> None:
        """Make a release live; what the windows hold is searched anew with the next record.

        Raises PackError that names the signature at fault; nothing has changed then.
        """
        self._compiled = tuple(self._compile(rule) for rule in rules)
        self._release = release
        for _, window in self._windows:
            window.fresh = 0
            window.consumed.clear()
            window.open.clear()
            window.front.clear()

    def feed(self, record: Record) -> list[Finding]:
        """Findings that a record completes, and those of flows it pushed out."""
        flow, findings = record.flow, list[Finding]()
        window = self._windows.use(flow, record.offset, cut=record.cut)
        if self._windows.is_gap(window, record.offset):
            findings += self._search(flow, window, ends=True)
        target = self._windows.place(window, record.offset, record.data, cut=record.cut)
        detached = target is not window
        findings += self._search(flow, target, ends=record.final or detached)
        if record.final and not detached:
            window.restart(window.end)
        else:
            findings += self._trim(flow, window)
        for other, gone in self._windows.settle(flow):
            if gone.pending:
                findings += self._search(other, gone, ends=True)
        return findings

    def hold(self, record: Record) -> tuple[list[Finding], Word | None]:
        """What a record of a held flow comes to; no word where a search was cut short.

        Under `again` and `final` a match is decided as at the end of the stream; yet what
        comes behind may make another, longer one of it.
        """
        flow, findings = record.flow, list[Finding]()
        self._until = time.process_time() + _HELD_S
        if record.anew:
            self._windows.forget(flow)
        window = self._windows.use(flow, record.offset, cut=record.cut)
        if self._windows.is_gap(window, record.offset):
            self._search_held(record, window, findings, ends=True)
        target = self._windows.place(window, record.offset, record.data, cut=record.cut)
        ends, back = record.again or record.final, window.base
        if target is not window and not window.unsure:
            self._search_held(record, target, findings, ends=True)
            window.unsure |= target.unsure
        if not window.unsure:
            back = self._search_held(record, window, findings, ends=ends)
        surplus = len(window.data) - self._windows.overlap
        if surplus > 0 and not window.unsure:
            if back < window.base + surplus + LEFT:
                self._bounded += 1
                self._search_held(record, window, findings, ends=True)
            window.trim(self._windows.overlap)
            back = self._undecided(record, window)
        if window.unsure:
            # There will be no word on this flow: the time is others', and so is the room.
            window.trim(0)
        self._windows.settle(flow)
        if window.unsure:
            return findings, None
        return findings, Word(
            flow=flow,
            since=window.since,
            to=window.end if ends else back,
            keep=back < window.end and not record.final,
            back=back,
        )

    def settle(self, flow: int) -> list[Finding]:
        """Decide a flow's open matches as if it ended here: nothing has come for a while."""
        window = self._windows.find(flow)
        return [] if window is None else self._search(flow, window, ends=True)

    def pending(self, flow: int) -> bool:
        """Whether `settle` may find something."""
        window = self._windows.find(flow)
        return window is not None and window.pending

    def counts(self, sequence: int) -> Done:
        """What happened since the last call, as the answer to a record."""
        counts = self._windows.taken()
        done = Done(
            sequence=sequence,
            gaps=counts.gaps,
            gap_bytes=counts.gap_bytes,
            retransmitted=counts.retransmitted,
            rewritten=counts.rewritten,
            evicted=counts.evicted,
            bounded=self._bounded,
            suppressed=self._suppressed,
        )
        self._bounded = self._suppressed = 0
        return done

    def _compile(self, rule: Rule) -> Compiled:
        validator = self._validators.get(rule.validator)
        if rule.validator and validator is None:
            raise PackError(f"{rule.id}: there is no validator {rule.validator!r}")
        return compile_rule(rule, validator, longest=self._windows.overlap)

    def _search(self, flow: int, window: Window, *, ends: bool) -> list[Finding]:
        """Run every rule over what is new in a window. `ends`: nothing follows its bytes."""
        findings: list[Finding] = []
        for compiled in self._compiled:
            if len(findings) < _FINDINGS:
                at = self._start(compiled, window)
                self._search_one(compiled, flow, window, findings, at, ends=ends)
            else:
                self._suppressed += 1
        window.fresh = len(window.data)
        return findings

    def _search_held(
        self, record: Record, window: Window, findings: list[Finding], *, ends: bool
    ) -> int:
        """Run the rules that can block the flow; the stream offset where an open match begins."""
        bounds = self._bounded, self._suppressed
        try:
            for compiled in self._compiled:
                if not compiled.blocks(record.policy):
                    continue
                at = self._undecided_from(compiled, window)
                self._search_one(compiled, record.flow, window, findings, at, ends=ends, grows=True)
        except TooLongError:
            self._bounded += 1
        window.unsure |= bounds != (self._bounded, self._suppressed)
        window.fresh = len(window.data)
        return self._undecided(record, window)

    def _undecided(self, record: Record, window: Window) -> int:
        """Stream offset where a match may have begun that is not decided; the end without one."""
        back = window.end
        for compiled in self._compiled:
            if not compiled.blocks(record.policy):
                continue
            at = self._undecided_from(compiled, window)
            try:
                begun = compiled.begun(window.data, at, self._until)
            except TooLongError:
                self._bounded += 1
                window.unsure = True
                return window.base
            waiting = window.open.get(compiled.rule.id) if compiled.proximity else None
            if waiting is not None:
                begun = waiting if begun is None else min(begun, waiting)
            if begun is not None:
                back = min(back, window.base + begun)
            else:
                # Shorter beginnings than its front were not told.
                begun = max(at, len(window.data) - compiled.rule.front + 1)
            window.front[compiled.rule.id] = window.base + begun
        return back

    @staticmethod
    def _undecided_from(compiled: Compiled, window: Window) -> int:
        """Index before which no match of a rule begins that is not decided."""
        known = max(window.front.get(compiled.rule.id, 0), window.consumed.get(compiled.rule.id, 0))
        return max(known - window.base, LEFT if window.cut else 0)

    def _search_one(
        self,
        compiled: Compiled,
        flow: int,
        window: Window,
        findings: list[Finding],
        at: int,
        *,
        ends: bool,
        grows: bool = False,
    ) -> None:
        """Matches of a rule from index `at` on. `grows`: one at the very end is not the last."""
        rule, data, rejected = compiled.rule.id, window.data, 0
        window.open.pop(rule, None)
        until = self._until if grows else math.inf
        while match := compiled.search(data, at, until):
            start, end = match.span()
            if end == len(data) and not ends:
                window.open[rule] = start
                return
            value = match.group()
            if start == end:
                at = end + 1
            elif compiled.validator is not None and not compiled.validator(value):
                rejected += 1
                at = start + 1
                if rejected >= _REJECTED:
                    # Quadratic otherwise: a run of digits can start a match at each of them.
                    self._bounded += 1
                    rejected, at = 0, end
            elif (near := compiled.near(data, start, end, ends=ends)) is None:
                window.open[rule] = start
                return
            elif not near:
                at = start + 1
            else:
                at = end
                if end < len(data) or not grows:
                    window.consumed[rule] = window.base + end
                self._report(compiled, flow, window, start, value, findings)

    def _start(self, compiled: Compiled, window: Window) -> int:
        """Index where a match that is not decided yet can start at the earliest."""
        back = max(0, window.fresh - compiled.reach) if compiled.reach else 0
        left = LEFT if window.cut else 0
        return max(back, left, window.consumed.get(compiled.rule.id, 0) - window.base)

    def _report(
        self,
        compiled: Compiled,
        flow: int,
        window: Window,
        start: int,
        value: bytes,
        findings: list[Finding],
    ) -> None:
        digest = masking.digest(self._key, value, compiled.signature)
        offset = window.base + start
        if not window.first_time(compiled.rule.id, offset, digest):
            return
        if len(findings) >= _FINDINGS:
            self._suppressed += 1
            return
        head, tail = value[: masking.ENDS], value[-masking.ENDS :]
        findings.append(
            Finding(
                release=self._release,
                signature=compiled.rule.index,
                flow=flow,
                offset=offset,
                length=len(value),
                digest=digest,
                masked=masking.mask(head, tail, len(value), compiled.signature),
            )
        )

    def _trim(self, flow: int, window: Window) -> list[Finding]:
        """Cut a window to its overlap; an open match whose start would go is decided before."""
        surplus = len(window.data) - self._windows.overlap
        if surplus <= 0:
            return []
        lost = any(start < surplus + LEFT for start in window.open.values())
        findings = self._search(flow, window, ends=True) if lost else []
        window.trim(self._windows.overlap)
        return findings
