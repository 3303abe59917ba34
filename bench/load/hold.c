/*
 * hold ADDRESS HELLO COUNT: opens COUNT connections; at each line on stdin it takes the next step: says the hello on all of them, ends
 * them. A line of JSON after each step.
 */
#include "load.h"

static void step(const char *name, int count)
{
	printf("{\"step\":\"%s\",\"count\":%d}\n", name, count);
	fflush(stdout);
}

static void wait_for_line(void)
{
	int byte;

	do {
		byte = getchar();
		if (byte == EOF)
			exit(0);
	} while (byte != '\n');
}

int main(int words_count, char **words)
{
	if (words_count != 4)
		return 2;
	struct sockaddr_in to = endpoint(words[1], PORT_HOLD);
	struct bytes hello = read_file(words[2]);
	int count = atoi(words[3]);
	int *fds = calloc(count, sizeof(*fds));

	many_files();
	wait_for_line();
	for (int i = 0; i < count; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM, 0);
		if (fds[i] < 0 || connect(fds[i], (void *)&to, sizeof(to)))
			fail("connect");
	}
	step("open", count);
	wait_for_line();
	for (int i = 0; i < count; i++)
		if (send(fds[i], hello.at, hello.length, MSG_NOSIGNAL) != (ssize_t)hello.length)
			fail("send");
	step("said", count);
	wait_for_line();
	for (int i = 0; i < count; i++)
		close(fds[i]);
	step("ended", count);
}
