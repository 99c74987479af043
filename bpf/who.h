/* SPDX-License-Identifier: GPL-2.0 */
/* Whose packet it is, and where it may go: bindings and destination rules. */

/* (namespace, cgroup), then (namespace, any), then the strictest policy in force. */
static __always_inline u32 policy_of(struct __sk_buff *skb, struct scratch *s,
				     const struct dlp_settings *set)
{
	struct dlp_who who = { .netns = s->key.netns };
	struct dlp_binding *binding;

	s->cgroup = set->cgroup_level ? bpf_skb_ancestor_cgroup_id(skb, set->cgroup_level)
				      : bpf_skb_cgroup_id(skb);
	if (set->by_cgroup) {
		who.cgroup = s->cgroup;
		binding = workloads.lookup(&who);
		if (binding)
			return binding->policy[s->generation & 1];
	}
	who.cgroup = 0;
	binding = workloads.lookup(&who);
	if (binding)
		return binding->policy[s->generation & 1];
	tally(s, DLP_R_NO_POLICY, 1, skb->len);
	return 0;
}

static __always_inline u64 word_at(const u8 *p)
{
	return *(u64 *)p;
}

/* Destination rules, first match in list order. Read when a flow begins or a set changes. */
static __always_inline u32 destination_of(const struct dlp_flow_key *key,
					  const struct dlp_policy *policy)
{
	u32 action = DLP_DEST_INSPECT;

#pragma clang loop unroll(disable)
	for (int i = 0; i < DLP_DESTINATIONS; i++) {
		const struct dlp_destination *d = &policy->destination[i];

		if (i >= policy->destinations)
			break;
		if ((word_at(key->destination) & word_at(d->mask)) != word_at(d->address))
			continue;
		if ((word_at(key->destination + 8) & word_at(d->mask + 8)) !=
		    word_at(d->address + 8))
			continue;
		if (key->destination_port < d->port_low || key->destination_port > d->port_high)
			continue;
		action = d->action;
		break;
	}
	return action;
}
