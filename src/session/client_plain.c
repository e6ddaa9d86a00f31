/* SPDX-License-Identifier: ISC */
/*
 * Messages of a client that go on as they are: most of a pipeline, and COPY's data.
 */
#include "pg/message.h"
#include "session/client_end.h"
#include "session/client_pin.h"
#include "session/client_priv.h"
#include "session/server.h"
#include "session/server_priv.h"

bool client_is_plain(const struct client *c, const struct server *s, const struct frame *f)
{
	switch (f->type) {
	case 'S':
	case 'H':
		return true;
	case 'E':
		return c->portals == NULL;
	case 'D':
		return f->available > 0 && f->body[0] != 'S';
	case 'B':
		/* The unnamed statement, which the server has, and which names nothing. */
		return f->available > 1 && f->body[0] == '\0' && f->body[1] == '\0' &&
			c->has_unnamed && c->unnamed_large == NULL && !c->unnamed_names &&
			!c->unnamed_pins && client_pin_passes(c) &&
			client_unnamed_is_there(c, s);
	default:
		return false;
	}
}

/* In the middle of an exchange in which nothing waits and nothing is skipped: what
 * forward_step() asks before each message has one answer. */
static bool is_calm(const struct client *c, const struct server *s)
{
	const struct exchange_queue *q = &s->xq;

	return c->keeps_statements && c->body_left == 0 && c->portals == NULL &&
		(s->sql_of == c->id || s->is_session) && q->open && !q->skipping &&
		!q->in_doubt && q->copy == EXCHANGE_NO_COPY && !s->is_chained &&
		!s->holds_client && steps_has_room(&s->steps) && exchange_has_room(q) &&
		!client_reuse_is_open(c) && !c->work->reads_change && !c->work->cuts &&
		!c->work->resets.has_resets &&
		(c->query_us != 0 || q->pending != 0);
}

/* It runs what was bound right before, which client_reads_behind() knows. */
static bool runs_what_was_bound(const struct server *s, const struct frame *f)
{
	return f->type != 'E' || (s->binds_ahead && f->available > 0 && f->body[0] == '\0');
}

size_t client_pass_plain(struct client *c, struct server *s, const uint8_t *data, size_t len)
{
	size_t pos = 0;
	struct frame f;

	if ((data[0] != 'E' && data[0] != 'D') || !is_calm(c, s))
		return 0;
	while (pos < len && (data[pos] == 'E' || data[pos] == 'D')) {
		uint32_t body_max = message_frontend_defs[data[pos]].body_max;

		if (frame_next(data + pos, len - pos, body_max, &f) != FRAME_OK ||
			!frame_is_whole(&f) || !client_is_plain(c, s, &f) ||
			!runs_what_was_bound(s, &f))
			break;
		exchange_sent(&s->xq, f.type);
		client_end_sent(c, s, &f);
		c->body_type = f.type;
		pos += frame_size(&f);
	}
	c->body_drops = c->body_drops && pos == 0;
	return pos;
}

/* All that a CopyData changes was changed by the one before, which forward_step() took. */
static bool goes_on_copying(const struct client *c, const struct server *s)
{
	return c->body_type == 'd' && c->body_left == 0 && !c->body_drops &&
		s->xq.copy == EXCHANGE_COPY_IN && !s->xq.copy_end_sent && !s->xq.skipping &&
		!s->holds_client && !c->lend.looks && !client_reuse_is_open(c);
}

size_t client_pass_copy(struct client *c, const struct server *s, const uint8_t *data, size_t len)
{
	uint32_t body_max = message_frontend_defs['d'].body_max;
	size_t pos = 0;
	struct frame f;

	if (len == 0 || data[0] != 'd' || !goes_on_copying(c, s))
		return 0;
	while (pos < len && data[pos] == 'd' && c->body_left == 0) {
		if (frame_next(data + pos, len - pos, body_max, &f) != FRAME_OK)
			break;
		c->body_left = f.body_len - (uint32_t)f.available;
		pos += FRAME_HEADER + f.available;
	}
	return pos;
}
