/* SPDX-License-Identifier: ISC */
/*
 * Servers behind which code of a client has run that may have left what no clean takes
 * away (unseen.h): whoever gets such a server next is given another one in its place.
 *
 * The client that ran the code may have the server again and again.  When somebody else
 * is to have it, PostgreSQL's last word is a second old at most, or it is asked together
 * with the clean, which is then waited for.
 */
#include "session/server_unseen.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/slog.h"
#include "session/client_priv.h"
#include "session/login.h"
#include "session/server_priv.h"
#include "sql/statement_end.h"

enum { NAME_QUOTED = 4 * UNSEEN_NAME_MAX, OBJECT_QUOTED = 4 * 64 };

/* The first release whose functions may have a body that is not text. */
enum { VERSION_OF_BODIES = 14, VERSION_OF_JIT = 11 };

/* The question gets so long, whatever the role has set, and is then given up; a clean, of
 * which it is a part, may take SERVER_CLEAN_US.  To compile it takes longer than it does. */
#define QUESTION_TIMEOUT "5s"
#define LONGER "; SET LOCAL statement_timeout TO '" QUESTION_TIMEOUT "'; "
#define UNCOMPILED "SET LOCAL jit TO off; "
enum { QUESTION_TIMEOUT_US = 5 * 1000000 };

static struct unseen *unseen_of(const struct server *s)
{
	return login_unseen(s->pool->session);
}

/* Functions belong to a database: what runs in one changes nothing in the others. */
static _Atomic uint64_t *code_runs(const struct server *s)
{
	return &s->pool->code->runs;
}

static uint64_t generation_now(const struct server *s)
{
	return atomic_load(&s->worker->router->code_changes) + atomic_load(code_runs(s));
}

static uint64_t changes_now(const struct server *s)
{
	return atomic_load(&s->worker->router->code_changes);
}

/* --- what has run -------------------------------------------------------------------- */

bool server_code_is_harmless(const struct server *s)
{
	return unseen_able(unseen_of(s)) == 0;
}

void server_ran(struct server *s, uint64_t client, unsigned code)
{
	struct unseen_ran *ran = &s->ran;

	if (ran->code == 0)
		*ran = (struct unseen_ran){ .client = client,
			.changes = changes_now(s),
			.since_us = worker_now(s->worker) };
	else if (ran->client != client)
		ran->client = UNSEEN_SEVERAL;
	ran->code |= (uint8_t)code;
	/* What may do such things may make code that does, too. */
	if ((code & unseen_known_able(unseen_of(s))) == 0)
		return;
	atomic_fetch_add(code_runs(s), 1);
	s->ran_may_change = true;
}

void server_ran_text(struct server *s, uint64_t client, const char *text)
{
	if (!s->is_session && (text == NULL || statement_may_load(text, strlen(text))))
		server_ran(s, client, UNSEEN_ALL);
}

void server_ran_to_end(struct server *s)
{
	if (!s->ran_may_change)
		return;
	s->ran_may_change = false;
	atomic_fetch_add(code_runs(s), 1);
}

/* --- judging ------------------------------------------------------------------------- */

static bool is_strict(const struct route_limits *limits)
{
	return limits->state == ROUTE_STATE_STRICT && !limits->keeps_unseen;
}

static enum unseen_verdict judge(struct server *s)
{
	return unseen_judge(unseen_of(s), &s->ran, generation_now(s), changes_now(s),
		worker_now(s->worker));
}

enum unseen_verdict server_judge(struct server *s, const struct client *c)
{
	enum unseen_verdict verdict;

	if (s->ran.code == 0 || s->ran.client == c->id || !is_strict(&c->route->limits))
		return UNSEEN_CANNOT;
	verdict = judge(s);
	if (verdict == UNSEEN_CANNOT)
		s->ran.code = 0;
	if (verdict == UNSEEN_UNKNOWN &&
		unseen_is_asked(unseen_of(s), worker_now(s->worker)))
		return UNSEEN_MAY;
	return verdict;
}

bool server_asks_early(struct server *s)
{
	bool is_due = s->is_to_ask || unseen_claim(unseen_of(s), worker_now(s->worker));

	s->is_to_ask = false;
	return is_due;
}

bool server_unseen_is_left(struct server *s)
{
	const struct route *route = s->client != NULL ? s->client->route : s->route;

	return s->ran.code != 0 && route != NULL && is_strict(&route->limits) &&
		judge(s) == UNSEEN_MAY;
}

bool server_unseen_may_chain(struct server *s)
{
	s->is_judged = false;
	/* It stays as it is for whoever is strict. */
	if (s->ran.code == 0 || !is_strict(&s->client->route->limits))
		return true;
	s->is_judged = judge(s) == UNSEEN_CANNOT;
	if (!s->is_judged)
		return false;
	s->is_to_ask = unseen_claim(unseen_of(s), worker_now(s->worker));
	return !s->is_to_ask;
}

/* Code may have been made or changed while the last message ran. */
void server_unseen_chained(struct server *s)
{
	if (s->is_judged && judge(s) == UNSEEN_CANNOT)
		s->ran.code = 0;
}

/* --- asking -------------------------------------------------------------------------- */

void server_unseen_question(struct server *s, struct buf *sql)
{
	const char *version = params_get(&s->reported, "server_version");
	int release = version != NULL ? atoi(version) : VERSION_OF_BODIES;

	s->asked_generation = generation_now(s);
	s->asked_us = worker_now(s->worker);
	unseen_ask(unseen_of(s), s->asked_us);
	s->own_seen = false;
	buf_add_str(sql, LONGER);
	if (release >= VERSION_OF_JIT)
		buf_add_str(sql, UNCOMPILED);
	unseen_question(unseen_of(s), release < VERSION_OF_BODIES, sql);
}

bool server_unseen_row(struct server *s, const struct frame *row)
{
	struct unseen_answer answer;

	if (s->own_seen || !unseen_row(row, &answer))
		return false;
	s->own_seen = true;
	unseen_take(unseen_of(s), &answer, s->asked_generation, s->asked_us,
		worker_now(s->worker));
	return true;
}

/* The clean was hit by what has nothing to do with it (server_fit.c); or there is no
 * answer: somebody else's rights, perhaps, a release that nobody knows, or too much code. */
static bool is_without_answer(const struct server *s)
{
	return !s->own_failed ||
		worker_now(s->worker) >= s->asked_us + QUESTION_TIMEOUT_US ||
		(strncmp(s->sqlstate, "57", 2) != 0 &&
			strncmp(s->sqlstate, "53", 2) != 0 &&
			strncmp(s->sqlstate, "XX", 2) != 0);
}

bool server_unseen_answered(struct server *s)
{
	struct client *c = s->client;
	bool was_asked = s->asks_unseen;

	s->asks_unseen = false;
	if (!was_asked)
		return false;
	if (s->own_seen && !unseen_may(unseen_of(s), &s->ran, changes_now(s))) {
		s->ran.code = 0;
		return false;
	}
	if (!s->own_seen && !is_without_answer(s)) {
		unseen_ask_ends(unseen_of(s));
		return false;
	}
	if (!s->own_seen) {
		SLOG_LIMITED(WARN, "unseen-unknown", "server=%lu sqlstate=%s",
			(unsigned long)s->ps.id, s->own_failed ? s->sqlstate : "");
		/* As of now: it says the most that can be. */
		unseen_fail(unseen_of(s), generation_now(s), worker_now(s->worker));
	}
	server_unseen_tell(s, c->workload);
	s->client = NULL;
	server_unit_closing(s);
	client_lease_released(c);
	server_close(s, SERVER_END_UNSEEN);
	client_server_replaced(c);
	return true;
}

/* --- telling ------------------------------------------------------------------------- */

static const char *what_has_run(const struct unseen_ran *ran)
{
	if ((ran->code & UNSEEN_TEXT) != 0)
		return "DO, or what cannot be read";
	if ((ran->code & UNSEEN_CALL) != 0)
		return "functions";
	return "triggers, views or the like";
}

void server_unseen_tell(struct server *s, struct route_workload *w)
{
	char name[UNSEEN_NAME_MAX], function[NAME_QUOTED];
	char database[OBJECT_QUOTED], user[OBJECT_QUOTED];
	struct unseen *u = unseen_of(s);

	atomic_fetch_add(&w->unseen, 1);
	/* What is only to be asked would be blamed on nobody. */
	if (judge(s) == UNSEEN_UNKNOWN || atomic_exchange(&u->is_told, true)) {
		SLOG(DEBUG, "state-unseen", "server=%lu pid=%u", (unsigned long)s->ps.id,
			s->backend_pid);
		return;
	}
	unseen_name(u, name);
	SLOG(WARN, "state-unseen",
		"server=%lu pid=%u database=%s user=%s code=\"%s\" function=%s "
		"text=\"%s\"",
		(unsigned long)s->ps.id, s->backend_pid,
		slog_quote(database, sizeof(database), s->pool->dbname,
			strlen(s->pool->dbname)),
		slog_quote(user, sizeof(user), s->pool->user, strlen(s->pool->user)),
		what_has_run(&s->ran),
		slog_quote(function, sizeof(function), name, strlen(name)),
		"code that ran there may have left what no view shows and nothing takes "
		"away (a library, dblink, a temporary slot, an origin, a backup): such "
		"servers of this database and user are closed instead of given to "
		"another client, which costs a login to PostgreSQL each time; use a role "
		"that is not a superuser, has no REPLICATION and may not call these, or "
		"session_state_unseen: keep if its code is trusted");
}
