/* SPDX-License-Identifier: ISC */
/*
 * SHOW HISTOGRAMS: how long things take, as /metrics tells it in buckets: what is no
 * more than a time for a part of them.
 */
#include "admin/show.h"
#include "config/config.h"
#include "route/times.h"

struct histogram_row {
	const char *workload;
	const char *host;
	const char *what;
	uint64_t count;
	uint64_t total_us;
	uint64_t p50_us;
	uint64_t p90_us;
	uint64_t p99_us;
	uint64_t p999_us;
};

static const struct table_column histogram_columns[] = {
	TABLE_COLUMN(TEXT, histogram_row, workload, "",
		"Name of the workload; NULL for what is about a host."),
	TABLE_COLUMN(TEXT, histogram_row, host, "",
		"Name of the host; NULL for what is about a workload."),
	TABLE_COLUMN(TEXT, histogram_row, what, "",
		"What took time: wait, login, transaction, query; connect."),
	TABLE_COLUMN(NUMERIC, histogram_row, count, "",
		"How many there were, since the start."),
	TABLE_COLUMN(NUMERIC, histogram_row, total_us, "microseconds", "Their sum."),
	TABLE_COLUMN(NUMERIC, histogram_row, p50_us, "microseconds",
		"Bound that half of them did not exceed."),
	TABLE_COLUMN(NUMERIC, histogram_row, p90_us, "microseconds",
		"Bound that 90 of 100 did not exceed."),
	TABLE_COLUMN(NUMERIC, histogram_row, p99_us, "microseconds",
		"Bound that 99 of 100 did not exceed."),
	TABLE_COLUMN(NUMERIC, histogram_row, p999_us, "microseconds",
		"Bound that 999 of 1000 did not exceed."),
};
const struct table show_histogram_table = TABLE_OF(histogram_columns);

static void add_row(struct ask *ask, const char *workload, const char *host, const char *what,
	const struct times_sum *times)
{
	const struct histogram_row row = { .workload = workload,
		.host = host,
		.what = what,
		.count = times->up_to[TIMES_BOUNDS],
		.total_us = times->sum_us,
		.p50_us = times_permille(times, 500),
		.p90_us = times_permille(times, 900),
		.p99_us = times_permille(times, 990),
		.p999_us = times_permille(times, 999) };

	table_row(&show_histogram_table, &row, &ask->out);
}

static void add_workload(struct ask *ask, struct route_workload *w)
{
	static const char *const words[] = { [WORKLOAD_TIME_WAIT] = "wait",
		[WORKLOAD_TIME_LOGIN] = "login",
		[WORKLOAD_TIME_TRANSACTION] = "transaction",
		[WORKLOAD_TIME_QUERY] = "query" };
	uint32_t workers = directory_workers(ask_directory(ask));
	struct times_sum times;

	_Static_assert(COUNT_OF(words) == WORKLOAD_TIME_COUNT, "a time is not told");
	for (uint32_t i = 0; i < WORKLOAD_TIME_COUNT; i++) {
		times_read(w->times + i, workers, WORKLOAD_TIME_COUNT, &times);
		add_row(ask, w->name, NULL, words[i], &times);
	}
}

enum ask_result show_histograms(struct ask *ask)
{
	struct directory *d = ask_directory(ask);
	struct config *config = directory_config(d);
	struct times_sum times;

	table_head(&show_histogram_table, &ask->out);
	for (size_t i = 0; i < config->workload_count; i++) {
		struct route_workload *w =
			directory_current_workload(d, config->workloads[i].name);

		if (w != NULL)
			add_workload(ask, w);
	}
	for (uint32_t i = 0; i < directory_host_count(d); i++) {
		struct route_host *h = directory_host(d, i);

		if (config_find_host(config, h->name) == NULL)
			continue;
		times_read(h->connects, directory_workers(d), 1, &times);
		add_row(ask, NULL, h->name, "connect", &times);
	}
	config_unref(config);
	show_end(ask);
	return ASK_DONE;
}
