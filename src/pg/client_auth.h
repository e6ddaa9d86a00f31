/* SPDX-License-Identifier: ISC */
/*
 * Authenticates a client of ours: asks, and judges its answers.
 *
 *   client_auth_init();
 *   result = client_auth_start(a, out);                     CONTINUE, OK
 *   each 'p' message:  client_auth_message(a, body, len, out)
 *   DERIVE:  send out; let client_auth_job() be run; client_auth_settle(a, job, out)
 *   DECIDE:  find out whether a->known.password is right; client_auth_decide(a, it_is)
 *   OK:      send out, then AuthenticationOk (not written here) and so on
 *   FAILED:  client_auth_write_error(a, out); send; close
 *   client_auth_finish();
 *
 * A user that does not exist is asked as the others are, and always fails,
 * with the same words.
 *
 * Owns:   copies of what it needs, a password it was sent, in clear; _finish
 *         wipes all.
 * Thread: any, one at a time.
 * Limits: a 'p' message has at most CLIENT_AUTH_BODY_MAX bytes.
 *         Keys are never derived here, as that takes 2 ms: see DERIVE; keep what
 *         client_auth_derived() gives.
 * Source: PostgreSQL documentation, 55.2.1, 55.3; auth.c in PostgreSQL.
 *
 *   stored \ method  trust  password  md5            scram-sha-256
 *   plain            yes    yes       yes            yes
 *   md5              yes    yes       yes            never (mock exchange)
 *   SCRAM            yes    yes       yes, by SCRAM  yes
 *   none, unknown    yes*   never     never          never
 *
 *   * trust does not ask for the user: the caller decides whom to let in.
 *   With the method outside, somebody else knows the password, and stored does not count.
 */
#ifndef PG_CLIENT_AUTH_H
#define PG_CLIENT_AUTH_H

#include "base/buf.h"
#include "pg/scram_server.h"
#include "pg/startup.h"

enum { CLIENT_AUTH_BODY_MAX = 65535 };

enum client_auth_method {
	CLIENT_AUTH_TRUST,
	CLIENT_AUTH_PASSWORD,           /* in clear */
	CLIENT_AUTH_MD5,
	CLIENT_AUTH_SCRAM,
	CLIENT_AUTH_OUTSIDE             /* in clear, and judged by the caller: PAM, LDAP */
};

enum client_auth_result {
	CLIENT_AUTH_CONTINUE,   /* send what is in out, wait for 'p' */
	CLIENT_AUTH_OK,         /* send what is in out; see client_auth.known */
	CLIENT_AUTH_FAILED,     /* see client_auth.failure */
	CLIENT_AUTH_DERIVE,     /* send what is in out, run client_auth_job(), then
				   client_auth_settle(); see client_auth_waits() */
	CLIENT_AUTH_DECIDE      /* the same with client_auth_decide() */
};

/* Why, for the log.  The client is told much less: client_auth_write_error. */
enum client_auth_failure {
	CLIENT_AUTH_NO_FAILURE,
	CLIENT_AUTH_WRONG_PASSWORD,
	CLIENT_AUTH_UNKNOWN_USER,       /* params.stored was NULL */
	CLIENT_AUTH_NO_PASSWORD,        /* stored is "" */
	CLIENT_AUTH_WRONG_SECRET,       /* stored cannot serve this method */
	CLIENT_AUTH_DOOMED,             /* params.is_doomed */
	CLIENT_AUTH_EMPTY_PASSWORD,     /* the client sent "" */
	CLIENT_AUTH_MALFORMED,          /* the message; scram_error may say more */
	CLIENT_AUTH_MECHANISM,          /* a SASL mechanism we did not offer */
	CLIENT_AUTH_SCRAM_ERROR,        /* the exchange; see scram_error */
	CLIENT_AUTH_UNEXPECTED,         /* no message was expected */
	CLIENT_AUTH_INTERNAL,           /* memory or crypto library */
	CLIENT_AUTH_FAILURE_COUNT
};

/* What is known after CLIENT_AUTH_OK, to log in to PostgreSQL with.  Points
 * into the machine: valid until client_auth_finish(). */
struct client_auth_known {
	const char *password;           /* sent in clear, and right; or NULL */
	const struct secret_keys *keys; /* proven by SCRAM; or NULL */
};

enum client_auth_state {
	CLIENT_AUTH_STATE_NEW,
	CLIENT_AUTH_STATE_CLEAR,        /* waits for a password */
	CLIENT_AUTH_STATE_MD5,          /* waits for a digest */
	CLIENT_AUTH_STATE_SASL,         /* waits for SASLInitialResponse */
	CLIENT_AUTH_STATE_SCRAM,        /* waits for SASLResponse */
	CLIENT_AUTH_STATE_DERIVES,      /* waits for the keys of what was sent in clear */
	CLIENT_AUTH_STATE_OUTSIDE,      /* waits for client_auth_decide() */
	CLIENT_AUTH_STATE_OVER
};

struct client_auth_params {
	enum client_auth_method method;
	const char *user;
	const char *stored;             /* secret; NULL: no such user */
	/* Asks, and fails: expired, not allowed.  With trust it fails at once. */
	bool is_doomed;
	/* Methods md5 and password, unknown user: pretend that a SCRAM secret is
	 * stored; see scram_mock_is_chosen(). */
	bool mocks_scram;
	/* Of a plain password: from an earlier client_auth_derived(), or NULL. */
	const struct secret_scram *derived;
	/* NULL without TLS.  Offers SCRAM-SHA-256-PLUS.  The type is borrowed. */
	const struct scram_binding *binding;
	const uint8_t *mock_key;        /* SCRAM_MOCK_KEY_LEN bytes */
	/* Of mocks, and of secrets derived from plain ones; 0: SECRET_ITERATIONS. */
	uint32_t iterations;
	const uint8_t *salt;            /* md5: 4 bytes; NULL: random */
	const uint8_t *nonce_raw;       /* SCRAM: see scram.h; NULL: random */
};

struct client_auth {
	enum client_auth_state state;
	enum client_auth_method method;
	enum client_auth_failure failure;
	enum scram_error scram_error;
	enum client_auth_failure doom;  /* what it will fail with, whatever comes */
	char user[STARTUP_NAME_SIZE];
	char *stored;                   /* a copy; NULL: none */
	enum secret_kind stored_kind;
	bool has_secret;                /* the one below, or a mock */
	bool must_derive;               /* the secret's salt is there, no more yet */
	bool was_derived;               /* the secret is from a plain password */
	struct secret_scram secret;
	bool has_binding;
	struct scram_binding binding;   /* data: the bytes below */
	uint8_t binding_data[SCRAM_BINDING_MAX];
	uint8_t salt[4];
	uint8_t nonce_raw[SCRAM_NONCE_RAW];
	struct scram_server scram;
	struct buf password;            /* as the client sent it, with its NUL */
	struct client_auth_known known;
};

/* Copies what it needs.  The machine must not move afterwards.  Failures are
 * told by client_auth_start(). */
void client_auth_init(struct client_auth *, const struct client_auth_params *);

/* Appends the request for a password to *out.  OK at once with trust. */
NODISCARD enum client_auth_result client_auth_start(struct client_auth *, struct buf *out);

/* Takes the body of a 'p' message. */
NODISCARD enum client_auth_result client_auth_message(struct client_auth *,
	const uint8_t *body, size_t len, struct buf *out);

/* It takes no message before client_auth_settle() or client_auth_decide(). */
bool client_auth_waits(const struct client_auth *);

/* After DERIVE: what is to be derived, by any thread; false: no memory. */
NODISCARD bool client_auth_job(const struct client_auth *, struct secret_job *);
/* ... and was, or could not be (job->is_done). */
NODISCARD enum client_auth_result client_auth_settle(struct client_auth *,
	const struct secret_job *);

/* After DECIDE. */
NODISCARD enum client_auth_result client_auth_decide(struct client_auth *, bool is_right);

/* After CLIENT_AUTH_FAILED: the ErrorResponse PostgreSQL gives, FATAL 28P01
 * password authentication failed for user "x", or 08P01 for what is no valid
 * message. */
void client_auth_write_error(const struct client_auth *, struct buf *out);

/* A sentence for the log: the reason without names or data. */
const char *client_auth_failure_text(const struct client_auth *);

/* The same as one word, for metrics. */
const char *client_auth_failure_word(enum client_auth_failure);

/* The SCRAM secret that was derived from a plain password, or NULL: keep it
 * with that password, wipe it when the password changes. */
const struct secret_scram *client_auth_derived(const struct client_auth *);

void client_auth_finish(struct client_auth *);

#endif
