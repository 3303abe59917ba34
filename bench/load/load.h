/*
 * load.h: what the load generators share. Each prints one line of JSON on stdout; times are nanoseconds of CLOCK_MONOTONIC.
 */
#ifndef COFFERDAM_BENCH_LOAD_H
#define COFFERDAM_BENCH_LOAD_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* What a port of the server does once the client has said its hello. */
#define PORT_FIRST 8000
#define PORTS_ANSWER 60 /* answers with a ServerHello and waits for the client's end */
#define PORT_HOLD (PORT_FIRST + 60) /* says nothing */
#define PORT_STREAM (PORT_FIRST + 61) /* answers, and sends until the client ends */
#define PORT_LAST PORT_STREAM

static inline void fail(const char *what)
{
	perror(what);
	exit(1);
}

static inline uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static inline struct sockaddr_in endpoint(const char *address, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (inet_pton(AF_INET, address, &to.sin_addr) != 1) {
		fprintf(stderr, "%s is no IPv4 address\n", address);
		exit(1);
	}
	return to;
}

struct bytes {
	uint8_t *at;
	size_t length;
};

static inline struct bytes read_file(const char *path)
{
	static uint8_t room[65536];
	FILE *file = fopen(path, "r");

	if (!file)
		fail(path);
	size_t length = fread(room, 1, sizeof(room), file);
	fclose(file);
	return (struct bytes){ room, length };
}

static inline void many_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		fail("getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		fail("setrlimit");
}

/* Times of many events. Beyond its room it forgets them, and says how many there were. */
struct samples {
	uint32_t *at;
	size_t count, room;
};

static inline void sample(struct samples *s, uint64_t nanoseconds)
{
	if (s->count == s->room) {
		s->room = s->room ? s->room * 2 : 1 << 16;
		s->at = realloc(s->at, s->room * sizeof(*s->at));
		if (!s->at)
			fail("realloc");
	}
	s->at[s->count++] = nanoseconds > UINT32_MAX ? UINT32_MAX : nanoseconds;
}

static inline void sample_all(struct samples *into, const struct samples *from)
{
	for (size_t i = 0; i < from->count; i++)
		sample(into, from->at[i]);
}

static inline int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Prints `"name":{…}`; null where nothing was measured. */
static inline void print_samples(const char *name, struct samples *s)
{
	if (!s->count) {
		printf("\"%s\":null", name);
		return;
	}
	qsort(s->at, s->count, sizeof(*s->at), by_size);
	printf("\"%s\":{\"median\":%u,\"p99\":%u,\"most\":%u}", name, s->at[s->count / 2],
	       s->at[(size_t)(s->count * 0.99)], s->at[s->count - 1]);
}

#endif
