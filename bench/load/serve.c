/*
 * serve ADDRESS THREADS: the server of every measurement that is not TLS itself. It prints `ready` once it listens.
 */
#include "load.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

#define STREAM_BYTES (1 << 20)

/* A ServerHello of TLS 1.3 that asks for no second hello; whoever reads handshakes in the path finds one. */
static uint8_t server_hello[5 + 4 + 118];
static int stream;
static const char *address;

struct connection {
	int fd, port, listens;
	int heard;
	off_t sent;
};

static void listen_on(int epoll, int port)
{
	struct sockaddr_in at = endpoint(address, port);
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) || bind(fd, (void *)&at, sizeof(at)) || listen(fd, 4096))
		fail("listen");
	struct connection *c = calloc(1, sizeof(*c));
	*c = (struct connection){ .fd = fd, .port = port, .listens = 1 };
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e))
		fail("epoll_ctl");
}

static void take(int epoll, const struct connection *listener)
{
	for (;;) {
		int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK);
		if (fd < 0)
			return;
		struct connection *c = calloc(1, sizeof(*c));
		c->fd = fd;
		c->port = listener->port;
		struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e))
			fail("epoll_ctl");
	}
}

/* Whether the connection goes on. */
static int answer(int epoll, struct connection *c, uint32_t events)
{
	static __thread uint8_t room[65536];

	if (events & EPOLLIN) {
		ssize_t got = recv(c->fd, room, sizeof(room), 0);
		if (got <= 0)
			return got < 0 && errno == EAGAIN;
		if (!c->heard && c->port != PORT_HOLD &&
		    send(c->fd, server_hello, sizeof(server_hello), MSG_NOSIGNAL) != sizeof(server_hello))
			return 0;
		if (!c->heard && c->port == PORT_STREAM) {
			struct epoll_event e = { .events = EPOLLIN | EPOLLOUT, .data.ptr = c };
			if (epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &e))
				fail("epoll_ctl");
		}
		c->heard = 1;
	}
	if (events & EPOLLOUT) {
		/* Pages of a file: nothing is copied here, so that what carries them is what is measured. */
		c->sent %= STREAM_BYTES;
		if (sendfile(c->fd, stream, &c->sent, STREAM_BYTES - c->sent) < 0 && errno != EAGAIN)
			return 0;
	}
	return !(events & (EPOLLERR | EPOLLHUP));
}

static int listen_on_all(void)
{
	int epoll = epoll_create1(0);

	for (int port = PORT_FIRST; port <= PORT_LAST; port++)
		listen_on(epoll, port);
	return epoll;
}

static void *serve(void *given)
{
	struct epoll_event events[256];
	int epoll = (int)(intptr_t)given;

	for (;;) {
		int count = epoll_wait(epoll, events, 256, -1);
		for (int i = 0; i < count; i++) {
			struct connection *c = events[i].data.ptr;
			if (c->listens) {
				take(epoll, c);
			} else if (!answer(epoll, c, events[i].events)) {
				close(c->fd);
				free(c);
			}
		}
	}
	return NULL;
}

int main(int count, char **words)
{
	static const uint8_t head[] = { 22, 3, 3, 0, 122, 2, 0, 0, 118, 3, 3 };

	if (count != 3)
		return 2;
	address = words[1];
	many_files();
	signal(SIGPIPE, SIG_IGN);
	memset(server_hello, 0xab, sizeof(server_hello));
	memcpy(server_hello, head, sizeof(head));
	stream = memfd_create("stream", 0);
	if (stream < 0 || ftruncate(stream, STREAM_BYTES))
		fail("memfd_create");
	int threads = atoi(words[2]), *epolls = calloc(threads, sizeof(*epolls));
	for (int i = 0; i < threads; i++)
		epolls[i] = listen_on_all();
	printf("ready\n");
	fflush(stdout);
	for (int i = 1; i < threads; i++) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)epolls[i]))
			fail("pthread_create");
	}
	serve((void *)(intptr_t)epolls[0]);
}
