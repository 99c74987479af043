/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What stays blocked when nothing else remembers it: flows without a socket, and datagrams of
 * which a fragment was dropped. The table is shared by all workloads. Where it has no room
 * the workload itself is marked, and whatever a block of it could have stopped counts as
 * blocked until that block would have ended.
 */

static __always_inline struct dlp_bucket *bucket_of(const struct scratch *s)
{
	u32 slot = s->key.netns & (DLP_WORKLOADS - 1);

	return buckets.lookup(&slot);
}

static __always_inline void remember_block(struct scratch *s, const struct dlp_flow_key *key,
					   u32 signature, u64 lasts_ns)
{
	struct dlp_block *block = (struct dlp_block *)s->block;
	struct dlp_bucket *bucket;

	block->until_ns = s->now + lasts_ns;
	block->signature = signature;
	block->pad = 0;
	if (!blocked.update((void *)key, block))
		return;
	tally(s, DLP_R_BLOCK_LOST, 1, 0);
	bucket = bucket_of(s);
	if (bucket && (s64)(bucket->full_ns - (s->now + lasts_ns)) < 0)
		bucket->full_ns = s->now + lasts_ns;
}

/* Whether a block of the workload may be missing. */
static __always_inline int lost_a_block(const struct scratch *s)
{
	const struct dlp_bucket *bucket = bucket_of(s);

	return bucket && (s64)(bucket->full_ns - s->now) > 0;
}
