/* SPDX-License-Identifier: ISC */
/*
 * SHOW CONFIG: the running configuration, one row for each option.
 *
 * Thread: any.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/config.h"
#include "config/dump.h"

enum { DEFAULT_MAX = 400 };

struct show {
	dump_row_f *row;
	void *arg;
	int error;
};

/* An entry of the file and the structs behind it; any pointer may be NULL. */
struct entry {
	enum option_level level;
	const char *section;
	const char *name;               /* NULL: the section has no entries */
	const void *own;
	const struct share_options *share;
	const struct config_level *settings;
};

static void show_option(struct show *show, const struct entry *entry,
	const struct option *o, const void *base)
{
	char def[DEFAULT_MAX], *path = NULL, *value = option_text(o, base);
	struct dump_row row = {
		.value = value,
		.def = option_default_text(o, def, sizeof(def)),
		.is_changeable = o->effect != OPTION_RESTART,
		.option = o,
	};
	int len;

	if (entry->name == NULL)
		len = asprintf(&path, "%s.%s", entry->section, o->name);
	else
		len = asprintf(&path, "%s.%s.%s", entry->section, entry->name, o->name);
	if (len < 0 || value == NULL) {
		show->error = -ENOMEM;
	} else {
		row.name = path;
		show->row(show->arg, &row);
	}
	if (len >= 0)
		free(path);
	free(value);
}

static void show_entry(struct show *show, const struct entry *entry)
{
	for (size_t i = 0; i < option_count && show->error == 0; i++) {
		const struct option *o = &option_table[i];

		if ((o->levels & entry->level) == 0)
			continue;
		if (o->home == OPTION_IN_SETTINGS) {
			if ((entry->settings->given & UINT64_C(1) << o->setting) != 0)
				show_option(show, entry, o, &entry->settings->values);
		} else {
			show_option(show, entry, o,
				o->home == OPTION_IN_SHARE ? entry->share : entry->own);
		}
	}
}

static void show_plain(struct show *show, enum option_level level, const char *section,
	const void *own)
{
	const struct entry entry = { .level = level, .section = section, .own = own };

	show_entry(show, &entry);
}

static void show_defaults(struct show *show, const struct config *config)
{
	/* Here every setting holds, given or not. */
	const struct config_level all = { config->defaults.values, UINT64_MAX };
	const struct entry entry = {
		.level = OPTION_AT_DEFAULTS, .section = "defaults", .settings = &all
	};

	show_entry(show, &entry);
}

static void show_tls(struct show *show, const struct config *config)
{
	const struct config_level all = { config->defaults.values, UINT64_MAX };
	const struct entry entry = {
		.level = OPTION_AT_TLS, .section = "tls", .settings = &all
	};

	show_entry(show, &entry);
}

static void show_workload(struct show *show, const struct config_workload *w)
{
	const struct entry entry = { OPTION_AT_WORKLOAD, "workloads", w->name,
		&w->options, &w->share, &w->level };

	show_entry(show, &entry);
}

/* What one host does otherwise than the workload says. */
static void show_shares(struct show *show, const struct config *config,
	const struct config_workload *w)
{
	for (size_t i = 0; i < config->host_count && show->error == 0; i++) {
		const struct share_options *given = &w->shares[i].given;
		struct entry entry = { .level = OPTION_AT_SHARE,
			.name = config->hosts[i].name,
			.share = given };
		char *section;

		if (given->guaranteed_connections == w->share.guaranteed_connections &&
			given->max_connections == w->share.max_connections &&
			given->max_pinned == w->share.max_pinned &&
			given->weight == w->share.weight)
			continue;
		if (asprintf(&section, "workloads.%s.hosts", w->name) < 0) {
			show->error = -ENOMEM;
			return;
		}
		entry.section = section;
		show_entry(show, &entry);
		free(section);
	}
}

static void show_names(struct show *show, const struct config *config)
{
	for (size_t i = 0; i < config->database_count; i++) {
		const struct config_database *db = &config->databases[i];
		const struct entry entry = { OPTION_AT_DATABASE, "databases", db->name,
			&db->options, NULL, &db->level };

		show_entry(show, &entry);
	}
	for (size_t i = 0; i < config->user_count; i++) {
		const struct config_user *user = &config->users[i];
		const struct entry entry = { OPTION_AT_USER, "users", user->name,
			&user->options, NULL, &user->level };

		show_entry(show, &entry);
	}
}

int dump_show(const struct config *config, dump_row_f *row, void *arg)
{
	const struct entry admin = { OPTION_AT_ADMIN, "admin", NULL, &config->admin, NULL,
		&config->admin_level };
	struct show show = { .row = row, .arg = arg };

	show_plain(&show, OPTION_AT_PROCESS, "process", &config->process);
	for (size_t i = 0; i < config->host_count; i++) {
		const struct entry entry = { .level = OPTION_AT_HOST, .section = "hosts",
			.name = config->hosts[i].name, .own = &config->hosts[i].options };

		show_entry(&show, &entry);
	}
	for (size_t i = 0; i < config->workload_count; i++) {
		show_workload(&show, &config->workloads[i]);
		show_shares(&show, config, &config->workloads[i]);
	}
	show_names(&show, config);
	show_defaults(&show, config);
	show_plain(&show, OPTION_AT_AUTH, "auth", &config->auth);
	show_tls(&show, config);
	show_entry(&show, &admin);
	show_plain(&show, OPTION_AT_HTTP, "http", &config->http);
	show_plain(&show, OPTION_AT_LOG, "log", &config->log);
	return show.error;
}
