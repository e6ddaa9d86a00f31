/* SPDX-License-Identifier: ISC */
/*
 * What several files say of one database or user.  A name is there once, and what the
 * first file says of it holds; what it is for another file (its line of that name, else its
 * "*", with what its [pgbouncer] says where that is silent) is held against it, so that
 * nothing is another thing on one port without being told.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "config/import_priv.h"

/* One name: what holds, and what it is for another file. */
struct pair {
	struct import *x;
	const struct import_line *held;
	const struct import_line *wanted;       /* NULL: of a user that it does not name */
	size_t of;                              /* that file's number */
	struct diag *diag;
};

/* --- what a setting is where nothing is said ----------------------------------------- */

static const char *level_text(struct import *x, size_t of, const struct option *o)
{
	const struct option *at_workload = option_find(OPTION_AT_WORKLOAD, o->name);
	const struct option *at_defaults = option_find(OPTION_AT_DEFAULTS, o->name);
	const struct import_setting *s = NULL;

	if (at_workload != NULL)
		s = import_find(&x->workloads[of].e, at_workload);
	if (s == NULL && at_defaults != NULL)
		s = import_find(&x->defaults, at_defaults);
	return s != NULL ? s->text : o->def == NULL ? "\"\"" : o->def;
}

/* In the form that settings have.  A database is called as its clients call it unless
 * dbname says otherwise. */
static bool is_text(const char *text, const struct option *o, const char *name)
{
	bool is_same;
	char *quoted;

	if (strcmp(o->name, "dbname") != 0)
		return false;
	quoted = import_quote(name);
	is_same = quoted != NULL && strcmp(quoted, text) == 0;
	free(quoted);
	return is_same;
}

/* One of both is NULL: not said. */
static bool is_same(const struct pair *p, const struct option *o,
	const struct import_setting *held, const struct import_setting *wanted)
{
	const char *said = held != NULL ? held->text : wanted->text;

	if (held != NULL && wanted != NULL)
		return strcmp(held->text, wanted->text) == 0;
	return is_text(said, o, p->held->e.name) || strcmp(said, level_text(p->x, p->of, o)) == 0;
}

/* --- telling --------------------------------------------------------------------------- */

static const char *shown_name(const struct option *o)
{
	return strcmp(o->name, "options") != 0 ? o->name :
		"options (client_encoding, datestyle, timezone, application_name)";
}

static void tell(struct pair *p, const struct option *o, bool is_held, bool is_wanted)
{
	const struct import_line *held = p->held;
	const struct import_line *at = p->wanted == NULL ? held : p->wanted;
	const struct ini_entry from = { .file = at->file, .line = at->line };
	const char *kind = held->e.level == OPTION_AT_USER ? "user" : "database";

	if (held->e.level == OPTION_AT_DATABASE && strcmp(o->name, "user") == 0)
		diag_set(p->diag, at->file, at->line, 0,
			"database \"%.60s\": user is not the one of %s:%u, and clients of one port would be another one's; say the same in both, or give it another name in one of them",
			held->e.name, held->file, held->line);
	else if (p->wanted == NULL)
		import_tell(p->x, true, &from, "%s \"%.60s\": %s holds on all ports, and the %s port's file does not say so",
			kind, held->e.name, shown_name(o), p->x->workloads[p->of].e.name);
	else
		import_tell(p->x, true, &from, "%s \"%.60s\": %s: %s:%u %s, and holds", kind,
			held->e.name, shown_name(o), held->file, held->line,
			!is_held	  ? "says nothing of it" :
				is_wanted ? "says otherwise" :
					    "says something else than the default");
}

static void compare(struct pair *p)
{
	const struct import_entity none = { .count = 0 };
	struct import_entity held = p->held->e;
	struct import_entity wanted = p->wanted == NULL ? none : p->wanted->e;

	for (size_t i = 0; i < held.count; i++) {
		const struct option *o = held.settings[i].option;
		const struct import_setting *s = import_find(&wanted, o);

		if (!is_same(p, o, &held.settings[i], s))
			tell(p, o, true, s != NULL);
	}
	for (size_t i = 0; i < wanted.count; i++) {
		const struct option *o = wanted.settings[i].option;

		if (import_find(&held, o) == NULL && !is_same(p, o, NULL, &wanted.settings[i]))
			tell(p, o, false, true);
	}
}

/* --- databases and users ----------------------------------------------------------------- */

/* True: the clients of that file have the database where it is for it, too. */
static bool same_host(struct pair *p)
{
	const struct ini_entry from = { .file = p->wanted->file, .line = p->wanted->line };

	if (p->held->host == p->wanted->host)
		return true;
	import_tell(p->x, true, &from, "database \"%.60s\" is on another host in %s:%u, which holds",
		p->held->e.name, p->held->file, p->held->line);
	return false;
}

/* It is the first of its name, or the same as that: its file's clients may have it. */
static void admit(struct import *x, struct import_line *d)
{
	struct import_workload *w = &x->workloads[d->of];

	w->parts[d->host] = u64_min(w->parts[d->host] + d->part, IMPORT_PARTS_MAX);
	x->hosts[d->host].has_database = true;
	if (strcmp(d->e.name, "*") == 0)
		w->has_wildcard = true;
	else
		import_names_add(x, &w->databases, d->e.name);
}

static void merge_database(struct pair *p, struct import_line *own, const struct import_line *any)
{
	p->wanted = own == NULL ? any : own;
	if (p->wanted == NULL)
		return;
	if (same_host(p)) {
		compare(p);
		if (own != NULL)
			admit(p->x, own);
	}
}

static void merge_user(struct pair *p, struct import_line *own)
{
	p->wanted = own;
	compare(p);
}

/* group: all lines of one name, NULL where a file has none. */
static void merge_group(struct import *x, struct import_line **group,
	struct import_line *const *wildcards, struct diag *diag)
{
	struct pair p = { .x = x, .diag = diag };
	size_t first = 0;

	while (group[first] == NULL)
		first++;
	p.held = group[first];
	if (p.held->e.level == OPTION_AT_DATABASE)
		admit(x, group[first]);
	for (p.of = 0; p.of < x->workload_count; p.of++) {
		if (p.of == first)
			continue;
		if (group[p.of] != NULL)
			group[p.of]->is_dropped = true;
		if (p.held->e.level == OPTION_AT_DATABASE)
			merge_database(&p, group[p.of], wildcards[p.of]);
		else
			merge_user(&p, group[p.of]);
	}
}

static int by_name(const void *a, const void *b)
{
	const struct import_line *const *left = a, *const *right = b;
	int order = strcmp((*left)->e.name, (*right)->e.name);

	return order != 0 ? order : (*left)->of < (*right)->of ? -1 : 1;
}

static void drop(struct import_lines *lines)
{
	size_t kept = 0;

	for (size_t i = 0; i < lines->count; i++) {
		if (lines->list[i].is_dropped)
			import_entity_free(&lines->list[i].e);
		else
			lines->list[kept++] = lines->list[i];
	}
	lines->count = kept;
}

/* A file has a name once at most. */
static void merge_lines(struct import *x, struct import_lines *lines, struct diag *diag)
{
	struct import_line *wildcards[IMPORT_FILES_MAX] = { NULL };
	struct import_line **sorted = calloc(lines->count + 1, sizeof(struct import_line *));

	if (sorted == NULL) {
		x->no_memory = true;
		return;
	}
	for (size_t i = 0; i < lines->count; i++) {
		sorted[i] = &lines->list[i];
		if (strcmp(sorted[i]->e.name, "*") == 0)
			wildcards[sorted[i]->of] = sorted[i];
	}
	qsort(sorted, lines->count, sizeof(sorted[0]), by_name);
	for (size_t i = 0, next; i < lines->count; i = next) {
		struct import_line *group[IMPORT_FILES_MAX] = { NULL };

		for (next = i; next < lines->count &&
			strcmp(sorted[next]->e.name, sorted[i]->e.name) == 0; next++)
			group[sorted[next]->of] = sorted[next];
		merge_group(x, group, wildcards, diag);
	}
	free(sorted);
	drop(lines);
}

/* --- what there is once for all files -------------------------------------------------------- */

/* What one file says holds for the clients of those that leave it at its default. */
static void tell_section(struct import *x, const struct import_entity *e, uint32_t files)
{
	for (size_t i = 0; i < e->count; i++) {
		const struct import_setting *s = &e->settings[i];
		const struct ini_entry from = { .file = s->file, .line = s->line };
		bool is_asker = e->level == OPTION_AT_HOST &&
			(strcmp(s->option->name, "user") == 0 ||
				strcmp(s->option->name, "search_path") == 0);

		/* Whom auth_query asks is compared with the databases. */
		if ((s->said & files) == files || is_asker ||
			(s->option->def != NULL && strcmp(s->text, s->option->def) == 0))
			continue;
		import_tell(x, true, &from, "%s holds on all ports, and not every file says so",
			s->option->name);
	}
}

int import_merge(struct import *x, struct diag *diag)
{
	uint32_t all = (uint32_t)((UINT64_C(1) << x->workload_count) - 1);

	merge_lines(x, &x->databases, diag);
	merge_lines(x, &x->users, diag);
	tell_section(x, &x->auth, all);
	tell_section(x, &x->admin, all);
	for (size_t i = 0; i < x->host_count; i++)
		tell_section(x, &x->hosts[i].e, x->hosts[i].used);
	return diag_is_set(diag) ? -EINVAL : 0;
}

static void share_size(struct import_file *f, const struct option *at_database,
	const struct option *at_workload)
{
	struct import_lines *all = &f->x->databases;
	struct import_setting *own = import_find(&f->workload->e, at_workload);
	const char *text = NULL;

	for (size_t i = 0; i < all->count; i++) {
		const struct import_setting *s = import_find(&all->list[i].e, at_database);
		const char *here = s != NULL ? s->text : own != NULL ? own->text : NULL;

		if (all->list[i].of != f->number)
			continue;
		if (here == NULL || (text != NULL && strcmp(text, here) != 0))
			return;
		text = here;
	}
	if (text == NULL)
		return;
	import_set(f->x, &f->workload->e, at_workload, strdup(text), NULL, f->number);
	for (size_t i = 0; i < all->count; i++) {
		if (all->list[i].of == f->number)
			import_remove(&all->list[i].e, at_database);
	}
}

void import_share_sizes(struct import_file *f)
{
	for (size_t i = 0; i < option_count; i++) {
		const struct option *o = &option_table[i];
		const struct option *at_workload = option_find(OPTION_AT_WORKLOAD, o->name);

		if ((o->levels & OPTION_AT_DATABASE) != 0 && at_workload != NULL)
			share_size(f, o, at_workload);
	}
}
