"""The kernel programs as an engine: streams become frames for BPF_PROG_TEST_RUN.

The programs are loaded for this process alone, pinned in a directory of their own for as
long as that takes; a gateway that guards the host is not touched. Segments of a stream are
sent as TCP would: what is taken out comes again, with what follows it in between.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dlp.datapath import abi
from dlp.datapath.datapath import Datapath
from dlp.datapath.events import Event, Payload
from dlp.datapath.pins import BPFFS, Layout
from dlp.errors import PrivilegeError
from dlp.model import Action, DecidedBy
from dlp.policy import KernelPolicies, KernelPolicy, PolicyFlag, RuleRow
from dlp.signatures import masking, regex
from dlp.signatures.image import KernelImage
from dlp.trial import frames
from dlp.trial.engine import Match, Reading, Segments, Stream, Verdict
from dlp.trial.inspection import Inspection

_NETNS: Final = 0x7E57_0000 << 16 | 901
_SLOT: Final = _NETNS % abi.WORKLOADS
_TOGETHER: Final = abi.POLICIES - 1  # signatures of a load, one policy each; number 0 is apart
_NEVER: Final = 0xFF  # distinct values: every match is told, none is acted upon
_BATCH: Final = 512  # streams between two readings of the rings
_BATCH_BYTES: Final = 1 << 20
_FOREVER_NS: Final = 10**15
_TURNS: Final = 4  # a segment is sent at most so often
_KEY: Final = b"trial"


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelCost:
    """What the kernel counted over some streams, for the whole set.

    Attributes:
        ns_per_byte: time of the programs, parsing and copying included.
        grams: sampled q-grams that passed the Bloom filter; groups: digit groups looked at.
        candidates: shapes run; failed: those whose checksum did not hold.
        over_budget: packets whose work went over the bound.
    """

    ns_per_byte: float
    grams: int
    groups: int
    candidates: int
    failed: int
    matches: int
    over_budget: int


class KernelEngine:
    """One image on the programs of this installation.

    Raises DlpError where they cannot be loaded: privileges, bcc, headers, kernel.
    """

    name = "kernel"

    def __init__(self, image: KernelImage) -> None:
        if os.geteuid() != 0:
            raise PrivilegeError("the kernel engine loads programs", remedy="run it as root")
        self.image = image
        self._datapath = _opened()
        self._number = 0
        self._loaded: int | None = None  # first signature of the load; -1: all of them
        self._release = 0
        self._told: list[Event] = []
        self._given: list[Payload] = []
        self._inspections: dict[int | None, Inspection] = {}
        self._rings = (
            self._datapath.on_events(self._told.append),
            self._datapath.on_payload(self._given.append),
        )
        self._entry = self._datapath.entry(_NETNS, abi.DeviceFlag.STEALS)

    def judge(self, signature: int, streams: Sequence[Segments]) -> list[Verdict]:
        """See Engine."""
        self._drop_only(signature)
        verdicts: list[Verdict] = []
        for at in range(0, len(streams), _BATCH):
            verdicts += self._judge(signature, streams[at : at + _BATCH])
        return verdicts

    def read(self, streams: Sequence[Stream]) -> list[Reading]:
        """See Engine. A value that repeats in a stream is told once."""
        self._alert_on_all()
        return [self._read(stream) for stream in streams]

    def cost(self, streams: Sequence[Stream]) -> KernelCost:
        """What the whole set costs on these streams, by the kernel's own clock and counters."""
        self._alert_on_all()
        self._datapath.clear_counters(_SLOT)
        spent = sent = 0
        for stream in streams:
            whole, number = b"".join(stream.segments), self._next()
            self._run(frames.syn(number))
            for offset, data in _pieces([whole]):
                frame = frames.segment(number, offset, data)
                spent += self._datapath.test_run(self._entry, frame).duration_ns
                sent += len(data)
            self._drain()
            self._told.clear()
            self._given.clear()
        counted = self._datapath.counters(_SLOT)
        return KernelCost(
            ns_per_byte=round(spent / max(sent, 1), 3),
            grams=counted[abi.Reason.BLOOM_CANDIDATE][0],
            groups=counted[abi.Reason.DIGIT_CANDIDATE][0],
            candidates=counted[abi.Reason.SHAPE_CANDIDATE][0],
            failed=counted[abi.Reason.CHECK_FAILED][0],
            matches=counted[abi.Reason.MATCH][0],
            over_budget=counted[abi.Reason.OVER_BUDGET][0],
        )

    def close(self) -> None:
        """Unload all."""
        os.close(self._entry)
        self._datapath.close()

    # -- one signature ---------------------------------------------------------------

    def _judge(self, signature: int, streams: Sequence[Segments]) -> list[Verdict]:
        first = self._number
        left = [self._play(segments) for segments in streams]
        self._drain()
        if self.image.signatures[signature].decided is DecidedBy.INSPECTOR:
            found = self._inspected(signature)
        else:
            found = {_conversation(event) for event in self._told if _is_match(event)}
        self._told.clear()
        self._given.clear()
        return [
            Verdict.FOUND
            if first + place in found
            else Verdict.SILENT
            if whole
            else Verdict.UNDECIDED
            for place, whole in enumerate(left)
        ]

    def _inspected(self, signature: int) -> set[int]:
        """Conversations in whose mirrored payload the inspector finds the signature."""
        pieces: dict[int, list[tuple[int, bytes]]] = {}
        for payload in self._given:
            pieces.setdefault(_conversation(payload), []).append((payload.offset, payload.data))
        inspection = self._inspection(signature)
        return {number for number, given in pieces.items() if inspection.read(given)}

    def _inspection(self, signature: int | None) -> Inspection:
        only = None if signature is None else (signature,)
        if signature not in self._inspections:
            self._inspections[signature] = Inspection(self.image, only)
        return self._inspections[signature]

    def _play(self, segments: Segments) -> bool:
        """Send a stream as TCP would; whether all of it left."""
        number = self._next()
        pieces = list(_pieces(segments))
        if self._run(frames.syn(number)) != abi.TC_PASS:
            return False
        place, turns = 0, 0
        while place < len(pieces):
            result = self._run(frames.segment(number, *pieces[place]))
            if result == abi.TC_PASS:
                place, turns = place + 1, 0
                continue
            turns += 1
            if result != abi.TC_STOLEN or turns == _TURNS:
                return False
            # Taken out: what follows comes before it is sent again.
            if place + 1 < len(pieces):
                self._run(frames.segment(number, *pieces[place + 1]))
        return True

    # -- all signatures ----------------------------------------------------------------

    def _read(self, stream: Stream) -> Reading:
        missed = self._missed()
        matches: list[Match] = []
        if stream.datagrams:
            for segment, data in enumerate(stream.segments):
                for piece in range(0, len(data), frames.LONGEST):
                    part = data[piece : piece + frames.LONGEST]
                    self._run(frames.datagram(self._next(), part))
                    matches += self._collected(part, segment, piece, set())
            return Reading(tuple(sorted(matches)), self._missed() - missed)
        whole, number, ends = b"".join(stream.segments), self._next(), set[int]()
        self._run(frames.syn(number))
        sent = 0
        for offset, data in _pieces([whole]):
            self._run(frames.segment(number, offset, data))
            ends.add(offset + len(data))
            sent += len(data)
            if sent >= _BATCH_BYTES:
                self._drain()
                sent = 0
        matches += self._collected(whole, 0, 0, ends - {len(whole)})
        return Reading(tuple(sorted(matches)), self._missed() - missed)

    def _collected(self, data: bytes, segment: int, shift: int, ends: set[int]) -> list[Match]:
        """What was told of one conversation; `ends`: offsets where a segment ended."""
        self._drain()
        matches = [
            self._match(event, segment, shift)
            for event in self._told
            # An expression that begins with NUL can begin before the stream, at offset -1.
            if _is_match(event)
            and event.offset < len(data)
            and not self._was_open(event, data, ends)
        ]
        given = [(payload.offset, payload.data) for payload in self._given]
        if given:
            matches += [
                Match(segment, one.offset + shift, one.length, one.signature, one.masked)
                for one in self._inspection(None).read(given)
            ]
        self._told.clear()
        self._given.clear()
        return matches

    def _match(self, event: Event, segment: int, shift: int) -> Match:
        signature = self.image.signatures[event.signature]
        masked = masking.mask(event.head, event.tail, event.length, signature)
        return Match(segment, event.offset + shift, event.length, signature.id, masked)

    def _was_open(self, event: Event, data: bytes, ends: set[int]) -> bool:
        """Whether it seemed to be a match by its segment's end only: an alert does not wait."""
        if event.offset + event.length not in ends:
            return False
        pattern = regex.compiled(self.image.signatures[event.signature].regex)
        return pattern.match(data, event.offset) is None

    def _missed(self) -> int:
        return self._datapath.counters(_SLOT)[abi.Reason.OVER_BUDGET][1]

    # -- the programs ------------------------------------------------------------------

    def _next(self) -> int:
        self._number += 1
        return self._number - 1

    def _run(self, frame: bytes) -> int:
        return int(self._datapath.test_run(self._entry, frame).result)

    def _drain(self) -> None:
        for ring in self._rings:
            while ring.consume():
                pass

    def _drop_only(self, signature: int) -> None:
        """Make a policy live under which this signature alone is dropped."""
        first = signature - signature % _TOGETHER
        if self._loaded != first:
            last = min(first + _TOGETHER, len(self.image.signatures))
            flags = PolicyFlag.OVER_BUDGET_DROP | PolicyFlag.OPEN_END_WAIT
            row = RuleRow(Action.DROP, 0, 1)
            self._load(first, [_policy(flags, {number: row}) for number in range(first, last)])
        self._datapath.bind(_NETNS, 0, signature - first + 1)

    def _alert_on_all(self) -> None:
        """Make a policy live that tells of every match and drops nothing."""
        if self._loaded != -1:
            rules = {
                number: RuleRow(Action.ALERT, number, _NEVER)
                for number in range(len(self.image.signatures))
            }
            self._load(-1, [_policy(PolicyFlag(0), rules)])
        self._datapath.bind(_NETNS, 0, 1)

    def _load(self, loaded: int, policies: list[KernelPolicy]) -> None:
        self._release += 1
        self._datapath.load(
            self.image,
            KernelPolicies(policies=(policies[0], *policies), next_expiry=None),
            hmac_key=_KEY,
            release=self._release,
        )
        self._datapath.beat(time.monotonic_ns() + _FOREVER_NS)
        self._loaded = loaded


def _opened() -> Datapath:
    with tempfile.TemporaryDirectory(prefix="dlp-trial-") as directory:
        layout = Layout(BPFFS / Path(directory).name, Path(directory) / "manifest.json")
        opened = Datapath.open(layout, adopt=False)
        layout.remove()  # descriptors keep all alive, and nothing stays behind a crash
    return opened


def _policy(flags: PolicyFlag, rules: dict[int, RuleRow]) -> KernelPolicy:
    return KernelPolicy(
        name="trial",
        flags=flags,
        uninspectable=Action.ALLOW,
        destinations=(),
        rules=rules,
        exceptions=(),
    )


def _pieces(segments: Segments) -> list[tuple[int, bytes]]:
    """Segments with their offsets, none longer than a frame may be."""
    pieces: list[tuple[int, bytes]] = []
    base = 0
    for data in segments:
        pieces.extend(
            (base + at, data[at : at + frames.LONGEST])
            for at in range(0, len(data), frames.LONGEST)
        )
        base += len(data)
    return pieces


def _is_match(event: Event) -> bool:
    return event.kind is abi.EventKind.MATCH


def _conversation(told: Event | Payload) -> int:
    return frames.number_of(told.packet.source, told.packet.source_port)
