/* SPDX-License-Identifier: ISC */
/*
 * A client and its lease: asking, waiting, getting, giving back; and the limits
 * on how long each may take.
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
#include "session/gate.h"
#include "session/login.h"
#include "session/slow.h"
#include "session/server.h"
#include "session/server_priv.h"

enum { CLIENT_DEATHS_MAX = 3 };

/* --- time limits ------------------------------------------------------------------------- */

static uint64_t sooner(uint64_t deadline, uint64_t since_us, uint64_t limit_us)
{
	if (limit_us == 0 || since_us == 0)
		return deadline;
	return u64_min(deadline, since_us + limit_us);
}

/* Those of a reload hold at once, also for whoever has a server or waits for one. */
static const struct route_limits *limits_of(const struct client *c)
{
	return c->newer == NULL ? &c->route->limits : c->newer;
}

/* A client of a session port keeps its server while it is idle, and one that pins it. */
static uint64_t idle_session_deadline(const struct client *c)
{
	if (c->workload->mode != ROUTE_SESSION && (c->work == NULL || c->work->pins.kinds == 0))
		return UINT64_MAX;
	return sooner(UINT64_MAX, c->state_us, limits_of(c)->idle_session_timeout_us);
}

/* Who keeps a server although a reload has removed its database or user. */
static uint64_t leave_deadline(const struct client *c)
{
	return c->work == NULL || c->work->leave_us == 0 ? UINT64_MAX : c->work->leave_us;
}

/* What ends it; it may give its server back before. */
static uint64_t active_deadline(const struct client *c)
{
	const struct route_limits *limits = limits_of(c);
	uint64_t deadline = leave_deadline(c);

	deadline = sooner(deadline, c->query_us, limits->query_timeout_us);
	deadline = sooner(deadline, c->xact_us, limits->transaction_timeout_us);
	if (c->query_us != 0)
		return deadline;
	/* Between queries: in a transaction, or (in a session) outside of one. */
	if (c->xact_us != 0)
		return sooner(deadline, c->state_us, limits->idle_transaction_timeout_us);
	deadline = sooner(deadline, c->state_us, limits->client_idle_timeout_us);
	return u64_min(deadline, idle_session_deadline(c));
}

static uint64_t wait_deadline(const struct client *c)
{
	return sooner(UINT64_MAX, c->state_us, limits_of(c)->query_wait_timeout_us);
}

/* When it is told that it waits: once in a wait. */
static uint64_t notify_deadline(const struct client *c)
{
	if (c->is_wait_told)
		return UINT64_MAX;
	return sooner(UINT64_MAX, c->state_us, limits_of(c)->query_wait_notify_us);
}

static uint64_t deadline_of(const struct client *c)
{
	uint64_t login_us = atomic_load_explicit(&c->workload->login_timeout_us,
		memory_order_relaxed);

	switch (c->state) {
	case CLIENT_STARTUP:
		if (c->login->is_one_too_many)
			login_us = u64_min(login_us, GATE_EXCESS_US);
		return c->connected_us + login_us;
	case CLIENT_AUTH:
	case CLIENT_CANCEL:
		return c->connected_us + login_us;
	case CLIENT_LOGIN:
		return sooner(c->connected_us + login_us, c->state_us,
			limits_of(c)->query_wait_timeout_us);
	case CLIENT_IDLE:
		return sooner(UINT64_MAX, c->state_us, limits_of(c)->client_idle_timeout_us);
	case CLIENT_WAITING:
		return u64_min(wait_deadline(c), notify_deadline(c));
	case CLIENT_ACTIVE:
		return u64_min(active_deadline(c), client_lend_deadline(c));
	case CLIENT_ADMIN:
	case CLIENT_ENDING:
	case CLIENT_CLOSED:
	case CLIENT_STATE_COUNT:
		return UINT64_MAX;
	}
	return UINT64_MAX;
}

void client_arm(struct client *c)
{
	uint64_t deadline = deadline_of(c);

	if (deadline == UINT64_MAX)
		timer_stop(&c->deadline);
	else
		timer_set(&c->worker->timers, &c->deadline, deadline);
}

/* Does it wait for a connection to be opened? */
static bool needs_connect(enum wait_reason reason)
{
	return reason != WAIT_PAUSED && !wait_reason_is_limit(reason);
}

/* What stood in the way, for the hint. */
static void wait_timed_out(struct client *c)
{
	struct monitor *m = &c->route->host->monitor;
	char hint[POOL_ERROR_TEXT_MAX + 384];
	struct monitor_wait wait;
	struct pool_error error;
	bool has_failed;

	monitor_explain(m, &c->work->lease, worker_now(c->worker), &wait);
	has_failed = needs_connect(wait.reason) &&
		monitor_last_error(m, &c->route->pool->pool, &error);
	(void)snprintf(hint, sizeof(hint),
		"It waited for this: %s (%s). The workload uses %u of its %u server connections.%s%s",
		wait_reason_text(wait.reason), wait_reason_word(wait.reason), wait.used, wait.max,
		has_failed ? " The last attempt to connect failed: " : "",
		has_failed ? error.message : "");
	SLOG_LIMITED(WARN, "wait-timeout",
		"id=%lu workload=%s host=%s waited_ms=%lu reason=%s used=%u max=%u",
		(unsigned long)c->id, c->workload->name, c->route->host->name,
		(unsigned long)((worker_now(c->worker) - c->state_us) / USEC_PER_MSEC),
		wait_reason_word(wait.reason), wait.used, wait.max);
	atomic_fetch_add(&c->workload->wait_timeouts, 1);
	atomic_store(&c->workload->wait_timeout_at_us, worker_now(c->worker));
	client_refuse(c, "57014", "canceling statement due to query_wait_timeout", hint);
}

static void active_timed_out(struct client *c, uint64_t now_us)
{
	const struct route_limits *limits = limits_of(c);

	if (leave_deadline(c) <= now_us)
		client_close(c, CLOSE_REMOVED);
	else if (sooner(UINT64_MAX, c->query_us, limits->query_timeout_us) <= now_us)
		client_close(c, CLOSE_QUERY_TIMEOUT);
	else if (sooner(UINT64_MAX, c->xact_us, limits->transaction_timeout_us) <= now_us)
		client_close(c, CLOSE_TRANSACTION_TIMEOUT);
	else if (c->xact_us != 0)
		client_close(c, CLOSE_IDLE_TRANSACTION);
	else if (idle_session_deadline(c) <=
		sooner(UINT64_MAX, c->state_us, limits->client_idle_timeout_us))
		client_close(c, CLOSE_IDLE_SESSION);
	else
		client_close(c, CLOSE_IDLE);
}

/* Its time in the queue is query_wait_notify. */
static void tell_of_wait(struct client *c, uint64_t now_us)
{
	struct monitor_wait wait;
	char detail[320];

	c->is_wait_told = true;
	client_arm(c);
	monitor_explain(&c->route->host->monitor, &c->work->lease, now_us, &wait);
	if (wait.position == 0)
		return;
	(void)snprintf(detail, sizeof(detail),
		"Position %u of %u in the queue: %s (%s). Clients hold %u servers of this database and user; the workload uses %u of its %u server connections, other workloads %u of %u in all.",
		wait.position, wait.waiting, wait_reason_text(wait.reason),
		wait_reason_word(wait.reason), wait.pool_leased, wait.used, wait.max,
		wait.others, wait.budget);
	client_notice(c, "no server connection available, waiting for one", detail);
}

void client_on_deadline(struct timer *timer, uint64_t now_us)
{
	struct client *c = container_of(timer, struct client, deadline);

	switch (c->state) {
	case CLIENT_STARTUP:
		client_close(c, CLOSE_LOGIN_TIMEOUT);
		return;
	case CLIENT_AUTH:
		/* Unless it is the client that was waited for, it hears why. */
		if (c->login->has_auth && client_auth_waits(&c->login->auth))
			client_close_with(c, CLOSE_LOGIN_TIMEOUT, "57014",
				"could not verify the password in time",
				"The time is client_login_timeout.");
		else if (c->login->has_auth)
			client_close(c, CLOSE_LOGIN_TIMEOUT);
		else
			client_close_with(c, CLOSE_LOGIN_TIMEOUT, "57014",
				"could not look up the user in time",
				"The time is client_login_timeout.");
		return;
	case CLIENT_CANCEL:
		client_close(c, CLOSE_CANCEL_DONE);
		return;
	case CLIENT_LOGIN:
		wait_timed_out(c);
		return;
	case CLIENT_WAITING:
		if (wait_deadline(c) > now_us)
			tell_of_wait(c, now_us);
		else
			wait_timed_out(c);
		return;
	case CLIENT_IDLE:
		client_close(c, CLOSE_IDLE);
		return;
	case CLIENT_ACTIVE:
		if (active_deadline(c) > now_us)
			client_lend_begin(c);
		else
			active_timed_out(c, now_us);
		return;
	case CLIENT_ENDING:
		client_linger_over(c);
		return;
	case CLIENT_ADMIN:
	case CLIENT_CLOSED:
	case CLIENT_STATE_COUNT:
		return;
	}
}

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
		return !c->is_console_busy && atomic_load(&r->drain_ends_idle);
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
