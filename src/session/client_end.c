/* SPDX-License-Identifier: ISC */
/*
 * Does the lease of a transaction port's client end with what it has sent?
 *
 * It does where PostgreSQL was idle outside a transaction and runs nothing that could
 * begin one, wait for data, or keep something that the client is to find again; and
 * where it is in a transaction and runs COMMIT or ROLLBACK and nothing else.  Errors
 * change nothing about the first.  A COMMIT that does not even begin (a cancel hits it
 * before) leaves the transaction failed: then the lease goes on, and what was sent
 * behind was refused (25P02).
 *
 * Whatever is not understood proves nothing.
 */
#include <string.h>

#include "pg/wire.h"
#include "session/client_end.h"
#include "session/client_priv.h"
#include "session/server_priv.h"
#include "sql/statement_end.h"

/* Longer texts are not read for this; and not for what could only be short. */
enum { TEXT_MAX = 16 * 1024, TEXT_SHORT = 96 };

/* What is known of a prepared statement. */
enum text_leaves { LEAVES_NOT_READ, LEAVES_NOTHING, LEAVES_ANYTHING };

/* --- texts ------------------------------------------------------------------------- */

static enum text_end read_text(const struct server *s, const void *text, size_t len)
{
	unsigned flags = client_lexer_flags(s);
	struct text *known;

	if (len > TEXT_MAX)
		return TEXT_OTHER;
	known = texts_find(&s->worker->texts, text, len, flags);
	if (known == NULL)
		return statement_text_end(text, len, flags);
	if (known->ends == TEXT_NOT_READ)
		known->ends = (uint8_t)statement_text_end(text, len, flags);
	return (enum text_end)known->ends;
}

/* As it was read when it was prepared, if it would be read so now. */
static enum text_end of_prepared(const struct client *c, const struct server *s,
	struct prepared *p)
{
	enum text_end end =
		(enum text_end)atomic_load_explicit(&p->ends, memory_order_relaxed);

	if (p->state_key != (c->params.plan_key ^ s->literal_key))
		return TEXT_OTHER;
	if (end != TEXT_NOT_READ)
		return end;
	end = read_text(s, p->body, strnlen((const char *)p->body, p->len));
	atomic_store_explicit(&p->ends, (uint8_t)end, memory_order_relaxed);
	return end;
}

static enum text_end of_statement(const struct client *c, const struct server *s,
	const char *name)
{
	const char *text = (const char *)buf_data(&c->unnamed);
	struct prepared_name *n;

	if (name[0] != '\0') {
		n = prepared_names_find(&c->names, name);
		return n == NULL ? TEXT_OTHER : of_prepared(c, s, n->statement);
	}
	if (!c->has_unnamed || c->unnamed_large != NULL)
		return TEXT_OTHER;
	return read_text(s, text, strnlen(text, buf_len(&c->unnamed)));
}

/* --- messages ---------------------------------------------------------------------- */

static enum client_end after_query(const struct client *c, const struct server *s,
	const struct frame *f)
{
	enum text_end end = TEXT_OTHER;

	if (frame_is_whole(f) && f->body_len > 0)
		end = read_text(s, f->body, f->body_len - 1);
	if (end == TEXT_ENDS || (end == TEXT_PLAIN && c->end == CLIENT_END_PROVEN))
		return CLIENT_END_PROVEN;
	return CLIENT_END_UNKNOWN;
}

static enum client_end after_bind(const struct client *c, const struct server *s,
	const struct frame *f)
{
	const char *portal, *name;
	enum text_end end;
	struct wire_in in;

	wire_init(&in, f->body, f->available);
	portal = wire_cstr(&in);
	name = wire_cstr(&in);
	if (!wire_ok(&in))
		return CLIENT_END_UNKNOWN;
	end = of_statement(c, s, name);
	if (c->end == CLIENT_END_PROVEN && end != TEXT_OTHER)
		return CLIENT_END_PROVEN;
	if (c->end == CLIENT_END_IN_BLOCK && end == TEXT_ENDS && portal[0] == '\0')
		return CLIENT_END_BOUND;
	return CLIENT_END_UNKNOWN;
}

static enum client_end after_execute(const struct client *c, const struct frame *f)
{
	if (c->end == CLIENT_END_PROVEN ||
		(c->end == CLIENT_END_BOUND && f->available > 0 && f->body[0] == '\0'))
		return CLIENT_END_PROVEN;
	return CLIENT_END_UNKNOWN;
}

/* --- what a lease leaves ------------------------------------------------------------ */

static bool text_leaves_nothing(const struct server *s, const void *text, size_t len)
{
	unsigned flags = client_lexer_flags(s);
	struct text *known;

	if (len > TEXT_SHORT)
		return false;
	known = texts_find(&s->worker->texts, text, len, flags);
	if (known == NULL)
		return statement_leaves_nothing(text, len, flags);
	if (known->leaves == LEAVES_NOT_READ)
		known->leaves = statement_leaves_nothing(text, len, flags) ? LEAVES_NOTHING :
									     LEAVES_ANYTHING;
	return known->leaves == LEAVES_NOTHING;
}

static bool prepared_leaves_nothing(const struct client *c, const struct server *s,
	struct prepared *p)
{
	enum text_leaves leaves =
		(enum text_leaves)atomic_load_explicit(&p->leaves, memory_order_relaxed);
	const char *text = (const char *)p->body;

	if (p->state_key != (c->params.plan_key ^ s->literal_key))
		return false;
	if (leaves == LEAVES_NOT_READ) {
		leaves = text_leaves_nothing(s, text, strnlen(text, p->len)) ? LEAVES_NOTHING :
									       LEAVES_ANYTHING;
		atomic_store_explicit(&p->leaves, (uint8_t)leaves, memory_order_relaxed);
	}
	return leaves == LEAVES_NOTHING;
}

/* Of a Parse: reading a text may run something, too. */
static bool parse_leaves_nothing(const struct server *s, const struct frame *f)
{
	struct wire_in in;
	const char *text;

	wire_init(&in, f->body, f->available);
	(void)wire_cstr(&in);
	text = wire_cstr(&in);
	return wire_ok(&in) && text_leaves_nothing(s, text, strlen(text));
}

/* A value may be of a type with a check of somebody's own. */
static bool bind_leaves_nothing(const struct client *c, const struct server *s,
	const struct frame *f)
{
	const char *text = (const char *)buf_data(&c->unnamed), *name;
	struct prepared_name *n;
	struct wire_in in;
	uint16_t formats;

	wire_init(&in, f->body, f->available);
	(void)wire_cstr(&in);
	name = wire_cstr(&in);
	formats = wire_u16(&in);
	(void)wire_bytes(&in, (size_t)formats * 2);
	if (wire_u16(&in) != 0 || !wire_ok(&in))
		return false;
	if (name[0] != '\0') {
		n = prepared_names_find(&c->names, name);
		return n != NULL && prepared_leaves_nothing(c, s, n->statement);
	}
	return c->has_unnamed && c->unnamed_large == NULL &&
		text_leaves_nothing(s, text, strnlen(text, buf_len(&c->unnamed)));
}

static bool leaves_nothing(const struct client *c, const struct server *s,
	const struct frame *f)
{
	switch (f->type) {
	case 'Q':
		return frame_is_whole(f) && f->body_len > 0 &&
			text_leaves_nothing(s, f->body, f->body_len - 1);
	case 'P':
		return parse_leaves_nothing(s, f);
	case 'B':
		return bind_leaves_nothing(c, s, f);
	case 'D':
	case 'E':
	case 'C':
	case 'S':
	case 'H':
		/* Of what those have made. */
		return true;
	default:
		return false;
	}
}

void client_leaves(const struct client *c, struct server *s, const struct frame *f)
{
	if (s->ps.last_client != c->id && !leaves_nothing(c, s, f))
		s->ps.last_client = c->id;
}

/* --- whether it ends ------------------------------------------------------------------ */

/* Would the server have to be cleaned, whoever gets it next? */
static bool is_wanted(const struct client *c, const struct server *s)
{
	switch (c->route->limits.state) {
	case ROUTE_STATE_OFF:
		return false;
	case ROUTE_STATE_TRACKED:
		return s->is_dirty;
	case ROUTE_STATE_STRICT:
		return s->is_dirty || (s->ps.last_client != 0 && pool_is_wanted(&s->pool->pool));
	}
	return false;
}

void client_end_begin(struct client *c, const struct server *s, const struct frame *f)
{
	const struct exchange_queue *q = &s->xq;

	if (exchange_is_idle(q))
		c->end = !is_wanted(c, s) ? CLIENT_END_UNKNOWN :
			q->status == 'I' ? CLIENT_END_PROVEN : CLIENT_END_IN_BLOCK;
	/* A Query is skipped after an error in what stands open before it. */
	else if (q->skipping || q->in_doubt || q->copy != EXCHANGE_NO_COPY ||
		(q->open && f->type == 'Q'))
		c->end = CLIENT_END_UNKNOWN;
}

void client_end_sent(struct client *c, const struct server *s, const struct frame *f)
{
	enum client_end end = CLIENT_END_UNKNOWN;

	if (c->end == CLIENT_END_UNKNOWN)
		return;
	switch (f->type) {
	case 'Q':
		end = after_query(c, s, f);
		break;
	case 'B':
		end = after_bind(c, s, f);
		break;
	case 'E':
		end = after_execute(c, f);
		break;
	case 'S':
		if (c->end == CLIENT_END_PROVEN)
			end = CLIENT_END_PROVEN;
		break;
	case 'P':
	case 'D':
	case 'C':
	case 'H':
		end = c->end;
		break;
	default:
		break;
	}
	c->end = (uint8_t)end;
}
