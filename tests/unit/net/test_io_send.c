/* SPDX-License-Identifier: ISC */
/* Sends of many conns in one turn. */
#include "net/io.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/loops.h"
#include "net/suites.h"

enum { WRITERS = 200, PIECE = 4096 };

struct writer {
	struct io_conn conn;
	struct io_task task;
	struct io *io;
	int peer;
	uint32_t answers;
	uint64_t taken;
	uint64_t received;
	int error;
	uint8_t piece[PIECE];
	size_t len;
};

static struct writer writers[WRITERS];

static void on_sent(struct io_conn *c, ssize_t n)
{
	struct writer *w = container_of(c, struct writer, conn);

	w->answers++;
	if (n < 0)
		w->error = (int)n;
	else
		w->taken += (uint64_t)n;
}

static void on_end(struct io_conn *c, int error)
{
	(void)c;
	(void)error;
}

static void on_data(struct io_conn *c, const uint8_t *data, size_t len)
{
	(void)data;
	container_of(c, struct writer, conn)->received += len;
}

static const struct io_conn_ops ops = {
	.on_data = on_data, .on_end = on_end, .on_sent = on_sent
};

static void run(struct io_task *task)
{
	struct writer *w = container_of(task, struct writer, task);

	io_conn_send_later(&w->conn, w->piece, w->len);
}

static void open_writers(struct io *io, int count, void (*pair)(int fds[2]))
{
	for (int i = 0; i < count; i++) {
		struct writer *w = &writers[i];
		int fds[2];

		pair(fds);
		*w = (struct writer){ .io = io, .peer = fds[1], .len = PIECE };
		memset(w->piece, i, PIECE);
		io_task_init(&w->task, run);
		io_conn_init(&w->conn, &ops);
		ck_assert_int_eq(io_conn_attach(io, &w->conn, fds[0]), 0);
		/* It is armed by the same call. */
		io_conn_rx_start(&w->conn);
	}
}

static void close_writers(int count)
{
	for (int i = 0; i < count; i++) {
		io_conn_close(&writers[i].conn);
		close(writers[i].peer);
	}
}

static void send_all(struct io *io, int count)
{
	for (int i = 0; i < count; i++)
		io_defer(io, &writers[i].task, IO_PHASE_FLUSH);
	ck_assert_int_eq(io_turn(io, 0), 0);
}

static void read_piece(const struct writer *w, uint8_t wanted)
{
	uint8_t bytes[PIECE];
	size_t got = 0, wrong = 0;

	while (got < w->len) {
		ssize_t n = recv(w->peer, bytes + got, w->len - got, 0);

		if (n < 0 && errno == EAGAIN)
			continue;
		ck_assert_int_gt(n, 0);
		for (ssize_t i = 0; i < n; i++)
			wrong += bytes[got + (size_t)i] != wanted;
		got += (size_t)n;
	}
	ck_assert_uint_eq(wrong, 0);
}

#define TEST_LOOP(loop)                                                                  \
	struct io *loop = loops_create(_i);                                              \
	if (loop == NULL)                                                                  \
	return

START_TEST(each_gets_its_own)
{
	TEST_LOOP(io);
	static const int counts[] = { 1, 2, 5, 64, WRITERS };

	for (size_t k = 0; k < COUNT_OF(counts); k++) {
		open_writers(io, counts[k], k % 2 == 0 ? loops_pair : loops_tcp_pair);
		for (uint32_t round = 1; round < 4; round++) {
			send_all(io, counts[k]);
			for (int i = 0; i < counts[k]; i++) {
				ck_assert_uint_eq(writers[i].answers, round);
				ck_assert_uint_eq(writers[i].taken, (uint64_t)PIECE * round);
				read_piece(&writers[i], (uint8_t)i);
			}
		}
		close_writers(counts[k]);
	}
	io_destroy(&io);
}
END_TEST

/* Nobody reads: the kernel takes less, and then nothing; the others are not concerned. */
START_TEST(who_takes_nothing_is_told)
{
	TEST_LOOP(io);
	enum { COUNT = 8, ROUNDS = 4000 };
	uint64_t taken = 0;

	open_writers(io, COUNT, loops_pair);
	for (int round = 0; round < ROUNDS; round++) {
		send_all(io, COUNT);
		for (int i = 1; i < COUNT; i++)
			read_piece(&writers[i], (uint8_t)i);
		if (writers[0].taken == taken)
			break;
		taken = writers[0].taken;
	}
	ck_assert_uint_eq(writers[0].taken, taken);
	ck_assert_int_eq(writers[0].error, 0);
	for (int i = 1; i < COUNT; i++)
		ck_assert_uint_eq(writers[i].taken, (uint64_t)PIECE * writers[i].answers);
	close_writers(COUNT);
	io_destroy(&io);
}
END_TEST

START_TEST(who_is_gone_is_told)
{
	TEST_LOOP(io);
	enum { COUNT = 8 };

	open_writers(io, COUNT, loops_pair);
	for (int i = 0; i < COUNT; i += 2) {
		close(writers[i].peer);
		writers[i].peer = -1;
	}
	send_all(io, COUNT);
	for (int i = 0; i < COUNT; i++) {
		ck_assert_uint_eq(writers[i].answers, 1);
		if (i % 2 == 0)
			ck_assert_int_eq(writers[i].error, -EPIPE);
		else
			read_piece(&writers[i], (uint8_t)i);
	}
	close_writers(COUNT);
	io_destroy(&io);
}
END_TEST

/* What the peers write while the tasks of a turn run comes with the answers to the first
 * half, and stands in front of those to the second: none of it is lost. */
enum { NEIGHBOURS = 32 };

static void write_and_send(struct io_task *task)
{
	(void)task;
	for (int i = 0; i < NEIGHBOURS; i++)
		ck_assert_int_eq(send(writers[i].peer, "x", 1, MSG_NOSIGNAL), 1);
	for (int i = 0; i < NEIGHBOURS / 2; i++)
		io_defer(writers[i].io, &writers[i].task, IO_PHASE_FLUSH);
}

START_TEST(nothing_is_lost_meanwhile)
{
	TEST_LOOP(io);
	struct io_task task;

	io_task_init(&task, write_and_send);
	open_writers(io, NEIGHBOURS, loops_tcp_pair);
	loops_settle(io);
	for (uint32_t round = 1; round <= 20; round++) {
		io_defer(io, &task, IO_PHASE_RUN);
		ck_assert_int_eq(io_turn(io, 0), 0);
		for (int i = NEIGHBOURS / 2; i < NEIGHBOURS; i++)
			io_defer(io, &writers[i].task, IO_PHASE_FLUSH);
		for (int i = 0; i < NEIGHBOURS; i++) {
			LOOPS_UNTIL(io, writers[i].received == round);
			LOOPS_UNTIL(io, writers[i].answers == round);
			read_piece(&writers[i], (uint8_t)i);
		}
	}
	close_writers(NEIGHBOURS);
	io_destroy(&io);
}
END_TEST

Suite *io_send_suite(void)
{
	Suite *s = suite_create("net/io_send");

	loops_add(s, each_gets_its_own, "each");
	loops_add(s, who_takes_nothing_is_told, "full");
	loops_add(s, who_is_gone_is_told, "gone");
	loops_add(s, nothing_is_lost_meanwhile, "events");
	return s;
}
