/* SPDX-License-Identifier: ISC */
/*
 * What goes on to a server as it is, in one piece: from start to pos.  Whoever sends something
 * of his own sends that first.
 */
#ifndef SESSION_SPAN_H
#define SESSION_SPAN_H

#include "session/server.h"

struct span {
	const uint8_t *data;
	size_t start;
	size_t pos;
};

static inline void span_send(struct server *s, struct span *span)
{
	if (span->pos > span->start)
		stream_send(&s->stream, span->data + span->start, span->pos - span->start);
	span->start = span->pos;
}

#endif
