/* SPDX-License-Identifier: ISC */
#include "backend.h"

#include <assert.h>
#include <string.h>

void backend_init(struct backend *b, uint32_t (*choose)(void *, uint32_t), void *arg)
{
	memset(b, 0, sizeof(*b));
	b->choose = choose;
	b->arg = arg;
	b->error_one_in = 8;
}

bool backend_has_room(const struct backend *b)
{
	return b->in_count < BACKEND_IN_MAX;
}

void backend_send(struct backend *b, const struct backend_message *m)
{
	assert(backend_has_room(b));
	b->in[(b->in_first + b->in_count++) % BACKEND_IN_MAX] = *m;
}

bool backend_take(struct backend *b, struct backend_reply *out)
{
	if (b->out_count == 0)
		return false;
	*out = b->out[b->out_first];
	b->out_first = (b->out_first + 1) % BACKEND_OUT_MAX;
	b->out_count--;
	return true;
}

static bool is_ignored_when_idle(uint8_t type)
{
	return type == 'd' || type == 'c' || type == 'f' || type == 'H';
}

bool backend_is_idle(const struct backend *b)
{
	if (b->out_count > 0 || b->is_in_query || b->is_copying || b->ignore_till_sync ||
		b->has_begun)
		return false;
	for (uint32_t i = 0; i < b->in_count; i++) {
		if (!is_ignored_when_idle(b->in[(b->in_first + i) % BACKEND_IN_MAX].type))
			return false;
	}
	return true;
}

/* --- what it says --------------------------------------------------------------- */

static struct backend_reply *say(struct backend *b, uint8_t type)
{
	struct backend_reply *r;

	assert(b->out_count < BACKEND_OUT_MAX);
	r = &b->out[(b->out_first + b->out_count++) % BACKEND_OUT_MAX];
	*r = (struct backend_reply){ .type = type, .is_ours = b->now.is_ours };
	return r;
}

static void say_all(struct backend *b, const char *types)
{
	for (; *types != '\0'; types++)
		(void)say(b, (uint8_t)*types);
}

static void ready(struct backend *b)
{
	b->is_in_query = false;
	b->has_begun = false;
	say(b, 'Z')->status = "IITE"[b->choose(b->arg, 4)];
}

/* The way back to the top of PostgresMain(): what was being done is given up. */
static void error(struct backend *b)
{
	struct backend_reply *r = say(b, 'E');

	r->ended_copy_in = b->is_copying;
	r->copy_from = b->copy_from;
	b->is_copying = false;
	if (b->now.type == 'Q' || b->now.type == 'F' || b->now.type == 'S')
		ready(b);
	else
		b->ignore_till_sync = true;
}

static bool fails(struct backend *b)
{
	if (b->choose(b->arg, b->error_one_in) != 0)
		return false;
	error(b);
	return true;
}

/* --- statements ----------------------------------------------------------------- */

static void copy_in_begins(struct backend *b)
{
	(void)say(b, 'G');
	b->is_copying = true;
	b->copy_from = b->read_serial;
}

/* One statement of a Query, or the one of an Execute. */
static void run(struct backend *b, uint8_t plan, bool is_simple)
{
	if (fails(b))
		return;
	switch ((enum backend_plan)plan) {
	case PLAN_ROWS:
		say_all(b, is_simple ? "TD" : "D");
		if (fails(b))
			return;
		(void)say(b, !is_simple && b->choose(b->arg, 4) == 0 ? 's' : 'C');
		return;
	case PLAN_COMMAND:
		(void)say(b, !is_simple && b->choose(b->arg, 8) == 0 ? 'I' : 'C');
		return;
	case PLAN_COPY_OUT:
		say_all(b, "Hd");
		if (!fails(b))
			say_all(b, "cC");
		return;
	case PLAN_COPY_IN:
		copy_in_begins(b);
		return;
	}
}

static void query_goes_on(struct backend *b)
{
	if (b->statement < b->now.statements) {
		run(b, b->now.plans[b->statement++], true);
		return;
	}
	if (b->now.statements == 0)
		(void)say(b, 'I');
	ready(b);
}

/* --- the two loops -------------------------------------------------------------- */

/* CopyGetData(): what it does with a message while it wants data. */
static void read_in_copy(struct backend *b, uint8_t type)
{
	switch (type) {
	case 'd':
		(void)fails(b);
		return;
	case 'c':
		if (fails(b))
			return;
		b->is_copying = false;
		(void)say(b, 'C');
		return;
	case 'f':
		error(b);
		return;
	case 'H':
	case 'S':
		return;
	default:
		b->is_lost = true;
		return;
	}
}

static void carry_out_extended(struct backend *b)
{
	b->has_begun = true;
	if (b->now.type == 'E') {
		run(b, b->now.plans[0], false);
		return;
	}
	if (fails(b))
		return;
	switch (b->now.type) {
	case 'P':
		(void)say(b, '1');
		return;
	case 'B':
		(void)say(b, '2');
		return;
	case 'C':
		(void)say(b, '3');
		return;
	default:
		if (b->choose(b->arg, 2) == 0)
			(void)say(b, 't');
		(void)say(b, b->choose(b->arg, 2) == 0 ? 'T' : 'n');
		return;
	}
}

static void carry_out(struct backend *b)
{
	switch (b->now.type) {
	case 'Q':
		b->is_in_query = true;
		b->statement = 0;
		return;
	case 'F':
		if (fails(b))
			return;
		(void)say(b, 'V');
		ready(b);
		return;
	case 'S':
		b->ignore_till_sync = false;
		/* COMMIT may fail. */
		if (!fails(b))
			ready(b);
		return;
	case 'd':
	case 'c':
	case 'f':
	case 'H':
		return;
	default:
		carry_out_extended(b);
		return;
	}
}

static struct backend_message read_message(struct backend *b)
{
	struct backend_message m = b->in[b->in_first];

	b->in_first = (b->in_first + 1) % BACKEND_IN_MAX;
	b->in_count--;
	b->read_serial = m.serial;
	return m;
}

bool backend_step(struct backend *b)
{
	if (b->is_lost || b->out_count > BACKEND_OUT_MAX - 8)
		return false;
	if (b->is_copying) {
		/* Triggers and time limits need no message to fail. */
		if (b->choose(b->arg, 4 * b->error_one_in) == 0) {
			error(b);
			return true;
		}
		if (b->in_count == 0)
			return false;
		read_in_copy(b, read_message(b).type);
		return true;
	}
	if (b->is_in_query) {
		query_goes_on(b);
		return true;
	}
	if (b->in_count == 0)
		return false;
	b->now = read_message(b);
	if (!b->ignore_till_sync || b->now.type == 'S')
		carry_out(b);
	return true;
}
