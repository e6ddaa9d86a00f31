/* SPDX-License-Identifier: ISC */
/*
 * A client proves who it is: which proof is asked for, and what becomes of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/slog.h"
#include "pg/frame.h"
#include "pg/msg_out.h"
#include "pg/scram.h"
#include "session/client_proof.h"
#include "session/login.h"
#include "session/lookup.h"
#include "session/tally.h"

enum { AUTH_BODY_MAX = 32768 };

static const enum client_auth_method methods[] = {
	[ROUTE_AUTH_TRUST] = CLIENT_AUTH_TRUST,
	[ROUTE_AUTH_CERT] = CLIENT_AUTH_TRUST,
	[ROUTE_AUTH_PASSWORD] = CLIENT_AUTH_PASSWORD,
	[ROUTE_AUTH_MD5] = CLIENT_AUTH_MD5,
	[ROUTE_AUTH_SCRAM] = CLIENT_AUTH_SCRAM,
	[ROUTE_AUTH_PAM] = CLIENT_AUTH_OUTSIDE,
	[ROUTE_AUTH_LDAP] = CLIENT_AUTH_OUTSIDE,
};

/* --- refusing -------------------------------------------------------------------------- */

static void log_failure(struct client *c, const char *reason)
{
	const struct client_login *login = c->login;
	char user[160], database[160], addr[ADDR_TEXT_MAX];

	SLOG_LIMITED(WARN, "client-auth-failed",
		"id=%lu workload=%s user=%s database=%s addr=%s rule=%u reason=\"%s\"",
		(unsigned long)c->id, c->workload->name,
		slog_quote(user, sizeof(user), login->user, strlen(login->user)),
		slog_quote(database, sizeof(database), login->database, strlen(login->database)),
		client_addr_text(c, addr), login->proof.line, reason);
}

static void failed(struct client *c)
{
	struct client_auth *auth = &c->login->auth;
	struct buf out;

	log_failure(c, client_auth_failure_text(auth));
	buf_init(&out, 0);
	client_auth_write_error(auth, &out);
	client_send(c, &out);
	buf_finish(&out);
	client_tally(c, TALLY_AUTH + (uint32_t)auth->failure);
	/* It may have another password by now. */
	if (c->login->was_looked_up)
		lookup_doubt(c, &c->login->proof.lookup, c->login->user);
	client_close(c, CLOSE_AUTH);
}

/* What is not about a password: in PostgreSQL's words (auth_failed() in auth.c). */
void client_auth_refuse(struct client *c, const char *what, const char *reason)
{
	char text[160];

	log_failure(c, reason);
	client_tally(c, TALLY_AUTH + (uint32_t)CLIENT_AUTH_DOOMED);
	(void)snprintf(text, sizeof(text), "%s failed for user \"%s\"", what, c->login->user);
	client_close_with(c, CLOSE_NOT_ALLOWED, "28000", text, NULL);
}

/* No rule lets it in, or one says that it is not to come in. */
static void shut_out(struct client *c, const struct addr *peer)
{
	const struct client_login *login = c->login;
	bool is_rejected = login->proof.method == ROUTE_AUTH_REJECT;
	const char *link = client_is_tls(c) ? "SSL encryption" : "no encryption";
	char host[ADDR_TEXT_MAX], text[400];

	if (addr_is_unix(peer))
		(void)snprintf(host, sizeof(host), "[local]");
	else
		(void)addr_host_text(peer, host, sizeof(host));
	if (login->replication == STARTUP_REPLICATION_PHYSICAL)
		(void)snprintf(text, sizeof(text), "%s host \"%s\", user \"%s\", %s",
			is_rejected ? "pg_hba.conf rejects replication connection for" :
				      "no pg_hba.conf entry for replication connection from",
			host, login->user, link);
	else
		(void)snprintf(text, sizeof(text),
			"%s host \"%s\", user \"%s\", database \"%s\", %s",
			is_rejected ? "pg_hba.conf rejects connection for" :
				      "no pg_hba.conf entry for",
			host, login->user, login->database, link);
	log_failure(c, is_rejected ? "a rule rejects it" : "no rule fits");
	client_tally(c, TALLY_AUTH + (uint32_t)CLIENT_AUTH_DOOMED);
	client_close_with(c, CLOSE_NOT_ALLOWED, "28000", text, NULL);
}

/* --- passwords and SCRAM ----------------------------------------------------------------- */

void client_auth_went(struct client *c, enum client_auth_result result, struct buf *out)
{
	const struct secret_scram *derived = client_auth_derived(&c->login->auth);

	if (derived != NULL)
		login_set_derived(c->worker->router, c->login->user,
			c->login->auth.stored, derived);
	switch (result) {
	case CLIENT_AUTH_CONTINUE:
		client_send(c, out);
		return;
	case CLIENT_AUTH_OK:
		buf_add(&c->login->first, buf_data(out), buf_len(out));
		msg_out_auth_ok(&c->login->first);
		client_login_proven(c);
		return;
	case CLIENT_AUTH_FAILED:
		failed(c);
		return;
	case CLIENT_AUTH_DERIVE:
		client_send(c, out);
		client_proof_derive(c);
		return;
	case CLIENT_AUTH_DECIDE:
		client_proof_ask(c);
		return;
	}
}

/* SCRAM-SHA-256-PLUS is offered over our own TLS only. */
static const struct scram_binding *binding_of(const struct client *c,
	struct scram_binding *binding, uint8_t bytes[TLS_BINDING_MAX])
{
	const struct tls *tls = stream_tls(&c->stream);

	*binding = (struct scram_binding){ .type = "tls-server-end-point", .data = bytes };
	if (tls != NULL)
		binding->len = tls_binding(tls, bytes);
	return binding->len == 0 ? NULL : binding;
}

/* What SCRAM asks of those who have no SCRAM secret: what it asks of the others. */
static uint32_t iterations_for(struct router *r, const struct route_proof *proof)
{
	uint32_t told = atomic_load(&r->told_iterations);

	if (proof->lookup.host != NULL && !proof->iterations_are_set && told != 0)
		return told;
	return proof->iterations == 0 ? SECRET_ITERATIONS : proof->iterations;
}

void client_auth_ask(struct client *c, enum client_auth_method method)
{
	struct router *r = c->worker->router;
	struct client_login *login = c->login;
	struct client_auth_params params = { .method = method,
		.user = login->user,
		.stored = login->proof.secret,
		.is_doomed = login->is_doomed,
		/* In PostgreSQL as its own default makes them, in files as they are. */
		.mocks_scram = login->proof.lookup.host != NULL ||
			scram_mock_is_chosen(r->mock_key, login->user,
				login->proof.scram_secrets, login->proof.secrets),
		.mock_key = r->mock_key,
		.iterations = iterations_for(r, &login->proof) };
	uint8_t binding_bytes[TLS_BINDING_MAX];
	struct scram_binding binding;
	struct secret_scram derived;
	struct buf out;

	params.binding = binding_of(c, &binding, binding_bytes);
	if (params.stored != NULL &&
		login_get_derived(r, login->user, params.stored, &derived) &&
		derived.iterations == params.iterations)
		params.derived = &derived;
	client_auth_init(&login->auth, &params);
	login->has_auth = true;
	if (params.derived != NULL)
		secret_scram_wipe(&derived);
	buf_init(&out, 0);
	client_auth_went(c, client_auth_start(&login->auth, &out), &out);
	buf_finish(&out);
	if (c->state == CLIENT_AUTH)
		stream_retry(&c->stream);
}

/* --- certificates ---------------------------------------------------------------------- */

/* What the rule wants of the certificate; false: it was refused. */
static bool check_certificate(struct client *c)
{
	static const char foreign[] =
		"the certificate's name is not the user's, nor does a map say so";
	const struct route_proof *proof = &c->login->proof;
	const char *name;

	if (proof->cert == ROUTE_CERT_ANY)
		return true;
	if (!client_has_certificate(c)) {
		log_failure(c, "no certificate, or none that is valid");
		client_tally(c, TALLY_AUTH + (uint32_t)CLIENT_AUTH_DOOMED);
		client_close_with(c, CLOSE_NOT_ALLOWED, "28000",
			"connection requires a valid client certificate", NULL);
		return false;
	}
	if (proof->cert == ROUTE_CERT_VALID)
		return true;
	name = client_certificate_name(c, proof->cert_dn);
	if (name != NULL && route_proof_allows(proof, name, c->login->user))
		return true;
	/* PostgreSQL looks at it behind the password, and does not say which was wrong. */
	if (proof->method == ROUTE_AUTH_PASSWORD || proof->method == ROUTE_AUTH_MD5 ||
		proof->method == ROUTE_AUTH_SCRAM || proof->method == ROUTE_AUTH_PAM ||
		proof->method == ROUTE_AUTH_LDAP) {
		log_failure(c, foreign);
		c->login->is_doomed = true;
		return true;
	}
	client_auth_refuse(c, proof->method == ROUTE_AUTH_TRUST ? "\"trust\" authentication" :
						      "certificate authentication", foreign);
	return false;
}

static void begin(struct client *c, enum client_auth_method method)
{
	const struct route_proof *proof = &c->login->proof;

	if (!check_certificate(c))
		return;
	if (method == CLIENT_AUTH_TRUST || proof->secret != NULL || proof->lookup.host == NULL)
		client_auth_ask(c, method);
	else if (!lookup_start(c, &proof->lookup, c->login->user))
		client_close(c, CLOSE_NO_MEMORY);
}

/* --- auth_query ------------------------------------------------------------------------ */

/* What PostgreSQL said is for the log: who asks has proven nothing yet. */
static void not_looked_up(struct client *c, const struct pool_error *error)
{
	static const char *const told[] = { "08", "53", "57" };
	const char *sqlstate = "58000";

	for (size_t i = 0; i < COUNT_OF(told); i++) {
		if (strncmp(error->sqlstate, told[i], 2) == 0)
			sqlstate = error->sqlstate;
	}
	client_close_with(c, CLOSE_LOGIN_REFUSED, sqlstate,
		"could not look up the user's password",
		"The log of the connection router says why.");
}

/* The first stays: what nobody is asked for must not change with who else logs in. */
static void note_iterations(struct router *r, const char *stored)
{
	struct secret_scram secret;
	uint32_t none = 0;

	if (atomic_load(&r->told_iterations) != 0)
		return;
	if (secret_parse_scram(stored, &secret))
		(void)atomic_compare_exchange_strong(&r->told_iterations, &none,
			secret.iterations);
	secret_scram_wipe(&secret);
}

void client_auth_found(struct client *c, const struct lookup_answer *answer)
{
	struct client_login *login = c->login;

	if (c->state != CLIENT_AUTH || login->has_auth)
		return;
	if (answer->result == LOOKUP_FAILED) {
		not_looked_up(c, answer->error);
		return;
	}
	login->was_looked_up = answer->result == LOOKUP_FOUND;
	if (login->was_looked_up)
		note_iterations(c->worker->router, answer->secret);
	login->is_doomed = login->is_doomed || answer->result == LOOKUP_EXPIRED;
	if (answer->result != LOOKUP_UNKNOWN) {
		login->proof.secret = strdup(answer->secret);
		if (login->proof.secret == NULL) {
			client_close(c, CLOSE_NO_MEMORY);
			return;
		}
	}
	client_auth_ask(c, methods[login->proof.method]);
}

/* --- the beginning ----------------------------------------------------------------------- */

void client_auth_begin(struct client *c)
{
	struct client_login *login = c->login;
	struct route_login who = { .database = login->database,
		.user = login->user,
		.is_physical = login->replication == STARTUP_REPLICATION_PHYSICAL,
		.is_tls = client_is_tls(c),
		.is_console = login->is_console };
	struct addr peer;

	client_enter(c, CLIENT_AUTH);
	if (!client_peer(c, &peer)) {
		client_close(c, CLOSE_LOST);
		return;
	}
	who.peer = &peer;
	directory_auth(c->worker->router->directory, &who, &login->proof);
	c->console = (uint8_t)login->proof.console;
	if (login->proof.method == ROUTE_AUTH_REJECT || login->proof.method == ROUTE_AUTH_NO_RULE)
		shut_out(c, &peer);
	else if (login->proof.method == ROUTE_AUTH_PEER)
		client_proof_peer(c);
	else
		begin(c, methods[login->proof.method]);
}

void client_auth_end(struct client_login *login)
{
	if (login->has_auth)
		client_auth_finish(&login->auth);
	login->has_auth = false;
	route_proof_finish(&login->proof);
}

size_t client_auth_data(struct client *c, const uint8_t *data, size_t len)
{
	size_t pos = 0;

	while (c->state == CLIENT_AUTH) {
		struct frame f;
		struct buf out;

		/* It was not asked yet, or its proof is looked at: what it sends waits. */
		if (!c->login->has_auth || client_auth_waits(&c->login->auth))
			return pos;
		switch (frame_next(data + pos, len - pos, AUTH_BODY_MAX, &f)) {
		case FRAME_NEED_MORE:
			return pos;
		case FRAME_BAD:
			client_close_with(c, CLOSE_PROTOCOL, "08P01",
				"invalid message length", NULL);
			return len;
		case FRAME_OK:
			break;
		}
		if (f.type != 'p') {
			client_close_with(c, CLOSE_PROTOCOL, "08P01",
				"expected password response", NULL);
			return len;
		}
		if (!frame_is_whole(&f))
			return pos;
		pos += frame_size(&f);
		buf_init(&out, 0);
		client_auth_went(c, client_auth_message(&c->login->auth, f.body, f.body_len, &out),
			&out);
		buf_wipe(&out);
	}
	return c->state == CLIENT_ENDING || c->state == CLIENT_CLOSED ? len : pos;
}
