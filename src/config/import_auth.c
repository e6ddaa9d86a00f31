/* SPDX-License-Identifier: ISC */
/*
 * Who may log in, and who is asked for secrets.
 *
 * Source: PgBouncer 1.25, doc/config.md: auth_type, auth_user, auth_query (which runs in
 * the database that the client asks for), auth_dbname (an entry of [databases]).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/import_priv.h"

static const char standard_query[] =
	"SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END"
	" FROM pg_authid WHERE rolname=$1 AND rolcanlogin";

static bool is_said(const struct ini_entry *e)
{
	return e != NULL && e->value[0] != '\0';
}

/* --- auth_type ----------------------------------------------------------------------- */

static void set_file(struct import_file *f, const char *key, bool is_used, const char *type)
{
	const struct ini_entry *e = import_find_key(f->ini, key);

	if (!is_said(e))
		return;
	if (is_used)
		import_set_one(f, &f->x->auth, key, IMPORT_PATH, e, e->value);
	else
		import_tell(f->x, false, e, "%s is not used without auth_type %s", key, type);
}

void import_auth(struct import_file *f)
{
	const struct ini_entry *e = import_find_key(f->ini, "auth_type");
	const struct ini_entry *ldap = import_find_key(f->ini, "auth_ldap_options");
	const char *type = e == NULL ? "md5" : e->value;
	bool is_hba = strcmp(type, "hba") == 0;

	if (e == NULL) {
		import_set(f->x, &f->x->auth, option_find(OPTION_AT_AUTH, "auth_type"),
			strdup("md5"), NULL, f->number);
	} else if (strcmp(type, "any") == 0) {
		import_tell(f->x, false, e,
			"auth_type: any is trust here; the console is for admin_users and stats_users");
		import_set_one(f, &f->x->auth, "auth_type", IMPORT_PLAIN, e, "trust");
	} else {
		import_set_one(f, &f->x->auth, "auth_type", IMPORT_PLAIN, e, type);
	}
	set_file(f, "auth_hba_file", is_hba, "hba");
	set_file(f, "auth_ident_file", is_hba, "hba");
	if (strcmp(type, "pam") == 0)
		import_set_one(f, &f->x->auth, "auth_pam_service", IMPORT_PLAIN, e, "pgbouncer");
	if (is_said(ldap) && strcmp(type, "ldap") == 0)
		import_set_one(f, &f->x->auth, "auth_ldap_options", IMPORT_PLAIN, ldap, ldap->value);
	else if (is_said(ldap))
		import_tell(f->x, false, ldap, "auth_ldap_options is not used without auth_type ldap");
}

/* --- auth_query ---------------------------------------------------------------------- */

/* What a database's line, else [pgbouncer] says. */
static const char *said_of(const struct import_file *f, const struct import_pair *own,
	const char *key)
{
	return own->is_given ? own->value : import_value_of(f->ini, key, "");
}

/* One login for each host.  False: another line says otherwise. */
static bool set_login(struct import_file *f, struct import_host *h, const struct ini_entry *e,
	const char *user)
{
	const struct option *o = option_find(OPTION_AT_HOST, "user");
	char *text = import_convert(f->x, o, IMPORT_PLAIN, e, user);
	const struct import_setting *s = import_find(&h->e, o);

	if (text != NULL && s != NULL && strcmp(s->text, text) != 0) {
		import_tell(f->x, true, e,
			"auth_user: the router has one login for each host, and hosts.%s.user is another",
			h->e.name);
		free(text);
		return false;
	}
	import_set(f->x, &h->e, o, text, e, f->number);
	return text != NULL;
}

/* The name in PostgreSQL of an entry of [databases], which is what auth_dbname names. */
static void real_name(const struct import_file *f, const char *name, char to[INI_VALUE_MAX + 1])
{
	char key[INI_KEY_MAX + 1], value[INI_VALUE_MAX + 1];

	(void)snprintf(to, INI_VALUE_MAX + 1, "%s", name);
	for (const struct ini_entry *e = f->ini->first; e != NULL; e = e->next) {
		const char *at = e->value;

		if (e->section != INI_DATABASES || strcmp(e->key, name) != 0)
			continue;
		while (ini_next_pair(&at, key, value) > 0) {
			if (strcmp(key, "dbname") == 0)
				(void)snprintf(to, INI_VALUE_MAX + 1, "%s", value);
		}
	}
	explicit_bzero(value, sizeof(value));
}

void import_auth_query(struct import_file *f, struct import_line *d,
	const struct ini_entry *e, const struct import_auth_pairs *own)
{
	const char *user = said_of(f, &own->user, "auth_user");
	const char *query = said_of(f, &own->query, "auth_query");
	const char *dbname = said_of(f, &own->dbname, "auth_dbname");
	struct import_host *h = &f->x->hosts[d->host];
	char name[INI_VALUE_MAX + 1];

	if (user[0] == '\0') {
		if (own->query.is_given || own->dbname.is_given)
			import_tell(f->x, false, e, "auth_query is not used without auth_user");
		return;
	}
	if (query[0] != '\0' && strstr(query, "$1") == NULL) {
		import_tell(f->x, true, e, "auth_query: needs $1, the name of the user");
		return;
	}
	if (!set_login(f, h, e, user))
		return;
	h->is_asked = true;
	import_set_one(f, &d->e, "auth_query", IMPORT_PLAIN, e,
		query[0] == '\0' ? standard_query : query);
	/* Its functions may be anywhere. */
	if (query[0] != '\0')
		import_set_one(f, &h->e, "search_path", IMPORT_PLAIN, e, "\"$user\", public");
	if (dbname[0] == '\0' && query[0] == '\0')
		return;
	if (dbname[0] == '\0' && strcmp(d->e.name, "*") == 0) {
		import_tell(f->x, true, e,
			"auth_query: for \"*\" it runs in one database, hosts.%s.dbname, not in the one that is asked for",
			h->e.name);
		return;
	}
	real_name(f, dbname[0] == '\0' ? d->e.name : dbname, name);
	import_set_one(f, &d->e, "auth_dbname", IMPORT_PLAIN, e, name);
}

void import_tell_auth(struct import_file *f)
{
	static const char *const keys[] = { "auth_query", "auth_dbname" };
	bool is_asked = false;

	for (size_t i = 0; i < f->x->host_count; i++)
		is_asked = is_asked || ((f->x->hosts[i].used >> f->number & 1) != 0 &&
			f->x->hosts[i].is_asked);
	for (size_t i = 0; i < COUNT_OF(keys) && !is_asked; i++) {
		const struct ini_entry *e = import_find_key(f->ini, keys[i]);

		if (is_said(e))
			import_tell(f->x, false, e, "%s is not used without auth_user", keys[i]);
	}
}

/* What all databases have is said once. */
static void share(struct import *x, const char *name)
{
	const struct import_lines *all = &x->databases;
	const struct option *of = option_find(OPTION_AT_DATABASE, name);
	const struct import_setting *first = import_find(&all->list[0].e, of);

	if (first == NULL)
		return;
	for (size_t i = 1; i < all->count; i++) {
		const struct import_setting *s = import_find(&all->list[i].e, of);

		if (s == NULL || strcmp(s->text, first->text) != 0)
			return;
	}
	import_set(x, &x->auth, option_find(OPTION_AT_AUTH, name), strdup(first->text), NULL, 0);
	for (size_t i = 0; i < all->count; i++)
		import_remove(&all->list[i].e, of);
}

void import_share_auth(struct import *x)
{
	if (x->databases.count < 2)
		return;
	share(x, "auth_query");
	share(x, "auth_dbname");
}
