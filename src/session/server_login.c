/* SPDX-License-Identifier: ISC */
/*
 * Connecting and logging in to PostgreSQL.
 *
 * The startup packet carries the user, the database and what the configuration
 * says, and nothing of any client's: values in it would survive DISCARD ALL.
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
#include "session/client.h"
#include "session/login.h"
#include "session/server_priv.h"

enum { LOGIN_BODY_MAX = 60000, STARTUP_PAIRS_MAX = 128 };

struct server_login {
	struct host_target target;
	uint64_t until_us;              /* for all of it: addresses and login */
	uint32_t position;
	uint32_t tries;
	struct server_auth auth;
	struct secret_keys keys;
	char *password;                 /* ours to wipe */
	bool has_auth;
};

void server_login_free(struct server *s)
{
	struct server_login *l = s->login;

	if (l == NULL)
		return;
	if (l->has_auth)
		server_auth_finish(&l->auth);
	secret_keys_wipe(&l->keys);
	if (l->password != NULL)
		explicit_bzero(l->password, strlen(l->password));
	free(l->password);
	free(l);
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
	server_close(s);
}

static void login_failed(struct server *s, enum connect_failure failure,
	const char *sqlstate, const char *message, size_t len)
{
	struct monitor_actions actions = { .count = 0 };
	struct worker *w = s->worker;
	struct pool_error error = { .sqlstate = "" };
	char quoted[POOL_ERROR_TEXT_MAX * 2], database[160], user[160];

	(void)snprintf(error.sqlstate, sizeof(error.sqlstate), "%s", sqlstate);
	(void)snprintf(error.message, sizeof(error.message), "%.*s",
		(int)size_min(len, POOL_ERROR_TEXT_MAX - 1), message);
	SLOG_LIMITED(WARN, "server-login-failed", "host=%s database=%s user=%s sqlstate=%s message=%s",
		s->host->name,
		slog_quote(database, sizeof(database), s->pool->dbname, strlen(s->pool->dbname)),
		slog_quote(user, sizeof(user), s->pool->user, strlen(s->pool->user)),
		error.sqlstate,
		slog_quote(quoted, sizeof(quoted), error.message, strlen(error.message)));
	if (s->replication != NULL) {
		replication_failed(s, &error);
		return;
	}
	monitor_connect_failed(&s->host->monitor, &s->ps, failure, &error, worker_now(w),
		&actions);
	worker_act(w, &actions);
	server_close(s);
}

static void host_failed(struct server *s, const char *what, int error)
{
	char text[POOL_ERROR_TEXT_MAX];
	char addr[ADDR_TEXT_MAX];

	if (s->login->target.addr_count == 0)
		(void)snprintf(text, sizeof(text),
			"could not connect to PostgreSQL: the name of host \"%s\" does not resolve",
			s->host->name);
	else
		(void)snprintf(text, sizeof(text),
			"could not connect to PostgreSQL at %s: %s%s%s",
			addr_text(&s->login->target.addrs[s->login->position], addr, sizeof(addr)),
			what, error == 0 ? "" : ": ", error == 0 ? "" : strerror(-error));
	login_failed(s, CONNECT_FAILED_HOST, "08006", text, strlen(text));
}

/* PostgreSQL's own words.  What concerns everybody at this host is told from what
 * concerns this database and user. */
static void refused(struct server *s, const struct frame *f)
{
	static const char *const of_host[] = { "57", "53", "08", "XX", "58" };
	static const char per_role[] = "too many connections for ";
	enum connect_failure failure = CONNECT_FAILED_LOGIN;
	struct error_fields e;

	error_parse(f->body, f->body_len, &e);
	for (size_t i = 0; i < COUNT_OF(of_host); i++) {
		if (error_has_class(&e, of_host[i]))
			failure = CONNECT_FAILED_HOST;
	}
	if (e.message.len >= sizeof(per_role) - 1 &&
		memcmp(e.message.data, per_role, sizeof(per_role) - 1) == 0)
		failure = CONNECT_FAILED_LOGIN;
	login_failed(s, failure, e.sqlstate, e.message.data, e.message.len);
}

/* --- connecting ---------------------------------------------------------------------- */

/* This connection is never anybody else's: the client's own settings go along. */
static size_t add_replication(struct server *s, const char **pairs, size_t count)
{
	const char *name, *value;
	size_t pos = 0;

	pairs[count++] = "replication";
	pairs[count++] = s->replication;
	while (count + 2 <= STARTUP_PAIRS_MAX &&
		params_next(&s->client->params, &pos, &name, &value)) {
		pairs[count++] = name;
		pairs[count++] = value;
	}
	return count;
}

static void send_startup(struct server *s)
{
	const char *pairs[STARTUP_PAIRS_MAX];
	struct buf out;
	size_t count = 0;

	pairs[count++] = "user";
	pairs[count++] = s->pool->user;
	if (s->pool->dbname[0] != '\0') {
		pairs[count++] = "database";
		pairs[count++] = s->pool->dbname;
	}
	if (s->pool->options[0] != '\0') {
		pairs[count++] = "options";
		pairs[count++] = s->pool->options;
	}
	if (s->replication != NULL && s->client != NULL)
		count = add_replication(s, pairs, count);
	server_enter_phase(s, SERVER_PHASE_LOGIN);
	timer_set(&s->worker->timers, &s->timer, s->login->until_us);
	buf_init(&out, 0);
	msg_out_startup(&out, STARTUP_PROTOCOL_3_0, pairs, count);
	stream_send_buf(&s->stream, &out);
	buf_finish(&out);
	stream_resume(&s->stream);
}

/* What is left of the time, shared by the addresses not yet tried: one that does not
 * answer leaves some for the others. */
static uint64_t patience(const struct server *s)
{
	const struct server_login *l = s->login;
	uint64_t now = worker_now(s->worker);
	uint64_t left = l->until_us > now ? l->until_us - now : 0;

	return left / (l->target.addr_count - l->tries + 1);
}

static int try_address(struct server *s)
{
	struct server_login *l = s->login;
	bool in_progress;
	int fd, ret;

	fd = addr_connect(&l->target.addrs[l->position], &l->target.tcp, &in_progress);
	if (fd < 0)
		return fd;
	s->fd = fd;
	ret = stream_attach(&s->stream, s->worker->io, s->worker->chunks, fd);
	if (ret < 0) {
		close(fd);
		s->fd = -1;
		return ret;
	}
	s->fd = -1;
	server_set_timer(s, patience(s));
	if (in_progress)
		stream_connect_wait(&s->stream);
	else
		send_startup(s);
	return 0;
}

/* Goes through the addresses of the host, each at most once. */
static void try_addresses(struct server *s, int error)
{
	struct server_login *l = s->login;

	while (l->tries < l->target.addr_count) {
		l->tries++;
		error = try_address(s);
		if (error == 0)
			return;
		route_host_failed(s->host, l->position);
		if (l->tries < l->target.addr_count)
			l->position = (l->position + 1) % l->target.addr_count;
	}
	host_failed(s, "connection failed", error);
}

static void credentials(struct server *s, struct server_auth_credentials *with)
{
	struct server_login *l = s->login;
	const char *stored = s->pool->password;

	*with = (struct server_auth_credentials){
		.user = s->pool->user, .allow_cleartext = true
	};
	switch (secret_classify(stored)) {
	case SECRET_PLAIN:
		with->password = stored;
		break;
	case SECRET_MD5:
		with->md5_secret = stored;
		break;
	case SECRET_SCRAM:
	case SECRET_NONE:
	case SECRET_MALFORMED:
		break;
	}
	if (with->password == NULL) {
		l->password = login_get_password(s->pool->session);
		with->password = l->password;
	}
	if (login_get_keys(s->pool->session, &l->keys))
		with->keys = &l->keys;
}

void server_login_start(struct server *s)
{
	struct server_auth_credentials with;

	s->login = calloc(1, sizeof(*s->login));
	if (s->login == NULL) {
		login_failed(s, CONNECT_FAILED_HOST, "53200", "out of memory", 13);
		return;
	}
	route_host_target(s->host, &s->login->target);
	s->login->position = s->login->target.first;
	s->login->until_us = worker_now(s->worker) + s->login->target.connect_timeout_us;
	credentials(s, &with);
	server_auth_init(&s->login->auth, &with);
	s->login->has_auth = true;
	try_addresses(s, -EHOSTUNREACH);
}

static void next_address(struct server *s, int error)
{
	struct server_login *l = s->login;

	route_host_failed(s->host, l->position);
	stream_close(&s->stream);
	if (l->tries >= l->target.addr_count) {
		host_failed(s, "connection failed", error);
		return;
	}
	l->position = (l->position + 1) % l->target.addr_count;
	stream_init(&s->stream, &server_stream_ops);
	try_addresses(s, error);
}

void server_login_connected(struct server *s, int error)
{
	if (s->phase != SERVER_PHASE_CONNECT)
		return;
	if (error < 0)
		next_address(s, error);
	else
		send_startup(s);
}

void server_login_lost(struct server *s, int error)
{
	if (s->phase == SERVER_PHASE_CONNECT)
		next_address(s, error);
	else
		host_failed(s, "the server closed the connection during login", error);
}

void server_login_timeout(struct server *s)
{
	if (s->phase == SERVER_PHASE_CONNECT)
		next_address(s, -ETIMEDOUT);
	else
		host_failed(s, "login took longer than server_connect_timeout", 0);
}

/* --- the conversation ------------------------------------------------------------------ */

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
	if (result != SERVER_AUTH_FAILED)
		return true;
	login_failed(s, CONNECT_FAILED_LOGIN, "28000", diag.text, strlen(diag.text));
	return false;
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

static void logged_in(struct server *s)
{
	char database[160], user[160];
	struct addr local;
	bool has_local = sock_local(s->stream.conn.fd, &local);

	if (s->replication == NULL)
		monitor_describe(&s->host->monitor, &s->ps, s->backend_pid,
			has_local ? addr_port(&local) : 0);
	SLOG(DEBUG, "server-login", "server=%lu host=%s database=%s user=%s pid=%u",
		(unsigned long)s->ps.id, s->host->name,
		slog_quote(database, sizeof(database), s->pool->dbname, strlen(s->pool->dbname)),
		slog_quote(user, sizeof(user), s->pool->user, strlen(s->pool->user)),
		s->backend_pid);
	server_login_free(s);
	exchange_init(&s->xq);
	if (s->replication != NULL) {
		server_enter_phase(s, SERVER_PHASE_READY);
		client_server_ready(s->client);
		return;
	}
	login_refresh_welcome(s->pool->session, &s->reported);
	server_release(s);
}

/* False: stop, the server is on its way out or logged in. */
static bool login_message(struct server *s, const struct frame *f)
{
	bool ok = true;

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
		refused(s, f);
		return false;
	case 'N':
	case 'v':
		break;
	case 'Z':
		if (s->login->auth.state == SERVER_AUTH_STATE_OVER) {
			logged_in(s);
			return false;
		}
		ok = false;
		break;
	default:
		ok = false;
		break;
	}
	if (!ok)
		host_failed(s, "it sent a message that does not belong into a login", 0);
	return ok;
}

size_t server_login_data(struct server *s, const uint8_t *data, size_t len)
{
	size_t pos = 0;

	while (s->phase == SERVER_PHASE_LOGIN) {
		struct frame f;

		switch (frame_next(data + pos, len - pos, LOGIN_BODY_MAX, &f)) {
		case FRAME_NEED_MORE:
			return pos;
		case FRAME_BAD:
			host_failed(s, "it does not speak the PostgreSQL protocol", 0);
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
