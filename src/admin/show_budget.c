/* SPDX-License-Identifier: ISC */
/*
 * SHOW BUDGET, SHOW HOSTS: who has which part of the connections to a host, and how
 * the host is.
 */
#include <stdio.h>
#include <string.h>

#include "admin/show.h"
#include "admin/snap.h"
#include "base/clock.h"
#include "config/config.h"

/* --- BUDGET ---------------------------------------------------------------------- */

struct budget_row {
	const char *host;
	const char *workload;
	uint32_t guaranteed;
	uint32_t max;
	uint32_t weight;
	uint32_t used;
	uint32_t idle;
	uint32_t leased;
	uint32_t connecting;
	uint32_t closing;
	uint32_t borrowed;
	uint32_t lent;
	uint32_t waiting;
	uint32_t maxwait;
	uint32_t maxwait_us;
	uint64_t reclaims;
	uint64_t reclaim_p50_us;
	uint64_t reclaim_p99_us;
	uint64_t reclaim_max_us;
	uint64_t stalled_ended;
	uint32_t pinned;
	uint32_t max_pinned;
	uint64_t pins_refused;
	uint64_t pins_over;
};

static const struct table_column budget_columns[] = {
	TABLE_COLUMN(TEXT, budget_row, host, "", "Name of the host."),
	TABLE_COLUMN(TEXT, budget_row, workload, "",
		"Name of the workload; (router) is the router itself."),
	TABLE_COLUMN(U32, budget_row, guaranteed, "", "Servers that it always gets."),
	TABLE_COLUMN(U32, budget_row, max, "", "Servers that it may have."),
	TABLE_COLUMN(U32, budget_row, weight, "", "Its part of what is borrowed."),
	TABLE_COLUMN(U32, budget_row, used, "",
		"Units of the budget that it has: the next four together."),
	TABLE_COLUMN(U32, budget_row, idle, "", "Those that no client has."),
	TABLE_COLUMN(U32, budget_row, leased, "",
		"Those that have a client, or are being cleaned after one."),
	TABLE_COLUMN(U32, budget_row, connecting, "", "Those that are being connected."),
	TABLE_COLUMN(U32, budget_row, closing, "",
		"Those that PostgreSQL has not closed yet."),
	TABLE_COLUMN(U32, budget_row, borrowed, "", "How many are more than guaranteed."),
	TABLE_COLUMN(U32, budget_row, lent, "",
		"How many of those that it is guaranteed others use now."),
	TABLE_COLUMN(U32, budget_row, waiting, "", "Clients in the queue."),
	TABLE_COLUMN(U32, budget_row, maxwait, "seconds",
		"How long the first of them waits."),
	TABLE_COLUMN(U32, budget_row, maxwait_us, "microseconds", "The rest of that time."),
	TABLE_COLUMN(NUMERIC, budget_row, reclaims, "",
		"How often it got back what it is guaranteed, since the start."),
	TABLE_COLUMN(NUMERIC, budget_row, reclaim_p50_us, "microseconds",
		"Time that half of these did not exceed."),
	TABLE_COLUMN(NUMERIC, budget_row, reclaim_p99_us, "microseconds",
		"Time that 99 of 100 did not exceed."),
	TABLE_COLUMN(NUMERIC, budget_row, reclaim_max_us, "microseconds",
		"The longest of them."),
	TABLE_COLUMN(NUMERIC, budget_row, stalled_ended, "",
		"Its leases that were ended after reclaim_grace, since the start."),
	TABLE_COLUMN(U32, budget_row, pinned, "",
		"Servers that its clients keep beyond their transactions."),
	TABLE_COLUMN(U32, budget_row, max_pinned, "", "How many of them there may be."),
	TABLE_COLUMN(NUMERIC, budget_row, pins_refused, "",
		"Statements refused as there were so many, since the start."),
	TABLE_COLUMN(NUMERIC, budget_row, pins_over, "",
		"Servers kept all the same, as no text had told before, since the start."),
};
const struct table show_budget_table = TABLE_OF(budget_columns);

static void add_share(struct ask *ask, struct route_host *h, uint32_t index,
	const struct snap_share *s, uint64_t now_us)
{
	uint64_t wait_us = show_elapsed_us(s->oldest_us, now_us);
	struct histogram reclaims;
	struct budget_row row;

	snap_reclaims(h, index, &reclaims);
	row = (struct budget_row){
		.host = h->name,
		.workload = s->workload,
		.guaranteed = s->guaranteed,
		.max = s->max,
		.weight = s->weight,
		.used = s->used,
		.idle = s->idle,
		.leased = s->leased,
		.connecting = s->connecting,
		.closing = s->closing,
		.borrowed = s->borrowed,
		.lent = s->lent,
		.waiting = s->waiting,
		.maxwait = (uint32_t)(wait_us / USEC_PER_SEC),
		.maxwait_us = (uint32_t)(wait_us % USEC_PER_SEC),
		.reclaims = reclaims.count,
		.reclaim_p50_us = histogram_permille(&reclaims, 500),
		.reclaim_p99_us = histogram_permille(&reclaims, 990),
		.reclaim_max_us = reclaims.max,
		.stalled_ended = s->stalled_ended,
		.pinned = s->pinned,
		.max_pinned = s->max_pinned,
		.pins_refused = s->pins_refused,
		.pins_over = s->pins_over,
	};
	table_row(&show_budget_table, &row, &ask->out);
}

enum ask_result show_budget(struct ask *ask)
{
	struct directory *d = ask_directory(ask);

	table_head(&show_budget_table, &ask->out);
	for (uint32_t i = 0; i < directory_host_count(d); i++) {
		struct route_host *h = directory_host(d, i);
		struct snap_budget budget;

		snap_budget(h, &budget);
		for (uint32_t k = 0; k < budget.share_count; k++) {
			if (snap_share_is_alive(&budget.shares[k]))
				add_share(ask, h, k, &budget.shares[k], clock_now_us());
		}
	}
	show_end(ask);
	return ASK_DONE;
}

/* --- HOSTS ----------------------------------------------------------------------- */

enum { ADDRESS_SIZE = 256, LIST_SIZE = 512 };

struct host_row {
	const char *host;
	const char *address;
	const char *resolved;
	uint32_t port;
	uint32_t connection_budget;
	const char *budget_source;
	uint32_t server_max_connections;
	uint32_t server_reserved;
	uint32_t other_connections;
	uint32_t used;
	uint32_t free;
	uint32_t surplus;
	uint32_t guaranteed;
	uint32_t borrowed;
	uint32_t leased;
	uint32_t idle;
	uint32_t connecting;
	uint32_t closing;
	uint32_t quarantined;
	uint32_t waiting;
	uint64_t denied;
	uint32_t cancel_connections;
	uint32_t replication_connections;
	uint64_t password_fetches;
	uint64_t password_failures;
	uint64_t cleartext_refusals;
	const char *error;
	uint64_t retry_ms;
	uint32_t processes_before;
	/* What the texts above point to. */
	char address_text[ADDRESS_SIZE];
	char resolved_text[LIST_SIZE];
	char error_text[POOL_ERROR_TEXT_MAX];
};

static const struct table_column host_columns[] = {
	TABLE_COLUMN(TEXT, host_row, host, "", "Name of the host."),
	TABLE_COLUMN(TEXT, host_row, address, "",
		"Where it is, as configured; of several places the one in use."),
	TABLE_COLUMN(TEXT, host_row, resolved, "",
		"The addresses that this stands for, the next to be tried first."),
	TABLE_COLUMN(U32, host_row, port, "", "Its port."),
	TABLE_COLUMN(U32, host_row, connection_budget, "",
		"The most servers that it may have from this process."),
	TABLE_COLUMN(TEXT, host_row, budget_source, "",
		"Where that number is from: file or auto."),
	TABLE_COLUMN(U32, host_row, server_max_connections, "",
		"PostgreSQL's max_connections; 0 where nobody asks."),
	TABLE_COLUMN(U32, host_row, server_reserved, "",
		"How many of them are reserved for superusers and the like."),
	TABLE_COLUMN(U32, host_row, other_connections, "",
		"Connections that were not this router's at the last look."),
	TABLE_COLUMN(U32, host_row, used, "", "Units of the budget in use."),
	TABLE_COLUMN(U32, host_row, free, "", "Units that are not."),
	TABLE_COLUMN(U32, host_row, surplus, "",
		"Units in use above a budget that has shrunk."),
	TABLE_COLUMN(U32, host_row, guaranteed, "",
		"What workloads are guaranteed together."),
	TABLE_COLUMN(U32, host_row, borrowed, "", "What workloads have above that."),
	TABLE_COLUMN(U32, host_row, leased, "",
		"Servers that have a client, or are being cleaned after one."),
	TABLE_COLUMN(U32, host_row, idle, "", "Servers that no client has."),
	TABLE_COLUMN(U32, host_row, connecting, "", "Servers that are being connected."),
	TABLE_COLUMN(U32, host_row, closing, "",
		"Servers that PostgreSQL has not closed yet."),
	TABLE_COLUMN(U32, host_row, quarantined, "",
		"Those of them that it has not closed within a second."),
	TABLE_COLUMN(U32, host_row, waiting, "", "Clients in the queue."),
	TABLE_COLUMN(NUMERIC, host_row, denied, "",
		"Connects that PostgreSQL had no slot for (53300), since the start."),
	TABLE_COLUMN(U32, host_row, cancel_connections, "",
		"Connections for cancel requests; not part of the budget."),
	TABLE_COLUMN(U32, host_row, replication_connections, "",
		"Those of replication clients; not part of the budget."),
	TABLE_COLUMN(NUMERIC, host_row, password_fetches, "",
		"How often a password was read or asked for, since the start."),
	TABLE_COLUMN(NUMERIC, host_row, password_failures, "", "How often that gave none."),
	TABLE_COLUMN(NUMERIC, host_row, cleartext_refusals, "",
		"Logins that failed as PostgreSQL asked for the password in clear."),
	TABLE_COLUMN(TEXT, host_row, error, "",
		"Why the last try to connect failed, while that holds; or why its limits could not be read."),
	TABLE_COLUMN(NUMERIC, host_row, retry_ms, "milliseconds",
		"How long until the next try to connect."),
	TABLE_COLUMN(U32, host_row, processes_before, "",
		"Units that processes before this one still have, or may yet take."),
};
const struct table show_host_table = TABLE_OF(host_columns);

/* conf: NULL when it is not configured any more. */
static void row_addresses(
	struct host_row *row, struct route_host *h, const struct config_host *conf)
{
	struct host_target target;

	if (conf != NULL) {
		const struct config_place *place = show_place(conf, h);

		(void)snprintf(
			row->address_text, sizeof(row->address_text), "%s", place->host);
		row->address = row->address_text;
		row->port = place->port;
	}
	route_host_target(h, &target);
	/* In the order in which they are tried. */
	for (uint32_t i = 0; i < target.addr_count; i++) {
		char text[ADDR_TEXT_MAX];

		const struct addr *addr =
			&target.addrs[(target.first + i) % target.addr_count];

		/* Several places may differ in the port only. */
		if (conf != NULL && conf->options.host.count > 1)
			addr_text(addr, text, sizeof(text));
		else
			addr_host_text(addr, text, sizeof(text));
		show_list_add(row->resolved_text, sizeof(row->resolved_text), text);
	}
	row->resolved = row->resolved_text;
}

/* What PostgreSQL says of itself.  A connect that fails is the nearer trouble. */
static void row_limits(
	struct host_row *row, struct route_host *h, const struct pool_error *error)
{
	struct host_limits limits;
	const char *why;

	route_host_limits(h, &limits);
	why = error->sqlstate[0] != '\0' ? error->message : limits.error;
	(void)snprintf(row->error_text, sizeof(row->error_text), "%s", why);
	row->error = row->error_text[0] == '\0' ? NULL : row->error_text;
	row->budget_source = budget_source_name(limits.source);
	row->server_max_connections = limits.max_connections;
	row->server_reserved = limits.reserved;
	row->other_connections = limits.others;
}

static void add_host(struct ask *ask, struct route_host *h, const struct config *config)
{
	const struct config_host *conf = config_find_host(config, h->name);
	struct snap_budget budget;
	struct host_row row;
	uint64_t now_us;

	snap_budget(h, &budget);
	if (budget.used == 0 && conf == NULL)
		return;
	now_us = clock_now_us();
	row = (struct host_row){
		.host = h->name,
		.connection_budget = budget.limit,
		.processes_before = budget.elsewhere,
		.used = budget.used,
		.free = budget.limit > budget.used ? budget.limit - budget.used : 0,
		.surplus = budget.used > budget.limit ? budget.used - budget.limit : 0,
		.guaranteed = budget.guaranteed,
		.borrowed = budget.borrowed,
		.leased = budget.leased,
		.idle = budget.idle,
		.connecting = budget.connecting,
		.closing = budget.closing,
		.quarantined = budget.quarantined,
		.waiting = budget.waiting,
		.denied = budget.denied,
		.cancel_connections = atomic_load(&h->cancels),
		.replication_connections = atomic_load(&h->replications),
		.password_fetches = atomic_load(&h->password_fetches),
		.password_failures = atomic_load(&h->password_failures),
		.cleartext_refusals = atomic_load(&h->cleartext_refusals),
		.retry_ms = (show_elapsed_us(now_us, budget.retry_at_us) + USEC_PER_MSEC -
				    1) /
			USEC_PER_MSEC,
	};
	row_addresses(&row, h, conf);
	row_limits(&row, h, &budget.error);
	table_row(&show_host_table, &row, &ask->out);
}

enum ask_result show_hosts(struct ask *ask)
{
	struct directory *d = ask_directory(ask);
	struct config *config = directory_config(d);

	table_head(&show_host_table, &ask->out);
	for (uint32_t i = 0; i < directory_host_count(d); i++)
		add_host(ask, directory_host(d, i), config);
	config_unref(config);
	show_end(ask);
	return ASK_DONE;
}
