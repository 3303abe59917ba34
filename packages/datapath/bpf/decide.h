/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * decide.h: the walk over the rules, 64 at a time. The same as `walk` of packages/plan, which states it in words.
 *
 * Each dimension of a flow (agent, destination, port, names) was mapped to a row of bits, one bit a rule, 1 where the
 * rule is not contradicted by it. In order of precedence:
 *   1. base: rules that no packet fact contradicts, that are active now and enforced;
 *   2. must: rules of base whose every condition is satisfied; may: those that could still become so;
 *   3. s = first of must, else the default; f = first of may;
 *   4. f = s: decided by s;
 *   5. s denies and no permit stands in may before s: denied now, named s;
 *   6. what f waits for is unreadable: denied, named f;
 *   7. else undecided, and f waits.
 */
#ifndef COFFERDAM_DECIDE_H
#define COFFERDAM_DECIDE_H

#include <linux/in.h>
#include "layout.h"
#include "maps.h"
#include "plan.h"
#include "reasons.h"


enum outcome {
	OUTCOME_DENY = 0,
	OUTCOME_PERMIT = 1,
	OUTCOME_UNDECIDED = 2,
};

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

/* Rules whose packet facts hold. Functions of their own, since the stack of a chain of calls is 512 bytes in all. */
static __noinline int packet_word(struct walk *w, const struct rule_word *rules, __u32 index)
{
	struct findings *x = w->findings;

	if (index >= RULE_WORDS)
		return 1;
	/* A permit's `to` holds both addresses of an embedding, a deny's either; of public-internet the inner one decides. */
	__u64 permit = rules->permit;
	__u64 outer = WORD(destination, words, index) | WORD(host, words, index);
	__u64 inner = WORD(embedded, words, index) | WORD(inner_host, words, index);
	__u64 base = (((outer & inner) | (rules->to_public & x->public_inside)) & permit) | ((outer | inner) & ~permit);
	base &= WORD(agent, words, index) & WORD(port, words, index) & WORD(active, words, index);
	x->base = base & (rules->enforced | (rules->everything & x->everything));
	return 0;
}

/* Rules that the flow's names satisfy, and those that only a URL with such a host may. */
static __noinline int name_word(struct walk *w, const struct rule_word *rules, __u32 index)
{
	struct findings *x = w->findings;

	if (index >= RULE_WORDS)
		return 1;
	__u64 deny_web = rules->web & ~rules->permit;
	__u64 sure = WORD(sure, words, index) | (deny_web & ((WORD(claimed_sure, words, index) & x->claimed) | x->rest));
	__u64 url = (WORD(web, words, index) | (WORD(claimed_web, words, index) & deny_web & x->claimed)) & ~sure;
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
			WORD(inner_host, summary, i) | x->public_inside;
		/* A permit whose web does not hold the address name is contradicted; a deny is not, before the claimed name is known. */
		__u64 named = WORD(web, summary, i) | WORD(denies, summary, i);
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
	__u64 permit = rules->permit, base = x->base, sure = x->sure, url = x->url;
	/* Where the host of a URL matches, a deny waits for the request, whatever the claimed name. */
	__u64 waits_name = rules->web & ~permit & ~(sure | url) & x->name_waits;
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

struct question {
	struct agent_key who;
	struct address real;
	__u32 agent_row;
	__u32 agent_flags;
	__u32 port_row;
	struct name_rows named; /* of the address name */
	struct name_rows claims; /* of the claimed name */
	__u32 name;
	__u32 claimed;
	__u32 tls;
	__u32 claimed_state;
	__u32 unclassified; /* the claimed name is known, and what the rules say of it is not */
	__u32 plain_http;
	__u32 would_proxy; /* with everything enforced the proxy would have read what the kernel did not */
	__u32 is_quic;
	__u8 protocol;
	__u8 family;
};

struct answer {
	__u32 outcome;
	__u32 rule;
	__u32 reason;
	__u32 rests_on_name;
	__u32 proxy;
	__u32 would; /* 0 none, 1 permit, 2 deny, 3 unknown */
	__u32 would_rule;
	__u32 would_reason;
	__u32 would_proxy;
	__u32 would_rests;
	__u32 waits; /* the rule that waits, or RULE_DEFAULT */
	__u32 monitored; /* the flow's containment is: denials by the default and by what cannot be read are lifted */
};

/*
 * Turns the places found by a walk into an outcome. `closed`: why the default denies even a monitored flow, or 0. `hidden`: what
 * the client said counts as not read.
 */
static __always_inline void conclude(const struct findings *x, const struct question *q, __u32 closed, __u32 hidden,
				     struct answer *a)
{
	__u32 lifted = x->monitored && !closed;
	__u32 permits = x->satisfied == RULE_DEFAULT ? lifted : x->satisfied_permits;

	a->waits = x->first;
	a->rule = x->satisfied;
	a->rests_on_name = 0;
	a->proxy = x->proxy_before;
	if (x->first == x->satisfied) {
		if (permits) {
			a->outcome = OUTCOME_PERMIT;
			a->reason = x->satisfied == RULE_DEFAULT ? REASON_MONITORED : REASON_RULE;
			a->rests_on_name = x->rests_on_name;
		} else {
			a->outcome = OUTCOME_DENY;
			a->reason = x->satisfied != RULE_DEFAULT ? REASON_RULE_DENIES :
				    closed		     ? closed :
				    q->is_quic		     ? REASON_QUIC :
							       REASON_NO_RULE;
		}
	} else if (!permits && !x->permit_before) {
		a->outcome = OUTCOME_DENY;
		a->reason = REASON_NO_PERMIT_REACHABLE;
	} else if (!x->monitored && x->first_waits_tls && q->tls == FACT_UNREADABLE) {
		a->outcome = OUTCOME_DENY;
		a->rule = x->first;
		a->reason = REASON_HELLO_UNREADABLE;
	} else if (!x->monitored && x->first_waits_name && q->claimed_state == FACT_UNREADABLE) {
		a->outcome = OUTCOME_DENY;
		a->rule = x->first;
		a->reason = q->tls == FACT_UNREADABLE ? REASON_HELLO_UNREADABLE : REASON_NAME_UNREADABLE;
	} else {
		a->outcome = OUTCOME_UNDECIDED;
		a->reason = REASON_NO_DECISION;
	}
	if (a->outcome == OUTCOME_PERMIT && a->rests_on_name && !hidden) {
		/* A permit that rests on a name, and a client that claims another (DESIGN 3.4). */
		__u32 belied = 0;
		if (q->claimed_state == FACT_KNOWN && q->claimed != q->name)
			belied = REASON_NAME_MISMATCH;
		else if (q->claimed_state == FACT_UNREADABLE)
			belied = q->tls == FACT_UNREADABLE ? REASON_HELLO_UNREADABLE : REASON_NAME_UNREADABLE;
		else if (q->plain_http)
			belied = REASON_PLAIN_HTTP_UNREAD;
		if (belied) {
			a->outcome = x->monitored ? OUTCOME_PERMIT : OUTCOME_DENY;
			a->reason = x->monitored ? REASON_MONITORED : belied;
			a->rests_on_name = 0;
		}
	}
}

/* Decides for one real address. Returns 0, or -1 where a table is missing: then the answer is a denial. */
__noinline int decide(const struct plan *plan, const struct question *q, struct answer *a)
{
	__u32 zero = 0;
	struct walk w = {};
	const __u32 closed_flags = DESTINATION_RESERVED | DESTINATION_GATEWAY;
	__u32 flags;
	struct findings *x = bpf_map_lookup_elem(&walks, &zero);

	if (!plan || !q || !a || !x)
		return -1;
	a->outcome = OUTCOME_DENY;
	a->rule = RULE_DEFAULT;
	a->reason = REASON_NO_PLAN;
	a->rests_on_name = 0;
	a->proxy = 0;
	a->would = 0;
	a->would_proxy = 0;
	a->would_rests = 0;
	a->monitored = 0;
	w.rows = plan_table(&rows, &plan->slot);
	w.words = plan_table(&rule_words, &plan->slot);
	w.findings = x;
	struct destination *d = find_destination(plan, q->family, &q->real, &x->key);
	if (!w.rows || !w.words || !d)
		return -1; /* user space always writes 0.0.0.0/0 and ::/0 */
	x->row.agent = q->agent_row;
	x->row.destination = d->row;
	x->row.embedded = x->row.destination;
	x->row.port = q->port_row;
	x->row.active = plan->active;
	x->row.web = q->named.web;
	x->row.sure = q->named.sure;
	/* no name reaches a reserved address */
	x->row.host = d->flags & closed_flags ? ROW_EMPTY : q->named.host;
	x->row.inner_host = x->row.host;
	x->row.claimed_web = q->claims.web;
	x->row.claimed_sure = q->claims.sure;
	x->row.denies = ROW_DENIES_BY_NAME;
	flags = d->flags;
	x->public_inside = 0;
	if (q->family == 6 && embedded_ipv4(&q->real, &x->inner)) {
		struct destination *e = find_destination(plan, 4, &x->inner, &x->key);
		if (!e)
			return -1;
		x->row.embedded = e->row;
		x->row.inner_host = e->flags & closed_flags ? ROW_EMPTY : q->named.host;
		x->public_inside = -(__u64)((e->flags & DESTINATION_PUBLIC) && !(flags & closed_flags));
		flags |= e->flags;
	}
	__u32 is_tcp = q->protocol == IPPROTO_TCP;
	x->tcp = -(__u64)is_tcp;
	x->not_tcp = ~x->tcp;
	x->claimed = x->tcp & -(__u64)(q->claimed_state == FACT_KNOWN && !q->unclassified);
	x->tls_known = x->tcp & -(__u64)(q->tls == FACT_KNOWN);
	x->tls_absent = x->tcp & -(__u64)(q->tls == FACT_ABSENT);
	x->nameless = x->tcp & -(__u64)(q->name == 0 && q->claimed_state == FACT_ABSENT &&
					   (q->tls == FACT_KNOWN || q->plain_http));
	x->unread = x->tcp & -(__u64)(q->claimed_state == FACT_UNKNOWN || q->unclassified);
	x->broken = x->tcp & -(__u64)(q->claimed_state == FACT_UNREADABLE);
	x->words = plan->words;

	__u32 closed = flags & DESTINATION_GATEWAY ? REASON_GATEWAY_PORT :
		       flags & DESTINATION_RESERVED ? REASON_RESERVED_ADDRESS : 0;
	/* Between two agents, enforced containment of either counts. */
	__u32 monitored = (plan->flags & PLAN_RUN_MONITORED) ||
		((q->agent_flags & AGENT_MONITORED) && !(flags & DESTINATION_CONTAINED));
	a->monitored = monitored;
	if (monitored || (plan->flags & PLAN_MONITORED)) {
		/* The proxy would have read the Host, which the kernel only saw to be there. */
		__u32 hidden = q->would_proxy && q->plain_http;
		__u64 unread = x->tcp & -(__u64)hidden;
		x->everything = ~0ULL;
		x->monitored = 0;
		x->rest = x->nameless & ~unread;
		x->name_waits = x->unread | x->broken | unread;
		x->tls_broken = 0;
		x->tls_open = ~(x->tls_known | x->tls_absent);
		walk(&w);
		conclude(x, q, closed, hidden, a);
		a->would_rests = a->outcome == OUTCOME_PERMIT && a->rests_on_name;
		a->would = a->would_rests && hidden	     ? 3 :
			   a->outcome == OUTCOME_PERMIT ? 1 :
			   a->outcome == OUTCOME_DENY   ? 2 :
							  3;
		a->would_rule = a->rule;
		a->would_reason = a->reason;
		a->would_proxy = a->proxy;
	}
	x->everything = 0;
	x->monitored = -(__u64)(monitored != 0);
	x->rest = x->nameless | (x->broken & x->monitored);
	x->name_waits = x->unread | (x->broken & ~x->monitored);
	x->tls_broken = x->tcp & x->monitored & -(__u64)(q->tls == FACT_UNREADABLE);
	x->tls_open = ~(x->tls_known | x->tls_absent | x->tls_broken);
	walk(&w);
	conclude(x, q, closed, 0, a);
	/* It is read no further: the name that it would have claimed is not known. */
	if (a->outcome == OUTCOME_DENY && a->would == 1 && a->would_rests && is_tcp && q->claimed_state == FACT_UNKNOWN)
		a->would = 3;
	if (x->failed) {
		a->outcome = OUTCOME_DENY;
		a->reason = REASON_NO_PLAN;
	}
	return 0;
}

#endif
