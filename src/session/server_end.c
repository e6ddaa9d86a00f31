/* SPDX-License-Identifier: ISC */
/*
 * How a server goes: closed in an orderly way, lost, or cut off with the process;
 * and what becomes of its unit of the budget.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/slog.h"
#include "pg/msg_out.h"
#include "session/cancel.h"
#include "session/client.h"
#include "session/errand.h"
#include "session/server_connect.h"

/* A unit of the budget, which replication connections do not have. */
void server_unit_cleaning(struct server *s)
{
	if (s->replication == NULL)
		monitor_cleaning(&s->host->monitor, &s->ps);
}

void server_unit_closing(struct server *s)
{
	if (s->replication == NULL)
		monitor_closing(&s->host->monitor, &s->ps);
}

void server_unit_gone(struct server *s, uint64_t now_us, struct monitor_actions *actions)
{
	if (s->replication != NULL)
		atomic_fetch_sub(&s->host->replications, 1);
	else if (s->login != NULL && s->login->step == LOGIN_FETCHES)
		monitor_postponed(&s->host->monitor, &s->ps, now_us, actions);
	else
		monitor_gone(&s->host->monitor, &s->ps, now_us, actions);
}

static void server_free(struct server *s)
{
	stream_drop(&s->stream);
	route_tls_unref(s->tls);
	server_login_free(s);
	server_forget_route(s);
	params_finish(&s->reported);
	params_finish(&s->applied);
	steps_finish(&s->steps);
	buf_finish(&s->instead);
	buf_finish(&s->clean);
	prepared_set_clear(&s->prepared);
	prepared_names_clear(&s->sql);
	s->magic = 0;
	free(s);
}

static void free_list(struct list *list)
{
	struct list_node *node;

	while ((node = list_pop_front(list)) != NULL)
		server_free(container_of(node, struct server, in_release));
}

void server_reap(struct worker *w)
{
	free_list(&w->free_servers);
}

void server_ended(struct server *s, enum server_end why)
{
	uint32_t worker = s->worker == NULL ? 0 : s->worker->index;
	char database[160], user[160];

	tally_add(&s->host->ends[worker], (uint32_t)why);
	SLOG(DEBUG, "server-close",
		"server=%lu pid=%u host=%s database=%s user=%s reason=%s age_ms=%lu",
		(unsigned long)s->ps.id, s->backend_pid, s->host->name,
		slog_quote(database, sizeof(database), s->pool->dbname, strlen(s->pool->dbname)),
		slog_quote(user, sizeof(user), s->pool->user, strlen(s->pool->user)),
		server_end_word(why),
		(unsigned long)((clock_now_us() - s->opened_us) / USEC_PER_MSEC));
}

void server_break(struct server *s, enum server_end why)
{
	if (!s->is_broken)
		s->broken_by = why;
	s->is_broken = true;
}

/* PostgreSQL has closed its side, or will not answer any more. */
void server_gone(struct server *s)
{
	struct monitor_actions actions;
	struct worker *w = s->worker;

	monitor_actions_init(&actions);
	cancel_forget(s);
	stream_close(&s->stream);
	timer_finish(&w->timers, &s->timer);
	list_remove(&s->in_worker);
	list_remove(&s->in_release);
	server_unit_gone(s, worker_now(w), &actions);
	list_push_back(&w->free_servers, &s->in_release);
	io_defer(w->io, &w->reap_task, IO_PHASE_RUN);
	worker_act(w, &actions);
}

static void server_abort(struct server *s, struct list *freed)
{
	struct monitor_actions actions;
	struct buf out;

	monitor_actions_init(&actions);
	s->client = NULL;
	if (s->phase != SERVER_PHASE_CLOSE)
		server_ended(s, SERVER_END_SHUTDOWN);
	if (s->worker != NULL) {
		cancel_forget(s);
		buf_init(&out, 0);
		msg_out_terminate(&out);
		stream_send_buf(&s->stream, &out);
		stream_flush(&s->stream);
		buf_finish(&out);
		stream_close(&s->stream);
		timer_finish(&s->worker->timers, &s->timer);
		list_remove(&s->in_worker);
		list_remove(&s->in_release);
	} else {
		static const uint8_t terminate[] = { 'X', 0, 0, 0, 4 };

		/* It will see the end of file if this does not arrive. */
		if (send(s->fd, terminate, sizeof(terminate), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			SLOG(DEBUG, "server-abort", "server=%lu", (unsigned long)s->ps.id);
		stream_drop(&s->stream);
		close(s->fd);
	}
	server_unit_closing(s);
	server_unit_gone(s, clock_now_us(), &actions);
	list_push_back(freed, &s->in_release);
}

void server_abort_all(struct worker *w)
{
	struct list_node *node;

	while ((node = list_first(&w->servers)) != NULL)
		server_abort(container_of(node, struct server, in_worker), &w->free_servers);
}

static void keep_pooled(const struct pool_server *ps, void *arg)
{
	const struct pool_server **found = arg;

	*found = ps;
}

void server_abort_pooled(struct route_host *host)
{
	struct list freed;

	list_init(&freed);
	for (;;) {
		struct pool_server *ps = NULL;

		monitor_each_server(&host->monitor, keep_pooled, &ps);
		if (ps == NULL)
			break;
		server_abort(server_from_ps(ps), &freed);
	}
	free_list(&freed);
}

void server_cancel_own(struct server *s)
{
	static const struct cancel_reply nobody;

	if (!exchange_may_run(&s->xq))
		return;
	/* From the clean that runs others are kept away. */
	if (s->phase == SERVER_PHASE_RESET)
		server_enter_phase(s, SERVER_PHASE_ABORT);
	cancel_server(s, CANCEL_PATIENCE_US, &nobody);
}

/* Nobody will answer it any more. */
static void lose_errand(struct server *s)
{
	struct pool_error error = { "08006", "the server closed the connection" };
	struct errand *e = s->errand;

	if (e == NULL)
		return;
	if (s->own_failed) {
		memcpy(error.sqlstate, s->sqlstate, sizeof(error.sqlstate));
		memcpy(error.message, s->message, sizeof(error.message));
	}
	s->errand = NULL;
	errand_answered(e, &error);
}

void server_close(struct server *s, enum server_end why)
{
	struct host_target target;
	struct buf out;

	if (s->phase == SERVER_PHASE_CLOSE)
		return;
	server_ended(s, why);
	server_enter_phase(s, SERVER_PHASE_CLOSE);
	if (s->client != NULL) {
		struct client *c = s->client;

		s->client = NULL;
		server_unit_closing(s);
		client_lease_released(c);
	} else {
		server_unit_closing(s);
	}
	lose_errand(s);
	if (!stream_is_open(&s->stream)) {
		server_gone(s);
		return;
	}
	route_host_target(s->host, &target);
	server_set_timer(s, target.close_timeout_us);
	buf_init(&out, 0);
	msg_out_terminate(&out);
	stream_send_buf(&s->stream, &out);
	buf_finish(&out);
	stream_finish(&s->stream);
}

/* Nothing of the client's has reached it: another server will do as well. */
static bool is_untouched_by(const struct server *s, const struct client *c)
{
	switch (s->phase) {
	case SERVER_PHASE_CHECK:
	case SERVER_PHASE_SETTINGS:
		return true;
	case SERVER_PHASE_READY:
		return c->lease_exchanges == 0 && exchange_is_idle(&s->xq) &&
			c->body_left == 0 && s->replication == NULL && !c->has_sent;
	case SERVER_PHASE_CONNECT:
	case SERVER_PHASE_LOGIN:
	case SERVER_PHASE_ERRAND:
	case SERVER_PHASE_ASK:
	case SERVER_PHASE_DEFAULTS:
	case SERVER_PHASE_PROBE:
	case SERVER_PHASE_BARRIER:
	case SERVER_PHASE_ENDING:
	case SERVER_PHASE_ABORT:
	case SERVER_PHASE_ROLLBACK:
	case SERVER_PHASE_RESET:
	case SERVER_PHASE_CLOSE:
		return false;
	}
	return false;
}

/* What its client is told. */
static enum close_reason reason_for_client(enum server_end why)
{
	if (why == SERVER_END_PROTOCOL)
		return CLOSE_SERVER_PROTOCOL;
	return why == SERVER_END_SUSPEND ? CLOSE_SUSPEND : CLOSE_SERVER_LOST;
}

void server_fail(struct server *s, enum server_end why, const char *message)
{
	enum close_reason reason = reason_for_client(why);
	struct client *c = s->client;

	if (s->phase == SERVER_PHASE_CLOSE)
		return;
	if (s->phase == SERVER_PHASE_CONNECT || s->phase == SERVER_PHASE_LOGIN) {
		server_login_lost(s, -ECONNRESET);
		return;
	}
	/* RESET: what the client asked for was answered before. */
	if (c != NULL && s->phase != SERVER_PHASE_ENDING && s->phase != SERVER_PHASE_RESET) {
		bool is_untouched = is_untouched_by(s, c);

		s->client = NULL;
		server_unit_closing(s);
		client_lease_released(c);
		if (is_untouched)
			client_server_died(c);
		else if (s->is_broken)
			client_close(c, CLOSE_SERVER_FATAL);
		else if (message != NULL)
			client_close_with(c, reason, reason == CLOSE_SERVER_PROTOCOL ?
				"08P01" : "08006", message, NULL);
		else
			client_close(c, reason);
	}
	/* What came first has led to it. */
	server_close(s, s->is_broken ? s->broken_by : why);
}

void server_cut_off(struct server *s)
{
	server_fail(s, SERVER_END_SUSPEND, NULL);
}
