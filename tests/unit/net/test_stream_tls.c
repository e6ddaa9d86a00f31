/* SPDX-License-Identifier: ISC */
/*
 * Streams with TLS: two of them, on one loop, over a socket pair.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/certs.h"
#include "net/loops.h"
#include "net/stream.h"
#include "net/suites.h"
#include "net/tls.h"

enum { BULK = 6 * 1024 * 1024 };

struct end {
	struct stream stream;
	struct tls_context *starts;     /* on_data(): with this, once "start" has come */
	const char *takes;              /* "rest": and says that all was taken, as TLS */
	const char *greets;             /* sends this in on_secure() */
	struct buf got;
	size_t count;                   /* where only so much is remembered of bulk */
	uint64_t sum;
	bool is_bulk;
	bool pauses;                    /* after each piece */
	bool closes_when_secure;
	uint32_t secures;
	uint32_t ends;
	int error;
	char why[200];
	bool is_closed;
};

struct world {
	struct io *io;
	struct stream_pool *pool;
	struct tls_context *server, *client;
	struct end ends[2];             /* server, client */
};

static struct end *end_of(struct stream *s)
{
	struct end *e = container_of(s, struct end, stream);

	ck_assert_msg(!e->is_closed, "a callback after close");
	return e;
}

static void end_close(struct end *e)
{
	stream_close(&e->stream);
	e->is_closed = true;
}

static size_t start(struct end *e, const uint8_t *data, size_t len)
{
	struct tls_context *context = e->starts;

	if (len < 5)
		return 0;
	ck_assert_mem_eq(data, "start", 5);
	e->starts = NULL;
	stream_send(&e->stream, "S", 1);
	if (e->takes == NULL) {
		ck_assert_int_eq(stream_start_tls(&e->stream, context, NULL, NULL, 0), 0);
		return 5;
	}
	ck_assert_int_eq(
		stream_start_tls(&e->stream, context, NULL, data + 5, len - 5), 0);
	return len;
}

static size_t on_data(struct stream *s, const uint8_t *data, size_t len)
{
	struct end *e = end_of(s);

	if (e->starts != NULL)
		return start(e, data, len);
	e->count += len;
	if (e->is_bulk) {
		for (size_t i = 0; i < len; i++)
			e->sum = e->sum * 31 + data[i];
	} else {
		buf_add(&e->got, data, len);
	}
	if (e->pauses) {
		stream_pause(s);
		stream_resume(s);
	}
	return len;
}

static void on_end(struct stream *s, int error)
{
	struct end *e = end_of(s);

	e->ends++;
	e->error = error;
	(void)snprintf(e->why, sizeof(e->why), "%s", stream_tls_error(s));
}

static void on_secure(struct stream *s)
{
	struct end *e = end_of(s);

	e->secures++;
	if (e->greets != NULL)
		stream_send(s, e->greets, strlen(e->greets));
	if (e->closes_when_secure)
		end_close(e);
}

static void on_nothing(struct stream *s)
{
	(void)end_of(s);
}

static void on_connected(struct stream *s, int error)
{
	(void)end_of(s);
	(void)error;
}

static const struct stream_ops ops = {
	.on_data = on_data,
	.on_end = on_end,
	.on_drained = on_nothing,
	.on_connected = on_connected,
	.on_quiet = on_nothing,
	.on_secure = on_secure,
};

static struct tls_context *make_context(bool is_server)
{
	char cert[300], key[300];
	struct tls_settings s = { .is_server = is_server };
	struct tls_context *c;
	struct diag diag = { 0 };

	(void)snprintf(cert, sizeof(cert), "%s", certs_path("server.crt"));
	(void)snprintf(key, sizeof(key), "%s", certs_path("server.key"));
	if (is_server) {
		s.cert_file = cert;
		s.key_file = key;
	}
	c = tls_context_create(&s, &diag);
	ck_assert_msg(c != NULL, "%s", diag.text);
	return c;
}

static bool world_open(struct world *w, int number)
{
	int fds[2];

	memset(w, 0, sizeof(*w));
	w->io = loops_create(number);
	if (w->io == NULL)
		return false;
	w->pool = stream_pool_create();
	w->server = make_context(true);
	w->client = make_context(false);
	loops_tcp_pair(fds);
	for (int i = 0; i < 2; i++) {
		buf_init(&w->ends[i].got, 0);
		stream_init(&w->ends[i].stream, &ops);
		ck_assert_int_eq(
			stream_attach(&w->ends[i].stream, w->io, w->pool, fds[i]), 0);
		stream_resume(&w->ends[i].stream);
	}
	return true;
}

static void world_close(struct world *w)
{
	for (int i = 0; i < 2; i++) {
		stream_close(&w->ends[i].stream);
		buf_finish(&w->ends[i].got);
	}
	io_destroy(&w->io);
	stream_pool_destroy(&w->pool);
	tls_context_unref(w->server);
	tls_context_unref(w->client);
}

static void start_both(struct world *w)
{
	ck_assert_int_eq(stream_start_tls(&w->ends[0].stream, w->server, NULL, NULL, 0), 0);
	ck_assert_int_eq(
		stream_start_tls(&w->ends[1].stream, w->client, "localhost", NULL, 0), 0);
	ck_assert_ptr_null(stream_tls(&w->ends[0].stream));
}

static void agree(struct world *w)
{
	start_both(w);
	LOOPS_UNTIL(w->io, w->ends[0].secures == 1 && w->ends[1].secures == 1);
	ck_assert_ptr_nonnull(stream_tls(&w->ends[0].stream));
}

static bool has_got(const struct end *e, const char *text)
{
	return buf_len(&e->got) == strlen(text) &&
		memcmp(buf_data(&e->got), text, strlen(text)) == 0;
}

START_TEST(both_ways)
{
	struct world w;

	if (!world_open(&w, _i))
		return;
	w.ends[0].greets = "welcome";
	agree(&w);
	stream_send(&w.ends[1].stream, "hello", 5);
	stream_send(&w.ends[1].stream, ", world", 7);
	LOOPS_UNTIL(w.io, has_got(&w.ends[0], "hello, world"));
	LOOPS_UNTIL(w.io, has_got(&w.ends[1], "welcome"));
	/* The owner does not notice: what the other says last comes before its end. */
	stream_send(&w.ends[0].stream, "!", 1);
	stream_finish(&w.ends[0].stream);
	LOOPS_UNTIL(w.io, w.ends[1].ends == 1);
	ck_assert(has_got(&w.ends[1], "welcome!"));
	ck_assert_int_eq(w.ends[1].error, 0);
	stream_finish(&w.ends[1].stream);
	LOOPS_UNTIL(w.io, w.ends[0].ends == 1);
	world_close(&w);
}
END_TEST

static size_t send_some(struct stream *s, size_t sent, uint64_t *sum)
{
	static uint8_t piece[50000];

	while (sent < BULK && !stream_is_congested(s)) {
		size_t len = size_min(sizeof(piece) / 2 + sent % 20000, BULK - sent);

		for (size_t i = 0; i < len; i++) {
			piece[i] = (uint8_t)((sent + i) * 7 >> 3);
			*sum = *sum * 31 + piece[i];
		}
		stream_send(s, piece, len);
		sent += len;
	}
	ck_assert_uint_le(stream_unsent(s), STREAM_BACKLOG_HIGH + 100000);
	return sent;
}

START_TEST(bulk_both_ways)
{
	size_t sent[2] = { 0, 0 };
	uint64_t sums[2] = { 0, 0 };
	struct world w;

	if (!world_open(&w, _i))
		return;
	agree(&w);
	w.ends[0].is_bulk = w.ends[1].is_bulk = true;
	w.ends[1].pauses = true;
	for (int turn = 0; w.ends[0].count < BULK || w.ends[1].count < BULK; turn++) {
		for (int i = 0; i < 2; i++)
			sent[i] = send_some(&w.ends[i].stream, sent[i], &sums[i]);
		/* The client reads nothing for a while: the server's backlog fills up. */
		if (turn == 20)
			stream_pause(&w.ends[1].stream);
		if (turn == 60)
			stream_resume(&w.ends[1].stream);
		ck_assert_int_eq(io_turn(w.io, loops_deadline() - LOOPS_PATIENCE_US + 1000), 0);
		ck_assert_int_lt(turn, 100000);
	}
	ck_assert_uint_eq(w.ends[0].sum, sums[1]);
	ck_assert_uint_eq(w.ends[1].sum, sums[0]);
	world_close(&w);
}
END_TEST

/* An owner that asks for TLS, and then gets what was sent in front of it. */
START_TEST(nothing_plain_survives)
{
	struct world w;

	if (!world_open(&w, _i))
		return;
	w.ends[0].starts = w.server;
	stream_send(&w.ends[1].stream, "startQ....SELECT 1", 18);
	LOOPS_UNTIL(w.io, w.ends[0].ends == 1);
	ck_assert_int_eq(w.ends[0].error, -EPROTO);
	ck_assert_uint_eq(w.ends[0].count, 0);
	ck_assert_uint_eq(w.ends[0].secures, 0);
	/* The answer was plain; nothing follows. */
	LOOPS_UNTIL(w.io, has_got(&w.ends[1], "S"));
	world_close(&w);
}
END_TEST

/* The same where the bytes were held, and come a few at a time. */
START_TEST(nothing_held_survives)
{
	struct world w;

	if (!world_open(&w, _i))
		return;
	w.ends[0].starts = w.server;
	stream_send(&w.ends[1].stream, "sta", 3);
	LOOPS_UNTIL(w.io, stream_held(&w.ends[0].stream) == 3);
	ck_assert_int_eq(
		stream_start_tls(&w.ends[0].stream, w.server, NULL, NULL, 0), -EPROTO);
	stream_send(&w.ends[1].stream, "rtQ", 3);
	LOOPS_UNTIL(w.io, w.ends[0].ends == 1);
	ck_assert_int_eq(w.ends[0].error, -EPROTO);
	ck_assert_uint_eq(w.ends[0].count, 0);
	world_close(&w);
}
END_TEST

START_TEST(plain_text_is_refused)
{
	struct world w;

	if (!world_open(&w, _i))
		return;
	ck_assert_int_eq(stream_start_tls(&w.ends[0].stream, w.server, NULL, NULL, 0), 0);
	stream_send(&w.ends[1].stream, "Q\0\0\0\x0dSELECT 1", 14);
	LOOPS_UNTIL(w.io, w.ends[0].ends == 1);
	ck_assert_int_eq(w.ends[0].error, -EPROTO);
	ck_assert_str_ne(w.ends[0].why, "");
	world_close(&w);
}
END_TEST

/* What had come already is the beginning of TLS. */
START_TEST(direct)
{
	struct world w;
	struct buf out;
	struct tls *tls;

	if (!world_open(&w, _i))
		return;
	w.ends[0].starts = w.server;
	w.ends[0].takes = "rest";
	tls = tls_create(w.client, NULL);
	buf_init(&out, 0);
	buf_add(&out, "start", 5);
	ck_assert_int_eq(tls_handshake(tls, &out), TLS_MORE);
	stream_send(&w.ends[1].stream, buf_data(&out), buf_len(&out));
	buf_clear(&out);
	LOOPS_UNTIL(w.io, buf_len(&w.ends[1].got) > 500);
	loops_settle(w.io);
	tls_input(tls, buf_data(&w.ends[1].got) + 1, buf_len(&w.ends[1].got) - 1);
	ck_assert_int_eq(tls_handshake(tls, &out), TLS_OK);
	/* Data right behind the last of the handshake. */
	ck_assert_int_eq(tls_write(tls, "at once", 7, &out), TLS_OK);
	stream_send(&w.ends[1].stream, buf_data(&out), buf_len(&out));
	LOOPS_UNTIL(w.io, has_got(&w.ends[0], "at once"));
	ck_assert_uint_eq(w.ends[0].secures, 1);
	buf_finish(&out);
	tls_destroy(&tls);
	world_close(&w);
}
END_TEST

START_TEST(closed_on_the_way)
{
	struct world w;

	/* In each turn of the handshake, and in its last callback. */
	for (int turns = 0; turns < 12; turns++) {
		if (!world_open(&w, _i))
			return;
		w.ends[turns & 1].closes_when_secure = turns > 9;
		start_both(&w);
		for (int i = 0; i < turns; i++)
			ck_assert_int_eq(io_turn(w.io, loops_deadline() -
					LOOPS_PATIENCE_US + 1000), 0);
		if (!w.ends[turns & 1].is_closed)
			end_close(&w.ends[turns & 1]);
		LOOPS_UNTIL(w.io, w.ends[1 - (turns & 1)].ends == 1);
		world_close(&w);
	}
}
END_TEST

START_TEST(finished_on_the_way)
{
	struct world w;

	for (int turns = 0; turns < 8; turns++) {
		if (!world_open(&w, _i))
			return;
		start_both(&w);
		for (int i = 0; i < turns; i++)
			ck_assert_int_eq(io_turn(w.io, loops_deadline() -
					LOOPS_PATIENCE_US + 1000), 0);
		stream_finish(&w.ends[0].stream);
		LOOPS_UNTIL(w.io, w.ends[1].ends == 1);
		stream_finish(&w.ends[1].stream);
		LOOPS_UNTIL(w.io, w.ends[0].ends == 1);
		world_close(&w);
	}
}
END_TEST

/* Detached and attached again, as servers are that go through the pool. */
START_TEST(moved)
{
	struct world w;
	struct stream *s = &w.ends[1].stream;
	struct stream_pool *other;

	if (!world_open(&w, _i))
		return;
	other = stream_pool_create();
	ck_assert_ptr_nonnull(other);
	agree(&w);
	stream_send(&w.ends[0].stream, "one", 3);
	LOOPS_UNTIL(w.io, has_got(&w.ends[1], "one"));
	for (int i = 0; i < 3; i++) {
		struct stream_pool *pool = i == 1 ? other : w.pool;
		int fd;

		stream_pause(s);
		while (!stream_quiesce(s))
			ck_assert_int_eq(io_turn(w.io, loops_deadline()), 0);
		fd = stream_detach(s);
		stream_send(&w.ends[0].stream, "+", 1);
		ck_assert_int_eq(stream_attach(s, w.io, pool, fd), 0);
		stream_resume(s);
	}
	LOOPS_UNTIL(w.io, has_got(&w.ends[1], "one+++"));
	stream_pool_destroy(&other);
	stream_send(s, "back", 4);
	LOOPS_UNTIL(w.io, has_got(&w.ends[0], "back"));
	ck_assert_str_eq(tls_protocol(stream_tls(s)), "TLSv1.3");
	/* One that is not attached any more is freed, too. */
	stream_pause(s);
	while (!stream_quiesce(s))
		ck_assert_int_eq(io_turn(w.io, loops_deadline()), 0);
	close(stream_detach(s));
	stream_drop(s);
	LOOPS_UNTIL(w.io, w.ends[0].ends == 1);
	world_close(&w);
}
END_TEST

Suite *stream_tls_suite(void)
{
	Suite *suite = suite_create("stream_tls");
	TCase *tc = tcase_create("stream_tls");

	tcase_add_loop_test(tc, both_ways, 0, LOOPS_COUNT);
	tcase_add_loop_test(tc, bulk_both_ways, 0, LOOPS_COUNT);
	tcase_add_loop_test(tc, nothing_plain_survives, 0, LOOPS_COUNT);
	tcase_add_loop_test(tc, nothing_held_survives, 0, LOOPS_COUNT);
	tcase_add_loop_test(tc, plain_text_is_refused, 0, LOOPS_COUNT);
	tcase_add_loop_test(tc, direct, 0, LOOPS_COUNT);
	tcase_add_loop_test(tc, closed_on_the_way, 0, LOOPS_COUNT);
	tcase_add_loop_test(tc, finished_on_the_way, 0, LOOPS_COUNT);
	tcase_add_loop_test(tc, moved, 0, LOOPS_COUNT);
	suite_add_tcase(suite, tc);
	return suite;
}
