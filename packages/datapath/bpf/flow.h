/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * flow.h: a flow's question to the plan, its verdict, and the events that tell user space of it.
 */
#ifndef COFFERDAM_FLOW_H
#define COFFERDAM_FLOW_H

#include "decide.h"
#include "packet.h"
#include "quota.h"

#define UNDECIDED_NS 10000000000ULL /* DESIGN: ten seconds after the client's first byte */

static __always_inline void count_drop(__u32 reason)
{
	__u32 zero = 0;
	struct counters *c = bpf_map_lookup_elem(&counts, &zero);
	if (c)
		c->dropped[reason & 0xff]++;
}

static __always_inline void count_hit(__u32 rule, int permitted, __u32 would, __u64 now)
{
	struct rule_hits *h = bpf_map_lookup_elem(&hits, &rule);
	if (!h)
		return;
	__sync_fetch_and_add(permitted ? &h->permitted : &h->denied, 1);
	if (would == 2)
		__sync_fetch_and_add(&h->would_deny, 1);
	h->last = now;
}

__noinline int tell(__u32 kind, const struct flow_key *key, const struct flow *flow, const struct hello *h)
{
	if (!key || !flow)
		return -1;
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		__u32 zero = 0;
		struct counters *c = bpf_map_lookup_elem(&counts, &zero);
		if (c)
			c->events_lost++;
		return -1;
	}
	e->kind = kind;
	e->name_length = 0;
	e->key = *key;
	e->flow = *flow;
	if (h) {
		e->name_length = h->name_length;
		__builtin_memcpy(e->name, h->name, sizeof(e->name));
	} else {
		__builtin_memset(e->name, 0, sizeof(e->name));
	}
	bpf_ringbuf_submit(e, 0);
	return 0;
}

static __always_inline struct agent *find_agent(const struct plan *plan, const struct agent_key *who)
{
	void *table = plan_table(&agents, &plan->slot);
	return table ? bpf_map_lookup_elem(table, who) : 0;
}

static __always_inline void set_rows(struct name_rows *to, __u32 row)
{
	to->web = to->sure = to->every = row;
	to->host = ROW_EMPTY;
}

/* Whether the plan knows what its rules say of a name. */
static __always_inline struct name_rows *find_name(const struct plan *plan, const __u32 *id)
{
	void *table = plan_table(&name_rows, &plan->slot);
	return table ? bpf_map_lookup_elem(table, id) : 0;
}

/* What a flow asks the plan, from the facts it has recorded. 0, or the reason why it cannot be asked. */
static __always_inline __u32 make_question(const struct plan *plan, const struct flow_key *key, const struct flow *flow,
					 struct question *q)
{
	q->who.ifindex = key->ifindex;
	q->who.family = key->family;
	q->who.address = key->source;
	void *ports_of = plan_table(&ports, &plan->slot);
	if (!ports_of)
		return REASON_NO_PLAN;
	struct agent *agent = find_agent(plan, &q->who);
	if (!agent)
		return REASON_UNKNOWN_AGENT;
	q->real = flow->real;
	q->agent_row = agent->row;
	q->agent_flags = agent->flags;
	q->protocol = key->protocol;
	q->family = key->family;
	__u32 port = bpf_ntohs(key->destination_port);
	__u32 page = key->protocol == IPPROTO_TCP ? port >> 8 : key->protocol == IPPROTO_UDP ? 256 + (port >> 8) : 512;
	struct port_page *rows_of = bpf_map_lookup_elem(ports_of, &page);
	if (!rows_of)
		return REASON_NO_PLAN;
	q->port_row = rows_of->row[port & (PORT_PAGE - 1)]; /* of icmp the port is 0 */
	q->is_quic = key->protocol == IPPROTO_UDP && port == 443;
	q->name = flow->name;
	set_rows(&q->named, ROW_NO_NAME);
	if (flow->name) {
		struct name_rows *found = find_name(plan, &flow->name);
		if (!found)
			return REASON_NAME_TABLE_FULL; /* a deny might have named it */
		q->named = *found;
	}
	q->claimed = flow->claimed;
	q->claimed_state = flow->claimed_state;
	q->member = flow->claimed && flow->claimed == flow->name;
	q->unclassified = 0;
	set_rows(&q->claims, ROW_NO_NAME);
	if (flow->claimed_state == FACT_KNOWN) {
		if ((plan->flags & PLAN_TRACK) && flow->claimed && !q->member) {
			q->in_set.set = flow->name;
			q->in_set.name = flow->claimed;
			q->member = bpf_map_lookup_elem(&name_sets, &q->in_set) != 0;
		}
		struct name_rows *found = find_name(plan, &flow->claimed);
		if (found) {
			q->claims = *found;
		} else {
			set_rows(&q->claims, ROW_UNKNOWN_NAME);
			q->unclassified = (plan->flags & PLAN_NAMES_OPEN) != 0;
		}
	}
	q->tls = flow->tls;
	q->plain_http = (flow->flags & FLOW_PLAIN_HTTP) != 0;
	q->would_proxy = (flow->flags & FLOW_WOULD_PROXY) != 0;
	return 0;
}

static __always_inline void set_denied(struct flow *flow, __u32 rule, __u32 reason)
{
	flow->state = FLOW_DENIED;
	flow->rule = rule;
	flow->reason = reason;
}

static __always_inline __u32 rule_flags(const struct plan *plan, __u32 rule)
{
	void *table = plan_table(&rule_infos, &plan->slot);
	struct rule_info *info = table && rule != RULE_DEFAULT ? bpf_map_lookup_elem(table, &rule) : 0;
	return info ? info->flags : 0;
}

static __always_inline void release_hello(const struct flow_key *key, struct flow *flow)
{
	/* Both hooks may come here at once for one flow: the slot is given back once. */
	__u32 slot = __sync_lock_test_and_set(&flow->slot, 0);
	if (!slot)
		return;
	__u32 index = slot - 1;
	bpf_map_push_elem(&free_hellos, &index, BPF_ANY);
	count_hello(key, -1);
}

/*
 * The would-be verdict is that of a flow lived stage by stage with everything enforced: its path is chosen at the first packet, and the
 * first denial ends it.
 */
static __always_inline void note_would_be(const struct plan *plan, struct flow *flow, const struct question *q,
					  const struct answer *a)
{
	__u32 again = flow->generation == plan->generation;

	if (again && flow->would_verdict == 2)
		return;
	flow->would_verdict = a->would;
	flow->would_rule = a->would_rule;
	flow->would_reason = a->would_reason;
	flow->flags &= ~FLOW_WOULD_REST;
	if (a->would == 1 && a->would_rests)
		flow->flags |= FLOW_WOULD_REST;
	if (flow->tls == FACT_UNKNOWN && flow->claimed_state == FACT_UNKNOWN) {
		flow->flags &= ~FLOW_WOULD_PROXY;
		if (a->would_proxy)
			flow->flags |= FLOW_WOULD_PROXY;
	} else if (a->would && (plan->flags & PLAN_OWN) && q->protocol == IPPROTO_TCP && (!again || q->would_proxy)) {
		flow->would_verdict = 3; /* the proxy would have resolved what is claimed, and where that leads is not known */
	} else if (!again && q->plain_http && a->would == 1) {
		flow->would_verdict = 3; /* which path another plan had chosen is not known any more */
	}
	if (flow->would_verdict == 1 && (flow->flags & FLOW_ECH) && (rule_flags(plan, a->would_rule) & RULE_REFUSES_ECH)) {
		flow->would_verdict = 2;
		flow->would_reason = REASON_ECH_REFUSED;
	}
}

/*
 * Judges a flow by the facts it has now and writes the outcome into it. Returns the outcome.
 */
__noinline int judge(const struct plan *plan, const struct flow_key *key, struct flow *flow, struct question *q,
		     struct answer *a)
{
	if (!plan || !key || !flow || !q || !a)
		return OUTCOME_DENY;
	__u32 unasked = make_question(plan, key, flow, q);
	if (unasked) {
		set_denied(flow, RULE_DEFAULT, unasked);
		return OUTCOME_DENY;
	}
	if (decide(plan, q, a)) {
		set_denied(flow, RULE_DEFAULT, REASON_NO_PLAN);
		return OUTCOME_DENY;
	}
	note_would_be(plan, flow, q, a);
	flow->generation = plan->generation;
	flow->revision = plan->revision;
	flow->rule = a->outcome == OUTCOME_UNDECIDED ? a->waits : a->rule;
	flow->reason = a->reason;
	flow->flags &= ~(FLOW_RESTS_ON_NAME | FLOW_MONITORED);
	if (a->outcome == OUTCOME_PERMIT && a->rests_on_name)
		flow->flags |= FLOW_RESTS_ON_NAME;
	if (a->monitored)
		flow->flags |= FLOW_MONITORED;
	if (a->outcome == OUTCOME_PERMIT && (flow->flags & FLOW_ECH) && (rule_flags(plan, a->rule) & RULE_REFUSES_ECH)) {
		a->outcome = OUTCOME_DENY;
		flow->reason = REASON_ECH_REFUSED;
	}
	if (a->outcome == OUTCOME_DENY)
		flow->state = FLOW_DENIED;
	return a->outcome;
}

/* Mark for a denied packet of a flow: rejected, or 0 where its rule says drop. */
static __always_inline __u32 denial_mark(const struct plan *plan, __u32 rule)
{
	return rule_flags(plan, rule) & RULE_DROPS ? 0 : MARK_REJECT;
}

#endif
