/* SPDX-License-Identifier: ISC */
#include "admin/ask.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "pg/msg_out.h"

enum { ERROR_TEXT_MAX = 1024 };

struct ask *ask_create(struct console *console, struct client *c)
{
	struct ask *ask = calloc(1, sizeof(*ask));

	if (ask == NULL)
		return NULL;
	ask->console = console;
	ask->home = c->worker;
	ask->slot = c->slot;
	ask->id = c->id;
	list_node_init(&ask->mail.node);
	buf_init(&ask->out, 0);
	pthread_mutex_lock(&console->lock);
	list_push_back(&console->asks, &ask->in_console);
	pthread_mutex_unlock(&console->lock);
	return ask;
}

void ask_destroy(struct ask *ask)
{
	pthread_mutex_lock(&ask->console->lock);
	list_remove(&ask->in_console);
	pthread_mutex_unlock(&ask->console->lock);
	buf_finish(&ask->out);
	free(ask);
}

void ask_error(struct ask *ask, const char *sqlstate, const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX];
	const struct msg_out_error error = { .severity = "ERROR",
		.sqlstate = sqlstate,
		.message = text };
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	buf_clear(&ask->out);
	msg_out_error(&ask->out, &error);
}

void ask_reply(struct ask *ask)
{
	struct client *c = client_find_id(ask->home, ask->slot, ask->id);

	if (!buf_ok(&ask->out))
		ask_error(ask, "53200", "out of memory");
	msg_out_ready_for_query(&ask->out, 'I');
	if (c != NULL && c->state == CLIENT_ADMIN) {
		atomic_fetch_add_explicit(&ask->console->sent_bytes, buf_len(&ask->out),
			memory_order_relaxed);
		client_console_reply(c, &ask->out);
	}
	ask_destroy(ask);
}

/* --- the tour ------------------------------------------------------------------ */

static void visit(struct ask *ask, struct worker *w)
{
	for (size_t i = 0; i < CLIENT_STATE_COUNT; i++)
		ask->clients_in_state[i] += w->clients_in_state[i];
	if (ask->visit != NULL)
		ask->visit(ask, w);
}

static void deliver(struct mail *mail, struct worker *w)
{
	struct ask *ask = container_of(mail, struct ask, mail);
	const struct router *r = ask->console->router;

	if (w == ask->home) {
		if (ask->finish != NULL)
			ask->finish(ask);
		ask_reply(ask);
		return;
	}
	visit(ask, w);
	worker_post(r->workers[(w->index + 1) % r->worker_count], mail);
}

enum ask_result ask_tour(struct ask *ask, ask_visit_f *on_visit, ask_finish_f *on_finish)
{
	const struct router *r = ask->console->router;

	ask->visit = on_visit;
	ask->finish = on_finish;
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
