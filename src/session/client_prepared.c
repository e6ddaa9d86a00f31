/* SPDX-License-Identifier: ISC */
/*
 * Prepared statements of a client on a transaction port.
 *
 * The client's names are its own; servers know statements by names of ours.  So Parse,
 * Bind, Describe and Close go on with other names, Parse is sent where a server does
 * not have the statement, and where nothing has to be done a message that does nothing
 * but answer stands in for it, so that every reply comes at its place.  What PostgreSQL
 * would refuse is sent so that PostgreSQL refuses it.
 *
 * The unnamed statement lasts until the next unnamed Parse or Query, on whichever server
 * (PostgreSQL documentation, 55.2.3): its text is kept.
 *
 * DEALLOCATE concerns the client's names: a statement that does nothing runs in its
 * place.
 */
#include <stdio.h>
#include <string.h>

#include "pg/msg_out.h"
#include "session/client_priv.h"
#include "session/login.h"
#include "session/server.h"
#include "session/server_priv.h"
#include "sql/statement.h"

enum {
	NAMES_MAX = 16 * 1024, /* names longer than this are nobody's */
	UNNAMED_SMALL = 4096,  /* texts up to here are not counted */
	HEADER_MAX = 256       /* of a message and the names in front */
};

#define NOTHING "UNLISTEN pgtandem_nothing"

/* --- the unnamed statement
 * -------------------------------------------------------------- */

void client_unnamed_forget(struct client *c)
{
	c->has_unnamed = false;
	c->drops = CLIENT_DROPS_NOTHING;
	prepared_name_unref(c->drops_name);
	c->drops_name = NULL;
	prepared_unref(c->unnamed_large);
	c->unnamed_large = NULL;
}

static uint64_t memory_left(const struct client *c)
{
	uint64_t most = atomic_load(&c->worker->router->statement_memory);
	uint64_t used = prepared_bytes();

	return used < most ? most - used : 0;
}

static void keep_unnamed(
	struct client *c, struct server *s, const uint8_t *body, size_t len)
{
	client_unnamed_forget(c);
	if (len <= UNNAMED_SMALL) {
		buf_clear(&c->unnamed);
		buf_add(&c->unnamed, body, len);
		c->has_unnamed = buf_ok(&c->unnamed);
		c->unnamed_touches = touched_may((const char *)body,
			strnlen((const char *)body, len));
	} else if (memory_left(c) >= len) {
		c->unnamed_large =
			prepared_get_alone(login_registry(s->pool->session), body, len);
		c->has_unnamed = c->unnamed_large != NULL;
	}
}

/* It runs soon, and may set something then. */
static void note_use(struct client *c, struct server *s, const struct prepared *p)
{
	if (p->may_touch)
		client_note_text(c, s, p->body, strnlen((const char *)p->body, p->len));
}

/* It runs soon: what may it set? */
static void note_unnamed(struct client *c, struct server *s)
{
	const char *text = (const char *)buf_data(&c->unnamed);

	if (!c->has_unnamed)
		client_note_unseen(c);
	else if (c->unnamed_large != NULL)
		note_use(c, s, c->unnamed_large);
	else if (c->unnamed_touches)
		client_note_text(c, s, text, strnlen(text, buf_len(&c->unnamed)));
}

/* The server has the client's own from here on. */
static void unnamed_is_sent(struct client *c, struct server *s)
{
	server_step(s, s->unnamed_of == c->id ? STEP_UNNAMED : STEP_UNNAMED_FIRST, NULL,
		NULL);
	s->unnamed_of = c->id;
}

static void use_unnamed(struct client *c, struct server *s)
{
	note_unnamed(c, s);
	if (s->unnamed_of == c->id)
		return;
	if (!c->has_unnamed) {
		client_unnamed_hide(c, s);
		return;
	}
	s->unnamed_of = c->id;
	server_step(s, STEP_UNNAMED_OURS, NULL, NULL);
	if (c->unnamed_large != NULL)
		server_send_parse(s, "", c->unnamed_large->body, c->unnamed_large->len);
	else
		server_send_parse(s, "", buf_data(&c->unnamed), buf_len(&c->unnamed));
}

/* Not somebody else's. */
void client_unnamed_hide(struct client *c, struct server *s)
{
	s->unnamed_of = c->id;
	server_step(s, STEP_CLOSE_OURS, NULL, NULL);
	server_send_close(s, "");
}

/* --- statements
 * -------------------------------------------------------------------------- */

/* Under which settings it would be read now. */
static uint64_t state_key(const struct client *c, const struct server *s)
{
	return c->params.plan_key ^ s->literal_key;
}

static uint32_t most_prepared(const struct client *c)
{
	uint32_t most = c->route->limits.max_prepared;

	return most > 0 ? most : 1;
}

static struct prepared *make_again(
	struct prepared_registry *r, const struct prepared *p, uint64_t key)
{
	return p->is_alone ? prepared_get_alone(r, p->body, p->len)
			   : prepared_get(r, p->body, p->len, key);
}

/* The statement of this name as it is to be used now: a plan that went stale, or a pool
 * that a reload has replaced, make it another one.  So do, for once, settings that are
 * not those it was prepared under (SET LOCAL), unless the server has read it before:
 * *once is to be given back. */
static struct prepared *fitting(struct client *c, struct server *s,
	struct prepared_name *n, struct prepared **once)
{
	struct prepared_registry *registry = login_registry(s->pool->session);
	struct prepared *p = n->statement;
	uint64_t key = state_key(c, s);

	*once = NULL;
	if (UNLIKELY(atomic_load_explicit(&p->is_retired, memory_order_relaxed) ||
		    p->registry != registry)) {
		p = make_again(registry, p, p->state_key);
		if (p != NULL)
			prepared_names_set(&c->names, n, p);
		p = n->statement;
	}
	if (p->state_key == key || p->is_alone || prepared_set_use(&s->prepared, p))
		return p;
	*once = prepared_get(registry, p->body, p->len, key);
	return *once != NULL ? *once : p;
}

/* Uses a statement by the client's name: sees that the server has it.  Returns its name
 * there, or NULL when the message may go on as it is. */
static const char *use(
	struct client *c, struct server *s, const char *name, enum step_kind kind)
{
	struct prepared *p, *once;
	struct prepared_name *n;
	const char *there;

	n = name[0] == '\0' ? NULL : prepared_names_find(&c->names, name);
	if (n == NULL) {
		if (name[0] == '\0')
			use_unnamed(c, s);
		server_step(s, kind, NULL, NULL);
		return prepared_is_our_name(name) ? prepared_no_name() : NULL;
	}
	p = fitting(c, s, n, &once);
	note_use(c, s, p);
	if (!prepared_set_use(&s->prepared, p)) {
		server_prepare(s, STEP_PARSE_OURS, p, NULL, most_prepared(c));
		stats_add(c->stats, STAT_server_parse_count, 1);
	}
	server_step(s, kind, p, n);
	/* The set, or the step of its Parse, holds it. */
	there = p->name;
	prepared_unref(once);
	return there;
}

/* --- Parse
 * --------------------------------------------------------------------------------- */

/* Fails at its place, with an error of ours. */
static void refuse(struct server *s)
{
	server_step(s, STEP_REFUSED, NULL, NULL);
	server_send_missing(s);
}

/* PostgreSQL looks at the text before it looks at the name. */
static void refuse_duplicate(
	struct server *s, struct prepared_name *n, const uint8_t *body, size_t len)
{
	server_step(s, STEP_UNNAMED_OURS, NULL, NULL);
	server_send_parse(s, "", body, len);
	s->unnamed_of = 0;
	server_step(s, STEP_DUPLICATE, NULL, n);
	server_send_missing(s);
}

/* With a reference; NULL without memory. */
static struct prepared *make(
	struct client *c, struct server *s, const uint8_t *body, size_t len)
{
	struct prepared_registry *registry = login_registry(s->pool->session);
	uint64_t most = c->route->limits.statement_memory;
	struct prepared *p;

	if (most != 0 && c->names.bytes + len > most)
		return NULL;
	if (prepared_depends_on_time(body, len))
		p = prepared_get_alone(registry, body, len);
	else
		p = prepared_get(registry, body, len, state_key(c, s));
	/* One that others have costs nothing. */
	if (p != NULL && prepared_is_mine_only(p) && memory_left(c) == 0) {
		prepared_unref(p);
		return NULL;
	}
	return p;
}

static void parse_named(struct client *c, struct server *s, const char *name,
	const uint8_t *body, size_t len)
{
	struct prepared_name *n = prepared_names_find(&c->names, name);
	struct prepared *p;

	if (n != NULL) {
		refuse_duplicate(s, n, body, len);
		return;
	}
	p = make(c, s, body, len);
	if (p != NULL)
		n = prepared_names_add(&c->names, name, p);
	if (n == NULL) {
		refuse(s);
		return;
	}
	if (prepared_set_use(&s->prepared, p)) {
		/* Here PostgreSQL would refuse most. */
		bool is_failed = s->xq.status == 'E' && s->xq.pending == 0;

		if (!is_failed) {
			server_step(s, STEP_PARSE_FAKED, p, n);
			server_send_close(s, prepared_no_name());
			return;
		}
		server_unprepare(s, p);
	}
	server_prepare(s, STEP_PARSE, p, n, most_prepared(c));
	stats_add(c->stats, STAT_server_parse_count, 1);
}

/* One whole text that does nothing but DEALLOCATE? */
static bool is_deallocate(const uint8_t *text, size_t len, struct statement *first)
{
	/* Before all others are scanned. */
	if (len == 0 ||
		((text[0] | 0x20) != 'd' && text[0] > ' ' && text[0] != '/' &&
			text[0] != '-'))
		return false;
	if (statement_count((const char *)text, len, LEXER_STANDARD_STRINGS, 1, first) !=
			1 ||
		(first->flags & SQL_UNSURE) != 0)
		return false;
	return first->kind == SQL_DEALLOCATE || first->kind == SQL_DEALLOCATE_ALL;
}

/* What a DEALLOCATE that is sent now would drop, of what is the client's own. */
static enum client_drops find_drops(const struct client *c, const struct server *s,
	const struct statement *st, struct prepared_name **n)
{
	*n = NULL;
	if (st->kind == SQL_DEALLOCATE) {
		*n = prepared_names_find(&c->names, st->name);
		return *n != NULL ? CLIENT_DROPS_ONE : CLIENT_DROPS_NOTHING;
	}
	/* What SQL has prepared is the server's. */
	return s->has_foreign || s->xq.pending > 0 ? CLIENT_DROPS_NOTHING
						   : CLIENT_DROPS_ALL;
}

static void parse_unnamed(struct client *c, struct server *s, const struct frame *f,
	const uint8_t *body, size_t len, enum client_sent *sent)
{
	static const uint8_t nothing[] = NOTHING "\0\0"; /* and no types */
	size_t text_len = strnlen((const char *)body, len);
	enum client_drops drops = CLIENT_DROPS_NOTHING;
	struct prepared_name *n = NULL;
	struct statement first;

	if (is_deallocate(body, text_len, &first))
		drops = find_drops(c, s, &first, &n);
	unnamed_is_sent(c, s);
	stats_add(c->stats, STAT_server_parse_count, 1);
	if (drops == CLIENT_DROPS_NOTHING) {
		keep_unnamed(c, s, body, len);
		exchange_sent(&s->xq, f->type);
		return;
	}
	keep_unnamed(c, s, nothing, sizeof(nothing));
	c->drops = drops;
	c->drops_name = n != NULL ? prepared_name_ref(n) : NULL;
	server_send_parse(s, "", nothing, sizeof(nothing));
	*sent = CLIENT_REPLACED;
}

static size_t on_parse(
	struct client *c, struct server *s, const struct frame *f, enum client_sent *sent)
{
	bool is_long = f->body_len > CLIENT_INSPECT_MAX;
	const char *name;
	struct wire_in in;

	if (f->available == 0 || (!is_long && !frame_is_whole(f)))
		return 0;
	stats_add(c->stats, STAT_client_parse_count, 1);
	wire_init(&in, f->body, f->available);
	if (is_long && f->body[0] != '\0') {
		refuse(s);
		*sent = CLIENT_DROPPED;
		return FRAME_HEADER + f->available;
	}
	name = wire_cstr(&in);
	/* Too long to keep: it lasts as long as the server is the client's. */
	if (is_long || !wire_ok(&in)) {
		unnamed_is_sent(c, s);
		client_unnamed_forget(c);
		exchange_sent(&s->xq, 'P');
	} else if (name[0] == '\0') {
		parse_unnamed(c, s, f, in.pos, wire_left(&in), sent);
	} else {
		parse_named(c, s, name, in.pos, wire_left(&in));
		*sent = CLIENT_REPLACED;
	}
	return FRAME_HEADER + f->available;
}

/* --- Bind, Describe, Close
 * -------------------------------------------------------------------- */

/* The same message with another name of the statement; what follows the name goes on
 * as it comes. */
static void send_renamed(struct server *s, const struct frame *f, const char *before,
	size_t before_len, const char *name, const uint8_t *rest, size_t old_len)
{
	size_t name_len = strlen(name), len = 0;
	uint32_t body_len = f->body_len - (uint32_t)old_len + (uint32_t)name_len;
	uint8_t head[HEADER_MAX];

	exchange_sent(&s->xq, f->type);
	head[len++] = f->type;
	for (int shift = 24; shift >= 0; shift -= 8)
		head[len++] = (uint8_t)((body_len + 4) >> shift);
	if (len + before_len + name_len + 1 > sizeof(head)) {
		stream_send(&s->stream, head, len);
		stream_send(&s->stream, before, before_len);
		len = 0;
	} else {
		memcpy(head + len, before, before_len);
		len += before_len;
	}
	memcpy(head + len, name, name_len + 1);
	stream_send(&s->stream, head, len + name_len + 1);
	stream_send(&s->stream, rest, (size_t)(f->body + f->available - rest));
}

static uint64_t portal_hash(const char *portal)
{
	return hash_bytes(portal, strlen(portal)) | 1;
}

static size_t on_bind(
	struct client *c, struct server *s, const struct frame *f, enum client_sent *sent)
{
	const char *portal, *name, *there;
	struct wire_in in;

	wire_init(&in, f->body, f->available);
	portal = wire_cstr(&in);
	name = wire_cstr(&in);
	if (!wire_ok(&in) && !frame_is_whole(f) && f->available < NAMES_MAX)
		return 0;
	stats_add(c->stats, STAT_bind_count, 1);
	if (!wire_ok(&in)) {
		server_step(s, STEP_BIND, NULL, NULL);
		exchange_sent(&s->xq, 'B');
		return FRAME_HEADER + f->available;
	}
	if (name[0] == '\0' && c->drops != CLIENT_DROPS_NOTHING)
		c->drops_portal = portal_hash(portal);
	else if (c->drops_portal != 0 && portal_hash(portal) == c->drops_portal)
		c->drops_portal = 0;
	there = use(c, s, name, STEP_BIND);
	if (there == NULL) {
		exchange_sent(&s->xq, 'B');
		return FRAME_HEADER + f->available;
	}
	*sent = CLIENT_REPLACED;
	send_renamed(s, f, portal, strlen(portal) + 1, there, in.pos, strlen(name));
	return FRAME_HEADER + f->available;
}

static size_t on_describe(struct client *c, struct server *s, const struct frame *f,
	const struct wire_in *in, const char *name, enum client_sent *sent)
{
	const char *there = use(c, s, name, STEP_DESCRIBE);

	if (there == NULL) {
		exchange_sent(&s->xq, 'D');
		return FRAME_HEADER + f->available;
	}
	*sent = CLIENT_REPLACED;
	send_renamed(s, f, "S", 1, there, in->pos, strlen(name));
	return FRAME_HEADER + f->available;
}

static void close_named(struct client *c, struct server *s, const char *name)
{
	struct prepared_name *n = prepared_names_find(&c->names, name);

	server_step(s, STEP_CLOSE, NULL, n);
	if (n != NULL)
		prepared_names_unlink(&c->names, n);
	server_send_close(s, prepared_no_name());
}

/* Describe and Close: small, and whole. */
static size_t on_named(
	struct client *c, struct server *s, const struct frame *f, enum client_sent *sent)
{
	struct wire_in in;
	const char *name;
	bool is_statement;

	if (!frame_is_whole(f))
		return 0;
	wire_init(&in, f->body, f->body_len);
	is_statement = wire_u8(&in) == 'S';
	name = wire_cstr(&in);
	is_statement = is_statement && wire_ok(&in);
	if (is_statement && f->type == 'D')
		return on_describe(c, s, f, &in, name, sent);
	if (is_statement && name[0] != '\0') {
		*sent = CLIENT_REPLACED;
		close_named(c, s, name);
		return FRAME_HEADER + f->available;
	}
	if (is_statement)
		client_unnamed_forget(c);
	/* The reply to a Describe of a portal tells nothing. */
	if (f->type == 'C')
		server_step(s, STEP_CLOSE, NULL, NULL);
	exchange_sent(&s->xq, f->type);
	return FRAME_HEADER + f->available;
}

/* --- Execute, Query
 * ------------------------------------------------------------------------------ */

static void drop(struct client *c, struct server *s, enum client_drops what,
	struct prepared_name *n)
{
	if (what == CLIENT_DROPS_ALL) {
		server_step(s, STEP_DEALLOCATE_ALL, NULL, NULL);
		return;
	}
	server_step(s, STEP_DEALLOCATE, NULL, n);
	prepared_names_unlink(&c->names, n);
}

static size_t on_execute(struct client *c, struct server *s, const struct frame *f)
{
	struct wire_in in;
	const char *portal;

	if (!frame_is_whole(f))
		return 0;
	wire_init(&in, f->body, f->body_len);
	portal = wire_cstr(&in);
	if (wire_ok(&in) && portal_hash(portal) == c->drops_portal) {
		c->drops_portal = 0;
		if (c->drops == CLIENT_DROPS_ALL ||
			(c->drops == CLIENT_DROPS_ONE && c->drops_name->is_linked))
			drop(c, s, c->drops, c->drops_name);
	}
	exchange_sent(&s->xq, 'E');
	return FRAME_HEADER + f->available;
}

/* True: it was replaced. */
static bool deallocate(struct client *c, struct server *s, const struct frame *f)
{
	enum client_drops drops;
	struct prepared_name *n;
	struct statement first;
	char sql[64] = NOTHING;
	struct buf out;

	if (!frame_is_whole(f) || f->body_len > CLIENT_INSPECT_MAX || f->body_len == 0 ||
		f->body[f->body_len - 1] != '\0' ||
		!is_deallocate(f->body, f->body_len - 1, &first))
		return false;
	drops = find_drops(c, s, &first, &n);
	if (drops != CLIENT_DROPS_NOTHING)
		drop(c, s, drops, n);
	else if (first.kind == SQL_DEALLOCATE && prepared_is_our_name(first.name))
		(void)snprintf(sql, sizeof(sql), "DEALLOCATE %s", prepared_no_name());
	else
		return false;
	exchange_sent(&s->xq, 'Q');
	buf_init(&out, 0);
	msg_out_query(&out, sql);
	stream_send_buf(&s->stream, &out);
	buf_finish(&out);
	return true;
}

static size_t on_query(
	struct client *c, struct server *s, const struct frame *f, enum client_sent *sent)
{
	if (!frame_is_whole(f) && f->body_len <= CLIENT_INSPECT_MAX)
		return 0;
	if (frame_is_whole(f) && f->body_len > 0)
		client_note_text(c, s, f->body, f->body_len - 1);
	else
		client_note_unseen(c);
	client_unnamed_forget(c);
	if (deallocate(c, s, f))
		*sent = CLIENT_REPLACED;
	else
		exchange_sent(&s->xq, 'Q');
	s->unnamed_of = c->id;
	server_step(s, STEP_END_QUERY, NULL, NULL);
	return FRAME_HEADER + f->available;
}

/* --- all of them
 * ------------------------------------------------------------------------------------ */

size_t client_prepared_message(
	struct client *c, struct server *s, const struct frame *f, enum client_sent *sent)
{
	bool is_in_copy = s->xq.copy == EXCHANGE_COPY_IN && !s->xq.copy_end_sent;

	*sent = CLIENT_AS_IT_IS;
	switch (s->xq.skipping || is_in_copy ? 0 : f->type) {
	case 'P':
		return on_parse(c, s, f, sent);
	case 'B':
		return on_bind(c, s, f, sent);
	case 'C':
	case 'D':
		return on_named(c, s, f, sent);
	case 'E':
		if (c->drops_portal != 0)
			return on_execute(c, s, f);
		break;
	case 'Q':
		return on_query(c, s, f, sent);
	case 'F':
		server_step(s, STEP_END_QUERY, NULL, NULL);
		break;
	default:
		/* What the server skips, or does not expect within COPY data. */
		break;
	}
	if (f->type == 'S' && !is_in_copy)
		server_step(s, STEP_END_SYNC, NULL, NULL);
	exchange_sent(&s->xq, f->type);
	return FRAME_HEADER + f->available;
}
