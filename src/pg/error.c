/* SPDX-License-Identifier: ISC */
#include "pg/error.h"

#include <string.h>

static bool is_sqlstate(struct wire_slice s)
{
	if (s.len != ERROR_SQLSTATE_SIZE - 1)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.data[i];

		if ((c < '0' || c > '9') && (c < 'A' || c > 'Z'))
			return false;
	}
	return true;
}

/* Where the field with that code goes, or NULL. */
static struct wire_slice *field_for(uint8_t code, struct error_fields *out)
{
	switch (code) {
	case 'M':
		return &out->message;
	case 'D':
		return &out->detail;
	case 'H':
		return &out->hint;
	case 'P':
		return &out->position;
	case 'W':
		return &out->where;
	case 's':
		return &out->schema;
	case 't':
		return &out->table;
	case 'R':
		return &out->routine;
	default:
		return NULL;
	}
}

/* Reads one string; without a NUL it is all that is left. */
static struct wire_slice take_text(struct wire_in *in, bool *is_fine)
{
	const uint8_t *nul = memchr(in->pos, 0, wire_left(in));
	struct wire_slice text = { (const char *)in->pos, 0 };

	if (nul == NULL) {
		*is_fine = false;
		return wire_rest(in);
	}
	text.len = (size_t)(nul - in->pos);
	in->pos = nul + 1;
	return text;
}

bool error_parse(const uint8_t *body, size_t len, struct error_fields *out)
{
	const struct wire_slice none = { "", 0 };
	struct wire_slice translated = none, code = none;
	struct wire_in in;
	bool is_fine = true;
	uint8_t type;

	*out = (struct error_fields){ .sqlstate = "XX000", .severity = none,
		.message = none, .detail = none, .hint = none, .position = none,
		.where = none, .schema = none, .table = none, .routine = none };
	wire_init(&in, body, len);
	for (type = wire_u8(&in); type != 0; type = wire_u8(&in)) {
		struct wire_slice text = take_text(&in, &is_fine);
		struct wire_slice *to = field_for(type, out);

		if (type == 'V')
			to = &out->severity;
		else if (type == 'S')
			to = &translated;
		else if (type == 'C')
			to = &code;
		if (to != NULL && to->len == 0)
			*to = text;
	}
	if (out->severity.len == 0)
		out->severity = translated;
	if (is_sqlstate(code))
		memcpy(out->sqlstate, code.data, code.len);
	return is_fine && wire_done(&in);
}

bool error_is_fatal(const struct error_fields *e)
{
	return wire_slice_is(e->severity, "FATAL") || wire_slice_is(e->severity, "PANIC");
}

bool error_has_class(const struct error_fields *e, const char *prefix)
{
	return strncmp(e->sqlstate, prefix, strlen(prefix)) == 0;
}
