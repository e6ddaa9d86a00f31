/* SPDX-License-Identifier: ISC */
#include "session/server_redo.h"

#include <string.h>

#include "session/client_priv.h"
#include "session/server_priv.h"

/* --- what the server has --------------------------------------------------------------- */

static bool makes(const struct step *step)
{
	return step->kind == STEP_PARSE || step->kind == STEP_PARSE_OURS;
}

static bool closes(const struct step *step)
{
	return step->kind == STEP_CLOSE_OURS && step->statement != NULL;
}

static void put(struct server *s, struct prepared *p)
{
	if (!prepared_set_add(&s->prepared, p))
		s->has_foreign = true;
}

static void take_back(struct step *step, void *arg)
{
	struct server *s = arg;

	if (step->is_void)
		return;
	if (makes(step))
		prepared_set_remove(&s->prepared, step->statement);
	else if (closes(step))
		put(s, step->statement);
}

static void do_again(struct step *step, void *arg)
{
	struct server *s = arg;

	if (makes(step)) {
		step->is_void = prepared_set_use(&s->prepared, step->statement);
		put(s, step->statement);
	} else if (closes(step)) {
		step->is_void = !prepared_set_use(&s->prepared, step->statement);
		prepared_set_remove(&s->prepared, step->statement);
	}
}

/* --- what did not happen ---------------------------------------------------------------- */

static void add_sql(struct server *s, const char *name, struct prepared *p)
{
	if (prepared_names_find(&s->sql, name) == NULL &&
		prepared_names_add(&s->sql, name, prepared_ref(p)) == NULL)
		s->has_foreign = true;
}

/* Not made, or not dropped. */
static void undo_sql(const struct step *step, struct server *s)
{
	struct prepared_name *n = step->name, *there;
	struct client *c = s->client;

	if (step->kind == STEP_SQL_PARSE || step->kind == STEP_SQL_AGAIN) {
		/* Also what a DEALLOCATE behind it has not dropped. */
		there = prepared_names_find(&s->sql, n->text);
		if (there != NULL)
			prepared_names_unlink(&s->sql, there);
	} else if (step->kind == STEP_SQL_CLOSE) {
		prepared_names_relink(&s->sql, n);
	} else if (step->kind == STEP_SQL_PREPARE) {
		there = prepared_names_find(&s->sql, n->text);
		if (there != NULL && step->statement != NULL)
			prepared_names_unlink(&s->sql, there);
		if (c != NULL)
			prepared_names_undo(&c->names, n);
	} else if (n != NULL) {
		if (step->statement != NULL)
			add_sql(s, n->text, step->statement);
		if (c != NULL)
			prepared_names_relink(&c->names, n);
	}
}

struct later {
	const struct step *than;
	bool is_behind;
	bool is_there;
};

static void look_for_later(const struct step *step, void *arg)
{
	struct later *later = arg;

	if (later->is_behind &&
		(step->kind == STEP_UNNAMED || step->kind == STEP_UNNAMED_FIRST))
		later->is_there = true;
	later->is_behind = later->is_behind || step == later->than;
}

/* What the client keeps of an unnamed Parse is the last one's, which may not have failed. */
static bool is_last_unnamed(const struct server *s, const struct step *step)
{
	struct later later = { .than = step };

	steps_each(&s->steps, look_for_later, &later);
	return !later.is_there;
}

/* What was there stays, the client's own as one that nobody has seen; somebody else's not,
 * nor what may be refused. */
static void unnamed_not_ended(struct server *s, struct client *c, const struct step *step)
{
	bool is_last = is_last_unnamed(s, step), is_query = step->kind == STEP_END_QUERY;

	/* Where nobody looks after names unnamed_skipped() sees to it. */
	if (is_query && c != NULL && !c->keeps_statements)
		return;
	if (is_last && !is_query && c != NULL) {
		client_unnamed_forget(c);
		c->has_unseen = step->kind == STEP_UNNAMED;
	}
	if (step->kind == STEP_UNNAMED_FIRST || (is_last && is_query) ||
		(is_last && (c == NULL || c->route->limits.pins_refused != 0)))
		s->unnamed_of = SERVER_UNNAMED_SOMEBODYS;
}

void server_unnamed_closed(struct server *s)
{
	struct step head = steps_head(&s->steps);
	struct later later = { .than = NULL };
	struct client *c = s->client;

	if (head.kind != STEP_CLOSE_UNNAMED || c == NULL)
		return;
	later.is_behind = true;
	steps_each(&s->steps, look_for_later, &later);
	if (later.is_there)
		return;
	client_unnamed_forget(c);
	/* What other servers have is not to be used either; this one has none. */
	c->unnamed_version++;
	if (s->unnamed_of == c->id)
		client_unnamed_put(c, s);
}

static void undo(const struct step *step, void *arg)
{
	struct server *s = arg;
	struct client *c = s->client;

	switch (step->kind) {
	case STEP_PARSE:
	case STEP_PARSE_OURS:
	case STEP_PARSE_FAKED:
		if (step->name != NULL && c != NULL)
			prepared_names_undo(&c->names, step->name);
		return;
	case STEP_UNNAMED:
	case STEP_UNNAMED_FIRST:
	case STEP_END_QUERY:
		unnamed_not_ended(s, c, step);
		return;
	case STEP_UNNAMED_OURS:
		s->unnamed_of = SERVER_UNNAMED_SOMEBODYS;
		return;
	case STEP_CLOSE:
	case STEP_DEALLOCATE:
		if (step->name != NULL && c != NULL)
			prepared_names_relink(&c->names, step->name);
		return;
	case STEP_CLOSE_OURS:
		if (step->statement == NULL && (c == NULL || c->keeps_statements))
			s->unnamed_of = SERVER_UNNAMED_SOMEBODYS;
		return;
	case STEP_SQL_PARSE:
	case STEP_SQL_AGAIN:
	case STEP_SQL_CLOSE:
	case STEP_SQL_PREPARE:
	case STEP_SQL_DROP:
		undo_sql(step, s);
		return;
	case STEP_PORTAL_BOUND:
	case STEP_PORTAL_GONE:
		if (c != NULL)
			client_portal_undo(c, step);
		return;
	case STEP_CLOSE_UNNAMED:
	case STEP_BIND:
	case STEP_BIND_OURS:
	case STEP_BIND_SHARED:
	case STEP_DESCRIBE_SHARED:
	case STEP_TEXT_PARSE:
	case STEP_TEXT_CLOSE:
	case STEP_SQL_END:
	case STEP_DESCRIBE:
	case STEP_DEALLOCATE_ALL:
	case STEP_DROPS_ALL:
	case STEP_MAKES_TABLE:
	case STEP_REFUSED:
	case STEP_DUPLICATE:
	case STEP_STALE:
	case STEP_RESERVED:
	case STEP_NOT_BY_SQL:
	case STEP_NOT_ALLOWED:
	case STEP_NOT_PINNED:
	case STEP_END_SYNC:
		return;
	}
}

/* One by itself, in the middle of what goes well. */
static void undo_settled(const struct step *step, void *arg)
{
	server_redo(arg);
	undo(step, arg);
}

/* --- what was made ---------------------------------------------------------------------- */

struct drop {
	const struct prepared_name *of;
	bool is_sent;
};

static void is_dropped(const struct step *step, void *arg)
{
	struct drop *drop = arg;

	if (step->kind == STEP_DEALLOCATE_ALL ||
		((step->kind == STEP_SQL_DROP || step->kind == STEP_SQL_CLOSE ||
			 step->kind == STEP_DEALLOCATE || step->kind == STEP_CLOSE) &&
			step->name != NULL && strcmp(step->name->text, drop->of->text) == 0))
		drop->is_sent = true;
}

/* What was in front of it when it was sent may have failed since. */
static void made(struct server *s)
{
	struct step head = steps_head(&s->steps);
	struct drop drop = { .of = head.name };

	/* Else it is there, or something in flight drops it. */
	if (!steps_head_is_unsure(&s->steps))
		return;
	steps_each(&s->steps, is_dropped, &drop);
	if (drop.is_sent)
		return;
	add_sql(s, head.name->text, head.name->statement);
	if (s->client != NULL && prepared_names_find(&s->client->names, head.name->text) == NULL)
		prepared_names_relink(&s->client->names, head.name);
}

/* --- the same once more ----------------------------------------------------------------- */

static void redo_sql(const struct step *step, struct server *s)
{
	struct prepared_name *there;

	if (step->kind == STEP_SQL_PARSE || step->kind == STEP_SQL_AGAIN ||
		step->kind == STEP_SQL_PREPARE) {
		add_sql(s, step->name->text, step->name->statement);
	} else if ((step->kind == STEP_SQL_CLOSE || step->kind == STEP_SQL_DROP) &&
		step->name != NULL) {
		there = prepared_names_find(&s->sql, step->name->text);
		if (there != NULL)
			prepared_names_unlink(&s->sql, there);
	}
}

static void redo_names(const struct step *step, struct client *c)
{
	struct prepared_name *n;

	if (step->name == NULL)
		return;
	if (step->kind == STEP_PARSE || step->kind == STEP_PARSE_FAKED ||
		step->kind == STEP_SQL_PREPARE) {
		step->name->era = c->names.era + 1;
		prepared_names_relink(&c->names, step->name);
	}
	if (step->kind != STEP_CLOSE && step->kind != STEP_DEALLOCATE &&
		step->kind != STEP_SQL_DROP)
		return;
	/* It may be another by now. */
	n = prepared_names_find(&c->names, step->name->text);
	if (n != NULL)
		prepared_names_unlink(&c->names, n);
}

/* --- doing again ------------------------------------------------------------------------- */

static void redo_one(struct step *step, void *arg)
{
	struct server *s = arg;

	if (s->steps.redoes)
		do_again(step, s);
	if (s->steps.redoes_sql)
		redo_sql(step, s);
	if (s->steps.redoes_names && s->client != NULL)
		redo_names(step, s->client);
}

static bool redoes(const struct steps *q)
{
	return q->redoes || q->redoes_sql || q->redoes_names;
}

static void is_redone(struct steps *q)
{
	q->redoes = q->redoes_sql = q->redoes_names = false;
}

void server_redo(struct server *s)
{
	if (LIKELY(!redoes(&s->steps)))
		return;
	steps_forth(&s->steps, redo_one, s);
	is_redone(&s->steps);
}

/* An error is about names as they were when all was sent. */
static void redo_all_names(struct server *s)
{
	bool redoes_set = s->steps.redoes;

	if (LIKELY(!s->steps.redoes_sql && !s->steps.redoes_names))
		return;
	s->steps.redoes = false;
	server_redo(s);
	s->steps.redoes = redoes_set;
}

enum step_verdict server_step_received(struct server *s, uint8_t type)
{
	struct step head = steps_head(&s->steps);

	if (UNLIKELY(redoes(&s->steps)) && steps_awaits(&s->steps, type))
		redo_one(&head, s);
	if (head.kind == STEP_SQL_PREPARE && type == 'C' && !s->steps.redoes_sql)
		made(s);
	return steps_received(&s->steps, type);
}

void server_steps_ended(struct server *s)
{
	steps_ended(&s->steps, redoes(&s->steps) ? redo_one : NULL, s);
	if (s->steps.count == 0)
		is_redone(&s->steps);
}

void server_prepared_settle(struct server *s)
{
	steps_settle(&s->steps, s->xq.head_replied, undo_settled, s);
}

void server_steps_fail_begin(struct server *s)
{
	redo_all_names(s);
	if (s->steps.changes == 0 || s->steps.redoes)
		return;
	steps_back(&s->steps, take_back, s);
	s->steps.redoes = true;
}

void server_steps_fail(struct server *s, bool skips)
{
	/* It may have failed within a Query that stands behind all steps. */
	if (skips)
		steps_fail(&s->steps, undo, s);
	else
		steps_fail_query(&s->steps, undo, s);
	if (s->steps.count == 0)
		is_redone(&s->steps);
}

void server_prepared_lost_count(struct server *s)
{
	server_steps_fail_begin(s);
	steps_fail_all(&s->steps, undo, s);
	is_redone(&s->steps);
	s->has_foreign = true;
	s->unnamed_of = SERVER_UNNAMED_SOMEBODYS;
}

/* --- what was dropped -------------------------------------------------------------------- */

void server_prepared_names_dropped(struct server *s)
{
	struct client *c = s->client;

	if (c == NULL || s->is_session)
		return;
	prepared_names_clear(&c->names);
	c->names.era++;
	s->steps.redoes_names = s->steps.count > 0;
}

void server_prepared_cleared(struct server *s)
{
	prepared_set_clear(&s->prepared);
	prepared_names_clear(&s->sql);
	s->steps.redoes = s->steps.redoes_sql = s->steps.count > 0;
	s->has_foreign = false;
}
