/* SPDX-License-Identifier: ISC */
/*
 * After the client is gone: what still runs is cancelled, the transaction ended,
 * the session reset, each checked; or the server is closed.
 */
#include <string.h>

#include "base/slog.h"
#include "pg/msg_out.h"
#include "session/cancel.h"
#include "session/client.h"
#include "session/pin.h"
#include "session/server_priv.h"
#include "session/server_reads.h"

/* What the settings of a server are after a reset query of the user's own. */
#define STATE_UNKNOWN UINT64_MAX

void server_keep_route(struct server *s)
{
	if (s->route == NULL && s->client != NULL)
		s->route = route_ref(s->client->route);
}

void server_forget_route(struct server *s)
{
	route_unref(s->route);
	s->route = NULL;
}

/* Ends what the client began and will not end.  Asked again when a COPY begins or an
 * error comes after that: what the client had sent ahead may need it only then. */
void server_finish_for_client(struct server *s)
{
	struct buf out;

	buf_init(&out, 0);
	if (s->xq.copy == EXCHANGE_COPY_IN && !s->xq.copy_end_sent) {
		msg_out_copy_fail(&out, "the client is gone");
		exchange_sent(&s->xq, 'f');
	}
	if (s->xq.open) {
		msg_out_sync(&out);
		exchange_sent(&s->xq, 'S');
		if (s->steps.count > 0 && !steps_push(&s->steps, STEP_END_SYNC, 0, NULL, NULL))
			server_break(s, SERVER_END_MEMORY);
	}
	stream_send_buf(&s->stream, &out);
	buf_finish(&out);
}

void server_client_gone(struct server *s, bool was_mid_message)
{
	/* RESET: the clean rode behind its last message. */
	bool was_ending = s->phase == SERVER_PHASE_ENDING || s->phase == SERVER_PHASE_RESET;
	bool was_own = s->phase == SERVER_PHASE_CHECK || s->phase == SERVER_PHASE_SETTINGS ||
		s->phase == SERVER_PHASE_ASK || s->phase == SERVER_PHASE_DEFAULTS ||
		s->phase == SERVER_PHASE_PROBE;
	static const struct cancel_reply nobody;

	if (s->phase == SERVER_PHASE_CLOSE)
		return;
	server_keep_route(s);
	if (s->client != NULL && (s->client->work->pins.kinds & pin_stays()) != 0)
		server_break(s, SERVER_END_STATE);
	s->client = NULL;
	server_unit_cleaning(s);
	if (was_ending)
		return;
	s->is_chained = false;
	if (s->replication != NULL) {
		server_close(s, SERVER_END_REPLICATION);
		return;
	}
	/* open: PostgreSQL rolls back at the end of the connection what has not had its Sync,
	 * and a Sync of ours would commit it. */
	if (was_mid_message || s->xq.in_doubt || s->xq.open ||
		s->xq.copy == EXCHANGE_COPY_BOTH || s->phase == SERVER_PHASE_BARRIER ||
		!exchange_has_room(&s->xq)) {
		if (s->xq.pending > 0 || s->xq.open)
			cancel_server(s, CANCEL_PATIENCE_US, &nobody);
		server_close(s, SERVER_END_CLIENT);
		return;
	}
	s->is_dirty = s->is_dirty || was_own || s->is_session || s->xq.status != 'I' ||
		!exchange_is_idle(&s->xq);
	if (exchange_is_idle(&s->xq)) {
		server_after_abort(s);
		return;
	}
	server_enter_phase(s, SERVER_PHASE_ABORT);
	server_set_timer(s, SERVER_CLEAN_US);
	stream_resume(&s->stream);
	server_finish_for_client(s);
	if (!was_own)
		cancel_server(s, CANCEL_PATIENCE_US, &nobody);
}

void server_errand_gone(struct server *s)
{
	static const struct cancel_reply nobody;

	s->errand = NULL;
	server_unit_cleaning(s);
	cancel_server(s, CANCEL_PATIENCE_US, &nobody);
	server_close(s, SERVER_END_TIMEOUT);
}

/* One of the exchanges in flight has ended: the next is cancelled, too. */
void server_abort_goes_on(struct server *s)
{
	static const struct cancel_reply nobody;

	if (exchange_is_idle(&s->xq))
		server_after_abort(s);
	else if (s->xq.in_doubt && s->xq.pending == 0)
		server_close(s, SERVER_END_CLIENT);
	else if (s->cancels == 0 && exchange_owner(&s->xq) == EXCHANGE_TO_CLIENT)
		cancel_server(s, CANCEL_PATIENCE_US, &nobody);
}

/* Nothing is in flight, or what was has ended. */
void server_after_abort(struct server *s)
{
	if (s->cancels > 0) {
		if (s->phase != SERVER_PHASE_ABORT) {
			server_enter_phase(s, SERVER_PHASE_ABORT);
			server_set_timer(s, SERVER_CLEAN_US);
		}
		return;
	}
	if (s->phase == SERVER_PHASE_ROLLBACK && (s->own_failed || s->xq.status != 'I')) {
		SLOG_LIMITED(WARN, "server-rollback-failed", "server=%lu sqlstate=%s",
			(unsigned long)s->ps.id, s->sqlstate);
		server_close(s, SERVER_END_CLEAN);
		return;
	}
	if (s->xq.status == 'I') {
		server_release(s);
		return;
	}
	server_enter_phase(s, SERVER_PHASE_ROLLBACK);
	server_set_timer(s, SERVER_CLEAN_US);
	server_send_own(s, "ROLLBACK");
}

static bool keeps_statements(const struct server *s)
{
	if (s->is_left)
		return s->keeps_shared;
	return s->route != NULL && s->route->workload->mode != ROUTE_SESSION &&
		s->route->limits.max_prepared > 0;
}

/* Those that clients share go with them. */
static bool drops_statements(const struct server *s)
{
	return s->has_foreign || !prepared_names_are_none(&s->sql);
}

static const char *reset_query(const struct server *s)
{
	if (keeps_statements(s))
		return server_clean_sql(s, drops_statements(s));
	return s->route == NULL ? "DISCARD ALL" : s->route->limits.reset_query;
}

/* Statements that clients of a transaction port share do not outlive a session's, who
 * may have dropped them. */
static bool is_unsure_of_statements(const struct server *s)
{
	return s->prepared.count > 0 && !keeps_statements(s) &&
		strcmp(reset_query(s), "DISCARD ALL") != 0;
}

/* --- what there was in a session -------------------------------------------------------- */

/* What was set is a question that costs more than all others together. */
static bool is_audited(struct server *s)
{
	uint32_t each = s->route->limits.audit_each;

	return each != 0 && s->worker->audits++ % each == 0;
}

/* Right in front of what takes it away, for SHOW CLEANED. */
static void look(struct server *s)
{
	struct buf question;

	s->is_looked_at = !s->is_known_empty && s->route != NULL &&
		s->route->workload->mode == ROUTE_SESSION && exchange_has_room(&s->xq);
	s->is_known_empty = false;
	if (!s->is_looked_at)
		return;
	s->own_seen = false;
	s->looks_for = is_audited(s) ? PIN_ASKS_SETTINGS : PIN_ASKS_STATEMENTS;
	buf_init(&question, 0);
	buf_add_str(&question, pin_question(s->looks_for));
	/* What DISCARD ALL leaves. */
	server_add_reseed(s->worker, &question);
	buf_add_cstr(&question, "");
	server_send_own(s, buf_ok(&question) ? (const char *)buf_data(&question) :
					       pin_question(s->looks_for));
	buf_finish(&question);
}

static void count(struct server *s, bool is_there, enum route_cleaned what)
{
	if (is_there)
		atomic_fetch_add(&s->route->workload->cleaned[what], 1);
}

void server_look_row(struct server *s, const struct frame *row)
{
	struct pin_answer answer;

	if (s->own_seen || !frame_is_whole(row) ||
		!pin_answer(&answer, row, s->looks_for))
		return;
	s->own_seen = true;
	count(s, (answer.there & pin_bit(ROUTE_PIN_TEMP)) != 0, ROUTE_CLEANED_TEMP);
	count(s, (answer.there & pin_bit(ROUTE_PIN_CURSOR)) != 0, ROUTE_CLEANED_CURSOR);
	count(s, (answer.there & pin_bit(ROUTE_PIN_LOCK)) != 0, ROUTE_CLEANED_LOCK);
	count(s, (answer.there & pin_bit(ROUTE_PIN_LISTEN)) != 0, ROUTE_CLEANED_LISTEN);
	count(s, answer.has_statements, ROUTE_CLEANED_STATEMENTS);
	count(s, answer.has_many || pin_has_unknown(answer.settings, &s->applied),
		ROUTE_CLEANED_SETTINGS);
}

/* Whatever it was: what counts is the answer to the reset behind it. */
static void look_done(struct server *s)
{
	s->is_looked_at = false;
	s->own_failed = false;
	count(s, !s->own_seen, ROUTE_CLEANED_UNKNOWN);
	atomic_fetch_add(&s->route->workload->cleanings, 1);
}

/* --- before anybody else gets it -------------------------------------------------------- */

/* DISCARD ALL cannot stand behind SERVER_AT_ONCE, and takes a snapshot all the same
 * (PlannedStmtRequiresSnapshot() in pquery.c). */
static void hurry(struct server *s)
{
	s->is_hurried = s->may_defer && !keeps_statements(s);
	if (UNLIKELY(s->is_hurried))
		server_send_own(s, "SET default_transaction_isolation TO 'read committed'");
}

/* Takes away what the last client left, before anybody else gets the server. */
void server_reset(struct server *s)
{
	static const struct params none;
	const char *query;

	s->drops_plans = server_plans_are_others(s, &none);
	query = reset_query(s);
	server_unit_cleaning(s);
	if (query[0] == '\0' || is_unsure_of_statements(s)) {
		server_close(s, SERVER_END_STATE);
		return;
	}
	server_enter_phase(s, SERVER_PHASE_RESET);
	server_set_timer(s, SERVER_CLEAN_US);
	s->is_forged = false;
	look(s);
	hurry(s);
	server_send_alone(s, query);
}

static void reset_done(struct server *s)
{
	bool knows = keeps_statements(s) || strcmp(reset_query(s), "DISCARD ALL") == 0;

	if (s->own_failed || s->xq.status != 'I') {
		SLOG_LIMITED(WARN, "server-reset-failed", "server=%lu sqlstate=%s",
			(unsigned long)s->ps.id, s->sqlstate);
		server_close(s, SERVER_END_CLEAN);
		return;
	}
	if (s->is_forged) {
		server_reset(s);
		return;
	}
	server_is_sure(s, drops_statements(s) || !keeps_statements(s));
	server_reads_cleaned(s, keeps_statements(s) ? s->drops_plans : knows);
	s->is_dirty = false;
	s->ps.last_client = 0;
	s->ps.state_key = knows ? 0 : STATE_UNKNOWN;
	server_release(s);
}

/* If the first has failed the reset waits, for so long as it may. */
void server_reset_answered(struct server *s)
{
	if (s->is_looked_at) {
		look_done(s);
	} else if (s->is_hurried) {
		s->is_hurried = false;
		s->own_failed = false;
	} else {
		reset_done(s);
	}
}
