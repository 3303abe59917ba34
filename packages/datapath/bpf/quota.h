/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * quota.h: what one agent may take of what all of them share: places in the flow table, new flows, kept hellos, events.
 * An agent is an address on an interface here; what belongs to no agent is charged to the interface.
 */
#ifndef COFFERDAM_QUOTA_H
#define COFFERDAM_QUOTA_H

#include "maps.h"
#include "packet.h"

static __always_inline struct quotas *find_quotas(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&quotas, &zero);
}

/* What `who` uses now. 0: the table is full, and nobody new gets anything. */
static __always_inline struct agent_use *find_use(const struct agent_key *who)
{
	struct agent_use *use = bpf_map_lookup_elem(&uses, who);
	if (use)
		return use;
	struct agent_use fresh = {};
	bpf_map_update_elem(&uses, who, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&uses, who);
}

/*
 * A bucket is the time at which it will be full again: each taken token moves it on by `interval`, and none is left where
 * it is further away than `burst`. Two processors may both take the last one.
 */
static __always_inline int take_token(__u64 *full_at, __u64 interval, __u64 burst, __u64 now)
{
	__u64 at = *full_at;

	if (!interval)
		return 1;
	if (at < now)
		at = now;
	if (at - now > burst)
		return 0;
	*full_at = at + interval;
	return 1;
}

/* Charges a packet that may begin a flow. 0, or the reason why it must not. */
__noinline __u32 charge_flow(const struct agent_key *who, __u64 now)
{
	struct quotas *q = find_quotas();

	if (!who || !q || (!q->flows && !q->flow_interval))
		return 0;
	struct agent_use *use = find_use(who);
	if (!use)
		return REASON_FLOW_TABLE_FULL;
	if (!take_token(&use->flows_full_at, q->flow_interval, q->flow_burst, now))
		return REASON_FLOW_RATE;
	return q->flows && use->flows >= q->flows ? REASON_FLOW_QUOTA : 0;
}

/* Whether user space may be told of a packet that was denied; what it is not told of is counted. */
__noinline int may_tell(const struct agent_key *who, __u64 now)
{
	struct quotas *q = find_quotas();

	if (!who || !q || !q->event_interval)
		return 1;
	struct agent_use *use = find_use(who);
	if (!use)
		return 0;
	if (take_token(&use->events_full_at, q->event_interval, q->event_burst, now))
		return 1;
	__sync_fetch_and_add(&use->untold, 1);
	return 0;
}

/* A flow takes its place, or gives it back. */
__noinline int count_flow(const struct flow_key *key, __u32 by)
{
	if (!key)
		return 0;
	struct agent_key who = { .ifindex = key->ifindex, .family = key->family, .address = key->source };
	struct agent_use *use = find_use(&who);
	if (use)
		__sync_fetch_and_add(&use->flows, by);
	return 0;
}

/* Likewise a kept hello. 0: it may. */
__noinline int count_hello(const struct flow_key *key, __u32 by)
{
	struct quotas *q = find_quotas();

	if (!key || !q)
		return -1;
	struct agent_key who = { .ifindex = key->ifindex, .family = key->family, .address = key->source };
	struct agent_use *use = find_use(&who);
	if (!use)
		return -1;
	if (by == 1 && q->hellos && use->hellos >= q->hellos)
		return -1;
	__sync_fetch_and_add(&use->hellos, by);
	return 0;
}

#endif
