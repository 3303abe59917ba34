/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * decide.h: what a walk over the rules says of a flow. The same as `walk` of packages/plan, which states it in words. In
 * order of precedence:
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
#include "walk.h"

enum outcome {
	OUTCOME_DENY = 0,
	OUTCOME_PERMIT = 1,
	OUTCOME_UNDECIDED = 2,
};

struct question {
	struct agent_key who;
	struct address real;
	struct name_set_key in_set;
	__u32 agent_row;
	__u32 agent_flags;
	__u32 port_row;
	struct name_rows named; /* of the address name, or of the set of them */
	struct name_rows claims; /* of the claimed name */
	__u32 name;
	__u32 claimed;
	__u32 member; /* the claimed name is one of the address names */
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
		/*
		 * A permit that rests on a name, and a client that claims another (DESIGN 3.4). In PLAN_TRACK nothing of
		 * this can be: what the client claims is what satisfied the permit.
		 */
		__u32 belied = 0;
		if (q->claimed_state == FACT_KNOWN && !q->member)
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

/*
 * What becomes of the names in one walk, as `readNames` of packages/plan has it. `unread`: the claimed name is still to come; `broken`: it cannot
 * be read.
 */
static __always_inline void read_names(const struct plan *plan, const struct question *q, __u64 unread, __u64 broken,
				       struct findings *x)
{
	x->row.web = q->named.web;
	x->row.sure = q->named.sure;
	x->early = x->bare = x->unnamed = x->deferred = x->anywhere = 0;
	if (plan->flags & PLAN_TRACK) {
		x->early = unread | broken;
		if (x->early) {
			x->row.sure = q->named.every;
			x->bare = broken & x->monitored;
		} else if (q->member) {
			x->row.web = q->claims.web;
			x->row.sure = q->claims.sure;
		} else {
			x->bare = ~0ULL;
			x->unnamed = x->tls_known & -(__u64)(q->name != 0 && q->claimed_state == FACT_ABSENT);
		}
	} else if (plan->flags & PLAN_OWN) {
		x->anywhere = unread;
		x->deferred = unread | (broken & ~x->monitored & -(__u64)(q->name == 0));
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
	__u64 unread = x->tcp & -(__u64)(q->claimed_state == FACT_UNKNOWN);
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
		__u64 unseen = x->tcp & -(__u64)hidden;
		x->everything = ~0ULL;
		x->monitored = 0;
		x->rest = x->nameless & ~unseen;
		x->name_waits = x->unread | x->broken | unseen;
		read_names(plan, q, unread | unseen, x->broken, x);
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
	read_names(plan, q, unread, x->broken, x);
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
