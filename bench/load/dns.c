/*
 * dns SERVER SOURCES NAMES SECONDS WINDOW: asks SERVER for the A records of the names in a file, one after another, from as many
 * addresses of 10.11.1.0/24 as SOURCES says, with WINDOW queries under way. SECONDS 0: each name once. An answer without an address, or
 * none within a second, is a failure.
 */
#include "load.h"

#define MOST_WINDOW 1024
#define MOST_NAMES 65536
#define TOO_LONG 1000000000ull

struct query {
	int source;
	int open;
	uint16_t id;
	uint64_t began;
};

static char *names[MOST_NAMES];
static int name_count, name_turn;
static int sockets[256];
static int sources;
static struct query queries[MOST_WINDOW];

static void read_names(const char *path)
{
	char line[300];
	FILE *file = fopen(path, "r");

	if (!file)
		fail(path);
	while (name_count < MOST_NAMES && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = 0;
		names[name_count++] = strdup(line);
	}
	fclose(file);
}

static size_t question(uint8_t *at, uint16_t id, const char *name)
{
	static const uint8_t head[10] = { 1, 0, 0, 1, 0, 0, 0, 0, 0, 0 };
	size_t length = 12;

	at[0] = id >> 8;
	at[1] = id;
	memcpy(at + 2, head, sizeof(head));
	while (*name) {
		size_t label = strcspn(name, ".");
		at[length++] = label;
		memcpy(at + length, name, label);
		length += label;
		name += label + (name[label] == '.');
	}
	memcpy(at + length, "\0\0\1\0\1", 5);
	return length + 5;
}

static void ask(int place)
{
	static uint16_t turn;
	uint8_t packet[300];
	struct query *q = &queries[place];

	q->source = turn % sources;
	/* The low bits say which place it is, so that an answer finds it. */
	q->id = turn++ * MOST_WINDOW + place;
	q->open = 1;
	size_t length = question(packet, q->id, names[name_turn++ % name_count]);
	q->began = now();
	if (send(sockets[q->source], packet, length, 0) != (ssize_t)length)
		fail("send");
}

int main(int count, char **words)
{
	struct samples answered = { 0 };
	struct epoll_event events[64];
	uint64_t done = 0, failed = 0;
	int epoll = epoll_create1(0);

	if (count != 6)
		return 2;
	struct sockaddr_in to = endpoint(words[1], 53);
	sources = atoi(words[2]);
	read_names(words[3]);
	double seconds = atof(words[4]);
	int window = atoi(words[5]);
	if (sources > 254 || window > MOST_WINDOW || !name_count)
		return 2;
	for (int i = 0; i < sources; i++) {
		char source[32];
		snprintf(source, sizeof(source), "10.11.1.%d", i + 1);
		struct sockaddr_in from = endpoint(source, 0);
		sockets[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		if (sockets[i] < 0 || bind(sockets[i], (void *)&from, sizeof(from)) || connect(sockets[i], (void *)&to, sizeof(to)))
			fail("connect");
		struct epoll_event e = { .events = EPOLLIN, .data.fd = sockets[i] };
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, sockets[i], &e))
			fail("epoll_ctl");
	}
	uint64_t began = now(), until = began + (uint64_t)(seconds * 1e9), at;
	int open = 0;
	for (int i = 0; i < window; i++, open++)
		ask(i);
	while (at = now(), open > 0 && (seconds == 0 || at < until)) {
		int ready = epoll_wait(epoll, events, 64, 50);
		for (int i = 0; i < ready; i++) {
			uint8_t packet[1500];
			ssize_t got;
			while ((got = recv(events[i].data.fd, packet, sizeof(packet), 0)) > 0) {
				uint16_t id = packet[0] << 8 | packet[1];
				struct query *q = &queries[id % MOST_WINDOW];
				if (got < 12 || !q->open || q->id != id)
					continue;
				uint64_t took = now() - q->began;
				if ((packet[3] & 15) == 0 && (packet[6] || packet[7])) {
					sample(&answered, took);
					done++;
				} else {
					failed++;
				}
				q->open = 0;
				open--;
				if (seconds > 0 || name_turn < name_count) {
					ask(id % MOST_WINDOW);
					open++;
				}
			}
		}
		for (int i = 0; ready == 0 && i < window; i++) {
			if (!queries[i].open || at - queries[i].began < TOO_LONG)
				continue;
			failed++;
			queries[i].open = 0;
			open--;
			if (seconds > 0 || name_turn < name_count) {
				ask(i);
				open++;
			}
		}
	}
	printf("{\"done\":%lu,\"failed\":%lu,\"seconds\":%.6f,", done, failed, (now() - began) / 1e9);
	print_samples("answered", &answered);
	printf("}\n");
}
