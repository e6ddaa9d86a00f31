/* SPDX-License-Identifier: ISC */
#include "world.h"

#include <stdio.h>
#include <string.h>

void world_begin(struct world *w, uint32_t (*choose)(void *, uint32_t), void *arg)
{
	memset(w, 0, sizeof(*w));
	w->choose = choose;
	w->arg = arg;
	backend_init(&w->backend, choose, arg);
	exchange_init(&w->q);
}

static uint32_t below(struct world *w, uint32_t limit)
{
	return w->choose(w->arg, limit);
}

static void tell(struct world *w, const char *prefix, uint8_t type, const char *more)
{
	int n = snprintf(w->story + w->story_len, sizeof(w->story) - w->story_len,
		" %s%c%s", prefix, type, more);

	if (n > 0 && (size_t)n < sizeof(w->story) - w->story_len)
		w->story_len += (size_t)n;
}

static void wrong(struct world *w, const char *what)
{
	if (w->error == NULL)
		w->error = what;
}

/* --- the oracle ----------------------------------------------------------------- */

/* PostgreSQL does nothing more unless something is sent. */
static bool is_quiet(const struct backend *b)
{
	return b->in_count == 0 && b->out_count == 0 && !b->is_in_query && !b->is_copying;
}

static void check(struct world *w)
{
	const struct backend *b = &w->backend;
	bool is_idle = exchange_is_idle(&w->q);

	if (b->is_lost || w->has_barrier)
		return;
	if (is_idle && !backend_is_idle(b))
		wrong(w, "idle, but the server is not");
	if (is_quiet(b) && backend_is_idle(b) && !is_idle && !w->q.in_doubt)
		wrong(w, "not idle, but nothing will come");
	if (is_quiet(b) && b->ignore_till_sync && w->q.pending > 0 && !w->q.in_doubt)
		wrong(w, "waits for an exchange that was skipped");
}

/* A doubt is allowed when a COPY failed and a Sync was sent before its data's end. */
static bool may_doubt(const struct world *w, const struct backend_reply *r)
{
	if (!r->ended_copy_in)
		return false;
	for (uint64_t s = r->copy_from + 1; s <= w->serial && s < WORLD_SENT_MAX; s++) {
		if (w->sent[s] == 'S')
			return true;
		if (strchr("cfQF", w->sent[s]) != NULL)
			return false;
	}
	return false;
}

/* --- sending -------------------------------------------------------------------- */

static void put(struct world *w, const struct backend_message *m)
{
	struct backend_message copy = *m;

	copy.serial = ++w->serial;
	w->sent[copy.serial] = m->type;
	backend_send(&w->backend, &copy);
}

static void client_puts(struct world *w, const struct backend_message *m)
{
	char plans[BACKEND_STATEMENTS_MAX + 1] = "";

	for (uint32_t i = 0; i < m->statements; i++)
		plans[i] = "rcoi"[m->plans[i]];
	tell(w, ">", m->type, plans);
	exchange_sent(&w->q, m->type);
	put(w, m);
}

static uint8_t choose_plan(struct world *w)
{
	static const uint8_t plans[] = { PLAN_ROWS, PLAN_ROWS, PLAN_COMMAND, PLAN_COPY_OUT,
		PLAN_COPY_IN, PLAN_COPY_IN };

	return plans[below(w, COUNT_OF(plans))];
}

static void plan(struct world *w, struct backend_message *m)
{
	if (m->type == 'Q')
		m->statements = (uint8_t)below(w, BACKEND_STATEMENTS_MAX + 1);
	else if (m->type == 'E')
		m->statements = 1;
	for (uint32_t i = 0; i < m->statements; i++) {
		m->plans[i] = choose_plan(w);
		w->copies_owed += m->plans[i] == PLAN_COPY_IN;
	}
}

static void client_sends(struct world *w)
{
	static const char any[] = "QQPPBBDECEESSSFHdcf", data[] = "dddccccfSSH";
	struct backend_message m = { 0 };

	if (w->client_is_gone || w->has_barrier || !exchange_has_room(&w->q) ||
		!backend_has_room(&w->backend))
		return;
	if (w->copies_owed > 0 && below(w, 64) != 0)
		m.type = (uint8_t)data[below(w, sizeof(data) - 1)];
	else
		m.type = (uint8_t)any[below(w, sizeof(any) - 1)];
	if ((m.type == 'c' || m.type == 'f') && w->copies_owed > 0)
		w->copies_owed--;
	plan(w, &m);
	client_puts(w, &m);
}

/* What the router asks for itself, only on a server that is idle. */
static void router_sends(struct world *w)
{
	struct backend_message m = { .type = 'Q', .is_ours = true, .statements = 1,
		.plans = { PLAN_ROWS } };

	if (w->client_is_gone || w->has_barrier || !exchange_is_idle(&w->q))
		return;
	for (uint32_t more = below(w, 3); more > 0; more--) {
		if (!exchange_has_room(&w->q) || !backend_has_room(&w->backend))
			return;
		tell(w, ">", 'q', "");
		exchange_sent_own(&w->q);
		put(w, &m);
	}
}

/* --- receiving ------------------------------------------------------------------ */

static void barrier_begins(struct world *w)
{
	struct backend_message m = { .type = 'Q', .is_ours = true, .statements = 1,
		.plans = { PLAN_COMMAND } };

	if (!backend_has_room(&w->backend))
		return;
	tell(w, ">", 'b', "");
	w->has_barrier = true;
	put(w, &m);
}

static void check_doubt(struct world *w, const struct backend_reply *r, bool was_in_doubt)
{
	if (!w->q.in_doubt || was_in_doubt)
		return;
	w->doubts++;
	if (r->type != 'E' || !may_doubt(w, r))
		wrong(w, "in doubt without a reason");
}

static void router_receives(struct world *w)
{
	bool was_in_doubt = w->q.in_doubt;
	struct backend_reply r;

	if (!backend_take(&w->backend, &r))
		return;
	tell(w, r.is_ours ? "<<" : "<", r.type, "");
	if (w->has_barrier) {
		if (!r.is_ours || r.type != 'Z')
			return;
		/* As the router does when the barrier's answer has come. */
		w->has_barrier = false;
		exchange_init(&w->q);
		return;
	}
	if (exchange_owner(&w->q) != (r.is_ours ? EXCHANGE_TO_ROUTER : EXCHANGE_TO_CLIENT))
		wrong(w, "a reply belongs to somebody else");
	if (!exchange_received(&w->q, r.type, r.status))
		wrong(w, "a reply that nothing asked for");
	check_doubt(w, &r, was_in_doubt);
	if (r.type == 'Z' && w->q.in_doubt)
		barrier_begins(w);
}

/* --- the story ------------------------------------------------------------------ */

static bool is_over(const struct world *w)
{
	return w->error != NULL || w->backend.is_lost || w->serial >= WORLD_SENT_MAX - 16 ||
		w->story_len >= WORLD_STORY_MAX - 64;
}

bool world_step(struct world *w)
{
	switch (below(w, 8)) {
	case 0:
	case 1:
	case 2:
		client_sends(w);
		break;
	case 3:
		router_sends(w);
		break;
	case 4:
	case 5:
		(void)backend_step(&w->backend);
		break;
	default:
		router_receives(w);
		break;
	}
	check(w);
	return !is_over(w);
}

/* What the router sends for a client that is gone. */
static bool finish_for_client(struct world *w)
{
	const struct backend_message fail = { .type = 'f' }, sync = { .type = 'S' };
	bool did = false;

	if (w->has_barrier || w->backend.in_count > 0)
		return false;
	if (w->q.copy == EXCHANGE_COPY_IN && !w->q.copy_end_sent) {
		client_puts(w, &fail);
		did = true;
	}
	if (w->q.open) {
		client_puts(w, &sync);
		did = true;
	}
	return did;
}

void world_end(struct world *w)
{
	bool goes_on = true;

	tell(w, "", '|', "");
	w->client_is_gone = true;
	while (goes_on && !is_over(w)) {
		goes_on = backend_step(&w->backend) || w->backend.out_count > 0;
		router_receives(w);
		goes_on = finish_for_client(w) || goes_on;
		check(w);
	}
	/* A barrier that was skipped, or a doubt: such a server is closed. */
	if (!is_over(w) && !w->has_barrier && !w->q.in_doubt && !exchange_is_idle(&w->q))
		wrong(w, "never becomes idle");
}
