"""The image finds what `re` finds: built-in packs on mutated samples, random expressions."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlp.errors import PackError
from dlp.model import DecidedBy
from dlp.signatures import model, regex
from dlp.signatures.compiler import compile_packs
from dlp.signatures.finding import finds
from dlp.signatures.image import ImageSignature, KernelImage
from dlp.signatures.pack import Pack, Signature
from dlp.signatures.proximity import Proximity
from tests.oracle.sieve import Sieve
from tests.signatures import making
from tests.signatures.making import begun, regex_pack

_BYTES = [bytes([byte]) for byte in b' -07A a_.="/19\0\xff']
_SLOW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def disagreements(
    image: KernelImage, signatures: list[Signature], data: bytes, phase: int
) -> list[str]:
    """Ids for which image and `re` differ; a prefilter may find more, and starts inside."""
    found = model.found(image, data, phase)
    return [
        source.id
        for source, compiled in zip(signatures, image.signatures, strict=True)
        if not agrees(source, compiled, data, found.get(source.id, set()))
    ]


def agrees(source: Signature, compiled: ImageSignature, data: bytes, hits: set[int]) -> bool:
    """Whether the hits of one signature are what `re` finds."""
    return agree(compiled, matches(source, compiled, data), hits)


def matches(source: Signature, compiled: ImageSignature, data: bytes) -> list[tuple[int, int]]:
    """Start and end of what `re` finds."""
    return list(finds(_expression(source, compiled), source.validator, data, source.proximity))


def agree(compiled: ImageSignature, matches: list[tuple[int, int]], hits: set[int]) -> bool:
    """Whether hits are these matches; a prefilter's are in each, and may be elsewhere too."""
    if compiled.decided is DecidedBy.KERNEL:
        return hits == {start for start, _ in matches}
    return all(any(start <= hit < end for hit in hits) for start, end in matches)


def _expression(source: Signature, compiled: ImageSignature) -> str:
    return begun(source.regex) if compiled.decided is DecidedBy.KERNEL else source.regex


def every(packs: tuple[Pack, ...]) -> list[Signature]:
    """All signatures of the packs, in order."""
    return [signature for pack in packs for signature in pack.signatures]


@pytest.fixture(scope="module")
def at_stride_2(packs: tuple[Pack, ...]) -> KernelImage:
    """The built-in packs at the smallest stride."""
    return compile_packs(packs, stride=2)


@st.composite
def mutated(draw: st.DrawFn, samples: list[bytes]) -> bytes:
    """A sample with up to two bytes changed, added, doubled or removed, or cut off."""
    data = draw(st.sampled_from(samples))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        data = draw(
            st.sampled_from(
                [
                    data[:at] + draw(st.sampled_from(_BYTES)) + data[at + 1 :],
                    data[:at] + draw(st.sampled_from(_BYTES)) + data[at:],
                    data[:at] + data[at : at + 1] * 2 + data[at + 1 :],
                    data[:at] + data[at + 1 :],
                    data[:at],
                    data.swapcase(),
                ]
            )
        )
    return data


def texts(signatures: list[Signature]) -> st.SearchStrategy[bytes]:
    """One to three mutated samples with a byte or nothing between them."""
    samples = [one for each in signatures for one in (*each.must_match, *each.must_not_match)]
    return st.lists(
        st.one_of(mutated(samples), st.sampled_from(_BYTES), st.binary(max_size=3)), max_size=5
    ).map(b"".join)


def test_samples_at_every_phase(packs, image):
    """Each sample is judged as `re` judges it, wherever it lies against samples and words.

    By every signature: expressions that cannot match in a sample are passed over, as in the
    oracle, and must not be found in it.
    """
    sources = every(packs)
    compiled = dict(zip((source.id for source in sources), image.signatures, strict=True))
    expressions = [regex.compiled(_expression(source, compiled[source.id])) for source in sources]
    sieve = Sieve(enumerate(expressions))
    runner = model.Model(image)
    for own in sources:
        for sample in (*own.must_match, *own.must_not_match):
            possible = [sources[number] for number in sieve.left(sample)]
            expected = {one.id: matches(one, compiled[one.id], sample) for one in possible}
            for phase in (*range(8), 45, 47):
                found = runner.found(sample, phase)
                assert [] == [
                    id_
                    for id_ in {own.id, *expected, *found}
                    if not agree(compiled[id_], expected.get(id_, []), found.get(id_, set()))
                ]


@_SLOW
@given(data=st.data(), phase=st.integers(0, 47))
def test_builtin_packs_on_mutated_samples(packs, image, data, phase):
    """Changed samples of the built-in packs are found exactly where `re` finds them."""
    signatures = every(packs)
    text = data.draw(texts(signatures))

    assert [] == disagreements(image, signatures, text, phase)


@_SLOW
@given(data=st.data(), phase=st.integers(0, 47))
def test_builtin_packs_at_stride_2(packs, at_stride_2, data, phase):
    """A smaller stride finds the same."""
    signatures = every(packs)
    text = data.draw(texts(signatures))

    assert [] == disagreements(at_stride_2, signatures, text, phase)


_CLASSES = ["[ab]", "a", "b", "c", "[a-c]", "[0-9]", "1", "-", "[ab-]", "[^a]", "_"]
_COUNTS = ["", "", "?", "{2}", "{1,3}", "{0,2}", "{2,4}?"]
_ASSERTIONS = [r"\b", r"\B", "(?!a)", "(?<![b-])", "(?=[ab])", "(?<=[^a])", "(?i:a)"]
_ENDS = [
    *("", r"\b", "(?![a-c])", "(?![^a])", "(?=[-a])", "[0-9]{2,}", "[a-c]*-", ".{200}"),
    *("(?:[-_]|$)", r"(?:[ab ]|-[12]|\Z)", "(?:[^a-c]|$)", "$", r"(?:[^a]|\z)", "(?:-|$|[0-9])"),
]
_CHAINS = [
    *("[ab1]{0,4}[b-]{0,2}", "[ab]{1,9}[a-c]?[1-]*_", "[0-9]{0,9}[1-]{0,3}[1_]{0,2}(?:a|b|ab|bb)"),
    *("(?:a|-|1|:{1,3}=|aa|-1)[a1]{0,5}", "[ab]{0,20}[b-]{0,3}(?:-|_|c|_-)[-b]{0,5}[ac]{2}"),
]

_parts = st.recursive(
    st.one_of(
        st.builds(str.__add__, st.sampled_from(_CLASSES), st.sampled_from(_COUNTS)),
        st.sampled_from(_ASSERTIONS),
    ),
    lambda inner: st.builds(
        lambda options, count: f"(?:{'|'.join(options)}){count}",
        st.lists(st.lists(inner, min_size=1, max_size=3).map("".join), min_size=1, max_size=3),
        st.sampled_from(_COUNTS),
    ),
    max_leaves=8,
)
_literal = st.builds(
    "{}xyzwvutq{}{}".format,
    st.sampled_from(["", r"\b", "(?<![a-c])", "[ab]{1,2}", "-?", "[0-9]{0,40}", "^", "(?:^|-)"]),
    st.one_of(st.lists(_parts, max_size=3).map("".join), st.sampled_from(_CHAINS)),
    st.sampled_from(_ENDS),
)
_digits = st.builds(
    "(?<![0-9]){}{}{}[0-9]{{4}}{}{}".format,
    st.sampled_from(["", "a", "[ab]{1,2}"]),
    st.sampled_from(["[0-9]{4}", "1[0-9]{3}", "[0-9]{2,4}"]),
    st.sampled_from(["", "[ -]?", "-"]),
    st.lists(_parts, max_size=2).map("".join),
    st.sampled_from(["(?![0-9])", r"\b", ""]),
)
_words = st.lists(
    st.sampled_from(
        [
            *(
                "a",
                "b",
                "c",
                "1",
                "2",
                "-",
                "_",
                "A",
                " ",
                "\0",
                "11",
                "1234",
                "123-4567",
                "x" * 60,
            ),
            *("xyzwvutq", "xyzwvutqa", "1234-5678", "a12345678"),
        ]
    ),
    max_size=12,
)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    regex=st.one_of(_literal, _digits),
    words=st.lists(_words, min_size=8, max_size=8),
    phase=st.integers(0, 47),
)
def test_random_expressions(regex, words, phase):
    """Whatever is lowered as exact is exact, and a prefilter passes nothing over."""
    pack = regex_pack(regex)
    try:
        image = compile_packs([pack])
    except PackError:
        return
    for parts in words:
        data = "".join(parts).encode()
        assert [] == disagreements(image, list(pack.signatures), data, phase), data


@pytest.mark.parametrize("name", ["first", "second", "before", "after"])
def test_the_model_sees_a_broken_lane(packs, image, name):
    """A lane table with its entries gone loses matches: the model does look there."""
    sample = b"4111 1111 1111 1111"
    table = getattr(image.lane, name)
    broken = replace(image, lane=replace(image.lane, **{name: (0,) * len(table)}))

    assert {0} == model.found(image, sample)["pci.card.visa"]
    assert {} == model.found(broken, sample)


@pytest.mark.parametrize("text", [b"number 4111 1111 1111 1111.", b"4111111111111111"])
def test_stream_at_every_cut(image, text):
    """A card is found in its stream wherever that is cut, down to single bytes."""
    number = next(i for i, one in enumerate(image.signatures) if one.id == "pci.card.visa")
    runner = model.Model(image, only=[number])
    start = text.index(b"4")
    cuts = [[text[:at], text[at:]] for at in range(len(text) + 1)]

    for segments in (*cuts, [text[at : at + 1] for at in range(len(text))]):
        assert start in {hit.start for hit in runner.stream(segments)}, segments


def test_open_end_is_decided_by_the_next_byte(image):
    """A digit behind what looks like a card, in the next segment, says that there is none."""
    runner = model.Model(image)

    assert [] == list(runner.stream([b"no 4111111111111111", b"5"]))
    assert [True] == [hit.open for hit in runner.stream([b"is 4111111111111111", b"."])]


def test_counts(image):
    """What a scan cost is counted by signature: candidates, and what became of them."""
    counts = model.Counts()
    hits = list(model.Model(image, counts=counts).stream([b"a 4111 1111 1111 1111, a 4111 1111 "]))
    visa = image.shapes[hits[0].shape].signature

    assert 1 == counts.confirmed[visa]
    assert counts.candidates[visa] >= 1
    assert counts.groups >= 4
    assert 35 == counts.bytes


def test_keyword_that_the_kernel_asks_for():
    """A value counts where a keyword stands before it, wherever the stream is cut."""
    near = Proximity((b"acme",), 10, "before")
    made = making.pack(replace(making.signature("acmekey[0-9]{8}(?![0-9])"), proximity=near))
    image = compile_packs([made])
    runner = model.Model(image)
    with_word, without = b"the acme: acmekey12345678.", b"the corp: acmekey12345678."

    assert near == image.signatures[0].near
    for place in range(1, len(with_word)):
        assert list(runner.stream([with_word[:place], with_word[place:]])), place
        assert not list(runner.stream([without[:place], without[place:]])), place
