/* SPDX-License-Identifier: ISC */
/* Conns that leave a loop which is alone, and come back to the place that it kept. */
#include "net/io.h"

#include <check.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/loops.h"
#include "net/suites.h"

struct guest {
	struct io_conn conn;
	uint64_t bytes;
	uint32_t ends;
	uint32_t quiets;
	bool is_away;
};

static struct guest *guest_of(struct io_conn *c)
{
	struct guest *g = container_of(c, struct guest, conn);

	ck_assert_msg(!g->is_away, "a callback while detached");
	return g;
}

/* As a server's: what ends a lease stops reading. */
static void on_data(struct io_conn *c, const uint8_t *data, size_t len)
{
	(void)data;
	guest_of(c)->bytes += len;
	io_conn_rx_stop(c);
}

static void on_end(struct io_conn *c, int error)
{
	(void)error;
	guest_of(c)->ends++;
}

static void on_quiet(struct io_conn *c)
{
	guest_of(c)->quiets++;
}

static const struct io_conn_ops ops = {
	.on_data = on_data, .on_end = on_end, .on_quiet = on_quiet
};

static void arrive(struct guest *g, struct io *io, int fd)
{
	*g = (struct guest){ .bytes = 0 };
	io_conn_init(&g->conn, &ops);
	io_conn_rx_multishot(&g->conn, true);
	ck_assert_int_eq(io_conn_attach(io, &g->conn, fd), 0);
}

/* Asks and is answered, as in a lease. */
static void exchange(struct io *io, struct guest *g, int peer)
{
	uint64_t before = g->bytes;

	io_conn_rx_start(&g->conn);
	ck_assert_int_eq(io_turn(io, 0), 0);
	ck_assert_int_eq(send(peer, "answer", 6, MSG_NOSIGNAL), 6);
	LOOPS_UNTIL(io, g->bytes == before + 6);
}

static void go(struct io *io, struct guest *g, int fd)
{
	uint32_t before = g->quiets;

	if (!io_conn_quiesce(&g->conn))
		LOOPS_UNTIL(io, g->quiets == before + 1);
	ck_assert_int_eq(io_conn_detach(&g->conn), fd);
	ck_assert_ptr_null(g->conn.io);
	g->is_away = true;
}

static int come(struct io *io, struct guest *g, int fd)
{
	int ret = io_conn_attach(io, &g->conn, fd);

	g->is_away = ret < 0;
	return ret;
}

static uint64_t events_of(const struct io *io)
{
	struct io_stats stats;

	io_stats_read(io, &stats);
	return stats.events;
}

#define TEST_ALONE(loop)                                                                 \
	struct io *loop = loops_create_alone(_i);                                        \
	if (loop == NULL)                                                                  \
	return

START_TEST(comes_and_goes_and_loses_nothing)
{
	TEST_ALONE(io);
	struct guest g;
	int fds[2];

	loops_tcp_pair(fds);
	arrive(&g, io, fds[0]);
	for (int round = 0; round < 40; round++) {
		exchange(io, &g, fds[1]);
		go(io, &g, fds[0]);
		if (round % 3 == 0)
			loops_settle(io);
		ck_assert_int_eq(come(io, &g, fds[0]), 0);
		/* Before it reads. */
		if (round % 4 == 0)
			loops_settle(io);
	}
	exchange(io, &g, fds[1]);
	ck_assert_uint_eq(g.bytes, 41 * 6);
	io_conn_close(&g.conn);
	close(fds[1]);
	io_destroy(&io);
}
END_TEST

/* More than the answer has come, and nobody has read it: data, or the end. */
START_TEST(does_not_come_back_when_something_has_come)
{
	for (int is_end = 0; is_end < 2; is_end++) {
		TEST_ALONE(io);
		struct guest g;
		int fds[2];

		loops_tcp_pair(fds);
		arrive(&g, io, fds[0]);
		exchange(io, &g, fds[1]);
		go(io, &g, fds[0]);
		ck_assert(!io_conn_is_spoilt(&g.conn));
		if (is_end)
			ck_assert_int_eq(shutdown(fds[1], SHUT_WR), 0);
		else
			ck_assert_int_eq(send(fds[1], "?", 1, MSG_NOSIGNAL), 1);
		loops_settle(io);
		/* What keeps nothing armed does not hear of it: it is there to be read. */
		if (come(io, &g, fds[0]) == 0) {
			io_conn_rx_start(&g.conn);
			LOOPS_UNTIL(io, is_end ? g.ends == 1 : g.bytes == 7);
			io_conn_close(&g.conn);
		} else {
			uint64_t before = events_of(io);

			ck_assert_int_eq(come(io, &g, fds[0]), -ECONNRESET);
			ck_assert(io_conn_is_spoilt(&g.conn));
			io_conn_forget(&g.conn);
			close(fds[0]);
			loops_settle(io);
			/* It is told of once. */
			ck_assert_uint_le(events_of(io) - before, 2);
		}
		close(fds[1]);
		io_destroy(&io);
	}
}
END_TEST

START_TEST(who_is_forgotten_sends_fin)
{
	TEST_ALONE(io);
	int fds[2], files = loops_open_files();
	struct guest g;
	char byte;

	loops_tcp_pair(fds);
	arrive(&g, io, fds[0]);
	exchange(io, &g, fds[1]);
	go(io, &g, fds[0]);
	io_conn_forget(&g.conn);
	io_conn_forget(&g.conn);
	close(fds[0]);
	LOOPS_POLL(io, recv(fds[1], &byte, 1, MSG_DONTWAIT) == 0);
	close(fds[1]);
	loops_settle(io);
	ck_assert_int_eq(loops_open_files(), files);
	io_destroy(&io);
}
END_TEST

/* The place of one who was forgotten is another's. */
START_TEST(places_are_used_again)
{
	TEST_ALONE(io);
	struct guest g[2];
	int first[2], second[2];

	loops_tcp_pair(first);
	arrive(&g[0], io, first[0]);
	exchange(io, &g[0], first[1]);
	go(io, &g[0], first[0]);
	io_conn_forget(&g[0].conn);
	close(first[0]);
	loops_tcp_pair(second);
	arrive(&g[1], io, second[0]);
	close(first[1]);
	exchange(io, &g[1], second[1]);
	loops_settle(io);
	ck_assert_uint_eq(g[1].bytes, 6);
	ck_assert_uint_eq(g[1].ends, 0);
	io_conn_close(&g[1].conn);
	close(second[1]);
	io_destroy(&io);
}
END_TEST

START_TEST(a_loop_that_ends_lets_them_go)
{
	TEST_ALONE(io);
	struct guest g;
	int fds[2];

	loops_tcp_pair(fds);
	arrive(&g, io, fds[0]);
	exchange(io, &g, fds[1]);
	go(io, &g, fds[0]);
	io_destroy(&io);
	io_conn_forget(&g.conn);
	/* The descriptor was not the loop's any more. */
	ck_assert_int_eq(send(fds[0], "bye", 3, MSG_NOSIGNAL), 3);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

Suite *io_place_suite(void)
{
	Suite *s = suite_create("net/io_place");

	loops_add(s, comes_and_goes_and_loses_nothing, "comes back");
	loops_add(s, does_not_come_back_when_something_has_come, "spoilt");
	loops_add(s, who_is_forgotten_sends_fin, "forgotten");
	loops_add(s, places_are_used_again, "used again");
	loops_add(s, a_loop_that_ends_lets_them_go, "destroy");
	return s;
}
