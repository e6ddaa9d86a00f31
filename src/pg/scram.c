/* SPDX-License-Identifier: ISC */
#include "pg/scram.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/rand.h"
#include "pg/scram_priv.h"

const char *scram_error_text(enum scram_error error)
{
	static const char *const texts[SCRAM_ERROR_COUNT] = {
		[SCRAM_ERROR_NONE] = "no error",
		[SCRAM_ERROR_MALFORMED] = "malformed SCRAM message",
		[SCRAM_ERROR_TOO_LONG] = "SCRAM message is too long",
		[SCRAM_ERROR_EXTENSION] = "unsupported mandatory SCRAM extension",
		[SCRAM_ERROR_AUTHZID] = "SCRAM authorization identity is not supported",
		[SCRAM_ERROR_BINDING_MISSING] = "SCRAM-SHA-256-PLUS was selected, but the "
						"message has no channel binding",
		[SCRAM_ERROR_BINDING_UNASKED] = "channel binding in a SCRAM exchange that "
						"has none",
		[SCRAM_ERROR_BINDING_TYPE] = "unsupported SCRAM channel binding type",
		[SCRAM_ERROR_BINDING_MISMATCH] = "SCRAM channel binding check failed",
		[SCRAM_ERROR_DOWNGRADE] = "client believes that channel binding was not "
					  "offered, but it was",
		[SCRAM_ERROR_NONCE] = "SCRAM nonce does not match",
		[SCRAM_ERROR_ITERATIONS] = "SCRAM iteration count is invalid or over the "
					   "limit",
		[SCRAM_ERROR_SALT] = "SCRAM salt is invalid",
		[SCRAM_ERROR_KEYS] = "SCRAM keys are known, but of another salt",
		[SCRAM_ERROR_SERVER_REFUSED] = "server refused the SCRAM exchange",
		[SCRAM_ERROR_SIGNATURE] = "server could not prove that it knows the secret",
		[SCRAM_ERROR_PROOF] = "SCRAM proof is wrong",
		[SCRAM_ERROR_STATE] = "unexpected SCRAM message",
		[SCRAM_ERROR_INTERNAL] = "out of memory or failure of the crypto library",
	};

	return texts[error];
}

/* --- secrets of nobody ---------------------------------------------------- */

bool scram_mock_salt(const uint8_t key[SCRAM_MOCK_KEY_LEN], const char *user,
	uint8_t salt[SECRET_SALT_LEN])
{
	uint8_t mac[SECRET_KEY_LEN];

	_Static_assert((int)SCRAM_MOCK_KEY_LEN == (int)SECRET_KEY_LEN, "used as a key");
	if (!secret_hmac(key, user, strlen(user), mac))
		return false;
	memcpy(salt, mac, SECRET_SALT_LEN);
	return true;
}

bool scram_mock_secret(const uint8_t key[SCRAM_MOCK_KEY_LEN], const char *user,
	uint32_t iterations, struct secret_scram *out)
{
	*out = (struct secret_scram){
		.iterations = iterations == 0 ? SECRET_ITERATIONS : iterations,
		.salt_len = SECRET_SALT_LEN };
	/* Random, so that nothing can prove to know it even if is_doomed is
	 * forgotten. */
	rand_bytes(out->stored_key, sizeof(out->stored_key));
	rand_bytes(out->server_key, sizeof(out->server_key));
	return scram_mock_salt(key, user, out->salt);
}

bool scram_mock_is_chosen(const uint8_t key[SCRAM_MOCK_KEY_LEN], const char *user,
	size_t scram, size_t all)
{
	uint8_t mac[SECRET_KEY_LEN];
	uint32_t drawn;

	if (scram == 0 || scram == all || !secret_hmac(key, user, strlen(user), mac))
		return scram != 0;
	/* Behind the salt, which everybody gets to see. */
	_Static_assert(SECRET_SALT_LEN + sizeof(drawn) <= SECRET_KEY_LEN, "within the mac");
	memcpy(&drawn, mac + SECRET_SALT_LEN, sizeof(drawn));
	return (uint64_t)drawn * all >> 32 < scram;
}

/* --- attributes ----------------------------------------------------------- */

void scram_attrs_init(struct scram_attrs *in, const char *text, size_t len)
{
	*in = (struct scram_attrs){ .pos = text, .end = text + len, .has_more = true };
}

bool scram_attrs_next(struct scram_attrs *in, char *name, struct wire_slice *value)
{
	size_t left = (size_t)(in->end - in->pos);
	const char *comma;
	char letter;

	if (!in->has_more || left < 2 || in->pos[1] != '=')
		return false;
	letter = in->pos[0];
	if ((letter < 'a' || letter > 'z') && (letter < 'A' || letter > 'Z'))
		return false;
	*name = letter;
	value->data = in->pos + 2;
	comma = memchr(value->data, ',', left - 2);
	value->len = (size_t)((comma == NULL ? in->end : comma) - value->data);
	in->has_more = comma != NULL;
	in->pos = comma == NULL ? in->end : comma + 1;
	return true;
}

enum scram_error scram_attrs_expect(struct scram_attrs *in, char name,
	struct wire_slice *value)
{
	char got;

	if (!scram_attrs_next(in, &got, value))
		return SCRAM_ERROR_MALFORMED;
	if (got == name)
		return SCRAM_ERROR_NONE;
	return got == 'm' ? SCRAM_ERROR_EXTENSION : SCRAM_ERROR_MALFORMED;
}

enum scram_error scram_attrs_skip(struct scram_attrs *in)
{
	struct wire_slice value;
	char name;

	while (in->has_more) {
		if (!scram_attrs_next(in, &name, &value))
			return SCRAM_ERROR_MALFORMED;
	}
	return SCRAM_ERROR_NONE;
}

/* --- nonces, transcript, channel binding ---------------------------------- */

bool scram_nonce_is_valid(struct wire_slice nonce)
{
	for (size_t i = 0; i < nonce.len; i++) {
		if (nonce.data[i] < 0x21 || nonce.data[i] > 0x7e || nonce.data[i] == ',')
			return false;
	}
	return nonce.len > 0 && nonce.len <= SCRAM_NONCE_MAX;
}

void scram_nonce_make(const uint8_t *raw, char to[SCRAM_NONCE_LEN + 1])
{
	uint8_t fresh[SCRAM_NONCE_RAW];

	if (raw == NULL) {
		rand_bytes(fresh, sizeof(fresh));
		raw = fresh;
	}
	(void)base64_encode(raw, SCRAM_NONCE_RAW, to, SCRAM_NONCE_LEN + 1);
}

bool scram_transcript_add(struct scram_transcript *t, const char *text, size_t len)
{
	size_t comma = t->len > 0 ? 1 : 0;

	if (len > sizeof(t->text) - comma || t->len > sizeof(t->text) - comma - len)
		return false;
	if (comma != 0)
		t->text[t->len++] = ',';
	memcpy(t->text + t->len, text, len);
	t->len += len;
	return true;
}

size_t scram_gs2_header(char flag, const char *type, char to[SCRAM_GS2_MAX])
{
	int len;

	if (flag == 'p')
		len = snprintf(to, SCRAM_GS2_MAX, "p=%s,,", type);
	else
		len = snprintf(to, SCRAM_GS2_MAX, "%c,,", flag);
	assert(len > 0 && len < SCRAM_GS2_MAX);
	return (size_t)len;
}

size_t scram_cbind(char flag, const char *type, const uint8_t *data, size_t len,
	char to[SCRAM_CBIND_MAX])
{
	uint8_t raw[SCRAM_GS2_MAX + SCRAM_BINDING_MAX];
	size_t raw_len = scram_gs2_header(flag, type, (char *)raw);

	if (flag == 'p') {
		assert(len <= SCRAM_BINDING_MAX);
		memcpy(raw + raw_len, data, len);
		raw_len += len;
	}
	return base64_encode(raw, raw_len, to, SCRAM_CBIND_MAX);
}

bool scram_binding_copy(const struct scram_binding *from, char type[32],
	uint8_t data[SCRAM_BINDING_MAX], size_t *len)
{
	if (from->len == 0 || from->len > SCRAM_BINDING_MAX || strlen(from->type) > 31)
		return false;
	memcpy(type, from->type, strlen(from->type) + 1);
	memcpy(data, from->data, from->len);
	*len = from->len;
	return true;
}
