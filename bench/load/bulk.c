/*
 * bulk ADDRESS HELLO SECONDS STREAMS: connections that say a hello and then take all that the server sends. The first tenth of the time
 * does not count. What arrives is thrown away by the kernel, so that nothing is copied.
 */
#include "load.h"

int main(int count, char **words)
{
	if (count != 5)
		return 2;
	struct sockaddr_in to = endpoint(words[1], PORT_STREAM);
	struct bytes hello = read_file(words[2]);
	double seconds = atof(words[3]);
	int streams = atoi(words[4]), epoll = epoll_create1(0);
	struct epoll_event events[64];

	for (int i = 0; i < streams; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		if (fd < 0 || connect(fd, (void *)&to, sizeof(to)))
			fail("connect");
		if (send(fd, hello.at, hello.length, MSG_NOSIGNAL) != (ssize_t)hello.length)
			fail("send");
		/* Woken for much at once, and not for every packet. */
		int least = 256 << 10;
		if (setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &least, sizeof(least)))
			fail("setsockopt");
		if (fcntl(fd, F_SETFL, O_NONBLOCK))
			fail("fcntl");
		struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e))
			fail("epoll_ctl");
	}
	uint64_t began = now(), counted = began + (uint64_t)(seconds * 1e8), until = counted + (uint64_t)(seconds * 9e8);
	uint64_t bytes = 0, first = 0, at;
	while ((at = now()) < until) {
		if (!first && at >= counted) {
			first = at;
			bytes = 0;
		}
		int ready = epoll_wait(epoll, events, 64, 100);
		for (int i = 0; i < ready; i++) {
			ssize_t got = recv(events[i].data.fd, NULL, 16 << 20, MSG_TRUNC);
			if (got < 0 && errno != EAGAIN)
				fail("recv");
			if (got == 0) {
				fprintf(stderr, "the server ended\n");
				return 1;
			}
			if (got > 0)
				bytes += got;
		}
	}
	printf("{\"bytes\":%lu,\"seconds\":%.6f}\n", bytes, (at - first) / 1e9);
}
