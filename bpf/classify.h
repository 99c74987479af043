/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The first program behind the entry: parse, who, policy, destination, flow.
 * It decides what can be decided without reading payload, and sets up the scan.
 */

static __always_inline void clear_packet(struct scratch *s)
{
	clear_key(s);
	s->payload = 0;
	s->tcp = 0;
	s->tcp_flags = 0;
	s->advance = 0;
	s->verdict = 0;
	s->mirror = 0;
	s->judged = 0;
	s->shadow = 0;
	s->flow_opaque = 0;
	s->skip = 2;
	s->flow_id = 0;
	s->owned = 0;
	s->partly = 0;
	s->matched = 0;
	s->back = 0;
	s->loaded = 0;
	s->fragment = 0;
	s->headers = 0;
	s->raw = 0;
	s->tcp_options = 0;
	s->plain_options = 1;
	s->join = 0;
	s->seam = 0;
	s->open = 0;
	s->again = 0;
	s->released = 0;
	s->verdict_signature = 0;
	s->next_byte = UNKNOWN_BYTE;
	s->ended = 1;
	s->work = 0;
}

#define PADDING 64 /* Ethernet pads to 60 bytes */

/* Whether what lies behind the IP length is zeroes, as a driver pads short frames. */
static __always_inline int is_padding(struct __sk_buff *skb, u32 at)
{
	u64 rest[PADDING / 8] = {}, seen = 0, size = skb->len - at;

	if (size > PADDING)
		return 0;
	size--;
	asm volatile("%0 &= 63\n%0 += 1" : "+r"(size));
	if (bpf_skb_load_bytes(skb, at, rest, size))
		return 0;
#pragma unroll
	for (int i = 0; i < PADDING / 8; i++)
		seen |= rest[i];
	return !seen;
}

#define OPTIONS 40 /* bytes of TCP options at most */
#define OPTION_MPTCP 30
#define MPTCP_JOIN 1

/* Whether a SYN opens a further subflow of an MPTCP connection (RFC 8684, 3.2). */
static __always_inline int joins_mptcp(struct __sk_buff *skb, struct scratch *s,
				       const struct tcp_header *tcp)
{
	u64 size = tcp->options_length, at = 0;
	u32 found = 0;

	if (!size || size > OPTIONS)
		return 0;
	__builtin_memset(s->block, 0, OPTIONS + 8);
	size--;
	asm volatile("%0 &= 63\n%0 += 1" : "+r"(size));
	if (size > OPTIONS || bpf_skb_load_bytes(skb, tcp->options, s->block, size))
		return 0;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < OPTIONS; i++) {
		u32 kind, length;

		OPAQUE_VALUE(i);
		BARRIER();
		asm volatile("%0 &= 63" : "+r"(at));
		if (at >= OPTIONS)
			break;
		kind = s->block[at];
		length = s->block[at + 1];
		if (kind == OPTION_MPTCP && s->block[at + 2] >> 4 == MPTCP_JOIN)
			found = 1;
		if (!kind || (kind > 1 && length < 2))
			break;
		at += kind == 1 ? 1 : length;
		if (at >= OPTIONS)
			break;
	}
	return found;
}

#define IP4_HEADER 20
#define IP6_HEADER 40
#define FRAGMENT_HEADER 8
#define ROUTER_ALERT 8 /* bytes of the option at most */

/* Parse down to the payload: 0, or the reason why that cannot be done. */
static __always_inline int parse_packet(struct __sk_buff *skb, struct scratch *s)
{
	struct cursor c = { .skb = skb, .end = skb->len, .fragment = &s->ip };
	struct tcp_header tcp = {};
	int type = parse_ethernet(&c);

	if (type < 0)
		return type;
	s->headers = c.at;
	__builtin_memset(&s->ip, 0, sizeof(s->ip));
	BARRIER();
	if (type == ETH_IP4) {
		type = parse_ip4(&c, &s->key);
	} else if (type == ETH_IP6) {
		type = parse_ip6(&c, &s->key);
	} else {
		s->key.protocol = type;
		s->cursor = c.at;
		s->limit = skb->len;
		return type; /* no IP protocol has such a number */
	}
	if (type < 0)
		return type;
	s->headers = c.at - s->headers;
	s->hops = s->ip.hops;
	s->fragment = s->ip.is ? (s->ip.offset ? 1 : FIRST_FRAGMENT) : 0;
	if (type != PROTO_FRAGMENT)
		s->key.protocol = type;
	if (type == PROTO_TCP)
		type = parse_tcp(&c, &s->key, &tcp);
	else if (type == PROTO_UDP)
		type = parse_udp(&c, &s->key);
	if (type < 0)
		return type;
	if (s->ip.is) {
		tally(s, DLP_R_FRAGMENT, 1, skb->len);
		s->fragment_offset = s->ip.offset + (c.at - s->ip.l4);
		/* 0 behind the last: the datagram is complete, and its id may be used again. */
		s->fragment_next = s->ip.more ? s->ip.offset + (c.end - s->ip.l4) : 0;
		s->poisons = 1;
		key_of_datagram(s);
	}
	if (c.lie)
		tally(s, DLP_R_LENGTH_LIE, 1, skb->len);
	s->cursor = c.at;
	s->limit = c.end;
	if (c.end < skb->len && !is_padding(skb, c.end))
		return -DLP_R_TRAILER;
	/* A fragment of a TCP segment is not the stream. */
	s->tcp = type == PROTO_TCP && !s->ip.is;
	s->tcp_options = tcp.options_length;
	s->options_at = tcp.options;
	s->join = s->tcp && tcp.flags & TCP_SYN && joins_mptcp(skb, s, &tcp);
	s->tcp_flags = tcp.flags;
	s->sequence = tcp.sequence + ((tcp.flags & TCP_SYN) ? 1 : 0);
	return type;
}

static __always_inline int is_quarantined(const struct scratch *s)
{
	struct dlp_guard *row = guard_of(s);

	return row && row->flags & DLP_G_QUARANTINED;
}

static __always_inline int is_common(int type)
{
	return type == ETH_ARP || type == PROTO_TCP || type == PROTO_UDP || type == PROTO_ICMP ||
	       type == PROTO_ICMP6 || type == PROTO_IGMP || type == PROTO_FRAGMENT;
}

/*
 * Whether the IP header carries more than it must. Group membership asks routers to look,
 * by an option (RFC 2113, RFC 2711).
 */
static __always_inline int has_options(const struct scratch *s, int type)
{
	u32 allowed = s->key.family == 4 ? IP4_HEADER : IP6_HEADER;

	if (type == PROTO_IGMP || type == PROTO_ICMP6)
		allowed += ROUTER_ALERT;
	if (s->key.family == 6 && s->fragment)
		allowed += FRAGMENT_HEADER;
	return s->key.family && s->headers > allowed;
}

#define STAMP_OPTIONS 12 /* bytes of two no-ops and a time stamp (RFC 7323, appendix A) */
#define STAMP_PREFIX 0x0a080101 /* their kinds and length, as loaded */

/* Whether TCP's options are such as in the kernel's own resets: none, or a time stamp. */
static __always_inline int has_plain_options(struct __sk_buff *skb, const struct scratch *s)
{
	u32 prefix = 0;

	if (!s->tcp_options)
		return 1;
	return s->tcp_options == STAMP_OPTIONS &&
	       !bpf_skb_load_bytes(skb, s->options_at, &prefix, sizeof(prefix)) &&
	       prefix == STAMP_PREFIX;
}

/* Why the policy will not have a packet of this kind; 0 where it will. */
static __always_inline u32 reason_to_refuse(const struct scratch *s, int type)
{
	u32 flags = s->policy_flags;

	if (s->fragment) {
		if (flags & DLP_P_FRAGMENTS_DROP || s->key.protocol == PROTO_TCP)
			return DLP_R_FRAGMENT_REFUSED;
		if (flags & DLP_P_UNOWNED_DROP && !s->kernel_made)
			return DLP_R_UNOWNED;
	}
	if (flags & DLP_P_OTHER_DROP && !is_common(type))
		return DLP_R_OTHER_PROTOCOL;
	if (flags & DLP_P_OTHER_DROP && has_options(s, type))
		return DLP_R_IP_OPTIONS;
	if (flags & DLP_P_MPTCP_DROP && s->join)
		return DLP_R_MPTCP_JOIN;
	if (s->tcp && flags & DLP_P_UNOWNED_DROP && !s->plain_options)
		return DLP_R_UNOWNED;
	if (!s->tcp || !s->payload)
		return 0;
	if (flags & DLP_P_UNOWNED_DROP && !s->owned)
		return DLP_R_UNOWNED;
	if (flags & DLP_P_URGENT_DROP && s->tcp_flags & TCP_URG)
		return DLP_R_URGENT;
	return 0;
}

/* Tell of a refusal, once a flow. In monitor mode it is counted, and the packet goes on. */
static __always_inline int refuses(struct scratch *s, struct dlp_flow *flow, u32 reason)
{
	if (!flow->refused) {
		flow->refused = 1;
		note(s, DLP_EV_REFUSED, DLP_DROP, reason);
	}
	if (is_monitor(s)) {
		would_drop(s, reason, s->payload);
		return 0;
	}
	if (s->tcp)
		flow->flags |= DLP_F_HOLE;
	return 1;
}

int classify(struct __sk_buff *skb)
{
	u32 zero = 0, index;
	struct scratch *s = scratch_area();
	struct buffer *buf = buffer_area();
	struct dlp_settings *set = settings.lookup(&zero);
	struct dlp_policy *policy;
	struct dlp_flow *flow;
	u32 owner, reason;
	int type;

	if (!s || !buf || !set)
		return refuse();
	clear_packet(s);
	s->now = bpf_ktime_get_coarse_ns(); /* events are stamped exactly */
	s->generation = set->generation & 1;
	s->scan_slot = set->scan_slot[set->generation & 1];
	s->bloom_shift = set->bloom_shift[set->generation & 1];
	s->release = set->release;
	/* The coarse clock may be behind the heartbeat's. */
	s->inspector_down = (s64)(s->now - set->heartbeat_ns) > (s64)set->heartbeat_max_ns;
	s->policy = policy_of(skb, s, set);
	if (s->policy >= set->policies[s->generation & 1])
		s->policy = 0;
	tally(s, DLP_R_PACKETS, 1, skb->len);
	s->event_burst = set->event_burst;
	if (is_quarantined(s)) {
		tally(s, DLP_R_QUARANTINED, 1, skb->len);
		tally(s, DLP_R_DROPPED, 1, skb->len);
		return DROP;
	}
	index = s->generation * DLP_POLICIES + s->policy;
	policy = policies.lookup(&index);
	if (!policy)
		return refuse();
	s->policy_flags = policy->flags;
	s->uninspectable = policy->uninspectable;

	/* Private and linear: a file page could be changed between the scan and the wire. */
	if (bpf_skb_pull_data(skb, skb->len))
		return drop(skb, s, DLP_R_PULL_FAILED, skb->len);

	type = parse_packet(skb, s);
	if (type < 0)
		return drop(skb, s, -type, skb->len);
	if (type == ETH_ARP)
		tally(s, DLP_R_ARP, 1, skb->len);
	else if (!s->key.family)
		tally(s, DLP_R_NON_IP_SCANNED, 1, skb->len);
	s->payload = s->limit > s->cursor ? s->limit - s->cursor : 0;
	s->payload_at = s->cursor;
	s->hold_timeout_ms = policy->hold_timeout_ms;

	owner = owner_of(skb);
	s->owned = s->tcp && owner == OWNER_TCP;
	s->work_allowed = work_allowed(s);
	s->kernel_made = owner == OWNER_TCP || owner == OWNER_DATAGRAM;
	s->raw = owner == OWNER_RAW;
	if (s->tcp && s->raw)
		s->plain_options = has_plain_options(skb, s);
	flow = flow_of(skb, s);
	if (!flow)
		return drop(skb, s, DLP_R_MAP_FAILED, skb->len);
	s->flow_id = flow->id;
	flow->seen_ns = s->now;
	/* A socket that is connected anew has another destination. */
	if (flow->release != s->release || flow->policy != s->policy ||
	    (s->owned && s->tcp_flags & TCP_SYN)) {
		u32 action = destination_of(&s->key, policy);

		flow->release = s->release; /* the first is 1, a fresh flow has 0 */
		flow->policy = s->policy;
		flow->flags |= DLP_F_TAIL; /* the other set has not seen it */
		flow->flags &= ~(DLP_F_EXEMPT | DLP_F_DENIED);
		if (action == DLP_DEST_EXEMPT)
			flow->flags |= DLP_F_EXEMPT;
		if (action == DLP_DEST_DENY) {
			flow->flags |= DLP_F_DENIED;
			note(s, DLP_EV_DENIED, DLP_DROP, DLP_R_DENIED);
		}
	}
	if (flow->flags & DLP_F_DENIED) {
		if (!is_monitor(s))
			return drop(skb, s, DLP_R_DENIED, s->payload);
		would_drop(s, DLP_R_DENIED, s->payload);
	}

	reason = flow->flags & DLP_F_EXEMPT ? 0 : reason_to_refuse(s, type);
	if (reason && refuses(s, flow, reason))
		return drop(skb, s, reason, s->payload);

	if (s->tcp && s->payload && !(s->tcp_flags & TCP_SYN) && !is_monitor(s) &&
	    flow->state == DLP_FLOW_OPEN && !(flow->flags & DLP_F_EXEMPT)) {
		s->ended = !(s->policy_flags & DLP_P_OPEN_END_WAIT) || s->tcp_flags & TCP_FIN;
		if (flow->waits && await_byte(skb, s, flow))
			return take_out(skb, s);
		if (flow->held_ns) {
			u32 awaited = await_word(s, flow);

			if (awaited == AWAITED_HOLD)
				programs.call(skb, SLOT_HOLD);
			s->released = awaited == AWAITED_RELEASED;
			if (awaited == AWAITED_TAKE_OUT || awaited == AWAITED_HOLD) {
				tally(s, DLP_R_HELD, 1, s->payload);
				return take_out(skb, s);
			}
		}
	}
	if (s->tcp) {
		reason = place_segment(skb, s, buf, flow);
		if ((reason == DLP_R_UNOWNED || reason == DLP_R_HOP_LIMIT) &&
		    !refuses(s, flow, reason))
			reason = 0;
		if (reason)
			return drop(skb, s, reason, s->payload);
	} else if (s->fragment) {
		s->advance = 0;
		reason = place_fragment(s, buf);
		if (reason && refuses(s, flow, reason))
			return drop(skb, s, reason, s->payload);
	} else {
		__builtin_memset(buf->b + ORIGIN, 0, DLP_TAIL);
		s->packet_base = 0; /* offsets count from the datagram's first byte */
		s->advance = 0;
	}
	if (flow->flags & DLP_F_MIRROR && flow->state != DLP_FLOW_BLOCKED) {
		struct dlp_word *word = words.lookup(&flow->id);

		s->mirror = 1;
		if (word && word->block) {
			block_flow(s, flow, word->signature);
			tally(s, DLP_R_INSPECTOR_BLOCKED, 1, s->payload);
		}
	}
	if (flow->state == DLP_FLOW_BLOCKED) {
		if (!s->payload && s->tcp_flags & (TCP_FIN | TCP_RST)) {
			tally(s, DLP_R_CONTROL, 1, 0);
			return pass(skb, s, 0);
		}
		return drop(skb, s, DLP_R_FLOW_BLOCKED, s->payload);
	}
	if (!s->payload) {
		if (s->advance && s->tcp)
			flow->next_seq = s->sequence_end;
		flow->packets++;
		list_flow(s, flow);
		tally(s, DLP_R_NO_PAYLOAD, 1, 0);
		return pass(skb, s, 0);
	}
	if (flow->flags & DLP_F_EXEMPT) {
		if (s->advance) {
			flow->next_seq = s->sequence_end;
			flow->flags |= DLP_F_PARTLY;
			__builtin_memset(flow->tail, 0, DLP_TAIL);
		}
		flow->packets++;
		flow->offset += s->payload;
		flow->missed += s->payload;
		list_flow(s, flow);
		tally(s, DLP_R_EXEMPT, 1, s->payload);
		return pass(skb, s, s->payload);
	}
	if (!(flow->flags & DLP_F_FIRST))
		recognise(skb, s, buf, flow);
	if (flow->opaque) {
		s->flow_opaque = flow->opaque;
		tally(s, DLP_R_OPAQUE_TLS - 1 + (flow->opaque & 3), 1, s->payload);
		if (s->uninspectable == DLP_DROP && !is_monitor(s)) {
			if (s->tcp)
				block_flow(s, flow, 0);
			return drop(skb, s, DLP_R_UNINSPECTABLE, s->payload);
		}
		if (s->uninspectable == DLP_DROP)
			would_drop(s, DLP_R_UNINSPECTABLE, s->payload);
	}
	s->partly = flow->flags & DLP_F_PARTLY;
	s->seam = flow->flags & DLP_F_SEAM;
	s->first = 1;
	s->base = s->packet_base - DLP_TAIL;
	programs.call(skb, s->scan_slot);
	return over_budget(skb, s, DLP_R_TAIL_CALL_FAILED);
}
