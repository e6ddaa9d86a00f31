/* SPDX-License-Identifier: ISC */
/*
 * The clean that rides behind the last message of a lease.
 *
 * Where others wait for a server it has to be cleaned of a client's session before the
 * next one has it.  That would cost a round trip between two leases; so it is sent right
 * behind the client's own message, where client_end.c proves that the lease ends with
 * that, as an exchange of its own: PostgreSQL runs it in a transaction of its own, and
 * the client has its ReadyForQuery before.  The server is nobody's until the clean's
 * answer was checked.
 *
 * What the client sends next is held: it belongs to its next lease.
 */
#include <string.h>

#include "base/slog.h"
#include "session/client_pin.h"
#include "session/server_priv.h"
#include "session/server_reads.h"
#include "session/server_unseen.h"

/* Two leases in a row that began with the same settings: the next may well, too. */
static const struct params *left_there(const struct server *s)
{
	static const struct params none;

	return s->wanted_before == s->client->params.key ? &s->client->params : &none;
}

bool server_make_clean(struct server *s, const struct params *left)
{
	bool looks = server_looks_for_forged(s);

	s->drops_plans = server_plans_are_others(s, left);
	if (buf_len(&s->clean) > 0 && s->clean_key == left->key && s->clean_looks == looks &&
		s->clean_drops == s->drops_plans && s->clean_at_once == s->may_defer &&
		s->clean_role_first == s->client->role_first) {
		server_clean_reseed(s);
		return true;
	}
	buf_clear(&s->clean);
	params_write_replay(left, s->client->role_first, server_clean_sql(s, false), &s->clean);
	s->clean_role_first = s->client->role_first;
	s->clean_key = left->key;
	s->clean_looks = looks;
	s->clean_drops = s->drops_plans;
	s->clean_at_once = s->may_defer;
	if (buf_ok(&s->clean))
		return true;
	buf_finish(&s->clean);
	return false;
}

static bool may_chain(const struct server *s)
{
	const struct client *c = s->client;

	/* holds_client: what stands before its Query may make PostgreSQL skip to a Sync. */
	if (s->holds_client || s->xq.open || s->xq.pending == 0 || !exchange_has_room(&s->xq))
		return false;
	/* The client may keep the server, or has to be told or asked something first. */
	if (client_pin_is_there(c) || !touched_is_empty(&c->work->touched) ||
		!touched_is_empty(&c->work->resets))
		return false;
	return s->cancels == 0 && !s->has_foreign && !s->is_broken && !s->is_tainted;
}

void server_chain(struct server *s)
{
	if (!may_chain(s) || !server_unseen_may_chain(s) || !server_make_clean(s, left_there(s)))
		return;
	s->is_chained = true;
	s->own_failed = false;
	server_sent_own(s);
	stream_send(&s->stream, buf_data(&s->clean), buf_len(&s->clean));
}

bool server_chain_ready(struct server *s, char status)
{
	if (status == 'I') {
		s->client->work->touched.seen = false;
		client_lease_over(s->client);
		server_enter_phase(s, SERVER_PHASE_RESET);
		server_set_timer(s, SERVER_CLEAN_US);
		/* It parts from its client when that has got what came so far. */
		list_push_back(&s->worker->releasing, &s->in_release);
		worker_defer_release(s->worker);
		return true;
	}
	/* A COMMIT was cancelled before it began: the clean will be refused. */
	if (status == 'E')
		return true;
	SLOG_LIMITED(WARN, "server-protocol", "server=%lu problem=\"%s\" type=0x%02x",
		(unsigned long)s->ps.id, "a transaction where none can be", (unsigned)status);
	server_fail(s, SERVER_END_PROTOCOL,
		"the server is in a transaction that nobody has begun");
	return false;
}

void server_chain_undone(struct server *s)
{
	s->is_chained = false;
	if (!s->own_failed || s->xq.status != 'E') {
		server_fail(s, SERVER_END_PROTOCOL,
			"the server has cleaned a session within a transaction");
		return;
	}
	s->own_failed = false;
	if (stream_held(&s->client->stream) > 0)
		stream_retry(&s->client->stream);
}

/* A cancel of the client's may have hit it, or what was left there (statement_timeout,
 * for one): then it is done once more, when no cancel is on its way. */
void server_chain_done(struct server *s)
{
	bool is_cancelled = s->own_failed && strncmp(s->sqlstate, "57", 2) == 0;

	s->is_chained = false;
	if (s->xq.status != 'I' || (s->own_failed && !is_cancelled)) {
		SLOG_LIMITED(WARN, "server-reset-failed", "server=%lu sqlstate=%s",
			(unsigned long)s->ps.id, s->own_failed ? s->sqlstate : "");
		server_close(s, SERVER_END_CLEAN);
		return;
	}
	/* Forged: all statements go, too, before anybody has it. */
	s->is_dirty = is_cancelled || s->is_forged;
	if (!is_cancelled) {
		if (s->clean_looks && !s->is_forged)
			s->is_suspect = false;
		server_reads_cleaned(s, s->drops_plans);
		s->ps.last_client = 0;
		s->ps.state_key = s->clean_key;
		server_unseen_chained(s);
	}
	server_release(s);
}
