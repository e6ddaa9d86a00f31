/* SPDX-License-Identifier: ISC */
#include "session/watch.h"

#include <stdlib.h>
#include <string.h>

#include "base/slog.h"
#include "session/errand.h"

enum {
	WATCH_TIMEOUT_US = 10000000,
	WATCH_BACKOFF_MAX_US = 60000000,
	WATCH_DENIED_US = 10000000,
	WATCH_PIDS_MAX = 262143         /* PostgreSQL's largest max_connections */
};

/*
 * A row for each client's session that PostgreSQL has, with the settings in each: this
 * one is among them, so there is a row.  Whose sessions of others' a login without
 * pg_monitor may not look into shows no backend_type there: those that have a user and
 * a database are taken for clients.  PostgreSQL 15 has no reserved_connections.
 */
static const char question[] =
	"SELECT pg_catalog.current_setting('max_connections'),"
	" pg_catalog.current_setting('superuser_reserved_connections'),"
	" pg_catalog.current_setting('reserved_connections', true), pid"
	" FROM pg_catalog.pg_stat_activity"
	" WHERE backend_type OPERATOR(pg_catalog.=) 'client backend' OR"
	" backend_type IS NULL AND usesysid IS NOT NULL AND datid IS NOT NULL";

enum { COLUMN_MAX, COLUMN_SUPERUSER, COLUMN_RESERVED, COLUMN_PID, COLUMNS };

struct watch {
	struct errand errand;
	struct worker *worker;
	struct route_host *host;
	uint64_t due_us;
	uint64_t denied_due_us;
	uint64_t generation;            /* of the configuration at the last look */
	uint32_t failures;
	bool is_bad;                    /* an answer that makes no sense, or no memory */
	uint32_t max_connections;
	uint32_t reserved;
	uint32_t *pids;
	size_t pid_count;
	size_t pid_room;
};

/* --- the answer ---------------------------------------------------------------------- */

/* A setting or a pid; one that this version of PostgreSQL does not have is 0. */
static bool number(const struct errand_column *column, uint32_t *out)
{
	uint64_t value = 0;

	*out = 0;
	if (column->data == NULL)
		return true;
	for (size_t i = 0; i < column->len; i++) {
		unsigned digit = (unsigned)column->data[i] - '0';

		value = value * 10 + digit;
		if (digit > 9 || value > INT32_MAX)
			return false;
	}
	*out = (uint32_t)value;
	return column->len > 0;
}

static bool add_pid(struct watch *watch, uint32_t pid)
{
	uint32_t *more;
	size_t room;

	if (watch->pid_count == watch->pid_room) {
		room = watch->pid_room == 0 ? 64 : watch->pid_room * 2;
		more = watch->pid_count >= WATCH_PIDS_MAX ? NULL :
			realloc(watch->pids, room * sizeof(*more));
		if (more == NULL)
			return false;
		watch->pids = more;
		watch->pid_room = room;
	}
	watch->pids[watch->pid_count++] = pid;
	return true;
}

static void on_row(struct errand *e, const struct errand_column *columns, size_t count)
{
	struct watch *watch = container_of(e, struct watch, errand);
	uint32_t superuser, reserved, pid;

	if (count == COLUMNS && number(&columns[COLUMN_MAX], &watch->max_connections) &&
		number(&columns[COLUMN_SUPERUSER], &superuser) &&
		number(&columns[COLUMN_RESERVED], &reserved) &&
		number(&columns[COLUMN_PID], &pid) && add_pid(watch, pid))
		watch->reserved = superuser + reserved;
	else
		watch->is_bad = true;
}

static int compare_pids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

struct ours {
	const struct watch *watch;
	uint32_t count;
};

static void count_ours(const struct pool_server *s, void *arg)
{
	struct ours *ours = arg;
	const struct watch *watch = ours->watch;

	ours->count += s->backend_pid != 0 && bsearch(&s->backend_pid, watch->pids,
		watch->pid_count, sizeof(*watch->pids), compare_pids) != NULL;
}

static uint32_t others(struct watch *watch)
{
	struct ours ours = { .watch = watch };

	qsort(watch->pids, watch->pid_count, sizeof(*watch->pids), compare_pids);
	monitor_each_server(&watch->host->monitor, count_ours, &ours);
	return (uint32_t)watch->pid_count - ours.count;
}

/* --- one look after the other -------------------------------------------------------- */

/* Ever later while it fails. */
static uint64_t pause_us(const struct watch *watch)
{
	uint64_t interval = atomic_load(&watch->host->watch_us);
	uint64_t delay = interval;

	for (uint32_t i = 0; i < watch->failures && delay < WATCH_BACKOFF_MAX_US; i++)
		delay *= 2;
	return delay > WATCH_BACKOFF_MAX_US && interval < WATCH_BACKOFF_MAX_US ?
		WATCH_BACKOFF_MAX_US : delay;
}

static void failed(struct watch *watch, enum errand_result result,
	const struct pool_error *error)
{
	static const struct pool_error late = { "57014",
		"no connection was free, or PostgreSQL did not answer in time" };
	static const struct pool_error bad = { "08P01",
		"the answer to the router's question makes no sense" };
	const struct pool_error *why = &bad;

	if (error->sqlstate[0] != '\0')
		why = error;
	else if (result == ERRAND_TIMEOUT)
		why = &late;
	watch->failures++;
	directory_budget_unread(watch->worker->router->directory, watch->host, why);
}

static void on_done(struct errand *e, enum errand_result result,
	const struct pool_error *error)
{
	struct watch *watch = container_of(e, struct watch, errand);

	if (result == ERRAND_ABORTED)
		return;
	if (result == ERRAND_OK && !watch->is_bad && watch->pid_count > 0) {
		watch->failures = 0;
		directory_set_budget(watch->worker->router->directory, watch->host,
			watch->max_connections, watch->reserved, others(watch));
	} else {
		failed(watch, result, error);
	}
	watch->due_us = worker_now(watch->worker) + pause_us(watch);
	free(watch->pids);
	watch->pids = NULL;
	watch->pid_room = 0;
}

static const struct errand_ops watch_ops = { .row = on_row, .done = on_done };

static void look(struct watch *watch)
{
	watch->is_bad = false;
	watch->pid_count = 0;
	errand_start(&watch->errand, watch->worker, watch->host, NULL, question,
		WATCH_TIMEOUT_US);
}

static void tick(struct watch *watch, uint64_t now_us, uint64_t generation)
{
	if (now_us >= watch->denied_due_us) {
		watch->denied_due_us = now_us + WATCH_DENIED_US;
		route_host_tell_denied(watch->host);
	}
	if (watch->errand.state != ERRAND_RESTS || atomic_load(&watch->host->watch_us) == 0 ||
		atomic_load(&watch->worker->router->drain) == ROUTER_DRAINS_SERVERS)
		return;
	/* What has changed may be the reason that it failed. */
	if (watch->generation != generation) {
		watch->failures = 0;
		watch->due_us = now_us;
	}
	if (now_us < watch->due_us)
		return;
	watch->generation = generation;
	look(watch);
}

static struct watch *add_watch(struct worker *w, struct route_host *host)
{
	struct watch *watch = calloc(1, sizeof(*watch));

	if (watch == NULL)
		return NULL;
	errand_init(&watch->errand, &watch_ops);
	watch->worker = w;
	watch->host = host;
	w->watches[host->index] = watch;
	return watch;
}

void watch_tick(struct worker *w, uint64_t now_us)
{
	struct directory *d = w->router->directory;
	uint64_t generation = directory_generation(d);
	uint32_t hosts = directory_host_count(d);

	for (uint32_t i = 0; i < hosts; i++) {
		struct watch *watch = w->watches[i];

		if (watch == NULL)
			watch = add_watch(w, directory_host(d, i));
		if (watch != NULL)
			tick(watch, now_us, generation);
	}
}

void watch_destroy(struct worker *w)
{
	for (uint32_t i = 0; i < DIRECTORY_HOSTS_MAX; i++) {
		if (w->watches[i] != NULL)
			free(w->watches[i]->pids);
		free(w->watches[i]);
		w->watches[i] = NULL;
	}
}
