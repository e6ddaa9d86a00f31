/* SPDX-License-Identifier: ISC */
/*
 * May they, and the welcome: what PostgreSQL tells a client that has logged in
 * (client_auth.c has who it is).  The settings in it come from a server that was given the client's
 * own; they are kept with the pool, so that most logins need no server.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/rand.h"
#include "base/slog.h"
#include "pg/msg_out.h"
#include "session/client_priv.h"
#include "session/gate.h"
#include "session/login.h"
#include "session/server.h"

void client_login_free(struct client *c)
{
	struct client_login *login = c->login;

	if (login == NULL)
		return;
	client_auth_end(login);
	buf_wipe(&login->first);
	free(login);
	c->login = NULL;
}

/* --- the welcome ------------------------------------------------------------------------ */

static void make_key(struct client *c)
{
	c->key_len = c->login->protocol >= STARTUP_PROTOCOL_3_2 ? CLIENT_KEY_MAX : 4;
	rand_bytes(c->key, c->key_len);
}

static void log_login(struct client *c)
{
	char addr[ADDR_TEXT_MAX], user[160], database[160], application[160];
	const char *name = params_get(&c->params, "application_name");
	const struct client_login *login = c->login;

	if (!atomic_load_explicit(&c->worker->router->log_connections,
		memory_order_relaxed))
		return;
	name = name == NULL ? "" : name;
	SLOG(INFO, "client-login",
		"id=%lu workload=%s addr=%s user=%s database=%s application=%s",
		(unsigned long)c->id, c->workload->name, client_addr_text(c, addr),
		slog_quote(user, sizeof(user), login->user, strlen(login->user)),
		slog_quote(database, sizeof(database), login->database,
			strlen(login->database)),
		slog_quote(application, sizeof(application), name, strlen(name)));
}

static void send_welcome(struct client *c, const struct params *settings)
{
	struct buf *out = &c->login->first;
	const char *name, *value;
	size_t pos = 0;

	make_key(c);
	while (params_next(settings, &pos, &name, &value))
		msg_out_parameter_status(out, name, value);
	msg_out_backend_key_data(out, client_pid(c), c->key, c->key_len);
	msg_out_ready_for_query(out, 'I');
	client_send(c, out);
	log_login(c);
}

static void logged_in(struct client *c, const struct params *settings)
{
	send_welcome(c, settings);
	client_told_all(c, settings);
	stats_add(c->stats, STAT_client_login_count, 1);
	times_add(client_timed(c, WORKLOAD_TIME_LOGIN),
		worker_now(c->worker) - c->connected_us);
	client_login_free(c);
	buf_trim(&c->params.text);
}

/* PostgreSQL reports an application_name as it was given, so that welcomes need not
 * differ by it: many applications put a process id into it. */
static const char *application_name(const struct client *c)
{
	const char *name = params_get(&c->params, "application_name");

	return name == NULL || strlen(name) >= CLIENT_APPLICATION_SIZE ? NULL : name;
}

static uint64_t welcome_key(const struct client *c)
{
	if (application_name(c) != NULL)
		return params_key_without(&c->params, "application_name");
	return c->params.key;
}

/* The server that was leased for it has the client's settings. */
void client_login_granted(struct client *c)
{
	struct server *s = c->server;
	struct pool_login *login = c->route->pool->session;

	if (s->replication == NULL)
		login_set_welcome(login, welcome_key(c), &s->reported);
	logged_in(c, &s->reported);
	if (!s->is_session)
		s->ps.state_key = c->params.key;
	s->wanted_key = c->params.key;
	client_lease_over(c);
	if (s->replication == NULL) {
		server_release(s);
		return;
	}
	client_enter(c, CLIENT_ACTIVE);
	stream_retry(&c->stream);
}

static bool is_ignored(const struct route *route, const char *name)
{
	for (char **each = route->limits.ignored; *each != NULL; each++) {
		if (strcasecmp(*each, name) == 0)
			return true;
	}
	return false;
}

static bool drop_ignored(struct client *c)
{
	const char *name, *value;
	struct params kept;
	size_t pos = 0;
	bool ok = true;

	if (c->route->limits.ignored[0] == NULL)
		return true;
	params_init(&kept);
	while (ok && params_next(&c->params, &pos, &name, &value)) {
		if (!is_ignored(c->route, name))
			ok = params_set(&kept, name, value);
	}
	params_finish(&c->params);
	c->params = kept;
	params_seal(&c->params);
	return ok;
}

static bool known_welcome(struct client *c, struct params *settings)
{
	const char *name = application_name(c);

	if (!login_get_welcome(c->route->pool->session, welcome_key(c), settings))
		return false;
	return name == NULL || params_set(settings, "application_name", name);
}

static void welcome(struct client *c)
{
	struct params settings;

	client_enter(c, CLIENT_LOGIN);
	if (!drop_ignored(c)) {
		client_close(c, CLOSE_NO_MEMORY);
		return;
	}
	params_init(&settings);
	if (known_welcome(c, &settings)) {
		logged_in(c, &settings);
		client_enter(c, CLIENT_IDLE);
		stream_retry(&c->stream);
	} else {
		client_request(c);
	}
	params_finish(&settings);
}

/* --- the console ------------------------------------------------------------------------- */

static void welcome_console(struct client *c)
{
	static const char *const settings[][2] = {
		{ "server_encoding", "UTF8" },
		{ "client_encoding", "UTF8" },
		{ "DateStyle", "ISO" },
		{ "TimeZone", "GMT" },
		{ "standard_conforming_strings", "on" },
		{ "integer_datetimes", "on" },
		{ "is_superuser", "on" },
	};
	const char *application = params_get(&c->params, "application_name");
	struct params all;
	bool ok;

	params_init(&all);
	ok = params_set(&all, "server_version", c->worker->router->version);
	for (size_t i = 0; ok && i < COUNT_OF(settings); i++)
		ok = params_set(&all, settings[i][0], settings[i][1]);
	ok = ok && params_set(&all, "application_name", application == NULL ? "" : application);
	c->console_user = strdup(c->login->user);
	client_enter(c, CLIENT_ADMIN);
	if (ok && c->console_user != NULL) {
		send_welcome(c, &all);
		atomic_fetch_add_explicit(
			&c->worker->router->console_logins, 1, memory_order_relaxed);
		client_login_free(c);
		stream_retry(&c->stream);
	} else {
		client_close(c, CLOSE_NO_MEMORY);
	}
	params_finish(&all);
}

/* --- after the proof -------------------------------------------------------------------- */

static void no_route(struct client *c, enum route_result result)
{
	char text[160];

	switch (result) {
	case ROUTE_NO_DATABASE:
		(void)snprintf(text, sizeof(text), "database \"%s\" does not exist",
			c->login->database);
		client_close_with(c, CLOSE_NO_DATABASE, "3D000", text,
			"The connection router has no entry for it under databases.");
		return;
	case ROUTE_NOT_HERE:
		(void)snprintf(text, sizeof(text), "database \"%s\" is not served on this port",
			c->login->database);
		client_close_with(c, CLOSE_NO_DATABASE, "3D000", text,
			"The workload lists the databases that it serves.");
		return;
	case ROUTE_FULL:
		client_close_with(c, CLOSE_TOO_MANY, "53300",
			"too many combinations of database and user", NULL);
		return;
	case ROUTE_DATABASE_FULL:
	case ROUTE_USER_FULL:
		(void)snprintf(text, sizeof(text), "too many connections for %s \"%s\"",
			result == ROUTE_USER_FULL ? "role" : "database",
			result == ROUTE_USER_FULL ? c->login->user : c->login->database);
		client_close_with(c, CLOSE_TOO_MANY, "53300", text,
			result == ROUTE_USER_FULL ?
				"They are limited by max_user_client_connections." :
				"They are limited by max_db_client_connections.");
		return;
	case ROUTE_NO_MEMORY:
	case ROUTE_OK:
		client_close(c, CLOSE_NO_MEMORY);
		return;
	}
}

static void is_disabled(struct client *c)
{
	char text[160];

	(void)snprintf(text, sizeof(text), "database \"%s\" is disabled", c->login->database);
	client_close_with(c, CLOSE_NOT_ALLOWED, "55000", text,
		"An administrator of the connection router has disabled it on the console.");
}

/* What the client proved opens PostgreSQL for the pool of the same user. */
static void keep_proof(struct client *c)
{
	struct client_auth *auth = &c->login->auth;
	struct route_pool *pool = c->route->pool;
	bool is_news = false;

	if (!c->login->has_auth || pool->is_given || strcmp(pool->user, c->login->user) != 0)
		return;
	if (auth->stored != NULL && auth->method != CLIENT_AUTH_TRUST)
		is_news = login_set_version(pool->session, auth->stored);
	if (auth->known.keys != NULL && !auth->was_derived)
		is_news |= login_set_keys(pool->session, auth->known.keys);
	if (auth->known.password != NULL)
		is_news |= login_set_password(pool->session, auth->known.password);
	/* Those that failed may have had no proof, by trust or peer, or an old one. */
	if (is_news)
		monitor_proven(&pool->host->monitor, &pool->pool);
}

static void begin_replication(struct client *c)
{
	bool is_logical = c->login->replication == STARTUP_REPLICATION_LOGICAL;

	if (!client_work_begin(c)) {
		client_close_with(c, CLOSE_NO_MEMORY, "53200", "out of memory", NULL);
		return;
	}
	client_enter(c, CLIENT_LOGIN);
	if (!server_open_replication(c, is_logical ? "database" : "true"))
		client_close_with(c, CLOSE_TOO_MANY, "53300",
			"too many replication connections",
			"They are limited by max_replication_connections of the host.");
}

static bool count_in(struct client *c)
{
	struct route_workload *workload = c->workload;

	if (!gate_pass(c))
		return false;
	if (c->login->is_console)
		return true;
	c->is_counted = atomic_fetch_add(&workload->clients, 1) <
		atomic_load(&workload->max_client_conn);
	if (!c->is_counted)
		atomic_fetch_sub(&workload->clients, 1);
	return c->is_counted;
}

void client_login_proven(struct client *c)
{
	struct client_login *login = c->login;
	enum route_result result;

	if (!count_in(c)) {
		client_close(c, CLOSE_TOO_MANY);
		return;
	}
	if (login->is_console) {
		if (c->console == 0)
			client_close_with(c, CLOSE_NOT_ALLOWED, "28000", "not allowed",
				"The user is not listed in admin_users or stats_users.");
		else
			welcome_console(c);
		return;
	}
	if (login->replication != STARTUP_REPLICATION_NONE &&
		c->workload->mode != ROUTE_SESSION) {
		client_close_with(c, CLOSE_NOT_ALLOWED, "0A000",
			"replication connections need a port with pool_mode session", NULL);
		return;
	}
	result = directory_find(c->worker->router->directory, c->workload, login->database,
		login->user, &c->route);
	if (result == ROUTE_OK && atomic_load(&c->route->database->is_disabled)) {
		is_disabled(c);
		return;
	}
	/* Administrators of the router get in when it is full. */
	if (result == ROUTE_OK && (c->console & ROUTE_ADMIN) == 0) {
		result = route_count_client(c->route);
		c->is_in_limits = result == ROUTE_OK;
	}
	if (result != ROUTE_OK) {
		no_route(c, result);
		return;
	}
	c->stats = &c->route->counters->stats[c->worker->index];
	keep_proof(c);
	if (login->replication == STARTUP_REPLICATION_NONE)
		welcome(c);
	else
		begin_replication(c);
}
