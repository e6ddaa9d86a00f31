/* SPDX-License-Identifier: ISC */
#include "admin/stats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/slog.h"

struct looking {
	struct averages_look look;
	size_t capacity;
	uint32_t workers;
};

static void add_database(const struct route_database *database, void *arg)
{
	struct looking *l = arg;
	size_t at = l->look.count++;

	if (at >= l->capacity)
		return;
	(void)snprintf(l->look.rows[at].name, sizeof(l->look.rows[at].name), "%s",
		database->name);
	route_database_sum(database, l->workers, l->look.rows[at].totals);
}

static int compare_rows(const void *a, const void *b)
{
	return strcmp(((const struct averages_row *)a)->name,
		((const struct averages_row *)b)->name);
}

static bool look_at_databases(struct looking *l, struct directory *d)
{
	l->workers = directory_workers(d);
	for (;;) {
		struct averages_row *rows;

		l->look.count = 0;
		directory_each_database(d, add_database, l, l->look.gone);
		/* One more is for the console itself. */
		if (l->look.count < l->capacity)
			return true;
		rows = realloc(l->look.rows, (l->look.count + 8) * sizeof(*rows));
		if (rows == NULL)
			return false;
		l->look.rows = rows;
		l->capacity = l->look.count + 8;
	}
}

/* Commands of the console, and logins there, count for the database pgbouncer. */
static void add_console(struct looking *l, const struct console *console)
{
	struct averages_row *row = &l->look.rows[l->look.count++];
	uint64_t commands =
		atomic_load_explicit(&console->commands, memory_order_relaxed);

	*row = (struct averages_row){ .name = "pgbouncer" };
	row->totals[STAT_query_count] = commands;
	row->totals[STAT_xact_count] = commands;
	row->totals[STAT_client_login_count] = atomic_load_explicit(
		&console->router->console_logins, memory_order_relaxed);
	row->totals[STAT_received] =
		atomic_load_explicit(&console->received_bytes, memory_order_relaxed);
	row->totals[STAT_sent] =
		atomic_load_explicit(&console->sent_bytes, memory_order_relaxed);
}

int stats_look(const struct console *console, struct averages_look *out)
{
	struct looking l = { .capacity = 0 };

	if (!look_at_databases(&l, console->router->directory)) {
		free(l.look.rows);
		return -ENOMEM;
	}
	add_console(&l, console);
	qsort(l.look.rows, l.look.count, sizeof(l.look.rows[0]), compare_rows);
	l.look.at_us = clock_now_us();
	*out = l.look;
	return 0;
}

/* --- each period ------------------------------------------------------------------ */

static void write_line(const uint64_t avg[STAT_COUNT])
{
	SLOG(INFO, "stats",
		"xacts_per_s=%" PRIu64 " queries_per_s=%" PRIu64 " logins_per_s=%" PRIu64
		" in_bytes_per_s=%" PRIu64 " out_bytes_per_s=%" PRIu64
		" avg_xact_us=%" PRIu64 " avg_query_us=%" PRIu64 " wait_us_per_s=%" PRIu64,
		avg[STAT_xact_count], avg[STAT_query_count], avg[STAT_client_login_count],
		avg[STAT_received], avg[STAT_sent], avg[STAT_xact_time],
		avg[STAT_query_time], avg[STAT_wait_time]);
}

void console_tick(struct console *console, uint64_t period_us, bool is_logged)
{
	struct averages_look look;
	uint64_t avg[STAT_COUNT];
	bool is_due;

	pthread_mutex_lock(&console->lock);
	is_due = averages_are_due(&console->averages, period_us, clock_now_us());
	pthread_mutex_unlock(&console->lock);
	/* Without memory for it the next tick tries again. */
	if (!is_due || stats_look(console, &look) < 0)
		return;
	pthread_mutex_lock(&console->lock);
	averages_note(&console->averages, &look);
	averages_get(&console->averages, NULL, avg);
	pthread_mutex_unlock(&console->lock);
	if (is_logged)
		write_line(avg);
}
