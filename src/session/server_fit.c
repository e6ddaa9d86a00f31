/* SPDX-License-Identifier: ISC */
/*
 * Before a client has a server: its settings, and where it is to be cleaned of another
 * client's session that.  Nothing of the client's is sent before this has gone well.
 */
#include <string.h>

#include "pg/msg_out.h"
#include "session/client.h"
#include "session/server_priv.h"
#include "session/server_reads.h"
#include "session/server_unseen.h"

#define RESET_ALL "RESET SESSION AUTHORIZATION; RESET ALL"

/* Whose session it is.  One that is clean remains so until the client has sent what may
 * leave something there (client_leaves()). */
static void now_carries(struct server *s, const struct client *c)
{
	if (s->ps.last_client != 0 || !c->keeps_statements || s->is_session)
		server_carries(s, c);
	/* Its texts go on unread. */
	if (!c->keeps_statements && !s->is_session) {
		server_ran(s, c->id, UNSEEN_DATA | UNSEEN_CALL | UNSEEN_TEXT);
		server_reads_behind_code(s);
		s->is_suspect = s->has_strays = true;
	}
}

static void send_replay(struct server *s, const char *reset)
{
	struct client *c = s->client;
	struct buf out;

	buf_init(&out, 0);
	params_write_replay(&c->params, c->role_first, reset, &out);
	stream_send_buf(&s->stream, &out);
	buf_finish(&out);
}

/* It is also asked what code can leave there. */
static void send_question(struct server *s, bool with_statements)
{
	struct buf sql;

	buf_init(&sql, 0);
	buf_add_str(&sql, server_clean_sql(s, with_statements));
	server_unseen_question(s, &sql);
	buf_add_cstr(&sql, "");
	/* Without memory there is no answer. */
	send_replay(s, buf_ok(&sql) ? (const char *)buf_data(&sql) :
				      server_clean_sql(s, with_statements));
	buf_finish(&sql);
}

static void replace_settings(struct server *s)
{
	bool is_bare = s->ps.state_key == 0;

	if (UNLIKELY(s->may_defer))
		send_replay(s, is_bare ? SERVER_AT_ONCE : SERVER_AT_ONCE RESET_ALL);
	else
		send_replay(s, is_bare ? NULL : RESET_ALL);
}

/* Where nobody looks after names all is found that is there. */
static bool drops_statements(const struct server *s)
{
	return s->is_session || s->has_foreign ||
		(s->has_strays && !s->client->keeps_statements);
}

static void send_settings(struct server *s)
{
	bool with_statements = drops_statements(s);

	server_enter_phase(s, SERVER_PHASE_SETTINGS);
	server_set_timer(s, SERVER_CLEAN_US);
	s->own_failed = false;
	server_sent_own(s);
	if (s->asks_unseen)
		send_question(s, with_statements);
	else if (s->is_cleaned && !with_statements && server_make_clean(s, &s->client->params))
		stream_send(&s->stream, buf_data(&s->clean), buf_len(&s->clean));
	else if (s->is_cleaned)
		send_replay(s, server_clean_sql(s, with_statements));
	else
		replace_settings(s);
}

/* A session that goes on where it was has the plans that it had. */
static bool drops_plans(const struct server *s, const struct client *c)
{
	return s->ps.last_client != c->id && c->route->limits.state != ROUTE_STATE_OFF &&
		server_plans_are_others(s, &c->params);
}

/* Settings of this client, if the server does not carry them already. */
void server_fit(struct server *s)
{
	struct client *c = s->client;

	s->drops_plans = drops_plans(s, c);
	s->is_cleaned = s->asks_unseen || s->drops_plans || server_needs_cleaning(s, c);
	/* Without memory they are taken for the client's own. */
	if (s->is_session && !params_copy(&s->applied, &c->params))
		params_finish(&s->applied);
	s->wanted_before = s->wanted_key;
	s->wanted_key = c->params.key;
	if (s->ps.state_key == c->params.key && !s->is_cleaned) {
		c->role_first = s->role_first;
		now_carries(s, c);
		server_enter_phase(s, SERVER_PHASE_READY);
		client_server_ready(c);
		return;
	}
	s->was_other_order = false;
	send_settings(s);
}

/* Some settings only the role may make, some only who has not taken it yet. */
static bool has_other_order(const struct server *s)
{
	const struct params *p = &s->client->params;

	return strcmp(s->sqlstate, "42501") == 0 && !s->was_other_order &&
		(params_get(p, "role") != NULL || params_get(p, "session_authorization") != NULL);
}

void server_fitted(struct server *s)
{
	struct client *c = s->client;

	if (server_unseen_answered(s))
		return;
	/* Not the client's fault, but what the last one left (statement_timeout), or
	 * PostgreSQL's. */
	if (s->own_failed && (strncmp(s->sqlstate, "57", 2) == 0 ||
				     strncmp(s->sqlstate, "53", 2) == 0 ||
				     strncmp(s->sqlstate, "XX", 2) == 0)) {
		server_fail(s, SERVER_END_CLEAN, "the server could not be cleaned");
		return;
	}
	if (s->own_failed && has_other_order(s)) {
		s->was_other_order = true;
		c->role_first = !c->role_first;
		send_settings(s);
		return;
	}
	if (s->own_failed) {
		/* What it carries now is not known. */
		s->is_dirty = true;
		server_enter_phase(s, SERVER_PHASE_READY);
		client_server_unfit(c, s->sqlstate, s->message);
		return;
	}
	if (s->is_forged) {
		s->is_forged = false;
		send_settings(s);
		return;
	}
	if (s->is_cleaned) {
		server_is_sure(s, drops_statements(s));
		server_reads_cleaned(s, s->drops_plans);
		s->ps.last_client = 0;
	}
	now_carries(s, c);
	s->ps.state_key = c->params.key;
	s->role_first = c->role_first;
	server_enter_phase(s, SERVER_PHASE_READY);
	client_server_ready(c);
}
