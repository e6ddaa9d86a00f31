/* SPDX-License-Identifier: ISC */
/*
 * Finds the next message in a stream of bytes.  Hot path, therefore inline.
 *
 * Owns:   nothing; frame.body points into the bytes given.
 * Thread: any.
 * Source: PostgreSQL documentation, 55.2: one byte of type, then four bytes of
 *         length in network order, which count themselves but not the type.
 *         Does not apply to the first packet of a connection: pg/startup.h.
 */
#ifndef PG_FRAME_H
#define PG_FRAME_H

#include "base/base.h"

enum {
	FRAME_HEADER = 5,                       /* bytes before the body */
	FRAME_BODY_MAX = INT32_MAX - 4          /* the most a length can say */
};

enum frame_result {
	FRAME_OK,               /* the header is here; the body may be incomplete */
	FRAME_NEED_MORE,        /* fewer than FRAME_HEADER bytes */
	FRAME_BAD               /* the length is below 4 or over the maximum */
};

struct frame {
	uint8_t type;
	uint32_t body_len;      /* bytes of body there will be */
	const uint8_t *body;    /* valid for "available" bytes */
	size_t available;       /* bytes of body that are here, at most body_len */
};

/*
 * Looks at the len bytes at data.  body_max is the most bytes of body the
 * caller accepts (message_def.body_max, or FRAME_BODY_MAX).  *out is set only
 * on FRAME_OK.  data may be NULL when len is 0.
 */
static inline enum frame_result frame_next(const uint8_t *data, size_t len,
	uint32_t body_max, struct frame *out)
{
	uint32_t length;

	if (len < FRAME_HEADER)
		return FRAME_NEED_MORE;
	length = (uint32_t)data[1] << 24 | (uint32_t)data[2] << 16 |
		(uint32_t)data[3] << 8 | (uint32_t)data[4];
	if (UNLIKELY(length < 4 || length > INT32_MAX || length - 4 > body_max))
		return FRAME_BAD;
	out->type = data[0];
	out->body_len = length - 4;
	out->body = data + FRAME_HEADER;
	out->available = size_min(len - FRAME_HEADER, length - 4);
	return FRAME_OK;
}

/* The whole message is here. */
static inline bool frame_is_whole(const struct frame *f)
{
	return f->available == f->body_len;
}

/* Bytes of the whole message, header included; below 2^31 + 1. */
static inline size_t frame_size(const struct frame *f)
{
	return (size_t)f->body_len + FRAME_HEADER;
}

#endif
