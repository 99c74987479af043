"""Checksums that are data: the kernel computes what dlp.signatures.weighted says."""

import dataclasses
import random
import string
from ctypes import c_uint32
from pathlib import Path

import pytest

from dlp.datapath import abi
from dlp.datapath.abi import EventKind, Reason
from dlp.errors import Place
from dlp.model import Action, DecidedBy
from dlp.signatures.compiler import compile_packs
from dlp.signatures.image import Check, KernelImage
from dlp.signatures.pack import Pack
from dlp.signatures.validators import SUMS, VALIDATORS
from dlp.signatures.weighted import ANY, NEVER, Weighted, numbers
from tests import packets as pk
from tests.kernelpath import policy
from tests.netlab import GUEST
from tests.signatures.making import signature

pytest_plugins = ["tests.kernelpath_fixture"]
pytestmark = pytest.mark.kernel

ALPHANUMERIC = string.ascii_letters + string.digits
SPECS = 40
VALUES = 12 if GUEST else 24  # of each
NUMBERS = 300  # of each validator
ENOUGH = 30 if GUEST else NUMBERS  # once both kinds came
PREFIX = "VALUE{}{}-"


def prefix(number: int) -> str:
    """Seven letters, which count, and a separator, which does not."""
    return PREFIX.format(*(string.ascii_uppercase[n] for n in divmod(number, 26)))


def random_spec(rng: random.Random, length: int) -> Weighted:
    digits = rng.random() < 0.3
    modulus = rng.randint(2, rng.choice((11, 127)))
    return Weighted(
        weights=tuple(rng.randint(0, 2 if digits else 127) for _ in range(length)),
        modulus=modulus,
        check=rng.randrange(length),
        expected=tuple(rng.choice((rng.randrange(36), ANY, NEVER)) for _ in range(modulus)),
        digits=digits,
    )


def made(sums: list[tuple[Weighted, ...]]) -> KernelImage:
    """A signature for each entry: its prefix, then as many letters and digits as are left."""
    signatures = tuple(
        signature(
            f"{prefix(n)}[0-9A-Za-z]{{{sums[n][0].length - 7}}}(?![0-9A-Za-z])",
            id_=f"made.sum.n{n}",
            validator="pl_pesel",
        )
        for n in range(len(sums))
    )
    pack = Pack(name="made", version=1, description="", signatures=signatures, file=Path("made"))
    image = compile_packs([pack])
    return dataclasses.replace(
        image,
        signatures=tuple(
            dataclasses.replace(each, sums=own)
            for each, own in zip(image.signatures, sums, strict=True)
        ),
    )


def random_value(rng: random.Random, number: int, own: tuple[Weighted, ...], wanted: bool) -> bytes:
    """A value of that signature; where one can be found, one that holds or does not as wanted."""
    for _ in range(300):
        letters = "0123456789" if rng.random() < 0.5 else ALPHANUMERIC
        value = (prefix(number) + "".join(rng.choices(letters, k=own[0].length - 7))).encode()
        if all(each.holds(numbers(value)) for each in own) is wanted:
            break
    return value


def test_random_sums(bench):
    """Weights, moduli, letters, doubled digits, two sums at once: kernel and Python agree."""
    rng = random.Random(20)
    sums = []
    for _ in range(SPECS):
        length = rng.randint(8, 32)
        sums.append(tuple(random_spec(rng, length) for _ in range(rng.choice((1, 1, 2)))))
    image = made(sums)
    assert {Check.WEIGHTED} == {each.check for each in image.signatures}
    assert {DecidedBy.KERNEL} == {each.decided for each in image.signatures}
    bench.load(image, policy(image, Action.ALERT))
    held = failed = 0

    for number, own in enumerate(sums):
        for turn in range(VALUES):
            value = random_value(rng, number, own, wanted=bool(turn % 2))
            holds = all(each.holds(numbers(value)) for each in own)
            fate = bench.send(pk.datagram(b"= " + value, port=bench.port()))

            found = [e.signature for e in fate.events if e.kind is EventKind.MATCH]
            assert found == ([number] if holds else []), (number, turn)
            assert fate.rises[Reason.CHECK_FAILED] == (not holds)
            held += holds
            failed += not holds
    assert held > SPECS * 4
    assert failed > SPECS * 4


def test_one_row_for_equal_sums(bench):
    """Signatures that name the same sum share its row."""
    spec = SUMS["pl_pesel"][0]
    long = dataclasses.replace(spec, weights=(*spec.weights, 0, 0, 0))
    image = made([(long,), (long,)])

    bench.load(image, policy(image))

    generation = bench.datapath.settings.generation
    rows = [
        list(bench.datapath.tables["signatures"].lookup(key).sum)
        for key in (c_uint32(generation * abi.SIGNATURES + n) for n in range(2))
    ]
    assert [[0, 0], [0, 0]] == rows


@pytest.mark.parametrize("name", ["verhoeff", *sorted(SUMS)])
def test_named(bench, name: str):
    """A validator's numbers, right, with a digit changed and with separators, as Python says."""
    sums = SUMS.get(name, ())
    length = sums[0].length if sums else 12
    # What the sum tells stands at its check's place, and is a letter in some.
    told = [number for each in sums for number in each.expected if number not in (ANY, NEVER)]
    at = sums[-1].check if told else length - 1
    alphabet = string.digits + string.ascii_uppercase * (max(told, default=0) > 9)
    pattern = f"[0-9]{{{at}}}[{alphabet}][0-9]{{{length - 1 - at}}}"
    pack = Pack(
        name="made",
        version=1,
        description="",
        signatures=(
            dataclasses.replace(
                signature(rf"(?<![0-9-]){pattern}(?![0-9A-Z-])", validator=name),
                place=Place(Path("made"), 1, ""),
            ),
        ),
        file=Path("made"),
    )
    image = compile_packs([pack])
    assert DecidedBy.KERNEL is image.signatures[0].decided
    bench.load(image, policy(image, Action.ALERT))
    rng = random.Random(name)
    results = set()
    for turn in range(NUMBERS):
        if turn >= ENOUGH and len(results) == 2:
            break
        value = "".join(rng.choices("0123456789", k=length)).encode()
        if rng.random() < 0.5:
            fixed = [value[:at] + one.encode() + value[at + 1 :] for one in alphabet]
            value = next((each for each in fixed if VALIDATORS[name](each)), value)
        fate = bench.send(pk.datagram(b"n=" + value + b" ", port=bench.port()))

        assert VALIDATORS[name](value) == any(e.kind is EventKind.MATCH for e in fate.events)
        results.add(VALIDATORS[name](value))
    assert {True, False} == results
