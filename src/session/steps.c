/* SPDX-License-Identifier: ISC */
#include "session/steps.h"

#include <stdlib.h>
#include <string.h>

enum { STEPS_MIN = 16 };        /* the size is a power of two */

static struct step *at(const struct steps *q, uint32_t index)
{
	return &q->ring[(q->first + index) & (q->size - 1)];
}

static bool grow(struct steps *q)
{
	uint32_t size = q->size == 0 ? STEPS_MIN : q->size * 2;
	struct step *ring = calloc(size, sizeof(*ring));

	if (ring == NULL)
		return false;
	for (uint32_t i = 0; i < q->count; i++)
		ring[i] = *at(q, i);
	free(q->ring);
	q->ring = ring;
	q->size = size;
	q->first = 0;
	return true;
}

/* Bind and Describe come often, and need no more than to know again what they used. */
static bool holds_statement(enum step_kind kind)
{
	return kind != STEP_BIND && kind != STEP_DESCRIBE;
}

static bool describes(enum step_kind kind)
{
	return kind == STEP_DESCRIBE || kind == STEP_DESCRIBE_SHARED;
}

static bool is_of_portal(const struct step *step)
{
	return step->kind == STEP_PORTAL_BOUND || step->kind == STEP_PORTAL_GONE;
}

/* It has run when something behind it is answered. */
static bool has_no_reply(const struct step *step)
{
	return step->kind == STEP_DROPS_ALL || step->kind == STEP_MAKES_TABLE ||
		is_of_portal(step);
}

static bool is_end(const struct step *step)
{
	return step->kind == STEP_END_SYNC || step->kind == STEP_END_QUERY;
}

/* Makes or drops statements, or names of them, or portals that do. */
static bool changes(const struct step *step)
{
	static const bool does[] = { [STEP_PARSE] = true,
		[STEP_PARSE_OURS] = true,
		[STEP_PARSE_FAKED] = true,
		[STEP_CLOSE] = true,
		[STEP_SQL_PARSE] = true,
		[STEP_SQL_AGAIN] = true,
		[STEP_SQL_CLOSE] = true,
		[STEP_SQL_PREPARE] = true,
		[STEP_SQL_DROP] = true,
		[STEP_DEALLOCATE] = true,
		[STEP_DEALLOCATE_ALL] = true,
		[STEP_DROPS_ALL] = true,
		[STEP_PORTAL_BOUND] = true,
		[STEP_PORTAL_GONE] = true,
		[STEP_END_SYNC] = false };

	return does[step->kind] ||
		(step->kind == STEP_CLOSE_OURS && step->statement != NULL);
}

static bool drops_all(const struct step *step)
{
	return step->kind == STEP_DEALLOCATE_ALL || step->kind == STEP_DROPS_ALL;
}

/* Behind it the unnamed statement is another one, or none. */
static bool sets_unnamed(const struct step *step)
{
	switch ((int)step->kind) {
	case STEP_UNNAMED:
	case STEP_UNNAMED_FIRST:
	case STEP_UNNAMED_OURS:
	case STEP_END_QUERY:
		return true;
	case STEP_CLOSE_OURS:
		return step->statement == NULL;
	default:
		return false;
	}
}

/* By 1, or by -1. */
static void add(struct steps *q, const struct step *step, uint32_t by)
{
	q->changes += changes(step) ? by : 0;
	q->tables += step->kind == STEP_MAKES_TABLE ? by : 0;
	q->drops_all += drops_all(step) ? by : 0;
	q->deallocates_all += step->kind == STEP_DEALLOCATE_ALL ? by : 0;
	q->unnamed += sets_unnamed(step) ? by : 0;
	q->ends += is_end(step) ? by : 0;
}

bool steps_push(struct steps *q, enum step_kind kind, uint32_t place,
	struct prepared *statement, struct prepared_name *name)
{
	if (q->count == q->size && !grow(q))
		return false;
	*at(q, q->count++) = (struct step){ .kind = kind,
		.place = place,
		.statement = statement == NULL || !holds_statement(kind)
			? statement
			: prepared_ref(statement),
		.name = name == NULL ? NULL : prepared_name_ref(name) };
	q->pushed++;
	add(q, at(q, q->count - 1), 1);
	return true;
}

void steps_run_by_execute(struct steps *q)
{
	if (q->count > 0)
		at(q, q->count - 1)->is_executes = true;
}

static void release(struct step *step)
{
	if (holds_statement(step->kind))
		prepared_unref(step->statement);
	prepared_name_unref(step->name);
}

static void drop_first(struct steps *q)
{
	add(q, at(q, 0), UINT32_MAX);
	release(at(q, 0));
	q->first = (q->first + 1) & (q->size - 1);
	q->count--;
}

static const struct {
	uint8_t reply;
	enum step_verdict verdict;
} meanings[] = {
	[STEP_PARSE] = { '1', STEP_FORWARD },
	[STEP_PARSE_OURS] = { '1', STEP_DROP },
	[STEP_PARSE_FAKED] = { '3', STEP_AS_PARSE },
	[STEP_UNNAMED] = { '1', STEP_FORWARD },
	[STEP_UNNAMED_FIRST] = { '1', STEP_FORWARD },
	[STEP_UNNAMED_OURS] = { '1', STEP_DROP },
	[STEP_BIND] = { '2', STEP_FORWARD },
	[STEP_DESCRIBE] = { 't', STEP_FORWARD },
	[STEP_BIND_SHARED] = { '2', STEP_FORWARD },
	[STEP_DESCRIBE_SHARED] = { 't', STEP_FORWARD },
	[STEP_CLOSE] = { '3', STEP_FORWARD },
	[STEP_CLOSE_UNNAMED] = { '3', STEP_FORWARD },
	[STEP_CLOSE_OURS] = { '3', STEP_DROP },
	[STEP_BIND_OURS] = { '2', STEP_DROP },
	[STEP_TEXT_PARSE] = { '1', STEP_DROP },
	[STEP_TEXT_CLOSE] = { '3', STEP_DROP },
	[STEP_SQL_PARSE] = { '1', STEP_DROP },
	[STEP_SQL_AGAIN] = { 'C', STEP_DROP },
	[STEP_SQL_END] = { 'C', STEP_DROP },
	[STEP_SQL_CLOSE] = { '3', STEP_DROP },
	[STEP_SQL_PREPARE] = { 'C', STEP_FORWARD },
	[STEP_SQL_DROP] = { 'C', STEP_FORWARD },
	[STEP_DEALLOCATE] = { 'C', STEP_AS_DEALLOCATE },
	[STEP_DEALLOCATE_ALL] = { 'C', STEP_AS_DEALLOCATE_ALL },
	[STEP_DROPS_ALL] = { 0, STEP_UNEXPECTED },
	[STEP_MAKES_TABLE] = { 0, STEP_UNEXPECTED },
	[STEP_PORTAL_BOUND] = { 0, STEP_UNEXPECTED },
	[STEP_PORTAL_GONE] = { 0, STEP_UNEXPECTED },
	[STEP_REFUSED] = { 0, STEP_UNEXPECTED },
	[STEP_DUPLICATE] = { 0, STEP_UNEXPECTED },
	[STEP_NOT_ALLOWED] = { 0, STEP_UNEXPECTED },
	[STEP_NOT_PINNED] = { 0, STEP_UNEXPECTED },
	[STEP_STALE] = { 0, STEP_UNEXPECTED },
	[STEP_NOT_BY_SQL] = { 0, STEP_UNEXPECTED },
	[STEP_RESERVED] = { 0, STEP_UNEXPECTED },
	[STEP_END_QUERY] = { 0, STEP_UNEXPECTED },
	[STEP_END_SYNC] = { 0, STEP_UNEXPECTED },
};

void steps_ran(struct steps *q)
{
	while (q->count > 0 && has_no_reply(at(q, 0)))
		drop_first(q);
}

bool steps_make_table(struct steps *q)
{
	if (q->tables == 0)
		return false;
	/* A Query may have several tags, and Execute has one. */
	if (at(q, 0)->kind == STEP_MAKES_TABLE && q->count > 1 &&
		at(q, 1)->kind != STEP_END_QUERY)
		drop_first(q);
	return true;
}

enum step_verdict steps_received(struct steps *q, uint8_t type)
{
	enum step_verdict verdict;

	if (type != 'C')
		steps_ran(q);
	if (q->count == 0 || meanings[at(q, 0)->kind].reply != type)
		return type == 'C' ? STEP_FORWARD : STEP_UNEXPECTED;
	verdict = meanings[at(q, 0)->kind].verdict;
	/* It may still fail (exec_describe_statement_message()). */
	if (describes(at(q, 0)->kind))
		at(q, 0)->has_begun = true;
	else
		drop_first(q);
	return verdict;
}

static bool is_settled(const struct step *step)
{
	return is_of_portal(step) || (step->is_executes && meanings[step->kind].reply == 'C');
}

static void note_undone(struct steps *q, const struct step *step)
{
	if (changes(step))
		q->undone = q->pushed;
}

void steps_settle(struct steps *q, int64_t replied,
	void (*undo)(const struct step *, void *), void *arg)
{
	while (q->count > 0 && is_settled(at(q, 0)) && at(q, 0)->place < replied) {
		if (!is_of_portal(at(q, 0))) {
			note_undone(q, at(q, 0));
			undo(at(q, 0), arg);
		}
		drop_first(q);
	}
}

bool steps_described(struct steps *q)
{
	bool is_shared;

	if (q->count == 0 || !at(q, 0)->has_begun)
		return false;
	is_shared = at(q, 0)->kind == STEP_DESCRIBE_SHARED;
	drop_first(q);
	return is_shared;
}

/* What stands before the end was answered, or skipped and undone. */
void steps_ended(struct steps *q, void (*each)(struct step *, void *), void *arg)
{
	while (q->count > 0) {
		bool was_end = is_end(at(q, 0));

		if (each != NULL)
			each(at(q, 0), arg);
		drop_first(q);
		if (was_end)
			return;
	}
}

void steps_drop_syncs(struct steps *q, uint32_t count)
{
	uint32_t kept = 0;

	/* Most have none, and a Query may have many COPYs. */
	if (count == 0)
		return;
	for (uint32_t i = 0; i < q->count; i++) {
		struct step step = *at(q, i);

		if (step.kind == STEP_END_SYNC && count > 0) {
			q->ends--;
			count--;
		} else {
			*at(q, kept++) = step;
		}
	}
	/* As if they had never been. */
	q->pushed -= q->count - kept;
	q->undone = q->undone < q->pushed ? q->undone : q->pushed;
	q->count = kept;
}

void steps_each(
	const struct steps *q, void (*each)(const struct step *, void *), void *arg)
{
	for (uint32_t i = 0; i < q->count; i++)
		each(at(q, i), arg);
}

void steps_back(struct steps *q, void (*each)(struct step *, void *), void *arg)
{
	for (uint32_t i = q->count; i > 0; i--)
		each(at(q, i - 1), arg);
}

void steps_forth(struct steps *q, void (*each)(struct step *, void *), void *arg)
{
	for (uint32_t i = 0; i < q->count; i++)
		each(at(q, i), arg);
}

static bool concerns(const struct step *step, const char *name, size_t len, uint64_t print)
{
	const struct prepared *p = step->statement;

	if (drops_all(step) || (name == NULL && len == 0))
		return true;
	if (name != NULL && step->name != NULL && !is_of_portal(step) &&
		strncmp(step->name->text, name, PREPARED_NAME_MAX) == 0)
		return true;
	return len != 0 && p != NULL && p->len == len && p->print == print;
}

bool steps_are_sure(const struct steps *q, const char *name, size_t len, uint64_t print)
{
	bool is_behind_end = false;

	if (q->changes == 0 || q->ends == 0)
		return true;
	for (uint32_t i = q->count; i > 0; i--) {
		const struct step *step = at(q, i - 1);

		if (is_end(step))
			is_behind_end = true;
		else if (is_behind_end && changes(step) && concerns(step, name, len, print))
			return false;
	}
	return true;
}

bool steps_unnamed_is_sure(const struct steps *q)
{
	bool is_behind_sync = false;

	if (q->unnamed == 0)
		return true;
	for (uint32_t i = q->count; i > 0; i--) {
		const struct step *step = at(q, i - 1);

		if (step->kind == STEP_END_SYNC)
			is_behind_sync = true;
		else if (is_behind_sync && sets_unnamed(step))
			return false;
	}
	return true;
}

bool steps_head_is_unsure(const struct steps *q)
{
	return q->pushed - q->count < q->undone;
}

bool steps_awaits(const struct steps *q, uint8_t type)
{
	return q->count > 0 && meanings[at(q, 0)->kind].reply == type;
}

struct step steps_head(const struct steps *q)
{
	return q->count == 0 ? (struct step){ .kind = STEP_END_SYNC } : *at(q, 0);
}

static void undo_first(struct steps *q, uint32_t count,
	void (*undo)(const struct step *, void *), void *arg)
{
	for (uint32_t i = count; i > 0; i--) {
		note_undone(q, at(q, i - 1));
		undo(at(q, i - 1), arg);
	}
	while (count-- > 0)
		drop_first(q);
}

void steps_fail(struct steps *q, void (*undo)(const struct step *, void *), void *arg)
{
	uint32_t count = 0;

	while (count < q->count && at(q, count)->kind != STEP_END_SYNC)
		count++;
	undo_first(q, count, undo, arg);
}

void steps_fail_query(
	struct steps *q, void (*undo)(const struct step *, void *), void *arg)
{
	uint32_t count = 0;

	while (count < q->count && !is_end(at(q, count)))
		count++;
	undo_first(q, count, undo, arg);
}

void steps_fail_all(struct steps *q, void (*undo)(const struct step *, void *), void *arg)
{
	undo_first(q, q->count, undo, arg);
}

void steps_finish(struct steps *q)
{
	while (q->count > 0)
		drop_first(q);
	free(q->ring);
	*q = (struct steps){ .pushed = q->pushed, .undone = q->undone };
}
