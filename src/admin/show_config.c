/* SPDX-License-Identifier: ISC */
/*
 * SHOW CONFIG, SHOW DATABASES: what the configuration says, and for databases how
 * much of it is in use.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/alias.h"
#include "admin/show.h"
#include "base/clock.h"
#include "config/config.h"
#include "config/dump.h"
#include "config/habit.h"
#include "config/listen.h"
#include "config/option.h"

enum { SOURCE_MAX = 4200, RANGE_MAX = 400, LISTEN_TEXT_MAX = 512 };

/* --- CONFIG ---------------------------------------------------------------------- */

struct config_row {
	const char *key;
	const char *value;
	const char *def;
	const char *changeable;
};

static const struct table_column config_columns[] = {
	TABLE_COLUMN(TEXT, config_row, key, "",
		"The setting, by its bare name where it has one."),
	TABLE_COLUMN(TEXT, config_row, value, "", "What it is now."),
	TABLE_COLUMN_AS("default", TEXT, config_row, def, "",
		"What it is where nothing is said."),
	TABLE_COLUMN(TEXT, config_row, changeable, "",
		"Whether a reload can change it: yes or no."),
};
const struct table show_config_table = TABLE_OF(config_columns);

/* Sections whose options PgBouncer has by the bare name, which is what scripts
 * and exporters look for. */
static const char *bare_key(const char *path)
{
	static const char *const sections[] = { "process.", "defaults.", "auth.", "tls.",
		"admin." };

	for (size_t i = 0; i < COUNT_OF(sections); i++) {
		if (strncmp(path, sections[i], strlen(sections[i])) == 0)
			return path + strlen(sections[i]);
	}
	return strncmp(path, "log.", 4) == 0 && habit_has(path + 4) ? path + 4 : path;
}

static void add_option(void *arg, const struct dump_row *option)
{
	struct ask *ask = arg;
	const char *key = bare_key(option->name);
	char value[HABIT_VALUE_MAX], def[HABIT_VALUE_MAX];
	const struct config_row row = {
		.key = key,
		.value = habit_show(key, option->value, value),
		.def = option->def[0] == '\0' ? NULL : habit_show(key, option->def, def),
		.changeable = option->is_changeable ? "yes" : "no",
	};

	table_row(&show_config_table, &row, &ask->out);
}

/* The port that is asked, or the first. */
static const struct config_workload *workload_of(const struct ask *ask,
	const struct config *config)
{
	const struct client *c = ask->home == NULL ? NULL :
		client_find_id(ask->home, ask->slot, ask->id);
	const struct config_workload *w = c == NULL || c->workload == NULL ? NULL :
		config_find_workload(config, c->workload->name);

	return w == NULL ? &config->workloads[0] : w;
}

/* Of its first address; 0: it has none. */
static uint32_t port_of(const struct config_workload *w)
{
	struct listen_address address;
	char why[RANGE_MAX];

	for (size_t i = 0; i < w->options.listen.count; i++) {
		const char *text = w->options.listen.items[i], *colon = strrchr(text, ':');

		if (colon != NULL && listen_parse(text, &address, why, sizeof(why)))
			return (uint32_t)strtoul(colon + 1, NULL, 10);
	}
	return 0;
}

/* What PgBouncer has once, and this router for each port. */
static void add_port(struct ask *ask, const struct config *config)
{
	const struct config_workload *w = workload_of(ask, config);
	char addrs[LISTEN_TEXT_MAX] = "", port[12], why[RANGE_MAX];
	size_t count;
	const char *const *words = option_words(OPTION_POOL_MODE, &count);
	const struct config_row rows[] = {
		{ "listen_addr", addrs, NULL, "yes" },
		{ "listen_port", port, "6432", "yes" },
		{ "pool_mode", words[w->options.pool_mode], "session", "yes" },
	};

	for (size_t i = 0; i < w->options.listen.count; i++) {
		const char *text = w->options.listen.items[i], *colon = strrchr(text, ':');
		struct listen_address address;
		char host[LISTEN_TEXT_MAX];

		if (colon == NULL || !listen_parse(text, &address, why, sizeof(why)))
			continue;
		if (strncmp(text, "unix:", 5) == 0)
			continue;
		(void)snprintf(host, sizeof(host), "%.*s", (int)(colon - text - 2 * (text[0] == '[')),
			text + (text[0] == '['));
		show_list_add(addrs, sizeof(addrs), host);
	}
	(void)snprintf(port, sizeof(port), "%u", port_of(w));
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		table_row(&show_config_table, &rows[i], &ask->out);
}

enum ask_result show_config(struct ask *ask)
{
	struct config *config = directory_config(ask_directory(ask));

	table_head(&show_config_table, &ask->out);
	add_port(ask, config);
	if (dump_show(config, add_option, ask) < 0)
		ask->out.failed = true;
	config_unref(config);
	show_end(ask);
	return ASK_DONE;
}

/* --- SETTINGS -------------------------------------------------------------------- */

struct setting_row {
	const char *key;
	const char *value;
	const char *def;
	const char *source;
	const char *effect;
	const char *allowed;
	const char *until_restart;
};

static const struct table_column setting_columns[] = {
	TABLE_COLUMN(TEXT, setting_row, key, "", "The setting, by its full name."),
	TABLE_COLUMN(TEXT, setting_row, value, "", "What the configuration says."),
	TABLE_COLUMN_AS("default", TEXT, setting_row, def, "",
		"What it is where nothing is said."),
	TABLE_COLUMN(TEXT, setting_row, source, "",
		"Where it is given: file and line, SET, or default."),
	TABLE_COLUMN(TEXT, setting_row, effect, "", "When a change takes effect."),
	TABLE_COLUMN(TEXT, setting_row, allowed, "", "The values that it may have."),
	TABLE_COLUMN(TEXT, setting_row, until_restart, "",
		"What still holds where value takes effect at the next restart."),
};
const struct table show_setting_table = TABLE_OF(setting_columns);

struct settings_ask {
	struct ask *ask;
	const struct config *config;
};

static void add_setting(void *arg, const struct dump_row *option)
{
	const struct settings_ask *s = arg;
	const struct config_place_of *place = config_find_place(s->config, option->name);
	char source[SOURCE_MAX], range[RANGE_MAX];
	const struct setting_row row = {
		.key = option->name,
		.value = option->value,
		.def = option->def[0] == '\0' ? NULL : option->def,
		.source = place == NULL ? "default" : place->line == 0 ? "SET" : source,
		.effect = option_effect_name(option->option->effect),
		.allowed = option_range(option->option, range, sizeof(range)),
		.until_restart = started_differs(&s->ask->console->started, option),
	};

	if (place != NULL)
		(void)snprintf(source, sizeof(source), "%s:%u", s->config->path, place->line);
	table_row(&show_setting_table, &row, &s->ask->out);
}

enum ask_result show_settings(struct ask *ask)
{
	struct config *config = directory_config(ask_directory(ask));
	struct settings_ask s = { ask, config };

	table_head(&show_setting_table, &ask->out);
	if (dump_show(config, add_setting, &s) < 0)
		ask->out.failed = true;
	config_unref(config);
	show_end(ask);
	return ASK_DONE;
}

/* --- DATABASES ------------------------------------------------------------------- */

struct database_row {
	const char *name;
	const char *host;
	uint32_t port;
	const char *database;
	const char *force_user;
	uint32_t pool_size;
	uint32_t min_pool_size;
	uint32_t reserve_pool_size;
	uint32_t server_lifetime;
	const char *pool_mode;
	const char *load_balance_hosts;
	uint32_t max_connections;
	uint32_t current_connections;
	uint32_t max_client_connections;
	uint32_t current_client_connections;
	uint32_t paused;
	uint32_t disabled;
	const char *workload;
	const char *host_name;
	uint32_t paused_s;
	char workloads[512];
};

static const struct table_column database_columns[] = {
	TABLE_COLUMN(TEXT, database_row, name, "", "The name that clients ask for."),
	TABLE_COLUMN(TEXT, database_row, host, "",
		"Address of its host; NULL for a unix socket."),
	TABLE_COLUMN(U32, database_row, port, "", "Port of its host; of the console the first of the workload that is asked."),
	TABLE_COLUMN(TEXT, database_row, database, "", "Its name in PostgreSQL."),
	TABLE_COLUMN(TEXT, database_row, force_user, "",
		"The user that its servers log in as, if that is fixed."),
	TABLE_COLUMN(U32, database_row, pool_size, "",
		"Most servers of a user, of all workloads that serve it together, as are the next two."),
	TABLE_COLUMN(U32, database_row, min_pool_size, "", "Servers that are kept open."),
	TABLE_COLUMN(U32, database_row, reserve_pool_size, "",
		"Servers above pool_size for who waits long."),
	TABLE_COLUMN(U32, database_row, server_lifetime, "seconds",
		"Age at which a server is closed; where workloads differ the greatest."),
	TABLE_COLUMN(TEXT, database_row, pool_mode, "", "NULL, as it depends on the port."),
	TABLE_COLUMN(TEXT, database_row, load_balance_hosts, "",
		"NULL: the router has no such setting."),
	TABLE_COLUMN(U32, database_row, max_connections, "",
		"Most servers of it; 0 is no limit."),
	TABLE_COLUMN(U32, database_row, current_connections, "", "Servers that it has."),
	TABLE_COLUMN(U32, database_row, max_client_connections, "",
		"Most clients of it; 0 is no limit."),
	TABLE_COLUMN(U32, database_row, current_client_connections, "",
		"Clients that it has."),
	TABLE_COLUMN(U32, database_row, paused, "", "1 if it is paused."),
	TABLE_COLUMN(U32, database_row, disabled, "", "1 if it is disabled."),
	TABLE_COLUMN(TEXT, database_row, workload, "",
		"The workloads that serve it, as a list."),
	TABLE_COLUMN(TEXT, database_row, host_name, "", "Its entry in hosts."),
	TABLE_COLUMN(U32, database_row, paused_s, "seconds", "For how long it has been paused."),
};
const struct table show_database_table = TABLE_OF(database_columns);

/* A database that clients can ask for: of the configuration, or by "*". */
struct entry {
	const char *name;
	const struct config_database *conf;     /* NULL: the console itself */
	uint32_t servers;
	uint32_t clients;
};

struct entries {
	struct entry *list;
	size_t count;
	size_t capacity;
	const struct config *config;
};

static void entry_add(
	struct entries *e, const char *name, const struct config_database *conf)
{
	size_t at = e->count++;

	if (at < e->capacity)
		e->list[at] = (struct entry){ .name = name, .conf = conf };
}

/* Those that were asked for and have no entry of their own. */
static void add_used(const struct route_database *database, void *arg)
{
	struct entries *e = arg;
	const struct config_database *conf =
		config_find_database(e->config, database->name);

	if (conf != NULL && conf == e->config->wildcard)
		entry_add(e, database->name, conf);
}

static int compare_entries(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static bool entries_fill(struct entries *e, struct directory *d)
{
	for (;;) {
		struct entry *list;

		e->count = 0;
		for (size_t i = 0; i < e->config->database_count; i++) {
			const struct config_database *db = &e->config->databases[i];

			if (db != e->config->wildcard)
				entry_add(e, db->name, db);
		}
		directory_each_database(d, add_used, e, NULL);
		entry_add(e, "pgbouncer", NULL);
		if (e->count <= e->capacity)
			break;
		list = realloc(e->list, e->count * sizeof(*list));
		if (list == NULL)
			return false;
		e->list = list;
		e->capacity = e->count;
	}
	qsort(e->list, e->count, sizeof(e->list[0]), compare_entries);
	return true;
}

static void entries_count(struct entries *e, const struct snap_pools *pools,
	const struct alias_map *aliases)
{
	for (size_t i = 0; i < pools->count; i++) {
		const struct snap_pool *p = &pools->rows[i];
		const struct entry key = { .name = alias_find(
						   aliases, p->host->name, &p->names) };
		struct entry *entry = bsearch(&key, e->list, e->count, sizeof(key),
			compare_entries);

		if (entry == NULL)
			continue;
		entry->clients += p->clients;
		for (size_t k = 0; k < SERVER_STATE_COUNT; k++)
			entry->servers += p->servers[k];
	}
}

/* What the workload may have there now. */
static uint32_t share_max(struct directory *d, const struct config_workload *w,
	const struct snap_budget *budget)
{
	const struct route_workload *now = directory_current_workload(d, w->name);

	return now == NULL || now->index >= budget->share_count ? 0 :
								  budget->shares[now->index].max;
}

/* Of one of its pools, for all its workloads together: each has limits of its own. */
static void add_sizes(struct database_row *row, const struct config *config,
	struct directory *d, const struct entry *e, const struct snap_budget *budget)
{
	const char *user = e->conf->options.user;
	uint64_t all = 0, lifetime_us = 0;

	for (size_t i = 0; i < config->workload_count; i++) {
		const struct config_workload *w = &config->workloads[i];
		uint32_t max = share_max(d, w, budget);
		struct settings s;

		if (!config_workload_allows(w, e->name))
			continue;
		config_resolve(config, w, e->conf, user[0] == '\0' ? NULL : user, &s);
		show_list_add(row->workloads, sizeof(row->workloads), w->name);
		all += s.default_pool_size == 0 ? max : u64_min(s.default_pool_size, max);
		row->min_pool_size += s.min_pool_size;
		if (s.default_pool_size != 0 && s.reserve_pool_timeout_us != 0)
			row->reserve_pool_size += s.reserve_pool_size;
		if (s.server_lifetime_us > lifetime_us)
			lifetime_us = s.server_lifetime_us;
	}
	row->pool_size = (uint32_t)u64_min(all, budget->limit);
	row->server_lifetime = (uint32_t)(lifetime_us / USEC_PER_SEC);
}

static void row_of_database(struct database_row *row, const struct config *config,
	struct directory *d, const struct entry *e, const struct snap_budget *budgets)
{
	const struct config_host *host = &config->hosts[e->conf->host];
	struct route_host *h = directory_find_host(d, host->name);
	const struct config_place *place = h == NULL ? &host->places[0] : show_place(host, h);
	struct route_held held;
	struct settings s;

	config_resolve(config, NULL, e->conf, NULL, &s);
	*row = (struct database_row){
		.name = e->name,
		/* PgBouncer: none means the unix socket. */
		.host = place_is_unix(place) ? NULL : place->host,
		.port = place->port,
		.database = config_dbname(e->conf, e->name),
		.force_user =
			e->conf->options.user[0] == '\0' ? NULL : e->conf->options.user,
		.max_connections = s.max_db_connections,
		.current_connections = e->servers,
		.max_client_connections = s.max_db_client_connections,
		.current_client_connections = e->clients,
		.host_name = host->name,
	};
	directory_held(d, e->name, &held);
	row->paused = held.paused_us != 0;
	row->paused_s = held.paused_us == 0 ? 0 : (uint32_t)((clock_now_us() - held.paused_us) / USEC_PER_SEC);
	row->disabled = held.is_disabled;
	if (h != NULL)
		add_sizes(row, config, d, e, &budgets[h->index]);
	row->workload = row->workloads;
}

/* The same with the one name that was another one up to PgBouncer 1.23. */
static void write_old_columns(struct table_column to[COUNT_OF(database_columns)])
{
	memcpy(to, database_columns, sizeof(database_columns));
	for (size_t i = 0; i < COUNT_OF(database_columns); i++) {
		if (strcmp(to[i].name, "reserve_pool_size") == 0)
			to[i].name = "reserve_pool";
	}
}

static void add_databases(struct ask *ask, const struct entries *e,
	const struct snap_budget *budgets)
{
	struct table_column old[COUNT_OF(database_columns)];
	struct table table = show_database_table;

	if (e->config->admin.old_column_names) {
		write_old_columns(old);
		table.columns = old;
	}
	table_head(&table, &ask->out);
	for (size_t i = 0; i < e->count; i++) {
		struct database_row row = { .name = "pgbouncer",
			.port = port_of(workload_of(ask, e->config)),
			.database = "pgbouncer",
			.force_user = "pgbouncer",
			.pool_size = 2,
			.pool_mode = "statement",
			.current_client_connections =
				ask->clients_in_state[CLIENT_ADMIN] };

		if (e->list[i].conf != NULL)
			row_of_database(&row, e->config, ask_directory(ask),
				&e->list[i], budgets);
		table_row(&table, &row, &ask->out);
	}
	show_end(ask);
}

/* Of all hosts, by their numbers; NULL: no memory. */
static struct snap_budget *take_budgets(struct directory *d)
{
	uint32_t count = directory_host_count(d);
	struct snap_budget *budgets = calloc(count + 1, sizeof(*budgets));

	for (uint32_t i = 0; budgets != NULL && i < count; i++)
		snap_budget(directory_host(d, i), &budgets[i]);
	return budgets;
}

static void finish_databases(struct ask *ask)
{
	struct config *config = directory_config(ask_directory(ask));
	struct snap_budget *budgets = take_budgets(ask_directory(ask));
	struct entries entries = { .config = config };
	struct alias_map aliases;
	struct snap_pools pools;

	if (snap_pools(ask_directory(ask), &pools) < 0 ||
		alias_map_init(&aliases, config) < 0) {
		ask->out.failed = true;
	} else {
		if (budgets != NULL && entries_fill(&entries, ask_directory(ask))) {
			entries_count(&entries, &pools, &aliases);
			add_databases(ask, &entries, budgets);
		} else {
			ask->out.failed = true;
		}
		alias_map_finish(&aliases);
	}
	free(entries.list);
	free(budgets);
	snap_pools_finish(&pools);
	config_unref(config);
}

enum ask_result show_databases(struct ask *ask)
{
	return ask_tour(ask, NULL, finish_databases);
}
