"""The part of a run that measures releases: activations under traffic, and upload to live."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import namespaces, releasing, switching
from bench.namespaces import Link
from bench.releasing import Gateway
from bench.report import Results, Spread, Table
from bench.sections import Plan, progress
from bench.signatures import PACK, Token, pack_text
from bench.switching import Switched
from dlp.resources import signatures_dir
from dlp.signatures.pack import Pack, load_packs

ACTIVATIONS = 1000
_KEY = 206  # of the pair of namespaces
_ACTIVATING, _NOT = "activating", "not activating"
_COLD, _CACHED = "never compiled", "compiled before"


@dataclass(frozen=True, slots=True)
class Arrival:
    """Seconds from the upload's begin until a release is live, and of processor time."""

    upload_s: float
    activate_s: float
    processor_s: float


def switch(plan: Plan, packs: Sequence[Pack], results: Results) -> None:
    """Releases activated over and over under full-speed traffic with planted leaks."""
    directory = plan.scratch / "releasing"
    directory.mkdir()
    with ExitStack() as stack:
        link = stack.enter_context(namespaces.pair("switch", _KEY))
        gateway = stack.enter_context(releasing.gateway(directory, link.sender))
        _arrivals(gateway, plan, results)
        _activations(gateway, link, plan, packs, results)


def _arrivals(gateway: Gateway, plan: Plan, results: Results) -> None:
    """Upload to live of all built-in packs, compiled for it and compiled before."""
    progress("upload to live")
    packs = load_packs(sorted(one.stem for one in signatures_dir().glob("*.yaml")), Path.cwd())
    files = {pack.name: pack.file.read_bytes() for pack in packs}
    count = sum(len(pack.signatures) for pack in packs)
    found: dict[str, list[Arrival]] = defaultdict(list)
    for number in range(plan.rounds):
        gateway.forget_compiled()
        for place, name in enumerate((_COLD, _CACHED)):
            raw = gateway.made(1 + 2 * number + place, files)
            before = gateway.processor_s()
            upload, activate = gateway.upload(raw), gateway.activate(1 + 2 * number + place)
            found[name].append(Arrival(upload, activate, gateway.processor_s() - before))
    rows = []
    for name, measure in ((_COLD, "live.cold"), (_CACHED, "live.cached")):
        mine = found[name]
        results.measures[measure] = Spread.of([one.upload_s + one.activate_s for one in mine])
        parts = ([getattr(one, part) for one in mine] for part in Arrival.__slots__)
        rows.append((name, (results.measures[measure], *map(Spread.of, parts))))
    columns = ("upload to live, s", "upload", "activation", "processor time")
    note = f"{count:,} signatures, all built-in packs; of the daemon and its compiler"
    results.tables.append(Table("A release until it is live", columns, tuple(rows), note))


def _activations(
    gateway: Gateway, link: Link, plan: Plan, packs: Sequence[Pack], results: Results
) -> None:
    """Each release is another set than the one before it; all are uploaded beforehand."""
    progress(f"{ACTIVATIONS:,} activations under traffic")
    corpus = plan.scratch / "switching"
    corpus.write_bytes(next(each.data for each in plan.plain if each.name == "source"))
    sets = two_sets(plan.tokens, packs)
    first = 1_000_000  # above all that was live before
    for number in range(ACTIVATIONS + 1):
        gateway.upload(gateway.made(first + number, sets[number % 2]))
    gateway.activate(first)
    gateway.loads()

    def activate(number: int) -> tuple[float, float]:
        seconds = gateway.activate(first + 1 + number)
        (load,) = gateway.loads()
        return seconds * 1000, load.switch_ms

    ends = link.sender, link.receiver, link.receiver_address
    found = {_ACTIVATING: switching.measure(*ends, corpus, activate, switches=ACTIVATIONS)}
    pause_s = found[_ACTIVATING].seconds / ACTIVATIONS
    found[_NOT] = switching.measure(
        *ends, corpus, lambda _: (0.0, 0.0), switches=ACTIVATIONS, pause_s=pause_s
    )
    rows = []
    for name, one in found.items():
        if one.complete or one.differing or not one.leaks or not one.streams:
            results.faults.append(
                f"{name}: {one.complete} of {one.leaks} leaks arrived whole, {one.differing} of "
                f"{one.streams} honest streams differ"
            )
        cells = (
            f"{one.complete} of {one.leaks:,}",
            f"{one.differing} of {one.streams:,}",
            f"{one.lost} of {one.datagrams:,}",
            Spread.of([one.bytes * 8 / one.seconds / 1e9]),
        )
        rows.append((name, cells))
    columns = ("leaks that arrived whole", "honest streams that differ", "datagrams lost", "Gb/s")
    activations, stores = zip(*found[_ACTIVATING].times_ms, strict=True)
    note = (
        f"{ACTIVATIONS:,} releases activated in a row, {sum(len(p.signatures) for p in packs)} "
        f"signatures: {Spread.of(activations)} ms each, {Spread.of(stores)} ms for the switch"
    )
    results.tables.append(Table("Activations under traffic", columns, tuple(rows), note))
    _measures(found, stores, results)


def _measures(found: Mapping[str, Switched], stores: Sequence[float], results: Results) -> None:
    mine = found[_ACTIVATING]
    for name, value in (
        ("switch.leaks", mine.complete),
        ("switch.differing", mine.differing),
        ("switch.lost", mine.lost - found[_NOT].lost),
        ("switch.longest", max(stores)),
    ):
        results.measures[name] = Spread.of([float(value)])


def two_sets(
    members: Sequence[Token], packs: Sequence[Pack]
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The packs by name, and the same without the last token: every table is another."""
    files = {pack.name: pack.file.read_bytes() for pack in packs}
    return files, {**files, PACK: pack_text(members[:-1]).encode()}
