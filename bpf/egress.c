// SPDX-License-Identifier: GPL-2.0
/*
 * The egress classifier: one entry per namespace, and the programs it leads to.
 *
 *   entry ─► classify ─► scan ─► grams ─► digits ─► shape ─► near ─► check ─► judge ─► finish
 *
 * with ways back to scan for the next chunk. Compiled by bcc as one text (the build
 * joins the headers, as bcc rewrites map calls in one file only).
 */
#include <uapi/linux/bpf.h>
#include <uapi/linux/pkt_cls.h>

#include "abi.h"
#include "maps.h"
#include "common.h"
#include "budget.h"
#include "parse.h"
#include "block.h"
#include "event.h"
#include "owner.h"
#include "token.h"
#include "fragment.h"
#include "shadow.h"
#include "flow.h"
#include "hold.h"
#include "finish.h"
#include "place.h"
#include "who.h"
#include "classify.h"
#include "scan.h"
#include "grams.h"
#include "digits.h"
#include "shape.h"
#include "near.h"
#include "hits.h"
#include "check.h"
#include "digest.h"
#include "window.h"
#include "judge.h"
#include "guard.h"

/*
 * The attach point. Userspace loads a copy for each namespace, with the namespace's
 * key and what it is to know of the device in place of the constants: bpf_get_netns_cookie is not to be had in TC before
 * kernel 6.13.
 */
int entry(struct __sk_buff *skb)
{
	struct scratch *s = scratch_area();
	u64 key, device;

	if (!s)
		return refuse();
	asm volatile("%0 = 0x1122334455667788 ll" : "=r"(key));
	asm volatile("%0 = 0x5566778811223344 ll" : "=r"(device));
	s->key.netns = key;
	s->device = device;
	programs.call(skb, SLOT_CLASSIFY);
	tally(s, DLP_R_TAIL_CALL_FAILED, 1, skb->len);
	tally(s, DLP_R_DROPPED, 1, skb->len);
	return DROP;
}

/* What a packet costs with no classifier's work: the base line of the benchmarks. */
int empty(struct __sk_buff *skb)
{
	return PASS;
}
