/* SPDX-License-Identifier: ISC */
#include "config/ini.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/json.h"
#include "config/doc.h"

struct ini_file {
	struct ini_file *next;
	char name[];
};

/* One file that is being read. */
struct reader {
	struct ini *ini;
	struct diag *diag;
	const char *file;
	uint32_t line;
	enum ini_section section;
	bool has_section;
	bool includes;
	int depth;
};

void ini_init(struct ini *ini)
{
	*ini = (struct ini){ .first = NULL };
	ini->last = &ini->first;
}

static void text_free(char *text)
{
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	free(text);
}

void ini_finish(struct ini *ini)
{
	while (ini->first != NULL) {
		struct ini_entry *e = ini->first;

		ini->first = e->next;
		text_free(e->key);
		text_free(e->value);
		free(e);
	}
	while (ini->files != NULL) {
		struct ini_file *f = ini->files;

		ini->files = f->next;
		free(f);
	}
	ini_init(ini);
}

static int fail(const struct reader *r, const char *what)
{
	diag_set(r->diag, r->file, r->line, 1, "%s", what);
	return -EINVAL;
}

static int no_memory(const struct reader *r)
{
	diag_set(r->diag, r->file, r->line, 1, "out of memory");
	return -ENOMEM;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

/* A line, without blanks at its ends. */
struct line {
	const char *at;
	const char *end;
};

static void trim(struct line *l)
{
	while (l->at < l->end && is_blank(*l->at))
		l->at++;
	while (l->end > l->at && is_blank(l->end[-1]))
		l->end--;
}

static int read_section(struct reader *r, const struct line *l)
{
	static const struct {
		const char *name;
		enum ini_section section;
	} sections[] = {
		{ "[pgbouncer]", INI_PGBOUNCER },
		{ "[databases]", INI_DATABASES },
		{ "[users]", INI_USERS },
		{ "[peers]", INI_PEERS },
	};
	size_t len = (size_t)(l->end - l->at);

	for (size_t i = 0; i < COUNT_OF(sections); i++) {
		if (strlen(sections[i].name) != len || memcmp(sections[i].name, l->at, len) != 0)
			continue;
		r->section = sections[i].section;
		r->has_section = true;
		return 0;
	}
	return fail(r, "unknown section; there are pgbouncer, databases, users and peers");
}

static bool is_key_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		strchr("_.*-", c) != NULL;
}

/* A key, quoted or not; the length, or -1. */
static int read_key(struct line *l, char key[INI_KEY_MAX + 1])
{
	size_t len = 0;

	if (l->at < l->end && (*l->at == '\'' || *l->at == '"')) {
		const char quote = *l->at++;

		while (l->at < l->end && (*l->at != quote ||
						 (l->at + 1 < l->end && l->at[1] == quote))) {
			l->at += *l->at == quote;
			if (len == INI_KEY_MAX || *l->at == '\t')
				return -1;
			key[len++] = *l->at++;
		}
		if (l->at++ == l->end)
			return -1;
	} else {
		while (l->at < l->end && *l->at != '\0' && is_key_char(*l->at)) {
			if (len == INI_KEY_MAX)
				return -1;
			key[len++] = *l->at++;
		}
	}
	key[len] = '\0';
	return (int)len;
}

static int add_entry(struct reader *r, const char *key, const struct line *value)
{
	struct ini *ini = r->ini;
	struct ini_entry *e;

	if (ini->count == INI_ENTRIES_MAX)
		return fail(r, "too many lines");
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return no_memory(r);
	e->section = r->section;
	e->file = r->file;
	e->line = r->line;
	e->key = strdup(key);
	e->value = strndup(value->at, (size_t)(value->end - value->at));
	*ini->last = e;
	ini->last = &e->next;
	ini->count++;
	return e->key == NULL || e->value == NULL ? no_memory(r) : 0;
}

static int load(struct ini *ini, const char *path, int depth, struct reader *from,
	struct diag *diag);

static int read_include(struct reader *r, struct line *l)
{
	static const char word[] = "%include";
	char path[INI_VALUE_MAX + 1];
	size_t len;

	if ((size_t)(l->end - l->at) < sizeof(word) ||
		memcmp(l->at, word, sizeof(word) - 1) != 0 || !is_blank(l->at[sizeof(word) - 1]))
		return fail(r, "only %include may begin with a percent sign");
	l->at += sizeof(word) - 1;
	trim(l);
	len = (size_t)(l->end - l->at);
	if (len == 0 || len > INI_VALUE_MAX)
		return fail(r, "%include needs the name of a file");
	if (!r->includes)
		return 0;
	if (r->depth >= INI_DEPTH_MAX)
		return fail(r, "too many files within files");
	memcpy(path, l->at, len);
	path[len] = '\0';
	return load(r->ini, path, r->depth + 1, r, r->diag);
}

/* Our own format has no place for them. */
static bool has_control(const struct line *l)
{
	for (const char *at = l->at; at < l->end; at++) {
		if (((unsigned char)*at < 0x20 && *at != '\t') || *at == 0x7f)
			return true;
	}
	return false;
}

/* What becomes of it has to be. */
static bool is_utf8(const struct line *l)
{
	for (const char *at = l->at; at < l->end;) {
		size_t len = (unsigned char)*at < 0x80 ? 1 : json_utf8_len(at, (size_t)(l->end - at));

		if (len == 0)
			return false;
		at += len;
	}
	return true;
}

static int read_line(struct reader *r, struct line *l)
{
	char key[INI_KEY_MAX + 1];

	trim(l);
	if (l->at == l->end || *l->at == ';' || *l->at == '#')
		return 0;
	if (has_control(l))
		return fail(r, "a control character");
	if (!is_utf8(l))
		return fail(r, "not UTF-8, which the configuration has to be");
	if (*l->at == '[')
		return read_section(r, l);
	if (*l->at == '%')
		return read_include(r, l);
	if (read_key(l, key) <= 0)
		return fail(r, "neither a section nor a key with a value");
	trim(l);
	if (l->at == l->end || *l->at++ != '=')
		return fail(r, "no equals sign behind the key");
	trim(l);
	if (!r->has_section)
		return fail(r, "a key before the first section");
	if (l->end - l->at > INI_VALUE_MAX)
		return fail(r, "the value is too long");
	return add_entry(r, key, l);
}

static int read_lines(struct reader *r, const char *text, size_t len)
{
	const char *end = text + len;
	int ret = 0;

	while (ret == 0 && text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		struct line l = { text, newline == NULL ? end : newline };

		r->line++;
		text = newline == NULL ? end : newline + 1;
		ret = read_line(r, &l);
	}
	return ret;
}

/* A copy that lives as long as the entries. */
static const char *keep_name(struct ini *ini, const char *name)
{
	struct ini_file *f = malloc(sizeof(*f) + strlen(name) + 1);

	if (f == NULL)
		return NULL;
	memcpy(f->name, name, strlen(name) + 1);
	f->next = ini->files;
	ini->files = f;
	return f->name;
}

int ini_parse(struct ini *ini, const char *text, size_t len, const char *file, bool includes,
	struct diag *diag)
{
	struct reader r = { .ini = ini, .diag = diag, .includes = includes };

	r.file = keep_name(ini, file);
	return r.file == NULL ? no_memory(&r) : read_lines(&r, text, len);
}

static int load(
	struct ini *ini, const char *path, int depth, struct reader *from, struct diag *diag)
{
	struct reader r = { .ini = ini, .diag = diag, .includes = true, .depth = depth };
	char *text;
	size_t len;
	int ret;

	if (from != NULL) {
		r.section = from->section;
		r.has_section = from->has_section;
	}
	r.file = keep_name(ini, path);
	if (r.file == NULL)
		return no_memory(&r);
	ret = doc_read_file(path, DOC_FILE_MAX, &text, &len, diag);
	if (ret < 0)
		return ret;
	ret = read_lines(&r, text, len);
	doc_free_text(text, len);
	/* A section that began in there goes on behind it. */
	if (from != NULL) {
		from->section = r.section;
		from->has_section = r.has_section;
	}
	return ret;
}

int ini_load(struct ini *ini, const char *path, struct diag *diag)
{
	return load(ini, path, 0, NULL, diag);
}

/* --- connection strings ------------------------------------------------------------ */

static const char *read_value(const char *at, char value[INI_VALUE_MAX + 1])
{
	bool is_quoted = *at == '\'';
	size_t len = 0;

	at += is_quoted;
	while (*at != '\0' && (is_quoted || !is_blank(*at))) {
		if (is_quoted && *at == '\'') {
			if (at[1] != '\'')
				break;
			at++;
		}
		if (len == INI_VALUE_MAX)
			return NULL;
		value[len++] = *at++;
	}
	value[len] = '\0';
	if (!is_quoted)
		return len > 0 ? at : NULL;
	return *at == '\'' ? at + 1 : NULL;
}

int ini_next_pair(const char **text, char key[INI_KEY_MAX + 1], char value[INI_VALUE_MAX + 1])
{
	const char *at = *text;
	size_t len = 0;

	while (is_blank(*at))
		at++;
	if (*at == '\0')
		return 0;
	while (*at != '\0' && is_key_char(*at) && len < INI_KEY_MAX)
		key[len++] = *at++;
	key[len] = '\0';
	while (is_blank(*at))
		at++;
	if (len == 0 || *at++ != '=')
		return -1;
	while (is_blank(*at))
		at++;
	at = read_value(at, value);
	if (at == NULL)
		return -1;
	*text = at;
	return 1;
}
