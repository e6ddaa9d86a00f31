/* SPDX-License-Identifier: ISC */
#include "pg/client_auth.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rand.h"
#include "pg/msg_out.h"
#include "pg/wire.h"

enum { SALT_LEN = 4 };

/* --- beginning ------------------------------------------------------------ */

/* Users choose the iterations of their secrets themselves, and it is we who would have
 * to compute them, for everybody who sends that name. */
static bool is_costly(const struct client_auth *a)
{
	return a->stored_kind == SECRET_SCRAM && a->method == CLIENT_AUTH_PASSWORD &&
		a->secret.iterations > SECRET_DERIVE_MAX;
}

/* With what an exchange ends that cannot succeed. */
static enum client_auth_failure find_doom(const struct client_auth *a,
	const struct client_auth_params *params)
{
	if (params->is_doomed)
		return CLIENT_AUTH_DOOMED;
	if (params->method == CLIENT_AUTH_OUTSIDE)
		return CLIENT_AUTH_NO_FAILURE;
	if (params->stored == NULL)
		return CLIENT_AUTH_UNKNOWN_USER;
	if (a->stored_kind == SECRET_NONE)
		return CLIENT_AUTH_NO_PASSWORD;
	if (a->stored_kind == SECRET_MALFORMED)
		return CLIENT_AUTH_WRONG_SECRET;
	if (a->stored_kind == SECRET_MD5 && a->method == CLIENT_AUTH_SCRAM)
		return CLIENT_AUTH_WRONG_SECRET;
	if (is_costly(a))
		return CLIENT_AUTH_WRONG_SECRET;
	return CLIENT_AUTH_NO_FAILURE;
}

/* Like PostgreSQL: md5 in the rules means SCRAM for whom it can be. */
static enum client_auth_method find_method(const struct client_auth *a,
	const struct client_auth_params *params)
{
	if (params->method != CLIENT_AUTH_MD5)
		return params->method;
	switch (a->stored_kind) {
	case SECRET_SCRAM:
		return CLIENT_AUTH_SCRAM;
	case SECRET_PLAIN:
	case SECRET_MD5:
		return CLIENT_AUTH_MD5;
	case SECRET_NONE:
	case SECRET_MALFORMED:
		break;
	}
	return params->mocks_scram ? CLIENT_AUTH_SCRAM : CLIENT_AUTH_MD5;
}

/* A mock secret for whom none can be used; for a plain password the salt only,
 * as deriving waits until the client has answered. */
static bool find_secret(struct client_auth *a, const struct client_auth_params *params)
{
	/* It was read to find out what it is. */
	if (a->stored_kind == SECRET_SCRAM && !is_costly(a))
		return true;
	if (a->stored_kind == SECRET_PLAIN && params->derived != NULL) {
		a->secret = *params->derived;
		return true;
	}
	a->must_derive = a->stored_kind == SECRET_PLAIN;
	assert(params->mock_key != NULL);
	return scram_mock_secret(params->mock_key, a->user, params->iterations, &a->secret);
}

/* Those who have no password are let wait as long as those who have. */
static bool wants_secret(const struct client_auth *a, const struct client_auth_params *params)
{
	if (a->method == CLIENT_AUTH_SCRAM)
		return true;
	if (a->method != CLIENT_AUTH_PASSWORD)
		return false;
	switch (a->stored_kind) {
	case SECRET_SCRAM:
		return true;
	case SECRET_PLAIN:
	case SECRET_MD5:
		return false;
	case SECRET_NONE:
	case SECRET_MALFORMED:
		break;
	}
	return params->mocks_scram;
}

/* Both at once: it is a system call. */
static void draw(struct client_auth *a, const struct client_auth_params *params)
{
	uint8_t fresh[SALT_LEN + SCRAM_NONCE_RAW];

	rand_bytes(fresh, sizeof(fresh));
	memcpy(a->salt, params->salt != NULL ? params->salt : fresh, SALT_LEN);
	memcpy(a->nonce_raw, params->nonce_raw != NULL ? params->nonce_raw : fresh + SALT_LEN,
		SCRAM_NONCE_RAW);
}

void client_auth_init(struct client_auth *a, const struct client_auth_params *params)
{
	*a = (struct client_auth){ .state = CLIENT_AUTH_STATE_NEW,
		.method = params->method };
	buf_init(&a->password, CLIENT_AUTH_BODY_MAX);
	(void)snprintf(a->user, sizeof(a->user), "%s", params->user);
	if (params->stored != NULL) {
		a->stored = strdup(params->stored);
		if (a->stored == NULL)
			a->failure = CLIENT_AUTH_INTERNAL;
	}
	a->stored_kind = secret_read(a->stored, &a->secret);
	a->doom = find_doom(a, params);
	a->method = find_method(a, params);
	if (params->binding != NULL) {
		a->has_binding = true;
		a->binding = *params->binding;
		if (a->binding.len == 0 || a->binding.len > SCRAM_BINDING_MAX)
			a->failure = CLIENT_AUTH_INTERNAL;
		else
			memcpy(a->binding_data, params->binding->data, a->binding.len);
		a->binding.data = a->binding_data;
	}
	draw(a, params);
	a->has_secret = wants_secret(a, params);
	if (!a->has_secret)
		secret_scram_wipe(&a->secret);
	else if (!find_secret(a, params))
		a->failure = CLIENT_AUTH_INTERNAL;
}

static enum client_auth_result fail(struct client_auth *a, enum client_auth_failure why)
{
	a->state = CLIENT_AUTH_STATE_OVER;
	if (a->failure == CLIENT_AUTH_NO_FAILURE)
		a->failure = why;
	a->known = (struct client_auth_known){ NULL, NULL };
	return CLIENT_AUTH_FAILED;
}

static enum client_auth_result enter(struct client_auth *a, enum client_auth_state next,
	const struct buf *out)
{
	if (!buf_ok(out))
		return fail(a, CLIENT_AUTH_INTERNAL);
	a->state = next;
	return next == CLIENT_AUTH_STATE_OVER ? CLIENT_AUTH_OK : CLIENT_AUTH_CONTINUE;
}

enum client_auth_result client_auth_start(struct client_auth *a, struct buf *out)
{
	static const char *const mechanisms[] = { SCRAM_MECHANISM_PLUS, SCRAM_MECHANISM };
	size_t skip = a->has_binding ? 0 : 1;

	if (a->failure != CLIENT_AUTH_NO_FAILURE || a->state != CLIENT_AUTH_STATE_NEW)
		return fail(a, CLIENT_AUTH_UNEXPECTED);
	switch (a->method) {
	case CLIENT_AUTH_TRUST:
		if (a->doom == CLIENT_AUTH_DOOMED)
			return fail(a, CLIENT_AUTH_DOOMED);
		return enter(a, CLIENT_AUTH_STATE_OVER, out);
	case CLIENT_AUTH_PASSWORD:
	case CLIENT_AUTH_OUTSIDE:
		msg_out_auth_cleartext(out);
		return enter(a, CLIENT_AUTH_STATE_CLEAR, out);
	case CLIENT_AUTH_MD5:
		msg_out_auth_md5(out, a->salt);
		return enter(a, CLIENT_AUTH_STATE_MD5, out);
	case CLIENT_AUTH_SCRAM:
		msg_out_auth_sasl(out, mechanisms + skip, COUNT_OF(mechanisms) - skip);
		if (enter(a, CLIENT_AUTH_STATE_SASL, out) == CLIENT_AUTH_FAILED)
			return CLIENT_AUTH_FAILED;
		return a->must_derive ? CLIENT_AUTH_DERIVE : CLIENT_AUTH_CONTINUE;
	}
	return fail(a, CLIENT_AUTH_INTERNAL);
}

/* --- a password or its digest --------------------------------------------- */

/* Compares without telling where, or by how much in length, they differ. */
static bool is_same(const char *a, const char *b)
{
	struct { uint8_t digest[SECRET_KEY_LEN]; } one, two;
	uint8_t key[SECRET_KEY_LEN];
	bool is_fine;

	rand_bytes(key, sizeof(key));
	is_fine = secret_hmac(key, a, strlen(a), one.digest) &&
		secret_hmac(key, b, strlen(b), two.digest) &&
		CRYPTO_memcmp(one.digest, two.digest, SECRET_KEY_LEN) == 0;
	OPENSSL_cleanse(key, sizeof(key));
	return is_fine;
}

static bool fits_keys(struct client_auth *a, const struct secret_job *job)
{
	struct secret_scram made;
	bool fits;

	fits = job->is_done && secret_from_keys(&job->keys, &made) &&
		CRYPTO_memcmp(made.stored_key, a->secret.stored_key, SECRET_KEY_LEN) == 0;
	secret_scram_wipe(&made);
	if (!fits)
		return false;
	a->scram.keys = job->keys;
	a->known.keys = &a->scram.keys;
	return true;
}

static bool fits_md5(const struct client_auth *a, const char *password)
{
	char made[SECRET_MD5_LEN + 1];
	bool fits;

	fits = secret_md5(password, a->user, made) && is_same(made, a->stored);
	OPENSSL_cleanse(made, sizeof(made));
	return fits;
}

static bool fits_stored(const struct client_auth *a, const char *password)
{
	switch (a->stored_kind) {
	case SECRET_PLAIN:
		return is_same(password, a->stored);
	case SECRET_MD5:
		return fits_md5(a, password);
	case SECRET_SCRAM:      /* fits_keys() */
	case SECRET_NONE:
	case SECRET_MALFORMED:
		break;
	}
	return false;
}

/* The answer that a client gives who knows the password of an md5 or plain
 * secret. */
static bool fits_digest(const struct client_auth *a, const char *answer)
{
	char secret[SECRET_MD5_LEN + 1], expected[SECRET_MD5_LEN + 1];
	bool fits;

	if (a->stored_kind == SECRET_MD5)
		memcpy(secret, a->stored, sizeof(secret));
	else if (!secret_md5(a->stored == NULL ? "" : a->stored, a->user, secret))
		return false;
	fits = secret_md5_answer(secret, a->salt, expected) && is_same(answer, expected);
	OPENSSL_cleanse(secret, sizeof(secret));
	return fits;
}

static enum client_auth_result judge(struct client_auth *a, bool fits)
{
	if (a->doom != CLIENT_AUTH_NO_FAILURE)
		return fail(a, a->doom);
	if (!fits)
		return fail(a, CLIENT_AUTH_WRONG_PASSWORD);
	a->state = CLIENT_AUTH_STATE_OVER;
	return CLIENT_AUTH_OK;
}

static enum client_auth_result on_clear(struct client_auth *a, const uint8_t *body, size_t len)
{
	buf_add(&a->password, body, len);
	if (!buf_ok(&a->password))
		return fail(a, CLIENT_AUTH_INTERNAL);
	a->known.password = (const char *)buf_data(&a->password);
	if (a->method == CLIENT_AUTH_OUTSIDE) {
		a->state = CLIENT_AUTH_STATE_OUTSIDE;
		return CLIENT_AUTH_DECIDE;
	}
	if (a->has_secret) {
		a->state = CLIENT_AUTH_STATE_DERIVES;
		return CLIENT_AUTH_DERIVE;
	}
	return judge(a, fits_stored(a, a->known.password));
}

/* The password comes as a string that ends where the message does. */
static enum client_auth_result on_password(struct client_auth *a, const uint8_t *body,
	size_t len)
{
	if (len == 0 || memchr(body, 0, len) != body + len - 1)
		return fail(a, CLIENT_AUTH_MALFORMED);
	if (len == 1)
		return fail(a, CLIENT_AUTH_EMPTY_PASSWORD);
	if (a->state == CLIENT_AUTH_STATE_CLEAR)
		return on_clear(a, body, len);
	return judge(a, fits_digest(a, (const char *)body));
}

enum client_auth_result client_auth_decide(struct client_auth *a, bool is_right)
{
	assert(a->state == CLIENT_AUTH_STATE_OUTSIDE);
	return judge(a, is_right);
}

/* --- SCRAM ---------------------------------------------------------------- */

static enum client_auth_result take_secret(struct client_auth *a, const struct secret_job *job)
{
	if (!job->is_done || !secret_from_keys(&job->keys, &a->secret))
		return fail(a, CLIENT_AUTH_INTERNAL);
	a->must_derive = false;
	a->was_derived = true;
	/* Salt and iterations, which were told already, are the same. */
	if (a->state == CLIENT_AUTH_STATE_SCRAM)
		scram_server_set_secret(&a->scram, &a->secret);
	return CLIENT_AUTH_CONTINUE;
}

bool client_auth_waits(const struct client_auth *a)
{
	return a->state == CLIENT_AUTH_STATE_DERIVES || a->state == CLIENT_AUTH_STATE_OUTSIDE ||
		(a->state == CLIENT_AUTH_STATE_SCRAM && a->must_derive);
}

bool client_auth_job(const struct client_auth *a, struct secret_job *job)
{
	return secret_job_init(job, a->must_derive ? a->stored : a->known.password,
		a->secret.salt, a->secret.salt_len, a->secret.iterations);
}

enum client_auth_result client_auth_settle(struct client_auth *a, const struct secret_job *job)
{
	if (a->must_derive)
		return take_secret(a, job);
	assert(a->state == CLIENT_AUTH_STATE_DERIVES);
	return judge(a, fits_keys(a, job));
}

/* What goes wrong in SCRAM is told as PostgreSQL tells it; a wrong proof only
 * after it was made. */
static enum client_auth_result fail_scram(struct client_auth *a)
{
	a->scram_error = a->scram.error;
	switch (a->scram.error) {
	case SCRAM_ERROR_PROOF:
		return fail(a, a->doom == CLIENT_AUTH_NO_FAILURE ?
				CLIENT_AUTH_WRONG_PASSWORD : a->doom);
	case SCRAM_ERROR_INTERNAL:
		return fail(a, CLIENT_AUTH_INTERNAL);
	case SCRAM_ERROR_MALFORMED:
	case SCRAM_ERROR_TOO_LONG:
	case SCRAM_ERROR_NONCE:
		return fail(a, CLIENT_AUTH_MALFORMED);
	case SCRAM_ERROR_NONE:
	case SCRAM_ERROR_EXTENSION:
	case SCRAM_ERROR_AUTHZID:
	case SCRAM_ERROR_BINDING_MISSING:
	case SCRAM_ERROR_BINDING_UNASKED:
	case SCRAM_ERROR_BINDING_TYPE:
	case SCRAM_ERROR_BINDING_MISMATCH:
	case SCRAM_ERROR_DOWNGRADE:
	case SCRAM_ERROR_ITERATIONS:
	case SCRAM_ERROR_SALT:
	case SCRAM_ERROR_KEYS:
	case SCRAM_ERROR_SERVER_REFUSED:
	case SCRAM_ERROR_SIGNATURE:
	case SCRAM_ERROR_STATE:
	case SCRAM_ERROR_COUNT:
		break;
	}
	return fail(a, CLIENT_AUTH_SCRAM_ERROR);
}

static enum client_auth_result on_scram(struct client_auth *a, const void *data, size_t len,
	struct buf *out)
{
	struct buf payload;
	enum scram_result result;

	buf_init(&payload, SCRAM_MESSAGE_MAX);
	result = scram_server_message(&a->scram, data, len, &payload);
	if (result == SCRAM_CONTINUE)
		msg_out_auth_sasl_continue(out, buf_data(&payload), buf_len(&payload));
	else if (result == SCRAM_OK)
		msg_out_auth_sasl_final(out, buf_data(&payload), buf_len(&payload));
	buf_finish(&payload);
	if (result == SCRAM_FAILED)
		return fail_scram(a);
	if (result == SCRAM_CONTINUE)
		return enter(a, CLIENT_AUTH_STATE_SCRAM, out);
	a->known.keys = &a->scram.keys;
	return enter(a, CLIENT_AUTH_STATE_OVER, out);
}

/* SASLInitialResponse: mechanism, length of the data or -1, data. */
static enum client_auth_result on_sasl(struct client_auth *a, const uint8_t *body,
	size_t len, struct buf *out)
{
	struct scram_server_params params = { .secret = &a->secret,
		.is_doomed = a->doom != CLIENT_AUTH_NO_FAILURE,
		.binding = a->has_binding ? &a->binding : NULL,
		.nonce_raw = a->nonce_raw };
	const char *mechanism;
	struct wire_slice data;
	struct wire_in in;
	uint32_t data_len;

	wire_init(&in, body, len);
	mechanism = wire_cstr(&in);
	data_len = wire_u32(&in);
	if (!wire_ok(&in))
		return fail(a, CLIENT_AUTH_MALFORMED);
	data = wire_rest(&in);
	params.is_plus = strcmp(mechanism, SCRAM_MECHANISM_PLUS) == 0;
	if (strcmp(mechanism, SCRAM_MECHANISM) != 0 && !(params.is_plus && a->has_binding))
		return fail(a, CLIENT_AUTH_MECHANISM);
	scram_server_init(&a->scram, &params);
	if (data_len == UINT32_MAX && data.len == 0) {
		/* Nothing yet: an empty challenge asks for it (RFC 4422, 5). */
		msg_out_auth_sasl_continue(out, NULL, 0);
		return enter(a, CLIENT_AUTH_STATE_SCRAM, out);
	}
	if (data_len != data.len)
		return fail(a, CLIENT_AUTH_MALFORMED);
	return on_scram(a, data.data, data.len, out);
}

enum client_auth_result client_auth_message(struct client_auth *a, const uint8_t *body,
	size_t len, struct buf *out)
{
	if (len > CLIENT_AUTH_BODY_MAX)
		return fail(a, CLIENT_AUTH_MALFORMED);
	if (client_auth_waits(a))
		return fail(a, CLIENT_AUTH_UNEXPECTED);
	switch (a->state) {
	case CLIENT_AUTH_STATE_CLEAR:
	case CLIENT_AUTH_STATE_MD5:
		return on_password(a, body, len);
	case CLIENT_AUTH_STATE_SASL:
		return on_sasl(a, body, len, out);
	case CLIENT_AUTH_STATE_SCRAM:
		return on_scram(a, body, len, out);
	case CLIENT_AUTH_STATE_NEW:
	case CLIENT_AUTH_STATE_DERIVES:
	case CLIENT_AUTH_STATE_OUTSIDE:
	case CLIENT_AUTH_STATE_OVER:
		break;
	}
	return fail(a, CLIENT_AUTH_UNEXPECTED);
}

/* --- afterwards ----------------------------------------------------------- */

/* Errors of the client's program, which may be told.  Returns false for those
 * of which nothing may be told but that the password was wrong. */
static bool tells(const struct client_auth *a, struct msg_out_error *e)
{
	switch (a->failure) {
	case CLIENT_AUTH_EMPTY_PASSWORD:
		e->message = "empty password returned by client";
		return true;
	case CLIENT_AUTH_MALFORMED:
		e->sqlstate = "08P01";
		e->message = a->scram_error == SCRAM_ERROR_NONE ?
			"invalid password packet" : scram_error_text(a->scram_error);
		return true;
	case CLIENT_AUTH_MECHANISM:
		e->sqlstate = "08P01";
		e->message = "client selected an invalid SASL authentication mechanism";
		return true;
	case CLIENT_AUTH_SCRAM_ERROR:
		e->sqlstate = a->scram_error == SCRAM_ERROR_EXTENSION ||
				a->scram_error == SCRAM_ERROR_AUTHZID ? "0A000" : "28000";
		e->message = scram_error_text(a->scram_error);
		return true;
	case CLIENT_AUTH_UNEXPECTED:
		e->sqlstate = "08P01";
		e->message = "unexpected password message";
		return true;
	case CLIENT_AUTH_INTERNAL:
		e->sqlstate = "53200";
		e->message = "out of memory while authenticating";
		return true;
	case CLIENT_AUTH_NO_FAILURE:
	case CLIENT_AUTH_WRONG_PASSWORD:
	case CLIENT_AUTH_UNKNOWN_USER:
	case CLIENT_AUTH_NO_PASSWORD:
	case CLIENT_AUTH_WRONG_SECRET:
	case CLIENT_AUTH_DOOMED:
	case CLIENT_AUTH_FAILURE_COUNT:
		break;
	}
	return false;
}

void client_auth_write_error(const struct client_auth *a, struct buf *out)
{
	struct msg_out_error e = { .severity = "FATAL", .sqlstate = "28P01" };
	char text[128 + STARTUP_NAME_SIZE];

	if (!tells(a, &e)) {
		(void)snprintf(text, sizeof(text),
			"password authentication failed for user \"%s\"", a->user);
		e.message = text;
	}
	msg_out_error(out, &e);
}

const char *client_auth_failure_text(const struct client_auth *a)
{
	static const char *const texts[CLIENT_AUTH_FAILURE_COUNT] = {
		[CLIENT_AUTH_NO_FAILURE] = "no failure",
		[CLIENT_AUTH_WRONG_PASSWORD] = "wrong password",
		[CLIENT_AUTH_UNKNOWN_USER] = "user is unknown",
		[CLIENT_AUTH_NO_PASSWORD] = "user has no password",
		[CLIENT_AUTH_WRONG_SECRET] = "stored secret does not fit the method, or has too many iterations for it",
		[CLIENT_AUTH_DOOMED] = "user may not log in",
		[CLIENT_AUTH_EMPTY_PASSWORD] = "client sent an empty password",
		[CLIENT_AUTH_MALFORMED] = "password message is malformed",
		[CLIENT_AUTH_MECHANISM] = "client chose a mechanism that was not offered",
		[CLIENT_AUTH_SCRAM_ERROR] = "SCRAM exchange failed",
		[CLIENT_AUTH_UNEXPECTED] = "password message was not expected",
		[CLIENT_AUTH_INTERNAL] = "out of memory or failure of the crypto library",
	};

	if ((a->failure == CLIENT_AUTH_MALFORMED || a->failure == CLIENT_AUTH_SCRAM_ERROR) &&
		a->scram_error != SCRAM_ERROR_NONE)
		return scram_error_text(a->scram_error);
	return texts[a->failure];
}

const char *client_auth_failure_word(enum client_auth_failure failure)
{
	static const char *const words[CLIENT_AUTH_FAILURE_COUNT] = {
		[CLIENT_AUTH_NO_FAILURE] = "none",
		[CLIENT_AUTH_WRONG_PASSWORD] = "wrong-password",
		[CLIENT_AUTH_UNKNOWN_USER] = "unknown-user",
		[CLIENT_AUTH_NO_PASSWORD] = "no-password",
		[CLIENT_AUTH_WRONG_SECRET] = "wrong-secret",
		[CLIENT_AUTH_DOOMED] = "not-allowed",
		[CLIENT_AUTH_EMPTY_PASSWORD] = "empty-password",
		[CLIENT_AUTH_MALFORMED] = "malformed",
		[CLIENT_AUTH_MECHANISM] = "mechanism",
		[CLIENT_AUTH_SCRAM_ERROR] = "scram",
		[CLIENT_AUTH_UNEXPECTED] = "unexpected",
		[CLIENT_AUTH_INTERNAL] = "internal",
	};

	return words[failure] == NULL ? "other" : words[failure];
}

const struct secret_scram *client_auth_derived(const struct client_auth *a)
{
	return a->was_derived ? &a->secret : NULL;
}

void client_auth_finish(struct client_auth *a)
{
	if (a->stored != NULL) {
		OPENSSL_cleanse(a->stored, strlen(a->stored));
		free(a->stored);
	}
	buf_wipe(&a->password);
	OPENSSL_cleanse(a, sizeof(*a));
	a->state = CLIENT_AUTH_STATE_OVER;
}
