/* SPDX-License-Identifier: ISC */
#include "admin/extended.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "admin/command.h"
#include "pg/frame.h"
#include "pg/msg_out.h"
#include "pg/wire.h"

enum { ERROR_TEXT_MAX = 256 };

/* A statement, or a portal of one. */
struct extended_name {
	struct list_node node;
	char *name;
	char *text;
	struct extended_formats formats;        /* of a portal */
};

void extended_init(struct extended *x)
{
	*x = (struct extended){ .count = 0 };
	list_init(&x->statements);
	list_init(&x->portals);
}

static void name_remove(struct extended *x, struct extended_name *n)
{
	if (n == NULL)
		return;
	list_remove(&n->node);
	x->count--;
	free(n->name);
	free(n->text);
	free(n);
}

static struct extended_name *first_of(struct list *list)
{
	struct list_node *node = list_first(list);

	return node == NULL ? NULL : container_of(node, struct extended_name, node);
}

static void names_clear(struct extended *x, struct list *list)
{
	struct extended_name *n;

	while ((n = first_of(list)) != NULL)
		name_remove(x, n);
}

void extended_finish(struct extended *x)
{
	names_clear(x, &x->statements);
	names_clear(x, &x->portals);
}

static struct extended_name *name_find(const struct list *list, const char *name)
{
	list_for_each(list, node) {
		struct extended_name *n = container_of(node, struct extended_name, node);

		if (strcmp(n->name, name) == 0)
			return n;
	}
	return NULL;
}

static void fail(struct extended *x, struct buf *out, const char *sqlstate, const char *fmt,
	...) PRINTF_LIKE(4, 5);

static void fail(struct extended *x, struct buf *out, const char *sqlstate, const char *fmt,
	...)
{
	char text[ERROR_TEXT_MAX];
	const struct msg_out_error error = { .severity = "ERROR",
		.sqlstate = sqlstate,
		.message = text };
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	msg_out_error(out, &error);
	x->skips = true;
}

static struct extended_name *name_add(struct extended *x, struct list *list, const char *name,
	const char *text, struct buf *out)
{
	struct extended_name *n;

	if (x->count >= EXTENDED_NAMES_MAX) {
		fail(x, out, "54000", "too many prepared statements on the console");
		return NULL;
	}
	n = calloc(1, sizeof(*n));
	if (n == NULL || (n->name = strdup(name)) == NULL || (n->text = strdup(text)) == NULL) {
		if (n != NULL)
			free(n->name);
		free(n);
		fail(x, out, "53200", "out of memory");
		return NULL;
	}
	list_push_back(list, &n->node);
	x->count++;
	return n;
}

/* --- messages ----------------------------------------------------------------------- */

static bool holds_several(const char *sql)
{
	char *copy = strdup(sql), *rest = copy;
	bool several = copy != NULL && command_split(&rest) != NULL &&
		command_split(&rest) != NULL;

	free(copy);
	return several;
}

static void on_parse(struct extended *x, struct wire_in *in, struct buf *out)
{
	const char *name = wire_cstr(in), *sql = wire_cstr(in);
	uint16_t types = wire_u16(in);
	struct extended_name *old;

	(void)wire_bytes(in, (size_t)types * 4);
	if (!wire_done(in)) {
		fail(x, out, "08P01", "invalid Parse message");
		return;
	}
	old = name_find(&x->statements, name);
	if (old != NULL && name[0] != '\0') {
		fail(x, out, "42P05", "prepared statement \"%.100s\" already exists", name);
	} else if (holds_several(sql)) {
		fail(x, out, "42601", "cannot insert multiple commands into a prepared statement");
	} else {
		name_remove(x, old);
		if (name_add(x, &x->statements, name, sql, out) != NULL)
			msg_out_parse_complete(out);
	}
}

/* False: the message is not one. */
static bool read_formats(struct wire_in *in, struct extended_formats *formats)
{
	uint16_t count = wire_u16(in);
	bool ok = true;

	formats->count = count;
	for (uint32_t i = 0; i < count && wire_ok(in); i++) {
		uint16_t code = wire_u16(in);

		ok = ok && code <= 1;
		if (i < EXTENDED_COLUMNS_MAX)
			formats->is_binary[i] = code == 1;
	}
	return ok && wire_ok(in);
}

static void on_bind(struct extended *x, struct wire_in *in, struct buf *out)
{
	const char *portal = wire_cstr(in), *name = wire_cstr(in);
	struct extended_formats ignored = { 0 }, formats = { 0 };
	struct extended_name *statement, *old, *n;
	bool ok = read_formats(in, &ignored);
	uint16_t values = wire_u16(in);

	if (values > 0 && wire_ok(in)) {
		fail(x, out, "08P01",
			"bind message supplies %u parameters, but prepared statement \"%.100s\" requires 0",
			values, name);
		return;
	}
	ok = ok && read_formats(in, &formats) && wire_done(in);
	statement = name_find(&x->statements, name);
	old = name_find(&x->portals, portal);
	if (!ok) {
		fail(x, out, "08P01", "invalid Bind message");
	} else if (statement == NULL) {
		fail(x, out, "26000", "prepared statement \"%.100s\" does not exist", name);
	} else if (old != NULL && portal[0] != '\0') {
		fail(x, out, "42P03", "cursor \"%.100s\" already exists", portal);
	} else {
		name_remove(x, old);
		n = name_add(x, &x->portals, portal, statement->text, out);
		if (n == NULL)
			return;
		n->formats = formats;
		msg_out_bind_complete(out);
	}
}

static bool shows_something(const char *sql)
{
	struct command c;

	return command_parse(sql, &c) == COMMAND_OK &&
		(strcasecmp(c.word, "SHOW") == 0 || strcasecmp(c.word, "SELECT") == 0);
}

/* What a kind of 'S' or 'P' and a name mean; NULL: an error is written. */
static struct extended_name *find_kind(struct extended *x, char kind, const char *name,
	struct buf *out)
{
	struct extended_name *n =
		name_find(kind == 'S' ? &x->statements : &x->portals, name);

	if (n == NULL && kind == 'S')
		fail(x, out, "26000", "prepared statement \"%.100s\" does not exist", name);
	else if (n == NULL)
		fail(x, out, "34000", "portal \"%.100s\" does not exist", name);
	return n;
}

static enum extended_todo on_describe(struct extended *x, struct wire_in *in, struct buf *out,
	struct extended_run *run)
{
	char kind = (char)wire_u8(in);
	const char *name = wire_cstr(in);
	const struct extended_name *n;

	if (!wire_done(in) || (kind != 'S' && kind != 'P')) {
		fail(x, out, "08P01", "invalid Describe message");
		return EXTENDED_NOTHING;
	}
	n = find_kind(x, kind, name, out);
	if (n == NULL)
		return EXTENDED_NOTHING;
	run->text = n->text;
	run->formats = n->formats;
	run->is_statement = kind == 'S';
	if (shows_something(n->text))
		return EXTENDED_DESCRIBE;
	if (run->is_statement)
		msg_out_parameter_description(out, NULL, 0);
	msg_out_no_data(out);
	return EXTENDED_NOTHING;
}

static enum extended_todo on_execute(struct extended *x, struct wire_in *in, struct buf *out,
	struct extended_run *run)
{
	const char *name = wire_cstr(in);
	const struct extended_name *n;

	(void)wire_u32(in);
	if (!wire_done(in)) {
		fail(x, out, "08P01", "invalid Execute message");
		return EXTENDED_NOTHING;
	}
	n = find_kind(x, 'P', name, out);
	if (n == NULL)
		return EXTENDED_NOTHING;
	run->text = n->text;
	run->formats = n->formats;
	return EXTENDED_EXECUTE;
}

static void on_close(struct extended *x, struct wire_in *in, struct buf *out)
{
	char kind = (char)wire_u8(in);
	const char *name = wire_cstr(in);

	if (!wire_done(in) || (kind != 'S' && kind != 'P')) {
		fail(x, out, "08P01", "invalid Close message");
		return;
	}
	name_remove(x, name_find(kind == 'S' ? &x->statements : &x->portals, name));
	msg_out_close_complete(out);
}

enum extended_todo extended_message(struct extended *x, uint8_t type, const uint8_t *body,
	size_t len, struct buf *out, struct extended_run *run)
{
	struct wire_in in;

	wire_init(&in, body, len);
	*run = (struct extended_run){ .text = NULL };
	if (type == 'S') {
		x->skips = false;
		/* The end of the transaction: portals do not outlive it. */
		names_clear(x, &x->portals);
		msg_out_ready_for_query(out, 'I');
		return EXTENDED_NOTHING;
	}
	if (x->skips || type == 'H')
		return EXTENDED_NOTHING;
	switch (type) {
	case 'P':
		on_parse(x, &in, out);
		return EXTENDED_NOTHING;
	case 'B':
		on_bind(x, &in, out);
		return EXTENDED_NOTHING;
	case 'D':
		return on_describe(x, &in, out, run);
	case 'E':
		return on_execute(x, &in, out, run);
	case 'C':
		on_close(x, &in, out);
		return EXTENDED_NOTHING;
	default:
		fail(x, out, "08P01", "invalid message type on the console");
		return EXTENDED_NOTHING;
	}
}

/* --- answers -------------------------------------------------------------------------- */

static bool is_binary(const struct extended_formats *f, uint32_t column)
{
	if (f->count == 0)
		return false;
	return f->is_binary[f->count == 1 ? 0 : column < EXTENDED_COLUMNS_MAX ? column : 0];
}

/* A whole number of up to 20 digits, as numeric_send() writes it: in groups of four. */
static void add_numeric(struct buf *out, const char *text, size_t len)
{
	uint16_t groups[6];
	uint64_t value = 0;
	size_t count = 0, first = 0;

	for (size_t i = 0; i < len && text[i] >= '0' && text[i] <= '9'; i++)
		value = value * 10 + (uint64_t)(text[i] - '0');
	for (; value > 0; value /= 10000)
		groups[count++] = (uint16_t)(value % 10000);
	while (first < count && groups[first] == 0)
		first++;
	buf_add_u32(out, (uint32_t)(8 + 2 * (count - first)));
	buf_add_u16(out, (uint16_t)(count - first));
	buf_add_u16(out, (uint16_t)(count == 0 ? 0 : count - 1));       /* weight */
	buf_add_u16(out, 0);                                            /* sign: plus */
	buf_add_u16(out, 0);                                            /* no decimals */
	while (count > first)
		buf_add_u16(out, groups[--count]);
}

static void add_int4(struct buf *out, const char *text, size_t len)
{
	uint32_t value = 0;

	for (size_t i = 0; i < len && text[i] >= '0' && text[i] <= '9'; i++)
		value = value * 10 + (uint32_t)(text[i] - '0');
	buf_add_u32(out, 4);
	buf_add_u32(out, value);
}

static void add_int8(struct buf *out, const char *text, size_t len)
{
	uint64_t value = 0;

	for (size_t i = 0; i < len && text[i] >= '0' && text[i] <= '9'; i++)
		value = value * 10 + (uint64_t)(text[i] - '0');
	buf_add_u32(out, 8);
	buf_add_u32(out, (uint32_t)(value >> 32));
	buf_add_u32(out, (uint32_t)value);
}

/* The columns of an answer. */
struct columns {
	uint16_t count;
	uint32_t types[EXTENDED_COLUMNS_MAX];
};

/* A RowDescription, with the formats that were asked for. */
static void add_description(const struct frame *f, const struct extended_formats *formats,
	struct buf *out)
{
	struct wire_in in;
	uint16_t count;

	wire_init(&in, f->body, f->body_len);
	count = wire_u16(&in);
	msg_out_header(out, 'T', f->body_len);
	buf_add_u16(out, count);
	for (uint16_t i = 0; i < count; i++) {
		const uint8_t *fixed;

		buf_add_cstr(out, wire_cstr(&in));
		fixed = wire_bytes(&in, 16);
		(void)wire_u16(&in);
		if (fixed != NULL)
			buf_add(out, fixed, 16);
		buf_add_u16(out, is_binary(formats, i));
	}
}

static void read_columns(const struct frame *f, struct columns *columns)
{
	struct wire_in in;

	wire_init(&in, f->body, f->body_len);
	columns->count = wire_u16(&in);
	for (uint16_t i = 0; i < columns->count && i < EXTENDED_COLUMNS_MAX; i++) {
		(void)wire_cstr(&in);
		(void)wire_bytes(&in, 6);
		columns->types[i] = wire_u32(&in);
		(void)wire_bytes(&in, 8);
	}
}

static void add_cell(struct buf *out, uint32_t type, const char *text, uint32_t len)
{
	if (type == MSG_OUT_INT4) {
		add_int4(out, text, len);
	} else if (type == MSG_OUT_INT8) {
		add_int8(out, text, len);
	} else if (type == MSG_OUT_NUMERIC) {
		add_numeric(out, text, len);
	} else {
		buf_add_u32(out, len);
		buf_add(out, text, len);
	}
}

static void add_row(const struct frame *f, const struct columns *columns,
	const struct extended_formats *formats, struct buf *out)
{
	struct wire_in in;
	struct buf row;
	uint16_t count;

	buf_init(&row, 0);
	wire_init(&in, f->body, f->body_len);
	count = wire_u16(&in);
	buf_add_u16(&row, count);
	for (uint16_t i = 0; i < count && i < EXTENDED_COLUMNS_MAX; i++) {
		uint32_t len = wire_u32(&in);
		const uint8_t *value = len == UINT32_MAX ? NULL : wire_bytes(&in, len);

		if (value == NULL) {
			buf_add_u32(&row, UINT32_MAX);
		} else {
			add_cell(&row, is_binary(formats, i) ? columns->types[i] : MSG_OUT_TEXT,
				(const char *)value, len);
		}
	}
	if (!buf_ok(&row))
		out->failed = true;
	msg_out_header(out, 'D', (uint32_t)buf_len(&row));
	buf_add(out, buf_data(&row), buf_len(&row));
	buf_finish(&row);
}

static bool next_of(const struct buf *answer, size_t *at, struct frame *f)
{
	if (frame_next(buf_data(answer) + *at, buf_len(answer) - *at, FRAME_BODY_MAX, f) !=
			FRAME_OK ||
		!frame_is_whole(f))
		return false;
	*at += frame_size(f);
	return true;
}

void extended_describe(const struct buf *answer, bool is_statement,
	const struct extended_formats *formats, struct buf *out)
{
	struct frame f;
	size_t at = 0;

	if (is_statement)
		msg_out_parameter_description(out, NULL, 0);
	while (next_of(answer, &at, &f)) {
		if (f.type != 'T')
			continue;
		add_description(&f, formats, out);
		return;
	}
	msg_out_no_data(out);
}

void extended_execute(
	const struct buf *answer, const struct extended_formats *formats, struct buf *out)
{
	struct columns columns = { 0 };
	struct frame f;
	size_t at = 0;

	while (next_of(answer, &at, &f)) {
		if (f.type == 'T')
			read_columns(&f, &columns);
		else if (f.type == 'D' && formats->count > 0)
			add_row(&f, &columns, formats, out);
		else
			buf_add(out, f.body - FRAME_HEADER, frame_size(&f));
	}
}
