/* SPDX-License-Identifier: GPL-2.0 */
/*
 * From flagged blocks to candidates (shape, start): which q-gram was it, which shapes
 * does it anchor, do their literals stand there. Every list that could fill is drained
 * by a tail call and taken up again where it stopped, so nothing is passed over.
 */

#define GRAM_BLOCKS 160 /* turns a call */
#define GRAM_STEPS 704
#define GRAM_BUCKET_SHIFT 49 /* of a product, to the bucket's number */

static __always_inline void push_gram(struct scratch *s, const struct bloom_probe *bloom,
				      const u8 *p, u64 position)
{
	u32 n = s->candidates;

	s->gram_at[n & (CANDIDATES - 1)] = position;
	s->candidates = n + (u32)(gram_in_bloom(bloom, p) & 1);
}

/* The flagged parts' samples of one stride; its phase counts from the part, which it divides. */
static __always_inline void push_grams(struct scratch *s, const struct bloom_probe *bloom,
				       const u8 *p, u64 position, u64 flags, const u32 stride)
{
#pragma unroll
	for (u32 part = 0; part < BLOCK / PART; part++) {
		if (!(flags & FLAG_GRAM_OF(part)))
			continue;
#pragma unroll
		for (u32 at = part * PART; at < (part + 1) * PART; at += stride)
			push_gram(s, bloom, p + at, position + at);
	}
}

/* Anchor number `s->entry` of the bucket of `s->gram_key`; of an empty one it is nobody's. */
static __always_inline struct dlp_anchor *find_anchor(struct scratch *s)
{
	u64 bucket = s->gram_key * GRAM_MULTIPLIER >> GRAM_BUCKET_SHIFT, at = bucket;
	struct dlp_gram_starts *starts;
	struct dlp_anchors *row;

	s->index_key =
		s->generation * (DLP_GRAM_BUCKETS / DLP_GRAM_STARTS) + (bucket / DLP_GRAM_STARTS);
	starts = gram_starts.lookup(&s->index_key);
	if (!starts)
		return 0;
	asm volatile("%0 &= 2047" : "+r"(at));
	at = starts->first[at] + s->entry;
	s->index_key = s->generation * DLP_GRAM_ROWS + at / DLP_GRAM_ROW;
	row = anchors.lookup(&s->index_key);
	if (!row)
		return 0;
	asm volatile("%0 &= 511" : "+r"(at));
	return row->entry + at;
}

int grams(struct __sk_buff *skb)
{
	struct scratch *s = scratch_area();
	struct buffer *buf = buffer_area();
	struct dlp_bloom *filter;
	u32 generation;
	u64 i;

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
	if (s->candidate >= s->candidates) {
		s->candidates = 0;
		s->candidate = 0;
	}
	BARRIER();
#pragma clang loop unroll(disable)
	for (u64 i = 0; i < GRAM_BLOCKS; i++) {
		u64 block, position, eight;
		u8 *p;

		OPAQUE_VALUE(i);
		BARRIER();
		block = s->gram_block;
		if (block >= s->blocks || s->candidates > CANDIDATES - 32)
			break;
		/* Eight blocks at a time: mostly none of them is flagged. */
		eight = *(u64 *)(s->flag + (block & (FLAGS - 8))) >> ((block & 7) * 8);
		if (!(eight & (FLAG_GRAM * 0x0101010101010101ULL))) {
			s->gram_block = (block | 7) + 1;
			continue;
		}
		s->gram_block = block + 1;
		if (!(eight & FLAG_GRAM))
			continue;
		spend(s, 1, COST_GRAM_BLOCK);
		position = index_of(ORIGIN + block * BLOCK);
		if (position > PAYLOAD + CHUNK)
			break;
		p = buf->b + position;
		if (s->scan_slot == SLOT_SCAN6)
			push_grams(s, &bloom, p, position, eight, 6);
		else if (s->scan_slot == SLOT_SCAN3)
			push_grams(s, &bloom, p, position, eight, 3);
		else
			push_grams(s, &bloom, p, position, eight, 2);
	}
	tally(s, DLP_R_BLOOM_CANDIDATE, s->candidates - s->candidate, 0);
	BARRIER();
#pragma clang loop unroll(disable)
	for (i = 0; i < GRAM_STEPS; i++) {
		struct dlp_anchor *anchor;
		struct dlp_shape *shape;
		u64 position, start, at;
		u32 n;

		OPAQUE_VALUE(i);
		BARRIER();
		if (s->candidate >= s->candidates || s->matches >= MATCHES)
			break;
		position = index_of(s->gram_at[s->candidate & (CANDIDATES - 1)]);
		if (position > PAYLOAD + CHUNK)
			break;
		s->gram_key = *(u32 *)(buf->b + position) | FOLD;
		anchor = find_anchor(s);
		if (!anchor)
			return refuse();
		s->candidate += anchor->last;
		s->entry = (s->entry + 1) & ((u32)anchor->last - 1);
		if (anchor->gram != (u32)s->gram_key)
			continue;
		start = position - (s64)anchor->offset;
		s->shape_index = anchor->shape;
		s->shape_key = s->generation * DLP_SHAPES + s->shape_index;
		shape = shapes.lookup(&s->shape_key);
		if (!shape)
			continue;
		at = index_of(start + shape->literal_offset);
		if (at > PAYLOAD + CHUNK)
			continue;
		if (literal_differs(shape, buf->b + at))
			continue;
		n = s->matches;
		s->match_list[n & (MATCHES - 1)] = s->shape_index << 16 | (start & INDEX);
		s->matches = n + 1;
	}
	spend(s, i, COST_GRAM);
	BARRIER();
	/* Let the digit lane add to a short list before it is worked off. */
	if (digits_left(s) && s->matches < MATCHES / 2)
		return go_to(skb, s, SLOT_DIGITS);
	return go_on(skb, s);
}
