r"""Reads regular expressions of Go (RE2), and those of packs, into a tree.

Scoped and mid-expression flags, named groups, POSIX classes, `\Q…\E`, `\z`; and look-arounds,
which RE2 lacks and packs have. Syntax: github.com/google/re2/wiki/Syntax.
"""

from __future__ import annotations

from typing import Final

from dlp.errors import PackError
from dlp.signatures import byteset
from dlp.signatures.importers.tree import (
    Branch,
    Concat,
    Group,
    Look,
    Mark,
    Node,
    Repeat,
    atom,
)

UNBOUNDED: Final = 1 << 20
_SPACE: Final = byteset.SPACE ^ 1 << 0x0B  # RE2's \s has no vertical tab
_CLASSES: Final = {"d": byteset.DIGITS, "w": byteset.WORD, "s": _SPACE}
_ESCAPES: Final = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}
_POSIX: Final = {
    "alnum": ("0-9A-Za-z", byteset.DIGITS | byteset.LETTERS),
    "alpha": ("A-Za-z", byteset.LETTERS),
    "ascii": (r"\x00-\x7f", byteset.span(0, 127)),
    "blank": (r"\t ", byteset.of(b"\t ")),
    "cntrl": (r"\x00-\x1f\x7f", byteset.span(0, 31) | 1 << 127),
    "digit": ("0-9", byteset.DIGITS),
    "graph": ("!-~", byteset.span(33, 126)),
    "lower": ("a-z", byteset.span(97, 122)),
    "print": (" -~", byteset.span(32, 126)),
    "punct": (
        r"!-/:-@\[-`{-~",
        byteset.span(33, 126) & ~(byteset.DIGITS | byteset.LETTERS),
    ),
    "space": (r"\s", byteset.SPACE),
    "upper": ("A-Z", byteset.span(65, 90)),
    "word": (r"\w", byteset.WORD),
    "xdigit": ("0-9A-Fa-f", byteset.of(b"0123456789ABCDEFabcdef")),
}
_FLAGS: Final = frozenset("ims")
_META: Final = frozenset(r"\.+*?()|[]{}^$")


def parse(source: str) -> Node:
    """The tree of an expression. Raises PackError that names what is not understood."""
    reader = _Reader(source)
    node = reader.branch(frozenset())
    if reader.at < len(source):
        raise reader.error("a bracket too many")
    return node


class _Reader:
    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.captures = 0
        self.depth = 0

    def error(self, what: str) -> PackError:
        return PackError(f"regex holds {what} at character {self.at}")

    def peek(self, size: int = 1) -> str:
        return self.source[self.at : self.at + size]

    def take(self, size: int = 1) -> str:
        text = self.peek(size)
        if len(text) < size:
            raise self.error("nothing where something must follow")
        self.at += size
        return text

    def branch(self, flags: frozenset[str]) -> Node:
        """Alternatives up to a bracket; flags set inside hold for the rest of them."""
        self.depth += 1
        if self.depth > 100:  # noqa: PLR2004 - as deep as nobody writes
            raise self.error("groups nested too deeply")
        choices: list[Node] = []
        nodes: list[Node] = []
        while self.at < len(self.source) and self.peek() != ")":
            if self.peek() == "|":
                self.at += 1
                choices.append(_concat(nodes))
                nodes = []
                continue
            node, flags = self.item(flags)
            if node is not None:
                nodes.append(node)
        self.depth -= 1
        choices.append(_concat(nodes))
        return choices[0] if len(choices) == 1 else Branch(tuple(choices))

    def item(self, flags: frozenset[str]) -> tuple[Node | None, frozenset[str]]:
        if self.peek() == "(":
            node, flags = self.group(flags)
        elif self.peek(2) == r"\Q":
            node = self.quoted(flags)
        else:
            node = self.single(flags)
        return (None if node is None else self.repeated(node)), flags

    def group(self, flags: frozenset[str]) -> tuple[Node | None, frozenset[str]]:
        self.take()
        if self.peek() != "?":
            self.captures += 1
            number = self.captures
            return self.closed(Group(self.branch(flags), number)), flags
        self.take()
        for text in ("=", "!", "<=", "<!"):
            if self.peek(len(text)) == text:
                self.take(len(text))
                inner = self.branch(flags)
                return self.closed(Look("<" not in text, "!" in text, inner)), flags
        if self.peek() == "<" or self.peek(2) == "P<":
            end = self.source.find(">", self.at)
            if end < 0:
                raise self.error("a name of a group without an end")
            self.at = end + 1
            self.captures += 1
            number = self.captures
            return self.closed(Group(self.branch(flags), number)), flags
        return self.flagged(flags)

    def flagged(self, flags: frozenset[str]) -> tuple[Node | None, frozenset[str]]:
        """`(?i)` changes what follows, `(?i:…)` what it holds."""
        new, remove = set(flags), False
        while (letter := self.take()) not in ":)":
            if letter == "-":
                remove = True
            elif letter not in _FLAGS:
                raise self.error(f"the flag or construct (?{letter}")
            elif remove:
                new.discard(letter)
            else:
                new.add(letter)
        if letter == ")":
            return None, frozenset(new)
        return self.closed(Group(self.branch(frozenset(new)))), flags

    def closed(self, node: Node) -> Node:
        if self.peek() != ")":
            raise self.error("a group without an end")
        self.take()
        return node

    def repeated(self, node: Node) -> Node:
        while True:
            began = self.at
            bounds = self.bounds()
            if bounds is None:
                return node
            if self.peek() == "?":
                self.take()
            elif self.peek() == "+":
                raise self.error("a possessive repeat")
            node = Repeat(node, self.source[began : self.at], *bounds)

    def bounds(self) -> tuple[int, int] | None:
        simple = {"*": (0, UNBOUNDED), "+": (1, UNBOUNDED), "?": (0, 1)}
        if self.peek() in simple:
            return simple[self.take()]
        if self.peek() != "{":
            return None
        end = self.source.find("}", self.at)
        low, comma, high = self.source[self.at + 1 : end].partition(",")
        if end < 0 or not low.isdecimal() or (high and not high.isdecimal()):
            return None  # a brace like any other byte
        self.at = end + 1
        most = (int(high) if high else UNBOUNDED) if comma else int(low)
        return int(low), min(most, UNBOUNDED)

    def quoted(self, flags: frozenset[str]) -> Node:
        self.take(2)
        end = self.source.find(r"\E", self.at)
        text = self.source[self.at : end if end >= 0 else len(self.source)]
        self.at += len(text) + (2 if end >= 0 else 0)
        return _concat([_character(character, flags) for character in text])

    def single(self, flags: frozenset[str]) -> Node:
        character = self.take()
        if character == ".":
            every = "s" in flags
            text = r"[\x00-\xff]" if every else "."
            return atom(text, byteset.ALL if every else byteset.ALL ^ byteset.NEWLINE)
        if character in "^$":
            ends = ("begin", "line-begin") if character == "^" else ("end", "line-end")
            return Mark(ends["m" in flags])
        if character == "[":
            return self.bracket(flags)
        if character == "\\":
            return self.escape(flags)
        if character in "*+?":
            raise self.error("a repeat of nothing")
        return _character(character, flags)

    def escape(self, flags: frozenset[str]) -> Node:
        marks = {"b": "word", "B": "inner", "A": "begin", "z": "end", "Z": "end"}
        if self.peek() in marks:
            return Mark(marks[self.take()])
        if self.peek() == "C":
            self.take()
            return atom(r"[\x00-\xff]", byteset.ALL)
        text, mask = self.escaped()
        if mask is None:
            return _character(text, flags)
        return atom(text, mask, fold="i" in flags)

    def escaped(self) -> tuple[str, int | None]:
        """Behind a backslash: text and set; no set for a character beyond ASCII."""
        letter = self.take()
        if letter in "dwsDWS":
            mask = _CLASSES[letter.lower()]
            return f"\\{letter}", mask if letter.islower() else byteset.ALL ^ mask
        if letter in _ESCAPES:
            return (f"\\{letter}" if letter not in "av" else f"\\x{_ESCAPES[letter]:02x}"), (
                1 << _ESCAPES[letter]
            )
        if letter == "x":
            digits = self.take()
            if digits == "{":
                end = self.source.find("}", self.at)
                digits = self.take(end - self.at) if end > self.at else ""
                self.at += 1
            else:
                digits += self.take()
            return self.number(digits, 16)
        if letter in "01234567":
            digits = letter
            while len(digits) < 3 and self.peek() and self.peek() in "01234567":  # noqa: PLR2004
                digits += self.take()
            if letter != "0" and len(digits) == 1:
                raise self.error("a back-reference")
            return self.number(digits, 8)
        if letter.isascii() and letter.isalnum():
            raise self.error(f"the escape \\{letter}")
        if not letter.isascii():
            return letter, None
        return f"\\{letter}", 1 << ord(letter)

    def number(self, digits: str, base: int) -> tuple[str, int | None]:
        try:
            value = int(digits, base)
        except ValueError:
            raise self.error("a malformed number of a character") from None
        if value > 0x7F:  # noqa: PLR2004 - ASCII
            if value > 0x10FFFF:  # noqa: PLR2004 - Unicode
                raise self.error("a number beyond any character")
            return chr(value), None
        return f"\\x{value:02x}", 1 << value

    def bracket(self, flags: frozenset[str]) -> Node:
        text, mask = "", 0
        negated = self.peek() == "^"
        if negated:
            self.take()
        first = True
        while first or self.peek() != "]":
            first = False
            if self.peek(2) == "[:":
                part, members = self.posix()
            else:
                part, members = self.ranged()
            text += part
            mask |= members
        self.take()
        written = f"[{'^' if negated else ''}{text}]"
        return atom(written, mask, fold="i" in flags, negated=negated)

    def posix(self) -> tuple[str, int]:
        end = self.source.find(":]", self.at)
        name = self.source[self.at + 2 : end]
        if end < 0 or name.removeprefix("^") not in _POSIX:
            raise self.error("a POSIX class that is not known")
        self.at = end + 2
        if name.startswith("^"):
            raise self.error("a negated POSIX class")
        return _POSIX[name]

    def ranged(self) -> tuple[str, int]:
        low_text, low = self.member()
        if self.peek() != "-" or self.peek(2) in {"-", "-]"} or low.bit_count() != 1:
            return low_text, low
        self.take()
        high_text, high = self.member()
        if high.bit_count() != 1 or high < low:
            raise self.error("a range that is none")
        return f"{low_text}-{high_text}", (high << 1) - low

    def member(self) -> tuple[str, int]:
        character = self.take()
        if character == "\\":
            if self.peek() == "b":
                raise self.error("the escape \\b in a class")
            text, mask = self.escaped()
        else:
            text = f"\\{character}" if character in "[]&|~-" else character
            mask = 1 << ord(character) if character.isascii() else None
        if mask is None:
            raise self.error("a character in a class that is not ASCII")
        return text, mask


def _character(character: str, flags: frozenset[str]) -> Node:
    if not character.isascii():
        raw = character.encode("utf-8", "surrogatepass")
        return _concat([atom(f"\\x{byte:02x}", 1 << byte) for byte in raw])
    text = f"\\{character}" if character in _META else character
    if not character.isprintable():
        text = f"\\x{ord(character):02x}"
    return atom(text, 1 << ord(character), fold="i" in flags)


def _concat(nodes: list[Node]) -> Node:
    return nodes[0] if len(nodes) == 1 else Concat(tuple(nodes))
