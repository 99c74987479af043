"""The kernel path as one object: open or build it, load signature sets, read it out.

    Datapath.open()      adopts what is pinned, or builds it (a child process)
    load()               fills the generation that is not live and switches to it
    entry()              a classifier for one namespace
    test_run()           one packet through it

It knows no packs, no configuration file and no network devices.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from ctypes import c_uint32, c_uint64
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

from dlp import errors
from dlp.datapath import abi, events, grace, libbpf, loader, objects, source
from dlp.datapath.hits import Hits
from dlp.datapath.libbpf import Map, RingBuffer, TestRun
from dlp.datapath.objects import CACHE, KernelObject
from dlp.datapath.pins import BPFFS, MAPS, RUN, Layout, Manifest, ensure_bpffs
from dlp.datapath.tables import (
    SIGNATURE_TABLES,
    Tables,
    bloom_shift,
    constants,
    element_types,
    hmac_states,
    rule_id,
)
from dlp.errors import KernelError
from dlp.policy import KernelPolicies
from dlp.resources import bpf_dir
from dlp.signatures.image import KernelImage

_KEY_PLACEHOLDER = 0x1122334455667788
_DEVICE_PLACEHOLDER = 0x5566778811223344
_LDDW = 0x18
_WIDTH = 8
_BUILD_TIMEOUT_S = 120
_UNCOUNTED = 0xFFFF_FFFF  # distinct values, as the kernel has it where it cannot count
HEARTBEAT_MAX_NS = 5_000_000_000

ROOT = BPFFS / "dlp"


def current_layout(root: Path = ROOT, run: Path = RUN, text: str | None = None) -> Layout:
    """Where the build of these sources is, or would be, pinned."""
    digest = source.digest(text if text is not None else source.joined(bpf_dir()))
    return Layout(root / digest, run / f"datapath-{digest}.json")


@dataclass(frozen=True, slots=True)
class LoadTimes:
    """Seconds that a load took: to write the tables, and for the store that makes them live."""

    write_s: float
    switch_s: float


class Datapath:
    """The pinned programs and maps of one build. Not safe for use by several threads."""

    def __init__(self, layout: Layout, manifest: Manifest, *, adopted: bool) -> None:
        self.layout = layout
        self.manifest = manifest
        self.adopted = adopted
        self._fds: list[int] = []
        self._rings: list[RingBuffer] = []
        maps = {}
        for name in MAPS:
            key, value = element_types(name)
            maps[name] = Map(name, self._open(layout.map(name)), key, value)
        self.tables = Tables(maps)
        if not adopted:
            self.tables["constants"].update(c_uint32(0), constants())

    @classmethod
    def open(
        cls,
        layout: Layout | None = None,
        *,
        text: str | None = None,
        adopt: bool = True,
        older: Iterable[Layout] = (),
    ) -> Self:
        """Adopt the pinned build of these sources; else load it, and compile it if need be.

        Args:
            layout: where it is pinned; by default below /sys/fs/bpf/dlp.
            text: joined source to use instead of bpf/ (mutation tests).
            adopt: False loads anew even where pins exist.
            older: other builds, whose flows are taken over if their layout fits.

        Raises:
            DlpError: privileges, bcc or headers are missing, or the kernel refuses.
        """
        text = text if text is not None else source.joined(bpf_dir())
        layout = layout or current_layout(text=text)
        ensure_bpffs()
        manifest = layout.read() if adopt else None
        if manifest is not None:
            return cls(layout, manifest, adopted=True)
        aside = layout.set_aside()
        manifest = loader.load(compiled(text), layout, older=older, aside=aside if adopt else None)
        return cls(layout, manifest, adopted=False)

    def _open(self, path: Path) -> int:
        fd = libbpf.open_pin(path)
        self._fds.append(fd)
        return fd

    # -- settings and generations ------------------------------------------------

    @property
    def settings(self) -> abi.SettingsStruct:
        return cast(abi.SettingsStruct, self.tables["settings"].lookup(c_uint32(0)))

    def _store(self, settings: abi.SettingsStruct) -> None:
        self.tables["settings"].update(c_uint32(0), settings)

    def load(
        self,
        image: KernelImage,
        policies: KernelPolicies,
        *,
        hmac_key: bytes,
        release: int,
        cgroup_level: int = 0,
        bindings: Mapping[tuple[int, int], int] | None = None,
        event_burst: int = 0,
    ) -> LoadTimes:
        """Write a set into the generation that is not live, then make it live by one store.

        Args:
            hmac_key: at most 64 bytes; keys the digests of matched values.
            release: number shown in events.
            cgroup_level: ancestor level that names a workload; 0 is the socket's own.
            bindings: policy numbers by (namespace key, cgroup id or 0), replaced whole and in
                the same instant.
            event_burst: events that a workload may save up, one a millisecond; 0 is no bound.

        Raises KernelError where a table is full; the live set stays.
        """
        began = time.monotonic()
        settings = self.settings
        target = 1 - settings.generation
        self.tables.write_image(target, image)
        self.tables.write_policies(target, policies)
        settings.scan_slot[target] = abi.SCAN_SLOT[image.stride]
        settings.bloom_shift[target] = bloom_shift(image)
        inner, outer = hmac_states(hmac_key)
        settings.hmac_inner[:] = inner
        settings.hmac_outer[:] = outer
        settings.cgroup_level = cgroup_level
        settings.heartbeat_max_ns = HEARTBEAT_MAX_NS
        settings.event_burst = event_burst
        settings.policies[target] = len(policies.policies)
        if bindings is not None:
            self._bind_ahead(bindings, target)
            settings.by_cgroup |= any(cgroup for _, cgroup in bindings)
        # The kernel copies a value bytewise while packets read it: what belongs to the new
        # number has to be there before the number is.
        self._store(settings)
        settings.generation = target
        settings.release = release
        written = time.monotonic()
        self._store(settings)
        switched = time.monotonic()
        if bindings is not None:
            self._forget_others(bindings)
        grace.passed()  # packets that read the old number are through
        return LoadTimes(written - began, switched - written)

    def beat(self, time_ns: int | None = None) -> None:
        """The inspector lives (CLOCK_MONOTONIC; now by default)."""
        settings = self.settings
        settings.heartbeat_ns = time.monotonic_ns() if time_ns is None else time_ns
        self._store(settings)

    # -- workloads ---------------------------------------------------------------

    def bind(self, netns: int, cgroup: int, policy: int) -> None:
        """Sockets of `cgroup` (0: any) in the namespace `netns` have policy number `policy`."""
        if cgroup:
            settings = self.settings
            if not settings.by_cgroup:
                settings.by_cgroup = 1
                self._store(settings)
        self._write_binding(netns, cgroup, (policy, policy))

    def _write_binding(self, netns: int, cgroup: int, numbers: tuple[int, int]) -> None:
        self.tables["workloads"].update(abi.WhoStruct(netns, cgroup), abi.BindingStruct(numbers))

    def unbind(self, netns: int, cgroup: int) -> None:
        """Sockets of that cgroup fall to the namespace's own policy."""
        self.tables["workloads"].delete(abi.WhoStruct(netns, cgroup))

    def _bind_ahead(self, bindings: Mapping[tuple[int, int], int], target: int) -> None:
        """Write numbers for the generation that is not live, beside those of the live one."""
        table = self.tables["workloads"]
        for (netns, cgroup), policy in bindings.items():
            known = table.lookup(abi.WhoStruct(netns, cgroup))
            if known is None:
                # Not told apart so far: what holds for the namespace goes on to hold.
                known = table.lookup(abi.WhoStruct(netns, 0))
            numbers = list(known.policy) if known is not None else [policy, policy]
            numbers[target] = policy
            self._write_binding(netns, cgroup, (numbers[0], numbers[1]))

    def _forget_others(self, bindings: Mapping[tuple[int, int], int]) -> None:
        table = self.tables["workloads"]
        for key in list(table.keys()):
            if (key.netns, key.cgroup) not in bindings:
                table.delete(key)

    def entry(self, key: int, device: int = 0) -> int:
        """Load the classifier for devices of the namespace `key`; the caller closes it.

        Args:
            device: what it is to know of them, abi.DeviceFlag.
        """
        return self._patched("entry", key, device)

    def guard(self, key: int) -> int:
        """Load the guard for the host's ends of that namespace; the caller closes it."""
        return self._patched("guard", key, 0)

    def gate(self, level: int) -> int:
        """Load the gate for children of a cgroup, themselves at `level` below the root.

        A child may send once its cgroup id is in the table `admitted`.
        """
        return self._patched("gate", level, 0)

    def _patched(self, name: str, first: int, second: int) -> int:
        program = self.manifest.copied[name]
        fds = {each: self.tables[each].fd for each in set(program.maps.values())}
        code = loader.relocated(program, fds)
        for placeholder, value in ((_KEY_PLACEHOLDER, first), (_DEVICE_PLACEHOLDER, second)):
            at = _find(code, placeholder)
            if at is None and placeholder == _KEY_PLACEHOLDER:
                raise KernelError(f"the program {name} has no place for the namespace's key")
            if at is None:
                continue
            code[at + 4 : at + 8] = (value & 0xFFFF_FFFF).to_bytes(4, "little")
            code[at + 12 : at + 16] = (value >> 32).to_bytes(4, "little")
        return libbpf.load_program(f"dlp_{name}", bytes(code), kind=libbpf.KINDS.get(name))

    # -- guards ------------------------------------------------------------------

    def guard_row(self, slot: int) -> abi.GuardStruct:
        """Tokens and flags of a workload."""
        return cast(abi.GuardStruct, self.tables["guards"].lookup(c_uint32(slot)))

    def renew_tokens(self, slot: int) -> None:
        """Stamp new tokens from here on; packets with those before are still let in.

        The one before them is not: call it no oftener than a packet takes to cross a veth.
        """
        row = self.guard_row(slot)
        other = 1 - row.current
        row.token[other], row.held[other] = _two_tokens({*row.token, *row.held})
        self.tables["guards"].update(c_uint32(slot), row)
        # Its own store: a guard that reads between the two knows both already.
        row.current = other
        self.tables["guards"].update(c_uint32(slot), row)

    def set_guard_flags(self, slot: int, on: int, off: int = 0) -> None:
        """Set and clear flags (abi.GuardFlag) of a workload's row."""
        row = self.guard_row(slot)
        row.flags = (row.flags | on) & ~off
        self.tables["guards"].update(c_uint32(slot), row)

    def clear_guard(self, slot: int) -> None:
        """Before a slot is given to another workload: no token, no flag."""
        self.tables["guards"].update(c_uint32(slot), abi.GuardStruct())

    def admit(self, cgroup: int) -> None:
        """What runs in that child of a gated cgroup may send."""
        self.tables["admitted"].update(c_uint64(cgroup), c_uint32(1))

    def unadmit(self, cgroup: int) -> None:
        self.tables["admitted"].delete(c_uint64(cgroup))

    def empty(self) -> int:
        """A program that does nothing: the base line of measurements."""
        return libbpf.open_pin(self.layout.program("empty"))

    def test_run(self, fd: int, packet: bytes, *, repeat: int = 1) -> TestRun:
        """Run a classifier on a packet that begins with its Ethernet header."""
        return libbpf.test_run(fd, packet, repeat=repeat)

    # -- reading out -------------------------------------------------------------

    def on_events(self, take: Callable[[events.Event], None]) -> RingBuffer:
        """Call `take` for each event when the returned buffer is consumed."""
        ring = RingBuffer(self.tables["events"].fd, lambda raw: take(events.decode_event(raw)))
        self._rings.append(ring)
        return ring

    def on_shadow_events(self, take: Callable[[events.Event], None]) -> RingBuffer:
        """The same for matches of shadow rows: a small share of them (EventFlag.SHADOW).

        Their action is what would have been done; nothing was.
        """
        fd = self.tables["shadow_events"].fd
        ring = RingBuffer(fd, lambda raw: take(events.decode_event(raw)))
        self._rings.append(ring)
        return ring

    def on_payload(self, take: Callable[[events.Payload], None]) -> RingBuffer:
        """Call `take` for each piece of mirrored payload when the buffer is consumed."""
        ring = RingBuffer(self.tables["payloads"].fd, lambda raw: take(events.decode_payload(raw)))
        self._rings.append(ring)
        return ring

    def on_shadow_payload(self, take: Callable[[events.Payload], None]) -> RingBuffer:
        """As `on_payload`, for what shadow rules want inspected; the buffer wakes nobody.

        `before` bytes of it stand before the chunk; the stream's first of all are left out.
        """
        fd = self.tables["shadow_payloads"].fd
        ring = RingBuffer(fd, lambda raw: take(events.decode_shadow_payload(raw)))
        self._rings.append(ring)
        return ring

    def counters(self, slot: int) -> dict[abi.Reason, tuple[int, int]]:
        """Packets and bytes by reason of the workload whose key ends in `slot`."""
        rows = self.tables["counters"].lookup_cpus(c_uint32(slot))
        # All numbers at once, packets first: field by field it takes five times as long.
        columns = zip(*(memoryview(row).cast("B").cast("Q") for row in rows), strict=True)
        numbers = list(map(sum, columns))
        packets, size = numbers[: abi.REASONS], numbers[abi.REASONS :]
        return {reason: (packets[reason], size[reason]) for reason in abi.Reason}

    def clear_counters(self, slot: int) -> None:
        """Before a slot is given to another workload: its counters, hits and windows."""
        self.tables["counters"].update_cpus(c_uint32(slot), abi.CountersStruct())
        hits, windows = self.tables["hits"], self.tables["windows"]
        hits.delete_all([key for key in hits.all_keys() if key >> 16 & 0xFFFF == slot])
        windows.delete_all([key for key in windows.all_keys() if key.netns % abi.WORKLOADS == slot])

    def hits(self, *, before: bool = False) -> dict[tuple[int, int], Hits]:
        """By slot of the workload and number of the signature, since the live set was loaded.

        `before`: those of the set before it, up to the moment in which it was replaced.
        """
        table, generation = self.tables["hits"], self.settings.generation ^ before
        found = {}
        for key in table.all_keys():
            row = table.lookup(c_uint64(key)) if key >> 32 == generation else None
            if row is not None:
                place = key >> 16 & 0xFFFF, key & 0xFFFF
                found[place] = Hits(row.matches, row.acted, row.prefilters)
        return found

    def table_memory(self) -> dict[str, int]:
        """Bytes of kernel memory of each table of signatures and policies, both generations."""
        return {name: self.tables[name].memory() for name in SIGNATURE_TABLES}

    def flows(self, limit: int) -> Iterator[tuple[abi.FlowKeyStruct, abi.FlowStruct]]:
        """At most `limit` flows, in no order."""
        table = self.tables["flows"]
        for number, key in enumerate(table.keys()):
            if number >= limit:
                return
            flow = table.lookup(key)
            if flow is not None:
                yield key, flow

    def distinct(
        self,
        flow: int,
        policy: str,
        rule_index: int,
        digests: Iterable[bytes] = (),
        alone: str = "",
        *,
        shadow: bool = False,
    ) -> int:
        """How many distinct values a rule has met in a flow: the kernel's, and `digests`.

        `alone`: of one signature by itself, as RuleRow says. `shadow`: of a shadow rule.
        Digests are HMAC-SHA-256 as in events; the kernel tells values apart by the first 8 bytes.
        """
        seen = self.tables["shadow_seen" if shadow else "seen"]
        rule = rule_id(policy, rule_index, alone, shadow=shadow)
        known = seen.lookup(abi.SeenKeyStruct(flow, 0, rule))
        values = {int.from_bytes(digest[:8], sys.byteorder) | 1 for digest in digests}
        others = (seen.lookup(abi.SeenKeyStruct(flow, value, rule)) for value in values)
        return (0 if known is None else known.value) + sum(one is None for one in others)

    def note_in_window(
        self, netns: int, policy: str, rule_index: int, window_s: int, digest: bytes
    ) -> int:
        """Count a value that the inspector found among those of the rule in a workload's window.

        Returns how many distinct ones there are now, this one included; where the table has no
        room, as the kernel does, a number that reaches every threshold. A value that the kernel
        writes in the same instant can be overwritten.
        """
        table, now = self.tables["windows"], time.monotonic_ns()
        key = abi.WindowKeyStruct(netns, rule_id(policy, rule_index))
        row = table.lookup(key) or abi.WindowStruct()
        value = int.from_bytes(digest[:8], sys.byteorder) | 1
        known = [place for place in range(abi.WINDOW) if row.value[place] == value]
        place = known[0] if known else min(range(abi.WINDOW), key=lambda at: row.seen_ns[at])
        row.value[place], row.seen_ns[place] = value, now
        try:
            table.update(key, row)
        except KernelError:
            return _UNCOUNTED
        return sum(seen and now - seen < window_s * 1_000_000_000 for seen in row.seen_ns)

    def on_held(self, take: Callable[[events.Payload], None]) -> RingBuffer:
        """As `on_payload`, for flows that wait for `clear` or `block`."""
        ring = RingBuffer(self.tables["holds"].fd, lambda raw: take(events.decode_payload(raw)))
        self._rings.append(ring)
        return ring

    def block(self, flow: int, signature: int) -> None:
        """Block a mirrored or held flow on the inspector's word, from its next packet on."""
        self.tables["words"].update(c_uint64(flow), abi.WordStruct(0, signature, 1))

    def clear(self, flow: int, to: int, *, keep: bool = False, question: int = 0) -> None:
        """Segments of a held flow that end at or before stream offset `to` may leave.

        Args:
            keep: a match is open there, which what follows may complete: that is held as well.
            question: of the record that is answered (events.Payload); the kernel takes no word
                about bytes that have come again with others in their place.
        """
        self.tables["words"].update(c_uint64(flow), abi.WordStruct(to, 0, 0, keep, question))

    def forget_word(self, flow: int) -> None:
        """Of a flow that has ended, or whose block the kernel has long taken note of."""
        self.tables["words"].delete(c_uint64(flow))

    def block_key(self, key: abi.FlowKeyStruct, signature: int, seconds: float) -> None:
        """Block a flow that no socket stands for (datagrams), for so long."""
        until = time.monotonic_ns() + int(seconds * 1e9)
        self.tables["blocked"].update(key, abi.BlockStruct(until, signature, 0))

    # -- end ---------------------------------------------------------------------

    def close(self, *, remove: bool = False) -> None:
        """Close all descriptors; `remove` unpins too, what is attached stays alive."""
        for ring in self._rings:
            ring.close()
        for fd in self._fds:
            os.close(fd)
        self._rings.clear()
        self._fds.clear()
        if remove:
            self.layout.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _find(code: bytearray, placeholder: int) -> int | None:
    for at in range(0, len(code) - _WIDTH, _WIDTH):
        if code[at] == _LDDW:
            value = code[at + 4 : at + 8] + code[at + 12 : at + 16]
            if int.from_bytes(value, "little") == placeholder:
                return at
    return None


def _two_tokens(taken: set[int]) -> tuple[int, int]:
    """Two random numbers of 32 bits, neither 0 nor one of those."""
    found: set[int] = set()
    while len(found) < 2:  # noqa: PLR2004 - one for what passed, one for what is held
        found |= {secrets.randbits(32)} - taken - {0}
    first, second = found
    return first, second


def compiled(text: str, cache: Path = CACHE) -> KernelObject:
    """The object of a joined source: from the cache, or compiled in a child process.

    Raises:
        MissingDependency: it has to be compiled, and bcc or headers are missing.
        KernelError: it does not compile, or not in time.
    """
    path = cache / f"{source.digest(text)}.json"
    found = objects.read(path)
    if found is not None:
        return found
    with tempfile.NamedTemporaryFile("w", suffix=".c") as joined:
        joined.write(text)
        joined.flush()
        try:
            done = subprocess.run(
                [sys.executable, "-m", "dlp.datapath.build", joined.name, str(path)],
                capture_output=True,
                text=True,
                timeout=_BUILD_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise KernelError(
                f"the compiler did not end within {_BUILD_TIMEOUT_S} s",
                remedy="start again when the host is less busy; it takes some 5 s of a processor",
            ) from error
    found = objects.read(path)
    if done.returncode == 0 and found is not None:
        return found
    try:
        told = json.loads(done.stdout)
    except ValueError:
        raise KernelError(
            f"the compiler ended with {done.returncode}: {done.stderr[-2000:]}"
        ) from None
    kind = getattr(errors, told["error"], KernelError)
    raise kind(told["message"], remedy=told["remedy"])
