/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a confirmed match leads to: digest, exception, distinct values and threshold,
 * the rule's action, and the event that tells of it.
 */

#define JUDGED 4 /* matches a call */
#define EDGE 8

/*
 * The table of values forgets under a flood of others, and then counts too few. A flow's own
 * memory does not: of the first rules with a threshold that it met, it knows the count.
 */
static __always_inline u32 count_in_flow(struct __sk_buff *skb, const struct scratch *s, u32 rule,
					 u32 counted, u32 repeated)
{
	struct dlp_flow *flow = flow_of_packet(skb, s);

	if (!flow)
		return counted;
#pragma unroll
	for (int i = 0; i < DLP_COUNTED; i++) {
		struct dlp_counted *known = &flow->counted[i];

		if (known->rule && known->rule != rule)
			continue;
		known->rule = rule;
		known->values += repeated ? 0 : 1;
		if (known->values < counted)
			known->values = counted;
		return known->values;
	}
	return counted;
}

static __always_inline u32 *find_seen(struct scratch *s, u32 shadow)
{
	return shadow ? shadow_seen.lookup(&s->seen_key) : seen.lookup(&s->seen_key);
}

static __always_inline int note_seen(struct scratch *s, u32 shadow)
{
	u32 one = 1;

	return shadow ? shadow_seen.update(&s->seen_key, &one) : seen.update(&s->seen_key, &one);
}

/* Distinct values of a rule in a flow, this one included; `repeated` if it was there. */
static __always_inline u32 count_distinct(struct scratch *s, u32 rule, u32 shadow, u32 *repeated)
{
	u32 *known;

	s->seen_key.flow = s->flow_id;
	s->seen_key.rule = rule;
	s->seen_key.pad = 0;
	s->seen_key.value = *(u64 *)s->event.digest | 1;
	known = find_seen(s, shadow);
	*repeated = known != 0;
	if (!known)
		note_seen(s, shadow);
	s->seen_key.value = 0;
	known = find_seen(s, shadow);
	if (!known)
		return note_seen(s, shadow) ? ~0U : 1; /* cannot count: as if it were reached */
	if (!*repeated)
		*known += 1;
	return *known;
}

static __always_inline void copy_edges(struct dlp_event *e, struct buffer *buf, u64 start, u64 end)
{
	u64 length = end - start, last = index_of(end - EDGE);

	start = index_of(start);
	if (start > PAYLOAD + CHUNK || last > PAYLOAD + CHUNK)
		return;
	if (length >= 16) {
		*(u64 *)e->head = *(u64 *)(buf->b + start);
		*(u64 *)e->tail = *(u64 *)(buf->b + last);
	} else if (length >= 13) {
		/* As a payment card may be shown: six and four (PCI DSS 3.4.1). */
		*(u64 *)e->head = *(u64 *)(buf->b + start) & 0x0000FFFFFFFFFFFFULL;
		*(u64 *)e->tail = *(u64 *)(buf->b + last) & 0xFFFFFFFF00000000ULL;
	}
}

/* Judge one match: fills the event, sets the packet's verdict. */
static __always_inline void judge_match(struct __sk_buff *skb, struct scratch *s,
					struct buffer *buf, const struct dlp_constants *c,
					const struct dlp_settings *set, u64 hit)
{
	u64 start = index_of(hit >> 16), end = index_of(hit);
	struct dlp_event *e = &s->event;
	struct dlp_signature *signature;
	struct dlp_shape *shape;
	struct dlp_rule *rule;
	u32 action, count, number, threshold, rule_id, window_s, shadow, repeated = 0, flags = 0;
	s64 sent;

	s->shape_key = s->generation * DLP_SHAPES + (hit >> 32 & (DLP_SHAPES - 1));
	shape = shapes.lookup(&s->shape_key);
	if (!shape)
		return;
	number = shape->signature & (DLP_SIGNATURES - 1);
	s->index_key = s->generation * DLP_SIGNATURES + number;
	signature = signatures.lookup(&s->index_key);
	rule = find_rule(s, number);
	if (!signature || !rule)
		return;
	action = rule->action;
	threshold = rule->threshold;
	rule_id = rule->id;
	window_s = rule->window_s;
	shadow = rule->flags & DLP_RULE_SHADOW;

	note_begin(s, DLP_EV_MATCH);
	e->rule = rule->index;
	e->signature = number;
	hmac_value(s, buf, c, set, start, end, signature->normalise, e->digest);
	e->offset = s->base + start - ORIGIN;
	e->length = end - start;
	sent = s->packet_base - e->offset;
	e->sent_before = sent > 0 ? sent : 0;
	copy_edges(e, buf, start, end);

	s->exception_key.policy = s->generation << 31 | s->policy;
	s->exception_key.pad = 0;
	__builtin_memcpy(s->exception_key.digest, e->digest, 32);
	BARRIER();
	if (exceptions.lookup(&s->exception_key)) {
		tally(s, DLP_R_EXCEPTED, 1, 0);
		action = DLP_ALLOW;
		flags |= DLP_EF_EXCEPTED;
		count = 0;
	} else {
		count = count_distinct(s, rule_id, shadow, &repeated);
		if (window_s)
			count = count_in_window(s, rule_id, window_s);
		else if (threshold > 1 && !shadow)
			count = count_in_flow(skb, s, rule_id, count, repeated);
		if (count < threshold) {
			tally(s, DLP_R_BELOW_THRESHOLD, 1, 0);
			action = DLP_ALLOW;
			flags |= DLP_EF_BELOW_THRESHOLD;
		}
	}
	if (!repeated)
		count_match(s, number, action >= DLP_HOLD);
	if (s->partly)
		flags |= DLP_EF_MIDSTREAM;
	e->count = count;
	e->action = action;
	e->flags |= flags;
	if (shadow) {
		e->flags |= DLP_EF_SHADOW;
		if (!repeated)
			tell_shadow(s);
		return;
	}
	if (action == DLP_MIRROR)
		s->mirror = 1;
	if (action > s->verdict) {
		s->verdict = action;
		s->verdict_signature = number;
	}
	s->matched++;
	if (repeated) {
		tally(s, DLP_R_REPEATED, 1, 0);
		return;
	}
	tell(s);
}

/* The packet is dropped whatever else is in it: shadow rules still count what was found. */
static __always_inline int is_settled(const struct scratch *s)
{
	return s->verdict == DLP_DROP && !is_monitor(s);
}

int judge(struct __sk_buff *skb)
{
	struct scratch *s = scratch_area();
	struct buffer *buf = buffer_area();
	struct dlp_constants *c;
	struct dlp_settings *set;
	u32 zero = 0;

	if (!s || !buf)
		return refuse();
	c = constants.lookup(&zero);
	set = settings.lookup(&zero);
	if (!c || !set)
		return refuse();
#pragma clang loop unroll(disable)
	for (u64 i = 0; i < JUDGED; i++) {
		u64 hit;

		OPAQUE_VALUE(i);
		BARRIER();
		if (s->judge >= s->found || (is_settled(s) && !s->shadows))
			break;
		hit = s->found_list[s->judge & (FOUND - 1)];
		s->judge++;
		spend(s, 1, COST_JUDGED);
		if (!is_settled(s) || hit >> 62 & 1)
			judge_match(skb, s, buf, c, set, hit);
	}
	BARRIER();
	if (s->judge < s->found && (!is_settled(s) || s->shadows))
		return go_to(skb, s, SLOT_JUDGE);
	if (is_settled(s))
		return go_to(skb, s, s->scan_slot);
	s->found = 0;
	s->shadows = 0;
	s->judge = 0;
	BARRIER();
	return go_on(skb, s);
}
