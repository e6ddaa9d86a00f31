/* SPDX-License-Identifier: ISC */
/*
 * SHOW WORKLOADS: how each port does, over all hosts.
 */
#include <stdlib.h>
#include <string.h>

#include "admin/show.h"
#include "admin/snap.h"
#include "base/clock.h"
#include "config/config.h"

enum { LIST_SIZE = 512 };

struct workload_row {
	const char *workload;
	const char *pool_mode;
	const char *listen;
	uint32_t clients;
	uint32_t max_client_conn;
	uint32_t guaranteed;
	uint32_t max;
	uint32_t used;
	uint32_t borrowed;
	uint32_t active;
	uint32_t idle;
	uint32_t waiting;
	uint32_t maxwait;
	uint32_t maxwait_us;
	const char *waiting_for;
	const char *host;
	uint32_t lease_id;
	uint64_t lease_ms;
	uint64_t oldest_us;
	uint64_t lease_us;
	bool is_alive;
	/* What the texts above point to. */
	char listen_text[LIST_SIZE];
	char host_text[LIST_SIZE];
};

static const struct table_column workload_columns[] = {
	TABLE_COLUMN(TEXT, workload_row, workload, "", "Name of the workload."),
	TABLE_COLUMN(TEXT, workload_row, pool_mode, "", "Its setting."),
	TABLE_COLUMN(TEXT, workload_row, listen, "", "Its addresses."),
	TABLE_COLUMN(U32, workload_row, clients, "",
		"Clients that are connected, those of the console not counted."),
	TABLE_COLUMN(U32, workload_row, max_client_conn, "", "How many there may be."),
	TABLE_COLUMN(U32, workload_row, guaranteed, "", "Servers that it always gets."),
	TABLE_COLUMN(U32, workload_row, max, "", "Servers that it may have."),
	TABLE_COLUMN(U32, workload_row, used, "", "Servers that it has."),
	TABLE_COLUMN(U32, workload_row, borrowed, "",
		"How many of them are more than guaranteed on their host."),
	TABLE_COLUMN(U32, workload_row, active, "", "Those that have a client."),
	TABLE_COLUMN(U32, workload_row, idle, "", "Those that have none."),
	TABLE_COLUMN(U32, workload_row, waiting, "", "Clients in the queue."),
	TABLE_COLUMN(U32, workload_row, maxwait, "seconds",
		"How long the first of them waits."),
	TABLE_COLUMN(U32, workload_row, maxwait_us, "microseconds",
		"The rest of that time."),
	TABLE_COLUMN(TEXT, workload_row, waiting_for, "", "What for, in a word."),
	TABLE_COLUMN(TEXT, workload_row, host, "", "The hosts, as a list."),
	TABLE_COLUMN_AS("oldest_lease_id", U32, workload_row, lease_id, "",
		"The client, in SHOW CLIENTS, that has its server for longest."),
	TABLE_COLUMN_AS("oldest_lease_ms", NUMERIC, workload_row, lease_ms, "milliseconds",
		"For how long."),
};
const struct table show_workload_table = TABLE_OF(workload_columns);

static void row_add_share(
	struct workload_row *row, const struct route_host *h, const struct snap_share *s)
{
	if (!snap_share_is_alive(s))
		return;
	row->is_alive = true;
	row->workload = s->workload;
	row->guaranteed += s->guaranteed;
	row->max += s->max;
	row->used += s->used;
	row->borrowed += s->borrowed;
	row->active += s->leased;
	row->idle += s->idle;
	row->waiting += s->waiting;
	if (s->oldest_us != 0 && (row->oldest_us == 0 || s->oldest_us < row->oldest_us))
		row->oldest_us = s->oldest_us;
	if (s->lease_us != 0 && (row->lease_us == 0 || s->lease_us < row->lease_us)) {
		row->lease_us = s->lease_us;
		row->lease_id = (uint32_t)(s->lease_client & INT32_MAX);
	}
	show_list_add(row->host_text, sizeof(row->host_text), h->name);
}

static uint32_t add_shares(struct workload_row *rows, struct directory *d)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < directory_host_count(d); i++) {
		struct route_host *h = directory_host(d, i);
		struct snap_budget budget;

		snap_budget(h, &budget);
		for (uint32_t k = 0; k < budget.share_count; k++)
			row_add_share(&rows[k], h, &budget.shares[k]);
		count = budget.share_count > count ? budget.share_count : count;
	}
	return count;
}

/* Of each workload that of the first who waits; nobody is asked when nobody does. */
static int add_reasons(struct workload_row *rows, uint32_t count, struct directory *d)
{
	struct snap_waiters waiters;
	uint32_t waiting = 0;

	for (uint32_t i = 0; i < count; i++)
		waiting += rows[i].waiting;
	if (waiting == 0)
		return 0;
	if (snap_waiters(d, &waiters) < 0)
		return -1;
	for (size_t i = 0; i < waiters.count; i++) {
		struct workload_row *row = &rows[waiters.rows[i].workload_index];

		/* Who came after we counted is not told of. */
		if (row->waiting > 0 && row->waiting_for == NULL)
			row->waiting_for = wait_reason_word(waiters.rows[i].wait.reason);
	}
	snap_waiters_finish(&waiters);
	return 0;
}

static void add_workload(struct ask *ask, struct workload_row *row, uint32_t index,
	const struct config *config, uint64_t now_us)
{
	struct route_workload *w = directory_workload(ask_directory(ask), index);
	const struct config_workload *conf = NULL;
	uint64_t wait_us = show_elapsed_us(row->oldest_us, now_us);

	if (w != NULL) {
		row->workload = w->name;
		row->pool_mode = route_mode_name(w->mode);
		row->clients = atomic_load(&w->clients);
		row->max_client_conn = atomic_load(&w->max_client_conn);
		/* One that has changed its mode has left its name to another one. */
		if (directory_current_workload(ask_directory(ask), w->name) == w)
			conf = config_find_workload(config, w->name);
	}
	if (!row->is_alive && conf == NULL && row->clients == 0)
		return;
	for (size_t i = 0; conf != NULL && i < conf->options.listen.count; i++)
		show_list_add(row->listen_text, sizeof(row->listen_text),
			conf->options.listen.items[i]);
	row->listen = row->listen_text[0] == '\0' ? NULL : row->listen_text;
	row->host = row->host_text[0] == '\0' ? NULL : row->host_text;
	row->lease_ms = show_elapsed_us(row->lease_us, now_us) / USEC_PER_MSEC;
	row->maxwait = (uint32_t)(wait_us / USEC_PER_SEC);
	row->maxwait_us = (uint32_t)(wait_us % USEC_PER_SEC);
	table_row(&show_workload_table, row, &ask->out);
}

enum ask_result show_workloads(struct ask *ask)
{
	struct directory *d = ask_directory(ask);
	struct config *config = directory_config(d);
	struct workload_row *rows = calloc(BUDGET_SHARES_MAX, sizeof(*rows));
	uint64_t now_us = clock_now_us();
	uint32_t count = 0;

	if (rows != NULL)
		count = add_shares(rows, d);
	if (rows == NULL || add_reasons(rows, count, d) < 0)
		ask->out.failed = true;
	table_head(&show_workload_table, &ask->out);
	for (uint32_t i = 0; i < count; i++)
		add_workload(ask, &rows[i], i, config, now_us);
	free(rows);
	config_unref(config);
	show_end(ask);
	return ASK_DONE;
}
