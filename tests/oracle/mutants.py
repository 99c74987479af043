"""Faults put into the kernel's source on purpose: the oracle, or a test, must see each of them.

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
    """A fault.

    `kinds`: the cases that can show it; empty for all. `tests`: what shows it instead, tests
    below tests/datapath, for what streams of a test run do not reach.
    """

    name: str
    file: str
    old: str
    new: str
    kinds: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()


MUTANTS = (
    Mutant(
        "anchors: of a bucket only the first is looked at",
        "grams.h",
        "s->candidate += anchor->last;",
        "s->candidate += 1;",
    ),
    Mutant(
        "anchors: another gram of the bucket is passed over with all behind it",
        "grams.h",
        "s->entry = (s->entry + 1) & ((u32)anchor->last - 1);",
        "s->entry = (s->entry + 2) & ((u32)anchor->last - 1);",
    ),
    Mutant(
        "rules: those of the page before",
        "common.h",
        "s->policy << 6 | signature / DLP_RULE_PAGE;",
        "s->policy << 6 | (signature - 1) / DLP_RULE_PAGE;",
    ),
    Mutant(
        "tail: nothing of the stream is kept for the next segment",
        "common.h",
        "__builtin_memcpy(to, buf->b + tail, DLP_TAIL);",
        "__builtin_memset(to, 0, DLP_TAIL);",
    ),
    Mutant(
        "tail: one byte short",
        "common.h",
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
        "if (s->judge < s->found && (!is_settled(s) || s->shadows))",
        "if (0)",
        ("dense", "mixed"),
    ),
    Mutant(
        "resume: candidates left when the shape machine stops are forgotten",
        "finish.h",
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
        "for (u32 at = 0; at < PART; at += stride)",
        "for (u32 at = stride; at < PART; at += stride)",
    ),
    Mutant(
        "Bloom filter: the second bit is looked for elsewhere",
        "scan.h",
        "product >>= 10;",
        "product >>= 11;",
    ),
    Mutant(
        "digit lane: one pair of a word is not looked at",
        "scan.h",
        "#define DIGIT_LANES 0x0000800080008000ULL",
        "#define DIGIT_LANES 0x0000000080008000ULL",
    ),
    Mutant(
        "stream: sequence numbers do not wrap",
        "place.h",
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
        "place.h",
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
    Mutant(
        "guard: lets everything in",
        "guard.h",
        "if (hash && (hash == row->token[0] || hash == row->token[1])) {",
        "if (1) {",
        tests=("test_guard.py::test_qdisc_bypass",),
    ),
    Mutant(
        "guard: a hash of 0 is a token where the workload has none",
        "guard.h",
        "if (hash && (hash == row->token[0] || hash == row->token[1])) {",
        "if (hash == row->token[0] || hash == row->token[1]) {",
        tests=("test_guard.py::test_row_without_tokens",),
    ),
    Mutant(
        "guard: the token stays in the packet",
        "guard.h",
        "bpf_set_hash_invalid(skb);",
        ";",
        tests=("test_guard.py::test_token_is_cleared",),
    ),
    Mutant(
        "guard: is never closed",
        "guard.h",
        "if (row->flags & DLP_G_CLOSED) {",
        "if (0) {",
        tests=("test_guard.py::test_closed", "test_guard.py::test_closed_until_enforced"),
    ),
    Mutant(
        "guard: only the newest token is taken",
        "guard.h",
        "if (hash && (hash == row->token[0] || hash == row->token[1])) {",
        "if (hash && hash == row->token[(row->current + 1) & 1]) {",
        tests=("test_guard.py::test_honest_traffic_comes_in",),
    ),
    Mutant(
        "token: not stamped",
        "token.h",
        "bpf_set_hash(skb, row->token[row->current & 1]);",
        ";",
        tests=("test_guard.py::test_honest_traffic_comes_in",),
    ),
    Mutant(
        "owner: a stream's state is not its socket's",
        "classify.h",
        "s->owned = s->tcp && owner == OWNER_TCP;",
        "s->owned = 0;",
        tests=("test_owned.py::test_nothing_is_forgotten_in_a_flood",),
    ),
    Mutant(
        "owner: any socket is TCP's",
        "owner.h",
        "return sk->type == TYPE_DATAGRAM ? OWNER_DATAGRAM : OWNER_RAW;",
        "return OWNER_TCP;",
        tests=("test_unowned.py::test_raw_tcp_is_unowned",),
    ),
    Mutant(
        "owner: an accepted connection is taken for one that began before",
        "place.h",
        "if (begins == BEGINS_HERE) {",
        "if (0) {",
        tests=("test_owned.py::test_accepted_connections",),
    ),
    Mutant(
        "owner: a forgotten block is not recalled",
        "owner.h",
        "recall_block(s, fresh);",
        ";",
        tests=("test_shares.py::test_block_is_recalled",),
    ),
    Mutant(
        "fragments: their order is not asked for",
        "fragment.h",
        "return misplaced ? DLP_R_FRAGMENT_ORDER : 0;",
        "return 0;",
        tests=("test_fragments.py::test_second_half_first",),
    ),
    Mutant(
        "fragments: nothing of the one before is kept",
        "fragment.h",
        "__builtin_memcpy(buf->b + ORIGIN, known->tail, DLP_TAIL);",
        "__builtin_memset(buf->b + ORIGIN, 0, DLP_TAIL);",
        tests=("test_fragments.py::test_value_across_an_edge",),
    ),
    Mutant(
        "fragments: an id may come again at once",
        "fragment.h",
        "s->now - known->seen_ns < REASSEMBLY_NS;",
        "0;",
        tests=("test_fragments.py::test_same_id_within_the_time",),
    ),
    Mutant(
        "rewritten: what is sent again is not compared",
        "scan.h",
        "if (s->back && refuses_rewritten(skb, s, buf))",
        "if (0 && refuses_rewritten(skb, s, buf))",
        tests=("test_retransmission.py::test_one_other_byte",),
    ),
    Mutant(
        "rewritten: the tail's last byte is not compared",
        "scan.h",
        "for (u64 i = 0; i < DLP_TAIL; i++) {",
        "for (u64 i = 0; i < DLP_TAIL - 1; i++) {",
        tests=("test_retransmission.py::test_one_other_byte",),
    ),
    Mutant(
        "refusal: unowned TCP is not refused",
        "classify.h",
        "if (flags & DLP_P_UNOWNED_DROP && !s->owned)",
        "if (0)",
        tests=("test_refusals.py::test_refused_under_its_flag",),
    ),
    Mutant(
        "refusal: urgent bytes are not refused",
        "classify.h",
        "if (flags & DLP_P_URGENT_DROP && s->tcp_flags & TCP_URG)",
        "if (0)",
        tests=("test_unowned.py::test_urgent_byte",),
    ),
    Mutant(
        "refusal: joins are not refused",
        "classify.h",
        "if (flags & DLP_P_MPTCP_DROP && s->join)",
        "if (0)",
        tests=("test_refusals.py::test_join_wherever_it_stands",),
    ),
    Mutant(
        "refusal: a join is looked for in the first option only",
        "classify.h",
        "at += kind == 1 ? 1 : length;",
        "at += OPTIONS;",
        tests=("test_refusals.py::test_join_wherever_it_stands",),
    ),
    Mutant(
        "refusal: fragments are not refused",
        "classify.h",
        "if (flags & DLP_P_FRAGMENTS_DROP || s->key.protocol == PROTO_TCP)",
        "if (0)",
        tests=("test_refusals.py::test_tcp_segment_in_fragments",),
    ),
    Mutant(
        "refusal: other protocols are not refused",
        "classify.h",
        "if (flags & DLP_P_OTHER_DROP && !is_common(type))",
        "if (0)",
        tests=("test_refusals.py::test_refused_under_its_flag",),
    ),
    Mutant(
        "refusal: a refused segment may be overtaken",
        "classify.h",
        "if (s->tcp) flow->flags |= DLP_F_HOLE; return 1;",
        "return 1;",
        tests=("test_refusals.py::test_a_refused_segment_is_not_overtaken",),
    ),
    Mutant(
        "quarantine: not asked for",
        "classify.h",
        "if (is_quarantined(s)) {",
        "if (0) {",
        tests=("test_refusals.py::test_quarantine_lets_nothing_out",),
    ),
    Mutant(
        "events: a workload may tell of everything",
        "event.h",
        "if (!b || !s->event_burst)",
        "if (1)",
        tests=("test_shares.py::test_burst",),
    ),
    Mutant(
        "near: a keyword may stand a byte too far",
        "near.h",
        "below(start, end + near->distance + 1);",
        "below(start, end + near->distance + 2);",
    ),
    Mutant(
        "near: what stands behind a keyword is not looked at",
        "near.h",
        "if (is_alphanumeric(c, buf->b[end])) return;",
        "",
    ),
    Mutant(
        "near: a keyword may begin within a word",
        "near.h",
        "s->word_bits = letters & begins & ~alphanumeric;",
        "s->word_bits = letters & begins & ~(alphanumeric & 0);",
    ),
    Mutant(
        "near: hits that come out of order take the marks that are there",
        "near.h",
        "if (from < s->marked_from || from > s->marked_to ||",
        "if (from > s->marked_to ||",
        tests=("test_near.py::test_order_of_lanes",),
    ),
    Mutant(
        "near: no keyword is asked for",
        "shape.h",
        "s->near_wanted |= s->shape.near;",
        ";",
    ),
    Mutant(
        "sums: weights are taken from the wrong end",
        "check.h",
        "weight = spec->weight[i & (DLP_SUM_LONGEST - 1)];",
        "weight = spec->weight[(i + 1) & (DLP_SUM_LONGEST - 1)];",
        tests=("test_sums.py::test_random_sums",),
    ),
    Mutant(
        "sums: the second is not computed",
        "check.h",
        "return signature->sums < 2 || weighted_sum(s, signature->sum[1]);",
        "return 1;",
        tests=("test_sums.py::test_random_sums",),
    ),
    Mutant(
        "shadow: its rows act",
        "judge.h",
        "shadow = rule->flags & DLP_RULE_SHADOW;",
        "shadow = 0;",
        tests=("test_shadow.py::test_nothing_is_done",),
    ),
    Mutant(
        "shadow: its prefilters call the inspector",
        "check.h",
        "if (!shadow) call_inspector",
        "call_inspector",
        tests=("test_shadow.py::test_nothing_is_done",),
    ),
    Mutant(
        "shadow: its payload has no bound",
        "event.h",
        "if (!level) return 0; *share = level - 1;",
        "*share = level - 1;",
        tests=("test_shadow.py::test_share_of_payload",),
    ),
    Mutant(
        "shadow: what follows a prefilter is not shown",
        "finish.h",
        "if (flow->flags & DLP_F_SHADOW) show_next(s, buf, flow);",
        "",
        tests=("test_shadow.py::test_inspector_is_shown_a_stream",),
    ),
    Mutant(
        "shadow: its values are looked for among those of live rules",
        "judge.h",
        "return shadow ? shadow_seen.lookup(&s->seen_key) : seen.lookup(&s->seen_key);",
        "return seen.lookup(&s->seen_key);",
        tests=("test_shadow.py::test_hits_of_live_and_shadow",),
    ),
    Mutant(
        "window: values of any age count",
        "window.h",
        "alive = (s->now - w->seen_ns[at] - age) >> 63 & nonzero(w->seen_ns[at]);",
        "alive = nonzero(w->seen_ns[at]);",
        tests=("test_windows.py::test_window_ends",),
    ),
    Mutant(
        "window: a value seen again keeps its time",
        "window.h",
        "w->seen_ns[at] = s->now;",
        "w->seen_ns[at] = s->known ? w->seen_ns[at] : s->now;",
        tests=("test_windows.py::test_seen_again_is_refreshed",),
    ),
    Mutant(
        "window: the newest makes room",
        "window.h",
        "take = (same | (seen - s->oldest) >> 63) & (s->known ^ 1);",
        "take = (same | nonzero(seen)) & (s->known ^ 1);",
        tests=("test_windows.py::test_the_oldest_goes_first",),
    ),
    Mutant(
        "budget: work is not bounded",
        "budget.h",
        "return s->work > s->work_allowed;",
        "return 0;",
        tests=("test_budget.py",),
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
