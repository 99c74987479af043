/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tokens: what the guard on the host's end of a veth tells packets of the classifier by.
 *
 * A process with CAP_NET_RAW can hand a packet to the device past TC egress. It cannot set
 * skb->hash, which crosses the veth; so a packet that may leave carries the workload's
 * token there, and one that is held the other token, which the guard takes out: TCP has
 * then sent it, and will send it again. Under TCX, TC_ACT_STOLEN means "next" and the
 * packet would leave.
 */

static __always_inline struct dlp_guard *guard_of(const struct scratch *s)
{
	u32 slot = s->key.netns & (DLP_WORKLOADS - 1);

	return guards.lookup(&slot);
}

static __always_inline void stamp(struct __sk_buff *skb, const struct scratch *s)
{
	struct dlp_guard *row;

	if (!(s->device & (DLP_D_GUARDED | DLP_D_STAMPS)))
		return;
	row = guard_of(s);
	if (row)
		bpf_set_hash(skb, row->token[row->current & 1]);
}

/* Out of the way, so that TCP believes it sent the segment; SHOT where nothing else does. */
static __always_inline int take_out(struct __sk_buff *skb, const struct scratch *s)
{
	struct dlp_guard *row;

	if (s->device & DLP_D_STEALS)
		return TC_ACT_STOLEN;
	row = guard_of(s);
	if (!row || !(s->device & DLP_D_GUARDED))
		return DROP;
	bpf_set_hash(skb, row->held[row->current & 1]);
	return s->device & DLP_D_FINAL ? TC_ACT_OK : PASS;
}
