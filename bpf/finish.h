/* SPDX-License-Identifier: GPL-2.0 */
/* How a packet ends: what the verdict does to it and to its flow, and where its work goes on. */

static __always_inline int finish(struct __sk_buff *skb, struct scratch *s, struct buffer *buf)
{
	struct dlp_flow *flow = flow_of_packet(skb, s);

	if (!flow)
		return drop(skb, s, DLP_R_MAP_FAILED, s->payload);
	flow->matches += s->matched;
	if (s->verdict == DLP_DROP && !is_monitor(s)) {
		if (s->tcp)
			block_flow(s, flow, s->verdict_signature);
		return drop(skb, s, DLP_R_MATCH_DROPPED, s->payload);
	}
	if (wants_word(s, flow))
		return begin_hold(skb, s, flow);
	if (s->open)
		return begin_wait(skb, s, flow);
	if (s->verdict == DLP_HOLD && !s->tcp) {
		if (s->policy_flags & DLP_P_HOLD_UDP_DROP && !is_monitor(s))
			return drop(skb, s, DLP_R_HOLD_UDP, s->payload);
		s->mirror = 1;
	}
	if (flow->held_ns)
		tally(s, DLP_R_RELEASED, 1, s->payload);
	flow->packets++;
	flow->inspected += s->payload;
	if (flow->opaque)
		flow->opaque_bytes += s->payload;
	copy_tail(s, buf, s->kept_tail);
	/* One test for both: a packet of neither pays nothing for shadow rules. */
	if (s->mirror || flow->flags & (DLP_F_MIRROR | DLP_F_SHADOW)) {
		if (flow->flags & DLP_F_SHADOW)
			show_next(s, buf, flow);
		if ((s->mirror || flow->flags & DLP_F_MIRROR) && mirror_chunk(s, buf, flow) &&
		    s->policy_flags & DLP_P_OVERLOAD_CLOSED && !is_monitor(s))
			return drop_segment(skb, s, DLP_R_OVERLOAD);
	}
	if (s->fragment)
		remember_fragment(s);
	if (s->advance)
		advance(s, flow);
	list_flow(s, flow);
	tally(s, DLP_R_INSPECTED, 1, s->payload);
	if (s->verdict == DLP_DROP)
		return drop(skb, s, DLP_R_MATCH_DROPPED, s->payload);
	return pass(skb, s, s->payload);
}

/*
 * The bound of calls or of work is reached, or a helper failed midway. What has not been scanned of
 * the packet is dropped, or by policy let out and counted as missed.
 */
static __always_inline int over_budget(struct __sk_buff *skb, struct scratch *s, u32 reason)
{
	struct dlp_flow *flow = flow_of_packet(skb, s);

	if (s->verdict == DLP_DROP && flow && !is_monitor(s)) {
		if (s->tcp)
			block_flow(s, flow, s->verdict_signature);
		return drop(skb, s, DLP_R_MATCH_DROPPED, s->payload);
	}
	if (s->verdict == DLP_DROP)
		would_drop(s, DLP_R_MATCH_DROPPED, s->payload);
	if (flow && wants_word(s, flow))
		return begin_hold(skb, s, flow); /* no call left: given when it comes again */
	if (flow && !flow->told) {
		flow->told = 1;
		note(s, DLP_EV_BUDGET,
		     s->policy_flags & DLP_P_OVER_BUDGET_DROP ? DLP_DROP : DLP_ALERT, reason);
	}
	if (!(s->policy_flags & DLP_P_OVER_BUDGET_DROP) || is_monitor(s)) {
		tally(s, reason, 1, s->payload);
		if (flow) {
			flow->missed += s->payload;
			flow->flags |= DLP_F_PARTLY;
			flow->flags &= ~DLP_F_HOLE;
			flow->packets++;
			if (s->advance) {
				flow->next_seq = s->sequence_end;
				flow->offset = s->packet_base + s->payload;
				__builtin_memset(flow->tail, 0, DLP_TAIL);
				flow->flags &= ~DLP_F_TAIL;
			}
		}
		return pass(skb, s, s->payload);
	}
	return drop_segment(skb, s, reason);
}

/* On with another program; the way of the budget when calls or work are used up. */
static __always_inline int go_to(struct __sk_buff *skb, struct scratch *s, u32 slot)
{
	spend(s, 1, COST_CALL);
	if (!overspent(s))
		programs.call(skb, slot);
	return over_budget(skb, s, DLP_R_OVER_BUDGET);
}

static __always_inline int digits_left(const struct scratch *s)
{
	return s->digits_wanted && !s->masked;
}

static __always_inline int groups_left(const struct scratch *s)
{
	return s->unit < s->units || s->starts || s->lane_bits;
}

/* On with the chunk: the first list that has work left, else the next chunk. */
static __always_inline int go_on(struct __sk_buff *skb, struct scratch *s)
{
	u32 slot = s->scan_slot;

	if (s->hit < s->hits)
		slot = SLOT_CHECK;
	else if (s->match < s->matches || s->busy)
		slot = SLOT_SHAPE;
	else if (s->candidate < s->candidates || s->gram_block < s->blocks)
		slot = SLOT_GRAMS;
	else if (digits_left(s))
		slot = SLOT_DIGITS;
	else if (groups_left(s))
		slot = SLOT_GROUPS;
	return go_to(skb, s, slot);
}
