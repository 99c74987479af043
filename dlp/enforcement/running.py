"""Making sets run: compiled, switched to, and what ran before brought back where that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

from dlp.config import Config
from dlp.enforcement.loaded import Loaded, Sets, plan
from dlp.enforcement.vault import Vault
from dlp.errors import DlpError
from dlp.releases.override import overridden
from dlp.signatures.image import KernelImage
from dlp.signatures.pack import Pack

Switch = Callable[[Loaded], Awaitable[None]]


class Compile(Protocol):
    """As compiling.compiled."""

    async def __call__(
        self, packs: Sequence[Pack], held: Collection[str], *, cache: Path | None
    ) -> KernelImage: ...


class Runner:
    """What runs, and what is to run.

    Args:
        loaded: what runs at present.
        switch: makes something else run; raises DlpError where that fails.
        switched: told of the sets before and after each switch.
        cache: directory in which compiled sets are kept.
    """

    def __init__(
        self,
        loaded: Callable[[], Loaded],
        switch: Switch,
        vault: Vault,
        *,
        compile_: Compile,
        switched: Callable[[Sets, Sets], None],
        cache: Path | None,
    ) -> None:
        self._loaded = loaded
        self._switch = switch
        self._vault = vault
        self._compile = compile_
        self._switched = switched
        self._cache = cache

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._loaded().config

    @property
    def sets(self) -> Sets:
        """What runs."""
        return self._loaded().sets

    async def make(self, config: Config, sets: Sets) -> Loaded:
        """Compile sets; nothing runs otherwise yet. Raises ConfigError, PackError."""
        planned = await asyncio.to_thread(partial(plan, config, sets, cache=self._cache))
        await asyncio.to_thread(planned.check)
        image = await self._compile(planned.packs, planned.held, cache=self._cache)
        return await asyncio.to_thread(planned.loaded, image)

    async def run(self, loaded: Loaded) -> None:
        """Make it run. Raises DlpError where that fails: what ran runs on."""
        before = self._loaded()
        try:
            await self._switch(loaded)
        except DlpError:
            # Of what failed midway nothing may stay.
            await self._switch(before)
            raise
        self._switched(before.sets, loaded.sets)

    async def overridden(
        self, config: Config, sets: Sets, more: Mapping[str, bytes] | None = None
    ) -> Sets:
        """Sets with what development mode has put in, where the configuration allows it.

        Args:
            sets: without overrides.
            more: is put in now, and not yet kept.
        """
        if not config.releases.development:
            return replace(sets, overrides=())
        overrides = {**await asyncio.to_thread(self._vault.overrides), **(more or {})}
        packs = await asyncio.to_thread(overridden, sets.packs, overrides)
        return replace(sets, packs=packs, overrides=tuple(sorted(overrides)))
