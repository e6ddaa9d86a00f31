/* SPDX-License-Identifier: ISC */
/*
 * What code that runs out of sight makes of how texts are read.
 *
 * It may set what the server does not tell (transform_null_equals and the like).  So what
 * hangs on such settings and is read behind it is the client's alone, until the server was
 * cleaned.
 *
 * And code itself is read and planned once for each server (functions of PL/pgSQL, checks
 * of foreign keys): with the constants that it had under the settings of then.  Before
 * somebody else has the server whose settings are others, its plans are dropped.
 */
#include "session/server_reads.h"

#include "session/client_priv.h"
#include "session/server_priv.h"

/* Under several, or nobody knows. */
#define SEVERAL UINT64_MAX

static uint64_t reading_of(const struct params *p)
{
	return p->reading_key | 1;
}

void server_reads_behind_code(struct server *s)
{
	struct client *c = s->client;
	bool may_change = s->is_session || c->work->reads_change;
	uint64_t key = may_change ? SEVERAL : reading_of(&c->params);

	if (UNLIKELY(s->plans_key != key))
		s->plans_key = s->plans_key == 0 ? key : SEVERAL;
	if (s->hidden_key == 0 && !s->is_session &&
		c->route->limits.state == ROUTE_STATE_STRICT)
		s->hidden_key = client_new_key(c);
}

void server_reads_change(struct server *s)
{
	struct client *c = s->client;

	if (c == NULL || c->work == NULL || s->is_session || s->phase != SERVER_PHASE_READY)
		return;
	/* Out of sight: what was used in between may have been read anew. */
	if (!c->work->reads_change) {
		s->has_foreign = s->is_dirty = true;
		s->plans_key = SEVERAL;
	}
	c->work->reads_change = true;
}

bool server_plans_are_others(const struct server *s, const struct params *p)
{
	return s->plans_key != 0 && s->plans_key != reading_of(p);
}

void server_reads_cleaned(struct server *s, bool with_plans)
{
	s->hidden_key = 0;
	if (with_plans)
		s->plans_key = 0;
	s->drops_plans = false;
}
