/* SPDX-License-Identifier: ISC */
/*
 * The relay from the client to PostgreSQL.
 *
 * A lease is asked for when the client has sent something that PostgreSQL will
 * answer (Query, FunctionCall, Sync, Flush), or much; until then its bytes wait
 * here and cost no server.  Once leased, bytes go on as they come.
 */
#include <stdio.h>
#include <string.h>

#include "pg/frame.h"
#include "pg/message.h"
#include "pg/msg_out.h"
#include "session/client_end.h"
#include "session/client_passing.h"
#include "session/client_priv.h"
#include "session/client_resets.h"
#include "session/slow.h"
#include "session/server.h"
#include "session/server_priv.h"
#include "session/server_redo.h"

static void bad_message(struct client *c, uint8_t type)
{
	const struct message_def *def = &message_frontend_defs[type];
	char text[64];

	if (def->kind != MESSAGE_NONE && def->kind != MESSAGE_AUTH)
		(void)snprintf(text, sizeof(text), "invalid message length");
	else
		(void)snprintf(text, sizeof(text), "invalid frontend message type %u", type);
	client_close_with(c, CLOSE_PROTOCOL, "08P01", text, NULL);
}

/* The next message, NEED_MORE, or BAD when PostgreSQL would not take it. */
static enum frame_result look(const uint8_t *data, size_t len, struct frame *f)
{
	const struct message_def *def;
	bool is_known;

	if (len == 0)
		return FRAME_NEED_MORE;
	def = &message_frontend_defs[data[0]];
	is_known = def->kind != MESSAGE_NONE && def->kind != MESSAGE_AUTH;
	if (is_known && len < FRAME_HEADER)
		return FRAME_NEED_MORE;
	if (!is_known)
		return FRAME_BAD;
	return frame_next(data, len, def->body_max, f);
}

enum frame_result client_next_message(struct client *c, const uint8_t *data, size_t len,
	struct frame *f)
{
	enum frame_result result = look(data, len, f);

	if (result == FRAME_BAD)
		bad_message(c, data[0]);
	return result;
}

/* --- without a server ------------------------------------------------------------------- */

/* Is there enough to make a server work?  Sets what the first message is. */
static bool deserves_lease(struct client *c, const uint8_t *data, size_t len)
{
	size_t pos = 0;
	struct frame f;

	c->wanted = data[0];
	for (;;) {
		enum frame_result result = look(data + pos, len - pos, &f);

		/* PostgreSQL sees what comes before it, and then ends the client. */
		if (result == FRAME_BAD)
			return true;
		if (result == FRAME_NEED_MORE)
			break;
		/* The same at a Terminate. */
		if (f.type == 'S' || f.type == 'H' || f.type == 'X')
			return true;
		if (!frame_is_whole(&f))
			break;
		if (f.type == 'Q' || f.type == 'F')
			return true;
		pos += frame_size(&f);
	}
	return len >= CLIENT_LEASE_BYTES;
}

/* Uses the message up without sending it anywhere. */
static size_t discard(struct client *c, const struct frame *f)
{
	c->body_left = f->body_len - (uint32_t)f->available;
	c->body_drops = true;
	if (c->work != NULL)
		client_sure_taken(c);
	return FRAME_HEADER + f->available;
}

/* After an error of ours PostgreSQL's rule holds: all is skipped up to Sync. */
static size_t skip_message(struct client *c, const struct frame *f)
{
	if (f->type == 'X') {
		client_close(c, CLOSE_QUIT);
		return 0;
	}
	if (c->skip == CLIENT_SKIP_ONE || f->type == 'S') {
		c->skip = CLIENT_SKIP_NOTHING;
		client_send_ready(c, 'I');
	}
	return discard(c, f);
}

/* Messages that need no server: how PostgreSQL answers them when idle. */
static bool answer_alone(struct client *c, const struct frame *f)
{
	switch (f->type) {
	case 'X':
		client_close(c, CLOSE_QUIT);
		return true;
	case 'S':
		client_send_ready(c, 'I');
		return true;
	case 'H':
	case 'd':
	case 'c':
	case 'f':
		return true;
	default:
		return false;
	}
}

/* Returns the bytes used; *stuck when nothing more can be done now. */
static size_t idle_step(struct client *c, const uint8_t *data, size_t len, bool *stuck)
{
	struct frame f;

	if (c->body_left > 0) {
		size_t n = size_min(c->body_left, len);

		c->body_left -= (uint32_t)n;
		return n;
	}
	if (client_next_message(c, data, len, &f) != FRAME_OK) {
		*stuck = true;
		return 0;
	}
	if (c->skip != CLIENT_SKIP_NOTHING)
		return skip_message(c, &f);
	if (answer_alone(c, &f))
		return discard(c, &f);
	*stuck = !deserves_lease(c, data, len);
	if (!*stuck) {
		client_request(c);
		*stuck = c->state != CLIENT_ACTIVE;
	}
	return 0;
}

/* --- with a server ------------------------------------------------------------------------ */

static void began(struct client *c, struct server *s)
{
	uint64_t now = worker_now(c->worker);

	if (s->xq.pending != 0 || c->query_us != 0)
		return;
	c->query_us = now;
	if (c->xact_us == 0)
		c->xact_us = now;
	client_arm(c);
}

static bool must_wait(const struct client *c, const struct server *s, const struct frame *f)
{
	return c->keeps_statements ? client_prepared_waits(c, s, f) : client_passing_waits(c, f);
}

/* May this message go on now, or begin to, if not all of it is there that is needed? */
static bool may_forward(struct client *c, struct server *s, const struct frame *f, bool waits)
{
	if (f->type == 'P' && f->available == 0 && f->body_len > 0)
		return false;
	if (client_waits_for_defaults(c, s) || client_passing_is_cut(c, s, f))
		return false;
	s->is_full = !steps_has_room(&s->steps);
	if (UNLIKELY(client_reuse_is_open(c)) && client_reuse_waits(c, s, f))
		return false;
	if (!exchange_has_room(&s->xq) || s->is_full || s->holds_client)
		return false;
	/* Looked at when there is all of it, not with each piece. */
	return waits ||
		(!client_waits_for_reading(c, s, f) && !client_waits_for_names(c, s, f));
}

/* What was kept is read no more in this turn: a Bind of some bytes may be of a long text. */
enum { READ_MAX = 128 * 1024 };

static bool has_read_enough(const struct client *c)
{
	return c->work->read > READ_MAX;
}

enum forward_end { FORWARD_ON, FORWARD_QUIT, FORWARD_BAD };

/* A client may send many exchanges at once; outside a transaction it gets a
 * server for so many at a time, and then waits in its turn like anybody else. */
static bool is_spent(const struct client *c, const struct server *s)
{
	return c->lease_exchanges >= CLIENT_TURNS_MAX && !s->is_session && !s->xq.open &&
		s->xq.status == 'I' && !exchange_waits(&s->xq);
}

/* A message that a server is not to see as it is.  Returns the bytes used. */
static size_t translate(struct client *c, struct server *s, const struct frame *f,
	struct span *span)
{
	enum client_sent sent;
	size_t used;

	/* What is injected comes before it. */
	if (!client_is_plain(c, s, f))
		span_send(s, span);
	used = client_prepared_message(c, s, f, &sent);
	if (sent != CLIENT_AS_IT_IS)
		span->start += used;
	c->body_drops = sent == CLIENT_DROPPED;
	return used;
}

/* *end is set at a message after which nothing more is read. */
static size_t forward_step(struct client *c, struct server *s, struct span *span,
	size_t total, enum forward_end *end)
{
	const uint8_t *data = span->data + span->pos;
	size_t len = total - span->pos;
	unsigned leaves;
	struct frame f;
	bool waits;

	if (c->body_left > 0) {
		size_t n = size_min(c->body_left, len);

		c->body_left -= (uint32_t)n;
		if (c->body_drops)
			span->start += n;
		return n;
	}
	switch (look(data, len, &f)) {
	case FRAME_NEED_MORE:
		return 0;
	case FRAME_BAD:
		*end = FORWARD_BAD;
		return 0;
	case FRAME_OK:
		break;
	}
	if (f.type == 'X')
		*end = FORWARD_QUIT;
	waits = must_wait(c, s, &f);
	/* Behind the clean comes nothing more in this lease. */
	if (f.type == 'X' || s->is_chained || is_spent(c, s) || !may_forward(c, s, &f, waits))
		return 0;
	began(c, s);
	slow_note(c, s, &f);
	/* What somebody else has prepared by SQL is not to be found. */
	if (UNLIKELY(s->sql_of != c->id && !s->is_session)) {
		span_send(s, span);
		client_sql_close_all(s);
		s->sql_of = c->id;
	}
	c->body_drops = false;
	if (waits)
		return 0;
	client_sure_taken(c);
	if (!c->keeps_statements) {
		client_passing(c, s, &f, span);
	} else {
		if (exchange_is_idle(&s->xq))
			server_flight_ended(s);
		leaves = client_leaves(c, s, &f);
		client_end_begin(c, s, &f);
		if (translate(c, s, &f, span) == 0)
			return 0;
		client_reads_behind(c, s, &f, leaves);
		client_end_sent(c, s, &f);
	}
	if (UNLIKELY(c->work->cuts))
		client_cuts_behind(c, s, &f);
	if (UNLIKELY(c->work->resets.has_resets) && !s->xq.skipping)
		client_resets_behind(c, &f);
	if (f.type == 'S' || f.type == 'Q' || f.type == 'F')
		c->lease_exchanges++;
	c->body_left = f.body_len - (uint32_t)f.available;
	c->body_type = f.type;
	return FRAME_HEADER + f.available;
}

/* What was sent got no answer and will get none: CopyData after its COPY failed,
 * a Flush.  The lease is over then, too. */
static void end_if_nothing_runs(struct client *c, struct server *s)
{
	if (s->phase != SERVER_PHASE_READY || c->body_left > 0)
		return;
	if (s->wants_barrier && !s->xq.unsynced && s->xq.pending == 0 &&
		s->xq.copy == EXCHANGE_NO_COPY)
		server_barrier(s);
	else if (!s->is_session && exchange_is_idle(&s->xq) && s->xq.status == 'I')
		server_lease_ends(s);
}

/* The client is to go, with what came before answered as PostgreSQL would: as
 * long as replies are to come and do not depend on the client, it stays. */
static void end_forward(struct client *c, struct server *s, uint8_t type,
	enum forward_end end)
{
	if (end == FORWARD_QUIT)
		c->is_quitting = true;
	if (c->state != CLIENT_ACTIVE || !exchange_waits(&s->xq))
		return;
	if (end == FORWARD_QUIT)
		client_close(c, CLOSE_QUIT);
	else
		bad_message(c, type);
}

static size_t forward(struct client *c, const uint8_t *data, size_t len)
{
	enum forward_end end = FORWARD_ON;
	struct server *s = c->server;
	struct span span = { .data = data };
	bool is_turn_over;
	size_t pos = 0;

	if (s->phase != SERVER_PHASE_READY)
		return 0;
	server_redo(s);
	c->work->read = 0;
	/* A slow server stops its client; a message that has begun may fill up. */
	while (span.pos < len && !stream_is_congested(&s->stream) && !has_read_enough(c)) {
		size_t used = client_pass_plain(c, s, data + span.pos, len - span.pos);

		if (used == 0)
			used = forward_step(c, s, &span, len, &end);
		if (used == 0)
			break;
		span.pos += used;
		span.pos += client_pass_copy(c, s, data + span.pos, len - span.pos);
	}
	pos = span.pos;
	is_turn_over = pos < len && has_read_enough(c);
	span_send(s, &span);
	client_reuse_settle(c, s);
	client_sure_flush(s);
	if (pos > 0) {
		c->has_sent = true;
		if (c->end == CLIENT_END_PROVEN && pos == len && c->body_left == 0 &&
			!client_reuse_is_open(c))
			server_chain(s);
		end_if_nothing_runs(c, s);
	}
	if (end != FORWARD_ON)
		end_forward(c, s, data[pos], end);
	if (c->state == CLIENT_ACTIVE && stream_is_congested(&s->stream))
		stream_pause(&c->stream);
	else if (is_turn_over && c->state == CLIENT_ACTIVE)
		stream_retry(&c->stream);
	return pos;
}

bool client_has_quit(struct client *c, int error)
{
	const uint8_t *data = buf_data(&c->stream.held);
	size_t len = buf_len(&c->stream.held), pos = c->body_left;
	struct frame f;

	/* What PostgreSQL cannot send ends a session. */
	if (error != 0 && stream_unsent(&c->stream) > 0)
		return false;
	while (!c->is_quitting && pos < len && look(data + pos, len - pos, &f) == FRAME_OK &&
		frame_is_whole(&f)) {
		c->is_quitting = f.type == 'X';
		pos += frame_size(&f);
	}
	/* Nobody else may come to look at what is held. */
	if (c->is_quitting)
		stream_retry(&c->stream);
	return c->is_quitting;
}

size_t client_query_data(struct client *c, const uint8_t *data, size_t len)
{
	size_t pos = 0;
	bool stuck = false;

	c->is_relaying = true;
	while (pos < len && !stuck) {
		size_t used;

		if (c->state == CLIENT_ACTIVE) {
			used = forward(c, data + pos, len - pos);
			stuck = used == 0 || c->state == CLIENT_ACTIVE;
		} else if (c->state == CLIENT_IDLE &&
			(c->is_quitting || !stream_is_congested(&c->stream))) {
			used = idle_step(c, data + pos, len - pos, &stuck);
		} else {
			break;
		}
		pos += used;
	}
	c->is_relaying = false;
	if (c->state == CLIENT_ENDING || c->state == CLIENT_CLOSED)
		return len;
	stats_add(c->stats, STAT_received, pos);
	return pos;
}

/* --- what the server tells ------------------------------------------------------------------- */

void client_exchange_done(struct client *c, char status)
{
	uint64_t now = worker_now(c->worker);

	c->queries++;
	c->deaths = 0;
	stats_add(c->stats, STAT_query_count, 1);
	if (c->query_us != 0) {
		stats_add(c->stats, STAT_query_time, now - c->query_us);
		times_add(client_timed(c, WORKLOAD_TIME_QUERY), now - c->query_us);
		slow_queried(c, now - c->query_us);
	}
	c->query_us = server_pending_of_client(c->server) > 0 ? now : 0;
	if (status == 'I') {
		c->xacts++;
		stats_add(c->stats, STAT_xact_count, 1);
		if (c->xact_us != 0) {
			stats_add(c->stats, STAT_xact_time, now - c->xact_us);
			times_add(client_timed(c, WORKLOAD_TIME_TRANSACTION), now - c->xact_us);
		}
		c->xact_us = c->query_us;
	}
	c->state_us = now;
	c->lend.is_tried = false;
	client_arm(c);
	if (stream_held(&c->stream) > 0)
		stream_retry(&c->stream);
}

void client_resume(struct client *c)
{
	if (c->state == CLIENT_ACTIVE || c->state == CLIENT_IDLE)
		stream_resume(&c->stream);
}
