"""Faults put into the kernel's source on purpose: the oracle must see each of them.

A fault is a piece of text and what stands there instead. The text must be in the source exactly
once, however its lines are broken, so that a fault which no longer applies is an error and not a
silent pass.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mutant:
    """`kinds`: the cases that can show it; empty for all."""

    name: str
    file: str
    old: str
    new: str
    kinds: tuple[str, ...] = ()


MUTANTS = (
    Mutant(
        "tail: nothing of the stream is kept for the next segment",
        "flow.h",
        "__builtin_memcpy(flow->tail, buf->b + tail, DLP_TAIL);",
        "__builtin_memset(flow->tail, 0, DLP_TAIL);",
    ),
    Mutant(
        "tail: one byte short",
        "flow.h",
        "index_of(s->end - DLP_TAIL)",
        "index_of(s->end - DLP_TAIL - 1)",
    ),
    Mutant(
        "tail: passed over although it was flagged",
        "flow.h",
        "if (s->flagged && tail_flagged(s))",
        "if (0 && tail_flagged(s))",
    ),
    Mutant(
        "boundary: the byte behind a match is not looked at",
        "shape.h",
        "if (!in_class(class_table, buf->b[pos], s->shape.right))",
        "if (0 && !in_class(class_table, buf->b[pos], s->shape.right))",
    ),
    Mutant(
        "boundary: the byte before a match is not looked at",
        "shape.h",
        "if (!in_class(classes, buf->b[before], shape->left))",
        "if (0 && !in_class(classes, buf->b[before], shape->left))",
    ),
    Mutant(
        "literal: not looked at",
        "shape.h",
        "|| literal_differs(shape, buf->b + literal)",
        "|| (0 && literal_differs(shape, buf->b + literal))",
    ),
    Mutant(
        "first seen: a match that goes on is reported again",
        "shape.h",
        "cut = s->cut &&",
        "cut = 0 &&",
    ),
    Mutant(
        "Luhn: doubled digits are summed wrongly",
        "check.h",
        "twice = v * 2;",
        "twice = v * 2 + 1;",
    ),
    Mutant(
        "mod 97: another remainder",
        "check.h",
        "return s->sum == 1;",
        "return s->sum == 2;",
    ),
    Mutant(
        "resume: matches past a program's share are forgotten",
        "judge.h",
        "if (s->judge < s->found) {",
        "if (0) {",
        ("dense", "mixed"),
    ),
    Mutant(
        "resume: candidates left when the shape machine stops are forgotten",
        "flow.h",
        "else if (s->match < s->matches || s->busy)",
        "else if (0)",
        ("dense", "long"),
    ),
    Mutant(
        "chunk: the bytes before it are not loaded again",
        "scan.h",
        "if (bpf_skb_load_bytes(skb, s->cursor - DLP_TAIL, buf->b + ORIGIN, size + DLP_TAIL))",
        "if (bpf_skb_load_bytes(skb, s->cursor, buf->b + PAYLOAD, size))",
        ("long",),
    ),
    Mutant(
        "chunk: its end counts as the end of the packet",
        "scan.h",
        "s->final = rest <= CHUNK;",
        "s->final = 1;",
        ("long",),
    ),
    Mutant(
        "stride: one sample of a block is left out",
        "scan.h",
        "for (u32 at = 0; at < BLOCK; at += stride)",
        "for (u32 at = stride; at < BLOCK; at += stride)",
    ),
    Mutant(
        "Bloom filter: the second bit is looked for elsewhere",
        "scan.h",
        "shift_right(word, product >> 42)",
        "shift_right(word, product >> 43)",
    ),
    Mutant(
        "digit lane: one pair of a word is not looked at",
        "scan.h",
        "return t & t >> 16 & 0x0000800080008000ULL;",
        "return t & t >> 16 & 0x0000000080008000ULL;",
    ),
    Mutant(
        "stream: sequence numbers do not wrap",
        "classify.h",
        "s32 ahead;",
        "s64 ahead;",
    ),
    Mutant(
        "stream: data in a SYN is placed one byte off",
        "classify.h",
        "s->sequence = tcp.sequence + ((tcp.flags & TCP_SYN) ? 1 : 0);",
        "s->sequence = tcp.sequence;",
    ),
    Mutant(
        "stream: a segment that begins in what was sent loses its context",
        "classify.h",
        "__builtin_memcpy(buf->b + ORIGIN + back, flow->tail, DLP_TAIL);",
        ";",
        ("again",),
    ),
    Mutant(
        "case: letters are not folded for the filter",
        "scan.h",
        "#define FOLD 0x20202020U",
        "#define FOLD 0x00202020U",
    ),
)


class StaleMutantError(Exception):
    """The text that a fault replaces is not in the source, or there more than once."""


def apply(mutant: Mutant, source: Path, target: Path) -> None:
    """Write the sources in `source` to the directory `target`, with the fault in them."""
    target.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if file.suffix in {".c", ".h"}:
            text = file.read_text()
            (target / file.name).write_text(
                broken(mutant, text) if file.name == mutant.file else text
            )


def broken(mutant: Mutant, text: str) -> str:
    pattern = re.compile(r"\s+".join(map(re.escape, mutant.old.split())))
    count = len(pattern.findall(text))
    if count != 1:
        raise StaleMutantError(
            f"{mutant.name!r}: its text is {count} times in bpf/{mutant.file}; "
            "write the fault anew for the source as it is"
        )
    return pattern.sub(lambda _: mutant.new, text)
