/* SPDX-License-Identifier: ISC */
#include "net/io.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/loops.h"
#include "net/suites.h"

/* --- a conn that takes notes ------------------------------------------------- */

struct note {
	struct io_conn conn;
	uint64_t bytes;                 /* received: the n-th must be (uint8_t)n */
	uint32_t data_calls;
	uint32_t ends;
	uint32_t writables;
	uint32_t quiets;
	int error;
	bool closed;                    /* no callback may come any more */
	bool stop_in_data;
	bool close_in_data;
	bool close_in_end;
	bool close_in_writable;
	struct note *others;            /* closed with it */
	size_t others_count;
};

static struct note *note_of(struct io_conn *c)
{
	struct note *n = container_of(c, struct note, conn);

	ck_assert_msg(!n->closed, "a callback after close");
	return n;
}

static void note_close(struct note *n)
{
	io_conn_close(&n->conn);
	n->closed = true;
}

static void check_pattern(const uint8_t *bytes, uint64_t from, size_t len)
{
	size_t wrong = 0;

	for (size_t i = 0; i < len; i++)
		wrong += bytes[i] != (uint8_t)(from + i);
	ck_assert_uint_eq(wrong, 0);
}

static void on_data(struct io_conn *c, const uint8_t *data, size_t len)
{
	struct note *n = note_of(c);

	ck_assert_uint_gt(len, 0);
	ck_assert_msg(n->ends == 0, "data after the end");
	check_pattern(data, n->bytes, len);
	n->bytes += len;
	n->data_calls++;
	if (n->stop_in_data)
		io_conn_rx_stop(c);
	for (size_t i = 0; i < n->others_count; i++)
		note_close(&n->others[i]);
	if (n->close_in_data && !n->closed)
		note_close(n);
}

static void on_end(struct io_conn *c, int error)
{
	struct note *n = note_of(c);

	n->ends++;
	n->error = error;
	if (n->close_in_end)
		note_close(n);
}

static void on_writable(struct io_conn *c)
{
	struct note *n = note_of(c);

	n->writables++;
	if (n->close_in_writable)
		note_close(n);
}

static void on_quiet(struct io_conn *c)
{
	note_of(c)->quiets++;
}

static const struct io_conn_ops ops = {
	.on_data = on_data,
	.on_end = on_end,
	.on_writable = on_writable,
	.on_quiet = on_quiet,
};

static void note_open(struct note *n, struct io *io, int fd)
{
	*n = (struct note){ .bytes = 0 };
	io_conn_init(&n->conn, &ops);
	ck_assert_int_eq(io_conn_attach(io, &n->conn, fd), 0);
}

/* Writes the bytes [from, from + len) of the pattern; all of them must fit. */
static void put(int fd, uint64_t from, size_t len)
{
	uint8_t *bytes = malloc(len);

	ck_assert_ptr_nonnull(bytes);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(from + i);
	ck_assert_int_eq(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
	free(bytes);
}

static uint32_t armed(const struct io *io)
{
	struct io_stats stats;

	io_stats_read(io, &stats);
	return stats.armed;
}

#define TEST_LOOP(loop)                                                                  \
	struct io *loop = loops_create(_i);                                              \
	if (loop == NULL)                                                                  \
	return

/* --- receiving ---------------------------------------------------------------- */

START_TEST(delivers_bytes_and_the_end)
{
	TEST_LOOP(io);
	struct note n;
	int fds[2];

	loops_pair(fds);
	note_open(&n, io, fds[0]);
	io_conn_rx_start(&n.conn);
	put(fds[1], 0, 10);
	LOOPS_UNTIL(io, n.bytes == 10);
	put(fds[1], 10, 20000);
	LOOPS_UNTIL(io, n.bytes == 20010);
	put(fds[1], 20010, 5);
	close(fds[1]);
	LOOPS_UNTIL(io, n.ends == 1);
	ck_assert_uint_eq(n.bytes, 20015);
	ck_assert_int_eq(n.error, 0);
	loops_settle(io);
	ck_assert_uint_eq(n.ends, 1);
	note_close(&n);
	io_destroy(&io);
	ck_assert_ptr_null(io);
}
END_TEST

START_TEST(delivers_with_multishot)
{
	TEST_LOOP(io);
	struct note n;
	int fds[2];

	loops_tcp_pair(fds);
	note_open(&n, io, fds[0]);
	io_conn_rx_multishot(&n.conn, true);
	io_conn_rx_start(&n.conn);
	for (uint64_t i = 0; i < 200; i++) {
		put(fds[1], i * 100, 100);
		LOOPS_UNTIL(io, n.bytes == (i + 1) * 100);
		if (i % 50 == 25) {
			io_conn_rx_stop(&n.conn);
			loops_settle(io);
			io_conn_rx_start(&n.conn);
		}
	}
	close(fds[1]);
	LOOPS_UNTIL(io, n.ends == 1);
	note_close(&n);
	io_destroy(&io);
}
END_TEST

START_TEST(reports_a_reset)
{
	TEST_LOOP(io);
	struct linger now = { 1, 0 };
	struct note n;
	int fds[2];

	loops_tcp_pair(fds);
	note_open(&n, io, fds[0]);
	io_conn_rx_start(&n.conn);
	loops_settle(io);
	setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fds[1]);
	LOOPS_UNTIL(io, n.ends == 1);
	ck_assert_int_eq(n.error, -ECONNRESET);
	note_close(&n);
	io_destroy(&io);
}
END_TEST

/* Both wake the loop once only: kernels have lost the end of a multishot receive
 * that way (6.17 and 6.18: of unix sockets, and of TCP after a reset). */
START_TEST(reports_an_end_right_behind_data)
{
	TEST_LOOP(io);

	for (int kind = 0; kind < 16; kind++) {
		struct linger now = { kind & 1, 0 };
		struct note n;
		int fds[2];

		(kind & 2 ? loops_tcp_pair : loops_pair)(fds);
		note_open(&n, io, fds[0]);
		io_conn_rx_multishot(&n.conn, kind & 4);
		io_conn_rx_start(&n.conn);
		if (kind & 8)
			loops_settle(io);
		put(fds[1], 0, 100);
		setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(fds[1]);
		LOOPS_UNTIL(io, n.ends == 1);
		if (!(kind & 1))
			ck_assert_uint_eq(n.bytes, 100);
		else if (kind & 2)
			ck_assert_int_eq(n.error, -ECONNRESET);
		note_close(&n);
	}
	io_destroy(&io);
}
END_TEST

START_TEST(keeps_an_end_for_who_is_not_reading)
{
	TEST_LOOP(io);
	struct note never, stopped;
	int a[2], b[2];

	loops_pair(a);
	loops_tcp_pair(b);
	note_open(&never, io, a[0]);
	note_open(&stopped, io, b[0]);
	io_conn_rx_start(&stopped.conn);
	loops_settle(io);
	io_conn_rx_stop(&stopped.conn);
	put(a[1], 0, 7);
	close(a[1]);
	close(b[1]);
	loops_settle(io);
	ck_assert_uint_eq(never.ends + stopped.ends, 0);
	ck_assert_uint_eq(never.bytes, 0);
	io_conn_rx_start(&never.conn);
	io_conn_rx_start(&stopped.conn);
	ck_assert_uint_eq(never.ends + stopped.ends, 0);
	LOOPS_UNTIL(io, never.ends == 1 && stopped.ends == 1);
	ck_assert_uint_eq(never.bytes, 7);
	note_close(&never);
	note_close(&stopped);
	io_destroy(&io);
}
END_TEST

START_TEST(rests_after_stopping_and_loses_nothing)
{
	TEST_LOOP(io);
	struct note n;
	uint64_t sent = 0;
	int fds[2];

	(_i % 2 == 1 ? loops_tcp_pair : loops_pair)(fds);
	note_open(&n, io, fds[0]);
	io_conn_rx_multishot(&n.conn, _i % 2 == 1);
	n.stop_in_data = true;
	for (uint32_t round = 0; round < 20; round++) {
		uint64_t before;

		io_conn_rx_start(&n.conn);
		put(fds[1], sent, 3000);
		sent += 3000;
		loops_settle(io);
		before = n.bytes;
		loops_settle(io);
		ck_assert_uint_eq(n.bytes, before);
		ck_assert_uint_le(n.data_calls, round + 1);
	}
	n.stop_in_data = false;
	io_conn_rx_start(&n.conn);
	LOOPS_UNTIL(io, n.bytes == sent);
	note_close(&n);
	io_destroy(&io);
}
END_TEST

/* More sockets with data than there are buffers and places in the queues. */
START_TEST(feeds_everybody_when_buffers_are_few)
{
	enum { MANY = 60, EACH = 5000 };
	TEST_LOOP(io);
	static struct note notes[MANY];
	int peers[MANY];
	uint64_t sum = 0;

	for (size_t i = 0; i < MANY; i++) {
		int fds[2];

		(i % 2 == 0 ? loops_tcp_pair : loops_pair)(fds);
		peers[i] = fds[1];
		note_open(&notes[i], io, fds[0]);
		io_conn_rx_multishot(&notes[i].conn, i % 2 == 0);
		io_conn_rx_start(&notes[i].conn);
	}
	loops_settle(io);
	for (uint64_t round = 0; round < 3; round++) {
		for (size_t i = 0; i < MANY; i++)
			put(peers[i], round * EACH, EACH);
		LOOPS_UNTIL(io, ({
			sum = 0;
			for (size_t i = 0; i < MANY; i++)
				sum += notes[i].bytes;
			sum == (round + 1) * MANY * EACH;
		}));
	}
	for (size_t i = 0; i < MANY; i++)
		close(peers[i]);
	for (size_t i = 0; i < MANY; i++) {
		LOOPS_UNTIL(io, notes[i].ends == 1);
		note_close(&notes[i]);
	}
	io_destroy(&io);
}
END_TEST

/* --- writing ------------------------------------------------------------------- */

static size_t fill(struct note *n, uint64_t from)
{
	uint8_t bytes[1000];
	size_t sum = 0;
	ssize_t sent;

	do {
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)(from + sum + i);
		sent = io_conn_send(
			&n->conn, &(struct iovec){ bytes, sizeof(bytes) }, 1);
		ck_assert_int_ge(sent, 0);
		sum += (size_t)sent;
	} while (sent > 0);
	return sum;
}

static size_t read_all(int fd, uint64_t from, bool *ended)
{
	uint8_t bytes[4096];
	size_t sum = 0;
	ssize_t n;

	while ((n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
		check_pattern(bytes, from + sum, (size_t)n);
		sum += (size_t)n;
	}
	*ended = n == 0;
	if (n < 0)
		ck_assert_int_eq(errno, EAGAIN);
	return sum;
}

START_TEST(tells_once_when_it_can_write)
{
	TEST_LOOP(io);
	struct note n;
	size_t sent;
	bool ended;
	int fds[2];

	loops_pair(fds);
	note_open(&n, io, fds[0]);
	io_conn_tx_wait(&n.conn);
	LOOPS_UNTIL(io, n.writables == 1);
	sent = fill(&n, 0);
	io_conn_tx_wait(&n.conn);
	io_conn_tx_wait(&n.conn);
	loops_settle(io);
	ck_assert_uint_eq(n.writables, 1);
	ck_assert_uint_eq(read_all(fds[1], 0, &ended), sent);
	LOOPS_UNTIL(io, n.writables == 2);
	loops_settle(io);
	ck_assert_uint_eq(n.writables, 2);
	note_close(&n);
	close(fds[1]);
	io_destroy(&io);
}
END_TEST

START_TEST(tells_a_writer_that_the_peer_is_gone)
{
	TEST_LOOP(io);
	struct note n;
	int fds[2];

	loops_pair(fds);
	note_open(&n, io, fds[0]);
	(void)fill(&n, 0);
	io_conn_tx_wait(&n.conn);
	loops_settle(io);
	close(fds[1]);
	LOOPS_UNTIL(io, n.writables == 1);
	ck_assert_int_lt(io_conn_send(&n.conn, &(struct iovec){ fds, 4 }, 1), 0);
	loops_settle(io);
	ck_assert_uint_eq(n.ends, 0);
	io_conn_rx_start(&n.conn);
	LOOPS_UNTIL(io, n.ends == 1);
	note_close(&n);
	io_destroy(&io);
}
END_TEST

/* --- closing ------------------------------------------------------------------- */

START_TEST(says_nothing_after_close_in_the_same_batch)
{
	enum { MANY = 50 };
	TEST_LOOP(io);
	static struct note notes[MANY];
	int files = loops_open_files();
	uint32_t base = 0, closed = 0;
	int peers[MANY];

	loops_settle(io);
	base = armed(io);
	for (size_t i = 0; i < MANY; i++) {
		int fds[2];

		(i % 2 == 0 ? loops_tcp_pair : loops_pair)(fds);
		peers[i] = fds[1];
		note_open(&notes[i], io, fds[0]);
		io_conn_rx_multishot(&notes[i].conn, i % 2 == 0);
		io_conn_rx_start(&notes[i].conn);
		if (i % 3 == 0)
			io_conn_tx_wait(&notes[i].conn);
	}
	for (size_t i = 0; i < MANY; i++) {
		notes[i].others = notes;
		notes[i].others_count = MANY;
		put(peers[i], 0, 100);
		if (i % 4 == 0)
			close(peers[i]);
	}
	LOOPS_UNTIL(io, ({
		closed = 0;
		for (size_t i = 0; i < MANY; i++)
			closed += notes[i].closed;
		closed == MANY;
	}));
	for (size_t i = 0; i < MANY; i++) {
		bool ended = true;

		if (i % 4 == 0)
			continue;
		(void)recv(peers[i], &ended, 1, MSG_DONTWAIT);
		close(peers[i]);
	}
	LOOPS_UNTIL(io, armed(io) == base);
	ck_assert_int_eq(loops_open_files(), files);
	io_destroy(&io);
}
END_TEST

START_TEST(may_be_closed_in_every_callback)
{
	TEST_LOOP(io);
	struct note data, end, writable;
	int a[2], b[2], c[2];

	loops_pair(a);
	loops_pair(b);
	loops_pair(c);
	note_open(&data, io, a[0]);
	note_open(&end, io, b[0]);
	note_open(&writable, io, c[0]);
	data.close_in_data = true;
	end.close_in_end = true;
	writable.close_in_writable = true;
	put(a[1], 0, 100000);
	put(c[1], 0, 10);
	close(b[1]);
	io_conn_rx_start(&data.conn);
	io_conn_rx_start(&end.conn);
	io_conn_rx_start(&writable.conn);
	io_conn_tx_wait(&writable.conn);
	LOOPS_UNTIL(io, data.closed && end.closed && writable.closed);
	ck_assert_uint_eq(data.data_calls, 1);
	loops_settle(io);
	note_close(&data);
	io_destroy(&io);
	close(a[1]);
	close(c[1]);
}
END_TEST

/* With a receive armed close(2) alone sends no FIN; and what the kernel has
 * taken must arrive in spite of the close. */
START_TEST(close_sends_fin_behind_what_was_sent)
{
	TEST_LOOP(io);

	for (int kind = 0; kind < 4; kind++) {
		uint32_t base;
		struct note n;
		size_t sent, got = 0;
		bool ended = false;
		int fds[2];

		loops_settle(io);
		base = armed(io);
		if (kind % 2 == 0)
			loops_pair(fds);
		else
			loops_tcp_pair(fds);
		note_open(&n, io, fds[0]);
		io_conn_rx_multishot(&n.conn, kind >= 2);
		io_conn_rx_start(&n.conn);
		loops_settle(io);
		sent = fill(&n, 0);
		ck_assert_uint_gt(sent, 10000);
		io_conn_tx_wait(&n.conn);
		loops_settle(io);
		note_close(&n);
		LOOPS_POLL(io, (got += read_all(fds[1], got, &ended), ended));
		ck_assert_uint_eq(got, sent);
		LOOPS_UNTIL(io, armed(io) == base);
		close(fds[1]);
	}
	io_destroy(&io);
}
END_TEST

/* The number of the descriptor and the slot are used anew at once. */
START_TEST(late_events_miss_the_successor)
{
	TEST_LOOP(io);
	struct note a, b;
	int old[2], young[2], fd;

	for (int round = 0; round < 30; round++) {
		loops_pair(old);
		note_open(&a, io, old[0]);
		io_conn_rx_start(&a.conn);
		loops_settle(io);
		put(old[1], 5, 100);
		if (round % 2 == 0)
			close(old[1]);
		note_close(&a);
		loops_pair(young);
		fd = young[0];
		ck_assert_int_eq(fd, old[0]);
		note_open(&b, io, fd);
		io_conn_rx_start(&b.conn);
		put(young[1], 0, 10);
		LOOPS_UNTIL(io, b.bytes == 10);
		ck_assert_uint_eq(b.ends, 0);
		note_close(&b);
		close(young[1]);
		if (round % 2 != 0)
			close(old[1]);
	}
	io_destroy(&io);
}
END_TEST

START_TEST(destroy_takes_everything_along)
{
	int files = loops_open_files();
	TEST_LOOP(io);
	static struct note notes[30];
	struct io_listener l;
	int peers[30], listener;
	uint16_t port;

	listener = loops_tcp_listener(&port);
	ck_assert_int_eq(io_listener_start(io, &l, listener, NULL), 0);
	for (size_t i = 0; i < COUNT_OF(notes); i++) {
		int fds[2];

		(i % 2 == 0 ? loops_tcp_pair : loops_pair)(fds);
		peers[i] = fds[1];
		note_open(&notes[i], io, fds[0]);
		io_conn_rx_multishot(&notes[i].conn, i % 2 == 0);
		if (i % 3 != 0)
			io_conn_rx_start(&notes[i].conn);
		if (i % 5 == 0)
			io_conn_tx_wait(&notes[i].conn);
		if (i == 20)
			loops_settle(io);
	}
	io_destroy(&io);
	for (size_t i = 0; i < COUNT_OF(notes); i++) {
		ck_assert_ptr_null(notes[i].conn.io);
		close(peers[i]);
	}
	ck_assert_ptr_null(l.io);
	close(listener);
	ck_assert_int_eq(loops_open_files(), files);
}
END_TEST

/* --- moving -------------------------------------------------------------------- */

static void make_quiet(struct io *io, struct note *n)
{
	uint32_t before = n->quiets;

	if (!io_conn_quiesce(&n->conn))
		LOOPS_UNTIL(io, n->quiets == before + 1);
	loops_settle(io);
	ck_assert_uint_le(n->quiets, before + 1);
}

START_TEST(moves_while_data_arrives)
{
	TEST_LOOP(a);
	struct io *b = loops_create(_i);
	struct io *loops[2] = { a, b };
	struct note n;
	uint64_t sent = 0;
	int fds[2], fd;

	loops_pair(fds);
	note_open(&n, a, fds[0]);
	for (int round = 0; round < 60; round++) {
		struct io *io = loops[round % 2];

		io_conn_rx_start(&n.conn);
		io_conn_tx_wait(&n.conn);
		if (round % 3 == 0)
			loops_settle(io);
		put(fds[1], sent, 700);
		sent += 700;
		if (round % 5 == 0)
			LOOPS_UNTIL(io, n.bytes == sent);
		make_quiet(io, &n);
		fd = io_conn_detach(&n.conn);
		ck_assert_int_eq(fd, fds[0]);
		ck_assert_ptr_null(n.conn.io);
		ck_assert_int_eq(io_conn_attach(loops[(round + 1) % 2], &n.conn, fd), 0);
	}
	io_conn_rx_start(&n.conn);
	LOOPS_UNTIL(a, n.bytes == sent);
	note_close(&n);
	close(fds[1]);
	io_destroy(&a);
	io_destroy(&b);
}
END_TEST

START_TEST(quiesce_tells_of_an_end_that_was_seen)
{
	TEST_LOOP(io);
	struct note n;
	int fds[2];

	loops_pair(fds);
	note_open(&n, io, fds[0]);
	io_conn_rx_start(&n.conn);
	loops_settle(io);
	io_conn_rx_stop(&n.conn);
	close(fds[1]);
	loops_settle(io);
	if (!io_conn_quiesce(&n.conn)) {
		LOOPS_UNTIL(io, n.quiets == 1);
		ck_assert_uint_eq(n.ends, 1);
	}
	close(io_conn_detach(&n.conn));
	io_destroy(&io);
}
END_TEST

/* --- tasks and time ------------------------------------------------------------- */

struct step {
	struct io_task task;
	struct io *io;
	struct step *next;
	enum io_phase next_phase;
	char name;
};

static char steps_done[32];

static void run_step(struct io_task *task)
{
	struct step *s = container_of(task, struct step, task);
	size_t len = strlen(steps_done);

	steps_done[len] = s->name;
	steps_done[len + 1] = '\0';
	if (s->next != NULL)
		io_defer(s->io, &s->next->task, s->next_phase);
}

static void step_init(struct step *s, struct io *io, char name)
{
	*s = (struct step){ .io = io, .name = name };
	io_task_init(&s->task, run_step);
}

START_TEST(runs_tasks_in_order)
{
	TEST_LOOP(io);
	struct step run, flush, child, flushed, gone;

	steps_done[0] = '\0';
	step_init(&run, io, 'r');
	step_init(&flush, io, 'f');
	step_init(&child, io, 'c');
	step_init(&flushed, io, 'x');
	step_init(&gone, io, 'g');
	run.next = &child;
	run.next_phase = IO_PHASE_RUN;
	child.next = &flushed;
	child.next_phase = IO_PHASE_FLUSH;
	io_defer(io, &flush.task, IO_PHASE_FLUSH);
	io_defer(io, &gone.task, IO_PHASE_RUN);
	io_defer(io, &run.task, IO_PHASE_RUN);
	io_defer(io, &run.task, IO_PHASE_RUN);
	io_task_cancel(&gone.task);
	ck_assert_int_eq(io_turn(io, loops_deadline()), 0);
	ck_assert_str_eq(steps_done, "rf");
	ck_assert_int_eq(io_turn(io, loops_deadline()), 0);
	ck_assert_str_eq(steps_done, "rfcx");
	io_destroy(&io);
}
END_TEST

START_TEST(waits_as_long_as_told)
{
	TEST_LOOP(io);
	uint64_t begin_us = clock_now_us();

	while (clock_now_us() < begin_us + 30000)
		ck_assert_int_eq(io_turn(io, begin_us + 30000), 0);
	ck_assert_uint_ge(io_now_us(io), begin_us + 30000);
	ck_assert_uint_lt(io_now_us(io), begin_us + 2000000);
	begin_us = clock_now_us();
	ck_assert_int_eq(io_turn(io, 0), 0);
	ck_assert_int_eq(io_turn(io, begin_us - 10), 0);
	ck_assert_uint_lt(clock_now_us() - begin_us, 1000000);
	io_destroy(&io);
}
END_TEST

/* --- listening ------------------------------------------------------------------- */

static int accepted[64];
static size_t accepted_count;

static void keep_accepted(struct io_listener *l, int fd)
{
	(void)l;
	ck_assert_uint_lt(accepted_count, COUNT_OF(accepted));
	accepted[accepted_count++] = fd;
}

static void close_accepted(void)
{
	while (accepted_count > 0)
		close(accepted[--accepted_count]);
}

static void accept_and_stop(struct io *io)
{
	struct io_listener l;
	int fds[20], listener;
	uint16_t port;

	listener = loops_tcp_listener(&port);
	ck_assert_int_eq(io_listener_start(io, &l, listener, keep_accepted), 0);
	for (size_t i = 0; i < COUNT_OF(fds); i++)
		fds[i] = loops_tcp_connect(port);
	LOOPS_UNTIL(io, accepted_count == COUNT_OF(fds));
	io_listener_stop(&l);
	io_listener_stop(&l);
	loops_settle(io);
	for (size_t i = 0; i < COUNT_OF(fds); i++)
		close(fds[i]);
	close_accepted();
	fds[0] = loops_tcp_connect(port);
	loops_settle(io);
	ck_assert_uint_eq(accepted_count, 0);
	ck_assert_int_eq(io_listener_start(io, &l, listener, keep_accepted), 0);
	LOOPS_UNTIL(io, accepted_count == 1);
	io_listener_stop(&l);
	close_accepted();
	close(fds[0]);
	close(listener);
}

START_TEST(accepts_and_stops)
{
	TEST_LOOP(io);

	accept_and_stop(io);
	io_destroy(&io);
}
END_TEST

START_TEST(accepts_and_stops_alone)
{
	struct io *io = loops_create_alone(_i);

	if (io == NULL)
		return;
	accept_and_stop(io);
	io_destroy(&io);
}
END_TEST

static int retired_count;

static void count_retired(struct io_listener *l)
{
	(void)l;
	retired_count++;
}

/* Whichever of the two the kernel has woken: the connection is taken by one of them. */
START_TEST(retires_and_loses_nobody)
{
	TEST_LOOP(io);
	struct io *other = loops_create(_i);
	struct io_listener mine, its;
	uint16_t port;
	int listener = loops_tcp_listener(&port);

	for (int round = 0; round < 50; round++) {
		bool other_first = round % 2 == 1;
		uint64_t until_us;
		int fd;

		retired_count = 0;
		ck_assert_int_eq(io_listener_start(other_first ? other : io,
			other_first ? &its : &mine, listener, keep_accepted), 0);
		loops_settle(other_first ? other : io);
		ck_assert_int_eq(io_listener_start(other_first ? io : other,
			other_first ? &mine : &its, listener, keep_accepted), 0);
		loops_settle(other_first ? io : other);
		fd = loops_tcp_connect(port);
		io_listener_retire(&mine, count_retired);
		until_us = loops_deadline();
		while (accepted_count == 0 || retired_count == 0) {
			ck_assert_int_eq(io_turn(io, 0), 0);
			ck_assert_int_eq(io_turn(other, 0), 0);
			ck_assert_msg(clock_now_us() < until_us, "lost in round %d", round);
		}
		ck_assert_uint_eq(accepted_count, 1);
		ck_assert_int_eq(retired_count, 1);
		io_listener_stop(&mine);
		io_listener_stop(&its);
		loops_settle(other);
		close_accepted();
		close(fd);
	}
	close(listener);
	io_destroy(&other);
	io_destroy(&io);
}
END_TEST

START_TEST(backs_off_without_descriptors)
{
	TEST_LOOP(io);
	struct io_stats before, after;
	struct rlimit old, none;
	struct io_listener l;
	uint64_t until_us;
	uint16_t port;
	int listener, fd, other;

	listener = loops_tcp_listener(&port);
	fd = loops_tcp_connect(port);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = (rlim_t)fd;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_eq(io_listener_start(io, &l, listener, keep_accepted), 0);
	io_stats_read(io, &before);
	LOOPS_UNTIL(io, (io_stats_read(io, &after), after.accept_errors) >= 1);
	until_us = clock_now_us() + 250000;
	while (clock_now_us() < until_us)
		ck_assert_int_eq(io_turn(io, until_us), 0);
	io_stats_read(io, &after);
	ck_assert_uint_eq(accepted_count, 0);
	ck_assert_uint_ge(after.accept_errors, 1);
	ck_assert_uint_le(after.accept_errors, 4);
	ck_assert_uint_lt(after.turns - before.turns, 40);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	other = loops_tcp_connect(port);
	LOOPS_UNTIL(io, accepted_count >= 1);
	io_listener_stop(&l);
	close_accepted();
	close(fd);
	close(other);
	close(listener);
	io_destroy(&io);
}
END_TEST

Suite *io_suite(void)
{
	Suite *s = suite_create("net/io");

	loops_add(s, delivers_bytes_and_the_end, "delivers");
	loops_add(s, delivers_with_multishot, "multishot");
	loops_add(s, reports_a_reset, "reset");
	loops_add(s, reports_an_end_right_behind_data, "end behind data");
	loops_add(s, keeps_an_end_for_who_is_not_reading, "late end");
	loops_add(s, rests_after_stopping_and_loses_nothing, "stop");
	loops_add(s, feeds_everybody_when_buffers_are_few, "few buffers");
	loops_add(s, tells_once_when_it_can_write, "writable");
	loops_add(s, tells_a_writer_that_the_peer_is_gone, "broken pipe");
	loops_add(s, says_nothing_after_close_in_the_same_batch, "batch");
	loops_add(s, may_be_closed_in_every_callback, "callbacks");
	loops_add(s, close_sends_fin_behind_what_was_sent, "fin");
	loops_add(s, late_events_miss_the_successor, "successor");
	loops_add(s, destroy_takes_everything_along, "destroy");
	loops_add(s, moves_while_data_arrives, "move");
	loops_add(s, quiesce_tells_of_an_end_that_was_seen, "quiesce");
	loops_add(s, runs_tasks_in_order, "tasks");
	loops_add(s, waits_as_long_as_told, "time");
	loops_add(s, accepts_and_stops, "accept");
	loops_add(s, accepts_and_stops_alone, "accept alone");
	loops_add(s, retires_and_loses_nobody, "retire");
	loops_add(s, backs_off_without_descriptors, "emfile");
	return s;
}
