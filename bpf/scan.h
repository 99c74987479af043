/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The scan: load a chunk behind its tail, then run over it in blocks of 48 bytes.
 *
 * Per block, one flag byte: which of its four parts may hold a q-gram of the set, may it
 * hold digits worth looking at. No byte depends on the one before it, so the processor runs
 * many of these steps at once; that, not fewer instructions, is why this beats an automaton.
 *
 * A q-gram is tested with two bits of one word of the Bloom filter (a blocked filter:
 * Putze, Sanders, Singler 2007). Digits: in an aligned word of 8 bytes, two adjacent
 * pairs of which each has its high nibbles OR to 3, which every stretch of 7 digits and
 * single separators contains.
 */

#define GRAM_MULTIPLIER 0x9E3779B97F4A7C15ULL
#define FOLD 0x20202020U

struct bloom_probe {
	const u8 *words;
	u64 multiplier;
	u64 shift; /* of a product, to the word's number times 8 */
};

/*
 * Bit 0 tells; the others are of no meaning. Written for few instructions, as clang would keep
 * copies that nobody reads again: it saves time where another thread shares the core.
 */
static __always_inline u64 gram_in_bloom(const struct bloom_probe *b, const u8 *p)
{
	u64 product = *(u32 *)p | FOLD, at, word, other;

	asm volatile("%0 *= %1" : "+r"(product) : "r"(b->multiplier));
	at = shift_right(product, b->shift) & ((DLP_BLOOM_WORDS - 1) << 3);
	asm volatile("%0 += %1" : "+r"(at) : "r"(b->words));
	word = *(u64 *)at;
	product >>= 32;
	OPAQUE_VALUE(product);
	other = shift_right(word, product);
	product >>= 10;
	OPAQUE_VALUE(product);
	return other & shift_right(word, product);
}

#define DIGIT_LANES 0x0000800080008000ULL

/* High bit of one of these 16-bit lanes set: this pair of bytes and the next may be digits. */
static __always_inline u64 digits_in_word(const u8 *p)
{
	u64 w = *(u64 *)p;
	u64 t = ((w | w >> 8) & 0x00F000F000F000F0ULL) ^ 0x0030003000300030ULL;

	t += 0x7FFF7FFF7FFF7FFFULL;
	t = ~t;
	return t & t >> 16;
}

/*
 * Load the next chunk. Between chunks the 128 bytes before it come from the packet
 * again; before the first they are the stream's tail, put there by classify.
 */
static __always_inline int load_chunk(struct __sk_buff *skb, struct scratch *s, struct buffer *buf)
{
	u64 rest = s->limit - s->cursor, size;

	s->final = rest <= CHUNK;
	if (rest > CHUNK)
		rest = CHUNK;
	size = rest - 1;
	asm volatile("%0 &= 0x3fff\n%0 += 1" : "+r"(size));
	if (s->first) {
		if (bpf_skb_load_bytes(skb, s->cursor, buf->b + PAYLOAD, size))
			return -1;
		s->first = 0;
		s->continuing = 0;
	} else {
		s->base += s->chunk;
		s->loaded += s->chunk;
		if (bpf_skb_load_bytes(skb, s->cursor - DLP_TAIL, buf->b + ORIGIN, size + DLP_TAIL))
			return -1;
		s->continuing = 1;
		s->skip = 0;
	}
	s->chunk = rest;
	s->cursor += rest;
	s->end = PAYLOAD + rest;
	s->blocks = (rest + DLP_TAIL + BLOCK - 1) / BLOCK;
	size = index_of(PAYLOAD + rest);
	if (size > PAYLOAD + CHUNK)
		return -1;
	__builtin_memset(buf->b + size, 0, PAD);
	if (s->final && s->next_byte < UNKNOWN_BYTE)
		buf->b[size] = s->next_byte;
	/* No block's flags of an earlier chunk behind this one's last. */
	*(u64 *)(s->flag + (s->blocks & (FLAGS - 8))) = 0;
	s->flag[s->blocks & (FLAGS - 1)] = 0;
	return 0;
}

/*
 * Whether what was sent before comes again with other bytes, as far as the flow's tail
 * goes: what follows was scanned behind that tail, and the receiver may keep either.
 */
static __always_inline int refuses_rewritten(struct __sk_buff *skb, struct scratch *s,
					     struct buffer *buf)
{
	struct dlp_flow *flow = flow_of_packet(skb, s);
	u64 at = (u64)PAYLOAD + s->back - DLP_TAIL - s->loaded;
	u64 differs = 0;

	if (!flow)
		return 0;
	s->index_key = 0;
#pragma clang loop unroll(disable)
	for (u64 i = 0; i < DLP_TAIL; i++) {
		u64 here = at + i, inside;

		OPAQUE_VALUE(i);
		BARRIER();
		/* In the payload of this chunk: PAYLOAD <= here < end. */
		inside = ~((s64)(here - PAYLOAD) >> 63) & (s64)(here - s->end) >> 63;
		differs = (buf->b[index_of(here)] ^ flow->tail[i & (DLP_TAIL - 1)]) & inside;
		s->index_key |= differs;
	}
	BARRIER();
	return s->index_key && refuses(s, flow, DLP_R_REWRITTEN);
}

/* The program for one stride; a constant, so that each is compiled to straight code. */
static __always_inline int scan(struct __sk_buff *skb, const u32 stride)
{
	struct scratch *s = scratch_area();
	struct buffer *buf = buffer_area();
	struct dlp_bloom *filter;
	u64 flagged = 0, limit, skip;
	u32 generation;
	u8 *p, *flag;

	if (!s || !buf)
		return refuse();
	if (s->cursor >= s->limit || (s->verdict == DLP_DROP && !is_monitor(s)))
		return finish(skb, s, buf);
	if (!s->first && s->mirror) {
		struct dlp_flow *flow = flow_of_packet(skb, s);

		if (flow)
			mirror_chunk(s, buf, flow);
	}
	if (load_chunk(skb, s, buf))
		return drop_segment(skb, s, DLP_R_LOAD_FAILED);
	if (s->released && differs_from_copy(s, buf))
		return ask_anew(skb, s);
	if (s->back && refuses_rewritten(skb, s, buf))
		return drop_segment(skb, s, DLP_R_REWRITTEN);

	/* Looked up anew, the verifier's states of the ways to here are one: half the work. */
	s = scratch_area();
	buf = buffer_area();
	if (!s || !buf)
		return refuse();
	generation = s->generation & 1;
	filter = blooms.lookup(&generation);
	if (!filter)
		return refuse();

	struct bloom_probe bloom = { .words = (u8 *)filter->word,
				     .multiplier = GRAM_MULTIPLIER,
				     .shift = s->bloom_shift - 3 };

	OPAQUE_VALUE(bloom.multiplier);
	/* The tail's first blocks are passed over where nothing in it was flagged. */
	skip = s->skip & 2;
	limit = s->end - ORIGIN - skip * BLOCK;
	p = buf->b + ORIGIN + skip * BLOCK;
	flag = s->flag + skip;
	*(u16 *)s->flag = 0;
#pragma clang loop unroll(disable)
	for (u64 i = 0; i < BLOCKS; i++) {
		u64 flags = 0, digits = 0;

		OPAQUE_VALUE(i);
		if (i * BLOCK >= limit)
			break;
#pragma unroll
		for (u32 part = 0; part < BLOCK / PART; part++) {
			u64 hit = 0;

#pragma unroll
			for (u32 at = 0; at < PART; at += stride) {
				hit |= gram_in_bloom(&bloom, p + part * PART + at);
				/* One after the other: clang would load all, then spill. */
				OPAQUE_VALUE(hit);
				BARRIER();
			}
			flags |= (hit & 1) * FLAG_GRAM_OF(part);
		}
#pragma unroll
		for (u32 at = 0; at < BLOCK; at += 8) {
			digits |= digits_in_word(p + at);
			OPAQUE_VALUE(digits);
			BARRIER();
		}
		flags |= nonzero(digits & DIGIT_LANES) * FLAG_DIGIT;
		*flag = flags;
		flagged |= flags;
		p += BLOCK;
		flag++;
		OPAQUE_VALUE(p);
		OPAQUE_VALUE(flag);
	}
	s->flagged = flagged;
	BARRIER();
	if (!s->flagged) {
		if (s->final)
			return finish(skb, s, buf);
		return go_to(skb, s, s->scan_slot);
	}
	s->gram_block = s->flagged & FLAG_GRAM ? 0 : BLOCKS;
	s->digits_wanted = s->flagged & FLAG_DIGIT;
	s->masked = 0;
	s->units = 0;
	s->unit = 0;
	s->candidates = 0;
	s->candidate = 0;
	s->entry = 0;
	s->lane_bits = 0;
	s->starts = 0;
	s->matches = 0;
	s->match = 0;
	s->hits = 0;
	s->hit = 0;
	s->whole = 0;
	s->near_wanted = 0;
	s->near = 0;
	s->near_kept = 0;
	s->near_busy = 0;
	s->near_missing = 0;
	s->marked_from = 0;
	s->marked_to = 0;
	s->marks = 0;
	s->chain_left = 0;
	s->word_bits = 0;
	s->found = 0;
	s->shadows = 0;
	s->judge = 0;
	s->busy = 0;
	BARRIER();
	return go_on(skb, s);
}

int scan2(struct __sk_buff *skb)
{
	return scan(skb, 2);
}

int scan3(struct __sk_buff *skb)
{
	return scan(skb, 3);
}

int scan6(struct __sk_buff *skb)
{
	return scan(skb, 6);
}
