/* SPDX-License-Identifier: ISC */
/*
 * SHOW POOLS, SHOW WORKLOAD_POOLS.
 *
 * PgBouncer has one row for each database and user, and exporters make these two
 * into labels that have to be unique.  Here several workloads may use one pool:
 * SHOW POOLS adds them up, and tells their modes and names as lists;
 * SHOW WORKLOAD_POOLS has a row for each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/alias.h"
#include "admin/show.h"
#include "base/clock.h"
#include "config/config.h"

enum { LIST_SIZE = 512 };

struct pool_row {
	const char *database;
	const char *user;
	uint32_t cl_active;
	uint32_t cl_waiting;
	uint32_t cl_active_cancel_req;
	uint32_t cl_waiting_cancel_req;
	uint32_t sv_active;
	uint32_t sv_active_cancel;
	uint32_t sv_being_canceled;
	uint32_t sv_idle;
	uint32_t sv_used;
	uint32_t sv_tested;
	uint32_t sv_login;
	uint32_t maxwait;
	uint32_t maxwait_us;
	const char *pool_mode;
	const char *load_balance_hosts;
	uint32_t sv_closing;
	const char *workload;
	const char *host;
	const char *error;
	uint64_t oldest_us;
	char modes[64];
	char workloads[LIST_SIZE];
	char hosts[LIST_SIZE];
};

static const struct table_column pool_columns[] = {
	TABLE_COLUMN(TEXT, pool_row, database, "", "The name that clients ask for."),
	TABLE_COLUMN(TEXT, pool_row, user, "", "The user that servers log in as."),
	TABLE_COLUMN(U32, pool_row, cl_active, "", "Clients that do not wait."),
	TABLE_COLUMN(U32, pool_row, cl_waiting, "",
		"Clients that wait for a server, and queries of the router's own (auth_query)."),
	TABLE_COLUMN(U32, pool_row, cl_active_cancel_req, "",
		"0: cancel requests belong to no pool."),
	TABLE_COLUMN(U32, pool_row, cl_waiting_cancel_req, "", "0, for the same reason."),
	TABLE_COLUMN(U32, pool_row, sv_active, "", "Servers that a client has."),
	TABLE_COLUMN(U32, pool_row, sv_active_cancel, "", "0, for the same reason."),
	TABLE_COLUMN(U32, pool_row, sv_being_canceled, "", "0, for the same reason."),
	TABLE_COLUMN(U32, pool_row, sv_idle, "", "Servers that nobody uses."),
	TABLE_COLUMN(U32, pool_row, sv_used, "",
		"Servers that are being cleaned after use."),
	TABLE_COLUMN(U32, pool_row, sv_tested, "",
		"Servers whose socket is being looked at."),
	TABLE_COLUMN(U32, pool_row, sv_login, "", "Servers that log in."),
	TABLE_COLUMN(U32, pool_row, maxwait, "seconds",
		"How long the first client in the queue waits."),
	TABLE_COLUMN(U32, pool_row, maxwait_us, "microseconds", "The rest of that time."),
	TABLE_COLUMN(TEXT, pool_row, pool_mode, "",
		"That of its workloads, as a list where they differ."),
	TABLE_COLUMN(TEXT, pool_row, load_balance_hosts, "",
		"NULL: the router has no such setting."),
	TABLE_COLUMN(U32, pool_row, sv_closing, "",
		"Servers that PostgreSQL has not closed yet."),
	TABLE_COLUMN(TEXT, pool_row, workload, "", "The workloads that use it, as a list."),
	TABLE_COLUMN(TEXT, pool_row, host, "", "The hosts that it is on, as a list."),
	TABLE_COLUMN(TEXT, pool_row, error, "",
		"Why PostgreSQL let nobody in at the last try, while that holds."),
};
const struct table show_pool_table = TABLE_OF(pool_columns);

/* A part of a pool and the name that clients know it by. */
struct part {
	const struct snap_pool *pool;
	const char *database;
};

static int compare_parts(const void *a, const void *b)
{
	const struct part *left = a, *right = b;
	int order = strcmp(left->database, right->database);

	if (order == 0)
		order = strcmp(left->pool->names.user, right->pool->names.user);
	if (order == 0)
		order = (int)left->pool->workload_index -
			(int)right->pool->workload_index;
	if (order == 0 && left->pool->host != NULL && right->pool->host != NULL)
		order = strcmp(left->pool->host->name, right->pool->host->name);
	return order;
}

static bool is_same_row(const struct part *a, const struct part *b, bool by_workload)
{
	return by_workload ? compare_parts(a, b) == 0 :
			     strcmp(a->database, b->database) == 0 &&
			strcmp(a->pool->names.user, b->pool->names.user) == 0;
}

static void row_begin(struct pool_row *row, const struct part *part)
{
	memset(row, 0, sizeof(*row));
	row->database = part->database;
	row->user = part->pool->names.user;
}

static void row_add(
	struct pool_row *row, const struct ask *ask, const struct snap_pool *p)
{
	const struct route_workload *w;

	row->cl_active += p->clients > p->waiting ? p->clients - p->waiting : 0;
	row->cl_waiting += p->waiting;
	row->sv_active += p->servers[SERVER_LEASED];
	row->sv_idle += p->servers[SERVER_IDLE];
	row->sv_used += p->servers[SERVER_CLEANING];
	row->sv_tested += p->servers[SERVER_CHECKING];
	row->sv_login += p->servers[SERVER_CONNECTING];
	row->sv_closing += p->servers[SERVER_CLOSING];
	if (row->error == NULL && p->error.sqlstate[0] != '\0')
		row->error = p->error.message;
	if (p->oldest_us != 0 && (row->oldest_us == 0 || p->oldest_us < row->oldest_us))
		row->oldest_us = p->oldest_us;
	if (p->host == NULL) {
		show_list_add(row->modes, sizeof(row->modes), "statement");
		return;
	}
	w = directory_workload(ask_directory(ask), p->workload_index);
	if (w != NULL)
		show_list_add(row->modes, sizeof(row->modes), route_mode_name(w->mode));
	show_list_add(row->workloads, sizeof(row->workloads), p->workload);
	show_list_add(row->hosts, sizeof(row->hosts), p->host->name);
}

static void row_end(struct pool_row *row, uint64_t now_us, struct buf *out)
{
	uint64_t wait_us = row->oldest_us != 0 && now_us > row->oldest_us ?
		now_us - row->oldest_us :
		0;

	row->maxwait = (uint32_t)(wait_us / USEC_PER_SEC);
	row->maxwait_us = (uint32_t)(wait_us % USEC_PER_SEC);
	row->pool_mode = row->modes;
	row->workload = row->workloads[0] == '\0' ? NULL : row->workloads;
	row->host = row->hosts[0] == '\0' ? NULL : row->hosts;
	table_row(&show_pool_table, row, out);
}

static void add_rows(struct ask *ask, struct part *parts, size_t count, bool by_workload)
{
	uint64_t now_us = clock_now_us();
	struct pool_row row;

	qsort(parts, count, sizeof(parts[0]), compare_parts);
	table_head(&show_pool_table, &ask->out);
	for (size_t i = 0; i < count; i++) {
		if (i == 0 || !is_same_row(&parts[i - 1], &parts[i], by_workload))
			row_begin(&row, &parts[i]);
		row_add(&row, ask, parts[i].pool);
		if (i + 1 == count || !is_same_row(&parts[i], &parts[i + 1], by_workload))
			row_end(&row, now_us, &ask->out);
	}
	show_end(ask);
}

static int show_parts(struct ask *ask, struct snap_pools *pools,
	struct alias_map *aliases, bool by_workload)
{
	/* The console's own row, which exporters count on. */
	const struct snap_pool own = { .workload = "",
		.names = { .database = "pgbouncer", .user = "pgbouncer" },
		.clients = ask->clients_in_state[CLIENT_ADMIN] };
	struct part *parts = calloc(pools->count + 1, sizeof(*parts));
	size_t count = 0;

	if (parts == NULL)
		return -1;
	for (; count < pools->count; count++) {
		const struct snap_pool *p = &pools->rows[count];

		parts[count] =
			(struct part){ p, alias_find(aliases, p->host->name, &p->names) };
	}
	if (!by_workload)
		parts[count++] = (struct part){ &own, own.names.database };
	add_rows(ask, parts, count, by_workload);
	free(parts);
	return 0;
}

static void show(struct ask *ask, bool by_workload)
{
	struct config *config = directory_config(ask_directory(ask));
	struct alias_map aliases;
	struct snap_pools pools;

	if (snap_pools(ask_directory(ask), &pools) < 0 ||
		alias_map_init(&aliases, config) < 0) {
		ask->out.failed = true;
	} else {
		if (show_parts(ask, &pools, &aliases, by_workload) < 0)
			ask->out.failed = true;
		alias_map_finish(&aliases);
	}
	snap_pools_finish(&pools);
	config_unref(config);
}

static void finish_pools(struct ask *ask)
{
	show(ask, false);
}

enum ask_result show_pools(struct ask *ask)
{
	return ask_tour(ask, NULL, finish_pools);
}

enum ask_result show_workload_pools(struct ask *ask)
{
	show(ask, true);
	return ASK_DONE;
}
