/* SPDX-License-Identifier: ISC */
#include "admin/json.h"

#include <string.h>

#include "admin/table.h"
#include "base/json.h"
#include "pg/frame.h"
#include "pg/msg_out.h"
#include "pg/wire.h"

struct columns {
	const char *names[TABLE_COLUMNS_MAX];
	bool are_numbers[TABLE_COLUMNS_MAX];
	uint16_t count;
};

static bool read_columns(const struct frame *f, struct columns *columns)
{
	struct wire_in in;

	wire_init(&in, f->body, f->body_len);
	columns->count = wire_u16(&in);
	if (columns->count > TABLE_COLUMNS_MAX)
		return false;
	for (uint16_t i = 0; i < columns->count; i++) {
		uint32_t type;

		columns->names[i] = wire_cstr(&in);
		(void)wire_u32(&in);
		(void)wire_u16(&in);
		type = wire_u32(&in);
		(void)wire_u16(&in);
		(void)wire_u32(&in);
		(void)wire_u16(&in);
		columns->are_numbers[i] =
			type == MSG_OUT_INT4 || type == MSG_OUT_INT8 || type == MSG_OUT_NUMERIC;
	}
	return wire_done(&in);
}

static bool add_row(const struct frame *f, const struct columns *columns, struct buf *out)
{
	struct wire_in in;

	wire_init(&in, f->body, f->body_len);
	if (wire_u16(&in) != columns->count)
		return false;
	buf_add_u8(out, '{');
	for (uint16_t i = 0; i < columns->count; i++) {
		uint32_t len = wire_u32(&in);
		const uint8_t *value = NULL;

		if (len != UINT32_MAX && (value = wire_bytes(&in, len)) == NULL)
			return false;
		if (i > 0)
			buf_add_u8(out, ',');
		json_add_string(out, columns->names[i], strlen(columns->names[i]));
		buf_add_u8(out, ':');
		if (value == NULL)
			buf_add_str(out, "null");
		else if (columns->are_numbers[i] && len > 0)
			buf_add(out, value, len);
		else
			json_add_string(out, (const char *)value, len);
	}
	buf_add_u8(out, '}');
	return wire_done(&in);
}

/* The message of an ErrorResponse. */
static void add_error(const struct frame *f, struct buf *out)
{
	struct wire_in in;

	wire_init(&in, f->body, f->body_len);
	for (;;) {
		uint8_t field = wire_u8(&in);
		const char *text;

		if (field == 0 || !wire_ok(&in))
			return;
		text = wire_cstr(&in);
		if (field == 'M')
			buf_add_str(out, text);
	}
}

bool json_from_answer(const void *messages, size_t len, struct buf *out)
{
	struct columns columns = { .count = 0 };
	const uint8_t *at = messages;
	size_t rows = 0, before = buf_len(out);
	bool ok = true, is_open = true;
	struct frame f;

	buf_add_u8(out, '[');
	while (ok && is_open && frame_next(at, len, INT32_MAX - 4, &f) == FRAME_OK) {
		if (!frame_is_whole(&f))
			return false;
		at += frame_size(&f);
		len -= frame_size(&f);
		switch (f.type) {
		case 'T':
			ok = read_columns(&f, &columns);
			break;
		case 'D':
			if (rows++ > 0)
				buf_add_u8(out, ',');
			ok = add_row(&f, &columns, out);
			break;
		case 'C':
			is_open = false;
			break;
		case 'E':
			out->end = out->start + (uint32_t)before;
			add_error(&f, out);
			return false;
		default:
			break;
		}
	}
	buf_add_u8(out, ']');
	return ok && buf_ok(out);
}
