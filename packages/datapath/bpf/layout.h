/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * layout.h: every structure that the kernel program shares with user space. The TypeScript encoders in
 * ../src/layout.ts are compared with these through BTF by a test: change both or neither.
 *
 * Addresses are 16 bytes in network order; an IPv4 address takes the first four, the rest is zero.
 * Times are nanoseconds of CLOCK_BOOTTIME. Sequence numbers are in host order.
 */
#ifndef COFFERDAM_LAYOUT_H
#define COFFERDAM_LAYOUT_H

#include <linux/types.h>

/* Changes whenever any structure here does. */
#define LAYOUT 4

#define RULE_WORDS 320 /* 64 rules each: 20,480 rules */
#define SUMMARY_WORDS (RULE_WORDS / 64)
#define RULE_DEFAULT 0xffff
#define REAL_ADDRESSES 8
#define NAME_BYTES 256 /* RFC 1035 section 2.3.4: 253 characters of text, and a zero */
#define HELLO_BYTES 20480
#define HELLO_CHUNK 4096 /* copied at a time; raw has that much room behind it, which is how the verifier sees the bound */
#define HELLO_SLOTS 1024
#define OTHER_EXTENSIONS 32
#define PLAN_SLOTS 2
#define MAX_EPOCHS 256
#define AGENT_KEYS 131072 /* addresses of agents, each on its interface and on none */

struct address {
	__u8 bytes[16];
};

/* A set of rules, one bit each in the order of the walk; bit i of summary says that word i has a bit. */
struct bitmap {
	__u64 words[RULE_WORDS];
	__u64 summary[SUMMARY_WORDS];
};

/* What each of 64 rules is, one bit a rule. */
struct rule_word {
	__u64 enforced; /* in force; none in a run that is monitored as a whole */
	__u64 everything; /* enforced or monitored: the walk of the would-be verdict */
	__u64 permit;
	__u64 web; /* has domain or URL patterns */
	__u64 any_web; /* of those, has `any-web` */
	__u64 tls_required;
	__u64 tls_absent;
	__u64 needs_request; /* http or mcp conditions: never satisfied here */
	__u64 needs_proxy; /* those, URL patterns, and web with tls absent; where PLAN_OWN is set all with web */
	__u64 to_public; /* `to` has public-internet */
};

#define RULE_DROPS 1 /* onDeny: drop */
#define RULE_REFUSES_ECH 2
struct rule_info {
	__u32 flags;
	__u32 pad;
};

#define PLAN_MONITORED 1 /* some rule is monitored, so that every flow has a would-be verdict */
#define PLAN_RUN_MONITORED 4 /* run --monitor: nothing is enforced */
#define PLAN_NAMES_OPEN 2 /* a deny has a wildcard: a claimed name that was never classified must be asked about */
#define PLAN_TRACK 8 /* an address has the names that this agent was given it for */
#define PLAN_OWN 16 /* an address has no name before one is claimed; with neither flag, that of the pool's address */

struct plan_header {
	__u32 revision;
	__u32 flags;
	__u32 words; /* rule words in use */
	__u32 epochs;
	__u64 epoch_from[MAX_EPOCHS]; /* boot time; the last epoch is the closed one */
	__u32 epoch_row[MAX_EPOCHS]; /* row of active rules */
};

/* One word, read once for each packet, selects all tables of a plan. */
struct control {
	__u32 slot;
	__u32 live; /* 0: no plan */
	__u32 layout; /* LAYOUT of whoever made the tables: another version must not take them over */
	__u32 switches; /* counts plans, over restarts too: what another one judged is judged again */
	__u32 uplink; /* interface behind which flows may take the fast path; 0: none */
};

struct agent_key {
	__u32 ifindex;
	__u32 family;
	struct address address;
};

#define AGENT_MONITORED 1
#define AGENT_MAC_KNOWN 2
struct agent {
	__u64 holder; /* of its inventory name: the same over plans and restarts, on each of its addresses */
	__u32 id;
	__u32 row; /* of rules whose `from` holds this agent */
	__u32 flags;
	__u8 mac[6];
	__u8 pad[6];
};

/* Longest prefix first. The family is the first byte of the prefix, so that no IPv4 address is an IPv6 one. */
struct destination_key {
	__u32 bits; /* 8 + prefix length */
	__u8 family;
	__u8 bytes[16];
	__u8 pad[3];
};

#define DESTINATION_RESERVED 1
#define DESTINATION_GATEWAY 2
#define DESTINATION_PUBLIC 4
#define DESTINATION_CONTAINED 8 /* another agent, whose containment is enforced */
#define DESTINATION_POOL 16
struct destination {
	__u32 row;
	__u32 flags;
};

/* Rows of ports, 256 to a page, so that a plan writes 513 entries and not 131,073: tcp, udp, and one page of icmp. */
#define PORT_PAGE 256
#define PORT_PAGES (2 * 256 + 1)
struct port_page {
	__u32 row[PORT_PAGE];
};

/* What a synthetic address stands for. */
struct synthetic_key {
	__u32 family;
	struct address address;
};

struct synthetic {
	__u32 name; /* id, never 0 */
	__u32 count;
	__u32 turn; /* another one whenever a place gets another address; below TURNS */
	__u32 first; /* place that is tried first: the last one that answered where another did not */
	__u32 elsewhere; /* its name has addresses of the other family: with none of this one, the proxy dials those */
	struct address real[REAL_ADDRESSES]; /* of the same family */
};

/*
 * Which real address a flow goes to: a place among the eight, and the turn in which that address stood there. Connection
 * tracking keeps each path in a zone of its own, so that what it remembers of one is never used for another.
 */
#define PATH_PLACE 0x07
#define PATH_TURN_SHIFT 3
#define TURNS 32

/* Rows that every plan has. */
#define ROW_EMPTY 0
#define ROW_NO_NAME 1 /* rules without web */
#define ROW_UNKNOWN_NAME 2 /* those, and rules whose web holds every name */
#define ROW_DENIES_BY_NAME 3 /* denies with web, which a name that the client has yet to claim may satisfy */

/* Rows of a name, or of a set of names together, in one plan. */
struct name_rows {
	__u32 web; /* rules without web, and those whose web may match: a domain, or the host of a URL */
	__u32 sure; /* the same without those that only a URL may match */
	__u32 host; /* rules whose `to` has it as hostname */
	__u32 every; /* rules without web, and denies that each name of the set satisfies */
};

/* An address that an agent was given, in PLAN_TRACK; its value is the id of the one name it was given it for, or of the set. */
struct tracked_key {
	__u64 holder;
	__u32 family;
	__u32 pad;
	struct address address;
};

/* That a set of names has this one. */
struct name_set_key {
	__u32 set;
	__u32 name;
};

struct flow_key {
	__u32 ifindex;
	__u8 family; /* 4 or 6 */
	__u8 protocol; /* IPPROTO_ */
	__be16 source_port; /* icmp: the echo identifier */
	__be16 destination_port; /* icmp: 0 */
	__u16 pad;
	struct address source; /* the agent's */
	struct address destination; /* as the agent wrote it */
};

enum flow_state {
	FLOW_NONE = 0,
	FLOW_PENDING = 1, /* undecided: only its ClientHello passes */
	FLOW_BINDING = 2, /* permitted, and what the client says first must still agree */
	FLOW_PERMITTED = 3,
	FLOW_DENIED = 4,
	FLOW_PROXIED = 5,
};

enum fact_state {
	FACT_UNKNOWN = 0,
	FACT_ABSENT = 1,
	FACT_UNREADABLE = 2,
	FACT_KNOWN = 3,
};

enum stage {
	STAGE_PACKET = 0,
	STAGE_NAME = 1,
	STAGE_REQUEST = 2,
};

#define FLOW_SYN_ANSWERED 0x001
#define FLOW_SERVER_SPOKE 0x002
#define FLOW_CLIENT_FIN 0x004
#define FLOW_SERVER_FIN 0x008
#define FLOW_RESET 0x010
#define FLOW_RESTS_ON_NAME 0x020 /* permitted by a rule with web: what its client claims must stay what it was judged by */
#define FLOW_PLAIN_HTTP 0x040
#define FLOW_EARLY_DATA 0x080
#define FLOW_HELLO_DONE 0x100 /* a first ClientHello was judged; base is behind it */
#define FLOW_READ_OVER 0x200 /* nothing more has to be read; waits for the server to acknowledge what was judged */
#define FLOW_SERVER_FIRST 0x400
#define FLOW_ECH 0x800
#define FLOW_CUT 0x1000 /* it was permitted while it lived, and its server has yet to learn that it is over */
#define FLOW_RETRY 0x2000 /* the server asked for a second hello, or may have */
#define FLOW_RETRY_SURE 0x4000 /* it did: nothing but a second hello may follow */
#define FLOW_WAITED 0x8000 /* it was pending: what its client says decides */
#define FLOW_MONITORED 0x10000 /* denials by what cannot be read are lifted */
#define FLOW_TROUBLE 0x20000 /* denied by how its bytes came, not by the walk */
#define FLOW_WOULD_PROXY 0x100000 /* with everything enforced the proxy would hold it, and read its Host */
#define FLOW_WOULD_REST 0x200000 /* the would-be verdict is a permit that rests on a name */
#define FLOW_ELSEWHERE 0x80000 /* its real end is of the other family: the proxy judges it */
#define FLOW_TRANSLATED 0x400000 /* its destination stands for `real`, which netfilter puts in its place */
#define FLOW_CROSSES 0x40000 /* to another agent: its answers come in from an agent interface too */

/* How a frame begins. */
struct link_ends {
	__u8 destination[6];
	__u8 source[6];
};

struct flow {
	__u64 start;
	__u64 last;
	__u64 first_byte; /* the client's; 0: none yet */
	__u64 bytes_out;
	__u64 packets_out;
	__u64 bytes_in;
	__u64 packets_in;
	__u64 generation; /* of plan and epoch that judged it */
	__u64 tracked_at; /* when connection tracking was last asked for the fast path */
	struct address real;
	struct address near; /* fast path: the end that its server sees */
	__u32 agent;
	__u32 name; /* id of the address name, or of the set of them; 0: none */
	__u32 claimed; /* id of the claimed name; 0: none, or not in the table */
	__u32 revision;
	__u32 base; /* first sequence number not yet judged */
	__u32 judged_end; /* behind the last byte that was judged and must stay as it is */
	__u32 client_ack; /* last acknowledgement number of the client */
	__u32 server_base; /* first sequence number of the server's data */
	__u32 slot; /* 1 + index of its hello; 0: none */
	__u32 flags;
	__u16 rule;
	__u16 would_rule;
	__u8 state;
	__u8 reason;
	__u8 stage;
	__u8 tls;
	__u8 claimed_state;
	__u8 path;
	__u8 would_verdict; /* 0 none, 1 permit, 2 deny, 3 unknown */
	__u8 would_reason;
	__u8 mac[6];
	__be16 near_port;
	__u8 fast; /* whether what follows and `near` are known, and hold */
	__u8 pad[7];
	struct link_ends way; /* of its frames on the uplink */
	struct link_ends back; /* and towards its agent */
};

/* The first line of what is no TLS, while it is read. */
struct plain_line {
	__u64 head; /* its first word, as in struct method */
	__u32 tail;
	__u32 at;
	__u32 stage;
	__u32 word; /* length of the first word */
	__u32 spaced; /* a space ends it */
	__u32 matched; /* of `HTTP/` */
};

/* A ClientHello while it is read. Its bytes are kept, since what was judged must be what is delivered. */
struct hello {
	__u32 busy;
	__u32 base; /* sequence number of raw[0] */
	__u32 have; /* bytes kept, without gaps */
	__u32 position; /* bytes read */
	__u32 state;
	__u32 accumulator;
	__u32 need; /* bytes of the item being read */
	__u32 skip;
	__u32 record_left;
	__u32 record_header; /* header bytes read: 0 to 5 */
	__u32 message_left;
	__u32 extensions_left;
	__u32 body_left;
	__u32 flags;
	__u64 seen; /* extension types below 64 */
	__u16 others[OTHER_EXTENSIONS]; /* and the others, GREASE among them */
	__u32 other_count;
	__u32 name_length;
	__u32 label_length;
	__u32 label_flags;
	__u32 end; /* bytes of raw up to the end of the hello */
	struct plain_line line;
	__u8 name[NAME_BYTES];
	__u8 raw[HELLO_BYTES + HELLO_CHUNK];
};

enum event_kind {
	EVENT_VERDICT = 1, /* a flow was decided, or decided again */
	EVENT_DENIED = 2, /* a packet that made no flow was denied */
	EVENT_NAME_MISS = 3, /* a claimed name has to be classified */
	EVENT_END = 4, /* a flow is over, and another of the same ends begins */
};

struct event {
	__u32 kind;
	__u32 name_length;
	struct flow_key key;
	struct flow flow;
	__u8 name[NAME_BYTES]; /* the claimed name, where there is one */
};

/* What every agent may take; 0: as much as there is. Times are nanoseconds: one token, and all that can be saved up. */
struct quotas {
	__u32 flows; /* live at once */
	__u32 hellos; /* kept at once */
	__u64 flow_interval;
	__u64 flow_burst;
	__u64 event_interval; /* of denials */
	__u64 event_burst;
};

/* What one agent has taken, by struct agent_key; of family 0 stands for what no agent of the interface sent. */
struct agent_use {
	__u32 flows;
	__u32 hellos;
	__u64 flows_full_at;
	__u64 events_full_at;
	__u64 untold; /* denials that made no event */
};

/* Who asks the DNS filter: every question ends there, and the record says which server it was meant for. */
struct dns_client {
	__u32 ifindex;
	__u8 family;
	__u8 protocol;
	__be16 port;
	struct address address;
};

#define REQUEST_JUDGE 0xffffffff
/* What user space asks for a flow. */
struct flow_request {
	struct flow_key key;
	__u32 reason; /* it is denied for; 0: it is forgotten; REQUEST_JUDGE: it is judged by the plan in force */
};

/* What the program counts beside flows; one for each processor. */
struct counters {
	__u64 events_lost;
	__u64 fast; /* packets that took the fast path */
	__u64 dropped[256]; /* by reason */
};

/* Marks: the gateway's netfilter rules read nothing else. All bits are written on every packet. */
#define MARK_TAG_BITS 0xffff0000
#define MARK_PASS 0xcd010000 /* low byte: the path */
#define MARK_FIRST 0x100 /* judged by the addresses its name has now: only such packets are translated anew */
#define MARK_ANSWER 0x200 /* beside pass: of what answers a flow, set by netfilter or by from_agent */
#define MARK_PROXY 0xcd020000
#define MARK_DNS 0xcd030000
#define MARK_REJECT 0xcd040000
#define MARK_LOCAL 0xcd050000
#define MARK_FAST 0xcd070000 /* judged by from_uplink, and aimed at nobody until to_agent has seen it */
#define MARK_CUT 0xcd060000 /* what user space says to the agent's end of a flow that was cut */

#endif
