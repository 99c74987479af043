/* SPDX-License-Identifier: GPL-2.0 */
/*
 * IP fragments: the datagram's bytes are a stream of their own, known by source,
 * destination, id and protocol, and each fragment is scanned behind the tail of the one
 * before. What sends them out of order is not this host's kernel: such a fragment is
 * dropped, so that none passes with half its context.
 */

#define REASSEMBLY_NS 60000000000ULL /* as long as a receiver waits for the rest (RFC 8200, 4.5) */

static __always_inline void key_of_datagram(struct scratch *s)
{
	__builtin_memcpy(&s->datagram, &s->key, sizeof(s->datagram));
	s->datagram.source_port = s->ip.id >> 16;
	s->datagram.destination_port = s->ip.id;
	s->datagram.protocol = s->ip.protocol;
}

/*
 * A fragment of it was dropped: until no receiver waits for the rest any more, no datagram
 * may begin under the same id, as it would be put together with what has left of this one.
 */
static __always_inline void poison_datagram(struct scratch *s)
{
	if (s->fragment && s->poisons && !is_monitor(s))
		remember_block(s, &s->datagram, 0, REASSEMBLY_NS);
}

static __always_inline int is_poisoned(struct scratch *s)
{
	struct dlp_block *block = blocked.lookup(&s->datagram);

	return block ? (s64)(block->until_ns - s->now) > 0 : lost_a_block(s);
}

/*
 * Place a fragment in its datagram; the tail goes into the buffer. Returns 0, or the reason
 * to drop it.
 */
static __always_inline u32 place_fragment(struct scratch *s, struct buffer *buf)
{
	struct dlp_datagram *known = datagrams.lookup(&s->datagram);
	u32 misplaced = 0;

	s->packet_base = s->fragment_offset;
	s->skip = 0;
	if (is_poisoned(s)) {
		misplaced = 1;
		__builtin_memset(buf->b + ORIGIN, 0, DLP_TAIL);
	} else if (s->fragment == FIRST_FRAGMENT) {
		/* The same id again within the time: the receiver would keep the first of both. */
		misplaced = known && (known->next || !s->kernel_made) &&
			    s->now - known->seen_ns < REASSEMBLY_NS;
		__builtin_memset(buf->b + ORIGIN, 0, DLP_TAIL);
	} else if (known && known->next && known->next == s->fragment_offset) {
		__builtin_memcpy(buf->b + ORIGIN, known->tail, DLP_TAIL);
	} else {
		misplaced = 1;
		__builtin_memset(buf->b + ORIGIN, 0, DLP_TAIL);
	}
	s->poisons = !misplaced; /* should its bytes be what it is dropped for */
	return misplaced ? DLP_R_FRAGMENT_ORDER : 0;
}

/* The fragment has left: the next one must follow it. */
static __always_inline void remember_fragment(struct scratch *s)
{
	struct dlp_datagram *known = (struct dlp_datagram *)s->block;

	known->seen_ns = s->now;
	known->next = s->fragment_next;
	known->release = s->release;
	__builtin_memcpy(known->tail, s->kept_tail, DLP_TAIL);
	datagrams.update(&s->datagram, known);
}
