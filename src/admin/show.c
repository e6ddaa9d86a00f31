/* SPDX-License-Identifier: ISC */
/*
 * What the views share, and those of one row.
 */
#include "admin/show.h"

#include <string.h>
#include <strings.h>

#include "config/config.h"
#include "pg/msg_out.h"
#include "route/directory.h"

/* Of views without rows. */
const struct table show_none_table = { NULL, 0 };

void show_end(struct ask *ask)
{
	msg_out_command_complete(&ask->out, "SHOW");
}

const char *show_faked(const char *setting)
{
	static const char *const faked[][2] = {
		{ "client_encoding", "UTF8" },
		{ "default_transaction_isolation", "read committed" },
		{ "standard_conforming_strings", "on" },
		{ "datestyle", "ISO" },
		{ "timezone", "GMT" },
		{ "extra_float_digits", "1" },
		{ "application_name", "" },
	};

	for (size_t i = 0; i < COUNT_OF(faked); i++) {
		if (strcasecmp(faked[i][0], setting) == 0)
			return faked[i][1];
	}
	return NULL;
}

const struct config_place *show_place(const struct config_host *conf, struct route_host *h)
{
	uint32_t place = route_host_place(h);

	/* There may have been a reload meanwhile. */
	return &conf->places[place < conf->options.host.count ? place : 0];
}

static bool list_has(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = list; (at = strstr(at, name)) != NULL; at++) {
		if ((at == list || at[-1] == ' ') && (at[len] == '\0' || at[len] == ','))
			return true;
	}
	return false;
}

void show_list_add(char *list, size_t size, const char *name)
{
	static const char dots[] = ", ...";
	size_t used = strlen(list), need = strlen(name) + (used > 0 ? 2 : 0);

	if (name[0] == '\0' || list_has(list, name) || list_has(list, "..."))
		return;
	if (used + need + sizeof(dots) > size) {
		if (used + sizeof(dots) <= size)
			memcpy(list + used, used > 0 ? dots : dots + 2,
				sizeof(dots) - (used > 0 ? 0 : 2));
		return;
	}
	if (used > 0) {
		memcpy(list + used, ", ", 2);
		used += 2;
	}
	memcpy(list + used, name, strlen(name) + 1);
}

/* --- VERSION, STATE ----------------------------------------------------------------- */

struct pair_row {
	const char *key;
	const char *value;
};

static const struct table_column version_columns[] = {
	TABLE_COLUMN_AS("version", TEXT, pair_row, value, "",
		"The program and its version."),
};
const struct table show_version_table = TABLE_OF(version_columns);

enum ask_result show_version(struct ask *ask)
{
	const struct pair_row row = { .value = PACKAGE_STRING };

	table_head(&show_version_table, &ask->out);
	table_row(&show_version_table, &row, &ask->out);
	show_end(ask);
	return ASK_DONE;
}

static bool is_all_paused(const struct ask *ask)
{
	struct route_held held;

	directory_held(ask_directory(ask), NULL, &held);
	return held.paused_us != 0;
}

static const struct table_column state_columns[] = {
	TABLE_COLUMN(TEXT, pair_row, key, "", "active, paused or suspended."),
	TABLE_COLUMN(TEXT, pair_row, value, "", "yes or no."),
};
const struct table show_state_table = TABLE_OF(state_columns);

enum ask_result show_state(struct ask *ask)
{
	bool is_paused = is_all_paused(ask);
	bool serves = atomic_load(&ask->console->router->drain) == ROUTER_SERVES;
	bool is_suspended = suspend_is_on(ask->console->router);
	const struct pair_row rows[] = {
		{ "active", serves && !is_paused && !is_suspended ? "yes" : "no" },
		{ "paused", is_paused ? "yes" : "no" },
		{ "suspended", is_suspended ? "yes" : "no" },
	};

	table_head(&show_state_table, &ask->out);
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		table_row(&show_state_table, &rows[i], &ask->out);
	show_end(ask);
	return ASK_DONE;
}
