"""Compiling in a process of its own."""

from __future__ import annotations

import asyncio
import time

import pytest

from dlp.enforcement.compiling import compiled
from dlp.errors import PackError
from dlp.releases.content import packs_of
from dlp.signatures.compiler import compile_packs
from tests.releases.conftest import PACK

FOREVER = PACK.replace("[A-Z0-9]{12}(", "(?:[A-Z0-9]{12}|(?:A|A)+B)(").replace(
    '"LONGKEY-ABC"', '"LONGKEY-' + 40 * "A" + '"'
)


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


async def test_endless():
    """A pattern that backtracks for ever on its own sample is ended, and the loop is not held."""
    began = time.monotonic()

    with pytest.raises(PackError, match="it backtracks"):
        await compiled(packs(FOREVER), (), timeout_s=4.0)
    assert time.monotonic() - began < 15
