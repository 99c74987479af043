"""Kernel memory of the tables of signatures and policies, by what the kernel charges for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import protected
from bench.report import Results, Spread, Table
from bench.sections import progress
from dlp.datapath.datapath import Datapath
from dlp.model import Action
from dlp.policy import KernelPolicies, KernelPolicy, PolicyFlag, RuleRow
from dlp.signatures.compiler import compile_packs
from dlp.signatures.image import KernelImage
from dlp.signatures.pack import Pack, builtin_names, load_packs

_MB = 1_000_000
_POLICIES = 4
_NAMED = 6


def memory(live: Sequence[Pack], shadow: Sequence[Pack], scratch: Path, results: Results) -> None:
    """A live set alone in one generation; with as many others in shadow in the other one.

    The built-in packs stand beside it, live in both generations.
    """
    progress("memory of the tables")
    builtin = load_packs(builtin_names(), scratch)
    columns: dict[str, Mapping[str, int]] = {}
    for name, title, first, second in (
        ("shadow", "1,000 and 1,000 in shadow", live, (*live, *shadow)),
        ("builtin", "built-in packs", builtin, builtin),
    ):
        with protected.built(f"tables-{name}", scratch) as datapath:
            count = sum(len(pack.signatures) for pack in first)
            for packs in (first, second):
                _load(datapath, compile_packs(packs), count)
            columns[title] = datapath.table_memory()
        total = sum(columns[title].values()) / _MB
        results.measures[f"tables.{name}"] = Spread.of([total])
    largest = sorted(next(iter(columns.values())).items(), key=lambda each: -each[1])[:_NAMED]
    rows = [
        (name, tuple(Spread.of([own[name] / _MB]) for own in columns.values()))
        for name, _ in largest
    ]
    sums = tuple(Spread.of([sum(own.values()) / _MB]) for own in columns.values())
    note = f"two generations, {_POLICIES} policies; /proc/self/fdinfo of each map"
    table = Table("Kernel tables, MB", tuple(columns), (*rows, ("all", sums)), note)
    results.tables.append(table)


def _load(datapath: Datapath, image: KernelImage, live: int) -> None:
    """The first `live` signatures alert, the others are in shadow."""
    policy = KernelPolicy(
        name="bench",
        flags=PolicyFlag(0),
        uninspectable=Action.ALLOW,
        destinations=(),
        rules={
            number: RuleRow(Action.ALERT, 0, 1, shadow=number >= live)
            for number in range(len(image.signatures))
        },
        exceptions=(),
    )
    policies = KernelPolicies(policies=(policy,) * _POLICIES, next_expiry=None)
    datapath.load(image, policies, hmac_key=b"bench", release=1)
