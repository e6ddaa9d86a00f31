/* SPDX-License-Identifier: ISC */
/*
 * SHOW LISTS, SHOW MEM, SHOW USERS: how many there are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/show.h"
#include "admin/snap.h"
#include "config/config.h"
#include "config/userlist.h"
#include "session/gate.h"
#include "session/server.h"

enum { SIZE_TEXT_MAX = 12 };

/* --- what is counted ------------------------------------------------------------- */

struct counts {
	uint32_t databases;
	uint32_t databases_used;
	uint32_t pools;
	uint32_t clients;
	uint32_t clients_max;
	uint32_t clients_login;
	uint32_t servers;
	uint32_t servers_max;
};

static void count_pool(const struct pool *pool, void *arg)
{
	struct counts *n = arg;

	(void)pool;
	n->pools++;
}

/* Those that were asked for. */
struct used_databases {
	const struct config *config;
	uint32_t count;
	uint32_t by_wildcard;
};

static void count_database(const struct route_database *database, void *arg)
{
	struct used_databases *used = arg;
	const struct config_database *conf =
		config_find_database(used->config, database->name);

	used->count++;
	if (conf != NULL && conf == used->config->wildcard)
		used->by_wildcard++;
}

static void count_config(
	struct counts *n, struct directory *d, const struct config *config)
{
	struct used_databases used = { .config = config };

	directory_each_database(d, count_database, &used, NULL);
	n->databases_used = used.count;
	n->databases = (uint32_t)config->database_count + used.by_wildcard;
	if (config->wildcard != NULL)
		n->databases--;
}

static void count_all(const struct ask *ask, struct counts *n)
{
	const struct router *r = ask->console->router;
	struct directory *d = ask_directory(ask);
	struct config *config = directory_config(d);

	*n = (struct counts){ .clients = atomic_load(&r->clients) + gate_unproven(r->gate),
		.clients_max = atomic_load(&r->max_client_conn),
		.clients_login = ask->clients_in_state[CLIENT_STARTUP] +
			ask->clients_in_state[CLIENT_AUTH] };
	count_config(n, d, config);
	config_unref(config);
	for (uint32_t i = 0; i < directory_host_count(d); i++) {
		struct route_host *h = directory_host(d, i);
		struct snap_budget budget;

		snap_budget(h, &budget);
		n->servers += budget.used;
		n->servers_max += budget.limit;
		monitor_each_pool(&h->monitor, count_pool, n);
	}
	/* The console is a database and a pool, too, as in PgBouncer. */
	n->databases++;
	n->pools++;
}

static uint32_t room(uint32_t max, uint32_t used)
{
	return max > used ? max - used : 0;
}

/* --- MEM ------------------------------------------------------------------------- */

struct mem_row {
	const char *name;
	uint32_t size;
	uint32_t used;
	uint32_t free;
	uint32_t memtotal;
};

static const struct table_column mem_columns[] = {
	TABLE_COLUMN(TEXT, mem_row, name, "", "What there are many of."),
	TABLE_COLUMN(U32, mem_row, size, "bytes", "Size of one."),
	TABLE_COLUMN(U32, mem_row, used, "", "How many there are."),
	TABLE_COLUMN(U32, mem_row, free, "", "0: none are kept in stock."),
	TABLE_COLUMN(U32, mem_row, memtotal, "bytes", "What they take together."),
};
const struct table show_mem_table = TABLE_OF(mem_columns);

enum ask_result show_mem(struct ask *ask)
{
	uint32_t workers = directory_workers(ask_directory(ask));
	struct counts n;

	count_all(ask, &n);
	const struct {
		const char *name;
		size_t size;
		uint32_t used;
	} things[] = {
		{ "db_cache", workers * sizeof(struct stats_block), n.databases_used },
		{ "pool_cache", sizeof(struct route_pool), n.pools - 1 },
		{ "server_cache", sizeof(struct server), n.servers },
		{ "client_cache", sizeof(struct client), n.clients },
	};
	table_head(&show_mem_table, &ask->out);
	for (size_t i = 0; i < COUNT_OF(things); i++) {
		const struct mem_row row = { .name = things[i].name,
			.size = (uint32_t)things[i].size,
			.used = things[i].used,
			.memtotal = (uint32_t)u64_min(
				(uint64_t)things[i].size * things[i].used, INT32_MAX) };

		table_row(&show_mem_table, &row, &ask->out);
	}
	show_end(ask);
	return ASK_DONE;
}

/* --- USERS ----------------------------------------------------------------------- */

struct user_row {
	const char *name;
	const char *pool_size;
	const char *reserve_pool_size;
	const char *pool_mode;
	uint32_t max_user_connections;
	uint32_t current_connections;
	uint32_t max_user_client_connections;
	uint32_t current_client_connections;
};

static const struct table_column user_columns[] = {
	TABLE_COLUMN(TEXT, user_row, name, "", "The user."),
	TABLE_COLUMN(TEXT, user_row, pool_size, "",
		"Most servers of a database, if it has a limit of its own."),
	TABLE_COLUMN(TEXT, user_row, reserve_pool_size, "",
		"Servers above that for who waits long, if it has its own."),
	TABLE_COLUMN(TEXT, user_row, pool_mode, "", "NULL, as it depends on the port."),
	TABLE_COLUMN(U32, user_row, max_user_connections, "",
		"Most servers of it; 0 is no limit."),
	TABLE_COLUMN(U32, user_row, current_connections, "", "Servers that log in as it."),
	TABLE_COLUMN(U32, user_row, max_user_client_connections, "",
		"Most clients of it; 0 is no limit."),
	TABLE_COLUMN(U32, user_row, current_client_connections, "", "Clients that it has."),
};
const struct table show_user_table = TABLE_OF(user_columns);

/* Sorted by name; one name may come several times, from several pools. */
static int compare_users(const void *a, const void *b)
{
	return strcmp(
		((const struct user_row *)a)->name, ((const struct user_row *)b)->name);
}

static size_t add_pool_users(struct user_row *rows, const struct snap_pools *pools)
{
	for (size_t i = 0; i < pools->count; i++) {
		const struct snap_pool *p = &pools->rows[i];

		rows[i] = (struct user_row){ .name = p->names.user,
			.current_client_connections = p->clients };
		for (size_t k = 0; k < SERVER_STATE_COUNT; k++)
			rows[i].current_connections += p->servers[k];
	}
	return pools->count;
}

static size_t add_list(struct user_row *rows, const struct option_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		rows[i] = (struct user_row){ .name = list->items[i] };
	return list->count;
}

static size_t collect_users(struct user_row *rows, const struct config *config,
	const struct snap_pools *pools, uint32_t on_console)
{
	const char *name = NULL, *secret;
	size_t count = add_pool_users(rows, pools);

	count += add_list(rows + count, &config->admin.admin_users);
	count += add_list(rows + count, &config->admin.stats_users);
	while (config->userlist != NULL &&
		(name = userlist_next(config->userlist, name, &secret)) != NULL)
		rows[count++] = (struct user_row){ .name = name };
	for (size_t i = 0; i < config->user_count; i++)
		rows[count++] = (struct user_row){ .name = config->users[i].name };
	rows[count++] = (struct user_row){ .name = "pgbouncer",
		.current_client_connections = on_console };
	qsort(rows, count, sizeof(rows[0]), compare_users);
	return count;
}

/* As PgBouncer writes it. */
static const char *own_size(const struct config_user *user, enum option_setting setting,
	uint32_t size, char to[SIZE_TEXT_MAX])
{
	if (user == NULL || (user->level.given & UINT64_C(1) << setting) == 0)
		return "";
	(void)snprintf(to, SIZE_TEXT_MAX, "%9u", size);
	return to;
}

static void end_user(struct ask *ask, const struct config *config, struct user_row *row)
{
	const struct config_user *user = config_find_user(config, row->name);
	char size[SIZE_TEXT_MAX], reserve[SIZE_TEXT_MAX];
	struct settings s;

	config_resolve(config, NULL, NULL, row->name, &s);
	row->pool_size = own_size(
		user, OPTION_SETTING_default_pool_size, s.default_pool_size, size);
	row->reserve_pool_size = own_size(
		user, OPTION_SETTING_reserve_pool_size, s.reserve_pool_size, reserve);
	row->max_user_connections = s.max_user_connections;
	row->max_user_client_connections = s.max_user_client_connections;
	table_row(&show_user_table, row, &ask->out);
}

static void add_users(struct ask *ask, const struct config *config, struct user_row *rows,
	size_t count)
{
	table_head(&show_user_table, &ask->out);
	for (size_t i = 0; i < count; i++) {
		if (i + 1 == count || strcmp(rows[i].name, rows[i + 1].name) != 0) {
			end_user(ask, config, &rows[i]);
			continue;
		}
		rows[i + 1].current_connections += rows[i].current_connections;
		rows[i + 1].current_client_connections +=
			rows[i].current_client_connections;
	}
	show_end(ask);
}

/* All that are known, and some more than once, sorted; NULL: no memory. */
static struct user_row *take_users(const struct ask *ask, const struct config *config,
	const struct snap_pools *pools, size_t *count)
{
	size_t known = config->userlist == NULL ? 0 : userlist_count(config->userlist);
	struct user_row *rows = calloc(pools->count + config->user_count + known +
			config->admin.admin_users.count + config->admin.stats_users.count + 1,
		sizeof(*rows));

	if (rows != NULL)
		*count = collect_users(
			rows, config, pools, ask->clients_in_state[CLIENT_ADMIN]);
	return rows;
}

static void finish_users(struct ask *ask)
{
	struct config *config = directory_config(ask_directory(ask));
	struct user_row *rows = NULL;
	struct snap_pools pools;
	size_t count;

	if (snap_pools(ask_directory(ask), &pools) == 0)
		rows = take_users(ask, config, &pools, &count);
	if (rows == NULL)
		ask->out.failed = true;
	else
		add_users(ask, config, rows, count);
	free(rows);
	snap_pools_finish(&pools);
	config_unref(config);
}

enum ask_result show_users(struct ask *ask)
{
	return ask_tour(ask, NULL, finish_users);
}

/* --- LISTS ----------------------------------------------------------------------- */

struct list_row {
	const char *list;
	uint32_t items;
};

/* Rows of SHOW USERS. */
static uint32_t count_users(struct ask *ask, const struct config *config)
{
	struct user_row *rows = NULL;
	struct snap_pools pools;
	uint32_t names = 0;
	size_t count = 0;

	if (snap_pools(ask_directory(ask), &pools) == 0)
		rows = take_users(ask, config, &pools, &count);
	if (rows == NULL)
		ask->out.failed = true;
	for (size_t i = 0; rows != NULL && i < count; i++)
		names += i + 1 == count || strcmp(rows[i].name, rows[i + 1].name) != 0;
	free(rows);
	snap_pools_finish(&pools);
	return names;
}

/* Rows of SHOW DNS_HOSTS. */
static uint32_t count_names(const struct config *config)
{
	uint32_t names = 0;

	for (size_t i = 0; i < config->host_count; i++) {
		for (size_t k = 0; k < config->hosts[i].options.host.count; k++)
			names += place_is_name(&config->hosts[i].places[k]);
	}
	return names;
}

static const struct table_column list_columns[] = {
	TABLE_COLUMN(TEXT, list_row, list, "", "What is counted."),
	TABLE_COLUMN(U32, list_row, items, "", "How many there are."),
};
const struct table show_list_table = TABLE_OF(list_columns);

static void finish_lists(struct ask *ask)
{
	struct config *config = directory_config(ask_directory(ask));
	struct counts n;

	count_all(ask, &n);
	const struct list_row rows[] = {
		{ "databases", n.databases },
		{ "users", count_users(ask, config) },
		{ "peers", 0 },
		{ "pools", n.pools },
		{ "peer_pools", 0 },
		{ "free_clients", room(n.clients_max, n.clients) },
		{ "used_clients", n.clients },
		{ "login_clients", n.clients_login },
		{ "free_servers", room(n.servers_max, n.servers) },
		{ "used_servers", n.servers },
		{ "dns_names", count_names(config) },
		{ "dns_zones", 0 },
		{ "dns_queries", 0 },
		{ "dns_pending", 0 },
	};
	config_unref(config);
	table_head(&show_list_table, &ask->out);
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		table_row(&show_list_table, &rows[i], &ask->out);
	show_end(ask);
}

enum ask_result show_lists(struct ask *ask)
{
	return ask_tour(ask, NULL, finish_lists);
}
