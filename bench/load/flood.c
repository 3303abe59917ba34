/*
 * flood SOURCE SERVICE DENIED RESOLVER RATE SECONDS: what a hostile agent sends, RATE packets a second of all of it in turn: first packets of
 * connections that are permitted and that are not, questions for names that nobody has, later fragments of nothing, and nonsense.
 */
#include "load.h"

#include <netinet/ip.h>
#include <netinet/udp.h>

#define BURST_NS 1000000ull

static int raw;
static struct in_addr source;
static uint32_t state = 0x5eed;

static uint32_t drawn(void)
{
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

/* RFC 1071, over what the pseudo header is and over the segment. */
static uint16_t checksum(struct in_addr to, int protocol, const uint8_t *at, size_t length)
{
	uint32_t sum = htons(protocol) + htons(length);
	uint16_t words[4];

	memcpy(words, &source, 4);
	memcpy(words + 2, &to, 4);
	for (int i = 0; i < 4; i++)
		sum += words[i];
	for (size_t i = 0; i < length; i += 2) {
		uint16_t word = 0;
		memcpy(&word, at + i, i + 1 < length ? 2 : 1);
		sum += word;
	}
	sum = (sum & 0xffff) + (sum >> 16);
	return ~((sum & 0xffff) + (sum >> 16));
}

/* The kernel writes length, identification and checksum of the IP header. */
static void send_packet(struct in_addr to, int protocol, int fragment, const uint8_t *payload, size_t length)
{
	uint8_t packet[600];
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.ttl = 64,
		.protocol = protocol,
		.frag_off = htons(fragment),
		.saddr = source.s_addr,
		.daddr = to.s_addr,
		.id = fragment ? drawn() : 0,
	};
	struct sockaddr_in where = { .sin_family = AF_INET, .sin_addr = to };

	memcpy(packet, &ip, sizeof(ip));
	memcpy(packet + sizeof(ip), payload, length);
	if (sendto(raw, packet, sizeof(ip) + length, 0, (struct sockaddr *)&where, sizeof(where)) < 0 && errno != ENOBUFS)
		fail("sendto");
}

static void begin_connection(struct in_addr to)
{
	struct tcphdr tcp = {
		.source = htons(1024 + drawn() % 60000),
		.dest = htons(PORT_FIRST + drawn() % PORTS_ANSWER),
		.seq = drawn(),
		.doff = sizeof(tcp) / 4,
		.syn = 1,
		.window = htons(65535),
	};

	tcp.check = checksum(to, IPPROTO_TCP, (uint8_t *)&tcp, sizeof(tcp));
	send_packet(to, IPPROTO_TCP, 0, (uint8_t *)&tcp, sizeof(tcp));
}

static void ask(struct in_addr to)
{
	static const uint8_t head[] = { 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 8 };
	static const uint8_t tail[] = { 5, 'f', 'l', 'o', 'o', 'd', 7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 0, 0, 1, 0, 1 };
	uint8_t bytes[sizeof(struct udphdr) + sizeof(head) + 8 + sizeof(tail)];
	struct udphdr udp = { .source = htons(1024 + drawn() % 60000), .dest = htons(53), .len = htons(sizeof(bytes)) };
	char label[9];

	snprintf(label, sizeof(label), "%08x", drawn());
	memcpy(bytes, &udp, sizeof(udp));
	memcpy(bytes + sizeof(udp), head, sizeof(head));
	memcpy(bytes + sizeof(udp) + sizeof(head), label, 8);
	memcpy(bytes + sizeof(udp) + sizeof(head) + 8, tail, sizeof(tail));
	uint16_t sum = checksum(to, IPPROTO_UDP, bytes, sizeof(bytes));
	memcpy(bytes + 6, &sum, 2);
	send_packet(to, IPPROTO_UDP, 0, bytes, sizeof(bytes));
}

static void nonsense(struct in_addr to)
{
	uint8_t bytes[64];

	for (size_t i = 0; i < sizeof(bytes); i += 4) {
		uint32_t four = drawn();
		memcpy(bytes + i, &four, 4);
	}
	if (drawn() & 1)
		send_packet(to, IPPROTO_UDP, 1 + drawn() % 100, bytes, sizeof(bytes));
	else
		send_packet(to, drawn() & 1 ? IPPROTO_TCP : (int)(drawn() & 0xff), 0, bytes, drawn() % sizeof(bytes));
}

int main(int count, char **words)
{
	if (count != 7) {
		fprintf(stderr, "flood SOURCE SERVICE DENIED RESOLVER RATE SECONDS\n");
		return 2;
	}
	source = endpoint(words[1], 0).sin_addr;
	struct in_addr service = endpoint(words[2], 0).sin_addr, denied = endpoint(words[3], 0).sin_addr;
	struct in_addr resolver = endpoint(words[4], 0).sin_addr;
	double rate = atof(words[5]);
	uint64_t began = now(), end = began + (uint64_t)(atof(words[6]) * 1e9), sent = 0;

	raw = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	if (raw < 0)
		fail("socket");
	printf("begun\n");
	fflush(stdout);
	for (uint64_t at = began; at < end; at = now()) {
		for (uint64_t due = (at - began) * rate / 1e9; sent < due; sent++) {
			if (sent % 4 == 0)
				begin_connection(service);
			else if (sent % 4 == 1)
				begin_connection(denied);
			else if (sent % 4 == 2)
				ask(resolver);
			else
				nonsense(sent & 8 ? service : denied);
		}
		struct timespec pause = { .tv_nsec = BURST_NS };
		nanosleep(&pause, 0);
	}
	printf("{\"sent\": %llu}\n", (unsigned long long)sent);
	return 0;
}
