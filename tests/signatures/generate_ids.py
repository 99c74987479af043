"""Samples of identifiers, made with a fixed seed: run to print them for a pack's author.

    python -m tests.signatures.generate_ids pii.pl.pesel 'PESEL: ###########'

In a template `#` is a digit, `@` a letter and `*` either; the rest stands for itself. Numbers
are drawn until the signature's expression and validator take them, so checksums are right;
near misses are drawn until they refuse them. None of them was given to a person on purpose.
"""

from __future__ import annotations

import random
import string
import sys
from collections.abc import Callable, Iterator

from dlp.signatures.pack import builtin_names, load_packs
from dlp.signatures.samples import finds

KINDS = {
    "#": string.digits,
    "@": string.ascii_uppercase,
    "*": string.digits + string.ascii_uppercase,
}
TRIES = 200_000
STRANGERS = (
    "550e8400-e29b-41d4-a716-446655440000",
    "2024-05-17T12:00:00.123Z",
    "v3.14.15",
    "192.168.0.1",
)


def finder(regex: str, validator: str) -> Callable[[str], bool]:
    """Whether a text holds a match of the expression that the validator takes."""
    return lambda text: any(finds(regex, validator, text.encode()))


def matching(template: str, found: Callable[[str], bool], seed: object) -> str:
    """A text of the template's form in which there is a match. Raises LookupError."""
    rng = random.Random(f"{template} {seed}")
    for _ in range(TRIES):
        text = "".join(rng.choice(KINDS[one]) if one in KINDS else one for one in template)
        if found(text):
            return text
    raise LookupError(f"no match of the form {template}")


def near_misses(template: str, text: str, found: Callable[[str], bool]) -> Iterator[str]:
    """Texts like `text` without a match: a digit changed, a longer run, a stranger in its place."""
    rng = random.Random(text)
    made = [place for place, one in enumerate(template) if one in KINDS]
    digits = [place for place in made if text[place].isdigit()]
    for _ in range(64 if digits else 0):
        place = rng.choice(digits)
        changed = f"{text[:place]}{(int(text[place]) + rng.randint(1, 9)) % 10}{text[place + 1 :]}"
        if not found(changed):
            yield changed
            break
    last = digits[-1] + 1 if digits else len(text)
    longer = [f"{text[:last]}{one}{text[last:]}" for one in ("0", "00", "000", "000000000000")]
    longer.append(f"{text[: last - 1]}{text[last:]}")
    yield from [one for one in longer if not found(one)][:1]
    word = text[: made[0] if made else 0].rstrip(string.ascii_uppercase)
    yield from [one for other in STRANGERS if not found(one := f"{word or 'id '}{other}")][:2]


def main() -> None:
    """Print three matches and their near misses."""
    id_, template = sys.argv[1:3]
    packs = load_packs(builtin_names(), None)  # type: ignore[arg-type]
    signature = next(one for pack in packs for one in pack.signatures if one.id == id_)
    found = finder(signature.regex, signature.validator)
    for number in range(3):
        text = matching(template, found, number)
        sys.stdout.write(f"+ {text}\n")
        sys.stdout.writelines(f"- {one}\n" for one in near_misses(template, text, found))


if __name__ == "__main__":
    main()
