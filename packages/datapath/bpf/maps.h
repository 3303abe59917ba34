/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * maps.h: the tables. Those of a plan are held twice, in outer maps of two slots, and `control.slot` selects all of
 * them at once; those of flows and names live across plans.
 */
#ifndef COFFERDAM_MAPS_H
#define COFFERDAM_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "layout.h"

struct rows_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct bitmap));
};

struct rule_words_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RULE_WORDS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct rule_word));
};

struct rule_infos_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct rule_info));
};

struct headers_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct plan_header));
};

struct agents_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, AGENT_KEYS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, sizeof(struct agent_key));
	__uint(value_size, sizeof(struct agent));
};

struct destinations_map {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1048576);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, sizeof(struct destination_key));
	__uint(value_size, sizeof(struct destination));
};

struct ports_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PORT_PAGES);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct port_page));
};

struct name_rows_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, sizeof(__u32)); /* id of a name or of a set */
	__uint(value_size, sizeof(struct name_rows));
};

#define PLAN_TABLE(NAME, INNER)                            \
	struct {                                           \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);  \
		__uint(max_entries, PLAN_SLOTS);           \
		__type(key, __u32);                        \
		__array(values, struct INNER);             \
	} NAME SEC(".maps")

PLAN_TABLE(rows, rows_map);
PLAN_TABLE(rule_words, rule_words_map);
PLAN_TABLE(rule_infos, rule_infos_map);
PLAN_TABLE(headers, headers_map);
PLAN_TABLE(agents, agents_map);
PLAN_TABLE(destinations, destinations_map);
PLAN_TABLE(ports, ports_map);
PLAN_TABLE(name_rows, name_rows_map);

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct control);
} control SEC(".maps");

/* Synthetic address to what it stands for. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct synthetic_key);
	__type(value, struct synthetic);
} synthetics SEC(".maps");

/* What agents were told, in PLAN_TRACK: an address of an agent to the id of its name, or of the set of its names. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct tracked_key);
	__type(value, __u32);
} tracked SEC(".maps");

/* Members of the sets; each value is 1. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct name_set_key);
	__type(value, __u32);
} name_sets SEC(".maps");

/* Canonical name, padded with zeroes, to its id. */
struct name_key {
	__u8 bytes[NAME_BYTES];
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct name_key);
	__type(value, __u32);
} names SEC(".maps");

/* Live flows. A plain hash: it never evicts, a full one denies. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

/* Flows from one agent to another, by what answers them: the key of the packets that come back, on interface 0. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct flow_key);
	__type(value, struct flow_key);
} crossings SEC(".maps");

/* Flows by what answers them, as it comes in at the uplink; on interface 0, since there is one uplink. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct flow_key);
	__type(value, struct flow_key);
} uplink_answers SEC(".maps");

/* Connections that the proxy made to agents, by what answers them: a SYN of the gateway's own put them there. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct flow_key);
	__type(value, __u64);
} dialled SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct quotas);
} quotas SEC(".maps");

/* Never evicts: an agent that is not in it gets nothing where quotas are set. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct agent_key);
	__type(value, struct agent_use);
} uses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HELLO_SLOTS);
	__type(key, __u32);
	__type(value, struct hello);
} hellos SEC(".maps");

/* Indexes of hellos that nobody uses; user space fills it once. */
struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, HELLO_SLOTS);
	__uint(key_size, 0);
	__uint(value_size, 4);
} free_hellos SEC(".maps");

/*
 * Datagrams to an agent whose first fragment was let through: the later ones have no ports to find their flow by. The
 * gateway has put them together before, so the first comes first.
 */
struct fragment_key {
	__u32 ifindex;
	__u32 id;
	__u8 family;
	__u8 protocol;
	__u16 pad;
	struct address source;
	struct address destination;
};
struct fragment_end {
	__u8 mac[6];
	__u16 pad;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct fragment_key);
	__type(value, struct fragment_end);
} fragments SEC(".maps");

/* The server that a DNS client addressed last. Only for the record, so that the oldest may go. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct dns_client);
	__type(value, struct address);
} dns_servers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 22);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counters);
} counts SEC(".maps");

/* Hits of a rule by its place in the walk; the last entry is the default's. */
struct rule_hits {
	__u64 permitted;
	__u64 denied;
	__u64 would_deny;
	__u64 last; /* boot time of the last one */
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct rule_hits);
} hits SEC(".maps");

/* A deleted inner table must not stop the lookup of the next: each returns 0 where its plan is not there. */
static __always_inline void *plan_table(void *outer, const __u32 *slot)
{
	return bpf_map_lookup_elem(outer, slot);
}

#endif
