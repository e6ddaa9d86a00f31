/* SPDX-License-Identifier: ISC */
/*
 * What a client sends ahead of answers on a transaction port.
 *
 * Names, and what a server has, change when a message is sent, and change back when it
 * fails.  Within one error domain that is right whatever happens: PostgreSQL skips to
 * Sync what was sent behind the error.  Behind a Sync or a Query it goes on: then a
 * message that uses or drops a name waits for the answer to what makes or drops that.
 * What counts on more than that waits within the error domain, too, and a Flush gets it
 * the answers.
 */
#include <string.h>

#include "base/hash.h"
#include "pg/msg_out.h"
#include "session/client_priv.h"
#include "session/facts.h"
#include "session/server.h"
#include "session/server_priv.h"
#include "sql/statement_may.h"

/* Longer than PREPARE and its kin. */
enum { WORD_MAX = 16 };

static bool is_name_sure(const struct client *c, const struct server *s, const char *name)
{
	const struct prepared_name *n;
	const struct prepared *p;

	if (name[0] == '\0')
		return !c->unnamed_names || steps_are_sure(&s->steps, NULL, 0, 0);
	n = client_named(c, name);
	p = n == NULL ? NULL : n->statement;
	if (p == NULL)
		return steps_are_sure(&s->steps, name, 0, 0);
	return p->may_name ? steps_are_sure(&s->steps, NULL, 0, 0) :
			     steps_are_sure(&s->steps, name, p->len, p->print);
}

/* May statements be named in it?  A message that waits is looked at again and again: what
 * was found in what was there of it is kept. */
static bool may_name(const struct client *c, const char *text, size_t len)
{
	struct client_work *work = c->work;
	size_t from = work->looked_len > WORD_MAX ? work->looked_len - WORD_MAX : 0;

	if (!work->looked_names && work->looked_len < len)
		work->looked_names = prepared_may_name(text + from, len - from);
	work->looked_len = (uint32_t)len;
	return work->looked_names;
}

void client_sure_taken(const struct client *c)
{
	c->work->looked_len = 0;
	c->work->looked_names = false;
}

static bool is_parse_sure(const struct client *c, const struct server *s, struct wire_in *in)
{
	const char *name = wire_cstr(in), *text = (const char *)in->pos;
	size_t len = wire_left(in);

	if (!wire_ok(in))
		return true;
	if (may_name(c, text, strnlen(text, len)))
		return steps_are_sure(&s->steps, NULL, 0, 0);
	return name[0] == '\0' || steps_are_sure(&s->steps, name, len, hash_bytes(text, len));
}

/* What a portal does to names hangs on what it was bound to. */
static bool are_portals_sure(const struct client *c, const struct server *s)
{
	return c->portals == NULL || steps_are_sure(&s->steps, NULL, 0, 0);
}

static bool is_sure(const struct client *c, const struct server *s, const struct frame *f)
{
	struct wire_in in;
	const char *name;

	wire_init(&in, f->body, f->available);
	switch (f->type) {
	case 'P':
		return is_parse_sure(c, s, &in);
	case 'B':
		if (!are_portals_sure(c, s))
			return false;
		(void)wire_cstr(&in);
		break;
	case 'C':       /* when it is skipped the name comes back as it was */
	case 'D':
		if (wire_u8(&in) != 'S')
			return f->type == 'D' || are_portals_sure(c, s);
		break;
	case 'Q':
		return !may_name(c, (const char *)f->body, f->available) ||
			steps_are_sure(&s->steps, NULL, 0, 0);
	case 'E':
		return are_portals_sure(c, s);
	default:
		return true;
	}
	name = wire_cstr(&in);
	return !wire_ok(&in) || is_name_sure(c, s, name);
}

/* A text that names statements may have some put in front of it, and ends the error domain
 * when that fails.  An extended message in front of a Query in front of it may have begun
 * the error domain: that is known when the Query is answered, or skipped. */
static bool is_behind_unsynced(const struct client *c, const struct server *s,
	const struct frame *f)
{
	return f->type == 'Q' && s->xq.unsynced && !s->xq.open && s->xq.pending > 0 &&
		may_name(c, (const char *)f->body, f->available);
}

/* Where an error may skip what it is to find, somebody else's would be there. */
static bool waits_for_unnamed(const struct client *c, const struct server *s,
	const struct frame *f)
{
	return s->steps.unnamed > 0 && client_uses_unnamed(f) && !client_unnamed_is_sure(c, s) &&
		!steps_unnamed_is_sure(&s->steps);
}

/* The same where nobody looks after names, and no steps tell what is in flight. */
static bool waits_for_passing(const struct client *c, const struct server *s,
	const struct frame *f)
{
	return !s->is_session && s->unnamed_of != 0 && s->xq.pending > 0 &&
		client_uses_unnamed(f) && !client_unnamed_is_sure(c, s);
}

static bool is_behind_end(const struct client *c, const struct server *s, const struct frame *f)
{
	return s->steps.ends > 0 &&
		(is_behind_unsynced(c, s, f) || (s->steps.changes > 0 && !is_sure(c, s, f)) ||
			waits_for_unnamed(c, s, f));
}

/* What drops all names is in flight: when it has run they may be given again. */
static bool drops_all(const struct server *s)
{
	return s->steps.drops_all > 0;
}

/* Does what it means hang on extended messages before it that have no Sync yet?  What is
 * put in front of a Query is skipped when those fail, and ends their error domain when it
 * fails itself. */
static bool counts_on_open(const struct client *c, const struct server *s,
	const struct frame *f)
{
	switch (f->type) {
	case 'P':
	case 'B':
	case 'C':
	case 'D':
		return drops_all(s);
	case 'E':
		return c->portals != NULL && drops_all(s);
	case 'Q':
		return may_name(c, (const char *)f->body, f->available);
	default:
		return false;
	}
}

static bool waits_for_open(const struct client *c, const struct server *s,
	const struct frame *f)
{
	return s->xq.open && counts_on_open(c, s, f) && !exchange_is_answered(&s->xq);
}

bool client_waits_for_names(const struct client *c, struct server *s, const struct frame *f)
{
	bool was_flushed = s->is_flushed;

	s->wants_answers = s->is_flushed = false;
	/* What is skipped changes nothing, and COPY waits for the client. */
	if (s->xq.skipping || (s->xq.copy == EXCHANGE_COPY_IN && !s->xq.copy_end_sent))
		return false;
	if (!c->keeps_statements) {
		s->is_unsure = waits_for_passing(c, s, f);
		return s->is_unsure;
	}
	if (s->steps.ends == 0 && !s->xq.open)
		return false;
	s->wants_answers = waits_for_open(c, s, f);
	s->is_unsure = s->wants_answers || is_behind_end(c, s, f);
	s->is_flushed = was_flushed && s->wants_answers;
	return s->is_unsure;
}

static bool text_hangs_on_flags(const struct frame *f, bool any)
{
	if (f->type == 'B')
		return any;
	if (f->type != 'P' && f->type != 'Q')
		return false;
	return any ? lexer_hangs_on_flags((const char *)f->body, f->available) :
		     f->available > 0 && memchr(f->body, '\\', f->available) != NULL;
}

/* Where a text ends within a string, and what looks like its end is none, hangs on settings
 * that PostgreSQL tells of before ReadyForQuery.  Code that changes them out of sight is
 * waited for where that costs next to nothing: backslashes are rare. */
bool client_waits_for_reading(struct client *c, struct server *s, const struct frame *f)
{
	bool may_change = (s->lexer_flags & LEXER_MAY_CHANGE) != 0;

	if (LIKELY(!may_change && s->code_key == 0))
		return false;
	if (exchange_is_idle(&s->xq)) {
		server_flight_ended(s);
		/* Nothing is left of it that could be rolled back. */
		c->work->cuts = c->work->cuts && s->xq.status != 'I';
		return false;
	}
	/* Within the error domain it is not told: such a text is then unsure.  In doubt the
	 * transaction may end before it is known that all is answered. */
	if (s->xq.open || s->xq.skipping || s->xq.in_doubt ||
		(s->xq.copy == EXCHANGE_COPY_IN && !s->xq.copy_end_sent))
		return false;
	/* An error may have what follows skipped, up to a Sync that is behind this. */
	s->is_unsure = text_hangs_on_flags(f, may_change);
	return s->is_unsure;
}

void client_cuts_behind(const struct client *c, struct server *s, const struct frame *f)
{
	/* What ends the transaction, or goes back in it, changes them, too. */
	if (c->work->cuts && (f->type == 'Q' || f->type == 'B' || f->type == 'E'))
		s->lexer_flags |= LEXER_MAY_CHANGE;
}

/* It keeps them back until it is asked for them. */
void client_sure_flush(struct server *s)
{
	struct buf out;

	if (LIKELY(!s->wants_answers || s->is_flushed))
		return;
	s->is_flushed = true;
	exchange_sent(&s->xq, 'H');
	buf_init(&out, 0);
	msg_out_flush(&out);
	stream_send_buf(&s->stream, &out);
	buf_finish(&out);
}

static void note_runs(struct server *s, unsigned runs)
{
	if ((runs & FACT_DROPS_ALL) != 0)
		server_step(s, STEP_DROPS_ALL, NULL, NULL);
	if ((runs & FACT_MAKES_TABLE) != 0)
		server_step(s, STEP_MAKES_TABLE, NULL, NULL);
}

void client_note_run(struct server *s, const void *text, size_t len)
{
	const unsigned looks = STATEMENT_MAY_SET | STATEMENT_MAY_NAME | STATEMENT_MAY_MAKE;

	if ((statement_may(text, len) & looks) != 0)
		note_runs(s, facts_find_runs(text, len, client_lexer_flags(s)));
}

void client_note_bound_run(const struct client *c, struct server *s, const char *name)
{
	const char *text = (const char *)buf_data(&c->unnamed);
	struct prepared *p = c->unnamed_large;
	const struct prepared_name *n;
	size_t len;

	if (name[0] != '\0') {
		n = client_named(c, name);
		if (n == NULL)
			return;
		p = n->statement;
	}
	if (p != NULL) {
		note_runs(s, facts_runs(p, client_lexer_flags(s)));
	} else if (c->has_unnamed &&
		(c->unnamed_touches || c->unnamed_names || c->unnamed_makes)) {
		len = strnlen(text, buf_len(&c->unnamed));
		client_has_read(c, len);
		client_note_run(s, text, len);
	}
}
