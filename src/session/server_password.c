/* SPDX-License-Identifier: ISC */
#include "session/server_password.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/slog.h"
#include "route/password.h"
#include "session/chore.h"

/* Longer than a command may take, should others be in front of it. */
enum { FETCH_PATIENCE_US = 30000000 };

static const char no_room[] = "too many wait to be run, or out of memory";
static const char could_not[] = "could not be had";

/* A pool, whose login has given its unit back; or the login of a replication connection,
 * which has nothing that others want, and may be gone when it is told. */
struct waiting {
	struct route_password_waiter waiter;
	struct mail mail;
	struct worker *worker;
	struct route_pool *pool;
	uint64_t number;                /* of server_login.fetching; 0: the pool */
};

struct fetch {
	struct chore chore;
	struct route_password *source;
};

/* What the command has said is for the log. */
static void describe(struct pool_error *error, const struct route_pool *pool, const char *why)
{
	memcpy(error->sqlstate, "28000", sizeof(error->sqlstate));
	(void)snprintf(error->message, sizeof(error->message), "the password of user \"%s\" %s",
		pool->user, why);
}

static void failed(struct server *s, const char *why)
{
	struct pool_error error;

	describe(&error, s->pool, why);
	server_login_failed(s, CONNECT_FAILED_LOGIN, error.sqlstate, error.message,
		strlen(error.message));
}

/* w NULL: nobody is to be told anything. */
static void settle(struct route_password *source, struct worker *w)
{
	struct list waiters;
	struct list_node *node;

	list_init(&waiters);
	route_password_settle(source, &waiters);
	while ((node = list_pop_front(&waiters)) != NULL) {
		struct waiting *waiting = container_of(node, struct waiting, waiter.node);

		if (w == NULL)
			free(waiting);
		else
			worker_post(waiting->worker, &waiting->mail);
	}
}

/* --- fetching --------------------------------------------------------------------------- */

static void fetch_run(struct chore *chore)
{
	route_password_fetch(container_of(chore, struct fetch, chore)->source);
}

static void fetch_done(struct chore *chore, struct worker *w)
{
	struct fetch *f = container_of(chore, struct fetch, chore);

	if (w != NULL && !chore->was_run)
		route_password_give_up(f->source, no_room);
	if (w != NULL)
		route_password_report(f->source);
	settle(f->source, w);
	route_password_unref(f->source);
	free(f);
}

/* Hosts take turns: what hangs there holds up nobody else's. */
static void fetch_start(struct worker *w, struct route_password *source,
	const struct route_host *host)
{
	struct fetch *f = calloc(1, sizeof(*f));

	if (f != NULL) {
		*f = (struct fetch){ .source = route_password_ref(source),
			.chore = { .run = fetch_run, .done = fetch_done,
				.source = (uint64_t)(uintptr_t)host } };
		if (chore_start(w, CHORE_COMMAND, &f->chore))
			return;
		route_password_unref(source);
		free(f);
	}
	route_password_give_up(source, no_room);
	route_password_report(source);
	settle(source, w);
}

/* --- asking ----------------------------------------------------------------------------- */

/* With ASK and WAIT the memory is the source's: when the process ends it may be gone. */
static enum route_password_result ask(struct waiting *waiting, char **value, uint64_t *version)
{
	const struct route_pool *pool = waiting->pool;
	struct worker *w = waiting->worker;
	enum route_password_result result = route_password_get(pool->source, worker_now(w),
		&waiting->waiter, value, version);

	if (result == ROUTE_PASSWORD_ASK)
		fetch_start(w, pool->source, pool->host);
	return result;
}

static void tell_pool(const struct waiting *waiting, bool is_there)
{
	struct monitor_actions actions;
	struct pool_error error;

	monitor_actions_init(&actions);
	if (!is_there) {
		describe(&error, waiting->pool, could_not);
		server_login_report(waiting->pool, &error);
	}
	monitor_fetched(&waiting->pool->host->monitor, &waiting->pool->pool, is_there ? NULL : &error,
		worker_now(waiting->worker), &actions);
	worker_act(waiting->worker, &actions);
}

/* It goes on with what was fetched, or tells those who wait. */
static void pool_asks_again(struct waiting *waiting)
{
	enum route_password_result result;

	waiting->waiter.has_waited = true;
	result = ask(waiting, NULL, NULL);
	if (result == ROUTE_PASSWORD_ASK || result == ROUTE_PASSWORD_WAIT)
		return;
	tell_pool(waiting, result == ROUTE_PASSWORD_KNOWN);
	free(waiting);
}

static struct server *find_fetching(struct worker *w, uint64_t number)
{
	list_for_each(&w->servers, node) {
		struct server *s = container_of(node, struct server, in_worker);

		if (s->login != NULL && s->login->fetching == number)
			return s;
	}
	return NULL;
}

static void login_goes_on(struct worker *w, uint64_t number)
{
	struct server *s = find_fetching(w, number);

	if (s == NULL)
		return;
	s->login->fetching = 0;
	s->login->has_waited = true;
	s->login->until_us += worker_now(w) - s->login->left_at_us;
	server_login_go(s);
}

static void deliver(struct mail *mail, struct worker *w)
{
	struct waiting *waiting = container_of(mail, struct waiting, mail);
	uint64_t number = waiting->number;
	bool is_over = atomic_load(&w->has_ended);

	if (number == 0 && !is_over) {
		pool_asks_again(waiting);
		return;
	}
	free(waiting);
	if (!is_over)
		login_goes_on(w, number);
}

static struct waiting *waiting_create(const struct server *s)
{
	struct waiting *waiting = calloc(1, sizeof(*waiting));

	if (waiting == NULL)
		return NULL;
	waiting->worker = s->worker;
	waiting->pool = s->pool;
	waiting->number = s->replication == NULL ? 0 : ++s->worker->derived;
	waiting->waiter.has_waited = s->login->has_waited;
	waiting->mail.deliver = deliver;
	list_node_init(&waiting->mail.node);
	list_node_init(&waiting->waiter.node);
	return waiting;
}

/* The unit, and the place among the host's connects, are others' meanwhile. */
static void await(struct server *s, uint64_t number)
{
	struct server_login *l = s->login;

	l->step = LOGIN_FETCHES;
	if (s->replication == NULL) {
		server_gone(s);
		return;
	}
	l->fetching = number;
	l->left_at_us = worker_now(s->worker);
	server_enter_phase(s, SERVER_PHASE_CONNECT);
	server_set_timer(s, FETCH_PATIENCE_US);
}

bool server_password_take(struct server *s)
{
	struct server_login *l = s->login;
	struct waiting *waiting;
	uint64_t number;

	if (s->pool->source == NULL)
		return true;
	waiting = waiting_create(s);
	if (waiting == NULL) {
		failed(s, "cannot be had: out of memory");
		return false;
	}
	number = waiting->number;
	server_login_wipe_fetched(l);
	switch (ask(waiting, &l->fetched, &l->fetched_version)) {
	case ROUTE_PASSWORD_KNOWN:
		free(waiting);
		return true;
	case ROUTE_PASSWORD_FAILED:
		free(waiting);
		failed(s, could_not);
		return false;
	case ROUTE_PASSWORD_ASK:
	case ROUTE_PASSWORD_WAIT:
		await(s, number);
		return false;
	}
	return false;
}

void server_password_late(struct server *s)
{
	s->login->fetching = 0;
	failed(s, "did not come in time");
}

/* PAM and LDAP of PostgreSQL's say 28000; so do pg_hba.conf and roles that may not log in,
 * and no password helps against these. */
static bool is_about_password(const struct server_login *l, const char *sqlstate)
{
	return server_auth_is_judged(&l->auth) &&
		(strcmp(sqlstate, "28P01") == 0 || strcmp(sqlstate, "28000") == 0);
}

bool server_password_refused(struct server *s, const char *sqlstate)
{
	struct server_login *l = s->login;
	char user[160];
	bool may_help;

	if (s->pool->source == NULL || !is_about_password(l, sqlstate))
		return false;
	may_help = route_password_refused(s->pool->source, l->fetched_version,
		worker_now(s->worker));
	if (!may_help)
		return false;
	SLOG(INFO, "password-refused", "host=%s user=%s sqlstate=%s", s->host->name,
		slog_quote(user, sizeof(user), s->pool->user, strlen(s->pool->user)), sqlstate);
	l->wants_password = true;
	return true;
}

void server_password_worked(struct server *s)
{
	if (s->pool->source != NULL)
		route_password_worked(s->pool->source, s->login->fetched_version);
}
