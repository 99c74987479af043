/* SPDX-License-Identifier: GPL-2.0 */
/*
 * HMAC-SHA-256 (RFC 2104, FIPS 180-4) of a matched value, so that exceptions and
 * distinct values are decided here and no value has to leave the kernel to be named.
 *
 * The two blocks of the key are the same for every value: the settings hold the states behind
 * them. What is left is laid out in scratch->block: up to three blocks of value and padding, and
 * the inner digest with its padding.
 */

#define SHA_BLOCK 64
#define VALUE_BLOCKS 3
#define OUTER (VALUE_BLOCKS * SHA_BLOCK)

static __always_inline u32 rotate(u32 v, u32 n)
{
	return v >> n | v << (32 - n);
}

static __always_inline void sha256_begin(struct scratch *s, const u32 *state)
{
#pragma unroll
	for (int i = 0; i < 8; i++)
		s->h[i] = state[i];
}

static __always_inline void sha256_block(struct scratch *s, const struct dlp_constants *k,
					 const u8 *p)
{
	u32 a = s->h[0], b = s->h[1], c = s->h[2], d = s->h[3];
	u32 e = s->h[4], f = s->h[5], g = s->h[6], h = s->h[7];

#pragma clang loop unroll(disable)
	for (u32 i = 0; i < 64; i++) {
		u32 t1, t2, w;

		if (i < 16) {
			w = __builtin_bswap32(*(u32 *)(p + i * 4));
		} else {
			u32 w15 = s->w[(i - 15) & 63], w2 = s->w[(i - 2) & 63];

			w = s->w[(i - 16) & 63] + s->w[(i - 7) & 63];
			w += rotate(w15, 7) ^ rotate(w15, 18) ^ w15 >> 3;
			w += rotate(w2, 17) ^ rotate(w2, 19) ^ w2 >> 10;
		}
		s->w[i & 63] = w;
		t1 = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) +
		     k->sha256[i & 63] + w;
		t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
		h = g;
		g = f;
		f = e;
		e = d + t1;
		d = c;
		c = b;
		b = a;
		a = t1 + t2;
	}
	s->h[0] += a;
	s->h[1] += b;
	s->h[2] += c;
	s->h[3] += d;
	s->h[4] += e;
	s->h[5] += f;
	s->h[6] += g;
	s->h[7] += h;
}

static __always_inline void sha256_end(struct scratch *s, u8 *out)
{
#pragma unroll
	for (int i = 0; i < 8; i++)
		*(u32 *)(out + i * 4) = __builtin_bswap32(s->h[i]);
}

/* Lay out the value. Returns its blocks, padding included. */
static __always_inline u32 lay_out(struct scratch *s, struct buffer *buf,
				   const struct dlp_constants *c, u64 start, u64 end, u32 normalise)
{
	u32 n, blocks, bits;

	__builtin_memset(s->block, 0, sizeof(s->block));
	s->count = 0;
#pragma clang loop unroll(disable)
	for (u64 k = 0; k < DLP_SPAN; k++) {
		u64 at = index_of(start + k), kept, lower;
		u32 byte, v;

		OPAQUE_VALUE(k);
		BARRIER();
		if (at >= end)
			break;
		byte = buf->b[at];
		v = c->value[byte & 255];
		kept = ((u64)v - 36) >> 63; /* a letter or digit */
		lower = kept & ~(((u64)v - 10) >> 63) & normalise & 1;
		byte &= ~(lower << 5);
		n = s->count;
		s->block[n & 127] = byte;
		s->count = n + (u32)(kept | !normalise);
	}
	BARRIER();
	n = s->count;
	s->block[n & 127] = 0x80;
	blocks = (n + 9 + SHA_BLOCK - 1) / SHA_BLOCK;
	bits = (SHA_BLOCK + n) * 8;
	if (blocks > VALUE_BLOCKS)
		blocks = VALUE_BLOCKS;
	s->block[(blocks * SHA_BLOCK - 2) & 255] = bits >> 8;
	s->block[(blocks * SHA_BLOCK - 1) & 255] = bits;
	return blocks;
}

/* The digest of buf[start, end), big endian as RFC 2104 gives it, into `out`. */
static __always_inline void hmac_value(struct scratch *s, struct buffer *buf,
				       const struct dlp_constants *c,
				       const struct dlp_settings *set, u64 start, u64 end,
				       u32 normalise, u8 *out)
{
	u32 blocks = lay_out(s, buf, c, start, end, normalise);

	sha256_begin(s, set->hmac_inner);
	BARRIER();
#pragma clang loop unroll(disable)
	for (u32 i = 0; i <= VALUE_BLOCKS; i++) {
		OPAQUE_VALUE(i);
		if (i >= blocks && i < VALUE_BLOCKS)
			continue;
		if (i == VALUE_BLOCKS) {
			u8 *inner = s->block + OUTER;

			sha256_end(s, inner);
			inner[32] = 0x80;
			inner[62] = (SHA_BLOCK + 32) * 8 >> 8;
			inner[63] = (SHA_BLOCK + 32) * 8 & 255;
			sha256_begin(s, set->hmac_outer);
		}
		BARRIER();
		sha256_block(s, c, s->block + i * SHA_BLOCK);
		BARRIER();
	}
	sha256_end(s, out);
}
