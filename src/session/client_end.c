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
#include "session/facts.h"
#include "session/pin.h"
#include "session/server_priv.h"
#include "session/server_reads.h"
#include "session/server_unseen.h"
#include "sql/statement_end.h"

/* Longer texts are not read for this; and not for what could only be short. */
enum { TEXT_MAX = 16 * 1024, TEXT_SHORT = 96 };

/* What is known of a prepared statement. */
enum text_leaves {
	LEAVES_NOT_READ,
	LEAVES_NOTHING,
	LEAVES_DATA,            /* all that settings, tables and what belongs to them bring */
	/* It runs code, which may prepare statements, too: */
	LEAVES_CALLS,           /* functions by name */
	LEAVES_ANYTHING,        /* ... and what a text brings along, or nobody has read */
	LEAVES_LOADS,           /* ... in which LOAD may stand */
	LEAVES_SOMETHING        /* one of these four: of a text, which of them is not read */
};

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

/* Is it read now as it was when it was prepared?  Then others may keep what it is found to
 * be. */
static bool reads_the_same(const struct client *c, const struct server *s,
	const struct prepared *p)
{
	return p->state_key == client_state_key(c, s) &&
		(client_lexer_flags(s) & LEXER_MAY_CHANGE) == 0;
}

static enum text_end of_prepared(const struct client *c, const struct server *s,
	struct prepared *p)
{
	enum text_end end =
		(enum text_end)atomic_load_explicit(&p->ends, memory_order_relaxed);

	if (!reads_the_same(c, s, p))
		return TEXT_OTHER;
	if (end != TEXT_NOT_READ)
		return end;
	end = read_text(s, p->body, p->text_len);
	atomic_store_explicit(&p->ends, (uint8_t)end, memory_order_relaxed);
	return end;
}

/* What a Bind uses: a statement, or the text of a short unnamed one. */
struct bound {
	struct prepared *statement;     /* or NULL */
	const char *text;               /* NULL: there is none of the name */
	size_t size;                    /* in which its NUL is */
};

static struct bound find_bound(const struct client *c, const char *name)
{
	struct prepared *p = c->unnamed_large;
	const struct prepared_name *n;

	if (name[0] != '\0') {
		n = client_named(c, name);
		if (n == NULL)
			return (struct bound){ .text = NULL };
		p = n->statement;
	}
	if (p != NULL)
		return (struct bound){ p, (const char *)p->body, p->len };
	if (!c->has_unnamed)
		return (struct bound){ .text = NULL };
	return (struct bound){ NULL, (const char *)buf_data(&c->unnamed), buf_len(&c->unnamed) };
}

static enum text_end of_statement(const struct client *c, const struct server *s,
	const char *name)
{
	struct bound b = find_bound(c, name);

	if (b.text == NULL)
		return TEXT_OTHER;
	if (b.statement != NULL)
		return of_prepared(c, s, b.statement);
	return read_text(s, b.text, strnlen(b.text, b.size));
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

static enum text_leaves find_something(const void *text, size_t len, unsigned flags)
{
	if (len > TEXT_MAX && !statement_may_load(text, len))
		return LEAVES_ANYTHING;
	switch (statement_text_code(text, len, flags)) {
	case TEXT_CODE_NONE:
		return LEAVES_DATA;
	case TEXT_CODE_CALLS:
		return LEAVES_CALLS;
	case TEXT_CODE_ANY:
		return LEAVES_ANYTHING;
	case TEXT_CODE_LOADS:
		break;
	}
	return LEAVES_LOADS;
}

/* enum text_leaves */
static unsigned find_out(const void *text, size_t len, unsigned flags)
{
	if (len <= TEXT_SHORT && statement_leaves_nothing(text, len, flags))
		return LEAVES_NOTHING;
	return find_something(text, len, flags);
}

/* It makes no difference which code of a client's it is: no statement is there that such
 * code could replace, and it could leave nothing else; or nobody here is strict. */
static bool is_one_to_us(const struct server *s, const struct client *c)
{
	return c->route->limits.state != ROUTE_STATE_STRICT ||
		(s->prepared.count == 0 && server_code_is_harmless(s));
}

static enum text_leaves text_leaves(const struct client *c, const struct server *s,
	const void *text, size_t len)
{
	unsigned flags = client_lexer_flags(s);
	struct text *known = texts_find(&s->worker->texts, text, len, flags);
	bool is_any = is_one_to_us(s, c) && (text_may(known, text, len) & TEXT_MAY_PIN) == 0;

	if (len > TEXT_SHORT && is_any)
		return LEAVES_ANYTHING;
	if (known == NULL)
		return (enum text_leaves)find_out(text, len, flags);
	if (known->leaves == LEAVES_NOT_READ)
		known->leaves = len <= TEXT_SHORT &&
				statement_leaves_nothing(text, len, flags) ?
			LEAVES_NOTHING : LEAVES_SOMETHING;
	if (known->leaves == LEAVES_SOMETHING && is_any)
		return LEAVES_ANYTHING;
	if (known->leaves == LEAVES_SOMETHING)
		known->leaves = (uint8_t)find_something(text, len, flags);
	return (enum text_leaves)known->leaves;
}

static enum text_leaves prepared_leaves(const struct client *c, const struct server *s,
	struct prepared *p)
{
	enum text_leaves leaves =
		(enum text_leaves)atomic_load_explicit(&p->leaves, memory_order_relaxed);

	/* It was read under others; what that could change is taken at its worst. */
	if (!reads_the_same(c, s, p))
		return (enum text_leaves)facts_known(p, client_lexer_flags(s), FACT_LEAVES,
			find_out);
	if (leaves == LEAVES_NOT_READ) {
		leaves = (enum text_leaves)find_out(p->body, p->text_len, client_lexer_flags(s));
		atomic_store_explicit(&p->leaves, (uint8_t)leaves, memory_order_relaxed);
	}
	return leaves;
}

/* Reading a text may run something, too, but no code that stands in it. */
static enum text_leaves parse_leaves(const struct client *c, const struct server *s,
	const struct frame *f)
{
	struct wire_in in;
	const char *text;
	size_t len;

	wire_init(&in, f->body, f->available);
	(void)wire_cstr(&in);
	text = wire_cstr(&in);
	if (!wire_ok(&in))
		return LEAVES_ANYTHING;
	len = strlen(text);
	return len <= TEXT_SHORT && text_leaves(c, s, text, len) == LEAVES_NOTHING ?
		LEAVES_NOTHING : LEAVES_DATA;
}

static enum text_leaves bound_leaves(const struct client *c, const struct server *s,
	const char *name)
{
	struct bound b = find_bound(c, name);

	if (b.text == NULL)
		return name[0] != '\0' ? LEAVES_ANYTHING : LEAVES_LOADS;
	if (b.statement != NULL)
		return prepared_leaves(c, s, b.statement);
	return text_leaves(c, s, b.text, strnlen(b.text, b.size));
}

static enum text_leaves bind_leaves(const struct client *c, const struct server *s,
	const struct frame *f)
{
	enum text_leaves leaves;
	struct wire_in in;
	const char *name;
	uint16_t formats;

	wire_init(&in, f->body, f->available);
	(void)wire_cstr(&in);
	name = wire_cstr(&in);
	if (!wire_ok(&in))
		return LEAVES_ANYTHING;
	leaves = bound_leaves(c, s, name);
	formats = wire_u16(&in);
	(void)wire_bytes(&in, (size_t)formats * 2);
	/* A value may be of a type with a check of somebody's own. */
	if (leaves == LEAVES_NOTHING && (wire_u16(&in) != 0 || !wire_ok(&in)))
		return LEAVES_DATA;
	return leaves;
}

/* A server that lacks the statement is sent it. */
static enum text_leaves describe_leaves(const struct client *c, const struct server *s,
	const struct frame *f)
{
	struct wire_in in;
	const char *name;
	bool is_statement;

	wire_init(&in, f->body, f->available);
	is_statement = wire_u8(&in) == 'S';
	name = wire_cstr(&in);
	if (wire_ok(&in) && (!is_statement || bound_leaves(c, s, name) == LEAVES_NOTHING))
		return LEAVES_NOTHING;
	return LEAVES_DATA;
}

static enum text_leaves message_leaves(const struct client *c, const struct server *s,
	const struct frame *f)
{
	switch (f->type) {
	case 'Q':
		if (!frame_is_whole(f) || f->body_len == 0)
			return LEAVES_LOADS;
		return text_leaves(c, s, f->body, f->body_len - 1);
	case 'P':
		return parse_leaves(c, s, f);
	case 'B':
		return bind_leaves(c, s, f);
	case 'D':
		return describe_leaves(c, s, f);
	case 'E':
	case 'C':
	case 'S':
	case 'H':
		/* Of what those have made. */
		return LEAVES_NOTHING;
	case 'd':
	case 'c':
	case 'f':
		return LEAVES_DATA;
	default:
		return LEAVES_ANYTHING;
	}
}

/* enum unseen_code of enum text_leaves. */
static const uint8_t runs[] = {
	[LEAVES_DATA] = UNSEEN_DATA,
	[LEAVES_CALLS] = UNSEEN_DATA | UNSEEN_CALL,
	[LEAVES_ANYTHING] = UNSEEN_DATA | UNSEEN_CALL | UNSEEN_TEXT,
	[LEAVES_LOADS] = UNSEEN_ALL,
};

unsigned client_leaves(const struct client *c, struct server *s, const struct frame *f)
{
	const struct route_limits *limits = &c->route->limits;
	enum text_leaves leaves = message_leaves(c, s, f);

	if (leaves != LEAVES_NOTHING) {
		server_carries(s, c);
		s->has_strays = true;
		server_ran(s, c->id, runs[leaves]);
		server_reads_behind_code(s);
	}
	/* Who cleans seldom need not know it so exactly; who asks always, asks here, too. */
	if (leaves > LEAVES_DATA ||
		(leaves == LEAVES_DATA &&
			(limits->state != ROUTE_STATE_STRICT || limits->audit_each == 1)))
		s->is_suspect = true;
	return leaves;
}

void client_reads_behind(struct client *c, struct server *s, const struct frame *f,
	unsigned leaves)
{
	bool is_unnamed = f->available > 0 && f->body[0] == '\0';
	bool is_run = f->type == 'Q' || f->type == 'E' || f->type == 'F';
	bool is_open;

	/* To read a text may run something, too; so much is not looked after. */
	if ((f->type == 'P' || f->type == 'D') && leaves <= LEAVES_DATA)
		return;
	if (f->type == 'B' || f->type == 'E')
		s->binds_ahead = is_unnamed && (f->type == 'B' || s->binds_ahead);
	/* Its Bind has told it under what held then. */
	if (f->type == 'E' && !s->binds_ahead && c->work->reads_change)
		server_reads_behind_code(s);
	/* Its Bind was answered, and what it is went with that; or what was set may be undone. */
	is_open = (f->type == 'E' && !s->binds_ahead) || (is_run && c->work->reads_change);
	s->data_ahead = s->data_ahead || is_open || leaves >= LEAVES_DATA;
	if (s->code_key == 0 && (is_open || leaves > LEAVES_DATA))
		s->code_key = client_new_key(c);
}

/* What a text itself says ends with the server; nobody keeps it for that, as on a
 * transaction port. */
static bool makes_what_stays(const struct server *s, const char *text, size_t len)
{
	unsigned flags = client_lexer_flags(s);
	struct pin_scan scan;

	if ((texts_may(&s->worker->texts, text, len, flags) & TEXT_MAY_PIN) == 0)
		return false;
	pin_scan(&scan, text, len, flags);
	return ((scan.makes | scan.prepares) & pin_stays()) != 0;
}

static enum text_leaves session_text_leaves(const struct client *c, const struct server *s,
	const struct frame *f)
{
	struct wire_in in;
	const char *text;

	wire_init(&in, f->body, f->available);
	if (f->type == 'P')
		(void)wire_cstr(&in);
	text = wire_cstr(&in);
	/* A long one is not waited for. */
	if (!wire_ok(&in))
		return LEAVES_ANYTHING;
	return makes_what_stays(s, text, strlen(text)) ? LEAVES_LOADS :
							 text_leaves(c, s, text, strlen(text));
}

/* What is prepared there by name was read as it was parsed. */
static enum text_leaves session_leaves(const struct client *c, const struct server *s,
	const struct frame *f)
{
	switch (f->type) {
	case 'Q':
	case 'P':
		return session_text_leaves(c, s, f);
	case 'F':
		return LEAVES_ANYTHING;
	case 'B':
	case 'd':
		return LEAVES_DATA;
	default:
		return LEAVES_NOTHING;
	}
}

void client_session_leaves(const struct client *c, struct server *s, const struct frame *f)
{
	enum text_leaves leaves = session_leaves(c, s, f);

	if (leaves != LEAVES_NOTHING) {
		server_ran(s, c->id, runs[leaves]);
		server_reads_behind_code(s);
	}
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
