/* SPDX-License-Identifier: ISC */
#include "pg/scram_server.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "pg/scram_priv.h"

void scram_server_init(struct scram_server *s, const struct scram_server_params *params)
{
	*s = (struct scram_server){ .state = SCRAM_SERVER_FIRST, .secret = *params->secret,
		.is_doomed = params->is_doomed, .is_plus = params->is_plus };
	scram_nonce_make(params->nonce_raw, s->nonce);
	s->nonce_len = SCRAM_NONCE_LEN;
	if (params->binding == NULL)
		return;
	s->has_binding = true;
	if (!scram_binding_copy(params->binding, s->binding_type, s->binding,
		    &s->binding_len)) {
		s->state = SCRAM_SERVER_OVER;
		s->error = SCRAM_ERROR_INTERNAL;
	}
}

/* --- client-first-message ------------------------------------------------- */

/* Reads "n,,", "y,," or "p=type,,", and says what is wrong with the choice. */
static enum scram_error take_gs2(struct scram_server *s, struct wire_slice *left)
{
	struct wire_slice type = { "", 0 };
	size_t used = 1;

	if (left->len < 3)
		return SCRAM_ERROR_MALFORMED;
	s->gs2_flag = left->data[0];
	if (s->gs2_flag == 'p') {
		const char *comma = memchr(left->data, ',', left->len);

		if (left->data[1] != '=' || comma == NULL)
			return SCRAM_ERROR_MALFORMED;
		type.data = left->data + 2;
		type.len = (size_t)(comma - type.data);
		used = 2 + type.len;
	} else if (s->gs2_flag != 'n' && s->gs2_flag != 'y') {
		return SCRAM_ERROR_MALFORMED;
	}
	if (left->len - used < 2 || left->data[used] != ',')
		return SCRAM_ERROR_MALFORMED;
	if (left->data[used + 1] == 'a')
		return SCRAM_ERROR_AUTHZID;
	if (left->data[used + 1] != ',')
		return SCRAM_ERROR_MALFORMED;
	left->data += used + 2;
	left->len -= used + 2;

	if (s->gs2_flag != 'p' && s->is_plus)
		return SCRAM_ERROR_BINDING_MISSING;
	if (s->gs2_flag == 'y' && s->has_binding)
		return SCRAM_ERROR_DOWNGRADE;
	if (s->gs2_flag == 'p' && !(s->is_plus && s->has_binding))
		return SCRAM_ERROR_BINDING_UNASKED;
	if (s->gs2_flag == 'p' && !wire_slice_is(type, s->binding_type))
		return SCRAM_ERROR_BINDING_TYPE;
	return SCRAM_ERROR_NONE;
}

/* The user's name in n= is not looked at: PostgreSQL's startup packet has it,
 * and libpq sends "". */
static enum scram_error take_first(struct scram_server *s, struct wire_slice message)
{
	struct wire_slice user, nonce;
	struct scram_attrs attrs;
	enum scram_error error;

	error = take_gs2(s, &message);
	if (error != SCRAM_ERROR_NONE)
		return error;
	scram_attrs_init(&attrs, message.data, message.len);
	error = scram_attrs_expect(&attrs, 'n', &user);
	if (error != SCRAM_ERROR_NONE)
		return error;
	error = scram_attrs_expect(&attrs, 'r', &nonce);
	if (error != SCRAM_ERROR_NONE)
		return error;
	error = scram_attrs_skip(&attrs);
	if (error != SCRAM_ERROR_NONE)
		return error;
	if (nonce.len > SCRAM_NONCE_MAX - s->nonce_len)
		return SCRAM_ERROR_TOO_LONG;
	if (!scram_nonce_is_valid(nonce))
		return SCRAM_ERROR_MALFORMED;

	memmove(s->nonce + nonce.len, s->nonce, s->nonce_len);
	memcpy(s->nonce, nonce.data, nonce.len);
	s->nonce_len += nonce.len;
	return scram_transcript_add(&s->transcript, message.data, message.len) ?
		SCRAM_ERROR_NONE : SCRAM_ERROR_TOO_LONG;
}

static enum scram_error write_first(struct scram_server *s, struct buf *out)
{
	char salt[BASE64_LEN(SECRET_SALT_MAX) + 1];
	char text[SCRAM_MESSAGE_MAX];
	int len;

	(void)base64_encode(s->secret.salt, s->secret.salt_len, salt, sizeof(salt));
	len = snprintf(text, sizeof(text), "r=%.*s,s=%s,i=%u", (int)s->nonce_len, s->nonce,
		salt, s->secret.iterations);
	assert(len > 0 && (size_t)len < sizeof(text));
	if (!scram_transcript_add(&s->transcript, text, (size_t)len))
		return SCRAM_ERROR_TOO_LONG;
	buf_add(out, text, (size_t)len);
	return SCRAM_ERROR_NONE;
}

/* --- client-final-message ------------------------------------------------- */

/* Reads "c=...,r=...,(extensions,)p=..." and checks all but the proof itself. */
static enum scram_error take_final(struct scram_server *s, struct wire_slice message,
	uint8_t proof[SECRET_KEY_LEN])
{
	struct wire_slice cbind, nonce, value;
	char expected[SCRAM_CBIND_MAX];
	struct scram_attrs attrs;
	const char *at;
	size_t len;
	char name;

	scram_attrs_init(&attrs, message.data, message.len);
	if (scram_attrs_expect(&attrs, 'c', &cbind) != SCRAM_ERROR_NONE ||
		scram_attrs_expect(&attrs, 'r', &nonce) != SCRAM_ERROR_NONE)
		return SCRAM_ERROR_MALFORMED;
	do {
		at = attrs.pos;
		if (!scram_attrs_next(&attrs, &name, &value))
			return SCRAM_ERROR_MALFORMED;
	} while (name != 'p');
	if (attrs.has_more || !base64_decode(value.data, value.len, proof,
				      SECRET_KEY_LEN, &len) || len != SECRET_KEY_LEN)
		return SCRAM_ERROR_MALFORMED;

	(void)scram_cbind(s->gs2_flag, s->binding_type, s->binding, s->binding_len,
		expected);
	if (!wire_slice_is(cbind, expected))
		return SCRAM_ERROR_BINDING_MISMATCH;
	if (nonce.len != s->nonce_len ||
		CRYPTO_memcmp(nonce.data, s->nonce, s->nonce_len) != 0)
		return SCRAM_ERROR_NONCE;
	len = (size_t)(at - 1 - message.data);
	return scram_transcript_add(&s->transcript, message.data, len) ?
		SCRAM_ERROR_NONE : SCRAM_ERROR_TOO_LONG;
}

/* The proof is ClientKey xor a MAC that we can make too: so it tells ClientKey
 * to whoever has StoredKey, and that is kept for the login to the server. */
static enum scram_error check_proof(struct scram_server *s,
	const uint8_t proof[SECRET_KEY_LEN])
{
	struct secret_scram made;
	uint8_t mac[SECRET_KEY_LEN];
	int differs;

	if (!secret_hmac(s->secret.stored_key, s->transcript.text, s->transcript.len, mac))
		return SCRAM_ERROR_INTERNAL;
	s->keys.iterations = s->secret.iterations;
	s->keys.salt_len = s->secret.salt_len;
	memcpy(s->keys.salt, s->secret.salt, sizeof(s->keys.salt));
	memcpy(s->keys.server_key, s->secret.server_key, SECRET_KEY_LEN);
	for (size_t i = 0; i < SECRET_KEY_LEN; i++)
		s->keys.client_key[i] = proof[i] ^ mac[i];
	if (!secret_from_keys(&s->keys, &made))
		return SCRAM_ERROR_INTERNAL;
	differs = CRYPTO_memcmp(made.stored_key, s->secret.stored_key, SECRET_KEY_LEN);
	secret_scram_wipe(&made);
	if (differs != 0 || s->is_doomed)
		return SCRAM_ERROR_PROOF;
	return SCRAM_ERROR_NONE;
}

static enum scram_error write_final(struct scram_server *s, struct buf *out)
{
	char text[BASE64_LEN(SECRET_KEY_LEN) + 1];
	uint8_t mac[SECRET_KEY_LEN];

	if (!secret_hmac(s->secret.server_key, s->transcript.text, s->transcript.len, mac))
		return SCRAM_ERROR_INTERNAL;
	(void)base64_encode(mac, sizeof(mac), text, sizeof(text));
	buf_add_str(out, "v=");
	buf_add_str(out, text);
	return SCRAM_ERROR_NONE;
}

/* --- the machine ---------------------------------------------------------- */

static enum scram_error on_first(struct scram_server *s, struct wire_slice message,
	struct buf *out)
{
	enum scram_error error = take_first(s, message);

	return error != SCRAM_ERROR_NONE ? error : write_first(s, out);
}

static enum scram_error on_final(struct scram_server *s, struct wire_slice message,
	struct buf *out)
{
	uint8_t proof[SECRET_KEY_LEN];
	enum scram_error error;

	error = take_final(s, message, proof);
	if (error == SCRAM_ERROR_NONE)
		error = check_proof(s, proof);
	OPENSSL_cleanse(proof, sizeof(proof));
	return error != SCRAM_ERROR_NONE ? error : write_final(s, out);
}

static enum scram_result fail(struct scram_server *s, enum scram_error error)
{
	s->state = SCRAM_SERVER_OVER;
	if (s->error == SCRAM_ERROR_NONE)
		s->error = error;
	secret_keys_wipe(&s->keys);
	return SCRAM_FAILED;
}

enum scram_result scram_server_message(struct scram_server *s, const void *data, size_t len,
	struct buf *out)
{
	struct wire_slice message = { data, len };
	bool is_first = s->state == SCRAM_SERVER_FIRST;
	enum scram_error error;

	if (s->state == SCRAM_SERVER_OVER)
		return fail(s, SCRAM_ERROR_STATE);
	if (len > SCRAM_MESSAGE_MAX)
		return fail(s, SCRAM_ERROR_TOO_LONG);
	if (len == 0 || memchr(data, 0, len) != NULL)
		return fail(s, SCRAM_ERROR_MALFORMED);
	error = is_first ? on_first(s, message, out) : on_final(s, message, out);
	if (error == SCRAM_ERROR_NONE && !buf_ok(out))
		error = SCRAM_ERROR_INTERNAL;
	if (error != SCRAM_ERROR_NONE)
		return fail(s, error);
	s->state = is_first ? SCRAM_SERVER_FINAL : SCRAM_SERVER_OVER;
	return is_first ? SCRAM_CONTINUE : SCRAM_OK;
}

void scram_server_set_secret(struct scram_server *s, const struct secret_scram *secret)
{
	s->secret = *secret;
}

void scram_server_finish(struct scram_server *s)
{
	OPENSSL_cleanse(s, sizeof(*s));
	s->state = SCRAM_SERVER_OVER;
}
