/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Of the hits whose signature asks for a keyword before the value, those stay that have one.
 *
 * The text before a hit is searched for words of the keyword table, of all signatures at once,
 * and what is found there is remembered for the hits behind it: text full of values that lack a
 * keyword is read once, and not once for each of them. Keyword, distance and value fit the tail
 * together (the compiler saw to it), so that all that counts lies in the buffer.
 */

#define NEAR_STEPS 384 /* hits, pieces of text, keywords and marks that are looked at in a call */
#define WORDS_AT_ONCE 8 /* bytes in which words are looked for in a step */
#define MARKS_AT_ONCE 8
/* More than keyword and distance; a word that begins further back is of no use. */
#define NEAR_REACH 160

static __always_inline u64 keyword_differs(const struct dlp_keyword *keyword, const u8 *p)
{
	u64 differs = 0;

#pragma unroll
	for (int i = 0; i < DLP_KEYWORD / 8; i++) {
		u64 w = *(u64 *)(p + i * 8) ^ *(u64 *)(keyword->text + i * 8);

		differs |= w & *(u64 *)(keyword->mask + i * 8);
	}
	return differs;
}

static __always_inline u64 is_alphanumeric(const struct dlp_constants *c, u64 byte)
{
	return c->kind[byte & 255] & 1;
}

/* One keyword that begins like the word at hand. */
static __always_inline void try_keyword(struct scratch *s, struct buffer *buf,
					const struct dlp_constants *c)
{
	struct dlp_keyword *keyword;
	u64 at = index_of(s->word_start), number = s->chain, end;
	u32 n;

	s->chain = number + 1;
	s->chain_left--;
	s->index_key = s->generation * DLP_KEYWORDS + number;
	keyword = keywords.lookup(&s->index_key);
	if (!keyword || at > PAYLOAD + CHUNK)
		return;
	if (keyword_differs(keyword, buf->b + at))
		return;
	end = index_of(at + keyword->length);
	if (is_alphanumeric(c, buf->b[end]))
		return;
	n = s->marks;
	s->mark_list[n & (MARKS - 1)] = end << 16 | number;
	s->marks = n + 1;
}

/* What the first two bytes of a word say: number in the table of starts. */
static __always_inline u64 start_of(const u8 *p)
{
	u64 two = (p[0] & 31) << 5 | (p[1] & 31);

	asm volatile("%0 &= 0x3ff" : "+r"(two));
	return two;
}

/* The first word at hand that may be a keyword. */
static __always_inline void take_word(struct scratch *s, struct buffer *buf,
				      const struct dlp_constants *c,
				      const struct dlp_starts *starts)
{
	u64 bits = s->word_bits, one = bits & -bits, at, two;

	s->word_bits = bits ^ one;
	at = index_of(s->word_at + bit_number(c, one));
	s->word_start = at;
	if (at > PAYLOAD + CHUNK)
		return;
	two = start_of(buf->b + at);
	s->chain = starts->first[two];
	s->chain_left = starts->count[two];
}

/*
 * Where words begin in the next bytes that some keyword begins like: a letter behind what is no
 * letter or digit.
 */
static __always_inline void find_words(struct scratch *s, struct buffer *buf,
				       const struct dlp_constants *c,
				       const struct dlp_starts *starts)
{
	u64 at = index_of(s->marked_to), letters, alphanumeric, begins = 0;

	if (at > PAYLOAD + CHUNK)
		at = PAYLOAD + CHUNK;
	/* No letter without bit 6: numbers are passed over quickly. */
	letters = *(u64 *)(buf->b + at) | *(u64 *)(buf->b + at + 8) | *(u64 *)(buf->b + at + 16) |
		  *(u64 *)(buf->b + at + 24);
	if (!(letters & 0x4040404040404040ULL)) {
		s->marked_to += 32;
		return;
	}
	letters = 0;
	alphanumeric = is_alphanumeric(c, buf->b[index_of(at - 1)]);
#pragma unroll
	for (int k = 0; k < WORDS_AT_ONCE; k++) {
		u64 kind = c->kind[buf->b[at + k]];

		letters |= (kind >> 1) << k;
		alphanumeric |= (kind & 1) << (k + 1);
		begins |= (u64)((starts->count[start_of(buf->b + at + k)] + 255) >> 8) << k;
	}
	s->word_bits = letters & begins & ~alphanumeric;
	s->word_at = at;
	s->marked_to += WORDS_AT_ONCE;
}

/* Whether a mark is a keyword of the hit at hand, near enough. */
static __always_inline u64 fits_mark(const struct scratch *s, const struct dlp_near *near, u64 mark)
{
	u64 end = mark >> 16, number = mark & (DLP_KEYWORDS - 1), word = number >> 6;
	u64 start = s->near_start;

	asm volatile("%0 &= 15" : "+r"(word));
	return near->keyword[word] >> (number & 63) & below(end, start + 1) &
	       below(start, end + near->distance + 1);
}

static __always_inline void keep_hit(struct scratch *s)
{
	u32 n = s->near_kept;

	s->hit_list[n & (HITS - 1)] = s->near_hit;
	s->near_kept = n + 1;
	s->near_busy = 0;
}

static __always_inline void drop_hit(struct scratch *s)
{
	s->near_missing++;
	s->near_busy = 0;
}

/* The next marks, from the last one back; those that are not there are of no text. */
static __always_inline void look_at_marks(struct scratch *s)
{
	u64 fits = 0, n = s->near_looked, i, mark = 0;
	struct dlp_near *near = nears.lookup(&s->near_key);

	if (!near || n >= s->marks || n >= MARKS) {
		drop_hit(s);
		return;
	}
#pragma unroll
	for (int k = 0; k < MARKS_AT_ONCE; k++) {
		i = s->marks - 1 - n - k;
		mark = s->mark_list[i & (MARKS - 1)];
		fits |= fits_mark(s, near, mark) & below(n + k, s->marks);
	}
	s->near_looked = n + MARKS_AT_ONCE;
	/* Those that were made before the last one begin further back still. */
	s->near_looked += MARKS & -below((mark >> 16) + NEAR_REACH, s->near_start);
	if (fits)
		keep_hit(s);
}

/* The next hit, and from where on the text before it is searched, if what is marked does not do. */
static __always_inline void take_hit(struct scratch *s)
{
	struct dlp_signature *signature;
	struct dlp_shape *shape;
	u64 start, from;

	s->near_hit = s->hit_list[s->near & (HITS - 1)];
	s->near++;
	s->shape_key = s->generation * DLP_SHAPES + (s->near_hit >> 32 & (DLP_SHAPES - 1));
	shape = shapes.lookup(&s->shape_key);
	if (!shape || !shape->near) {
		keep_hit(s);
		return;
	}
	s->index_key = s->generation * DLP_SIGNATURES + (shape->signature & (DLP_SIGNATURES - 1));
	signature = signatures.lookup(&s->index_key);
	if (!signature)
		return;
	s->near_key = s->generation * DLP_NEARS + signature->near;
	start = s->near_hit >> 16 & INDEX;
	from = sub_to_zero(start, NEAR_REACH + ORIGIN + 1) + ORIGIN +
	       1; /* the byte before is read */
	s->near_start = start;
	s->near_looked = 0;
	s->near_busy = 1;
	if (from < s->marked_from || from > s->marked_to ||
	    (start < s->marked_to && s->marks > MARKS)) {
		s->marked_from = from;
		s->marked_to = from;
		s->marks = 0;
	} else if (start <= s->marked_to && !s->marks) {
		drop_hit(s);
	}
}

int near(struct __sk_buff *skb)
{
	struct scratch *s = scratch_area();
	struct buffer *buf = buffer_area();
	struct dlp_constants *c;
	struct dlp_starts *words_at;
	u32 generation, zero = 0;
	u64 i;

	if (!s || !buf)
		return refuse();
	generation = s->generation & 1;
	c = constants.lookup(&zero);
	words_at = starts.lookup(&generation);
	if (!c || !words_at)
		return refuse();
#pragma clang loop unroll(disable)
	for (i = 0; i < NEAR_STEPS; i++) {
		OPAQUE_VALUE(i);
		BARRIER();
		if (!s->near_busy) {
			if (s->near >= s->hits)
				break;
			take_hit(s);
			continue;
		}
		if (s->chain_left) {
			try_keyword(s, buf, c);
			continue;
		}
		if (s->word_bits) {
			take_word(s, buf, c, words_at);
			continue;
		}
		if (s->marked_to < s->near_start) {
			find_words(s, buf, c, words_at);
			continue;
		}
		look_at_marks(s);
	}
	spend(s, i, COST_NEAR);
	BARRIER();
	tally(s, DLP_R_NO_KEYWORD, s->near_missing, 0);
	s->near_missing = 0;
	if (s->near_busy || s->near < s->hits)
		return go_to(skb, s, SLOT_NEAR);
	s->hits = s->near_kept;
	s->near = 0;
	s->near_kept = 0;
	s->near_wanted = 0;
	BARRIER();
	return go_on(skb, s);
}
