r"""Go's expressions, read as what they are: judged by `re` on texts that tell them apart."""

import re

import pytest

from dlp.errors import PackError
from dlp.signatures.importers import notation, syntax


def both(source: str) -> re.Pattern[str]:
    """The expression as Python runs it."""
    return re.compile(notation.render(syntax.parse(source)))


@pytest.mark.parametrize(
    ("source", "matches", "others"),
    [
        ("p8e-(?i)[a-z]{2}", ["p8e-AB", "p8e-ab"], ["P8E-ab"]),
        ("a(?i)b|c", ["aB", "C", "c"], ["AB"]),
        ("(?:a(?i)b)c", ["aBc"], ["aBC"]),
        ("(?i)a(?-i:b)", ["Ab"], ["aB"]),
        ("(?i)a(?-i)b", ["Ab"], ["aB"]),
        ("(?i:a)b", ["Ab", "ab"], ["aB"]),
        ("[[:alnum:]]{2}", ["a1", "Z9"], ["a-"]),
        ("[[:xdigit:]_]{2}", ["f_"], ["g_"]),
        ("[^[:space:]]", ["a"], [" "]),
        ("(?P<name>a)(?<other>b)", ["ab"], ["a"]),
        (r"\Qa.b*\E+", ["a.b*"], ["aXb*"]),
        (r"\x41\x{42}\103", ["ABC"], ["abc"]),
        (r"(?s)a.b", ["a\nb"], ["ab"]),
        (r"a.b", ["axb"], ["a\nb"]),
        (r"(?s:a.)b.", ["a\nbc"], ["a\nb\n"]),
        (r"[\w.-]+", ["a.-"], [","]),
        ("[a[b]", ["[", "b"], ["]"]),
        ("[]a]", ["]", "a"], ["["]),
        ("[^]a]", ["["], ["]", "a"]),
        ("a{2", ["a{2"], ["aa"]),
        ("a{,2}", ["a{,2}"], ["aa"]),
        ("{a}", ["{a}"], ["a"]),
        ("a{2,3}?b", ["aab", "aaab"], ["ab", "aaaab"]),
        (r"\bfoo\B.", ["foox"], ["foo-"]),
        ("[a&&b]", ["&", "a"], ["c"]),
        ("[a-]", ["-", "a"], ["b"]),
        (r"(?<![0-9])a(?=b)b", ["ab"], ["a"]),
        (r"[\t-\r]", ["\n"], ["a"]),
        ("(?i)[^a]", ["b"], ["a", "A"]),
    ],
)
def test_meaning(source, matches, others):
    """It matches what it says, and no more."""
    pattern = both(source)

    assert [] == [text for text in matches if not pattern.fullmatch(text)]
    assert [] == [text for text in others if pattern.fullmatch(text)]


@pytest.mark.parametrize(
    "source",
    [
        "(", ")", "a)", "(a", "[a", "[z-a]", "*a", "a++", r"\1", r"\pL", r"\xzz", "(?P<n", "(?U)a",
        "[[:nope:]]", "[[:^alpha:]]", "a\\", "é[é]", "[é]", "(?P=x)", r"[\b]", r"\x{110000}",
    ],
)  # fmt: skip
def test_refused(source):
    """What is not understood is refused with its place, and never read as something else."""
    with pytest.raises(PackError, match=r"at character \d+"):
        syntax.parse(source)


def test_characters_beyond_ascii():
    """They become their UTF-8 bytes."""
    assert r"\xc3\xa9" == notation.render(syntax.parse("é"))


def test_nested_deeply():
    """Depth is bounded before the interpreter's is."""
    deep = syntax.parse("(?i:" * 98 + "a|b" + ")" * 98)

    assert re.compile(notation.render(deep)).fullmatch("B")
    with pytest.raises(PackError, match="nested too deeply"):
        syntax.parse("(" * 5000)
