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
	TABLE_COLUMN(TEXT, budget_row, host),
	TABLE_COLUMN(TEXT, budget_row, workload),
	TABLE_COLUMN(U32, budget_row, guaranteed),
	TABLE_COLUMN(U32, budget_row, max),
	TABLE_COLUMN(U32, budget_row, weight),
	TABLE_COLUMN(U32, budget_row, used),
	TABLE_COLUMN(U32, budget_row, idle),
	TABLE_COLUMN(U32, budget_row, leased),
	TABLE_COLUMN(U32, budget_row, connecting),
	TABLE_COLUMN(U32, budget_row, closing),
	TABLE_COLUMN(U32, budget_row, borrowed),
	TABLE_COLUMN(U32, budget_row, lent),
	TABLE_COLUMN(U32, budget_row, waiting),
	TABLE_COLUMN(U32, budget_row, maxwait),
	TABLE_COLUMN(U32, budget_row, maxwait_us),
	TABLE_COLUMN(NUMERIC, budget_row, reclaims),
	TABLE_COLUMN(NUMERIC, budget_row, reclaim_p50_us),
	TABLE_COLUMN(NUMERIC, budget_row, reclaim_p99_us),
	TABLE_COLUMN(NUMERIC, budget_row, reclaim_max_us),
	TABLE_COLUMN(NUMERIC, budget_row, stalled_ended),
	TABLE_COLUMN(U32, budget_row, pinned),
	TABLE_COLUMN(U32, budget_row, max_pinned),
	TABLE_COLUMN(NUMERIC, budget_row, pins_refused),
	TABLE_COLUMN(NUMERIC, budget_row, pins_over),
};
static const struct table budget_table = TABLE_OF(budget_columns);

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
	table_row(&budget_table, &row, &ask->out);
}

enum ask_result show_budget(struct ask *ask)
{
	struct directory *d = ask_directory(ask);

	table_head(&budget_table, &ask->out);
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
	/* What the texts above point to. */
	char address_text[ADDRESS_SIZE];
	char resolved_text[LIST_SIZE];
	char error_text[POOL_ERROR_TEXT_MAX];
};

static const struct table_column host_columns[] = {
	TABLE_COLUMN(TEXT, host_row, host),
	TABLE_COLUMN(TEXT, host_row, address),
	TABLE_COLUMN(TEXT, host_row, resolved),
	TABLE_COLUMN(U32, host_row, port),
	TABLE_COLUMN(U32, host_row, connection_budget),
	TABLE_COLUMN(TEXT, host_row, budget_source),
	TABLE_COLUMN(U32, host_row, server_max_connections),
	TABLE_COLUMN(U32, host_row, server_reserved),
	TABLE_COLUMN(U32, host_row, other_connections),
	TABLE_COLUMN(U32, host_row, used),
	TABLE_COLUMN(U32, host_row, free),
	TABLE_COLUMN(U32, host_row, surplus),
	TABLE_COLUMN(U32, host_row, guaranteed),
	TABLE_COLUMN(U32, host_row, borrowed),
	TABLE_COLUMN(U32, host_row, leased),
	TABLE_COLUMN(U32, host_row, idle),
	TABLE_COLUMN(U32, host_row, connecting),
	TABLE_COLUMN(U32, host_row, closing),
	TABLE_COLUMN(U32, host_row, quarantined),
	TABLE_COLUMN(U32, host_row, waiting),
	TABLE_COLUMN(NUMERIC, host_row, denied),
	TABLE_COLUMN(U32, host_row, cancel_connections),
	TABLE_COLUMN(U32, host_row, replication_connections),
	TABLE_COLUMN(NUMERIC, host_row, password_fetches),
	TABLE_COLUMN(NUMERIC, host_row, password_failures),
	TABLE_COLUMN(NUMERIC, host_row, cleartext_refusals),
	TABLE_COLUMN(TEXT, host_row, error),
	TABLE_COLUMN(NUMERIC, host_row, retry_ms),
};
static const struct table host_table = TABLE_OF(host_columns);

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
	table_row(&host_table, &row, &ask->out);
}

enum ask_result show_hosts(struct ask *ask)
{
	struct directory *d = ask_directory(ask);
	struct config *config = directory_config(d);

	table_head(&host_table, &ask->out);
	for (uint32_t i = 0; i < directory_host_count(d); i++)
		add_host(ask, directory_host(d, i), config);
	config_unref(config);
	show_end(ask);
	return ASK_DONE;
}
