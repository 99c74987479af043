/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Payload for the inspector of shadow rules, where a prefilter of theirs fits: the chunk with its
 * tail, and a few segments behind it. It has a ring and a small share of its own, and takes no part
 * in what becomes of packet and flow: what finds no room is counted, and nothing else.
 */

#define SHADOW_FOLLOWS 4 /* segments that a value may go on over */
#define NO_WAKEUP 1 /* BPF_RB_NO_WAKEUP: the reader comes by from time to time */

/* The number of the chunk at hand in its packet, from 1 on. */
static __always_inline u32 chunk_number(const struct scratch *s)
{
	return s->loaded / CHUNK + 1;
}

/* The header goes before the whole tail, which may be scanned again: no byte of it is written over. */
static __always_inline void give_shadow(struct scratch *s, struct buffer *buf)
{
	struct dlp_payload *header = (struct dlp_payload *)(buf->b + ORIGIN - sizeof(*header));
	struct dlp_bucket *b = bucket_of(s);
	u64 size;

	s->shadow_given = chunk_number(s);
	if (!b || !take_shadow_share(s->now, &b->shadow_payload_ns, &b->shadow_payload_level)) {
		tally(s, DLP_R_SHADOW_UNREAD, 1, s->chunk);
		return;
	}
	header->time_ns = s->now;
	header->flow = s->flow_id;
	header->key = s->key;
	header->offset = s->base;
	header->length = s->chunk + DLP_TAIL;
	header->release = s->release;
	header->policy = s->policy;
	header->final = s->final && (!s->tcp || s->tcp_flags & TCP_FIN);
	header->held = 0;
	header->again = 0;
	header->before = DLP_TAIL;
	header->question = 0;
	__builtin_memset(header->pad, 0, sizeof(header->pad));
	size = sizeof(*header) + header->length;
	asm volatile("%0 &= 0x7fff" : "+r"(size));
	if (size > sizeof(*header) + DLP_TAIL + CHUNK)
		return;
	if (shadow_payloads.ringbuf_output(header, size, NO_WAKEUP))
		tally(s, DLP_R_SHADOW_UNREAD, 1, s->chunk);
	else
		tally(s, DLP_R_SHADOW_MIRRORED, 1, s->chunk);
}

/* A shadow prefilter fits. */
static __always_inline void show_inspector(struct __sk_buff *skb, struct scratch *s,
					   struct buffer *buf)
{
	struct dlp_flow *flow;

	if (s->shadow_given != chunk_number(s))
		give_shadow(s, buf);
	if (!s->tcp)
		return;
	flow = flow_of_packet(skb, s);
	if (!flow)
		return;
	flow->flags |= DLP_F_SHADOW;
	flow->shadow_left = SHADOW_FOLLOWS;
}

/* The chunk at hand is of a flow in which a shadow prefilter fitted a few segments ago. */
static __always_inline void show_next(struct scratch *s, struct buffer *buf, struct dlp_flow *flow)
{
	if (s->shadow_given == chunk_number(s))
		return; /* it fitted in this one */
	give_shadow(s, buf);
	if (flow->shadow_left)
		flow->shadow_left--;
	if (!flow->shadow_left)
		flow->flags &= ~DLP_F_SHADOW;
}
