"""Compiling in a process of its own."""

from __future__ import annotations

import asyncio
import multiprocessing
import time

import pytest

from dlp.enforcement.compiling import compiled
from dlp.errors import PackError
from dlp.releases.content import packs_of
from dlp.signatures.compiler import compile_packs
from tests.releases.conftest import PACK


def slow(letters: int) -> str:
    """The pack with a pattern that takes half as long again on each letter more of its sample."""
    made = PACK.replace("[A-Z0-9]{12}(", "(?:[A-Z0-9]{12}|(?:A|AA)+B)(")
    return made.replace('"LONGKEY-ABC"', '"LONGKEY-' + letters * "A" + '"')


HEAD, ONE = slow(33).split("signatures:\n")
FOREVER = slow(200)
# Each is done within the time for one signature's samples; all together are not for a minute.
LONG = HEAD + "signatures:\n" + "".join(ONE.replace("key.long", f"key.n{n}") for n in range(200))


def packs(text: str):
    return packs_of({"own": text.encode()}, "set")


async def test_same_image():
    """The image is that of the compiler, whole, and the loop goes on meanwhile."""
    turns = 0

    async def count():
        nonlocal turns
        while True:
            await asyncio.sleep(0.005)
            turns += 1

    async with asyncio.TaskGroup() as group:
        counting = group.create_task(count())
        found = await compiled(packs(PACK), ["own.key.long"])
        counting.cancel()

    assert compile_packs(packs(PACK), held=["own.key.long"]) == found
    assert turns > 20


async def test_errors():
    """A pack's error comes back with its place and remedy."""
    wrong = packs(PACK.replace('"LONGKEY-ABC"', '"LONGKEY-ABCDEFGHIJ12"'))

    with pytest.raises(PackError) as caught:
        await compiled(wrong, ())
    assert (True, True) == (bool(caught.value.remedy), caught.value.place is not None)
    assert "set/packs/own.yaml" == str(caught.value.place.file)


async def test_backtracking():
    """A pattern that backtracks for ever on its own sample is told, and where it is."""
    with pytest.raises(PackError, match=r"own\.key\.long: its samples.* it backtracks") as caught:
        await compiled(packs(FOREVER), ())
    assert caught.value.place.line


async def test_endless():
    """A set that takes too long is ended, whatever keeps it busy, and the loop is not held."""
    began = time.monotonic()
    turns = 0

    async def count():
        nonlocal turns
        while True:
            await asyncio.sleep(0.005)
            turns += 1

    async with asyncio.TaskGroup() as group:
        counting = group.create_task(count())
        with pytest.raises(PackError, match="compiling took longer than 4 s and was ended"):
            await compiled(packs(LONG), (), timeout_s=4.0)
        counting.cancel()

    assert time.monotonic() - began < 15
    assert turns > 100
    assert [] == multiprocessing.active_children()
