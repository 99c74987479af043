/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The contract between the kernel programs and userspace: every struct that
 * crosses a map or a ring buffer, every enum that is stored or counted.
 *
 * Enums are append-only: their numbers are pinned in bpffs, stored in the
 * database and used as metric labels. Padding is explicit, so that the layout is
 * the same under every compiler; tests/datapath/test_abi.py compares each offset
 * with the Python mirror in dlp/datapath/abi.py. Integers are in host order,
 * addresses and nothing else in network order.
 */
#ifndef DLP_ABI_H
#define DLP_ABI_H

#define DLP_TAIL 128 /* bytes of a stream kept for the next segment */
#define DLP_SPAN 126 /* longest match the kernel decides: tail less one byte of left context */
#define DLP_LITERAL 32
#define DLP_STEPS 16
#define DLP_CLASSES 256
#define DLP_CLASS_WORDS 1024 /* four for each class; class 0 has all bytes */
#define DLP_ANCHORS 8 /* shapes that may share one q-gram */
#define DLP_GRAM_BUCKETS 32768 /* of the table of q-grams; a product's top 15 bits name one */
#define DLP_GRAM_STARTS 2048 /* buckets in a row of the table of starts */
#define DLP_GRAM_ENTRIES 65535 /* of a generation, behind entry 0 */
#define DLP_GRAM_ROW 512 /* entries in a row: 4 KB */
#define DLP_GRAM_ROWS 128
#define DLP_LANE 64 /* shapes of the digit lane, one bit each */
#define DLP_BLOOM_WORDS \
	8192 /* the most; small sets use the first 2048: 16 KB stay in the L1 data cache */
#define DLP_SIGNATURES 4096
#define DLP_SHAPES 16384
#define DLP_RULES 8192 /* different rows of all policies; row 0 is none */
#define DLP_RULE_PAGE 64 /* signatures of a page */
#define DLP_SUMS 256 /* weighted sums, each once however many signatures name it */
#define DLP_SUM_LONGEST 32
#define DLP_SUM_LARGEST 127
#define DLP_SUM_ANY 254 /* right, whatever stands at the check's position */
#define DLP_SUM_NEVER 255
#define DLP_KEYWORD 32 /* bytes of a keyword */
#define DLP_KEYWORDS 1024 /* each once, however many signatures name it */
#define DLP_KEYWORD_WORDS 16 /* of 64 bits, one bit a keyword */
#define DLP_NEARS 256 /* keyword lists with their distances; row 0 is none */
#define DLP_STARTS 1024 /* what two bytes of a word are told apart by: five bits of each */
#define DLP_WINDOW 64 /* values of a workload remembered for a rule; the highest threshold */
#define DLP_POLICIES 64
#define DLP_DESTINATIONS 32
#define DLP_WORKLOADS 1024

/* What is done with a packet or a match; the strongest of a packet wins. */
enum dlp_action {
	DLP_ALLOW = 0,
	DLP_ALERT = 1,
	DLP_MIRROR = 2,
	DLP_HOLD = 3, /* wait for the inspector's word */
	DLP_DROP = 4,
};

/* Why a packet or its bytes were treated as they were: one counter each. */
enum dlp_reason {
	DLP_R_PACKETS = 0, /* every packet that reached the classifier */
	DLP_R_INSPECTED = 1, /* payload bytes scanned */
	DLP_R_NO_PAYLOAD = 2,
	DLP_R_EXEMPT = 3, /* destination rule: exempt */
	DLP_R_DENIED = 4, /* destination rule: deny */
	DLP_R_MATCH_DROPPED = 5, /* a match whose rule says drop */
	DLP_R_FLOW_BLOCKED = 6, /* the flow was blocked by an earlier match */
	DLP_R_OPAQUE_TLS = 7,
	DLP_R_OPAQUE_QUIC = 8,
	DLP_R_OPAQUE_SSH = 9,
	DLP_R_UNINSPECTABLE = 10, /* dropped: policy uninspectable: drop */
	DLP_R_OTHER_PROTOCOL = 11, /* dropped: policy other_protocols: drop */
	DLP_R_NON_IP_SCANNED = 12, /* ethertype other than IP or ARP, scanned as raw bytes */
	DLP_R_ARP = 13, /* its bytes are scanned, as any that leave */
	DLP_R_MALFORMED_L2 = 14,
	DLP_R_MALFORMED_IP4 = 15,
	DLP_R_MALFORMED_IP6 = 16,
	DLP_R_MALFORMED_L4 = 17,
	DLP_R_IP6_CHAIN = 18, /* more extension headers than are followed */
	DLP_R_FRAGMENT = 19, /* scanned as it is */
	DLP_R_RETRANSMISSION = 20, /* scanned again */
	DLP_R_GAP = 21, /* bytes of a stream that never passed here */
	DLP_R_OUT_OF_ORDER = 22, /* dropped: beyond a segment that this program dropped itself */
	DLP_R_MIDSTREAM = 23, /* a flow that began before the attach */
	DLP_R_OVER_BUDGET = 24,
	DLP_R_PULL_FAILED = 25,
	DLP_R_LOAD_FAILED = 26,
	DLP_R_TAIL_CALL_FAILED = 27,
	DLP_R_MAP_FAILED = 28, /* a lookup that cannot fail did, or no room for a flow */
	DLP_R_EVENT_LOST = 29, /* ring buffer of events full */
	DLP_R_MIRROR_LOST = 30, /* ring buffer of payload full */
	DLP_R_BLOOM_CANDIDATE = 31, /* q-grams that passed the Bloom filter */
	DLP_R_DIGIT_CANDIDATE = 32, /* digit groups looked at */
	DLP_R_SHAPE_CANDIDATE = 33, /* shapes run */
	DLP_R_CHECK_FAILED = 34, /* shape fits, checksum does not */
	DLP_R_MATCH = 35,
	DLP_R_BELOW_THRESHOLD = 36,
	DLP_R_REPEATED = 37, /* a value of the flow seen before */
	DLP_R_EXCEPTED = 38, /* exception by digest */
	DLP_R_MIRRORED = 39, /* payload bytes copied to the inspector */
	DLP_R_WOULD_DROP = 40, /* monitor mode: packets that enforce would have dropped */
	DLP_R_RESUMED = 41, /* a list filled and the chunk was taken up again */
	DLP_R_INSPECTOR_DOWN = 42, /* dropped: policy on_inspector_down: closed */
	DLP_R_NO_POLICY = 43, /* fell to the strictest policy */
	DLP_R_LENGTH_LIE = 44, /* IP total length beyond the packet: scanned up to its end */
	DLP_R_TRAILER = 45, /* dropped: bytes past the IP length that are no padding */
	DLP_R_PASSED = 46, /* packets let out */
	DLP_R_DROPPED = 47, /* packets dropped, whatever the reason */
	DLP_R_CONTROL = 48, /* FIN or RST without payload of a blocked flow, let out */
	DLP_R_SATURATED = 49, /* matches past the packet's share of events: counted only */
	DLP_R_INSPECTOR_BLOCKED = 50, /* the inspector blocked the flow */
	DLP_R_UNOWNED = 51, /* TCP payload or a fragment without a socket of its protocol */
	DLP_R_URGENT = 52, /* TCP payload with an urgent byte */
	DLP_R_MPTCP_JOIN = 53, /* SYN of a further MPTCP subflow */
	DLP_R_FRAGMENT_ORDER = 54, /* dropped: a fragment that does not follow the one before */
	DLP_R_REWRITTEN = 55, /* dropped: sent again with other bytes */
	DLP_R_HELD = 56, /* taken out until the inspector's word */
	DLP_R_WAITED = 57, /* taken out until the byte behind an open end is known */
	DLP_R_RELEASED = 58, /* held, cleared by the inspector, let out */
	DLP_R_HOLD_TIMEOUT = 59, /* no word of the inspector in time: policy on_inspector_down */
	DLP_R_HOLD_LOST = 60, /* ring buffer of held payload full; it comes again */
	DLP_R_HOLD_UDP = 61, /* dropped: a datagram cannot be held */
	DLP_R_QUARANTINED = 62, /* dropped: the workload's egress is cut */
	DLP_R_EVENT_LIMITED = 63, /* events past the workload's share a second */
	DLP_R_OVERLOAD = 64, /* dropped: ring full, policy on_overload: closed */
	DLP_R_GUARDED = 65, /* guard: packets with the token, let in */
	DLP_R_BYPASS = 66, /* guard: packets without it, dropped */
	DLP_R_GUARD_HELD = 67, /* guard: held packets, taken out there */
	DLP_R_CLOSED = 68, /* guard: dropped, the workload is not enforced yet */
	DLP_R_GATED = 69, /* gate of a cgroup: dropped, its workload is not enforced yet */
	DLP_R_FRAGMENT_REFUSED =
		70, /* dropped: policy fragments: drop, or a part of a TCP segment */
	DLP_R_IP_OPTIONS =
		71, /* dropped: IPv4 options or IPv6 extension headers, by other_protocols */
	DLP_R_HOP_LIMIT = 72, /* dropped: TCP payload with fewer hops to go than the flow had */
	DLP_R_BLOCK_LOST = 73, /* no room to remember a block: the workload itself is marked */
	DLP_R_SHADOW_MATCH = 74, /* a match of a shadow rule: counted, nothing else */
	DLP_R_SHADOW_LIMITED = 75, /* events of shadow rules past their share */
	DLP_R_NO_KEYWORD = 76, /* shape fits, no keyword of the signature stands before it */
	DLP_R_SHADOW_MIRRORED = 77, /* payload copied to the inspector of shadow rules */
	DLP_R_SHADOW_UNREAD = 78, /* and not copied: past the workload's share, or ring full */
	DLP_REASONS = 128, /* size of the counter rows */
};

enum dlp_event_kind {
	DLP_EV_MATCH = 1, /* a signature matched and was decided in the kernel */
	DLP_EV_PREFILTER = 2, /* a prefilter matched: the inspector decides */
	DLP_EV_OPAQUE = 3, /* a flow was recognised as uninspectable */
	DLP_EV_BUDGET = 4, /* the work bound was reached */
	DLP_EV_DENIED = 5, /* destination rule: deny (first packet of the flow) */
	DLP_EV_REFUSED = 6, /* dropped for what the packet is; `reason` says what */
	DLP_EV_BYPASS = 7, /* guard: a packet that did not pass the classifier */
	DLP_EV_HELD = 8, /* segments of the flow are held from here on */
	DLP_EV_HOLD_TIMEOUT = 9, /* no word of the inspector: `action` was taken */
};

enum dlp_check {
	DLP_CHECK_NONE = 0,
	DLP_CHECK_LUHN = 1, /* ISO/IEC 7812-1, all digits of the match */
	DLP_CHECK_IBAN = 2, /* ISO 13616: rotate four, letters as two digits, mod 97 = 1 */
	DLP_CHECK_US_SSN = 3, /* area not 000, 666, 9xx; group not 00; serial not 0000 */
	DLP_CHECK_NHS = 4, /* weights 10..2, mod 11 */
	DLP_CHECK_DE_TAX = 5, /* ISO 7064 MOD 11,10 */
	DLP_CHECK_ES_DNI = 6, /* 8 digits mod 23 gives the letter; X, Y, Z stand for 0, 1, 2 */
	DLP_CHECK_FR_NIR = 7, /* 97 - (first 13 mod 97); 2A and 2B as 19 and 18 */
	DLP_CHECK_WEIGHTED = 8, /* the weighted sums that the signature names, all of them */
	DLP_CHECK_VERHOEFF = 9, /* Verhoeff's check over the dihedral group of ten, all digits */
	DLP_CHECKS = 10,
};

enum dlp_opaque {
	DLP_OPAQUE_NO = 0,
	DLP_OPAQUE_TLS = 1,
	DLP_OPAQUE_QUIC = 2,
	DLP_OPAQUE_SSH = 3,
};

enum dlp_dest_action {
	DLP_DEST_INSPECT = 0,
	DLP_DEST_EXEMPT = 1,
	DLP_DEST_DENY = 2,
};

enum dlp_policy_flag {
	DLP_P_MONITOR = 1,
	DLP_P_INSPECTOR_DOWN_CLOSED = 2,
	DLP_P_OTHER_DROP = 4,
	DLP_P_OVER_BUDGET_DROP = 8,
	DLP_P_UNOWNED_DROP = 16,
	DLP_P_URGENT_DROP = 32,
	DLP_P_MPTCP_DROP = 64,
	DLP_P_FRAGMENTS_DROP = 128,
	DLP_P_OPEN_END_WAIT = 256,
	DLP_P_HOLD_CLOSED = 512, /* no word of the inspector in time: block */
	DLP_P_HOLD_UDP_DROP = 1024, /* else mirrored */
	DLP_P_OVERLOAD_CLOSED = 2048, /* payload that finds no room in its ring does not leave */
};

enum dlp_flow_state {
	DLP_FLOW_OPEN = 0,
	DLP_FLOW_BLOCKED = 1,
};

enum dlp_flow_flag {
	DLP_F_INIT = 1,
	DLP_F_PARTLY = 2, /* began before the attach, or bytes were missed */
	DLP_F_MIRROR = 4,
	DLP_F_HOLE = 8, /* this program dropped the segment at next_seq */
	DLP_F_EXEMPT = 16,
	DLP_F_DENIED = 32,
	DLP_F_FIRST = 64, /* payload has been seen: protocol recognition is done */
	DLP_F_TAIL = 128, /* a block of the tail was flagged: scan the whole tail again */
	DLP_F_OWNED = 256, /* of a TCP socket; the entry in `flows` is a copy for readers */
	DLP_F_OPENED = 2048, /* more than a SYN was sent: another SYN begins another connection */
	DLP_F_SEAM = 1024, /* the byte behind the tail was known when the tail was judged */
	DLP_F_HELD_BEFORE = 512, /* was held at least once */
	DLP_F_SHADOW = 4096, /* the next segments are for the inspector of shadow rules */
};

enum dlp_event_flag {
	DLP_EF_MONITOR = 1, /* decided, not enforced */
	DLP_EF_BELOW_THRESHOLD = 2,
	DLP_EF_EXCEPTED = 4,
	DLP_EF_MIDSTREAM = 8,
	DLP_EF_OWNED = 16, /* `flow` is the socket's cookie */
	DLP_EF_SHADOW = 32, /* of a shadow rule: `action` is what would have been done */
};

enum dlp_rule_flag {
	DLP_RULE_SHADOW = 1, /* matches are counted and told of, and never acted on */
};

/* What an entry program knows of its device, beside the namespace's key. */
enum dlp_device {
	DLP_D_GUARDED = 1, /* a guard on the host's end checks tokens */
	DLP_D_STEALS = 2, /* attached by clsact, where TC_ACT_STOLEN takes a packet out */
	DLP_D_LOOPBACK = 4,
	DLP_D_FINAL = 8, /* foreign filters are not asked about packets that may leave */
	DLP_D_STAMPS = 16, /* a guard is about to stand there: tokens, but nothing is held by it */
};

enum dlp_guard_flag {
	DLP_G_CLOSED = 1, /* let nothing in: the workload is not enforced yet */
	DLP_G_MONITOR = 2, /* count, let all in */
	DLP_G_QUARANTINED = 4, /* the workload's egress is cut */
};

/* One step of a shape: a run of min..max bytes of a class, taken possessively. */
struct dlp_step {
	__u8 cls; /* of the class table; 0 is any byte */
	__u8 min;
	__u8 max;
	__u8 pad;
};

/*
 * A shape decides a match that starts at a given byte: literal first, then the
 * steps from the start (a literal is stepped over with class 0), then the byte
 * behind. The byte before the start must be of class `left`, the byte behind the
 * end of class `right`; where a stream starts or a segment ends it reads as NUL.
 */
struct dlp_shape {
	__u8 literal[DLP_LITERAL]; /* folded bytes are stored with bit 5 set */
	__u8 fold[DLP_LITERAL]; /* 0x20 where case is folded */
	__u8 mask[DLP_LITERAL]; /* 0xff where a literal byte stands */
	struct dlp_step step[DLP_STEPS];
	__u16 signature;
	__u8 literal_offset; /* from the start of the match */
	__u8 steps;
	__u8 left;
	__u8 right;
	__u8 trigger; /* 1: the front of a match; begins a hold and decides nothing */
	__u8 near; /* 1: a keyword has to stand before it */
};

/* A shape that a q-gram may announce. */
struct dlp_anchor {
	__u32 gram; /* folded, little endian */
	__u16 shape;
	__s8 offset; /* of the q-gram from the start of the match; -1: with the byte before it */
	__u8 last; /* 1: of its bucket */
};

/*
 * The table of q-grams: all anchors of a generation, those of a bucket one behind the other.
 * Two arrays take a third of the memory of a hash, and are read in a fraction of the time.
 * Key: generation * DLP_GRAM_ROWS + number / DLP_GRAM_ROW.
 */
struct dlp_anchors {
	struct dlp_anchor entry[DLP_GRAM_ROW];
};

/*
 * The number of each bucket's first anchor; of an empty one 0, an anchor of no gram.
 * Key: generation * DLP_GRAM_BUCKETS / DLP_GRAM_STARTS + bucket / DLP_GRAM_STARTS.
 */
struct dlp_gram_starts {
	__u16 first[DLP_GRAM_STARTS];
};

/* What a signature needs once a shape of it fits. */
struct dlp_signature {
	__u8 check; /* enum dlp_check */
	__u8 prefilter; /* 1: the inspector decides */
	__u8 normalise; /* 1: digest over letters and digits only, upper case; 0: over the bytes as they are */
	__u8 sums; /* rows of the table of sums that count, 0 to 2 */
	__u8 sum[2];
	__u16 near; /* row of the table of keyword lists; 0: no keyword is asked for */
};

/*
 * Key: generation * DLP_KEYWORDS + number. Begins with a letter. A byte of `mask` is 0xdf where a
 * letter of either case may stand, 0xff for any other byte, and 0 behind the keyword's end.
 */
struct dlp_keyword {
	__u8 text[DLP_KEYWORD]; /* in lower case */
	__u8 mask[DLP_KEYWORD];
	__u8 length; /* at least 2 */
	__u8 pad[7];
};

/* Which keywords begin with two bytes: `count` numbers from `first` on, at the five low bits of either. */
struct dlp_starts {
	__u16 first[DLP_STARTS];
	__u8 count[DLP_STARTS];
};

/* Key: generation * DLP_NEARS + row. A keyword stands at most `distance` bytes before the value. */
struct dlp_near {
	__u64 keyword[DLP_KEYWORD_WORDS]; /* bit number & 63 of word number / 64 */
	__u8 distance;
	__u8 pad[7];
};

/*
 * Key: generation * DLP_SUMS + row. The sum of the letters and digits as numbers, each times
 * its weight, modulo `modulus` says which number must stand at position `check`.
 */
struct dlp_sum {
	__u8 weight[DLP_SUM_LONGEST];
	__u8 expected[DLP_SUM_LARGEST +
		      1]; /* by remainder: a number, DLP_SUM_ANY or DLP_SUM_NEVER */
	__u8 modulus; /* 2 to DLP_SUM_LARGEST */
	__u8 check;
	__u8 length; /* letters and digits that a value has */
	__u8 digits; /* 1: a product over 9 counts as the sum of its digits; a doubled letter fails */
	__u8 pad[4];
};

struct dlp_bloom {
	__u64 word[DLP_BLOOM_WORDS];
};

struct dlp_classes {
	__u64 member[DLP_CLASSES *
		     4]; /* class c: bit b & 63 of word c * 4 + b / 64; class 0 has all */
};

/*
 * Which shapes of the digit lane can start at a digit group: the AND of
 * before[byte before it], after[byte behind it],
 * first[min(length, 15) * 32 + followed_by_separator * 16 + first digit] and
 * second[min(length of the next group, 15)], 0 where no separator and group follow.
 */
struct dlp_lane {
	__u64 first[512];
	__u64 second[16];
	__u64 before[256];
	__u64 after[256];
	__u16 shape[DLP_LANE];
	__u8 offset[DLP_LANE]; /* from the start of the match to its first digit group */
};

/*
 * Which rule of a policy a signature has. Policies say the same of most signatures, so rows are
 * there once each, and named by number. Key: generation << 12 | policy << 6 | signature / DLP_RULE_PAGE;
 * no entry, or 0: not in the policy.
 */
struct dlp_rule_page {
	__u16 rule[DLP_RULE_PAGE];
};

/* Key: generation * DLP_RULES + number. */
struct dlp_rule {
	__u8 action; /* enum dlp_action */
	__u8 index; /* of the rule in its policy */
	__u8 threshold; /* distinct values at which the action begins; 1 is at once */
	__u8 flags; /* enum dlp_rule_flag */
	__u32 id; /* of policy and rule by name: distinct values are counted under it across releases */
	__u32 window_s; /* 0: values of a flow count; else of the workload, in so many seconds */
	__u32 pad;
};

/* Key: generation << 32 | slot of the workload << 16 | signature. Values that are new in their flow. */
struct dlp_hits {
	__u64 matches;
	__u64 acted; /* of these, held or dropped; of a shadow rule, would have been */
	__u64 prefilters; /* of what the inspector decides: each time that it is called */
};

struct dlp_window_key {
	__u64 netns;
	__u32 rule;
	__u32 pad;
};

/* The last values of a rule in a workload, in no order; 0 is none. */
struct dlp_window {
	__u64 value[DLP_WINDOW]; /* first bytes of the digest */
	__u64 seen_ns[DLP_WINDOW]; /* when it was last seen (CLOCK_MONOTONIC) */
	__u64 changes; /* added to by an atomic operation, which orders the stores before it */
};

struct dlp_destination {
	__u8 address[16]; /* IPv4 as ::ffff:a.b.c.d */
	__u8 mask[16];
	__u16 port_low;
	__u16 port_high;
	__u8 action; /* enum dlp_dest_action */
	__u8 pad[3];
};

/* Key of the policy table: generation * DLP_POLICIES + policy. Number 0 is the strictest in force. */
struct dlp_policy {
	__u32 flags; /* enum dlp_policy_flag */
	__u8 uninspectable; /* enum dlp_action: allow, alert or drop */
	__u8 destinations;
	__u16 hold_timeout_ms;
	struct dlp_destination destination[DLP_DESTINATIONS];
};

/* Value: the policy's number in either generation, so that a switch changes both at once. */
struct dlp_binding {
	__u16 policy[2];
};

struct dlp_who {
	__u64 netns; /* workload key of the namespace */
	__u64 cgroup; /* 0: any */
};

/* Read once a packet. */
struct dlp_settings {
	__u32 generation; /* 0 or 1 */
	__u32 scan_slot[2]; /* program array slot of the scanner of each generation */
	__u32 cgroup_level; /* ancestor level that names a workload; 0: the socket's own cgroup */
	__u64 heartbeat_ns; /* CLOCK_MONOTONIC of the inspector's last sign of life */
	__u64 heartbeat_max_ns;
	__u32 release; /* number of the live signature set */
	__u8 bloom_shift[2]; /* 64 less the binary logarithm of the Bloom filter's words */
	__u8 by_cgroup; /* some workloads are told apart by cgroup */
	__u8 pad;
	__u8 policies[2]; /* rows of each generation; a number beyond is taken as 0 */
	__u16 event_burst; /* events a workload may save up, one a millisecond; 0: no bound */
	__u8 pad2[4];
	__u32 hmac_inner[8]; /* state of SHA-256 behind the block key XOR 0x36 (RFC 2104) */
	__u32 hmac_outer[8]; /* the same of key XOR 0x5c */
};

/* Tables that never change; the instruction set has no constants of this size. */
struct dlp_constants {
	__u32 sha256[64]; /* FIPS 180-4, 4.2.2 */
	__u8 bit_number[64]; /* de Bruijn: index (one * DLP_DEBRUIJN) >> 58 */
	__u8 value[256]; /* 0..9 digits, 10..35 letters of either case, 0xff others */
	__u8 dni_letter[32]; /* TRWAGMYFPDXBNJZSQVHLCKE as values */
	__u8 verhoeff_product[256]; /* of the dihedral group: [a * 16 + b] */
	__u8 verhoeff_place[128]; /* [place % 8 * 16 + digit] */
	__u8 kind[256]; /* bit 0: a letter or digit, bit 1: a letter (ASCII) */
};

#define DLP_DEBRUIJN 0x03F79D71B4CB0A89ULL

struct dlp_flow_key {
	__u64 netns;
	__u8 source[16];
	__u8 destination[16];
	__u16 source_port;
	__u16 destination_port;
	__u16 protocol; /* IP protocol, or ethertype with `family` 0 */
	__u8 family; /* 4, 6, 0 */
	__u8 pad;
};

#define DLP_COUNTED 4 /* rules of which a flow itself remembers how many values they met */

/* Distinct values that a rule has met in a flow; rule 0 is none. */
struct dlp_counted {
	__u32 rule;
	__u32 values;
};

struct dlp_flow {
	__u64 id;
	__u64 cgroup;
	__u64 started_ns;
	__u64 seen_ns;
	__u64 packets;
	__u64 offset; /* stream offset of the next byte */
	__u64 inspected; /* bytes */
	__u64 missed; /* bytes */
	__u64 opaque_bytes;
	__u64 gap_ns; /* since when segments beyond a gap come; 0 for none */
	__u64 held_ns; /* since when segments are held; 0 for none */
	__u64 held_to; /* stream offset up to which the inspector has been given them */
	__u64 clear_to; /* stream offset up to which it has cleared them */
	__u64 listed_ns; /* when the copy for readers was made */
	__u32 next_seq;
	__u32 isn;
	__u32 matches;
	__u16 signature; /* of the match that blocked it */
	__u16 policy;
	__u32 wait_seq; /* behind the segment with an open end that was taken out */
	__u16 flags; /* enum dlp_flow_flag */
	__u8 state; /* enum dlp_flow_state */
	__u8 opaque; /* enum dlp_opaque */
	__u8 told; /* the budget was reached, and an event told of it */
	__u8 refused; /* a refusal was told */
	__u8 waits; /* 1: for the byte at wait_seq; 2: it is known */
	__u8 next_byte;
	__u8 kept; /* what follows the cleared bytes is held too: a match may be growing */
	__u8 hops; /* the most that a segment of it had to go */
	__u8 question; /* raised when held bytes come again changed: words about those before are void */
	__u8 shadow_left; /* segments that may still complete what a shadow prefilter found */
	__u8 pad[4];
	__u32 release; /* that `policy` and the destination flags were read from */
	struct dlp_counted counted[DLP_COUNTED];
	__u8 tail[DLP_TAIL]; /* right-aligned, zero-filled */
};

/* Key: flow id. The inspector's word, written by userspace. */
struct dlp_word {
	__u64 clear_to; /* stream offset up to which segments may leave */
	__u32 signature;
	__u16 block; /* 1: the flow is blocked */
	__u8 keep; /* 1: a match is open at clear_to, which may grow: hold what follows as well */
	__u8 question; /* of the record that it answers */
};

/* Key: struct dlp_flow_key. A flow without a socket of its own that is blocked. */
struct dlp_block {
	__u64 until_ns; /* CLOCK_MONOTONIC */
	__u32 signature;
	__u32 pad;
};

/*
 * Key: slot of the workload. What passed the classifier carries token[current] in
 * skb->hash, what it holds carries held[current]; the guard accepts both of each, so that
 * tokens change without a packet lost. 0 is no token.
 */
struct dlp_guard {
	__u32 token[2];
	__u32 held[2];
	__u32 current;
	__u32 flags; /* enum dlp_guard_flag */
};

/* Key: struct dlp_flow_key, the datagram's id in the ports. An IP datagram in fragments. */
struct dlp_datagram {
	__u64 seen_ns;
	__u32 next; /* offset in the IP payload that the next fragment must have */
	__u32 release;
	__u8 tail[DLP_TAIL];
};

/* Key: slot of the workload. A token bucket for its events, and a block that found no room. */
struct dlp_bucket {
	__u64 filled_ns;
	__u64 level;
	__u64 full_ns; /* until then whatever a block would have stopped counts as blocked */
	__u64 shadow_filled_ns; /* the small share of shadow rules */
	__u64 shadow_level;
	__u64 shadow_payload_ns; /* the same for their payload */
	__u64 shadow_payload_level;
};

struct dlp_seen_key {
	__u64 flow;
	__u64 value; /* first bytes of the digest; 0 holds the count of the rule */
	__u32 rule;
	__u32 pad;
};

struct dlp_exception_key {
	__u32 policy; /* generation << 31 | policy */
	__u32 pad;
	__u8 digest[32];
};

struct dlp_counters {
	__u64 packets[DLP_REASONS];
	__u64 bytes[DLP_REASONS];
};

struct dlp_event {
	__u32 kind; /* enum dlp_event_kind */
	__u32 size; /* of this struct */
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u64 flow;
	__u64 cgroup;
	struct dlp_flow_key key;
	__u64 offset; /* of the match in the stream or datagram */
	__u64 let_out; /* bytes of the stream that had left before this packet */
	__u32 length;
	__u32 sent_before; /* bytes of the match that left in earlier segments */
	__u32 count; /* distinct values of the rule in this flow, this one included */
	__u32 release;
	__u16 signature;
	__u16 policy;
	__u8 rule;
	__u8 action; /* enum dlp_action */
	__u8 flags; /* enum dlp_event_flag */
	__u8 reason; /* enum dlp_reason, for kinds other than match */
	__u8 digest[32]; /* HMAC-SHA-256 of the normalised value */
	__u8 head[8]; /* first and last bytes, for masking (see copy_edges) */
	__u8 tail[8];
};

/* Header of a record in a ring of payload; `length` bytes follow. */
struct dlp_payload {
	__u64 time_ns;
	__u64 flow;
	struct dlp_flow_key key;
	__u64 offset; /* stream offset of the first byte; shadow: below 0 for what is before a stream */
	__u32 length;
	__u32 release;
	__u16 policy;
	__u8 final; /* a datagram's end, or FIN */
	__u8 held; /* the flow waits for the inspector's word */
	__u8 again; /* sent again meanwhile: nothing follows until the word */
	__u8 before; /* first bytes of a held or shadow record that are the stream's tail, which has left */
	__u8 question; /* number of what is asked about; the word names it */
	__u8 pad[1];
};

#endif
