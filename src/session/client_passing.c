/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "session/client_end.h"
#include "session/client_lend.h"
#include "session/client_passing.h"
#include "session/client_pin.h"
#include "session/client_priv.h"
#include "session/client_resets.h"
#include "session/server_priv.h"
#include "session/server_unseen.h"

/* On a transaction port, where nobody looks after names: a text may set something all the
 * same.  That of a Parse counts as if it ran at once. */
static bool is_text(const struct client *c, const struct frame *f)
{
	return (f->type == 'Q' || f->type == 'P') && client_is_kept(c);
}

bool client_passing_waits(const struct client *c, const struct frame *f)
{
	if (f->type == 'F')
		return client_is_kept(c) && client_function_waits(f);
	return is_text(c, f) && !frame_is_whole(f) && f->body_len <= CLIENT_INSPECT_MAX;
}

bool client_passing_is_cut(const struct client *c, const struct server *s, const struct frame *f)
{
	return !c->keeps_statements && client_has_defaults(c) && s->replication == NULL &&
		(f->type == 'Q' || f->type == 'P' || f->type == 'F') && !frame_is_whole(f) &&
		f->body_len <= SERVER_INSPECT_MAX;
}

static void unnamed_passes(struct client *c, struct server *s)
{
	c->unnamed_version++;
	client_unnamed_put(c, s);
}

/* On a session port, or where nobody looks after names: they belong to the server's
 * session. */
static void note_parse(struct client *c, struct server *s, const struct frame *f)
{
	stats_add(c->stats, STAT_client_parse_count, 1);
	stats_add(c->stats, STAT_server_parse_count, 1);
	if (f->available > 0 && f->body[0] != '\0')
		s->is_dirty = true;
	else
		unnamed_passes(c, s);
}

static void note_passing(struct client *c, struct server *s, const struct frame *f)
{
	const char *text;
	struct wire_in in;

	if (f->type == 'F')
		client_function_note(c, f);
	if (!is_text(c, f) || s->xq.skipping)
		return;
	wire_init(&in, f->body, f->available);
	if (f->type == 'P')
		(void)wire_cstr(&in);
	text = wire_cstr(&in);
	server_ran_text(s, c->id, wire_ok(&in) ? text : NULL);
	if (!wire_ok(&in)) {
		client_note_unseen(c);
		return;
	}
	client_note_text(c, s, text, strlen(text));
	client_lend_text(c, s, text, strlen(text), f->type == 'P' && f->body[0] != '\0');
}

/* There, too, the unnamed statement of whoever had the server before on a transaction
 * port is not to be used. */
void client_passing(struct client *c, struct server *s, const struct frame *f,
	struct span *span)
{
	/* Also with the message that ends this. */
	bool looks = c->lend.looks;
	enum step_kind why;

	note_passing(c, s, f);
	if (UNLIKELY(!client_pin_passing(c, s, f, &why))) {
		span_send(s, span);
		client_pin_refuse_passing(c, s, f, why);
		span->start += FRAME_HEADER + f->available;
		c->body_drops = true;
		return;
	}
	client_unnamed_passing(c, s, f->type);
	if (s->is_session && s->replication == NULL)
		client_session_leaves(c, s, f);
	if (UNLIKELY(looks)) {
		client_lend_keep(c, s, f);
		if (exchange_is_idle(&s->xq)) {
			span_send(s, span);
			client_lend_restore(c, s, f);
		}
	}
	switch (f->type) {
	case 'P':
		client_note_passing_text(c, s, f);
		note_parse(c, s, f);
		break;
	case 'B':
		stats_add(c->stats, STAT_bind_count, 1);
		client_note_passing_run(c, s, f);
		/* fall through */
	case 'D':
		if (s->unnamed_of == 0 || client_unnamed_is_there(c, s) || s->xq.skipping ||
			!client_uses_unnamed(f))
			break;
		span_send(s, span);
		client_unnamed_hide(c, s);
		break;
	case 'E':
		client_note_passing_run(c, s, f);
		break;
	case 'Q':
		client_note_passing_text(c, s, f);
		unnamed_passes(c, s);
		break;
	default:
		break;
	}
	exchange_sent(&s->xq, f->type);
}
