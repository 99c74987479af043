/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Segments that wait: for the inspector's word (hold), or for the byte behind an open end.
 *
 * The suspicious segment and all of its flow beyond it are taken out of the way so that TCP
 * believes it sent them. TCP sends them again by itself, in order; then the word, or the
 * byte, is there. Nothing is queued here. TCP may cut anew what it sends again, and a process
 * can change pages that it lent to the kernel: so the inspector's word counts for the bytes
 * that it was given, of which a copy is kept, one segment at a time.
 */

#define UNKNOWN_BYTE 256

/* Whether the verdict is to wait, and the inspector has not cleared the segment. */
static __always_inline int wants_word(const struct scratch *s, const struct dlp_flow *flow)
{
	return s->verdict == DLP_HOLD && s->tcp && !is_monitor(s) &&
	       s->packet_base + s->payload > flow->clear_to;
}

/* From here on the flow waits for the inspector's word. */
static __always_inline int begin_hold(struct __sk_buff *skb, struct scratch *s,
				      struct dlp_flow *flow)
{
	if (!flow->held_ns) {
		flow->held_ns = s->now;
		flow->held_to = s->packet_base;
		flow->flags |= DLP_F_HELD_BEFORE;
		flow->kept = 0;
		flow->signature = s->verdict_signature;
		flow->listed_ns = 0;
		note(s, DLP_EV_HELD, DLP_HOLD, DLP_R_HELD);
		list_flow(s, flow);
	}
	s->again = s->packet_base + s->payload <= flow->held_to;
	programs.call(skb, SLOT_HOLD);
	tally(s, DLP_R_HELD, 1, s->payload);
	return take_out(skb, s);
}

/* From here on the flow waits for the next byte, or for this segment to be sent again. */
static __always_inline int begin_wait(struct __sk_buff *skb, struct scratch *s,
				      struct dlp_flow *flow)
{
	flow->waits = 1;
	flow->wait_seq = s->sequence + s->payload;
	tally(s, DLP_R_WAITED, 1, s->payload);
	return take_out(skb, s);
}

/* No word in time: the flow is blocked, or what waits goes on unjudged. */
static __always_inline void give_up(struct scratch *s, struct dlp_flow *flow, u64 end)
{
	u32 closed = s->policy_flags & DLP_P_HOLD_CLOSED;

	tally(s, DLP_R_HOLD_TIMEOUT, 1, s->payload);
	note(s, DLP_EV_HOLD_TIMEOUT, closed ? DLP_DROP : DLP_ALLOW, DLP_R_HOLD_TIMEOUT);
	if (closed) {
		block_flow(s, flow, flow->signature);
		return;
	}
	flow->clear_to = end > flow->held_to ? end : flow->held_to;
	flow->kept = 0;
	flow->flags |= DLP_F_PARTLY;
	flow->missed += s->payload;
}

enum awaited {
	AWAITED_GO_ON = 0,
	AWAITED_HOLD = 1, /* give it to the inspector, take it out */
	AWAITED_TAKE_OUT = 2,
	AWAITED_RELEASED = 3, /* go on, if it is what the inspector was given */
};

/* A segment with payload of a flow that is held: what is known by now? */
static __always_inline u32 await_word(struct scratch *s, struct dlp_flow *flow)
{
	struct dlp_word *word = words.lookup(&flow->id);
	s32 ahead = s->sequence - flow->next_seq;
	u64 start = flow->offset + ahead, end = start + s->payload;

	if (ahead < 0 && end <= flow->offset)
		return AWAITED_GO_ON; /* of what has left before */
	if (word && word->block) {
		block_flow(s, flow, word->signature);
		tally(s, DLP_R_INSPECTOR_BLOCKED, 1, s->payload);
		return AWAITED_GO_ON; /* to where blocked flows end */
	}
	if (word && word->question == flow->question && word->clear_to > flow->clear_to) {
		flow->clear_to = word->clear_to;
		flow->kept = word->keep;
		flow->held_ns = s->now; /* it answers: patience begins anew */
	}
	/* Beyond what was cleared while a match may be growing: a new question. */
	if (flow->kept && flow->clear_to >= flow->held_to && start >= flow->held_to)
		flow->held_ns = s->now;
	if (end > flow->clear_to && s->now - flow->held_ns > (u64)s->hold_timeout_ms * 1000000ULL) {
		give_up(s, flow, end);
		return AWAITED_GO_ON;
	}
	s->packet_base = start;
	s->again = end <= flow->held_to;
	/* What is beyond is sent again after the one that waits; the next of it is given too. */
	if (ahead > 0)
		return start == flow->held_to ? AWAITED_HOLD : AWAITED_TAKE_OUT;
	return end > flow->clear_to ? AWAITED_HOLD : AWAITED_RELEASED;
}

/* Whether a segment that the inspector has cleared is not what it was given. */
static __always_inline int differs_from_copy(struct scratch *s, struct buffer *buf)
{
	struct copy *copy = copies.lookup(&s->flow_id);
	u64 from;

	if (!copy || s->packet_base < copy->base ||
	    s->packet_base + s->payload > copy->base + copy->length)
		return 1;
	from = s->packet_base - copy->base;
	s->index_key = 0;
#pragma clang loop unroll(disable)
	for (u64 i = 0; i < CHUNK; i += 8) {
		u64 at, mine, given, left;

		OPAQUE_VALUE(i);
		BARRIER();
		if (i >= s->payload)
			break;
		at = from + i;
		asm volatile("%0 &= 0x3fff" : "+r"(at));
		given = *(u64 *)(copy->bytes + at);
		mine = *(u64 *)(buf->b + PAYLOAD + (i & (CHUNK - 1)));
		left = least(s->payload - i, 8);
		s->index_key |= nonzero((mine ^ given) & shift_right(~0ULL, 64 - left * 8));
	}
	BARRIER();
	return s->index_key != 0;
}

/* What the inspector was asked, and what it said, is about other bytes. */
static __always_inline void forget_question(struct scratch *s, struct dlp_flow *flow)
{
	words.delete(&s->flow_id);
	flow->question++;
	flow->clear_to = s->packet_base;
	flow->held_to = s->packet_base;
	flow->kept = 0;
	tally(s, DLP_R_REWRITTEN, 1, s->payload);
}

/* Other bytes than the inspector has cleared: they are a new question. */
static __always_inline int ask_anew(struct __sk_buff *skb, struct scratch *s)
{
	struct dlp_flow *flow = flow_of_packet(skb, s);

	if (!flow)
		return drop(skb, s, DLP_R_MAP_FAILED, s->payload);
	forget_question(s, flow);
	flow->held_ns = s->now;
	return begin_hold(skb, s, flow);
}

/*
 * A segment with payload of a flow that waits for the byte behind an open end. 1: beyond
 * that end, to be taken out too. 0: the segment itself, sent again: it is decided now.
 */
static __always_inline int await_byte(struct __sk_buff *skb, struct scratch *s,
				      struct dlp_flow *flow)
{
	if ((s32)(s->sequence - flow->next_seq) > 0) {
		if (s->sequence == flow->wait_seq &&
		    !bpf_skb_load_bytes(skb, s->cursor, &flow->next_byte, 1))
			flow->waits = 2;
		tally(s, DLP_R_WAITED, 1, s->payload);
		return 1;
	}
	if (flow->waits == 2 && s->sequence + s->payload == flow->wait_seq)
		s->next_byte = flow->next_byte;
	/* The first time that it is sent again counts as the end, unless more is known. */
	if (flow->waits == 1 || s->next_byte < UNKNOWN_BYTE ||
	    (s32)(s->sequence + s->payload - flow->wait_seq) < 0)
		s->ended = 1;
	flow->waits = 0;
	return 0;
}

#define APPENDED 8192 /* bytes that may stand before a segment in the copy, and be added to it */

/* Put a segment behind what the inspector has; 0 where that cannot be. */
static __always_inline int append_to_copy(struct __sk_buff *skb, struct scratch *s,
					  struct dlp_flow *flow)
{
	struct copy *copy = copies.lookup(&s->flow_id);
	u64 at, size = s->payload;

	if (!copy || s->packet_base != copy->base + copy->length || copy->length >= APPENDED ||
	    size > APPENDED)
		return 0;
	at = copy->length;
	asm volatile("%0 &= 0x1fff" : "+r"(at));
	size--;
	asm volatile("%0 &= 0x1fff\n%0 += 1" : "+r"(size));
	if (bpf_skb_load_bytes(skb, s->payload_at, copy->bytes + at, size))
		return 0;
	copy->length += s->payload;
	flow->held_to = s->packet_base + s->payload;
	return 1;
}

/*
 * Give a held segment to the inspector, keep a copy, and take it out. Of one that is longer
 * than a chunk, the first chunk: TCP sends again in smaller pieces.
 */
int hold(struct __sk_buff *skb)
{
	struct scratch *s = scratch_area();
	struct buffer *buf = buffer_area();
	struct dlp_payload *header;
	struct dlp_flow *flow;
	struct copy *copy;
	u64 size, back = 0;
	u8 *at;

	if (!s || !buf)
		return refuse();
	flow = flow_of_packet(skb, s);
	if (!flow)
		return drop(skb, s, DLP_R_MAP_FAILED, s->payload);
	if (s->packet_base > flow->offset && !append_to_copy(skb, s, flow)) {
		tally(s, DLP_R_HELD, 1, s->payload);
		return take_out(skb, s);
	}
	s->chunk = s->payload;
	if (s->chunk > CHUNK)
		s->chunk = CHUNK;
	size = s->chunk - 1;
	asm volatile("%0 &= 0x3fff\n%0 += 1" : "+r"(size));
	if (bpf_skb_load_bytes(skb, s->payload_at, buf->b + PAYLOAD, size))
		return drop_segment(skb, s, DLP_R_LOAD_FAILED);
	/* Sent again with other bytes: not what was asked about. */
	if (s->again && differs_from_copy(s, buf)) {
		s->again = 0;
		forget_question(s, flow);
	}
	/* With it goes what stood before it: a match may have begun there. */
	if (s->packet_base == flow->offset) {
		__builtin_memcpy(buf->b + ORIGIN, flow->tail, DLP_TAIL);
		back = least(s->packet_base, DLP_TAIL);
	}
	s->before = back;
	BARRIER();
	back = PAYLOAD - sizeof(*header) - s->before;
	asm volatile("%0 &= 0xff" : "+r"(back));
	at = buf->b + back;
	header = (struct dlp_payload *)at;
	header->time_ns = bpf_ktime_get_ns();
	header->flow = s->flow_id;
	header->key = s->key;
	header->offset = s->packet_base - s->before;
	header->length = s->chunk + s->before;
	header->release = s->release;
	header->policy = s->policy;
	header->final = s->tcp_flags & TCP_FIN && s->chunk == s->payload;
	header->held = 1;
	header->again = s->again;
	header->before = s->before;
	header->question = flow->question;
	__builtin_memset(header->pad, 0, sizeof(header->pad));
	size = sizeof(*header) + header->length;
	asm volatile("%0 &= 0x7fff" : "+r"(size));
	if (size > sizeof(*header) + DLP_TAIL + CHUNK)
		return drop_segment(skb, s, DLP_R_LOAD_FAILED);
	tally(s, DLP_R_HELD, 1, s->payload);
	if (holds.ringbuf_output(at, size, 0)) {
		tally(s, DLP_R_HOLD_LOST, 1, s->payload);
		return take_out(skb, s);
	}
	if (s->again || s->packet_base > flow->offset)
		return take_out(skb, s);
	copy = (struct copy *)(buf->b + PAYLOAD - 16);
	copy->base = s->packet_base;
	copy->length = s->chunk;
	if (copies.update(&s->flow_id, copy))
		tally(s, DLP_R_HOLD_LOST, 1, s->payload); /* and given again */
	else
		flow->held_to = s->packet_base + s->chunk;
	return take_out(skb, s);
}
