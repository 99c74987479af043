"""Flows that the kernel holds until the inspector's word.

    record ─► kept, handed to the matcher process ─► findings ─► word ─► kernel

The kernel sends what it holds, in order; the word says up to where it may leave. A word counts
only where the process has searched everything since the hold began: after a restart of the
process, or a record that was lost on the way, it is told the flow from there once more. Without a
word in time the kernel does what the policy says.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

import structlog

from dlp.datapath.abi import POLICIES, TAIL
from dlp.datapath.events import Payload
from dlp.errors import DlpError
from dlp.inspector.messages import ANY_POLICY, Record, Rule, Word
from dlp.model import Action, DecidedBy, HoldCounts
from dlp.policy import PolicySet
from dlp.signatures.image import ImageSignature, KernelImage

FLOWS = 16384
FLOW_BYTES = 1 << 20
BYTES = 64 << 20
LINGER_S = 30.0
_LOOKED_AT = 64
_CONTEXT = 256  # bytes kept in front of what is not decided: more than the kernel's tail


class Inspector(Protocol):
    """Searches records; the answers come by callbacks."""

    def submit(self, record: Record) -> bool: ...


class Speaker(Protocol):
    """Gives words to the kernel. Raises DlpError where it takes none."""

    def clear(self, flow: int, to: int, *, keep: bool, question: int) -> None: ...


@dataclass(slots=True)
class _Held:
    """A flow that is or was held.

    Attributes:
        base: stream offset of data[0]; what follows up to `end` is kept, if `whole`.
        cut: data[0] is context only.
        left: stream offset up to which bytes may have left.
        keep: the last word kept the flow.
        behind: the matcher process has not got all that is kept.
        waits: segments of it are held, as far as is known.
        lane: of its workload.
        question: of the last record: words about those before are void.
    """

    base: int
    end: int
    cut: bool
    left: int
    seen: float
    policy: int = 0
    release: int = 0
    lane: int = 0
    question: int = 0
    data: bytearray = field(default_factory=bytearray, repr=False)
    whole: bool = True
    again: bool = False
    final: bool = False
    keep: bool = False
    behind: bool = False
    waits: bool = True
    blocked: bool = False

    def add(self, payload: Payload) -> None:
        """Take in a record that begins at `end` or before."""
        end = payload.offset + len(payload.data)
        if self.whole:
            at = max(0, payload.offset - self.base)
            data = payload.data[max(0, self.base - payload.offset) :]
            self.data[at : at + len(data)] = data
        self.end = max(self.end, end)
        self.left = max(self.left, payload.offset + payload.before if payload.before else 0)
        self.again, self.final = payload.again, self.final or payload.final
        self.policy, self.release = payload.policy, payload.release
        self.question = payload.question

    def drop_before(self, offset: int) -> None:
        """Keep nothing in front of `offset` but context."""
        surplus = min(offset - _CONTEXT, self.end) - self.base
        if surplus > 0 and self.whole:
            del self.data[:surplus]
            self.base += surplus
            self.cut = True


class HoldKeeper:
    """Turns held records into words.

    Args:
        inspector: its findings come to the caller, who calls `blocked`; its words to `on_word`.
        speaker: where words go.
        release: whose policies the inspector's rules name.
    """

    def __init__(
        self,
        inspector: Inspector,
        speaker: Speaker,
        *,
        release: int = 0,
        clock: Callable[[], float] = time.monotonic,
        log: Any = None,
    ) -> None:
        self._inspector = inspector
        self._speaker = speaker
        self._release: int | None = release
        self._clock = clock
        self._log = log if log is not None else structlog.get_logger()
        self._flows: OrderedDict[int, _Held] = OrderedDict()
        self._bytes = 0
        self._counts: dict[str, float] = {}

    def __len__(self) -> int:
        """Flows that wait just now."""
        return sum(held.waits for held in self._flows.values())

    @property
    def counts(self) -> HoldCounts:
        """What has happened so far."""
        return HoldCounts(**self._counts)  # type: ignore[arg-type]  # counters are whole

    def use(self, release: int | None) -> None:
        """The inspector's rules name the policies of this release; None: of two, for a while."""
        self._release = release

    # -- from the kernel ---------------------------------------------------------

    def take(self, payload: Payload) -> None:
        """A record of the ring of held payload."""
        held = self._place(payload)
        if held is None:
            self._count(lost=1)
            return
        if held.blocked:
            return
        if not held.waits:
            held.waits = True
            self._count(begun=1)
        size = len(held.data)
        held.add(payload)
        self._grew(held, len(held.data) - size)
        if held.behind:
            self._tell_anew(payload.flow, held, payload.time_ns)
            return
        record = Record(
            flow=payload.flow,
            offset=payload.offset,
            data=payload.data,
            final=payload.final,
            held=True,
            again=payload.again,
            cut=payload.before >= TAIL,
            policy=self._policy_of(held),
            time_ns=payload.time_ns,
            lane=held.lane,
            question=held.question,
        )
        self._submit(held, record)

    def timed_out(self, flow: int) -> None:
        """The kernel did not wait any longer."""
        held = self._flows.get(flow)
        if held is None or not held.waits:
            return
        self._count(undecided=1)
        self._forget(flow)

    def _place(self, payload: Payload) -> _Held | None:
        """Where a record belongs; None where it has no place."""
        flow, now = payload.flow, self._clock()
        held = self._flows.get(flow)
        if held is not None and payload.offset > held.end and not held.blocked:
            if held.left < held.end and not payload.before:
                return None  # one in front of it was lost, and comes again
            # What passed in between was not held.
            self._forget(flow)
            held = None
        if held is None:
            if len(self._flows) >= FLOWS and not self._evict():
                return None
            held = self._flows[flow] = _Held(
                base=payload.offset,
                end=payload.offset,
                cut=payload.before >= TAIL,
                left=payload.offset + payload.before,
                seen=now,
                waits=False,
                lane=payload.packet.netns,
            )
        held.seen = now
        self._flows.move_to_end(flow)
        return held

    # -- from the inspector ------------------------------------------------------

    def left(self, flow: int) -> int | None:
        """Stream offset up to which bytes of a held flow may have left; None: not known."""
        held = self._flows.get(flow)
        return None if held is None else held.left

    def blocked(self, flow: int) -> None:
        """The flow was blocked: no word follows."""
        held = self._flows.get(flow)
        if held is None or held.blocked:
            return
        held.blocked, held.waits, held.keep = True, False, False
        self._release_data(held)
        self._count(blocked=1)

    def on_word(self, record: Record, word: Word) -> None:
        """What the inspector says of a record, once its findings are told."""
        held = self._flows.get(word.flow)
        if held is None or held.blocked or record.question != held.question:
            return
        if word.since > held.base:
            # Another process than the one that had what came before.
            held.behind = True
            self._tell_anew(word.flow, held, record.time_ns)
            return
        to = max(held.left, min(word.to, held.end))
        if to == held.left and word.keep and not record.again:
            return  # more has to come
        try:
            self._speaker.clear(word.flow, to, keep=word.keep, question=held.question)
        except DlpError as error:
            self._count(lost=1)
            self._log.error("no word given", flow=word.flow, reason=str(error))
            return
        self._spoke(held, word, to, record.time_ns)

    def _spoke(self, held: _Held, word: Word, to: int, asked_ns: int) -> None:
        held.seen = self._clock()
        held.left = to
        held.keep = word.keep
        before = len(held.data)
        held.drop_before(min(word.back, to))
        self._bytes += len(held.data) - before
        self._count(words=1)
        if asked_ns:
            wait = max(0.0, time.monotonic_ns() - asked_ns) / 1e9
            self._count(wait_s=wait)
            self._counts["longest_s"] = max(wait, self._counts.get("longest_s", 0.0))
        if to >= held.end and held.waits:
            held.waits = False
            self._count(cleared=1)

    def missed(self, flow: int) -> None:
        """The inspector will not search this flow: it ended a process."""
        held = self._flows.get(flow)
        if held is not None:
            held.behind, held.whole = True, False
            self._release_data(held)

    def restarted(self) -> None:
        """Another process has taken over, which knows of no flow."""
        for flow, held in list(self._flows.items()):
            if held.blocked:
                continue
            held.behind = True
            if held.waits:
                self._tell_anew(flow, held, 0)

    # -- inside ------------------------------------------------------------------

    def sweep(self) -> None:
        """Forget flows of which nothing was heard for LINGER_S."""
        now = self._clock()
        for flow, held in list(self._flows.items()):
            if now - held.seen > LINGER_S:
                if held.waits:
                    self._count(undecided=1)
                self._forget(flow)

    def _tell_anew(self, flow: int, held: _Held, time_ns: int) -> None:
        if not held.whole:
            self._count(lost=1)
            return
        record = Record(
            flow=flow,
            offset=held.base,
            data=bytes(held.data),
            final=held.final,
            held=True,
            again=held.again,
            cut=held.cut,
            anew=True,
            policy=self._policy_of(held),
            time_ns=time_ns,
            lane=held.lane,
            question=held.question,
        )
        held.behind = False
        self._submit(held, record)

    def _submit(self, held: _Held, record: Record) -> None:
        if not self._inspector.submit(record):
            held.behind = True
            self._count(lost=1)

    def _policy_of(self, held: _Held) -> int:
        return held.policy if held.release == self._release else ANY_POLICY

    def _grew(self, held: _Held, by: int) -> None:
        self._bytes += by
        if len(held.data) > FLOW_BYTES or self._bytes > BYTES:
            held.whole = False
            self._release_data(held)

    def _release_data(self, held: _Held) -> None:
        self._bytes -= len(held.data)
        held.data = bytearray()

    def _evict(self) -> bool:
        """Make room by forgetting the longest unheard flow that does not wait."""
        oldest = islice(self._flows.items(), _LOOKED_AT)
        idle = next((flow for flow, held in oldest if not held.waits), None)
        if idle is None:
            return False
        self._forget(idle)
        return True

    def _forget(self, flow: int) -> None:
        self._release_data(self._flows.pop(flow))

    def _count(self, **increments: float) -> None:
        for name, increment in increments.items():
            self._counts[name] = self._counts.get(name, 0) + increment


def hold_rules(image: KernelImage, policies: PolicySet) -> list[Rule]:
    """The rules that held flows are searched for: those that can block one.

    That is what a policy holds, and what it drops on the inspector's word; what the kernel
    drops has been dropped before.
    """
    return list(_hold_rules(image, policies))


def _hold_rules(image: KernelImage, policies: PolicySet) -> Iterator[Rule]:
    for index, one in enumerate(image.signatures):
        blocking = _policies_that_block(index, one, policies)
        if not blocking:
            continue
        shapes = (shape for shape in image.shapes if shape.signature == index)
        yield Rule.of(
            index,
            one,
            # No shape of the kernel's fits fewer bytes than its steps take at least.
            front=min(sum(step.min for step in shape.steps) for shape in shapes),
            policies=blocking,
        )


def _policies_that_block(index: int, one: ImageSignature, policies: PolicySet) -> int:
    bits = 0
    for number in range(min(len(policies), POLICIES)):
        row = policies.action_for(number, index)
        if row is None or row.shadow:
            continue
        told = row.action is Action.DROP and one.decided is DecidedBy.INSPECTOR
        if row.action is Action.HOLD or told:
            bits |= 1 << number
    return bits
