/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The shape machine: decides each candidate exactly. One loop; each turn takes up to
 * eight bytes of one step of the candidate at hand. Its whole state is in the scratch
 * area, so that the verifier sees the same state at every turn.
 *
 * Steps are taken possessively; the compiler has proved that this equals the regex.
 */

#define SHAPE_STEPS 512

static __always_inline const u64 *members_of(const struct dlp_classes *classes, u64 cls)
{
	asm volatile("%0 &= 255" : "+r"(cls));
	return classes->member + cls * 4;
}

static __always_inline u64 is_member(const u64 *members, u64 byte)
{
	u64 word = byte >> 6;

	asm volatile("%0 &= 3" : "+r"(word));
	return members[word] >> (byte & 63) & 1;
}

static __always_inline u64 in_class(const struct dlp_classes *classes, u64 byte, u64 cls)
{
	return is_member(members_of(classes, cls), byte);
}

/* Take up the next candidate. 0 when its left boundary or its literal does not hold. */
static __always_inline int begin_candidate(struct scratch *s, struct buffer *buf,
					   const struct dlp_classes *classes)
{
	u32 match = s->match_list[s->match & (MATCHES - 1)];
	u64 before = index_of((match & INDEX) - 1), literal;
	struct dlp_shape *shape;

	s->match++;
	spend(s, 1, COST_CANDIDATE);
	s->shape_index = match >> 16;
	s->shape_key = s->generation * DLP_SHAPES + s->shape_index;
	shape = shapes.lookup(&s->shape_key);
	if (!shape)
		return 0;
	if (!in_class(classes, buf->b[before], shape->left))
		return 0;
	literal = index_of((match & INDEX) + shape->literal_offset);
	if (literal > PAYLOAD + CHUNK || literal_differs(shape, buf->b + literal))
		return 0;
	__builtin_memcpy(s->shape.step, shape->step, sizeof(shape->step));
	s->shape.steps = shape->steps;
	s->shape.right = shape->right;
	s->shape.near = shape->near;
	s->start = match & INDEX;
	s->pos = s->start;
	s->step = 0;
	s->run = 0;
	s->cut = 1;
	s->busy = 1;
	return 1;
}

int shape(struct __sk_buff *skb)
{
	struct scratch *s = scratch_area();
	struct buffer *buf = buffer_area();
	u32 generation, zero = 0;
	struct dlp_classes *class_table;
	struct dlp_constants *c;
	u64 i;

	if (!s || !buf)
		return refuse();
	generation = s->generation & 1;
	class_table = classes.lookup(&generation);
	c = constants.lookup(&zero);
	if (!class_table || !c)
		return refuse();
	if (!s->match)
		tally(s, DLP_R_SHAPE_CANDIDATE, s->matches, 0);
#pragma clang loop unroll(disable)
	for (i = 0; i < SHAPE_STEPS; i++) {
		u64 pos, taken, cut, members = 0;
		struct dlp_step *step;
		const u64 *member;
		u32 n;

		OPAQUE_VALUE(i);
		BARRIER();
		if (!s->busy) {
			if (s->match >= s->matches || s->hits >= HITS)
				break;
			if (!begin_candidate(s, buf, class_table))
				continue;
			BARRIER();
		}
		step = &s->shape.step[s->step & (DLP_STEPS - 1)];
		pos = index_of(s->pos);
		if (pos > PAYLOAD + CHUNK)
			pos = PAYLOAD + CHUNK;
		member = members_of(class_table, step->cls);
#pragma unroll
		for (int k = 0; k < 8; k++)
			members |= is_member(member, buf->b[pos + k]) << k;
		members = ~members;
		taken = bit_number(c, members & -members); /* at most 8: the bits above are set */
		taken = least(taken, step->max - s->run);
		taken = least(taken, s->end - pos);
		s->pos = pos + taken;
		s->run += taken;
		if (taken == 8 && s->run < step->max)
			continue;
		if (s->run < step->min) {
			s->busy = 0;
			continue;
		}
		/*
		 * Would the bytes up to the segment's start have done? Then the match was
		 * reported with the segment before, at whose end it seemed to end.
		 */
		taken = least(sub_to_zero(PAYLOAD + s->run, s->pos), s->run);
		s->cut &= ~(u32)((taken - step->min) >> 63);
		s->step++;
		s->run = 0;
		if (s->step < s->shape.steps)
			continue;
		s->busy = 0;
		pos = index_of(s->pos);
		if (!in_class(class_table, buf->b[pos], s->shape.right))
			continue;
		/*
		 * Where the chunk ends and the packet does not, a boundary is not one yet:
		 * the next chunk decides, which sees the whole match in its tail.
		 */
		if (s->shape.right && pos >= s->end && !s->final)
			continue;
		/* Ended in the tail: judged with the bytes before, unless its boundary was open. */
		if (pos + (s->shape.right && s->continuing) <= PAYLOAD)
			continue;
		n = s->hits;
		cut = s->cut && !s->continuing && s->start < PAYLOAD &&
		      in_class(class_table, 0, s->shape.right);
		s->hit_list[n & (HITS - 1)] = cut << 63 | (u64)s->shape_index << 32 |
					      (u64)s->start << 16 | pos;
		s->hits = n + 1;
		s->near_wanted |= s->shape.near;
	}
	spend(s, i, COST_STEP);
	BARRIER();
	if (s->match >= s->matches && !s->busy) {
		s->matches = 0;
		s->match = 0;
	}
	if (s->near_wanted)
		return go_to(skb, s, SLOT_NEAR);
	if (s->hits)
		return go_to(skb, s, SLOT_CHECK);
	return go_on(skb, s);
}
