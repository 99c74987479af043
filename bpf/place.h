/* SPDX-License-Identifier: GPL-2.0 */
/* Where a packet's bytes stand in their stream, and what the stream is, by its beginning. */

/* A connection begins: what was known of one under the same key or socket is another's. */
static __always_inline void begin_stream(struct scratch *s, struct dlp_flow *flow)
{
	if (flow->flags & (DLP_F_MIRROR | DLP_F_HELD_BEFORE))
		words.delete(&flow->id);
	flow->flags = (flow->flags & (DLP_F_EXEMPT | DLP_F_DENIED | DLP_F_OWNED)) | DLP_F_INIT;
	flow->opaque = DLP_OPAQUE_NO;
	flow->refused = 0;
	flow->held_ns = 0;
	flow->held_to = 0;
	flow->clear_to = 0;
	flow->waits = 0;
	flow->kept = 0;
	flow->hops = 0;
	if (!s->owned) {
		if (flow->state == DLP_FLOW_BLOCKED)
			blocked.delete(&s->key);
		flow->id = fresh_id(s);
		__builtin_memset(flow->counted, 0, sizeof(flow->counted));
	}
	flow->state = DLP_FLOW_OPEN;
	s->flow_id = flow->id;
	flow->offset = 0;
	flow->isn = s->sequence;
	flow->next_seq = s->sequence;
	__builtin_memset(flow->tail, 0, DLP_TAIL);
}

#define GAP_PATIENCE_NS 2000000000ULL /* longer than TCP takes to send again three times */

/*
 * Place a TCP segment in its stream. The tail before the segment goes into the buffer.
 * Returns 0, or the reason to drop the segment.
 */
static __always_inline u32 place_segment(struct __sk_buff *skb, struct scratch *s,
					 struct buffer *buf, struct dlp_flow *flow)
{
	s32 ahead;

	s->sequence_end = s->sequence + s->payload + ((s->tcp_flags & TCP_FIN) ? 1 : 0);
	if (s->tcp_flags & TCP_SYN) {
		if (!(flow->flags & DLP_F_INIT) || flow->isn != s->sequence ||
		    flow->flags & DLP_F_OPENED)
			begin_stream(s, flow);
	} else if (!(flow->flags & DLP_F_INIT)) {
		u32 begins = beginning_of(skb, s);

		if (begins == BEGINS_FORGED && s->policy_flags & DLP_P_UNOWNED_DROP)
			return DLP_R_UNOWNED;
		if (begins == BEGINS_HERE) {
			begin_stream(s, flow);
		} else {
			flow->flags |= DLP_F_INIT | DLP_F_PARTLY;
			flow->next_seq = s->sequence;
			tally(s, DLP_R_MIDSTREAM, 1, s->payload);
		}
	}
	/*
	 * A segment that is made to be lost on its way can come again with other bytes, when
	 * what follows it has arrived (pages lent to the kernel can be changed).
	 */
	if (s->owned && s->payload && s->hops < flow->hops && s->policy_flags & DLP_P_UNOWNED_DROP)
		return DLP_R_HOP_LIMIT;
	if (s->hops > flow->hops)
		flow->hops = s->hops;
	if (!(s->tcp_flags & TCP_SYN) || s->raw)
		flow->flags |= DLP_F_OPENED;
	ahead = s->sequence - flow->next_seq;
	s->packet_base = flow->offset;
	if (!s->payload) {
		/* Of segments without payload only the FIN that is due moves the stream. */
		s->advance = ahead == 0;
		return 0;
	}
	s->advance = 1;
	if (ahead > 0) {
		/*
		 * TCP sends in order, and again what is lost: in a flow known from its start a
		 * gap means that a segment was dropped on its way here, or by this program. It
		 * will come; what is beyond it must not pass with half its context. If it does
		 * not come for long, the stream went on while no classifier was attached.
		 */
		if (!is_monitor(s)) {
			if (flow->flags & DLP_F_HOLE)
				return DLP_R_OUT_OF_ORDER;
			if (!flow->gap_ns)
				flow->gap_ns = s->now;
			/* A socket's own bytes that nobody has acknowledged will come. */
			if (s->owned && !was_acknowledged(skb, s))
				return DLP_R_OUT_OF_ORDER;
			if (!s->owned && !(flow->flags & DLP_F_PARTLY) &&
			    s->now - flow->gap_ns < GAP_PATIENCE_NS)
				return DLP_R_OUT_OF_ORDER;
		}
		flow->gap_ns = 0;
		tally(s, DLP_R_GAP, 1, ahead);
		flow->missed += ahead;
		flow->flags |= DLP_F_PARTLY;
		flow->offset += ahead;
		s->packet_base = flow->offset;
		__builtin_memset(buf->b + ORIGIN, 0, DLP_TAIL);
		flow->flags &= ~DLP_F_TAIL;
		return 0;
	}
	if (ahead >= 0) {
		__builtin_memcpy(buf->b + ORIGIN, flow->tail, DLP_TAIL);
		s->skip = flow->flags & DLP_F_TAIL ? 0 : 2;
		return 0;
	}
	/*
	 * Sent before, wholly or in part: scanned again, as old numbers can carry new
	 * bytes. As much of the tail as lies before the segment is its left context.
	 */
	u64 back = -(s64)ahead;

	s->advance = (s32)(s->sequence_end - flow->next_seq) > 0;
	s->packet_base -= back;
	if (!(flow->flags & DLP_F_PARTLY))
		s->back = back;
	tally(s, DLP_R_RETRANSMISSION, 1, s->payload);
	s->skip = 0;
	__builtin_memset(buf->b + ORIGIN, 0, DLP_TAIL);
	if (back < DLP_TAIL) {
		asm volatile("%0 &= 127" : "+r"(back));
		__builtin_memcpy(buf->b + ORIGIN + back, flow->tail, DLP_TAIL);
	}
	return 0;
}

#define RECOGNISED 8 /* first bytes of a stream or datagram that tell its protocol */

/*
 * Recognise an opaque protocol by a flow's first bytes, however they are cut. What the
 * stream had before this segment stands in the buffer, right before the payload.
 */
static __always_inline void recognise(struct __sk_buff *skb, struct scratch *s, struct buffer *buf,
				      struct dlp_flow *flow)
{
	u64 before = s->packet_base, size = s->payload;
	u32 kind, length;

	if (before >= RECOGNISED || flow->flags & DLP_F_PARTLY) {
		flow->flags |= DLP_F_FIRST;
		before = 0;
	}
	if (size > RECOGNISED)
		size = RECOGNISED;
	size--;
	asm volatile("%0 &= 7\n%0 += 1" : "+r"(size));
	__builtin_memset(buf->b + PAYLOAD, 0, RECOGNISED);
	if (bpf_skb_load_bytes(skb, s->cursor, buf->b + PAYLOAD, size))
		return;
	length = before + size;
	if (length >= RECOGNISED)
		flow->flags |= DLP_F_FIRST;
	before = PAYLOAD - before;
	asm volatile("%0 &= 0x1ff" : "+r"(before));
	kind = recognise_opaque(buf->b + before, length, s->key.protocol);
	if (kind == DLP_OPAQUE_NO)
		return;
	flow->flags |= DLP_F_FIRST;
	flow->opaque = kind;
	flow->listed_ns = 0;
	if (s->uninspectable != DLP_ALLOW)
		note(s, DLP_EV_OPAQUE, s->uninspectable, DLP_R_OPAQUE_TLS - 1 + kind);
}
