/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Flows: what is remembered between the packets of one conversation, and how a
 * packet ends. The only place that writes a flow's stream state.
 */

static __always_inline int pass(struct __sk_buff *skb, struct scratch *s, u64 bytes)
{
	stamp(skb, s);
	tally(s, DLP_R_PASSED, 1, bytes);
	return PASS;
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
 */
static __always_inline void mirror_chunk(struct scratch *s, struct buffer *buf,
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
	__builtin_memset(header->pad, 0, sizeof(header->pad));
	size = sizeof(*header) + header->length;
	asm volatile("%0 &= 0x7fff" : "+r"(size));
	if (size > sizeof(*header) + DLP_TAIL + CHUNK)
		return;
	if (payloads.ringbuf_output(at, size, 0))
		tally(s, DLP_R_MIRROR_LOST, 1, s->chunk);
	else
		tally(s, DLP_R_MIRRORED, 1, s->chunk);
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
	struct dlp_block *block = (struct dlp_block *)s->block;

	flow->state = DLP_FLOW_BLOCKED;
	flow->signature = signature;
	flow->listed_ns = 0;
	list_flow(s, flow);
	if (s->owned)
		return;
	block->until_ns = s->now + BLOCKED_NS;
	block->signature = signature;
	block->pad = 0;
	blocked.update(&s->key, block);
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
static __always_inline void advance(struct scratch *s, struct buffer *buf, struct dlp_flow *flow)
{
	copy_tail(s, buf, flow->tail);
	flow->flags &= ~DLP_F_TAIL;
	if (s->flagged && tail_flagged(s))
		flow->flags |= DLP_F_TAIL;
	flow->next_seq = s->sequence_end;
	flow->gap_ns = 0;
	flow->flags &= ~DLP_F_HOLE;
	flow->offset = s->packet_base + s->payload;
}

static __always_inline int finish(struct __sk_buff *skb, struct scratch *s, struct buffer *buf)
{
	struct dlp_flow *flow = flow_of_packet(skb, s);

	if (!flow)
		return drop(skb, s, DLP_R_MAP_FAILED, s->payload);
	flow->matches += s->matched;
	if (s->verdict == DLP_DROP && !is_monitor(s)) {
		if (s->tcp)
			block_flow(s, flow, s->verdict_signature);
		return drop(skb, s, DLP_R_MATCH_DROPPED, s->payload);
	}
	flow->packets++;
	flow->inspected += s->payload;
	if (flow->opaque)
		flow->opaque_bytes += s->payload;
	if (s->fragment)
		remember_fragment(s, buf);
	if (s->advance)
		advance(s, buf, flow);
	list_flow(s, flow);
	if (s->mirror || flow->flags & DLP_F_MIRROR)
		mirror_chunk(s, buf, flow);
	tally(s, DLP_R_INSPECTED, 1, s->payload);
	if (s->verdict == DLP_DROP)
		return drop(skb, s, DLP_R_MATCH_DROPPED, s->payload);
	return pass(skb, s, s->payload);
}

/*
 * The work bound is reached, or a helper failed midway. What has not been scanned of
 * the packet is dropped, or by policy let out and counted as missed.
 */
static __always_inline int over_budget(struct __sk_buff *skb, struct scratch *s, u32 reason)
{
	struct dlp_flow *flow = flow_of_packet(skb, s);

	if (s->verdict == DLP_DROP && flow && !is_monitor(s)) {
		if (s->tcp)
			block_flow(s, flow, s->verdict_signature);
		return drop(skb, s, DLP_R_MATCH_DROPPED, s->payload);
	}
	if (s->verdict == DLP_DROP)
		would_drop(s, DLP_R_MATCH_DROPPED, s->payload);
	if (flow && !flow->told) {
		flow->told = 1;
		note(s, DLP_EV_BUDGET,
		     s->policy_flags & DLP_P_OVER_BUDGET_DROP ? DLP_DROP : DLP_ALERT, reason);
	}
	if (!(s->policy_flags & DLP_P_OVER_BUDGET_DROP) || is_monitor(s)) {
		tally(s, reason, 1, s->payload);
		if (flow) {
			flow->missed += s->payload;
			flow->flags |= DLP_F_PARTLY;
			flow->flags &= ~DLP_F_HOLE;
			flow->packets++;
			if (s->advance) {
				flow->next_seq = s->sequence_end;
				flow->offset = s->packet_base + s->payload;
				__builtin_memset(flow->tail, 0, DLP_TAIL);
				flow->flags &= ~DLP_F_TAIL;
			}
		}
		return pass(skb, s, s->payload);
	}
	return drop_segment(skb, s, reason);
}

static __always_inline int digits_left(const struct scratch *s)
{
	return s->digits_wanted && !s->masked;
}

static __always_inline int groups_left(const struct scratch *s)
{
	return s->unit < s->units || s->starts || s->lane_bits;
}

/* On with the chunk: the first list that has work left, else the next chunk. */
static __always_inline int go_on(struct __sk_buff *skb, struct scratch *s)
{
	u32 slot = s->scan_slot;

	if (s->hit < s->hits)
		slot = SLOT_CHECK;
	else if (s->match < s->matches || s->busy)
		slot = SLOT_SHAPE;
	else if (s->candidate < s->candidates || s->gram_block < s->blocks)
		slot = SLOT_GRAMS;
	else if (digits_left(s))
		slot = SLOT_DIGITS;
	else if (groups_left(s))
		slot = SLOT_GROUPS;
	programs.call(skb, slot);
	return over_budget(skb, s, DLP_R_OVER_BUDGET);
}
