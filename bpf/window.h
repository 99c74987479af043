/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Distinct values of a rule in a workload's sliding window of time.
 *
 * A row has room for as many values as the highest threshold: while all of them are within the
 * window any threshold is reached, so the oldest may go. Two processors may be at a row at
 * once. Each writes its value and counts after that, so that of two that write at the same
 * time one at least sees both. What remains: both take the place of the same oldest value in
 * the same instant; then one value counts now, and is not remembered.
 */

static __always_inline u32 count_in_window(struct scratch *s, u32 rule, u64 window_s)
{
	u64 value = *(u64 *)s->event.digest | 1, age = window_s * 1000000000ULL, at;
	struct dlp_window *w;

	s->window_key.netns = s->key.netns;
	s->window_key.rule = rule;
	s->window_key.pad = 0;
	w = windows.lookup(&s->window_key);
	if (!w) {
		windows.insert(&s->window_key, &s->no_window);
		w = windows.lookup(&s->window_key);
	}
	if (!w)
		return ~0U; /* cannot count: as if the threshold were reached */
	s->oldest = ~0ULL >> 1;
	s->place = 0;
	s->known = 0;
	/* Each processor begins elsewhere: of places that are free, two take different ones. */
	s->index_key = bpf_get_smp_processor_id() * (DLP_WINDOW / 4);
#pragma clang loop unroll(disable)
	for (u64 i = 0; i < DLP_WINDOW; i++) {
		u64 seen, same, take;

		OPAQUE_VALUE(i);
		BARRIER();
		at = i + s->index_key;
		asm volatile("%0 &= 63" : "+r"(at));
		seen = w->seen_ns[at];
		same = nonzero(w->value[at] ^ value) ^ 1;
		take = (same | (seen - s->oldest) >> 63) & (s->known ^ 1);
		OPAQUE_VALUE(take);
		s->place ^= (s->place ^ at) & -take;
		s->oldest ^= (s->oldest ^ seen) & -take;
		s->known |= same;
	}
	BARRIER();
	at = s->place;
	asm volatile("%0 &= 63" : "+r"(at));
	w->value[at] = value;
	w->seen_ns[at] = s->now;
	__sync_fetch_and_add(&w->changes, 1);
	s->count = 0;
	s->known = 0;
#pragma clang loop unroll(disable)
	for (u64 i = 0; i < DLP_WINDOW; i++) {
		u64 alive, same;

		OPAQUE_VALUE(i);
		BARRIER();
		at = i;
		asm volatile("%0 &= 63" : "+r"(at));
		/* Within the window, also where another processor's clock is ahead. */
		alive = (s->now - w->seen_ns[at] - age) >> 63 & nonzero(w->seen_ns[at]);
		same = nonzero(w->value[at] ^ value) ^ 1;
		s->count += alive;
		s->known |= same;
	}
	BARRIER();
	return s->count + (u32)(s->known ^ 1);
}
