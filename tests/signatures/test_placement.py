import pytest

from dlp.errors import PackError
from dlp.signatures.image import Check
from dlp.signatures.placement import judge
from tests.signatures.making import signature


def test_lanes():
    """Digits go to the lane, fixed bytes to the q-grams."""
    digits = judge(signature("(?<![0-9])[0-9]{9}(?![0-9])"), 2)
    fixed = judge(signature(r"\bsecret-[0-9]{9}\b"), 2)

    assert [True] == [one.plan is not None for one in digits.candidates]
    assert [True] == [one.plan is None for one in fixed.candidates]


def test_variable_start():
    """An optional byte before the digits is written out, as the lane needs a fixed offset."""
    found = judge(signature("(?<![0-9A-Z])X-?[0-9]{7}(?![0-9])"), 2)

    assert [1, 2] == sorted(one.plan.offset for one in found.candidates if one.plan)


def test_crowded_alternatives():
    """Alternatives that share all their anchors become a prefilter."""
    found = judge(signature("secretkey(?:" + "|".join(f"{n}x{n}" for n in range(10)) + ")"), 2)

    assert found.why == "" or "share" in found.why
    assert found.candidates


@pytest.mark.parametrize(
    ("regex", "validator", "why"),
    [
        ("(?<![0-9])[0-9]{30}(?![0-9])", "luhn", "more than 24 digits"),
        ("(?<![0-9A-Z])[0-9]{9}[A-Z](?![0-9A-Z])", "luhn", "letters"),
        (r"\bsecret-[0-9]{60}\b", "luhn", "more than 48 bytes"),
    ],
)
def test_checks_the_kernel_cannot_compute(regex, validator, why):
    """A checksum out of the kernel's bounds makes a prefilter without a check."""
    found = judge(signature(regex, validator=validator), 2)

    assert why in found.why
    assert found.check is Check.NONE


def test_no_anchor():
    """What fits no lane is refused with place and what is missing."""
    with pytest.raises(PackError, match="no anchor: needs 2 more fixed bytes") as caught:
        judge(signature("abc"), 2)

    assert str(caught.value.place) == "made.yaml:9: signatures[0].regex"
