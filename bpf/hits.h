/* SPDX-License-Identifier: GPL-2.0 */
/* What matched, by signature and workload: for comparing a set that is live with its candidate. */

static __always_inline struct dlp_hits *hits_of(struct scratch *s, u32 signature)
{
	struct dlp_hits *row;

	s->hits_key = (u64)s->generation << 32 | (s->key.netns & (DLP_WORKLOADS - 1)) << 16 |
		      signature;
	row = hits.lookup(&s->hits_key);
	if (row)
		return row;
	hits.insert(&s->hits_key, &s->no_hits); /* fails where another processor was faster */
	return hits.lookup(&s->hits_key);
}

static __always_inline void count_prefilter(struct scratch *s, u32 signature)
{
	struct dlp_hits *row = hits_of(s, signature);

	if (row)
		__sync_fetch_and_add(&row->prefilters, 1);
}

static __always_inline void count_match(struct scratch *s, u32 signature, u64 acted)
{
	struct dlp_hits *row = hits_of(s, signature);

	if (!row)
		return;
	__sync_fetch_and_add(&row->matches, 1);
	__sync_fetch_and_add(&row->acted, acted);
}
