/* SPDX-License-Identifier: ISC */
/*
 * SCRAM, client's part: the router logs in to PostgreSQL.
 *
 * Owns:   copies of what it is given but the password, which is borrowed;
 *         _finish wipes.
 * Thread: any, one at a time.
 * Limits: see scram.h.
 */
#ifndef PG_SCRAM_CLIENT_H
#define PG_SCRAM_CLIENT_H

#include "base/buf.h"
#include "pg/scram.h"

enum scram_client_state {
	SCRAM_CLIENT_START,     /* scram_client_start() comes next */
	SCRAM_CLIENT_FIRST,     /* waits for server-first-message */
	SCRAM_CLIENT_DERIVES,   /* waits for scram_client_derived() */
	SCRAM_CLIENT_FINAL,     /* waits for server-final-message */
	SCRAM_CLIENT_OVER
};

struct scram_client {
	enum scram_client_state state;
	enum scram_error error;
	const char *password;           /* borrowed; NULL: only keys */
	uint32_t iterations_max;
	char gs2_flag;
	/* Given, or derived; those of the server's salt once the first message was
	 * taken, so the caller may keep them for the next login. */
	struct secret_keys keys;
	size_t salt_len;                /* DERIVES: what the server asks for */
	uint8_t salt[SECRET_SALT_MAX];
	uint32_t iterations;
	size_t binding_len;
	uint8_t binding[SCRAM_BINDING_MAX];
	char binding_type[32];
	size_t nonce_len;
	char nonce[SCRAM_NONCE_MAX];
	uint8_t server_signature[SECRET_KEY_LEN];
	struct scram_transcript transcript;
};

struct scram_client_params {
	/* Either or both.  Keys that fit the server's salt are used, else the
	 * password.  The password must live until _finish. */
	const char *password;
	const struct secret_keys *keys;
	/* PLUS: the data of this TLS connection; copied.  NULL: no PLUS. */
	const struct scram_binding *binding;
	/* Without PLUS: we could have bound, but the server did not offer it
	 * (gs2 flag y, so that it notices if somebody hid the offer). */
	bool could_bind;
	uint32_t iterations_max;        /* 0: SCRAM_ITERATIONS_MAX */
	const uint8_t *nonce_raw;       /* SCRAM_NONCE_RAW bytes; NULL: random */
};

void scram_client_init(struct scram_client *, const struct scram_client_params *);

/* Appends client-first-message to *out. */
NODISCARD enum scram_result scram_client_start(struct scram_client *, struct buf *out);

/* Takes one message of the server's: answers the first (SCRAM_CONTINUE, or
 * SCRAM_DERIVE where the keys of the password are needed first), and verifies the
 * last (SCRAM_OK: the server knows the secret too). */
NODISCARD enum scram_result scram_client_message(struct scram_client *,
	const void *data, size_t len, struct buf *out);

/* After SCRAM_DERIVE: what is to be derived; false: no memory. */
NODISCARD bool scram_client_job(const struct scram_client *, struct secret_job *);

/* ... and was, or could not be (job->is_done): answers the first message. */
NODISCARD enum scram_result scram_client_derived(struct scram_client *,
	const struct secret_job *, struct buf *out);

void scram_client_finish(struct scram_client *);

#endif
