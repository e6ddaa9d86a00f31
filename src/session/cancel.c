/* SPDX-License-Identifier: ISC */
#include "session/cancel.h"

#include <openssl/crypto.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/slog.h"
#include "pg/msg_out.h"
#include "session/client_priv.h"
#include "session/server_tls.h"

enum { CANCEL_RETRY_US = 20000 };

/* A connection that carries one cancel request to PostgreSQL. */
struct cancel {
	struct stream stream;
	struct worker *worker;
	struct route_host *host;
	struct server *server;          /* NULL: it is gone */
	struct addr addr;               /* where the server is, and no other will do */
	struct route_tls *tls;          /* NULL: the server has none */
	uint8_t place;
	struct cancel_reply whom;
	struct timer timer;
	struct io_task free;
	uint64_t until_us;
	bool is_connected;
	bool holds_place;
	uint32_t pid;
	size_t key_len;
	uint8_t key[SERVER_KEY_MAX];
	struct list_node in_worker;     /* worker->cancels */
};

/* A request on its way to the worker of the client it is about, and back. */
struct cancel_mail {
	struct mail mail;
	uint32_t pid;
	size_t key_len;
	uint8_t key[STARTUP_KEY_MAX];
	struct cancel_reply whom;
};

/* --- telling the one who asked ---------------------------------------------------- */

static void deliver_reply(struct mail *mail, struct worker *w)
{
	struct cancel_mail *m = container_of(mail, struct cancel_mail, mail);
	struct client *c = client_find_id(w, m->whom.slot, m->whom.id);

	free(m);
	if (c != NULL && c->state == CLIENT_CANCEL)
		client_close(c, CLOSE_CANCEL_DONE);
}

static void reply(struct worker *w, const struct cancel_reply *whom)
{
	struct cancel_mail *m;

	if (whom->id == 0)
		return;
	m = calloc(1, sizeof(*m));
	/* Without memory its own time-out ends the one who waits. */
	if (m == NULL)
		return;
	m->mail.deliver = deliver_reply;
	m->whom = *whom;
	worker_post(w->router->workers[whom->worker], &m->mail);
}

/* --- the connection to PostgreSQL ------------------------------------------------- */

static void cancel_free(struct io_task *task)
{
	struct cancel *x = container_of(task, struct cancel, free);

	route_tls_unref(x->tls);
	free(x);
}

/* The request was sent and PostgreSQL did not say that it is done with it: it may
 * hit at any time whatever runs then. */
static void cancel_unanswered(struct cancel *x)
{
	if (x->is_connected && x->server != NULL)
		x->server->is_tainted = true;
}

static void cancel_over(struct cancel *x)
{
	struct server *s = x->server;

	stream_close(&x->stream);
	timer_finish(&x->worker->timers, &x->timer);
	if (x->holds_place)
		atomic_fetch_sub(&x->host->cancels, 1);
	list_remove(&x->in_worker);
	x->server = NULL;
	reply(x->worker, &x->whom);
	if (s != NULL)
		server_cancel_done(s);
	io_defer(x->worker->io, &x->free, IO_PHASE_FLUSH);
}

static void send_request(struct cancel *x)
{
	struct buf out;

	x->is_connected = true;
	buf_init(&out, 0);
	msg_out_cancel_request(&out, x->pid, x->key, x->key_len);
	stream_send_buf(&x->stream, &out);
	buf_finish(&out);
	/* PostgreSQL closes when the signal has been sent. */
	stream_resume(&x->stream);
}

/* As the server was reached: what TLS hides of a session opens its key, too. */
static void connected(struct cancel *x)
{
	if (x->tls == NULL)
		send_request(x);
	else if (tls_ask(&x->stream, x->tls, route_tls_name(x->tls, x->place)) < 0)
		cancel_over(x);
}

static size_t on_data(struct stream *stream, const uint8_t *data, size_t len)
{
	struct cancel *x = container_of(stream, struct cancel, stream);
	enum tls_answer answer = tls_answer_read(data, len);

	if (x->is_connected || answer == TLS_ANSWER_MORE)
		return len;
	if (answer != TLS_ANSWER_YES)
		SLOG_LIMITED(WARN, "cancel-failed", "host=%s problem=\"%s\"", x->host->name,
			tls_answer_text(answer));
	if (answer != TLS_ANSWER_YES ||
		stream_start_tls(stream, x->tls->context, route_tls_name(x->tls, x->place), NULL,
			0) < 0)
		cancel_over(x);
	return len;
}

static void on_secure(struct stream *stream)
{
	send_request(container_of(stream, struct cancel, stream));
}

static void on_end(struct stream *stream, int error)
{
	struct cancel *x = container_of(stream, struct cancel, stream);

	if (stream_tls_error(stream)[0] != '\0')
		SLOG_LIMITED(WARN, "cancel-failed", "host=%s problem=\"TLS failed: %s\"",
			x->host->name, stream_tls_error(stream));
	if (error != 0)
		cancel_unanswered(x);
	cancel_over(x);
}

static void on_connected(struct stream *stream, int error)
{
	struct cancel *x = container_of(stream, struct cancel, stream);

	if (error < 0)
		cancel_over(x);
	else
		connected(x);
}

static void on_nothing(struct stream *stream)
{
	(void)stream;
}

static const struct stream_ops cancel_stream_ops = {
	.on_secure = on_secure,
	.on_data = on_data,
	.on_end = on_end,
	.on_connected = on_connected,
	.on_drained = on_nothing,
	.on_quiet = on_nothing,
};

static bool take_place(struct route_host *host)
{
	if (atomic_fetch_add(&host->cancels, 1) < atomic_load(&host->cancels_max))
		return true;
	atomic_fetch_sub(&host->cancels, 1);
	return false;
}

static int cancel_connect(struct cancel *x)
{
	struct host_target target;
	bool in_progress;
	int fd, ret;

	route_host_target(x->host, &target);
	fd = addr_connect(&x->addr, &target.tcp, &in_progress);
	if (fd < 0)
		return fd;
	ret = stream_attach(&x->stream, x->worker->io, x->worker->chunks, fd);
	if (ret < 0) {
		close(fd);
		return ret;
	}
	timer_set(&x->worker->timers, &x->timer,
		worker_now(x->worker) + target.connect_timeout_us);
	if (in_progress)
		stream_connect_wait(&x->stream);
	else
		connected(x);
	return 0;
}

static void cancel_try(struct cancel *x)
{
	int ret;

	/* What it was about has ended while it waited for a place. */
	if (x->server == NULL || !exchange_may_run(&x->server->xq) ||
		x->server->phase == SERVER_PHASE_RESET) {
		cancel_over(x);
		return;
	}
	if (!take_place(x->host)) {
		timer_set(&x->worker->timers, &x->timer,
			worker_now(x->worker) + CANCEL_RETRY_US);
		return;
	}
	x->holds_place = true;
	ret = cancel_connect(x);
	if (ret < 0) {
		SLOG_LIMITED(WARN, "cancel-failed", "host=%s error=%d", x->host->name, -ret);
		cancel_over(x);
	}
}

static void on_timer(struct timer *timer, uint64_t now_us)
{
	struct cancel *x = container_of(timer, struct cancel, timer);

	if (x->holds_place || (x->until_us != 0 && now_us >= x->until_us)) {
		cancel_unanswered(x);
		cancel_over(x);
	} else {
		cancel_try(x);
	}
}

void cancel_server(struct server *s, uint64_t patience_us, const struct cancel_reply *whom)
{
	struct worker *w = s->worker;
	struct cancel *x = calloc(1, sizeof(*x));

	if (x == NULL) {
		reply(w, whom);
		return;
	}
	x->worker = w;
	x->host = s->host;
	x->server = s;
	x->addr = s->addr;
	x->tls = stream_tls(&s->stream) == NULL ? NULL : route_tls_ref(s->tls);
	x->place = s->place;
	x->whom = *whom;
	x->pid = s->backend_pid;
	x->key_len = s->key_len;
	memcpy(x->key, s->key, s->key_len);
	x->until_us = patience_us == 0 ? 0 : worker_now(w) + patience_us;
	stream_init(&x->stream, &cancel_stream_ops);
	timer_init(&x->timer, on_timer);
	io_task_init(&x->free, cancel_free);
	list_push_back(&w->cancels, &x->in_worker);
	s->cancels++;
	cancel_try(x);
}

void cancel_forget(struct server *s)
{
	list_for_each(&s->worker->cancels, node) {
		struct cancel *x = container_of(node, struct cancel, in_worker);

		if (x->server == s)
			x->server = NULL;
	}
	s->cancels = 0;
}

void cancel_hold_changed(struct worker *w)
{
	list_for_each(&w->cancels, node)
		stream_hold_changed(&container_of(node, struct cancel, in_worker)->stream);
}

void cancel_abort_all(struct worker *w)
{
	struct list_node *node;

	while ((node = list_pop_front(&w->cancels)) != NULL) {
		struct cancel *x = container_of(node, struct cancel, in_worker);

		stream_close(&x->stream);
		timer_finish(&w->timers, &x->timer);
		route_tls_unref(x->tls);
		free(x);
	}
}

/* --- requests of clients ------------------------------------------------------------ */

static bool is_key_of(const struct client *c, const struct cancel_mail *m)
{
	return c->key_len == m->key_len && CRYPTO_memcmp(c->key, m->key, m->key_len) == 0;
}

/* Perhaps it is about a client of the process that this one has replaced. */
static void unknown(struct router *r, const struct cancel_mail *m)
{
	/* What comes from there is not sent back: it would go round for ever. */
	if (m->whom.id == 0 || r->cancel_elsewhere == NULL ||
		!r->cancel_elsewhere(r->cancel_arg, m->pid, m->key, m->key_len))
		SLOG_LIMITED(INFO, "cancel-unknown", "pid=%u", m->pid);
}

/* On the worker of the client that is to be cancelled. */
static void deliver_request(struct mail *mail, struct worker *w)
{
	struct cancel_mail *m = container_of(mail, struct cancel_mail, mail);
	struct client *c = m->pid >> 24 == w->index ? client_find(w, m->pid) : NULL;
	struct cancel_reply whom = m->whom;

	if (c == NULL || !is_key_of(c, m)) {
		c = NULL;
		unknown(w->router, m);
	}
	free(m);
	if (c != NULL && c->state == CLIENT_ADMIN) {
		const struct console_ops *console = &w->router->console;

		console->cancel(console->arg, c);
	} else if (c != NULL && c->state == CLIENT_WAITING) {
		client_refuse(c, "57014", "canceling statement due to user request", NULL);
	} else if (c != NULL && c->state == CLIENT_ACTIVE && c->server != NULL) {
		struct server *s = c->server;

		if (s->phase == SERVER_PHASE_READY && exchange_may_run(&s->xq)) {
			cancel_server(s, c->route->limits.cancel_wait_timeout_us, &whom);
			return;
		}
		if (s->phase == SERVER_PHASE_SETTINGS || s->phase == SERVER_PHASE_CHECK ||
			c->lend.begins)
			c->is_cancelled = true;
	}
	reply(w, &whom);
}

static bool post_request(struct router *r, uint32_t pid, const uint8_t *key, size_t key_len,
	const struct cancel_reply *whom)
{
	uint32_t target = pid >> 24;
	struct cancel_mail *m;

	/* Another process may have had more workers. */
	if (target >= r->worker_count)
		target = 0;
	if (key_len > sizeof(m->key) || (m = calloc(1, sizeof(*m))) == NULL)
		return false;
	m->mail.deliver = deliver_request;
	m->pid = pid;
	m->key_len = key_len;
	memcpy(m->key, key, key_len);
	m->whom = *whom;
	worker_post(r->workers[target], &m->mail);
	return true;
}

void cancel_request(struct client *c, uint32_t pid, const uint8_t *key, size_t key_len)
{
	struct worker *w = c->worker;
	const struct cancel_reply whom = { .worker = w->index, .slot = c->slot, .id = c->id };

	if (!post_request(w->router, pid, key, key_len, &whom))
		client_close(c, CLOSE_CANCEL_DONE);
}

void cancel_from_elsewhere(struct router *r, uint32_t pid, const uint8_t *key, size_t key_len)
{
	const struct cancel_reply nobody = { .id = 0 };

	(void)post_request(r, pid, key, key_len, &nobody);
}
