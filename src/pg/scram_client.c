/* SPDX-License-Identifier: ISC */
#include "pg/scram_client.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "pg/scram_priv.h"

static enum scram_result fail(struct scram_client *c, enum scram_error error)
{
	c->state = SCRAM_CLIENT_OVER;
	if (c->error == SCRAM_ERROR_NONE)
		c->error = error;
	return SCRAM_FAILED;
}

void scram_client_init(struct scram_client *c, const struct scram_client_params *params)
{
	*c = (struct scram_client){ .state = SCRAM_CLIENT_START,
		.password = params->password, .iterations_max = params->iterations_max,
		.gs2_flag = params->could_bind ? 'y' : 'n' };
	if (c->iterations_max == 0 || c->iterations_max > INT32_MAX)
		c->iterations_max = SCRAM_ITERATIONS_MAX;
	if (params->keys != NULL)
		c->keys = *params->keys;
	scram_nonce_make(params->nonce_raw, c->nonce);
	c->nonce_len = SCRAM_NONCE_LEN;
	if (params->binding == NULL)
		return;
	c->gs2_flag = 'p';
	if (!scram_binding_copy(params->binding, c->binding_type, c->binding,
		    &c->binding_len))
		(void)fail(c, SCRAM_ERROR_INTERNAL);
}

enum scram_result scram_client_start(struct scram_client *c, struct buf *out)
{
	char gs2[SCRAM_GS2_MAX];
	char bare[8 + SCRAM_NONCE_LEN];
	int len;

	if (c->state != SCRAM_CLIENT_START)
		return fail(c, SCRAM_ERROR_STATE);
	/* The name is in the startup packet; PostgreSQL ignores it here. */
	len = snprintf(bare, sizeof(bare), "n=,r=%s", c->nonce);
	assert(len > 0 && (size_t)len < sizeof(bare));
	if (!scram_transcript_add(&c->transcript, bare, (size_t)len))
		return fail(c, SCRAM_ERROR_TOO_LONG);
	buf_add(out, gs2, scram_gs2_header(c->gs2_flag, c->binding_type, gs2));
	buf_add(out, bare, (size_t)len);
	if (!buf_ok(out))
		return fail(c, SCRAM_ERROR_INTERNAL);
	c->state = SCRAM_CLIENT_FIRST;
	return SCRAM_CONTINUE;
}

/* --- server-first-message ------------------------------------------------- */

static bool parse_iterations(struct wire_slice text, uint32_t max, uint32_t *out)
{
	uint32_t value = 0;

	if (text.len == 0 || text.len > 9 || text.data[0] == '0')
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
		value = value * 10 + (uint32_t)(text.data[i] - '0');
	}
	*out = value;
	return value <= max;
}

/* The server's nonce is ours and more of its own. */
static enum scram_error take_nonce(struct scram_client *c, struct wire_slice nonce)
{
	if (nonce.len > SCRAM_NONCE_MAX)
		return SCRAM_ERROR_TOO_LONG;
	if (!scram_nonce_is_valid(nonce) || nonce.len <= c->nonce_len ||
		memcmp(nonce.data, c->nonce, c->nonce_len) != 0)
		return SCRAM_ERROR_NONCE;
	memcpy(c->nonce, nonce.data, nonce.len);
	c->nonce_len = nonce.len;
	return SCRAM_ERROR_NONE;
}

static enum scram_error take_first(struct scram_client *c, struct wire_slice message)
{
	struct wire_slice nonce, salt_text, count;
	struct scram_attrs attrs;
	enum scram_error error;

	scram_attrs_init(&attrs, message.data, message.len);
	error = scram_attrs_expect(&attrs, 'r', &nonce);
	if (error == SCRAM_ERROR_NONE)
		error = scram_attrs_expect(&attrs, 's', &salt_text);
	if (error == SCRAM_ERROR_NONE)
		error = scram_attrs_expect(&attrs, 'i', &count);
	if (error == SCRAM_ERROR_NONE)
		error = scram_attrs_skip(&attrs);
	if (error == SCRAM_ERROR_NONE)
		error = take_nonce(c, nonce);
	if (error != SCRAM_ERROR_NONE)
		return error;
	if (!base64_decode(salt_text.data, salt_text.len, c->salt, sizeof(c->salt),
		    &c->salt_len) ||
		c->salt_len == 0)
		return SCRAM_ERROR_SALT;
	if (!parse_iterations(count, c->iterations_max, &c->iterations))
		return SCRAM_ERROR_ITERATIONS;
	if (!scram_transcript_add(&c->transcript, message.data, message.len))
		return SCRAM_ERROR_TOO_LONG;
	return SCRAM_ERROR_NONE;
}

/* Proof and, for later, the signature that only one who has the secret can
 * make. */
static enum scram_error prove(struct scram_client *c, uint8_t proof[SECRET_KEY_LEN])
{
	const struct scram_transcript *t = &c->transcript;
	struct secret_scram secret;
	bool is_fine;

	is_fine = secret_from_keys(&c->keys, &secret) &&
		secret_hmac(secret.stored_key, t->text, t->len, proof) &&
		secret_hmac(secret.server_key, t->text, t->len, c->server_signature);
	secret_scram_wipe(&secret);
	for (size_t i = 0; is_fine && i < SECRET_KEY_LEN; i++)
		proof[i] ^= c->keys.client_key[i];
	return is_fine ? SCRAM_ERROR_NONE : SCRAM_ERROR_INTERNAL;
}

static enum scram_error write_final(struct scram_client *c, struct buf *out)
{
	char cbind[SCRAM_CBIND_MAX];
	char text[SCRAM_MESSAGE_MAX];
	uint8_t proof[SECRET_KEY_LEN];
	char proof_text[BASE64_LEN(SECRET_KEY_LEN) + 1];
	enum scram_error error;
	int len;

	(void)scram_cbind(c->gs2_flag, c->binding_type, c->binding, c->binding_len, cbind);
	len = snprintf(text, sizeof(text), "c=%s,r=%.*s", cbind, (int)c->nonce_len,
		c->nonce);
	assert(len > 0 && (size_t)len < sizeof(text));
	if (!scram_transcript_add(&c->transcript, text, (size_t)len))
		return SCRAM_ERROR_TOO_LONG;
	error = prove(c, proof);
	if (error != SCRAM_ERROR_NONE)
		return error;
	(void)base64_encode(proof, sizeof(proof), proof_text, sizeof(proof_text));
	buf_add(out, text, (size_t)len);
	buf_add_str(out, ",p=");
	buf_add_str(out, proof_text);
	OPENSSL_cleanse(proof, sizeof(proof));
	OPENSSL_cleanse(proof_text, sizeof(proof_text));
	return SCRAM_ERROR_NONE;
}

/* --- server-final-message ------------------------------------------------- */

static enum scram_error take_final(struct scram_client *c, struct wire_slice message)
{
	uint8_t signature[SECRET_KEY_LEN];
	struct scram_attrs attrs;
	struct wire_slice value;
	enum scram_error error;
	size_t len;

	scram_attrs_init(&attrs, message.data, message.len);
	error = scram_attrs_expect(&attrs, 'v', &value);
	if (error == SCRAM_ERROR_NONE)
		error = scram_attrs_skip(&attrs);
	if (error != SCRAM_ERROR_NONE)
		return error;
	if (!base64_decode(value.data, value.len, signature, sizeof(signature), &len) ||
		len != sizeof(signature))
		return SCRAM_ERROR_MALFORMED;
	if (CRYPTO_memcmp(signature, c->server_signature, sizeof(signature)) != 0)
		return SCRAM_ERROR_SIGNATURE;
	return SCRAM_ERROR_NONE;
}

/* --- the machine ---------------------------------------------------------- */

static enum scram_result answer_first(struct scram_client *c, struct buf *out)
{
	enum scram_error error = write_final(c, out);

	if (error == SCRAM_ERROR_NONE && !buf_ok(out))
		error = SCRAM_ERROR_INTERNAL;
	if (error != SCRAM_ERROR_NONE)
		return fail(c, error);
	c->state = SCRAM_CLIENT_FINAL;
	return SCRAM_CONTINUE;
}

static enum scram_result on_first(struct scram_client *c, struct wire_slice message,
	struct buf *out)
{
	enum scram_error error = take_first(c, message);

	if (error != SCRAM_ERROR_NONE)
		return fail(c, error);
	if (secret_keys_match(&c->keys, c->salt, c->salt_len, c->iterations))
		return answer_first(c, out);
	if (c->password == NULL)
		return fail(c, SCRAM_ERROR_KEYS);
	c->state = SCRAM_CLIENT_DERIVES;
	return SCRAM_DERIVE;
}

static enum scram_result on_final(struct scram_client *c, struct wire_slice message)
{
	enum scram_error error = take_final(c, message);

	if (error != SCRAM_ERROR_NONE)
		return fail(c, error);
	c->state = SCRAM_CLIENT_OVER;
	return SCRAM_OK;
}

bool scram_client_job(const struct scram_client *c, struct secret_job *job)
{
	assert(c->state == SCRAM_CLIENT_DERIVES);
	return secret_job_init(job, c->password, c->salt, c->salt_len, c->iterations);
}

enum scram_result scram_client_derived(struct scram_client *c, const struct secret_job *job,
	struct buf *out)
{
	assert(c->state == SCRAM_CLIENT_DERIVES);
	if (!job->is_done)
		return fail(c, SCRAM_ERROR_INTERNAL);
	c->keys = job->keys;
	return answer_first(c, out);
}

enum scram_result scram_client_message(struct scram_client *c, const void *data, size_t len,
	struct buf *out)
{
	struct wire_slice message = { data, len };

	if (c->state != SCRAM_CLIENT_FIRST && c->state != SCRAM_CLIENT_FINAL)
		return fail(c, SCRAM_ERROR_STATE);
	if (len > SCRAM_MESSAGE_MAX)
		return fail(c, SCRAM_ERROR_TOO_LONG);
	if (len == 0 || memchr(data, 0, len) != NULL)
		return fail(c, SCRAM_ERROR_MALFORMED);
	if (message.data[0] == 'e')
		return fail(c, SCRAM_ERROR_SERVER_REFUSED);
	return c->state == SCRAM_CLIENT_FIRST ? on_first(c, message, out) :
						on_final(c, message);
}

void scram_client_finish(struct scram_client *c)
{
	OPENSSL_cleanse(c, sizeof(*c));
	c->state = SCRAM_CLIENT_OVER;
}
