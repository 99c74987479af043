import pytest
from payload import TemplateError, cut_offsets, render

SECRETS = {"card": b"4111111111111111"}


def test_secret_and_offset():
    """A template yields its bytes and where each secret begins in them."""

    made = render("order 17, card ${card}.", SECRETS)

    assert b"order 17, card 4111111111111111." == made.data
    assert {"card": 15} == made.at


@pytest.mark.parametrize(
    ("template", "size"),
    [
        ("${text 2k}", 2048),
        ("${random 1M}", 1_000_000),
        ("head ${json to 100}", 100),
        ("${hex 160301}", 3),
        ("a${shift}b", 7),
    ],
)
def test_fillers_have_the_size_asked_for(template, size):
    """Fillers are as long as the template says, `to` counts from the payload's start."""

    assert size == len(render(template, {}, shift=5).data)


@pytest.mark.parametrize("template", ["${cart}", "${text}", "${hex 1}", "${text to 1}${text to 0}"])
def test_wrong_templates_are_refused(template):
    """An unknown name, a filler without a size and an offset already passed are errors."""

    with pytest.raises((TemplateError, ValueError)):
        render(template, SECRETS)


@pytest.mark.parametrize(
    ("cut", "expected"),
    [([], []), (["card+8"], [23]), ([5, "card+1"], [5, 16]), ("every 10", [10, 20, 30])],
)
def test_cuts(cut, expected):
    """Cuts are offsets in the payload, in a secret, or at regular distances."""

    assert expected == cut_offsets(cut, render("order 17, card ${card}.", SECRETS))


@pytest.mark.parametrize("cut", [["card"], ["none+1"], [0], [99], [9, 5], "each 3"])
def test_wrong_cuts_are_refused(cut):
    """Cuts outside of the payload, out of order or of unknown secrets are errors."""

    with pytest.raises(TemplateError):
        cut_offsets(cut, render("order 17, card ${card}.", SECRETS))


def test_same_seed_same_bytes():
    """What a scenario sends is the same in each run."""

    assert render("${random 4k}", {}, seed="a") == render("${random 4k}", {}, seed="a")
    assert render("${random 4k}", {}, seed="a") != render("${random 4k}", {}, seed="b")


def test_part_of_a_secret():
    """A secret can be sent in parts, with something else done in between."""

    first, rest = render("${card :7}", SECRETS), render("${card 7:}.", SECRETS)

    assert b"4111111111111111." == first.data + rest.data
