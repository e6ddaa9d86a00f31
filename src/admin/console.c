/* SPDX-License-Identifier: ISC */
/*
 * From a Query to its handler, and the commands that are no views.
 */
#include "admin/console.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "admin/ask.h"
#include "admin/commands.h"
#include "admin/show.h"
#include "admin/utf8.h"
#include "base/clock.h"
#include "base/slog.h"
#include "config/value.h"
#include "pg/frame.h"
#include "pg/msg_out.h"

enum { QUOTED_MAX = 200, HINT_MAX = 160 };

/* What the answers to one query may come to before another of its commands is run. */
enum { ANSWERS_MAX = 16 * 1024 * 1024 };

/* What may follow the word. */
enum arguments { ARGUMENTS_NONE, ARGUMENTS_ONE, ARGUMENTS_MAYBE_ONE, ARGUMENTS_SETTING };

enum { RIGHTS_ADMIN = ROUTE_ADMIN, RIGHTS_STATS = ROUTE_ADMIN | ROUTE_STATS };

static const struct command_def {
	const char *word;
	enum arguments arguments;
	unsigned rights;
	ask_handler_f *handler;
	const char *help;
} commands[] = {
#define COMMAND(word, arguments, who, handler, help)                                     \
	{ #word, ARGUMENTS_##arguments, RIGHTS_##who, handler, (help) },
#include "commands.def"
#undef COMMAND
};

const struct view show_views[] = {
#define VIEW(word, who, handler, columns, help)                                          \
	{ #word, RIGHTS_##who, handler, &(columns), (help) },
#include "views.def"
#undef VIEW
};
const size_t show_view_count = COUNT_OF(show_views);

/* --- commands -------------------------------------------------------------------- */

static unsigned rights_of(const struct ask *ask)
{
	const struct client *c = client_find_id(ask->home, ask->slot, ask->id);

	return c == NULL ? 0 : c->console;
}

/* The command or view that was probably meant, as a hint; "" where there is none. */
static void find_hint(const struct command *c, char *to, size_t size)
{
	const char *words[COUNT_OF(commands) > COUNT_OF(show_views) ? COUNT_OF(commands) :
								      COUNT_OF(show_views)];
	const char *near;

	to[0] = '\0';
	for (size_t i = 0; i < COUNT_OF(commands); i++) {
		if (strcasecmp(commands[i].word, c->word) == 0 &&
			commands[i].handler != console_show) {
			(void)snprintf(to, size, "The command is %s", commands[i].help);
			return;
		}
		words[i] = commands[i].word;
	}
	near = value_nearest(c->word, words, COUNT_OF(commands));
	if (strcasecmp(c->word, "SHOW") != 0 && strcasecmp(c->word, "SELECT") != 0) {
		if (near != NULL)
			(void)snprintf(to, size, "Did you mean %s?", near);
		return;
	}
	for (size_t i = 0; i < COUNT_OF(show_views); i++)
		words[i] = show_views[i].word;
	near = value_nearest(c->argument, words, COUNT_OF(show_views));
	if (near != NULL)
		(void)snprintf(to, size, "Did you mean SHOW %s?", near);
}

static enum ask_result invalid(struct ask *ask, const char *sql)
{
	struct buf clean;
	char hint[HINT_MAX];

	find_hint(&ask->command, hint, sizeof(hint));
	buf_init(&clean, 0);
	utf8_add_clean(&clean, sql);
	if (buf_ok(&clean))
		ask_error_hint(ask, "08P01", hint[0] == '\0' ? NULL : hint,
			"invalid command '%.*s%s', use SHOW HELP;",
			QUOTED_MAX, (const char *)buf_data(&clean),
			buf_len(&clean) > QUOTED_MAX + 1 ? "..." : "");
	else
		ask_error(ask, "53200", "out of memory");
	buf_finish(&clean);
	return ASK_DONE;
}

static enum ask_result not_allowed(struct ask *ask)
{
	ask_error_hint(ask, "42501", "The user is not listed in admin_users.",
		"admin access needed");
	return ASK_DONE;
}

static enum ask_result show_setting(struct ask *ask, const char *value)
{
	const struct msg_out_column column = { .name = ask->command.argument,
		.type = MSG_OUT_TEXT };

	msg_out_row_description(&ask->out, &column, 1);
	msg_out_data_row(&ask->out, &value, 1);
	show_end(ask);
	return ASK_DONE;
}

enum ask_result console_show(struct ask *ask)
{
	const char *word = ask->command.argument;
	const char *faked = show_faked(word);
	char hint[HINT_MAX];

	for (size_t i = 0; i < show_view_count; i++) {
		const struct view *view = &show_views[i];

		if (strcasecmp(view->word, word) != 0)
			continue;
		return (view->rights & rights_of(ask)) != 0 ? view->handler(ask) :
							      not_allowed(ask);
	}
	if (faked != NULL)
		return show_setting(ask, faked);
	find_hint(&ask->command, hint, sizeof(hint));
	ask_error_hint(ask, "08P01", hint[0] == '\0' ? NULL : hint,
		"invalid command 'SHOW %s', use SHOW HELP;", word);
	return ASK_DONE;
}

static void deliver_reloaded(struct mail *mail, struct worker *w)
{
	struct ask *ask = container_of(mail, struct ask, mail);

	(void)w;
	ask->console->go_on(ask);
}

/* What has changed: in short, and each in a line of the detail. */
static void add_changes(struct ask *ask, const char *text)
{
	const char *rest = text == NULL ? NULL : strchr(text, '\n');
	char *brief = text == NULL ? NULL : strndup(text, strcspn(text, "\n"));
	const struct msg_out_error notice = { .severity = "NOTICE",
		.sqlstate = "00000",
		.message = brief,
		.detail = rest == NULL ? NULL : rest + 1 };

	if (brief != NULL && brief[0] != '\0')
		msg_out_notice(&ask->out, &notice);
	free(brief);
}

/* Any thread. */
static void on_reloaded(void *arg, bool ok, const char *text)
{
	struct ask *ask = arg;
	if (!ok) {
		ask_error(ask, ask->command.has_value ? "22023" : "F0000", "%s failed: %s",
			ask->word, text);
	} else {
		add_changes(ask, text);
		msg_out_command_complete(&ask->out, ask->word);
	}
	ask->mail.deliver = deliver_reloaded;
	worker_post(ask->home, &ask->mail);
}

/* Drivers set a few things when they connect: said to be done, and not done. */
static enum ask_result set_faked(struct ask *ask)
{
	const struct msg_out_error notice = { .severity = "NOTICE",
		.sqlstate = "00000",
		.message = "SET ignored" };

	msg_out_notice(&ask->out, &notice);
	msg_out_command_complete(&ask->out, ask->word);
	return ASK_DONE;
}

enum ask_result console_set(struct ask *ask)
{
	const struct console_calls *calls = &ask->console->calls;

	if (show_faked(ask->command.argument) != NULL)
		return set_faked(ask);
	if ((rights_of(ask) & ROUTE_ADMIN) == 0)
		return not_allowed(ask);
	ask_log(ask);
	calls->set(calls->arg, ask->command.argument, ask->command.value, on_reloaded, ask);
	return ASK_LATER;
}

enum ask_result console_reload(struct ask *ask)
{
	const struct console_calls *calls = &ask->console->calls;

	ask_log(ask);
	calls->reload(calls->arg, on_reloaded, ask);
	return ASK_LATER;
}

enum ask_result console_restart(struct ask *ask)
{
	const struct console_calls *calls = &ask->console->calls;

	if (hold_is_over(ask))
		return ASK_DONE;
	if (suspend_is_on(ask->console->router)) {
		ask_error_hint(ask, "55000",
			"Who waits there would wait in vain: the other process knows nothing of it.",
			"pooler is suspended");
		return ASK_DONE;
	}
	ask_log(ask);
	calls->restart(calls->arg, on_reloaded, ask);
	return ASK_LATER;
}

enum ask_result console_shutdown(struct ask *ask)
{
	static const struct {
		const char *word;
		enum router_drain drain;
	} modes[] = {
		{ "", ROUTER_SERVES },
		{ "WAIT_FOR_SERVERS", ROUTER_DRAINS_SERVERS },
		{ "WAIT_FOR_CLIENTS", ROUTER_DRAINS_CLIENTS },
	};
	const struct console_calls *calls = &ask->console->calls;

	for (size_t i = 0; i < COUNT_OF(modes); i++) {
		if (strcasecmp(modes[i].word, ask->command.argument) != 0)
			continue;
		ask_log(ask);
		msg_out_command_complete(&ask->out, ask->word);
		calls->shutdown(calls->arg, (int)modes[i].drain);
		return ASK_DONE;
	}
	ask_error(ask, "08P01", "invalid command 'SHUTDOWN %s', use SHOW HELP;",
		ask->command.argument);
	return ASK_DONE;
}

/* --- help ------------------------------------------------------------------------- */

enum ask_result show_help(struct ask *ask)
{
	struct msg_out_error notice = { .severity = "NOTICE",
		.sqlstate = "00000",
		.message = "Console usage" };
	struct buf text;

	buf_init(&text, 0);
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		buf_addf(&text, "\n\t%s", commands[i].help);
	buf_add_str(&text, "\nviews:");
	for (size_t i = 0; i < show_view_count; i++)
		buf_addf(&text, "\n\t%-15s %s", show_views[i].word, show_views[i].help);
	buf_add_u8(&text, 0);
	notice.detail = (const char *)buf_data(&text);
	if (buf_ok(&text))
		msg_out_notice(&ask->out, &notice);
	else
		ask->out.failed = true;
	buf_finish(&text);
	show_end(ask);
	return ASK_DONE;
}

/* --- the query ---------------------------------------------------------------------- */

static const struct command_def *find(const struct command *c)
{
	for (size_t i = 0; i < COUNT_OF(commands); i++) {
		const struct command_def *def = &commands[i];

		if (strcasecmp(def->word, c->word) != 0)
			continue;
		if (c->has_value != (def->arguments == ARGUMENTS_SETTING))
			return NULL;
		if (def->arguments == ARGUMENTS_NONE && c->has_argument)
			return NULL;
		if (def->arguments == ARGUMENTS_ONE && !c->has_argument)
			return NULL;
		return def;
	}
	return NULL;
}

static enum ask_result run(struct ask *ask, const char *sql)
{
	const struct command_def *def;

	if (buf_len(&ask->out) > ANSWERS_MAX) {
		ask_error_hint(ask, "54000", "Give its commands one by one.",
			"the answers to one query are too long");
		return ASK_DONE;
	}
	switch (command_parse(sql, &ask->command)) {
	case COMMAND_EMPTY:
		msg_out_empty_query(&ask->out);
		return ASK_DONE;
	case COMMAND_BAD:
		return invalid(ask, sql);
	case COMMAND_OK:
		break;
	}
	def = find(&ask->command);
	if (def == NULL)
		return invalid(ask, sql);
	if ((def->rights & rights_of(ask)) == 0)
		return not_allowed(ask);
	ask->word = def->word;
	return def->handler(ask);
}

static void deliver_next(struct mail *mail, struct worker *w)
{
	struct ask *ask = container_of(mail, struct ask, mail);

	(void)w;
	ask->console->go_on(ask);
}

static char *take_next(struct ask *ask)
{
	char *sql = ask->next == NULL ? command_split(&ask->rest) : ask->next;

	ask->next = NULL;
	return sql;
}

/* What is left of the query; the answer goes out when all of it has run.  Between two
 * commands it is the turn of everybody else on this worker. */
static void go_on(struct ask *ask)
{
	char *sql = ask->has_failed ? NULL : take_next(ask);

	if (sql != NULL) {
		ask->begin = buf_len(&ask->out);
		if (run(ask, sql) == ASK_LATER)
			return;
		ask->next = ask->has_failed ? NULL : command_split(&ask->rest);
	}
	if (ask->next != NULL) {
		ask->mail.deliver = deliver_next;
		worker_post(ask->home, &ask->mail);
		return;
	}
	if (buf_len(&ask->out) == 0)
		msg_out_empty_query(&ask->out);
	ask_reply(ask);
}

static void no_memory(struct client *c)
{
	const struct msg_out_error error = { .severity = "ERROR",
		.sqlstate = "53200",
		.message = "out of memory" };
	struct buf out;

	buf_init(&out, 0);
	msg_out_error(&out, &error);
	msg_out_ready_for_query(&out, 'I');
	client_console_reply(c, &out);
	buf_finish(&out);
}

static void begin(struct console *console, struct client *c, const char *sql,
	enum ask_kind kind, const struct extended_run *how)
{
	struct ask *ask = ask_create(console, c);

	if (ask != NULL && (ask->text = strdup(sql)) == NULL) {
		ask_destroy(ask);
		ask = NULL;
	}
	/* What is only described is asked for by the Execute behind it. */
	if (kind != ASK_DESCRIBE)
		atomic_fetch_add_explicit(&console->commands, 1, memory_order_relaxed);
	if (ask == NULL) {
		no_memory(c);
		return;
	}
	ask->rest = ask->text;
	ask->kind = kind;
	if (how != NULL)
		ask->run = *how;
	go_on(ask);
}

static void count_received(struct console *console, size_t body)
{
	atomic_fetch_add_explicit(
		&console->received_bytes, FRAME_HEADER + body, memory_order_relaxed);
}

static void on_query(void *arg, struct client *c, const char *sql)
{
	count_received(arg, strlen(sql) + 1);
	begin(arg, c, sql, ASK_QUERY, NULL);
}

static bool has_extended(struct client *c)
{
	if (c->console_state == NULL)
		c->console_state = malloc(sizeof(struct extended));
	else
		return true;
	if (c->console_state != NULL)
		extended_init(c->console_state);
	return c->console_state != NULL;
}

static void on_extended(
	void *arg, struct client *c, uint8_t type, const uint8_t *body, size_t len)
{
	struct console *console = arg;
	struct extended_run how;
	enum extended_todo todo;
	struct buf out;

	count_received(console, len);
	if (!has_extended(c)) {
		no_memory(c);
		return;
	}
	buf_init(&out, 0);
	todo = extended_message(c->console_state, type, body, len, &out, &how);
	atomic_fetch_add_explicit(&console->sent_bytes, buf_len(&out), memory_order_relaxed);
	if (todo == EXTENDED_NOTHING)
		client_console_reply(c, &out);
	else
		begin(console, c, how.text, todo == EXTENDED_DESCRIBE ? ASK_DESCRIBE : ASK_EXECUTE,
			&how);
	buf_finish(&out);
}

static void on_forget(void *state)
{
	extended_finish(state);
	free(state);
}

static void on_cancel(void *arg, struct client *c)
{
	ask_cancel(arg, c);
}

/* --- life ------------------------------------------------------------------------ */

int console_create(struct console **out, struct router *router,
	const struct console_calls *calls, const struct config *config)
{
	struct console *console = calloc(1, sizeof(*console));

	if (console == NULL)
		return -ENOMEM;
	if (started_take(&console->started, config) < 0) {
		free(console);
		return -ENOMEM;
	}
	console->router = router;
	console->calls = *calls;
	pthread_mutex_init(&console->lock, NULL);
	list_init(&console->asks);
	console->go_on = go_on;
	averages_init(&console->averages, clock_now_us());
	*out = console;
	return 0;
}

bool console_runs_with(const struct console *console, const char *name, const char *value)
{
	const char *now = started_value(&console->started, name);

	return now != NULL && strcmp(now, value) == 0;
}

void console_destroy(struct console **slot)
{
	struct console *console = *slot;

	*slot = NULL;
	if (console == NULL)
		return;
	list_for_each_safe(&console->asks, node)
		ask_destroy(container_of(node, struct ask, in_console));
	averages_finish(&console->averages);
	started_finish(&console->started);
	pthread_mutex_destroy(&console->lock);
	free(console);
}

void console_fill_ops(struct console *console, struct console_ops *ops)
{
	*ops = (struct console_ops){ .query = on_query,
		.extended = on_extended,
		.forget = on_forget,
		.cancel = on_cancel,
		.arg = console };
}
