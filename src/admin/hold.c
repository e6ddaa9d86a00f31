/* SPDX-License-Identifier: ISC */
/*
 * Commands that hold databases and end connections: PAUSE, RESUME, DISABLE, ENABLE,
 * RECONNECT, WAIT_CLOSE, KILL, KILL_CLIENT.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/commands.h"
#include "admin/show.h"
#include "base/clock.h"
#include "config/config.h"
#include "pg/msg_out.h"
#include "session/login.h"

/* The database that the command names; NULL: all. */
static const char *database_of(const struct ask *ask)
{
	return ask->command.has_argument ? ask->command.argument : NULL;
}

static enum ask_result done(struct ask *ask)
{
	msg_out_command_complete(&ask->out, ask->word);
	return ASK_DONE;
}

static void no_database(struct ask *ask)
{
	ask_error(ask, "3D000", "no such database: %s", ask->command.argument);
}

/* True: it is said why nothing was done. */
static bool is_refused(struct ask *ask, enum route_hold result)
{
	switch (result) {
	case ROUTE_HOLD_NO_DATABASE:
		no_database(ask);
		return true;
	case ROUTE_HOLD_NO_MEMORY:
		ask_error(ask, "53200", "out of memory");
		return true;
	case ROUTE_HOLD_ALREADY:
	case ROUTE_HOLD_DONE:
		return false;
	}
	return false;
}

/* The console itself cannot be held.  True: it is said. */
static bool is_console(struct ask *ask, const char *verb)
{
	const char *name = ask->command.argument;

	if (strcmp(name, "pgbouncer") != 0 && strcmp(name, "pgtandem") != 0)
		return false;
	ask_error(ask, "0A000", "cannot %s admin db: %s", verb, name);
	return true;
}

/* Another process's console is the one to be asked, or nobody's.  True: it is said. */
bool hold_is_over(struct ask *ask)
{
	struct router *r = ask->console->router;

	if (atomic_load(&r->hands_over)) {
		ask_error_hint(ask, "55000",
			"Connect again, and ask the process that takes over.",
			"a restart is under way, or has been");
		return true;
	}
	if (atomic_load(&r->drain) == ROUTER_SERVES)
		return false;
	ask_error(ask, "55000", "pooler is shutting down");
	return true;
}

/* The same for what ends something: until then it is this process's to do. */
static bool has_handed_over(struct ask *ask)
{
	return atomic_load(&ask->console->router->drain) == ROUTER_HANDED_OVER &&
		hold_is_over(ask);
}

/* The processes before this one, which still drain: it is theirs, too. */
static void tell_elsewhere(struct ask *ask)
{
	struct router *r = ask->console->router;
	const char *argument = ask->command.has_argument ? ask->command.argument : "";
	char order[COMMAND_WORD_MAX + COMMAND_ARGUMENT_MAX + 2], text[128];
	const struct msg_out_error notice = { .severity = "NOTICE",
		.sqlstate = "00000",
		.message = text };
	uint32_t told;
	int len;

	if (r->order_elsewhere == NULL)
		return;
	len = snprintf(order, sizeof(order), "%s%s%s", ask->word,
		argument[0] == '\0' ? "" : " ", argument);
	told = r->order_elsewhere(r->cancel_arg, order, (size_t)len);
	ask->elsewhere = told;
	if (told == 0)
		return;
	(void)snprintf(text, sizeof(text),
		"it was passed on to %u process%s before this one, which still drain%s", told,
		told == 1 ? "" : "es", told == 1 ? "s" : "");
	msg_out_notice(&ask->out, &notice);
}

/* --- what is left of the servers ---------------------------------------------------- */

static void add_left(struct route_pool *p, void *arg)
{
	struct monitor_left *sum = arg, one;

	monitor_pool_left(&p->host->monitor, &p->pool, clock_now_us(), &one);
	sum->servers += one.servers;
	sum->retired += one.retired;
}

static struct monitor_left what_is_left(struct ask *ask)
{
	struct monitor_left sum = { 0 };

	directory_each_pool(ask_directory(ask), database_of(ask), add_left, &sum);
	return sum;
}

/* --- PAUSE, RESUME ------------------------------------------------------------------ */

/* Nobody in this process uses it, nor in those before it that still drain. */
static bool is_at_rest(struct ask *ask)
{
	uint64_t elsewhere = atomic_load(&ask->console->router->quiet_elsewhere);

	return what_is_left(ask).servers == 0 &&
		elsewhere >= directory_holds_version(ask_directory(ask));
}

static bool is_free(struct ask *ask)
{
	struct route_held held;

	if (atomic_load(&ask->console->router->drain) == ROUTER_HANDED_OVER) {
		ask_error_hint(ask, "55000", "RESUME is for that to be told.",
			"the process that has taken over goes on with the pause");
		return true;
	}
	directory_held(ask_directory(ask), database_of(ask), &held);
	if (held.paused_us == 0) {
		ask_error(ask, "55000", "the pause has been ended by RESUME");
		return true;
	}
	if (!is_at_rest(ask))
		return false;
	msg_out_command_complete(&ask->out, ask->word);
	return true;
}

static void resume_again(struct ask *ask)
{
	(void)directory_pause(ask_directory(ask), database_of(ask), false);
	worker_tend_pools(ask->home);
}

enum ask_result hold_pause(struct ask *ask)
{
	ask_finish_f *undo = NULL;
	enum route_hold result;

	if (is_console(ask, "pause") || hold_is_over(ask))
		return ASK_DONE;
	/* Nothing that runs could come to its end. */
	if (suspend_is_on(ask->console->router)) {
		ask_error(ask, "55000", "already suspended/paused");
		return ASK_DONE;
	}
	result = directory_pause(ask_directory(ask), database_of(ask), true);
	if (is_refused(ask, result))
		return ASK_DONE;
	/* One database: wait for it, as the first who asks does, whose pause it is. */
	if (result == ROUTE_HOLD_ALREADY && database_of(ask) == NULL) {
		ask_error(ask, "55000", "already suspended/paused");
		return ASK_DONE;
	}
	if (result == ROUTE_HOLD_DONE) {
		undo = resume_again;
		ask_log(ask);
	}
	worker_tend_pools(ask->home);
	return ask_wait(ask, is_free, undo);
}

enum ask_result hold_resume(struct ask *ask)
{
	enum route_hold result;

	if (has_handed_over(ask))
		return ASK_DONE;
	if (atomic_load(&ask->console->router->drain) == ROUTER_DRAINS_SERVERS) {
		ask_error(ask, "55000", "pooler is shutting down");
		return ASK_DONE;
	}
	if (database_of(ask) == NULL && suspend_set(ask->console->router, false)) {
		ask_log(ask);
		return done(ask);
	}
	result = directory_pause(ask_directory(ask), database_of(ask), false);
	if (is_refused(ask, result))
		return ASK_DONE;
	if (result == ROUTE_HOLD_ALREADY) {
		if (database_of(ask) == NULL)
			ask_error(ask, "55000", "pooler is not paused/suspended");
		else
			ask_error(ask, "55000", "database %s is not paused",
				ask->command.argument);
		return ASK_DONE;
	}
	ask_log(ask);
	worker_tend_pools(ask->home);
	return done(ask);
}

/* --- SUSPEND ------------------------------------------------------------------------ */

static bool is_suspended(struct ask *ask)
{
	const struct router *r = ask->console->router;

	if (!suspend_is_on(r))
		ask_error(ask, "55000", "the suspension has been ended by RESUME");
	else if (!suspend_is_done(r))
		return false;
	else
		msg_out_command_complete(&ask->out, ask->word);
	return true;
}

static void go_on_again(struct ask *ask)
{
	(void)suspend_set(ask->console->router, false);
}

enum ask_result hold_suspend(struct ask *ask)
{
	struct router *r = ask->console->router;
	struct route_held held;

	if (hold_is_over(ask))
		return ASK_DONE;
	directory_held(ask_directory(ask), NULL, &held);
	if (held.paused_us != 0 || !suspend_set(r, true)) {
		ask_error(ask, "55000", "already suspended/paused");
		return ASK_DONE;
	}
	ask_log(ask);
	return ask_wait(ask, is_suspended, go_on_again);
}

/* --- DISABLE, ENABLE ---------------------------------------------------------------- */

static enum ask_result set_disabled(struct ask *ask, bool is_disabled)
{
	enum route_hold result;

	if (is_console(ask, is_disabled ? "disable" : "enable") ||
		(is_disabled ? hold_is_over(ask) : has_handed_over(ask)))
		return ASK_DONE;
	result = directory_disable(ask_directory(ask), ask->command.argument, is_disabled);
	if (is_refused(ask, result))
		return ASK_DONE;
	if (result == ROUTE_HOLD_DONE)
		ask_log(ask);
	return done(ask);
}

enum ask_result hold_disable(struct ask *ask)
{
	return set_disabled(ask, true);
}

enum ask_result hold_enable(struct ask *ask)
{
	return set_disabled(ask, false);
}

/* --- RECONNECT, WAIT_CLOSE ------------------------------------------------------------ */

static bool knows_database(struct ask *ask)
{
	struct config *config = directory_config(ask_directory(ask));
	bool knows = database_of(ask) == NULL ||
		config_find_database(config, database_of(ask)) != NULL;

	config_unref(config);
	return knows;
}

static void renew(struct route_pool *p, void *arg)
{
	(void)arg;
	login_forget_welcomes(p->session);
	monitor_retire(&p->host->monitor, &p->pool);
}

enum ask_result hold_reconnect(struct ask *ask)
{
	/* Who asks here means the servers of all. */
	if (is_console(ask, "reconnect") || has_handed_over(ask))
		return ASK_DONE;
	if (!knows_database(ask)) {
		no_database(ask);
		return ASK_DONE;
	}
	ask_log(ask);
	tell_elsewhere(ask);
	directory_each_pool(ask_directory(ask), database_of(ask), renew, NULL);
	worker_tend_pools(ask->home);
	return done(ask);
}

static bool are_closed(struct ask *ask)
{
	if (what_is_left(ask).retired > 0)
		return false;
	msg_out_command_complete(&ask->out, ask->word);
	return true;
}

enum ask_result hold_wait_close(struct ask *ask)
{
	if (is_console(ask, "wait in"))
		return ASK_DONE;
	if (!knows_database(ask)) {
		no_database(ask);
		return ASK_DONE;
	}
	return ask_wait(ask, are_closed, NULL);
}

/* --- KILL, KILL_CLIENT ------------------------------------------------------------------ */

static bool is_to_go(const struct ask *ask, const struct client *c)
{
	return c != NULL && c->route != NULL &&
		(database_of(ask) == NULL ||
			directory_leads_to(ask_directory(ask), database_of(ask), c->route->pool));
}

/* The queries that they run are cancelled, and their servers close. */
static void kill_clients(struct ask *ask, struct worker *w)
{
	for (uint32_t i = 0; i < w->client_slots; i++) {
		if (is_to_go(ask, w->clients[i]))
			client_close(w->clients[i], CLOSE_KILLED);
	}
}

static void have_killed(struct ask *ask)
{
	msg_out_command_complete(&ask->out, ask->word);
}

enum ask_result hold_kill(struct ask *ask)
{
	if (is_console(ask, "kill") || hold_is_over(ask))
		return ASK_DONE;
	if (is_refused(ask, directory_pause(ask_directory(ask), database_of(ask), true)))
		return ASK_DONE;
	ask_log(ask);
	tell_elsewhere(ask);
	worker_tend_pools(ask->home);
	return ask_tour(ask, kill_clients, have_killed);
}

static void kill_client(struct ask *ask, struct worker *w)
{
	for (uint32_t i = 0; i < w->client_slots && ask->found == 0; i++) {
		struct client *c = w->clients[i];

		if (c == NULL || c->state == CLIENT_ENDING || !show_is_client(c, ask->wanted))
			continue;
		client_close(c, CLOSE_KILLED);
		ask->found++;
	}
}

static void have_killed_client(struct ask *ask)
{
	/* Whether it is there, that process knows. */
	if (ask->found == 0)
		tell_elsewhere(ask);
	if (ask->found > 0 || ask->elsewhere > 0)
		msg_out_command_complete(&ask->out, ask->word);
	else if (!has_handed_over(ask))
		ask_error_hint(ask, "42704", "SHOW CLIENTS has the id of each.",
			"client not found");
}

/* The number that the argument is.  False: it is none. */
static bool read_wanted(struct ask *ask)
{
	const char *text = ask->command.argument;
	bool is_pointer = strncmp(text, "0x", 2) == 0;
	char *end;

	errno = 0;
	ask->found = 0;
	ask->wanted = strtoull(text, &end, is_pointer ? 16 : 10);
	return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0;
}

enum ask_result hold_kill_client(struct ask *ask)
{
	if (!read_wanted(ask)) {
		ask_error_hint(ask, "22023",
			"It is the id, or the ptr, of a client in SHOW CLIENTS.",
			"invalid client pointer supplied");
		return ASK_DONE;
	}
	ask_log(ask);
	return ask_tour(ask, kill_client, have_killed_client);
}

/* --- what the process that has taken over was asked for ------------------------------- */

static void reconnect_here(struct ask *ask, struct worker *w)
{
	if (w->index != 0)
		return;
	directory_each_pool(ask_directory(ask), database_of(ask), renew, NULL);
	worker_tend_pools(w);
}

void console_order(struct console *console, const char *text)
{
	static const struct {
		const char *word;
		ask_visit_f *visit;
	} orders[] = {
		{ "KILL", kill_clients },
		{ "KILL_CLIENT", kill_client },
		{ "RECONNECT", reconnect_here },
	};
	struct ask *ask = ask_create_apart(console, ask_destroy, NULL);
	size_t len = strcspn(text, " "), i = 0;

	if (ask == NULL)
		return;
	while (i < COUNT_OF(orders) &&
		(strlen(orders[i].word) != len || strncmp(orders[i].word, text, len) != 0))
		i++;
	ask->command.has_argument = text[len] == ' ';
	(void)snprintf(ask->command.argument, sizeof(ask->command.argument), "%s",
		text[len] == ' ' ? text + len + 1 : "");
	if (i == COUNT_OF(orders) || (orders[i].visit == kill_client && !read_wanted(ask))) {
		ask_destroy(ask);
		return;
	}
	ask->word = orders[i].word;
	ask_log(ask);
	(void)ask_tour(ask, orders[i].visit, NULL);
}
