/* SPDX-License-Identifier: ISC */
#include "config/config.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/diag.h"
#include "config/build.h"
#include "config/contents.h"
#include "config/doc.h"
#include "config/overlay.h"
#include "config/pairs.h"
#include "config/hba.h"
#include "config/ident.h"
#include "config/password.h"
#include "config/share.h"
#include "config/secrets.h"
#include "config/userlist.h"
#include "config/verify.h"

const char *config_default_path(void)
{
	return CONFIG_DEFAULT_PATH;
}

static void free_secret(char *secret)
{
	if (secret != NULL)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

static void free_hosts(struct config *config)
{
	for (size_t i = 0; i < config->host_count; i++) {
		struct config_host *host = &config->hosts[i];

		option_free(OPTION_IN_HOST, &host->options);
		free_secret(host->own_password);
		password_finish(&host->source);
		free(host->places);
		free(host->name);
	}
	free(config->hosts);
}

static void free_workloads(struct config *config)
{
	for (size_t i = 0; i < config->workload_count; i++) {
		struct config_workload *w = &config->workloads[i];

		option_free(OPTION_IN_WORKLOAD, &w->options);
		option_free(OPTION_IN_SETTINGS, &w->level.values);
		free(w->shares);
		free(w->name);
	}
	free(config->workloads);
}

static void config_free(struct config *config)
{
	free_hosts(config);
	free_workloads(config);
	for (size_t i = 0; i < config->database_count; i++) {
		struct config_database *db = &config->databases[i];

		option_free(OPTION_IN_DATABASE, &db->options);
		password_finish(&db->source);
		option_free(OPTION_IN_SETTINGS, &db->level.values);
		free(db->name);
	}
	for (size_t i = 0; i < config->user_count; i++) {
		struct config_user *user = &config->users[i];

		option_free(OPTION_IN_USER, &user->options);
		option_free(OPTION_IN_SETTINGS, &user->level.values);
		free(user->name);
	}
	free(config->databases);
	free(config->users);
	hash_table_finish(&config->database_names);
	hash_table_finish(&config->user_names);
	option_free(OPTION_IN_PROCESS, &config->process);
	option_free(OPTION_IN_AUTH, &config->auth);
	option_free(OPTION_IN_ADMIN, &config->admin);
	option_free(OPTION_IN_SETTINGS, &config->admin_level.values);
	option_free(OPTION_IN_HTTP, &config->http);
	free_secret(config->http_token);
	free_secret(config->http_password);
	option_free(OPTION_IN_LOG, &config->log);
	option_free(OPTION_IN_SETTINGS, &config->defaults.values);
	userlist_destroy(&config->userlist);
	hba_destroy(&config->hba);
	ident_destroy(&config->ident);
	option_list_free(&config->warnings);
	for (size_t i = 0; i < config->place_count; i++)
		free(config->places[i].path);
	free(config->places);
	contents_destroy(&config->contents);
	free(config->path);
	free(config);
}

struct config *config_ref(struct config *config)
{
	uint32_t before =
		atomic_fetch_add_explicit(&config->refs, 1, memory_order_relaxed);

	assert(before > 0);
	return config;
}

void config_unref(struct config *config)
{
	uint32_t before;

	if (config == NULL)
		return;
	before = atomic_fetch_sub_explicit(&config->refs, 1, memory_order_acq_rel);
	assert(before > 0);
	if (before == 1)
		config_free(config);
}

static int compare_places(const void *a, const void *b)
{
	return strcmp(((const struct config_place_of *)a)->path,
		((const struct config_place_of *)b)->path);
}

static int add_place(struct config *config, char *path, uint32_t line)
{
	struct config_place_of *list = realloc(
		config->places, (config->place_count + 1) * sizeof(*list));

	if (list == NULL) {
		free(path);
		return -ENOMEM;
	}
	config->places = list;
	list[config->place_count++] = (struct config_place_of){ path, line };
	return 0;
}

/* What stands where: all that is no section. */
static int note_places(struct config *config, const struct doc_node *map, const char *prefix)
{
	int ret = 0;

	for (const struct doc_node *n = map->first; ret == 0 && n != NULL; n = n->next) {
		char *path;

		if (n->key == NULL)
			continue;
		if (asprintf(&path, "%s%s%s", prefix, prefix[0] == '\0' ? "" : ".", n->key) < 0)
			return -ENOMEM;
		if (n->kind == DOC_MAP) {
			ret = note_places(config, n, path);
			free(path);
		} else {
			ret = add_place(config, path, n->line);
		}
	}
	return ret;
}

const struct config_place_of *config_find_place(const struct config *config, const char *path)
{
	const struct config_place_of key = { .path = (char *)(uintptr_t)path };

	if (config->place_count == 0)
		return NULL;
	return bsearch(&key, config->places, config->place_count, sizeof(key), compare_places);
}

static int fill(struct config *config, const char *text, size_t len, const char *path,
	const struct overlay *overlay, struct diag *diag)
{
	struct doc_node *root = doc_parse(text, len, path, diag);
	struct doc_source source = { .root = root, .file = path, .diag = diag };
	int ret;

	if (root == NULL)
		return -EINVAL;
	ret = overlay == NULL ? 0 : overlay_apply(overlay, root, diag);
	if (ret == 0)
		ret = build_config(config, &source);
	if (ret == 0)
		ret = verify_config(config, &source);
	if (ret == 0)
		ret = share_compute(config, &source);
	if (ret == 0)
		ret = verify_meaning(config, &source);
	if (ret == 0)
		ret = password_take(config);
	if (ret == 0)
		ret = note_places(config, root, "");
	if (config->place_count > 0)
		qsort(config->places, config->place_count, sizeof(config->places[0]),
			compare_places);
	doc_free(root);
	return ret;
}

static struct config *load_text(const char *text, size_t len, const char *path,
	const struct overlay *overlay, struct diag *diag)
{
	struct config *config = calloc(1, sizeof(*config));

	if (config == NULL) {
		diag_set(diag, path, 0, 0, "out of memory");
		return NULL;
	}
	atomic_init(&config->refs, 1);
	config->path = strdup(path);
	if (config->path == NULL || fill(config, text, len, path, overlay, diag) < 0) {
		diag_set(diag, path, 0, 0, "out of memory");
		config_unref(config);
		return NULL;
	}
	secrets_count(config);
	return config;
}

struct config *config_load_memory(const char *text, size_t len, const char *path,
	struct diag *diag)
{
	return load_text(text, len, path, NULL, diag);
}

char *config_file_path(const struct config *config, const char *name)
{
	const char *slash = strrchr(config->path, '/');
	char *path;

	if (name[0] == '/' || slash == NULL)
		return strdup(name);
	if (asprintf(&path, "%.*s/%s", (int)(slash - config->path), config->path, name) <
		0)
		return NULL;
	return path;
}

int config_check_readable(const struct config *config, const char *option,
	const char *path, struct diag *diag)
{
	struct stat st;
	int error;

	if (access(path, R_OK) < 0 || stat(path, &st) < 0) {
		error = errno;
		diag_set(diag, config->path, 0, 0, "%s: cannot read %s: %s", option, path,
			strerror(error));
		return -error;
	}
	/* Libraries that read it would wait for who writes to it. */
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
		return 0;
	diag_set(diag, config->path, 0, 0, "%s: %s is not a regular file", option, path);
	return -EINVAL;
}

static int load_userlist(struct config *config, struct diag *diag)
{
	char *path, *warning = NULL;
	int ret = 0;

	if (config->auth.auth_file[0] == '\0')
		return 0;
	path = config_file_path(config, config->auth.auth_file);
	if (path == NULL)
		return -ENOMEM;
	ret = config_check_readable(config, "auth.auth_file", path, diag);
	if (ret == 0)
		config->userlist = userlist_load(path, &warning, diag);
	if (config->userlist == NULL)
		ret = -EINVAL;
	else if (warning != NULL)
		ret = verify_warn(config, "%s", warning);
	free(warning);
	free(path);
	return ret;
}

/* The path of a file that an option names, if it does and can be read; *to NULL: it
 * names none. */
static int named_file(const struct config *config, const char *option, const char *name,
	char **to, struct diag *diag)
{
	int ret;

	*to = NULL;
	if (name[0] == '\0')
		return 0;
	*to = config_file_path(config, name);
	if (*to == NULL)
		return -ENOMEM;
	ret = config_check_readable(config, option, *to, diag);
	if (ret < 0) {
		free(*to);
		*to = NULL;
	}
	return ret;
}

static int load_rules(struct config *config, struct diag *diag)
{
	char *path;
	int ret = named_file(config, "auth.auth_ident_file", config->auth.auth_ident_file,
		&path, diag);

	if (ret == 0 && path != NULL) {
		config->ident = ident_load(path, diag);
		ret = config->ident == NULL ? -EINVAL :
			ident_check_map(config->ident, config->auth.auth_map, path, diag);
	}
	free(path);
	if (ret < 0)
		return ret;
	ret = named_file(config, "auth.auth_hba_file", config->auth.auth_hba_file, &path,
		diag);
	if (ret == 0 && path != NULL) {
		config->hba = hba_load(path, diag);
		ret = config->hba == NULL ? -EINVAL : 
			ident_check_maps(config->ident, config->hba, diag);
	}
	if (ret == 0)
		ret = verify_tls_rules(config);
	if (ret == 0 && config->hba != NULL && hba_public_secret(config->hba) != NULL)
		ret = verify_warn(config, "everybody may read %s, which holds a password "
			"(ldapbindpasswd); chmod 640 would hide it",
			hba_public_secret(config->hba));
	free(path);
	return ret;
}

struct config *config_load(const char *path, struct diag *diag)
{
	return config_load_with(path, NULL, diag);
}

struct config *config_load_with(
	const char *path, const struct overlay *overlay, struct diag *diag)
{
	struct config *config;
	char *text;
	size_t len;
	int ret;

	if (doc_read_file(path, DOC_FILE_MAX, &text, &len, diag) < 0)
		return NULL;
	config = load_text(text, len, path, overlay, diag);
	doc_free_text(text, len);
	if (config == NULL)
		return NULL;
	ret = 0;
	if (secrets_are_said(config) && doc_is_public(path))
		ret = verify_warn(config, "everybody may read %s, which holds secrets; chmod 640 "
			"would hide them", path);
	if (ret == 0)
		ret = load_userlist(config, diag);
	secrets_count(config);
	if (ret == 0)
		ret = load_rules(config, diag);
	if (ret == 0)
		ret = password_load(config, diag);
	if (ret == 0)
		ret = secrets_find_own(config);
	if (ret == 0)
		ret = password_load_secret(config, "http.token_file", config->http.token_file,
			&config->http_token, diag);
	if (ret == 0)
		ret = password_load_secret(config, "http.password_file",
			config->http.password_file, &config->http_password, diag);
	if (ret == 0)
		ret = verify_tls_files(config, diag);
	if (ret == 0)
		ret = pairs_warn(config);
	if (ret == 0)
		ret = contents_read(config);
	if (ret < 0) {
		diag_set(diag, path, 0, 0, "out of memory");
		config_unref(config);
		return NULL;
	}
	return config;
}

const struct config_database *config_find_database(const struct config *config,
	const char *name)
{
	uint64_t hash = hash_bytes(name, strlen(name));
	struct hash_node *node = hash_table_find(&config->database_names, hash);

	while (node != NULL) {
		const struct config_database *db = container_of(node,
			struct config_database, node);

		if (strcmp(db->name, name) == 0)
			return db;
		node = hash_next(node);
	}
	return config->wildcard;
}

const char *config_auth_query(const struct config *config, const struct config_database *db,
	const char **dbname)
{
	static const char standard[] =
		"SELECT rolname, rolpassword, rolvaliduntil FROM pg_catalog.pg_authid"
		" WHERE rolname OPERATOR(pg_catalog.=) $1 AND rolcanlogin";
	const char *sql = config->auth.auth_query;

	*dbname = config->auth.auth_dbname;
	if (db != NULL && db->options.auth_query[0] != '\0')
		sql = db->options.auth_query;
	if (db != NULL && db->options.auth_dbname[0] != '\0')
		*dbname = db->options.auth_dbname;
	if (sql[0] == '\0')
		return NULL;
	return strcmp(sql, "default") == 0 ? standard : sql;
}

const char *config_dbname(const struct config_database *db, const char *asked)
{
	return db->options.dbname[0] != '\0' ? db->options.dbname : asked;
}

static bool list_has(const struct option_list *list, const char *name)
{
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i], name) == 0)
			return true;
	}
	return false;
}

bool config_workload_allows(const struct config_workload *w, const char *database)
{
	const struct option_list *names = &w->options.databases;

	return names->count == 0 || list_has(names, database) || list_has(names, "*");
}

const struct config_user *config_find_user(const struct config *config, const char *name)
{
	uint64_t hash = hash_bytes(name, strlen(name));
	struct hash_node *node = hash_table_find(&config->user_names, hash);

	while (node != NULL) {
		const struct config_user *user = container_of(node, struct config_user,
			node);

		if (strcmp(user->name, name) == 0)
			return user;
		node = hash_next(node);
	}
	return NULL;
}

const struct config_host *config_find_host(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->host_count; i++) {
		if (strcmp(config->hosts[i].name, name) == 0)
			return &config->hosts[i];
	}
	return NULL;
}

const struct config_workload *config_find_workload(const struct config *config,
	const char *name)
{
	for (size_t i = 0; i < config->workload_count; i++) {
		if (strcmp(config->workloads[i].name, name) == 0)
			return &config->workloads[i];
	}
	return NULL;
}

const char *config_secret(const struct config *config, const char *user)
{
	const struct config_user *entry = config_find_user(config, user);

	if (entry != NULL && entry->options.password[0] != '\0')
		return entry->options.password;
	return config->userlist == NULL ? NULL : userlist_find(config->userlist, user);
}

static void overlay(const struct config_level *level, struct settings *out)
{
	uint64_t left = level->given;

	while (left != 0) {
		unsigned setting = (unsigned)__builtin_ctzll(left);

		option_borrow(option_of_setting(setting), &level->values, out);
		left &= left - 1;
	}
}

void config_resolve(const struct config *config, const struct config_workload *workload,
	const struct config_database *database, const char *user, struct settings *out)
{
	const struct config_user *entry = NULL;

	if (user != NULL)
		entry = config_find_user(config, user);
	*out = config->defaults.values;
	if (workload != NULL)
		overlay(&workload->level, out);
	if (database != NULL)
		overlay(&database->level, out);
	if (entry != NULL)
		overlay(&entry->level, out);
}

void config_resolve_console(const struct config *config, struct settings *out)
{
	*out = config->defaults.values;
	overlay(&config->admin_level, out);
}

bool config_is_admin(const struct config *config, const char *user)
{
	return list_has(&config->admin.admin_users, user);
}

bool config_is_stats(const struct config *config, const char *user)
{
	return list_has(&config->admin.stats_users, user);
}
