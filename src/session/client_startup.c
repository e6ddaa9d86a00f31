/* SPDX-License-Identifier: ISC */
/*
 * The first packets of a connection: encryption requests, cancel requests, and
 * the startup packet with its parameters.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/slog.h"
#include "net/proxy.h"
#include "net/tls.h"
#include "pg/msg_out.h"
#include "pg/options.h"
#include "session/cancel.h"
#include "session/client_priv.h"
#include "session/gate.h"
#include "session/server.h"
#include "session/tally.h"

/* Each costs a look at all others, before anybody has proven who they are. */
enum { STARTUP_SETTINGS_MAX = 200 };

static bool is_console_name(const char *database)
{
	return strcmp(database, "pgbouncer") == 0 || strcmp(database, "pgtandem") == 0;
}

static void bad_startup(struct client *c, const struct startup *st)
{
	char text[256], quoted[256], addr[ADDR_TEXT_MAX];

	startup_error_text(st, text, sizeof(text));
	SLOG_LIMITED(INFO, "client-startup-bad", "id=%lu addr=%s problem=%s",
		(unsigned long)c->id, client_addr_text(c, addr),
		slog_quote(quoted, sizeof(quoted), text, strlen(text)));
	if (startup_error_is_silent(st->error))
		client_close(c, CLOSE_NOT_POSTGRES);
	else
		client_close_with(c, CLOSE_STARTUP, startup_error_sqlstate(st->error), text,
			startup_error_hint(st->error));
}

/* Parameters that the configuration says to drop are not known before the route:
 * they are taken out later. */
/* Whatever is not plain ASCII becomes a question mark, as in PostgreSQL 15
 * (pg_clean_ascii()): it may be in any encoding, and goes into logs and views. */
static bool take_param(struct client *c, const char *name, const char *value)
{
	char *clean;
	bool ok;

	/* Means nothing there (check_random_seed() in variable.c); as a SET it would. */
	if (strcasecmp(name, "seed") == 0)
		return true;
	if (strcasecmp(name, "application_name") != 0)
		return params_set(&c->params, name, value);
	clean = strdup(value);
	if (clean == NULL)
		return false;
	for (char *at = clean; *at != '\0'; at++) {
		if (*at < 0x20 || *at > 0x7e)
			*at = '?';
	}
	ok = params_set(&c->params, name, clean);
	free(clean);
	return ok;
}

/* Where it comes from, in PgBouncer's words: unix(PID):PORT for a unix socket. */
static const char *origin(const struct client *c, char to[ADDR_TEXT_MAX])
{
	struct ucred who = { .pid = 0 };
	socklen_t len = sizeof(who);
	char text[ADDR_TEXT_MAX];
	struct addr local;
	const char *port;

	if (c->proxied != NULL || !sock_local(c->stream.conn.fd, &local) ||
		!addr_is_unix(&local))
		return client_addr_text(c, to);
	port = strrchr(addr_text(&local, text, sizeof(text)), ':');
	(void)getsockopt(c->stream.conn.fd, SOL_SOCKET, SO_PEERCRED, &who, &len);
	(void)snprintf(to, ADDR_TEXT_MAX, "unix(%d)%s", (int)who.pid, port);
	return to;
}

/* As the client's own: it is what it is shown and goes back to, until it sets another. */
static bool add_host(struct client *c)
{
	const char *name = params_get(&c->params, "application_name");
	char text[ADDR_TEXT_MAX + CLIENT_APPLICATION_SIZE + 4], addr[ADDR_TEXT_MAX];

	(void)snprintf(text, sizeof(text), "%.*s - %s", CLIENT_APPLICATION_SIZE - 1,
		name == NULL ? "app" : name, origin(c, addr));
	text[CLIENT_APPLICATION_SIZE - 1] = '\0';
	return params_set(&c->params, "application_name", text);
}

static bool take_params(struct client *c, const struct startup *st)
{
	const char *name, *value;
	struct diag diag;
	uint32_t count = 0;
	struct buf pairs;
	size_t pos = 0;
	bool ok;

	buf_init(&pairs, PARAMS_BYTES_MAX);
	diag_clear(&diag);
	ok = options_parse(st->options, &pairs, &diag);
	if (!ok)
		client_close_with(c, CLOSE_STARTUP, "42601", diag.text, NULL);
	/* The options come first, so that a parameter of its own overrides them, as
	 * in PostgreSQL (process_startup_options()). */
	while (ok && options_next(&pairs, &pos, &name, &value))
		ok = ++count <= STARTUP_SETTINGS_MAX && take_param(c, name, value);
	for (pos = 0; ok && startup_param_next(st, &pos, &name, &value);)
		ok = ++count <= STARTUP_SETTINGS_MAX && take_param(c, name, value);
	if (ok && atomic_load(&c->workload->adds_host))
		ok = add_host(c);
	if (count > STARTUP_SETTINGS_MAX)
		client_close_with(c, CLOSE_STARTUP, "54000",
			"too many settings in the startup packet", NULL);
	else if (!ok)
		client_close(c, CLOSE_STARTUP);
	params_seal(&c->params);
	buf_finish(&pairs);
	return ok;
}

/* --- TLS ------------------------------------------------------------------------ */

static bool is_unix(const struct client *c)
{
	struct addr local;

	/* Behind a balancer on a unix socket: it came by a network. */
	if (c->proxied != NULL)
		return false;
	if (c->login->has_peer)
		return addr_is_unix(&c->login->peer);
	return sock_local(c->stream.conn.fd, &local) && addr_is_unix(&local);
}

static enum route_tls_mode tls_mode(struct client *c)
{
	struct route_tls *tls = route_workload_tls(c->workload);
	enum route_tls_mode mode = tls == NULL || is_unix(c) ? ROUTE_TLS_DISABLE : tls->mode;

	route_tls_unref(tls);
	return mode;
}

/* data: what there is of it already. */
static void start_tls(struct client *c, const uint8_t *data, size_t len)
{
	struct route_tls *tls = route_workload_tls(c->workload);
	int ret = -EPROTO;

	if (tls != NULL && tls->context != NULL)
		ret = stream_start_tls(&c->stream, tls->context, NULL, data, len);
	route_tls_unref(tls);
	c->login->startup_flags |= STARTUP_TLS_ANSWERED | STARTUP_GSS_ANSWERED;
	if (ret < 0)
		client_close(c, CLOSE_TLS);
}

static void refuse_encryption(struct client *c, unsigned flag)
{
	c->login->startup_flags |= flag;
	stream_send(&c->stream, "N", 1);
}

/* left: bytes behind the request.  Whoever put them there wants them to be taken for
 * encrypted: refused in PostgreSQL's words (CVE-2021-3935, CVE-2021-23214). */
static void answer_tls_request(struct client *c, size_t left)
{
	if (tls_mode(c) == ROUTE_TLS_DISABLE) {
		refuse_encryption(c, STARTUP_TLS_ANSWERED);
	} else if (left > 0) {
		client_close_with(c, CLOSE_STARTUP, "08P01",
			"received unencrypted data after SSL request",
			"This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.");
	} else {
		stream_send(&c->stream, "S", 1);
		start_tls(c, NULL, 0);
	}
}

static void take_direct_tls(struct client *c, const uint8_t *data, size_t len)
{
	if (tls_mode(c) == ROUTE_TLS_DISABLE) {
		client_close(c, CLOSE_NOT_POSTGRES);
		return;
	}
	c->login->is_direct = true;
	start_tls(c, data, len);
}

void client_startup_secure(struct client *c)
{
	const struct tls *tls = stream_tls(&c->stream);

	SLOG(DEBUG, "client-tls", "id=%lu protocol=%s cipher=%s resumed=%s", (unsigned long)c->id,
		tls_protocol(tls), tls_cipher(tls), tls_is_resumed(tls) ? "yes" : "no");
	c->is_tls_counted = true;
	client_tally(c, tls_is_resumed(tls) ? TALLY_TLS_RESUMED : TALLY_TLS_FULL);
	/* As PostgreSQL: who speaks another protocol must not be taken for a client
	 * (ALPACA). */
	if (c->login != NULL && c->login->is_direct && !tls_has_alpn(tls))
		client_close_with(c, CLOSE_STARTUP, "08P01",
			"received direct SSL connection request without ALPN protocol negotiation extension",
			NULL);
}

void client_startup_insecure(struct client *c)
{
	char addr[ADDR_TEXT_MAX], reason[256];
	const char *error = stream_tls_error(&c->stream);

	client_tally(c, TALLY_TLS_FAILED);
	SLOG_LIMITED(INFO, "client-tls-failed", "id=%lu workload=%s addr=%s reason=%s",
		(unsigned long)c->id, c->workload->name, client_addr_text(c, addr),
		slog_quote(reason, sizeof(reason), error, strlen(error)));
	client_close(c, CLOSE_TLS);
}

bool client_is_tls(const struct client *c)
{
	return stream_tls(&c->stream) != NULL;
}

bool client_has_certificate(const struct client *c)
{
	const struct tls *tls = stream_tls(&c->stream);

	return tls != NULL && tls_has_peer(tls);
}

const char *client_certificate_name(const struct client *c, bool dn)
{
	const struct tls *tls = stream_tls(&c->stream);
	char *to = c->login->certificate;
	bool ok = false;

	if (tls != NULL && dn)
		ok = tls_peer_dn(tls, to, TLS_DN_MAX);
	else if (tls != NULL)
		ok = tls_peer_name(tls, to, TLS_DN_MAX);
	return ok ? to : NULL;
}

/* What the workload asks for may have changed since the handshake. */
static bool is_secure_enough(struct client *c)
{
	const struct tls *tls = stream_tls(&c->stream);
	enum route_tls_mode mode = tls_mode(c);
	char name[TLS_NAME_MAX], text[STARTUP_NAME_SIZE + 64];

	if (mode >= ROUTE_TLS_REQUIRE && tls == NULL) {
		client_close_with(c, CLOSE_NOT_ALLOWED, "28000", "SSL required",
			"This port takes encrypted connections only: sslmode=require or more.");
		return false;
	}
	if (mode >= ROUTE_TLS_VERIFY_CA && !tls_has_peer(tls)) {
		client_close_with(c, CLOSE_NOT_ALLOWED, "28000",
			"connection requires a valid client certificate", NULL);
		return false;
	}
	if (mode < ROUTE_TLS_VERIFY_FULL || (tls_peer_name(tls, name, sizeof(name)) &&
						    strcmp(name, c->login->user) == 0))
		return true;
	(void)snprintf(text, sizeof(text), "certificate authentication failed for user \"%s\"",
		c->login->user);
	client_close_with(c, CLOSE_NOT_ALLOWED, "28000", text, NULL);
	return false;
}

static void take_session(struct client *c, const struct startup *st)
{
	struct client_login *login = c->login;

	memcpy(login->user, st->user, sizeof(login->user));
	memcpy(login->database, st->database, sizeof(login->database));
	login->protocol = st->protocol;
	login->replication = st->replication;
	login->is_console = is_console_name(st->database);
	if (!is_secure_enough(c))
		return;
	if (st->needs_negotiation)
		msg_out_negotiate_protocol(&login->first, st);
	if ((router_is_ending(c->worker->router) || c->is_late) && !login->is_console) {
		client_close_with(c, CLOSE_SHUTDOWN, "57P01",
			"the connection router is shutting down", NULL);
		return;
	}
	if (c->workload->is_console && !login->is_console) {
		client_close_with(c, CLOSE_NO_DATABASE, "3D000",
			"only the console answers on this port",
			"It is the database pgbouncer, or pgtandem.");
		return;
	}
	if (login->is_one_too_many) {
		client_close_with(c, CLOSE_TOO_MANY, "53300",
			"too many connections from this address", NULL);
		return;
	}
	if (take_params(c, st))
		client_auth_begin(c);
}

static void take_cancel(struct client *c, const struct startup *st)
{
	client_enter(c, CLIENT_CANCEL);
	cancel_request(c, st->cancel_pid, st->cancel_key, st->cancel_key_len);
}

/* What a load balancer writes in front of everything.  Returns the bytes used. */
static size_t take_proxy(struct client *c, const uint8_t *data, size_t len)
{
	char addr[ADDR_TEXT_MAX];
	struct proxy_header h;

	switch (proxy_parse(data, len, &h)) {
	case PROXY_NEED_MORE:
		return 0;
	case PROXY_BAD:
		SLOG_LIMITED(WARN, "client-startup-bad", "id=%lu addr=%s problem=\"%s\"",
			(unsigned long)c->id, client_addr_text(c, addr),
			"no PROXY header from where one must come");
		client_close(c, CLOSE_NOT_POSTGRES);
		return len;
	case PROXY_OK:
		break;
	}
	c->login->wants_proxy = false;
	if (!h.has_source)
		return h.len;
	c->proxied = malloc(sizeof(*c->proxied));
	if (c->proxied == NULL) {
		client_close(c, CLOSE_NO_MEMORY);
		return len;
	}
	addr_unmap(&h.source);
	*c->proxied = h.source;
	if (gate_count(c, c->proxied) == GATE_AWAY) {
		client_close(c, CLOSE_CROWDED_OUT);
		return len;
	}
	client_arm(c);
	return h.len;
}

/* The console is there for everybody who may end a SUSPEND; who wants anything else
 * asks again then. */
static bool is_to_wait(struct client *c, const struct startup *st)
{
	stream_exempt(&c->stream, is_console_name(st->database));
	return stream_is_held(&c->stream);
}

size_t client_startup_data(struct client *c, const uint8_t *data, size_t len)
{
	size_t pos = 0;

	if (c->state == CLIENT_STARTUP && c->login->wants_proxy) {
		pos = take_proxy(c, data, len);
		if (c->login->wants_proxy)
			return pos;
	}
	while (c->state == CLIENT_STARTUP) {
		struct startup st;

		switch (startup_parse(data + pos, len - pos, c->login->startup_flags, &st)) {
		case STARTUP_NEED_MORE:
			return pos;
		case STARTUP_BAD:
			bad_startup(c, &st);
			return len;
		case STARTUP_OK:
			break;
		}
		switch (st.kind) {
		case STARTUP_DIRECT_TLS:
			take_direct_tls(c, data + pos, len - pos);
			return len;
		case STARTUP_TLS_REQUEST:
			answer_tls_request(c, len - pos - st.packet_len);
			break;
		case STARTUP_GSS_REQUEST:
			refuse_encryption(c, STARTUP_GSS_ANSWERED);
			break;
		case STARTUP_CANCEL:
			take_cancel(c, &st);
			return len;
		case STARTUP_SESSION:
			if (is_to_wait(c, &st))
				return pos;
			take_session(c, &st);
			break;
		}
		pos += st.packet_len;
	}
	if (c->state == CLIENT_ENDING || c->state == CLIENT_CLOSED)
		return len;
	return pos;
}
