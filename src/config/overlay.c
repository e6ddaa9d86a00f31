/* SPDX-License-Identifier: ISC */
#include "config/overlay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "config/doc.h"
#include "config/habit.h"
#include "config/option.h"
#include "config/value.h"

enum { PATH_MAX_LEN = 511, NAMES_MAX = 400, TEXT_SHOWN = 60 };

/* Sections whose options SHOW CONFIG calls by their bare names, and those of entries. */
static const struct {
	const char *name;
	enum option_level level;
	bool is_bare;
	bool has_entries;
} sections[] = {
	{ "process", OPTION_AT_PROCESS, true, false },
	{ "defaults", OPTION_AT_DEFAULTS, true, false },
	{ "auth", OPTION_AT_AUTH, true, false },
	{ "admin", OPTION_AT_ADMIN, true, false },
	{ "log", OPTION_AT_LOG, true, false },
	{ "http", OPTION_AT_HTTP, false, false },
	{ "tls", OPTION_AT_TLS, true, false },
	{ "hosts", OPTION_AT_HOST, false, true },
	{ "workloads", OPTION_AT_WORKLOAD, false, true },
	{ "databases", OPTION_AT_DATABASE, false, true },
	{ "users", OPTION_AT_USER, false, true },
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void text_free(char *text)
{
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	free(text);
}

void overlay_finish(struct overlay *o)
{
	for (size_t i = 0; i < o->count; i++) {
		free(o->list[i].path);
		text_free(o->list[i].value);
	}
	free(o->list);
	*o = (struct overlay){ NULL, 0 };
}

/* --- names -------------------------------------------------------------------------- */

static int unknown(const char *name, struct diag *diag)
{
	const char *names[NAMES_MAX], *near;
	size_t count = 0;

	for (size_t i = 0; i < option_count && count < NAMES_MAX; i++)
		names[count++] = option_table[i].name;
	for (size_t i = 0; i < COUNT_OF(sections); i++) {
		if (sections[i].is_bare || option_find(sections[i].level, name) == NULL)
			continue;
		diag_set(diag, NULL, 0, 0, "\"%s\" belongs to an entry of %s: %s.%s%s", name,
			sections[i].name, sections[i].name,
			sections[i].has_entries ? "NAME." : "", name);
		return -EINVAL;
	}
	near = value_nearest(name, names, count);
	diag_set(diag, NULL, 0, 0, "unknown setting \"%.*s\"%s%s%s", TEXT_SHOWN, name,
		near == NULL ? "" : "; did you mean ", near == NULL ? "" : near,
		near == NULL ? "" : "?");
	return -EINVAL;
}

/* The whole path of a name. */
static int find_path(const char *name, char path[PATH_MAX_LEN + 1], struct diag *diag)
{
	if (strlen(name) > PATH_MAX_LEN / 2)
		return unknown(name, diag);
	if (strchr(name, '.') != NULL) {
		(void)snprintf(path, PATH_MAX_LEN + 1, "%s", name);
		return 0;
	}
	for (size_t i = 0; i < COUNT_OF(sections); i++) {
		if (!sections[i].is_bare || option_find(sections[i].level, name) == NULL)
			continue;
		(void)snprintf(path, PATH_MAX_LEN + 1, "%s.%s", sections[i].name, name);
		return 0;
	}
	return unknown(name, diag);
}

static int put(struct overlay *o, const char *path, const char *value)
{
	struct overlay_setting *list, one = { NULL, NULL };

	for (size_t i = 0; i < o->count; i++) {
		if (strcmp(o->list[i].path, path) != 0)
			continue;
		one.value = strdup(value);
		if (one.value == NULL)
			return -ENOMEM;
		text_free(o->list[i].value);
		o->list[i].value = one.value;
		return 0;
	}
	list = realloc(o->list, (o->count + 1) * sizeof(*list));
	if (list == NULL)
		return -ENOMEM;
	o->list = list;
	one.path = strdup(path);
	one.value = strdup(value);
	list[o->count++] = one;
	return one.path == NULL || one.value == NULL ? -ENOMEM : 0;
}

int overlay_set(struct overlay *o, const char *name, const char *value, struct diag *diag)
{
	char path[PATH_MAX_LEN + 1], text[HABIT_VALUE_MAX];
	int ret = habit_read(&name, &value, text, diag);

	if (ret == 0)
		ret = find_path(name, path, diag);
	if (ret == 0 && o->count >= OVERLAY_MAX) {
		diag_set(diag, NULL, 0, 0, "more than %d settings: RELOAD forgets them",
			OVERLAY_MAX);
		ret = -EINVAL;
	}
	return ret == 0 ? put(o, path, value) : ret;
}

int overlay_copy(struct overlay *to, const struct overlay *from)
{
	int ret = 0;

	*to = (struct overlay){ NULL, 0 };
	for (size_t i = 0; ret == 0 && i < from->count; i++)
		ret = put(to, from->list[i].path, from->list[i].value);
	if (ret < 0)
		overlay_finish(to);
	return ret;
}

/* --- the tree ------------------------------------------------------------------------- */

static struct doc_node *new_node(struct doc_node *map, const char *key, size_t len)
{
	struct doc_node **last = &map->first, *node = calloc(1, sizeof(*node));

	if (node == NULL || (node->key = strndup(key, len)) == NULL) {
		free(node);
		return NULL;
	}
	while (*last != NULL)
		last = &(*last)->next;
	*last = node;
	map->kind = DOC_MAP;
	map->count++;
	return node;
}

/* The entry that the path goes on with: names may have dots in them. */
static struct doc_node *find_entry(struct doc_node *section, const char **path)
{
	struct doc_node *best = NULL;
	size_t best_len = 0;

	for (struct doc_node *n = section->first; n != NULL; n = n->next) {
		size_t len = strlen(n->key);

		if (len < best_len || strncmp(n->key, *path, len) != 0 || (*path)[len] != '.')
			continue;
		best = n;
		best_len = len;
	}
	if (best != NULL)
		*path += best_len + 1;
	return best;
}

static struct doc_node *find_child(struct doc_node *map, const char *key, size_t len)
{
	for (struct doc_node *n = map->first; n != NULL; n = n->next) {
		if (strlen(n->key) == len && memcmp(n->key, key, len) == 0)
			return n;
	}
	return new_node(map, key, len);
}

/* Words between commas. */
static int set_words(struct doc_node *node, const char *value)
{
	while (*value != '\0') {
		size_t len = strcspn(value, ","), used = len;
		const char *from = value;
		struct doc_node *item = new_node(node, "", 0);

		for (; used > 0 && is_blank(*from); used--)
			from++;
		while (used > 0 && is_blank(from[used - 1]))
			used--;
		if (item == NULL || (item->text = strndup(from, used)) == NULL)
			return -ENOMEM;
		free(item->key);
		item->key = NULL;
		item->kind = DOC_SCALAR;
		item->is_quoted = true;
		item->len = used;
		value += len + (value[len] == ',');
	}
	node->kind = DOC_LIST;
	return 0;
}

static void forget_places(struct doc_node *node)
{
	for (; node != NULL; node = node->next) {
		node->line = node->column = node->key_line = node->key_column = 0;
		forget_places(node->first);
	}
}

/* What stands between the brackets of a list in the file, or all of it.  What needs quotes
 * there ("*:6432") needs none here where nothing has any. */
static int set_list(struct doc_node *node, const char *value, bool is_secret, struct diag *diag)
{
	size_t len = strlen(value);
	bool is_whole = len > 1 && value[0] == '[' && value[len - 1] == ']';
	struct diag problem = { 0 };
	struct doc_node *list;
	char *text;
	int n = asprintf(&text, "%s%s%s", is_whole ? "" : "[", value, is_whole ? "" : "]");

	if (n < 0)
		return -ENOMEM;
	list = doc_parse(text, (size_t)n, "SET", &problem);
	text_free(text);
	if (list == NULL && strpbrk(value, "\"'[]{}") == NULL)
		return set_words(node, value);
	if (list == NULL || list->kind != DOC_LIST) {
		diag_set(diag, NULL, 0, 0, "%s: \"%.*s\" is no list: %s", node->key, TEXT_SHOWN,
			is_secret ? "..." : value,
			list == NULL ? problem.text : doc_kind_name(list));
		doc_free(list);
		return -EINVAL;
	}
	forget_places(list);
	node->first = list->first;
	node->count = list->count;
	node->kind = DOC_LIST;
	list->first = NULL;
	doc_free(list);
	return 0;
}

/* The value of an option of that name, as the file would have it. */
static int set_value(struct doc_node *node, enum option_level level, const char *value,
	struct diag *diag)
{
	const struct option *o = option_find(level, node->key);
	bool is_text = o != NULL && option_is_text(o);

	doc_free(node->first);
	text_free(node->text);
	node->first = NULL;
	node->count = 0;
	node->text = NULL;
	node->line = node->column = node->key_line = node->key_column = 0;
	if (o != NULL && option_is_list(o))
		return set_list(node, value, o->type == OPTION_COMMAND, diag);
	node->kind = DOC_SCALAR;
	node->is_quoted = is_text;
	node->text = strdup(value);
	node->len = strlen(value);
	return node->text == NULL ? -ENOMEM : 0;
}

static int no_entry(const char *path, struct diag *diag)
{
	diag_set(diag, NULL, 0, 0, "%.*s: there is no such entry in the configuration",
		TEXT_SHOWN, path);
	return -EINVAL;
}

/* Where in the tree a path leads; NULL with *error. */
static struct doc_node *descend(struct doc_node *root, const char *path,
	enum option_level *level, struct diag *diag, int *error)
{
	size_t len = strcspn(path, "."), i = 0;
	const char *rest = path + len + 1;
	const struct option *o;
	struct doc_node *node;

	while (i < COUNT_OF(sections) && (strlen(sections[i].name) != len ||
						 memcmp(sections[i].name, path, len) != 0))
		i++;
	*error = -EINVAL;
	if (i == COUNT_OF(sections)) {
		(void)unknown(path, diag);
		return NULL;
	}
	*level = sections[i].level;
	node = find_child(root, path, len);
	if (node != NULL && sections[i].has_entries)
		node = find_entry(node, &rest);
	if (node != NULL && *level == OPTION_AT_WORKLOAD && strncmp(rest, "hosts.", 6) == 0) {
		*level = OPTION_AT_SHARE;
		rest += 6;
		node = find_child(node, "hosts", 5);
		node = node == NULL ? NULL : find_entry(node, &rest);
	}
	if (node == NULL || (node->kind != DOC_MAP && node->kind != DOC_NULL)) {
		(void)no_entry(path, diag);
		return NULL;
	}
	o = rest[0] == '\0' ? NULL : option_find(*level, rest);
	if (o == NULL) {
		(void)unknown(rest, diag);
		return NULL;
	}
	if (option_is_for_file(o)) {
		diag_set(diag, NULL, 0, 0,
			"%s names what is read, written or run as the router's user: change it in the file, and RELOAD",
			o->name);
		return NULL;
	}
	*error = -ENOMEM;
	return find_child(node, rest, strlen(rest));
}

int overlay_apply(const struct overlay *o, struct doc_node *root, struct diag *diag)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < o->count; i++) {
		enum option_level level;
		struct doc_node *node = descend(root, o->list[i].path, &level, diag, &ret);

		if (node != NULL)
			ret = set_value(node, level, o->list[i].value, diag);
	}
	return ret;
}
