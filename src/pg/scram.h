/* SPDX-License-Identifier: ISC */
/*
 * SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, both roles, as two small machines that
 * take and give the payload of SASL messages, without PostgreSQL's framing.
 * Here is what both share; see scram_server.h and scram_client.h.
 *
 * A router is server towards its clients and client towards PostgreSQL.  A
 * client that proves its password gives us its ClientKey on the way; with that
 * and the ServerKey the router can log in to a PostgreSQL that stores the same
 * secret ("pass-through").
 *
 * Owns:   copies of what it is given, in fixed arrays; no allocation (but see
 *         secret_derive_keys()).  _finish wipes.
 * Thread: any, one at a time.
 * Limits: a message has at most SCRAM_MESSAGE_MAX bytes, a nonce
 *         SCRAM_NONCE_MAX; neither peer is trusted.
 * Source: RFC 5802, RFC 7677; RFC 5929 for tls-server-end-point.
 */
#ifndef PG_SCRAM_H
#define PG_SCRAM_H

#include "pg/secret.h"

#define SCRAM_MECHANISM      "SCRAM-SHA-256"
#define SCRAM_MECHANISM_PLUS "SCRAM-SHA-256-PLUS"

enum {
	SCRAM_MESSAGE_MAX = 1024,       /* PG_MAX_SASL_MESSAGE_LENGTH */
	SCRAM_NONCE_MAX = 512,          /* of both parties together */
	SCRAM_NONCE_RAW = 18,           /* random bytes in a nonce of ours */
	SCRAM_BINDING_MAX = 64,         /* bytes of channel binding data */
	SCRAM_ITERATIONS_MAX = 1000000, /* that a server may ask of us */
	SCRAM_MOCK_KEY_LEN = 32
};

enum scram_result {
	SCRAM_CONTINUE,         /* out has what to send; the peer answers */
	SCRAM_OK,               /* done; a server has its last message in out */
	SCRAM_FAILED,           /* the error field says why; nothing in out */
	SCRAM_DERIVE            /* a client's: keys are needed, which takes long */
};

enum scram_error {
	SCRAM_ERROR_NONE,
	SCRAM_ERROR_MALFORMED,          /* not the message it should be */
	SCRAM_ERROR_TOO_LONG,           /* a message or one of its fields */
	SCRAM_ERROR_EXTENSION,          /* a mandatory extension (m=) */
	SCRAM_ERROR_AUTHZID,            /* an authorization identity (a=) */
	SCRAM_ERROR_BINDING_MISSING,    /* PLUS chosen, but no binding in the message */
	SCRAM_ERROR_BINDING_UNASKED,    /* binding without PLUS, or not offered */
	SCRAM_ERROR_BINDING_TYPE,       /* not the type we have data for */
	SCRAM_ERROR_BINDING_MISMATCH,   /* somebody is between the two */
	SCRAM_ERROR_DOWNGRADE,          /* gs2 flag y although PLUS was offered */
	SCRAM_ERROR_NONCE,              /* not ours, or not longer than ours */
	SCRAM_ERROR_ITERATIONS,         /* none, or over the limit */
	SCRAM_ERROR_SALT,               /* empty, not base64 or too long */
	SCRAM_ERROR_KEYS,               /* pass-through keys are of another salt */
	SCRAM_ERROR_SERVER_REFUSED,     /* the server sent e= */
	SCRAM_ERROR_SIGNATURE,          /* the server does not know the secret */
	SCRAM_ERROR_PROOF,              /* wrong password, or a mock exchange */
	SCRAM_ERROR_STATE,              /* a message after the end */
	SCRAM_ERROR_INTERNAL,           /* crypto library or memory */
	SCRAM_ERROR_COUNT
};

/* A sentence for the log, as PostgreSQL writes them; no data of the peer's. */
const char *scram_error_text(enum scram_error);

/* Channel binding: what this TLS connection is known by at both ends. */
struct scram_binding {
	const char *type;       /* "tls-server-end-point" */
	const uint8_t *data;
	size_t len;             /* 1 to SCRAM_BINDING_MAX */
};

/* Everything both machines say, joined by commas: the AuthMessage. */
struct scram_transcript {
	size_t len;
	char text[3 * SCRAM_MESSAGE_MAX];
};

/* The secret of nobody: iterations as others have them (0: SECRET_ITERATIONS), and a
 * salt that a name always has as long as whoever keeps key does, so that repeated tries
 * do not tell known users from unknown ones. */
NODISCARD bool scram_mock_secret(const uint8_t key[SCRAM_MOCK_KEY_LEN], const char *user,
	uint32_t iterations, struct secret_scram *out);

/* The salt alone: also for secrets derived from plain passwords, which then
 * look the same from outside. */
NODISCARD bool scram_mock_salt(const uint8_t key[SCRAM_MOCK_KEY_LEN], const char *user,
	uint8_t salt[SECRET_SALT_LEN]);

/* Where scram of so many users have a SCRAM secret and the others another: whether the
 * name of nobody is one of those.  As long as key lives always the same for a name,
 * unless the numbers change. */
bool scram_mock_is_chosen(const uint8_t key[SCRAM_MOCK_KEY_LEN], const char *user,
	size_t scram, size_t all);

#endif
