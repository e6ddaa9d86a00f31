/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "pg/base64.h"
#include "pg/scram_client.h"
#include "pg/scram_server.h"

/* RFC 7677, section 3. */
#define RFC_BARE   "n=user,r=rOprNGfwEbeRWgbNEkqO"
#define RFC_FIRST  "n,," RFC_BARE
#define RFC_OURS   "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define RFC_NONCE  "rOprNGfwEbeRWgbNEkqO" RFC_OURS
#define RFC_SALT   "W22ZaJ0SNY7soEsUEjb6gQ=="
#define RFC_SECOND "r=" RFC_NONCE ",s=" RFC_SALT ",i=4096"
#define RFC_PROOF  "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define RFC_THIRD  "c=biws,r=" RFC_NONCE ",p=" RFC_PROOF
#define RFC_FOURTH "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
#define PENCIL                                                                           \
	"SCRAM-SHA-256$4096:" RFC_SALT                                                   \
	"$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"                                 \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static const uint8_t hash[32] = { 1, 2, 3 };
static const struct scram_binding binding = { "tls-server-end-point", hash, sizeof(hash) };

/* --- helpers --------------------------------------------------------------- */

/* A server that holds "pencil", and whose nonce is that of the RFC. */
static void rfc_server(struct scram_server *s)
{
	struct secret_scram secret;

	ck_assert(secret_parse_scram(PENCIL, &secret));
	scram_server_init(s, &(struct scram_server_params){ .secret = &secret });
	memcpy(s->nonce, RFC_OURS, strlen(RFC_OURS));
	s->nonce_len = strlen(RFC_OURS);
}

/* A client that has sent the first message of the RFC. */
static void rfc_client(struct scram_client *c, const char *password)
{
	scram_client_init(c, &(struct scram_client_params){ .password = password });
	c->state = SCRAM_CLIENT_FIRST;
	c->nonce_len = strlen("rOprNGfwEbeRWgbNEkqO");
	memcpy(c->nonce, RFC_NONCE, c->nonce_len);
	c->transcript.len = strlen(RFC_BARE);
	memcpy(c->transcript.text, RFC_BARE, c->transcript.len);
}

/* Gives a copy of exactly that size, so that a sanitizer sees overruns. */
static enum scram_result tell_server(struct scram_server *s, const void *data, size_t len,
	struct buf *out)
{
	uint8_t *copy = malloc(len + 1);
	enum scram_result result;

	memcpy(copy + 1, data, len);
	buf_clear(out);
	result = scram_server_message(s, copy + 1, len, out);
	free(copy);
	return result;
}

static enum scram_result tell_client(struct scram_client *c, const void *data, size_t len,
	struct buf *out)
{
	uint8_t *copy = malloc(len + 1);
	enum scram_result result;

	memcpy(copy + 1, data, len);
	buf_clear(out);
	result = scram_client_message(c, copy + 1, len, out);
	if (result == SCRAM_DERIVE) {
		struct secret_job job;

		ck_assert(scram_client_job(c, &job));
		secret_job_run(&job);
		result = scram_client_derived(c, &job, out);
		secret_job_wipe(&job);
	}
	free(copy);
	return result;
}

static void ck_text(const struct buf *b, const char *text)
{
	ck_assert_uint_eq(buf_len(b), strlen(text));
	ck_assert_mem_eq(buf_data(b), text, strlen(text));
}

/* Lets the two machines talk; the server's result, or the client's if that
 * failed. */
static enum scram_result talk(struct scram_server *s, struct scram_client *c)
{
	enum scram_result result;
	struct buf a, b;

	buf_init(&a, 0);
	buf_init(&b, 0);
	ck_assert_int_eq(scram_client_start(c, &a), SCRAM_CONTINUE);
	result = tell_server(s, buf_data(&a), buf_len(&a), &b);
	if (result == SCRAM_CONTINUE)
		result = tell_client(c, buf_data(&b), buf_len(&b), &a);
	if (result == SCRAM_CONTINUE)
		result = tell_server(s, buf_data(&a), buf_len(&a), &b);
	if (result == SCRAM_OK)
		result = tell_client(c, buf_data(&b), buf_len(&b), &a);
	buf_finish(&a);
	buf_finish(&b);
	return result;
}

/* --- the vector of the RFC ------------------------------------------------- */

START_TEST(serves_rfc_7677)
{
	struct scram_server s;
	struct secret_keys keys;
	struct buf out;

	buf_init(&out, 0);
	rfc_server(&s);
	ck_assert_int_eq(tell_server(&s, RFC_FIRST, strlen(RFC_FIRST), &out), SCRAM_CONTINUE);
	ck_text(&out, RFC_SECOND);
	ck_assert_int_eq(tell_server(&s, RFC_THIRD, strlen(RFC_THIRD), &out), SCRAM_OK);
	ck_text(&out, RFC_FOURTH);
	ck_assert(secret_derive_keys("pencil", s.secret.salt, s.secret.salt_len, 4096, &keys));
	ck_assert_mem_eq(&keys, &s.keys, sizeof(keys));
	ck_assert_int_eq(tell_server(&s, RFC_THIRD, strlen(RFC_THIRD), &out), SCRAM_FAILED);
	ck_assert_int_eq(s.error, SCRAM_ERROR_STATE);
	scram_server_finish(&s);
	buf_finish(&out);
}
END_TEST

START_TEST(logs_in_by_rfc_7677)
{
	struct scram_client c;
	struct buf out;

	buf_init(&out, 0);
	rfc_client(&c, "pencil");
	ck_assert_int_eq(tell_client(&c, RFC_SECOND, strlen(RFC_SECOND), &out),
		SCRAM_CONTINUE);
	ck_text(&out, RFC_THIRD);
	ck_assert_int_eq(tell_client(&c, RFC_FOURTH, strlen(RFC_FOURTH), &out), SCRAM_OK);
	ck_assert_uint_eq(buf_len(&out), 0);
	scram_client_finish(&c);
	buf_finish(&out);
}
END_TEST

/* --- hostile peers --------------------------------------------------------- */

static const uint8_t changes[] = { 0, ',', '=', 'A', 0xff };

/* One changed byte anywhere: never a login, never a crash. */
START_TEST(server_refuses_every_changed_byte)
{
	char first[] = RFC_FIRST, third[] = RFC_THIRD;
	size_t first_len = strlen(RFC_FIRST), third_len = strlen(RFC_THIRD);
	size_t at = (size_t)_i;
	char *byte = at < first_len ? first + at : third + (at - first_len);
	char was = *byte;
	struct buf out;

	buf_init(&out, 0);
	for (size_t i = 0; i <= COUNT_OF(changes); i++) {
		enum scram_result result;
		struct scram_server s;

		*byte = (char)(i < COUNT_OF(changes) ? changes[i] : (uint8_t)(was ^ 1));
		if (*byte == was)
			continue;
		rfc_server(&s);
		result = tell_server(&s, first, first_len, &out);
		if (result == SCRAM_CONTINUE)
			result = tell_server(&s, third, third_len, &out);
		ck_assert_int_eq(result, SCRAM_FAILED);
		ck_assert_int_ne(s.error, SCRAM_ERROR_NONE);
		scram_server_finish(&s);
	}
	buf_finish(&out);
}
END_TEST

START_TEST(client_refuses_every_changed_byte)
{
	char second[] = RFC_SECOND, fourth[] = RFC_FOURTH;
	size_t second_len = strlen(RFC_SECOND), fourth_len = strlen(RFC_FOURTH);
	size_t at = (size_t)_i;
	char *byte = at < second_len ? second + at : fourth + (at - second_len);
	char was = *byte;
	struct buf out;

	buf_init(&out, 0);
	for (size_t i = 0; i <= COUNT_OF(changes); i++) {
		enum scram_result result;
		struct scram_client c;

		*byte = (char)(i < COUNT_OF(changes) ? changes[i] : (uint8_t)(was ^ 1));
		if (*byte == was)
			continue;
		rfc_client(&c, "pencil");
		result = tell_client(&c, second, second_len, &out);
		if (result == SCRAM_CONTINUE)
			result = tell_client(&c, fourth, fourth_len, &out);
		ck_assert_int_eq(result, SCRAM_FAILED);
		ck_assert_int_ne(c.error, SCRAM_ERROR_NONE);
		scram_client_finish(&c);
	}
	buf_finish(&out);
}
END_TEST

START_TEST(both_refuse_every_cut)
{
	size_t len = (size_t)_i;
	struct scram_server s;
	struct scram_client c;
	struct buf out;

	buf_init(&out, 0);
	/* "r=a" is a nonce too, so a cut first message may only change the rest. */
	rfc_server(&s);
	if (tell_server(&s, RFC_FIRST, size_min(len, strlen(RFC_FIRST) - 1), &out) ==
		SCRAM_CONTINUE)
		ck_assert_int_eq(tell_server(&s, RFC_THIRD, strlen(RFC_THIRD), &out),
			SCRAM_FAILED);
	rfc_server(&s);
	ck_assert_int_eq(tell_server(&s, RFC_FIRST, strlen(RFC_FIRST), &out), SCRAM_CONTINUE);
	ck_assert_int_eq(tell_server(&s, RFC_THIRD, size_min(len, strlen(RFC_THIRD) - 1), &out),
		SCRAM_FAILED);
	rfc_client(&c, "pencil");
	if (tell_client(&c, RFC_SECOND, size_min(len, strlen(RFC_SECOND) - 1), &out) ==
		SCRAM_CONTINUE)
		ck_assert_int_eq(tell_client(&c, RFC_FOURTH, strlen(RFC_FOURTH), &out),
			SCRAM_FAILED);
	rfc_client(&c, "pencil");
	ck_assert_int_eq(tell_client(&c, RFC_SECOND, strlen(RFC_SECOND), &out),
		SCRAM_CONTINUE);
	ck_assert_int_eq(tell_client(&c, RFC_FOURTH, size_min(len, strlen(RFC_FOURTH) - 1),
				 &out),
		SCRAM_FAILED);
	buf_finish(&out);
}
END_TEST

static const struct {
	const char *why, *message;
	enum scram_error error;
} bad_firsts[] = {
	{ "nothing", "", SCRAM_ERROR_MALFORMED },
	{ "another flag", "x,,n=,r=abc", SCRAM_ERROR_MALFORMED },
	{ "no gs2 header", "n=,r=abc", SCRAM_ERROR_MALFORMED },
	{ "no comma", "n,", SCRAM_ERROR_MALFORMED },
	{ "nothing after the header", "n,,", SCRAM_ERROR_MALFORMED },
	{ "an authorization identity", "n,a=root,n=,r=abc", SCRAM_ERROR_AUTHZID },
	{ "a mandatory extension", "n,,m=x,n=,r=abc", SCRAM_ERROR_EXTENSION },
	{ "no user", "n,,r=abc", SCRAM_ERROR_MALFORMED },
	{ "no nonce", "n,,n=", SCRAM_ERROR_MALFORMED },
	{ "empty nonce", "n,,n=,r=", SCRAM_ERROR_MALFORMED },
	{ "a space in the nonce", "n,,n=,r=a b", SCRAM_ERROR_MALFORMED },
	{ "a high byte in the nonce", "n,,n=,r=a\xc3\xa4", SCRAM_ERROR_MALFORMED },
	{ "a comma at the end", "n,,n=,r=abc,", SCRAM_ERROR_MALFORMED },
	{ "an extension without a name", "n,,n=,r=abc,=x", SCRAM_ERROR_MALFORMED },
	{ "binding without TLS", "p=tls-server-end-point,,n=,r=abc",
		SCRAM_ERROR_BINDING_UNASKED },
	{ "binding without a type", "p,,n=,r=abc", SCRAM_ERROR_MALFORMED },
	{ "binding, nothing else", "p=x", SCRAM_ERROR_MALFORMED },
	{ "binding, one comma", "p=x,", SCRAM_ERROR_MALFORMED },
};

START_TEST(server_refuses_bad_first_messages)
{
	struct scram_server s;
	struct buf out;

	buf_init(&out, 0);
	rfc_server(&s);
	ck_assert_int_eq(tell_server(&s, bad_firsts[_i].message,
				 strlen(bad_firsts[_i].message), &out),
		SCRAM_FAILED);
	ck_assert_msg(s.error == bad_firsts[_i].error, "%s: %s", bad_firsts[_i].why,
		scram_error_text(s.error));
	ck_assert_uint_eq(buf_len(&out), 0);
	buf_finish(&out);
}
END_TEST

static const struct {
	const char *why, *message;
	enum scram_error error;
} bad_thirds[] = {
	{ "no binding", "r=" RFC_NONCE ",p=" RFC_PROOF, SCRAM_ERROR_MALFORMED },
	{ "another flag", "c=eSws,r=" RFC_NONCE ",p=" RFC_PROOF,
		SCRAM_ERROR_BINDING_MISMATCH },
	{ "empty binding", "c=,r=" RFC_NONCE ",p=" RFC_PROOF, SCRAM_ERROR_BINDING_MISMATCH },
	{ "another nonce", "c=biws,r=abc,p=" RFC_PROOF, SCRAM_ERROR_NONCE },
	{ "a longer nonce", "c=biws,r=" RFC_NONCE "x,p=" RFC_PROOF, SCRAM_ERROR_NONCE },
	{ "no proof", "c=biws,r=" RFC_NONCE, SCRAM_ERROR_MALFORMED },
	{ "empty proof", "c=biws,r=" RFC_NONCE ",p=", SCRAM_ERROR_MALFORMED },
	{ "short proof", "c=biws,r=" RFC_NONCE ",p=Zm9v", SCRAM_ERROR_MALFORMED },
	{ "long proof", RFC_THIRD "AAAA", SCRAM_ERROR_MALFORMED },
	{ "text after the proof", RFC_THIRD ",x=y", SCRAM_ERROR_MALFORMED },
	{ "an extension that was not signed", "c=biws,r=" RFC_NONCE ",x=y,p=" RFC_PROOF,
		SCRAM_ERROR_PROOF },
	{ "a wrong proof",
		"c=biws,r=" RFC_NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVA=",
		SCRAM_ERROR_PROOF },
};

START_TEST(server_refuses_bad_final_messages)
{
	static const struct secret_keys no_keys;
	struct scram_server s;
	struct buf out;

	buf_init(&out, 0);
	rfc_server(&s);
	ck_assert_int_eq(tell_server(&s, RFC_FIRST, strlen(RFC_FIRST), &out), SCRAM_CONTINUE);
	ck_assert_int_eq(tell_server(&s, bad_thirds[_i].message,
				 strlen(bad_thirds[_i].message), &out),
		SCRAM_FAILED);
	ck_assert_msg(s.error == bad_thirds[_i].error, "%s: %s", bad_thirds[_i].why,
		scram_error_text(s.error));
	ck_assert_mem_eq(&s.keys, &no_keys, sizeof(no_keys));
	buf_finish(&out);
}
END_TEST

#define R "r=" RFC_NONCE
#define S ",s=" RFC_SALT

static const struct {
	const char *why, *message;
	enum scram_error error;
} bad_seconds[] = {
	{ "nothing", "", SCRAM_ERROR_MALFORMED },
	{ "an error", "e=other-error", SCRAM_ERROR_SERVER_REFUSED },
	{ "a mandatory extension", "m=x," R S ",i=4096", SCRAM_ERROR_EXTENSION },
	{ "no nonce", "s=" RFC_SALT ",i=4096", SCRAM_ERROR_MALFORMED },
	{ "our nonce alone", "r=rOprNGfwEbeRWgbNEkqO" S ",i=4096", SCRAM_ERROR_NONCE },
	{ "another nonce", "r=xxxxxxxxxxxxxxxxxxxxxxxxx" S ",i=4096", SCRAM_ERROR_NONCE },
	{ "a space in the nonce", R " x" S ",i=4096", SCRAM_ERROR_NONCE },
	{ "empty salt", R ",s=,i=4096", SCRAM_ERROR_SALT },
	{ "salt that is not base64", R ",s=!!!!,i=4096", SCRAM_ERROR_SALT },
	{ "no salt", R ",i=4096", SCRAM_ERROR_MALFORMED },
	{ "no iterations", R S, SCRAM_ERROR_MALFORMED },
	{ "empty iterations", R S ",i=", SCRAM_ERROR_ITERATIONS },
	{ "zero iterations", R S ",i=0", SCRAM_ERROR_ITERATIONS },
	{ "negative iterations", R S ",i=-1", SCRAM_ERROR_ITERATIONS },
	{ "hexadecimal iterations", R S ",i=0x10", SCRAM_ERROR_ITERATIONS },
	{ "one over the limit", R S ",i=1000001", SCRAM_ERROR_ITERATIONS },
	{ "more than 32 bits", R S ",i=4294971392", SCRAM_ERROR_ITERATIONS },
	{ "a comma at the end", R S ",i=4096,", SCRAM_ERROR_MALFORMED },
};

START_TEST(client_refuses_bad_first_messages)
{
	struct scram_client c;
	struct buf out;

	buf_init(&out, 0);
	rfc_client(&c, "pencil");
	ck_assert_int_eq(tell_client(&c, bad_seconds[_i].message,
				 strlen(bad_seconds[_i].message), &out),
		SCRAM_FAILED);
	ck_assert_msg(c.error == bad_seconds[_i].error, "%s: %s", bad_seconds[_i].why,
		scram_error_text(c.error));
	ck_assert_uint_eq(buf_len(&out), 0);
	buf_finish(&out);
}
END_TEST

/* CVE-2026-6665 of another router: the server's nonce overran a buffer. */
START_TEST(client_bounds_the_nonce_and_the_salt)
{
	char text[SCRAM_MESSAGE_MAX + 1];
	struct scram_client c;
	struct buf out;
	int extra = _i;
	int len;

	buf_init(&out, 0);
	rfc_client(&c, "pencil");
	len = snprintf(text, sizeof(text), "r=%s%0*d,s=" RFC_SALT ",i=1", RFC_NONCE,
		extra, 0);
	ck_assert_int_lt(len, (int)sizeof(text));
	ck_assert_int_eq(tell_client(&c, text, (size_t)len, &out),
		strlen(RFC_NONCE) + (size_t)extra <= SCRAM_NONCE_MAX ? SCRAM_CONTINUE :
								       SCRAM_FAILED);
	rfc_client(&c, "pencil");
	len = snprintf(text, sizeof(text), "r=%s,s=%0*d,i=1", RFC_NONCE,
		extra / 4 * 4, 0);
	ck_assert_int_lt(len, (int)sizeof(text));
	ck_assert_int_eq(tell_client(&c, text, (size_t)len, &out),
		extra / 4 * 3 <= SECRET_SALT_MAX ? SCRAM_CONTINUE : SCRAM_FAILED);
	buf_finish(&out);
}
END_TEST

START_TEST(both_bound_messages)
{
	char text[SCRAM_MESSAGE_MAX + 2];
	struct scram_server s;
	struct scram_client c;
	struct buf out;

	buf_init(&out, 0);
	memset(text, 'x', sizeof(text));
	memcpy(text, "n,,n=,r=abc,x=", 14);
	rfc_server(&s);
	ck_assert_int_eq(tell_server(&s, text, SCRAM_MESSAGE_MAX, &out), SCRAM_CONTINUE);
	rfc_server(&s);
	ck_assert_int_eq(tell_server(&s, text, SCRAM_MESSAGE_MAX + 1, &out), SCRAM_FAILED);
	ck_assert_int_eq(s.error, SCRAM_ERROR_TOO_LONG);
	rfc_client(&c, "pencil");
	ck_assert_int_eq(tell_client(&c, text, SCRAM_MESSAGE_MAX + 1, &out), SCRAM_FAILED);
	ck_assert_int_eq(c.error, SCRAM_ERROR_TOO_LONG);
	memset(text + 8, 'r', SCRAM_NONCE_MAX);
	rfc_server(&s);
	ck_assert_int_eq(tell_server(&s, text, SCRAM_NONCE_MAX, &out), SCRAM_FAILED);
	ck_assert_int_eq(s.error, SCRAM_ERROR_TOO_LONG);
	buf_finish(&out);
}
END_TEST

static const struct {
	const char *why, *message;
	enum scram_error error;
} bad_fourths[] = {
	{ "an error", "e=invalid-proof", SCRAM_ERROR_SERVER_REFUSED },
	{ "nothing", "", SCRAM_ERROR_MALFORMED },
	{ "an empty signature", "v=", SCRAM_ERROR_MALFORMED },
	{ "a short signature", "v=Zm9v", SCRAM_ERROR_MALFORMED },
	{ "another spelling of it", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=",
		SCRAM_ERROR_MALFORMED },
	{ "its last bit", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G8=",
		SCRAM_ERROR_SIGNATURE },
	{ "a wrong signature", "v=AAAATRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
		SCRAM_ERROR_SIGNATURE },
	{ "the first message again", RFC_SECOND, SCRAM_ERROR_MALFORMED },
};

START_TEST(client_refuses_bad_final_messages)
{
	struct scram_client c;
	struct buf out;

	buf_init(&out, 0);
	rfc_client(&c, "pencil");
	ck_assert_int_eq(tell_client(&c, RFC_SECOND, strlen(RFC_SECOND), &out),
		SCRAM_CONTINUE);
	ck_assert_int_eq(tell_client(&c, bad_fourths[_i].message,
				 strlen(bad_fourths[_i].message), &out),
		SCRAM_FAILED);
	ck_assert_msg(c.error == bad_fourths[_i].error, "%s: %s", bad_fourths[_i].why,
		scram_error_text(c.error));
	/* And there is no second try. */
	ck_assert_int_eq(tell_client(&c, RFC_FOURTH, strlen(RFC_FOURTH), &out), SCRAM_FAILED);
	buf_finish(&out);
}
END_TEST

/* --- both machines --------------------------------------------------------- */

static const struct {
	const char *why, *password;
	bool is_doomed, plus, server_binds, client_could, other_hash;
	enum scram_result result;
	enum scram_error server_error;
} talks[] = {
	{ "the right password", "pencil", 0, 0, 0, 0, 0, SCRAM_OK, SCRAM_ERROR_NONE },
	{ "a wrong password", "pencils", 0, 0, 0, 0, 0, SCRAM_FAILED, SCRAM_ERROR_PROOF },
	{ "an empty password", "", 0, 0, 0, 0, 0, SCRAM_FAILED, SCRAM_ERROR_PROOF },
	{ "doomed", "pencil", 1, 0, 0, 0, 0, SCRAM_FAILED, SCRAM_ERROR_PROOF },
	{ "flag y, no PLUS", "pencil", 0, 0, 0, 1, 0, SCRAM_OK, SCRAM_ERROR_NONE },
	{ "flag y, PLUS hidden", "pencil", 0, 0, 1, 1, 0, SCRAM_FAILED,
		SCRAM_ERROR_DOWNGRADE },
	{ "flag n, PLUS offered", "pencil", 0, 0, 1, 0, 0, SCRAM_OK, SCRAM_ERROR_NONE },
	{ "PLUS", "pencil", 0, 1, 1, 1, 0, SCRAM_OK, SCRAM_ERROR_NONE },
	{ "PLUS and another certificate", "pencil", 0, 1, 1, 1, 1, SCRAM_FAILED,
		SCRAM_ERROR_BINDING_MISMATCH },
	{ "PLUS that was not offered", "pencil", 0, 1, 0, 1, 0, SCRAM_FAILED,
		SCRAM_ERROR_BINDING_UNASKED },
};

START_TEST(machines_understand_each_other)
{
	static const uint8_t other[32] = { 9 };
	const struct scram_binding wrong = { "tls-server-end-point", other, sizeof(other) };
	struct secret_scram secret;
	struct scram_server s;
	struct scram_client c;

	ck_assert(secret_parse_scram(PENCIL, &secret));
	scram_server_init(&s, &(struct scram_server_params){ .secret = &secret,
		.is_doomed = talks[_i].is_doomed, .is_plus = talks[_i].plus,
		.binding = !talks[_i].server_binds ? NULL :
			talks[_i].other_hash ? &wrong : &binding });
	scram_client_init(&c, &(struct scram_client_params){
		.password = talks[_i].password, .could_bind = talks[_i].client_could,
		.binding = talks[_i].plus ? &binding : NULL });
	ck_assert_msg(talk(&s, &c) == talks[_i].result, "%s", talks[_i].why);
	ck_assert_msg(s.error == talks[_i].server_error, "%s", talks[_i].why);
	scram_server_finish(&s);
	scram_client_finish(&c);
}
END_TEST

START_TEST(server_refuses_wrong_choices_of_binding)
{
	static const char other_type[] = "p=tls-unique,,n=,r=abc";
	static const char none[] = "n,,n=,r=abc";
	struct secret_scram secret;
	struct scram_server s;
	struct buf out;

	buf_init(&out, 0);
	ck_assert(secret_parse_scram(PENCIL, &secret));
	scram_server_init(&s, &(struct scram_server_params){ .secret = &secret,
		.is_plus = true, .binding = &binding });
	ck_assert_int_eq(tell_server(&s, other_type, strlen(other_type), &out), SCRAM_FAILED);
	ck_assert_int_eq(s.error, SCRAM_ERROR_BINDING_TYPE);
	scram_server_init(&s, &(struct scram_server_params){ .secret = &secret,
		.is_plus = true, .binding = &binding });
	ck_assert_int_eq(tell_server(&s, none, strlen(none), &out), SCRAM_FAILED);
	ck_assert_int_eq(s.error, SCRAM_ERROR_BINDING_MISSING);
	buf_finish(&out);
}
END_TEST

/* The keys a client proved to us open the server that stores the same. */
START_TEST(passes_through)
{
	struct secret_scram secret;
	struct scram_server s, next;
	struct scram_client c, ours;

	ck_assert(secret_parse_scram(PENCIL, &secret));
	scram_server_init(&s, &(struct scram_server_params){ .secret = &secret });
	scram_client_init(&c, &(struct scram_client_params){ .password = "pencil" });
	ck_assert_int_eq(talk(&s, &c), SCRAM_OK);

	scram_server_init(&next, &(struct scram_server_params){ .secret = &secret });
	scram_client_init(&ours, &(struct scram_client_params){ .keys = &s.keys });
	ck_assert_int_eq(talk(&next, &ours), SCRAM_OK);

	/* Another salt: the keys are good for nothing. */
	secret.salt[0] ^= 1;
	scram_server_init(&next, &(struct scram_server_params){ .secret = &secret });
	scram_client_init(&ours, &(struct scram_client_params){ .keys = &s.keys });
	ck_assert_int_eq(talk(&next, &ours), SCRAM_FAILED);
	ck_assert_int_eq(ours.error, SCRAM_ERROR_KEYS);
}
END_TEST

/* Keys of an earlier login save PBKDF2: a wrong password beside them is not
 * even looked at. */
START_TEST(uses_keys_before_the_password)
{
	struct secret_scram secret;
	struct secret_keys keys;
	struct scram_server s;
	struct scram_client c;

	ck_assert(secret_parse_scram(PENCIL, &secret));
	ck_assert(secret_derive_keys("pencil", secret.salt, secret.salt_len, 4096, &keys));
	scram_server_init(&s, &(struct scram_server_params){ .secret = &secret });
	scram_client_init(&c, &(struct scram_client_params){ .password = "x", .keys = &keys });
	ck_assert_int_eq(talk(&s, &c), SCRAM_OK);
}
END_TEST

START_TEST(mock_secrets_are_stable)
{
	const uint8_t key[SCRAM_MOCK_KEY_LEN] = { 1 }, other[SCRAM_MOCK_KEY_LEN] = { 2 };
	struct secret_scram a, b;

	ck_assert(scram_mock_secret(key, "ann", 0, &a));
	ck_assert(scram_mock_secret(key, "ann", 10000, &b));
	ck_assert_uint_eq(a.iterations, 4096);
	ck_assert_uint_eq(b.iterations, 10000);
	ck_assert_uint_eq(a.salt_len, 16);
	ck_assert_mem_eq(a.salt, b.salt, 16);
	ck_assert(scram_mock_secret(key, "bob", 0, &b));
	ck_assert_mem_ne(a.salt, b.salt, 16);
	ck_assert(scram_mock_secret(other, "ann", 0, &b));
	ck_assert_mem_ne(a.salt, b.salt, 16);
}
END_TEST

/* As many as there are, always the same, and not to be told from the salt. */
START_TEST(mocks_each_kind_as_often_as_it_is)
{
	const uint8_t key[SCRAM_MOCK_KEY_LEN] = { 1 }, other[SCRAM_MOCK_KEY_LEN] = { 2 };
	unsigned chosen = 0, differ = 0;

	for (unsigned i = 0; i < 4000; i++) {
		char name[16];
		bool is_chosen;

		(void)snprintf(name, sizeof(name), "nobody%u", i);
		is_chosen = scram_mock_is_chosen(key, name, 1, 4);
		ck_assert(is_chosen == scram_mock_is_chosen(key, name, 1, 4));
		ck_assert(is_chosen == scram_mock_is_chosen(key, name, 1000, 4000));
		ck_assert(!is_chosen || scram_mock_is_chosen(key, name, 2, 4));
		ck_assert(!scram_mock_is_chosen(key, name, 0, 4));
		ck_assert(!scram_mock_is_chosen(key, name, 0, 0));
		ck_assert(scram_mock_is_chosen(key, name, 4, 4));
		chosen += is_chosen;
		differ += is_chosen != scram_mock_is_chosen(other, name, 1, 4);
	}
	ck_assert_uint_gt(chosen, 900);
	ck_assert_uint_lt(chosen, 1100);
	ck_assert_uint_gt(differ, 1000);
}
END_TEST

START_TEST(nonces_differ_unless_given)
{
	const uint8_t raw[SCRAM_NONCE_RAW] = { 0 };
	struct secret_scram secret = { .iterations = 1 };
	struct scram_server a, b;

	scram_server_init(&a, &(struct scram_server_params){ .secret = &secret });
	scram_server_init(&b, &(struct scram_server_params){ .secret = &secret });
	ck_assert_mem_ne(a.nonce, b.nonce, 24);
	scram_server_init(&a, &(struct scram_server_params){ .secret = &secret,
		.nonce_raw = raw });
	ck_assert_mem_eq(a.nonce, "AAAAAAAAAAAAAAAAAAAAAAAA", 24);
}
END_TEST

START_TEST(tells_when_there_is_no_room)
{
	struct scram_server s;
	struct buf out;

	buf_init(&out, 10);
	rfc_server(&s);
	ck_assert_int_eq(tell_server(&s, RFC_FIRST, strlen(RFC_FIRST), &out), SCRAM_FAILED);
	ck_assert_int_eq(s.error, SCRAM_ERROR_INTERNAL);
	buf_finish(&out);
}
END_TEST

Suite *scram_suite(void);
Suite *scram_suite(void)
{
	Suite *s = suite_create("pg/scram");
	TCase *tc = tcase_create("scram");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, serves_rfc_7677);
	tcase_add_test(tc, logs_in_by_rfc_7677);
	tcase_add_loop_test(tc, server_refuses_every_changed_byte, 0,
		(int)strlen(RFC_FIRST RFC_THIRD));
	tcase_add_loop_test(tc, client_refuses_every_changed_byte, 0,
		(int)strlen(RFC_SECOND RFC_FOURTH));
	tcase_add_loop_test(tc, both_refuse_every_cut, 0, (int)strlen(RFC_THIRD));
	tcase_add_loop_test(tc, server_refuses_bad_first_messages, 0,
		(int)COUNT_OF(bad_firsts));
	tcase_add_loop_test(tc, server_refuses_bad_final_messages, 0,
		(int)COUNT_OF(bad_thirds));
	tcase_add_loop_test(tc, client_refuses_bad_first_messages, 0,
		(int)COUNT_OF(bad_seconds));
	tcase_add_loop_test(tc, client_refuses_bad_final_messages, 0,
		(int)COUNT_OF(bad_fourths));
	tcase_add_loop_test(tc, client_bounds_the_nonce_and_the_salt, 300, 560);
	tcase_add_test(tc, both_bound_messages);
	tcase_add_loop_test(tc, machines_understand_each_other, 0, (int)COUNT_OF(talks));
	tcase_add_test(tc, server_refuses_wrong_choices_of_binding);
	tcase_add_test(tc, passes_through);
	tcase_add_test(tc, uses_keys_before_the_password);
	tcase_add_test(tc, mock_secrets_are_stable);
	tcase_add_test(tc, mocks_each_kind_as_often_as_it_is);
	tcase_add_test(tc, nonces_differ_unless_given);
	tcase_add_test(tc, tells_when_there_is_no_room);
	suite_add_tcase(s, tc);
	return s;
}
