/* SPDX-License-Identifier: ISC */
/*
 * Finds in what a client sends what may reset the settings of its startup packet, and whether
 * it runs.
 *
 * Not found: what functions reset out of sight, what a transaction resets and keeps
 * behind a savepoint that it goes back to in the same Query, SET LOCAL ... TO DEFAULT.
 */
#include "session/client_resets.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "pg/wire.h"
#include "session/client_priv.h"
#include "session/server_priv.h"
#include "sql/statement.h"

/* --- what may reset them --------------------------------------------------------------- */

/* Is one of them that was done to? */
static bool concerns(const struct client *c, bool also_set)
{
	const char *name, *value;
	size_t pos = 0;

	while (params_next(client_defaults(c), &pos, &name, &value)) {
		enum touched_as as = touched_as(&c->work->resets, name);

		if (as != TOUCHED_NOT && (as != TOUCHED_SET || also_set))
			return true;
	}
	return false;
}

/* So many names are told from others, as PostgreSQL tells them: it cuts those that are longer
 * (NAMEDATALEN; of SQL between characters). */
enum { LATER_NAMES_MAX = 16, LATER_NAME_SIZE = 63 };

struct reset_name {
	uint64_t hash;
	uint8_t by;
};

static uint64_t hash_of(const char *name)
{
	return hash_bytes(name, strnlen(name, LATER_NAME_SIZE));
}

/* How the statement may reset some is there; or NULL. */
static uint8_t *later_at(struct resets_later *l, const char *name)
{
	uint64_t hash = hash_of(name);

	if (name[0] == '\0')
		return &l->by_unnamed;
	for (uint32_t i = 0; i < l->count; i++) {
		if (l->names[i].hash == hash)
			return &l->names[i].by;
	}
	return NULL;
}

static unsigned later_by(struct resets_later *l, const char *name)
{
	const uint8_t *by = later_at(l, name);

	return (by == NULL ? 0u : *by) | l->by_any;
}

static unsigned later_by_sql(struct resets_later *l, const char *name)
{
	return strlen(name) >= LATER_NAME_SIZE ? l->by : later_by(l, name);
}

/* That of any, if there is no room. */
static uint8_t *later_add(struct resets_later *l, const char *name)
{
	struct reset_name *n;

	if (l->names == NULL)
		l->names = calloc(LATER_NAMES_MAX, sizeof(l->names[0]));
	if (l->names == NULL || l->count == LATER_NAMES_MAX)
		return &l->by_any;
	n = &l->names[l->count++];
	n->hash = hash_of(name);
	n->by = 0;
	return &n->by;
}

/* name: of the statement, or NULL. */
static void may_later(struct client *c, const struct server *s, unsigned by, const char *name)
{
	struct resets_later *l = &c->later;
	uint8_t *at;

	l->by = (uint8_t)(l->by | by);
	l->from = s->xq.ends;
	if (name == NULL)
		return;
	at = later_at(l, name);
	if (at == NULL)
		at = later_add(l, name);
	*at = (uint8_t)(*at | by);
}

/* What was there before something is noted. */
struct before {
	bool has_resets;
	uint32_t changes;
};

/* What has come to "resets" resets some? */
static bool noted(struct client *c, const struct server *s, struct before before, bool runs)
{
	struct touched *resets = &c->work->resets;
	struct client_work *work = c->work;
	uint8_t first = runs ? WAY_RAN : WAY_READ;
	bool has_resets;

	work->cuts = work->cuts || resets->cuts;
	/* A SET behind RESET ALL may not hold. */
	has_resets = resets->has_resets && concerns(c, resets->all);
	resets->has_resets = before.has_resets || has_resets;
	resets->resets_local = resets->resets_local && resets->has_resets;
	if (!resets->has_resets || resets->changes == before.changes)
		return false;
	if (!before.has_resets)
		work->resets_from = s->xq.ends;
	work->resets_way = work->resets_way == WAY_NONE || (runs && work->resets_way == WAY_RAN) ?
		first :
		WAY_UNSURE;
	work->resets_executed = work->resets_executed || runs;
	return has_resets;
}

/* What is noted next is told from what was there. */
static struct before take_resets(struct client *c)
{
	struct touched *resets = &c->work->resets;
	struct before before = { resets->has_resets, resets->changes };

	resets->has_resets = false;
	return before;
}

bool client_note_resets(struct client *c, struct server *s, const void *text, size_t len,
	bool runs)
{
	const struct touched *now = &c->work->touched;
	struct touched *resets = &c->work->resets;
	struct before before;

	if (s->replication != NULL || !client_has_defaults(c) ||
		!touched_may(text, len))
		return false;
	before = take_resets(c);
	resets->bind = now->bind;
	resets->bind_len = now->bind_len;
	resets->types = now->types;
	resets->types_len = now->types_len;
	(void)touched_text(resets, text, len, client_lexer_flags(s));
	resets->bind = resets->types = NULL;
	return noted(c, s, before, runs);
}

void client_note_call_resets(struct client *c, const char *name, bool may_be_local)
{
	struct touched *resets = &c->work->resets;
	struct before before;

	if (!client_has_defaults(c))
		return;
	before = take_resets(c);
	resets->resets_local = resets->resets_local || may_be_local;
	if (name[0] != '\0')
		touched_called(resets, name, true);
	else
		touched_called_unknown(resets, true);
	(void)noted(c, c->server, before, true);
}

static bool has_null(const struct frame *f)
{
	struct wire_in in;
	uint16_t count;
	uint32_t len;

	wire_init(&in, f->body, f->available);
	(void)wire_cstr(&in);
	(void)wire_cstr(&in);
	count = wire_u16(&in);
	(void)wire_bytes(&in, 2 * (size_t)count);
	for (count = wire_u16(&in); count > 0 && wire_ok(&in); count--) {
		len = wire_u32(&in);
		if (len == UINT32_MAX)
			return true;
		(void)wire_bytes(&in, len);
	}
	/* Not all of it has come. */
	return !wire_ok(&in);
}

/* What it is nobody knows. */
static void note_any(struct client *c, const struct server *s, bool runs)
{
	struct touched *resets = &c->work->resets;
	struct before before = take_resets(c);

	/* Perhaps: and what is local to the transaction may have nothing to do with it. */
	resets->resets_local = true;
	touched_bound_null(resets);
	touched_called_unknown(resets, true);
	(void)noted(c, s, before, runs);
}

/* What is bound may reset some: enum resets_by. */
static unsigned by_of_bind(struct client *c, const struct frame *bind)
{
	struct wire_in in;
	const char *name;

	wire_init(&in, bind->body, bind->available);
	(void)wire_cstr(&in);
	name = wire_cstr(&in);
	return wire_ok(&in) ? later_by(&c->later, name) : c->later.by;
}

static void runs_now(struct client *c, unsigned by)
{
	c->work->resets_now = (uint8_t)(c->work->resets_now | by);
}

static void note_bind(struct client *c, const struct server *s, const struct frame *f)
{
	struct client_work *work = c->work;
	unsigned by = by_of_bind(c, f);
	bool is_null = (work->touched.awaits_values || (by & BY_NULL) != 0) && has_null(f);

	if (is_null)
		touched_bound_null(&work->touched);
	runs_now(c, by & BY_TAG);
	if ((by & (is_null ? BY_CALL | BY_NULL : BY_CALL)) == 0)
		return;
	note_any(c, s, false);
	runs_now(c, BY_CALL);
}

void client_note_passing_run(struct client *c, const struct server *s, const struct frame *f)
{
	if (LIKELY(!c->work->touched.awaits_values && c->later.by == 0) || s->xq.skipping)
		return;
	if (f->type == 'B')
		note_bind(c, s, f);
	else if ((c->work->resets_now & BY_CALL) != 0)
		note_any(c, s, true);
}

/* What was prepared, or what a cursor stands for: of one WITH HOLD by COMMIT.  As what it may
 * reset some: enum resets_by. */
static unsigned runs_earlier(struct client *c, const struct statement *s)
{
	struct resets_later *later = &c->later;
	bool is_cursor = s->kind == SQL_FETCH || s->kind == SQL_MOVE || s->kind == SQL_COMMIT;
	unsigned by;

	if (is_cursor)
		return (later->by & BY_CURSOR) != 0 ? BY_CALL : 0;
	if (s->kind != SQL_EXECUTE && (s->flags & SQL_EXECUTES) == 0)
		return 0;
	by = later_by_sql(later, s->name);
	return (by & (BY_TAG | BY_CALL)) |
		((by & BY_NULL) != 0 && touched_gives_null(s) ? BY_CALL : 0);
}

/* What of it runs later; by: enum resets_by, of the text. */
static void note_kept(struct client *c, const struct server *s, const struct statement *one,
	unsigned by)
{
	if ((one->flags & SQL_CALLS_SET_CONFIG) == 0 || by == 0)
		return;
	if (one->kind == SQL_PREPARE)
		may_later(c, s, by, one->name);
	else if (one->kind == SQL_DECLARE && (by & BY_CALL) != 0)
		may_later(c, s, BY_CURSOR, NULL);
}

/* How may it, by what came before? */
static unsigned note_statements(struct client *c, const struct server *s, const char *text,
	size_t len, unsigned by)
{
	struct statement_reader reader;
	struct statement one;
	unsigned runs = 0;

	if (LIKELY(by == 0 && c->later.by == 0))
		return 0;
	statement_begin(&reader, text, len, client_lexer_flags(s));
	while (statement_next(&reader, &one)) {
		note_kept(c, s, &one, by);
		runs |= runs_earlier(c, &one);
	}
	return runs;
}

/* Of the text that was noted last. */
static unsigned by_of_text(const struct client *c, bool has_resets)
{
	const struct touched *resets = &c->work->resets;
	bool awaits = resets->awaits_values && (resets->unknown || concerns(c, true));

	return (!has_resets ? 0 : resets->is_set ? BY_TAG : BY_CALL | BY_TAG) | (awaits ? BY_NULL : 0);
}

/* Returns how it may reset some later: enum resets_by. */
static unsigned note_text(struct client *c, struct server *s, const char *text, size_t len,
	bool runs)
{
	struct touched *resets = &c->work->resets;
	bool awaited = resets->awaits_values;
	unsigned by;

	resets->awaits_values = false;
	by = by_of_text(c, client_note_resets(c, s, text, len, runs));
	resets->awaits_values = resets->awaits_values || awaited;
	return by;
}

static void note_parse(struct client *c, struct server *s, const char *name, const char *text,
	size_t len)
{
	unsigned by, runs;

	/* What it was is gone. */
	if (name[0] == '\0' && exchange_is_idle(&s->xq))
		c->later.by_unnamed = 0;
	by = note_text(c, s, text, len, false);
	runs = note_statements(c, s, text, len, by);
	/* client_resets_behind() has what the unnamed one does itself. */
	by = runs | (name[0] == '\0' ? by & BY_NULL : by);
	if (by != 0)
		may_later(c, s, by, name);
}

static void note_query(struct client *c, struct server *s, const char *text, size_t len)
{
	unsigned runs = note_statements(c, s, text, len, note_text(c, s, text, len, true));

	runs_now(c, runs & BY_TAG);
	if ((runs & BY_CALL) != 0)
		note_any(c, s, true);
}

void client_note_passing_text(struct client *c, struct server *s, const struct frame *f)
{
	const char *body = (const char *)f->body;
	size_t len = f->body_len, name_size;

	if (!frame_is_whole(f) || len == 0 || !client_has_defaults(c))
		return;
	if (f->type == 'Q') {
		note_query(c, s, body, strnlen(body, len));
		return;
	}
	name_size = strnlen(body, len - 1) + 1;
	if (body[name_size - 1] == '\0')
		note_parse(c, s, body, body + name_size, strnlen(body + name_size, len - name_size));
}

void client_resets_taken(struct client *c)
{
	c->work->resets_from = c->server->xq.ends;
	c->later.from = c->server->xq.ends - 1;
}

/* --- whether it has run ------------------------------------------------------------------ */

void client_resets_forget(struct client *c)
{
	touched_finish(&c->work->resets);
	c->resets_unsure = false;
	c->work->resets_way = WAY_NONE;
	c->work->resets_executed = false;
	c->work->resets_tagged = false;
}

void client_resets_drop(struct client *c)
{
	struct resets_later *l = &c->later;

	l->count = 0;
	l->by_any = 0;
	l->by = (uint8_t)((l->by & BY_CURSOR) | l->by_unnamed);
}

void client_resets_free(struct client *c)
{
	free(c->later.names);
	c->later = (struct resets_later){ .by = 0 };
}

static void behind_parse(struct client *c, const struct frame *f)
{
	struct client_work *work = c->work;
	bool is_unnamed = f->available > 0 && f->body[0] == '\0';

	if (work->resets_way == WAY_READ)
		work->resets_way = is_unnamed ? WAY_PARSED : WAY_UNSURE;
	/* There is another one now, which does nothing of the kind. */
	else if (work->resets_way == WAY_PARSED && is_unnamed && !c->resets_unsure)
		client_resets_forget(c);
}

static void behind_bind(struct client *c, const struct frame *f)
{
	struct client_work *work = c->work;
	const char *portal, *name;
	struct wire_in in;
	uint64_t hash;

	wire_init(&in, f->body, f->available);
	portal = wire_cstr(&in);
	name = wire_cstr(&in);
	hash = hash_bytes(portal, strlen(portal));
	if (!wire_ok(&in) || (work->resets_way == WAY_BOUND && hash == work->resets_portal))
		work->resets_way = WAY_UNSURE;
	else if (work->resets_way == WAY_READ ||
		(work->resets_way == WAY_PARSED && name[0] == '\0')) {
		work->resets_way = WAY_BOUND;
		work->resets_portal = hash;
	}
}

static void behind_execute(struct client *c, const struct frame *f)
{
	struct client_work *work = c->work;
	const char *portal;
	struct wire_in in;

	wire_init(&in, f->body, f->available);
	portal = wire_cstr(&in);
	if (!wire_ok(&in))
		work->resets_way = WAY_UNSURE;
	else if (work->resets_way == WAY_BOUND &&
		hash_bytes(portal, strlen(portal)) == work->resets_portal)
		work->resets_way = WAY_RAN;
	work->resets_executed = work->resets_executed || work->resets_way == WAY_RAN ||
		work->resets_way == WAY_UNSURE;
}

static void behind_query(struct client *c)
{
	struct client_work *work = c->work;

	/* What it says is EXECUTE. */
	if (work->resets_way == WAY_READ) {
		work->resets_way = WAY_UNSURE;
		work->resets_executed = true;
	}
	/* It ends the unnamed statement. */
	if (work->resets_way == WAY_PARSED && !c->resets_unsure)
		client_resets_forget(c);
}

void client_resets_behind(struct client *c, const struct frame *f)
{
	switch (f->type) {
	case 'P':
		behind_parse(c, f);
		break;
	case 'B':
		behind_bind(c, f);
		break;
	case 'E':
		behind_execute(c, f);
		break;
	case 'Q':
		behind_query(c);
		break;
	default:
		break;
	}
}
