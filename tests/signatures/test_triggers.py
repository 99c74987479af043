"""Every match of a held signature begins with a trigger, wherever the stream is cut."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlp.errors import PackError
from dlp.model import DecidedBy
from dlp.signatures import image as limits
from dlp.signatures import model, triggers
from dlp.signatures.compiler import compile_packs
from dlp.signatures.finding import finds
from dlp.signatures.gramtable import GramTable
from dlp.signatures.image import KernelImage
from tests.signatures.making import begun, pack, regex_pack, signature

# What begins as ordinary words do, or as many others, has no front of its own.
UNTRIGGERED = {
    "secrets.arcgis.api-key",
    "secrets.clickhouse.secret",
    "secrets.digitalocean.spaces-id",
    "secrets.figma.access-token",
    "secrets.generic.password-assignment",
    "secrets.generic.secret-assignment",
    "secrets.gitlab.registration-token",
    "secrets.instagram.access-token",
    "secrets.linode.access-token",
    "secrets.logzio.token",
    "secrets.notion.legacy-token",
    "secrets.paypal.client-secret",
    "secrets.pinterest.access-token",
    "secrets.reddit.client-secret",
    "secrets.saml.assertion",
    "secrets.slack.legacy-token",
    "secrets.sonarqube.legacy-token",
    "secrets.stripe.test-key",
    "secrets.twilio.auth-token",
    "secrets.virustotal.api-key",
    "secrets.zoho.oauth-token",
}


def every(packs):
    return [one for each in packs for one in each.signatures]


@pytest.fixture(scope="module")
def held(packs):
    """The built-in packs, all of them held."""
    return compile_packs(packs, held=[one.id for one in every(packs)])


def bounded(held):
    """Ids of the signatures whose every match begins with a trigger, and how long that is."""
    return {
        one.id: one.leaves + 1
        for one in held.signatures
        if one.leaves is not None
        and (
            one.decided is DecidedBy.INSPECTOR
            or one.leaves + 1
            < max(held.shapes[index].span for index in one.shapes if not held.shapes[index].trigger)
        )
    }


def test_without_held_nothing_changes(packs, held):
    """Triggers stand behind all shapes, which stay as they are; unheld sets have none."""
    image = compile_packs(packs, stride=held.stride)

    assert image == compile_packs(packs, stride=held.stride, held=["made.of.nothing"])
    assert not any(shape.trigger for shape in image.shapes)
    assert held.shapes[: len(image.shapes)] == image.shapes
    assert all(shape.trigger for shape in held.shapes[len(image.shapes) :])
    assert held.stride == image.stride
    for gram, entries in image.anchors.items():
        assert entries == held.anchors[gram][: len(entries)]


def test_what_has_a_trigger(held):
    """Nearly all tokens and keys do, numbers do not: their first digits tell nothing."""
    known = bounded(held)

    bare = {"pci.card.visa", "pii.us.ssn", "pii.iban.mixed", "pii.br.cpf", "phi.us.npi"}
    assert bare.isdisjoint(known)
    secrets = {one.id for one in held.signatures if one.id.startswith("secrets.")}
    assert UNTRIGGERED == secrets - known.keys()


def test_triggers_are_short(held):
    """Little of a token has left: no more than its prefix and a few bytes where it is short."""
    known = bounded(held)

    assert 4 == known["secrets.aws.access-key-id"]
    assert 4 == known["secrets.github.personal-token"]
    assert 4 == known["secrets.jwt.token"]
    assert 6 == known["secrets.gitlab.personal-token"]
    # Certificates begin as private keys do up to here.
    assert len("-----BEGIN R") == known["secrets.private-key.rsa"]


def test_limits(held):
    """Triggers keep within the kernel's tables, bound nothing behind them, take no lane."""
    for shape in held.shapes:
        if shape.trigger:
            assert 0 == shape.right
            assert not shape.lane
            assert all(step.min == step.max for step in shape.steps)
            assert len(shape.steps) <= limits.STEPS
            assert all(offset + 4 <= shape.span for _, offset in shape.grams)
            assert set(range(held.stride)) == {offset % held.stride for _, offset in shape.grams}
    assert max(map(len, held.anchors.values())) <= limits.ANCHORS_PER_GRAM


def test_every_sample_cut_anywhere(packs, held):
    """Once its trigger's bytes are there a hold begins at the match's start, at each phase."""
    known = bounded(held)
    numbers = {one.id: number for number, one in enumerate(held.signatures)}
    seen = set()
    for source in every(packs):
        if source.id not in known:
            continue
        runner = model.Model(held, only=[numbers[source.id]])
        for sample in source.must_match:
            for start, end in finds(source.regex, source.validator, sample):
                least = start + known[source.id]
                if least > end:
                    seen.add(source.id)  # shorter than another alternative's trigger
                for phase in range(6):
                    for cut in range(least, end + 1):
                        begun = runner.triggered(sample[:cut], phase).get(source.id, {})
                        assert begun.get(start, 1 << 20) <= least
                        seen.add(source.id)
    assert known.keys() == seen


@pytest.mark.parametrize(("stride", "front"), [(2, "qzxv"), (3, "qzxvk"), (6, "qzxvkjwq")])
def test_strides(stride, front):
    """A trigger is as long as the stride needs: a window of stride + 3 bytes, boundary included."""
    one = signature(rf"\b{front}[0-9a-f]{{30}}\b")

    image = compile_packs([pack(one)], stride=stride, held=[one.id])

    assert [stride + 2] == [shape.span for shape in image.shapes if shape.trigger]
    assert stride + 1 == image.signatures[0].leaves


@pytest.mark.parametrize(
    "regex",
    [
        "(?<![0-9])6759[0-9]{8,15}(?![0-9])",  # digits
        r"\bthe the [0-9]{30}\b",  # ordinary text
        r"[a-z]{3,90}-qzxvkjw\b",  # of variable length
    ],
)
def test_no_distinct_front(regex):
    """A front met in ordinary text is no trigger, and the bound is the whole match's."""
    one = signature(regex)

    image = compile_packs([pack(one)], held=[one.id])

    assert not any(shape.trigger for shape in image.shapes)
    expected = compile_packs([pack(one)]).signatures[0].leaves
    assert expected == image.signatures[0].leaves


def test_variable_front_is_written_out():
    """A first run of few lengths takes a trigger for each."""
    one = signature(r"\b[0-9]{8,10}:AAqz[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])")

    image = compile_packs([pack(one)], stride=3, held=[one.id])

    spans = sorted(shape.span for shape in image.shapes if shape.trigger)
    assert [spans[0], spans[0] + 1, spans[0] + 2] == spans
    assert spans[-1] - 1 == image.signatures[0].leaves


def test_every_alternative_counts():
    """One alternative without a front of its own leaves the bound of the whole match."""
    one = signature(r"\b(?:qzxvkjw|the the )[0-9a-f]{30}\b")

    image = compile_packs([pack(one)], held=[one.id])

    assert 1 == sum(shape.trigger for shape in image.shapes)
    assert len("the the ") + 30 - 1 == image.signatures[0].leaves


def test_a_prefilter_begins_a_hold_itself(held):
    """A prefilter that is as short as a trigger would be needs none beside it."""
    (twilio,) = [one for one in held.signatures if one.id == "secrets.twilio.api-key"]

    assert [False] == [held.shapes[index].trigger for index in twilio.shapes]
    assert len("twilio") - 1 == twilio.leaves


def test_no_room():
    """Fronts that crowd a q-gram go on to others; what has none stays as it is, entered nowhere."""
    many = [
        signature(rf"\bqzxvkjw_[0-9a-f]{{30}}{end}", id_=f"made.token.n{end}")
        for end in "ghijklmnop"
    ]

    image = compile_packs([pack(*many)], held=[one.id for one in many])

    entries = {entry for found in image.anchors.values() for entry in found}
    assert {index for index, _ in entries} == set(range(len(image.shapes)))
    for one in image.signatures:
        assert (one.leaves < 20) == any(image.shapes[index].trigger for index in one.shapes)


def test_a_failed_entry_leaves_nothing():
    """A form without room takes none of the table's."""
    table = GramTable(2)
    full, half = (triggers.fronts(text)[0] for text in ("abcde", "bcdef"))
    for number in range(limits.ANCHORS_PER_GRAM):
        table.add(full, number)
    before = table.frozen()

    with pytest.raises(PackError, match="shared by more than"):
        table.add(half, 99)

    assert before == table.frozen()


def test_case_counts():
    """Upper case is rarer than the folded model says, and its change within a word more so."""
    lower, upper, mixed = (
        triggers.holds(triggers.fronts(text)[0]) for text in ("asian", "ASIAN", "asIaN")
    )

    assert mixed < upper < lower


_literal = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", r"\b", "(?<![a-c])", "[ab]{1,2}", "-?", "[0-9]{0,40}", "[0-9]{2,4}"]),
    st.sampled_from(["xyzwvutq", "(?:xyzwvutq|QZXVKJW)", "(?i:xyzwvutq)", "xyz[wx]vutq", "xyz"]),
    st.sampled_from(["", "[0-9]{8}", r"[ab]{1,3}-\b", "(?:1234|abcd)c", "[a-c]{2,}", ".{200}"]),
)
_words = st.lists(
    st.sampled_from(
        [
            *("a", "b", "1", "-", " ", "xyzwvutq", "XYZWVUTQ", "QZXVKJW", "xyzxvutq", "xyz"),
            *("12345678", "ab-", "1234c", "abcdc", "z" * 200),
        ]
    ),
    max_size=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(regex=_literal, texts=st.lists(_words, min_size=6, max_size=6), phase=st.integers(0, 11))
def test_random_expressions(regex, texts, phase):
    """Where a bound is told, every match that `re` finds is found or begins a hold within it."""
    source = regex_pack(regex)
    (one,) = source.signatures
    try:
        image = compile_packs([source], held=[one.id])
    except PackError:
        return
    compiled = image.signatures[0]
    if compiled.leaves is None:
        return
    for words in texts:
        data = "".join(words).encode()
        for start, end in finds(begun(one.regex), "", data):
            seen = data[: min(end, start + compiled.leaves + 1)]
            held = model.triggered(image, seen, phase).get(one.id, {}).keys()
            assert start in held | model.found(image, seen, phase).get(one.id, set())


def test_the_model_sees_a_lost_trigger(held):
    """Without triggers an image begins no hold at a token's front: the model does look there."""
    shapes = tuple(replace(shape, trigger=False) for shape in held.shapes)
    broken = replace(held, shapes=shapes)
    front = b"x ghp_A"

    assert {2} == model.triggered(held, front)["secrets.github.personal-token"].keys()
    assert "secrets.github.personal-token" not in model.triggered(broken, front)
    assert isinstance(broken, KernelImage)
