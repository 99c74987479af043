/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Parsers: each takes a cursor, moves it, and returns the next type or a negative
 * reason. They read the packet and nothing else; no map is touched here.
 *
 * Only <uapi/linux> headers are included, so the protocol headers are read as bytes:
 * that keeps the programs independent of the running kernel's own structs.
 */

#define ETH_IP4 0x0800
#define ETH_IP6 0x86DD
#define ETH_ARP 0x0806
#define ETH_VLAN 0x8100
#define ETH_QINQ 0x88A8
#define VLAN_TAGS 2
#define IP6_HEADERS 8

#define PROTO_ICMP 1
#define PROTO_IGMP 2
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_ICMP6 58
#define PROTO_FRAGMENT 0x100 /* a later fragment: its payload has no transport header */

#define TCP_FIN 1
#define TCP_SYN 2
#define TCP_RST 4
#define TCP_URG 32

struct cursor {
	struct __sk_buff *skb;
	u32 at;
	u32 end; /* by the IP header; the packet's own end where that lies or is silent */
	struct fragment *fragment;
	u32 lie;
};

static __always_inline u32 be16(const u8 *p)
{
	return (u32)p[0] << 8 | p[1];
}

static __always_inline u32 be32(const u8 *p)
{
	return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3];
}

/* Ethernet and up to two VLAN tags (IEEE 802.1Q, 802.1ad) in the packet. */
static __always_inline int parse_ethernet(struct cursor *c)
{
	u8 h[14];
	u32 type;

	if (bpf_skb_load_bytes(c->skb, 0, h, sizeof(h)))
		return -DLP_R_MALFORMED_L2;
	type = be16(h + 12);
	c->at = 14;
#pragma unroll
	for (int i = 0; i < VLAN_TAGS; i++) {
		if (type != ETH_VLAN && type != ETH_QINQ)
			break;
		if (bpf_skb_load_bytes(c->skb, c->at, h, 4))
			return -DLP_R_MALFORMED_L2;
		type = be16(h + 2);
		c->at += 4;
	}
	if (type == ETH_VLAN || type == ETH_QINQ)
		return -DLP_R_MALFORMED_L2; /* a third tag would hide the stream behind it */
	return type;
}

static __always_inline void set_end(struct cursor *c, u32 end)
{
	c->end = end;
	if (end > c->skb->len) {
		c->end = c->skb->len;
		c->lie = 1;
	}
}

/* RFC 791. A total length of 0 is that of a packet over 64 KB (BIG TCP). */
static __always_inline int parse_ip4(struct cursor *c, struct dlp_flow_key *key)
{
	u8 h[20];
	u32 header, total, fragment;

	if (bpf_skb_load_bytes(c->skb, c->at, h, sizeof(h)))
		return -DLP_R_MALFORMED_IP4;
	header = (h[0] & 15) * 4;
	total = be16(h + 2);
	if (h[0] >> 4 != 4 || header < 20 || (total && total < header) ||
	    c->at + header > c->skb->len)
		return -DLP_R_MALFORMED_IP4;
	set_end(c, total ? c->at + total : c->skb->len);
	key->family = 4;
	key->source[10] = key->source[11] = key->destination[10] = key->destination[11] = 0xff;
	__builtin_memcpy(key->source + 12, h + 12, 4);
	__builtin_memcpy(key->destination + 12, h + 16, 4);
	c->at += header;
	c->fragment->l4 = c->at;
	fragment = be16(h + 6);
	c->fragment->is = (fragment & 0x3fff) != 0;
	c->fragment->offset = (fragment & 0x1fff) * 8;
	c->fragment->more = fragment & 0x2000;
	c->fragment->id = be16(h + 4);
	c->fragment->hops = h[8];
	c->fragment->protocol = h[9];
	if (fragment & 0x1fff) {
		key->protocol = h[9];
		return PROTO_FRAGMENT;
	}
	return h[9];
}

/* RFC 8200 with its extension headers, in any order, at most IP6_HEADERS of them. */
static __always_inline int parse_ip6(struct cursor *c, struct dlp_flow_key *key)
{
	u8 h[40];
	u32 next, length;

	if (bpf_skb_load_bytes(c->skb, c->at, h, sizeof(h)) || h[0] >> 4 != 6)
		return -DLP_R_MALFORMED_IP6;
	length = be16(h + 4);
	next = h[6];
	c->fragment->hops = h[7];
	key->family = 6;
	__builtin_memcpy(key->source, h + 8, 16);
	__builtin_memcpy(key->destination, h + 24, 16);
	c->at += 40;
	set_end(c, length ? c->at + length : c->skb->len);
#pragma clang loop unroll(disable)
	for (int i = 0; i < IP6_HEADERS; i++) {
		u32 size;

		if (next != 0 && next != 43 && next != 44 && next != 51 && next != 60 &&
		    next != 135)
			return next;
		if (bpf_skb_load_bytes(c->skb, c->at, h, 8))
			return -DLP_R_MALFORMED_IP6;
		if (next == 44) {
			u32 fragment = be16(h + 2);

			size = 8;
			/* Offset 0 and no more to come: a whole datagram (RFC 6946). */
			c->fragment->is = (fragment & 0xfff9) != 0;
			c->fragment->offset = fragment & 0xfff8;
			c->fragment->more = fragment & 1;
			c->fragment->id = be32(h + 4);
			c->fragment->l4 = c->at + 8;
			if (fragment & 0xfff8) {
				c->at += 8;
				key->protocol = h[0];
				return PROTO_FRAGMENT;
			}
		} else if (next == 51) {
			size = (h[1] + 2) * 4;
		} else {
			size = (h[1] + 1) * 8;
		}
		c->at += size;
		if (c->at > c->skb->len)
			return -DLP_R_MALFORMED_IP6;
		next = h[0];
	}
	return -DLP_R_IP6_CHAIN;
}

struct tcp_header {
	u32 sequence;
	u32 flags;
	u32 options; /* where they begin, and their length in bytes */
	u32 options_length;
};

/* RFC 9293. */
static __always_inline int parse_tcp(struct cursor *c, struct dlp_flow_key *key,
				     struct tcp_header *tcp)
{
	u8 h[20];
	u32 header;

	if (bpf_skb_load_bytes(c->skb, c->at, h, sizeof(h)))
		return -DLP_R_MALFORMED_L4;
	header = (h[12] >> 4) * 4;
	if (header < 20 || c->at + header > c->end)
		return -DLP_R_MALFORMED_L4;
	key->source_port = be16(h);
	key->destination_port = be16(h + 2);
	tcp->sequence = be32(h + 4);
	tcp->flags = h[13];
	tcp->options = c->at + 20;
	tcp->options_length = header - 20;
	c->at += header;
	return PROTO_TCP;
}

/* RFC 768. The length field is not believed: everything behind the header is payload. */
static __always_inline int parse_udp(struct cursor *c, struct dlp_flow_key *key)
{
	u8 h[8];

	if (bpf_skb_load_bytes(c->skb, c->at, h, sizeof(h)))
		return -DLP_R_MALFORMED_L4;
	key->source_port = be16(h);
	key->destination_port = be16(h + 2);
	c->at += 8;
	return PROTO_UDP;
}

/*
 * Protocols whose payload tells nothing: by the first bytes of a stream or datagram.
 * TLS records (RFC 8446 5.1), QUIC long headers of versions 1, 2 and the drafts
 * (RFC 9000 17.2, RFC 9369), the SSH banner (RFC 4253 4.2). Their bytes are scanned
 * all the same: a fake header must not switch the scan off.
 */
static __always_inline u32 recognise_opaque(const u8 *p, u32 length, u32 protocol)
{
	if (protocol == PROTO_TCP) {
		if (length >= 5 && p[0] >= 20 && p[0] <= 23 && p[1] == 3 && p[2] <= 4)
			return DLP_OPAQUE_TLS;
		if (length >= 4 && p[0] == 'S' && p[1] == 'S' && p[2] == 'H' && p[3] == '-')
			return DLP_OPAQUE_SSH;
	} else if (protocol == PROTO_UDP && length >= 7 && (p[0] & 0xC0) == 0xC0) {
		u32 version = be32(p + 1);

		if (version == 1 || version == 0x6b3343cf || (version >> 8) == 0xff0000)
			return DLP_OPAQUE_QUIC;
	}
	return DLP_OPAQUE_NO;
}
