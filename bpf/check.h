/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Checksums over what a shape accepted, then the rule: a hit that no rule of the
 * policy names, or whose checksum fails, ends here.
 */

#define CHECKED 32 /* hits a call */
#define VALUES 48 /* letters and digits of the longest value with a checksum */
#define EVENT_SHARE 8 /* judged matches a packet; further harmless ones are counted only */
#define SHADOW_SHARE 2 /* the same of shadow rules: their work must not use up the budget */

/* Letters and digits of the match as numbers, one a byte: 0..9, 10..35. */
static __always_inline void gather_values(struct scratch *s, struct buffer *buf,
					  const struct dlp_constants *c, u64 start)
{
	s->count = 0;
#pragma clang loop unroll(disable)
	for (u64 k = 0; k < VALUES; k++) {
		u64 at = index_of(start + k), v;
		u32 n;

		OPAQUE_VALUE(k);
		BARRIER();
		if (at >= s->value_end)
			break;
		v = c->value[buf->b[at]];
		n = s->count;
		s->value[n & 63] = v;
		s->count = n + (u32)((v - 36) >> 63);
	}
	BARRIER();
}

static __always_inline u32 value_at(const struct scratch *s, u64 i)
{
	asm volatile("%0 &= 63" : "+r"(i));
	return s->value[i];
}

static __always_inline int luhn(struct scratch *s)
{
	s->sum = 0;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < 24; i++) {
		u32 v, twice;

		OPAQUE_VALUE(i);
		BARRIER();
		if (i >= s->count)
			break;
		v = value_at(s, (u64)s->count - 1 - i);
		twice = v * 2;
		twice -= 9 & -(u32)((9 - (u64)twice) >> 63);
		s->sum += i & 1 ? twice : v;
	}
	BARRIER();
	return s->sum % 10 == 0;
}

static __always_inline u32 horner97(u32 rest, u32 v)
{
	return (rest * (v > 9 ? 100 : 10) + v) % 97;
}

static __always_inline int iban(struct scratch *s)
{
	if (s->count < 15 || s->count > 34)
		return 0;
	s->sum = 0;
#pragma clang loop unroll(disable)
	for (u32 i = 4; i < 34; i++) {
		OPAQUE_VALUE(i);
		BARRIER();
		if (i >= s->count)
			break;
		s->sum = horner97(s->sum, value_at(s, i));
	}
	BARRIER();
#pragma unroll
	for (int i = 0; i < 4; i++)
		s->sum = horner97(s->sum, s->value[i]);
	return s->sum == 1;
}

static __always_inline int us_ssn(const struct scratch *s)
{
	u32 area = s->value[0] * 100 + s->value[1] * 10 + s->value[2];
	u32 group = s->value[3] * 10 + s->value[4];
	u32 serial = s->value[5] + s->value[6] + s->value[7] + s->value[8];

	return s->count == 9 && area && area != 666 && area < 900 && group && serial;
}

static __always_inline int nhs(const struct scratch *s)
{
	u32 sum = 0, check;

#pragma unroll
	for (int i = 0; i < 9; i++)
		sum += s->value[i] * (10 - i);
	check = 11 - sum % 11;
	if (check == 11)
		check = 0;
	return s->count == 10 && check == s->value[9];
}

static __always_inline int de_tax(const struct scratch *s)
{
	u32 product = 10, check;

#pragma unroll
	for (int i = 0; i < 10; i++) {
		u32 sum = (s->value[i] + product) % 10;

		sum += sum ? 0 : 10;
		product = sum * 2 % 11;
	}
	check = (11 - product) % 10;
	return s->count == 11 && s->value[0] && check == s->value[10];
}

static __always_inline int es_dni(const struct scratch *s, const struct dlp_constants *c)
{
	u32 first = s->value[0], number;

	if (first > 9)
		first -= 33; /* X, Y, Z */
	number = first;
#pragma unroll
	for (int i = 1; i < 8; i++)
		number = number * 10 + s->value[i];
	number %= 23;
	asm volatile("%0 &= 31" : "+r"(number));
	return s->count == 9 && first < 10 && c->dni_letter[number] == s->value[8];
}

static __always_inline int fr_nir(const struct scratch *s)
{
	u32 rest = 0;

#pragma unroll
	for (int i = 0; i < 13; i++) {
		u32 v = s->value[i];

		/* Corsica: 2A counts as 19, 2B as 18 */
		if (i == 5 && s->value[6] > 9)
			v = 1;
		if (i == 6 && v > 9)
			v = v == 10 ? 9 : 8;
		rest = (rest * 10 + v) % 97;
	}
	return s->count == 15 && 97 - rest == s->value[13] * 10u + s->value[14];
}

/* Verhoeff 1969: digits from the right, each permuted by its place, multiplied to 0. */
static __always_inline int verhoeff(struct scratch *s, const struct dlp_constants *c)
{
	s->sum = 0;
#pragma clang loop unroll(disable)
	for (u64 i = 0; i < 24; i++) {
		u64 v, there;

		OPAQUE_VALUE(i);
		BARRIER();
		there = below(i, s->count);
		v = (i & 7) << 4 | (value_at(s, (u64)s->count - 1 - i) & 15);
		asm volatile("%0 &= 127" : "+r"(v)); /* 6.1 loses sight of it over the OR */
		v = c->verhoeff_place[v] | (s->sum & 15) << 4;
		asm volatile("%0 &= 255" : "+r"(v));
		v = c->verhoeff_product[v];
		s->sum ^= (s->sum ^ v) & -there;
	}
	BARRIER();
	return s->count && s->sum == 0;
}

/*
 * One weighted sum (dlp/signatures/weighted.py is the same). Behind the value's end weights
 * are 0, so that the loop needs no way out: each would be followed to the end by the verifier.
 */
static __always_inline int weighted_sum(struct scratch *s, u32 row)
{
	struct dlp_sum *spec;
	u64 rest, expected;

	s->index_key = s->generation * DLP_SUMS + row;
	spec = sums.lookup(&s->index_key);
	if (!spec)
		return 0;
	s->sum = 0;
	s->failed = s->count != spec->length;
#pragma clang loop unroll(disable)
	for (u64 i = 0; i < DLP_SUM_LONGEST; i++) {
		u64 v, weight, product, doubled;

		OPAQUE_VALUE(i);
		BARRIER();
		v = value_at(s, i);
		weight = spec->weight[i & (DLP_SUM_LONGEST - 1)];
		product = v * weight;
		doubled = spec->digits & weight >> 1; /* weights are 0, 1 or 2 then */
		OPAQUE_VALUE(doubled);
		s->failed |= doubled & below(9, v);
		product -= 9 & -(doubled & below(9, product));
		s->sum += product;
	}
	BARRIER();
	rest = s->sum % spec->modulus;
	asm volatile("%0 &= 127" : "+r"(rest));
	expected = spec->expected[rest];
	if (s->failed)
		return 0;
	return expected == DLP_SUM_ANY || expected == value_at(s, spec->check);
}

static __always_inline int weighted(struct scratch *s, const struct dlp_signature *signature)
{
	if (!weighted_sum(s, signature->sum[0]))
		return 0;
	return signature->sums < 2 || weighted_sum(s, signature->sum[1]);
}

static __always_inline int checksum_holds(struct scratch *s, const struct dlp_constants *c,
					  const struct dlp_signature *signature)
{
	switch (signature->check) {
	case DLP_CHECK_NONE:
		return 1;
	case DLP_CHECK_LUHN:
		return luhn(s);
	case DLP_CHECK_IBAN:
		return iban(s);
	case DLP_CHECK_US_SSN:
		return us_ssn(s);
	case DLP_CHECK_NHS:
		return nhs(s);
	case DLP_CHECK_DE_TAX:
		return de_tax(s);
	case DLP_CHECK_ES_DNI:
		return es_dni(s, c);
	case DLP_CHECK_FR_NIR:
		return fr_nir(s);
	case DLP_CHECK_WEIGHTED:
		return weighted(s, signature);
	case DLP_CHECK_VERHOEFF:
		return verhoeff(s, c);
	}
	return 0;
}

static __always_inline void request_hold(struct scratch *s, u32 signature)
{
	if (s->verdict >= DLP_HOLD)
		return;
	s->verdict = DLP_HOLD;
	s->verdict_signature = signature;
}

/* A prefilter fits: the inspector reads the flow from here on. */
static __always_inline void call_inspector(struct scratch *s, u32 action, u32 signature)
{
	if (action == DLP_ALLOW)
		return;
	if (action == DLP_HOLD) {
		request_hold(s, signature);
		return;
	}
	s->mirror = 1;
	if (action == DLP_DROP && s->inspector_down &&
	    s->policy_flags & DLP_P_INSPECTOR_DOWN_CLOSED) {
		tally(s, DLP_R_INSPECTOR_DOWN, 1, s->payload);
		s->verdict = DLP_DROP;
		s->verdict_signature = signature;
	}
}

int check(struct __sk_buff *skb)
{
	struct scratch *s = scratch_area();
	struct buffer *buf = buffer_area();
	struct dlp_constants *c;
	u32 zero = 0;

	if (!s || !buf)
		return refuse();
	c = constants.lookup(&zero);
	if (!c)
		return refuse();
#pragma clang loop unroll(disable)
	for (u64 i = 0; i < CHECKED; i++) {
		struct dlp_signature *signature;
		struct dlp_shape *shape;
		struct dlp_rule *rule;
		u64 hit;
		u32 number, shadow, n;

		OPAQUE_VALUE(i);
		BARRIER();
		if (s->hit >= s->hits || s->found >= FOUND)
			break;
		hit = s->hit_list[s->hit & (HITS - 1)];
		s->hit++;
		spend(s, 1, COST_CHECK);
		s->shape_key = s->generation * DLP_SHAPES + (hit >> 32 & (DLP_SHAPES - 1));
		shape = shapes.lookup(&s->shape_key);
		if (!shape)
			continue;
		number = shape->signature & (DLP_SIGNATURES - 1);
		s->index_key = s->generation * DLP_SIGNATURES + number;
		signature = signatures.lookup(&s->index_key);
		if (!signature)
			continue;
		/*
		 * A hit that seemed to end with the segment before was reported then, if its
		 * checksum held: look at the part first, and in the next turn at the whole.
		 */
		s->part = hit >> 63 & (s->whole ^ 1) & (s->seam == 0);
		s->value_end = s->part ? PAYLOAD : hit & INDEX;
		s->holds = 1;
		BARRIER();
		if (signature->check != DLP_CHECK_NONE && !shape->trigger) {
			gather_values(s, buf, c, hit >> 16 & INDEX);
			s->holds = checksum_holds(s, c, signature);
		}
		BARRIER();
		s->whole = s->part & (s->holds ^ 1);
		s->hit -= s->whole;
		if (!s->holds && !s->part)
			tally(s, DLP_R_CHECK_FAILED, 1, 0);
		if (s->part || !s->holds)
			continue;
		rule = find_rule(s, number);
		if (!rule)
			continue;
		shadow = rule->flags & DLP_RULE_SHADOW;
		if (shape->trigger) {
			if (rule->action == DLP_HOLD && !shadow)
				request_hold(s, number);
			continue;
		}
		if (signature->prefilter) {
			count_prefilter(s, number);
			if (!shadow)
				call_inspector(s, rule->action, number);
			else if (rule->action != DLP_ALLOW)
				show_inspector(skb, s, buf);
			continue;
		}
		if (shadow) {
			tally(s, DLP_R_SHADOW_MATCH, 1, 0);
			if (s->shadow_judged >= SHADOW_SHARE) {
				count_match(s, number, 0);
				continue;
			}
			s->shadow_judged++;
			s->shadows++;
			n = s->found;
			s->found_list[n & (FOUND - 1)] = hit | 1ULL << 62;
			s->found = n + 1;
			continue;
		}
		/* The byte behind it is not known yet: it may be no match at all. */
		if (!s->ended && s->final && shape->right && (hit & INDEX) >= s->end &&
		    rule->action >= DLP_HOLD) {
			s->open = 1;
			continue;
		}
		tally(s, DLP_R_MATCH, 1, 0);
		if (s->judged >= EVENT_SHARE && rule->action < DLP_HOLD && rule->threshold < 2) {
			tally(s, DLP_R_SATURATED, 1, 0);
			count_match(s, number, 0);
			if (rule->action == DLP_MIRROR)
				s->mirror = 1;
			continue;
		}
		n = s->found;
		s->found_list[n & (FOUND - 1)] = hit;
		s->found = n + 1;
		s->judged++;
	}
	BARRIER();
	if (s->hit >= s->hits) {
		s->hits = 0;
		s->hit = 0;
	}
	if (s->found)
		return go_to(skb, s, SLOT_JUDGE);
	return go_on(skb, s);
}
