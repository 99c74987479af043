/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The digit lane: from flagged blocks to candidates, for what has no literal to look
 * for. Works on masks of 64 bytes, one bit a byte, the block's first byte in bit 0.
 */

#define DIGIT_STEPS 1000 /* digit groups, or shapes of one, a call */
#define LOOK_BACK 24 /* a match may begin so far before the block that was flagged */
#define BYTES(b) (0x0101010101010101ULL * (b))

/* Bit 7 of each byte that fits, gathered: byte 0 to bit 0. */
static __always_inline u64 gather(u64 high_bits)
{
	return ((high_bits >> 7) * 0x0102040810204080ULL) >> 56;
}

static __always_inline u64 digit_bytes(u64 w)
{
	u64 x = w ^ BYTES(0x30);

	x |= (x & BYTES(0x7f)) + BYTES(0x76);
	return gather(~x & BYTES(0x80));
}

/*
 * Space, hyphen, full stop, slash: 0x20 and 0x2d to 0x2f, the bytes whose high nibble
 * is 2 and whose low nibble, plus 3, is below 4 modulo 16.
 */
static __always_inline u64 separator_bytes(u64 w)
{
	u64 x = w ^ BYTES(0x20);

	x = (x & BYTES(0xf0)) | (((x & BYTES(0x0f)) + BYTES(0x03)) & BYTES(0x0c));
	x |= (x & BYTES(0x7f)) + BYTES(0x7f);
	return gather(~x & BYTES(0x80));
}

/*
 * Starts of digit groups behind which, within 16 bytes, a stretch of 7 digits and
 * separators begins. Bytes past the mask count as fitting.
 */
static __always_inline u64 group_starts(u64 digits, u64 separators, u64 before)
{
	u64 left = digits << 1 | before, right = digits >> 1 | 1ULL << 63;
	u64 run = digits | (separators & (left | right)), near;

	run &= run >> 1 | 1ULL << 63;
	run &= run >> 2 | 3ULL << 62;
	run &= run >> 3 | 7ULL << 61;
	near = run | run >> 1;
	near |= near >> 2;
	near |= near >> 4;
	near |= near >> 8;
	near |= run >> 16;
	return digits & ~left & near;
}

static __always_inline u64 is_separator(u64 c)
{
	u64 other = nonzero(c ^ ' ') & nonzero(c ^ '-') & nonzero(c ^ '.') & nonzero(c ^ '/');

	OPAQUE_VALUE(other);
	return 1 ^ other;
}

/* 1 where a is less than b; both below 2^63. */
static __always_inline u64 is_less(u64 a, u64 b)
{
	u64 difference = a - b;

	OPAQUE_VALUE(difference); /* else clang makes a jump of it */
	return difference >> 63;
}

/*
 * Masks of every flagged block, and of the end of the block before one. Straight code
 * for each block: positions are constants, so the verifier has next to nothing to do.
 */
int digits(struct __sk_buff *skb)
{
	struct scratch *s = scratch_area();
	struct buffer *buf = buffer_area();

	if (!s || !buf)
		return refuse();
	s->masked = 1;
#pragma clang loop unroll(disable)
	for (u64 block = 0; block < BLOCKS; block++) {
		u8 *p = buf->b + ORIGIN + block * BLOCK;
		u64 digits = 0, separators = 0, mask, before, starts;
		u32 n;

		BARRIER();
		if (block >= s->blocks)
			break;
		if (!((s->flag[block] | s->flag[block + 1]) & FLAG_DIGIT))
			continue;
		spend(s, 1, COST_MASKS);
		mask = s->flag[block] >> 1 & 1;
		OPAQUE_VALUE(mask);
		mask = ((1ULL << BLOCK) - 1) & ~(((1ULL << (BLOCK - LOOK_BACK)) - 1) & (mask - 1));
#pragma unroll
		for (int i = 0; i < 8; i++) {
			u64 w = *(u64 *)(p + i * 8);

			digits |= digit_bytes(w) << (i * 8);
			separators |= separator_bytes(w) << (i * 8);
		}
		before = digit_bytes(*(u64 *)(p - 8)) >> 7;
		starts = group_starts(digits, separators, before) & mask;
		n = s->units & (FLAGS - 1);
		s->unit_list[n].digits = digits;
		s->unit_list[n].starts = starts;
		s->unit_list[n].at = ORIGIN + block * BLOCK;
		s->units += (u32)nonzero(starts);
	}
	BARRIER();
	return go_on(skb, s);
}

/* Which shapes of the lane may begin at the first start left in the unit. No branches. */
static __always_inline void select_shapes(struct scratch *s, struct buffer *buf,
					  const struct dlp_lane *lane,
					  const struct dlp_constants *c)
{
	u64 starts = s->starts, one = starts & -starts;
	u64 p = bit_number(c, one), rest, length, is_long, row, behind, second, separator, bits;
	u64 at;

	s->starts = starts ^ one;
	s->groups++;
	rest = ~(s->digits >> p);
	length = bit_number(c, rest & -rest);
	is_long = -is_less(14, length);
	OPAQUE_VALUE(is_long);
	length = least(length, 15);
	asm volatile("%0 &= 15" : "+r"(length));
	at = index_of(s->unit_at + p + length);
	separator = -is_separator(buf->b[at]);
	OPAQUE_VALUE(separator);
	bits = lane->after[buf->b[at]] | is_long;
	at = index_of(s->unit_at + p);
	row = length * 32 + (buf->b[at] & 15);
	asm volatile("%0 &= 495" : "+r"(row));
	bits &= (lane->first[row] & (~separator | is_long)) |
		(lane->first[row + 16] & (separator | is_long));
	bits &= lane->before[buf->b[index_of(at - 1)]];
	behind = p + length + 1;
	rest = ~(s->digits >> (behind & 63));
	second = least(bit_number(c, rest & -rest), 15) & separator;
	asm volatile("%0 &= 15" : "+r"(second));
	/* Of a group that is long, or not wholly in the mask, the next one is not asked. */
	bits &= lane->second[second] | is_long | (separator & -is_less(48, behind));
	s->lane_start = at;
	s->lane_bits = bits;
}

int groups(struct __sk_buff *skb)
{
	struct scratch *s = scratch_area();
	struct buffer *buf = buffer_area();
	u32 generation, zero = 0;
	struct dlp_lane *lane;
	struct dlp_constants *c;
	u64 i;

	if (!s || !buf)
		return refuse();
	generation = s->generation & 1;
	lane = lanes.lookup(&generation);
	c = constants.lookup(&zero);
	if (!lane || !c)
		return refuse();
#pragma clang loop unroll(disable)
	for (i = 0; i < DIGIT_STEPS; i++) {
		u64 bits, one, number;
		u32 n;

		OPAQUE_VALUE(i);
		BARRIER();
		if (!s->lane_bits) {
			if (!s->starts) {
				struct unit *unit;

				n = s->unit;
				if (n >= s->units)
					break;
				s->unit = n + 1;
				unit = &s->unit_list[n & (FLAGS - 1)];
				s->starts = unit->starts;
				s->digits = unit->digits;
				s->unit_at = unit->at;
				BARRIER();
			}
			select_shapes(s, buf, lane, c);
			BARRIER();
		}
		bits = s->lane_bits;
		if (!bits)
			continue;
		n = s->matches;
		if (n >= MATCHES)
			break;
		one = bits & -bits;
		s->lane_bits = bits ^ one;
		number = bit_number(c, one) & (DLP_LANE - 1);
		s->match_list[n & (MATCHES - 1)] = (u32)lane->shape[number] << 16 |
						   ((s->lane_start - lane->offset[number]) & INDEX);
		s->matches = n + 1;
	}
	spend(s, i, COST_GROUP);
	BARRIER();
	tally(s, DLP_R_DIGIT_CANDIDATE, s->groups, 0);
	s->groups = 0;
	return go_on(skb, s);
}
