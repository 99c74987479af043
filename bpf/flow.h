/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Flows: what is remembered between the packets of one conversation, and how a
 * packet ends. The only place that writes a flow's stream state.
 */

static __always_inline int pass(struct __sk_buff *skb, struct scratch *s, u64 bytes)
{
	stamp(skb, s);
	tally(s, DLP_R_PASSED, 1, bytes);
	return s->device & DLP_D_FINAL ? TC_ACT_OK : PASS;
}

static __always_inline void would_drop(struct scratch *s, u32 reason, u64 bytes)
{
	tally(s, reason, 1, bytes);
	tally(s, DLP_R_WOULD_DROP, 1, bytes);
}

/* Drop, or in monitor mode count what would have been dropped. */
static __always_inline int drop(struct __sk_buff *skb, struct scratch *s, u32 reason, u64 bytes)
{
	if (is_monitor(s)) {
		would_drop(s, reason, bytes);
		return pass(skb, s, bytes);
	}
	poison_datagram(s);
	tally(s, reason, 1, bytes);
	tally(s, DLP_R_DROPPED, 1, bytes);
	return DROP;
}

#define BLOCKED_NS 600000000000ULL /* ten minutes */

/* The classifier's own areas are missing: nothing can be counted, nothing may pass. */
static __always_inline int refuse(void)
{
	return DROP;
}

/*
 * Hand a chunk of a mirrored flow to the inspector: payload with the tail before it
 * the first time, payload alone from then on. The header goes right before the bytes.
 * 0, or -1 where the ring has no room.
 */
static __always_inline int mirror_chunk(struct scratch *s, struct buffer *buf,
					struct dlp_flow *flow)
{
	struct dlp_payload *header;
	u64 back = 0, size;
	u8 *at;

	if (!(flow->flags & DLP_F_MIRROR)) {
		flow->flags |= DLP_F_MIRROR;
		back = s->base + DLP_TAIL;
		if (back > DLP_TAIL)
			back = DLP_TAIL;
	}
	back = PAYLOAD - back - sizeof(*header);
	asm volatile("%0 &= 0xff" : "+r"(back));
	at = buf->b + back;
	header = (struct dlp_payload *)at;
	header->time_ns = bpf_ktime_get_ns();
	header->flow = s->flow_id;
	header->key = s->key;
	back += sizeof(*header);
	header->offset = s->base + back - ORIGIN;
	header->length = s->end - back;
	header->release = s->release;
	header->policy = s->policy;
	header->final = !s->tcp || (s->tcp_flags & TCP_FIN);
	header->held = 0;
	header->again = 0;
	header->before = 0;
	header->question = 0;
	__builtin_memset(header->pad, 0, sizeof(header->pad));
	size = sizeof(*header) + header->length;
	asm volatile("%0 &= 0x7fff" : "+r"(size));
	if (size > sizeof(*header) + DLP_TAIL + CHUNK)
		return -1;
	if (payloads.ringbuf_output(at, size, 0)) {
		tally(s, DLP_R_MIRROR_LOST, 1, s->chunk);
		return -1;
	}
	tally(s, DLP_R_MIRRORED, 1, s->chunk);
	return 0;
}

/* A segment that is dropped without blocking its flow must not be overtaken by the next. */
static __always_inline int drop_segment(struct __sk_buff *skb, struct scratch *s, u32 reason)
{
	struct dlp_flow *flow = flow_of_packet(skb, s);

	if (flow && s->tcp && !is_monitor(s))
		flow->flags |= DLP_F_HOLE;
	return drop(skb, s, reason, s->payload);
}

/* The flow ends here: nothing of it passes from now on. */
static __always_inline void block_flow(struct scratch *s, struct dlp_flow *flow, u32 signature)
{
	flow->state = DLP_FLOW_BLOCKED;
	flow->signature = signature;
	flow->listed_ns = 0;
	list_flow(s, flow);
	if (!s->owned)
		remember_block(s, &s->key, signature, BLOCKED_NS);
}

/* Whether one of the last blocks, which reach back over the tail to be, was flagged. */
static __always_inline int tail_flagged(const struct scratch *s)
{
	u32 flags = 0;

#pragma unroll
	for (int i = 1; i <= 4; i++)
		flags |= s->flag[(s->blocks - i) & (FLAGS - 1)];
	return flags != 0;
}

/* The stream goes on behind this packet; its last bytes are kept. */
static __always_inline void advance(struct scratch *s, struct dlp_flow *flow)
{
	__builtin_memcpy(flow->tail, s->kept_tail, DLP_TAIL);
	flow->flags &= ~DLP_F_TAIL;
	if (s->flagged && tail_flagged(s))
		flow->flags |= DLP_F_TAIL;
	flow->next_seq = s->sequence_end;
	flow->gap_ns = 0;
	flow->flags &= ~(DLP_F_HOLE | DLP_F_SEAM);
	if (s->next_byte < 256)
		flow->flags |= DLP_F_SEAM;
	flow->offset = s->packet_base + s->payload;
	if (flow->held_ns && flow->offset >= flow->held_to && !flow->kept)
		flow->held_ns = 0;
}
