/* SPDX-License-Identifier: ISC */
#include "config/ident.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "config/doc.h"
#include "config/hba.h"
#include "config/hba_word.h"

/* What \1 stands for may make a name longer than any. */
enum { NAME_MAX_BYTES = 255 };

struct ident_line {
	char *map;
	struct hba_word system;
	struct hba_word user;
};

struct ident {
	struct ident_line *lines;
	size_t count;
	uint64_t hash;                  /* of what they say */
};

static int check_shape(const struct hba_line *line)
{
	static const char *const parts[] = { "map", "name in the system", "name of the user" };
	const struct hba_field *last = &line->fields[line->count - 1];

	if (line->count < COUNT_OF(parts))
		return hba_fail(line, &last->tokens[0], "the line ends here before its %s",
			parts[line->count]);
	if (line->count > COUNT_OF(parts))
		return hba_fail(line, &line->fields[3].tokens[0],
			"only three fields can stand here: map, name in the system, user");
	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		if (line->fields[i].count != 1)
			return hba_fail(line, &line->fields[i].tokens[1],
				"only one %s can stand here", parts[i]);
	}
	return 0;
}

static int on_line(void *arg, struct hba_line *line)
{
	struct ident *ident = arg;
	struct hba_token *user;
	struct ident_line *lines, *added;
	int ret = check_shape(line);

	if (ret < 0)
		return ret;
	ident->hash = hba_line_hash(line, ident->hash);
	user = &line->fields[2].tokens[0];
	if (!user->is_quoted && user->text[0] == '+')
		return hba_fail(line, user, "%.60s: who is a member of a role only PostgreSQL "
			"knows; name the users", user->text);
	lines = realloc(ident->lines, (ident->count + 1) * sizeof(*lines));
	if (lines == NULL)
		return hba_fail(line, user, "out of memory");
	ident->lines = lines;
	added = &lines[ident->count++];
	*added = (struct ident_line){ .map = line->fields[0].tokens[0].text };
	line->fields[0].tokens[0].text = NULL;
	ret = hba_word_take(&added->system, line, &line->fields[1].tokens[0]);
	if (ret == 0 && strstr(user->text, "\\1") != NULL && user->text[0] != '/' &&
		hba_word_groups(&added->system) == 0)
		ret = hba_fail(line, user, "\\1 needs a regular expression with parentheses "
			"before it");
	if (ret == 0)
		ret = hba_word_take(&added->user, line, user);
	return ret;
}

struct ident *ident_parse(const char *text, size_t len, const char *path, bool may_open,
	struct diag *diag)
{
	struct ident *ident = calloc(1, sizeof(*ident));

	if (ident == NULL || hba_file_read(text, len, path, may_open, on_line, ident, diag) < 0) {
		diag_set(diag, path, 0, 0, "out of memory");
		ident_destroy(&ident);
	}
	return ident;
}

struct ident *ident_load(const char *path, struct diag *diag)
{
	struct ident *ident;
	char *text;
	size_t len;

	if (doc_read_file(path, HBA_FILE_MAX, &text, &len, diag) < 0)
		return NULL;
	ident = ident_parse(text, len, path, true, diag);
	doc_free_text(text, len);
	return ident;
}

size_t ident_count(const struct ident *ident)
{
	return ident->count;
}

uint64_t ident_hash(const struct ident *ident)
{
	return ident->hash;
}

/* The user's name of the line with what the parentheses found for \1. */
static bool replaced(const struct ident_line *line, const char *system_user,
	const struct hba_match *found, char to[NAME_MAX_BYTES + 1])
{
	const char *at = strstr(line->user.text, "\\1");
	size_t before = (size_t)(at - line->user.text), after = strlen(at + 2);
	size_t len = found->is_found ? found->to - found->from : 0;

	if (before + len + after > NAME_MAX_BYTES)
		return false;
	memcpy(to, line->user.text, before);
	if (len > 0)
		memcpy(to + before, system_user + found->from, len);
	memcpy(to + before + len, at + 2, after + 1);
	return true;
}

static bool line_allows(const struct ident_line *line, const char *system_user,
	const char *user)
{
	bool has_groups = hba_word_groups(&line->system) > 0 && line->user.regex == NULL;
	char name[NAME_MAX_BYTES + 1];
	struct hba_match found = { .is_found = false };
	enum hba_fit fit;

	fit = line->system.regex == NULL ? hba_word_fit(&line->system, system_user) :
					   hba_word_search(&line->system, system_user, &found);
	if (fit != HBA_FITS)
		return false;
	if (hba_word_is(&line->user, "all"))
		return true;
	if (has_groups && strstr(line->user.text, "\\1") != NULL)
		return replaced(line, system_user, &found, name) && strcmp(name, user) == 0;
	return hba_word_fit(&line->user, user) == HBA_FITS;
}

bool ident_allows(const struct ident *ident, const char *map, const char *system_user,
	const char *user)
{
	if (map == NULL)
		return strcmp(system_user, user) == 0;
	for (size_t i = 0; ident != NULL && i < ident->count; i++) {
		if (strcmp(ident->lines[i].map, map) == 0 &&
			line_allows(&ident->lines[i], system_user, user))
			return true;
	}
	return false;
}

bool ident_has_map(const struct ident *ident, const char *map)
{
	for (size_t i = 0; ident != NULL && i < ident->count; i++) {
		if (strcmp(ident->lines[i].map, map) == 0)
			return true;
	}
	return false;
}

int ident_check_maps(const struct ident *ident, const struct hba *hba, struct diag *diag)
{
	for (size_t i = 0; i < hba_count(hba); i++) {
		const char *map;
		struct hba_place at;

		if (!hba_uses_map(hba, i, &map, &at) || ident_has_map(ident, map))
			continue;
		diag_set(diag, at.path, at.line, 0, "map=%.100s: %s", map,
			ident == NULL ? "auth.auth_ident_file is not set" :
					"auth.auth_ident_file has no such map");
		return -EINVAL;
	}
	return 0;
}

int ident_check_map(const struct ident *ident, const char *map, const char *path,
	struct diag *diag)
{
	if (map[0] == '\0' || ident_has_map(ident, map))
		return 0;
	diag_set(diag, path, 0, 0, "there is no map \"%s\", which auth.auth_map names", map);
	return -EINVAL;
}

void ident_destroy(struct ident **slot)
{
	struct ident *ident = *slot;

	*slot = NULL;
	if (ident == NULL)
		return;
	for (size_t i = 0; i < ident->count; i++) {
		free(ident->lines[i].map);
		hba_word_finish(&ident->lines[i].system);
		hba_word_finish(&ident->lines[i].user);
	}
	free(ident->lines);
	free(ident);
}
