/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The socket behind a packet, and the flow that lives with it.
 *
 * What a TCP socket sends, the kernel's TCP made: its sequence numbers cannot be forged, and
 * its storage goes when it goes, not when a table is full. Raw and packet sockets can send
 * anything under any number, so TCP payload of theirs is `unowned`.
 */

#define AF_INET4 2
#define AF_INET6 10
#define TYPE_STREAM 1
#define TYPE_DATAGRAM 2

enum owner {
	OWNER_NONE = 0, /* none, or not a full one: forwarded, or of a connection to be */
	OWNER_TCP = 1,
	OWNER_DATAGRAM = 2, /* UDP, UDP-Lite, ping: the kernel made the IP header */
	OWNER_RAW = 3, /* a raw or packet socket, or the kernel's own for resets */
};

static __always_inline struct bpf_sock *socket_of(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	return sk ? bpf_sk_fullsock(sk) : 0;
}

static __always_inline u32 owner_of(struct __sk_buff *skb)
{
	struct bpf_sock *sk = socket_of(skb);

	if (!sk)
		return OWNER_NONE;
	if (sk->family != AF_INET4 && sk->family != AF_INET6)
		return OWNER_RAW;
	if (sk->type == TYPE_STREAM && sk->protocol == PROTO_TCP)
		return OWNER_TCP;
	return sk->type == TYPE_DATAGRAM ? OWNER_DATAGRAM : OWNER_RAW;
}

/* The packet's flow, as classify has found or made it. */
static __always_inline struct dlp_flow *flow_of_packet(struct __sk_buff *skb,
						       const struct scratch *s)
{
	struct bpf_sock *sk;

	if (!s->owned)
		return flows.lookup((void *)&s->key);
	sk = socket_of(skb);
	if (!sk)
		return 0;
	return sockets.sk_storage_get(sk, 0, 0);
}

/* An id for a flow that has no socket: its high bit tells it from a cookie. */
static __always_inline u64 fresh_id(const struct scratch *s)
{
	return 1ULL << 63 | ((s->now << 20) ^ bpf_get_prandom_u32());
}

/* A blocked flow without a socket stays blocked when the table of flows has forgotten it. */
static __always_inline void recall_block(struct scratch *s, struct dlp_flow *fresh)
{
	struct dlp_block *block = blocked.lookup(&s->key);

	if (block ? (s64)(block->until_ns - s->now) < 0 : !s->tcp || !lost_a_block(s))
		return;
	fresh->state = DLP_FLOW_BLOCKED;
	fresh->signature = block ? block->signature : 0;
}

/* The packet's flow, made where it is new. NULL: no room, the packet cannot pass. */
static __always_inline struct dlp_flow *flow_of(struct __sk_buff *skb, struct scratch *s)
{
	struct dlp_flow *flow = flow_of_packet(skb, s);
	struct dlp_flow *fresh = (struct dlp_flow *)s->block; /* it would not fit on the stack */
	struct bpf_sock *sk;

	if (flow && (s->owned || !(flow->flags & DLP_F_OWNED)))
		return flow;
	__builtin_memset(fresh, 0, sizeof(*fresh));
	fresh->started_ns = s->now;
	fresh->cgroup = s->cgroup;
	if (s->owned) {
		fresh->id = bpf_get_socket_cookie(skb);
		fresh->flags = DLP_F_OWNED;
		sk = socket_of(skb);
		if (!sk)
			return 0;
		flow = sockets.sk_storage_get(sk, fresh, BPF_SK_STORAGE_GET_F_CREATE);
		/*
		 * A socket that was closed while its first packet waited (for the next hop's
		 * address, in a qdisc) takes no storage any more: a SYN of nobody, then.
		 */
		if (flow || s->payload)
			return flow;
		s->owned = 0;
		fresh->flags = 0;
	}
	fresh->id = fresh_id(s);
	recall_block(s, fresh);
	flows.update(&s->key, fresh);
	return flows.lookup(&s->key);
}

/* The connection's SYN with an acknowledgement was sent, for a request that became the socket. */
static __always_inline int was_accepted(const struct scratch *s)
{
	struct dlp_flow *request = flows.lookup((void *)&s->key);

	return request &&
	       (request->flags & (DLP_F_INIT | DLP_F_OWNED | DLP_F_PARTLY | DLP_F_OPENED)) ==
		       DLP_F_INIT &&
	       request->next_seq == s->sequence;
}

enum beginning {
	BEGINS_NOT = 0, /* its beginning was not seen */
	BEGINS_HERE = 1,
	BEGINS_FORGED = 2,
};

/*
 * A segment of a socket of which none was seen. Where nothing has been acknowledged, one at
 * the first unacknowledged byte is the stream's first. A socket that was neither connected
 * nor accepted goes on with another's numbers (TCP_REPAIR): it has never measured a round
 * trip, as each handshake does.
 */
static __always_inline u32 beginning_of(struct __sk_buff *skb, const struct scratch *s)
{
	struct bpf_sock *sk;
	struct bpf_tcp_sock *tcp;

	if (!s->owned)
		return BEGINS_NOT;
	sk = socket_of(skb);
	if (!sk)
		return BEGINS_NOT;
	tcp = bpf_tcp_sock(sk);
	if (!tcp)
		return BEGINS_NOT;
	if (!tcp->bytes_acked && !tcp->srtt_us && !was_accepted(s))
		return BEGINS_FORGED;
	return tcp->bytes_acked <= 1 && tcp->snd_una == s->sequence ? BEGINS_HERE : BEGINS_NOT;
}

/*
 * Whether the peer has acknowledged all that never came by in front of the segment: it left
 * by another way, and is not sent again. One byte less, and TCP would send the rest behind
 * what has left.
 */
static __always_inline int was_acknowledged(struct __sk_buff *skb, const struct scratch *s)
{
	struct bpf_sock *sk = socket_of(skb);
	struct bpf_tcp_sock *tcp;

	if (!sk)
		return 0;
	tcp = bpf_tcp_sock(sk);
	return tcp && (s32)(tcp->snd_una - s->sequence) >= 0;
}

#define LISTED_NS 250000000ULL

/* Readers see the table of flows only: now and then a copy goes there, and the last one. */
static __always_inline void list_flow(struct scratch *s, struct dlp_flow *flow)
{
	if (!s->owned)
		return;
	if (s->now - flow->listed_ns < LISTED_NS && !(s->tcp_flags & (TCP_FIN | TCP_RST)))
		return;
	flow->listed_ns = s->now;
	flows.update(&s->key, flow);
}
