/* SPDX-License-Identifier: ISC */
/*
 * Connecting to PostgreSQL: through the addresses of the host, one after the other,
 * until one lets us in and is what target_session_attrs asks for.
 *
 * The startup packet carries the user, the database and what the configuration
 * says, and nothing of any client's: values in it would survive DISCARD ALL.
 */
#include "session/server_connect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/slog.h"
#include "pg/msg_out.h"
#include "session/client.h"
#include "session/login.h"
#include "session/server_password.h"
#include "session/server_tls.h"

enum { STARTUP_PAIRS_MAX = 128 };

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

/* A password in clear is for nobody but the server: not for those between. */
static bool may_tell(const struct server *s)
{
	switch (s->login->target.cleartext) {
	case ROUTE_CLEARTEXT_NEVER:
		return false;
	case ROUTE_CLEARTEXT_TLS:
		return stream_tls(&s->stream) != NULL || addr_is_unix(&s->addr);
	case ROUTE_CLEARTEXT_ALWAYS:
		return true;
	}
	return false;
}

static void credentials(struct server *s, struct server_auth_credentials *with)
{
	struct server_login *l = s->login;
	const char *stored = l->fetched != NULL ? l->fetched : s->pool->password;

	*with = (struct server_auth_credentials){
		.user = s->pool->user, .allow_cleartext = may_tell(s)
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
	if (with->md5_secret == NULL) {
		l->md5 = login_get_md5(s->pool->session);
		with->md5_secret = l->md5;
	}
	if (login_get_keys(s->pool->session, &l->keys))
		with->keys = &l->keys;
}

/* Nothing is left of what another address said. */
static void begin_login(struct server *s)
{
	struct server_auth_credentials with;
	struct server_login *l = s->login;

	server_login_forget(l);
	credentials(s, &with);
	with.binding = server_tls_binding(s);
	server_auth_init(&l->auth, &with);
	l->has_auth = true;
	l->facts = (struct target_facts){ TARGET_UNKNOWN, TARGET_UNKNOWN, TARGET_UNKNOWN };
	params_finish(&s->reported);
	params_init(&s->reported);
	s->backend_pid = 0;
	s->key_len = 0;
}

/* What is left of the time, shared by the addresses not yet tried: one that does not
 * answer leaves some for the others. */
static uint64_t patience(const struct server *s)
{
	const struct server_login *l = s->login;
	uint64_t now = worker_now(s->worker);
	uint64_t left = l->until_us > now ? l->until_us - now : 0;
	uint32_t others = l->target.addr_count - l->tries;

	if (l->wants != l->target.wants && l->wants != ROUTE_TARGET_ANY)
		others += l->target.addr_count;
	return left / (others + 1);
}

void server_login_talk(struct server *s)
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
	s->login->step = LOGIN_TALKS;
	server_enter_phase(s, SERVER_PHASE_LOGIN);
	server_set_timer(s, patience(s));
	begin_login(s);
	buf_init(&out, 0);
	msg_out_startup(&out, STARTUP_PROTOCOL_3_0, pairs, count);
	stream_send_buf(&s->stream, &out);
	buf_finish(&out);
	stream_resume(&s->stream);
}

static void connected(struct server *s)
{
	if (server_tls_wanted(s))
		server_tls_begin(s);
	else
		server_login_talk(s);
}

/* --- the addresses ------------------------------------------------------------------- */

/* The next one of this pass.  For prefer-standby there are two: when no standby was
 * found, those that answered are asked for once more, and any will do. */
static bool next_position(struct server_login *l)
{
	const struct host_target *target = &l->target;

	for (;;) {
		while (l->tries < target->addr_count) {
			l->tries++;
			l->position = (l->position + 1) % target->addr_count;
			if ((l->skip >> l->position & 1) == 0)
				return true;
		}
		if (target->wants != ROUTE_TARGET_PREFER_STANDBY ||
			l->wants == ROUTE_TARGET_ANY)
			return false;
		l->wants = ROUTE_TARGET_ANY;
		l->tries = 0;
		l->skip = ~l->unfit;
	}
}

static void note(struct server_login *l, const char *what)
{
	size_t used = strlen(l->tried);

	(void)snprintf(l->tried + used, sizeof(l->tried) - used, "%s%s",
		used == 0 ? "" : "; ", what);
}

static void note_failed(struct server *s, const char *what, int error)
{
	char text[POOL_ERROR_TEXT_MAX], addr[ADDR_TEXT_MAX];

	(void)snprintf(text, sizeof(text), "%s: %s%s%s",
		addr_text(&s->addr, addr, sizeof(addr)), what, error == 0 ? "" : ": ",
		error == 0 ? "" : strerror(-error));
	note(s->login, text);
}

static bool nobody_is_there(int error)
{
	return error == -ECONNREFUSED || error == -ENETUNREACH || error == -EADDRNOTAVAIL ||
		error == -EAFNOSUPPORT;
}

/* A name may have more addresses than somebody listens at, as "localhost" has where
 * PostgreSQL has IPv4 only. */
static void failed_otherwise(struct server *s, int error)
{
	if (nobody_is_there(error))
		s->login->absent |= UINT32_C(1) << s->place;
	else
		s->login->is_otherwise = true;
}

static bool is_by_tls_alone(const struct server_login *l)
{
	return l->insecure != 0 && (l->absent & ~l->insecure) == 0 && !l->is_otherwise &&
		l->unfit == 0;
}

/* What is so for one role only must not keep others from connecting. */
static void all_failed(struct server *s)
{
	const struct server_login *l = s->login;
	enum route_target wants = l->target.wants;
	bool is_by_tls = is_by_tls_alone(l);
	char text[2 * POOL_ERROR_TEXT_MAX];

	if (l->target.addr_count == 0)
		(void)snprintf(text, sizeof(text),
			"could not connect to PostgreSQL: the name of host \"%s\" does not resolve",
			s->host->name);
	else if (wants == ROUTE_TARGET_ANY || wants == ROUTE_TARGET_PREFER_STANDBY)
		(void)snprintf(text, sizeof(text), "could not connect to PostgreSQL at %s",
			l->tried);
	else
		(void)snprintf(text, sizeof(text),
			"no server of host \"%s\" fits target_session_attrs=%s: %s",
			s->host->name, route_target_name(wants), l->tried);
	server_login_failed(s,
		l->is_by_role || is_by_tls ? CONNECT_FAILED_LOGIN : CONNECT_FAILED_HOST,
		is_by_tls ? "08001" : "08006", text, strlen(text));
}

static int try_address(struct server *s)
{
	struct server_login *l = s->login;
	bool in_progress;
	int fd, ret;

	s->addr = l->target.addrs[l->position];
	s->place = l->target.places[l->position];
	l->step = LOGIN_TALKS;
	fd = addr_connect(&s->addr, &l->target.tcp, &in_progress);
	if (fd < 0)
		return fd;
	ret = stream_attach(&s->stream, s->worker->io, s->worker->chunks, fd);
	if (ret < 0) {
		close(fd);
		return ret;
	}
	stream_set_secret(&s->stream, true);
	server_enter_phase(s, SERVER_PHASE_CONNECT);
	server_set_timer(s, patience(s));
	if (in_progress)
		stream_connect_wait(&s->stream);
	else
		connected(s);
	return 0;
}

static void try_addresses(struct server *s)
{
	struct server_login *l = s->login;

	do {
		int error;

		s->addr = l->target.addrs[l->position];
		if (worker_now(s->worker) >= l->until_us) {
			s->login->is_otherwise = true;
			note_failed(s, "not tried, no time was left", 0);
			continue;
		}
		error = try_address(s);
		if (error == 0)
			return;
		route_host_failed(s->host, &s->addr);
		failed_otherwise(s, error);
		note_failed(s, "connection failed", error);
	} while (next_position(l));
	all_failed(s);
}

static void take_target(struct server *s)
{
	struct server_login *l = s->login;

	route_tls_unref(s->tls);
	s->tls = route_host_connect(s->host, &l->target);
	l->wants = l->target.wants == ROUTE_TARGET_PREFER_STANDBY ? ROUTE_TARGET_STANDBY :
								    l->target.wants;
	/* Where the first step forward leads to. */
	l->position = l->target.first + l->target.addr_count - 1;
	l->tries = 0;
	l->unfit = 0;
	l->skip = 0;
}

/* A reload may have come while it was waited for: a password may be for the places of
 * after it, and is for no other then. */
static bool take_password(struct server *s)
{
	if (s->pool->source == NULL)
		return true;
	while (server_password_take(s)) {
		if (route_host_is_same(s->host, &s->login->target))
			return true;
		take_target(s);
	}
	return false;
}

void server_login_start(struct server *s, bool has_waited)
{
	static const char no_memory[] = "out of memory";
	struct server_login *l = calloc(1, sizeof(*l));

	s->login = l;
	if (l == NULL) {
		server_login_failed(s, CONNECT_FAILED_HOST, "53200", no_memory,
			sizeof(no_memory) - 1);
		return;
	}
	l->has_waited = has_waited;
	take_target(s);
	l->until_us = worker_now(s->worker) + l->target.connect_timeout_us;
	server_login_go(s);
}

void server_login_go(struct server *s)
{
	if (!take_password(s))
		return;
	/* Some address was tried: it is that one's turn again. */
	if (s->login->tries > 0 || next_position(s->login))
		try_addresses(s);
	else
		all_failed(s);
}

/* The connection that will not do has ended, or does not answer: then its unit is as
 * free as that of any server that does not answer. */
static void left(struct server *s)
{
	struct server_login *l = s->login;

	/* The time that took is not the other addresses'. */
	l->until_us += worker_now(s->worker) - l->left_at_us;
	stream_close(&s->stream);
	if (l->wants_password) {
		l->wants_password = false;
		server_login_go(s);
		return;
	}
	try_addresses(s);
}

static void leave_unanswered(struct server *s)
{
	char addr[ADDR_TEXT_MAX];

	SLOG_LIMITED(WARN, "server-close-timeout", "server=%lu pid=%u address=%s",
		(unsigned long)s->ps.id, s->backend_pid,
		addr_text(&s->addr, addr, sizeof(addr)));
	left(s);
}

/* Never two connections for one unit. */
void server_login_leave(struct server *s)
{
	struct buf out;

	s->login->step = LOGIN_LEAVES;
	s->login->left_at_us = worker_now(s->worker);
	server_set_timer(s, s->login->target.close_timeout_us);
	buf_init(&out, 0);
	msg_out_terminate(&out);
	stream_send_buf(&s->stream, &out);
	buf_finish(&out);
	stream_finish(&s->stream);
}

static void give_up_address(struct server *s)
{
	route_host_failed(s->host, &s->addr);
	if (!next_position(s->login))
		all_failed(s);
	else if (stream_is_open(&s->stream))
		server_login_leave(s);
	else
		try_addresses(s);
}

void server_address_failed(struct server *s, const char *what, int error)
{
	failed_otherwise(s, error);
	note_failed(s, what, error);
	give_up_address(s);
}

void server_address_insecure(struct server *s, const char *what)
{
	s->login->insecure |= UINT32_C(1) << s->place;
	note_failed(s, what, 0);
	give_up_address(s);
}

void server_address_unfit(struct server *s)
{
	char text[POOL_ERROR_TEXT_MAX], addr[ADDR_TEXT_MAX];
	struct server_login *l = s->login;

	(void)snprintf(text, sizeof(text), "%s %s", addr_text(&s->addr, addr, sizeof(addr)),
		target_describe(l->wants, &l->facts));
	note(l, text);
	l->is_by_role = l->is_by_role || target_is_by_role(l->wants, &l->facts);
	l->unfit |= UINT32_C(1) << l->position;
	give_up_address(s);
}

void server_login_connected(struct server *s, int error)
{
	if (s->phase != SERVER_PHASE_CONNECT)
		return;
	if (error < 0)
		server_login_lost(s, error);
	else
		connected(s);
}

void server_login_lost(struct server *s, int error)
{
	const char *what = s->phase == SERVER_PHASE_CONNECT ?
		"connection failed" : "the server closed the connection during login";

	char tls[128];
	bool is_by_tls;

	if (s->login->step == LOGIN_LEAVES) {
		left(s);
		return;
	}
	if (s->login->step == LOGIN_FETCHES) {
		server_password_late(s);
		return;
	}
	/* What TLS says goes before what the socket says. */
	(void)snprintf(tls, sizeof(tls), "TLS failed: %s", stream_tls_error(&s->stream));
	is_by_tls = stream_tls_error(&s->stream)[0] != '\0';
	stream_close(&s->stream);
	if (is_by_tls)
		server_address_insecure(s, tls);
	else
		server_address_failed(s, what, error);
}

void server_login_timeout(struct server *s)
{
	if (s->phase == SERVER_PHASE_CONNECT || s->login->step == LOGIN_FETCHES)
		server_login_lost(s, -ETIMEDOUT);
	else if (s->login->step == LOGIN_LEAVES)
		leave_unanswered(s);
	else
		server_address_failed(s, "login took longer than server_connect_timeout", 0);
}

/* --- later --------------------------------------------------------------------------- */

/* A standby was promoted.  That is all that counts: default_transaction_read_only may
 * be what a client has set. */
void server_role_changed(struct server *s)
{
	struct target_facts facts;
	char addr[ADDR_TEXT_MAX];
	enum route_target wants = route_host_wants(s->host);

	target_learn(&facts, &s->reported);
	facts.default_read_only = TARGET_NO;
	facts.read_only = TARGET_UNKNOWN;
	if (target_decide(wants, &facts) != TARGET_UNFIT ||
		!route_host_unfit(s->host, s->host_generation))
		return;
	SLOG(INFO, "host-unfit", "host=%s address=%s problem=\"%s\"", s->host->name,
		addr_text(&s->addr, addr, sizeof(addr)), target_describe(wants, &facts));
}
