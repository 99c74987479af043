/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The digit lane: from flagged blocks to candidates, for what has no literal to look
 * for. Works on masks of 64 bytes, one bit a byte, the block's first byte in bit 0.
 */

#define DIGIT_STEPS 384
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
	return 1 ^ (nonzero(c ^ ' ') & nonzero(c ^ '-') & nonzero(c ^ '.') & nonzero(c ^ '/'));
}

/* Read the next unit that may hold a start. 0 when there is none left. */
static __always_inline int next_unit(struct scratch *s, struct buffer *buf)
{
	u64 block = s->digit_block, mask, position, before;
	u64 digits = 0, separators = 0;
	u64 here = s->flag[block & (FLAGS - 1)] & FLAG_DIGIT;
	u64 next = s->flag[(block + 1) & (FLAGS - 1)] & FLAG_DIGIT;
	u8 *p;

	s->digit_block = block + 1;
	if (!(here | next))
		return 0;
	mask = (1ULL << BLOCK) - 1;
	if (!here)
		mask &= ~((1ULL << (BLOCK - LOOK_BACK)) - 1);
	position = index_of(ORIGIN + block * BLOCK);
	if (position > PAYLOAD + CHUNK)
		return 0;
	p = buf->b + position;
#pragma unroll
	for (int i = 0; i < 8; i++) {
		u64 w = *(u64 *)(p + i * 8);

		digits |= digit_bytes(w) << (i * 8);
		separators |= separator_bytes(w) << (i * 8);
	}
	s->digits = digits;
	before = digit_bytes(*(u64 *)(buf->b + word_index_of(position - 8))) >> 7;
	s->starts = group_starts(digits, separators, before) & mask;
	s->unit = position;
	return 1;
}

/* Which shapes of the lane may begin at the first start left in the unit. */
static __always_inline void select_shapes(struct scratch *s, struct buffer *buf,
					  const struct dlp_lane *lane,
					  const struct dlp_constants *c)
{
	u64 starts = s->starts, one = starts & -starts;
	u64 p = bit_number(c, one), rest, length, behind, digit, separator, bits, row;
	u64 at = index_of(s->unit + p);
	u8 *b;

	s->starts = starts ^ one;
	s->groups++;
	if (at > PAYLOAD + CHUNK)
		return;
	b = buf->b + at;
	rest = ~(s->digits >> p);
	length = bit_number(c, rest & -rest);
	digit = b[0] & 15;
	s->lane_start = at;
	bits = lane->before[buf->b[index_of(at - 1)]];
	if (length >= 15) {
		s->lane_bits = bits & (lane->first[480 + digit] | lane->first[496 + digit]);
		return;
	}
	asm volatile("%0 &= 15" : "+r"(length));
	separator = is_separator(b[length]);
	row = length * 32 + separator * 16 + digit;
	asm volatile("%0 &= 511" : "+r"(row));
	bits &= lane->first[row] & lane->after[b[length]];
	behind = p + length + 1;
	if (separator) {
		u64 second;

		if (behind > 48) {
			s->lane_bits = bits; /* the next group is not wholly in the mask */
			return;
		}
		rest = ~(s->digits >> (behind & 63));
		second = bit_number(c, rest & -rest);
		if (second > 15)
			second = 15;
		asm volatile("%0 &= 15" : "+r"(second));
		s->lane_bits = bits & lane->second[second];
	} else {
		s->lane_bits = bits & lane->second[0];
	}
}

int digits(struct __sk_buff *skb)
{
	struct scratch *s = scratch_area();
	struct buffer *buf = buffer_area();
	u32 generation, zero = 0;
	struct dlp_lane *lane;
	struct dlp_constants *c;

	if (!s || !buf)
		return refuse();
	generation = s->generation & 1;
	lane = lanes.lookup(&generation);
	c = constants.lookup(&zero);
	if (!lane || !c)
		return refuse();
#pragma clang loop unroll(disable)
	for (u64 i = 0; i < DIGIT_STEPS; i++) {
		u64 bits, one, number;
		u32 n;

		OPAQUE_VALUE(i);
		BARRIER();
		if (!s->lane_bits) {
			if (!s->starts) {
				if (s->digit_block >= s->blocks)
					break;
				next_unit(s, buf);
				BARRIER();
				if (!s->starts)
					continue;
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
	tally(s, DLP_R_DIGIT_CANDIDATE, s->groups, 0);
	s->groups = 0;
	return go_on(skb, s);
}
