/* SPDX-License-Identifier: ISC */
/*
 * Entries of [databases] and [users].
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/import_priv.h"

enum { NAME_MAX_LEN = 63 };

/* What a connection string says of where. */
struct target {
	char host[INI_VALUE_MAX + 1];
	uint32_t port;
	char options[INI_VALUE_MAX + 1];
	uint64_t size;                  /* the most servers of one user's */
	uint64_t reserve;
	uint64_t max;                   /* ... or of all together; 0: no limit */
};

static size_t find_host(struct import_file *f, const struct ini_entry *e, const struct target *t)
{
	struct import *x = f->x;
	struct import_host *h;
	char name[32];

	for (size_t i = 0; i < x->host_count; i++) {
		if (x->hosts[i].port == t->port && strcmp(x->hosts[i].places, t->host) == 0)
			return i;
	}
	if (x->host_count == CONFIG_HOSTS_MAX) {
		import_tell(x, true, e, "too many hosts");
		return CONFIG_HOSTS_MAX;
	}
	h = &x->hosts[x->host_count];
	(void)snprintf(name, sizeof(name), x->host_count == 0 ? "main" : "host%zu",
		x->host_count + 1);
	h->e.level = OPTION_AT_HOST;
	h->e.name = strdup(name);
	h->places = strdup(t->host);
	h->port = t->port;
	x->no_memory = x->no_memory || h->e.name == NULL || h->places == NULL;
	return x->host_count++;
}

/* NULL: no memory. */
static struct import_line *add_line(struct import_file *f, struct import_lines *lines,
	enum option_level level, const struct ini_entry *e)
{
	struct import_line *list = realloc(lines->list, (lines->count + 1) * sizeof(*list));
	struct import_line line = { .e = { .level = level, .name = strdup(e->key) },
		.file = e->file, .line = e->line, .of = f->number };

	if (list != NULL)
		lines->list = list;
	if (list == NULL || line.e.name == NULL) {
		free(line.e.name);
		f->x->no_memory = true;
		return NULL;
	}
	list[lines->count] = line;
	return &list[lines->count++];
}

/* PgBouncer takes the last one, whole. */
static bool is_repeated(struct import_file *f, const struct ini_entry *e)
{
	for (const struct ini_entry *later = e->next; later != NULL; later = later->next) {
		if (later->section != e->section || strcmp(later->key, e->key) != 0)
			continue;
		import_tell(f->x, false, e, "\"%.60s\" is there again in line %u of %s, which holds",
			e->key, later->line, later->file);
		return true;
	}
	return false;
}

/* "-c name=value", with blanks as PostgreSQL wants them there. */
static void add_startup(struct target *t, const char *name, const char *value)
{
	size_t len = strlen(t->options);
	int n = snprintf(t->options + len, sizeof(t->options) - len, "%s-c %s=",
		len > 0 ? " " : "", name);

	len += n > 0 ? (size_t)n : 0;
	for (; *value != '\0' && len + 3 < sizeof(t->options); value++) {
		if (*value == ' ' || *value == '\\')
			t->options[len++] = '\\';
		t->options[len++] = *value;
	}
	t->options[len] = '\0';
}

static void read_mode(struct import_file *f, const struct ini_entry *e, const char *value)
{
	if (strcmp(value, f->pool_mode) != 0)
		import_tell(f->x, true, e,
			"pool_mode: the mode is that of the port; %s needs one of its own", value);
}

/* What decides on the host and on the budget. */
static void read_target(struct import_file *f, const struct ini_entry *e, const char *key,
	const char *value, struct target *t)
{
	static const char *const startup[] = { "client_encoding", "datestyle", "timezone",
		"application_name" };

	if (strcmp(key, "host") == 0)
		(void)snprintf(t->host, sizeof(t->host), "%s", value);
	else if (strcmp(key, "port") == 0)
		t->port = (uint32_t)strtoul(value, NULL, 0);
	else if (strcmp(key, "pool_mode") == 0)
		read_mode(f, e, value);
	else if (strcmp(key, "pool_size") == 0)
		t->size = import_size(value, t->size);
	else if (strncmp(key, "reserve_pool", strlen("reserve_pool")) == 0)
		t->reserve = import_size(value, t->reserve);
	else if (strcmp(key, "max_db_connections") == 0)
		t->max = import_size(value, t->max);
	for (size_t i = 0; i < COUNT_OF(startup); i++) {
		if (strcmp(key, startup[i]) == 0)
			add_startup(t, key, value);
	}
}

static bool read_targets(struct import_file *f, const struct ini_entry *e, struct target *t)
{
	char key[INI_KEY_MAX + 1], value[INI_VALUE_MAX + 1];
	const char *at = e->value;
	int found;

	*t = (struct target){ .port = 5432, .size = f->pool_size, .reserve = f->reserve_size,
		.max = f->db_max };
	(void)snprintf(t->host, sizeof(t->host), "%s", import_value_of(f->ini, "unix_socket_dir", "/tmp"));
	while ((found = ini_next_pair(&at, key, value)) > 0)
		read_target(f, e, key, value, t);
	explicit_bzero(value, sizeof(value));
	if (found < 0 || t->host[0] == '\0' || t->host[0] == '@' || t->port < 1 ||
		t->port > UINT16_MAX) {
		import_tell(f->x, true, e, "database \"%.60s\": what it says of host and port does not do here",
			e->key);
		return false;
	}
	return true;
}

static uint64_t part_of(const struct target *t)
{
	uint64_t part = t->max;

	if (part == 0)
		part = (t->size == 0 ? IMPORT_POOL_SIZE : t->size) + t->reserve;
	return u64_min(part, IMPORT_PARTS_MAX);
}

/* True: it says whom to ask for users, and that is all. */
static bool keep_pair(struct import_auth_pairs *auth, const char *key, const char *value)
{
	struct import_pair *pair = strcmp(key, "auth_user") == 0 ? &auth->user :
		strcmp(key, "auth_query") == 0			 ? &auth->query :
		strcmp(key, "auth_dbname") == 0			 ? &auth->dbname :
								   NULL;

	if (pair == NULL)
		return false;
	pair->is_given = true;
	(void)snprintf(pair->value, sizeof(pair->value), "%s", value);
	return true;
}

/* The keys of a connection string, or of a user's line. */
static void apply_pairs(struct import_file *f, enum import_section section, struct import_entity *entity,
	const struct ini_entry *e, struct import_auth_pairs *auth)
{
	char key[INI_KEY_MAX + 1], value[INI_VALUE_MAX + 1];
	const char *at = e->value;
	int found;

	while ((found = ini_next_pair(&at, key, value)) > 0) {
		struct ini_entry one = *e;

		one.key = key;
		if (section == SECTION_USER && strcmp(key, "pool_mode") == 0)
			read_mode(f, e, value);
		else if (auth != NULL && keep_pair(auth, key, value))
			continue;
		else
			import_apply(f, section, entity, &one, value);
	}
	if (found < 0)
		import_tell(f->x, true, e, "\"%.60s\": the settings are not key=value", e->key);
	explicit_bzero(value, sizeof(value));
}

void import_database(struct import_file *f, const struct ini_entry *e)
{
	struct import_auth_pairs auth = { .user.is_given = false };
	struct import_line *d;
	struct target t;
	size_t host;

	if (is_repeated(f, e))
		return;
	if (strlen(e->key) > NAME_MAX_LEN || strcmp(e->key, "pgbouncer") == 0 ||
		strcmp(e->key, "pgtandem") == 0) {
		import_tell(f->x, true, e, "database \"%.70s\": the name does not do", e->key);
		return;
	}
	if (!read_targets(f, e, &t))
		return;
	host = find_host(f, e, &t);
	if (host == CONFIG_HOSTS_MAX)
		return;
	d = add_line(f, &f->x->databases, OPTION_AT_DATABASE, e);
	if (d == NULL)
		return;
	d->host = host;
	d->part = part_of(&t);
	f->x->hosts[host].used |= UINT32_C(1) << f->number;
	apply_pairs(f, SECTION_DATABASE, &d->e, e, &auth);
	import_auth_query(f, d, e, &auth);
	if (t.options[0] != '\0')
		import_set_one(f, &d->e, "options", IMPORT_PLAIN, e, t.options);
}

void import_user(struct import_file *f, const struct ini_entry *e)
{
	struct import_line *user;

	if (is_repeated(f, e))
		return;
	if (strlen(e->key) > NAME_MAX_LEN) {
		import_tell(f->x, true, e, "user \"%.70s\": the name is too long", e->key);
		return;
	}
	user = add_line(f, &f->x->users, OPTION_AT_USER, e);
	if (user != NULL)
		apply_pairs(f, SECTION_USER, &user->e, e, NULL);
}
