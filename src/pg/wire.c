/* SPDX-License-Identifier: ISC */
#include "pg/wire.h"

#include <string.h>

void wire_init(struct wire_in *in, const void *data, size_t len)
{
	static const uint8_t nothing[1];

	in->pos = data == NULL ? nothing : data;
	in->end = in->pos + (data == NULL ? 0 : len);
	in->failed = false;
}

const uint8_t *wire_bytes(struct wire_in *in, size_t len)
{
	const uint8_t *at = in->pos;

	if (in->failed || len > (size_t)(in->end - in->pos)) {
		in->failed = true;
		return NULL;
	}
	in->pos += len;
	return at;
}

uint8_t wire_u8(struct wire_in *in)
{
	const uint8_t *at = wire_bytes(in, 1);

	return at == NULL ? 0 : at[0];
}

uint16_t wire_u16(struct wire_in *in)
{
	const uint8_t *at = wire_bytes(in, 2);

	if (at == NULL)
		return 0;
	return (uint16_t)(at[0] << 8 | at[1]);
}

uint32_t wire_u32(struct wire_in *in)
{
	const uint8_t *at = wire_bytes(in, 4);

	if (at == NULL)
		return 0;
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 |
		(uint32_t)at[3];
}

const char *wire_cstr(struct wire_in *in)
{
	const char *at = (const char *)in->pos;
	const uint8_t *nul;

	if (in->failed)
		return "";
	nul = memchr(in->pos, 0, (size_t)(in->end - in->pos));
	if (nul == NULL) {
		in->failed = true;
		return "";
	}
	in->pos = nul + 1;
	return at;
}

struct wire_slice wire_rest(struct wire_in *in)
{
	struct wire_slice rest = { .data = "", .len = wire_left(in) };

	if (rest.len > 0)
		rest.data = (const char *)in->pos;
	in->pos = in->end;
	return rest;
}

size_t wire_left(const struct wire_in *in)
{
	return in->failed ? 0 : (size_t)(in->end - in->pos);
}

bool wire_ok(const struct wire_in *in)
{
	return !in->failed;
}

bool wire_done(const struct wire_in *in)
{
	return !in->failed && in->pos == in->end;
}

bool wire_slice_is(struct wire_slice slice, const char *str)
{
	return slice.len == strlen(str) && memcmp(slice.data, str, slice.len) == 0;
}
