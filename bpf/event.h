/* SPDX-License-Identifier: GPL-2.0 */
/* Events: what userspace is told, through a ring buffer; losses are counted. */

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
	if (events.ringbuf_output(e, sizeof(*e), 0))
		tally(s, DLP_R_EVENT_LOST, 1, 0);
}
