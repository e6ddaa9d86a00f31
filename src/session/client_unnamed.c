/* SPDX-License-Identifier: ISC */
/*
 * The unnamed statement of a client on a transaction port.
 *
 * It lasts until the next unnamed Parse or Query, on whichever server (PostgreSQL
 * documentation, 55.2.3): its text is kept.
 */
#include <string.h>

#include "session/client_priv.h"
#include "session/client_resets.h"
#include "session/login.h"
#include "session/server_priv.h"

enum { UNNAMED_SMALL = 4096 };  /* texts up to here are not counted */

void client_unnamed_forget(struct client *c)
{
	c->has_unnamed = false;
	c->has_unseen = false;
	c->unnamed_touches = false;
	c->unnamed_names = false;
	c->unnamed_makes = false;
	c->unnamed_pins = false;
	prepared_act_unref(c->unnamed_act);
	c->unnamed_act = NULL;
	prepared_unref(c->unnamed_large);
	c->unnamed_large = NULL;
	c->unnamed_shared = false;
}

void client_unnamed_keep(struct client *c, struct server *s, const uint8_t *body, size_t len,
	unsigned may)
{
	client_unnamed_forget(c);
	if (len <= UNNAMED_SMALL) {
		buf_clear(&c->unnamed);
		buf_add(&c->unnamed, body, len);
		c->has_unnamed = buf_ok(&c->unnamed);
		c->unnamed_touches = may & TEXT_MAY_TOUCH;
		c->unnamed_names = may & TEXT_MAY_NAME;
		c->unnamed_makes = may & TEXT_MAY_MAKE;
		c->unnamed_pins = may & TEXT_MAY_PIN;
	} else if (client_has_memory(c, len)) {
		c->unnamed_large =
			prepared_get_alone(login_registry(s->pool->session), body, len,
				client_state_key(c, s));
		c->has_unnamed = c->unnamed_large != NULL;
	}
	c->has_unseen = !c->has_unnamed;
}

/* It runs soon: what may it set, and what does it name? */
static void note_unnamed(struct client *c, struct server *s)
{
	const char *text = (const char *)buf_data(&c->unnamed);
	size_t len = text == NULL ? 0 : strnlen(text, buf_len(&c->unnamed));
	/* Described, it does not run. */
	bool runs = c->work->touched.bind != NULL;

	if (c->unnamed_large != NULL) {
		client_note_use(c, s, c->unnamed_large);
	} else if (runs && c->has_unseen) {
		client_note_unseen(c);
	} else if (runs && c->unnamed_touches) {
		client_has_read(c, len);
		client_note_types(c, text, buf_len(&c->unnamed));
		client_note_text(c, s, text, len);
		(void)client_note_resets(c, s, text, len, false);
		client_note_types(c, NULL, 0);
	}
	if (c->unnamed_names && !s->is_session) {
		client_has_read(c, len);
		(void)client_sql_need(c, s, text, len);
	}
}

/* The server has the client's own from here on. */
void client_unnamed_sent(struct client *c, struct server *s)
{
	/* Also if all that is in flight is skipped; but what stands for a DEALLOCATE is to
	 * nobody any more what it stands for. */
	bool was_there = client_unnamed_is_there(c, s) && c->unnamed_act == NULL &&
		(!s->unnamed_is_unsure || s->steps.unnamed == 0);

	c->unnamed_version++;
	server_step(s, was_there ? STEP_UNNAMED : STEP_UNNAMED_FIRST, NULL, NULL);
	client_unnamed_put(c, s);
}

static void is_close(const struct step *step, void *found)
{
	if (step->kind == STEP_CLOSE_UNNAMED)
		*(bool *)found = true;
}

static bool is_closing(const struct server *s)
{
	bool found = false;

	steps_each(&s->steps, is_close, &found);
	return found;
}

/* PostgreSQL may skip it: where the server has the client's own, what comes behind it means
 * what it means there, and it is forgotten when that is answered. */
void client_unnamed_close(struct client *c, struct server *s)
{
	if (c->has_unnamed && client_unnamed_is_there(c, s)) {
		server_step(s, STEP_CLOSE_UNNAMED, NULL, NULL);
		return;
	}
	/* Nobody else's is there then, whatever was. */
	client_unnamed_forget(c);
	c->unnamed_version++;
	server_step(s, STEP_CLOSE, NULL, NULL);
}

void client_unnamed_use(struct client *c, struct server *s)
{
	note_unnamed(c, s);
	if (client_unnamed_is_there(c, s))
		return;
	if (!c->has_unnamed || is_closing(s)) {
		client_unnamed_hide(c, s);
		return;
	}
	client_unnamed_put(c, s);
	server_step(s, STEP_UNNAMED_OURS, NULL, NULL);
	if (c->unnamed_large != NULL)
		server_send_parse(s, "", c->unnamed_large->body, c->unnamed_large->len);
	else
		server_send_parse(s, "", buf_data(&c->unnamed), buf_len(&c->unnamed));
}

bool client_uses_unnamed(const struct frame *f)
{
	struct wire_in in;

	wire_init(&in, f->body, f->available);
	if (f->type == 'B')
		(void)wire_cstr(&in);
	else if (f->type != 'D' || (f->available > 0 && wire_u8(&in) != 'S'))
		return false;
	return wire_cstr(&in)[0] == '\0' || !wire_ok(&in);
}

/* Not somebody else's. */
void client_unnamed_hide(struct client *c, struct server *s)
{
	client_unnamed_put(c, s);
	server_close_unseen(s, "");
}

void client_unnamed_passing(const struct client *c, struct server *s, uint8_t type)
{
	bool in_copy = s->xq.copy == EXCHANGE_COPY_IN && !s->xq.copy_end_sent;

	if (in_copy || (s->is_session &&
			       (s->unnamed_of == 0 || client_unnamed_is_there(c, s))))
		return;
	if (type == 'S')
		server_step(s, STEP_END_SYNC, NULL, NULL);
	else if ((type == 'Q' || type == 'F') && !s->xq.skipping)
		server_step(s, STEP_END_QUERY, NULL, NULL);
	else if (type == 'C' && !s->xq.skipping)
		server_step(s, STEP_CLOSE, NULL, NULL);
}
