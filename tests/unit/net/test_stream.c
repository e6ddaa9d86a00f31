/* SPDX-License-Identifier: ISC */
#include "net/stream.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/loops.h"
#include "net/suites.h"

/* --- an owner that reads messages ------------------------------------------------ */

/* A message is a byte that says how many follow it; the owner takes only whole
 * ones. */
struct reader {
	struct stream stream;
	uint32_t messages;
	uint32_t calls;
	uint32_t ends;
	uint32_t drained;
	uint32_t connected;
	uint32_t quiets;
	int error;
	bool closed;
	bool refuse;                    /* take nothing */
	bool pause_in_data;
	bool close_in_data;
	bool close_in_end;
	bool finish_in_end;
	int reopen_with;                /* in on_data: close, and attach this; 0: no */
	struct io *io;
	struct stream_pool *pool;
	char text[512];                 /* bodies of all messages */
	size_t text_len;
};

static struct reader *reader_of(struct stream *s)
{
	struct reader *r = container_of(s, struct reader, stream);

	ck_assert_msg(!r->closed, "a callback after close");
	return r;
}

static void reader_close(struct reader *r)
{
	stream_close(&r->stream);
	r->closed = true;
}

static void reopen(struct reader *r)
{
	int fd = r->reopen_with;

	r->reopen_with = 0;
	stream_close(&r->stream);
	ck_assert_int_eq(stream_attach(&r->stream, r->io, r->pool, fd), 0);
	stream_resume(&r->stream);
}

static size_t take(struct reader *r, const uint8_t *data, size_t len)
{
	size_t used = 0;

	while (used < len && len - used > data[used]) {
		ck_assert_uint_lt(r->text_len + data[used], sizeof(r->text));
		memcpy(r->text + r->text_len, data + used + 1, data[used]);
		r->text_len += data[used];
		r->messages++;
		used += (size_t)data[used] + 1;
	}
	return used;
}

static size_t on_data(struct stream *s, const uint8_t *data, size_t len)
{
	struct reader *r = reader_of(s);
	size_t used;

	ck_assert_msg(r->ends == 0, "data after the end");
	ck_assert_uint_gt(len, 0);
	r->calls++;
	if (r->refuse)
		return 0;
	if (r->pause_in_data)
		stream_pause(s);
	if (r->reopen_with != 0) {
		reopen(r);
		return len;
	}
	used = take(r, data, len);
	if (r->close_in_data)
		reader_close(r);
	return used;
}

static void on_end(struct stream *s, int error)
{
	struct reader *r = reader_of(s);

	r->ends++;
	r->error = error;
	if (r->finish_in_end)
		stream_finish(s);
	if (r->close_in_end)
		reader_close(r);
}

static void on_drained(struct stream *s)
{
	reader_of(s)->drained++;
}

static void on_connected(struct stream *s, int error)
{
	reader_of(s)->connected++;
	reader_of(s)->error = error;
}

static void on_quiet(struct stream *s)
{
	reader_of(s)->quiets++;
}

static const struct stream_ops ops = {
	.on_data = on_data,
	.on_end = on_end,
	.on_drained = on_drained,
	.on_connected = on_connected,
	.on_quiet = on_quiet,
};

static void reader_open(struct reader *r, struct io *io, struct stream_pool *pool, int fd)
{
	*r = (struct reader){ .io = io, .pool = pool };
	stream_init(&r->stream, &ops);
	ck_assert_int_eq(stream_attach(&r->stream, io, pool, fd), 0);
}

/* No memory is kept by a stream that holds and sends nothing. */
static void check_empty(const struct reader *r)
{
	ck_assert_ptr_null(r->stream.held.data);
	ck_assert_ptr_null(r->stream.backlog.data);
	ck_assert_ptr_null(r->stream.chunk);
	ck_assert_uint_eq(stream_held(&r->stream), 0);
	ck_assert_uint_eq(stream_unsent(&r->stream), 0);
}

static void put(int fd, const void *bytes, size_t len)
{
	ck_assert_int_eq(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

static size_t get(int fd, void *bytes, size_t size)
{
	ssize_t n = recv(fd, bytes, size, MSG_DONTWAIT);

	return n < 0 ? 0 : (size_t)n;
}

/* The frame of every test: a loop, a pool, a pair of sockets, and a reader on
 * the first of them. */
struct stage {
	struct io *io;
	struct stream_pool *pool;
	struct reader r;
	int peer;
};

static bool stage_open(struct stage *st, int loop, void (*pair)(int fds[2]))
{
	int fds[2];

	st->io = loops_create(loop);
	if (st->io == NULL)
		return false;
	st->pool = stream_pool_create();
	ck_assert_ptr_nonnull(st->pool);
	pair(fds);
	st->peer = fds[1];
	reader_open(&st->r, st->io, st->pool, fds[0]);
	return true;
}

static void stage_close(struct stage *st)
{
	stream_close(&st->r.stream);
	stream_close(&st->r.stream);
	check_empty(&st->r);
	if (st->peer >= 0)
		close(st->peer);
	loops_settle(st->io);
	stream_pool_destroy(&st->pool);
	io_destroy(&st->io);
}

#define TEST_STAGE(st, pair)                                                             \
	struct stage st;                                                                 \
	if (!stage_open(&st, _i % LOOPS_COUNT, pair))                                    \
	return

/* --- reading ---------------------------------------------------------------------- */

static const char conversation[] = "\3abc\1d\0\5efghi\2jk\7lmnopqr";
static const char conversation_text[] = "abcdefghijklmnopqr";

enum { CONVERSATION_LEN = sizeof(conversation) - 1 };

static void check_conversation(struct stage *st)
{
	LOOPS_UNTIL(st->io, st->r.messages == 6);
	ck_assert_mem_eq(st->r.text, conversation_text, sizeof(conversation_text) - 1);
	check_empty(&st->r);
}

START_TEST(holds_what_is_not_taken_at_every_cut)
{
	size_t cut = (size_t)_i / LOOPS_COUNT;
	TEST_STAGE(st, loops_pair);

	stream_resume(&st.r.stream);
	if (cut > 0)
		put(st.peer, conversation, cut);
	loops_settle(st.io);
	put(st.peer, conversation + cut, CONVERSATION_LEN - cut);
	check_conversation(&st);
	stage_close(&st);
}
END_TEST

START_TEST(holds_what_comes_byte_by_byte)
{
	TEST_STAGE(st, loops_pair);

	stream_resume(&st.r.stream);
	for (size_t i = 0; i < CONVERSATION_LEN; i++) {
		put(st.peer, conversation + i, 1);
		LOOPS_UNTIL(st.io, st.r.stream.rx_bytes == i + 1);
	}
	check_conversation(&st);
	ck_assert_uint_eq(st.r.calls, CONVERSATION_LEN);
	stage_close(&st);
}
END_TEST

START_TEST(offers_again_on_resume_and_on_retry)
{
	TEST_STAGE(st, loops_pair);

	st.r.refuse = true;
	stream_resume(&st.r.stream);
	put(st.peer, conversation, CONVERSATION_LEN);
	LOOPS_UNTIL(st.io, stream_held(&st.r.stream) == CONVERSATION_LEN);
	ck_assert_uint_eq(st.r.calls, 1);
	loops_settle(st.io);
	ck_assert_uint_eq(st.r.calls, 1);
	stream_pause(&st.r.stream);
	stream_retry(&st.r.stream);
	stream_retry(&st.r.stream);
	ck_assert_uint_eq(st.r.calls, 1);
	LOOPS_UNTIL(st.io, st.r.calls == 2);
	loops_settle(st.io);
	ck_assert_uint_eq(st.r.calls, 2);
	st.r.refuse = false;
	stream_resume(&st.r.stream);
	check_conversation(&st);
	stage_close(&st);
}
END_TEST

START_TEST(gives_nothing_while_paused)
{
	TEST_STAGE(st, loops_pair);

	stream_resume(&st.r.stream);
	loops_settle(st.io);
	stream_pause(&st.r.stream);
	put(st.peer, conversation, CONVERSATION_LEN);
	close(st.peer);
	st.peer = -1;
	loops_settle(st.io);
	ck_assert_uint_eq(st.r.calls, 0);
	ck_assert_uint_eq(st.r.ends, 0);
	stream_resume(&st.r.stream);
	LOOPS_UNTIL(st.io, st.r.ends == 1);
	ck_assert_uint_eq(st.r.messages, 6);
	ck_assert_int_eq(st.r.error, 0);
	stage_close(&st);
}
END_TEST

START_TEST(pausing_within_data_keeps_the_rest)
{
	TEST_STAGE(st, loops_pair);

	st.r.pause_in_data = true;
	stream_resume(&st.r.stream);
	put(st.peer, conversation, 5);
	LOOPS_UNTIL(st.io, st.r.calls == 1);
	put(st.peer, conversation + 5, CONVERSATION_LEN - 5);
	loops_settle(st.io);
	ck_assert_uint_eq(st.r.calls, 1);
	for (uint32_t calls = 2; st.r.messages < 6; calls++) {
		stream_resume(&st.r.stream);
		LOOPS_UNTIL(st.io, st.r.calls >= calls);
	}
	check_conversation(&st);
	stage_close(&st);
}
END_TEST

START_TEST(stops_reading_when_too_much_is_held)
{
	static uint8_t flood[4096];
	TEST_STAGE(st, loops_pair);
	size_t held;

	st.r.refuse = true;
	st.r.stream.held_max = 1000;
	stream_resume(&st.r.stream);
	for (int i = 0; i < 30; i++)
		put(st.peer, flood, sizeof(flood));
	loops_settle(st.io);
	held = stream_held(&st.r.stream);
	ck_assert_uint_ge(held, 1000);
	ck_assert_uint_le(held, 1000 + 64 * 1024);
	loops_settle(st.io);
	ck_assert_uint_eq(stream_held(&st.r.stream), held);
	st.r.refuse = false;
	stream_retry(&st.r.stream);
	LOOPS_UNTIL(st.io, st.r.stream.rx_bytes == 30 * sizeof(flood));
	LOOPS_UNTIL(st.io, st.r.messages == 30 * sizeof(flood));
	check_empty(&st.r);
	stage_close(&st);
}
END_TEST

START_TEST(may_be_closed_within_data)
{
	TEST_STAGE(st, loops_pair);

	stream_resume(&st.r.stream);
	put(st.peer, conversation, 2);
	LOOPS_UNTIL(st.io, st.r.calls == 1);
	stream_send(&st.r.stream, "words", 5);
	st.r.close_in_data = true;
	put(st.peer, conversation + 2, CONVERSATION_LEN - 2);
	LOOPS_UNTIL(st.io, st.r.closed);
	check_empty(&st.r);
	loops_settle(st.io);
	stage_close(&st);
}
END_TEST

/* As a server connection does that is closed and opened anew in one handler. */
START_TEST(may_be_reopened_within_data)
{
	TEST_STAGE(st, loops_pair);
	int fds[2];

	loops_pair(fds);
	stream_resume(&st.r.stream);
	put(st.peer, conversation, 2);
	LOOPS_UNTIL(st.io, st.r.calls == 1);
	st.r.reopen_with = fds[0];
	put(st.peer, conversation + 2, CONVERSATION_LEN - 2);
	LOOPS_UNTIL(st.io, st.r.reopen_with == 0);
	check_empty(&st.r);
	close(st.peer);
	st.peer = fds[1];
	put(st.peer, conversation, CONVERSATION_LEN);
	check_conversation(&st);
	ck_assert_uint_eq(st.r.ends, 0);
	ck_assert_uint_eq(st.r.stream.rx_bytes, CONVERSATION_LEN);
	stage_close(&st);
}
END_TEST

/* --- sending ---------------------------------------------------------------------- */

START_TEST(sends_once_a_turn)
{
	TEST_STAGE(st, loops_pair);
	char bytes[64];

	stream_send(&st.r.stream, "one ", 4);
	stream_send(&st.r.stream, "two ", 4);
	stream_send(&st.r.stream, "three", 5);
	ck_assert_uint_eq(stream_unsent(&st.r.stream), 13);
	ck_assert_uint_eq(get(st.peer, bytes, sizeof(bytes)), 0);
	ck_assert_int_eq(io_turn(st.io, 0), 0);
	ck_assert_uint_eq(get(st.peer, bytes, sizeof(bytes)), 13);
	ck_assert_mem_eq(bytes, "one two three", 13);
	stream_send(&st.r.stream, "now", 3);
	stream_flush(&st.r.stream);
	ck_assert_uint_eq(get(st.peer, bytes, sizeof(bytes)), 3);
	ck_assert_uint_eq(st.r.stream.tx_bytes, 16);
	check_empty(&st.r);
	stage_close(&st);
}
END_TEST

START_TEST(sends_at_once_what_fills_a_chunk)
{
	static uint8_t bytes[STREAM_CHUNK * 2], got[STREAM_CHUNK * 3];
	TEST_STAGE(st, loops_pair);
	struct buf b;

	memset(bytes, 'x', sizeof(bytes));
	buf_init(&b, 0);
	buf_add(&b, bytes, sizeof(bytes));
	stream_send(&st.r.stream, "head", 4);
	stream_send_buf(&st.r.stream, &b);
	ck_assert_uint_eq(buf_len(&b), 0);
	ck_assert_uint_eq(get(st.peer, got, sizeof(got)), sizeof(bytes) + 4);
	ck_assert_mem_eq(got, "headx", 5);
	check_empty(&st.r);
	stage_close(&st);
}
END_TEST

START_TEST(is_congested_between_the_marks)
{
	static uint8_t bytes[100000], got[100000];
	TEST_STAGE(st, loops_pair);
	size_t sent = 0, sum = 0;

	while (!stream_is_congested(&st.r.stream)) {
		stream_send(&st.r.stream, bytes, sizeof(bytes));
		sent += sizeof(bytes);
		ck_assert_uint_lt(sent, 10000000);
	}
	ck_assert_uint_gt(stream_unsent(&st.r.stream), STREAM_BACKLOG_HIGH);
	loops_settle(st.io);
	ck_assert_uint_eq(st.r.drained, 0);
	LOOPS_POLL(st.io, (sum += get(st.peer, got, sizeof(got)), sum == sent));
	LOOPS_UNTIL(st.io, st.r.drained == 1);
	ck_assert(!stream_is_congested(&st.r.stream));
	loops_settle(st.io);
	ck_assert_uint_eq(st.r.drained, 1);
	ck_assert_uint_eq(st.r.stream.tx_bytes, sent);
	check_empty(&st.r);
	stage_close(&st);
}
END_TEST

/* --- ends ------------------------------------------------------------------------- */

/* What the peer said last is read although sending to it failed. */
START_TEST(reads_last_words_after_a_failed_send)
{
	TEST_STAGE(st, loops_pair);

	stream_resume(&st.r.stream);
	loops_settle(st.io);
	put(st.peer, conversation, CONVERSATION_LEN);
	close(st.peer);
	st.peer = -1;
	stream_send(&st.r.stream, "hello", 5);
	stream_flush(&st.r.stream);
	stream_send(&st.r.stream, "dropped", 7);
	check_empty(&st.r);
	LOOPS_UNTIL(st.io, st.r.ends == 1);
	ck_assert_uint_eq(st.r.messages, 6);
	ck_assert_int_eq(st.r.error, -EPIPE);
	stage_close(&st);
}
END_TEST

START_TEST(tells_a_paused_owner_of_a_failed_send)
{
	TEST_STAGE(st, loops_pair);

	close(st.peer);
	st.peer = -1;
	stream_send(&st.r.stream, "hello", 5);
	LOOPS_UNTIL(st.io, st.r.ends == 1);
	ck_assert_int_eq(st.r.error, -EPIPE);
	stream_resume(&st.r.stream);
	loops_settle(st.io);
	ck_assert_uint_eq(st.r.ends, 1);
	stage_close(&st);
}
END_TEST

/* Pausing between the failure and its end must not swallow the end. */
START_TEST(tells_who_pauses_after_a_failed_send)
{
	TEST_STAGE(st, loops_pair);

	stream_resume(&st.r.stream);
	close(st.peer);
	st.peer = -1;
	stream_send(&st.r.stream, "hello", 5);
	stream_flush(&st.r.stream);
	stream_pause(&st.r.stream);
	LOOPS_UNTIL(st.io, st.r.ends == 1);
	stage_close(&st);
}
END_TEST

/* The peer goes on sending, as a client in the middle of a COPY does, and reads
 * only later: it must find our words and then the end, and no reset. */
START_TEST(finish_delivers_last_words_to_a_chatty_peer)
{
	static uint8_t flood[200000];
	TEST_STAGE(st, loops_tcp_pair);
	char bytes[64] = "";
	ssize_t n;

	stream_resume(&st.r.stream);
	(void)send(st.peer, flood, sizeof(flood), MSG_DONTWAIT);
	stream_pause(&st.r.stream);
	stream_send(&st.r.stream, "last words", 10);
	stream_finish(&st.r.stream);
	stream_finish(&st.r.stream);
	stream_send(&st.r.stream, "dropped", 7);
	for (int i = 0; i < 50; i++) {
		(void)send(st.peer, flood, sizeof(flood), MSG_DONTWAIT | MSG_NOSIGNAL);
		loops_settle(st.io);
		ck_assert_uint_eq(st.r.ends, 0);
	}
	n = recv(st.peer, bytes, sizeof(bytes), MSG_DONTWAIT);
	ck_assert_int_eq(n, 10);
	ck_assert_str_eq(bytes, "last words");
	n = recv(st.peer, bytes, sizeof(bytes), MSG_DONTWAIT);
	ck_assert_int_eq(n, 0);
	close(st.peer);
	st.peer = -1;
	LOOPS_UNTIL(st.io, st.r.ends == 1);
	stage_close(&st);
}
END_TEST

START_TEST(finish_sends_a_long_backlog_first)
{
	static uint8_t words[3000000], got[100000];
	TEST_STAGE(st, loops_pair);
	size_t sum = 0;
	ssize_t n;

	stream_send(&st.r.stream, words, sizeof(words));
	stream_finish(&st.r.stream);
	LOOPS_POLL(st.io, ({
		n = recv(st.peer, got, sizeof(got), MSG_DONTWAIT);
		if (n > 0)
			sum += (size_t)n;
		n == 0;
	}));
	ck_assert_uint_eq(sum, sizeof(words));
	ck_assert_uint_eq(st.r.ends, 0);
	close(st.peer);
	st.peer = -1;
	LOOPS_UNTIL(st.io, st.r.ends == 1);
	stage_close(&st);
}
END_TEST

START_TEST(finish_within_the_end_ends_once_more)
{
	TEST_STAGE(st, loops_pair);
	char bytes[64];

	st.r.finish_in_end = true;
	stream_resume(&st.r.stream);
	shutdown(st.peer, SHUT_WR);
	stream_send(&st.r.stream, "bye", 3);
	LOOPS_UNTIL(st.io, st.r.ends == 2);
	loops_settle(st.io);
	ck_assert_uint_eq(st.r.ends, 2);
	ck_assert_uint_eq(get(st.peer, bytes, sizeof(bytes)), 3);
	ck_assert_int_eq(recv(st.peer, bytes, 1, MSG_DONTWAIT), 0);
	stage_close(&st);
}
END_TEST

START_TEST(finish_after_a_failure_ends)
{
	TEST_STAGE(st, loops_pair);

	stream_resume(&st.r.stream);
	close(st.peer);
	st.peer = -1;
	stream_send(&st.r.stream, "hello", 5);
	stream_flush(&st.r.stream);
	stream_finish(&st.r.stream);
	LOOPS_UNTIL(st.io, st.r.ends == 1);
	loops_settle(st.io);
	ck_assert_uint_eq(st.r.ends, 1);
	stage_close(&st);
}
END_TEST

/* --- connecting and moving ---------------------------------------------------------- */

START_TEST(connects_and_sends_what_was_queued)
{
	TEST_STAGE(st, loops_pair);
	struct reader r;
	uint16_t port;
	int listener = loops_tcp_listener(&port);
	int peer = -1;
	char bytes[16];

	reader_open(&r, st.io, st.pool, loops_tcp_connect(port));
	stream_connect_wait(&r.stream);
	stream_resume(&r.stream);
	stream_send(&r.stream, "early", 5);
	LOOPS_UNTIL(st.io, r.connected == 1);
	ck_assert_int_eq(r.error, 0);
	LOOPS_POLL(st.io,
		peer >= 0 || (peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK), false));
	LOOPS_POLL(st.io, get(peer, bytes, sizeof(bytes)) == 5);
	put(peer, conversation, CONVERSATION_LEN);
	LOOPS_UNTIL(st.io, r.messages == 6);
	stream_close(&r.stream);
	close(peer);
	close(listener);
	stage_close(&st);
}
END_TEST

START_TEST(reports_a_refused_connection)
{
	TEST_STAGE(st, loops_pair);
	struct reader r;
	uint16_t port;
	int listener = loops_tcp_listener(&port);

	close(listener);
	reader_open(&r, st.io, st.pool, loops_tcp_connect(port));
	stream_connect_wait(&r.stream);
	stream_resume(&r.stream);
	LOOPS_UNTIL(st.io, r.connected == 1);
	ck_assert_int_eq(r.error, -ECONNREFUSED);
	stream_close(&r.stream);
	stage_close(&st);
}
END_TEST

START_TEST(moves_to_another_loop)
{
	TEST_STAGE(st, loops_pair);
	struct io *io = loops_create(_i % LOOPS_COUNT);
	int fd;

	stream_resume(&st.r.stream);
	put(st.peer, conversation, 7);
	LOOPS_UNTIL(st.io, st.r.messages == 3);
	if (!stream_quiesce(&st.r.stream))
		LOOPS_UNTIL(st.io, st.r.quiets == 1);
	fd = stream_detach(&st.r.stream);
	ck_assert(!stream_is_open(&st.r.stream));
	ck_assert_int_eq(stream_attach(&st.r.stream, io, st.pool, fd), 0);
	stream_resume(&st.r.stream);
	put(st.peer, conversation + 7, CONVERSATION_LEN - 7);
	LOOPS_UNTIL(io, st.r.messages == 6);
	stream_close(&st.r.stream);
	io_destroy(&io);
	stage_close(&st);
}
END_TEST

static void add(Suite *s, const TTest *test, const char *name, size_t variants)
{
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, test, 0, (int)(variants * LOOPS_COUNT));
	suite_add_tcase(s, tc);
}

Suite *stream_suite(void)
{
	Suite *s = suite_create("net/stream");

	add(s, holds_what_is_not_taken_at_every_cut, "cuts", CONVERSATION_LEN);
	add(s, holds_what_comes_byte_by_byte, "bytes", 1);
	add(s, offers_again_on_resume_and_on_retry, "again", 1);
	add(s, gives_nothing_while_paused, "paused", 1);
	add(s, pausing_within_data_keeps_the_rest, "pause in data", 1);
	add(s, stops_reading_when_too_much_is_held, "held_max", 1);
	add(s, may_be_closed_within_data, "close in data", 1);
	add(s, may_be_reopened_within_data, "reopen in data", 1);
	add(s, sends_once_a_turn, "coalesce", 1);
	add(s, sends_at_once_what_fills_a_chunk, "large send", 1);
	add(s, is_congested_between_the_marks, "congested", 1);
	add(s, reads_last_words_after_a_failed_send, "last words read", 1);
	add(s, tells_a_paused_owner_of_a_failed_send, "failed, paused", 1);
	add(s, tells_who_pauses_after_a_failed_send, "failed, pausing", 1);
	add(s, finish_delivers_last_words_to_a_chatty_peer, "finish", 1);
	add(s, finish_sends_a_long_backlog_first, "finish, backlog", 1);
	add(s, finish_within_the_end_ends_once_more, "finish in end", 1);
	add(s, finish_after_a_failure_ends, "finish, failed", 1);
	add(s, connects_and_sends_what_was_queued, "connect", 1);
	add(s, reports_a_refused_connection, "refused", 1);
	add(s, moves_to_another_loop, "move", 1);
	return s;
}
