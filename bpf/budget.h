/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Work of a packet, so that its time is bounded, and not its tail calls alone: a call is worth
 * anything between a microsecond and forty.
 *
 * Each program counts what it did in nanoseconds, at what a turn of its loop costs on the
 * machine of docs/bench.md (`worst`); on another the ratios hold, the bound is as much slower
 * or faster as the machine is. The scan is not counted, as it costs the same for all bytes.
 *
 * What the kernel's TCP sends is bounded by the tail calls only. Through the gateway it is one chunk
 * at most, and a segment over the budget would only come again: an honest connection would hang.
 */

#define COST_CALL 100
#define COST_GRAM_BLOCK 100 /* a flagged block probed again, all its parts */
#define COST_GRAM 45 /* a q-gram looked up, its shape and literal compared */
#define COST_MASKS 37 /* a block's masks */
#define COST_GROUP 17 /* a digit group, or a shape that it selects */
#define COST_CANDIDATE 60 /* a candidate taken up */
#define COST_STEP 16 /* eight bytes of a step */
#define COST_NEAR 15
#define COST_CHECK 160
#define COST_JUDGED 2000 /* digest, exception, distinct values */

#define WORK_BYTES 32768 /* a smaller packet may cost as much as one of this size */
#define WORK_MILLI 800 /* thousandths of a nanosecond a byte, beside the scan */

/* Nanoseconds that a packet may cost beside the scan. */
static __always_inline u32 work_allowed(const struct scratch *s)
{
	u32 payload = s->payload;

	if (payload <= CHUNK || s->owned)
		return ~0U;
	if (payload < WORK_BYTES)
		payload = WORK_BYTES;
	return payload * WORK_MILLI / 1000;
}

static __always_inline void spend(struct scratch *s, u64 turns, u32 each)
{
	s->work += turns * each;
}

static __always_inline int overspent(const struct scratch *s)
{
	return s->work > s->work_allowed;
}
