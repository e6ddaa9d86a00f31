/* SPDX-License-Identifier: ISC */
#include "pg/secret.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "pg/base64.h"

enum { MD5_BYTES = 16, MD5_DIGITS = 2 * MD5_BYTES };

static const char scram_prefix[] = "SCRAM-SHA-256$";

/* --- classifying and parsing ---------------------------------------------- */

static bool is_md5(const char *stored)
{
	return strlen(stored) == SECRET_MD5_LEN && strncmp(stored, "md5", 3) == 0 &&
		strspn(stored + 3, "0123456789abcdef") == MD5_DIGITS;
}

enum secret_kind secret_read(const char *stored, struct secret_scram *out)
{
	*out = (struct secret_scram){ .iterations = 0 };
	if (stored == NULL || stored[0] == '\0')
		return SECRET_NONE;
	if (is_md5(stored))
		return SECRET_MD5;
	if (strncmp(stored, scram_prefix, sizeof(scram_prefix) - 1) != 0)
		return SECRET_PLAIN;
	if (secret_parse_scram(stored, out))
		return SECRET_SCRAM;
	secret_scram_wipe(out);
	return SECRET_MALFORMED;
}

enum secret_kind secret_classify(const char *stored)
{
	struct secret_scram scram;
	enum secret_kind kind = secret_read(stored, &scram);

	secret_scram_wipe(&scram);
	return kind;
}

/* Digits up to the colon, without sign or leading zero; 0 when wrong. */
static uint32_t parse_iterations(const char *text, size_t len)
{
	uint32_t value = 0;

	if (len == 0 || len > 9 || text[0] == '0')
		return 0;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return 0;
		value = value * 10 + (uint32_t)(text[i] - '0');
	}
	return value;
}

static bool parse_key(const char *text, size_t len, uint8_t to[SECRET_KEY_LEN])
{
	size_t got;

	return base64_decode(text, len, to, SECRET_KEY_LEN, &got) && got == SECRET_KEY_LEN;
}

bool secret_parse_scram(const char *stored, struct secret_scram *out)
{
	const char *iterations = stored + sizeof(scram_prefix) - 1;
	const char *salt, *stored_key, *server_key;

	*out = (struct secret_scram){ .iterations = 0 };
	if (strncmp(stored, scram_prefix, sizeof(scram_prefix) - 1) != 0)
		return false;
	salt = strchr(iterations, ':');
	if (salt == NULL)
		return false;
	stored_key = strchr(salt, '$');
	if (stored_key == NULL)
		return false;
	server_key = strchr(stored_key, ':');
	if (server_key == NULL)
		return false;

	salt++;
	stored_key++;
	server_key++;
	out->iterations = parse_iterations(iterations, (size_t)(salt - 1 - iterations));
	return out->iterations != 0 &&
		base64_decode(salt, (size_t)(stored_key - 1 - salt), out->salt,
			sizeof(out->salt), &out->salt_len) &&
		out->salt_len > 0 &&
		parse_key(stored_key, (size_t)(server_key - 1 - stored_key),
			out->stored_key) &&
		parse_key(server_key, strlen(server_key), out->server_key);
}

const char *secret_format_scram(const struct secret_scram *s,
	char to[SECRET_SCRAM_TEXT_MAX])
{
	char salt[BASE64_LEN(SECRET_SALT_MAX) + 1];
	char stored_key[BASE64_LEN(SECRET_KEY_LEN) + 1];
	char server_key[BASE64_LEN(SECRET_KEY_LEN) + 1];
	int len;

	assert(s->salt_len <= SECRET_SALT_MAX);
	(void)base64_encode(s->salt, s->salt_len, salt, sizeof(salt));
	(void)base64_encode(s->stored_key, SECRET_KEY_LEN, stored_key, sizeof(stored_key));
	(void)base64_encode(s->server_key, SECRET_KEY_LEN, server_key, sizeof(server_key));
	len = snprintf(to, SECRET_SCRAM_TEXT_MAX, "%s%u:%s$%s:%s", scram_prefix,
		s->iterations, salt, stored_key, server_key);
	assert(len > 0 && len < SECRET_SCRAM_TEXT_MAX);
	OPENSSL_cleanse(stored_key, sizeof(stored_key));
	OPENSSL_cleanse(server_key, sizeof(server_key));
	return to;
}

/* --- SCRAM ---------------------------------------------------------------- */

/* OpenSSL 3 looks for an algorithm by its name, and makes anew what it computes with, at
 * each call of the functions that do all in one: that takes several times as long as the
 * hash of a few bytes.  So each thread has a MAC of its own; the last key stays there, of
 * those that the process knows anyhow. */
static pthread_once_t mac_once = PTHREAD_ONCE_INIT;
static pthread_key_t mac_key;
static bool has_mac_key;
static EVP_MD *sha256;          /* NULL: it is looked for each time */

static void free_mac(void *mac)
{
	EVP_MAC_CTX_free(mac);
}

static void make_mac_key(void)
{
	has_mac_key = pthread_key_create(&mac_key, free_mac) == 0;
	sha256 = EVP_MD_fetch(NULL, OSSL_DIGEST_NAME_SHA2_256, NULL);
}

static EVP_MAC_CTX *make_mac(void)
{
	char digest[] = OSSL_DIGEST_NAME_SHA2_256;
	OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end() };
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, OSSL_MAC_NAME_HMAC, NULL);
	EVP_MAC_CTX *mac = hmac == NULL ? NULL : EVP_MAC_CTX_new(hmac);

	EVP_MAC_free(hmac);
	if (mac != NULL && EVP_MAC_CTX_set_params(mac, params) == 1 &&
		pthread_setspecific(mac_key, mac) == 0)
		return mac;
	EVP_MAC_CTX_free(mac);
	return NULL;
}

/* By a thread that may outlive the library. */
static void forget_mac(void)
{
	if (!has_mac_key)
		return;
	free_mac(pthread_getspecific(mac_key));
	(void)pthread_setspecific(mac_key, NULL);
}

/* NULL: out of memory. */
static EVP_MAC_CTX *my_mac(void)
{
	EVP_MAC_CTX *mac;

	(void)pthread_once(&mac_once, make_mac_key);
	mac = has_mac_key ? pthread_getspecific(mac_key) : NULL;
	return mac != NULL || !has_mac_key ? mac : make_mac();
}

bool secret_hmac(const uint8_t key[SECRET_KEY_LEN], const void *data, size_t len,
	uint8_t to[SECRET_KEY_LEN])
{
	EVP_MAC_CTX *mac = my_mac();
	size_t got = 0;

	return mac != NULL && EVP_MAC_init(mac, key, SECRET_KEY_LEN, NULL) == 1 &&
		EVP_MAC_update(mac, data, len) == 1 &&
		EVP_MAC_final(mac, to, &got, SECRET_KEY_LEN) == 1 && got == SECRET_KEY_LEN;
}

bool secret_derive_keys(const char *password, const uint8_t *salt, size_t salt_len,
	uint32_t iterations, struct secret_keys *out)
{
	uint8_t salted[SECRET_KEY_LEN];
	char *prepared = secret_saslprep(password);
	bool is_fine;

	assert(salt_len <= SECRET_SALT_MAX && iterations > 0 && iterations <= INT32_MAX);
	if (prepared == NULL)
		return false;
	*out = (struct secret_keys){ .iterations = iterations, .salt_len = salt_len };
	memcpy(out->salt, salt, salt_len);
	is_fine = PKCS5_PBKDF2_HMAC(prepared, (int)strlen(prepared), salt, (int)salt_len,
			  (int)iterations, EVP_sha256(), sizeof(salted), salted) == 1 &&
		secret_hmac(salted, "Client Key", 10, out->client_key) &&
		secret_hmac(salted, "Server Key", 10, out->server_key);
	OPENSSL_cleanse(salted, sizeof(salted));
	OPENSSL_cleanse(prepared, strlen(prepared));
	free(prepared);
	if (!is_fine)
		secret_keys_wipe(out);
	return is_fine;
}

bool secret_job_init(struct secret_job *job, const char *password, const uint8_t *salt,
	size_t salt_len, uint32_t iterations)
{
	*job = (struct secret_job){ .password = strdup(password), .salt_len = salt_len,
		.iterations = iterations };
	memcpy(job->salt, salt, salt_len);
	return job->password != NULL;
}

void secret_job_run(struct secret_job *job)
{
	job->is_done = secret_derive_keys(job->password, job->salt, job->salt_len,
		job->iterations, &job->keys);
	forget_mac();
}

void secret_job_wipe(struct secret_job *job)
{
	if (job->password != NULL)
		OPENSSL_cleanse(job->password, strlen(job->password));
	free(job->password);
	OPENSSL_cleanse(job, sizeof(*job));
}

bool secret_from_keys(const struct secret_keys *keys, struct secret_scram *out)
{
	unsigned got = 0;

	(void)pthread_once(&mac_once, make_mac_key);
	*out = (struct secret_scram){ .iterations = keys->iterations,
		.salt_len = keys->salt_len };
	memcpy(out->salt, keys->salt, keys->salt_len);
	memcpy(out->server_key, keys->server_key, SECRET_KEY_LEN);
	return EVP_Digest(keys->client_key, SECRET_KEY_LEN, out->stored_key, &got,
		       sha256 == NULL ? EVP_sha256() : sha256, NULL) == 1 &&
		got == SECRET_KEY_LEN;
}

bool secret_keys_match(const struct secret_keys *keys, const uint8_t *salt,
	size_t salt_len, uint32_t iterations)
{
	return keys->iterations == iterations && iterations != 0 &&
		keys->salt_len == salt_len && memcmp(keys->salt, salt, salt_len) == 0;
}

/* --- md5 ------------------------------------------------------------------ */

/* "md5" and the digits of the digest of a and b, one after the other. */
static bool md5_two(const void *a, size_t a_len, const void *b, size_t b_len,
	char to[SECRET_MD5_LEN + 1])
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned got = 0;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool is_fine;

	to[0] = '\0';
	is_fine = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_md5(), NULL) == 1 &&
		EVP_DigestUpdate(ctx, a, a_len) == 1 &&
		EVP_DigestUpdate(ctx, b, b_len) == 1 &&
		EVP_DigestFinal_ex(ctx, digest, &got) == 1 && got == MD5_BYTES;
	EVP_MD_CTX_free(ctx);
	if (is_fine) {
		memcpy(to, "md5", 3);
		hex_write(to + 3, digest, MD5_BYTES);
		to[SECRET_MD5_LEN] = '\0';
	}
	OPENSSL_cleanse(digest, sizeof(digest));
	return is_fine;
}

bool secret_md5(const char *password, const char *user, char to[SECRET_MD5_LEN + 1])
{
	return md5_two(password, strlen(password), user, strlen(user), to);
}

bool secret_md5_answer(const char *md5_secret, const uint8_t salt[4],
	char to[SECRET_MD5_LEN + 1])
{
	assert(strlen(md5_secret) == SECRET_MD5_LEN);
	return md5_two(md5_secret + 3, MD5_DIGITS, salt, 4, to);
}

/* --- wiping --------------------------------------------------------------- */

void secret_keys_wipe(struct secret_keys *keys)
{
	OPENSSL_cleanse(keys, sizeof(*keys));
}

void secret_scram_wipe(struct secret_scram *s)
{
	OPENSSL_cleanse(s, sizeof(*s));
}
