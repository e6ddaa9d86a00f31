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
 */
#include <stdlib.h>
#include <string.h>

#include "pg/msg_out.h"
#include "session/client_priv.h"
#include "session/login.h"
#include "session/server.h"
#include "session/server_priv.h"

enum {
	NAMES_MAX = 16 * 1024, /* names longer than this are nobody's */
	UNNAMED_SMALL = 4096,  /* texts up to here are not counted */
	HEADER_MAX = 256       /* of a message and the names in front */
};

/* --- the unnamed statement
 * -------------------------------------------------------------- */

void client_unnamed_forget(struct client *c)
{
	c->has_unnamed = false;
	c->has_unseen = false;
	c->unnamed_touches = false;
	free(c->unnamed_drop);
	c->unnamed_drop = NULL;
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
	c->has_unseen = !c->has_unnamed;
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

	if (c->has_unseen)
		client_note_unseen(c);
	else if (c->unnamed_large != NULL)
		note_use(c, s, c->unnamed_large);
	else if (c->unnamed_touches)
		client_note_text(c, s, text, strnlen(text, buf_len(&c->unnamed)));
}

/* The server has the client's own from here on. */
static void unnamed_is_sent(struct client *c, struct server *s)
{
	bool was_there = client_unnamed_is_there(c, s);

	c->unnamed_version++;
	server_step(s, was_there ? STEP_UNNAMED : STEP_UNNAMED_FIRST, NULL, NULL);
	client_unnamed_put(c, s);
}

static void use_unnamed(struct client *c, struct server *s)
{
	note_unnamed(c, s);
	if (client_unnamed_is_there(c, s))
		return;
	if (!c->has_unnamed) {
		client_unnamed_hide(c, s);
		return;
	}
	client_unnamed_put(c, s);
	server_step(s, STEP_UNNAMED_OURS, NULL, NULL);
	if (c->unnamed_large != NULL)
		server_send_parse(s, "", c->unnamed_large->body, c->unnamed_large->len);
	else
		server_send_parse(s, "", buf_data(&c->unnamed), buf_len(&c->unnamed));
}

/* Not somebody else's. */
void client_unnamed_hide(struct client *c, struct server *s)
{
	client_unnamed_put(c, s);
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

/* Its columns are not what this client may have been told, and there is no server's plan
 * left that PostgreSQL could refuse for that. */
static bool is_to_be_told(struct server *s, const struct prepared_name *n)
{
	return atomic_load_explicit(&n->statement->is_stale, memory_order_relaxed) &&
		!n->is_told && !prepared_set_use(&s->prepared, n->statement);
}

/* A plan that went stale, or a pool that a reload has replaced, make it another one. */
static struct prepared *replace(struct client *c, struct prepared_registry *registry,
	struct prepared_name *n)
{
	struct prepared *p = n->statement;

	if (p->registry == registry && atomic_load(&p->is_stale) && !n->is_told)
		return p;
	p = make_again(registry, p, p->state_key);
	if (p != NULL)
		prepared_names_set(&c->names, n, p);
	return n->statement;
}

/* The statement of this name as it is to be used now.  For once it is another one under
 * settings that are not those it was prepared under (SET LOCAL), unless the server has
 * read it before: *once is to be given back. */
static struct prepared *fitting(struct client *c, struct server *s, struct prepared_name *n,
	struct prepared **once)
{
	struct prepared_registry *registry = login_registry(s->pool->session);
	struct prepared *p = n->statement;
	uint64_t key = state_key(c, s);

	*once = NULL;
	if (UNLIKELY(atomic_load_explicit(&p->is_retired, memory_order_relaxed) ||
		    p->registry != registry))
		p = replace(c, registry, n);
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
	if (is_to_be_told(s, n)) {
		server_step(s, STEP_STALE, NULL, n);
		server_send_describe(s, prepared_no_name());
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
	server_send_describe(s, prepared_no_name());
}

/* PostgreSQL looks at the text before it looks at the name. */
static void refuse_duplicate(
	struct server *s, struct prepared_name *n, const uint8_t *body, size_t len)
{
	server_step(s, STEP_UNNAMED_OURS, NULL, NULL);
	server_send_parse(s, "", body, len);
	s->unnamed_of = 0;
	server_step(s, STEP_DUPLICATE, NULL, n);
	server_send_describe(s, prepared_no_name());
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
	struct prepared_drop *drop;
	struct prepared *p;

	if (n != NULL) {
		refuse_duplicate(s, n, body, len);
		return;
	}
	drop = client_parse_drop(s, body, strnlen((const char *)body, len), &body, &len);
	p = make(c, s, body, len);
	if (p != NULL)
		n = prepared_names_add(&c->names, name, p);
	if (n == NULL) {
		free(drop);
		refuse(s);
		return;
	}
	n->drop = drop;
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

static void parse_unnamed(struct client *c, struct server *s, const struct frame *f,
	const uint8_t *body, size_t len, enum client_sent *sent)
{
	const uint8_t *read = body;
	struct prepared_drop *drop;

	drop = client_parse_drop(s, body, strnlen((const char *)body, len), &read, &len);
	unnamed_is_sent(c, s);
	stats_add(c->stats, STAT_server_parse_count, 1);
	keep_unnamed(c, s, read, len);
	c->unnamed_drop = drop;
	if (drop == NULL) {
		exchange_sent(&s->xq, f->type);
		return;
	}
	server_send_parse(s, "", read, len);
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
		c->has_unseen = true;
		client_note_unseen(c);
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

/* Does this portal drop something when it runs? */
static void note_drop(struct client *c, const char *portal, const char *name)
{
	const struct prepared_drop *drop = c->unnamed_drop;
	uint64_t hash;

	if (name[0] != '\0') {
		struct prepared_name *n = prepared_names_find(&c->names, name);

		drop = n == NULL ? NULL : n->drop;
	}
	if (drop == NULL && c->drops_portal == 0)
		return;
	hash = portal_hash(portal);
	if (drop != NULL) {
		c->drops_portal = hash;
		c->portal_drop = *drop;
	} else if (c->drops_portal == hash) {
		c->drops_portal = 0;
	}
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
	note_drop(c, portal, name);
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
	if (is_statement) {
		/* Nobody else's is there then, whatever was. */
		client_unnamed_forget(c);
		c->unnamed_version++;
	}
	/* The reply to a Describe of a portal tells nothing. */
	if (f->type == 'C')
		server_step(s, STEP_CLOSE, NULL, NULL);
	exchange_sent(&s->xq, f->type);
	return FRAME_HEADER + f->available;
}

/* --- Execute, Query
 * ------------------------------------------------------------------------------ */

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
		client_run_drop(c, s, &c->portal_drop);
	}
	exchange_sent(&s->xq, 'E');
	return FRAME_HEADER + f->available;
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
	if (client_deallocate(c, s, f))
		*sent = CLIENT_REPLACED;
	else
		exchange_sent(&s->xq, 'Q');
	c->unnamed_version++;
	client_unnamed_put(c, s);
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
