/* SPDX-License-Identifier: ISC */
/*
 * Handshakes of which the costly step is taken by another thread, and what may happen to
 * their streams meanwhile.
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "net/certs.h"
#include "net/loops.h"
#include "net/stream.h"
#include "net/suites.h"
#include "net/tls.h"

/* It holds one step, until the test lets it go on. */
struct help {
	struct stream_helper ops;
	struct stream_step *step;
	uint32_t starts;
	uint32_t withdrawals;
	bool is_full;
	bool has_begun;         /* too late to withdraw */
};

struct end {
	struct stream stream;
	struct buf got;
	uint32_t secures;
	uint32_t ends;
	int error;
	char why[200];
};

struct world {
	struct io *io;
	struct stream_pool *pools[2];
	struct tls_context *server, *client;
	struct help help;
	struct end ends[2];             /* server, client */
};

static void *help_start(void *arg, struct stream *s, struct stream_step *step)
{
	struct help *h = arg;

	(void)s;
	ck_assert_ptr_null(h->step);
	h->starts++;
	if (h->is_full)
		return NULL;
	h->step = step;
	return h;
}

static bool help_withdraw(void *arg, void *started)
{
	struct help *h = arg;

	ck_assert_ptr_eq(started, h);
	h->withdrawals++;
	if (h->step == NULL || h->has_begun)
		return false;
	stream_step_drop(h->step);
	h->step = NULL;
	return true;
}

static void *run(void *step)
{
	stream_step_run(step);
	return NULL;
}

static void help_run(struct help *h)
{
	pthread_t thread;

	ck_assert_ptr_nonnull(h->step);
	ck_assert_int_eq(pthread_create(&thread, NULL, run, h->step), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

static void help_done(struct help *h)
{
	struct stream_step *step = h->step;

	h->step = NULL;
	h->has_begun = false;
	stream_step_done(step);
}

static size_t on_data(struct stream *s, const uint8_t *data, size_t len)
{
	buf_add(&container_of(s, struct end, stream)->got, data, len);
	return len;
}

static void on_end(struct stream *s, int error)
{
	struct end *e = container_of(s, struct end, stream);

	e->ends++;
	e->error = error;
	(void)snprintf(e->why, sizeof(e->why), "%s", stream_tls_error(s));
}

static void on_secure(struct stream *s)
{
	container_of(s, struct end, stream)->secures++;
}

static void on_nothing(struct stream *s)
{
	(void)s;
}

static void on_connected(struct stream *s, int error)
{
	(void)s;
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

static struct tls_context *make_context(bool is_server, const char *pair, bool verifies)
{
	char cert[300] = "", key[300] = "", ca[300];
	struct tls_settings s = { .is_server = is_server };
	struct tls_context *c;
	struct diag diag = { 0 };
	char name[64];

	if (pair != NULL) {
		(void)snprintf(name, sizeof(name), "%s.crt", pair);
		(void)snprintf(cert, sizeof(cert), "%s", certs_path(name));
		(void)snprintf(name, sizeof(name), "%s.key", pair);
		(void)snprintf(key, sizeof(key), "%s", certs_path(name));
	}
	(void)snprintf(ca, sizeof(ca), "%s", certs_path("ca.crt"));
	s.cert_file = cert;
	s.key_file = key;
	if (verifies) {
		s.ca_file = ca;
		s.verify = TLS_VERIFY_CHAIN;
	}
	c = tls_context_create(&s, &diag);
	ck_assert_msg(c != NULL, "%s", diag.text);
	return c;
}

/* helped: whose streams have the helper, the server's (0) or the client's. */
static bool world_open(struct world *w, int number, int helped)
{
	int fds[2];

	memset(w, 0, sizeof(*w));
	w->io = loops_create(number);
	if (w->io == NULL)
		return false;
	w->help.ops = (struct stream_helper){ .start = help_start,
		.withdraw = help_withdraw,
		.arg = &w->help };
	w->server = make_context(true, helped == 0 ? "slow" : "server", helped == 1);
	w->client = make_context(false, helped == 1 ? "slow" : NULL, false);
	loops_tcp_pair(fds);
	for (int i = 0; i < 2; i++) {
		w->pools[i] = stream_pool_create();
		buf_init(&w->ends[i].got, 0);
		stream_init(&w->ends[i].stream, &ops);
		ck_assert_int_eq(
			stream_attach(&w->ends[i].stream, w->io, w->pools[i], fds[i]), 0);
		stream_resume(&w->ends[i].stream);
	}
	stream_pool_set_helper(w->pools[helped], &w->help.ops);
	return true;
}

static void world_close(struct world *w)
{
	for (int i = 0; i < 2; i++) {
		stream_close(&w->ends[i].stream);
		buf_finish(&w->ends[i].got);
	}
	io_destroy(&w->io);
	for (int i = 0; i < 2; i++)
		stream_pool_destroy(&w->pools[i]);
	tls_context_unref(w->server);
	tls_context_unref(w->client);
}

static void start_both(struct world *w)
{
	ck_assert_int_eq(stream_start_tls(&w->ends[0].stream, w->server, NULL, NULL, 0), 0);
	ck_assert_int_eq(
		stream_start_tls(&w->ends[1].stream, w->client, "localhost", NULL, 0), 0);
}

static void until_away(struct world *w)
{
	start_both(w);
	LOOPS_UNTIL(w->io, w->help.step != NULL);
	ck_assert_uint_eq(w->help.starts, 1);
}

static bool has_got(const struct end *e, const char *text)
{
	return buf_len(&e->got) == strlen(text) &&
		memcmp(buf_data(&e->got), text, strlen(text)) == 0;
}

static void talk(struct world *w)
{
	LOOPS_UNTIL(w->io, w->ends[0].secures == 1 && w->ends[1].secures == 1);
	stream_send(&w->ends[1].stream, "hello", 5);
	LOOPS_UNTIL(w->io, has_got(&w->ends[0], "hello"));
	stream_send(&w->ends[0].stream, "world", 5);
	LOOPS_UNTIL(w->io, has_got(&w->ends[1], "world"));
}

/* The server's signature, then the client's, whose certificate is asked for. */
START_TEST(signed_elsewhere)
{
	struct world w;

	for (int helped = 0; helped < 2; helped++) {
		if (!world_open(&w, _i, helped))
			return;
		until_away(&w);
		ck_assert(stream_tls_is_due(&w.ends[helped].stream));
		ck_assert_ptr_null(stream_tls(&w.ends[helped].stream));
		ck_assert_str_eq(stream_tls_error(&w.ends[helped].stream), "");
		help_run(&w.help);
		loops_settle(w.io);
		ck_assert_uint_eq(w.ends[helped].secures, 0);
		help_done(&w.help);
		talk(&w);
		/* Once for each handshake, and nothing else of it. */
		ck_assert_uint_eq(w.help.starts, 1);
		ck_assert(!stream_tls_is_due(&w.ends[helped].stream));
		world_close(&w);
	}
}
END_TEST

START_TEST(cheap_keys_stay)
{
	struct world w;

	if (!world_open(&w, _i, 0))
		return;
	tls_context_unref(w.server);
	w.server = make_context(true, "server", false);
	start_both(&w);
	talk(&w);
	ck_assert_uint_eq(w.help.starts, 0);
	world_close(&w);
}
END_TEST

START_TEST(closed_while_it_waits)
{
	struct world w;

	if (!world_open(&w, _i, 0))
		return;
	until_away(&w);
	stream_close(&w.ends[0].stream);
	ck_assert_uint_eq(w.help.withdrawals, 1);
	ck_assert_ptr_null(w.help.step);
	LOOPS_UNTIL(w.io, w.ends[1].ends == 1);
	world_close(&w);
}
END_TEST

/* It comes back to a stream that is closed, and may be somebody else's by then. */
START_TEST(closed_while_it_runs)
{
	struct world w;

	for (int comes_back = 0; comes_back < 2; comes_back++) {
		if (!world_open(&w, _i, 0))
			return;
		until_away(&w);
		w.help.has_begun = true;
		stream_close(&w.ends[0].stream);
		help_run(&w.help);
		memset(&w.ends[0].stream, 0x5a, sizeof(w.ends[0].stream));
		if (comes_back)
			help_done(&w.help);
		else
			stream_step_drop(w.help.step);
		stream_init(&w.ends[0].stream, &ops);
		LOOPS_UNTIL(w.io, w.ends[1].ends == 1);
		ck_assert_uint_eq(w.ends[0].secures + w.ends[0].ends, 0);
		world_close(&w);
	}
}
END_TEST

START_TEST(finished_meanwhile)
{
	struct world w;

	for (int has_begun = 0; has_begun < 2; has_begun++) {
		if (!world_open(&w, _i, 0))
			return;
		until_away(&w);
		w.help.has_begun = has_begun;
		stream_finish(&w.ends[0].stream);
		ck_assert_uint_eq(w.help.withdrawals, 1);
		LOOPS_UNTIL(w.io, w.ends[1].ends == 1);
		stream_finish(&w.ends[1].stream);
		if (has_begun) {
			help_run(&w.help);
			help_done(&w.help);
		}
		LOOPS_UNTIL(w.io, w.ends[0].ends == 1);
		ck_assert_uint_eq(w.ends[0].secures, 0);
		world_close(&w);
	}
}
END_TEST

/* The peer leaves, which is noticed while the step is away. */
START_TEST(left_meanwhile)
{
	struct world w;

	if (!world_open(&w, _i, 0))
		return;
	until_away(&w);
	stream_close(&w.ends[1].stream);
	LOOPS_UNTIL(w.io, w.ends[0].ends == 1);
	ck_assert_str_eq(w.ends[0].why, "");
	help_run(&w.help);
	help_done(&w.help);
	loops_settle(w.io);
	ck_assert_uint_eq(w.ends[0].secures, 0);
	ck_assert_uint_eq(w.ends[0].ends, 1);
	world_close(&w);
}
END_TEST

START_TEST(no_room)
{
	struct world w;

	for (int is_late = 0; is_late < 2; is_late++) {
		if (!world_open(&w, _i, 0))
			return;
		w.help.is_full = !is_late;
		if (is_late) {
			until_away(&w);
			help_done(&w.help);     /* not having been run */
		} else {
			start_both(&w);
		}
		LOOPS_UNTIL(w.io, w.ends[0].ends == 1);
		ck_assert_int_eq(w.ends[0].error, -EBUSY);
		ck_assert_str_eq(w.ends[0].why, "too many handshakes wait");
		world_close(&w);
	}
}
END_TEST

/* A hello that comes in pieces, more bytes while the step is away, and data right behind
 * the last of the handshake. */
START_TEST(bytes_meanwhile)
{
	static const uint8_t ccs[] = { 20, 3, 3, 0, 1, 1 };
	struct world w;
	struct tls *tls;
	struct buf out;

	if (!world_open(&w, _i, 0))
		return;
	tls = tls_create(w.client, NULL);
	buf_init(&out, 0);
	ck_assert_int_eq(stream_start_tls(&w.ends[0].stream, w.server, NULL, NULL, 0), 0);
	ck_assert_int_eq(tls_handshake(tls, &out), TLS_MORE);
	for (size_t i = 0; i < buf_len(&out); i++) {
		stream_send(&w.ends[1].stream, buf_data(&out) + i, 1);
		stream_flush(&w.ends[1].stream);
		if (i % 50 == 0)
			loops_settle(w.io);
	}
	buf_clear(&out);
	LOOPS_UNTIL(w.io, w.help.step != NULL);
	stream_send(&w.ends[1].stream, ccs, sizeof(ccs));
	loops_settle(w.io);
	help_run(&w.help);
	help_done(&w.help);
	LOOPS_UNTIL(w.io, buf_len(&w.ends[1].got) > 500);
	loops_settle(w.io);
	tls_input(tls, buf_data(&w.ends[1].got), buf_len(&w.ends[1].got));
	ck_assert_int_eq(tls_handshake(tls, &out), TLS_OK);
	ck_assert_int_eq(tls_write(tls, "at once", 7, &out), TLS_OK);
	stream_send(&w.ends[1].stream, buf_data(&out), buf_len(&out));
	LOOPS_UNTIL(w.io, has_got(&w.ends[0], "at once"));
	buf_finish(&out);
	tls_destroy(&tls);
	world_close(&w);
}
END_TEST

Suite *stream_away_suite(void)
{
	Suite *suite = suite_create("stream_away");
	TCase *tc = tcase_create("stream_away");

	tcase_add_loop_test(tc, signed_elsewhere, 0, LOOPS_COUNT);
	tcase_add_loop_test(tc, cheap_keys_stay, 0, LOOPS_COUNT);
	tcase_add_loop_test(tc, closed_while_it_waits, 0, LOOPS_COUNT);
	tcase_add_loop_test(tc, closed_while_it_runs, 0, LOOPS_COUNT);
	tcase_add_loop_test(tc, finished_meanwhile, 0, LOOPS_COUNT);
	tcase_add_loop_test(tc, left_meanwhile, 0, LOOPS_COUNT);
	tcase_add_loop_test(tc, no_room, 0, LOOPS_COUNT);
	tcase_add_loop_test(tc, bytes_meanwhile, 0, LOOPS_COUNT);
	suite_add_tcase(suite, tc);
	return suite;
}
