/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <stdlib.h>

#include "pg/frame.h"
#include "pg/msg_out.h"
#include "pg/scram_server.h"
#include "pg/server_auth.h"

#define MD5 "md59d792a3a8853c2411afb9163d088c036" /* secret, ann */
#define PENCIL                                                                           \
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ=="                                    \
	"$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"                                 \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static const uint8_t hash[32] = { 7 };
static const struct scram_binding binding = { "tls-server-end-point", hash, sizeof(hash) };
static const struct server_auth_credentials with_password = { .user = "ann",
	.password = "secret" };
static const struct server_auth_credentials with_pencil = { .user = "ann",
	.password = "pencil" };

#define OK        "\0\0\0\0"
#define CLEARTEXT "\0\0\0\3"
#define MD5_ASKED "\0\0\0\5\1\2\3\4"
#define SASL      "\0\0\0\x0aSCRAM-SHA-256\0\0"
#define SASL_PLUS "\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"

#define TELL(a, body) tell((a), (body), sizeof(body) - 1, &out, &diag)

static enum server_auth_result tell(struct server_auth *a, const void *body, size_t len,
	struct buf *out, struct diag *diag)
{
	uint8_t *copy = malloc(len + 1);
	enum server_auth_result result;

	memcpy(copy + 1, body, len);
	buf_clear(out);
	diag_clear(diag);
	result = server_auth_message(a, copy + 1, len, out, diag);
	if (result == SERVER_AUTH_DERIVE) {
		struct secret_job job;

		ck_assert_uint_eq(buf_len(out), 0);
		ck_assert(server_auth_job(a, &job));
		secret_job_run(&job);
		result = server_auth_derived(a, &job, out, diag);
		secret_job_wipe(&job);
	}
	ck_assert_int_eq(diag_is_set(diag), result == SERVER_AUTH_FAILED);
	free(copy);
	return result;
}

static void ck_sent(const struct buf *out, const char *bytes, size_t len)
{
	ck_assert_uint_eq(buf_len(out), len);
	ck_assert_mem_eq(buf_data(out), bytes, len);
}

/* --- without SCRAM ----------------------------------------------------------- */

START_TEST(answers_passwords)
{
	struct server_auth_credentials with = with_password;
	struct server_auth a;
	struct diag diag;
	struct buf out;

	buf_init(&out, 0);
	with.allow_cleartext = true;
	server_auth_init(&a, &with);
	ck_assert_int_eq(TELL(&a, CLEARTEXT), SERVER_AUTH_CONTINUE);
	ck_sent(&out, "p\0\0\0\x0bsecret\0", 12);
	ck_assert_int_eq(TELL(&a, OK), SERVER_AUTH_OK);
	ck_assert_ptr_null(server_auth_keys(&a));
	ck_assert_int_eq(TELL(&a, OK), SERVER_AUTH_FAILED);

	for (int i = 0; i < 2; i++) {
		with = with_password;
		if (i == 1)
			with = (struct server_auth_credentials){ .user = "ann",
				.md5_secret = MD5 };
		server_auth_init(&a, &with);
		ck_assert_int_eq(TELL(&a, MD5_ASKED), SERVER_AUTH_CONTINUE);
		ck_sent(&out, "p\0\0\0\x28md59009ce60b9ca97f1e752376843d1309e\0", 41);
		ck_assert_int_eq(TELL(&a, OK), SERVER_AUTH_OK);
	}
	server_auth_finish(&a);
	buf_finish(&out);
}
END_TEST

static const struct {
	const char *why;
	struct server_auth_credentials with;
	const char *body;
	size_t len;
	const char *text;       /* part of the diag; NULL: it goes on */
} asked[] = {
	{ "nothing asked", { .user = "ann" }, OK, 4, NULL },
	{ "clear, not allowed", { .user = "ann", .password = "x" }, CLEARTEXT, 4,
		"not allowed" },
	{ "clear, md5 known", { .user = "ann", .md5_secret = MD5, .allow_cleartext = true },
		CLEARTEXT, 4, "only an md5 secret is known for user \"ann\"" },
	{ "md5, nothing known", { .user = "ann" }, MD5_ASKED, 8,
		"server asked for an md5 password but no password is known" },
	{ "md5, not an md5 secret", { .user = "ann", .md5_secret = "md5x" }, MD5_ASKED, 8,
		"md5" },
	{ "SCRAM, md5 known", { .user = "ann", .md5_secret = MD5 }, SASL, 19,
		"server asked for SCRAM but only an md5 secret is known for user \"ann\"" },
	{ "SCRAM, nothing known", { .user = "ann" }, SASL, 19, "no password is known" },
	{ "SCRAM, binding required", { .user = "ann", .password = "x", .binding = &binding,
		.binding_mode = SERVER_AUTH_BINDING_REQUIRE }, SASL, 19,
		"server does not offer it" },
	{ "SCRAM, binding required without TLS", { .user = "ann", .password = "x",
		.binding_mode = SERVER_AUTH_BINDING_REQUIRE }, SASL_PLUS, 38, "needs TLS" },
	{ "md5, binding required", { .user = "ann", .password = "x", .binding = &binding,
		.binding_mode = SERVER_AUTH_BINDING_REQUIRE }, MD5_ASKED, 8, "required" },
	{ "nothing, binding required", { .user = "ann", .password = "x",
		.binding = &binding, .binding_mode = SERVER_AUTH_BINDING_REQUIRE }, OK, 4,
		"required" },
	{ "only PLUS, no TLS", { .user = "ann", .password = "x" },
		"\0\0\0\x0aSCRAM-SHA-256-PLUS\0\0", 24, "no SASL mechanism" },
	{ "other mechanisms", { .user = "ann", .password = "x" },
		"\0\0\0\x0aOAUTHBEARER\0\0", 17, "no SASL mechanism" },
	{ "list without end", { .user = "ann", .password = "x" },
		"\0\0\0\x0aSCRAM-SHA-256\0", 18, "malformed" },
	{ "bytes after the list", { .user = "ann", .password = "x" },
		"\0\0\0\x0aSCRAM-SHA-256\0\0x", 20, "malformed" },
	{ "no code", { .user = "ann" }, "\0\0\0", 3, "malformed" },
	{ "short salt", { .user = "ann", .password = "x" }, "\0\0\0\5\1\2\3", 7, "salt" },
	{ "long salt", { .user = "ann", .password = "x" }, "\0\0\0\5\1\2\3\4\5", 9, "salt" },
	{ "bytes after Ok", { .user = "ann" }, "\0\0\0\0x", 5, "malformed" },
	{ "SASLContinue first", { .user = "ann", .password = "x" }, "\0\0\0\x0b", 4, "SASL" },
	{ "SASLFinal first", { .user = "ann", .password = "x" }, "\0\0\0\x0c", 4, "SASL" },
	{ "Kerberos", { .user = "ann" }, "\0\0\0\2", 4, "Kerberos 5" },
	{ "GSSAPI", { .user = "ann" }, "\0\0\0\7", 4, "GSSAPI" },
	{ "SSPI", { .user = "ann" }, "\0\0\0\x09", 4, "SSPI" },
	{ "unknown", { .user = "ann" }, "\xff\xff\xff\xff", 4, "4294967295" },
};

START_TEST(says_why_not)
{
	struct server_auth a;
	struct diag diag;
	struct buf out;
	enum server_auth_result result;

	buf_init(&out, 0);
	server_auth_init(&a, &asked[_i].with);
	result = tell(&a, asked[_i].body, asked[_i].len, &out, &diag);
	ck_assert_msg((result == SERVER_AUTH_FAILED) == (asked[_i].text != NULL), "%s",
		asked[_i].why);
	if (asked[_i].text != NULL) {
		ck_assert_msg(strstr(diag.text, asked[_i].text) != NULL, "%s: %s",
			asked[_i].why, diag.text);
		ck_assert_uint_eq(buf_len(&out), 0);
		ck_assert_int_eq(TELL(&a, OK), SERVER_AUTH_FAILED);
	}
	server_auth_finish(&a);
	buf_finish(&out);
}
END_TEST

START_TEST(is_asked_only_once)
{
	struct server_auth_credentials with = with_password;
	struct server_auth a;
	struct diag diag;
	struct buf out;

	buf_init(&out, 0);
	with.allow_cleartext = true;
	server_auth_init(&a, &with);
	ck_assert_int_eq(TELL(&a, MD5_ASKED), SERVER_AUTH_CONTINUE);
	ck_assert_int_eq(TELL(&a, CLEARTEXT), SERVER_AUTH_FAILED);
	server_auth_init(&a, &with);
	ck_assert_int_eq(TELL(&a, SASL), SERVER_AUTH_CONTINUE);
	ck_assert_int_eq(TELL(&a, CLEARTEXT), SERVER_AUTH_FAILED);
	ck_assert_uint_eq(buf_len(&out), 0);
	server_auth_finish(&a);
	buf_finish(&out);
}
END_TEST

/* --- SCRAM -------------------------------------------------------------------- */

/* PostgreSQL's side, holding "pencil"; lies in the way that is asked for. */
struct fake_server {
	struct scram_server scram;
	struct buf out;
};

static void fake_init(struct fake_server *f, bool is_plus)
{
	static const uint8_t nonce[SCRAM_NONCE_RAW] = { 3 };
	struct secret_scram secret;

	ck_assert(secret_parse_scram(PENCIL, &secret));
	scram_server_init(&f->scram, &(struct scram_server_params){ .secret = &secret,
		.nonce_raw = nonce, .is_plus = is_plus,
		.binding = is_plus ? &binding : NULL });
	buf_init(&f->out, 0);
}

/* Takes the 'p' message in said, and gives the body of the 'R' that answers. */
static struct wire_slice fake_answer(struct fake_server *f, const struct buf *said)
{
	enum scram_result result;
	struct buf payload;
	struct frame frame;
	struct wire_in in;
	struct wire_slice data;

	buf_init(&payload, 0);
	ck_assert_int_eq(frame_next(buf_data(said), buf_len(said), 65535, &frame), FRAME_OK);
	wire_init(&in, frame.body, frame.body_len);
	if (f->scram.state == SCRAM_SERVER_FIRST) {
		(void)wire_cstr(&in);
		(void)wire_u32(&in);
	}
	data = wire_rest(&in);
	result = scram_server_message(&f->scram, data.data, data.len, &payload);
	ck_assert_int_ne(result, SCRAM_FAILED);
	buf_clear(&f->out);
	if (result == SCRAM_CONTINUE)
		msg_out_auth_sasl_continue(&f->out, buf_data(&payload), buf_len(&payload));
	else
		msg_out_auth_sasl_final(&f->out, buf_data(&payload), buf_len(&payload));
	buf_finish(&payload);
	return (struct wire_slice){ (const char *)buf_data(&f->out) + FRAME_HEADER,
		buf_len(&f->out) - FRAME_HEADER };
}

START_TEST(logs_in_with_scram)
{
	struct server_auth_credentials with = with_pencil;
	struct wire_slice answer;
	struct secret_keys keys;
	struct fake_server f;
	struct server_auth a;
	struct diag diag;
	struct buf out;

	buf_init(&out, 0);
	for (int i = 0; i < 4; i++) {
		bool is_plus = i == 1;

		if (i > 0)
			with.binding = &binding;
		if (i == 2)
			with.binding_mode = SERVER_AUTH_BINDING_DISABLE;
		/* The keys of the login before are enough. */
		if (i == 3)
			with = (struct server_auth_credentials){ .user = "ann",
				.keys = &keys };
		fake_init(&f, is_plus);
		server_auth_init(&a, &with);
		ck_assert_int_eq(i == 0 ? TELL(&a, SASL) : TELL(&a, SASL_PLUS),
			SERVER_AUTH_CONTINUE);
		ck_assert_str_eq((const char *)buf_data(&out) + 5,
			is_plus ? SCRAM_MECHANISM_PLUS : SCRAM_MECHANISM);
		answer = fake_answer(&f, &out);
		ck_assert_int_eq(tell(&a, answer.data, answer.len, &out, &diag),
			SERVER_AUTH_CONTINUE);
		answer = fake_answer(&f, &out);
		ck_assert_int_eq(tell(&a, answer.data, answer.len, &out, &diag),
			SERVER_AUTH_CONTINUE);
		ck_assert_uint_eq(buf_len(&out), 0);
		ck_assert_ptr_null(server_auth_keys(&a));
		ck_assert_int_eq(TELL(&a, OK), SERVER_AUTH_OK);
		keys = *server_auth_keys(&a);
		ck_assert_mem_eq(&keys, &f.scram.keys, sizeof(keys));
		server_auth_finish(&a);
		buf_finish(&f.out);
	}
	buf_finish(&out);
}
END_TEST

/* A server that offers PLUS no more is noticed by the true one. */
START_TEST(says_that_it_could_have_bound)
{
	struct server_auth_credentials with = with_pencil;
	struct server_auth a;
	struct diag diag;
	struct buf out;

	buf_init(&out, 0);
	with.binding = &binding;
	server_auth_init(&a, &with);
	ck_assert_int_eq(TELL(&a, SASL), SERVER_AUTH_CONTINUE);
	ck_assert_int_eq(buf_data(&out)[5 + 14 + 4], 'y');
	server_auth_finish(&a);
	buf_finish(&out);
}
END_TEST

/* AuthenticationOk at any time before the signature was verified. */
START_TEST(does_not_trust_an_early_ok)
{
	struct wire_slice answer;
	struct fake_server f;
	struct server_auth a;
	struct diag diag;
	struct buf out;

	buf_init(&out, 0);
	fake_init(&f, false);
	server_auth_init(&a, &with_pencil);
	ck_assert_int_eq(TELL(&a, SASL), SERVER_AUTH_CONTINUE);
	ck_assert_int_eq(TELL(&a, OK), SERVER_AUTH_FAILED);
	ck_assert_ptr_nonnull(strstr(diag.text, "without proving"));

	server_auth_init(&a, &with_pencil);
	ck_assert_int_eq(TELL(&a, SASL), SERVER_AUTH_CONTINUE);
	answer = fake_answer(&f, &out);
	ck_assert_int_eq(tell(&a, answer.data, answer.len, &out, &diag),
		SERVER_AUTH_CONTINUE);
	ck_assert_int_eq(TELL(&a, OK), SERVER_AUTH_FAILED);
	ck_assert_ptr_null(server_auth_keys(&a));
	server_auth_finish(&a);
	buf_finish(&f.out);
	buf_finish(&out);
}
END_TEST

START_TEST(refuses_messages_out_of_order)
{
	struct wire_slice answer;
	struct fake_server f;
	struct server_auth a;
	struct diag diag;
	struct buf out;

	buf_init(&out, 0);
	fake_init(&f, false);
	server_auth_init(&a, &with_pencil);
	ck_assert_int_eq(TELL(&a, SASL), SERVER_AUTH_CONTINUE);
	ck_assert_int_eq(TELL(&a, "\0\0\0\x0cv=x"), SERVER_AUTH_FAILED);
	server_auth_init(&a, &with_pencil);
	ck_assert_int_eq(TELL(&a, SASL), SERVER_AUTH_CONTINUE);
	answer = fake_answer(&f, &out);
	ck_assert_int_eq(tell(&a, answer.data, answer.len, &out, &diag),
		SERVER_AUTH_CONTINUE);
	ck_assert_int_eq(tell(&a, answer.data, answer.len, &out, &diag), SERVER_AUTH_FAILED);
	server_auth_init(&a, &with_pencil);
	ck_assert_int_eq(TELL(&a, SASL), SERVER_AUTH_CONTINUE);
	ck_assert_int_eq(TELL(&a, SASL), SERVER_AUTH_FAILED);
	server_auth_finish(&a);
	buf_finish(&f.out);
	buf_finish(&out);
}
END_TEST

START_TEST(says_that_keys_do_not_fit)
{
	struct secret_keys keys = { .iterations = 4096, .salt_len = 16 };
	struct server_auth_credentials with = { .user = "ann", .keys = &keys };
	struct wire_slice answer;
	struct fake_server f;
	struct server_auth a;
	struct diag diag;
	struct buf out;

	buf_init(&out, 0);
	fake_init(&f, false);
	server_auth_init(&a, &with);
	ck_assert_int_eq(TELL(&a, SASL), SERVER_AUTH_CONTINUE);
	answer = fake_answer(&f, &out);
	ck_assert_int_eq(tell(&a, answer.data, answer.len, &out, &diag), SERVER_AUTH_FAILED);
	ck_assert_ptr_nonnull(strstr(diag.text, "is not the same here and in the server"));
	server_auth_finish(&a);
	buf_finish(&f.out);
	buf_finish(&out);
}
END_TEST

/* The server may go on talking while the keys of its salt are derived. */
START_TEST(takes_nothing_before_the_keys)
{
	struct wire_slice answer;
	struct secret_job job;
	struct fake_server f;
	struct server_auth a;
	struct diag diag;
	struct buf out;

	buf_init(&out, 0);
	for (int i = 0; i < 3; i++) {
		fake_init(&f, false);
		server_auth_init(&a, &with_pencil);
		ck_assert_int_eq(TELL(&a, SASL), SERVER_AUTH_CONTINUE);
		answer = fake_answer(&f, &out);
		buf_clear(&out);
		diag_clear(&diag);
		ck_assert_int_eq(server_auth_message(&a, (const uint8_t *)answer.data,
					 answer.len, &out, &diag), SERVER_AUTH_DERIVE);
		ck_assert_uint_eq(buf_len(&out), 0);
		if (i == 0)
			ck_assert_int_eq(TELL(&a, OK), SERVER_AUTH_FAILED);
		else if (i == 1)
			ck_assert_int_eq(tell(&a, answer.data, answer.len, &out, &diag),
				SERVER_AUTH_FAILED);
		/* It could not be done. */
		ck_assert(i < 2 || server_auth_job(&a, &job));
		if (i == 2)
			ck_assert_int_eq(server_auth_derived(&a, &job, &out, &diag),
				SERVER_AUTH_FAILED);
		ck_assert(diag_is_set(&diag));
		if (i == 2)
			secret_job_wipe(&job);
		server_auth_finish(&a);
		buf_finish(&f.out);
	}
	buf_finish(&out);
}
END_TEST

START_TEST(fails_without_room)
{
	struct server_auth a;
	struct diag diag;
	struct buf out;

	buf_init(&out, (size_t)_i + 1);
	server_auth_init(&a, &with_pencil);
	ck_assert_int_eq(TELL(&a, SASL), SERVER_AUTH_FAILED);
	ck_assert_str_eq(diag.text, "out of memory");
	server_auth_finish(&a);
	buf_finish(&out);
}
END_TEST

/* --- a recorded server, cut and changed --------------------------------------- */

static const uint8_t our_nonce[SCRAM_NONCE_RAW] = { 4 };

/* Appends all that a server says to a login with our_nonce. */
static void record(struct buf *said)
{
	struct server_auth_credentials with = with_pencil;
	struct wire_slice answer;
	struct fake_server f;
	struct server_auth a;
	struct diag diag;
	struct buf out;

	buf_init(&out, 0);
	with.nonce_raw = our_nonce;
	fake_init(&f, false);
	server_auth_init(&a, &with);
	buf_add(said, "R\0\0\0\x17" SASL, 5 + 19);
	ck_assert_int_eq(TELL(&a, SASL), SERVER_AUTH_CONTINUE);
	for (int i = 0; i < 2; i++) {
		answer = fake_answer(&f, &out);
		buf_add(said, buf_data(&f.out), buf_len(&f.out));
		ck_assert_int_eq(tell(&a, answer.data, answer.len, &out, &diag),
			SERVER_AUTH_CONTINUE);
	}
	msg_out_auth_ok(said);
	server_auth_finish(&a);
	buf_finish(&f.out);
	buf_finish(&out);
}

static enum server_auth_result feed(struct server_auth *a, const struct buf *said,
	size_t have, size_t *at, enum server_auth_result result)
{
	struct diag diag;
	struct buf out;
	struct frame f;

	buf_init(&out, 0);
	while (result == SERVER_AUTH_CONTINUE &&
		frame_next(buf_data(said) + *at, have - *at, 30000, &f) == FRAME_OK &&
		frame_is_whole(&f)) {
		result = tell(a, f.body, f.body_len, &out, &diag);
		*at += frame_size(&f);
	}
	buf_finish(&out);
	return result;
}

START_TEST(replays_cut_at_every_byte)
{
	struct server_auth_credentials with = with_pencil;
	struct buf said;

	buf_init(&said, 0);
	record(&said);
	with.nonce_raw = our_nonce;
	for (size_t cut = 0; cut <= buf_len(&said); cut++) {
		enum server_auth_result result;
		struct server_auth a;
		size_t at = 0;

		server_auth_init(&a, &with);
		result = feed(&a, &said, cut, &at, SERVER_AUTH_CONTINUE);
		ck_assert_int_eq(result, cut < buf_len(&said) ? SERVER_AUTH_CONTINUE :
								 SERVER_AUTH_OK);
		ck_assert_int_eq(feed(&a, &said, buf_len(&said), &at, result),
			SERVER_AUTH_OK);
		server_auth_finish(&a);
	}
	buf_finish(&said);
}
END_TEST

/* Every byte of a login changed, all but the types of messages. */
START_TEST(refuses_every_changed_byte)
{
	struct server_auth_credentials with = with_pencil;
	struct buf said;

	buf_init(&said, 0);
	record(&said);
	with.nonce_raw = our_nonce;
	for (size_t i = 0; i < buf_len(&said); i++) {
		struct server_auth a;
		size_t at = 0;

		if (buf_data(&said)[i] == 'R' && buf_data(&said)[i + 1] == 0)
			continue;
		for (uint8_t bit = 1; bit != 0; bit = (uint8_t)(bit << 1)) {
			buf_data(&said)[i] ^= bit;
			server_auth_init(&a, &with);
			at = 0;
			ck_assert_msg(feed(&a, &said, buf_len(&said), &at,
					      SERVER_AUTH_CONTINUE) != SERVER_AUTH_OK,
				"byte %zu, bit %d", i, bit);
			server_auth_finish(&a);
			buf_data(&said)[i] ^= bit;
		}
	}
	buf_finish(&said);
}
END_TEST

Suite *server_auth_suite(void);
Suite *server_auth_suite(void)
{
	Suite *s = suite_create("pg/server_auth");
	TCase *tc = tcase_create("server_auth");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, answers_passwords);
	tcase_add_loop_test(tc, says_why_not, 0, (int)COUNT_OF(asked));
	tcase_add_test(tc, is_asked_only_once);
	tcase_add_test(tc, logs_in_with_scram);
	tcase_add_test(tc, says_that_it_could_have_bound);
	tcase_add_test(tc, does_not_trust_an_early_ok);
	tcase_add_test(tc, refuses_messages_out_of_order);
	tcase_add_test(tc, says_that_keys_do_not_fit);
	tcase_add_test(tc, takes_nothing_before_the_keys);
	tcase_add_loop_test(tc, fails_without_room, 0, 50);
	tcase_add_test(tc, replays_cut_at_every_byte);
	tcase_add_test(tc, refuses_every_changed_byte);
	suite_add_tcase(s, tc);
	return s;
}
