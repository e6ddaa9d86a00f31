/* SPDX-License-Identifier: ISC */
/*
 * Whether io_uring works here, found out by using it: a loop is created as the
 * workers will create theirs, and bytes go through it.  When it does not work,
 * why, and what an operator can do about it.
 *
 * Owns:   nothing when it returns.
 * Thread: the main thread, before there are workers.
 * Limits: SELF_TEST_US.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <liburing.h>

#include "base/clock.h"
#include "net/io.h"

enum { SELF_TEST_US = 2000000, PROBE_BYTES = 6000 };

/* --- diagnosis -------------------------------------------------------------- */

/* A number from a file of /proc, after a prefix that starts a line; -1 when
 * there is none. */
static long read_number(const char *path, const char *prefix)
{
	FILE *file = fopen(path, "re");
	size_t len = strlen(prefix);
	char line[256];
	long value = -1;

	if (file == NULL)
		return -1;
	while (value == -1 && fgets(line, sizeof(line), file) != NULL) {
		if (strncmp(line, prefix, len) == 0)
			(void)sscanf(line + len, "%ld", &value);
	}
	fclose(file);
	return value;
}

static void explain_eperm(char *why, size_t size)
{
	long disabled = read_number("/proc/sys/kernel/io_uring_disabled", "");
	long group = read_number("/proc/sys/kernel/io_uring_group", "");

	if (disabled == 2)
		snprintf(why, size, "io_uring is disabled by sysctl "
			"kernel.io_uring_disabled=2; set it to 0 to allow it");
	else if (disabled == 1)
		snprintf(why, size, "io_uring is restricted by sysctl "
			"kernel.io_uring_disabled=1; run as a member of group %ld "
			"(kernel.io_uring_group), or set it to 0", group);
	else if (read_number("/proc/self/status", "Seccomp:") == 2)
		snprintf(why, size, "io_uring is blocked by a seccomp filter, as the "
			"default profiles of Docker, containerd and Kubernetes do; "
			"allow io_uring_setup, io_uring_enter and io_uring_register");
	else
		snprintf(why, size, "io_uring is not permitted here, probably by a "
			"security module");
}

static void explain_enomem(char *why, size_t size)
{
	struct rlimit limit = { 0, 0 };

	(void)getrlimit(RLIMIT_MEMLOCK, &limit);
	snprintf(why, size, "no memory for io_uring: RLIMIT_MEMLOCK is %" PRIu64
		" KiB (hard %" PRIu64 " KiB) for all processes of this user, and each "
		"worker needs about 300 KiB; raise it (LimitMEMLOCK=64M in systemd)",
		(uint64_t)limit.rlim_cur / 1024, (uint64_t)limit.rlim_max / 1024);
}

static void explain(int error, char *why, size_t size)
{
	struct utsname name;

	switch (-error) {
	case EPERM:
	case EACCES:
		explain_eperm(why, size);
		break;
	case ENOMEM:
		explain_enomem(why, size);
		break;
	case ENOSYS:
	case EOPNOTSUPP:
	case EINVAL:
		(void)uname(&name);
		snprintf(why, size, "this kernel (%s), or the sandbox, lacks io_uring "
			"or parts of it; Linux 6.1 has all that is needed", name.release);
		break;
	case EMFILE:
	case ENFILE:
		snprintf(why, size, "no descriptor for io_uring: %s; raise the limit "
			"(LimitNOFILE= in systemd)", strerror(-error));
		break;
	default:
		snprintf(why, size, "io_uring does not work here: %s", strerror(-error));
	}
}

/* --- self-test -------------------------------------------------------------- */

struct self_test {
	struct io_conn conn;
	size_t received;
	bool ended;
	bool wrong;
};

static struct self_test *test_of(struct io_conn *c)
{
	return container_of(c, struct self_test, conn);
}

static void on_data(struct io_conn *c, const uint8_t *data, size_t len)
{
	struct self_test *t = test_of(c);

	for (size_t i = 0; i < len; i++)
		t->wrong |= data[i] != (uint8_t)(t->received + i);
	t->received += len;
}

static void on_end(struct io_conn *c, int error)
{
	test_of(c)->ended = true;
	test_of(c)->wrong |= error != 0;
}

static void on_writable(struct io_conn *c)
{
	uint8_t bytes[PROBE_BYTES];
	struct iovec iov = { bytes, sizeof(bytes) };

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	test_of(c)->wrong |= io_conn_send(c, &iov, 1) != PROBE_BYTES;
	(void)shutdown(c->fd, SHUT_WR);         /* the other side sees or misses it */
}

static const struct io_conn_ops probe_ops = {
	.on_data = on_data,
	.on_end = on_end,
	.on_writable = on_writable,
};

/* One side waits until it may write, sends and ends; the other one receives
 * more than a buffer holds, starving on the way, and the end. */
static int converse(struct io *io, struct self_test *a, struct self_test *b)
{
	uint64_t until_us = clock_now_us() + SELF_TEST_US;

	io_conn_rx_multishot(&b->conn, true);
	io_conn_rx_start(&b->conn);
	io_conn_tx_wait(&a->conn);
	while (!b->ended && clock_now_us() < until_us) {
		int ret = io_turn(io, until_us);

		if (ret < 0)
			return ret;
	}
	if (!b->ended || a->wrong || b->wrong || b->received != PROBE_BYTES)
		return -EIO;
	return 0;
}

static int self_test(struct io *io)
{
	struct self_test a = { .received = 0 }, b = { .received = 0 };
	int fds[2], ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return -errno;
	io_conn_init(&a.conn, &probe_ops);
	io_conn_init(&b.conn, &probe_ops);
	ret = io_conn_attach(io, &a.conn, fds[0]);
	if (ret < 0)
		goto fail_a;
	ret = io_conn_attach(io, &b.conn, fds[1]);
	if (ret < 0)
		goto fail_b;
	ret = converse(io, &a, &b);
	io_conn_close(&b.conn);
	io_conn_close(&a.conn);
	return ret;

fail_b:
	io_conn_close(&a.conn);
	close(fds[1]);
	return ret;
fail_a:
	close(fds[0]);
	close(fds[1]);
	return ret;
}

/* --- the question ----------------------------------------------------------- */

static const struct {
	int op;
	const char *name;
} needed[] = {
	{ IORING_OP_POLL_ADD, "POLL_ADD" },
	{ IORING_OP_ACCEPT, "ACCEPT" },
	{ IORING_OP_ASYNC_CANCEL, "ASYNC_CANCEL" },
	{ IORING_OP_RECV, "RECV" },
};

/* A sandbox may forbid single operations. */
static int check_operations(char *why, size_t size)
{
	struct io_uring_probe *probe = io_uring_get_probe();
	int ret = 0;

	if (probe == NULL)
		return 0;
	for (size_t i = 0; i < COUNT_OF(needed) && ret == 0; i++) {
		if (io_uring_opcode_supported(probe, needed[i].op))
			continue;
		snprintf(why, size, "io_uring lacks the operation %s here",
			needed[i].name);
		ret = -EOPNOTSUPP;
	}
	io_uring_free_probe(probe);
	return ret;
}

static int try_uring(char *why, size_t size, uint32_t small_buffers)
{
	struct io_options options = { .backend = IO_BACKEND_URING,
		.small_buffers = small_buffers };
	struct io *io;
	int ret;

	ret = io_create(&io, &options);
	if (ret < 0) {
		explain(ret, why, size);
		return ret;
	}
	ret = check_operations(why, size);
	if (ret == 0) {
		ret = self_test(io);
		if (ret < 0)
			snprintf(why, size, "io_uring failed its self-test: %s",
				strerror(-ret));
	}
	io_destroy(&io);
	return ret;
}

int io_probe(enum io_backend wanted, char *why, size_t why_size)
{
	int ret;

	if (why_size > 0)
		why[0] = '\0';
	if (wanted == IO_BACKEND_EPOLL)
		return IO_BACKEND_EPOLL;
	ret = try_uring(why, why_size, 0);
	if (ret == 0)
		ret = try_uring(why, why_size, 1);
	if (ret == 0)
		return IO_BACKEND_URING;
	return wanted == IO_BACKEND_URING ? ret : IO_BACKEND_EPOLL;
}
