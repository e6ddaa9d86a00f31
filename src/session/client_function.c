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
#include "session/client_resets.h"
#include "session/server_priv.h"
#include "sql/statement.h"

enum { OID_SET_CONFIG = 2078 };

/* The first argument lies within, and the others, if the second is NULL. */
enum { BEGINNING = 4096 };

bool client_function_waits(const struct frame *f)
{
	return !frame_is_whole(f) && f->available < BEGINNING;
}

/* What is not known may be anything. */
struct function_call {
	char name[STATEMENT_NAME_SIZE];         /* its first argument, or "" */
	bool may_reset;                         /* its second is NULL */
	bool may_be_local;                      /* its third is not NULL, nor no */
};

static bool sets(const struct frame *f, struct function_call *call)
{
	const uint8_t *bytes;
	struct wire_in in;
	uint32_t len;

	call->name[0] = '\0';
	call->may_reset = call->may_be_local = true;
	wire_init(&in, f->body, f->available);
	if (wire_u32(&in) != OID_SET_CONFIG || !wire_ok(&in))
		return false;
	(void)wire_bytes(&in, 2 * (size_t)wire_u16(&in));
	(void)wire_u16(&in);
	len = wire_u32(&in);
	bytes = wire_bytes(&in, len);
	if (!wire_ok(&in) || len >= STATEMENT_NAME_SIZE || memchr(bytes, '\0', len) != NULL)
		return true;
	memcpy(call->name, bytes, len);
	call->name[len] = '\0';
	call->may_reset = wire_u32(&in) == UINT32_MAX || !wire_ok(&in);
	if (!call->may_reset || !wire_ok(&in))
		return true;
	len = wire_u32(&in);
	bytes = len == 1 ? wire_bytes(&in, len) : NULL;
	call->may_be_local = !wire_ok(&in) ||
		(len != UINT32_MAX && (bytes == NULL || bytes[0] != 0));
	return true;
}

void client_function_note(struct client *c, const struct frame *f)
{
	struct function_call call;

	client_note_unseen(c);
	if (!sets(f, &call))
		return;
	if (call.may_reset)
		client_note_call_resets(c, call.name, call.may_be_local);
	if (!client_is_kept(c))
		return;
	c->work->reads_change = true;
	c->work->read_key = client_new_key(c);
	if (call.name[0] != '\0')
		touched_called(&c->work->touched, call.name, call.may_reset);
	else
		touched_called_unknown(&c->work->touched, call.may_reset);
}

bool client_function_admits(struct client *c, struct server *s, const struct frame *f,
	enum step_kind *why)
{
	struct function_call call;

	return !sets(f, &call) || client_pin_admits_setting(c, s, call.name, why);
}

bool client_function_runs(struct client *c, struct server *s, const struct frame *f)
{
	enum step_kind why;

	if (!client_function_admits(c, s, f, &why)) {
		client_pin_refuse_query(s, why);
		/* A Query stands in its place. */
		s->unnamed_of = 0;
		return false;
	}
	client_function_note(c, f);
	exchange_sent(&s->xq, 'F');
	return true;
}
