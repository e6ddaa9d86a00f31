/* SPDX-License-Identifier: ISC */
/*
 * FunctionCall: a function by its number, which tells nothing of what it does; but for
 * set_config(), whose setting is kept as if SQL had called it.
 */
#include <string.h>

#include "pg/frame.h"
#include "pg/wire.h"
#include "session/client_pin.h"
#include "session/client_priv.h"
#include "session/server_priv.h"
#include "sql/statement.h"

enum { OID_SET_CONFIG = 2078 };

/* The first argument lies within. */
enum { BEGINNING = 4096 };

bool client_function_waits(const struct frame *f)
{
	return !frame_is_whole(f) && f->available < BEGINNING;
}

/* *name: its first argument, "" where that is not known; *may_reset: its second may be
 * NULL. */
static bool sets(const struct frame *f, char name[static STATEMENT_NAME_SIZE], bool *may_reset)
{
	const uint8_t *bytes;
	struct wire_in in;
	uint32_t len;

	name[0] = '\0';
	*may_reset = true;
	wire_init(&in, f->body, f->available);
	if (wire_u32(&in) != OID_SET_CONFIG || !wire_ok(&in))
		return false;
	(void)wire_bytes(&in, 2 * (size_t)wire_u16(&in));
	(void)wire_u16(&in);
	len = wire_u32(&in);
	bytes = wire_bytes(&in, len);
	if (!wire_ok(&in) || len >= STATEMENT_NAME_SIZE || memchr(bytes, '\0', len) != NULL)
		return true;
	memcpy(name, bytes, len);
	name[len] = '\0';
	*may_reset = wire_u32(&in) == UINT32_MAX || !wire_ok(&in);
	return true;
}

void client_function_note(struct client *c, const struct frame *f)
{
	char name[STATEMENT_NAME_SIZE];
	bool may_reset;

	client_note_unseen(c);
	if (!sets(f, name, &may_reset))
		return;
	client_note_call_resets(c, name, may_reset);
	if (!client_is_kept(c))
		return;
	c->work->reads_change = true;
	c->work->read_key = client_new_key(c);
	if (name[0] != '\0')
		touched_called(&c->work->touched, name, may_reset);
	else
		touched_called_unknown(&c->work->touched, may_reset);
}

bool client_function_runs(struct client *c, struct server *s, const struct frame *f)
{
	char name[STATEMENT_NAME_SIZE];
	enum step_kind why;
	bool may_reset;

	if (sets(f, name, &may_reset) && !client_pin_admits_setting(c, s, name, &why)) {
		client_pin_refuse_query(s, why);
		/* A Query stands in its place. */
		s->unnamed_of = 0;
		return false;
	}
	client_function_note(c, f);
	exchange_sent(&s->xq, 'F');
	return true;
}
