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

void server_probe(struct server *s, bool settings)
{
	server_enter_phase(s, SERVER_PHASE_PROBE);
	server_set_timer(s, SERVER_CLEAN_US);
	server_send_own(s, pin_question(settings ? PIN_ASKS_SETTINGS : PIN_ASKS_PINS));
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
	c->work->pins.has_settings = pin_has_unknown(answer.settings, &c->params);
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
