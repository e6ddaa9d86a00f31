/* SPDX-License-Identifier: ISC */
/*
 * SHOW STATS, STATS_TOTALS, STATS_AVERAGES, TOTALS: the counters of
 * include/stats.def, under the names that PgBouncer gives them in each view.
 */
#include <stdlib.h>
#include <string.h>

#include "admin/show.h"
#include "admin/stats.h"

struct stats_row {
	const char *database;
	uint64_t total[STAT_COUNT];
	uint64_t avg[STAT_COUNT];
};

struct total_row {
	const char *name;
	uint64_t value;
};

/* The words of stats.def, as constants that a table can point to. */
#define STAT(field, column, help) static const char help_##field[] = help;
#include "stats.def"
#undef STAT

#define TOTAL(name, stat)                                                                \
	{ (name), TABLE_NUMERIC, offsetof(struct stats_row, total[STAT_##stat]),         \
		"since the start", help_##stat }
#define AVG(name, stat, unit)                                                            \
	{ (name), TABLE_NUMERIC, offsetof(struct stats_row, avg[STAT_##stat]), unit,     \
		help_##stat }

static const struct table_column stats_columns[] = {
	TABLE_COLUMN(TEXT, stats_row, database, "", "The name that clients ask for."),
	TOTAL("total_server_assignment_count", server_assignment_count),
	TOTAL("total_xact_count", xact_count),
	TOTAL("total_query_count", query_count),
	TOTAL("total_received", received),
	TOTAL("total_sent", sent),
	TOTAL("total_xact_time", xact_time),
	TOTAL("total_query_time", query_time),
	TOTAL("total_wait_time", wait_time),
	TOTAL("total_client_parse_count", client_parse_count),
	TOTAL("total_server_parse_count", server_parse_count),
	TOTAL("total_bind_count", bind_count),
	TOTAL("total_client_login_count", client_login_count),
	AVG("avg_server_assignment_count", server_assignment_count, "per second"),
	AVG("avg_xact_count", xact_count, "per second"),
	AVG("avg_query_count", query_count, "per second"),
	AVG("avg_recv", received, "per second"),
	AVG("avg_sent", sent, "per second"),
	AVG("avg_xact_time", xact_time, "per transaction"),
	AVG("avg_query_time", query_time, "per query"),
	AVG("avg_wait_time", wait_time, "per second"),
	AVG("avg_client_parse_count", client_parse_count, "per second"),
	AVG("avg_server_parse_count", server_parse_count, "per second"),
	AVG("avg_bind_count", bind_count, "per second"),
	AVG("avg_client_login_count", client_login_count, "per second"),
	/* Its name before PgBouncer 1.8, which Debian's exporter asks for. */
	TOTAL("total_requests", query_count),
};
const struct table show_stats_table = TABLE_OF(stats_columns);

static const struct table_column totals_columns[] = {
	TABLE_COLUMN(TEXT, stats_row, database, "", "The name that clients ask for."),
	TOTAL("server_assignment_count", server_assignment_count),
	TOTAL("xact_count", xact_count),
	TOTAL("query_count", query_count),
	TOTAL("bytes_received", received),
	TOTAL("bytes_sent", sent),
	TOTAL("xact_time", xact_time),
	TOTAL("query_time", query_time),
	TOTAL("wait_time", wait_time),
	TOTAL("client_parse_count", client_parse_count),
	TOTAL("server_parse_count", server_parse_count),
	TOTAL("bind_count", bind_count),
	TOTAL("client_login_count", client_login_count),
};
const struct table show_stats_totals_table = TABLE_OF(totals_columns);

/* The names are PgBouncer's, with the prefix on some of them. */
static const struct table_column averages_columns[] = {
	TABLE_COLUMN(TEXT, stats_row, database, "", "The name that clients ask for."),
	AVG("server_assignment_count", server_assignment_count, "per second"),
	AVG("xact_count", xact_count, "per second"),
	AVG("query_count", query_count, "per second"),
	AVG("bytes_received", received, "per second"),
	AVG("bytes_sent", sent, "per second"),
	AVG("xact_time", xact_time, "per transaction"),
	AVG("query_time", query_time, "per query"),
	AVG("wait_time", wait_time, "per second"),
	AVG("avg_client_parse_count", client_parse_count, "per second"),
	AVG("avg_server_parse_count", server_parse_count, "per second"),
	AVG("avg_bind_count", bind_count, "per second"),
	AVG("avg_client_login_count", client_login_count, "per second"),
};
const struct table show_stats_averages_table = TABLE_OF(averages_columns);

/* Rows of SHOW TOTALS, behind total_ and avg_. */
static const struct {
	const char *total;
	const char *avg;
	enum stats_field stat;
} totals_rows[] = {
#define ROW(name, stat) { "total_" name, "avg_" name, STAT_##stat }
	ROW("server_assignment_count", server_assignment_count),
	ROW("xact_count", xact_count),
	ROW("query_count", query_count),
	ROW("client_bytes", received),
	ROW("server_bytes", sent),
	ROW("xact_time", xact_time),
	ROW("query_time", query_time),
	ROW("wait_time", wait_time),
	ROW("ps_client_parse_count", client_parse_count),
	ROW("ps_server_parse_count", server_parse_count),
	ROW("ps_bind_count", bind_count),
	ROW("client_login_count", client_login_count),
#undef ROW
};

_Static_assert(COUNT_OF(totals_columns) == STAT_COUNT + 1, "a counter is not shown");
_Static_assert(COUNT_OF(averages_columns) == STAT_COUNT + 1, "a counter is not shown");
_Static_assert(COUNT_OF(stats_columns) == 2 * STAT_COUNT + 2, "a counter is not shown");
_Static_assert(COUNT_OF(totals_rows) == STAT_COUNT, "a counter is not shown");

/* Runs add() with the counters of now, under the lock of the averages. */
static enum ask_result with_look(struct ask *ask,
	void (*add)(struct ask *, const struct averages_look *))
{
	struct console *console = ask->console;
	struct averages_look look;

	if (stats_look(console, &look) < 0) {
		ask->out.failed = true;
		return ASK_DONE;
	}
	pthread_mutex_lock(&console->lock);
	add(ask, &look);
	pthread_mutex_unlock(&console->lock);
	free(look.rows);
	show_end(ask);
	return ASK_DONE;
}

static void add_rows(struct ask *ask, const struct averages_look *look)
{
	table_head(ask->table, &ask->out);
	for (size_t i = 0; i < look->count; i++) {
		struct stats_row row = { .database = look->rows[i].name };

		memcpy(row.total, look->rows[i].totals, sizeof(row.total));
		averages_get(&ask->console->averages, row.database, row.avg);
		table_row(ask->table, &row, &ask->out);
	}
}

static enum ask_result show_rows(struct ask *ask, const struct table *table)
{
	ask->table = table;
	return with_look(ask, add_rows);
}

enum ask_result show_stats(struct ask *ask)
{
	return show_rows(ask, &show_stats_table);
}

enum ask_result show_stats_totals(struct ask *ask)
{
	return show_rows(ask, &show_stats_totals_table);
}

enum ask_result show_stats_averages(struct ask *ask)
{
	return show_rows(ask, &show_stats_averages_table);
}

static const struct table_column sum_columns[] = {
	TABLE_COLUMN(TEXT, total_row, name, "", "A column of SHOW STATS."),
	TABLE_COLUMN(NUMERIC, total_row, value, "",
		"What it is for all databases together."),
};
const struct table show_totals_table = TABLE_OF(sum_columns);

static void add_totals(struct ask *ask, const struct averages_look *look)
{
	uint64_t sum[STAT_COUNT], avg[STAT_COUNT];

	memcpy(sum, look->gone, sizeof(sum));
	for (size_t i = 0; i < look->count; i++) {
		for (size_t k = 0; k < STAT_COUNT; k++)
			sum[k] += look->rows[i].totals[k];
	}
	averages_get(&ask->console->averages, NULL, avg);
	table_head(&show_totals_table, &ask->out);
	for (size_t i = 0; i < COUNT_OF(totals_rows); i++) {
		struct total_row row = { totals_rows[i].total, sum[totals_rows[i].stat] };

		table_row(&show_totals_table, &row, &ask->out);
	}
	for (size_t i = 0; i < COUNT_OF(totals_rows); i++) {
		struct total_row row = { totals_rows[i].avg, avg[totals_rows[i].stat] };

		table_row(&show_totals_table, &row, &ask->out);
	}
}

enum ask_result show_totals(struct ask *ask)
{
	return with_look(ask, add_totals);
}
