/* SPDX-License-Identifier: ISC */
#include "admin/apart.h"

static void run_handler(struct chore *chore)
{
	struct ask *ask = container_of(chore, struct ask, chore);

	ask->result = ask->handler(ask);
}

static void run_finish(struct chore *chore)
{
	struct ask *ask = container_of(chore, struct ask, chore);

	ask_finish(ask);
	ask->result = ASK_DONE;
}

static void done(struct chore *, struct worker *);

static bool start(struct ask *ask, void (*run)(struct chore *))
{
	ask->chore = (struct chore){ .source = ask->id, .run = run, .done = done };
	ask->chore_is_out = chore_start(ask->home, CHORE_VIEW, &ask->chore);
	return ask->chore_is_out;
}

static void go_on(struct ask *ask)
{
	ask->is_apart = false;
	ask->console->go_on(ask);
}

static void finish(struct ask *ask)
{
	if (start(ask, run_finish))
		return;
	ask_finish(ask);
	go_on(ask);
}

static void done(struct chore *chore, struct worker *w)
{
	struct ask *ask = container_of(chore, struct ask, chore);

	/* The console frees it. */
	if (w == NULL)
		return;
	ask->chore_is_out = false;
	if (!chore->was_run)
		chore->run(chore);
	if (ask->result == ASK_DONE)
		go_on(ask);
	else if (ask->is_back)
		finish(ask);
}

/* From the tour, which the handler began: it may not be known yet that it did. */
static void come_home(struct mail *mail, struct worker *w)
{
	struct ask *ask = container_of(mail, struct ask, mail);

	(void)w;
	ask->is_back = true;
	if (!ask->chore_is_out)
		finish(ask);
}

static void arrived(struct ask *ask)
{
	ask->mail.deliver = come_home;
	worker_post(ask->home, &ask->mail);
}

enum ask_result apart_view(struct ask *ask, ask_handler_f *handler)
{
	ask->handler = handler;
	ask->arrived = arrived;
	ask->is_back = false;
	ask->is_apart = true;
	if (start(ask, run_handler))
		return ASK_LATER;
	ask->is_apart = false;
	return handler(ask);
}
