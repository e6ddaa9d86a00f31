/* SPDX-License-Identifier: ISC */
/*
 * Builds the tree from libyaml's events.  What we leave out of YAML is refused
 * here, with a place, and not later with a riddle.
 */
#include "config/doc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <yaml.h>

#include "base/diag.h"

struct level {
	struct doc_node *node;
	struct doc_node *last;          /* its last child */
};

struct reader {
	yaml_parser_t parser;
	struct doc_source source;
	const char *text;
	size_t len;
	struct doc_node *root;
	struct level levels[DOC_DEPTH_MAX];
	size_t depth;
	size_t count;
	char *key;                      /* read, and waits for its value */
	yaml_mark_t key_mark;
	size_t documents;
};

static int fail_at(struct reader *r, yaml_mark_t mark, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

static int fail_at(struct reader *r, yaml_mark_t mark, const char *fmt, ...)
{
	char text[DIAG_TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	diag_set(r->source.diag, r->source.file, (uint32_t)mark.line + 1,
		(uint32_t)mark.column + 1, "%s", text);
	return -EINVAL;
}

static void free_text(char *text)
{
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	free(text);
}

void doc_free(struct doc_node *node)
{
	while (node != NULL) {
		struct doc_node *next = node->next;

		doc_free(node->first);  /* at most DOC_DEPTH_MAX deep */
		free_text(node->text);
		free(node->key);
		free(node);
		node = next;
	}
}

/* Bytes that cannot be meant: they would end text early, or forge lines of a log. */
static bool has_control(const char *text, size_t len, const char *allowed)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '\0' || c == 0x7f || (c < 0x20 && strchr(allowed, c) == NULL))
			return true;
	}
	return false;
}

/* Makes a node, gives it the waiting key and hangs it below the current one. */
static struct doc_node *add_node(struct reader *r, enum doc_kind kind, yaml_mark_t mark)
{
	struct level *top = r->depth > 0 ? &r->levels[r->depth - 1] : NULL;
	struct doc_node *node;

	if (++r->count > DOC_NODE_MAX) {
		(void)fail_at(r, mark, "the file has more than %d values", DOC_NODE_MAX);
		return NULL;
	}
	node = calloc(1, sizeof(*node));
	if (node == NULL) {
		(void)fail_at(r, mark, "out of memory");
		return NULL;
	}
	node->kind = kind;
	node->line = (uint32_t)mark.line + 1;
	node->column = (uint32_t)mark.column + 1;
	node->key = r->key;
	if (r->key != NULL) {
		node->key_line = (uint32_t)r->key_mark.line + 1;
		node->key_column = (uint32_t)r->key_mark.column + 1;
		r->key = NULL;
	}
	if (top == NULL) {
		r->root = node;
	} else {
		if (top->last == NULL)
			top->node->first = node;
		else
			top->last->next = node;
		top->last = node;
		top->node->count++;
	}
	return node;
}

static int begin(struct reader *r, enum doc_kind kind, yaml_mark_t mark)
{
	struct doc_node *node;

	if (r->depth == DOC_DEPTH_MAX)
		return fail_at(r, mark, "nested more than %d levels deep", DOC_DEPTH_MAX);
	node = add_node(r, kind, mark);
	if (node == NULL)
		return -EINVAL;
	r->levels[r->depth].node = node;
	r->levels[r->depth].last = NULL;
	r->depth++;
	return 0;
}

static int compare_keys(const void *left, const void *right)
{
	const struct doc_node *a = *(struct doc_node *const *)left;
	const struct doc_node *b = *(struct doc_node *const *)right;
	int order = strcmp(a->key, b->key);

	if (order != 0)
		return order;
	if (a->key_line != b->key_line)
		return a->key_line < b->key_line ? -1 : 1;
	return a->key_column < b->key_column ? -1 : 1;
}

/* A key stands once.  Of several that do not, the first in the file is named. */
static int check_duplicates(struct reader *r, const struct doc_node *map)
{
	const struct doc_node *first = NULL, *again = NULL;
	const struct doc_node **sorted;
	size_t count = 0;

	if (map->count < 2)
		return 0;
	sorted = calloc(map->count, sizeof(*sorted));
	if (sorted == NULL)
		return doc_fail(&r->source, map, "out of memory");
	for (const struct doc_node *n = map->first; n != NULL; n = n->next)
		sorted[count++] = n;
	qsort(sorted, count, sizeof(*sorted), compare_keys);
	for (size_t i = 1; i < count; i++) {
		if (strcmp(sorted[i - 1]->key, sorted[i]->key) != 0)
			continue;
		if (again == NULL || sorted[i]->key_line < again->key_line) {
			first = sorted[i - 1];
			again = sorted[i];
		}
	}
	free(sorted);
	if (again == NULL)
		return 0;
	return doc_fail_key(&r->source, again,
		"\"%.60s\" stands here a second time; the first is on line %u",
		again->key, first->key_line);
}

static int end(struct reader *r)
{
	const struct doc_node *node = r->levels[--r->depth].node;

	return node->kind == DOC_MAP ? check_duplicates(r, node) : 0;
}

static bool wants_key(const struct reader *r)
{
	return r->depth > 0 && r->levels[r->depth - 1].node->kind == DOC_MAP &&
		r->key == NULL;
}

static int on_key(struct reader *r, const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;
	bool is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;

	if (is_plain && strcmp(text, "<<") == 0)
		return fail_at(r, event->start_mark,
			"merge keys are not supported; write the options out");
	if (len == 0)
		return fail_at(r, event->start_mark, "a key is missing before the colon");
	if (has_control(text, len, ""))
		return fail_at(r, event->start_mark, "a key with control characters");
	r->key = strdup(text);
	r->key_mark = event->start_mark;
	return r->key == NULL ? fail_at(r, event->start_mark, "out of memory") : 0;
}

static bool is_null(const char *text)
{
	return text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0 ||
		strcmp(text, "Null") == 0 || strcmp(text, "NULL") == 0;
}

static int on_value(struct reader *r, const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;
	bool is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	struct doc_node *node;

	if (has_control(text, len, "\t\n"))
		return fail_at(r, event->start_mark, "a value with control characters");
	node = add_node(r, is_plain && is_null(text) ? DOC_NULL : DOC_SCALAR,
		event->start_mark);
	if (node == NULL)
		return -EINVAL;
	node->is_quoted = !is_plain;
	node->len = len;
	node->text = strdup(text);
	return node->text == NULL ? fail_at(r, event->start_mark, "out of memory") : 0;
}

static int on_scalar(struct reader *r, const yaml_event_t *event)
{
	if (event->data.scalar.anchor != NULL)
		return fail_at(r, event->start_mark, "anchors are not supported");
	if (event->data.scalar.tag != NULL)
		return fail_at(r, event->start_mark, "tags are not supported");
	return wants_key(r) ? on_key(r, event) : on_value(r, event);
}

static int on_begin(struct reader *r, const yaml_event_t *event)
{
	bool is_map = event->type == YAML_MAPPING_START_EVENT;
	const yaml_char_t *anchor = is_map ? event->data.mapping_start.anchor :
		event->data.sequence_start.anchor;
	const yaml_char_t *tag = is_map ? event->data.mapping_start.tag :
		event->data.sequence_start.tag;

	if (anchor != NULL)
		return fail_at(r, event->start_mark, "anchors are not supported");
	if (tag != NULL)
		return fail_at(r, event->start_mark, "tags are not supported");
	if (wants_key(r))
		return fail_at(r, event->start_mark, "a key must be a word");
	return begin(r, is_map ? DOC_MAP : DOC_LIST, event->start_mark);
}

static int on_event(struct reader *r, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return on_scalar(r, event);
	case YAML_MAPPING_START_EVENT:
	case YAML_SEQUENCE_START_EVENT:
		return on_begin(r, event);
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		return end(r);
	case YAML_ALIAS_EVENT:
		return fail_at(r, event->start_mark,
			"aliases are not supported; a text that begins with * needs "
			"quotes: \"*\"");
	case YAML_DOCUMENT_START_EVENT:
		if (r->documents++ > 0)
			return fail_at(r, event->start_mark,
				"a second document begins here; only one is read");
		return 0;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		return 0;
	}
	return 0;
}

/* The reader of libyaml knows only the offset of a bad byte. */
static yaml_mark_t mark_of_offset(const struct reader *r, size_t offset)
{
	yaml_mark_t mark = { 0 };

	for (size_t i = 0; i < offset && i < r->len; i++) {
		mark.column++;
		if (r->text[i] == '\n') {
			mark.line++;
			mark.column = 0;
		}
	}
	return mark;
}

/* A mark counts characters; these are bytes of UTF-8. */
static char byte_at(const struct reader *r, size_t index)
{
	for (size_t i = 0; i < r->len; i++) {
		bool is_first = ((unsigned char)r->text[i] & 0xc0) != 0x80;

		if (is_first && index-- == 0)
			return r->text[i];
	}
	return '\0';
}

static int fail_syntax(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;

	if (p->error == YAML_MEMORY_ERROR)
		return fail_at(r, p->mark, "out of memory");
	if (p->error == YAML_READER_ERROR)
		return fail_at(r, mark_of_offset(r, p->problem_offset),
			"%s; the file must be UTF-8 text",
			p->problem);
	if (byte_at(r, p->problem_mark.index) == '\t')
		return fail_at(r, p->problem_mark, "a tab; YAML is indented with spaces");
	if (p->context != NULL && strstr(p->context, "alias") != NULL)
		return fail_at(r, p->context_mark,
			"a text that begins with * needs quotes, such as \"*\"");
	if (p->context != NULL)
		return fail_at(r, p->problem_mark, "%s (%s, line %zu)", p->problem,
			p->context, p->context_mark.line + 1);
	return fail_at(r, p->problem_mark, "%s", p->problem);
}

static int read_events(struct reader *r)
{
	bool is_over = false;
	int ret = 0;

	while (ret == 0 && !is_over) {
		yaml_event_t event;

		if (yaml_parser_parse(&r->parser, &event) == 0)
			return fail_syntax(r);
		ret = on_event(r, &event);
		is_over = event.type == YAML_STREAM_END_EVENT;
		if (event.type == YAML_SCALAR_EVENT)
			explicit_bzero(event.data.scalar.value, event.data.scalar.length);
		yaml_event_delete(&event);
	}
	return ret;
}

struct doc_node *doc_parse(const char *text, size_t len, const char *file,
	struct diag *diag)
{
	struct reader r = {
		.source = { .file = file, .diag = diag }, .text = text, .len = len
	};
	yaml_mark_t start = { 0 };
	int ret;

	if (len > DOC_FILE_MAX) {
		(void)fail_at(&r, start, "longer than %d MB", DOC_FILE_MAX >> 20);
		return NULL;
	}
	if (yaml_parser_initialize(&r.parser) == 0) {
		(void)fail_at(&r, start, "out of memory");
		return NULL;
	}
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
	ret = read_events(&r);
	if (ret == 0 && r.root == NULL && add_node(&r, DOC_NULL, start) == NULL)
		ret = -ENOMEM;
	yaml_parser_delete(&r.parser);
	free(r.key);
	if (ret == 0)
		return r.root;
	doc_free(r.root);
	return NULL;
}

void doc_free_text(char *text, size_t len)
{
	if (text != NULL)
		explicit_bzero(text, len);
	free(text);
}

/* Reads to the end; the text grows by copying, so that each copy can be wiped. */
static int read_all(int fd, size_t max, char **text, size_t *len)
{
	size_t size = 0, used = 0;
	char *data = NULL;

	for (;;) {
		ssize_t got;

		if (used == size) {
			size_t bigger = size_min(size_max(size * 2, 16384), max + 1);
			char *copy = used > max ? NULL : malloc(bigger + 1);

			if (copy == NULL) {
				doc_free_text(data, used);
				return used > max ? -EFBIG : -ENOMEM;
			}
			if (used > 0)
				memcpy(copy, data, used);
			doc_free_text(data, used);
			data = copy;
			size = bigger;
		}
		got = read(fd, data + used, size - used);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			int error = -errno;

			doc_free_text(data, used);
			return error;
		}
		if (got == 0)
			break;
		used += (size_t)got;
	}
	data[used] = '\0';
	*text = data;
	*len = used;
	return 0;
}

/* What everybody may write says nothing. */
static bool is_everybodys(const struct stat *st)
{
	return S_ISREG(st->st_mode) && (st->st_mode & S_IWOTH) != 0;
}

int doc_read_file(const char *path, size_t max, char **text, size_t *len,
	struct diag *diag)
{
	/* A pipe that nobody writes to would be waited for. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), ret;
	struct stat st;

	if (fd < 0) {
		ret = -errno;
		diag_set(diag, path, 0, 0, "cannot open: %s", strerror(-ret));
		return ret;
	}
	if (fstat(fd, &st) < 0)
		ret = -errno;
	else if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		ret = -ENOTSUP;
	else
		ret = is_everybodys(&st) ? -EPERM : read_all(fd, max, text, len);
	close(fd);
	if (ret == -ENOTSUP)
		diag_set(diag, path, 0, 0, "is not a regular file");
	else if (ret == -EPERM)
		diag_set(diag, path, 0, 0, "everybody may change it; chmod o-w would stop that");
	else if (ret == -EFBIG)
		diag_set(diag, path, 0, 0, "longer than %zu bytes", max);
	else if (ret < 0)
		diag_set(diag, path, 0, 0, "cannot read: %s", strerror(-ret));
	return ret;
}

bool doc_is_public(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && (st.st_mode & S_IROTH) != 0;
}

bool doc_is_everybodys(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && is_everybodys(&st);
}

struct doc_node *doc_get(const struct doc_node *map, const char *key)
{
	struct doc_node *node = NULL;

	if (map != NULL && map->kind == DOC_MAP)
		node = map->first;
	while (node != NULL && strcmp(node->key, key) != 0)
		node = node->next;
	return node;
}

const struct doc_node *doc_reach(const struct doc_node *node, ...)
{
	const char *key;
	va_list keys;

	va_start(keys, node);
	while ((key = va_arg(keys, const char *)) != NULL) {
		const struct doc_node *child = doc_get(node, key);

		if (child == NULL)
			break;
		node = child;
	}
	va_end(keys);
	return node;
}

int doc_fail(const struct doc_source *source, const struct doc_node *node,
	const char *fmt, ...)
{
	char text[DIAG_TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	diag_set(source->diag, source->file, node == NULL ? 0 : node->line,
		node == NULL ? 0 : node->column, "%s", text);
	return -EINVAL;
}

int doc_fail_key(const struct doc_source *source, const struct doc_node *node,
	const char *fmt, ...)
{
	bool has_key = node != NULL && node->key != NULL;
	char text[DIAG_TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	diag_set(source->diag, source->file, has_key ? node->key_line : 0,
		has_key ? node->key_column : 0, "%s", text);
	return -EINVAL;
}

const char *doc_kind_name(const struct doc_node *node)
{
	switch (node->kind) {
	case DOC_NULL:
		return "nothing";
	case DOC_SCALAR:
		return node->is_quoted ? "a text" : "a single value";
	case DOC_LIST:
		return "a list";
	case DOC_MAP:
		return "a section";
	}
	return "?";
}
