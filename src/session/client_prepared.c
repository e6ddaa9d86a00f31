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
#include <stdio.h>
#include <string.h>

#include "pg/msg_out.h"
#include "session/client_priv.h"
#include "session/login.h"
#include "session/server.h"
#include "session/server_priv.h"
#include "sql/statement.h"

/* Names longer than this are nobody's. */
enum { NAMES_MAX = 16 * 1024, UNNAMED_KEEP = 4096 };

static void step(struct server *s, enum step_kind kind, struct prepared *p,
	struct prepared_name *n)
{
	/* Without it replies cannot be told apart any more. */
	if (!steps_push(&s->steps, kind, p, n))
		s->is_broken = true;
}

/* --- on the way to the server ------------------------------------------------------ */

static void send_parse(struct server *s, const char *name, const void *body, size_t len)
{
	struct buf out;

	buf_init(&out, 0);
	msg_out_parse_body(&out, name, body, len);
	exchange_sent(&s->xq, 'P');
	stream_send_buf(&s->stream, &out);
	buf_finish(&out);
}

static void send_close(struct server *s, const char *name)
{
	struct buf out;

	buf_init(&out, 0);
	msg_out_close(&out, 'S', name);
	exchange_sent(&s->xq, 'C');
	stream_send_buf(&s->stream, &out);
	buf_finish(&out);
}

/* The ones not used for longest go when there are too many. */
static void make_room(struct client *c, struct server *s)
{
	uint32_t max = c->route->limits.max_prepared;
	char name[PREPARED_NAME_SIZE];

	while (s->prepared.count >= max) {
		struct prepared *p = prepared_set_oldest(&s->prepared);

		prepared_name(p, name);
		step(s, STEP_CLOSE_OURS, p, NULL);
		send_close(s, name);
		prepared_set_remove(&s->prepared, p);
	}
}

/* The server does not have it: Parse, the client's own or one of ours. */
static void prepare(struct client *c, struct server *s, struct prepared *p,
	struct prepared_name *of_client)
{
	char name[PREPARED_NAME_SIZE];

	make_room(c, s);
	step(s, of_client != NULL ? STEP_PARSE : STEP_PARSE_OURS, p, of_client);
	prepared_name(p, name);
	send_parse(s, name, p->body, p->len);
	stats_add(c->stats, STAT_server_parse_count, 1);
	if (!prepared_set_add(&s->prepared, p))
		s->is_broken = true;
}

/* The statement of this name as it is to be used now: a plan that went stale, or a pool
 * that a reload has replaced, make it another one. */
static struct prepared *current(struct client *c, struct server *s, struct prepared_name *n)
{
	struct prepared_registry *registry = login_registry(s->pool->session);
	struct prepared *p = n->statement;

	if (!atomic_load_explicit(&p->is_retired, memory_order_relaxed) &&
		p->registry == registry)
		return p;
	p = prepared_get(registry, p->body, p->len, p->state_key);
	if (p != NULL)
		prepared_names_set(&c->names, n, p);
	return n->statement;
}

/* --- the client's messages ----------------------------------------------------------- */

/* Fails at its place, with an error of ours. */
static void refuse_here(struct server *s)
{
	struct buf out;

	step(s, STEP_REFUSED, NULL, NULL);
	buf_init(&out, 0);
	msg_out_describe(&out, 'S', prepared_no_name());
	exchange_sent(&s->xq, 'D');
	stream_send_buf(&s->stream, &out);
	buf_finish(&out);
}

/* PostgreSQL says itself that there is one of this name already; what that leaves on
 * the server goes with the lease. */
static void refuse_duplicate(struct server *s, const char *name)
{
	static const uint8_t nothing[3];        /* no query, no types */

	step(s, STEP_PARSE_OURS, NULL, NULL);
	send_parse(s, name, nothing, sizeof(nothing));
	step(s, STEP_PARSE, NULL, NULL);
	send_parse(s, name, nothing, sizeof(nothing));
	s->has_foreign = true;
}

static bool has_memory(const struct client *c, size_t len)
{
	uint64_t most = c->route->limits.statement_memory;

	return (most == 0 || c->names.bytes + len <= most) &&
		prepared_bytes() + len <= atomic_load(&c->worker->router->statement_memory);
}

static void parse_named(struct client *c, struct server *s, const char *name,
	const uint8_t *body, size_t len)
{
	struct prepared_name *n = prepared_names_find(&c->names, name);
	struct prepared *p;

	if (n != NULL || prepared_is_our_name(name)) {
		refuse_duplicate(s, name);
		return;
	}
	p = has_memory(c, len) ?
		prepared_get(login_registry(s->pool->session), body, len, c->params.plan_key) :
		NULL;
	if (p != NULL)
		n = prepared_names_add(&c->names, name, p);
	if (n == NULL) {
		refuse_here(s);
		return;
	}
	if (prepared_set_use(&s->prepared, p)) {
		step(s, STEP_PARSE_FAKED, p, n);
		send_close(s, prepared_no_name());
	} else {
		prepare(c, s, p, n);
	}
}

/* body: of a Parse, from the query on.  It may set something when it runs. */
static void note_parsed(struct client *c, struct server *s, const uint8_t *body, size_t len)
{
	const uint8_t *end = memchr(body, '\0', len);

	client_note_text(c, s, body, end == NULL ? len : (size_t)(end - body));
}

static void note_unnamed(struct client *c, struct server *s, const uint8_t *body, size_t len)
{
	buf_clear(&c->unnamed);
	buf_add(&c->unnamed, body, len);
	c->has_unnamed = buf_ok(&c->unnamed);
	s->unnamed_of = c->id;
	step(s, STEP_PARSE, NULL, NULL);
}

static size_t on_parse(struct client *c, struct server *s, const struct frame *f,
	bool *is_raw)
{
	const char *name;
	struct wire_in in;

	*is_raw = f->body_len > CLIENT_INSPECT_MAX;
	if (!*is_raw && !frame_is_whole(f))
		return 0;
	if (f->available == 0)
		return 0;
	if (*is_raw)
		client_note_unseen(c);
	/* Too long to keep: it lasts as long as the server is the client's. */
	if (*is_raw && f->body[0] == '\0') {
		c->has_unnamed = false;
		s->unnamed_of = c->id;
		step(s, STEP_PARSE, NULL, NULL);
		return FRAME_HEADER + f->available;
	}
	stats_add(c->stats, STAT_client_parse_count, 1);
	if (*is_raw) {
		*is_raw = false;
		refuse_here(s);
		return FRAME_HEADER + f->available;
	}
	wire_init(&in, f->body, f->body_len);
	name = wire_cstr(&in);
	if (!wire_ok(&in) || name[0] == '\0') {
		*is_raw = true;
		stats_add(c->stats, STAT_server_parse_count, 1);
		note_parsed(c, s, in.pos, wire_left(&in));
		note_unnamed(c, s, in.pos, wire_left(&in));
	} else {
		parse_named(c, s, name, in.pos, wire_left(&in));
	}
	return FRAME_HEADER + f->available;
}

/* Uses a statement by the client's name: sees that the server has it.  Returns its name
 * there, or NULL when the message may go on as it is. */
static const char *use(struct client *c, struct server *s, const char *name,
	struct prepared **p, char to[PREPARED_NAME_SIZE])
{
	struct prepared_name *n;

	*p = NULL;
	if (name[0] == '\0') {
		if (s->unnamed_of == c->id)
			return NULL;
		s->unnamed_of = c->id;
		if (c->has_unnamed) {
			note_parsed(c, s, buf_data(&c->unnamed), buf_len(&c->unnamed));
			step(s, STEP_PARSE_OURS, NULL, NULL);
			send_parse(s, "", buf_data(&c->unnamed), buf_len(&c->unnamed));
		} else {
			/* Not somebody else's. */
			step(s, STEP_CLOSE_OURS, NULL, NULL);
			send_close(s, "");
		}
		return NULL;
	}
	n = prepared_names_find(&c->names, name);
	if (n == NULL)
		return prepared_is_our_name(name) ? prepared_no_name() : NULL;
	*p = current(c, s, n);
	note_parsed(c, s, (*p)->body, (*p)->len);
	if (!prepared_set_use(&s->prepared, *p))
		prepare(c, s, *p, NULL);
	prepared_name(*p, to);
	return to;
}

/* The same message with another name of the statement; what follows the name goes on
 * as it comes. */
static void send_renamed(struct server *s, const struct frame *f, const char *before,
	size_t before_len, const char *name, const uint8_t *rest, size_t old_len)
{
	size_t name_len = strlen(name);
	uint32_t len = f->body_len - (uint32_t)old_len + (uint32_t)name_len;
	struct buf out;

	buf_init(&out, 0);
	msg_out_header(&out, f->type, len);
	buf_add(&out, before, before_len);
	buf_add(&out, name, name_len + 1);
	stream_send_buf(&s->stream, &out);
	buf_finish(&out);
	stream_send(&s->stream, rest, (size_t)(f->body + f->available - rest));
}

static size_t on_bind(struct client *c, struct server *s, const struct frame *f,
	bool *is_raw)
{
	char to[PREPARED_NAME_SIZE];
	const char *portal, *name, *there;
	struct prepared *p = NULL;
	struct wire_in in;

	wire_init(&in, f->body, f->available);
	portal = wire_cstr(&in);
	name = wire_cstr(&in);
	*is_raw = true;
	if (!wire_ok(&in)) {
		if (!frame_is_whole(f) && f->available < NAMES_MAX)
			return 0;
		name = prepared_no_name();
		in.pos = f->body;
	}
	stats_add(c->stats, STAT_bind_count, 1);
	there = use(c, s, name, &p, to);
	step(s, STEP_BIND, p, NULL);
	if (there == NULL || !wire_ok(&in))
		return FRAME_HEADER + f->available;
	*is_raw = false;
	exchange_sent(&s->xq, 'B');
	send_renamed(s, f, portal, strlen(portal) + 1, there, in.pos, strlen(name));
	return FRAME_HEADER + f->available;
}

static void close_named(struct client *c, struct server *s, const char *name)
{
	struct prepared_name *n = prepared_names_find(&c->names, name);

	step(s, STEP_CLOSE, NULL, n);
	if (n != NULL)
		prepared_names_unlink(&c->names, n);
	send_close(s, prepared_no_name());
}

/* Describe and Close: small, and whole. */
static size_t on_named(struct client *c, struct server *s, const struct frame *f,
	bool *is_raw)
{
	char to[PREPARED_NAME_SIZE];
	struct prepared *p = NULL;
	const char *name, *there;
	struct wire_in in;
	uint8_t kind;

	if (!frame_is_whole(f))
		return 0;
	wire_init(&in, f->body, f->body_len);
	kind = wire_u8(&in);
	name = wire_cstr(&in);
	*is_raw = true;
	if (f->type == 'C' && wire_ok(&in) && kind == 'S' && name[0] != '\0') {
		*is_raw = false;
		close_named(c, s, name);
		return FRAME_HEADER + f->available;
	}
	if (f->type == 'C') {
		if (wire_ok(&in) && kind == 'S')
			c->has_unnamed = false;
		step(s, STEP_CLOSE, NULL, NULL);
		return FRAME_HEADER + f->available;
	}
	if (!wire_ok(&in) || kind != 'S')
		return FRAME_HEADER + f->available;
	there = use(c, s, name, &p, to);
	step(s, STEP_DESCRIBE, p, NULL);
	if (there == NULL)
		return FRAME_HEADER + f->available;
	*is_raw = false;
	exchange_sent(&s->xq, 'D');
	send_renamed(s, f, "S", 1, there, in.pos, strlen(name));
	return FRAME_HEADER + f->available;
}

/* --- DEALLOCATE -------------------------------------------------------------------------- */

/* One whole text that does nothing but DEALLOCATE? */
static bool is_deallocate(const struct frame *f, struct statement *first)
{
	static const char word[] = "deallocate";
	size_t len = f->body_len;

	if (!frame_is_whole(f) || len < sizeof(word) || f->body[len - 1] != '\0' ||
		len > CLIENT_INSPECT_MAX)
		return false;
	/* Before all others are scanned. */
	if ((f->body[0] | 0x20) != 'd' && f->body[0] > ' ' && f->body[0] != '/' &&
		f->body[0] != '-')
		return false;
	if (statement_count((const char *)f->body, len - 1, LEXER_STANDARD_STRINGS, 1,
		first) != 1 || (first->flags & SQL_UNSURE) != 0)
		return false;
	return first->kind == SQL_DEALLOCATE || first->kind == SQL_DEALLOCATE_ALL;
}

/* It concerns the client's own names, not what the server has: a statement that does
 * nothing runs in its place. */
static bool deallocate(struct client *c, struct server *s, const struct statement *st)
{
	struct prepared_name *n = NULL;
	struct buf out;

	if (st->kind == SQL_DEALLOCATE) {
		n = prepared_names_find(&c->names, st->name);
		if (n == NULL)
			return false;
	}
	step(s, STEP_DEALLOCATE, NULL, n);
	s->deallocates_all = st->kind == SQL_DEALLOCATE_ALL;
	if (n != NULL)
		prepared_names_unlink(&c->names, n);
	else
		prepared_names_clear(&c->names);
	buf_init(&out, 0);
	msg_out_query(&out, st->kind == SQL_DEALLOCATE || !s->has_foreign ?
		"UNLISTEN pgtandem_nothing" : "DEALLOCATE ALL");
	if (st->kind == SQL_DEALLOCATE_ALL && s->has_foreign)
		prepared_set_clear(&s->prepared);
	stream_send_buf(&s->stream, &out);
	buf_finish(&out);
	return true;
}

static size_t on_query(struct client *c, struct server *s, const struct frame *f,
	bool *is_raw)
{
	struct statement first;

	if (!frame_is_whole(f) && f->body_len <= CLIENT_INSPECT_MAX)
		return 0;
	if (frame_is_whole(f) && f->body_len > 0)
		client_note_text(c, s, f->body, f->body_len - 1);
	else
		client_note_unseen(c);
	c->has_unnamed = false;
	s->unnamed_of = c->id;
	*is_raw = true;
	if (s->xq.pending == 0 && !s->xq.open && s->xq.status != 'E' &&
		is_deallocate(f, &first))
		*is_raw = !deallocate(c, s, &first);
	if (!*is_raw)
		exchange_sent(&s->xq, 'Q');
	step(s, STEP_END_QUERY, NULL, NULL);
	return FRAME_HEADER + f->available;
}

/* --- all of them ----------------------------------------------------------------------------- */

size_t client_prepared_message(struct client *c, struct server *s, const struct frame *f,
	bool *is_raw)
{
	*is_raw = true;
	/* The server skips all of it. */
	if (s->xq.skipping && f->type != 'S')
		return FRAME_HEADER + f->available;
	switch (f->type) {
	case 'P':
		return on_parse(c, s, f, is_raw);
	case 'B':
		return on_bind(c, s, f, is_raw);
	case 'C':
	case 'D':
		return on_named(c, s, f, is_raw);
	case 'Q':
		return on_query(c, s, f, is_raw);
	case 'F':
		step(s, STEP_END_QUERY, NULL, NULL);
		break;
	case 'S':
		if (s->xq.copy != EXCHANGE_COPY_IN || s->xq.copy_end_sent)
			step(s, STEP_END_SYNC, NULL, NULL);
		break;
	default:
		break;
	}
	return FRAME_HEADER + f->available;
}

void client_prepared_idle(struct client *c)
{
	if (!c->has_unnamed && c->unnamed.capacity > UNNAMED_KEEP)
		buf_finish(&c->unnamed);
}

/* --- what the server says ----------------------------------------------------------------------- */

static void undo(const struct step *step, void *arg)
{
	struct server *s = arg;
	struct client *c = s->client;

	switch (step->kind) {
	case STEP_PARSE:
	case STEP_PARSE_OURS:
		if (step->statement != NULL)
			prepared_set_remove(&s->prepared, step->statement);
		else
			s->unnamed_of = 0;
		if (step->name != NULL && c != NULL)
			prepared_names_unlink(&c->names, step->name);
		if (step->kind == STEP_PARSE && step->statement == NULL && c != NULL)
			c->has_unnamed = false;
		return;
	case STEP_PARSE_FAKED:
		if (c != NULL)
			prepared_names_unlink(&c->names, step->name);
		return;
	case STEP_CLOSE:
	case STEP_DEALLOCATE:
		if (step->name != NULL && c != NULL)
			prepared_names_relink(&c->names, step->name);
		return;
	case STEP_CLOSE_OURS:
		if (step->statement != NULL &&
			!prepared_set_add(&s->prepared, step->statement))
			s->has_foreign = true;
		return;
	case STEP_BIND:
	case STEP_DESCRIBE:
	case STEP_REFUSED:
	case STEP_END_QUERY:
	case STEP_END_SYNC:
		return;
	}
}

/* The plan that PostgreSQL kept gives other columns than it was made for; it says so in
 * any language (plancache.c, RevalidateCachedQuery()). */
static bool is_stale_plan(const struct error_fields *e)
{
	static const char routine[] = "RevalidateCachedQuery";

	return memcmp(e->sqlstate, "0A000", 5) == 0 && e->routine.len == sizeof(routine) - 1 &&
		memcmp(e->routine.data, routine, sizeof(routine) - 1) == 0;
}

bool server_prepared_error(struct server *s, const struct error_fields *e, bool skips)
{
	struct step head = steps_head(&s->steps);
	bool is_ours = head.kind == STEP_REFUSED && memcmp(e->sqlstate, "26000", 5) == 0;

	if (head.statement != NULL && (head.kind == STEP_BIND || head.kind == STEP_DESCRIBE) &&
		is_stale_plan(e))
		prepared_retire(head.statement);
	/* It may have failed within a Query that stands behind all steps. */
	if (skips)
		steps_fail(&s->steps, undo, s);
	else if (head.kind == STEP_DEALLOCATE)
		undo(&head, s);
	return is_ours;
}

void server_prepared_lost_count(struct server *s)
{
	steps_fail_all(&s->steps, undo, s);
	s->has_foreign = true;
	s->unnamed_of = 0;
}

void server_prepared_cleared(struct server *s)
{
	prepared_set_clear(&s->prepared);
	s->has_foreign = false;
	s->unnamed_of = 0;
}
