/* SPDX-License-Identifier: ISC */
/*
 * Session state on transaction ports: what clients' texts may have set, what has become
 * of it, and whether a server has to be cleaned before its next client.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/hash.h"
#include "base/slog.h"
#include "pg/result.h"
#include "session/client_lend.h"
#include "session/client_pin.h"
#include "session/client_priv.h"
#include "session/client_resets.h"
#include "session/facts.h"
#include "session/server_priv.h"
#include "session/server_redo.h"
#include "session/server_reads.h"
#include "session/server_unseen.h"
#include "sql/lexer.h"
#include "sql/statement.h"

/* What DISCARD ALL does, but for the statements that clients share.  And a seed that code
 * has set, which no view shows, is followed by one that nobody knows. */
#define SEED "SET seed = 0."
#define BEFORE_SEED "SET SESSION AUTHORIZATION DEFAULT; RESET ALL; " SEED
#define CLEAN                                                                            \
	"%s" BEFORE_SEED "%015" PRIu64 "; CLOSE ALL; UNLISTEN *; "                            \
	"SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES%s%s"
#define SEEDS UINT64_C(1000000000000000)

enum { SEED_DIGITS = 15 };

/* One row if SQL has prepared something by a name of ours, which others would run for what
 * stood there before.  A text that says so is refused (client_sql.c); what DO and functions
 * do is not seen.  It costs PostgreSQL 25 us and 1 us for each statement, so it is left out
 * behind texts that call nothing but PostgreSQL's own (client_leaves()), unless the audit is
 * "always": views, operators and overloads of a user's own run code, too. */
#define FORGED "pgtandem: not what was prepared"
#define LOOK                                                                             \
	"; SELECT '" FORGED "' FROM pg_catalog.pg_prepared_statement() "                 \
	"WHERE from_sql AND pg_catalog.\"left\"(name, 10) OPERATOR(pg_catalog.=) "       \
	"'pgtandem_s' LIMIT 1"

bool server_looks_for_forged(const struct server *s)
{
	return s->is_suspect && s->prepared.count > 0;
}

void server_is_sure(struct server *s, bool with_statements)
{
	if (with_statements || server_looks_for_forged(s))
		s->is_suspect = false;
	if (!with_statements)
		return;
	server_prepared_cleared(s);
	s->has_strays = false;
}

const char *server_clean_sql(const struct server *s, bool with_statements)
{
	struct worker *w = s->worker;
	const char *plans = s->drops_plans ? "; DISCARD PLANS" : "";
	const char *more = with_statements ? "; DEALLOCATE ALL" :
		server_looks_for_forged(s) ? LOOK :
					     "";

	(void)snprintf(w->clean_sql, sizeof(w->clean_sql), CLEAN,
		s->may_defer ? SERVER_AT_ONCE : "", rand_small_below(&w->seeds, SEEDS), plans,
		more);
	return w->clean_sql;
}

void server_add_reseed(struct worker *w, struct buf *query)
{
	buf_addf(query, "; " SEED "%015" PRIu64, rand_small_below(&w->seeds, SEEDS));
}

void server_clean_reseed(struct server *s)
{
	size_t before = FRAME_HEADER + sizeof(BEFORE_SEED) - 1 +
		(s->clean_at_once ? sizeof(SERVER_AT_ONCE) - 1 : 0);
	uint64_t seed = rand_small_below(&s->worker->seeds, SEEDS);
	char *at = (char *)buf_data(&s->clean) + before;

	assert(buf_len(&s->clean) > before + SEED_DIGITS);
	for (unsigned i = SEED_DIGITS; i-- > 0; seed /= 10)
		at[i] = (char)('0' + seed % 10);
}

void server_clean_row(struct server *s, const struct frame *row)
{
	/* What it says is code's own. */
	if (s->asks_unseen && server_unseen_row(s, row))
		return;
	if (memmem(row->body, row->available, FORGED, sizeof(FORGED) - 1) == NULL)
		return;
	SLOG_LIMITED(WARN, "statement-forged",
		"server=%lu pid=%u text=\"code of a client has replaced a shared prepared statement; nobody gets it\"",
		(unsigned long)s->ps.id, s->backend_pid);
	s->is_forged = true;
	s->has_foreign = true;
}

/* --- texts ------------------------------------------------------------------------- */

bool client_is_kept(const struct client *c)
{
	if (c->workload->mode == ROUTE_SESSION)
		return c->lend.looks;
	return c->route->limits.state != ROUTE_STATE_OFF;
}

/* Until the lease ends: what the server does not tell nobody can know, so that what is read
 * from here on is for this client alone. */
static void note_reading(struct client *c, struct server *s, enum touched_reading reading)
{
	if (reading == READING_STAYS)
		return;
	c->work->reads_change = true;
	/* In the same text; or nobody looks at what runs behind it. */
	if (c->work->touched.runs || !c->keeps_statements)
		server_reads_behind_code(s);
	if (reading == READING_IS_UNSURE)
		c->work->read_key = client_new_key(c);
}

static void note_touched(struct client *c, struct server *s, const void *text, size_t len,
	unsigned flags)
{
	struct touched *t = &c->work->touched;

	note_reading(c, s, touched_text(t, text, len, flags));
	c->work->cuts = c->work->cuts || t->cuts;
}

void client_note_types(struct client *c, const void *body, size_t len)
{
	struct touched *t = &c->work->touched;
	size_t text_size = body == NULL ? 0 : size_min(strnlen(body, len) + 1, len);

	t->types = body == NULL ? NULL : (const uint8_t *)body + text_size;
	t->types_len = len - text_size;
}

void client_note_text(struct client *c, struct server *s, const void *text, size_t len)
{
	unsigned flags = client_lexer_flags(s);

	if (!client_is_kept(c) || !touched_may(text, len))
		return;
	c->makes_code = c->makes_code || facts_find_code(text, len, flags);
	note_touched(c, s, text, len, flags);
	/* Both that it may be read as. */
	if ((flags & LEXER_MAY_CHANGE) != 0)
		note_touched(c, s, text, len, flags ^ LEXER_STANDARD_STRINGS);
	if (c->work->touched.bind != NULL)
		touched_bound(&c->work->touched);
}

void client_note_known(struct client *c, unsigned touches)
{
	struct touched *t = &c->work->touched;

	if (!client_is_kept(c))
		return;
	c->makes_code = c->makes_code || (touches & FACT_MAKES_CODE) != 0;
	touched_nothing(t, (touches & FACT_IS_SET) != 0);
	if (t->bind != NULL)
		touched_bound(t);
}

void client_note_unread(struct client *c, struct server *s)
{
	struct touched *t = &c->work->touched;

	c->makes_code = true;
	if (client_has_defaults(c)) {
		touched_reset_all(&c->work->resets);
		c->resets_unsure = true;
	}
	c->work->cuts = true;
	if (!client_is_kept(c))
		return;
	t->seen = t->unknown = t->is_lost = t->runs = true;
	note_reading(c, s, READING_IS_UNSURE);
}

void client_note_unseen(struct client *c)
{
	c->makes_code = true;
	if (!client_is_kept(c))
		return;
	client_lend_unseen(c);
	if (c->workload->mode == ROUTE_SESSION)
		return;
	c->work->touched.unknown = true;
	c->work->pins.asks = true;
}

/* --- tags --------------------------------------------------------------------------- */

/* Behind CREATE and DROP: what runs nothing out of sight (SQL_CHANGES_CODE), if nobody has
 * sent a text that gives a table a default that does. */
static bool is_without_code(const struct client *c, const struct frame *f)
{
	static const char *const kinds[] = { "CREATE TABLE", "CREATE INDEX", "CREATE SEQUENCE",
		"DROP TABLE", "DROP INDEX", "DROP SEQUENCE" };

	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		size_t len = strlen(kinds[i]);
		bool is_told = i > 0 || (c != NULL && client_is_kept(c) && !c->makes_code);

		/* "CREATE TABLE AS", too; "CREATE TABLESPACE" does no harm. */
		if (f->available > len && memcmp(f->body, kinds[i], len) == 0)
			return is_told;
	}
	return false;
}

/* Here from now on; for others when the transaction ends. */
static void note_ddl(struct server *s)
{
	prepared_schema_changed();
	s->has_ddl = true;
}

/* May it be the tag of what has set or called something? */
static bool is_of_run(enum result_tag tag)
{
	switch ((int)tag) {
	case RESULT_BEGIN:
	case RESULT_COMMIT:
	case RESULT_ROLLBACK:
	case RESULT_SAVEPOINT:
	case RESULT_RELEASE:
	case RESULT_PREPARE:
	case RESULT_DEALLOCATE:
		return false;
	default:
		return true;
	}
}

/* Is there what counts only if it has run? */
static bool awaits_run(const struct client *c)
{
	const struct client_work *work = c->work;

	return (work->touched.bound_sets | work->touched.bound_calls |
		       (work->pins.kinds & ~work->pins.confirmed)) != 0;
}

static void note_run(struct client *c, enum result_tag tag)
{
	if (!is_of_run(tag))
		return;
	touched_ran(&c->work->touched, tag == RESULT_SET || tag == RESULT_RESET);
	client_pin_ran(c, tag == RESULT_LOAD);
}

void server_note_suspended(struct server *s)
{
	if (s->client != NULL)
		note_run(s->client, RESULT_SELECT);
}

/* Tags that tell of session state.  What they do not show is found by what the
 * port promises: see docs/architecture.md, "Session state". */
void server_note_tag(struct server *s, enum result_tag tag, const struct frame *f)
{
	const struct client *c = s->client;
	bool is_off = c != NULL && !s->is_session && c->route->limits.state == ROUTE_STATE_OFF;

	if (c != NULL && awaits_run(c))
		note_run(s->client, tag);
	switch ((int)tag) {
	case RESULT_SELECT:
	case RESULT_EXPLAIN:
		if (steps_make_table(&s->steps))
			note_ddl(s);
		return;
	case RESULT_COMMIT:
		server_defaults_committed(s);
		return;
	case RESULT_ROLLBACK:
		/* To a savepoint: it is as it was there. */
		if (s->has_ddl)
			note_ddl(s);
		if (c != NULL)
			touched_undone(&s->client->work->touched);
		server_defaults_rolled_back(s);
		return;
	case RESULT_SAVEPOINT:
		server_defaults_saved(s);
		return;
	case RESULT_DISCARD_ALL:
		server_defaults_tag(s);
		/* Settings went, too. */
		s->is_dirty = s->is_dirty || is_off || c == NULL || !c->work->touched.seen;
		/* fall through */
	case RESULT_DEALLOCATE_ALL:
		server_defaults_discarded(s);
		server_prepared_cleared(s);
		server_prepared_names_dropped(s);
		return;
	case RESULT_CREATE:
	case RESULT_ALTER:
	case RESULT_DROP:
		note_ddl(s);
		if (!is_without_code(c, f)) {
			atomic_fetch_add(&s->worker->router->code_changes, 1);
			s->has_code = true;
		}
		return;
	case RESULT_PREPARE:
		if (is_off)
			return;
		s->has_foreign = true;
		s->is_dirty = true;
		return;
	case RESULT_SET:
	case RESULT_RESET:
		server_defaults_tag(s);
		/* Its name is known, or it was LOCAL. */
		s->is_dirty = s->is_dirty || (!is_off && (c == NULL || !c->work->touched.seen));
		return;
	case RESULT_LOAD:
	case RESULT_DISCARD:
	case RESULT_LISTEN:
	case RESULT_DECLARE:
		s->is_dirty = s->is_dirty || !is_off;
		return;
	default:
		return;
	}
}

/* --- asking --------------------------------------------------------------------------- */

bool server_waits_for_cancels(struct server *s)
{
	if (s->cancels == 0 ||
		(touched_is_empty(&s->client->work->touched) && !client_pin_is_there(s->client)))
		return false;
	/* Cancels have their own time limits. */
	server_enter_phase(s, SERVER_PHASE_ASK);
	s->own_seen = true;             /* no row was asked for yet */
	return true;
}

void server_ask_again(struct server *s)
{
	server_enter_phase(s, SERVER_PHASE_READY);
	server_lease_ends(s);
}

/* Values then come in the client's encoding, and twice as long in the one that is asked
 * for. */
static bool recodes(const struct server *s)
{
	const char *client = params_get(&s->reported, "client_encoding");
	const char *server = params_get(&s->reported, "server_encoding");

	return client == NULL || server == NULL ||
		(strcmp(client, server) != 0 && strcmp(client, "SQL_ASCII") != 0);
}

/* Without memory there is an answer that makes no sense. */
static void send_question(struct server *s)
{
	const struct touched *t = &s->client->work->touched;
	const char *text;
	struct buf sql;

	buf_init(&sql, 0);
	touched_ask(t, &s->client->params, &sql);
	text = buf_ok(&sql) ? (const char *)buf_data(&sql) : "";
	if (t->is_timed_out && touched_as(t, "statement_timeout") == TOUCHED_NOT)
		server_send_untimed(s, text);
	else
		server_send_own(s, text);
	buf_finish(&sql);
}

bool server_ask(struct server *s)
{
	struct client *c = s->client;

	if (touched_is_empty(&c->work->touched)) {
		c->work->touched.seen = false;
		c->work->touched.bound_sets = 0;
		c->work->touched.bound_calls = 0;
		return false;
	}
	/* Not all of it has run. */
	if (touched_is_awaited(&c->work->touched))
		touched_undone(&c->work->touched);
	s->is_dirty = s->is_dirty || c->work->touched.unknown;
	/* It is closed when it is returned; if it is not pinned that is now. */
	if (c->work->touched.closes && (c->work->pins.kinds & pin_stays()) == 0)
		server_break(s, SERVER_END_STATE);
	if (!touched_has_question(&c->work->touched, &c->params)) {
		touched_finish(&c->work->touched);
		return false;
	}
	server_enter_phase(s, SERVER_PHASE_ASK);
	server_set_timer(s, SERVER_CLEAN_US);
	c->work->touched.asked++;
	c->work->touched.recodes = recodes(s);
	s->stream.held_max = (c->work->touched.recodes ? 2 : 1) * STREAM_HELD_MAX;
	send_question(s);
	s->own_failed = true;           /* until the row is there */
	s->own_seen = false;
	s->sqlstate[0] = '\0';
	return true;
}

static bool keep_start(struct client *c)
{
	if (!c->has_start)
		c->has_start = params_copy(&c->work->start, &c->params);
	return c->has_start;
}

void server_answered(struct server *s, const struct frame *row)
{
	struct client *c = s->client;
	struct params there;

	if (c == NULL || s->own_seen)
		return;
	s->own_seen = true;
	if (c->work->touched.of_view) {
		s->own_failed = !frame_is_whole(row) ||
			!touched_names(&c->work->touched, &c->params, row);
		return;
	}
	params_init(&there);
	s->own_failed = !frame_is_whole(row) || !keep_start(c) ||
		!touched_answer(&c->work->touched, &c->work->start, s->pool->user, row,
			&c->params, &there);
	s->ps.state_key = there.key;
	s->role_first = c->role_first;
	params_finish(&there);
}

/* To go on with what was there before would be to run as somebody else (SET ROLE). */
static void state_lost(struct server *s)
{
	struct client *c = s->client;
	bool was_refused = s->sqlstate[0] != '\0';
	char hint[POOL_ERROR_TEXT_MAX + 32], sqlstate[sizeof(s->sqlstate)];

	SLOG_LIMITED(WARN, "state-lost", "client=%lu server=%lu sqlstate=%s",
		(unsigned long)c->id, (unsigned long)s->ps.id, s->sqlstate);
	s->is_dirty = true;
	memcpy(sqlstate, s->sqlstate, sizeof(sqlstate));
	(void)snprintf(hint, sizeof(hint), "The server said: %s", s->message);
	client_close_with(c, CLOSE_STATE_LOST, was_refused ? sqlstate : "54000",
		"the settings of this session cannot be kept",
		was_refused ? hint :
			      "On a transaction port they may be 64 kB in all, and 800 in one transaction; on a session port they may be more.");
}

void server_ask_done(struct server *s)
{
	struct client *c = s->client;
	bool has_more = c->work->touched.has_more && !s->own_failed;

	c->work->touched.has_more = false;
	if (s->is_session) {
		if (!has_more || !server_ask(s))
			client_lend_asked(c, s);
		return;
	}
	if (has_more) {
		server_ask_again(s);
		return;
	}
	/* A timeout that the client has set, or an administrator's cancel. */
	if (s->own_failed && strcmp(s->sqlstate, "57014") == 0 &&
		c->work->touched.asked < STATE_ASKS_MAX) {
		c->work->touched.is_timed_out = true;
		server_ask_again(s);
		return;
	}
	if (s->own_failed || c->work->touched.is_too_much) {
		state_lost(s);
		return;
	}
	touched_finish(&c->work->touched);
	server_enter_phase(s, SERVER_PHASE_READY);
	server_lease_ends(s);
}

/* --- before the next client --------------------------------------------------------------- */

void server_carries(struct server *s, const struct client *c)
{
	s->ps.last_client = c->id;
	s->carries_under = (uint8_t)c->route->limits.state;
}

/* Where only what is seen is cleaned: what was left where less, or nothing, is looked after? */
static bool is_of_other_state(const struct server *s, const struct client *c)
{
	return c->route->limits.state == ROUTE_STATE_TRACKED &&
		s->carries_under != ROUTE_STATE_TRACKED;
}

bool server_needs_cleaning(const struct server *s, const struct client *c)
{
	if (s->ps.last_client == c->id)
		return false;
	/* What clients of transaction ports, or code of theirs, have prepared stays there when
	 * it is clean for them: on a session port every name is the client's own. */
	if (s->is_session && (server_has_statements(s) || s->has_strays))
		return true;
	return (s->ps.last_client != 0 || (s->has_strays && !c->keeps_statements)) &&
		(s->is_session || c->route->limits.state == ROUTE_STATE_STRICT ||
			is_of_other_state(s, c));
}
