/* SPDX-License-Identifier: ISC */
/*
 * Walks both configurations in the order of the manual.  Entries are matched by
 * name; a setting that a level does not give is "gone" there.
 */
#include "config/reload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/contents.h"
#include "config/hba.h"
#include "config/ident.h"
#include "config/userlist.h"

struct compare {
	const struct config *before;
	const struct config *after;
	struct reload_diff *diff;
	int error;                      /* the first one; nothing is added after it */
};

/* One entry of a section, as the table sees it.  Any pointer may be NULL. */
struct side {
	const void *own;
	const struct share_options *share;
	const struct config_level *level;
};

static void change_free(struct reload_change *change)
{
	free(change->path);
	free(change->before);
	free(change->after);
}

void reload_finish(struct reload_diff *diff)
{
	for (size_t i = 0; i < diff->count; i++)
		change_free(&diff->changes[i]);
	free(diff->changes);
	memset(diff, 0, sizeof(*diff));
}

/* Takes the texts, also on failure; NULL for one that is not there. */
static void add_change(struct compare *c, char *path, char *before, char *after,
	enum option_effect effect)
{
	struct reload_change change = { path, before, after, effect };
	struct reload_diff *diff = c->diff;
	struct reload_change *changes = NULL;

	if (c->error == 0 && path != NULL)
		changes = realloc(diff->changes, (diff->count + 1) * sizeof(*changes));
	if (changes == NULL) {
		c->error = -ENOMEM;
		change_free(&change);
		return;
	}
	diff->changes = changes;
	changes[diff->count++] = change;
}

static char *join(const char *section, const char *name, const char *option)
{
	char *path;
	int len;

	if (name == NULL || option == NULL)
		len = asprintf(&path, "%s.%s", section, name == NULL ? option : name);
	else
		len = asprintf(&path, "%s.%s.%s", section, name, option);
	return len < 0 ? NULL : path;
}

/* The struct that has the option on one side, or NULL if it is not given there. */
static const void *base_of(const struct option *o, const struct side *side)
{
	if (o->home == OPTION_IN_SHARE)
		return side->share;
	if (o->home != OPTION_IN_SETTINGS)
		return side->own;
	if (side->level == NULL || (side->level->given & UINT64_C(1) << o->setting) == 0)
		return NULL;
	return &side->level->values;
}

/* What is said of a file whose contents are others now. */
static char *contents_text(const struct option *o, const void *base,
	const struct contents_file *file, const char *what)
{
	char *name, *text;

	if (file->text != NULL)
		return strdup(file->text);
	if (strcmp(o->name, "token_file") == 0 || strcmp(o->name, "password_file") == 0)
		return strdup("***");
	name = option_text(o, base);
	if (name == NULL || asprintf(&text, "%s%s", name, what) < 0)
		text = NULL;
	free(name);
	return text;
}

/* The same files are named: is the same in them? */
static void compare_contents(struct compare *c, const struct option *o, const char *path[2],
	const void *base)
{
	char *where = join(path[0], path[1], o->name);
	const struct contents_file *before, *after;
	char *texts[2];

	if (where == NULL) {
		c->error = -ENOMEM;
		return;
	}
	before = contents_find(c->before->contents, where);
	after = contents_find(c->after->contents, where);
	if (before == NULL || after == NULL || before->hash == after->hash) {
		free(where);
		return;
	}
	texts[0] = contents_text(o, base, before, "");
	texts[1] = contents_text(o, base, after, ", other contents");
	if (texts[0] == NULL || texts[1] == NULL)
		c->error = -ENOMEM;
	add_change(c, where, texts[0], texts[1], o->effect);
}

static void compare_option(struct compare *c, const struct option *o, const char *path[2],
	const struct side sides[2])
{
	const void *before = base_of(o, &sides[0]), *after = base_of(o, &sides[1]);
	char *texts[2] = { NULL, NULL };

	if (before == NULL && after == NULL)
		return;
	if (before != NULL && after != NULL && option_same(o, before, after)) {
		if (o->type == OPTION_PATH || o->type == OPTION_PATHS)
			compare_contents(c, o, path, after);
		return;
	}
	if (before != NULL)
		texts[0] = option_text(o, before);
	if (after != NULL)
		texts[1] = option_text(o, after);
	if ((before != NULL && texts[0] == NULL) || (after != NULL && texts[1] == NULL))
		c->error = -ENOMEM;
	add_change(c, join(path[0], path[1], o->name), texts[0], texts[1], o->effect);
}

/* path: section, and name of the entry or NULL. */
static void compare_sides(struct compare *c, enum option_level level, const char *path[2],
	const struct side sides[2])
{
	for (size_t i = 0; i < option_count; i++) {
		if ((option_table[i].levels & level) != 0)
			compare_option(c, &option_table[i], path, sides);
	}
}

static void compare_plain(struct compare *c, enum option_level level, const char *section,
	const void *before, const void *after)
{
	const char *path[2] = { section, NULL };
	const struct side sides[2] = { { .own = before }, { .own = after } };

	compare_sides(c, level, path, sides);
}

/* An entry that came or went is one change, whatever is in it. */
static void add_entry(struct compare *c, const char *section, const char *name,
	bool is_new)
{
	char *text = strdup("");

	if (text == NULL)
		c->error = -ENOMEM;
	add_change(c, join(section, name, NULL), is_new ? NULL : text,
		is_new ? text : NULL, is_new ? OPTION_NEW : OPTION_NOW);
}

static void compare_hosts(struct compare *c, const struct config *before,
	const struct config *after)
{
	for (size_t i = 0; i < before->host_count; i++) {
		const struct config_host *a = &before->hosts[i];
		const struct config_host *b = config_find_host(after, a->name);
		const char *path[2] = { "hosts", a->name };
		struct side sides[2] = { { .own = &a->options } };

		if (b == NULL) {
			add_entry(c, "hosts", a->name, false);
			continue;
		}
		sides[1].own = &b->options;
		compare_sides(c, OPTION_AT_HOST, path, sides);
	}
	for (size_t i = 0; i < after->host_count; i++) {
		if (config_find_host(before, after->hosts[i].name) == NULL)
			add_entry(c, "hosts", after->hosts[i].name, true);
	}
}

/* One host's part, by what holds there.  What it has of its workload, before and now, is told
 * of that. */
static void compare_share(struct compare *c, const char *path[2],
	const struct config_workload *pair[2], const struct side sides[2])
{
	for (size_t i = 0; i < option_count; i++) {
		const struct option *o = &option_table[i];

		if ((o->levels & OPTION_AT_SHARE) == 0 ||
			(option_same(o, &pair[0]->share, sides[0].share) &&
				option_same(o, &pair[1]->share, sides[1].share)))
			continue;
		compare_option(c, o, path, sides);
	}
}

/* workloads.W.hosts.H. */
static void compare_shares(struct compare *c, const struct config *before,
	const struct config *after, const struct config_workload *pair[2])
{
	for (size_t i = 0; i < before->host_count; i++) {
		const struct config_host *a = &before->hosts[i];
		const struct config_host *b = config_find_host(after, a->name);
		const struct side sides[2] = {
			{ .share = &pair[0]->shares[i].given },
			{ .share = b == NULL ? NULL :
				&pair[1]->shares[b - after->hosts].given },
		};
		char *section;
		const char *path[2];

		if (b == NULL)
			continue;
		if (asprintf(&section, "workloads.%s.hosts", pair[0]->name) < 0) {
			c->error = -ENOMEM;
			return;
		}
		path[0] = section;
		path[1] = a->name;
		compare_share(c, path, pair, sides);
		free(section);
	}
}

static void compare_workload(struct compare *c, const struct config *before,
	const struct config *after, const struct config_workload *pair[2])
{
	const char *path[2] = { "workloads", pair[0]->name };
	const struct side sides[2] = {
		{ &pair[0]->options, &pair[0]->share, &pair[0]->level },
		{ &pair[1]->options, &pair[1]->share, &pair[1]->level },
	};

	compare_sides(c, OPTION_AT_WORKLOAD, path, sides);
	compare_shares(c, before, after, pair);
}

static void compare_workloads(struct compare *c, const struct config *before,
	const struct config *after)
{
	for (size_t i = 0; i < before->workload_count; i++) {
		const struct config_workload *a = &before->workloads[i];
		const struct config_workload *pair[2] = {
			a, config_find_workload(after, a->name)
		};

		if (pair[1] == NULL)
			add_entry(c, "workloads", a->name, false);
		else
			compare_workload(c, before, after, pair);
	}
	for (size_t i = 0; i < after->workload_count; i++) {
		if (config_find_workload(before, after->workloads[i].name) == NULL)
			add_entry(c, "workloads", after->workloads[i].name, true);
	}
}

/* The entry of exactly that name. */
static const struct config_database *own_database(const struct config *config,
	const char *name)
{
	const struct config_database *db = config_find_database(config, name);

	return db == NULL || strcmp(db->name, name) != 0 ? NULL : db;
}

static void compare_databases(struct compare *c, const struct config *before,
	const struct config *after)
{
	for (size_t i = 0; i < before->database_count; i++) {
		const struct config_database *a = &before->databases[i];
		const struct config_database *b = own_database(after, a->name);
		const char *path[2] = { "databases", a->name };
		struct side sides[2] = { { &a->options, NULL, &a->level } };

		if (b == NULL) {
			add_entry(c, "databases", a->name, false);
			continue;
		}
		sides[1].own = &b->options;
		sides[1].level = &b->level;
		compare_sides(c, OPTION_AT_DATABASE, path, sides);
	}
	for (size_t i = 0; i < after->database_count; i++) {
		if (own_database(before, after->databases[i].name) == NULL)
			add_entry(c, "databases", after->databases[i].name, true);
	}
}

static void compare_users(struct compare *c, const struct config *before,
	const struct config *after)
{
	for (size_t i = 0; i < before->user_count; i++) {
		const struct config_user *a = &before->users[i];
		const struct config_user *b = config_find_user(after, a->name);
		const char *path[2] = { "users", a->name };
		struct side sides[2] = { { &a->options, NULL, &a->level } };

		if (b == NULL) {
			add_entry(c, "users", a->name, false);
			continue;
		}
		sides[1].own = &b->options;
		sides[1].level = &b->level;
		compare_sides(c, OPTION_AT_USER, path, sides);
	}
	for (size_t i = 0; i < after->user_count; i++) {
		if (config_find_user(before, after->users[i].name) == NULL)
			add_entry(c, "users", after->users[i].name, true);
	}
}

static void compare_defaults(struct compare *c, const struct config *before,
	const struct config *after)
{
	/* Here every setting holds, given or not. */
	struct config_level levels[2] = { { before->defaults.values, UINT64_MAX },
		{ after->defaults.values, UINT64_MAX } };
	const char *path[2] = { "defaults", NULL };
	const struct side sides[2] = { { .level = &levels[0] }, { .level = &levels[1] } };

	compare_sides(c, OPTION_AT_DEFAULTS, path, sides);
	path[0] = "tls";
	compare_sides(c, OPTION_AT_TLS, path, sides);
}

/* --- what files of auth say -------------------------------------------------------------- */

static void add_auth(struct compare *c, const char *name, char *before, char *after)
{
	if (before == NULL || after == NULL)
		c->error = -ENOMEM;
	add_change(c, join("auth", name, NULL), before, after,
		option_find(OPTION_AT_AUTH, name)->effect);
}

static char *counted(size_t count, const char *what, const char *more)
{
	char *text;

	return asprintf(&text, "%zu %s%s%s", count, what, count == 1 ? "" : "s", more) < 0 ?
		NULL :
		text;
}

/* Names of one that the other has not, and those with another secret. */
static size_t missing_in(const struct userlist *list, const struct userlist *other,
	size_t *others)
{
	const char *user = NULL, *secret, *there;
	size_t missing = 0;

	while ((user = userlist_next(list, user, &secret)) != NULL) {
		there = userlist_find(other, user);
		missing += there == NULL;
		*others += there != NULL && strcmp(there, secret) != 0;
	}
	return missing;
}

static void compare_users_of_file(struct compare *c)
{
	const struct userlist *before = c->before->userlist, *after = c->after->userlist;
	size_t added, removed, changed = 0, same = 0;
	char more[96];

	if (before == NULL || after == NULL ||
		strcmp(c->before->auth.auth_file, c->after->auth.auth_file) != 0)
		return;
	added = missing_in(after, before, &changed);
	removed = missing_in(before, after, &same);
	if (added + removed + changed == 0)
		return;
	(void)snprintf(more, sizeof(more), ": %zu added, %zu removed, %zu changed", added,
		removed, changed);
	add_auth(c, "auth_file", counted(userlist_count(before), "user", ""),
		counted(userlist_count(after), "user", more));
}

static void compare_rules(struct compare *c)
{
	const struct config *a = c->before, *b = c->after;

	if (a->hba != NULL && b->hba != NULL && hba_hash(a->hba) != hba_hash(b->hba) &&
		strcmp(a->auth.auth_hba_file, b->auth.auth_hba_file) == 0)
		add_auth(c, "auth_hba_file", counted(hba_count(a->hba), "rule", ""),
			counted(hba_count(b->hba), "rule", ", changed"));
	if (a->ident != NULL && b->ident != NULL && ident_hash(a->ident) != ident_hash(b->ident) &&
		strcmp(a->auth.auth_ident_file, b->auth.auth_ident_file) == 0)
		add_auth(c, "auth_ident_file", counted(ident_count(a->ident), "line", ""),
			counted(ident_count(b->ident), "line", ", changed"));
}

static void compare_admin(struct compare *c, const struct config *before,
	const struct config *after)
{
	const char *path[2] = { "admin", NULL };
	const struct side sides[2] = { { &before->admin, NULL, &before->admin_level },
		{ &after->admin, NULL, &after->admin_level } };

	compare_sides(c, OPTION_AT_ADMIN, path, sides);
}

int reload_compare(const struct config *before, const struct config *after,
	struct reload_diff *diff)
{
	struct compare c = { .before = before, .after = after, .diff = diff };

	memset(diff, 0, sizeof(*diff));
	compare_plain(
		&c, OPTION_AT_PROCESS, "process", &before->process, &after->process);
	compare_defaults(&c, before, after);
	compare_hosts(&c, before, after);
	compare_workloads(&c, before, after);
	compare_databases(&c, before, after);
	compare_users(&c, before, after);
	compare_plain(&c, OPTION_AT_AUTH, "auth", &before->auth, &after->auth);
	compare_users_of_file(&c);
	compare_rules(&c);
	compare_admin(&c, before, after);
	compare_plain(&c, OPTION_AT_HTTP, "http", &before->http, &after->http);
	compare_plain(&c, OPTION_AT_LOG, "log", &before->log, &after->log);
	if (c.error < 0)
		reload_finish(diff);
	return c.error;
}
