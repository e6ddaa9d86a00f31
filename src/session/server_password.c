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

/* A login that waits: its server may be gone when it is told. */
struct waiting {
	struct route_password_waiter waiter;
	struct mail mail;
	struct worker *worker;
	uint64_t number;                /* of server_login.fetching */
};

struct fetch {
	struct chore chore;
	struct route_password *source;
};

/* Its own words are for the log. */
static void failed(struct server *s, const char *why)
{
	char text[POOL_ERROR_TEXT_MAX];
	int len = snprintf(text, sizeof(text), "the password of user \"%s\" %s", s->pool->user,
		why);

	server_login_failed(s, CONNECT_FAILED_LOGIN, "28000", text,
		size_min((size_t)(len < 0 ? 0 : len), sizeof(text) - 1));
}

/* --- telling ---------------------------------------------------------------------------- */

static struct server *find_fetching(struct worker *w, uint64_t number)
{
	list_for_each(&w->servers, node) {
		struct server *s = container_of(node, struct server, in_worker);

		if (s->login != NULL && s->login->fetching == number)
			return s;
	}
	return NULL;
}

static void deliver(struct mail *mail, struct worker *w)
{
	struct waiting *waiting = container_of(mail, struct waiting, mail);
	uint64_t number = waiting->number;
	struct server *s;

	free(waiting);
	if (atomic_load(&w->has_ended))
		return;
	s = find_fetching(w, number);
	if (s == NULL)
		return;
	s->login->fetching = 0;
	s->login->until_us += worker_now(w) - s->login->left_at_us;
	server_login_go(s);
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

bool server_password_take(struct server *s)
{
	struct server_login *l = s->login;
	struct worker *w = s->worker;
	struct waiting *waiting;
	enum route_password_result result;

	if (s->pool->source == NULL)
		return true;
	waiting = calloc(1, sizeof(*waiting));
	if (waiting == NULL) {
		failed(s, "cannot be had: out of memory");
		return false;
	}
	waiting->worker = w;
	waiting->number = ++w->derived;
	waiting->mail.deliver = deliver;
	list_node_init(&waiting->mail.node);
	list_node_init(&waiting->waiter.node);
	server_login_wipe_fetched(l);
	result = route_password_get(s->pool->source, worker_now(w), &waiting->waiter,
		&l->fetched, &l->fetched_version);
	if (result == ROUTE_PASSWORD_KNOWN || result == ROUTE_PASSWORD_FAILED) {
		free(waiting);
		if (result == ROUTE_PASSWORD_FAILED)
			failed(s, "could not be had");
		return result == ROUTE_PASSWORD_KNOWN;
	}
	l->fetching = waiting->number;
	l->step = LOGIN_FETCHES;
	l->left_at_us = worker_now(w);
	server_enter_phase(s, SERVER_PHASE_CONNECT);
	server_set_timer(s, FETCH_PATIENCE_US);
	if (result == ROUTE_PASSWORD_ASK)
		fetch_start(w, s->pool->source, s->host);
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
	if (!may_help || l->has_refetched)
		return false;
	SLOG(INFO, "password-refused", "host=%s user=%s sqlstate=%s", s->host->name,
		slog_quote(user, sizeof(user), s->pool->user, strlen(s->pool->user)), sqlstate);
	l->has_refetched = true;
	l->wants_password = true;
	return true;
}

void server_password_worked(struct server *s)
{
	if (s->pool->source != NULL)
		route_password_worked(s->pool->source, s->login->fetched_version);
}
