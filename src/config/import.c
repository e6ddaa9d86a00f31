/* SPDX-License-Identifier: ISC */
#include "config/import.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "config/import_priv.h"
#include "config/listen.h"

enum { WORKLOAD_NAME_MAX = 48 };

enum where { WHERE_PROCESS, WHERE_HOST, WHERE_WORKLOAD, WHERE_BOTH, WHERE_DEFAULTS,
	WHERE_AUTH, WHERE_ADMIN, WHERE_LOG, WHERE_DATABASE, WHERE_USER };

enum kind { KIND_OPTION, KIND_CODE, KIND_NEEDLESS, KIND_LOST };

static const struct rule {
	enum import_section section;
	const char *key;
	enum kind kind;
	enum where where;
	enum import_form form;
	const char *text;               /* the option, or the reason */
} rules[] = {
#define PGBOUNCER(section, key, where, form, option)                                     \
	{ SECTION_##section, #key, KIND_OPTION, WHERE_##where, IMPORT_##form, #option },
#define PGBOUNCER_CODE(section, key)                                                     \
	{ SECTION_##section, #key, KIND_CODE, WHERE_PROCESS, IMPORT_PLAIN, "" },
#define PGBOUNCER_NEEDLESS(section, key, why)                                            \
	{ SECTION_##section, #key, KIND_NEEDLESS, WHERE_PROCESS, IMPORT_PLAIN, (why) },
#define PGBOUNCER_LOST(section, key, why)                                                \
	{ SECTION_##section, #key, KIND_LOST, WHERE_PROCESS, IMPORT_PLAIN, (why) },
#include "pgbouncer.def"
};

static const struct rule *find_rule(enum import_section section, const char *key)
{
	for (size_t i = 0; i < COUNT_OF(rules); i++) {
		if (rules[i].section == section && strcmp(rules[i].key, key) == 0)
			return &rules[i];
	}
	return NULL;
}

/* The last one counts. */
const struct ini_entry *import_find_key(const struct ini *ini, const char *key)
{
	const struct ini_entry *found = NULL;

	for (const struct ini_entry *e = ini->first; e != NULL; e = e->next) {
		if (e->section == INI_PGBOUNCER && strcmp(e->key, key) == 0)
			found = e;
	}
	return found;
}

const char *import_value_of(const struct ini *ini, const char *key, const char *otherwise)
{
	const struct ini_entry *e = import_find_key(ini, key);

	return e == NULL ? otherwise : e->value;
}

static uint64_t number_of(const struct ini *ini, const char *key, uint64_t otherwise)
{
	const struct ini_entry *e = import_find_key(ini, key);

	return e == NULL ? otherwise : import_size(e->value, otherwise);
}

/* --- one setting -------------------------------------------------------------------- */

void import_set_one(struct import_file *f, struct import_entity *to, const char *name,
	enum import_form form, const struct ini_entry *e, const char *value)
{
	const struct option *o = option_find(to->level, name);

	if (o == NULL)
		import_tell(f->x, true, e, "%s: there is nothing like it", e->key);
	else
		import_set(f->x, to, o, import_convert(f->x, o, form, e, value), e, f->number);
}

static void apply_rule(struct import_file *f, const struct rule *rule, struct import_entity *entity,
	const struct ini_entry *e, const char *value)
{
	struct import *x = f->x;
	struct import_entity *const homes[] = {
		[WHERE_PROCESS] = &x->process, [WHERE_HOST] = &f->host,
		[WHERE_WORKLOAD] = &f->workload->e, [WHERE_BOTH] = &f->workload->e,
		[WHERE_DEFAULTS] = &x->defaults, [WHERE_AUTH] = &x->auth,
		[WHERE_ADMIN] = &x->admin, [WHERE_LOG] = &x->log,
		[WHERE_DATABASE] = entity, [WHERE_USER] = entity,
	};

	switch (rule->kind) {
	case KIND_OPTION:
		import_set_one(f, homes[rule->where], rule->text, rule->form, e, value);
		if (rule->where == WHERE_BOTH)
			import_set_one(f, &f->host, rule->text, rule->form, e, value);
		return;
	case KIND_NEEDLESS:
		import_tell(x, false, e, "%s is not needed: %s", rule->key, rule->text);
		return;
	case KIND_LOST:
		import_tell(x, true, e, "%s: %s", rule->key, rule->text);
		return;
	case KIND_CODE:
		return;
	}
}

void import_apply(struct import_file *f, enum import_section section,
	struct import_entity *entity, const struct ini_entry *e, const char *value)
{
	const struct rule *rule = find_rule(section, e->key);

	if (rule == NULL)
		import_tell(f->x, true, e, "%s: not a setting of PgBouncer that is known", e->key);
	else
		apply_rule(f, rule, entity, e, value);
}

/* What PgBouncer does where the file says nothing, and we would not. */
static void apply_defaults(struct import_file *f)
{
	static const struct {
		const char *key, *option, *text;
	} defaults[] = {
		{ "max_client_conn", "max_client_conn", "100" },
		{ "default_pool_size", "default_pool_size", "20" },
	};

	for (size_t i = 0; i < COUNT_OF(defaults); i++) {
		if (import_find_key(f->ini, defaults[i].key) != NULL)
			continue;
		import_set(f->x, &f->workload->e,
			option_find(OPTION_AT_WORKLOAD, defaults[i].option),
			strdup(defaults[i].text), NULL, f->number);
	}
}

static void apply_verbose(struct import_file *f)
{
	const struct ini_entry *e = import_find_key(f->ini, "verbose");

	if (e != NULL && strcmp(e->value, "0") != 0)
		import_set(f->x, &f->x->log, option_find(OPTION_AT_LOG, "level"),
			strdup("debug"), e, f->number);
}

/* PgBouncer writes to both; here lines go to one of them. */
static void apply_log(struct import_file *f)
{
	const struct ini_entry *file = import_find_key(f->ini, "logfile");
	const struct ini_entry *syslog = import_find_key(f->ini, "syslog");
	bool has_file = file != NULL && file->value[0] != '\0';
	bool has_syslog = syslog != NULL && strcmp(syslog->value, "0") != 0;

	if (has_file) {
		import_set_one(f, &f->x->log, "destination", IMPORT_PLAIN, file, "file");
		import_set_one(f, &f->x->log, "file", IMPORT_NEW_PATH, file, file->value);
	}
	if (has_file && has_syslog)
		import_tell(f->x, true, syslog, "syslog: the log goes to one place, the file");
	else if (has_syslog)
		import_set_one(f, &f->x->log, "destination", IMPORT_PLAIN, syslog, "syslog");
}

/* --- ports ------------------------------------------------------------------------------ */

static bool clash(const char *one, const char *other)
{
	struct listen_address a, b;
	char why[256];

	return listen_parse(one, &a, why, sizeof(why)) &&
		listen_parse(other, &b, why, sizeof(why)) && listen_clash(&a, &b);
}

static bool listens_to(const struct import_names *names, const char *text)
{
	for (size_t i = 0; i < names->count; i++) {
		if (clash(names->list[i], text))
			return true;
	}
	return false;
}

static void drop_clashing(struct import_names *names, const char *text)
{
	size_t count = 0;

	for (size_t i = 0; i < names->count; i++) {
		if (clash(names->list[i], text))
			free(names->list[i]);
		else
			names->list[count++] = names->list[i];
	}
	names->count = count;
}

static void add_listen(struct import_file *f, const struct ini_entry *e, const char *text)
{
	struct import *x = f->x;

	/* PgBouncer says in its log that it cannot, and goes on. */
	if (text[0] != '*' && listens_to(&f->workload->listen, text))
		return;
	drop_clashing(&f->workload->listen, text);
	for (size_t i = 0; i < x->workload_count; i++) {
		if (!listens_to(&x->workloads[i].listen, text))
			continue;
		import_tell(x, true, e, "%s is what another file listens on", text);
		return;
	}
	import_names_add(x, &f->workload->listen, text);
}

static void listen_to(struct import_file *f, const struct ini_entry *e, const char *addr,
	const char *port)
{
	char text[INI_VALUE_MAX + 32];
	bool is_v6 = strchr(addr, ':') != NULL;

	if (strcmp(addr, "localhost") == 0) {
		listen_to(f, e, "127.0.0.1", port);
		listen_to(f, e, "::1", port);
		return;
	}
	if (!is_v6 && strcmp(addr, "*") != 0 && addr[strspn(addr, "0123456789.")] != '\0') {
		import_tell(f->x, true, e, "listen_addr: \"%.60s\" has to be an address", addr);
		return;
	}
	(void)snprintf(text, sizeof(text), is_v6 ? "[%s]:%s" : "%s:%s", addr, port);
	add_listen(f, e, text);
}

static void apply_listen(struct import_file *f)
{
	const struct ini_entry *addrs = import_find_key(f->ini, "listen_addr");
	const struct ini_entry *dir = import_find_key(f->ini, "unix_socket_dir");
	const char *port = import_value_of(f->ini, "listen_port", "6432");
	const char *where = dir == NULL ? "/tmp" : dir->value;
	char text[INI_VALUE_MAX + 32];

	for (const char *at = addrs == NULL ? "" : addrs->value; *at != '\0';) {
		size_t len = strcspn(at, ", \t");

		memcpy(text, at, size_min(len, INI_VALUE_MAX));
		text[size_min(len, INI_VALUE_MAX)] = '\0';
		if (len > 0)
			listen_to(f, addrs, text, port);
		at += len;
		at += strspn(at, ", \t");
	}
	if (where[0] == '@') {
		import_tell(f->x, true, dir, "unix_socket_dir: there are no abstract sockets");
	} else if (where[0] == '/') {
		(void)snprintf(text, sizeof(text), "unix:%s:%s", where, port);
		add_listen(f, dir, text);
	} else if (where[0] != '\0') {
		import_tell(f->x, true, dir, "unix_socket_dir has to begin with a slash");
	}
}

/* Named by what it does; with its port where there are several. */
static void name_workload(struct import_file *f)
{
	const char *port = import_value_of(f->ini, "listen_port", "6432");
	const char *name = strcmp(f->pool_mode, "transaction") == 0 ? "transactional" :
								      f->pool_mode;
	char text[WORKLOAD_NAME_MAX];
	struct import *x = f->x;

	(void)snprintf(text, sizeof(text), "%s", name);
	for (size_t i = 0; i < f->number; i++) {
		if (strcmp(x->workloads[i].e.name, text) == 0)
			(void)snprintf(text, sizeof(text), "%s_%.*s_%zu", name,
				(int)strspn(port, "0123456789") % 6, port, f->number + 1);
	}
	f->workload->e.name = strdup(text);
	x->no_memory = x->no_memory || f->workload->e.name == NULL;
}

static void apply_pool_mode(struct import_file *f)
{
	const struct ini_entry *e = import_find_key(f->ini, "pool_mode");
	const struct option *o = option_find(OPTION_AT_WORKLOAD, "pool_mode");
	char *text = e == NULL ? strdup("session") :
				 import_convert(f->x, o, IMPORT_PLAIN, e, e->value);

	if (text == NULL)
		text = strdup("session");
	f->pool_mode = text == NULL			? "session" :
		strcmp(text, "transaction") == 0	? "transaction" :
		strcmp(text, "statement") == 0		? "statement" :
							  "session";
	name_workload(f);
	import_set(f->x, &f->workload->e, o, text, e, f->number);
}

/* --- one file, all files ---------------------------------------------------------------------- */

static void apply_entry(struct import_file *f, const struct ini_entry *e)
{
	switch (e->section) {
	case INI_PGBOUNCER:
		import_apply(f, SECTION_GLOBAL, NULL, e, e->value);
		return;
	case INI_DATABASES:
		import_database(f, e);
		return;
	case INI_USERS:
		import_user(f, e);
		return;
	case INI_PEERS:
		import_tell(f->x, false, e,
			"peers are not needed: cancel requests find their way within one process");
		return;
	}
}

/* What the file says of servers holds for the hosts that it uses. */
static void apply_hosts(struct import_file *f)
{
	struct import *x = f->x;

	for (size_t i = 0; i < x->host_count; i++) {
		bool is_used = (x->hosts[i].used >> f->number & 1) != 0;

		for (size_t k = 0; is_used && k < f->host.count; k++) {
			const struct import_setting *s = &f->host.settings[k];
			struct ini_entry from = { .file = s->file, .line = s->line };

			import_set(x, &x->hosts[i].e, s->option, strdup(s->text), &from, f->number);
		}
	}
}

/* A file without any, as Debian's is: who would use it writes them down first. */
static void add_database(struct import_file *f)
{
	char key[] = "postgres", value[] = "";
	struct ini_entry one = { .section = INI_DATABASES, .key = key, .value = value };

	for (const struct ini_entry *e = f->ini->first; e != NULL; e = e->next) {
		if (e->section == INI_DATABASES)
			return;
	}
	if (f->ini->count == 0)
		return;
	one.file = f->ini->first->file;
	import_tell(f->x, true, &one,
		"[databases] has no entry; the database postgres stands in for those that are to come");
	import_database(f, &one);
}

static int apply_file(struct import *x, const struct ini *ini, size_t number,
	const char *name, struct diag *diag)
{
	struct import_file f = { .x = x, .ini = ini, .number = number,
		.workload = &x->workloads[number],
		.host = { .level = OPTION_AT_HOST },
		.pool_size = number_of(ini, "default_pool_size", IMPORT_POOL_SIZE),
		.reserve_size = number_of(ini, "reserve_pool_size", 0),
		.db_max = number_of(ini, "max_db_connections", 0) };

	x->workload_count = number + 1;
	f.workload->e.level = OPTION_AT_WORKLOAD;
	apply_pool_mode(&f);
	apply_listen(&f);
	apply_defaults(&f);
	apply_verbose(&f);
	apply_log(&f);
	import_auth(&f);
	for (const struct ini_entry *e = ini->first; e != NULL; e = e->next)
		apply_entry(&f, e);
	add_database(&f);
	apply_hosts(&f);
	import_tell_auth(&f);
	if (x->file_count > 1)
		import_share_sizes(&f);
	import_entity_free(&f.host);
	if (f.workload->listen.count == 0)
		diag_set(diag, name, 0, 0, "it listens nowhere that could be carried over");
	return diag_is_set(diag) ? -EINVAL : 0;
}

static int check_databases(const struct import *x, const char *const *names, struct diag *diag)
{
	for (size_t i = 0; i < x->workload_count; i++) {
		const struct import_workload *w = &x->workloads[i];

		if (w->databases.count > 0 || w->has_wildcard)
			continue;
		diag_set(diag, names[i], 0, 0, "it has no database that could be carried over");
		return -EINVAL;
	}
	return 0;
}

/* Each file's limit is its workload's; the process needs room for all. */
static void sum_clients(struct import *x)
{
	const struct option *o = option_find(OPTION_AT_PROCESS, "max_client_conn");
	uint64_t sum = 0;
	char text[24];

	for (size_t i = 0; i < x->workload_count; i++) {
		const struct import_entity *e = &x->workloads[i].e;

		for (size_t k = 0; k < e->count; k++) {
			if (strcmp(e->settings[k].option->name, "max_client_conn") == 0)
				sum += strtoull(e->settings[k].text, NULL, 10);
		}
	}
	if (sum <= strtoull(o->def, NULL, 10))
		return;
	(void)snprintf(text, sizeof(text), "%lu", (unsigned long)u64_min(sum, o->max));
	import_set(x, &x->process, o, strdup(text), NULL, 0);
}

static void tell_budgets(struct import *x)
{
	for (size_t i = 0; i < x->host_count; i++) {
		if (!x->hosts[i].has_database)
			continue;
		import_tell(x, false, NULL,
			"hosts.%s.connection_budget is what the files allow together, one user for each database; it should be what PostgreSQL's max_connections has for the router",
			x->hosts[i].e.name);
	}
}

/* May a password in clear reach it by a network that anybody may listen to? */
static bool is_in_the_open(const struct import_host *h)
{
	for (size_t i = 0; i < h->e.count; i++) {
		const struct import_setting *s = &h->e.settings[i];

		if (strcmp(s->option->name, "server_tls_sslmode") == 0 &&
			(strstr(s->text, "require") != NULL || strstr(s->text, "verify") != NULL))
			return false;
	}
	return h->places[0] != '/' || strstr(h->places, ",") != NULL;
}

/* PgBouncer answers AuthenticationCleartextPassword whoever asks, and however.  That is not
 * carried over unasked: most need it not, and it gives the password to who poses as the host. */
static void tell_cleartext(struct import *x)
{
	for (size_t i = 0; i < x->host_count; i++) {
		if (x->hosts[i].has_database && is_in_the_open(&x->hosts[i]))
			import_tell(x, false, NULL,
				"hosts.%s: where PostgreSQL asks for a password in clear (password, ldap, pam or radius in pg_hba.conf), PgBouncer sends it over any connection, the router over TLS or a unix socket only; server_cleartext_password: always is PgBouncer's way",
				x->hosts[i].e.name);
	}
}

static void lines_free(struct import_lines *lines)
{
	for (size_t i = 0; i < lines->count; i++)
		import_entity_free(&lines->list[i].e);
	free(lines->list);
}

static void import_free(struct import *x)
{
	struct import_entity *const sections[] = { &x->process, &x->defaults, &x->auth, &x->admin,
		&x->log };

	for (size_t i = 0; i < COUNT_OF(sections); i++)
		import_entity_free(sections[i]);
	for (size_t i = 0; i < x->host_count; i++) {
		import_entity_free(&x->hosts[i].e);
		free(x->hosts[i].places);
	}
	for (size_t i = 0; i < x->workload_count; i++) {
		import_entity_free(&x->workloads[i].e);
		import_names_free(&x->workloads[i].listen);
		import_names_free(&x->workloads[i].databases);
	}
	lines_free(&x->databases);
	lines_free(&x->users);
	free(x);
}

int import_inis(const struct ini *inis, const char *const *names, size_t count, struct buf *out,
	size_t *lost, import_say_f *say, void *arg, struct diag *diag)
{
	struct import *x = calloc(1, sizeof(*x));
	int ret = 0;

	if (x == NULL) {
		diag_set(diag, NULL, 0, 0, "out of memory");
		return -ENOMEM;
	}
	x->say = say;
	x->arg = arg;
	x->file_count = count;
	x->process.level = OPTION_AT_PROCESS;
	x->defaults.level = OPTION_AT_DEFAULTS;
	x->auth.level = OPTION_AT_AUTH;
	x->admin.level = OPTION_AT_ADMIN;
	x->log.level = OPTION_AT_LOG;
	for (size_t i = 0; ret == 0 && i < count; i++)
		ret = apply_file(x, &inis[i], i, names[i], diag);
	if (ret == 0) {
		import_limits(x, inis, count);
		ret = import_merge(x, diag);
	}
	if (ret == 0)
		ret = check_databases(x, names, diag);
	if (ret == 0) {
		import_share_auth(x);
		sum_clients(x);
		tell_budgets(x);
		tell_cleartext(x);
		import_write(x, out);
	}
	*lost = x->lost;
	if (x->no_memory || !buf_ok(out)) {
		diag_set(diag, NULL, 0, 0, "out of memory");
		ret = -ENOMEM;
	}
	import_free(x);
	return ret;
}

int import_files(const char *const *paths, size_t count, struct buf *out, size_t *lost,
	import_say_f *say, void *arg, struct diag *diag)
{
	struct ini inis[IMPORT_FILES_MAX] = { { 0 } };
	size_t read = 0;
	int ret = 0;

	if (count > IMPORT_FILES_MAX) {
		diag_set(diag, NULL, 0, 0, "more than %d files", IMPORT_FILES_MAX);
		return -EINVAL;
	}
	while (ret == 0 && read < count) {
		ini_init(&inis[read]);
		ret = ini_load(&inis[read], paths[read], diag);
		read++;
	}
	if (ret == 0)
		ret = import_inis(inis, paths, count, out, lost, say, arg, diag);
	for (size_t i = 0; i < read; i++)
		ini_finish(&inis[i]);
	return ret;
}
