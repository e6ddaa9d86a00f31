/* SPDX-License-Identifier: ISC */
#include "session/chore.h"

#include <openssl/crypto.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"

/* One that computes gives way to the threads that move data. */
enum { CHORE_NICE = 10 };

static const struct {
	uint32_t threads;
	uint32_t waiting;
	bool computes;
} limits[CHORE_KINDS] = {
	[CHORE_SYSTEM] = { 4, 10000, false },
	[CHORE_DERIVE] = { 2, 10000, true },
	[CHORE_PAM] = { 8, 1000, false },
	[CHORE_LDAP] = { 16, 1000, false },
	[CHORE_COMMAND] = { 4, 1000, false },
};

struct chore_queue {
	struct chores *all;
	struct list waiting;
	uint32_t count;
	uint32_t threads;
	bool computes;
};

/* Who leaves it last frees it: a thread may still hang in a look-up then. */
struct chores {
	pthread_mutex_t lock;
	pthread_cond_t is_over;         /* a thread that computes has ended */
	struct chore_queue queues[CHORE_KINDS];
	uint32_t refs;                  /* the router's, and one for each thread */
	bool is_closed;
};

struct chores *chores_create(void)
{
	struct chores *all = calloc(1, sizeof(*all));

	if (all == NULL)
		return NULL;
	pthread_mutex_init(&all->lock, NULL);
	pthread_cond_init(&all->is_over, NULL);
	for (size_t i = 0; i < CHORE_KINDS; i++) {
		all->queues[i] = (struct chore_queue){ .all = all,
			.computes = limits[i].computes };
		list_init(&all->queues[i].waiting);
	}
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
	pthread_cond_destroy(&all->is_over);
	pthread_mutex_destroy(&all->lock);
	free(all);
}

static struct chore *next_chore(struct chore_queue *q)
{
	struct list_node *node = list_pop_front(&q->waiting);
	struct chore *chore;

	if (node == NULL)
		return NULL;
	q->count--;
	chore = container_of(node, struct chore, mail.node);
	chore->queue = NULL;
	return chore;
}

static void *work(void *arg)
{
	struct chore_queue *q = arg;
	struct chores *all = q->all;
	struct chore *chore;

	/* In Linux a thread has a niceness of its own; without it, all is as before. */
	if (q->computes)
		(void)setpriority(PRIO_PROCESS, 0, CHORE_NICE);
	pthread_mutex_lock(&all->lock);
	while ((chore = next_chore(q)) != NULL) {
		pthread_mutex_unlock(&all->lock);
		chore->was_run = chore->until_us == 0 || clock_now_us() < chore->until_us;
		if (chore->was_run)
			chore->run(chore);
		pthread_mutex_lock(&all->lock);
		/* Under the lock, so that the worker is there until chores_close(). */
		if (all->is_closed)
			chore->done(chore, NULL);
		else
			worker_post(chore->worker, &chore->mail);
	}
	if (q->computes) {
		/* What the library keeps for the thread, while there is a library. */
		OPENSSL_thread_stop();
		pthread_cond_signal(&all->is_over);
	}
	q->threads--;
	unref(all);
	return NULL;
}

/* Signals are the main thread's. */
static bool start_thread(struct chore_queue *q)
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
	ret = pthread_create(&thread, &attr, work, q);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attr);
	return ret == 0;
}

bool chore_start(struct worker *w, enum chore_kind kind, struct chore *chore)
{
	struct chores *all = w->router->chores;
	struct chore_queue *q = &all->queues[kind];
	bool is_fine;

	chore->worker = w;
	chore->was_run = false;
	chore->queue = NULL;
	chore->mail.deliver = deliver;
	list_node_init(&chore->mail.node);
	pthread_mutex_lock(&all->lock);
	is_fine = q->count < limits[kind].waiting;
	if (is_fine && q->threads < limits[kind].threads) {
		if (start_thread(q)) {
			q->threads++;
			all->refs++;
		}
		is_fine = q->threads > 0;
	}
	if (is_fine) {
		chore->queue = q;
		list_push_back(&q->waiting, &chore->mail.node);
		q->count++;
	}
	pthread_mutex_unlock(&all->lock);
	return is_fine;
}

bool chore_withdraw(struct worker *w, struct chore *chore)
{
	struct chores *all = w->router->chores;
	bool waited;

	pthread_mutex_lock(&all->lock);
	/* Once it is closed, threads free what they have done. */
	waited = !all->is_closed && chore->queue != NULL;
	if (waited) {
		list_remove(&chore->mail.node);
		chore->queue->count--;
		chore->queue = NULL;
	}
	pthread_mutex_unlock(&all->lock);
	if (waited)
		chore->done(chore, NULL);
	return waited;
}

void chores_close(struct chores *all)
{
	pthread_mutex_lock(&all->lock);
	all->is_closed = true;
	pthread_mutex_unlock(&all->lock);
}

void chores_destroy(struct chores *all)
{
	struct chore *chore;

	if (all == NULL)
		return;
	pthread_mutex_lock(&all->lock);
	all->is_closed = true;
	for (size_t i = 0; i < CHORE_KINDS; i++) {
		while ((chore = next_chore(&all->queues[i])) != NULL)
			chore->done(chore, NULL);
	}
	for (size_t i = 0; i < CHORE_KINDS; i++) {
		while (all->queues[i].computes && all->queues[i].threads > 0)
			pthread_cond_wait(&all->is_over, &all->lock);
	}
	unref(all);
}
