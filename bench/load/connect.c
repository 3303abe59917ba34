/*
 * connect ADDRESS HELLO SECONDS CONCURRENCY THREADS RATE: connections one after another in each of CONCURRENCY places: SYN, ClientHello, the
 * first byte of the answer, end. Prints how many there were, and their times from the call until connected and until answered.
 * RATE: how many a second, for a CONCURRENCY of 1; each that is begun then counts, the last one too. 0: as fast as it can, and those under
 * way at the end count as nothing.
 */
#include "load.h"

#define TOO_LONG 5000000000ull

struct place {
	int fd;
	int connected;
	uint64_t began;
};

struct work {
	int places;
	uint64_t until;
	uint64_t due, interval; /* when the last one was to begin, and how long after it the next one is; 0: at once */
	uint64_t done, failed;
	struct samples connected, answered;
};

static struct sockaddr_in server;
static struct bytes hello;

static void begin(int epoll, struct place *p, int *turn)
{
	struct sockaddr_in to = server;

	to.sin_port = htons(PORT_FIRST + (*turn)++ % PORTS_ANSWER);
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (p->fd < 0)
		fail("socket");
	p->connected = 0;
	p->began = now();
	if (connect(p->fd, (void *)&to, sizeof(to)) && errno != EINPROGRESS)
		fail("connect");
	struct epoll_event e = { .events = EPOLLOUT, .data.ptr = p };
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, p->fd, &e))
		fail("epoll_ctl");
}

/* 1: it is answered. 0: it goes on. -1: it failed. */
static int go_on(int epoll, struct place *p, struct work *w, uint32_t events)
{
	uint8_t room[4096];

	if (!p->connected) {
		int error = 0;
		socklen_t size = sizeof(error);
		if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &size) || error || (events & EPOLLHUP))
			return -1;
		sample(&w->connected, now() - p->began);
		p->connected = 1;
		if (send(p->fd, hello.at, hello.length, MSG_NOSIGNAL) != (ssize_t)hello.length)
			return -1;
		struct epoll_event e = { .events = EPOLLIN, .data.ptr = p };
		if (epoll_ctl(epoll, EPOLL_CTL_MOD, p->fd, &e))
			fail("epoll_ctl");
		return 0;
	}
	ssize_t got = recv(p->fd, room, sizeof(room), 0);
	if (got > 0)
		sample(&w->answered, now() - p->began);
	return got > 0 ? 1 : -1;
}

/* Sleeps until the next one is to begin. After one that took longer that is at once: nothing is caught up. 0: the time is over. */
static int wait_turn(struct work *w)
{
	uint64_t at = now();

	if (!w->interval)
		return 1;
	w->due += w->interval;
	if (w->due < at)
		w->due = at;
	if (w->due >= w->until)
		return 0;
	struct timespec due = { .tv_sec = w->due / 1000000000, .tv_nsec = w->due % 1000000000 };
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
		;
	return 1;
}

static void *run(void *given)
{
	struct work *w = given;
	struct epoll_event events[256];
	int epoll = epoll_create1(0), turn = 0;
	struct place *places = calloc(w->places, sizeof(*places));

	for (int i = 0; i < w->places; i++)
		begin(epoll, &places[i], &turn);
	for (uint64_t at = now(); w->interval || at < w->until; at = now()) {
		int count = epoll_wait(epoll, events, 256, 50);
		for (int i = 0; i < count; i++) {
			struct place *p = events[i].data.ptr;
			int outcome = go_on(epoll, p, w, events[i].events);
			if (outcome == 0)
				continue;
			w->done += outcome > 0;
			w->failed += outcome < 0;
			close(p->fd);
			if (!wait_turn(w))
				return NULL;
			begin(epoll, p, &turn);
		}
		if (count)
			continue;
		for (int i = 0; i < w->places; i++) {
			if (at - places[i].began < TOO_LONG)
				continue;
			w->failed++;
			close(places[i].fd);
			if (!wait_turn(w))
				return NULL;
			begin(epoll, &places[i], &turn);
		}
	}
	return NULL;
}

int main(int count, char **words)
{
	if (count != 7)
		return 2;
	server = endpoint(words[1], 0);
	hello = read_file(words[2]);
	int places = atoi(words[4]), threads = atoi(words[5]);
	double rate = atof(words[6]);
	if (rate > 0 && places != 1) {
		fprintf(stderr, "only one place keeps to a rate\n");
		return 2;
	}
	struct work *work = calloc(threads, sizeof(*work));
	pthread_t *running = calloc(threads, sizeof(*running));
	many_files();
	uint64_t began = now();
	for (int i = 0; i < threads; i++) {
		work[i].places = places / threads;
		work[i].due = began;
		work[i].interval = rate > 0 ? 1e9 / rate : 0;
		work[i].until = began + (uint64_t)(atof(words[3]) * 1e9);
		if (pthread_create(&running[i], NULL, run, &work[i]))
			fail("pthread_create");
	}
	for (int i = 0; i < threads; i++) {
		pthread_join(running[i], NULL);
		if (i == 0)
			continue;
		work[0].done += work[i].done;
		work[0].failed += work[i].failed;
		sample_all(&work[0].connected, &work[i].connected);
		sample_all(&work[0].answered, &work[i].answered);
	}
	printf("{\"done\":%lu,\"failed\":%lu,\"seconds\":%.6f,", work[0].done, work[0].failed, (now() - began) / 1e9);
	print_samples("connected", &work[0].connected);
	printf(",");
	print_samples("answered", &work[0].answered);
	printf("}\n");
}
