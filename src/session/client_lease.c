/* SPDX-License-Identifier: ISC */
/*
 * A client and its lease: asking, waiting, getting, giving back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/slog.h"
#include "pg/msg_out.h"
#include "session/client_end.h"
#include "session/client_lend.h"
#include "session/client_pin.h"
#include "session/client_priv.h"
#include "session/client_resets.h"
#include "session/login.h"
#include "session/slow.h"
#include "session/server.h"
#include "session/server_priv.h"

enum { CLIENT_DEATHS_MAX = 3 };

/* --- refusing ------------------------------------------------------------------------------ */

/* Whoever waits gets an error instead of a server, and stays connected: its
 * exchange is skipped as PostgreSQL skips after an error. */
void client_refuse(struct client *c, const char *sqlstate, const char *message,
	const char *hint)
{
	struct msg_out_error error = { .severity = "ERROR",
		.sqlstate = sqlstate,
		.message = message,
		.hint = hint };
	struct buf out;

	if (c->state == CLIENT_LOGIN || c->route->limits.wait_is_fatal) {
		client_close_with(c,
			c->state == CLIENT_LOGIN ? CLOSE_LOGIN_REFUSED : CLOSE_WAIT_TIMEOUT,
			sqlstate, message, hint);
		return;
	}
	client_give_back(c);
	if (c->server == NULL)
		client_work_end(c);
	c->is_cancelled = false;
	buf_init(&out, 0);
	msg_out_error(&out, &error);
	client_send(c, &out);
	buf_finish(&out);
	c->skip = c->wanted == 'Q' || c->wanted == 'F' ? CLIENT_SKIP_ONE : CLIENT_SKIP_TO_SYNC;
	if (c->state != CLIENT_IDLE)
		client_enter(c, CLIENT_IDLE);
	stream_retry(&c->stream);
}

/* --- asking and getting ---------------------------------------------------------------------- */

static bool is_outdated(const struct client *c)
{
	return c->route->generation != directory_generation(c->worker->router->directory);
}

static void drop_newer(struct client *c)
{
	free(c->newer);
	c->newer = NULL;
}

/* The same user's servers may be others now: of another database, with other options, by a
 * secret that is stored in another way.  What opened those opens these. */
static void carry_proof(struct route_pool *from, struct route_pool *to)
{
	bool is_same;

	if (to == from || to->is_given || to->source != NULL || strcmp(to->user, from->user) != 0)
		return;
	is_same = from->source == NULL && strcmp(to->password, from->password) == 0;
	if (login_inherit(to->session, from->session, is_same ? NULL : to->password))
		monitor_proven(&to->host->monitor, &to->pool);
}

/* The configuration has changed: by which limits, and is it still there? */
static bool reroute(struct client *c)
{
	struct directory *d = c->worker->router->directory;
	struct route *route;

	if (!is_outdated(c)) {
		drop_newer(c);
		return true;
	}
	if (directory_find(d, c->workload, c->route->database->name, c->route->user,
		&route) != ROUTE_OK) {
		client_close(c, CLOSE_REMOVED);
		return false;
	}
	/* Who is known again since then has to say so by logging in. */
	if (route_user_is_removed(c->route)) {
		route_leave(route);
		client_close(c, CLOSE_REMOVED);
		return false;
	}
	carry_proof(c->route->pool, route->pool);
	route_leave(c->route);
	c->route = route;
	drop_newer(c);
	return true;
}

/* It goes on by the rules that held when it got its server; time is another matter. */
static void take_newer(struct client *c)
{
	drop_newer(c);
	c->newer = malloc(sizeof(*c->newer));
	if (c->newer != NULL && !route_times(c->route, c->newer))
		drop_newer(c);
}

/* Names of statements are looked after on transaction ports, unless that is switched
 * off; also then until the client has none left. */
static bool keeps_statements(const struct client *c)
{
	return c->workload->mode != ROUTE_SESSION &&
		(c->route->limits.max_prepared > 0 || !prepared_names_are_none(&c->names));
}

/* A session's next idle point may be far away. */
static void bound_stay(struct client *c)
{
	uint64_t limit_us = atomic_load_explicit(&c->worker->router->drain_timeout_us,
		memory_order_relaxed);

	if (c->work == NULL || (c->workload->mode != ROUTE_SESSION && c->work->pins.kinds == 0))
		return;
	if (limit_us == 0 || route_is_known(c->route))
		c->work->leave_us = 0;
	else if (c->work->leave_us == 0)
		c->work->leave_us = worker_now(c->worker) + limit_us;
}

/* A lease was assigned: true if its server lives. */
static bool take(struct client *c)
{
	struct server *s = server_from_ps(c->work->lease.server);
	uint64_t now = worker_now(c->worker), waited_us;

	c->server = s;
	c->lease_exchanges = 0;
	client_work_reads_anew(c->work);
	server_flight_ended(s);
	c->has_sent = false;
	c->end = CLIENT_END_UNKNOWN;
	reuse_finish(&c->work->reuse);
	/* A Parse is kept whole; so much is held by those who have a server only. */
	c->keeps_statements = keeps_statements(c);
	client_pin_forget(c);
	client_resets_taken(c);
	client_lend_taken(c);
	if (c->keeps_statements || client_is_kept(c))
		c->stream.held_max = CLIENT_INSPECT_MAX + STREAM_HELD_MAX;
	stats_add(c->stats, STAT_server_assignment_count, 1);
	waited_us = now > c->work->lease.asked_at_us ? now - c->work->lease.asked_at_us : 0;
	stats_add(c->stats, STAT_wait_time, waited_us);
	times_add(client_timed(c, WORKLOAD_TIME_WAIT), waited_us);
	slow_waited(c, waited_us);
	if (c->state != CLIENT_LOGIN)
		client_enter(c, CLIENT_ACTIVE);
	if (server_lease(c->worker, s, c))
		return true;
	c->server = NULL;
	if (c->state == CLIENT_ACTIVE)
		client_enter(c, CLIENT_IDLE);
	return false;
}

static void not_granted(struct client *c, enum lease_verdict verdict)
{
	if (verdict == LEASE_VERDICT_FULL)
		atomic_fetch_add(&c->workload->wait_refusals, 1);
	if (verdict == LEASE_VERDICT_FULL)
		SLOG_LIMITED(WARN, "wait-refused", "id=%lu workload=%s host=%s max_waiting=%u",
			(unsigned long)c->id, c->workload->name, c->route->host->name,
			c->route->limits.max_waiting);
	if (verdict == LEASE_VERDICT_FULL)
		client_refuse(c, "53300", "too many clients are waiting for a server connection",
			"The queue is limited by max_waiting.");
	else
		client_refused(c);
}

void client_request(struct client *c)
{
	struct monitor_actions actions;
	enum lease_verdict verdict;
	struct route_host *host;

	if (!client_work_begin(c)) {
		client_close_with(c, CLOSE_NO_MEMORY, "53200", "out of memory", NULL);
		return;
	}
	if (c->server != NULL) {
		/* The last one is on its way back. */
		c->wants_lease = true;
		if (c->state == CLIENT_IDLE)
			client_enter(c, CLIENT_WAITING);
		return;
	}
	if (c->state != CLIENT_LOGIN && !reroute(c))
		return;
	do {
		monitor_actions_init(&actions);
		host = c->route->host;
		c->work->lease.state_key = c->params.key;
		verdict = monitor_request(&host->monitor, &c->work->lease, c->route->slice,
			worker_now(c->worker), &actions);
		worker_act(c->worker, &actions);
	} while (verdict == LEASE_VERDICT_HELD && !take(c));
	if (verdict == LEASE_VERDICT_WAIT)
		worker_rouse(c->worker);
	if (verdict == LEASE_VERDICT_WAIT && c->state == CLIENT_IDLE)
		client_enter(c, CLIENT_WAITING);
	else if (verdict == LEASE_VERDICT_FULL || verdict == LEASE_VERDICT_ERROR)
		not_granted(c, verdict);
}

/* What it was given was not for it. */
static void request_again(struct client *c)
{
	if (c->work != NULL)
		c->work->lease.is_back = true;
	client_request(c);
}

void client_server_replaced(struct client *c)
{
	if (c->state == CLIENT_ENDING || c->state == CLIENT_CLOSED)
		return;
	if (c->state == CLIENT_ACTIVE)
		client_enter(c, CLIENT_IDLE);
	request_again(c);
}

void client_server_died(struct client *c)
{
	if (c->state == CLIENT_ENDING || c->state == CLIENT_CLOSED)
		return;
	if (++c->deaths > CLIENT_DEATHS_MAX)
		client_close(c, CLOSE_SERVER_LOST);
	else
		client_server_replaced(c);
}

void client_granted(struct client *c)
{
	if (!take(c))
		request_again(c);
}

/* PostgreSQL does not let this database and user in. */
void client_refused(struct client *c)
{
	struct pool_error error;

	monitor_refusal(&c->route->host->monitor, &c->route->pool->pool, &error);
	client_refuse(c, error.sqlstate, error.message, NULL);
}

void client_server_ready(struct client *c)
{
	if (c->state == CLIENT_LOGIN) {
		client_login_granted(c);
		return;
	}
	if (c->is_cancelled) {
		c->is_cancelled = false;
		client_refuse(c, "57014", "canceling statement due to user request", NULL);
		return;
	}
	client_lend_back(c, c->server);
	client_lend_look(c, c->server);
	if (!c->is_relaying)
		stream_offer(&c->stream);
}

void client_server_unfit(struct client *c, const char *sqlstate, const char *message)
{
	char text[POOL_ERROR_TEXT_MAX];

	/* As PostgreSQL does with a startup packet that it cannot honour. */
	(void)snprintf(text, sizeof(text), "%s", message);
	client_close_with(c, CLOSE_LOGIN_REFUSED, sqlstate, text, NULL);
}

/* --- giving back --------------------------------------------------------------------------------- */

/* Whatever this client has of a lease: the place in the queue, or the server. */
void client_give_back(struct client *c)
{
	struct monitor_actions actions;
	struct server *s = c->server;

	c->wants_lease = false;
	c->query_us = 0;
	c->xact_us = 0;
	if (s != NULL) {
		c->server = NULL;
		server_client_gone(s, c->body_left > 0 && !c->body_drops);
	}
	if (s != NULL || c->work == NULL)
		return;
	monitor_actions_init(&actions);
	monitor_withdraw(&c->route->host->monitor, &c->work->lease, worker_now(c->worker),
		&actions);
	worker_act(c->worker, &actions);
}

void client_lease_over(struct client *c)
{
	c->query_us = 0;
	c->xact_us = 0;
	client_enter(c, CLIENT_IDLE);
	c->stream.held_max = STREAM_HELD_MAX;
	client_portals_forget(c);
	reuse_finish(&c->work->reuse);
	client_pin_forget(c);
	/* The server that it was too fast for is not its own any more. */
	stream_resume(&c->stream);
}

/* The router is going down, and this client is between two transactions, or waits in
 * vain. */
static bool must_leave(const struct client *c)
{
	struct router *r = c->worker->router;
	int drain = atomic_load(&r->drain);

	/* No server is given to anybody any more where they are waited for. */
	if (drain == ROUTER_DRAINS_SERVERS &&
		(c->state == CLIENT_WAITING || c->state == CLIENT_LOGIN))
		return c->server == NULL;
	/* What the console of a process that is replaced has to say others say better. */
	if (c->state == CLIENT_ADMIN && drain == ROUTER_HANDED_OVER)
		return !c->is_console_busy &&
			(atomic_load(&r->is_empty) || atomic_load(&r->drain_ends_idle));
	if (c->state != CLIENT_IDLE || c->workload->mode == ROUTE_SESSION)
		return false;
	return drain == ROUTER_DRAINS_SERVERS ||
		(drain != ROUTER_SERVES && atomic_load(&r->drain_ends_idle));
}

void client_lease_released(struct client *c)
{
	c->server = NULL;
	if (c->wants_lease) {
		c->wants_lease = false;
		/* As if it asked now: those who waited before it come first. */
		client_request(c);
		return;
	}
	client_work_end(c);
	if (c->state == CLIENT_IDLE && stream_held(&c->stream) > 0)
		stream_retry(&c->stream);
	else if (must_leave(c))
		client_close(c, CLOSE_SHUTDOWN);
}

void client_recheck(struct client *c)
{
	if (must_leave(c))
		client_close(c, CLOSE_SHUTDOWN);
	else if (c->state == CLIENT_IDLE && c->server == NULL && reroute(c))
		client_arm(c);
	else if ((c->state == CLIENT_ACTIVE || c->state == CLIENT_WAITING) && is_outdated(c)) {
		take_newer(c);
		bound_stay(c);
		client_arm(c);
	}
}
