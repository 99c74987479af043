import itertools
import random
import string
import time
from collections import Counter

import pytest

from dlp.errors import PackError
from dlp.model import DecidedBy
from dlp.signatures import compiler, model, samples, validators
from dlp.signatures import image as limits
from dlp.signatures.compiler import compile_packs
from dlp.signatures.image import Check
from dlp.signatures.weighted import Weighted
from tests.signatures.making import pack, regex_pack, signature

# Signatures that the kernel cannot decide, by family; `dlp signatures explain` tells why.
INSPECTED = {
    "crypto": 23,
    "pii": 23,
    "phi": 4,
    "pci": 3,
    "secrets": 3,
    "exfil": 2,
    "source-code": 2,
}


def test_deterministic(packs, image):
    """The same packs give the same image, other packs another version."""
    assert image == compile_packs(packs)
    assert image.version != compile_packs(packs[:1]).version
    assert 64 == len(image.version)


def test_limits(image):
    """The image of the built-in packs keeps within the kernel's tables."""
    assert len(image.classes) <= limits.CLASSES
    assert len(image.lane.shapes) <= limits.LANE_SHAPES
    assert (512, 16) == (len(image.lane.first), len(image.lane.second))
    assert limits.BLOOM_WORDS <= len(image.bloom) <= limits.BLOOM_WORDS_MOST
    assert (256, 256) == (len(image.lane.before), len(image.lane.after))
    assert max(map(len, image.anchors.values())) <= limits.ANCHORS_PER_GRAM
    assert frozenset(range(256)) == image.classes[0]
    for shape in image.shapes:
        assert len(shape.steps) <= limits.STEPS
        assert len(shape.literal) == len(shape.fold) <= limits.LITERAL
        assert sum(step.max for step in shape.steps) == shape.span <= limits.SPAN
        assert shape.lane == (not shape.grams)
        assert all(-1 <= offset <= 120 for _, offset in shape.grams)


def test_every_phase_is_sampled(image):
    """Each shape of the q-gram lane lists a gram for every remainder of the stride."""
    for shape in image.shapes:
        if not shape.lane:
            assert set(range(image.stride)) == {offset % image.stride for _, offset in shape.grams}


def test_decided(image):
    """Most are the kernel's; only what cannot be exact is the inspector's, without a check."""
    inspected = [one for one in image.signatures if one.decided is DecidedBy.INSPECTOR]
    cards = {one.id: one for one in image.signatures if one.id.startswith("pci.card.")}

    assert {"secrets.jwt.token", "pii.eu.vat"} <= {one.id for one in inspected}
    assert INSPECTED == Counter(one.id.split(".")[0] for one in inspected)
    assert all(one.check is Check.NONE and one.why for one in inspected)
    assert all(one.check for one in cards.values() if one not in inspected)
    # Behind their word, of whose letters Luhn in the kernel knows nothing.
    assert {"pci.card.uncategorised"} == set(cards) & {one.id for one in inspected}


def test_stride(packs):
    """The stride is the largest that all signatures allow; a forced one must be possible."""
    assert 6 == compile_packs([regex_pack("BEGIN PRIVATE KEY")]).stride
    assert 2 == compile_packs([regex_pack(r"\bhf_[a-z]{30}")]).stride
    assert 2 == compile_packs(packs, stride=2).stride
    with pytest.raises(PackError, match="stride 5"):
        compile_packs(packs, stride=5)
    with pytest.raises(PackError, match="no anchor"):
        compile_packs(packs, stride=6)


ASSIGNED = (
    r"(?i)[\w.-]{{0,50}}?(?:{})(?:[ \t\w.-]{{0,20}})[\s'\"]{{0,3}}(?:=|>|:{{1,3}}=|\|\||:|=>|\?=|,)"
    r"[\x60'\"\s=]{{0,5}}([a-z0-9]{{{}}})(?:[\x60'\"\s;]|\\[nr]|$)"
)


def test_assignments():
    """Values assigned to a keyword, as secret scanners write them, are the kernel's."""
    image = compile_packs([regex_pack(ASSIGNED.format("keyword", 32))])

    assert DecidedBy.KERNEL is image.signatures[0].decided
    assert 10 == len(image.shapes)
    for text in (b"my_keyword_id = 'V'", b'"keyword":"V"', b"KEYWORD=>V\\n", b"x keyword,V"):
        value = b"0123456789abcdef" * 2
        data = text.replace(b"V", value)
        start = data.lower().index(b"keyword")
        assert {start} == model.found(image, data)["made.one.signature"]
        assert {} == model.found(image, text.replace(b"V", value[:-1]))


def test_crowded_signatures():
    """Where too many begin alike, the later ones become prefilters; none is refused for it."""
    many = [
        signature(ASSIGNED.format("keyword", 20 + n), id_=f"made.keyword.n{n}") for n in range(4)
    ]
    compiled = compile_packs([pack(*many)])
    decided = [one.decided for one in compiled.signatures]

    assert [DecidedBy.KERNEL] == decided[:1]
    assert DecidedBy.INSPECTOR is decided[-1]
    assert "begin as it does" in compiled.signatures[-1].why
    assert {"made.keyword.n3"} <= model.found(compiled, b"keyword = " + b"a" * 23).keys()


def test_a_thousand_signatures():
    """1,000 signatures compile within 5 s of processor time."""
    prefixes = ["".join(each) for each in itertools.product("bcdfghjklm", repeat=3)]
    many = [
        signature(rf"\b{prefix}t_[0-9a-f]{{32}}\b", id_=f"made.token.{prefix}")
        for prefix in prefixes
    ]
    begun = time.process_time()
    compiled = compile_packs([pack(*many)])

    assert time.process_time() - begun < 5
    assert 1000 == len(compiled.signatures)


def test_ten_thousand_literals(monkeypatch):
    """10,000 literals, a thousand a signature, compile within 30 s and all are the kernel's."""
    monkeypatch.setattr(limits, "SHAPES", 1 << 14)
    rng = random.Random(3)
    words = [
        "".join(rng.choices(string.ascii_lowercase, k=rng.randint(9, 16))) for _ in range(10_000)
    ]
    lists = [words[at : at + 1000] for at in range(0, len(words), 1000)]
    many = [
        signature(rf"(?i:{'|'.join(one)})", id_=f"made.list.n{number}")
        for number, one in enumerate(lists)
    ]
    begun = time.process_time()
    compiled = compile_packs([pack(*many)])

    assert time.process_time() - begun < 30
    assert len(set(words)) <= len(compiled.shapes) == sum(len(set(one)) for one in lists)
    assert {DecidedBy.KERNEL} == {one.decided for one in compiled.signatures}


def test_image_is_free_of_samples(image, packs):
    """No sample gets into the image."""
    text = repr(image.signatures)

    for each in packs:
        for one in each.signatures:
            assert all(
                repr(sample)[2:-1] not in text
                for sample in one.must_match
                if len(sample) > 40 and sample.decode() not in one.regex
            )


def test_sums_overflow(monkeypatch):
    """More different weighted sums than the kernel has rows for are refused; equal ones share."""
    sums = {
        f"s{n}": (
            Weighted(
                weights=(1, n // 100, n % 100), modulus=10, check=2, expected=tuple(range(10))
            ),
        )
        for n in range(limits.SUMS + 1)
    }
    monkeypatch.setattr(validators, "SUMS", sums)
    monkeypatch.setattr(compiler, "SUMS", sums)
    monkeypatch.setattr(samples, "VALIDATORS", dict.fromkeys(sums, lambda _: True))
    many = [
        signature(f"NUMBER{n:03}-[A-Z]{{4}}", id_=f"made.sum.n{n}", validator=f"s{n}")
        for n in range(limits.SUMS + 1)
    ]

    assert limits.SUMS == len(compile_packs([pack(*many[:-1])]).signatures)
    with pytest.raises(PackError, match="257 different weighted sums"):
        compile_packs([pack(*many)])


def test_sums_over_letters():
    """A weighted sum may be over letters, where other checks over digits may not."""
    regex = r"\bNUMBER [A-Z][0-9]{4}(?![0-9A-Z])"
    first, second = (
        compile_packs([pack(signature(regex, validator=name))]).signatures[0]
        for name in ("pl_pesel", "verhoeff")
    )

    assert (DecidedBy.KERNEL, Check.WEIGHTED, 1) == (first.decided, first.check, len(first.sums))
    assert DecidedBy.INSPECTOR is second.decided
    assert "letters" in second.why
    assert () == second.sums
