/* SPDX-License-Identifier: ISC */
/*
 * The server machine: how a server comes, is leased, is released and goes.
 * Logging in is in server_login.c, the relay in server_query.c, what happens
 * after its client is gone in server_clean.c.
 */
#include "session/server.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/slog.h"
#include "pg/msg_out.h"
#include "session/cancel.h"
#include "session/client_pin.h"
#include "session/client_priv.h"
#include "session/errand.h"
#include "session/login.h"
#include "session/server_priv.h"
#include "session/server_redo.h"
#include "session/server_tls.h"
#include "session/server_unseen.h"

/* A pooled server that was unused for longer gets its socket looked at; any, where its end
 * is not seen as it goes back. */
enum { SERVER_PEEK_US = 2000 };

bool server_passes_results(const struct server *s)
{
	return s->phase != SERVER_PHASE_ASK && s->phase != SERVER_PHASE_DEFAULTS &&
		s->phase != SERVER_PHASE_PROBE && s->phase != SERVER_PHASE_RESET &&
		s->phase != SERVER_PHASE_CLOSE;
}

void server_enter_phase(struct server *s, enum server_phase next)
{
	s->phase = next;
	timer_stop(&s->timer);
	/* The router's own question is answered, however slowly the client reads. */
	if (next != SERVER_PHASE_CLOSE && !server_passes_results(s))
		stream_resume(&s->stream);
}

void server_set_timer(struct server *s, uint64_t after_us)
{
	timer_set(&s->worker->timers, &s->timer, worker_now(s->worker) + after_us);
}

/* --- coming ------------------------------------------------------------------------ */

static struct server *server_create(struct worker *w, struct route_pool *pool)
{
	struct server *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->magic = SERVER_MAGIC;
	s->worker = w;
	s->opened_us = worker_now(w);
	s->pool = pool;
	s->host = s->pool->host;
	s->fd = -1;
	s->phase = SERVER_PHASE_CONNECT;
	pool_server_init(&s->ps, 0);
	exchange_init(&s->xq);
	stream_init(&s->stream, &server_stream_ops);
	/* It comes back to this loop, and what is armed waits for that. */
	io_conn_rx_multishot(&s->stream.conn, w->router->worker_count == 1);
	params_init(&s->reported);
	params_init(&s->applied);
	prepared_set_init(&s->prepared);
	timer_init(&s->timer, server_on_timer);
	list_node_init(&s->in_worker);
	list_node_init(&s->in_release);
	return s;
}

void server_open(struct worker *w, struct monitor_action *action)
{
	struct slice *slice = action->slice;
	struct server *s = server_create(w, slice->pool->owner);

	if (s == NULL) {
		struct route_pool *pool = slice->pool->owner;
		struct monitor_actions actions;

		monitor_actions_init(&actions);
		SLOG_LIMITED(ERROR, "server-open", "error=\"%s\"", "out of memory");
		monitor_open_failed(&pool->host->monitor, slice, &action->unit,
			worker_now(w), &actions);
		worker_act(w, &actions);
		return;
	}
	list_push_back(&w->servers, &s->in_worker);
	monitor_connecting(&s->host->monitor, &s->ps, slice, &action->unit);
	server_login_start(s, action->is_fetched);
}

bool server_open_replication(struct client *c, const char *mode)
{
	struct route_host *host = c->route->host;
	struct server *s;

	if (atomic_fetch_add(&host->replications, 1) >=
			atomic_load(&host->replications_max) ||
		(s = server_create(c->worker, c->route->pool)) == NULL) {
		atomic_fetch_sub(&host->replications, 1);
		return false;
	}
	s->replication = mode;
	s->is_session = true;
	s->client = c;
	c->server = s;
	list_push_back(&c->worker->servers, &s->in_worker);
	server_login_start(s, false);
	return true;
}

/* --- leasing ------------------------------------------------------------------------- */

int server_attach(struct worker *w, struct server *s)
{
	int ret = stream_attach(&s->stream, w->io, w->chunks, s->fd);

	if (ret < 0)
		return ret;
	s->fd = -1;
	s->worker = w;
	list_push_back(&w->servers, &s->in_worker);
	return 0;
}

/* The socket could not be used at all: the unit comes back at once. */
void server_drop(struct worker *w, struct server *s)
{
	struct monitor_actions actions;

	monitor_actions_init(&actions);
	stream_drop(&s->stream);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->worker = w;
	server_ended(s, SERVER_END_LOST);
	server_unit_closing(s);
	server_unit_gone(s, worker_now(w), &actions);
	list_push_back(&w->free_servers, &s->in_release);
	io_defer(w->io, &w->reap_task, IO_PHASE_RUN);
	worker_act(w, &actions);
}

void server_take_to_close(struct worker *w, struct server *s, enum server_end why)
{
	if (server_attach(w, s) < 0) {
		server_drop(w, s);
		return;
	}
	server_close(s, why);
}

static void server_check(struct server *s, uint64_t idle_us)
{
	const struct route_limits *limits = &s->client->route->limits;

	if (limits->check_query[0] == '\0' || idle_us < limits->server_check_delay_us) {
		server_fit(s);
		return;
	}
	server_enter_phase(s, SERVER_PHASE_CHECK);
	server_set_timer(s, SERVER_CLEAN_US);
	server_send_own(s, limits->check_query);
}

static bool is_sure_to_be_there(const struct worker *w, const struct server *s)
{
	return s->ps.rested_us <= SERVER_PEEK_US && !io_is_single(w->io);
}

/* False: it was dead, and is gone. */
static bool server_wake(struct worker *w, struct server *s)
{
	if ((is_sure_to_be_there(w, s) || !sock_is_stale(s->fd)) &&
		server_attach(w, s) == 0)
		return true;
	server_drop(w, s);
	return false;
}

/* The parameter goes as such: it is never part of a statement's text. */
static void send_own_bound(struct server *s, const char *sql, const char *param)
{
	struct buf out;

	s->own_failed = false;
	buf_init(&out, 0);
	if (s->may_defer) {
		msg_out_parse(&out, "", SERVER_AT_ONCE);
		msg_out_bind(&out, "", "", NULL, 0);
		msg_out_execute(&out, "");
	}
	msg_out_parse(&out, "", sql);
	msg_out_bind(&out, "", "", &param, 1);
	msg_out_execute(&out, "");
	msg_out_sync(&out);
	exchange_sent_own_until_sync(&s->xq);
	s->unnamed_of = 0;
	stream_send_buf(&s->stream, &out);
	buf_finish(&out);
}

bool server_run_errand(struct worker *w, struct server *s, struct errand *e)
{
	if (!server_wake(w, s))
		return false;
	s->errand = e;
	s->is_session = false;
	s->is_broken = false;
	s->wants_barrier = false;
	stream_resume(&s->stream);
	server_enter_phase(s, SERVER_PHASE_ERRAND);
	if (e->param == NULL)
		server_send_own(s, e->sql);
	else
		send_own_bound(s, e->sql, e->param);
	return true;
}

/* Others have run code there that may have left something for this one. */
static bool is_left_to(struct worker *w, struct server *s, const struct client *c)
{
	s->worker = w;
	switch (server_judge(s, c)) {
	case UNSEEN_CANNOT:
		s->asks_unseen = s->ran.code == 0 && server_asks_early(s);
		return false;
	case UNSEEN_UNKNOWN:
		s->asks_unseen = true;
		return false;
	case UNSEEN_MAY:
		break;
	}
	server_unseen_tell(s, c->workload);
	return true;
}

bool server_lease(struct worker *w, struct server *s, struct client *c)
{
	uint64_t idle_us = s->ps.rested_us;

	s->asks_unseen = false;
	if (s->ran.code != 0 && is_left_to(w, s, c)) {
		server_take_to_close(w, s, SERVER_END_UNSEEN);
		return false;
	}
	if (!server_wake(w, s))
		return false;
	s->client = c;
	s->holds_client = false;
	s->is_unsure = false;
	s->wants_answers = false;
	s->is_session = c->workload->mode == ROUTE_SESSION;
	s->cleans_left = !s->is_session && c->route->limits.state == ROUTE_STATE_STRICT;
	s->keeps_shared = c->route->limits.max_prepared > 0;
	s->is_broken = false;
	s->wants_barrier = false;
	stream_resume(&s->stream);
	server_check(s, idle_us);
	return true;
}

/* --- the router's own queries ------------------------------------------------------- */

/* The server is not the errand's any more when that is told. */
static void errand_done(struct server *s)
{
	struct errand *e = s->errand;
	struct pool_error error;
	bool has_failed = s->own_failed;

	memcpy(error.sqlstate, s->sqlstate, sizeof(error.sqlstate));
	(void)snprintf(error.message, sizeof(error.message), "%s", s->message);
	s->errand = NULL;
	server_unit_cleaning(s);
	server_after_abort(s);
	errand_answered(e, has_failed ? &error : NULL);
}

void server_own_done(struct server *s)
{
	switch (s->phase) {
	case SERVER_PHASE_ERRAND:
		errand_done(s);
		return;
	case SERVER_PHASE_CHECK:
		if (s->own_failed)
			server_fail(s, SERVER_END_CLEAN, "the server did not pass its check");
		else
			server_fit(s);
		return;
	case SERVER_PHASE_SETTINGS:
		server_fitted(s);
		return;
	case SERVER_PHASE_ASK:
		server_ask_done(s);
		return;
	case SERVER_PHASE_PROBE:
		server_probe_done(s);
		return;
	case SERVER_PHASE_BARRIER:
		server_barrier_done(s);
		return;
	case SERVER_PHASE_ABORT:
	case SERVER_PHASE_ROLLBACK:
		server_after_abort(s);
		return;
	case SERVER_PHASE_RESET:
		if (s->is_chained)
			server_chain_done(s);
		else
			server_reset_answered(s);
		return;
	case SERVER_PHASE_READY:
		if (s->is_chained)
			server_chain_undone(s);
		return;
	case SERVER_PHASE_CONNECT:
	case SERVER_PHASE_LOGIN:
	case SERVER_PHASE_DEFAULTS:
	case SERVER_PHASE_ENDING:
	case SERVER_PHASE_CLOSE:
		return;
	}
}

/* --- releasing ------------------------------------------------------------------------ */

void server_release(struct server *s)
{
	struct worker *w = s->worker;

	server_enter_phase(s, SERVER_PHASE_ENDING);
	stream_pause(&s->stream);
	if (!list_is_linked(&s->in_release))
		list_push_back(&w->releasing, &s->in_release);
	worker_defer_release(w);
}

static void back_to_pool(struct server *s)
{
	struct monitor_actions actions;
	struct client *c = s->client;
	struct worker *w = s->worker;
	struct route_host *host = s->host;
	uint64_t now = worker_now(w);

	monitor_actions_init(&actions);
	s->fd = stream_detach(&s->stream);
	timer_finish(&w->timers, &s->timer);
	list_remove(&s->in_worker);
	s->client = NULL;
	s->worker = NULL;
	s->is_session = s->is_left = false;
	server_forget_route(s);
	/* From here on another worker may have it. */
	if (s->ps.connected_at_us == 0) {
		times_add(&host->connects[w->index], now - s->opened_us);
		monitor_ready(&host->monitor, &s->ps, now, &actions);
	} else {
		monitor_return(&host->monitor, &s->ps, now, &actions);
	}
	if (c != NULL)
		client_lease_released(c);
	worker_act(w, &actions);
}

/* It is not the client's any more, and not yet anybody else's. */
static void part(struct server *s)
{
	struct client *c = s->client;

	server_keep_route(s);
	s->client = NULL;
	server_unit_cleaning(s);
	client_lease_released(c);
}

void server_release_now(struct server *s)
{
	if (s->phase == SERVER_PHASE_RESET && s->client != NULL)
		part(s);
	if (s->phase != SERVER_PHASE_ENDING)
		return;
	if (s->is_broken || s->is_tainted || stream_held(&s->stream) > 0) {
		server_fail(s, s->is_tainted ? SERVER_END_CANCEL : SERVER_END_LOST, NULL);
		return;
	}
	/* A cancel on its way must not hit whoever comes next. */
	if (s->cancels > 0)
		return;
	if (s->steps.count > 0)
		server_prepared_lost_count(s);
	/* Nobody else gets it, and whoever waits need not find that out. */
	if ((s->is_dirty || s->has_foreign || pool_is_wanted(&s->pool->pool)) &&
		server_unseen_is_left(s)) {
		server_unseen_tell(s, s->client != NULL ? s->client->workload :
							  s->route->workload);
		server_close(s, SERVER_END_UNSEEN);
		return;
	}
	if (s->is_dirty || s->has_foreign) {
		struct client *c = s->client;

		server_keep_route(s);
		s->client = NULL;
		server_reset(s);
		if (c != NULL)
			client_lease_released(c);
		return;
	}
	if (stream_quiesce(&s->stream))
		back_to_pool(s);
	else if (stream_unsent(&s->stream) > 0)
		server_set_timer(s, SERVER_CLEAN_US);
}

void server_lease_ends(struct server *s)
{
	if (s->client != NULL && (server_waits_for_cancels(s) || server_ask(s) ||
					 client_pin_holds(s->client, s)))
		return;
	if (s->client != NULL)
		client_lease_over(s->client);
	server_release(s);
}

void server_cancel_done(struct server *s)
{
	assert(s->cancels > 0);
	s->cancels--;
	if (s->cancels > 0)
		return;
	if (s->phase == SERVER_PHASE_ENDING)
		server_release(s);
	else if (s->phase == SERVER_PHASE_ABORT && exchange_is_idle(&s->xq))
		server_after_abort(s);
	else if (s->phase == SERVER_PHASE_ASK && exchange_is_idle(&s->xq))
		server_ask_again(s);
}

/* --- what the stream tells --------------------------------------------------------------- */

static size_t on_data(struct stream *stream, const uint8_t *data, size_t len)
{
	struct server *s = server_from_stream(stream);

	assert(s->magic == SERVER_MAGIC);
	if (s->phase == SERVER_PHASE_CLOSE)
		return len;
	if (s->phase == SERVER_PHASE_CONNECT)
		return server_tls_data(s, data, len);
	if (s->phase == SERVER_PHASE_LOGIN)
		return server_login_data(s, data, len);
	return server_query_data(s, data, len);
}

static void on_end(struct stream *stream, int error)
{
	struct server *s = server_from_stream(stream);

	assert(s->magic == SERVER_MAGIC);
	switch (s->phase) {
	case SERVER_PHASE_CLOSE:
		server_gone(s);
		return;
	case SERVER_PHASE_CONNECT:
	case SERVER_PHASE_LOGIN:
		server_login_lost(s, error == 0 ? -ECONNRESET : error);
		return;
	case SERVER_PHASE_READY:
	case SERVER_PHASE_CHECK:
	case SERVER_PHASE_SETTINGS:
	case SERVER_PHASE_ERRAND:
	case SERVER_PHASE_ASK:
	case SERVER_PHASE_DEFAULTS:
	case SERVER_PHASE_PROBE:
	case SERVER_PHASE_BARRIER:
	case SERVER_PHASE_ENDING:
	case SERVER_PHASE_ABORT:
	case SERVER_PHASE_ROLLBACK:
	case SERVER_PHASE_RESET:
		SLOG_LIMITED(INFO, "server-lost", "server=%lu error=%d",
			(unsigned long)s->ps.id, -error);
		server_fail(s, SERVER_END_LOST, NULL);
		return;
	}
}

static void on_drained(struct stream *stream)
{
	struct server *s = server_from_stream(stream);

	if (s->client != NULL)
		client_resume(s->client);
}

static void on_connected(struct stream *stream, int error)
{
	server_login_connected(server_from_stream(stream), error);
}

/* Its end may have been told in the same moment. */
static void on_quiet(struct stream *stream)
{
	struct server *s = server_from_stream(stream);

	if (s->phase == SERVER_PHASE_ENDING)
		server_release(s);
}

static void on_secure(struct stream *stream)
{
	server_tls_secure(server_from_stream(stream));
}

const struct stream_ops server_stream_ops = {
	.on_secure = on_secure,
	.on_data = on_data,
	.on_end = on_end,
	.on_drained = on_drained,
	.on_connected = on_connected,
	.on_quiet = on_quiet,
};

void server_on_timer(struct timer *timer, uint64_t now_us)
{
	struct server *s = container_of(timer, struct server, timer);

	(void)now_us;
	switch (s->phase) {
	case SERVER_PHASE_CLOSE:
		SLOG_LIMITED(WARN, "server-close-timeout", "server=%lu pid=%u",
			(unsigned long)s->ps.id, s->backend_pid);
		/* PostgreSQL has a session there until it says otherwise, or the network
		 * does: the unit is not free.  What never logged in it gives up soon. */
		if (s->ps.connected_at_us == 0 || s->replication != NULL)
			server_gone(s);
		return;
	case SERVER_PHASE_CONNECT:
	case SERVER_PHASE_LOGIN:
		server_login_timeout(s);
		return;
	case SERVER_PHASE_CHECK:
	case SERVER_PHASE_SETTINGS:
	case SERVER_PHASE_ASK:
	case SERVER_PHASE_DEFAULTS:
	case SERVER_PHASE_PROBE:
	case SERVER_PHASE_BARRIER:
		server_cancel_own(s);
		server_fail(s, SERVER_END_TIMEOUT, "the server did not answer in time");
		return;
	case SERVER_PHASE_ENDING:
	case SERVER_PHASE_ABORT:
	case SERVER_PHASE_ROLLBACK:
	case SERVER_PHASE_RESET:
		SLOG_LIMITED(WARN, "server-clean-timeout", "server=%lu pid=%u",
			(unsigned long)s->ps.id, s->backend_pid);
		server_cancel_own(s);
		server_close(s, SERVER_END_TIMEOUT);
		return;
	case SERVER_PHASE_READY:
	case SERVER_PHASE_ERRAND:
		return;
	}
}
