/* SPDX-License-Identifier: ISC */
#include "admin/ask.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/slog.h"
#include "pg/msg_out.h"

enum { ERROR_TEXT_MAX = 1024, LOOK_FIRST_US = 10000, LOOK_LAST_US = 250000 };

static timer_fired_f on_timer;

static struct ask *create(struct console *console)
{
	struct ask *ask = calloc(1, sizeof(*ask));

	if (ask == NULL)
		return NULL;
	ask->console = console;
	list_node_init(&ask->mail.node);
	timer_init(&ask->timer, on_timer);
	buf_init(&ask->out, 0);
	pthread_mutex_lock(&console->lock);
	list_push_back(&console->asks, &ask->in_console);
	pthread_mutex_unlock(&console->lock);
	return ask;
}

struct ask *ask_create(struct console *console, struct client *c)
{
	struct ask *ask = create(console);

	if (ask == NULL)
		return NULL;
	ask->home = c->worker;
	ask->slot = c->slot;
	ask->id = c->id;
	return ask;
}

struct ask *ask_create_apart(struct console *console, ask_arrived_f *arrived, void *owner)
{
	struct ask *ask = create(console);

	if (ask == NULL)
		return NULL;
	ask->arrived = arrived;
	ask->owner = owner;
	return ask;
}

void ask_finish(struct ask *ask)
{
	if (ask->finish != NULL)
		ask->finish(ask);
}

void ask_destroy(struct ask *ask)
{
	pthread_mutex_lock(&ask->console->lock);
	list_remove(&ask->in_console);
	pthread_mutex_unlock(&ask->console->lock);
	buf_finish(&ask->out);
	free(ask->text);
	free(ask);
}

static void write_error(struct ask *, const char *sqlstate, const char *hint,
	const char *fmt, va_list) PRINTF_LIKE(4, 0);

static void write_error(struct ask *ask, const char *sqlstate, const char *hint,
	const char *fmt, va_list args)
{
	char text[ERROR_TEXT_MAX];
	const struct msg_out_error error = { .severity = "ERROR",
		.sqlstate = sqlstate,
		.message = text,
		.hint = hint };

	(void)vsnprintf(text, sizeof(text), fmt, args);
	buf_truncate(&ask->out, ask->begin);
	msg_out_error(&ask->out, &error);
	ask->has_failed = true;
}

void ask_error(struct ask *ask, const char *sqlstate, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	write_error(ask, sqlstate, NULL, fmt, args);
	va_end(args);
}

void ask_error_hint(
	struct ask *ask, const char *sqlstate, const char *hint, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	write_error(ask, sqlstate, hint, fmt, args);
	va_end(args);
}

void ask_log(const struct ask *ask)
{
	/* Another process passes on what it was asked for, and has said by whom. */
	const struct client *c = ask->home == NULL ? NULL :
		client_find_id(ask->home, ask->slot, ask->id);
	const char *name = c == NULL || c->console_user == NULL ? "" : c->console_user;
	const char *argument = ask->command.argument;
	char quoted[160], user[160], addr[ADDR_TEXT_MAX] = "";

	SLOG(INFO, "console-command", "command=%s argument=%s client=%lu user=%s addr=%s",
		ask->word, slog_quote(quoted, sizeof(quoted), argument, strlen(argument)),
		(unsigned long)ask->id, slog_quote(user, sizeof(user), name, strlen(name)),
		c == NULL ? addr : client_addr_text(c, addr));
}

/* Makes the answer of a query that of the message that was sent. */
static void answer_extended(struct ask *ask, struct client *c)
{
	struct extended *x = c->console_state;
	struct buf out;

	if (ask->has_failed) {
		x->skips = true;
		return;
	}
	buf_init(&out, 0);
	if (ask->kind == ASK_DESCRIBE)
		extended_describe(&ask->out, ask->run.is_statement, &ask->run.formats, &out);
	else
		extended_execute(&ask->out, &ask->run.formats, &out);
	buf_finish(&ask->out);
	ask->out = out;
	if (!buf_ok(&ask->out)) {
		ask->begin = 0;
		ask_error(ask, "53200", "out of memory");
		x->skips = true;
	}
}

void ask_reply(struct ask *ask)
{
	struct client *c = client_find_id(ask->home, ask->slot, ask->id);

	if (!buf_ok(&ask->out))
		ask_error(ask, "53200", "out of memory");
	if (ask->kind == ASK_QUERY)
		msg_out_ready_for_query(&ask->out, 'I');
	else if (c != NULL && c->state == CLIENT_ADMIN)
		answer_extended(ask, c);
	if (c != NULL && c->state == CLIENT_ADMIN) {
		atomic_fetch_add_explicit(&ask->console->sent_bytes, buf_len(&ask->out),
			memory_order_relaxed);
		client_console_reply(c, &ask->out);
	}
	ask_destroy(ask);
}

/* --- waiting -------------------------------------------------------------------- */

static void look_again(struct ask *ask, uint64_t now_us)
{
	timer_set(&ask->home->always, &ask->timer, now_us + ask->next_look_us);
	ask->next_look_us = u64_min(2 * ask->next_look_us, LOOK_LAST_US);
}

static void end_wait(struct ask *ask)
{
	ask->check = NULL;
	timer_finish(&ask->home->always, &ask->timer);
}

static void on_timer(struct timer *timer, uint64_t now_us)
{
	struct ask *ask = container_of(timer, struct ask, timer);

	if (client_find_id(ask->home, ask->slot, ask->id) == NULL) {
		end_wait(ask);
		ask_destroy(ask);
	} else if (!ask->check(ask)) {
		look_again(ask, now_us);
	} else {
		end_wait(ask);
		ask->console->go_on(ask);
	}
}

enum ask_result ask_wait(struct ask *ask, ask_check_f *check, ask_finish_f *undo)
{
	if (check(ask))
		return ASK_DONE;
	ask->check = check;
	ask->undo = undo;
	ask->next_look_us = LOOK_FIRST_US;
	look_again(ask, worker_now(ask->home));
	return ASK_LATER;
}

static struct ask *find_wait(struct console *console, const struct client *c)
{
	struct ask *found = NULL;

	pthread_mutex_lock(&console->lock);
	list_for_each(&console->asks, node) {
		struct ask *ask = container_of(node, struct ask, in_console);

		/* Those of other workers are theirs to look at. */
		if (ask->home == c->worker && ask->slot == c->slot && ask->id == c->id &&
			ask->check != NULL)
			found = ask;
	}
	pthread_mutex_unlock(&console->lock);
	return found;
}

void ask_cancel(struct console *console, const struct client *c)
{
	struct ask *ask = find_wait(console, c);

	if (ask == NULL)
		return;
	end_wait(ask);
	if (ask->undo != NULL)
		ask->undo(ask);
	ask_error(ask, "57014", "canceling statement due to user request");
	ask->console->go_on(ask);
}

/* --- the tour ------------------------------------------------------------------ */

static void visit(struct ask *ask, struct worker *w)
{
	for (size_t i = 0; i < CLIENT_STATE_COUNT; i++)
		ask->clients_in_state[i] += atomic_load_explicit(
			&w->clients_in_state[i], memory_order_relaxed);
	if (ask->visit != NULL)
		ask->visit(ask, w);
}

static void deliver(struct mail *mail, struct worker *w)
{
	struct ask *ask = container_of(mail, struct ask, mail);
	const struct router *r = ask->console->router;

	if (w == ask->home) {
		ask_finish(ask);
		ask->console->go_on(ask);
		return;
	}
	visit(ask, w);
	if (ask->home == NULL && w->index + 1 == r->worker_count) {
		ask->arrived(ask);
		return;
	}
	worker_post(r->workers[(w->index + 1) % r->worker_count], mail);
}

enum ask_result ask_tour(struct ask *ask, ask_visit_f *on_visit, ask_finish_f *on_finish)
{
	const struct router *r = ask->console->router;

	ask->visit = on_visit;
	ask->finish = on_finish;
	if (ask->home == NULL) {
		ask->mail.deliver = deliver;
		worker_post(r->workers[0], &ask->mail);
		return ASK_LATER;
	}
	visit(ask, ask->home);
	if (r->worker_count > 1) {
		ask->mail.deliver = deliver;
		worker_post(r->workers[(ask->home->index + 1) % r->worker_count],
			&ask->mail);
		return ASK_LATER;
	}
	if (on_finish != NULL)
		on_finish(ask);
	return ASK_DONE;
}
