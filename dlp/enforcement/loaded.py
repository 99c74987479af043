"""A configuration with all that is made of it, before anything outside this process changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from dlp.config import Config, load, with_netns
from dlp.inspector.messages import Rule
from dlp.model import DecidedBy, Subject
from dlp.policy import PolicySet, held_signatures
from dlp.releases.canary import Canary
from dlp.releases.doubled import DoubledPolicies
from dlp.releases.union import Union, unite
from dlp.signatures.cache import Cache
from dlp.signatures.image import KernelImage
from dlp.signatures.pack import Pack, load_packs


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """A candidate beside the live set: only counted, or acting for some workloads."""

    version: int
    packs: tuple[Pack, ...]
    canary: Canary | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sets:
    """What is to run.

    Attributes:
        packs: of the live set.
        release: version of the live release; 0 where they are the policy file's packs.
        overrides: what development mode put in, by name.
    """

    packs: tuple[Pack, ...]
    release: int = 0
    beside: Beside | None = None
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parts:
    """The packs that one image is made of; `union` of live set and candidate, where one is."""

    packs: tuple[Pack, ...]
    union: Union | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be compiled, what policies know of it, and which signatures they hold."""

    config: Config
    sets: Sets
    parts: Parts
    subjects: tuple[Subject, ...]

    @property
    def held(self) -> frozenset[str]:
        """Ids that some policy holds."""
        return held_signatures(self.config, self.subjects)

    def loaded(self, image: KernelImage) -> Loaded:
        """With its image. Raises ConfigError where the policies do not fit the signatures."""
        if self.parts.union is None:
            return Loaded(self.config, image, PolicySet(self.config, self.subjects), self.sets)
        return Loaded(
            self.config, image, self._doubled(self.parts.union), self.sets, self.parts.union
        )

    def check(self) -> None:
        """Raise ConfigError as `loaded` would: before compiling, not after."""
        if self.parts.union is None:
            PolicySet(self.config, self.subjects)
        else:
            self._doubled(self.parts.union)

    def _doubled(self, union: Union) -> DoubledPolicies:
        canary = self.sets.beside.canary if self.sets.beside else None
        return DoubledPolicies(self.config, union, self.subjects, canary)


@dataclass(frozen=True, slots=True)
class Loaded:
    """One configuration with all that was made of it.

    `union`: of live set and candidate where one runs beside; its order is the image's.
    """

    config: Config
    image: KernelImage
    policies: PolicySet
    sets: Sets = Sets(packs=())
    union: Union | None = None

    @property
    def live(self) -> Sequence[int]:
        """Indices of the live set's signatures in the image."""
        return self.union.live if self.union else range(len(self.image.signatures))


def parts_of(sets: Sets) -> Parts:
    """What is to be compiled for these sets. Raises PackError."""
    union = unite(sets.packs, sets.beside.packs) if sets.beside else None
    return Parts(union.packs if union else sets.packs, union)


def configured(path: Path, netns: Iterable[str] = ()) -> Config:
    """Read a policy file, with further namespaces. Raises ConfigError."""
    return with_netns(load(path), netns)


def file_sets(config: Config) -> Sets:
    """The packs that a policy file names. Raises PackError."""
    return Sets(packs=load_packs(config.signatures, config.base))


def prepare(path: Path, netns: Iterable[str] = (), *, cache: Path | None = None) -> Loaded:
    """Read, compile and check a configuration with its own packs.

    `cache`: directory in which compiled sets are kept, so that they need not be made again.

    Raises:
        ConfigError, PackError: with file, line and key; nothing outside this process changed.
    """
    config = configured(path, netns)
    return make(config, file_sets(config), cache=cache)


def make(config: Config, sets: Sets, *, cache: Path | None = None) -> Loaded:
    """Compile in this process. Raises as `prepare`."""
    parts = parts_of(sets)
    planned = Plan(config, sets, parts, Cache(cache).subjects(parts.packs))
    return planned.loaded(Cache(cache).image(parts.packs, held=planned.held))


def matcher_rules(loaded: Loaded) -> list[Rule]:
    """What the matcher process looks for: the signatures that the kernel cannot decide.

    Without those of a candidate that acts nowhere: they cost the live set no time.
    """
    beside = loaded.sets.beside
    idle = loaded.union.own if loaded.union and beside and beside.canary is None else frozenset()
    return [rule for rule in _inspected(loaded.image) if rule.index not in idle]


def shadow_rules(loaded: Loaded) -> list[Rule]:
    """The same of the candidate's own: what its inspector looks for where they only count."""
    own = loaded.union.own if loaded.union else frozenset()
    return [rule for rule in _inspected(loaded.image) if rule.index in own]


def _inspected(image: KernelImage) -> Iterable[Rule]:
    return (
        Rule.of(index, one)
        for index, one in enumerate(image.signatures)
        if one.decided is DecidedBy.INSPECTOR
    )


def warn_of_late_keys(old: Config, new: Config) -> None:
    """Some keys are read once, at the start."""
    for key in ("state_dir", "api"):
        if getattr(old, key) != getattr(new, key):
            structlog.get_logger().warning(
                "this key is read at the start only", key=key, remedy="restart the gateway"
            )
