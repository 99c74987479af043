"""A thousand signatures, live and shadow: memory of the tables and time of a load."""

import itertools
import time
from pathlib import Path

import pytest

from dlp.model import Action
from dlp.policy import RuleRow
from dlp.signatures.compiler import compile_packs
from dlp.signatures.image import KernelImage
from dlp.signatures.pack import Pack
from tests import packets as pk
from tests.kernelpath import policy
from tests.signatures.making import signature

pytest_plugins = ["tests.kernelpath_fixture"]
pytestmark = pytest.mark.kernel

MB = 1_000_000
COUNT = 1000
PREFIXES = ["".join(each) for each in itertools.product("bcdfghjklm", repeat=3)]


def made(*kinds: str) -> KernelImage:
    """A thousand signatures of each kind, as providers' keys look."""
    signatures = tuple(
        signature(rf"\b{prefix}{kind}_[0-9a-f]{{32}}\b", id_=f"made.{kind}.{prefix}")
        for kind in kinds
        for prefix in PREFIXES
    )
    return compile_packs(
        [Pack(name="made", version=1, description="", signatures=signatures, file=Path("made"))]
    )


@pytest.fixture(scope="module")
def live() -> KernelImage:
    return made("live")


@pytest.fixture(scope="module")
def union() -> KernelImage:
    """The live set, and a candidate that changes every signature."""
    return made("live", "next")


def rows(image: KernelImage) -> dict[int, RuleRow]:
    return {
        number: RuleRow(Action.DROP, 0, 1, shadow=number >= COUNT)
        for number in range(len(image.signatures))
    }


def test_memory(bench, live, union):
    """One generation with the live set, one with live and shadow: at most 8 MB with policies."""
    for image in (live, union):
        bench.load(image, *[policy(image, rules=rows(image))] * 3)
    tables = bench.datapath.table_memory()

    assert sum(tables.values()) <= 8 * MB, tables


def test_load(bench, live, union):
    """A load writes within half a second, and switches within 10 ms."""
    policies = [policy(union, rules=rows(union))] * 3
    bench.load(union, *policies)
    began = time.monotonic()
    bench.load(live, *[policy(live, rules=rows(live))] * 3)
    whole = time.monotonic() - began
    settings = bench.datapath.settings
    began = time.monotonic()
    bench.datapath.beat()
    switch = time.monotonic() - began

    assert whole < 0.5
    assert switch < 0.01
    assert settings.release == bench.datapath.settings.release


def test_both_work(bench, union):
    """The last signature of either half is found; of the shadow half it is counted."""
    bench.load(union, policy(union, rules=rows(union)))
    for number in (COUNT - 1, 2 * COUNT - 1):
        value = b" %s%s_" % (PREFIXES[-1].encode(), b"live" if number < COUNT else b"next")
        passed = bench.post(pk.udp(value + b"0123456789abcdef" * 2 + b" ", port=bench.port()))

        assert passed == (number >= COUNT)
        assert number in {signature for _, signature in bench.datapath.hits()}


def test_ten_thousand_literals(bench):
    """They have room, and the last is found."""
    words = ["".join(each) for each in itertools.product("bcdfghjklm", repeat=4)]
    signatures = tuple(
        signature(
            "(?:" + "|".join(f"{word}-{word}-words" for word in words[at : at + 1000]) + ")",
            id_=f"made.words.n{at}",
        )
        for at in range(0, len(words), 1000)
    )
    image = compile_packs(
        [Pack(name="made", version=1, description="", signatures=signatures, file=Path("made"))]
    )
    bench.load(image, policy(image))

    for word in (words[0], words[-1]):
        assert not bench.post(pk.udp(f"a {word}-{word}-words b".encode(), port=bench.port()))
    assert len(image.shapes) >= len(words)
