/* SPDX-License-Identifier: ISC */
/*
 * The first packets of a connection: encryption requests, cancel requests, and
 * the startup packet with its parameters.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/slog.h"
#include "net/proxy.h"
#include "pg/msg_out.h"
#include "pg/options.h"
#include "session/cancel.h"
#include "session/client_priv.h"
#include "session/gate.h"
#include "session/server.h"

/* Each costs a look at all others, before anybody has proven who they are. */
enum { STARTUP_SETTINGS_MAX = 200 };

static bool is_console_name(const char *database)
{
	return strcmp(database, "pgbouncer") == 0 || strcmp(database, "pgtandem") == 0;
}

static void bad_startup(struct client *c, const struct startup *st)
{
	char text[256], quoted[256];

	startup_error_text(st, text, sizeof(text));
	SLOG_LIMITED(INFO, "client-startup-bad", "id=%lu problem=%s", (unsigned long)c->id,
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
	if (count > STARTUP_SETTINGS_MAX)
		client_close_with(c, CLOSE_STARTUP, "54000",
			"too many settings in the startup packet", NULL);
	else if (!ok)
		client_close(c, CLOSE_STARTUP);
	params_seal(&c->params);
	buf_finish(&pairs);
	return ok;
}

static void take_session(struct client *c, const struct startup *st)
{
	struct client_login *login = c->login;

	memcpy(login->user, st->user, sizeof(login->user));
	memcpy(login->database, st->database, sizeof(login->database));
	login->protocol = st->protocol;
	login->replication = st->replication;
	login->is_console = is_console_name(st->database);
	if (st->needs_negotiation)
		msg_out_negotiate_protocol(&login->first, st);
	if (atomic_load(&c->worker->router->drain) != ROUTER_SERVES) {
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

static void refuse_encryption(struct client *c, unsigned flag)
{
	c->login->startup_flags |= flag;
	stream_send(&c->stream, "N", 1);
}

/* What a load balancer writes in front of everything.  Returns the bytes used. */
static size_t take_proxy(struct client *c, const uint8_t *data, size_t len)
{
	struct proxy_header h;

	switch (proxy_parse(data, len, &h)) {
	case PROXY_NEED_MORE:
		return 0;
	case PROXY_BAD:
		SLOG_LIMITED(WARN, "client-startup-bad", "id=%lu problem=\"%s\"",
			(unsigned long)c->id, "no PROXY header from where one must come");
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
	c->login->is_one_too_many = !gate_count(c, c->proxied);
	return h.len;
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
			client_close(c, CLOSE_NOT_POSTGRES);
			return len;
		case STARTUP_TLS_REQUEST:
			refuse_encryption(c, STARTUP_TLS_ANSWERED);
			break;
		case STARTUP_GSS_REQUEST:
			refuse_encryption(c, STARTUP_GSS_ANSWERED);
			break;
		case STARTUP_CANCEL:
			take_cancel(c, &st);
			return len;
		case STARTUP_SESSION:
			take_session(c, &st);
			break;
		}
		pos += st.packet_len;
	}
	if (c->state == CLIENT_ENDING || c->state == CLIENT_CLOSED)
		return len;
	return pos;
}
