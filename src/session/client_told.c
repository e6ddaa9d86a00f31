/* SPDX-License-Identifier: ISC */
/*
 * What a client of a transaction port is told of settings (ParameterStatus), and the way
 * back to its startup values within a transaction.
 *
 * What servers report is not passed on: before each ReadyForQuery the client is told
 * where what holds for it now is not what it was told last.  PostgreSQL does the same
 * (guc.c, ReportChangedGUCOptions()).
 *
 * For PostgreSQL the value to go back to is that of the server's login, not the client's.
 * After a RESET within a transaction the router sets the client's startup values before
 * the client gets its ReadyForQuery; in the next transaction they hold anyway.
 */
#include <string.h>

#include "base/slog.h"
#include "pg/msg_out.h"
#include "session/client_priv.h"
#include "session/server_priv.h"

/* What it goes back to. */
static const struct params *start_of(const struct client *c)
{
	return c->has_start ? &c->start : &c->params;
}

void client_told_all(struct client *c, const struct params *settings)
{
	if (c->workload->mode == ROUTE_SESSION)
		return;
	/* Without memory everything is told again. */
	if (!params_copy(&c->told, settings))
		params_finish(&c->told);
	buf_trim(&c->told.text);
	params_seal(&c->told);
}

/* What holds for it of this setting, or NULL: what it was told. */
static const char *holds(const struct client *c, const char *name, const char *reported)
{
	const char *told = params_get(&c->told, name), *start;

	if (told != NULL && strcmp(told, reported) == 0)
		return NULL;
	if (!touched_is_reset(&c->touched, name))
		return reported;
	start = params_get(start_of(c), name);
	if (start == NULL)
		return reported;
	return told != NULL && strcmp(told, start) == 0 ? NULL : start;
}

/* ReadyForQuery with what has to be told before it. */
static bool tell(struct client *c, const struct params *reported, char status, struct buf *out)
{
	const char *name, *value;
	size_t pos = 0;

	if (c->told.key == reported->key)
		return false;
	while (params_next(reported, &pos, &name, &value)) {
		value = holds(c, name, value);
		if (value == NULL)
			continue;
		msg_out_parameter_status(out, name, value);
		/* Better once more than never. */
		if (!params_set(&c->told, name, value))
			params_remove(&c->told, name);
	}
	buf_trim(&c->told.text);
	params_seal(&c->told);
	msg_out_ready_for_query(out, status);
	return true;
}

/* A transaction goes on, and this is its client's turn. */
static bool goes_back(const struct client *c, const struct server *s, char status)
{
	return status == 'T' && c->workload->mode == ROUTE_TRANSACTION &&
		client_is_kept(c) && s->phase == SERVER_PHASE_READY && exchange_is_idle(&s->xq) &&
		c->body_left == 0 && touched_goes_back(&c->touched, start_of(c));
}

enum client_ready client_told_ready(struct client *c, struct server *s, char status,
	struct buf *out)
{
	struct buf sql;

	if (s->is_session)
		return CLIENT_READY_AS_IT_IS;
	if (!goes_back(c, s, status))
		return tell(c, &s->reported, status, out) ? CLIENT_READY_REPLACED
							  : CLIENT_READY_AS_IT_IS;
	s->owes_ready = true;
	s->own_failed = false;
	buf_init(&sql, 0);
	touched_write_back(&c->touched, start_of(c), &sql);
	server_sent_own(s);
	stream_send_buf(&s->stream, &sql);
	buf_finish(&sql);
	return CLIENT_READY_LATER;
}

void client_told_back(struct client *c, struct server *s, char status, struct buf *out)
{
	s->owes_ready = false;
	if (s->own_failed)
		SLOG_LIMITED(WARN, "state-lost", "client=%lu server=%lu sqlstate=%s",
			(unsigned long)c->id, (unsigned long)s->ps.id, s->sqlstate);
	if (!tell(c, &s->reported, status, out))
		msg_out_ready_for_query(out, status);
}
