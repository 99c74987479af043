/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The first program behind the entry: parse, who, policy, destination, flow.
 * It decides what can be decided without reading payload, and sets up the scan.
 */

#define ETHERTYPE_FAMILY 0

static __always_inline void clear_packet(struct scratch *s)
{
	__builtin_memset(s->key.source, 0, sizeof(s->key.source));
	__builtin_memset(s->key.destination, 0, sizeof(s->key.destination));
	s->key.source_port = 0;
	s->key.destination_port = 0;
	s->key.protocol = 0;
	s->key.family = 0;
	s->key.pad = 0;
	s->payload = 0;
	s->tcp = 0;
	s->tcp_flags = 0;
	s->advance = 0;
	s->verdict = 0;
	s->mirror = 0;
	s->judged = 0;
	s->flow_opaque = 0;
	s->skip = 2;
	s->flow_id = 0;
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

/* Parse down to the payload: 0, or the reason why that cannot be done. */
static __always_inline int parse_packet(struct __sk_buff *skb, struct scratch *s)
{
	struct cursor c = { .skb = skb, .end = skb->len };
	struct tcp_header tcp = {};
	int type = parse_ethernet(&c);

	if (type < 0)
		return type;
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
	if (type != PROTO_FRAGMENT)
		s->key.protocol = type;
	if (type == PROTO_TCP)
		type = parse_tcp(&c, &s->key, &tcp);
	else if (type == PROTO_UDP)
		type = parse_udp(&c, &s->key);
	if (type < 0)
		return type;
	if (c.fragment)
		tally(s, DLP_R_FRAGMENT, 1, skb->len);
	if (c.lie)
		tally(s, DLP_R_LENGTH_LIE, 1, skb->len);
	s->cursor = c.at;
	s->limit = c.end;
	if (c.end < skb->len && !is_padding(skb, c.end))
		return -DLP_R_TRAILER;
	/* A fragment of a TCP segment is scanned as it is, but it is not the stream. */
	s->tcp = type == PROTO_TCP && !c.fragment;
	s->tcp_flags = tcp.flags;
	s->sequence = tcp.sequence + ((tcp.flags & TCP_SYN) ? 1 : 0);
	return type;
}

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

static __always_inline struct dlp_flow *flow_of(struct scratch *s)
{
	struct dlp_flow *flow = flows.lookup(&s->key);

	if (flow)
		return flow;
	/* A fresh entry is built where it will not count against the stack: in the event. */
	struct dlp_flow *fresh = (struct dlp_flow *)s->block;

	__builtin_memset(fresh, 0, sizeof(*fresh));
	fresh->id = (s->now << 20) ^ bpf_get_prandom_u32();
	fresh->started_ns = s->now;
	fresh->cgroup = s->cgroup;
	flows.update(&s->key, fresh);
	return flows.lookup(&s->key);
}

#define GAP_PATIENCE_NS 2000000000ULL /* longer than TCP takes to send again three times */

/*
 * Place a TCP segment in its stream. The tail before the segment goes into the buffer.
 * Returns 0, or the reason to drop the segment.
 */
static __always_inline u32 place_segment(struct scratch *s, struct buffer *buf,
					 struct dlp_flow *flow)
{
	s32 ahead;

	s->sequence_end = s->sequence + s->payload + ((s->tcp_flags & TCP_FIN) ? 1 : 0);
	if (s->tcp_flags & TCP_SYN) {
		if (!(flow->flags & DLP_F_INIT) || flow->isn != s->sequence) {
			flow->flags = (flow->flags & (DLP_F_EXEMPT | DLP_F_DENIED)) | DLP_F_INIT;
			flow->state = DLP_FLOW_OPEN;
			flow->opaque = DLP_OPAQUE_NO;
			flow->id = (s->now << 20) ^ bpf_get_prandom_u32();
			s->flow_id = flow->id;
			flow->offset = 0;
			flow->isn = s->sequence;
			flow->next_seq = s->sequence;
			__builtin_memset(flow->tail, 0, DLP_TAIL);
		}
	} else if (!(flow->flags & DLP_F_INIT)) {
		flow->flags |= DLP_F_INIT | DLP_F_PARTLY;
		flow->next_seq = s->sequence;
		tally(s, DLP_R_MIDSTREAM, 1, s->payload);
	}
	ahead = s->sequence - flow->next_seq;
	s->packet_base = flow->offset;
	if (!s->payload) {
		/* Of segments without payload only the FIN that is due moves the stream. */
		s->advance = ahead == 0;
		return 0;
	}
	s->advance = 1;
	if (ahead > 0) {
		/*
		 * TCP sends in order, and again what is lost: in a flow known from its start a
		 * gap means that a segment was dropped on its way here, or by this program. It
		 * will come; what is beyond it must not pass with half its context. If it does
		 * not come for long, the stream went on while no classifier was attached.
		 */
		if (!is_monitor(s)) {
			if (flow->flags & DLP_F_HOLE)
				return DLP_R_OUT_OF_ORDER;
			if (!flow->gap_ns)
				flow->gap_ns = s->now;
			if (!(flow->flags & DLP_F_PARTLY) &&
			    s->now - flow->gap_ns < GAP_PATIENCE_NS)
				return DLP_R_OUT_OF_ORDER;
		}
		flow->gap_ns = 0;
		tally(s, DLP_R_GAP, 1, ahead);
		flow->missed += ahead;
		flow->flags |= DLP_F_PARTLY;
		flow->offset += ahead;
		s->packet_base = flow->offset;
		__builtin_memset(buf->b + ORIGIN, 0, DLP_TAIL);
		flow->flags &= ~DLP_F_TAIL;
		return 0;
	}
	if (ahead >= 0) {
		__builtin_memcpy(buf->b + ORIGIN, flow->tail, DLP_TAIL);
		s->skip = flow->flags & DLP_F_TAIL ? 0 : 2;
		return 0;
	}
	/*
	 * Sent before, wholly or in part: scanned again, as old numbers can carry new
	 * bytes. As much of the tail as lies before the segment is its left context.
	 */
	u64 back = -(s64)ahead;

	s->advance = (s32)(s->sequence_end - flow->next_seq) > 0;
	s->packet_base -= back;
	tally(s, DLP_R_RETRANSMISSION, 1, s->payload);
	s->skip = 0;
	__builtin_memset(buf->b + ORIGIN, 0, DLP_TAIL);
	if (back < DLP_TAIL) {
		asm volatile("%0 &= 127" : "+r"(back));
		__builtin_memcpy(buf->b + ORIGIN + back, flow->tail, DLP_TAIL);
	}
	return 0;
}

#define RECOGNISED 8 /* first bytes of a stream or datagram that tell its protocol */

/*
 * Recognise an opaque protocol by a flow's first bytes, however they are cut. What the
 * stream had before this segment stands in the buffer, right before the payload.
 */
static __always_inline void recognise(struct __sk_buff *skb, struct scratch *s, struct buffer *buf,
				      struct dlp_flow *flow)
{
	u64 before = s->packet_base, size = s->payload;
	u32 kind, length;

	if (before >= RECOGNISED || flow->flags & DLP_F_PARTLY) {
		flow->flags |= DLP_F_FIRST;
		before = 0;
	}
	if (size > RECOGNISED)
		size = RECOGNISED;
	size--;
	asm volatile("%0 &= 7\n%0 += 1" : "+r"(size));
	__builtin_memset(buf->b + PAYLOAD, 0, RECOGNISED);
	if (bpf_skb_load_bytes(skb, s->cursor, buf->b + PAYLOAD, size))
		return;
	length = before + size;
	if (length >= RECOGNISED)
		flow->flags |= DLP_F_FIRST;
	before = PAYLOAD - before;
	asm volatile("%0 &= 0x1ff" : "+r"(before));
	kind = recognise_opaque(buf->b + before, length, s->key.protocol);
	if (kind == DLP_OPAQUE_NO)
		return;
	flow->flags |= DLP_F_FIRST;
	flow->opaque = kind;
	if (s->uninspectable != DLP_ALLOW)
		note(s, DLP_EV_OPAQUE, s->uninspectable, DLP_R_OPAQUE_TLS - 1 + kind);
}

int classify(struct __sk_buff *skb)
{
	u32 zero = 0, index;
	struct scratch *s = scratch_area();
	struct buffer *buf = buffer_area();
	struct dlp_settings *set = settings.lookup(&zero);
	struct dlp_policy *policy;
	struct dlp_flow *flow;
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
	index = s->generation * DLP_POLICIES + s->policy;
	policy = policies.lookup(&index);
	if (!policy)
		return refuse();
	s->policy_flags = policy->flags;
	s->uninspectable = policy->uninspectable;

	/* Private and linear: a file page could be changed between the scan and the wire. */
	if (bpf_skb_pull_data(skb, skb->len))
		return drop(s, DLP_R_PULL_FAILED, skb->len);

	type = parse_packet(skb, s);
	if (type < 0)
		return drop(s, -type, skb->len);
	if (type == ETH_ARP) {
		tally(s, DLP_R_ARP, 1, skb->len);
	} else if (type != PROTO_TCP && type != PROTO_UDP && type != PROTO_ICMP &&
		   type != PROTO_ICMP6 && type != PROTO_FRAGMENT) {
		if (policy->flags & DLP_P_OTHER_DROP)
			return drop(s, DLP_R_OTHER_PROTOCOL, skb->len);
		if (!s->key.family)
			tally(s, DLP_R_NON_IP_SCANNED, 1, skb->len);
	}
	s->payload = s->limit > s->cursor ? s->limit - s->cursor : 0;

	flow = flow_of(s);
	if (!flow)
		return drop(s, DLP_R_MAP_FAILED, skb->len);
	s->flow_id = flow->id;
	flow->seen_ns = s->now;
	if (flow->release != s->release || flow->policy != s->policy) {
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
			return drop(s, DLP_R_DENIED, s->payload);
		would_drop(s, DLP_R_DENIED, s->payload);
	}

	if (s->tcp) {
		u32 reason = place_segment(s, buf, flow);

		if (reason)
			return drop(s, reason, s->payload);
	} else {
		__builtin_memset(buf->b + ORIGIN, 0, DLP_TAIL);
		s->packet_base = 0; /* offsets count from the datagram's first byte */
		s->advance = 0;
	}
	if (flow->flags & DLP_F_MIRROR && flow->state != DLP_FLOW_BLOCKED) {
		u32 *blocked = blocks.lookup(&flow->id);

		s->mirror = 1;
		if (blocked) {
			flow->state = DLP_FLOW_BLOCKED;
			flow->signature = *blocked;
			tally(s, DLP_R_INSPECTOR_BLOCKED, 1, s->payload);
		}
	}
	if (flow->state == DLP_FLOW_BLOCKED) {
		if (!s->payload && s->tcp_flags & (TCP_FIN | TCP_RST)) {
			tally(s, DLP_R_CONTROL, 1, 0);
			return pass(s, 0);
		}
		return drop(s, DLP_R_FLOW_BLOCKED, s->payload);
	}
	if (!s->payload) {
		if (s->advance && s->tcp)
			flow->next_seq = s->sequence_end;
		flow->packets++;
		tally(s, DLP_R_NO_PAYLOAD, 1, 0);
		return pass(s, 0);
	}
	if (flow->flags & DLP_F_EXEMPT) {
		if (s->advance) {
			flow->next_seq = s->sequence_end;
			__builtin_memset(flow->tail, 0, DLP_TAIL);
		}
		flow->packets++;
		flow->offset += s->payload;
		flow->missed += s->payload;
		tally(s, DLP_R_EXEMPT, 1, s->payload);
		return pass(s, s->payload);
	}
	if (!(flow->flags & DLP_F_FIRST))
		recognise(skb, s, buf, flow);
	if (flow->opaque) {
		s->flow_opaque = flow->opaque;
		tally(s, DLP_R_OPAQUE_TLS - 1 + (flow->opaque & 3), 1, s->payload);
		if (s->uninspectable == DLP_DROP && !is_monitor(s)) {
			if (s->tcp)
				flow->state = DLP_FLOW_BLOCKED;
			return drop(s, DLP_R_UNINSPECTABLE, s->payload);
		}
		if (s->uninspectable == DLP_DROP)
			would_drop(s, DLP_R_UNINSPECTABLE, s->payload);
	}
	s->first = 1;
	s->base = s->packet_base - DLP_TAIL;
	programs.call(skb, s->scan_slot);
	return over_budget(skb, s, DLP_R_TAIL_CALL_FAILED);
}
