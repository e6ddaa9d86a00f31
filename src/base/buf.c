/* SPDX-License-Identifier: ISC */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUF_FIRST_CAPACITY = 256 };

void buf_trim(struct buf *b)
{
	size_t len = buf_len(b);
	uint8_t *data;

	if (b->start > 0)
		memmove(b->data, b->data + b->start, len);
	b->start = 0;
	b->end = (uint32_t)len;
	if (len == 0) {
		free(b->data);
		b->data = NULL;
		b->capacity = 0;
		return;
	}
	if (len == b->capacity)
		return;
	data = realloc(b->data, len);
	if (data == NULL)
		return; /* it can stay as it is */
	b->data = data;
	b->capacity = (uint32_t)len;
}

void buf_wipe(struct buf *b)
{
	if (b->data != NULL)
		explicit_bzero(b->data, b->capacity);
	buf_finish(b);
}

static size_t buf_limit(const struct buf *b)
{
	return b->max == 0 ? BUF_MAX : b->max;
}

static bool buf_grow(struct buf *b, size_t need)
{
	size_t capacity = size_max(b->capacity, BUF_FIRST_CAPACITY);
	uint8_t *data;

	while (capacity < need)
		capacity *= 2;
	data = realloc(b->data, capacity);
	if (data == NULL)
		return false;
	b->data = data;
	b->capacity = (uint32_t)capacity;
	return true;
}

uint8_t *buf_reserve(struct buf *b, size_t len)
{
	size_t have = buf_len(b);

	if (b->failed)
		return NULL;
	if (len > buf_limit(b) || have > buf_limit(b) - len) {
		b->failed = true;
		return NULL;
	}
	if (b->capacity - b->end >= len && b->data != NULL)
		return b->data + b->end;
	if (b->start > 0) {
		memmove(b->data, b->data + b->start, have);
		b->start = 0;
		b->end = (uint32_t)have;
	}
	if ((b->data == NULL || b->capacity - b->end < len) && !buf_grow(b, have + len)) {
		b->failed = true;
		return NULL;
	}
	return b->data + b->end;
}

void buf_commit(struct buf *b, size_t len)
{
	assert(len <= b->capacity - b->end);
	b->end += (uint32_t)len;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	uint8_t *to;

	if (len == 0)
		return;
	to = buf_reserve(b, len);
	if (to == NULL)
		return;
	memcpy(to, data, len);
	b->end += (uint32_t)len;
}

void buf_add_secret(struct buf *b, const void *data, size_t len)
{
	struct buf bigger;

	if (b->failed || b->data == NULL || b->capacity - b->end >= len) {
		buf_add(b, data, len);
		return;
	}
	/* Not realloc(), nor moved to the front: either leaves a copy. */
	buf_init(&bigger, b->max);
	if (buf_reserve(&bigger, buf_len(b) + len) == NULL) {
		buf_wipe(b);
		b->failed = true;
		return;
	}
	buf_add(&bigger, buf_data(b), buf_len(b));
	buf_add(&bigger, data, len);
	buf_wipe(b);
	*b = bigger;
}

void buf_consume_secret(struct buf *b, size_t len)
{
	assert(len <= buf_len(b));
	if (len == buf_len(b)) {
		buf_wipe(b);
		return;
	}
	explicit_bzero(b->data + b->start, len);
	b->start += (uint32_t)len;
}

void buf_add_str(struct buf *b, const char *str)
{
	buf_add(b, str, strlen(str));
}

void buf_add_cstr(struct buf *b, const char *str)
{
	buf_add(b, str, strlen(str) + 1);
}

void buf_add_u8(struct buf *b, uint8_t value)
{
	buf_add(b, &value, 1);
}

void buf_add_u16(struct buf *b, uint16_t value)
{
	uint8_t bytes[2] = { (uint8_t)(value >> 8), (uint8_t)value };

	buf_add(b, bytes, sizeof(bytes));
}

void buf_add_u32(struct buf *b, uint32_t value)
{
	uint8_t bytes[4] = { (uint8_t)(value >> 24), (uint8_t)(value >> 16),
		(uint8_t)(value >> 8), (uint8_t)value };

	buf_add(b, bytes, sizeof(bytes));
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list args;
	uint8_t *to;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (len < 0) {
		b->failed = true;
		return;
	}
	to = buf_reserve(b, (size_t)len + 1);
	if (to == NULL)
		return;
	va_start(args, fmt);
	vsnprintf((char *)to, (size_t)len + 1, fmt, args);
	va_end(args);
	b->end += (uint32_t)len;
}

void buf_consume(struct buf *b, size_t len)
{
	assert(len <= buf_len(b));
	b->start += (uint32_t)len;
	if (b->start == b->end)
		buf_finish(b);
}
