/* SPDX-License-Identifier: ISC */
/*
 * SCRAM, server's part: a client of ours logs in.
 *
 * Owns:   copies of what it is given; _finish wipes.
 * Thread: any, one at a time.
 * Limits: see scram.h.
 */
#ifndef PG_SCRAM_SERVER_H
#define PG_SCRAM_SERVER_H

#include "base/buf.h"
#include "pg/scram.h"

enum scram_server_state {
	SCRAM_SERVER_FIRST,     /* waits for client-first-message */
	SCRAM_SERVER_FINAL,     /* waits for client-final-message */
	SCRAM_SERVER_OVER
};

struct scram_server {
	enum scram_server_state state;
	enum scram_error error;
	bool is_doomed;         /* goes through the motions and fails */
	bool is_plus;           /* the client chose PLUS */
	char gs2_flag;          /* 'n', 'y' or 'p' */
	struct secret_scram secret;
	struct secret_keys keys;        /* after SCRAM_OK: for pass-through */
	bool has_binding;
	size_t binding_len;
	uint8_t binding[SCRAM_BINDING_MAX];
	char binding_type[32];
	size_t nonce_len;
	char nonce[SCRAM_NONCE_MAX];    /* ours at first, then both */
	struct scram_transcript transcript;
};

struct scram_server_params {
	/* What the client is verified with; copied.  For an unknown user pass
	 * scram_mock_secret()'s and is_doomed. */
	const struct secret_scram *secret;
	bool is_doomed;
	bool is_plus;                   /* the mechanism the client chose */
	/* Set where PLUS was offered, whether chosen or not; else NULL.  Copied. */
	const struct scram_binding *binding;
	const uint8_t *nonce_raw;       /* SCRAM_NONCE_RAW bytes; NULL: random */
};

void scram_server_init(struct scram_server *, const struct scram_server_params *);

/* Takes one message of the client's and appends the answer to *out.  After
 * SCRAM_OK ->keys has the ClientKey the client proved to know.  Wrong
 * passwords and doomed exchanges fail alike, at the same message. */
NODISCARD enum scram_result scram_server_message(struct scram_server *,
	const void *data, size_t len, struct buf *out);

/* Another one of the same salt and iterations, before the last message is taken. */
void scram_server_set_secret(struct scram_server *, const struct secret_scram *);

void scram_server_finish(struct scram_server *);

#endif
