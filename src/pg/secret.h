/* SPDX-License-Identifier: ISC */
/*
 * What is stored of a password: the password itself, PostgreSQL's md5 secret,
 * or its SCRAM secret; and what is computed from them.
 *
 * Owns:   nothing; results are written where the caller says, and the caller
 *         wipes them (OPENSSL_cleanse, or the _wipe functions here).
 * Thread: any.
 * Limits: secret_derive_keys() costs about 0.5 us for each iteration, 2 ms for
 *         the usual 4096: cache what it gives, and let it be done by a thread that
 *         serves nobody (struct secret_job).
 * Source: RFC 5802 and 7677 (SCRAM), RFC 4013 (SASLprep); scram-common.c,
 *         md5_common.c and saslprep.c in PostgreSQL.
 */
#ifndef PG_SECRET_H
#define PG_SECRET_H

#include "base/base.h"

enum {
	SECRET_KEY_LEN = 32,            /* SHA-256 */
	SECRET_SALT_LEN = 16,           /* of salts that we make, as PostgreSQL */
	SECRET_SALT_MAX = 256,          /* of salts that others made */
	SECRET_ITERATIONS = 4096,       /* of secrets that we make, as PostgreSQL */
	/* Of secrets that others made: about 0.25 s for each attempt. */
	SECRET_DERIVE_MAX = 500000,
	SECRET_MD5_LEN = 35,            /* "md5" and 32 digits */
	SECRET_SCRAM_TEXT_MAX = 512,    /* a SCRAM secret as text, with its NUL */
	SECRET_SASLPREP_MAX = 4096      /* bytes; see secret_saslprep() */
};

enum secret_kind {
	SECRET_NONE,            /* NULL or "" : no password will do */
	SECRET_PLAIN,
	SECRET_MD5,
	SECRET_SCRAM,
	SECRET_MALFORMED        /* begins as a SCRAM secret and is none; no password
	                           will do, as nobody meant that text as one */
};

/* What a server keeps to verify a password, and what salt made it. */
struct secret_scram {
	uint32_t iterations;            /* 1 to 999999999; 0: nothing is here */
	size_t salt_len;
	uint8_t salt[SECRET_SALT_MAX];
	uint8_t stored_key[SECRET_KEY_LEN];
	uint8_t server_key[SECRET_KEY_LEN];
};

/* What one needs to log in without the password; good for that salt only.
 * As secret as the password itself. */
struct secret_keys {
	uint32_t iterations;            /* 0: nothing is here */
	size_t salt_len;
	uint8_t salt[SECRET_SALT_MAX];
	uint8_t client_key[SECRET_KEY_LEN];
	uint8_t server_key[SECRET_KEY_LEN];
};

/* stored may be NULL. */
enum secret_kind secret_classify(const char *stored);
/* And what is in a SCRAM secret; of others nothing. */
enum secret_kind secret_read(const char *stored, struct secret_scram *out);

/* "SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>".  False when it
 * is anything else; *out is then not to be used. */
NODISCARD bool secret_parse_scram(const char *stored, struct secret_scram *out);

/* The text of a SCRAM secret.  Returns to. */
const char *secret_format_scram(const struct secret_scram *,
	char to[SECRET_SCRAM_TEXT_MAX]);

/* Keys of a password, which is SASLprepped first, or used as it is where that
 * is not possible, as PostgreSQL does.  salt_len is at most SECRET_SALT_MAX.
 * False when memory or the crypto library fail. */
NODISCARD bool secret_derive_keys(const char *password, const uint8_t *salt,
	size_t salt_len, uint32_t iterations, struct secret_keys *out);

/* Keys to be derived elsewhere, as that takes long: what is needed for it, and what came
 * of it.  It stands by itself; _wipe frees the password. */
struct secret_job {
	char *password;
	size_t salt_len;
	uint8_t salt[SECRET_SALT_MAX];
	uint32_t iterations;
	bool is_done;                   /* keys were derived */
	struct secret_keys keys;
};

/* Copies; false: no memory. */
NODISCARD bool secret_job_init(struct secret_job *, const char *password,
	const uint8_t *salt, size_t salt_len, uint32_t iterations);
void secret_job_run(struct secret_job *);
void secret_job_wipe(struct secret_job *);

/* The secret a server stores for these keys. */
NODISCARD bool secret_from_keys(const struct secret_keys *, struct secret_scram *out);

/* The keys were made with this salt and so many iterations. */
bool secret_keys_match(const struct secret_keys *, const uint8_t *salt, size_t salt_len,
	uint32_t iterations);

/* "md5" and the digest of password and user: what PostgreSQL stores.  False
 * when the crypto library refuses md5 (FIPS). */
NODISCARD bool secret_md5(const char *password, const char *user,
	char to[SECRET_MD5_LEN + 1]);

/* The answer to AuthenticationMD5Password: "md5" and the digest of the digits
 * of an md5 secret and the salt of four bytes. */
NODISCARD bool secret_md5_answer(const char *md5_secret, const uint8_t salt[4],
	char to[SECRET_MD5_LEN + 1]);

/* HMAC-SHA-256.  False when the crypto library fails. */
NODISCARD bool secret_hmac(const uint8_t key[SECRET_KEY_LEN], const void *data, size_t len,
	uint8_t to[SECRET_KEY_LEN]);

/* A copy of the password after SASLprep, or as it is: where that is not
 * possible, where it is plain ASCII, where it has more than SECRET_SASLPREP_MAX
 * bytes (normalising takes the square of the length, and a client may send 64
 * kB before we know it), and in a build without libidn.  NULL without memory.
 * Wipe and free() it. */
NODISCARD char *secret_saslprep(const char *password);

void secret_keys_wipe(struct secret_keys *);
void secret_scram_wipe(struct secret_scram *);

#endif
