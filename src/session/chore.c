/* SPDX-License-Identifier: ISC */
#include "session/chore.h"

#include <signal.h>
#include <stdlib.h>

/* Who leaves it last frees it: a thread may still hang in a look-up then. */
struct chores {
	pthread_mutex_t lock;
	struct list queue;
	uint32_t threads;
	uint32_t refs;                  /* the router's, and one for each thread */
	bool is_closed;
};

struct chores *chores_create(void)
{
	struct chores *all = calloc(1, sizeof(*all));

	if (all == NULL)
		return NULL;
	pthread_mutex_init(&all->lock, NULL);
	list_init(&all->queue);
	all->refs = 1;
	return all;
}

static void deliver(struct mail *mail, struct worker *w)
{
	struct chore *chore = container_of(mail, struct chore, mail);

	chore->done(chore, w);
}

/* Under the lock, which is given up. */
static void unref(struct chores *all)
{
	bool is_last = --all->refs == 0;

	pthread_mutex_unlock(&all->lock);
	if (!is_last)
		return;
	pthread_mutex_destroy(&all->lock);
	free(all);
}

static void *work(void *arg)
{
	struct chores *all = arg;
	struct list_node *node;

	pthread_mutex_lock(&all->lock);
	while ((node = list_pop_front(&all->queue)) != NULL) {
		struct chore *chore = container_of(node, struct chore, mail.node);

		pthread_mutex_unlock(&all->lock);
		chore->run(chore);
		pthread_mutex_lock(&all->lock);
		/* Under the lock, so that the worker is there until chores_close(). */
		if (all->is_closed)
			chore->done(chore, NULL);
		else
			worker_post(chore->worker, &chore->mail);
	}
	all->threads--;
	unref(all);
	return NULL;
}

/* Signals are the main thread's. */
static bool start_thread(struct chores *all)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t every, before;
	int ret;

	if (pthread_attr_init(&attr) != 0)
		return false;
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&every);
	(void)pthread_sigmask(SIG_SETMASK, &every, &before);
	ret = pthread_create(&thread, &attr, work, all);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attr);
	return ret == 0;
}

bool chore_start(struct worker *w, struct chore *chore)
{
	struct chores *all = w->router->chores;
	bool is_fine = true;

	chore->worker = w;
	chore->mail.deliver = deliver;
	list_node_init(&chore->mail.node);
	pthread_mutex_lock(&all->lock);
	list_push_back(&all->queue, &chore->mail.node);
	if (all->threads < CHORE_THREADS_MAX) {
		if (start_thread(all)) {
			all->threads++;
			all->refs++;
		} else if (all->threads == 0) {
			list_remove(&chore->mail.node);
			is_fine = false;
		}
	}
	pthread_mutex_unlock(&all->lock);
	return is_fine;
}

void chores_close(struct chores *all)
{
	pthread_mutex_lock(&all->lock);
	all->is_closed = true;
	pthread_mutex_unlock(&all->lock);
}

void chores_destroy(struct chores *all)
{
	struct list_node *node;

	if (all == NULL)
		return;
	pthread_mutex_lock(&all->lock);
	all->is_closed = true;
	while ((node = list_pop_front(&all->queue)) != NULL) {
		struct chore *chore = container_of(node, struct chore, mail.node);

		chore->done(chore, NULL);
	}
	unref(all);
}
