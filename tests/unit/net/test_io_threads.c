/* SPDX-License-Identifier: ISC */
/* What several threads do with loops: waking, moving, sharing a listener. */
#include "net/io.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/loops.h"
#include "net/suites.h"

/* --- waking -------------------------------------------------------------------- */

enum { WAKERS = 3, WAKES = 2000 };

struct bell {
	struct io *io;
	_Atomic uint32_t rung;          /* by all */
	_Atomic uint32_t heard;
};

static void on_wake(struct io *io, void *arg)
{
	struct bell *bell = arg;

	(void)io;
	atomic_store(&bell->heard, atomic_load(&bell->rung));
}

/* Every other ring waits until it was heard: a lost wake stops everything. */
static void *ring(void *arg)
{
	struct bell *bell = arg;

	for (uint32_t i = 0; i < WAKES; i++) {
		uint32_t mine = atomic_fetch_add(&bell->rung, 1) + 1;

		io_wake(bell->io);
		while (i % 2 == 0 && atomic_load(&bell->heard) < mine)
			sched_yield();
	}
	return NULL;
}

START_TEST(loses_no_wake)
{
	struct bell bell = { .rung = 0 };
	pthread_t threads[WAKERS];

	bell.io = loops_create_with(_i, on_wake, &bell);
	if (bell.io == NULL)
		return;
	for (size_t i = 0; i < WAKERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, ring, &bell), 0);
	LOOPS_UNTIL(bell.io, atomic_load(&bell.heard) == WAKERS * WAKES);
	for (size_t i = 0; i < WAKERS; i++)
		pthread_join(threads[i], NULL);
	io_destroy(&bell.io);
}
END_TEST

START_TEST(wakes_itself_without_waiting)
{
	struct bell bell = { .rung = 0 };

	bell.io = loops_create_with(_i, on_wake, &bell);
	if (bell.io == NULL)
		return;
	atomic_store(&bell.rung, 5);
	io_wake(bell.io);
	ck_assert_int_eq(io_turn(bell.io, UINT64_MAX), 0);
	ck_assert_uint_eq(atomic_load(&bell.heard), 5);
	io_destroy(&bell.io);
}
END_TEST

/* --- moving -------------------------------------------------------------------- */

enum { HOPS = 200, BYTES_MAX = 400000 };

struct traveller;

struct station {
	struct traveller *t;
	struct io *io;
	int number;
	_Atomic bool ready;
};

struct traveller {
	struct io_conn conn;
	struct station stations[2];
	pthread_mutex_t lock;
	pthread_barrier_t done;
	int fd;                         /* between two stations; -1 otherwise */
	int next;                       /* who may take it */
	uint32_t hops;
	uint64_t bytes;
	bool here_quiet;
	bool ended;
	_Atomic bool arrived;           /* the end was seen */
};

static void travel_data(struct io_conn *c, const uint8_t *data, size_t len)
{
	struct traveller *t = container_of(c, struct traveller, conn);

	size_t wrong = 0;

	for (size_t i = 0; i < len; i++)
		wrong += data[i] != (uint8_t)(t->bytes + i);
	ck_assert_uint_eq(wrong, 0);
	t->bytes += len;
}

static void travel_end(struct io_conn *c, int error)
{
	struct traveller *t = container_of(c, struct traveller, conn);

	ck_assert_int_eq(error, 0);
	t->ended = true;
}

static void travel_quiet(struct io_conn *c)
{
	container_of(c, struct traveller, conn)->here_quiet = true;
}

static const struct io_conn_ops travel_ops = {
	.on_data = travel_data,
	.on_end = travel_end,
	.on_quiet = travel_quiet,
};

/* Lets it stay for a turn or two, then sends it on. */
static void host(struct station *st, int fd)
{
	struct traveller *t = st->t;

	ck_assert_int_eq(io_conn_attach(st->io, &t->conn, fd), 0);
	io_conn_rx_start(&t->conn);
	for (uint32_t i = 0; i < 1 + t->hops % 3; i++)
		ck_assert_int_eq(io_turn(st->io, clock_now_us() + 200), 0);
	while (t->hops >= HOPS && !t->ended)
		ck_assert_int_eq(io_turn(st->io, loops_deadline()), 0);
	if (t->ended) {
		io_conn_close(&t->conn);
		atomic_store(&t->arrived, true);
		io_wake(t->stations[1 - st->number].io);
		return;
	}
	t->here_quiet = io_conn_quiesce(&t->conn);
	while (!t->here_quiet)
		ck_assert_int_eq(io_turn(st->io, loops_deadline()), 0);
	fd = io_conn_detach(&t->conn);
	t->hops++;
	pthread_mutex_lock(&t->lock);
	t->fd = fd;
	t->next = 1 - st->number;
	pthread_mutex_unlock(&t->lock);
	io_wake(t->stations[1 - st->number].io);
}

static int take(struct station *st)
{
	struct traveller *t = st->t;
	int fd = -1;

	pthread_mutex_lock(&t->lock);
	if (t->next == st->number) {
		fd = t->fd;
		t->fd = -1;
	}
	pthread_mutex_unlock(&t->lock);
	return fd;
}

static int loop_number;

static void *serve(void *arg)
{
	struct station *st = arg;

	st->io = loops_create(loop_number);
	atomic_store(&st->ready, true);
	while (!atomic_load(&st->t->stations[1 - st->number].ready))
		sched_yield();
	while (!atomic_load(&st->t->arrived)) {
		int fd = take(st);

		if (fd >= 0)
			host(st, fd);
		else
			ck_assert_int_eq(io_turn(st->io, loops_deadline()), 0);
	}
	/* The other one may still be waking this loop. */
	pthread_barrier_wait(&st->t->done);
	io_destroy(&st->io);
	return NULL;
}

static void feed(int fd)
{
	uint64_t sent = 0;

	while (sent < BYTES_MAX) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		uint8_t bytes[777];
		ssize_t n;

		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)(sent + i);
		n = send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0)
			sent += (uint64_t)n;
		else
			ck_assert_int_eq(poll(&p, 1, 20000), 1);
	}
	close(fd);
}

START_TEST(moves_between_threads)
{
	static struct traveller t;
	pthread_t threads[2];
	struct io *io = loops_create(_i);
	int fds[2];

	if (io == NULL)
		return;
	io_destroy(&io);
	loop_number = _i;
	t = (struct traveller){ .fd = -1 };
	pthread_mutex_init(&t.lock, NULL);
	pthread_barrier_init(&t.done, NULL, 2);
	io_conn_init(&t.conn, &travel_ops);
	loops_pair(fds);
	t.fd = fds[0];
	for (int i = 0; i < 2; i++) {
		t.stations[i].t = &t;
		t.stations[i].number = i;
	}
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(
			pthread_create(&threads[i], NULL, serve, &t.stations[i]), 0);
	feed(fds[1]);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(t.bytes, (BYTES_MAX + 776) / 777 * 777);
	pthread_barrier_destroy(&t.done);
	pthread_mutex_destroy(&t.lock);
}
END_TEST

/* --- sharing a listener ----------------------------------------------------------- */

enum { SHARERS = 2, CONNECTIONS = 100 };

struct sharer {
	int listener;
	_Atomic uint32_t accepted;
	_Atomic bool over;
	struct io *_Atomic io;
	pthread_t thread;
};

static struct sharer sharers[SHARERS];
static pthread_barrier_t share_over;

static void on_accept(struct io_listener *l, int fd)
{
	close(fd);
	for (size_t i = 0; i < SHARERS; i++) {
		if (atomic_load(&sharers[i].io) == l->io)
			atomic_fetch_add(&sharers[i].accepted, 1);
	}
}

static void *share(void *arg)
{
	struct sharer *s = arg;
	struct io *io = loops_create(loop_number);
	struct io_listener l;

	atomic_store(&s->io, io);
	ck_assert_int_eq(io_listener_start(io, &l, s->listener, on_accept), 0);
	while (!atomic_load(&s->over))
		ck_assert_int_eq(io_turn(io, loops_deadline()), 0);
	io_listener_stop(&l);
	/* The test may still be waking this loop. */
	pthread_barrier_wait(&share_over);
	io_destroy(&io);
	return NULL;
}

static uint32_t accepted_by_all(void)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < SHARERS; i++)
		sum += atomic_load(&sharers[i].accepted);
	return sum;
}

START_TEST(connections_go_round)
{
	struct io *io = loops_create(_i);
	uint16_t port;
	int listener;

	if (io == NULL)
		return;
	io_destroy(&io);
	loop_number = _i;
	listener = loops_tcp_listener(&port);
	pthread_barrier_init(&share_over, NULL, SHARERS + 1);
	for (size_t i = 0; i < SHARERS; i++) {
		sharers[i] = (struct sharer){ .listener = listener };
		ck_assert_int_eq(
			pthread_create(&sharers[i].thread, NULL, share, &sharers[i]), 0);
		while (atomic_load(&sharers[i].io) == NULL)
			sched_yield();
	}
	for (uint32_t i = 0; i < CONNECTIONS; i++) {
		uint64_t until_us = loops_deadline();

		close(loops_tcp_connect(port));
		while (accepted_by_all() <= i && clock_now_us() < until_us)
			(void)poll(NULL, 0, 1);
	}
	for (size_t i = 0; i < SHARERS; i++) {
		atomic_store(&sharers[i].over, true);
		io_wake(atomic_load(&sharers[i].io));
	}
	pthread_barrier_wait(&share_over);
	for (size_t i = 0; i < SHARERS; i++)
		pthread_join(sharers[i].thread, NULL);
	pthread_barrier_destroy(&share_over);
	ck_assert_uint_eq(accepted_by_all(), CONNECTIONS);
	for (size_t i = 0; i < SHARERS; i++)
		ck_assert_uint_ge(atomic_load(&sharers[i].accepted), CONNECTIONS / 5);
	close(listener);
}
END_TEST

Suite *io_threads_suite(void)
{
	Suite *s = suite_create("net/io, threads");
	TCase *tc = tcase_create("threads");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, loses_no_wake, 0, LOOPS_COUNT);
	tcase_add_loop_test(tc, wakes_itself_without_waiting, 0, LOOPS_COUNT);
	tcase_add_loop_test(tc, moves_between_threads, 0, LOOPS_COUNT);
	tcase_add_loop_test(tc, connections_go_round, 0, LOOPS_COUNT);
	suite_add_tcase(s, tc);
	return s;
}
