/* SPDX-License-Identifier: ISC */
/*
 * SHOW WORKLOADS, SHOW BUDGET: who has which part of the connections to a host.
 */
#include <string.h>

#include "admin/show.h"
#include "admin/snap.h"
#include "base/clock.h"
#include "config/config.h"

struct workload_row {
	const char *workload;
	const char *host;
	const char *pool_mode;
	uint32_t guaranteed;
	uint32_t max;
	uint32_t used;
	uint32_t borrowed;
	uint32_t active;
	uint32_t idle;
	uint32_t closing;
	uint32_t waiting;
	uint32_t maxwait;
	uint32_t maxwait_us;
	uint32_t clients;
};

static const struct table_column workload_columns[] = {
	TABLE_COLUMN(TEXT, workload_row, workload),
	TABLE_COLUMN(TEXT, workload_row, host),
	TABLE_COLUMN(TEXT, workload_row, pool_mode),
	TABLE_COLUMN(U32, workload_row, guaranteed),
	TABLE_COLUMN(U32, workload_row, max),
	TABLE_COLUMN(U32, workload_row, used),
	TABLE_COLUMN(U32, workload_row, borrowed),
	TABLE_COLUMN(U32, workload_row, active),
	TABLE_COLUMN(U32, workload_row, idle),
	TABLE_COLUMN(U32, workload_row, closing),
	TABLE_COLUMN(U32, workload_row, waiting),
	TABLE_COLUMN(U32, workload_row, maxwait),
	TABLE_COLUMN(U32, workload_row, maxwait_us),
	TABLE_COLUMN(U32, workload_row, clients),
};
static const struct table workload_table = TABLE_OF(workload_columns);

static uint32_t borrowed_by(const struct snap_share *s)
{
	return s->used > s->guaranteed ? s->used - s->guaranteed : 0;
}

/* What the pools of this host say about this workload. */
static void row_add_pools(struct workload_row *row, const struct route_host *h,
	uint32_t workload, const struct snap_pools *pools)
{
	uint64_t now_us = clock_now_us(), wait_us = 0;

	for (size_t i = 0; i < pools->count; i++) {
		const struct snap_pool *p = &pools->rows[i];

		if (p->host != h || p->workload_index != workload)
			continue;
		row->clients += p->clients;
		row->active += p->servers[SERVER_LEASED];
		if (p->oldest_us != 0 && now_us > p->oldest_us &&
			now_us - p->oldest_us > wait_us)
			wait_us = now_us - p->oldest_us;
	}
	row->maxwait = (uint32_t)(wait_us / USEC_PER_SEC);
	row->maxwait_us = (uint32_t)(wait_us % USEC_PER_SEC);
}

/* A workload that is configured to use the host, or still has servers there. */
static bool is_shown(const struct config *config, const struct route_host *h,
	const struct snap_share *s)
{
	const struct config_host *host = config_find_host(config, h->name);
	const struct config_workload *w = config_find_workload(config, s->workload);

	if (s->used > 0 || s->waiting > 0)
		return true;
	return host != NULL && w != NULL && w->shares[host - config->hosts].is_used;
}

static void add_workloads(struct ask *ask, struct route_host *h,
	const struct config *config, const struct snap_pools *pools)
{
	struct snap_budget budget;

	snap_budget(h, &budget);
	for (uint32_t i = 0; i < budget.share_count; i++) {
		const struct snap_share *s = &budget.shares[i];
		const struct route_workload *w =
			directory_workload(ask_directory(ask), i);
		struct workload_row row = { .workload = s->workload,
			.host = h->name,
			.pool_mode = w == NULL ? NULL : route_mode_name(w->mode),
			.guaranteed = s->guaranteed,
			.max = s->max,
			.used = s->used,
			.borrowed = borrowed_by(s),
			.idle = s->idle,
			.closing = s->closing,
			.waiting = s->waiting };

		if (!is_shown(config, h, s))
			continue;
		row_add_pools(&row, h, i, pools);
		table_row(&workload_table, &row, &ask->out);
	}
}

enum ask_result show_workloads(struct ask *ask)
{
	struct directory *d = ask_directory(ask);
	struct config *config = directory_config(d);
	struct snap_pools pools;

	if (snap_pools(d, &pools) < 0)
		ask->out.failed = true;
	table_head(&workload_table, &ask->out);
	for (uint32_t i = 0; i < directory_host_count(d); i++)
		add_workloads(ask, directory_host(d, i), config, &pools);
	snap_pools_finish(&pools);
	config_unref(config);
	show_end(ask);
	return ASK_DONE;
}

/* --- BUDGET ---------------------------------------------------------------------- */

struct budget_row {
	const char *host;
	uint32_t connection_budget;
	uint32_t used;
	uint32_t free;
	uint32_t guaranteed;
	uint32_t borrowed;
	uint32_t connecting;
	uint32_t idle;
	uint32_t closing;
	uint32_t waiting;
	uint32_t cancel_connections;
	const char *error;
};

static const struct table_column budget_columns[] = {
	TABLE_COLUMN(TEXT, budget_row, host),
	TABLE_COLUMN(U32, budget_row, connection_budget),
	TABLE_COLUMN(U32, budget_row, used),
	TABLE_COLUMN(U32, budget_row, free),
	TABLE_COLUMN(U32, budget_row, guaranteed),
	TABLE_COLUMN(U32, budget_row, borrowed),
	TABLE_COLUMN(U32, budget_row, connecting),
	TABLE_COLUMN(U32, budget_row, idle),
	TABLE_COLUMN(U32, budget_row, closing),
	TABLE_COLUMN(U32, budget_row, waiting),
	TABLE_COLUMN(U32, budget_row, cancel_connections),
	TABLE_COLUMN(TEXT, budget_row, error),
};
static const struct table budget_table = TABLE_OF(budget_columns);

static void add_budget(struct ask *ask, struct route_host *h, const struct config *config)
{
	struct snap_budget budget;
	struct budget_row row;

	snap_budget(h, &budget);
	if (budget.used == 0 && config_find_host(config, h->name) == NULL)
		return;
	row = (struct budget_row){
		.host = h->name,
		.connection_budget = budget.limit,
		.used = budget.used,
		.free = budget.limit > budget.used ? budget.limit - budget.used : 0,
		.connecting = budget.connecting,
		.idle = budget.idle,
		.closing = budget.closing,
		.waiting = budget.waiting,
		.cancel_connections = atomic_load(&h->cancels),
		.error = budget.error.sqlstate[0] == '\0' ? NULL : budget.error.message,
	};
	for (uint32_t i = 0; i < budget.share_count; i++) {
		row.guaranteed += budget.shares[i].guaranteed;
		row.borrowed += borrowed_by(&budget.shares[i]);
	}
	table_row(&budget_table, &row, &ask->out);
}

enum ask_result show_budget(struct ask *ask)
{
	struct directory *d = ask_directory(ask);
	struct config *config = directory_config(d);

	table_head(&budget_table, &ask->out);
	for (uint32_t i = 0; i < directory_host_count(d); i++)
		add_budget(ask, directory_host(d, i), config);
	config_unref(config);
	show_end(ask);
	return ASK_DONE;
}
