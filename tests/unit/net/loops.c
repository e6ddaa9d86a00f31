/* SPDX-License-Identifier: ISC */
#include "net/loops.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

static const struct io_options options[LOOPS_COUNT] = {
	{ .backend = IO_BACKEND_EPOLL },
	{ .backend = IO_BACKEND_URING },
	{ .backend = IO_BACKEND_URING, .legacy = true },
	{ .backend = IO_BACKEND_URING,
		.sq_entries = 4,
		.cq_entries = 8,
		.small_buffers = 2,
		.large_buffers = 2 },
};

static struct io *create(const struct io_options *wanted)
{
	const char *only = getenv("NET_TEST_LOOPS");
	struct io_options o = *wanted;
	char why[512];
	struct io *io;

	if (o.backend == IO_BACKEND_URING && only != NULL && strcmp(only, "epoll") == 0)
		return NULL;
	if (o.backend == IO_BACKEND_URING && io_probe(o.backend, why, sizeof(why)) < 0)
		return NULL;
	ck_assert_int_eq(io_create(&io, &o), 0);
	return io;
}

struct io *loops_create_with(
	int number, void (*on_wake)(struct io *, void *arg), void *arg)
{
	struct io_options o = options[number];

	o.on_wake = on_wake;
	o.arg = arg;
	return create(&o);
}

struct io *loops_create_alone(int number)
{
	struct io_options o = options[number];

	o.alone = true;
	return create(&o);
}

struct io *loops_create(int number)
{
	return loops_create_with(number, NULL, NULL);
}

uint64_t loops_deadline(void)
{
	return clock_now_us() + LOOPS_PATIENCE_US;
}

/* Where the kernel's own thread delivers what loopback carries, what was sent before is
 * there when this is. */
static void await_loopback(void)
{
	struct pollfd p = { .events = POLLIN };
	int fds[2];

	loops_tcp_pair(fds);
	ck_assert_int_eq(send(fds[0], "", 1, 0), 1);
	p.fd = fds[1];
	ck_assert_int_eq(poll(&p, 1, LOOPS_PATIENCE_US / 1000), 1);
	close(fds[0]);
	close(fds[1]);
}

void loops_settle(struct io *io)
{
	struct io_stats stats;
	uint64_t events;
	int quiet = 0;

	await_loopback();
	while (quiet < 3) {
		io_stats_read(io, &stats);
		events = stats.events;
		ck_assert_int_eq(io_turn(io, clock_now_us() + 1000), 0);
		io_stats_read(io, &stats);
		quiet = stats.events == events ? quiet + 1 : 0;
	}
}

void loops_pair(int fds[2])
{
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
		0);
}

int loops_tcp_listener(uint16_t *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, len), 0);
	ck_assert_int_eq(listen(fd, 512), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

int loops_tcp_connect(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };

		/* Where the other side is slow; closed before, it would not be one. */
		ck_assert_int_eq(errno, EINPROGRESS);
		ck_assert_int_eq(poll(&p, 1, LOOPS_PATIENCE_US / 1000), 1);
	}
	return fd;
}

void loops_tcp_pair(int fds[2])
{
	uint16_t port;
	int listener = loops_tcp_listener(&port);
	uint64_t until_us = loops_deadline();

	fds[0] = loops_tcp_connect(port);
	do
		fds[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (fds[1] < 0 && clock_now_us() < until_us);
	ck_assert_int_ge(fds[1], 0);
	close(listener);
}

int loops_open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

void loops_add(Suite *s, const TTest *test, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, test, 0, LOOPS_COUNT);
	suite_add_tcase(s, tc);
}
