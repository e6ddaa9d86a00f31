/* SPDX-License-Identifier: ISC */
/*
 * SHOW WAITING: who waits for a server, since when, behind how many, for what, and who
 * has it.
 */
#include <string.h>

#include "admin/alias.h"
#include "admin/show.h"
#include "base/clock.h"
#include "config/config.h"

struct waiting_row {
	const char *host;
	const char *workload;
	const char *database;
	const char *user;
	const char *kind;
	uint32_t id;
	uint32_t wait;
	uint32_t wait_us;
	uint32_t position;
	uint32_t ahead;
	const char *reason;
	const char *text;
	uint32_t pool_leased;
	uint32_t workload_used;
	uint32_t workload_max;
	uint32_t others_used;
	uint32_t connection_budget;
	uint32_t held_by;
	uint64_t held_ms;
	uint32_t held_pid;
};

static const struct table_column waiting_columns[] = {
	TABLE_COLUMN(TEXT, waiting_row, host, "", "Name of the host."),
	TABLE_COLUMN(TEXT, waiting_row, workload, "", "Name of the workload."),
	TABLE_COLUMN(TEXT, waiting_row, database, "",
		"The name that the client asked for."),
	TABLE_COLUMN(TEXT, waiting_row, user, "", "The user that servers log in as."),
	TABLE_COLUMN(TEXT, waiting_row, kind, "",
		"client, or errand for what the router itself wants to ask."),
	TABLE_COLUMN(U32, waiting_row, id, "",
		"The client's, in SHOW CLIENTS; 0 for an errand."),
	TABLE_COLUMN(U32, waiting_row, wait, "seconds", "How long it waits."),
	TABLE_COLUMN(U32, waiting_row, wait_us, "microseconds", "The rest of that time."),
	TABLE_COLUMN(U32, waiting_row, position, "",
		"In the queue of its workload, database and user, from 1."),
	TABLE_COLUMN(U32, waiting_row, ahead, "",
		"How many of all who wait for the host have asked before."),
	TABLE_COLUMN(TEXT, waiting_row, reason, "", "What it waits for, in a word."),
	TABLE_COLUMN(TEXT, waiting_row, text, "", "The same in a sentence."),
	TABLE_COLUMN(U32, waiting_row, pool_leased, "",
		"Servers of the same database and user that clients have."),
	TABLE_COLUMN(U32, waiting_row, workload_used, "",
		"What its workload has on the host."),
	TABLE_COLUMN(U32, waiting_row, workload_max, "",
		"What its workload may have there."),
	TABLE_COLUMN(U32, waiting_row, others_used, "", "What other workloads have there."),
	TABLE_COLUMN(U32, waiting_row, connection_budget, "", "The budget of the host."),
	TABLE_COLUMN(U32, waiting_row, held_by, "",
		"The client, in SHOW CLIENTS, that has for longest what this one waits for."),
	TABLE_COLUMN(NUMERIC, waiting_row, held_ms, "milliseconds", "For how long."),
	TABLE_COLUMN(U32, waiting_row, held_pid, "",
		"The process of PostgreSQL that serves that client."),
};
const struct table show_waiting_table = TABLE_OF(waiting_columns);

static void add_waiter(struct ask *ask, const struct snap_waiter *w, uint32_t ahead,
	const struct snap_server *holder, const struct alias_map *aliases, uint64_t now_us)
{
	uint64_t wait_us = show_elapsed_us(w->wait.since_us, now_us);
	struct waiting_row row = {
		.host = w->host->name,
		.workload = w->workload,
		.database = alias_find(aliases, w->host->name, &w->names),
		.user = w->names.user,
		.kind = w->is_errand ? "errand" : "client",
		.id = w->is_errand ? 0 : (uint32_t)(w->client_id & INT32_MAX),
		.wait = (uint32_t)(wait_us / USEC_PER_SEC),
		.wait_us = (uint32_t)(wait_us % USEC_PER_SEC),
		.position = w->wait.position,
		.ahead = ahead,
		.reason = wait_reason_word(w->wait.reason),
		.text = wait_reason_text(w->wait.reason),
		.pool_leased = w->wait.pool_leased,
		.workload_used = w->wait.used,
		.workload_max = w->wait.max,
		.others_used = w->wait.others,
		.connection_budget = w->wait.budget,
	};

	if (holder != NULL) {
		row.held_by = (uint32_t)(holder->client_id & INT32_MAX);
		row.held_ms = show_elapsed_us(holder->used_us, now_us) / USEC_PER_MSEC;
		row.held_pid = holder->backend_pid;
	}
	table_row(&show_waiting_table, &row, &ask->out);
}

/* Those of one queue wait for the same. */
static bool waits_alike(const struct snap_waiter *a, const struct snap_waiter *b)
{
	return a != NULL && a->slice == b->slice && a->wait.reason == b->wait.reason;
}

static void add_waiters(struct ask *ask, const struct snap_waiters *waiters,
	const struct snap_servers *servers, const struct alias_map *aliases)
{
	const struct snap_waiter *last = NULL;
	const struct snap_server *holder = NULL;
	uint32_t ahead[DIRECTORY_HOSTS_MAX] = { 0 };
	uint64_t now_us = clock_now_us();

	table_head(&show_waiting_table, &ask->out);
	for (size_t i = 0; i < waiters->count; i++) {
		const struct snap_waiter *w = &waiters->rows[i];

		if (!waits_alike(last, w))
			holder = snap_holder(servers, w);
		last = w;
		add_waiter(ask, w, ahead[w->host->index]++, holder, aliases, now_us);
	}
	show_end(ask);
}

enum ask_result show_waiting(struct ask *ask)
{
	struct config *config = directory_config(ask_directory(ask));
	struct alias_map aliases;
	struct snap_servers servers = { .count = 0 };
	struct snap_waiters waiters;

	if (snap_waiters(ask_directory(ask), &waiters) < 0 ||
		snap_servers(ask_directory(ask), &servers) < 0 ||
		alias_map_init(&aliases, config) < 0) {
		ask->out.failed = true;
	} else {
		add_waiters(ask, &waiters, &servers, &aliases);
		alias_map_finish(&aliases);
	}
	snap_servers_finish(&servers);
	snap_waiters_finish(&waiters);
	config_unref(config);
	return ASK_DONE;
}
