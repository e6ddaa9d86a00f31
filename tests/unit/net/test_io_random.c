/* SPDX-License-Identifier: ISC */
/* Everything that may be done to connections, in random order, on two loops of
 * one thread: no byte is lost, doubled or misplaced, nothing is called after
 * close or while detached, and in the end nothing is left with the kernel. */
#include "net/io.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rand.h"
#include "net/loops.h"
#include "net/suites.h"

enum { ACTORS = 24, STEPS = 6000, WRITE_MAX = 9000, RUNS = 3 };

struct actor {
	struct io_conn conn;
	struct rand_small *random;
	int peer;                       /* -1: closed */
	uint64_t sent;
	uint64_t received;
	bool open;
	bool quiescing;
	bool quiet;
	bool ended;
	bool waits;                     /* for on_writable() */
};

static struct actor *actor_of(struct io_conn *c)
{
	struct actor *a = container_of(c, struct actor, conn);

	ck_assert_msg(a->open, "a callback after close");
	ck_assert_msg(c->io != NULL, "a callback while detached");
	return a;
}

static void actor_close(struct actor *a)
{
	io_conn_close(&a->conn);
	a->open = false;
	if (a->peer >= 0)
		close(a->peer);
	a->peer = -1;
}

/* What a handler may do on top of its own business. */
static void whim(struct actor *a)
{
	switch (rand_small_below(a->random, 12)) {
	case 0:
		actor_close(a);
		break;
	case 1:
	case 2:
		io_conn_rx_stop(&a->conn);
		break;
	case 3:
		io_conn_rx_stop(&a->conn);
		io_conn_rx_start(&a->conn);
		break;
	case 4:
		io_conn_tx_wait(&a->conn);
		a->waits = true;
		break;
	default:
		break;
	}
}

static void on_data(struct io_conn *c, const uint8_t *data, size_t len)
{
	struct actor *a = actor_of(c);
	size_t wrong = 0;

	ck_assert(!a->ended);
	for (size_t i = 0; i < len; i++)
		wrong += data[i] != (uint8_t)((a->received + i) * 13);
	ck_assert_uint_eq(wrong, 0);
	a->received += len;
	ck_assert_uint_le(a->received, a->sent);
	if (!a->quiescing)
		whim(a);
}

static void on_end(struct io_conn *c, int error)
{
	struct actor *a = actor_of(c);

	ck_assert(!a->ended);
	ck_assert_int_eq(a->peer, -1);
	ck_assert_uint_eq(a->received, a->sent);
	ck_assert_int_eq(error, 0);
	a->ended = true;
	if (!a->quiescing)
		whim(a);
}

static void on_writable(struct io_conn *c)
{
	struct actor *a = actor_of(c);

	ck_assert(a->waits);
	a->waits = false;
	whim(a);
}

static void on_quiet(struct io_conn *c)
{
	struct actor *a = actor_of(c);

	ck_assert(a->quiescing);
	a->quiescing = false;
	a->quiet = true;
}

static const struct io_conn_ops ops = {
	.on_data = on_data,
	.on_end = on_end,
	.on_writable = on_writable,
	.on_quiet = on_quiet,
};

static void actor_open(struct actor *a, struct io *io, struct rand_small *random)
{
	int fds[2];

	*a = (struct actor){ .random = random, .open = true };
	(rand_small_below(random, 2) ? loops_pair : loops_tcp_pair)(fds);
	a->peer = fds[1];
	io_conn_init(&a->conn, &ops);
	io_conn_rx_multishot(&a->conn, rand_small_below(random, 2));
	ck_assert_int_eq(io_conn_attach(io, &a->conn, fds[0]), 0);
}

static void peer_write(struct actor *a)
{
	uint8_t bytes[WRITE_MAX];
	size_t len = 1 + rand_small_below(a->random, WRITE_MAX);
	ssize_t n;

	if (a->peer < 0)
		return;
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)((a->sent + i) * 13);
	n = send(a->peer, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		a->sent += (uint64_t)n;
}

/* Ours is quiet and stays so: the next loop gets it, or the same once more. */
static void move(struct actor *a, struct io *to)
{
	int fd = io_conn_detach(&a->conn);

	a->quiet = false;
	a->ended = false;
	a->waits = false;
	ck_assert_int_eq(io_conn_attach(to, &a->conn, fd), 0);
	io_conn_rx_start(&a->conn);
}

static void step(struct actor *a, struct io *io[2])
{
	struct rand_small *random = a->random;

	if (!a->open) {
		actor_open(a, io[rand_small_below(random, 2)], random);
		return;
	}
	if (a->quiet) {
		move(a, io[rand_small_below(random, 2)]);
		return;
	}
	switch (rand_small_below(random, 16)) {
	case 0:
		actor_close(a);
		break;
	case 1:
		if (!a->quiescing && io_conn_quiesce(&a->conn))
			a->quiet = true;
		else
			a->quiescing = true;
		break;
	case 2:
		io_conn_rx_stop(&a->conn);
		break;
	case 3:
		if (!a->quiescing) {
			io_conn_tx_wait(&a->conn);
			a->waits = true;
		}
		break;
	case 4:
		if (a->peer >= 0 && rand_small_below(random, 4) == 0) {
			close(a->peer);
			a->peer = -1;
		}
		break;
	case 5:
	case 6:
	case 7:
	case 8:
		peer_write(a);
		break;
	default:
		if (!a->quiescing)
			io_conn_rx_start(&a->conn);
	}
}

/* Whoever is left reads to the end. */
static void wind_up(struct actor *a, struct io *io[2])
{
	uint64_t until_us = loops_deadline();

	if (!a->open)
		return;
	if (a->peer >= 0)
		close(a->peer);
	a->peer = -1;
	while (a->open && !a->ended) {
		if (a->quiet)
			move(a, io[0]);
		if (!a->quiescing)
			io_conn_rx_start(&a->conn);
		ck_assert_int_eq(io_turn(io[0], clock_now_us() + 200), 0);
		ck_assert_int_eq(io_turn(io[1], clock_now_us() + 200), 0);
		ck_assert_uint_lt(clock_now_us(), until_us);
	}
	if (a->open)
		actor_close(a);
}

static uint32_t armed(const struct io *io)
{
	struct io_stats stats;

	io_stats_read(io, &stats);
	return stats.armed;
}

START_TEST(survives_anything_in_any_order)
{
	static struct actor actors[ACTORS];
	int files = loops_open_files();
	struct io *io[2] = { loops_create(_i % LOOPS_COUNT),
		loops_create(_i % LOOPS_COUNT) };
	struct rand_small random;
	uint32_t base;

	if (io[0] == NULL)
		return;
	rand_small_init(&random, (uint64_t)_i + 1);
	loops_settle(io[0]);
	base = armed(io[0]);
	for (size_t i = 0; i < ACTORS; i++)
		actor_open(&actors[i], io[i % 2], &random);
	for (size_t i = 0; i < STEPS; i++) {
		step(&actors[rand_small_below(&random, ACTORS)], io);
		if (rand_small_below(&random, 3) == 0)
			ck_assert_int_eq(io_turn(io[rand_small_below(&random, 2)], 0), 0);
	}
	for (size_t i = 0; i < ACTORS; i++)
		wind_up(&actors[i], io);
	LOOPS_POLL(io[0], armed(io[0]) == base);
	LOOPS_POLL(io[1], armed(io[1]) == base);
	io_destroy(&io[0]);
	io_destroy(&io[1]);
	ck_assert_int_eq(loops_open_files(), files);
}
END_TEST

Suite *io_random_suite(void)
{
	Suite *s = suite_create("net/io, random");
	TCase *tc = tcase_create("random");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, survives_anything_in_any_order, 0, RUNS * LOOPS_COUNT);
	suite_add_tcase(s, tc);
	return s;
}
