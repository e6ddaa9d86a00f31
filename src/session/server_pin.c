/* SPDX-License-Identifier: ISC */
/*
 * Asking a server, at the end of a transaction, what there is in its session that only
 * it has.  The answer is the client's: client_pin.c.
 */
#include <string.h>

#include "base/slog.h"
#include "session/client_lend.h"
#include "session/client_pin.h"
#include "session/client_priv.h"
#include "session/server_priv.h"

/* Without memory for more what nobody has named is asked for. */
static void send_audit(struct server *s)
{
	struct client *c = s->client;
	struct pin_known known = { .now = &c->params,
		.raw = c->has_start ? &c->work->start : &c->params,
		.reported = &s->reported,
		.login = s->pool->user };
	struct buf sql;

	buf_init(&sql, 0);
	pin_audit(&known, &sql);
	buf_add_cstr(&sql, "");
	server_send_own(s, buf_ok(&sql) ? (const char *)buf_data(&sql) :
					  pin_question(PIN_ASKS_SETTINGS));
	buf_finish(&sql);
}

void server_probe(struct server *s, bool settings)
{
	server_enter_phase(s, SERVER_PHASE_PROBE);
	server_set_timer(s, SERVER_CLEAN_US);
	if (settings)
		send_audit(s);
	else if (s->client->work->pins.failures > 0)
		server_send_untimed(s, pin_question(PIN_ASKS_PINS));
	else
		server_send_own(s, pin_question(PIN_ASKS_PINS));
	s->own_failed = true;           /* until the row is there */
	s->own_seen = false;
	s->sqlstate[0] = '\0';
}

void server_probe_row(struct server *s, const struct frame *row)
{
	struct client *c = s->client;
	struct pin_answer answer;

	if (c == NULL || s->own_seen)
		return;
	s->own_seen = true;
	if (s->is_session) {
		s->own_failed = !frame_is_whole(row) || !client_lend_answered(c, row);
		return;
	}
	s->own_failed = !frame_is_whole(row) ||
		!pin_answer(&answer, row,
			c->work->pins.is_audit ? PIN_ASKS_SETTINGS : PIN_ASKS_PINS);
	c->work->pins.there = answer.there;
	c->work->pins.changed = c->work->pins.is_audit ? pin_changed(&answer, &c->params) : 0;
}

void server_probe_done(struct server *s)
{
	struct client *c = s->client;

	if (s->is_session) {
		client_lend_told(c, s);
		return;
	}
	if (!s->own_failed) {
		client_pin_told(c, s);
		server_enter_phase(s, SERVER_PHASE_READY);
		server_lease_ends(s);
		return;
	}
	/* A timeout that the client has set, or an administrator's cancel: nothing else may
	 * come from this client that would make it asked again. */
	if (strcmp(s->sqlstate, "57014") == 0 && ++c->work->pins.failures < PIN_PROBES_MAX) {
		server_probe(s, c->work->pins.is_audit);
		return;
	}
	SLOG_LIMITED(WARN, "server-probe-failed", "server=%lu client=%lu sqlstate=%s",
		(unsigned long)s->ps.id, (unsigned long)c->id, s->sqlstate);
	server_enter_phase(s, SERVER_PHASE_READY);
	client_pin_untold(c, s);
}
