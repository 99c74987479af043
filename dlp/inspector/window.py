"""The last bytes of each flow, so that a match cut across records is found once.

Bytes in stream order, bounds and counts; no patterns. A window is what was received without a
gap, cut to `overlap` bytes after each search.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

OVERLAP = 64 * 1024
MAX_FLOWS = 4096
MAX_BYTES = 128 * 1024 * 1024

_SEEN = 1024  # values remembered of a flow
_FLOW_COST = 1024  # what a flow without data costs, roughly
_SEEN_COST = 256


@dataclass(slots=True)
class Window:
    """What is remembered of a flow.

    Attributes:
        base: stream offset of data[0].
        cut: bytes before `base` were there and were dropped; else the stream, or what is known of
            it, starts at `base`.
        fresh: index into data of the first byte not yet searched.
        consumed: by rule id, the stream offset behind its last finding.
        open: by rule id, where a match starts that touches the end of data.
        seen: (rule id, start, digest) of findings told; an ordered set.
        since: stream offset from which on everything was received and searched.
        front: by rule id, the stream offset before which no match that is not decided has begun.
        unsure: a search of it was cut short, so that what it did not find may be there.
    """

    base: int
    data: bytearray = field(default_factory=bytearray, repr=False)
    cut: bool = False
    fresh: int = 0
    consumed: dict[str, int] = field(default_factory=dict)
    open: dict[str, int] = field(default_factory=dict)
    seen: dict[tuple[str, int, bytes], None] = field(default_factory=dict, repr=False)
    since: int = -1
    front: dict[str, int] = field(default_factory=dict)
    unsure: bool = False

    def __post_init__(self) -> None:
        if self.since < 0:
            self.since = self.base

    @property
    def end(self) -> int:
        """Stream offset of the next byte."""
        return self.base + len(self.data)

    @property
    def pending(self) -> bool:
        """Something in it is not decided yet."""
        return bool(self.open) or self.fresh < len(self.data)

    @property
    def cost(self) -> int:
        """Bytes of memory, roughly."""
        return len(self.data) + _FLOW_COST + _SEEN_COST * len(self.seen)

    def first_time(self, rule: str, start: int, digest: bytes) -> bool:
        """True once for each finding."""
        key = (rule, start, digest)
        if key in self.seen:
            return False
        self.seen[key] = None
        if len(self.seen) > _SEEN:
            del self.seen[next(iter(self.seen))]
        return True

    def restart(self, offset: int, *, cut: bool = False) -> None:
        """Forget the bytes: what comes next, at `offset`, has nothing to its left.

        `cut`: it has, and its first byte is that.
        """
        self.base = self.since = offset
        self.data = bytearray()
        self.cut = cut
        self.unsure = False
        self.front.clear()
        self.fresh = 0
        self.consumed.clear()
        self.open.clear()

    def trim(self, overlap: int) -> None:
        """Drop all but the last `overlap` bytes."""
        surplus = len(self.data) - overlap
        if surplus <= 0:
            return
        del self.data[:surplus]
        self.base += surplus
        self.fresh = max(0, self.fresh - surplus)
        self.open = {rule: max(0, start - surplus) for rule, start in self.open.items()}
        self.cut = True
        for rule in [rule for rule, end in self.consumed.items() if end <= self.base]:
            del self.consumed[rule]


@dataclass(slots=True)
class WindowCounts:
    """What happened since the last `taken`; bytes, except `gaps` and `evicted`."""

    gaps: int = 0
    gap_bytes: int = 0
    retransmitted: int = 0
    rewritten: int = 0
    evicted: int = 0


class Windows:
    """The windows of all flows, the least recently used forgotten first.

    Args:
        overlap: bytes of a flow kept for the next record.
        max_flows, max_bytes: bounds over all flows; past them flows are evicted and counted.
    """

    def __init__(
        self,
        *,
        overlap: int = OVERLAP,
        max_flows: int = MAX_FLOWS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.overlap = overlap
        self.counts = WindowCounts()
        self._max_flows = max_flows
        self._max_bytes = max_bytes
        self._flows: OrderedDict[int, Window] = OrderedDict()
        self._costs: dict[int, int] = {}
        self._cost = 0

    def __len__(self) -> int:
        return len(self._flows)

    def __iter__(self) -> Iterator[tuple[int, Window]]:
        return iter(tuple(self._flows.items()))

    def find(self, flow: int) -> Window | None:
        """The window of a flow, untouched."""
        return self._flows.get(flow)

    def use(self, flow: int, offset: int, *, cut: bool = False) -> Window:
        """The window of a flow, most recently used from now on; a new one begins at `offset`."""
        window = self._flows.get(flow)
        if window is None:
            window = self._flows[flow] = Window(base=offset, cut=cut)
        else:
            self._flows.move_to_end(flow)
        return window

    def forget(self, flow: int) -> None:
        """What comes next of a flow begins anew."""
        if self._flows.pop(flow, None) is not None:
            self._cost -= self._costs.pop(flow, 0)

    def is_gap(self, window: Window, offset: int) -> bool:
        """True where bytes are missing between the window and a record."""
        return offset > window.end

    def place(self, window: Window, offset: int, data: bytes, *, cut: bool = False) -> Window:
        """Put a record where it belongs and return the window to search.

        That is another, throw-away one where the record is older than all that is kept. Bytes
        that differ from those under the same offsets before replace them and count as fresh: a
        raw socket can send other bytes under old numbers. `cut`: where the record begins a
        window, its first byte is there as what stands before the others.
        """
        if self.is_gap(window, offset):
            self.counts.gaps += 1
            self.counts.gap_bytes += offset - window.end
            window.restart(offset, cut=cut)
        end = offset + len(data)
        if offset < window.base:
            self.counts.retransmitted += max(0, min(end, window.end) - offset)
            if end <= window.end:
                # Sharing `seen` keeps a plain retransmission from being told twice.
                return Window(base=offset, data=bytearray(data), cut=cut, seen=window.seen)
            window.restart(offset, cut=cut)
        at = offset - window.base
        known = window.data[at : at + len(data)]
        if data.startswith(known):
            self.counts.retransmitted += len(known)
        else:
            self.counts.rewritten += len(known)
            window.data[at : at + len(known)] = data[: len(known)]
            window.fresh = min(window.fresh, at)
            window.front.clear()
            window.consumed = {
                rule: stop for rule, stop in window.consumed.items() if stop <= offset
            }
        window.data += data[len(known) :]
        return window

    def settle(self, flow: int) -> list[tuple[int, Window]]:
        """Account for a flow's size and evict others where a bound is passed; those evicted."""
        window = self._flows[flow]
        self._cost += window.cost - self._costs.get(flow, 0)
        self._costs[flow] = window.cost
        evicted = []
        while len(self._flows) > self._max_flows or (
            self._cost > self._max_bytes and len(self._flows) > 1
        ):
            oldest, gone = self._flows.popitem(last=False)
            self._cost -= self._costs.pop(oldest, 0)
            self.counts.evicted += 1
            evicted.append((oldest, gone))
        return evicted

    def taken(self) -> WindowCounts:
        """The counts so far, which begin anew."""
        counts, self.counts = self.counts, WindowCounts()
        return counts
