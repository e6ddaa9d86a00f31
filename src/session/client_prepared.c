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
 * Long because each message has its function, and all of them share use() and its kin.
 */
#include <stdlib.h>
#include <string.h>

#include "pg/msg_out.h"
#include "session/client_pin.h"
#include "session/client_priv.h"
#include "session/client_resets.h"
#include "session/facts.h"
#include "session/login.h"
#include "session/server.h"
#include "session/server_priv.h"
#include "sql/statement_reuse.h"

enum {
	BIND_WHOLE = 4096,     /* up to here it is waited for */
	NAMES_MAX = 16 * 1024, /* names longer than this are nobody's */
	HEADER_MAX = 256       /* of a message and the names in front */
};

/* --- statements -------------------------------------------------------------------------- */

struct prepared_name *client_named(const struct client *c, const char *name)
{
	struct client_work *work = c->work;
	struct prepared_name *n = work->named;

	if (n != NULL && n->is_linked && strcmp(n->text, name) == 0)
		return n;
	n = prepared_names_find(&c->names, name);
	if (n == NULL)
		return NULL;
	prepared_name_unref(work->named);
	work->named = prepared_name_ref(n);
	return n;
}

static uint64_t memory_left(const struct client *c)
{
	uint64_t most = atomic_load(&c->worker->router->statement_memory);
	uint64_t used = prepared_bytes();

	return used < most ? most - used : 0;
}

bool client_has_room(const struct client *c, size_t len)
{
	uint64_t most = c->route->limits.statement_memory;

	return (most == 0 || c->names.bytes + len <= most) && memory_left(c) >= len;
}

bool client_has_memory(const struct client *c, size_t len)
{
	return memory_left(c) >= len;
}

/* It runs soon, and may set something then. */
void client_note_statement(struct client *c, struct server *s, struct prepared *p)
{
	unsigned touches;

	if (!p->may_touch)
		return;
	touches = facts_touches(p, client_lexer_flags(s));
	if ((touches & FACT_TOUCHES_ANY) == 0) {
		client_note_known(c, touches);
		return;
	}
	if ((touches & FACT_IS_LONG) != 0) {
		client_note_known(c, touches);
		client_note_unread(c, s);
		return;
	}
	client_has_read(c, p->text_len);
	client_note_types(c, p->body, p->len);
	client_note_text(c, s, p->body, p->text_len);
	(void)client_note_resets(c, s, p->body, p->text_len, false);
	client_note_types(c, NULL, 0);
}

void client_note_use(struct client *c, struct server *s, struct prepared *p)
{
	/* Described, it does not run. */
	if (c->work->touched.bind != NULL)
		client_note_statement(c, s, p);
	if (!facts_names(p, client_lexer_flags(s)))
		return;
	client_has_read(c, p->text_len);
	(void)client_sql_need(c, s, (const char *)p->body, p->text_len);
}

uint32_t client_most_prepared(const struct client *c)
{
	uint32_t most = c->route->limits.max_prepared;

	return most > 0 ? most : 1;
}

static struct prepared *make_again(const struct client *c, struct prepared_registry *r,
	const struct prepared *p)
{
	return p->is_alone ? prepared_get_alone(r, p->body, p->len, p->state_key)
			   : prepared_get(r, p->body, p->len, p->state_key, c->id);
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
	p = make_again(c, registry, p);
	if (p != NULL)
		prepared_names_set(&c->names, n, p);
	return n->statement;
}

/* The statement of this name as it is to be used now.  It stays what it was read as where that
 * is there and no other client has it.  Else it is another one for once under settings that
 * are not those it was prepared under, or may not be: PostgreSQL may read it anew at any
 * time, for everybody.  *once is to be given back. */
static struct prepared *fitting(struct client *c, struct server *s, struct prepared_name *n,
	struct prepared **once)
{
	struct prepared_registry *registry = login_registry(s->pool->session);
	struct prepared *p = n->statement;
	uint64_t key;

	*once = NULL;
	if (UNLIKELY(atomic_load_explicit(&p->is_retired, memory_order_relaxed) ||
		    p->registry != registry))
		p = replace(c, registry, n);
	if (p->is_alone)
		return p;
	key = client_reading_key(c, s, p);
	if (p->state_key == key || (client_reads_constants(s, p) &&
		    prepared_set_use(&s->prepared, p) && prepared_seclude(p, c->id)))
		return p;
	client_has_read(c, p->len);
	*once = prepared_get(registry, p->body, p->len, key, c->id);
	return *once != NULL ? *once : p;
}

/* Nobody's, as far as this client goes: what code out of sight has left there by such a
 * name, for a client before it, is not to be met.  Close of what is not there is no error. */
static void hide_unknown(const struct client *c, struct server *s, const char *name)
{
	if (prepared_is_our_name(name))
		server_close_unseen(s, prepared_no_name());
	else if (client_is_kept(c))
		server_close_unseen(s, name);
}

/* Uses a statement by the client's name: sees that the server has it.  Returns its name
 * there, or NULL when the message may go on as it is. */
static const char *use(struct client *c, struct server *s, const struct frame *f,
	const char *name, enum step_kind kind)
{
	struct prepared *p, *once;
	struct prepared_name *n;
	const char *there;

	n = name[0] == '\0' ? NULL : client_named(c, name);
	if (n == NULL) {
		p = name[0] == '\0' ? client_reuse_use(c, s, f) : NULL;
		if (p != NULL)
			return p->name;
		if (name[0] == '\0')
			client_unnamed_use(c, s);
		else
			hide_unknown(c, s, name);
		server_step(s, kind, NULL, NULL);
		return prepared_is_our_name(name) ? prepared_no_name() : NULL;
	}
	if (n->statement->is_sql) {
		client_sql_use(c, s, n);
		server_step(s, kind, NULL, NULL);
		return NULL;
	}
	if (is_to_be_told(s, n))
		client_send_failing(s, STEP_STALE, n);
	p = fitting(c, s, n, &once);
	client_note_use(c, s, p);
	if (!prepared_set_use(&s->prepared, p)) {
		server_prepare(s, STEP_PARSE_OURS, p, NULL, client_most_prepared(c));
		stats_add(c->stats, STAT_server_parse_count, 1);
	}
	server_step(s, kind, p, n);
	/* The set, or the step of its Parse, holds it. */
	there = p->name;
	prepared_unref(once);
	return there;
}

/* --- Parse ------------------------------------------------------------------------------- */

void client_send_failing(struct server *s, enum step_kind kind, struct prepared_name *n)
{
	server_close_unseen(s, prepared_no_name());
	server_step(s, kind, NULL, n);
	server_send_describe(s, prepared_no_name());
}

/* PostgreSQL looks at the text before it looks at the name.  It is read under a name that
 * nobody can use, and nothing of it stays. */
static void refuse_duplicate(
	struct server *s, struct prepared_name *n, const uint8_t *body, size_t len)
{
	server_close_unseen(s, prepared_text_name());
	server_step(s, STEP_TEXT_PARSE, NULL, NULL);
	server_send_parse(s, prepared_text_name(), body, len);
	server_step(s, STEP_TEXT_CLOSE, NULL, NULL);
	server_send_close(s, prepared_text_name());
	client_send_failing(s, STEP_DUPLICATE, n);
}

/* With a reference; NULL without memory. */
static struct prepared *make(
	struct client *c, struct server *s, const uint8_t *body, size_t len)
{
	struct prepared_registry *registry = login_registry(s->pool->session);
	uint64_t most = c->route->limits.statement_memory;
	size_t text_len = strnlen((const char *)body, len);
	uint64_t key = client_state_key(c, s);
	struct prepared *p;

	if (most != 0 && c->names.bytes + len > most)
		return NULL;
	/* What EXECUTE gives is the client's own. */
	if (client_reads_alone(c, s, body, text_len) || statement_depends_on_time((const char *)body, text_len, client_lexer_flags(s)) ||
		prepared_may_name((const char *)body, text_len))
		p = prepared_get_alone(registry, body, len, key);
	else
		p = prepared_get(registry, body, len, key, c->id);
	/* One that others have costs nothing. */
	if (p != NULL && prepared_is_mine_only(p) && memory_left(c) == 0) {
		prepared_unref(p);
		return NULL;
	}
	return p;
}

/* What it does to names when it runs, and what it names now; false: it is refused. */
static bool read_act(struct client *c, struct server *s, const uint8_t **body, size_t *len,
	struct prepared_act **act, enum step_kind *fails, unsigned *may)
{
	const char *text = (const char *)*body;
	size_t text_len = strnlen(text, *len);
	enum step_kind failed = STEP_END_SYNC;

	*may = texts_may(&s->worker->texts, text, text_len, client_lexer_flags(s));
	*act = NULL;
	if (!(*may & TEXT_MAY_NAME))
		return true;
	*act = client_parse_drop(c, s, text, text_len, body, len);
	if (*act != NULL)
		return true;
	*act = client_sql_parse(c, s, text, text_len, &failed);
	if (failed != STEP_END_SYNC) {
		*fails = failed;
		return false;
	}
	(void)client_sql_need(c, s, text, text_len);
	return true;
}

static void parse_named(struct client *c, struct server *s, const char *name,
	const uint8_t *body, size_t len)
{
	struct prepared_name *n = client_named(c, name);
	enum step_kind fails = STEP_REFUSED;
	struct prepared *p = NULL;
	struct prepared_act *act;
	unsigned may;

	if (n != NULL) {
		refuse_duplicate(s, n, body, len);
		return;
	}
	if (read_act(c, s, &body, &len, &act, &fails, &may))
		p = make(c, s, body, len);
	if (p != NULL)
		n = prepared_names_add(&c->names, name, p);
	if (n == NULL) {
		prepared_act_unref(act);
		client_send_failing(s, fails, NULL);
		return;
	}
	n->act = act;
	if (prepared_set_use(&s->prepared, p)) {
		/* PostgreSQL refuses most in a transaction that has failed, or may have when it
		 * comes to this. */
		bool may_fail = s->xq.status == 'E' || s->xq.pending > 0;

		if (!may_fail) {
			server_step(s, STEP_PARSE_FAKED, p, n);
			server_send_close(s, prepared_no_name());
			return;
		}
		server_unprepare(s, p);
	}
	server_prepare(s, STEP_PARSE, p, n, client_most_prepared(c));
	stats_add(c->stats, STAT_server_parse_count, 1);
}

static void parse_unnamed(struct client *c, struct server *s, const struct frame *f,
	const uint8_t *body, size_t len, enum client_sent *sent)
{
	enum step_kind fails = STEP_REFUSED;
	const uint8_t *read = body;
	struct prepared_act *act;
	unsigned may;

	if (client_reuse_parse(c, s, body, len)) {
		*sent = CLIENT_REPLACED;
		return;
	}
	if (!read_act(c, s, &read, &len, &act, &fails, &may)) {
		client_send_failing(s, fails, NULL);
		*sent = CLIENT_REPLACED;
		return;
	}
	client_unnamed_sent(c, s);
	stats_add(c->stats, STAT_server_parse_count, 1);
	client_unnamed_keep(c, s, read, len, read == body ? may : TEXT_MAY_ALL);
	c->unnamed_act = act;
	if (read == body) {
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

	stats_add(c->stats, STAT_client_parse_count, 1);
	wire_init(&in, f->body, f->available);
	if (is_long && f->available > 0 && f->body[0] != '\0') {
		client_send_failing(s, STEP_REFUSED, NULL);
		*sent = CLIENT_DROPPED;
		return FRAME_HEADER + f->available;
	}
	name = wire_cstr(&in);
	/* Too long to keep: it lasts as long as the server is the client's. */
	if (is_long || !wire_ok(&in)) {
		client_unnamed_sent(c, s);
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

/* --- Bind, Describe, Close --------------------------------------------------------------- */

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

static size_t on_bind(
	struct client *c, struct server *s, const struct frame *f, enum client_sent *sent)
{
	enum step_kind why = STEP_REFUSED;
	const char *portal, *name, *there;
	struct wire_in in;

	wire_init(&in, f->body, f->available);
	portal = wire_cstr(&in);
	name = wire_cstr(&in);
	if (!wire_ok(&in) && !frame_is_whole(f) && f->available < NAMES_MAX)
		return 0;
	if (!c->work->reuse.is_off)
		stats_add(c->stats, STAT_bind_count, 1);
	if (!wire_ok(&in)) {
		server_step(s, STEP_BIND, NULL, NULL);
		exchange_sent(&s->xq, 'B');
		return FRAME_HEADER + f->available;
	}
	if (!client_pin_admits_bind(c, s, name, &why) ||
		!client_portal_admits(c, name)) {
		client_reuse_settle(c, s);
		client_send_failing(s, why, NULL);
		*sent = CLIENT_DROPPED;
		return FRAME_HEADER + f->available;
	}
	c->work->touched.bind = in.pos;
	c->work->touched.bind_len = wire_left(&in);
	there = use(c, s, f, name, STEP_BIND);
	c->work->touched.bind = NULL;
	client_portal_bound(c, s, portal, name);
	client_note_bound_run(c, s, name);
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
	const char *there = use(c, s, f, name, STEP_DESCRIBE);

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
	struct prepared_name *n = client_named(c, name);

	if (n != NULL)
		client_sql_close(s, name);
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
	/* The reply to a Describe of a portal tells nothing. */
	if (is_statement) {
		client_unnamed_close(c, s);
	} else if (f->type == 'C') {
		server_step(s, STEP_CLOSE, NULL, NULL);
		client_portal_closed(c, s, name);
	}
	exchange_sent(&s->xq, f->type);
	return FRAME_HEADER + f->available;
}

/* --- Execute, Query ---------------------------------------------------------------------- */

static size_t on_execute(struct client *c, struct server *s, const struct frame *f)
{
	const char *portal;
	struct wire_in in;

	wire_init(&in, f->body, f->body_len);
	portal = wire_cstr(&in);
	if (wire_ok(&in))
		client_portal_runs(c, s, portal);
	exchange_sent(&s->xq, 'E');
	return FRAME_HEADER + f->available;
}

/* Sees what it may do; false: it is not to run, and something that fails was sent in
 * its place. */
static bool query_runs(
	struct client *c, struct server *s, const struct frame *f, unsigned may)
{
	enum step_kind why;

	if (!frame_is_whole(f) || f->body_len == 0) {
		client_note_unseen(c);
		return true;
	}
	if (may & TEXT_MAY_TOUCH)
		client_note_text(c, s, f->body, f->body_len - 1);
	/* EXECUTE may run what pins. */
	if ((may & (TEXT_MAY_PIN | TEXT_MAY_NAME) || !client_pin_passes(c)) &&
		!client_pin_admits(c, s, f->body, f->body_len - 1, &why)) {
		client_pin_refuse_query(s, why);
		return false;
	}
	if (may & TEXT_MAY_TOUCH)
		(void)client_note_resets(c, s, f->body, f->body_len - 1, true);
	return true;
}

static size_t on_query(
	struct client *c, struct server *s, const struct frame *f, enum client_sent *sent)
{
	bool is_read = frame_is_whole(f) && f->body_len > 0;
	unsigned may = TEXT_MAY_ALL;

	client_unnamed_forget(c);
	if (is_read)
		may = texts_may(&s->worker->texts, f->body, f->body_len - 1,
			client_lexer_flags(s));
	if (!query_runs(c, s, f, may) ||
		(may & TEXT_MAY_NAME && client_deallocate(c, s, f))) {
		*sent = CLIENT_REPLACED;
	} else if (!(may & TEXT_MAY_NAME) || client_sql_query(c, s, f)) {
		if (is_read && may & (TEXT_MAY_TOUCH | TEXT_MAY_NAME | TEXT_MAY_MAKE))
			client_note_run(s, f->body, f->body_len - 1);
		exchange_sent(&s->xq, 'Q');
	} else {
		*sent = CLIENT_DROPPED;
		return FRAME_HEADER + f->available;
	}
	c->unnamed_version++;
	client_unnamed_put(c, s);
	server_step(s, STEP_END_QUERY, NULL, NULL);
	return FRAME_HEADER + f->available;
}

/* --- all of them ------------------------------------------------------------------------- */

static bool is_in_copy(const struct server *s)
{
	return s->xq.copy == EXCHANGE_COPY_IN && !s->xq.copy_end_sent;
}

bool client_prepared_waits(const struct client *c, const struct server *s, const struct frame *f)
{
	if (frame_is_whole(f) || s->xq.skipping || is_in_copy(s))
		return false;
	switch (f->type) {
	case 'P':
	case 'Q':
		return f->body_len <= CLIENT_INSPECT_MAX;
	case 'F':
		return client_function_waits(f);
	case 'B':
		/* What it gives may be the name of a setting. */
		return f->body_len <= BIND_WHOLE;
	case 'C':
	case 'D':
		return true;
	case 'E':
		return c->portals != NULL;
	default:
		return false;
	}
}

size_t client_prepared_message(
	struct client *c, struct server *s, const struct frame *f, enum client_sent *sent)
{
	*sent = CLIENT_AS_IT_IS;
	if (UNLIKELY(client_reuse_is_open(c)))
		client_reuse_next(c, s, f);
	switch (s->xq.skipping || is_in_copy(s) ? 0 : f->type) {
	case 'P':
		return on_parse(c, s, f, sent);
	case 'B':
		return on_bind(c, s, f, sent);
	case 'C':
	case 'D':
		return on_named(c, s, f, sent);
	case 'E':
		if (c->portals != NULL)
			return on_execute(c, s, f);
		break;
	case 'Q':
		return on_query(c, s, f, sent);
	case 'F':
		/* The rest of it may have yet to come. */
		if (!client_function_runs(c, s, f))
			*sent = CLIENT_DROPPED;
		server_step(s, STEP_END_QUERY, NULL, NULL);
		return FRAME_HEADER + f->available;
	default:
		/* What the server skips, or does not expect within COPY data. */
		break;
	}
	if (f->type == 'S' && !is_in_copy(s))
		server_step(s, STEP_END_SYNC, NULL, NULL);
	exchange_sent(&s->xq, f->type);
	return FRAME_HEADER + f->available;
}
