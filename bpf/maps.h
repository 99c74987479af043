/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The maps, and the scratch area in which a packet's programs hand over to one
 * another. bcc's own map macros: it knows neither SEC(".maps") nor globals.
 */

/* Slots of the program array; userspace fills them (dlp/datapath/abi.py). */
enum dlp_slot {
	SLOT_CLASSIFY = 0,
	SLOT_SCAN2 = 1,
	SLOT_SCAN3 = 2,
	SLOT_SCAN6 = 3,
	SLOT_GRAMS = 4,
	SLOT_DIGITS = 5,
	SLOT_SHAPE = 6,
	SLOT_CHECK = 7,
	SLOT_JUDGE = 8,
	SLOT_GROUPS = 9,
	SLOT_HOLD = 10,
	SLOT_NEAR = 11,
};

/*
 * The payload buffer. A stream's tail stands right before the payload; the bytes
 * before the tail hold the header of a mirrored record. Its size is a power of two,
 * so that a masked index is within bounds under every verifier from 6.1 on.
 */
#define BUFFER 32768
#define INDEX (BUFFER - 1)
#define ORIGIN 128 /* first byte of the tail; block 0 starts here */
#define PAYLOAD 256 /* first byte of the payload */
#define CHUNK 16384 /* payload bytes scanned at once */
#define PAD 128 /* zeroed bytes behind the payload */
#define BLOCK 48 /* a multiple of each stride and of the digit lane's word */
#define BLOCKS ((DLP_TAIL + CHUNK + BLOCK - 1) / BLOCK)
#define PART 12 /* of a block, with a flag of its own for the q-grams; the strides divide it */

/* Lists between the programs; powers of two for the same reason. */
#define FLAGS 512
#define CANDIDATES 512
#define FIRST_FRAGMENT 2
#define MATCHES 512
#define HITS 128
#define FOUND 16
#define MARKS 128

/* Flags of a block. */
#define FLAG_DIGIT 2
#define FLAG_GRAM 0xF0
#define FLAG_GRAM_OF(part) (0x10 << (part))

/* 64 bytes from `at` on as masks, the first byte in bit 0; starts of digit groups. */
struct unit {
	u64 digits;
	u64 starts;
	u64 at;
};

/* What the inspector was given of a held flow: nothing else may leave on its word. */
struct copy {
	u64 base; /* stream offset of the first byte */
	u64 length;
	u8 bytes[CHUNK + 64]; /* the last ones are read, and masked off */
};

struct buffer {
	u8 b[BUFFER];
};

/*
 * What IP tells of fragments. In the scratch area, as the verifier of 6.1 would follow each
 * way through the extension headers apart if it knew the values.
 */
struct fragment {
	u32 l4; /* first byte of the IP payload, extension headers left out */
	u32 is; /* it is one */
	u32 offset; /* in the IP payload, in bytes */
	u32 more;
	u32 id;
	u32 protocol; /* what tells fragments of different datagrams apart beside the id */
	u32 hops; /* TTL or hop limit */
};

struct scratch {
	struct dlp_flow_key key;
	u64 cgroup;
	u64 flow_id;
	u64 now;
	u64 base; /* stream offset of b[ORIGIN] */
	u64 packet_base; /* stream offset of the packet's first payload byte */
	u32 generation;
	u32 policy;
	u32 policy_flags;
	u32 release;
	u32 scan_slot;
	u32 bloom_shift;

	/* the packet */
	u32 cursor; /* in the packet: the next byte to load */
	u32 limit; /* in the packet: behind the last byte to scan */
	u32 payload;
	u32 sequence; /* of the first payload byte */
	u32 sequence_end;
	u32 tcp;
	u32 tcp_flags;
	u32 advance; /* the stream moves on with this packet */
	u32 uninspectable;
	u32 verdict; /* enum dlp_action so far */
	u32 verdict_signature;
	u32 mirror;
	u32 judged;
	u32 inspector_down;
	u32 flow_opaque;
	u32 device; /* enum dlp_device */
	u32 owned; /* by a TCP socket: the flow is in its storage */
	u32 partly; /* flow flag PARTLY */
	u32 matched; /* judged matches, to be added to the flow's */
	u32 back; /* bytes of the segment that were sent before */
	u32 loaded; /* payload bytes of the packet before the chunk */
	u32 event_burst;
	u32 payload_at; /* in the packet: its first payload byte */
	u32 work; /* nanoseconds beside the scan, as budget.h counts them */
	u32 work_allowed;

	/* holds and open ends */
	u32 ended; /* what lies behind the segment's end is known: nothing, or next_byte */
	u32 next_byte; /* 256: not known, reads as NUL */
	u32 seam; /* the tail was judged with this segment's first byte behind it */
	u32 open; /* a match ends with the segment, and its boundary is not known */
	u32 again; /* a held segment that was given before */
	u32 released; /* cleared by the inspector: to be compared with what it was given */
	u32 before; /* bytes of the tail that go with it */
	u32 hold_timeout_ms;
	u8 kept_tail[DLP_TAIL]; /* a mirrored record's header is written over the buffer's */

	/* the packet as an IP fragment */
	struct fragment ip;
	u32 headers; /* bytes of the IP header, with options and extension headers */
	u32 hops;
	u32 raw; /* by a raw or packet socket */
	u32 tcp_options; /* bytes of them */
	u32 options_at;
	u32 plain_options; /* none but a time stamp */
	u32 join; /* a SYN of a further MPTCP subflow */
	u32 fragment; /* it is one; FIRST_FRAGMENT for that with the transport's header */
	u32 kernel_made; /* by a socket that cannot choose the IP header */
	u32 fragment_offset; /* in the IP payload */
	u32 fragment_next;
	u32 poisons; /* dropped, it leaves behind a datagram that nobody remembers */
	struct dlp_flow_key datagram;

	/* the chunk */
	u32 first; /* no chunk has been loaded yet */
	u32 chunk; /* payload bytes in the buffer */
	u32 end; /* index behind the last of them */
	u32 final; /* the packet ends with this chunk */
	u32 continuing; /* this chunk follows another of the same packet */
	u32 flagged;
	u32 skip; /* blocks of the tail that need no second look: 0 or 2 */
	u32 blocks;
	u32 gram_block; /* next block of the gram lane */
	u32 digits_wanted; /* the digit lane has work in this chunk */
	u32 masked; /* and its masks are made */
	u32 units;

	u32 candidates;
	u32 candidate;
	u32 entry;
	u32 matches;
	u32 match;
	u32 hits;
	u32 hit;
	u32 part; /* of the hit at hand only what was there with the segment before is looked at */
	u32 whole; /* now it is looked at as a whole */
	u32 holds; /* its checksum */
	u32 value_end;
	u32 found;
	u32 judge;
	union {
		u32 shadow; /* both, to be cleared at once */
		struct {
			u16 shadow_judged;
			u16 shadow_given; /* which chunk the inspector of shadow rules has, from 1 on */
		};
	};
	u32 shadows; /* in the list of what was found */

	/* keywords before hits */
	u32 near_wanted; /* of a hit a keyword is asked for */
	u32 near; /* next hit */
	u32 near_kept;
	u32 near_busy;
	u32 near_start; /* of the hit at hand */
	u32 near_looked; /* marks looked at for it */
	u32 near_missing; /* hits without a keyword, not yet counted */
	u32 near_key;
	u32 marked_from; /* text in which every keyword is marked */
	u32 marked_to;
	u32 marks; /* made since marked_from */
	u32 word_at; /* eight bytes, and */
	u32 word_start; /* the word at hand in them */
	u32 chain; /* keywords that begin like it */
	u32 chain_left;
	u64 word_bits; /* where further ones begin */
	u64 near_hit;
	u32 mark_list[MARKS]; /* end << 16 | number of the keyword */

	/* digit lane: the unit at hand */
	u64 digits;
	u64 starts;
	u64 lane_bits;
	u32 groups; /* looked at, not yet counted */
	u32 lane_start;
	u32 unit;
	u32 unit_at;

	/* shape: the candidate at hand */
	u32 busy;
	u32 start;
	u32 pos;
	u32 step;
	u32 run;
	u32 cut; /* the steps so far would have fitted without this segment */
	u32 shape_index;
	struct dlp_shape shape;

	/* keys of lookups: on the stack they would keep verifier states from merging */
	u64 gram_key;
	u32 shape_key;
	u32 rule_key;
	u32 index_key;
	struct dlp_seen_key seen_key;
	u64 hits_key;
	struct dlp_window_key window_key;
	struct dlp_exception_key exception_key;

	u8 flag[FLAGS];
	struct unit unit_list[FLAGS];
	u16 gram_at[CANDIDATES];
	u32 match_list[MATCHES]; /* shape << 16 | start */
	u64 hit_list[HITS]; /* cut << 63 | shadow << 62 | shape << 32 | start << 16 | end */
	u64 found_list[FOUND];

	/* checksum and digest */
	u32 count; /* of the values */
	u32 sum;
	u32 failed;
	u8 value[64];
	u32 h[8];
	u32 w[64];
	u8 block[6 * 64 + 64];
	struct dlp_event event;

	/* distinct values in a window */
	u64 oldest;
	u64 place; /* of the value, or of the oldest */
	u64 known;

	/* values of new rows: never written */
	struct dlp_hits no_hits;
	struct dlp_window no_window;
};

BPF_TABLE("percpu_array", u32, struct buffer, buffers, 1);
BPF_TABLE("percpu_array", u32, struct scratch, scratches, 1);
BPF_TABLE("percpu_array", u32, struct dlp_counters, counters, DLP_WORKLOADS);

BPF_ARRAY(settings, struct dlp_settings, 1);
BPF_ARRAY(constants, struct dlp_constants, 1);
BPF_ARRAY(blooms, struct dlp_bloom, 2);
BPF_ARRAY(classes, struct dlp_classes, 2);
BPF_ARRAY(lanes, struct dlp_lane, 2);
BPF_ARRAY(gram_starts, struct dlp_gram_starts, 2 * DLP_GRAM_BUCKETS / DLP_GRAM_STARTS);
BPF_ARRAY(anchors, struct dlp_anchors, 2 * DLP_GRAM_ROWS);
BPF_ARRAY(signatures, struct dlp_signature, 2 * DLP_SIGNATURES);
BPF_ARRAY(sums, struct dlp_sum, 2 * DLP_SUMS);
BPF_ARRAY(keywords, struct dlp_keyword, 2 * DLP_KEYWORDS);
BPF_ARRAY(starts, struct dlp_starts, 2);
BPF_ARRAY(nears, struct dlp_near, 2 * DLP_NEARS);
BPF_ARRAY(policies, struct dlp_policy, 2 * DLP_POLICIES);
BPF_ARRAY(rules, struct dlp_rule, 2 * DLP_RULES);

/* Sparse tables: memory by what a set needs, not by what it may. */
BPF_F_TABLE("hash", u32, struct dlp_shape, shapes, 2 * DLP_SHAPES, BPF_F_NO_PREALLOC);
BPF_F_TABLE("hash", u32, struct dlp_rule_page, rule_pages,
	    2 * DLP_POLICIES * DLP_SIGNATURES / DLP_RULE_PAGE, BPF_F_NO_PREALLOC);
BPF_F_TABLE("hash", struct dlp_exception_key, u64, exceptions, 8192, BPF_F_NO_PREALLOC);
BPF_F_TABLE("hash", struct dlp_who, struct dlp_binding, workloads, 65536, BPF_F_NO_PREALLOC);
BPF_F_TABLE("hash", u64, struct dlp_word, words, 65536, BPF_F_NO_PREALLOC);
BPF_F_TABLE("hash", struct dlp_flow_key, struct dlp_block, blocked, 65536, BPF_F_NO_PREALLOC);
BPF_F_TABLE("hash", u64, u32, admitted, 65536, BPF_F_NO_PREALLOC); /* cgroup id: may send */
BPF_ARRAY(guards, struct dlp_guard, DLP_WORKLOADS);
BPF_ARRAY(buckets, struct dlp_bucket, DLP_WORKLOADS);

/* TCP state lives with its socket, where no flood of others can make it be forgotten. */
BPF_SK_STORAGE(sockets, struct dlp_flow);
/* What has no socket of its own, and copies of what has, for readers. */
BPF_TABLE("lru_hash", struct dlp_flow_key, struct dlp_flow, flows, 65536);
BPF_TABLE("lru_hash", struct dlp_flow_key, struct dlp_datagram, datagrams, 4096);
BPF_TABLE("lru_hash", u64, struct copy, copies, 512);
BPF_TABLE("lru_hash", struct dlp_seen_key, u32, seen, 65536);
/* Apart, so that what only counts makes nothing be forgotten that is acted on. */
BPF_TABLE("lru_hash", struct dlp_seen_key, u32, shadow_seen, 4096);
BPF_F_TABLE("hash", struct dlp_window_key, struct dlp_window, windows, 4096, BPF_F_NO_PREALLOC);
BPF_F_TABLE("hash", u64, struct dlp_hits, hits, 16384, BPF_F_NO_PREALLOC);

BPF_PROG_ARRAY(programs, 16);
BPF_RINGBUF_OUTPUT(events, 256); /* pages */
BPF_RINGBUF_OUTPUT(shadow_events, 16);
BPF_RINGBUF_OUTPUT(shadow_payloads, 64);
BPF_RINGBUF_OUTPUT(payloads, 2048);
BPF_RINGBUF_OUTPUT(holds, 1024);
