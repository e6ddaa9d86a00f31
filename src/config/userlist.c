/* SPDX-License-Identifier: ISC */
#include "config/userlist.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/hash.h"
#include "config/doc.h"

enum { NAME_MAX_BYTES = 63, SECRET_MAX_BYTES = 4096 };

struct entry {
	struct hash_node node;
	uint32_t line;
	char *name;
	char *secret;
	size_t secret_size;             /* of its memory */
};

struct userlist {
	struct hash_table entries;
};

/* What is left to read, and where it is. */
struct reader {
	const char *pos;
	const char *end;
	const char *line_start;
	uint32_t line;
	const char *path;
	struct diag *diag;
};

static bool fail(const struct reader *r, const char *at, const char *why)
{
	diag_set(
		r->diag, r->path, r->line, (uint32_t)(at - r->line_start) + 1, "%s", why);
	return false;
}

static bool is_at_end(const struct reader *r)
{
	return r->pos == r->end || *r->pos == '\n';
}

static void skip_blanks(struct reader *r)
{
	while (r->pos < r->end && (*r->pos == ' ' || *r->pos == '\t' || *r->pos == '\r'))
		r->pos++;
}

/* A text in quotes, "" within meaning one.  *to is for the caller to free. */
static bool read_quoted(struct reader *r, size_t max, const char *missing, char **to)
{
	const char *open = r->pos;
	char *text, *out;

	if (is_at_end(r) || *r->pos != '"')
		return fail(r, r->pos, missing);
	text = malloc(max + 1);
	if (text == NULL)
		return fail(r, open, "out of memory");
	*to = text;
	out = text;
	for (r->pos++; !is_at_end(r); r->pos++) {
		unsigned char c = (unsigned char)*r->pos;

		if (c == '"') {
			if (r->pos + 1 == r->end || r->pos[1] != '"') {
				r->pos++;
				*out = '\0';
				return true;
			}
			r->pos++;
		}
		if (c < 0x20 || c == 0x7f)
			return fail(r, r->pos, "a control character within quotes");
		if ((size_t)(out - text) == max)
			return fail(r, open, max == NAME_MAX_BYTES ?
				"the user name is longer than 63 bytes" :
				"the secret is longer than 4096 bytes");
		*out++ = (char)c;
	}
	return fail(r, open, "the closing quote is missing");
}

static void entry_free(struct entry *entry)
{
	if (entry->secret != NULL)
		explicit_bzero(entry->secret, entry->secret_size);
	free(entry->secret);
	free(entry->name);
	free(entry);
}

static const struct entry *find_entry(const struct userlist *list, const char *name)
{
	uint64_t hash = hash_bytes(name, strlen(name));
	struct hash_node *node = hash_table_find(&list->entries, hash);

	while (node != NULL) {
		const struct entry *entry = container_of(node, struct entry, node);

		if (strcmp(entry->name, name) == 0)
			return entry;
		node = hash_next(node);
	}
	return NULL;
}

/* The secret's buffer keeps its full size until it is known to be good; then it
 * shrinks, the longer one wiped. */
static bool fit_secret(struct entry *entry)
{
	char *fitted = strdup(entry->secret);

	if (fitted == NULL)
		return false;
	explicit_bzero(entry->secret, entry->secret_size);
	free(entry->secret);
	entry->secret = fitted;
	entry->secret_size = strlen(fitted);
	return true;
}

static bool read_entry(struct reader *r, struct entry *entry)
{
	static const char form[] = "needs a line of the form \"user\" \"secret\"";

	entry->line = r->line;
	if (!read_quoted(r, NAME_MAX_BYTES, form, &entry->name))
		return false;
	if (entry->name[0] == '\0')
		return fail(r, r->pos - 2, "the user name is empty");
	if (is_at_end(r) || (*r->pos != ' ' && *r->pos != '\t'))
		return fail(
			r, r->pos, "needs a blank and \"secret\" after the user name");
	skip_blanks(r);
	entry->secret_size = SECRET_MAX_BYTES + 1;
	if (!read_quoted(r, SECRET_MAX_BYTES, "needs \"secret\" after the user name",
			&entry->secret))
		return false;
	skip_blanks(r);
	if (!is_at_end(r) && *r->pos != ';' && *r->pos != '#')
		return fail(r, r->pos, "only a comment may follow the secret");
	return true;
}

static bool add_entry(struct userlist *list, struct reader *r)
{
	struct entry *entry = calloc(1, sizeof(*entry));
	const char *start = r->pos;
	const struct entry *first;

	if (entry == NULL)
		return fail(r, r->pos, "out of memory");
	if (!read_entry(r, entry)) {
		entry_free(entry);
		return false;
	}
	first = find_entry(list, entry->name);
	if (first != NULL) {
		diag_set(r->diag, r->path, r->line, (uint32_t)(start - r->line_start) + 1,
			"the user \"%s\" stands here a second time; the first is on "
			"line %u",
			entry->name, first->line);
		entry_free(entry);
		return false;
	}
	if (!fit_secret(entry)) {
		entry_free(entry);
		return fail(r, start, "out of memory");
	}
	hash_table_add(&list->entries, &entry->node,
		hash_bytes(entry->name, strlen(entry->name)));
	return true;
}

static bool read_line(struct userlist *list, struct reader *r)
{
	skip_blanks(r);
	if (!is_at_end(r) && *r->pos != ';' && *r->pos != '#' && !add_entry(list, r))
		return false;
	while (!is_at_end(r))
		r->pos++;
	if (r->pos < r->end)
		r->pos++;
	r->line++;
	r->line_start = r->pos;
	return true;
}

struct userlist *userlist_parse(const char *text, size_t len, const char *path,
	struct diag *diag)
{
	struct reader r = { .pos = text, .end = text + len, .line_start = text, .line = 1,
		.path = path, .diag = diag };
	struct userlist *list = calloc(1, sizeof(*list));

	if (list == NULL || hash_table_init(&list->entries, 16) < 0) {
		diag_set(diag, path, 0, 0, "out of memory");
		free(list);
		return NULL;
	}
	while (r.pos < r.end) {
		if (!read_line(list, &r)) {
			userlist_destroy(&list);
			return NULL;
		}
	}
	return list;
}

struct userlist *userlist_load(const char *path, char **warning, struct diag *diag)
{
	struct userlist *list;
	char *text;
	size_t len;

	*warning = NULL;
	if (doc_read_file(path, USERLIST_FILE_MAX, &text, &len, diag) < 0)
		return NULL;
	list = userlist_parse(text, len, path, diag);
	doc_free_text(text, len);
	if (list != NULL && doc_is_public(path) &&
		asprintf(warning, "everybody may read %s, which holds secrets; chmod 640 "
			"would hide them", path) < 0)
		*warning = NULL;
	return list;
}

const char *userlist_find(const struct userlist *list, const char *user)
{
	const struct entry *entry = find_entry(list, user);

	return entry == NULL ? NULL : entry->secret;
}

const char *userlist_next(const struct userlist *list, const char *user, const char **secret)
{
	const struct entry *last = user == NULL ? NULL : find_entry(list, user);
	const struct hash_node *node =
		hash_table_walk(&list->entries, last == NULL ? NULL : &last->node);
	const struct entry *entry;

	if (node == NULL)
		return NULL;
	entry = container_of(node, struct entry, node);
	*secret = entry->secret;
	return entry->name;
}

size_t userlist_count(const struct userlist *list)
{
	return list->entries.count;
}

void userlist_destroy(struct userlist **list)
{
	struct hash_node *node, *next;

	if (*list == NULL)
		return;
	node = hash_table_walk(&(*list)->entries, NULL);
	for (; node != NULL; node = next) {
		next = hash_table_walk(&(*list)->entries, node);
		entry_free(container_of(node, struct entry, node));
	}
	hash_table_finish(&(*list)->entries);
	free(*list);
	*list = NULL;
}
