/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The host's side: the guard at ingress of each veth's host end, and the gate of a cgroup.
 * Neither reads payload. Userspace loads copies with the namespace's key put in.
 */

#define CGROUP_PASS 1
#define CGROUP_DROP 0

/* The headers of a packet that nobody classified, as an event. */
static __always_inline void tell_bypass(struct __sk_buff *skb, struct scratch *s)
{
	struct cursor c = { .skb = skb, .end = skb->len, .fragment = &s->ip };
	struct tcp_header tcp = {};
	int type;

	clear_key(s);
	s->flow_id = 0;
	s->cgroup = 0;
	s->packet_base = 0;
	s->payload = skb->len;
	s->policy = 0;
	s->policy_flags = 0;
	s->release = 0;
	s->owned = 0;
	s->now = bpf_ktime_get_coarse_ns();
	type = parse_ethernet(&c);
	if (type == ETH_IP4)
		type = parse_ip4(&c, &s->key);
	else if (type == ETH_IP6)
		type = parse_ip6(&c, &s->key);
	if (type >= 0 && type != PROTO_FRAGMENT)
		s->key.protocol = type;
	if (type == PROTO_TCP)
		parse_tcp(&c, &s->key, &tcp);
	else if (type == PROTO_UDP)
		parse_udp(&c, &s->key);
	note(s, DLP_EV_BYPASS, DLP_DROP, DLP_R_BYPASS);
}

/* Ingress of the host's end: in comes what bears the token, and without it from here on. */
int guard(struct __sk_buff *skb)
{
	struct scratch *s = scratch_area();
	struct dlp_settings *set;
	struct dlp_guard *row;
	u32 zero = 0, hash = skb->hash;
	u64 key;

	if (!s)
		return refuse();
	asm volatile("%0 = 0x1122334455667788 ll" : "=r"(key));
	s->key.netns = key;
	row = guard_of(s);
	if (!row)
		return refuse();
	if (row->flags & DLP_G_CLOSED) {
		tally(s, DLP_R_CLOSED, 1, skb->len);
		return DROP;
	}
	if (hash && (hash == row->token[0] || hash == row->token[1])) {
		tally(s, DLP_R_GUARDED, 1, skb->len);
		bpf_set_hash_invalid(skb);
		return PASS;
	}
	if (hash && (hash == row->held[0] || hash == row->held[1])) {
		tally(s, DLP_R_GUARD_HELD, 1, skb->len);
		return DROP;
	}
	tally(s, DLP_R_BYPASS, 1, skb->len);
	set = settings.lookup(&zero);
	s->event_burst = set ? set->event_burst : 0;
	tell_bypass(skb, s);
	return (row->flags & (DLP_G_MONITOR | DLP_G_QUARANTINED)) == DLP_G_MONITOR ? PASS : DROP;
}

/*
 * Egress of a cgroup whose children hold a workload each: a child may send once its cgroup
 * is admitted. Userspace puts in the children's level below the root.
 */
int gate(struct __sk_buff *skb)
{
	struct scratch *s = scratch_area();
	u64 level, id;

	if (!s)
		return CGROUP_DROP;
	asm volatile("%0 = 0x1122334455667788 ll" : "=r"(level));
	id = bpf_skb_ancestor_cgroup_id(skb, level);
	if (!id || admitted.lookup(&id))
		return CGROUP_PASS;
	s->key.netns = 0;
	tally(s, DLP_R_GATED, 1, skb->len);
	return CGROUP_DROP;
}
