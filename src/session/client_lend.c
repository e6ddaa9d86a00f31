/* SPDX-License-Identifier: ISC */
#include "session/client_lend.h"

#include <string.h>

#include "base/slog.h"
#include "pg/msg_out.h"
#include "session/client_priv.h"
#include "session/facts.h"
#include "session/pin.h"
#include "session/server_priv.h"
#include "sql/statement.h"

void client_lend_taken(struct client *c)
{
	struct lend *l = &c->lend;

	if (c->workload->mode != ROUTE_SESSION)
		return;
	/* What was sent while it was not looked at may be anything. */
	l->is_barred = l->is_barred || c->route->limits.idle_reclaim_us == 0;
	l->looks = !l->is_barred;
	l->is_tried = false;
}

/* --- texts --------------------------------------------------------------------------- */

static void bar(struct client *c)
{
	/* What is kept of texts is not needed any more. */
	c->lend.is_barred = true;
	c->lend.looks = false;
	touched_finish(&c->work->touched);
}

void client_lend_unseen(struct client *c)
{
	if (c->lend.looks)
		bar(c);
}

/* What no view shows, and what is not understood. */
static bool leaves_unseen(const struct statement *s)
{
	const uint32_t unseen = SQL_UNSURE | SQL_CALLS_SETSEED | SQL_CALLS_CURRVAL |
		SQL_CALLS_DBLINK | SQL_CALLS_SESSION | SQL_CALLS_UNKNOWN | SQL_MAY_CALL |
		SQL_CHANGES_CODE;

	switch ((int)s->kind) {
	case SQL_UNKNOWN:
	case SQL_DO:
	case SQL_CALL:
	case SQL_LOAD:
		return true;
	case SQL_PREPARE:
		/* It may be run again and again, and be dropped before anybody asks. */
		return (s->flags & (unseen | SQL_CALLS_SET_CONFIG)) != 0;
	default:
		return (s->flags & unseen) != 0;
	}
}

void client_lend_text(struct client *c, struct server *s, const char *text, size_t len,
	bool named)
{
	struct statement_reader reader;
	struct statement one;
	bool is_unseen;

	if (!c->lend.looks)
		return;
	is_unseen = c->work->touched.unknown || c->work->touched.closes ||
		(named && touched_may(text, len));
	statement_begin(&reader, text, len, client_lexer_flags(s));
	while (!is_unseen && statement_next(&reader, &one))
		is_unseen = leaves_unseen(&one);
	if (is_unseen || reader.lexer.unsure)
		bar(c);
}

/* It runs once more, perhaps. */
static void note_unnamed(struct client *c, struct server *s)
{
	const char *text = (const char *)buf_data(&c->unnamed);
	struct prepared *large = c->unnamed_large;
	unsigned touches = large == NULL ? 0 : facts_touches(large, client_lexer_flags(s));

	if (c->has_unseen || (touches & FACT_IS_LONG) != 0) {
		client_note_unseen(c);
	} else if (large == NULL && c->has_unnamed) {
		client_note_text(c, s, text, strlen(text));
	} else if ((touches & FACT_TOUCHES_ANY) != 0) {
		client_has_read(c, large->text_len);
		client_note_text(c, s, large->body, large->text_len);
	} else if (touches != 0) {
		client_note_known(c, touches);
	}
}

void client_lend_keep(struct client *c, struct server *s, const struct frame *f)
{
	if (s->xq.skipping)
		return;
	switch (f->type) {
	case 'P':
		if (f->available == 0 || f->body[0] != '\0')
			return;
		if (frame_is_whole(f)) {
			client_unnamed_keep(
				c, s, f->body + 1, f->body_len - 1, TEXT_MAY_ALL);
			return;
		}
		/* A long one is not waited for: whoever runs it is barred. */
		client_unnamed_forget(c);
		c->has_unseen = true;
		return;
	case 'Q':
		client_unnamed_forget(c);
		return;
	case 'B':
		note_unnamed(c, s);
		return;
	default:
		return;
	}
}

void client_lend_restore(struct client *c, struct server *s, const struct frame *f)
{
	if (!c->has_unnamed || client_unnamed_is_there(c, s))
		return;
	switch (f->type) {
	case 'P':
		if (f->available > 0 && f->body[0] == '\0')
			return;
		break;
	case 'B':
	case 'D':
	case 'C':
		break;
	default:
		return;
	}
	client_unnamed_use(c, s);
}

/* --- giving it back ------------------------------------------------------------------ */

uint64_t client_lend_deadline(const struct client *c)
{
	if (!c->lend.looks || c->lend.is_tried || c->query_us != 0 || c->xact_us != 0)
		return UINT64_MAX;
	return c->state_us + c->route->limits.idle_reclaim_us;
}

/* Nothing is under way between the two. */
static bool may_begin(const struct client *c)
{
	const struct server *s = c->server;

	return s != NULL && s->phase == SERVER_PHASE_READY && s->replication == NULL &&
		exchange_is_idle(&s->xq) && s->xq.status == 'I' && !s->xq.in_doubt &&
		s->cancels == 0 && s->steps.count == 0 && !s->is_broken && !s->is_tainted &&
		!c->is_quitting && c->body_left == 0 && stream_held(&c->stream) == 0 &&
		c->route->limits.reset_query[0] != '\0';
}

/* Until it has done something again. */
static void stay(struct client *c, struct server *s)
{
	server_enter_phase(s, SERVER_PHASE_READY);
	client_arm(c);
	if (stream_held(&c->stream) > 0)
		stream_retry(&c->stream);
}

static void ask_for_code(struct server *s)
{
	server_enter_phase(s, SERVER_PHASE_PROBE);
	server_set_timer(s, SERVER_CLEAN_US);
	server_send_own(s, pin_question(PIN_ASKS_CODE));
	s->own_failed = true;           /* until the row is there */
	s->own_seen = false;
}

/* Code that was there at the beginning, is not there at the end, and was not changed in
 * between through this router, can have run in no transaction of the lease. */
void client_lend_look(struct client *c, struct server *s)
{
	if (!c->lend.looks || !s->is_session)
		return;
	c->lend.begins = true;
	c->lend.code_changes = atomic_load(&c->worker->router->code_changes);
	ask_for_code(s);
}

void client_lend_begin(struct client *c)
{
	struct server *s = c->server;
	const char *name, *value;
	size_t pos = 0;

	/* The timer may be one that was set before it did something. */
	if (client_lend_deadline(c) > worker_now(c->worker)) {
		client_arm(c);
		return;
	}
	if (c->lend.code_changes != atomic_load(&c->worker->router->code_changes))
		bar(c);
	c->lend.is_tried = true;
	if (c->lend.is_barred || !may_begin(c)) {
		client_arm(c);
		return;
	}
	/* Functions may have changed whatever it has, and these, which no view has. */
	while (params_next(&c->params, &pos, &name, &value))
		touched_set_again(&c->work->touched, name);
	touched_set_again(&c->work->touched, "role");
	touched_set_again(&c->work->touched, "session_authorization");
	if (!c->work->touched.unknown && server_ask(s))
		return;
	bar(c);
	stay(c, s);
}

void client_lend_asked(struct client *c, struct server *s)
{
	/* A timeout of the client's own, for one. */
	if (s->own_failed) {
		stay(c, s);
		return;
	}
	touched_finish(&c->work->touched);
	if (stream_held(&c->stream) > 0) {
		stay(c, s);
		return;
	}
	ask_for_code(s);
}

bool client_lend_answered(struct client *c, const struct frame *row)
{
	struct pin_answer answer;

	if (!pin_answer(&answer, row, PIN_ASKS_CODE))
		return false;
	if (c->lend.begins) {
		c->lend.is_free = !answer.has_code;
		return true;
	}
	c->lend.is_free = answer.there == 0 && !answer.has_many && !answer.has_statements &&
		!answer.has_code && !pin_has_unknown(answer.settings, &c->params);
	return true;
}

void client_lend_told(struct client *c, struct server *s)
{
	bool is_free = c->lend.is_free && !s->own_failed;

	c->lend.is_free = false;
	if (c->lend.begins) {
		c->lend.begins = false;
		/* It may run that, and nothing would tell of it once it is dropped. */
		if (!is_free)
			bar(c);
		stay(c, s);
		/* What it had sent has waited for this. */
		if (c->is_cancelled)
			client_refuse(c, "57014", "canceling statement due to user request", NULL);
		return;
	}
	/* Without memory it would not be told what it has to know later. */
	if (!is_free || stream_held(&c->stream) > 0 || s->cancels > 0 || s->is_broken ||
		!client_told_set(c, &s->reported)) {
		stay(c, s);
		return;
	}
	c->lend.was_lent = true;
	atomic_fetch_add(&c->workload->lends, 1);
	SLOG(DEBUG, "session-lent", "id=%lu server=%lu", (unsigned long)c->id,
		(unsigned long)s->ps.id);
	/* It is cleaned, and the cleaning checked, like any server of a session port. */
	s->is_dirty = true;
	s->is_known_empty = true;
	client_lease_over(c);
	server_release(s);
}

void client_lend_back(struct client *c, const struct server *s)
{
	struct buf out;

	if (!c->lend.was_lent || !s->is_session)
		return;
	buf_init(&out, 0);
	client_told_changes(c, &s->reported, &out);
	if (buf_len(&out) > 0)
		client_send(c, &out);
	buf_finish(&out);
}
