/* SPDX-License-Identifier: ISC */
/*
 * What a client sends ahead of answers on a transaction port.
 *
 * Names, and what a server has, change when a message is sent, and change back when it
 * fails.  Within one error domain that is right whatever happens: PostgreSQL skips to
 * Sync what was sent behind the error.  Behind a Sync or a Query it goes on: then a
 * message that uses or drops a name waits for the answer to what makes or drops that.
 */
#include <string.h>

#include "session/client_priv.h"
#include "session/server.h"
#include "session/server_priv.h"
#include "sql/statement.h"

static bool is_name_sure(const struct client *c, const struct server *s, const char *name)
{
	const struct prepared_name *n;
	const struct prepared *p;

	if (name[0] == '\0')
		return !c->unnamed_names || steps_are_sure(&s->steps, NULL, NULL, 0);
	n = prepared_names_find(&c->names, name);
	p = n == NULL ? NULL : n->statement;
	if (p == NULL)
		return steps_are_sure(&s->steps, name, NULL, 0);
	return p->may_name ? steps_are_sure(&s->steps, NULL, NULL, 0) :
			     steps_are_sure(&s->steps, name, p->body, p->len);
}

static bool is_parse_sure(const struct server *s, struct wire_in *in)
{
	const char *name = wire_cstr(in), *text = (const char *)in->pos;
	size_t len = wire_left(in);

	if (!wire_ok(in))
		return true;
	if (prepared_may_name(text, strnlen(text, len)))
		return steps_are_sure(&s->steps, NULL, NULL, 0);
	return name[0] == '\0' || steps_are_sure(&s->steps, name, text, len);
}

static bool is_sure(const struct client *c, const struct server *s, const struct frame *f)
{
	struct wire_in in;
	const char *name;

	wire_init(&in, f->body, f->available);
	switch (f->type) {
	case 'P':
		return is_parse_sure(s, &in);
	case 'B':
		(void)wire_cstr(&in);
		break;
	case 'C':       /* when it is skipped the name comes back as it was */
	case 'D':
		if (wire_u8(&in) != 'S')
			return true;
		break;
	case 'Q':
		return !prepared_may_name((const char *)f->body, f->available) ||
			steps_are_sure(&s->steps, NULL, NULL, 0);
	default:
		return true;
	}
	name = wire_cstr(&in);
	return !wire_ok(&in) || is_name_sure(c, s, name);
}

/* A text that names statements may have some put in front of it, and ends the error domain
 * when that fails.  An extended message in front of a Query in front of it may have begun
 * the error domain: that is known when the Query is answered, or skipped. */
static bool is_behind_unsynced(const struct server *s, const struct frame *f)
{
	return f->type == 'Q' && s->xq.unsynced && !s->xq.open && s->xq.pending > 0 &&
		prepared_may_name((const char *)f->body, f->available);
}

bool client_waits_for_names(const struct client *c, struct server *s, const struct frame *f)
{
	/* What is skipped changes nothing, and COPY waits for the client. */
	if (s->steps.ends == 0 || !c->keeps_statements || s->xq.skipping ||
		(s->xq.copy == EXCHANGE_COPY_IN && !s->xq.copy_end_sent))
		return false;
	s->is_unsure = is_behind_unsynced(s, f) ||
		(s->steps.changes > 0 && !is_sure(c, s, f));
	return s->is_unsure;
}

void client_note_drops(struct server *s, const void *text, size_t len)
{
	struct statement_reader reader;
	struct statement statement;

	if (!touched_may(text, len) && !prepared_may_name(text, len))
		return;
	statement_begin(&reader, text, len, client_lexer_flags(s));
	while (statement_next(&reader, &statement)) {
		if (statement.kind == SQL_DISCARD_ALL || statement.kind == SQL_DEALLOCATE_ALL) {
			server_step(s, STEP_DROPS_ALL, NULL, NULL);
			return;
		}
	}
}

void client_note_bound_drops(const struct client *c, struct server *s, const char *name)
{
	const char *text = (const char *)buf_data(&c->unnamed);
	size_t len = buf_len(&c->unnamed);
	const struct prepared_name *n;

	if (name[0] != '\0') {
		n = prepared_names_find(&c->names, name);
		if (n == NULL || (!n->statement->may_touch && !n->statement->may_name))
			return;
		text = (const char *)n->statement->body;
		len = n->statement->len;
	} else if (!c->has_unnamed || c->unnamed_large != NULL ||
		(!c->unnamed_touches && !c->unnamed_names)) {
		return;
	}
	client_note_drops(s, text, strnlen(text, len));
}
