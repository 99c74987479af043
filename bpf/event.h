/* SPDX-License-Identifier: GPL-2.0 */
/* Events: what userspace is told, through a ring buffer; losses are counted. */

#define TOKEN_SHIFT 20 /* one event a millisecond, nearly */

/*
 * Whether the workload may tell of something: a token bucket, so that none drowns the others.
 * Half of it is kept for what was stopped or held, which no noise of the rest may hide.
 */
static __always_inline int may_tell(struct scratch *s)
{
	struct dlp_bucket *b = bucket_of(s);
	u64 fresh, level, kept;

	if (!b || !s->event_burst)
		return 1;
	fresh = (s->now - b->filled_ns) >> TOKEN_SHIFT;
	if ((s64)(s->now - b->filled_ns) < 0)
		fresh = 0;
	level = b->level + fresh;
	if (level > s->event_burst)
		level = s->event_burst;
	if (fresh)
		b->filled_ns = s->now;
	kept = s->event.action >= DLP_HOLD && s->event.kind <= DLP_EV_PREFILTER
		       ? 0
		       : s->event_burst / 2;
	if (s->event.kind == DLP_EV_HELD || s->event.kind == DLP_EV_HOLD_TIMEOUT)
		kept = 0;
	if (level <= kept) {
		tally(s, DLP_R_EVENT_LIMITED, 1, 0);
		return 0;
	}
	b->level = level - 1;
	return 1;
}

#define SHADOW_SHIFT 26 /* one event of shadow rules in 67 ms, and one piece of payload */
#define SHADOW_BURST 16

/* One of the small share of shadow rules, if there is any left. */
static __always_inline int take_shadow_share(u64 now, u64 *filled_ns, u64 *share)
{
	u64 fresh = (now - *filled_ns) >> SHADOW_SHIFT, level;

	if ((s64)(now - *filled_ns) < 0)
		fresh = 0;
	level = *share + fresh;
	if (level > SHADOW_BURST)
		level = SHADOW_BURST;
	if (fresh)
		*filled_ns = now;
	*share = level;
	if (!level)
		return 0;
	*share = level - 1;
	return 1;
}

/*
 * As may_tell for a shadow rule: a bucket and a ring of its own, so that it never takes the
 * place of an event of a live rule.
 */
static __always_inline int may_tell_shadow(struct scratch *s)
{
	struct dlp_bucket *b = bucket_of(s);

	return b && take_shadow_share(s->now, &b->shadow_filled_ns, &b->shadow_level);
}

static __always_inline void tell_shadow(struct scratch *s)
{
	if (!may_tell_shadow(s) || shadow_events.ringbuf_output(&s->event, sizeof(s->event), 0))
		tally(s, DLP_R_SHADOW_LIMITED, 1, 0);
}

/* Put the event at hand into the ring. */
static __always_inline void tell(struct scratch *s)
{
	if (!may_tell(s))
		return;
	if (events.ringbuf_output(&s->event, sizeof(s->event), 0))
		tally(s, DLP_R_EVENT_LOST, 1, 0);
}

/* What every event says: who, which flow, when, under which policy and release. */
static __always_inline void note_begin(struct scratch *s, u32 kind)
{
	struct dlp_event *e = &s->event;

	__builtin_memset(e, 0, sizeof(*e));
	e->kind = kind;
	e->size = sizeof(*e);
	e->time_ns = bpf_ktime_get_ns();
	e->flow = s->flow_id;
	e->cgroup = s->cgroup;
	e->key = s->key;
	e->let_out = s->packet_base;
	e->release = s->release;
	e->policy = s->policy;
	e->flags = is_monitor(s) ? DLP_EF_MONITOR : 0;
	if (s->owned)
		e->flags |= DLP_EF_OWNED;
}

/* An event about a packet as a whole. */
static __always_inline void note(struct scratch *s, u32 kind, u32 action, u32 reason)
{
	struct dlp_event *e = &s->event;

	note_begin(s, kind);
	e->offset = s->packet_base;
	e->length = s->payload;
	e->action = action;
	e->reason = reason;
	tell(s);
}
