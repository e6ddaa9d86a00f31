/* SPDX-License-Identifier: ISC */
#include "session/errand.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "pg/frame.h"
#include "pg/wire.h"
#include "session/server.h"

static void on_timer(struct timer *, uint64_t now_us);

void errand_init(struct errand *e, const struct errand_ops *ops)
{
	*e = (struct errand){ .ops = ops };
	timer_init(&e->timer, on_timer);
	list_node_init(&e->in_worker);
}

/* Nothing of it is left anywhere; whoever it was for may start it again at once. */
static void finish(struct errand *e, enum errand_result result,
	const struct pool_error *error)
{
	static const struct pool_error none;
	struct slice *slice = e->slice;

	assert(e->lease.state == LEASE_NONE);
	e->state = ERRAND_RESTS;
	e->server = NULL;
	e->slice = NULL;
	timer_finish(&e->worker->timers, &e->timer);
	list_remove(&e->in_worker);
	if (slice != NULL)
		directory_own_done(slice);
	e->ops->done(e, result, error == NULL ? &none : error);
}

static void fail(struct errand *e, const char *sqlstate, const char *message)
{
	struct pool_error error;

	(void)snprintf(error.sqlstate, sizeof(error.sqlstate), "%s", sqlstate);
	(void)snprintf(error.message, sizeof(error.message), "%s", message);
	finish(e, ERRAND_ERROR, &error);
}

/* --- a server ------------------------------------------------------------------------ */

static bool take(struct errand *e)
{
	e->state = ERRAND_RUNS;
	e->server = server_from_ps(e->lease.server);
	if (server_run_errand(e->worker, e->server, e))
		return true;
	e->server = NULL;
	e->state = ERRAND_WAITS;
	return false;
}

/* One that turns out to be dead is closed, and the next one asked for. */
static void request(struct errand *e)
{
	struct worker *w = e->worker;
	enum lease_verdict verdict;

	do {
		struct monitor_actions actions;

		monitor_actions_init(&actions);
		verdict = monitor_request(e->slice->pool->monitor, &e->lease, e->slice,
			worker_now(w), &actions);
		worker_act(w, &actions);
	} while (verdict == LEASE_VERDICT_HELD && !take(e));
	switch (verdict) {
	case LEASE_VERDICT_WAIT:
		worker_rouse(w);
		return;
	case LEASE_VERDICT_HELD:
		return;
	case LEASE_VERDICT_ERROR:
		errand_refused(e);
		return;
	case LEASE_VERDICT_FULL:
		fail(e, "53300", "too many wait for a connection");
		return;
	}
}

void errand_start(struct errand *e, struct worker *w, struct route_host *host,
	const char *dbname, const char *sql, uint64_t timeout_us)
{
	assert(e->state == ERRAND_RESTS);
	e->state = ERRAND_WAITS;
	e->worker = w;
	e->sql = sql;
	lease_init(&e->lease, w->index, 0);
	e->lease.is_errand = true;
	list_push_back(&w->errands, &e->in_worker);
	if (!directory_own(w->router->directory, host, dbname, &e->slice)) {
		fail(e, "28000", "the router has no login of its own at this host");
		return;
	}
	timer_set(&w->timers, &e->timer, worker_now(w) + timeout_us);
	request(e);
}

void errand_granted(struct errand *e)
{
	if (!take(e))
		request(e);
}

void errand_refused(struct errand *e)
{
	struct pool_error error;

	monitor_refusal(e->slice->pool->monitor, e->slice->pool, &error);
	finish(e, ERRAND_ERROR, &error);
}

/* --- the answer ---------------------------------------------------------------------- */

bool errand_row(struct errand *e, const struct frame *f)
{
	struct errand_column columns[ERRAND_COLUMNS_MAX];
	struct wire_in in;
	size_t count;

	wire_init(&in, f->body, f->body_len);
	count = wire_u16(&in);
	if (count > ERRAND_COLUMNS_MAX)
		return false;
	for (size_t i = 0; i < count; i++) {
		uint32_t len = wire_u32(&in);

		columns[i] = (struct errand_column){ 0 };
		if (len == UINT32_MAX)
			continue;
		columns[i].len = len;
		columns[i].data = (const char *)wire_bytes(&in, len);
	}
	if (!wire_done(&in))
		return false;
	e->ops->row(e, columns, count);
	return true;
}

void errand_answered(struct errand *e, const struct pool_error *error)
{
	finish(e, error == NULL ? ERRAND_OK : ERRAND_ERROR, error);
}

/* --- ending before ------------------------------------------------------------------- */

static void give_up(struct errand *e, enum errand_result result)
{
	struct monitor_actions actions;
	struct monitor *m = e->slice->pool->monitor;
	struct pool_error error = { .sqlstate = "" };
	struct worker *w = e->worker;

	monitor_actions_init(&actions);
	if (e->state == ERRAND_RUNS) {
		server_errand_gone(e->server);
	} else {
		if (!monitor_last_error(m, e->slice->pool, &error))
			error.sqlstate[0] = '\0';
		monitor_withdraw(m, &e->lease, worker_now(w), &actions);
		worker_act(w, &actions);
	}
	finish(e, result, &error);
}

static void on_timer(struct timer *timer, uint64_t now_us)
{
	(void)now_us;
	give_up(container_of(timer, struct errand, timer), ERRAND_TIMEOUT);
}

void errand_abort_all(struct worker *w)
{
	struct list_node *node;

	while ((node = list_first(&w->errands)) != NULL)
		give_up(container_of(node, struct errand, in_worker), ERRAND_ABORTED);
}
