/* SPDX-License-Identifier: ISC */
/*
 * The relay from PostgreSQL to the client.
 *
 * Messages are looked at where they arrived and passed on in as few pieces as
 * possible.  Only what decides something must be whole before it is handled:
 * ReadyForQuery, CommandComplete, ErrorResponse, ParameterStatus.  All else,
 * rows of 1 GB included, streams through.
 *
 * Long because every message has its place in one switch, with what it decides above it.
 */
#include <stdio.h>
#include <string.h>

#include "base/slog.h"
#include "pg/error.h"
#include "pg/frame.h"
#include "pg/message.h"
#include "pg/msg_out.h"
#include "pg/result.h"
#include "session/client_priv.h"
#include "session/errand.h"
#include "session/server_priv.h"
#include "session/server_redo.h"
#include "session/server_unseen.h"

/* REPLACE: with s->instead; BEHIND: forward, behind that. */
enum verdict { FORWARD, DROP, STOP, REPLACE, BEHIND };

static void bad_message(struct server *s, const char *what, uint8_t type)
{
	SLOG_LIMITED(WARN, "server-protocol", "server=%lu problem=\"%s\" type=0x%02x",
		(unsigned long)s->ps.id, what, type);
	server_fail(s, SERVER_END_PROTOCOL,
		"the server sent a message that does not belong there");
}

static enum verdict on_barrier(struct server *s, const struct frame *f)
{
	if (f->type == 'Z' && f->body_len == 1) {
		s->xq.status = (char)f->body[0];
		server_own_done(s);
	}
	return DROP;
}

/* --- messages that decide --------------------------------------------------------------- */

static void keep_error(struct server *s, const struct error_fields *e)
{
	s->own_failed = true;
	memcpy(s->sqlstate, e->sqlstate, sizeof(s->sqlstate));
	(void)snprintf(s->message, sizeof(s->message), "%.*s",
		(int)size_min(e->message.len, sizeof(s->message) - 1), e->message.data);
}

static bool is_shared(enum step_kind kind)
{
	return kind == STEP_BIND_SHARED || kind == STEP_DESCRIBE_SHARED;
}

static enum reuse_error reuse_failed(struct server *s, const struct error_fields *e)
{
	enum step_kind kind = steps_head(&s->steps).kind;

	if (s->client == NULL || (!is_shared(kind) && kind != STEP_PARSE_OURS))
		return REUSE_ERROR_GOES_ON;
	buf_clear(&s->instead);
	return client_reuse_failed(s->client, s, e, &s->instead);
}

/* From the exchange that failed up to the next Sync; where names are looked after steps
 * tell that. */
static void unnamed_skipped(struct server *s, uint32_t failed)
{
	uint32_t count = exchange_head(&s->xq) - failed;

	if (!s->unnamed_is_unsure || s->is_session ||
		(s->client != NULL && s->client->keeps_statements))
		return;
	if (s->unnamed_at - failed <= count || s->xq.in_doubt)
		s->unnamed_of = SERVER_UNNAMED_SOMEBODYS;
}

static enum verdict on_error(struct server *s, const struct frame *f)
{
	enum exchange_reply owner = exchange_owner(&s->xq);
	struct error_fields e;
	enum reuse_error reuse;
	uint32_t failed;
	bool skips;

	error_parse(f->body, f->available, &e);
	if (error_is_fatal(&e)) {
		server_break(s, SERVER_END_FATAL);
		if (s->errand != NULL)
			keep_error(s, &e);
		SLOG_LIMITED(INFO, "server-fatal", "server=%lu pid=%u sqlstate=%s",
			(unsigned long)s->ps.id, s->backend_pid, e.sqlstate);
		/* One that nothing was asked of yet is replaced by another. */
		return s->client != NULL && s->client->has_sent &&
				(s->phase == SERVER_PHASE_READY ||
					s->phase == SERVER_PHASE_BARRIER) ?
			FORWARD :
			DROP;
	}
	skips = exchange_error_skips(&s->xq);
	failed = exchange_head(&s->xq);
	if (!exchange_received(&s->xq, 'E', 0)) {
		bad_message(s, "error out of place", 'E');
		return STOP;
	}
	if (owner == EXCHANGE_TO_CLIENT && s->client != NULL) {
		server_defaults_unsure(s);
		touched_undone(&s->client->work->touched);
		/* What of it was undone with that? */
		if (s->client->work->read_key != 0)
			s->client->work->read_key = client_new_key(s->client);
	}
	if (skips)
		unnamed_skipped(s, failed);
	reuse = owner == EXCHANGE_TO_CLIENT ? reuse_failed(s, &e) : REUSE_ERROR_GOES_ON;
	if (owner == EXCHANGE_TO_CLIENT && s->steps.count > 0 &&
		server_prepared_error(s, &e, skips))
		return REPLACE;
	if (reuse != REUSE_ERROR_GOES_ON)
		return reuse == REUSE_ERROR_AGAIN ? DROP : BEHIND;
	if (owner == EXCHANGE_TO_CLIENT)
		return FORWARD;
	keep_error(s, &e);
	return DROP;
}

/* Is it what the next step waits for? */
static bool is_awaited(const struct server *s, enum result_tag tag)
{
	struct step head = steps_head(&s->steps);

	/* Another Execute in front of it may give the same tag. */
	if (head.is_executes && s->xq.head_replied <= head.place && !s->xq.in_doubt)
		return false;
	switch ((int)head.kind) {
	case STEP_DEALLOCATE:
	case STEP_DEALLOCATE_ALL:
		return tag == RESULT_UNLISTEN;
	case STEP_SQL_AGAIN:
	case STEP_SQL_PREPARE:
		return tag == RESULT_PREPARE;
	case STEP_SQL_END:
		return tag == RESULT_COMMIT;
	case STEP_SQL_DROP:
		return tag == RESULT_DEALLOCATE;
	default:
		return false;
	}
}

/* PREPARE and DEALLOCATE, or what ran in place of the latter. */
static enum verdict on_step_complete(struct server *s)
{
	enum step_verdict verdict;

	verdict = server_step_received(s, 'C');
	if (verdict == STEP_DROP)
		return DROP;
	if (verdict != STEP_AS_DEALLOCATE && verdict != STEP_AS_DEALLOCATE_ALL)
		return FORWARD;
	buf_clear(&s->instead);
	if (verdict == STEP_AS_DEALLOCATE_ALL)
		server_prepared_names_dropped(s);
	msg_out_command_complete(&s->instead,
		verdict == STEP_AS_DEALLOCATE_ALL ? "DEALLOCATE ALL" : "DEALLOCATE");
	return REPLACE;
}

static enum verdict on_complete(struct server *s, const struct frame *f)
{
	enum exchange_reply owner = exchange_owner(&s->xq);
	enum result_tag tag;

	if (owner == EXCHANGE_UNASKED || !exchange_received(&s->xq, 'C', 0)) {
		bad_message(s, "result out of place", 'C');
		return STOP;
	}
	if (owner == EXCHANGE_TO_ROUTER)
		return DROP;
	tag = result_classify(f->body, f->body_len);
	if (s->steps.count > 0 && is_awaited(s, tag))
		return on_step_complete(s);
	server_note_tag(s, tag, f);
	return FORWARD;
}

/* The lease of a transaction ends here; in doubt only behind a barrier. */
static enum verdict end_exchange(struct server *s, char status)
{
	struct client *c = s->client;

	client_exchange_done(c, status);
	if (s->client != c || s->phase == SERVER_PHASE_CLOSE)
		return STOP;
	if (s->is_chained && exchange_owner(&s->xq) == EXCHANGE_TO_ROUTER)
		return server_chain_ready(s, status) ? FORWARD : STOP;
	if (status == 'I' && s->xq.in_doubt && s->replication == NULL) {
		/* Not into the middle of the client's message, nor where PostgreSQL may skip
		 * it, up to the Sync that the client has yet to send; nor while something is
		 * in flight that may be a COPY, into which it must not come. */
		s->wants_barrier = s->phase == SERVER_PHASE_READY;
		if (s->wants_barrier && c->body_left == 0 && !s->xq.unsynced &&
			s->xq.pending == 0)
			server_barrier(s);
		return FORWARD;
	}
	if (s->is_session || !exchange_is_idle(&s->xq) || c->body_left > 0)
		return FORWARD;
	if (status == 'I')
		server_lease_ends(s);
	else if (c->workload->mode == ROUTE_STATEMENT)
		client_close(c, CLOSE_STATEMENT_MODE);
	return FORWARD;
}

/* Behind what its client is to be told before it. */
static enum verdict tell_ready(struct server *s, char status)
{
	enum verdict verdict;
	bool is_told;

	buf_clear(&s->instead);
	is_told = client_told_ready(s->client, s, status, &s->instead);
	verdict = end_exchange(s, status);
	return verdict == FORWARD && is_told ? REPLACE : verdict;
}

static enum verdict client_ready(struct server *s, char status)
{
	if (s->client == NULL || server_defaults(s, status))
		return DROP;
	return tell_ready(s, status);
}

/* The answer to what made good a reset: the client gets its ReadyForQuery. */
static enum verdict defaults_ready(struct server *s, char status)
{
	if (server_defaults_done(s))
		return tell_ready(s, status);
	return s->phase == SERVER_PHASE_CLOSE ? STOP : DROP;
}

/* Behind an error of which nobody hears. */
static enum verdict send_again(struct server *s, char status)
{
	if (status != 'I') {
		bad_message(s, "a transaction where none can be", (uint8_t)status);
		return STOP;
	}
	server_redo(s);
	client_reuse_again(s->client, s);
	return DROP;
}

static enum verdict on_ready(struct server *s, const struct frame *f)
{
	enum exchange_reply owner = exchange_owner(&s->xq);
	char status = f->body_len == 1 ? (char)f->body[0] : 0;

	if ((status != 'I' && status != 'T' && status != 'E') ||
		!exchange_received(&s->xq, 'Z', status)) {
		bad_message(s, "ready without a query", 'Z');
		return STOP;
	}
	if (owner == EXCHANGE_TO_ROUTER && s->phase == SERVER_PHASE_DEFAULTS)
		return defaults_ready(s, status);
	if (owner == EXCHANGE_TO_ROUTER) {
		server_own_done(s);
		return DROP;
	}
	server_steps_ended(s);
	/* Nothing is behind what it waits for. */
	s->holds_client = s->holds_client && s->xq.pending > 0;
	if (s->has_ddl && status == 'I') {
		/* From here on all see it. */
		prepared_schema_changed();
		s->has_ddl = false;
		if (s->has_code)
			atomic_fetch_add(&s->worker->router->code_changes, 1);
		s->has_code = false;
	}
	if (status == 'I')
		server_ran_to_end(s);
	if (s->phase == SERVER_PHASE_ABORT) {
		server_abort_goes_on(s);
		return s->phase == SERVER_PHASE_CLOSE ? STOP : DROP;
	}
	if (s->client != NULL && client_reuse_has_failed(s->client))
		return send_again(s, status);
	return client_ready(s, status);
}

static bool is_made_fit(const struct server *s)
{
	return s->phase == SERVER_PHASE_SETTINGS && s->client != NULL && s->client->lend.was_lent;
}

static enum verdict on_setting(struct server *s, const struct frame *f)
{
	const char *name, *value;
	struct wire_in in;

	wire_init(&in, f->body, f->body_len);
	name = wire_cstr(&in);
	value = wire_cstr(&in);
	if (!wire_done(&in) || !params_set(&s->reported, name, value)) {
		bad_message(s, "malformed setting", 'S');
		return STOP;
	}
	server_note_settings(s);
	if (strcmp(name, "in_hot_standby") == 0)
		server_role_changed(s);
	/* A transaction's client is told before ReadyForQuery, a session that gets another
	 * server when that has its settings. */
	return s->is_session && !is_made_fit(s) ? FORWARD : DROP;
}

/* A session that may give its server back, as client_lend.c has it. */
static bool is_asked_by_session(const struct server *s)
{
	return s->is_session &&
		(s->phase == SERVER_PHASE_ASK || s->phase == SERVER_PHASE_PROBE);
}

/* Notices and notifications: a transaction's client gets those of its own
 * exchanges. */
static enum verdict on_async(struct server *s, uint8_t type)
{
	bool is_pinned = s->client != NULL && s->client->work->pins.kinds != 0;

	/* A client that listens gets what was sent to its channels whenever that comes,
	 * also beside a reply to the router. */
	if (type == 'A' && (is_pinned || is_asked_by_session(s)))
		return FORWARD;
	switch (exchange_owner(&s->xq)) {
	case EXCHANGE_TO_CLIENT:
		/* That no transaction runs. */
		return steps_head(&s->steps).kind == STEP_SQL_END ? DROP : FORWARD;
	case EXCHANGE_TO_ROUTER:
		return DROP;
	case EXCHANGE_UNASKED:
		return (s->is_session || is_pinned) && s->phase == SERVER_PHASE_READY ? FORWARD :
											DROP;
	}
	return DROP;
}

/* PostgreSQL waits for data: what came behind the last message of a client that has
 * ended need not wait any more. */
static void copy_begins(struct server *s)
{
	/* What was put before its Query has gone well. */
	s->holds_client = s->holds_client && s->xq.pending > 1;
	if (s->client != NULL && stream_held(&s->client->stream) > 0)
		stream_retry(&s->client->stream);
}

static enum verdict on_reply(struct server *s, uint8_t type)
{
	enum exchange_reply owner = exchange_owner(&s->xq);
	uint32_t pending = s->xq.pending;

	if (owner == EXCHANGE_UNASKED || !exchange_received(&s->xq, type, 0)) {
		bad_message(s, "reply without a query", type);
		return STOP;
	}
	if (s->is_chained && (type == 'G' || type == 'W')) {
		bad_message(s, "COPY where none can be", type);
		return STOP;
	}
	if (type == 'G' || type == 'W') {
		steps_drop_syncs(&s->steps, pending - s->xq.pending);
		copy_begins(s);
	}
	return owner == EXCHANGE_TO_CLIENT ? FORWARD : DROP;
}

/* The first use of what the unnamed statement stands for has gone well: what came before it
 * is owed. */
static enum verdict proven(struct server *s)
{
	if (s->client == NULL)
		return FORWARD;
	buf_clear(&s->instead);
	client_reuse_proven(s->client, &s->instead);
	return buf_len(&s->instead) > 0 ? BEHIND : FORWARD;
}

/* '2', or 't', behind which it may still fail. */
static enum verdict of_shared(struct server *s, const struct frame *f)
{
	if (f->type == '2')
		return proven(s);
	return s->client != NULL && client_reuse_hold(s->client, f) ? DROP : FORWARD;
}

/* ParseComplete and the like: some are to things that the client did not send. */
static enum verdict on_step(struct server *s, const struct frame *f)
{
	uint8_t type = f->type;
	enum verdict verdict;
	bool is_of_shared;

	steps_ran(&s->steps);
	is_of_shared = is_shared(steps_head(&s->steps).kind);
	verdict = on_reply(s, type);
	if (verdict == STOP || s->steps.count == 0)
		return verdict;
	if (type == '3')
		server_unnamed_closed(s);
	switch (server_step_received(s, type)) {
	case STEP_FORWARD:
		return is_of_shared && verdict == FORWARD ? of_shared(s, f) : verdict;
	case STEP_DROP:
		return DROP;
	case STEP_AS_PARSE:
		if (verdict != FORWARD)
			return verdict;
		buf_clear(&s->instead);
		msg_out_parse_complete(&s->instead);
		return REPLACE;
	case STEP_AS_DEALLOCATE:
	case STEP_AS_DEALLOCATE_ALL:
		return verdict;
	case STEP_UNEXPECTED:
		/* Behind a COPY that failed PostgreSQL may have seen what the count takes for
		 * skipped: exchange.h.  Where nobody looks after names only what was put in
		 * between has a step. */
		if (s->xq.in_doubt || (s->client != NULL && !s->client->keeps_statements))
			return verdict;
		/* Nobody says whether a client that has left was such a one. */
		if (s->client == NULL) {
			s->has_foreign = true;
			return verdict;
		}
		break;
	}
	bad_message(s, "reply out of place", type);
	return STOP;
}

static enum verdict on_described(struct server *s, uint8_t type)
{
	bool is_of_shared = steps_described(&s->steps);
	enum verdict verdict = on_reply(s, type);

	return is_of_shared && verdict == FORWARD ? proven(s) : verdict;
}

/* A row for the router itself. */
static enum verdict on_errand_row(struct server *s, const struct frame *f)
{
	if (exchange_owner(&s->xq) != EXCHANGE_TO_ROUTER ||
		!exchange_received(&s->xq, 'D', 0) || !errand_row(s->errand, f)) {
		bad_message(s, "row that was not asked for", 'D');
		return STOP;
	}
	return DROP;
}

/* Does what comes now answer a clean that looks for statements that were replaced? */
static bool is_of_clean(const struct server *s)
{
	return (s->phase == SERVER_PHASE_RESET || s->phase == SERVER_PHASE_SETTINGS ||
		       s->is_chained) &&
		(server_looks_for_forged(s) || s->asks_unseen) &&
		exchange_owner(&s->xq) == EXCHANGE_TO_ROUTER;
}

/* Does it answer what there is in a session that is about to be cleaned? */
static bool is_look(const struct server *s)
{
	return s->phase == SERVER_PHASE_RESET && s->is_looked_at;
}

/* In flight; also those of a client that has left. */
static bool may_have_portals(const struct server *s)
{
	return s->client == NULL ? s->steps.count > 0 : s->client->portals != NULL;
}

static enum verdict decide(struct server *s, const struct frame *f)
{
	if (s->phase == SERVER_PHASE_BARRIER && s->own_seen)
		return on_barrier(s, f);
	if (UNLIKELY(may_have_portals(s)) && exchange_owner(&s->xq) == EXCHANGE_TO_CLIENT)
		server_prepared_settle(s);
	switch (f->type) {
	case 'Z':
		return on_ready(s, f);
	case 'C':
		return on_complete(s, f);
	case 'E':
		return on_error(s, f);
	case 'S':
		return on_setting(s, f);
	case 'D':
		if (s->phase == SERVER_PHASE_ASK)
			server_answered(s, f);
		else if (s->phase == SERVER_PHASE_PROBE)
			server_probe_row(s, f);
		else if (is_look(s))
			server_look_row(s, f);
		else if (is_of_clean(s))
			server_clean_row(s, f);
		return s->errand != NULL ? on_errand_row(s, f) : on_reply(s, 'D');
	case '1':
	case '2':
	case '3':
	case 't':
		return on_step(s, f);
	case 'T':
	case 'n':
		return on_described(s, f->type);
	case 'N':
	case 'A':
		return on_async(s, f->type);
	case 'R':
	case 'K':
	case 'v':
		bad_message(s, "login message after login", f->type);
		return STOP;
	case 's':
		server_note_suspended(s);
		/* fall through */
	default:
		return on_reply(s, f->type);
	}
}

/* What the client has sent need not wait any more: it is skipped, up to a Sync for which
 * there is no ReadyForQuery before it is sent, or all that it waits for was answered.
 * ReadyForQuery is seen to by client_exchange_done(). */
static bool may_go_on(const struct server *s, uint8_t type)
{
	if (type == 'E')
		return s->is_unsure || s->xq.skipping;
	return s->is_unsure && s->wants_answers && exchange_is_answered(&s->xq);
}

static enum verdict on_message(struct server *s, const struct frame *f)
{
	enum verdict verdict = decide(s, f);

	if (s->is_full && steps_has_room_again(&s->steps)) {
		s->is_full = false;
		if (s->client != NULL)
			stream_retry(&s->client->stream);
	}
	if (s->client != NULL && may_go_on(s, f->type)) {
		s->is_unsure = false;
		if (stream_held(&s->client->stream) > 0)
			stream_retry(&s->client->stream);
	}
	if (s->phase == SERVER_PHASE_ABORT && (f->type == 'G' || f->type == 'E'))
		server_finish_for_client(s);
	return verdict;
}

/* --- the relay --------------------------------------------------------------------------- */

static bool needs_whole(const struct server *s, uint8_t type)
{
	switch (type) {
	case 'Z':
	case 'C':
	case 'E':
	case 'S':
		return true;
	case 't':
		return steps_head(&s->steps).kind == STEP_DESCRIBE_SHARED;
	case 'D':
		return s->errand != NULL || s->phase == SERVER_PHASE_ASK ||
			s->phase == SERVER_PHASE_PROBE || is_look(s) || is_of_clean(s);
	default:
		return false;
	}
}

/* Most of what answers a clean: its bytes, as far as nothing is to be known of them. */
static size_t drop_replies(const struct server *s, const uint8_t *data, size_t len)
{
	size_t pos = 0;
	struct frame f;

	if ((s->phase != SERVER_PHASE_RESET && s->phase != SERVER_PHASE_SETTINGS) ||
		s->body_left > 0 || exchange_owner(&s->xq) != EXCHANGE_TO_ROUTER)
		return 0;
	while (pos < len &&
		(data[pos] == 'C' || data[pos] == 'T' ||
			(data[pos] == 'D' && !needs_whole(s, 'D')))) {
		uint32_t body_max = message_backend_defs[data[pos]].body_max;

		if (frame_next(data + pos, len - pos, body_max, &f) != FRAME_OK ||
			!frame_is_whole(&f))
			break;
		pos += frame_size(&f);
	}
	return pos;
}

/* What settings have become, as long as a stream holds so much. */
static bool is_answer(const struct server *s, const struct frame *f)
{
	return s->phase == SERVER_PHASE_ASK && f->type == 'D' &&
		frame_size(f) <= s->stream.held_max;
}

static void pass_on(struct server *s, struct client *c, const uint8_t *data, size_t len)
{
	if (len == 0 || c == NULL || c->state == CLIENT_ENDING || c->state == CLIENT_CLOSED)
		return;
	stream_send(&c->stream, data, len);
	stats_add(c->stats, STAT_sent, len);
	/* It has said goodbye, and now it does not listen any more. */
	if (c->is_quitting && stream_has_failed(&c->stream)) {
		client_close(c, CLOSE_LOST);
		return;
	}
	/* A slow reader stops its sender. */
	if (stream_is_congested(&c->stream) && server_passes_results(s))
		stream_pause(&s->stream);
}

/* One step: a piece of a message that streams, or the next message.  Returns the
 * bytes used, 0 when more are needed. */
static size_t step(struct server *s, const uint8_t *data, size_t len, enum verdict *verdict)
{
	const struct message_def *def;
	struct frame f;

	if (s->body_left > 0) {
		size_t n = size_min(s->body_left, len);

		s->body_left -= (uint32_t)n;
		*verdict = s->body_drops ? DROP : FORWARD;
		return n;
	}
	if (len < FRAME_HEADER)
		return 0;
	if (s->phase == SERVER_PHASE_BARRIER && !s->own_seen && !server_barrier_looked(s, data, len))
		return 0;
	def = &message_backend_defs[data[0]];
	if (frame_next(data, len, def->body_max, &f) == FRAME_BAD ||
		def->kind == MESSAGE_NONE) {
		bad_message(s, "unknown type or impossible length", data[0]);
		*verdict = STOP;
		return len;
	}
	if (!frame_is_whole(&f) && needs_whole(s, f.type)) {
		if (f.body_len <= SERVER_INSPECT_MAX || is_answer(s, &f))
			return 0;
		/* Errors may be of any length; what decides is at their beginning. */
		if (f.type != 'E' && s->phase != SERVER_PHASE_ASK) {
			bad_message(s, "message too long", f.type);
			*verdict = STOP;
			return len;
		}
		if (f.available < SERVER_INSPECT_MAX / 2)
			return 0;
	}
	*verdict = on_message(s, &f);
	s->body_left = f.body_len - (uint32_t)f.available;
	s->body_drops = *verdict != FORWARD && *verdict != BEHIND;
	return FRAME_HEADER + f.available;
}

size_t server_query_data(struct server *s, const uint8_t *data, size_t len)
{
	size_t start = 0, pos = 0;

	while (pos < len) {
		struct client *c = s->client;
		enum verdict verdict = FORWARD;
		size_t used = server_pass_rows(s, data + pos, len - pos);

		if (used == 0) {
			used = drop_replies(s, data + pos, len - pos);
			verdict = used > 0 ? DROP : FORWARD;
		}
		if (used == 0)
			used = step(s, data + pos, len - pos, &verdict);
		if (used == 0)
			break;
		if (verdict == FORWARD) {
			pos += used;
			/* The client may have changed with this message. */
			if (s->client != c) {
				pass_on(s, c, data + start, pos - start);
				start = pos;
			}
			continue;
		}
		pass_on(s, c, data + start, pos - start);
		if (verdict == REPLACE || verdict == BEHIND) {
			pass_on(s, c, buf_data(&s->instead), buf_len(&s->instead));
			buf_clear(&s->instead);
		}
		start = pos + (verdict == BEHIND ? 0 : used);
		pos += used;
		if (verdict == STOP || s->phase == SERVER_PHASE_CLOSE)
			return len;
	}
	pass_on(s, s->client, data + start, pos - start);
	return pos;
}
