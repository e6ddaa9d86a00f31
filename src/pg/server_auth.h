/* SPDX-License-Identifier: ISC */
/*
 * Logs in to PostgreSQL: answers its Authentication messages.
 *
 * The server is not trusted: it learns no more than it must, and what begins
 * as SCRAM ends as SCRAM, with the server's signature verified.
 *
 * Owns:   its SCRAM machine; credentials are borrowed and must live until
 *         _finish, which wipes.
 * Thread: any, one at a time.
 * Limits: keys take up to iterations_max rounds of PBKDF2, 0.5 us each, and are left to
 *         the caller (DERIVE); keep those that server_auth_keys() gives and pass them
 *         the next time.
 * Source: PostgreSQL documentation, 55.2.1, 55.3 and 55.7 (Authentication*).
 *
 *   asked \ known  nothing  password  md5 secret  keys
 *   nothing        yes      yes       yes         yes
 *   in clear       no       if told   no          no
 *   md5            no       yes       yes         no
 *   SCRAM          no       yes       no          of the same salt
 */
#ifndef PG_SERVER_AUTH_H
#define PG_SERVER_AUTH_H

#include "base/buf.h"
#include "base/diag.h"
#include "pg/scram_client.h"

enum server_auth_result {
	SERVER_AUTH_CONTINUE,   /* send what is in out (may be nothing), go on */
	SERVER_AUTH_OK,         /* AuthenticationOk; ParameterStatus etc. follow */
	SERVER_AUTH_FAILED,     /* diag says why; close */
	SERVER_AUTH_DERIVE      /* run what server_auth_job() gives, by a thread that may
				   take its time; then server_auth_derived() */
};

/* Channel binding, with the meaning of libpq's channel_binding. */
enum server_auth_binding {
	SERVER_AUTH_BINDING_PREFER,     /* PLUS if offered and binding is set */
	SERVER_AUTH_BINDING_REQUIRE,    /* nothing but PLUS will do */
	SERVER_AUTH_BINDING_DISABLE
};

struct server_auth_credentials {
	const char *user;
	const char *password;           /* plain; NULL: unknown */
	const char *md5_secret;         /* "md5..."; NULL: unknown */
	/* Pass-through keys, or those of an earlier login; NULL: none. */
	const struct secret_keys *keys;
	bool allow_cleartext;           /* send the password in clear if asked */
	enum server_auth_binding binding_mode;
	const struct scram_binding *binding;    /* of this TLS connection; NULL */
	uint32_t iterations_max;        /* 0: SCRAM_ITERATIONS_MAX */
	const uint8_t *nonce_raw;       /* for tests; NULL: random */
};

enum server_auth_state {
	SERVER_AUTH_STATE_NEW,          /* nothing was asked yet */
	SERVER_AUTH_STATE_ANSWERED,     /* a password was sent: only Ok may come */
	SERVER_AUTH_STATE_SCRAM,        /* SASLContinue or SASLFinal must come */
	SERVER_AUTH_STATE_OVER
};

struct server_auth {
	enum server_auth_state state;
	struct server_auth_credentials with;
	bool is_ok;                     /* after SERVER_AUTH_OK */
	bool hid_password;              /* it was to be sent in clear: not allowed */
	bool has_scram;                 /* the machine below is initialised */
	struct scram_client scram;
};

/* Copies the struct, not what it points to. */
void server_auth_init(struct server_auth *, const struct server_auth_credentials *);

/* Takes the body of an 'R' message and appends the answer, framed, to *out. */
NODISCARD enum server_auth_result server_auth_message(struct server_auth *,
	const uint8_t *body, size_t len, struct buf *out, struct diag *);

/* After DERIVE: what is to be derived; false: no memory. */
NODISCARD bool server_auth_job(const struct server_auth *, struct secret_job *);

/* ... and was, or could not be (job->is_done).  The answer is appended to *out. */
NODISCARD enum server_auth_result server_auth_derived(struct server_auth *,
	const struct secret_job *, struct buf *out, struct diag *);

/* The server has asked for the password, in whatever form, has been told, and has not said
 * yet that it will do. */
bool server_auth_is_judged(const struct server_auth *);

/* After SERVER_AUTH_OK by SCRAM: the keys of the server's salt, to be kept for
 * the next login.  NULL after another method.  Valid until _finish. */
const struct secret_keys *server_auth_keys(const struct server_auth *);

void server_auth_finish(struct server_auth *);

#endif
