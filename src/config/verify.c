/* SPDX-License-Identifier: ISC */
#include "config/verify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "config/config.h"
#include "config/doc.h"
#include "config/hba.h"
#include "config/place.h"
#include "config/listen.h"
#include "config/network.h"
#include "config/password.h"
#include "config/value.h"

enum { WHY_MAX = 300, WARNING_MAX = 800 };

static int fail_memory(const struct doc_source *source)
{
	(void)doc_fail(source, NULL, "out of memory");
	return -ENOMEM;
}

int verify_warn(struct config *config, const char *fmt, ...)
{
	struct option_list *list = &config->warnings;
	char text[WARNING_MAX];
	va_list args;
	char **items;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	items = realloc(list->items, (list->count + 1) * sizeof(*items));
	if (items == NULL)
		return -ENOMEM;
	list->items = items;
	items[list->count] = strdup(text);
	if (items[list->count] == NULL)
		return -ENOMEM;
	list->count++;
	return 0;
}

/* databases left out: every name, on the only host. */
static int add_wildcard(struct config *config, const struct doc_source *source)
{
	const struct doc_node *node = doc_get(source->root, "databases");
	struct config_database *db;

	if (node != NULL && node->kind == DOC_MAP)
		return doc_fail_key(source, node,
			"databases is empty; name some, or leave it out for all "
			"databases of the only host");
	if (config->host_count > 1)
		return doc_fail(source, source->root,
			"databases is missing; with more than one host it says which "
			"database is on which");
	db = calloc(1, sizeof(*db));
	if (db == NULL)
		return fail_memory(source);
	config->databases = db;
	config->database_count = 1;
	db->name = strdup("*");
	if (db->name == NULL || option_set_defaults(OPTION_IN_DATABASE, &db->options) < 0)
		return fail_memory(source);
	hash_table_add(&config->database_names, &db->node, hash_bytes("*", 1));
	return 0;
}

static int find_database_host(const struct config *config,
	const struct doc_source *source, struct config_database *db)
{
	const struct doc_node *node =
		doc_reach(source->root, "databases", db->name, "host", NULL);
	const char *names[CONFIG_HOSTS_MAX], *near;
	const struct config_host *host;

	if (db->options.host[0] == '\0') {
		db->host = 0;
		if (config->host_count == 1)
			return 0;
		return doc_fail_key(source, node,
			"databases.%s needs host, as there is more than one",
			db->name);
	}
	host = config_find_host(config, db->options.host);
	if (host != NULL) {
		db->host = (size_t)(host - config->hosts);
		return 0;
	}
	for (size_t i = 0; i < config->host_count; i++)
		names[i] = config->hosts[i].name;
	near = value_nearest(db->options.host, names, config->host_count);
	if (near == NULL && config->host_count == 1)
		near = config->hosts[0].name;
	return doc_fail(source, node, "host: hosts has no entry \"%.60s\"%s%s%s",
		db->options.host, near == NULL ? "" : "; did you mean ",
		near == NULL ? "" : near, near == NULL ? "" : "?");
}

static int verify_database(struct config *config, const struct doc_source *source,
	struct config_database *db)
{
	const struct doc_node *node =
		doc_reach(source->root, "databases", db->name, NULL);

	if (strcmp(db->name, "pgbouncer") == 0 || strcmp(db->name, "pgtandem") == 0)
		return doc_fail_key(source, node,
			"the database name %s is reserved for the console",
			db->name);
	if (strcmp(db->name, "*") == 0)
		config->wildcard = db;
	return find_database_host(config, source, db);
}

/* auto, and what shapes it. */
static int verify_budget(const struct config_host *host, const struct doc_source *source)
{
	const struct host_options *o = &host->options;
	const char *idle = NULL;
	const struct doc_node *node = doc_reach(source->root, "hosts", host->name, NULL);

	if (config_host_is_auto(host)) {
		if (o->user[0] != '\0')
			return 0;
		return doc_fail(source, doc_get(node, "connection_budget"),
			"connection_budget: auto needs hosts.%s.user, the router's own "
			"login, to ask PostgreSQL how many there may be",
			host->name);
	}
	if (o->auto_leave != 0)
		idle = "auto_leave";
	else if (o->auto_share != 100)
		idle = "auto_share";
	if (idle != NULL)
		return doc_fail_key(source, doc_get(node, idle),
			"hosts.%s: %s without connection_budget: auto", host->name, idle);
	return 0;
}

static int verify_host(const struct config_host *host, const struct doc_source *source)
{
	return verify_budget(host, source);
}

static int verify_user(const struct config_user *user, const struct doc_source *source)
{
	if (strcmp(user->name, "*") != 0)
		return 0;
	return doc_fail_key(source, doc_reach(source->root, "users", "*", NULL),
		"users has no entry for all; write what holds for all into defaults");
}

/* Where the item of a list stands in the file; a list may be a single value. */
static const struct doc_node *item_node(const struct doc_node *list, size_t index)
{
	const struct doc_node *node = list;

	if (list->kind == DOC_LIST) {
		node = list->first;
		while (index-- > 0)
			node = node->next;
	}
	return node;
}

/* The places where the instance may be. */
static int verify_places(struct config_host *host, const struct doc_source *source)
{
	const struct doc_node *list =
		doc_reach(source->root, "hosts", host->name, "host", NULL);
	const struct option_list *items = &host->options.host;
	char why[WHY_MAX];

	host->places = calloc(items->count, sizeof(*host->places));
	if (host->places == NULL)
		return fail_memory(source);
	for (size_t i = 0; i < items->count; i++) {
		const struct doc_node *node = item_node(list, i);

		if (!place_parse(items->items[i], (uint16_t)host->options.port,
				&host->places[i], why, sizeof(why)))
			return doc_fail(source, node, "host: %s", why);
		for (size_t j = 0; j < i; j++) {
			if (place_same(&host->places[i], &host->places[j]))
				return doc_fail(source, node,
					"host: %.100s is the same as %.100s before it",
					items->items[i], items->items[j]);
		}
	}
	return 0;
}

/* One listen address against all before it. */
static int verify_address(const struct doc_source *source, const struct doc_node *node,
	const char *text, struct listen_address *seen, size_t count)
{
	char why[WHY_MAX];

	if (!listen_parse(text, &seen[count], why, sizeof(why)))
		return doc_fail(source, node, "listen: %s", why);
	for (size_t i = 0; i < count; i++) {
		if (listen_clash(&seen[i], &seen[count]))
			return doc_fail(source, node,
				"listen: %.100s is listened on already, further up in "
				"the file",
				text);
	}
	return 0;
}

static int verify_listen(const struct config *config, const struct doc_source *source)
{
	struct listen_address *seen;
	size_t total = config->http.listen.count + config->admin.listen.count, count = 0;
	int ret = 0;

	for (size_t i = 0; i < config->workload_count; i++)
		total += config->workloads[i].options.listen.count;
	seen = calloc(total, sizeof(*seen));
	if (seen == NULL)
		return fail_memory(source);
	for (size_t i = 0; i < config->workload_count; i++) {
		const struct config_workload *w = &config->workloads[i];
		const struct doc_node *list =
			doc_reach(source->root, "workloads", w->name, "listen", NULL);

		for (size_t j = 0; ret == 0 && j < w->options.listen.count; j++)
			ret = verify_address(source, item_node(list, j),
				w->options.listen.items[j], seen, count++);
	}
	for (size_t i = 0; ret == 0 && i < config->http.listen.count; i++)
		ret = verify_address(source,
			item_node(doc_reach(source->root, "http", "listen", NULL), i),
			config->http.listen.items[i], seen, count++);
	for (size_t i = 0; ret == 0 && i < config->admin.listen.count; i++)
		ret = verify_address(source,
			item_node(doc_reach(source->root, "admin", "listen", NULL), i),
			config->admin.listen.items[i], seen, count++);
	free(seen);
	return ret;
}

static int verify_log(const struct config *config, const struct doc_source *source)
{
	const struct doc_node *node = doc_get(source->root, "log");

	if (config->log.destination == CONFIG_LOG_FILE && config->log.file[0] == '\0')
		return doc_fail(source, node, "log: destination file needs file");
	if (config->log.file[0] != '\0' && config->log.file[0] != '/')
		return doc_fail(source, doc_get(node, "file"),
			"file: %.100s does not begin with a slash", config->log.file);
	return 0;
}

static int verify_http(const struct config *config, const struct doc_source *source)
{
	const struct http_options *http = &config->http;
	const struct doc_node *node = doc_get(source->root, "http");

	if ((http->user[0] == '\0') == (http->password_file[0] == '\0'))
		return 0;
	return doc_fail(source, node, "http: user and password_file need each other");
}

/* Who may ask from elsewhere sees names and numbers. */
static int warn_http(struct config *config)
{
	const struct http_options *http = &config->http;
	char why[WHY_MAX];

	if (http->token_file[0] != '\0' || http->user[0] != '\0')
		return 0;
	for (size_t i = 0; i < http->listen.count; i++) {
		struct listen_address address;

		if (!listen_parse(http->listen.items[i], &address, why, sizeof(why)) ||
			listen_is_local(&address))
			continue;
		return verify_warn(config,
			"http: everybody who reaches %s may read metrics and views; "
			"token_file, or user and password_file, would ask who it is",
			http->listen.items[i]);
	}
	return 0;
}

/* The names in workloads.W.databases. */
static int verify_names(const struct config *config, const struct doc_source *source,
	const struct config_workload *w, const struct doc_node *node)
{
	const struct option_list *list = &w->options.databases;

	for (size_t i = 0; i < list->count; i++) {
		const char *name = list->items[i];

		if (strcmp(name, "*") == 0 || config_find_database(config, name) != NULL)
			continue;
		return doc_fail(source, item_node(doc_get(node, "databases"), i),
			"databases: there is no database \"%.60s\" in databases, nor "
			"\"*\"",
			name);
	}
	return 0;
}

static int verify_workload(const struct config *config, const struct doc_source *source,
	struct config_workload *w)
{
	const struct doc_node *node = doc_reach(source->root, "workloads", w->name, NULL);
	uint32_t total = config->process.max_client_conn;

	w->max_client_conn = w->options.max_client_conn;
	if (w->max_client_conn == 0)
		w->max_client_conn = total;
	if (w->max_client_conn > total)
		return doc_fail(source, doc_get(node, "max_client_conn"),
			"max_client_conn: %u is more than the %u of "
			"process.max_client_conn",
			w->max_client_conn, total);
	for (size_t i = 0; i < w->options.proxy_protocol_from.count; i++) {
		struct network net;

		if (!network_parse(w->options.proxy_protocol_from.items[i], &net))
			return doc_fail(source, item_node(doc_get(node, "proxy_protocol_from"), i),
				"proxy_protocol_from: \"%.60s\" is neither a network such as "
				"10.0.0.0/8 or fd00::/8, nor unix",
				w->options.proxy_protocol_from.items[i]);
	}
	return verify_names(config, source, w, node);
}

/* Two settings of one level that contradict each other. */
static int verify_level(const struct doc_source *source, const struct config_level *level,
	const struct doc_node *node)
{
	const uint64_t both = UINT64_C(1) << OPTION_SETTING_min_pool_size |
		UINT64_C(1) << OPTION_SETTING_default_pool_size;
	const struct settings *s = &level->values;

	if ((level->given & both) != both || s->default_pool_size == 0 ||
		s->min_pool_size <= s->default_pool_size)
		return 0;
	return doc_fail(source, doc_get(node, "min_pool_size"),
		"min_pool_size: %u is more than default_pool_size, which is %u",
		s->min_pool_size, s->default_pool_size);
}

static int verify_levels(const struct config *config, const struct doc_source *source)
{
	const struct doc_node *root = source->root;
	int ret = verify_level(source, &config->defaults, doc_get(root, "defaults"));

	for (size_t i = 0; ret == 0 && i < config->workload_count; i++)
		ret = verify_level(source, &config->workloads[i].level,
			doc_reach(root, "workloads", config->workloads[i].name, NULL));
	for (size_t i = 0; ret == 0 && i < config->database_count; i++) {
		if (config->databases[i].level.given != 0)
			ret = verify_level(source, &config->databases[i].level,
				doc_reach(root, "databases", config->databases[i].name,
					NULL));
	}
	for (size_t i = 0; ret == 0 && i < config->user_count; i++) {
		if (config->users[i].level.given != 0)
			ret = verify_level(source, &config->users[i].level,
				doc_reach(root, "users", config->users[i].name, NULL));
	}
	return ret;
}

static int verify_map(const struct config *config, const struct doc_source *source)
{
	enum config_auth_type type = config->auth.auth_type;
	const struct doc_node *node = doc_get(source->root, "auth");
	bool has_rules = type == CONFIG_AUTH_HBA, has_map = config->auth.auth_map[0] != '\0';

	if (has_map && type != CONFIG_AUTH_CERT && type != CONFIG_AUTH_PEER)
		return doc_fail_key(source, doc_get(node, "auth_map"),
			"auth.auth_map is for auth_type cert and peer");
	if (has_map && config->auth.auth_ident_file[0] == '\0')
		return doc_fail_key(source, doc_get(node, "auth_map"),
			"auth.auth_map without auth_ident_file");
	if (config->auth.auth_ident_file[0] != '\0' && !has_rules && !has_map)
		return doc_fail_key(source, doc_get(node, "auth_ident_file"),
			"auth.auth_ident_file without auth_hba_file or auth_map");
	return 0;
}

/* One rule for everybody, whose options are these. */
static int verify_ldap(struct config *config, const struct doc_source *source)
{
	static const char form[] = "local all,replication all ldap %s\n"
		"host all,replication all all ldap %s\n";
	const struct doc_node *node = doc_get(source->root, "auth");
	const char *options = config->auth.auth_ldap_options;
	bool is_ldap = config->auth.auth_type == CONFIG_AUTH_LDAP;
	struct diag why;
	char *rules;

	if (is_ldap && options[0] == '\0')
		return doc_fail(source, doc_get(node, "auth_type"),
			"auth_type: ldap needs auth_ldap_options");
	if (!is_ldap && options[0] != '\0')
		return doc_fail_key(source, doc_get(node, "auth_ldap_options"),
			"auth.auth_ldap_options without auth_type: ldap");
	if (!is_ldap)
		return 0;
	if (asprintf(&rules, form, options, options) < 0)
		return fail_memory(source);
	diag_clear(&why);
	config->hba = strpbrk(options, "#\r\n") != NULL ? NULL :
		hba_parse(rules, strlen(rules), "auth_ldap_options", false, &why);
	explicit_bzero(rules, strlen(rules));
	free(rules);
	if (config->hba != NULL)
		return 0;
	return doc_fail(source, doc_get(node, "auth_ldap_options"), "auth_ldap_options: %s",
		diag_is_set(&why) ? why.text : "must be one line without #");
}

static int verify_auth(struct config *config, const struct doc_source *source)
{
	const struct doc_node *node = doc_get(source->root, "auth");
	bool has_rules = config->auth.auth_hba_file[0] != '\0';

	if (config->auth.auth_type == CONFIG_AUTH_HBA && !has_rules)
		return doc_fail(source, doc_get(node, "auth_type"),
			"auth_type: hba needs auth_hba_file");
	if (verify_ldap(config, source) < 0)
		return -EINVAL;
	if (config->auth.auth_type != CONFIG_AUTH_HBA && has_rules)
		return doc_fail_key(source, doc_get(node, "auth_hba_file"),
			"auth.auth_hba_file without auth_type: hba");
#ifndef HAVE_LIBPAM
	if (config->auth.auth_type == CONFIG_AUTH_PAM)
		return doc_fail(source, doc_get(node, "auth_type"),
			"auth_type: pam: this build has no PAM");
#endif
	if (strchr(config->auth.auth_pam_service, '/') != NULL)
		return doc_fail(source, doc_get(node, "auth_pam_service"),
			"auth_pam_service: is the name of a file in /etc/pam.d");
	return verify_map(config, source);
}

static int verify_auth_query(struct config *config, const struct doc_source *source,
	const struct config_database *db)
{
	struct config_host *host = &config->hosts[db->host];
	const struct doc_node *node = doc_reach(source->root, "databases", db->name,
		"auth_query", NULL);
	const char *dbname, *sql = config_auth_query(config, db, &dbname);

	if (db->options.auth_query[0] == '\0')
		node = doc_reach(source->root, "auth", "auth_query", NULL);
	if (sql == NULL)
		return 0;
	if (strstr(sql, "$1") == NULL)
		return doc_fail(source, node, "auth_query: needs $1, the name of the user, or is "
			"the word default");
	if (host->options.user[0] == '\0')
		return doc_fail(source, node, "auth_query: needs hosts.%s.user, the router's own "
			"login, to ask PostgreSQL", host->name);
	host->is_asked_for_users = true;
	return 0;
}

/* Settings of pools that have no effect in this workload. */
static int warn_of_pools(struct config *config, const struct config_workload *w)
{
	const uint64_t idle = UINT64_C(1) << OPTION_SETTING_idle_session_timeout;
	const uint64_t reclaim = UINT64_C(1) << OPTION_SETTING_idle_session_reclaim;
	struct settings s;
	uint32_t max = 0;
	int ret = 0;

	config_resolve(config, w, NULL, NULL, &s);
	for (size_t i = 0; i < config->host_count; i++) {
		if (w->shares[i].is_used && w->shares[i].max > max)
			max = w->shares[i].max;
	}
	if (max != 0 && s.min_pool_size > max)
		ret = verify_warn(config, "workloads.%s: min_pool_size is %u, but the workload "
			"may have %u servers (max_connections)", w->name, s.min_pool_size, max);
	if (ret == 0 && s.reserve_pool_size != 0 && s.default_pool_size == 0)
		ret = verify_warn(config, "workloads.%s: reserve_pool_size has no effect without "
			"default_pool_size", w->name);
	if (ret == 0 && (w->level.given & idle) != 0 && s.idle_session_timeout_us != 0 &&
		w->options.pool_mode != CONFIG_POOL_SESSION)
		ret = verify_warn(config, "workloads.%s: idle_session_timeout has no effect where "
			"pool_mode is not session", w->name);
	if (ret == 0 && s.idle_session_reclaim_us != 0 &&
		w->options.pool_mode != CONFIG_POOL_SESSION && (w->level.given & reclaim) != 0)
		ret = verify_warn(config, "workloads.%s: idle_session_reclaim has no effect where "
			"pool_mode is not session", w->name);
	if (ret == 0 && s.idle_session_reclaim_us != 0 &&
		w->options.pool_mode == CONFIG_POOL_SESSION && s.server_reset_query[0] == '\0')
		ret = verify_warn(config, "workloads.%s: idle_session_reclaim has no effect "
			"without server_reset_query", w->name);
	return ret;
}

int verify_meaning(struct config *config, const struct doc_source *source)
{
	bool has_secret = config->auth.auth_file[0] != '\0' ||
		(config->auth.auth_type != CONFIG_AUTH_PASSWORD &&
			config->auth.auth_type != CONFIG_AUTH_MD5 &&
			config->auth.auth_type != CONFIG_AUTH_SCRAM);
	int ret = 0;

	for (size_t i = 0; i < config->host_count; i++)
		has_secret = has_secret || config->hosts[i].is_asked_for_users;

	for (size_t i = 0; i < config->user_count; i++)
		has_secret = has_secret || config->users[i].options.password[0] != '\0';
	if (!has_secret)
		ret = verify_warn(config,
			"nobody can log in: auth_file is not set, and no entry of users "
			"has a password");
	for (size_t i = 0; ret == 0 && i < config->host_count; i++) {
		size_t users = 0;

		for (size_t j = 0; j < config->database_count; j++)
			users += config->databases[j].host == i;
		if (users == 0)
			ret = verify_warn(config, "no database is on the host %s",
				config->hosts[i].name);
	}
	for (size_t i = 0; ret == 0 && i < config->workload_count; i++)
		ret = warn_of_pools(config, &config->workloads[i]);
	if (ret == 0)
		ret = warn_http(config);
	return ret < 0 ? fail_memory(source) : 0;
}

int verify_config(struct config *config, const struct doc_source *source)
{
	int ret = 0;

	if (config->database_count == 0)
		ret = add_wildcard(config, source);
	for (size_t i = 0; ret == 0 && i < config->host_count; i++) {
		ret = verify_host(&config->hosts[i], source);
		if (ret == 0)
			ret = verify_places(&config->hosts[i], source);
	}
	for (size_t i = 0; ret == 0 && i < config->database_count; i++)
		ret = verify_database(config, source, &config->databases[i]);
	if (ret == 0)
		ret = password_verify(config, source);
	for (size_t i = 0; ret == 0 && i < config->user_count; i++)
		ret = verify_user(&config->users[i], source);
	if (ret == 0)
		ret = verify_listen(config, source);
	if (ret == 0)
		ret = verify_auth(config, source);
	if (ret == 0)
		ret = verify_http(config, source);
	if (ret == 0)
		ret = verify_log(config, source);
	for (size_t i = 0; ret == 0 && i < config->database_count; i++)
		ret = verify_auth_query(config, source, &config->databases[i]);
	for (size_t i = 0; ret == 0 && i < config->workload_count; i++)
		ret = verify_workload(config, source, &config->workloads[i]);
	if (ret == 0)
		ret = verify_levels(config, source);
	if (ret == 0)
		ret = verify_tls(config, source);
	return ret;
}
