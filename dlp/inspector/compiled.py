"""A signature's expression, ready to run on the bytes of a window."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dlp.errors import PackError
from dlp.inspector.anchor import Anchor, Digits, find_anchor, find_digits, leading, span
from dlp.inspector.front import front_pattern
from dlp.inspector.messages import ANY_POLICY, Rule
from dlp.model import DecidedBy
from dlp.signatures import proximity, regex
from dlp.signatures.image import Check, ImageSignature
from dlp.signatures.proximity import Proximity

LEFT = 1  # bytes before a match that its regex may look at

Validator = Callable[[bytes], bool]


class TooLongError(Exception):
    """A search was given up; holds no byte of what was searched."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A rule ready to run.

    Attributes:
        front: what a match may begin with that reaches the end of the bytes; None where the
            rule is not for held flows.
        head: what every match begins with, as far as `front` reaches.
        reach: bytes to go back for a match not decided before; 0: all.
        proximity: keywords one of which must stand near.
    """

    rule: Rule
    pattern: re.Pattern[bytes]
    front: re.Pattern[bytes] | None
    validator: Validator | None
    anchor: Anchor | None
    digits: Digits | None
    head: bytes
    reach: int
    signature: ImageSignature = field(repr=False)
    proximity: Proximity | None = None

    def near(self, data: bytearray, start: int, end: int, *, ends: bool) -> bool | None:
        """Whether a keyword stands near a match; None where bytes to come decide it.

        Args:
            ends: no bytes will come.
        """
        asked = self.proximity
        if asked is None or proximity.is_near(data, start, end, asked, ends=ends):
            return True
        return False if ends or proximity.is_decided(len(data), end, asked) else None

    def search(self, data: bytearray, at: int, until: float = math.inf) -> re.Match[bytes] | None:
        """The first match that starts at `at` or behind.

        Raises TooLongError past `until` (time.process_time), as far as the expression can be
        tried place by place: where it has no bound, text can be made to take a second and more.
        """
        if self.anchor is not None:
            hit = data.find(self.anchor.literal, at)
            if hit < 0:
                return None
            at = max(at, hit - self.anchor.before)
            if self.head and not self.reach:
                return self._try_each(self.pattern, data, at, until)
        elif self.digits is not None:
            return self.digits.search(self.pattern, data, at)
        return self.pattern.search(data, at)

    def begun(self, data: bytearray, at: int, until: float = math.inf) -> int | None:
        """Where, at `at` or behind, a match may have begun that its next bytes decide.

        Raises as `search`.
        """
        if self.front is None:
            return None
        at = max(at, len(data) - self.reach) if self.reach else at
        if self.head:
            hit = self._try_each(self.front, data, at, until)
        else:
            hit = self.front.search(data, at)
        # The first that is found is the longest.
        if hit is None or len(data) - hit.start() < self.rule.front:
            return None
        return hit.start()

    def _try_each(
        self, pattern: re.Pattern[bytes], data: bytearray, at: int, until: float
    ) -> re.Match[bytes] | None:
        """As pattern.search(data, at): a match begins with the head."""
        while (at := data.find(self.head, at)) >= 0:
            if match := pattern.match(data, at):
                return match
            if time.process_time() > until:
                raise TooLongError
            at += 1
        return None

    def blocks(self, policy: int) -> bool:
        """Whether its matches may block a held flow of that policy."""
        if self.front is None:
            return False
        return policy == ANY_POLICY or bool(self.rule.policies >> policy & 1)


def compile_rule(rule: Rule, validator: Validator | None, *, longest: int) -> Compiled:
    """A rule ready to run.

    Args:
        longest: match that is looked back for; the whole window is searched for longer ones.

    Raises PackError that names the signature.
    """
    try:
        pattern = regex.compiled(rule.regex)
        tree = regex.parse(rule.regex)
        front = front_pattern(tree, rule.front) if rule.front else None
    except PackError as error:
        raise PackError(f"{rule.id}: {error.message}", remedy=error.remedy) from error
    near = rule.proximity
    waits = proximity.reach(near) if near is not None and near.side != "before" else 0
    most = span(tree) + waits
    return Compiled(
        rule=rule,
        pattern=pattern,
        front=front,
        validator=validator,
        anchor=find_anchor(tree),
        digits=find_digits(tree),
        head=leading(tree)[: rule.front],
        reach=0 if most >= longest else most + LEFT,
        signature=_as_signature(rule),
        proximity=near,
    )


def _as_signature(rule: Rule) -> ImageSignature:
    """The rule as `masking` reads it: only normalise, mask_head and mask_tail matter there."""
    return ImageSignature(
        id=rule.id,
        severity="",
        decided=DecidedBy.INSPECTOR,
        why="",
        check=Check.NONE,
        normalise=rule.normalise,
        mask_head=rule.mask_head,
        mask_tail=rule.mask_tail,
        regex=rule.regex,
        validator=rule.validator,
        shapes=(),
    )
