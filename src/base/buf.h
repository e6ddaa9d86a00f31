/* SPDX-License-Identifier: ISC */
/*
 * A growable run of bytes with a hard maximum and a sticky error.
 *
 * Owns:   its memory.  An empty buffer holds none.
 * Thread: one.
 * Limits: buf_reserve() refuses to grow beyond max; the buffer is then
 *         "failed", later writes do nothing, and buf_ok() tells.  BUF_MAX bytes
 *         at most: each client embeds several, so that lengths are 32 bits.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <assert.h>
#include <stdlib.h>

#include "base/base.h"

#define BUF_MAX ((size_t)INT32_MAX)

struct buf {
	uint8_t *data;          /* bytes [start, end) are the content */
	uint32_t start;
	uint32_t end;
	uint32_t capacity;
	uint32_t max : 31;      /* most bytes of content; 0 means BUF_MAX */
	uint32_t failed : 1;    /* out of memory, or over max */
};

/* max: at most BUF_MAX */
static inline void buf_init(struct buf *b, size_t max)
{
	assert(max <= BUF_MAX);
	*b = (struct buf){ .max = (uint32_t)max & (uint32_t)BUF_MAX };
}

/* Frees; usable again as empty.  Most are empty when they come to this. */
static inline void buf_finish(struct buf *b)
{
	if (b->data != NULL)
		free(b->data);
	buf_init(b, b->max);
}

void buf_wipe(struct buf *);            /* like finish, zeroing first: for secrets */

/* Makes room for len bytes after the content and returns where they go, or
 * NULL when that cannot be had (the buffer is then failed).  Follow with
 * buf_commit(). */
NODISCARD uint8_t *buf_reserve(struct buf *, size_t len);
void buf_commit(struct buf *, size_t len);

void buf_add(struct buf *, const void *data, size_t len);
void buf_add_str(struct buf *, const char *str);        /* without its NUL */
void buf_add_cstr(struct buf *, const char *str);       /* with its NUL */
void buf_add_u8(struct buf *, uint8_t);
void buf_add_u16(struct buf *, uint16_t);               /* network order */
void buf_add_u32(struct buf *, uint32_t);               /* network order */
void buf_addf(struct buf *, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Drops len bytes from the front; gives memory back when that empties it. */
void buf_consume(struct buf *, size_t len);

/* buf_add() and buf_consume() for secrets: what has moved or gone leaves nothing behind. */
void buf_add_secret(struct buf *, const void *data, size_t len);
void buf_consume_secret(struct buf *, size_t len);

/* Gives back the memory that the content does not need: it will stay for long. */
void buf_trim(struct buf *);

/* Forgets the content and keeps the memory. */
static inline void buf_clear(struct buf *b)
{
	b->start = 0;
	b->end = 0;
	b->failed = false;
}

/* Forgets what was added after the first len bytes, a failure to add it included. */
static inline void buf_truncate(struct buf *b, size_t len)
{
	if (len < b->end - b->start)
		b->end = b->start + (uint32_t)len;
	b->failed = false;
}

static inline size_t buf_len(const struct buf *b)
{
	return b->end - b->start;
}

static inline uint8_t *buf_data(const struct buf *b)
{
	return b->data == NULL ? NULL : b->data + b->start;
}

static inline bool buf_ok(const struct buf *b)
{
	return !b->failed;
}

#endif
