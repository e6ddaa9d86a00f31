/* SPDX-License-Identifier: ISC */
#include "session/server_left.h"

#include "session/server_priv.h"

static bool client_has_left(const struct worker *w, uint64_t id)
{
	const struct router *r = w->router;

	for (uint32_t i = 0; i < r->worker_count; i++) {
		if (departed_has(&r->workers[i]->departed, id, worker_now(w)))
			return true;
	}
	return false;
}

bool server_is_left(const struct worker *w, struct server *s)
{
	if (!s->cleans_left || s->ps.last_client == 0)
		return false;
	if (s->left_by != s->ps.last_client && client_has_left(w, s->ps.last_client))
		s->left_by = s->ps.last_client;
	return s->left_by == s->ps.last_client;
}

void server_clean_left(struct worker *w, struct server *s)
{
	if (server_attach(w, s) < 0) {
		server_drop(w, s);
		return;
	}
	s->is_left = true;
	stream_resume(&s->stream);
	server_reset(s);
}
