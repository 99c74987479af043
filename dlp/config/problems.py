"""Problems of a policy file: gathered, worded without giving content away, raised together."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

from dlp.errors import ConfigError, Place

_PLAIN_WORD = re.compile(r"[A-Za-z0-9_.*?/<-]{1,40}")
_DIGITS_SHOWN = 4


class PolicyFileError(ConfigError):
    """All that is wrong with one file, in the order of its lines.

    Attributes:
        problems: at least one; each names its place, what was found and what is expected.
    """

    def __init__(self, problems: Iterable[ConfigError]) -> None:
        self.problems = tuple(
            sorted(problems, key=lambda problem: (problem.place and problem.place.line) or 0)
        )
        first = self.problems[0]
        super().__init__(first.message, remedy=first.remedy, place=first.place)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class Problems:
    """The problems of one file while it is being read."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._found: list[ConfigError] = []

    def add(self, line: int | None, key: str, message: str, remedy: str) -> None:
        """Note a problem; reading goes on."""
        place = Place(self.file, line, key)
        self._found.append(ConfigError(message, remedy=remedy, place=place))

    def failure(self, line: int | None, key: str, message: str, remedy: str) -> PolicyFileError:
        """The error to raise for a problem behind which nothing can be read."""
        self.add(line, key, message, remedy)
        return PolicyFileError(self._found)

    def raise_any(self) -> None:
        """Raises PolicyFileError if there is a problem."""
        if self._found:
            raise PolicyFileError(self._found)


def shown(text: str) -> str:
    """`text` in quotes where it is an ordinary word, else a description of it.

    A value in the wrong place may be a secret, a card number or a digest: whatever holds
    more than a few digits, odd characters or mixes digits with letters at length is told by
    its size only.
    """
    digits = sum(character.isdigit() for character in text)
    secretive = digits > _DIGITS_SHOWN or (digits and len(text) > 16)  # noqa: PLR2004
    if _PLAIN_WORD.fullmatch(text) and not secretive:
        return f"'{text}'"
    return f"a text of {len(text)} characters"


def joined(key: str, name: str) -> str:
    """The dotted key of `name` below `key`, without giving away what is no ordinary word."""
    last = name if shown(name) == f"'{name}'" else "?"
    return f"{key}.{last}" if key else last


def did_you_mean(found: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?`, or an empty text where nothing known is near."""
    by_case = {name.lower(): name for name in known}
    near = difflib.get_close_matches(found.lower(), by_case, n=1, cutoff=0.6)
    return f"did you mean '{by_case[near[0]]}'?" if near else ""


def one_of(names: Iterable[str]) -> str:
    """`a, b or c`."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
