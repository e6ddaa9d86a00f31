/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <stdlib.h>

#include "pg/client_auth.h"
#include "pg/error.h"
#include "pg/frame.h"
#include "pg/msg_out.h"
#include "pg/scram_client.h"
#include "pg/server_auth.h"

#define MD5 "md59d792a3a8853c2411afb9163d088c036" /* secret, ann */
#define SALT_AND_KEYS                                                                    \
	"W22ZaJ0SNY7soEsUEjb6gQ=="                                                       \
	"$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"                                 \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=" /* pencil */
#define SCRAM "SCRAM-SHA-256$4096:" SALT_AND_KEYS

static const uint8_t mock_key[SCRAM_MOCK_KEY_LEN] = { 1, 2, 3 };
static const uint8_t hash[32] = { 7 };
static const struct scram_binding binding = { "tls-server-end-point", hash, sizeof(hash) };

static const struct client_auth_params usual = { .method = CLIENT_AUTH_SCRAM,
	.user = "ann", .stored = SCRAM, .mock_key = mock_key };

/* --- helpers --------------------------------------------------------------- */

/* Gives the first message in b, which must be of that type, whole. */
static struct frame only_frame(const struct buf *b, uint8_t type)
{
	struct frame f;

	ck_assert_int_eq(frame_next(buf_data(b), buf_len(b), 65535, &f), FRAME_OK);
	ck_assert(frame_is_whole(&f));
	ck_assert_uint_eq(frame_size(&f), buf_len(b));
	ck_assert_int_eq(f.type, type);
	return f;
}

/* Keys that are to be derived are derived at once. */
static enum client_auth_result settled(struct client_auth *a, enum client_auth_result result)
{
	struct secret_job job;

	if (result != CLIENT_AUTH_DERIVE)
		return result;
	ck_assert(client_auth_job(a, &job));
	secret_job_run(&job);
	result = client_auth_settle(a, &job);
	secret_job_wipe(&job);
	return result;
}

/* The same of the client's. */
static enum server_auth_result answered(struct server_auth *client,
	enum server_auth_result result, struct buf *out, struct diag *diag)
{
	struct secret_job job;

	if (result != SERVER_AUTH_DERIVE)
		return result;
	ck_assert(server_auth_job(client, &job));
	secret_job_run(&job);
	result = server_auth_derived(client, &job, out, diag);
	secret_job_wipe(&job);
	return result;
}

/* Lets a libpq of our own (pg/server_auth, tested elsewhere) log in. */
static enum client_auth_result log_in(struct client_auth *a, const char *password,
	const struct scram_binding *with)
{
	struct server_auth_credentials known = { .user = "ann", .password = password,
		.allow_cleartext = true, .binding = with };
	enum client_auth_result result;
	struct server_auth client;
	struct buf to_client, to_us;
	struct diag diag;

	buf_init(&to_client, 0);
	buf_init(&to_us, 0);
	diag_clear(&diag);
	server_auth_init(&client, &known);
	result = settled(a, client_auth_start(a, &to_client));
	while (result == CLIENT_AUTH_CONTINUE) {
		struct frame f = only_frame(&to_client, 'R');

		ck_assert_int_eq(answered(&client, server_auth_message(&client, f.body,
					f.body_len, &to_us, &diag), &to_us, &diag),
			SERVER_AUTH_CONTINUE);
		buf_clear(&to_client);
		f = only_frame(&to_us, 'p');
		result = settled(a, client_auth_message(a, f.body, f.body_len, &to_client));
		buf_clear(&to_us);
	}
	server_auth_finish(&client);
	buf_finish(&to_client);
	buf_finish(&to_us);
	return result;
}

static void ck_told(const struct client_auth *a, const char *sqlstate, const char *text)
{
	struct error_fields e;
	struct frame f;
	struct buf b;

	buf_init(&b, 0);
	client_auth_write_error(a, &b);
	f = only_frame(&b, 'E');
	ck_assert(error_parse(f.body, f.body_len, &e));
	ck_assert(error_is_fatal(&e));
	ck_assert_str_eq(e.sqlstate, sqlstate);
	ck_assert(wire_slice_is(e.message, text));
	buf_finish(&b);
}

/* --- who gets in ----------------------------------------------------------- */

#define WRONG "password authentication failed for user \"ann\""

static const struct {
	const char *why;
	enum client_auth_method method;
	const char *stored, *password;
	enum client_auth_failure failure;
	bool knows_password, knows_keys;
} logins[] = {
	{ "clear, plain", CLIENT_AUTH_PASSWORD, "secret", "secret", 0, true, false },
	{ "clear, md5", CLIENT_AUTH_PASSWORD, MD5, "secret", 0, true, false },
	{ "clear, SCRAM", CLIENT_AUTH_PASSWORD, SCRAM, "pencil", 0, true, true },
	{ "md5, plain", CLIENT_AUTH_MD5, "secret", "secret", 0, false, false },
	{ "md5, md5", CLIENT_AUTH_MD5, MD5, "secret", 0, false, false },
	{ "md5, SCRAM", CLIENT_AUTH_MD5, SCRAM, "pencil", 0, false, true },
	{ "SCRAM, plain", CLIENT_AUTH_SCRAM, "secret", "secret", 0, false, true },
	{ "SCRAM, SCRAM", CLIENT_AUTH_SCRAM, SCRAM, "pencil", 0, false, true },
	{ "SCRAM, md5", CLIENT_AUTH_SCRAM, MD5, "secret", CLIENT_AUTH_WRONG_SECRET, 0, 0 },
	{ "clear, wrong", CLIENT_AUTH_PASSWORD, "secret", "Secret",
		CLIENT_AUTH_WRONG_PASSWORD, 0, 0 },
	{ "clear, too long", CLIENT_AUTH_PASSWORD, "secret", "secrets",
		CLIENT_AUTH_WRONG_PASSWORD, 0, 0 },
	{ "clear, the md5 secret itself", CLIENT_AUTH_PASSWORD, MD5, MD5,
		CLIENT_AUTH_WRONG_PASSWORD, 0, 0 },
	{ "clear, the SCRAM secret itself", CLIENT_AUTH_PASSWORD, SCRAM, SCRAM,
		CLIENT_AUTH_WRONG_PASSWORD, 0, 0 },
	{ "md5, wrong", CLIENT_AUTH_MD5, MD5, "Secret", CLIENT_AUTH_WRONG_PASSWORD, 0, 0 },
	{ "SCRAM, wrong", CLIENT_AUTH_SCRAM, SCRAM, "Pencil", CLIENT_AUTH_WRONG_PASSWORD, 0,
		0 },
	{ "SCRAM, plain, wrong", CLIENT_AUTH_SCRAM, "secret", "Secret",
		CLIENT_AUTH_WRONG_PASSWORD, 0, 0 },
	{ "clear, unknown", CLIENT_AUTH_PASSWORD, NULL, "x", CLIENT_AUTH_UNKNOWN_USER, 0, 0 },
	{ "md5, unknown", CLIENT_AUTH_MD5, NULL, "x", CLIENT_AUTH_UNKNOWN_USER, 0, 0 },
	{ "SCRAM, unknown", CLIENT_AUTH_SCRAM, NULL, "x", CLIENT_AUTH_UNKNOWN_USER, 0, 0 },
	{ "clear, no password", CLIENT_AUTH_PASSWORD, "", "x", CLIENT_AUTH_NO_PASSWORD, 0,
		0 },
	{ "md5, no password", CLIENT_AUTH_MD5, "", "x", CLIENT_AUTH_NO_PASSWORD, 0, 0 },
	{ "SCRAM, no password", CLIENT_AUTH_SCRAM, "", "x", CLIENT_AUTH_NO_PASSWORD, 0, 0 },
	{ "clear, malformed secret", CLIENT_AUTH_PASSWORD, "SCRAM-SHA-256$x",
		"SCRAM-SHA-256$x", CLIENT_AUTH_WRONG_SECRET, 0, 0 },
	{ "md5, malformed secret", CLIENT_AUTH_MD5, "SCRAM-SHA-256$x", "SCRAM-SHA-256$x",
		CLIENT_AUTH_WRONG_SECRET, 0, 0 },
};

START_TEST(lets_in_whom_it_should)
{
	struct client_auth_params params = usual;
	bool gets_in = logins[_i].failure == CLIENT_AUTH_NO_FAILURE;
	struct client_auth a;

	params.method = logins[_i].method;
	params.stored = logins[_i].stored;
	client_auth_init(&a, &params);
	ck_assert_msg(log_in(&a, logins[_i].password, NULL) ==
			(gets_in ? CLIENT_AUTH_OK : CLIENT_AUTH_FAILED),
		"%s: %s", logins[_i].why, client_auth_failure_text(&a));
	ck_assert_msg(a.failure == logins[_i].failure, "%s: %s", logins[_i].why,
		client_auth_failure_text(&a));
	if (!gets_in)
		ck_told(&a, "28P01", WRONG);
	ck_assert_ptr_nonnull(client_auth_failure_text(&a));
	ck_assert_msg((a.known.password != NULL) == logins[_i].knows_password, "%s",
		logins[_i].why);
	ck_assert_msg((a.known.keys != NULL) == logins[_i].knows_keys, "%s", logins[_i].why);
	if (a.known.password != NULL)
		ck_assert_str_eq(a.known.password, logins[_i].password);
	client_auth_finish(&a);
}
END_TEST

START_TEST(doomed_users_fail_with_the_right_password)
{
	struct client_auth_params params = usual;
	struct client_auth a;

	params.is_doomed = true;
	params.stored = logins[_i].stored;
	params.method = logins[_i].method;
	client_auth_init(&a, &params);
	ck_assert_int_eq(log_in(&a, logins[_i].password, NULL), CLIENT_AUTH_FAILED);
	ck_assert_int_eq(a.failure, CLIENT_AUTH_DOOMED);
	ck_told(&a, "28P01", WRONG);
	client_auth_finish(&a);
}
END_TEST

START_TEST(trust_asks_nothing)
{
	struct client_auth_params params = usual;
	struct client_auth a;
	struct buf out;

	buf_init(&out, 0);
	params.method = CLIENT_AUTH_TRUST;
	params.stored = NULL;
	client_auth_init(&a, &params);
	ck_assert_int_eq(client_auth_start(&a, &out), CLIENT_AUTH_OK);
	ck_assert_uint_eq(buf_len(&out), 0);
	ck_assert_int_eq(client_auth_message(&a, (const uint8_t *)"x", 2, &out),
		CLIENT_AUTH_FAILED);
	ck_told(&a, "08P01", "unexpected password message");
	client_auth_finish(&a);
	params.is_doomed = true;
	client_auth_init(&a, &params);
	ck_assert_int_eq(client_auth_start(&a, &out), CLIENT_AUTH_FAILED);
	client_auth_finish(&a);
	buf_finish(&out);
}
END_TEST

/* CVE-2015-4054 of another router: a password before anything was asked. */
START_TEST(survives_messages_out_of_turn)
{
	struct client_auth a;
	struct buf out;

	buf_init(&out, 0);
	client_auth_init(&a, &usual);
	ck_assert_int_eq(client_auth_message(&a, (const uint8_t *)"x", 2, &out),
		CLIENT_AUTH_FAILED);
	ck_assert_int_eq(client_auth_start(&a, &out), CLIENT_AUTH_FAILED);
	ck_assert_int_eq(a.failure, CLIENT_AUTH_UNEXPECTED);
	client_auth_finish(&a);
	ck_assert_int_eq(client_auth_message(&a, (const uint8_t *)"x", 2, &out),
		CLIENT_AUTH_FAILED);
	buf_finish(&out);
}
END_TEST

/* Repeated tries see the same salt, for users that exist and that do not. */
START_TEST(unknown_users_look_like_others)
{
	static const char *const stored[] = { NULL, "plain", "", NULL };
	const uint8_t nonce[SCRAM_NONCE_RAW] = { 5 };
	static const char first[] = "SCRAM-SHA-256\0\0\0\0\x0bn,,n=,r=abc";
	struct client_auth_params params = usual;
	struct buf out, before;

	buf_init(&out, 0);
	buf_init(&before, 0);
	params.nonce_raw = nonce;
	for (size_t i = 0; i < COUNT_OF(stored); i++) {
		struct client_auth a;

		params.stored = stored[i];
		buf_clear(&out);
		client_auth_init(&a, &params);
		ck_assert_int_ne(client_auth_start(&a, &out), CLIENT_AUTH_FAILED);
		ck_assert_int_eq(client_auth_message(&a, (const uint8_t *)first,
					 sizeof(first) - 1, &out),
			CLIENT_AUTH_CONTINUE);
		if (i > 0) {
			ck_assert_uint_eq(buf_len(&out), buf_len(&before));
			ck_assert_mem_eq(buf_data(&out), buf_data(&before), buf_len(&out));
		}
		buf_clear(&before);
		buf_add(&before, buf_data(&out), buf_len(&out));
		client_auth_finish(&a);
	}
	buf_finish(&out);
	buf_finish(&before);
}
END_TEST

START_TEST(mocks_what_most_users_have)
{
	struct client_auth_params params = usual;

	params.method = CLIENT_AUTH_MD5;
	params.stored = NULL;
	for (int scram = 0; scram < 2; scram++) {
		struct client_auth a;
		struct buf out;

		buf_init(&out, 0);
		params.mocks_scram = scram != 0;
		client_auth_init(&a, &params);
		ck_assert_int_eq(client_auth_start(&a, &out), CLIENT_AUTH_CONTINUE);
		ck_assert_int_eq(only_frame(&out, 'R').body[3], scram ? 10 : 5);
		client_auth_finish(&a);
		buf_finish(&out);
	}
}
END_TEST

START_TEST(gives_the_derived_secret_to_be_kept)
{
	struct client_auth_params params = usual;
	struct secret_scram kept;
	struct client_auth a;

	params.stored = "secret";
	client_auth_init(&a, &params);
	ck_assert_ptr_null(client_auth_derived(&a));
	ck_assert_int_eq(log_in(&a, "secret", NULL), CLIENT_AUTH_OK);
	ck_assert_ptr_nonnull(client_auth_derived(&a));
	kept = *client_auth_derived(&a);
	client_auth_finish(&a);

	params.derived = &kept;
	client_auth_init(&a, &params);
	ck_assert_int_eq(log_in(&a, "secret", NULL), CLIENT_AUTH_OK);
	ck_assert_ptr_null(client_auth_derived(&a));
	client_auth_finish(&a);
	client_auth_init(&a, &params);
	ck_assert_int_eq(log_in(&a, "secrets", NULL), CLIENT_AUTH_FAILED);
	client_auth_finish(&a);
}
END_TEST

START_TEST(binds_to_the_channel)
{
	static const uint8_t other[32] = { 8 };
	const struct scram_binding wrong = { "tls-server-end-point", other, sizeof(other) };
	struct client_auth_params params = usual;
	struct client_auth a;

	params.binding = &binding;
	client_auth_init(&a, &params);
	ck_assert_int_eq(log_in(&a, "pencil", &binding), CLIENT_AUTH_OK);
	ck_assert(a.scram.is_plus);
	client_auth_finish(&a);
	client_auth_init(&a, &params);
	ck_assert_int_eq(log_in(&a, "pencil", NULL), CLIENT_AUTH_OK);
	ck_assert(!a.scram.is_plus);
	client_auth_finish(&a);
	client_auth_init(&a, &params);
	ck_assert_int_eq(log_in(&a, "pencil", &wrong), CLIENT_AUTH_FAILED);
	ck_told(&a, "28000", "SCRAM channel binding check failed");
	client_auth_finish(&a);
}
END_TEST

/* --- messages --------------------------------------------------------------- */

static const struct {
	const char *why;
	enum client_auth_method method;
	const char *body;
	size_t len;
	const char *sqlstate;
	enum client_auth_failure failure;
} bad[] = {
	{ "nothing", CLIENT_AUTH_PASSWORD, "", 0, "08P01", CLIENT_AUTH_MALFORMED },
	{ "no end", CLIENT_AUTH_PASSWORD, "secret", 6, "08P01", CLIENT_AUTH_MALFORMED },
	{ "two ends", CLIENT_AUTH_PASSWORD, "secret\0", 8, "08P01", CLIENT_AUTH_MALFORMED },
	{ "empty", CLIENT_AUTH_PASSWORD, "", 1, "28P01", CLIENT_AUTH_EMPTY_PASSWORD },
	{ "empty digest", CLIENT_AUTH_MD5, "", 1, "28P01", CLIENT_AUTH_EMPTY_PASSWORD },
	{ "digest without end", CLIENT_AUTH_MD5, MD5, 35, "08P01", CLIENT_AUTH_MALFORMED },
	{ "the stored secret as digest", CLIENT_AUTH_MD5, MD5, 36, "28P01",
		CLIENT_AUTH_WRONG_PASSWORD },
	{ "no mechanism", CLIENT_AUTH_SCRAM, "", 0, "08P01", CLIENT_AUTH_MALFORMED },
	{ "mechanism without end", CLIENT_AUTH_SCRAM, "SCRAM-SHA-256", 13, "08P01",
		CLIENT_AUTH_MALFORMED },
	{ "no length", CLIENT_AUTH_SCRAM, "SCRAM-SHA-256\0\0\0", 16, "08P01",
		CLIENT_AUTH_MALFORMED },
	{ "length too small", CLIENT_AUTH_SCRAM, "SCRAM-SHA-256\0\0\0\0\1n,,", 21, "08P01",
		CLIENT_AUTH_MALFORMED },
	{ "length too large", CLIENT_AUTH_SCRAM, "SCRAM-SHA-256\0\x7f\xff\xff\xffn,,", 21,
		"08P01", CLIENT_AUTH_MALFORMED },
	{ "no data, and data", CLIENT_AUTH_SCRAM, "SCRAM-SHA-256\0\xff\xff\xff\xffn,,", 21,
		"08P01", CLIENT_AUTH_MALFORMED },
	{ "empty data", CLIENT_AUTH_SCRAM, "SCRAM-SHA-256\0\0\0\0\0", 18, "08P01",
		CLIENT_AUTH_MALFORMED },
	{ "another mechanism", CLIENT_AUTH_SCRAM, "SCRAM-SHA-1\0\0\0\0\0", 16, "08P01",
		CLIENT_AUTH_MECHANISM },
	{ "PLUS without TLS", CLIENT_AUTH_SCRAM, "SCRAM-SHA-256-PLUS\0\0\0\0\0", 23, "08P01",
		CLIENT_AUTH_MECHANISM },
	{ "an extension", CLIENT_AUTH_SCRAM, "SCRAM-SHA-256\0\0\0\0\7n,,m=xx", 25, "0A000",
		CLIENT_AUTH_SCRAM_ERROR },
	{ "a plain password instead", CLIENT_AUTH_SCRAM, "secret", 7, "08P01",
		CLIENT_AUTH_MALFORMED },
};

START_TEST(refuses_bad_messages)
{
	struct client_auth_params params = usual;
	uint8_t *copy = malloc(bad[_i].len + 1);
	struct error_fields e;
	struct client_auth a;
	struct buf out;

	buf_init(&out, 0);
	params.method = bad[_i].method;
	params.stored = bad[_i].method == CLIENT_AUTH_SCRAM ? SCRAM : MD5;
	client_auth_init(&a, &params);
	ck_assert_int_eq(client_auth_start(&a, &out), CLIENT_AUTH_CONTINUE);
	buf_clear(&out);
	memcpy(copy + 1, bad[_i].body, bad[_i].len);
	ck_assert_msg(client_auth_message(&a, copy + 1, bad[_i].len, &out) ==
			CLIENT_AUTH_FAILED,
		"%s", bad[_i].why);
	ck_assert_msg(a.failure == bad[_i].failure, "%s: %s", bad[_i].why,
		client_auth_failure_text(&a));
	ck_assert_uint_eq(buf_len(&out), 0);
	client_auth_write_error(&a, &out);
	ck_assert(error_parse(buf_data(&out) + 5, buf_len(&out) - 5, &e));
	ck_assert_msg(strcmp(e.sqlstate, bad[_i].sqlstate) == 0, "%s", bad[_i].why);
	client_auth_finish(&a);
	buf_finish(&out);
	free(copy);
}
END_TEST

/* RFC 4422 allows a client to wait for an empty challenge. */
START_TEST(asks_for_a_late_first_message)
{
	static const char first[] = "SCRAM-SHA-256\0\xff\xff\xff\xff";
	struct client_auth a;
	struct buf out;

	buf_init(&out, 0);
	client_auth_init(&a, &usual);
	ck_assert_int_eq(client_auth_start(&a, &out), CLIENT_AUTH_CONTINUE);
	buf_clear(&out);
	ck_assert_int_eq(client_auth_message(&a, (const uint8_t *)first, sizeof(first) - 1,
				 &out),
		CLIENT_AUTH_CONTINUE);
	ck_assert_uint_eq(only_frame(&out, 'R').body_len, 4);
	ck_assert_int_eq(client_auth_message(&a, (const uint8_t *)"n,,n=,r=abc", 11, &out),
		CLIENT_AUTH_CONTINUE);
	client_auth_finish(&a);
	buf_finish(&out);
}
END_TEST

/* Whatever does not fit into the output: a failure, and no half of a message
 * that counts. */
START_TEST(fails_without_room)
{
	static const char first[] = "SCRAM-SHA-256\0\0\0\0\x0bn,,n=,r=abc";
	enum client_auth_result result;
	struct client_auth a;
	struct buf out;

	buf_init(&out, (size_t)_i + 1);
	client_auth_init(&a, &usual);
	result = client_auth_start(&a, &out);
	if (result == CLIENT_AUTH_CONTINUE)
		result = client_auth_message(&a, (const uint8_t *)first, sizeof(first) - 1,
			&out);
	ck_assert_int_eq(result, CLIENT_AUTH_FAILED);
	ck_assert_int_eq(a.failure, CLIENT_AUTH_INTERNAL);
	ck_told(&a, "53200", "out of memory while authenticating");
	client_auth_finish(&a);
	buf_finish(&out);
}
END_TEST

START_TEST(bounds_messages)
{
	static uint8_t body[CLIENT_AUTH_BODY_MAX + 1];
	struct client_auth_params params = usual;

	memset(body, 'x', sizeof(body));
	params.method = CLIENT_AUTH_PASSWORD;
	params.stored = "secret";
	for (int i = 0; i < 2; i++) {
		struct client_auth a;
		struct buf out;

		buf_init(&out, 0);
		body[CLIENT_AUTH_BODY_MAX - 1 + i] = 0;
		client_auth_init(&a, &params);
		ck_assert_int_eq(client_auth_start(&a, &out), CLIENT_AUTH_CONTINUE);
		ck_assert_int_eq(client_auth_message(&a, body,
					 CLIENT_AUTH_BODY_MAX + (size_t)i, &out),
			CLIENT_AUTH_FAILED);
		ck_assert_int_eq(a.failure, i == 0 ? CLIENT_AUTH_WRONG_PASSWORD :
						     CLIENT_AUTH_MALFORMED);
		client_auth_finish(&a);
		buf_finish(&out);
	}
}
END_TEST

/* Those who have no secret of their own are let wait like those who have one. */
START_TEST(derives_for_nobody_too)
{
	static const char *const stored[] = { SCRAM, NULL, "" };

	for (size_t i = 0; i < COUNT_OF(stored); i++) {
		struct client_auth_params params = usual;
		struct secret_job job;
		struct client_auth a;
		struct buf out;

		buf_init(&out, 0);
		params.method = CLIENT_AUTH_PASSWORD;
		params.stored = stored[i];
		params.mocks_scram = true;
		client_auth_init(&a, &params);
		ck_assert_int_eq(client_auth_start(&a, &out), CLIENT_AUTH_CONTINUE);
		ck_assert_int_eq(client_auth_message(&a, (const uint8_t *)"wrong", 6, &out),
			CLIENT_AUTH_DERIVE);
		ck_assert(client_auth_job(&a, &job));
		ck_assert_uint_eq(job.iterations, 4096);
		ck_assert_uint_eq(job.salt_len, SECRET_SALT_LEN);
		/* What comes before the end of it is out of turn. */
		secret_job_run(&job);
		ck_assert_int_eq(client_auth_settle(&a, &job), CLIENT_AUTH_FAILED);
		ck_told(&a, "28P01", WRONG);
		secret_job_wipe(&job);
		client_auth_finish(&a);
		buf_finish(&out);
	}
}
END_TEST

/* Whoever sends that name would have us compute for as long as its owner wanted. */
START_TEST(derives_no_costly_secret)
{
	static const char *const stored[] = {
		"SCRAM-SHA-256$500000:" SALT_AND_KEYS,
		"SCRAM-SHA-256$500001:" SALT_AND_KEYS,
		"SCRAM-SHA-256$999999999:" SALT_AND_KEYS
	};

	for (size_t i = 0; i < COUNT_OF(stored); i++) {
		struct client_auth_params params = usual;
		struct secret_job job;
		struct client_auth a;
		struct buf out;

		buf_init(&out, 0);
		params.method = CLIENT_AUTH_PASSWORD;
		params.stored = stored[i];
		client_auth_init(&a, &params);
		ck_assert_int_eq(client_auth_start(&a, &out), CLIENT_AUTH_CONTINUE);
		ck_assert_int_eq(client_auth_message(&a, (const uint8_t *)"wrong", 6, &out),
			CLIENT_AUTH_DERIVE);
		ck_assert(client_auth_job(&a, &job));
		ck_assert_uint_eq(job.iterations, i == 0 ? SECRET_DERIVE_MAX : SECRET_ITERATIONS);
		job.iterations = 1;
		secret_job_run(&job);
		ck_assert_int_eq(client_auth_settle(&a, &job), CLIENT_AUTH_FAILED);
		ck_assert_int_eq(a.failure, i == 0 ? CLIENT_AUTH_WRONG_PASSWORD :
						     CLIENT_AUTH_WRONG_SECRET);
		ck_told(&a, "28P01", WRONG);
		secret_job_wipe(&job);
		client_auth_finish(&a);
		buf_finish(&out);

		/* By SCRAM it is the client who computes. */
		params.method = CLIENT_AUTH_SCRAM;
		client_auth_init(&a, &params);
		ck_assert_int_eq(a.doom, CLIENT_AUTH_NO_FAILURE);
		ck_assert_uint_ge(a.secret.iterations, SECRET_DERIVE_MAX);
		client_auth_finish(&a);
	}
}
END_TEST

START_TEST(lets_somebody_else_decide)
{
	for (int i = 0; i < 4; i++) {
		struct client_auth_params params = usual;
		bool is_right = (i & 1) == 0, gets_in;
		struct client_auth a;
		struct buf out;

		buf_init(&out, 0);
		params.method = CLIENT_AUTH_OUTSIDE;
		params.stored = NULL;
		params.is_doomed = i >= 2;
		gets_in = is_right && !params.is_doomed;
		client_auth_init(&a, &params);
		ck_assert_int_eq(client_auth_start(&a, &out), CLIENT_AUTH_CONTINUE);
		ck_assert_int_eq(client_auth_message(&a, (const uint8_t *)"any one", 8, &out),
			CLIENT_AUTH_DECIDE);
		ck_assert_str_eq(a.known.password, "any one");
		ck_assert_int_eq(client_auth_decide(&a, is_right), gets_in ?
				CLIENT_AUTH_OK : CLIENT_AUTH_FAILED);
		ck_assert(gets_in == (a.known.password != NULL));
		client_auth_finish(&a);
		buf_finish(&out);
	}
}
END_TEST

START_TEST(asks_nobody_about_no_password)
{
	struct client_auth_params params = usual;
	struct client_auth a;
	struct buf out;

	buf_init(&out, 0);
	params.method = CLIENT_AUTH_OUTSIDE;
	client_auth_init(&a, &params);
	ck_assert_int_eq(client_auth_start(&a, &out), CLIENT_AUTH_CONTINUE);
	ck_assert_int_eq(client_auth_message(&a, (const uint8_t *)"", 1, &out),
		CLIENT_AUTH_FAILED);
	ck_assert_int_eq(a.failure, CLIENT_AUTH_EMPTY_PASSWORD);
	client_auth_finish(&a);
	buf_finish(&out);
}
END_TEST

/* --- a recorded conversation, cut at every byte ----------------------------- */

static const uint8_t our_nonce[SCRAM_NONCE_RAW] = { 1 };
static const uint8_t their_nonce[SCRAM_NONCE_RAW] = { 2 };

/* Appends what a client sends that logs in to these parameters. */
static void record(const struct client_auth_params *params, struct buf *said)
{
	struct scram_client_params client_params = { .password = "pencil",
		.nonce_raw = their_nonce };
	struct scram_client client;
	struct client_auth a;
	struct secret_job job;
	struct buf payload, out;
	struct frame f;

	buf_init(&payload, 0);
	buf_init(&out, 0);
	client_auth_init(&a, params);
	scram_client_init(&client, &client_params);
	ck_assert_int_eq(client_auth_start(&a, &out), CLIENT_AUTH_CONTINUE);
	buf_clear(&out);
	ck_assert_int_eq(scram_client_start(&client, &payload), SCRAM_CONTINUE);
	msg_out_sasl_initial(said, SCRAM_MECHANISM, buf_data(&payload), buf_len(&payload));
	ck_assert_int_eq(client_auth_message(&a, buf_data(said) + 5, buf_len(said) - 5, &out),
		CLIENT_AUTH_CONTINUE);
	f = only_frame(&out, 'R');
	buf_clear(&payload);
	ck_assert_int_eq(scram_client_message(&client, f.body + 4, f.body_len - 4, &payload),
		SCRAM_DERIVE);
	ck_assert(scram_client_job(&client, &job));
	secret_job_run(&job);
	ck_assert_int_eq(scram_client_derived(&client, &job, &payload), SCRAM_CONTINUE);
	secret_job_wipe(&job);
	msg_out_sasl_response(said, buf_data(&payload), buf_len(&payload));
	client_auth_finish(&a);
	scram_client_finish(&client);
	buf_finish(&payload);
	buf_finish(&out);
}

/* Feeds the messages among the first "have" bytes from *at on. */
static enum client_auth_result feed(struct client_auth *a, const struct buf *said,
	size_t have, size_t *at, enum client_auth_result result)
{
	struct buf out;
	struct frame f;

	buf_init(&out, 0);
	while (result == CLIENT_AUTH_CONTINUE &&
		frame_next(buf_data(said) + *at, have - *at, CLIENT_AUTH_BODY_MAX, &f) ==
			FRAME_OK &&
		frame_is_whole(&f)) {
		result = client_auth_message(a, f.body, f.body_len, &out);
		*at += frame_size(&f);
	}
	buf_finish(&out);
	return result;
}

START_TEST(replays_cut_at_every_byte)
{
	struct client_auth_params params = usual;
	struct buf said, out;

	params.nonce_raw = our_nonce;
	buf_init(&said, 0);
	buf_init(&out, 0);
	record(&params, &said);
	for (size_t cut = 0; cut <= buf_len(&said); cut++) {
		enum client_auth_result result;
		struct client_auth a;
		size_t at = 0;

		client_auth_init(&a, &params);
		result = client_auth_start(&a, &out);
		result = feed(&a, &said, cut, &at, result);
		ck_assert_int_eq(result, cut < buf_len(&said) ? CLIENT_AUTH_CONTINUE :
								 CLIENT_AUTH_OK);
		result = feed(&a, &said, buf_len(&said), &at, result);
		ck_assert_int_eq(result, CLIENT_AUTH_OK);
		client_auth_finish(&a);
	}
	buf_finish(&said);
	buf_finish(&out);
}
END_TEST

START_TEST(refuses_every_changed_byte)
{
	struct client_auth_params params = usual;
	struct buf said, out;

	params.nonce_raw = our_nonce;
	buf_init(&said, 0);
	buf_init(&out, 0);
	record(&params, &said);
	for (size_t i = 0; i < buf_len(&said); i++) {
		enum client_auth_result result;
		struct client_auth a;
		size_t at = 0;

		/* The type of a message is the session's to look at. */
		if (buf_data(&said)[i] == 'p' && (i == 0 || buf_data(&said)[i + 1] == 0))
			continue;
		buf_data(&said)[i] ^= 0x01;
		client_auth_init(&a, &params);
		result = client_auth_start(&a, &out);
		ck_assert_int_ne(feed(&a, &said, buf_len(&said), &at, result),
			CLIENT_AUTH_OK);
		client_auth_finish(&a);
		buf_data(&said)[i] ^= 0x01;
	}
	buf_finish(&said);
	buf_finish(&out);
}
END_TEST

Suite *client_auth_suite(void);
Suite *client_auth_suite(void)
{
	Suite *s = suite_create("pg/client_auth");
	TCase *tc = tcase_create("client_auth");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, lets_in_whom_it_should, 0, (int)COUNT_OF(logins));
	tcase_add_loop_test(tc, doomed_users_fail_with_the_right_password, 0,
		(int)COUNT_OF(logins));
	tcase_add_test(tc, trust_asks_nothing);
	tcase_add_test(tc, survives_messages_out_of_turn);
	tcase_add_test(tc, unknown_users_look_like_others);
	tcase_add_test(tc, mocks_what_most_users_have);
	tcase_add_test(tc, gives_the_derived_secret_to_be_kept);
	tcase_add_test(tc, binds_to_the_channel);
	tcase_add_loop_test(tc, refuses_bad_messages, 0, (int)COUNT_OF(bad));
	tcase_add_test(tc, asks_for_a_late_first_message);
	tcase_add_loop_test(tc, fails_without_room, 0, 80);
	tcase_add_test(tc, bounds_messages);
	tcase_add_test(tc, derives_for_nobody_too);
	tcase_add_test(tc, derives_no_costly_secret);
	tcase_add_test(tc, lets_somebody_else_decide);
	tcase_add_test(tc, asks_nobody_about_no_password);
	tcase_add_test(tc, replays_cut_at_every_byte);
	tcase_add_test(tc, refuses_every_changed_byte);
	suite_add_tcase(s, tc);
	return s;
}
