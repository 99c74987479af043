/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What every program needs: its areas, counters, and arithmetic without branches.
 *
 * The verifier follows each way through a loop apart as long as registers differ, so
 * loops keep their state in the scratch area (a map value, of which it knows nothing)
 * and BARRIER() makes the compiler store and reload it there.
 */

#define PASS TC_ACT_UNSPEC /* on to the next filter: foreign ones stay in charge of their own */
#define DROP TC_ACT_SHOT

#define BARRIER() asm volatile("" ::: "memory")
#define OPAQUE_VALUE(v) asm volatile("" : "+r"(v))

static __always_inline struct scratch *scratch_area(void)
{
	u32 zero = 0;

	return scratches.lookup(&zero);
}

static __always_inline struct buffer *buffer_area(void)
{
	u32 zero = 0;

	return buffers.lookup(&zero);
}

static __always_inline void tally(struct scratch *s, u32 reason, u64 packets, u64 bytes)
{
	u32 slot = s->key.netns & (DLP_WORKLOADS - 1);
	struct dlp_counters *row = counters.lookup(&slot);

	u64 r = reason;

	if (!row)
		return;
	if (!__builtin_constant_p(reason))
		asm volatile("%0 &= 127" : "+r"(r)); /* in a form that 6.1 can follow */
	row->packets[r] += packets;
	row->bytes[r] += bytes;
}

/* 1 where v is not 0; clang would make a jump of (v != 0). */
static __always_inline u64 nonzero(u64 v)
{
	u64 y = -v;

	OPAQUE_VALUE(y);
	y |= v;
	OPAQUE_VALUE(y);
	return y >> 63;
}

/* 1 where a is less than b, both below 2^63; clang would make a jump of (a < b). */
static __always_inline u64 below(u64 a, u64 b)
{
	u64 difference = a - b;

	OPAQUE_VALUE(difference);
	return difference >> 63;
}

/* The lesser of two values below 2^63. */
static __always_inline u64 least(u64 a, u64 b)
{
	u64 less = (s64)(a - b) >> 63;

	OPAQUE_VALUE(less);
	return b ^ ((a ^ b) & less);
}

/* a - b, or 0 where b is greater; both below 2^63. */
static __always_inline u64 sub_to_zero(u64 a, u64 b)
{
	u64 difference = a - b, negative = (s64)difference >> 63;

	OPAQUE_VALUE(negative);
	return difference & ~negative;
}

/* Number of the one bit that is set; 0 for 0. */
static __always_inline u64 bit_number(const struct dlp_constants *c, u64 one)
{
	return c->bit_number[(one * DLP_DEBRUIJN) >> 58];
}

/* Shifts count modulo 64 in this instruction set; C would want that said each time. */
static __always_inline u64 shift_right(u64 v, u64 by)
{
	asm volatile("%0 >>= %1" : "+r"(v) : "r"(by));
	return v;
}

static __always_inline u64 index_of(u64 v)
{
	asm volatile("%0 &= 0x7fff" : "+r"(v));
	return v;
}

/* An index that eight bytes may be read at. */
static __always_inline u64 word_index_of(u64 v)
{
	asm volatile("%0 &= 0x7ff8" : "+r"(v));
	return v;
}

/* The policy's rule for a signature; 0 where it has none. */
static __always_inline struct dlp_rule *find_rule(struct scratch *s, u32 signature)
{
	u64 place = signature & (DLP_RULE_PAGE - 1);
	struct dlp_rule_page *page;

	s->rule_key = s->generation << 12 | s->policy << 6 | signature / DLP_RULE_PAGE;
	page = rule_pages.lookup(&s->rule_key);
	if (!page)
		return 0;
	asm volatile("%0 &= 63" : "+r"(place));
	s->rule_key = page->rule[place];
	if (!s->rule_key)
		return 0;
	s->rule_key += s->generation * DLP_RULES;
	return rules.lookup(&s->rule_key);
}

static __always_inline u64 literal_differs(const struct dlp_shape *shape, const u8 *p)
{
	u64 differs = 0;

#pragma unroll
	for (int i = 0; i < DLP_LITERAL / 8; i++) {
		u64 w = *(u64 *)(p + i * 8);

		w |= *(u64 *)(shape->fold + i * 8);
		w ^= *(u64 *)(shape->literal + i * 8);
		differs |= w & *(u64 *)(shape->mask + i * 8);
	}
	return differs;
}

/* The last bytes in the buffer, to stand before what follows them. */
static __always_inline void copy_tail(const struct scratch *s, const struct buffer *buf, u8 *to)
{
	u64 tail = index_of(s->end - DLP_TAIL);

	if (tail > PAYLOAD + CHUNK)
		tail = ORIGIN; /* cannot be; the verifier does not know */
	__builtin_memcpy(to, buf->b + tail, DLP_TAIL);
}

static __always_inline void clear_key(struct scratch *s)
{
	__builtin_memset(s->key.source, 0, sizeof(s->key.source));
	__builtin_memset(s->key.destination, 0, sizeof(s->key.destination));
	s->key.source_port = 0;
	s->key.destination_port = 0;
	s->key.protocol = 0;
	s->key.family = 0;
	s->key.pad = 0;
}

static __always_inline int is_monitor(const struct scratch *s)
{
	return s->policy_flags & DLP_P_MONITOR;
}
