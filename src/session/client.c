/* SPDX-License-Identifier: ISC */
/*
 * The client machine: how a client comes, what state it is in, how it goes.
 * The login is in client_startup.c and client_login.c, waiting for a server and
 * time limits in client_limits.c, the relay in client_query.c.
 */
#include "session/client.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rand.h"
#include "base/slog.h"
#include "pg/msg_out.h"
#include "session/chore.h"
#include "session/client_proof.h"
#include "session/client_resets.h"
#include "session/gate.h"
#include "session/server.h"
#include "session/slow.h"
#include "session/tally.h"

#define TO(state) (1u << CLIENT_##state)

static const struct {
	const char *show;
	unsigned next;
} states[CLIENT_STATE_COUNT] = {
#define CLIENT_STATE(name, show, next) [CLIENT_##name] = { (show), (next) },
#include "client_states.def"
#undef CLIENT_STATE
};

static const struct {
	const char *sqlstate;
	const char *word;
	const char *text;
} reasons[CLOSE_REASON_COUNT] = {
#define CLOSE_REASON(name, sqlstate, word, text) [CLOSE_##name] = { (sqlstate), (word), (text) },
#include "close_reasons.def"
#undef CLOSE_REASON
};

const char *close_reason_word(enum close_reason reason)
{
	return reasons[reason].word;
}

const char *client_state_show(enum client_state state)
{
	return states[state].show;
}

/* No other thread writes it: nothing is to be locked. */
static void count_state(struct worker *w, enum client_state state, int change)
{
	uint32_t count = atomic_load_explicit(&w->clients_in_state[state],
		memory_order_relaxed);

	atomic_store_explicit(&w->clients_in_state[state], count + (uint32_t)change,
		memory_order_relaxed);
}

void client_enter(struct client *c, enum client_state next)
{
	struct worker *w = c->worker;

	assert((states[c->state].next & (1u << next)) != 0);
	count_state(w, c->state, -1);
	count_state(w, next, 1);
	c->state = next;
	c->state_us = worker_now(w);
	c->is_wait_told = false;
	if (next == CLIENT_LOGIN || next == CLIENT_ADMIN)
		stream_set_secret(&c->stream, false);
	client_arm(c);
}

/* --- slots ------------------------------------------------------------------------- */

/* Numbers are told to clients in 24 bits. */
enum { CLIENT_SLOTS_MAX = 1 << 24, CLIENT_SLOTS_FIRST = 256 };

static bool slots_grow(struct worker *w)
{
	uint32_t count = w->client_slots == 0 ? CLIENT_SLOTS_FIRST : w->client_slots * 2;
	struct client **clients;

	if (count > CLIENT_SLOTS_MAX)
		return false;
	clients = realloc(w->clients, count * sizeof(struct client *));
	if (clients == NULL)
		return false;
	memset(clients + w->client_slots, 0,
		(count - w->client_slots) * sizeof(struct client *));
	w->clients = clients;
	w->client_free_slot = w->client_slots;
	w->client_slots = count;
	return true;
}

static bool slot_take(struct worker *w, struct client *c)
{
	uint32_t used = atomic_load_explicit(&w->client_count, memory_order_relaxed);

	/* At most three of four are taken, so that the search stays short. */
	if (used + 1 > w->client_slots / 4 * 3 && !slots_grow(w) && used == w->client_slots)
		return false;
	for (uint32_t i = 0; i < w->client_slots; i++) {
		uint32_t slot = (w->client_free_slot + i) % w->client_slots;

		if (w->clients[slot] != NULL)
			continue;
		w->clients[slot] = c;
		w->client_free_slot = slot + 1;
		c->slot = slot;
		return true;
	}
	return false;
}

uint32_t client_pid(const struct client *c)
{
	return c->worker->index << 24 | (c->slot + 1);
}

struct client *client_find(struct worker *w, uint32_t pid)
{
	uint32_t slot = (pid & 0xffffff) - 1;

	if ((pid & 0xffffff) == 0 || slot >= w->client_slots)
		return NULL;
	return w->clients[slot];
}

struct client *client_find_id(struct worker *w, uint32_t slot, uint64_t id)
{
	struct client *c = slot < w->client_slots ? w->clients[slot] : NULL;

	return c != NULL && c->id == id ? c : NULL;
}

/* --- coming -------------------------------------------------------------------------- */

static size_t on_data(struct stream *stream, const uint8_t *data, size_t len)
{
	struct client *c = client_from_stream(stream);

	assert(c->magic == CLIENT_MAGIC);
	switch (c->state) {
	case CLIENT_STARTUP:
		return client_startup_data(c, data, len);
	case CLIENT_AUTH:
		return client_auth_data(c, data, len);
	case CLIENT_LOGIN:
		return 0;
	case CLIENT_IDLE:
	case CLIENT_WAITING:
	case CLIENT_ACTIVE:
		return client_query_data(c, data, len);
	case CLIENT_ADMIN:
		return client_console_data(c, data, len);
	case CLIENT_CANCEL:
	case CLIENT_ENDING:
	case CLIENT_CLOSED:
	case CLIENT_STATE_COUNT:
		return len;
	}
	return len;
}

void client_begins_chore(const struct client *c, struct chore *chore)
{
	chore->source = (uint64_t)(uintptr_t)c->source;
	chore->until_us = c->connected_us + atomic_load(&c->workload->login_timeout_us);
}

static void client_closed(struct client *c)
{
	struct worker *w = c->worker;

	if (c->state == CLIENT_CLOSED)
		return;
	client_proof_forget(c);
	stream_close(&c->stream);
	client_enter(c, CLIENT_CLOSED);
	timer_finish(&w->timers, &c->deadline);
	w->clients[c->slot] = NULL;
	/* In this order: who looks on is never missing among all (drain.c). */
	gate_leave(c);
	atomic_fetch_sub(&w->client_count, 1);
	list_push_back(&w->free_clients, &c->in_free);
	io_defer(w->io, &w->reap_task, IO_PHASE_RUN);
}

/* The peer had its time to read our last words. */
void client_linger_over(struct client *c)
{
	client_closed(c);
}

static void on_end(struct stream *stream, int error)
{
	struct client *c = client_from_stream(stream);

	assert(c->magic == CLIENT_MAGIC);
	switch (c->state) {
	case CLIENT_ENDING:
		client_closed(c);
		return;
	case CLIENT_CANCEL:
		/* The request goes its way; nobody waits for it any more. */
		client_close(c, CLOSE_CANCEL_DONE);
		return;
	case CLIENT_LOGIN:
	case CLIENT_IDLE:
	case CLIENT_WAITING:
	case CLIENT_ACTIVE:
	case CLIENT_ADMIN:
		/* What was sent before Terminate is read to its end, as by PostgreSQL. */
		if (!client_has_quit(c, error))
			client_close(c, error == 0 ? CLOSE_LOST : CLOSE_SOCKET);
		return;
	case CLIENT_STARTUP:
		if (stream_tls_error(stream)[0] != '\0') {
			client_startup_insecure(c);
			return;
		}
		client_close(c, error == 0 ? CLOSE_LOST : CLOSE_SOCKET);
		return;
	case CLIENT_AUTH:
		client_close(c, error == 0 ? CLOSE_LOST : CLOSE_SOCKET);
		return;
	case CLIENT_CLOSED:
	case CLIENT_STATE_COUNT:
		return;
	}
}

static void on_drained(struct stream *stream)
{
	struct client *c = client_from_stream(stream);

	/* The reader has caught up: the server may send on. */
	if (c->server != NULL && c->server->phase != SERVER_PHASE_ENDING)
		stream_resume(&c->server->stream);
	/* ... and so may whoever answered it without a server. */
	if (stream_held(stream) > 0)
		stream_retry(stream);
}

static void on_connected(struct stream *stream, int error)
{
	(void)stream;
	(void)error;
}

static void on_quiet(struct stream *stream)
{
	(void)stream;
}

static void on_secure(struct stream *stream)
{
	client_startup_secure(client_from_stream(stream));
}

const struct stream_ops client_stream_ops = {
	.on_data = on_data,
	.on_end = on_end,
	.on_drained = on_drained,
	.on_connected = on_connected,
	.on_quiet = on_quiet,
	.on_secure = on_secure,
};

static struct client *client_create(struct worker *w, struct route_workload *workload)
{
	struct client *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->login = calloc(1, sizeof(*c->login));
	if (c->login == NULL || !slot_take(w, c)) {
		free(c->login);
		free(c);
		return NULL;
	}
	c->magic = CLIENT_MAGIC;
	c->worker = w;
	c->workload = workload;
	c->id = atomic_fetch_add(&w->router->next_client_id, 1) + 1;
	c->state = CLIENT_STARTUP;
	c->connected_us = worker_now(w);
	c->state_us = c->connected_us;
	c->wall_us = clock_wall_us();
	buf_init(&c->login->first, 0);
	list_node_init(&c->login->in_unproven);
	stream_init(&c->stream, &client_stream_ops);
	params_init(&c->params);
	buf_init(&c->unnamed, 0);
	timer_init(&c->deadline, client_on_deadline);
	list_node_init(&c->in_free);
	count_state(w, CLIENT_STARTUP, 1);
	atomic_fetch_add(&w->client_count, 1);
	gate_enter(c);
	return c;
}

static void client_free(struct client *c)
{
	client_login_free(c);
	params_finish(&c->params);
	client_told_forget(c);
	client_work_free(c);
	client_resets_free(c);
	prepared_names_clear(&c->names);
	client_unnamed_forget(c);
	client_portals_forget(c);
	buf_finish(&c->unnamed);
	slow_forget(c);
	free(c->newer);
	if (c->is_in_limits)
		route_uncount_client(c->route);
	route_leave(c->route);
	free(c->console_user);
	free(c->proxied);
	if (c->console_state != NULL)
		c->worker->router->console.forget(c->console_state);
	explicit_bzero(c->key, sizeof(c->key));
	c->magic = 0;
	free(c);
}

bool client_peer(const struct client *c, struct addr *peer)
{
	if (c->proxied != NULL) {
		*peer = *c->proxied;
		return true;
	}
	if (c->login != NULL && c->login->has_peer) {
		*peer = c->login->peer;
		return true;
	}
	if (!sock_peer(c->stream.conn.fd, peer))
		return false;
	addr_unmap(peer);
	return true;
}

const char *client_addr_text(const struct client *c, char to[ADDR_TEXT_MAX])
{
	struct addr peer;

	if (!client_peer(c, &peer))
		peer = (struct addr){ .len = 0 };
	return addr_text(&peer, to, ADDR_TEXT_MAX);
}

void client_accept(const struct door *door, int fd)
{
	struct route_workload *workload = door->workload;
	struct worker *w = door->worker;
	struct client *c = client_create(w, workload);
	struct client_login *login;
	struct sock_tcp tcp;

	if (c == NULL) {
		SLOG_LIMITED(ERROR, "client-accept", "error=\"%s\"", "out of memory");
		close(fd);
		return;
	}
	if (door->is_for_console)
		gate_look_on(c);
	login = c->login;
	login->has_peer = sock_peer(fd, &login->peer);
	addr_unmap(&login->peer);
	route_workload_tcp(workload, &tcp);
	if (!addr_is_unix(&login->peer))
		sock_tune(fd, &tcp);
	login->wants_proxy = login->has_peer &&
		directory_is_proxy(w->router->directory, workload, &login->peer);
	if (login->has_peer && !login->wants_proxy &&
		gate_count(c, &login->peer) == GATE_AWAY) {
		gate_turn_away(fd);
		client_closed(c);
		return;
	}
	if (stream_attach(&c->stream, w->io, w->chunks, fd) < 0) {
		close(fd);
		client_closed(c);
		return;
	}
	io_conn_rx_multishot(&c->stream.conn, true);
	stream_set_secret(&c->stream, true);
	client_arm(c);
	/* Until it is known whether it is for the console. */
	stream_exempt(&c->stream, true);
	stream_resume(&c->stream);
}

/* --- going ----------------------------------------------------------------------------- */

static void log_end(struct client *c, enum close_reason reason)
{
	struct router *r = c->worker->router;
	const char *user_name = c->route != NULL ? c->route->user :
		c->console_user != NULL ? c->console_user : "";
	const char *database_name = c->route == NULL ? "pgbouncer" : c->route->database->name;
	char user[160], database[160], addr[ADDR_TEXT_MAX];

	if (!atomic_load_explicit(&r->log_disconnections, memory_order_relaxed))
		return;
	if (c->login != NULL && c->route == NULL)
		SLOG_LIMITED(INFO, "client-close", "id=%lu workload=%s addr=%s reason=%s login=no",
			(unsigned long)c->id, c->workload->name, client_addr_text(c, addr),
			reasons[reason].word);
	else
		SLOG(INFO, "client-close",
			"id=%lu workload=%s user=%s database=%s reason=%s age_ms=%lu queries=%lu transactions=%lu received=%lu sent=%lu",
			(unsigned long)c->id, c->workload->name,
			slog_quote(user, sizeof(user), user_name, strlen(user_name)),
			slog_quote(database, sizeof(database), database_name,
				strlen(database_name)),
			reasons[reason].word,
			(unsigned long)((worker_now(c->worker) - c->connected_us) / 1000),
			(unsigned long)c->queries, (unsigned long)c->xacts,
			(unsigned long)c->stream.rx_bytes, (unsigned long)c->stream.tx_bytes);
}

static void send_fatal(struct client *c, const char *sqlstate, const char *message,
	const char *hint)
{
	struct msg_out_error error = { .severity = "FATAL",
		.sqlstate = sqlstate,
		.message = message,
		.hint = hint };
	struct buf out;

	buf_init(&out, 0);
	msg_out_error(&out, &error);
	client_send(c, &out);
	buf_finish(&out);
}

void client_tally(struct client *c, uint32_t which)
{
	tally_add(&c->workload->tallies[c->worker->index], which);
}

static void client_leave(struct client *c, enum close_reason reason)
{
	struct worker *w = c->worker;
	bool is_gone = reason == CLOSE_LOST || reason == CLOSE_SOCKET ||
		reason == CLOSE_NOT_POSTGRES || reason == CLOSE_CROWDED_OUT ||
		reason == CLOSE_CANCEL_DONE || reason == CLOSE_TLS ||
		reason == CLOSE_SUSPEND;

	client_tally(c, TALLY_CLOSE + (uint32_t)reason);
	if (c->is_tls_counted)
		client_tally(c, TALLY_TLS_ENDED);
	log_end(c, reason);
	client_proof_forget(c);
	client_give_back(c);
	if (c->route != NULL && c->workload->mode != ROUTE_SESSION)
		departed_add(&w->departed, c->id, worker_now(w));
	if (c->is_counted)
		atomic_fetch_sub(&c->workload->clients, 1);
	c->is_counted = false;
	client_enter(c, CLIENT_ENDING);
	if (is_gone || !stream_is_open(&c->stream)) {
		client_closed(c);
		return;
	}
	timer_set(&w->timers, &c->deadline, worker_now(w) + CLIENT_LINGER_US);
	stream_finish(&c->stream);
}

void client_close(struct client *c, enum close_reason reason)
{
	if (c->state == CLIENT_ENDING || c->state == CLIENT_CLOSED)
		return;
	if (reasons[reason].text[0] != '\0')
		send_fatal(c, reasons[reason].sqlstate, reasons[reason].text, NULL);
	client_leave(c, reason);
}

void client_close_with(struct client *c, enum close_reason reason, const char *sqlstate,
	const char *message, const char *hint)
{
	if (c->state == CLIENT_ENDING || c->state == CLIENT_CLOSED)
		return;
	send_fatal(c, sqlstate, message, hint);
	client_leave(c, reason);
}

void client_abort(struct client *c)
{
	struct worker *w = c->worker;

	if (c->state != CLIENT_ENDING) {
		struct monitor_actions actions;

		monitor_actions_init(&actions);
		/* The servers are aborted next; nothing is carried out any more. */
		if (c->server == NULL && c->work != NULL)
			monitor_withdraw(&c->route->host->monitor, &c->work->lease, worker_now(w),
				&actions);
		c->server = NULL;
		client_enter(c, CLIENT_ENDING);
	}
	client_closed(c);
}

void client_reap(struct worker *w)
{
	struct list_node *node;

	while ((node = list_pop_front(&w->free_clients)) != NULL)
		client_free(container_of(node, struct client, in_free));
}

/* --- answering --------------------------------------------------------------------------- */

void client_send(struct client *c, struct buf *out)
{
	if (!buf_ok(out)) {
		SLOG_LIMITED(ERROR, "client-send", "id=%lu error=\"out of memory\"",
			(unsigned long)c->id);
		buf_clear(out);
		return;
	}
	if (c->stats != NULL)
		stats_add(c->stats, STAT_sent, buf_len(out));
	stream_send_buf(&c->stream, out);
}

void client_send_ready(struct client *c, char status)
{
	struct buf out;

	buf_init(&out, 0);
	msg_out_ready_for_query(&out, status);
	client_send(c, &out);
	buf_finish(&out);
}

void client_notice(struct client *c, const char *message, const char *detail)
{
	struct msg_out_error notice = { .severity = "NOTICE",
		.sqlstate = "00000",
		.message = message,
		.detail = detail };
	struct buf out;

	buf_init(&out, 0);
	msg_out_notice(&out, &notice);
	client_send(c, &out);
	buf_finish(&out);
}
