/* SPDX-License-Identifier: ISC */
#include "session/client_work.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "session/client.h"
#include "session/client_pin.h"

enum { WORKS_KEPT = 128 };

static struct client_work *take(struct worker *w)
{
	struct list_node *node = list_pop_front(&w->free_works);

	if (node == NULL)
		return calloc(1, sizeof(struct client_work));
	w->free_work_count--;
	return container_of(node, struct client_work, in_free);
}

bool client_work_begin(struct client *c)
{
	struct client_work *work;

	if (c->work != NULL)
		return true;
	work = take(c->worker);
	if (work == NULL)
		return false;
	memset(work, 0, sizeof(*work));
	list_node_init(&work->in_free);
	work->client = c;
	lease_init(&work->lease, c->worker->index, c->id);
	touched_init(&work->touched);
	touched_init(&work->resets);
	params_init(&work->start);
	reuse_init(&work->reuse);
	c->work = work;
	return true;
}

static bool leaves_nothing(const struct client *c)
{
	const struct client_work *work = c->work;

	return !c->has_start && !c->resets_unsure && touched_is_empty(&work->touched) &&
		touched_is_empty(&work->resets) &&
		(work->pins.kinds | work->pins.prepared | work->pins.told) == 0;
}

static void finish(struct client_work *work)
{
	assert(work->lease.state == LEASE_NONE);
	touched_finish(&work->touched);
	touched_finish(&work->resets);
	params_finish(&work->start);
	reuse_finish(&work->reuse);
	prepared_name_unref(work->named);
	work->named = NULL;
}

void client_work_end(struct client *c)
{
	struct worker *w = c->worker;

	if (c->work == NULL || !leaves_nothing(c))
		return;
	if (w->free_work_count == WORKS_KEPT) {
		client_work_free(c);
		return;
	}
	finish(c->work);
	list_push_front(&w->free_works, &c->work->in_free);
	w->free_work_count++;
	c->work = NULL;
}

void client_work_free(struct client *c)
{
	if (c->work == NULL)
		return;
	/* What it keeps a server for, SHOW ADVICE has. */
	client_pin_forget(c);
	finish(c->work);
	free(c->work);
	c->work = NULL;
}

void client_works_free(struct worker *w)
{
	struct list_node *node;

	while ((node = list_pop_front(&w->free_works)) != NULL)
		free(container_of(node, struct client_work, in_free));
}
