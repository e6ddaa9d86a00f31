/* SPDX-License-Identifier: ISC */
#include "config/build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/doc.h"
#include "config/value.h"

enum {
	PATH_MAX_BYTES = 128,
	NAMES_MAX = 64,                 /* options of one place */
	LIST_MAX = 300,                 /* bytes of them in a message */
	DATABASES_MAX = 100000,
	USERS_MAX = 100000,
};

/* A section of the file and the structs that its options go to. */
struct section {
	enum option_level level;
	const char *path;               /* "hosts.main" */
	void *own;                      /* the options that only this place has */
	struct share_options *share;    /* where the place has it */
	struct config_level *settings;  /* likewise */
};

static int fail_memory(const struct doc_source *source)
{
	(void)doc_fail(source, NULL, "out of memory");
	return -ENOMEM;
}

/* The words that may stand at a level. */
static size_t names_of(enum option_level level, const char **names)
{
	size_t count = 0;

	for (size_t i = 0; i < option_count; i++) {
		if ((option_table[i].levels & level) != 0 && count < NAMES_MAX - 1)
			names[count++] = option_table[i].name;
	}
	if (level == OPTION_AT_WORKLOAD)
		names[count++] = "hosts";
	return count;
}

static const char *list_names(const char *const *names, size_t count, char *to,
	size_t size)
{
	size_t used = 0;

	to[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		used += (size_t)snprintf(
			to + used, size - used, "%s%s", i == 0 ? "" : ", ", names[i]);
		if (used >= size) {
			(void)snprintf(to, size, "many, see pgtandem.yaml(5)");
			break;
		}
	}
	return to;
}

/* "defaults, workloads". */
static const char *level_names(unsigned levels, char *to, size_t size)
{
	static const struct {
		enum option_level level;
		const char *name;
	} all[] = {
		{ OPTION_AT_PROCESS, "process" },
		{ OPTION_AT_DEFAULTS, "defaults" },
		{ OPTION_AT_HOST, "hosts" },
		{ OPTION_AT_WORKLOAD, "workloads" },
		{ OPTION_AT_DATABASE, "databases" },
		{ OPTION_AT_USER, "users" },
		{ OPTION_AT_AUTH, "auth" },
		{ OPTION_AT_ADMIN, "admin" },
		{ OPTION_AT_HTTP, "http" },
		{ OPTION_AT_LOG, "log" },
		{ OPTION_AT_TLS, "tls" },
	};
	const char *names[COUNT_OF(all)];
	size_t count = 0;

	for (size_t i = 0; i < COUNT_OF(all); i++) {
		if ((levels & all[i].level) != 0)
			names[count++] = all[i].name;
	}
	return list_names(names, count, to, size);
}

/* All places of a word: several options may have one name (user, host). */
static unsigned places_of(const char *name)
{
	unsigned levels = 0;

	for (size_t i = 0; i < option_count; i++) {
		if (strcmp(option_table[i].name, name) == 0)
			levels |= option_table[i].levels;
	}
	return levels;
}

/* A typing error first, then a right word in the wrong place. */
static int fail_unknown(const struct doc_source *source, const struct doc_node *node,
	const struct section *section)
{
	const char *names[NAMES_MAX], *near;
	size_t count = names_of(section->level, names);
	char list[LIST_MAX];

	if (places_of(node->key) != 0)
		return doc_fail_key(source, node, "%s cannot stand in %s, only in: %s",
			node->key, section->path,
			level_names(places_of(node->key), list, sizeof(list)));
	near = value_nearest(node->key, names, count);
	if (near != NULL)
		return doc_fail_key(source, node,
			"unknown option \"%.60s\" in %s; did you mean %s?",
			node->key, section->path, near);
	return doc_fail_key(source, node, "unknown option \"%.60s\" in %s; known are: %s",
		node->key, section->path, list_names(names, count, list, sizeof(list)));
}

static int read_option(const struct doc_source *source, const struct doc_node *node,
	const struct section *section)
{
	const struct option *o = option_find(section->level, node->key);
	void *base = section->own;
	int ret;

	if (o == NULL)
		return fail_unknown(source, node, section);
	if (o->home == OPTION_IN_SETTINGS)
		base = &section->settings->values;
	else if (o->home == OPTION_IN_SHARE)
		base = section->share;
	ret = option_read(o, source, node, base);
	if (ret == 0 && o->home == OPTION_IN_SETTINGS)
		section->settings->given |= UINT64_C(1) << o->setting;
	return ret;
}

/* node: the section's mapping; nothing is an empty one. */
static int read_section(const struct doc_source *source, const struct doc_node *node,
	const struct section *section)
{
	if (node->kind != DOC_MAP && node->kind != DOC_NULL)
		return doc_fail(source, node, "%s: needs options, not %s", section->path,
			doc_kind_name(node));
	for (const struct doc_node *n = node->first; n != NULL; n = n->next) {
		int ret;

		if (section->level == OPTION_AT_WORKLOAD && strcmp(n->key, "hosts") == 0)
			continue;       /* read_overrides() */
		ret = read_option(source, n, section);
		if (ret < 0)
			return ret;
	}
	for (size_t i = 0; i < option_count; i++) {
		const struct option *o = &option_table[i];

		if ((o->levels & section->level) != 0 && o->def == NULL &&
			doc_get(node, o->name) == NULL)
			return doc_fail_key(source, node, "%s needs %s", section->path,
				o->name);
	}
	return 0;
}

/* A section of options at the top of the file, which may be left out. */
static int read_plain(const struct doc_source *source, const char *name,
	enum option_level level, enum option_home home, void *own)
{
	const struct doc_node *node = doc_get(source->root, name);
	const struct section section = { .level = level, .path = name, .own = own };

	if (option_set_defaults(home, own) < 0)
		return fail_memory(source);
	return node == NULL ? 0 : read_section(source, node, &section);
}

static int read_defaults(struct config *config, const struct doc_source *source)
{
	const struct doc_node *node = doc_get(source->root, "defaults");
	const struct section section = { .level = OPTION_AT_DEFAULTS,
		.path = "defaults",
		.settings = &config->defaults };

	if (option_set_defaults(OPTION_IN_SETTINGS, &config->defaults.values) < 0)
		return fail_memory(source);
	return node == NULL ? 0 : read_section(source, node, &section);
}

/* Next to the defaults: it has those of TLS. */
static int read_tls(struct config *config, const struct doc_source *source)
{
	const struct doc_node *node = doc_get(source->root, "tls");
	const struct section section = { .level = OPTION_AT_TLS,
		.path = "tls",
		.settings = &config->defaults };

	return node == NULL ? 0 : read_section(source, node, &section);
}

static int read_admin(struct config *config, const struct doc_source *source)
{
	const struct doc_node *node = doc_get(source->root, "admin");
	const struct section section = { .level = OPTION_AT_ADMIN,
		.path = "admin",
		.own = &config->admin,
		.settings = &config->admin_level };

	if (option_set_defaults(OPTION_IN_ADMIN, &config->admin) < 0)
		return fail_memory(source);
	return node == NULL ? 0 : read_section(source, node, &section);
}

/* The entries of a section of named ones: *node is the first, *entries the memory
 * for all, zeroed; both NULL where the section is left out. */
static int open_entries(const struct doc_source *source, const char *name, size_t max,
	size_t size, const struct doc_node **node, void *entries)
{
	const struct doc_node *section = doc_get(source->root, name);
	void **to = entries;

	*node = NULL;
	if (section == NULL || section->kind == DOC_NULL)
		return 0;
	if (section->kind != DOC_MAP)
		return doc_fail(source, section, "%s: needs named entries, not %s", name,
			doc_kind_name(section));
	if (section->count > max)
		return doc_fail(source, section, "%s: has %zu entries; at most %zu are "
			"allowed", name, section->count, max);
	*to = calloc(section->count + 1, size);
	if (*to == NULL)
		return fail_memory(source);
	*node = section->first;
	return 0;
}

/* Names of ours stand in metrics and on the console. */
static int copy_label(const struct doc_source *source, const struct doc_node *node,
	char **to)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t len = strlen(node->key);

	if (len > CONFIG_NAME_MAX || strspn(node->key, allowed) != len)
		return doc_fail_key(source, node,
			"the name \"%.70s\" is not made of at most %d letters, digits, "
			"'_', '.' and '-'",
			node->key, CONFIG_NAME_MAX);
	*to = strdup(node->key);
	return *to == NULL ? fail_memory(source) : 0;
}

/* Names of PostgreSQL's. */
static int copy_name(const struct doc_source *source, const struct doc_node *node,
	char **to)
{
	if (strlen(node->key) > CONFIG_NAME_MAX)
		return doc_fail_key(source, node, "the name \"%.70s\" is longer than "
			"PostgreSQL's %d bytes", node->key, CONFIG_NAME_MAX);
	*to = strdup(node->key);
	return *to == NULL ? fail_memory(source) : 0;
}

static const char *entry_path(const char *section, const char *name, char *to)
{
	(void)snprintf(to, PATH_MAX_BYTES, "%s.%s", section, name);
	return to;
}

static int read_hosts(struct config *config, const struct doc_source *source)
{
	const struct doc_node *node;
	char path[PATH_MAX_BYTES];
	int ret;

	ret = open_entries(source, "hosts", CONFIG_HOSTS_MAX, sizeof(*config->hosts),
		&node, &config->hosts);
	for (; ret == 0 && node != NULL; node = node->next) {
		struct config_host *host = &config->hosts[config->host_count++];
		const struct section section = {
			.level = OPTION_AT_HOST,
			.path = entry_path("hosts", node->key, path),
			.own = &host->options,
		};

		ret = copy_label(source, node, &host->name);
		if (ret == 0 && option_set_defaults(OPTION_IN_HOST, &host->options) < 0)
			ret = fail_memory(source);
		if (ret == 0)
			ret = read_section(source, node, &section);
	}
	return ret;
}

static int fail_no_host(const struct config *config, const struct doc_source *source,
	const struct doc_node *node, const char *path)
{
	const char *names[CONFIG_HOSTS_MAX], *near;
	char list[LIST_MAX];

	for (size_t i = 0; i < config->host_count; i++)
		names[i] = config->hosts[i].name;
	near = value_nearest(node->key, names, config->host_count);
	if (near != NULL)
		return doc_fail_key(source, node,
			"%s: there is no host \"%.60s\"; did you mean %s?",
			path, node->key, near);
	return doc_fail_key(source, node, "%s: there is no host \"%.60s\"; hosts are: %s",
		path, node->key,
		list_names(names, config->host_count, list, sizeof(list)));
}

/* workloads.W.hosts: where one host differs. */
static int read_overrides(const struct config *config, const struct doc_source *source,
	const struct doc_node *workload, struct config_workload *w)
{
	const struct doc_node *hosts = doc_get(workload, "hosts");
	char path[PATH_MAX_BYTES], host_path[2 * PATH_MAX_BYTES];
	int ret = 0;

	w->shares = calloc(config->host_count + 1, sizeof(*w->shares));
	if (w->shares == NULL)
		return fail_memory(source);
	for (size_t i = 0; i < config->host_count; i++)
		w->shares[i].given = w->share;
	if (hosts == NULL || hosts->kind == DOC_NULL || config->host_count == 0)
		return 0;       /* check_needed() */
	(void)snprintf(path, sizeof(path), "workloads.%s.hosts", w->name);
	if (hosts->kind != DOC_MAP)
		return doc_fail(source, hosts, "%s: needs named entries, not %s", path,
			doc_kind_name(hosts));
	for (const struct doc_node *n = hosts->first; ret == 0 && n != NULL;
		n = n->next) {
		const struct config_host *host = config_find_host(config, n->key);
		struct section section = { .level = OPTION_AT_SHARE, .path = host_path };

		if (host == NULL)
			return fail_no_host(config, source, n, path);
		(void)snprintf(host_path, sizeof(host_path), "%s.%s", path, host->name);
		section.share = &w->shares[host - config->hosts].given;
		ret = read_section(source, n, &section);
	}
	return ret;
}

static int read_workload(struct config *config, const struct doc_source *source,
	const struct doc_node *node, struct config_workload *w)
{
	char path[PATH_MAX_BYTES];
	const struct section section = {
		.level = OPTION_AT_WORKLOAD,
		.path = entry_path("workloads", node->key, path),
		.own = &w->options,
		.share = &w->share,
		.settings = &w->level,
	};
	int ret;

	ret = copy_label(source, node, &w->name);
	if (ret == 0 && (option_set_defaults(OPTION_IN_WORKLOAD, &w->options) < 0 ||
			option_set_defaults(OPTION_IN_SHARE, &w->share) < 0))
		ret = fail_memory(source);
	if (ret == 0)
		ret = read_section(source, node, &section);
	if (ret == 0)
		ret = read_overrides(config, source, node, w);
	return ret;
}

static int read_workloads(struct config *config, const struct doc_source *source)
{
	const struct doc_node *node;
	int ret;

	ret = open_entries(source, "workloads", CONFIG_WORKLOADS_MAX,
		sizeof(*config->workloads), &node, &config->workloads);
	for (; ret == 0 && node != NULL; node = node->next)
		ret = read_workload(config, source, node,
			&config->workloads[config->workload_count++]);
	return ret;
}

static int read_databases(struct config *config, const struct doc_source *source)
{
	const struct doc_node *node;
	char path[PATH_MAX_BYTES];
	int ret;

	ret = open_entries(source, "databases", DATABASES_MAX, sizeof(*config->databases),
		&node, &config->databases);
	for (; ret == 0 && node != NULL; node = node->next) {
		struct config_database *db = &config->databases[config->database_count++];
		const struct section section = {
			.level = OPTION_AT_DATABASE,
			.path = entry_path("databases", node->key, path),
			.own = &db->options,
			.settings = &db->level,
		};

		ret = copy_name(source, node, &db->name);
		if (ret == 0 && option_set_defaults(OPTION_IN_DATABASE, &db->options) < 0)
			ret = fail_memory(source);
		if (ret == 0)
			ret = read_section(source, node, &section);
		if (ret == 0)
			hash_table_add(&config->database_names, &db->node,
				hash_bytes(db->name, strlen(db->name)));
	}
	return ret;
}

static int read_users(struct config *config, const struct doc_source *source)
{
	const struct doc_node *node;
	char path[PATH_MAX_BYTES];
	int ret;

	ret = open_entries(source, "users", USERS_MAX, sizeof(*config->users), &node,
		&config->users);
	for (; ret == 0 && node != NULL; node = node->next) {
		struct config_user *user = &config->users[config->user_count++];
		const struct section section = {
			.level = OPTION_AT_USER,
			.path = entry_path("users", node->key, path),
			.own = &user->options,
			.settings = &user->level,
		};

		ret = copy_name(source, node, &user->name);
		if (ret == 0 && option_set_defaults(OPTION_IN_USER, &user->options) < 0)
			ret = fail_memory(source);
		if (ret == 0)
			ret = read_section(source, node, &section);
		if (ret == 0)
			hash_table_add(&config->user_names, &user->node,
				hash_bytes(user->name, strlen(user->name)));
	}
	return ret;
}

static int check_top(const struct doc_source *source)
{
	static const char *const names[] = { "process", "defaults", "hosts", "workloads",
		"databases", "users", "auth", "tls", "admin", "http", "log" };
	char list[LIST_MAX];

	if (source->root->kind == DOC_NULL)
		return doc_fail(source, source->root, "the file is empty; hosts and "
			"workloads are needed");
	if (source->root->kind != DOC_MAP)
		return doc_fail(source, source->root, "the file needs sections, not %s",
			doc_kind_name(source->root));
	for (const struct doc_node *n = source->root->first; n != NULL; n = n->next) {
		const char *near;
		size_t i = 0;

		while (i < COUNT_OF(names) && strcmp(n->key, names[i]) != 0)
			i++;
		if (i < COUNT_OF(names))
			continue;
		near = value_nearest(n->key, names, COUNT_OF(names));
		if (near != NULL)
			return doc_fail_key(source, n,
				"unknown section \"%.60s\"; did you mean %s?",
				n->key, near);
		return doc_fail_key(source, n, "unknown section \"%.60s\"; known are: %s",
			n->key, list_names(names, COUNT_OF(names), list, sizeof(list)));
	}
	return 0;
}

/* After all has been read: a typing error is told before what is missing. */
static int check_needed(const struct config *config, const struct doc_source *source)
{
	if (config->host_count == 0)
		return doc_fail(source, source->root,
			"hosts is missing; at least one is needed, such as  hosts: { "
			"main: { host: 127.0.0.1, connection_budget: 35 } }");
	if (config->workload_count == 0)
		return doc_fail(source, source->root,
			"workloads is missing; at least one is needed, such as  "
			"workloads: { web: { listen: \"*:6432\", pool_mode: transaction "
			"} }");
	return 0;
}

int build_config(struct config *config, const struct doc_source *source)
{
	int ret;

	if (hash_table_init(&config->database_names, 8) < 0 ||
		hash_table_init(&config->user_names, 8) < 0)
		return fail_memory(source);
	ret = check_top(source);
	if (ret == 0)
		ret = read_plain(source, "process", OPTION_AT_PROCESS, OPTION_IN_PROCESS,
			&config->process);
	if (ret == 0)
		ret = read_defaults(config, source);
	if (ret == 0)
		ret = read_tls(config, source);
	if (ret == 0)
		ret = read_hosts(config, source);
	if (ret == 0)
		ret = read_workloads(config, source);
	if (ret == 0)
		ret = read_databases(config, source);
	if (ret == 0)
		ret = read_users(config, source);
	if (ret == 0)
		ret = read_plain(source, "auth", OPTION_AT_AUTH, OPTION_IN_AUTH,
			&config->auth);
	if (ret == 0)
		ret = read_admin(config, source);
	if (ret == 0)
		ret = read_plain(source, "http", OPTION_AT_HTTP, OPTION_IN_HTTP,
			&config->http);
	if (ret == 0)
		ret = read_plain(source, "log", OPTION_AT_LOG, OPTION_IN_LOG,
			&config->log);
	return ret < 0 ? ret : check_needed(config, source);
}
