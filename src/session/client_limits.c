/* SPDX-License-Identifier: ISC */
/*
 * How long a client may take for what it does, or is kept waiting: one timer each, for
 * whichever limit comes first.
 */
#include <stdio.h>

#include "base/slog.h"
#include "session/client_lend.h"
#include "session/client_priv.h"
#include "session/gate.h"

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
