"""Making sets run: compiled, switched to, and what ran before brought back where that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from dlp.config import Config
from dlp.enforcement.loaded import Loaded, Plan, Sets, parts_of
from dlp.enforcement.vault import Vault
from dlp.errors import DlpError
from dlp.model import Subject
from dlp.releases.override import overridden
from dlp.signatures.image import KernelImage
from dlp.signatures.pack import Pack

Switch = Callable[[Loaded], Awaitable[None]]


class Work(Protocol):
    """The compilation of one set, as compiling.Compiling."""

    async def subjects(self) -> tuple[Subject, ...]: ...

    async def image(self, held: Collection[str]) -> KernelImage: ...


class Compile(Protocol):
    """As compiling.compiling."""

    def __call__(
        self, packs: Sequence[Pack], *, cache: Path | None
    ) -> AbstractAsyncContextManager[Work]: ...


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
    def loaded(self) -> Loaded:
        """What runs."""
        return self._loaded()

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._loaded().config

    @property
    def sets(self) -> Sets:
        """The sets that run."""
        return self._loaded().sets

    async def make(self, config: Config, sets: Sets) -> Loaded:
        """Compile sets; nothing runs otherwise yet. Raises ConfigError, PackError."""
        parts = await asyncio.to_thread(parts_of, sets)
        async with self._compile(parts.packs, cache=self._cache) as work:
            planned = Plan(config, sets, parts, await work.subjects())
            await asyncio.to_thread(planned.check)
            image = await work.image(planned.held)
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
