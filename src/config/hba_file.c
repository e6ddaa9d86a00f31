/* SPDX-License-Identifier: ISC */
#include "config/hba_file.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/diag.h"
#include "base/hash.h"
#include "config/doc.h"

/* All files together. */
struct reading {
	hba_line_fn *on_line;
	void *arg;
	struct diag *diag;
	bool may_open;
	uint32_t depth;
	size_t lines;
	size_t tokens;
};

/* One file. */
struct reader {
	struct reading *all;
	char *text;                     /* to be freed; NULL: the caller's */
	const char *pos;
	const char *end;
	const char *line_start;
	const char *path;
	uint32_t line;
};

static int fail_at(const struct reader *r, const char *at, const char *why)
{
	diag_set(r->all->diag, r->path, r->line, (uint32_t)(at - r->line_start) + 1, "%s", why);
	return -EINVAL;
}

static int fail_memory(const struct reader *r)
{
	(void)fail_at(r, r->pos, "out of memory");
	return -ENOMEM;
}

/* --- characters ----------------------------------------------------------------------- */

/* How many bytes a backslash and the end of its line have here; 0: it is neither. */
static size_t joint(const struct reader *r)
{
	size_t left = (size_t)(r->end - r->pos);

	if (left >= 2 && r->pos[0] == '\\' && r->pos[1] == '\n')
		return 2;
	return left >= 3 && memcmp(r->pos, "\\\r\n", 3) == 0 ? 3 : 0;
}

/* The next character of the line, joined lines being one; '\n' at its end. */
static char peek(struct reader *r)
{
	size_t len;

	while ((len = joint(r)) > 0) {
		r->pos += len;
		r->line++;
		r->line_start = r->pos;
	}
	if (r->pos == r->end)
		return '\n';
	if (r->pos[0] == '\r' && (r->pos + 1 == r->end || r->pos[1] == '\n'))
		return '\n';
	return *r->pos;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void skip_line(struct reader *r)
{
	while (peek(r) != '\n')
		r->pos++;
	while (r->pos < r->end && *r->pos != '\n')
		r->pos++;
	if (r->pos < r->end)
		r->pos++;
	r->line++;
	r->line_start = r->pos;
}

/* --- tokens --------------------------------------------------------------------------- */

static void field_free(struct hba_field *field)
{
	for (size_t i = 0; i < field->count; i++)
		free(field->tokens[i].text);
	free(field->tokens);
}

static void line_free(struct hba_line *line)
{
	for (size_t i = 0; i < line->count; i++)
		field_free(&line->fields[i]);
	free(line->fields);
}

/* Takes the text, also on failure. */
static int add_token(const struct reader *r, struct hba_field *field, struct hba_token token)
{
	struct hba_token *tokens = NULL;

	if (++r->all->tokens > HBA_TOKENS_MAX) {
		free(token.text);
		return fail_at(r, r->pos, "too many words");
	}
	/* Room for 1, 2, 4, ... */
	if ((field->count & (field->count - 1)) == 0)
		tokens = realloc(field->tokens,
			(field->count == 0 ? 1 : field->count * 2) * sizeof(*tokens));
	else
		tokens = field->tokens;
	if (tokens == NULL) {
		free(token.text);
		return fail_memory(r);
	}
	field->tokens = tokens;
	tokens[field->count++] = token;
	return 0;
}

static int take_text(const struct reader *r, struct buf *text, struct hba_token *token)
{
	buf_add(text, "", 1);
	token->text = buf_ok(text) ? strdup((const char *)buf_data(text)) : NULL;
	return token->text == NULL ? fail_memory(r) : 0;
}

/* Reads up to the next blank, comma or end of line. */
static int read_text(struct reader *r, struct buf *text, const struct hba_token *token)
{
	bool in_quote = false;
	char c;

	for (; (c = peek(r)) != '\n'; r->pos++) {
		if (!in_quote && (is_blank(c) || c == ',' || c == '#'))
			return 0;
		if (c == '\0')
			return fail_at(r, r->pos, "a zero byte");
		if (c != '"') {
			buf_add(text, &c, 1);
		} else if (in_quote && r->pos + 1 < r->end && r->pos[1] == '"') {
			buf_add(text, &c, 1);
			r->pos++;
		} else {
			in_quote = !in_quote;
		}
	}
	if (!in_quote)
		return 0;
	diag_set(r->all->diag, token->path, token->line, token->column,
		"the closing quote is missing");
	return -EINVAL;
}

static int read_token(struct reader *r, struct hba_token *token)
{
	struct buf text;
	int ret;

	*token = (struct hba_token){ .is_quoted = peek(r) == '"', .line = r->line,
		.column = (uint32_t)(r->pos - r->line_start) + 1, .path = r->path };
	buf_init(&text, 0);
	ret = read_text(r, &text, token);
	if (ret == 0)
		ret = take_text(r, &text, token);
	buf_finish(&text);
	return ret;
}

/* A name in a file is relative to where that file is. */
static char *path_of(const struct hba_token *at, const char *name)
{
	const char *slash = strrchr(at->path, '/');
	char *path;

	if (name[0] == '/' || slash == NULL)
		return strdup(name);
	if (asprintf(&path, "%.*s/%s", (int)(slash - at->path), at->path, name) < 0)
		return NULL;
	return path;
}

static int check_open(const struct reading *all, const struct hba_token *at)
{
	if (!all->may_open)
		diag_set(all->diag, at->path, at->line, at->column, "no other file is read here");
	else if (all->depth == HBA_DEPTH_MAX)
		diag_set(all->diag, at->path, at->line, at->column,
			"files within files, more than %d deep", HBA_DEPTH_MAX);
	else
		return 0;
	return -EINVAL;
}

static int open_file(struct reading *all, const struct hba_token *at, const char *name,
	char **path, struct reader *r)
{
	struct diag diag = { 0 };
	char *text;
	size_t len;
	int ret = check_open(all, at);

	if (ret < 0)
		return ret;
	*path = path_of(at, name);
	if (*path == NULL)
		return -ENOMEM;
	ret = doc_read_file(*path, HBA_FILE_MAX, &text, &len, &diag);
	if (ret < 0) {
		diag_set(all->diag, at->path, at->line, at->column, "%.200s: %.200s", *path,
			diag.text);
		free(*path);
		return ret;
	}
	*r = (struct reader){ .all = all, .text = text, .pos = text, .end = text + len, .line_start = text,
		.path = *path, .line = 1 };
	all->depth++;
	return 0;
}

static void close_file(struct reader *r, char *path)
{
	r->all->depth--;
	doc_free_text(r->text, (size_t)(r->end - r->text));
	free(path);
}

static int read_field(struct reader *r, struct hba_field *field);

/* @name: all tokens of that file, whatever its lines. */
static int expand(struct reader *r, struct hba_field *field, const struct hba_token *at)
{
	struct reader inner;
	char *path;
	size_t before = field->count;
	int ret = open_file(r->all, at, at->text + 1, &path, &inner);

	if (ret < 0)
		return ret;
	while (ret == 0 && inner.pos < inner.end) {
		while (is_blank(peek(&inner)) || peek(&inner) == ',')
			inner.pos++;
		if (peek(&inner) == '\n' || peek(&inner) == '#')
			skip_line(&inner);
		else
			ret = read_field(&inner, field);
	}
	/* Its path goes now: these stand where they were called for. */
	for (size_t i = before; i < field->count; i++) {
		field->tokens[i].path = at->path;
		field->tokens[i].line = at->line;
		field->tokens[i].column = at->column;
	}
	close_file(&inner, path);
	return ret;
}

/* Tokens with commas between them. */
static int read_field(struct reader *r, struct hba_field *field)
{
	bool goes_on;
	int ret;

	do {
		struct hba_token token;

		ret = read_token(r, &token);
		if (ret < 0)
			return ret;
		if (!token.is_quoted && token.text[0] == '@' && token.text[1] != '\0') {
			ret = expand(r, field, &token);
			free(token.text);
		} else {
			ret = add_token(r, field, token);
		}
		goes_on = peek(r) == ',';
		while (goes_on && (peek(r) == ',' || is_blank(peek(r))))
			r->pos++;
		goes_on = goes_on && peek(r) != '\n' && peek(r) != '#';
	} while (ret == 0 && goes_on);
	return ret;
}

/* --- lines ---------------------------------------------------------------------------- */

static int add_field(const struct reader *r, struct hba_line *line, struct hba_field *field)
{
	struct hba_field *fields = realloc(line->fields, (line->count + 1) * sizeof(*fields));

	if (fields == NULL)
		return fail_memory(r);
	line->fields = fields;
	fields[line->count++] = *field;
	*field = (struct hba_field){ 0 };
	return 0;
}

static int read_fields(struct reader *r, struct hba_line *line)
{
	int ret = 0;

	for (;;) {
		struct hba_field field = { 0 };

		while (is_blank(peek(r)) || peek(r) == ',')
			r->pos++;
		if (peek(r) == '\n' || peek(r) == '#')
			return 0;
		ret = read_field(r, &field);
		if (ret == 0 && field.count > 0)
			ret = add_field(r, line, &field);
		else if (ret == 0)
			ret = fail_at(r, r->pos, "the file named with @ has no words");
		field_free(&field);
		if (ret < 0)
			return ret;
	}
}

static int read_all(struct reader *r);

static int include(struct reading *all, const struct hba_token *at, const char *name,
	bool must_exist)
{
	struct reader inner;
	char *path;
	int ret;

	ret = open_file(all, at, name, &path, &inner);
	if (ret == -ENOENT && !must_exist) {
		diag_clear(all->diag);
		return 0;
	}
	if (ret < 0)
		return ret;
	ret = read_all(&inner);
	close_file(&inner, path);
	return ret;
}

/* GetConfFilesInDir() in conffiles.c. */
static int is_conf(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && entry->d_type != DT_DIR && len > 5 &&
		strcmp(entry->d_name + len - 5, ".conf") == 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int include_dir(struct reading *all, const struct hba_token *at)
{
	struct dirent **entries = NULL;
	int count = -1, ret = check_open(all, at);
	char *path, *name;

	if (ret < 0)
		return ret;
	path = path_of(at, at->text);
	if (path == NULL)
		return -ENOMEM;
	count = scandir(path, &entries, is_conf, by_bytes);
	if (count < 0) {
		ret = -errno;
		diag_set(all->diag, at->path, at->line, at->column, "%.200s: %s", path,
			strerror(-ret));
	} else if (count > HBA_DIR_MAX) {
		ret = -EINVAL;
		diag_set(all->diag, at->path, at->line, at->column,
			"%.200s: more than %d files", path, HBA_DIR_MAX);
	}
	for (int i = 0; i < count; i++) {
		if (ret == 0 && asprintf(&name, "%s/%s", at->text, entries[i]->d_name) < 0) {
			ret = -ENOMEM;
		} else if (ret == 0) {
			ret = include(all, at, name, true);
			free(name);
		}
		free(entries[i]);
	}
	free(entries);
	free(path);
	return ret;
}

static int take_line(struct reading *all, struct hba_line *line)
{
	const struct hba_token *first = &line->fields[0].tokens[0], *name;
	bool is_dir = hba_token_is(first, "include_dir");
	bool must_exist = hba_token_is(first, "include");

	if (++all->lines > HBA_LINES_MAX)
		return hba_fail(line, first, "more than %d lines", HBA_LINES_MAX);
	if (!is_dir && !must_exist && !hba_token_is(first, "include_if_exists"))
		return all->on_line(all->arg, line);
	if (line->count != 2 || line->fields[1].count != 1)
		return hba_fail(line, first, "%s needs the name of one %s", first->text,
			is_dir ? "directory" : "file");
	name = &line->fields[1].tokens[0];
	return is_dir ? include_dir(all, name) : include(all, name, name->text, must_exist);
}

static int read_all(struct reader *r)
{
	int ret = 0;

	while (ret == 0 && r->pos < r->end) {
		struct hba_line line = { .path = r->path, .diag = r->all->diag };

		ret = read_fields(r, &line);
		if (line.count > 0)
			line.line = line.fields[0].tokens[0].line;
		if (ret == 0 && line.count > 0)
			ret = take_line(r->all, &line);
		line_free(&line);
		if (ret == 0)
			skip_line(r);
	}
	return ret;
}

int hba_file_read(const char *text, size_t len, const char *path, bool may_open,
	hba_line_fn *on_line, void *arg, struct diag *diag)
{
	struct reading all = { .on_line = on_line, .arg = arg, .diag = diag,
		.may_open = may_open };
	struct reader r = { .all = &all, .pos = text, .end = text + len, .line_start = text,
		.path = path, .line = 1 };

	return read_all(&r);
}

uint64_t hba_line_hash(const struct hba_line *line, uint64_t before)
{
	for (size_t i = 0; i < line->count; i++) {
		const struct hba_field *field = &line->fields[i];

		for (size_t k = 0; k < field->count; k++) {
			const uint64_t parts[] = { before, i, k, field->tokens[k].is_quoted,
				hash_bytes(field->tokens[k].text, strlen(field->tokens[k].text)) };

			before = hash_bytes(parts, sizeof(parts));
		}
	}
	return before;
}

bool hba_token_is(const struct hba_token *token, const char *keyword)
{
	return !token->is_quoted && strcmp(token->text, keyword) == 0;
}

/* ldapbindpasswd, however it is spelled. */
static bool may_hold_secret(const struct hba_line *line)
{
	for (size_t i = 0; i < line->count; i++) {
		for (size_t k = 0; k < line->fields[i].count; k++) {
			const char *text = line->fields[i].tokens[k].text;

			if (text != NULL && (strcasestr(text, "bind") != NULL ||
					strcasestr(text, "pass") != NULL ||
					strcasestr(text, "pwd") != NULL))
				return true;
		}
	}
	return false;
}

static void hide_quoted(char *text)
{
	char *first = strchr(text, '"'), *last = strrchr(text, '"');

	if (first == NULL || last - first < 4)
		return;
	memcpy(first + 1, "...", 3);
	memmove(first + 4, last, strlen(last) + 1);
}

int hba_fail(const struct hba_line *line, const struct hba_token *token, const char *fmt, ...)
{
	char text[DIAG_TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (may_hold_secret(line))
		hide_quoted(text);
	diag_set(line->diag, token->path, token->line, token->column, "%s", text);
	return -EINVAL;
}
