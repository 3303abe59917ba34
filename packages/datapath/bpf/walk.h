/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * walk.h: over the rules, 64 at a time. Each dimension of a flow (agent, destination, port, names) was mapped to a row of
 * bits, one bit a rule, 1 where the rule is not contradicted by it. Words that a summary says are empty are skipped.
 */
#ifndef COFFERDAM_WALK_H
#define COFFERDAM_WALK_H

#include "layout.h"
#include "maps.h"
#include "plan.h"

/*
 * What changes while a walk goes on, and what it finds. In a table and not on the stack: the verifier follows every value
 * that a stack slot may hold, and would never come to the end.
 */
struct findings {
	/* facts, all ones where they hold: bits instead of branches */
	__u64 tcp;
	__u64 not_tcp;
	__u64 claimed; /* a claimed name is known */
	__u64 name_waits; /* it is unknown, or unreadable where that does not settle the matter */
	__u64 rest; /* every deny with web matches */
	__u64 early; /* PLAN_TRACK, before the claimed name is read: what matches the address names waits for it */
	__u64 bare; /* PLAN_TRACK: permits with web match nothing */
	__u64 unnamed; /* but for those of any-web: the client shows that it claims no name */
	__u64 deferred; /* PLAN_OWN: permits with web wait for the claimed name, whatever the address names */
	__u64 anywhere; /* PLAN_OWN: rules with web hold every destination, since the name that is to come says where it leads */
	__u64 tls_known;
	__u64 tls_absent;
	__u64 tls_broken; /* unreadable in a monitored flow: fails permits, satisfies denies */
	__u64 tls_open; /* neither of these */
	__u64 public_inside; /* the embedded address is public and the outer one ordinary */
	__u64 nameless;
	__u64 unread;
	__u64 broken;
	__u64 everything; /* monitored rules count as enforced */
	__u64 monitored;
	struct destination_key key;
	struct address inner;
	struct {
		__u32 agent, destination, port, active, web, sure, host, claimed_web, claimed_sure;
		__u32 embedded; /* of the IPv4 address inside an IPv6 one; else the destination's */
		__u32 inner_host; /* the empty row where no hostname applies */
		__u32 denies;
	} row;
	__u32 words;
	__u32 index;
	__u32 failed;
	__u32 summary; /* index of the summary word that candidates come from, plus one */
	__u64 candidates;
	__u64 base;
	__u64 sure;
	__u64 url;
	/* outcome */
	__u32 satisfied; /* place of s, or RULE_DEFAULT */
	__u32 first; /* place of f, or RULE_DEFAULT */
	__u32 first_waits_name; /* f waits for the claimed name */
	__u32 first_waits_tls;
	__u32 satisfied_permits;
	__u32 rests_on_name;
	__u32 permit_before;
	__u32 proxy_before;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct findings);
} walks SEC(".maps");

/* What a walk reads by: tables, which cannot lie in a table themselves. */
struct walk {
	void *rows;
	void *words;
	struct findings *findings;
};

/* Place of the lowest bit by a De Bruijn sequence: without a branch, since the verifier walks each way of one. */
const __u8 bit_places[64] = {
	0, 1, 48, 2, 57, 49, 28, 3, 61, 58, 50, 42, 38, 29, 17, 4, 62, 55, 59, 36, 53, 51, 43, 22, 45, 39, 33, 30, 24, 18, 12, 5,
	63, 47, 56, 27, 60, 41, 37, 16, 54, 35, 52, 21, 44, 32, 23, 11, 46, 26, 40, 15, 34, 20, 31, 10, 25, 14, 19, 9, 13, 8, 7, 6,
};

static __always_inline __u32 lowest(__u64 word)
{
	return bit_places[((word & -word) * 0x03f79d71b4cb0a89ULL) >> 58];
}

/* A word of a row. A row that is missing ends the walk without a rule satisfied, which denies. */
#define WORD(name, part, index)                                                            \
	({                                                                                 \
		const struct bitmap *row_ = bpf_map_lookup_elem(w->rows, &x->row.name);    \
		if (!row_) {                                                               \
			x->failed = 1;                                                     \
			return 1;                                                          \
		}                                                                          \
		row_->part[index];                                                         \
	})

/*
 * Rules whose packet facts hold. Functions of their own that keep what they find in the table, since the stack of a chain of calls is
 * 512 bytes in all.
 */
static __noinline int packet_word(struct walk *w, const struct rule_word *rules, __u32 index)
{
	struct findings *x = w->findings;

	if (index >= RULE_WORDS)
		return 1;
	/* A permit's `to` holds both addresses of an embedding, a deny's either; of public-internet the inner one decides. */
	x->base = WORD(agent, words, index) & (rules->enforced | (rules->everything & x->everything));
	x->base &= WORD(port, words, index);
	x->base &= WORD(active, words, index);
	__u64 outer = WORD(destination, words, index) | WORD(host, words, index);
	__u64 inner = WORD(embedded, words, index) | WORD(inner_host, words, index);
	__u64 permit = rules->permit;
	__u64 to = (((outer & inner) | (rules->to_public & x->public_inside)) & permit) | ((outer | inner) & ~permit);
	x->base &= to | (rules->web & x->anywhere);
	return 0;
}

/* Rules that the flow's names satisfy, and those that only a URL with such a host may. */
static __noinline int name_word(struct walk *w, const struct rule_word *rules, __u32 index)
{
	struct findings *x = w->findings;

	if (index >= RULE_WORDS)
		return 1;
	/* Of the claimed name first, which only denies look at. */
	x->sure = WORD(claimed_sure, words, index) & x->claimed;
	x->url = WORD(claimed_web, words, index) & x->claimed;
	__u64 named = WORD(sure, words, index), url = WORD(web, words, index);
	__u64 deny_web = rules->web & ~rules->permit;
	__u64 bare = rules->web & rules->permit & x->bare;
	__u64 sure = (named & ~bare) | (bare & rules->any_web & x->unnamed) | (deny_web & (x->sure | x->rest));
	url = ((url & ~bare) | (deny_web & x->url)) & ~sure;
	/* Where there is no request to wait for, the host of a URL fails permits and satisfies denies. */
	x->sure = sure | (url & ~rules->permit & x->not_tcp);
	x->url = url & x->tcp;
	return 0;
}

static long walk_word(__u32 turn, struct walk *w)
{
	struct findings *x = w->findings;

	if (!x->candidates) {
		__u32 i = x->summary;
		if (i * 64 >= x->words)
			return 1;
		bounded(i);
		if (i >= SUMMARY_WORDS)
			return 1;
		__u64 to = WORD(destination, summary, i) | WORD(embedded, summary, i) | WORD(host, summary, i) |
			WORD(inner_host, summary, i) | x->public_inside | x->anywhere;
		/* A permit whose web does not hold the address name is contradicted; a deny is not, before the claimed name is known. */
		__u64 named = WORD(web, summary, i) | WORD(denies, summary, i) | x->deferred;
		x->candidates = to & named & WORD(agent, summary, i) & WORD(port, summary, i) & WORD(active, summary, i);
		x->summary = i + 1;
		return 0;
	}
	__u32 index = (x->summary - 1) * 64 + lowest(x->candidates);
	x->candidates &= x->candidates - 1;
	x->index = index;
	struct rule_word *rules = bpf_map_lookup_elem(w->words, &x->index);
	if (!rules)
		return 1;
	bounded(index);
	if (index >= RULE_WORDS)
		return 1;

	if (packet_word(w, rules, index) || name_word(w, rules, index))
		return 1;
	__u64 permit = rules->permit, base = x->base, sure = x->sure, url = x->url & ~x->early;
	/* Where the host of a URL matches, a deny waits for the request, whatever the claimed name. */
	__u64 waits_name = rules->web & ((~permit & x->name_waits) | (permit & x->deferred));
	waits_name = (waits_name | (x->url & x->early)) & ~(sure | url);
	__u64 asks = (rules->tls_required | rules->tls_absent) & x->tcp;
	__u64 tls_no = (rules->tls_absent & x->tls_known) | (rules->tls_required & x->tls_absent) |
		(asks & permit & x->tls_broken);
	__u64 waits_tls = asks & x->tls_open;

	__u64 may = base & (sure | url | waits_name) & ~tls_no;
	__u64 must = may & sure & ~waits_tls & ~rules->needs_request;
	__u64 bit = must & -must;
	__u64 before = bit - 1; /* the rules ahead of the first satisfied one; all where there is none */

	if (may && x->first == RULE_DEFAULT) {
		__u64 f = may & -may;
		x->first = index * 64 + lowest(may);
		x->first_waits_name = (waits_name & f) != 0;
		x->first_waits_tls = (waits_tls & f) != 0;
	}
	x->permit_before |= (may & before & permit) != 0;
	x->proxy_before |= (may & (before | bit) & rules->needs_proxy) != 0;
	if (!must)
		return 0;
	x->satisfied = index * 64 + lowest(must);
	x->satisfied_permits = (permit & bit) != 0;
	x->rests_on_name = (rules->web & permit & bit) != 0;
	return 1;
}

static __always_inline void walk(struct walk *w)
{
	struct findings *x = w->findings;

	x->failed = 0;
	x->candidates = 0;
	x->summary = 0;
	x->satisfied = RULE_DEFAULT;
	x->first = RULE_DEFAULT;
	x->first_waits_name = 0;
	x->first_waits_tls = 0;
	x->satisfied_permits = 0;
	x->rests_on_name = 0;
	x->permit_before = 0;
	x->proxy_before = 0;
	bpf_loop(RULE_WORDS + SUMMARY_WORDS + 1, walk_word, w, 0);
}

#endif
