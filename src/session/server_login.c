/* SPDX-License-Identifier: ISC */
/*
 * Logging in to PostgreSQL, once connected (server_connect.c): the conversation up
 * to the first ReadyForQuery, and the question what the server is.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/slog.h"
#include "pg/error.h"
#include "pg/frame.h"
#include "pg/message.h"
#include "pg/msg_out.h"
#include "pg/server_auth.h"
#include "session/chore.h"
#include "session/client.h"
#include "session/login.h"
#include "session/server_connect.h"
#include "session/server_password.h"

enum { LOGIN_BODY_MAX = 60000 };

/* Keys of the password for the server's salt, which take long: its I/O thread serves
 * others meanwhile. */
struct server_derive {
	struct chore chore;
	uint64_t number;                /* of server_login.deriving, if it is still wanted */
	struct secret_job job;
};

void server_login_forget(struct server_login *l)
{
	l->deriving = 0;
	if (l->has_auth)
		server_auth_finish(&l->auth);
	l->has_auth = false;
	secret_keys_wipe(&l->keys);
	if (l->password != NULL)
		explicit_bzero(l->password, strlen(l->password));
	free(l->password);
	l->password = NULL;
	if (l->md5 != NULL)
		explicit_bzero(l->md5, strlen(l->md5));
	free(l->md5);
	l->md5 = NULL;
}

void server_login_wipe_fetched(struct server_login *l)
{
	if (l->fetched != NULL)
		explicit_bzero(l->fetched, strlen(l->fetched));
	free(l->fetched);
	l->fetched = NULL;
}

void server_login_free(struct server *s)
{
	if (s->login == NULL)
		return;
	server_login_forget(s->login);
	server_login_wipe_fetched(s->login);
	free(s->login);
	s->login = NULL;
}

/* --- failing ------------------------------------------------------------------------- */

static void replication_failed(struct server *s, const struct pool_error *error)
{
	struct client *c = s->client;

	s->client = NULL;
	if (c != NULL) {
		c->server = NULL;
		client_close_with(c, CLOSE_LOGIN_REFUSED, error->sqlstate, error->message,
			NULL);
	}
	server_close(s, SERVER_END_LOGIN);
}

void server_login_report(const struct route_pool *pool, const struct pool_error *error)
{
	char quoted[POOL_ERROR_TEXT_MAX * 2], database[160], user[160];

	SLOG_LIMITED(WARN, "server-login-failed", "host=%s database=%s user=%s sqlstate=%s message=%s",
		pool->host->name,
		slog_quote(database, sizeof(database), pool->dbname, strlen(pool->dbname)),
		slog_quote(user, sizeof(user), pool->user, strlen(pool->user)), error->sqlstate,
		slog_quote(quoted, sizeof(quoted), error->message, strlen(error->message)));
}

void server_login_failed(struct server *s, enum connect_failure failure,
	const char *sqlstate, const char *message, size_t len)
{
	struct monitor_actions actions;
	struct worker *w = s->worker;
	struct pool_error error = { .sqlstate = "" };

	monitor_actions_init(&actions);
	(void)snprintf(error.sqlstate, sizeof(error.sqlstate), "%s", sqlstate);
	(void)snprintf(error.message, sizeof(error.message), "%.*s",
		(int)size_min(len, POOL_ERROR_TEXT_MAX - 1), message);
	server_login_report(s->pool, &error);
	if (s->replication != NULL) {
		replication_failed(s, &error);
		return;
	}
	monitor_connect_failed(&s->host->monitor, &s->ps, failure, &error, worker_now(w),
		&actions);
	worker_act(w, &actions);
	server_close(s, SERVER_END_LOGIN);
}

/* The words depend on lc_messages; where it was raised does not (InitializeSessionUserId()
 * in miscinit.c, CheckMyDatabase() in postinit.c). */
static bool is_limit_of_role(const struct error_fields *e)
{
	return strcmp(e->sqlstate, "53300") == 0 &&
		(wire_slice_is(e->routine, "InitializeSessionUserId") ||
			wire_slice_is(e->routine, "CheckMyDatabase"));
}

/* PostgreSQL's own words.  What concerns everybody at this host is told from what
 * concerns this database and user. */
static void refused(struct server *s, const struct frame *f)
{
	static const char *const of_host[] = { "57", "53", "08", "XX", "58" };
	enum connect_failure failure = CONNECT_FAILED_LOGIN;
	char message[POOL_ERROR_TEXT_MAX];
	struct error_fields e;

	error_parse(f->body, f->body_len, &e);
	if (server_password_refused(s, e.sqlstate)) {
		server_login_leave(s);
		return;
	}
	/* It is starting up or shutting down: another address may be what it takes over
	 * from, or what takes over. */
	if (error_has_class(&e, "57") && s->login->target.addr_count > 1) {
		(void)snprintf(message, sizeof(message), "%.*s",
			(int)size_min(e.message.len, sizeof(message) - 1),
			e.message.data);
		server_address_failed(s, message, 0);
		return;
	}
	for (size_t i = 0; i < COUNT_OF(of_host); i++) {
		if (error_has_class(&e, of_host[i]))
			failure = CONNECT_FAILED_HOST;
	}
	/* Every place that max_connections has is taken, or all that one role may have. */
	if (strcmp(e.sqlstate, "53300") == 0)
		failure = CONNECT_FAILED_DENIED;
	if (is_limit_of_role(&e))
		failure = CONNECT_FAILED_LOGIN;
	server_login_failed(s, failure, e.sqlstate, e.message.data, e.message.len);
}

/* --- the conversation ------------------------------------------------------------------ */

static bool auth_failed(struct server *s, struct diag *diag)
{
	if (s->login->auth.hid_password) {
		atomic_fetch_add(&s->host->cleartext_refusals, 1);
		diag_clear(diag);
		diag_set(diag, NULL, 0, 0, "server asked for the password in clear, which "
			"server_cleartext_password of host \"%s\" does not allow%s",
			s->host->name, s->login->target.cleartext == ROUTE_CLEARTEXT_TLS ?
				" without TLS" : "");
	}
	server_login_failed(s, CONNECT_FAILED_LOGIN, "28000", diag->text, strlen(diag->text));
	return false;
}

static void derive_run(struct chore *chore)
{
	secret_job_run(&container_of(chore, struct server_derive, chore)->job);
}

static void derive_free(struct server_derive *d)
{
	secret_job_wipe(&d->job);
	free(d);
}

static struct server *find_deriving(struct worker *w, const struct server_derive *d)
{
	list_for_each(&w->servers, node) {
		struct server *s = container_of(node, struct server, in_worker);

		if (s->login != NULL && s->login->deriving == d->number)
			return s;
	}
	return NULL;
}

static void login_cannot_wait(struct server *s)
{
	static const char text[] = "out of memory, or too many logins wait for keys";

	server_login_failed(s, CONNECT_FAILED_HOST, "53300", text, sizeof(text) - 1);
}

static void derive_done(struct chore *chore, struct worker *w)
{
	struct server_derive *d = container_of(chore, struct server_derive, chore);
	struct server *s = w == NULL ? NULL : find_deriving(w, d);
	struct diag diag;
	struct buf out;

	if (s == NULL) {
		derive_free(d);
		return;
	}
	s->login->deriving = 0;
	if (!chore->was_run) {
		derive_free(d);
		login_cannot_wait(s);
		return;
	}
	diag_clear(&diag);
	buf_init(&out, 0);
	if (server_auth_derived(&s->login->auth, &d->job, &out, &diag) == SERVER_AUTH_FAILED)
		(void)auth_failed(s, &diag);
	else
		stream_send_buf(&s->stream, &out);
	buf_wipe(&out);
	derive_free(d);
	if (s->phase == SERVER_PHASE_LOGIN)
		stream_retry(&s->stream);
}

static bool derive(struct server *s)
{
	struct server_derive *d = calloc(1, sizeof(*d));

	if (d != NULL && server_auth_job(&s->login->auth, &d->job)) {
		uint64_t number = ++s->worker->derived;

		d->number = number;
		d->chore = (struct chore){ .run = derive_run, .done = derive_done };
		if (chore_start(s->worker, CHORE_DERIVE, &d->chore)) {
			/* It is gone already if the router is about to end. */
			s->login->deriving = number;
			return true;
		}
	}
	if (d != NULL)
		derive_free(d);
	login_cannot_wait(s);
	return false;
}

static bool on_authentication(struct server *s, const struct frame *f)
{
	enum server_auth_result result;
	struct diag diag;
	struct buf out;

	diag_clear(&diag);
	buf_init(&out, 0);
	result = server_auth_message(&s->login->auth, f->body, f->body_len, &out, &diag);
	if (result != SERVER_AUTH_FAILED)
		stream_send_buf(&s->stream, &out);
	buf_wipe(&out);
	if (result == SERVER_AUTH_OK) {
		const struct secret_keys *keys = server_auth_keys(&s->login->auth);

		if (keys != NULL)
			login_set_keys(s->pool->session, keys);
	}
	if (result == SERVER_AUTH_FAILED)
		return auth_failed(s, &diag);
	return result != SERVER_AUTH_DERIVE || derive(s);
}

static bool on_key(struct server *s, const struct frame *f)
{
	struct wire_in in;
	size_t len = f->body_len - size_min(4, f->body_len);
	const uint8_t *key;

	wire_init(&in, f->body, f->body_len);
	s->backend_pid = wire_u32(&in);
	key = wire_bytes(&in, len);
	if (!wire_ok(&in) || len < 4 || len > SERVER_KEY_MAX)
		return false;
	memcpy(s->key, key, len);
	s->key_len = (uint16_t)len;
	return true;
}

static bool on_setting(struct server *s, const struct frame *f)
{
	const char *name, *value;
	struct wire_in in;

	wire_init(&in, f->body, f->body_len);
	name = wire_cstr(&in);
	value = wire_cstr(&in);
	return wire_done(&in) && params_set(&s->reported, name, value);
}

/* Servers of another address than this one go, if this is the news. */
static void tell_host(struct server *s)
{
	char addr[ADDR_TEXT_MAX];
	bool moved;

	s->host_generation = route_host_reached(s->host, s->login->target.generation,
		&s->addr, s->replication == NULL ? &s->ps : NULL, &moved);
	if (moved)
		SLOG(INFO, "host-moved", "host=%s address=%s", s->host->name,
			addr_text(&s->addr, addr, sizeof(addr)));
}

static void logged_in(struct server *s)
{
	char database[160], user[160], tls[64];
	struct addr local;
	bool has_local = sock_local(s->stream.conn.fd, &local);

	tell_host(s);
	server_password_worked(s);
	if (s->replication == NULL)
		monitor_describe(&s->host->monitor, &s->ps, s->backend_pid,
			has_local ? addr_port(&local) : 0,
			stream_tls_text(&s->stream, tls, sizeof(tls)));
	SLOG(DEBUG, "server-login", "server=%lu host=%s database=%s user=%s pid=%u",
		(unsigned long)s->ps.id, s->host->name,
		slog_quote(database, sizeof(database), s->pool->dbname, strlen(s->pool->dbname)),
		slog_quote(user, sizeof(user), s->pool->user, strlen(s->pool->user)),
		s->backend_pid);
	server_login_free(s);
	stream_set_secret(&s->stream, false);
	server_note_settings(s);
	exchange_init(&s->xq);
	if (s->replication != NULL) {
		server_enter_phase(s, SERVER_PHASE_READY);
		client_server_ready(s->client);
		return;
	}
	/* Not of one at an address that the host has left meanwhile. */
	if (s->host_generation != 0)
		login_refresh_welcome(s->pool->session, &s->reported);
	server_release(s);
}

static void ask(struct server *s)
{
	bool is_walsender = s->replication != NULL && strcmp(s->replication, "true") == 0;
	struct buf out;

	s->login->step = LOGIN_ASKS;
	buf_init(&out, 0);
	msg_out_query(&out, target_question(s->login->wants, is_walsender));
	stream_send_buf(&s->stream, &out);
	buf_finish(&out);
}

/* ReadyForQuery: is it what is wanted?  True: it was asked, and goes on. */
static bool judge(struct server *s)
{
	struct server_login *l = s->login;
	enum target_verdict verdict;

	if (l->step == LOGIN_TALKS)
		target_learn(&l->facts, &s->reported);
	verdict = target_decide(l->wants, &l->facts);
	if (verdict == TARGET_ASK && l->step == LOGIN_TALKS) {
		ask(s);
		return true;
	}
	if (verdict == TARGET_FITS)
		logged_in(s);
	else
		server_address_unfit(s);
	return false;
}

static void on_answer(struct server *s, const struct frame *f)
{
	struct server_login *l = s->login;
	const uint8_t *value;
	struct wire_in in;
	uint32_t len;

	wire_init(&in, f->body, f->body_len);
	(void)wire_u16(&in);
	len = wire_u32(&in);
	value = wire_bytes(&in, len);
	if (wire_ok(&in))
		target_answer(&l->facts, l->wants, (const char *)value, len);
}

/* Replies to our question; what else comes is as in a login.  False: not one. */
static bool is_reply(const struct server *s, uint8_t type)
{
	return s->login->step == LOGIN_ASKS && (type == 'T' || type == 'D' || type == 'C');
}

static bool is_refusal(const struct server *s, const struct frame *f)
{
	struct error_fields e;

	error_parse(f->body, f->body_len, &e);
	return s->login->step != LOGIN_ASKS || error_is_fatal(&e);
}

/* False: stop, the server is on its way out or logged in. */
static bool login_message(struct server *s, const struct frame *f)
{
	bool ok = true;

	if (is_reply(s, f->type)) {
		if (f->type == 'D')
			on_answer(s, f);
		return true;
	}
	switch (f->type) {
	case 'R':
		return on_authentication(s, f);
	case 'S':
		ok = on_setting(s, f);
		break;
	case 'K':
		ok = on_key(s, f);
		break;
	case 'E':
		if (!is_refusal(s, f))
			break;
		refused(s, f);
		return false;
	case 'N':
	case 'v':
		break;
	case 'Z':
		if (s->login->auth.state == SERVER_AUTH_STATE_OVER)
			return judge(s);
		ok = false;
		break;
	default:
		ok = false;
		break;
	}
	if (!ok)
		server_address_failed(s,
			"it sent a message that does not belong into a login", 0);
	return ok;
}

size_t server_login_data(struct server *s, const uint8_t *data, size_t len)
{
	size_t pos = 0;

	while (s->phase == SERVER_PHASE_LOGIN) {
		struct frame f;

		/* What comes before our answer waits. */
		if (s->login->deriving != 0)
			return pos;

		switch (frame_next(data + pos, len - pos, LOGIN_BODY_MAX, &f)) {
		case FRAME_NEED_MORE:
			return pos;
		case FRAME_BAD:
			server_address_failed(s, "it does not speak the PostgreSQL protocol",
				0);
			return len;
		case FRAME_OK:
			break;
		}
		if (!frame_is_whole(&f))
			return pos;
		pos += frame_size(&f);
		if (!login_message(s, &f))
			break;
	}
	return s->phase == SERVER_PHASE_CLOSE ? len : pos;
}
