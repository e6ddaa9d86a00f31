/* SPDX-License-Identifier: ISC */
#include "session/chore.h"

#include <openssl/crypto.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"

/* One that computes gives way to the threads that move data.  It stays for a while, as
 * what the library makes for each thread costs as much as a signature. */
enum { CHORE_NICE = 10, CHORE_LINGER_S = 10 };

enum { COMMAND_THREADS = 4 };

static const struct {
	uint32_t threads;               /* 0: as many as workers, but two at least */
	uint32_t waiting;
	uint32_t of_source;             /* run at once from one source; 0: any number */
	bool computes;
} limits[CHORE_KINDS] = {
	[CHORE_SYSTEM] = { 4, 10000, 0, false },
	[CHORE_DERIVE] = { 2, 10000, 0, true },
	[CHORE_SIGN] = { 0, 1000, 0, true },
	[CHORE_PAM] = { 8, 1000, 0, false },
	[CHORE_LDAP] = { 16, 1000, 0, false },
	[CHORE_COMMAND] = { COMMAND_THREADS, 1000, COMMAND_THREADS / 2, false },
};

struct chore_queue {
	struct chores *all;
	struct fair waiting;
	pthread_cond_t has_work;        /* for threads that linger */
	uint32_t threads;
	uint32_t idle;                  /* of these, that linger */
	uint32_t of_source;             /* as in the table */
	/* Where there is such a limit: of what is run, the sources. */
	uint64_t sources[COMMAND_THREADS];
	uint32_t running;
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
	pthread_condattr_t clock;

	if (all == NULL)
		return NULL;
	pthread_mutex_init(&all->lock, NULL);
	pthread_cond_init(&all->is_over, NULL);
	pthread_condattr_init(&clock);
	(void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	for (size_t i = 0; i < CHORE_KINDS; i++) {
		struct chore_queue *q = &all->queues[i];

		q->all = all;
		q->computes = limits[i].computes;
		q->of_source = limits[i].of_source;
		fair_init(&q->waiting, limits[i].waiting);
		pthread_cond_init(&q->has_work, &clock);
	}
	pthread_condattr_destroy(&clock);
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
	for (size_t i = 0; i < CHORE_KINDS; i++)
		pthread_cond_destroy(&all->queues[i].has_work);
	pthread_cond_destroy(&all->is_over);
	pthread_mutex_destroy(&all->lock);
	free(all);
}

static bool source_has_room(const struct chore_queue *q, uint64_t source)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < q->running; i++)
		count += q->sources[i] == source;
	return count < q->of_source;
}

static bool may_go(const struct fair_item *item, void *arg)
{
	const struct chore_queue *q = arg;

	return source_has_room(q, container_of(item, const struct chore, item)->source);
}

static struct chore *next_chore(struct chore_queue *q)
{
	bool is_limited = q->of_source > 0 && !q->all->is_closed;
	struct fair_item *item = is_limited ? fair_pop_if(&q->waiting, may_go, q) :
					      fair_pop(&q->waiting);
	struct chore *chore;

	if (item == NULL)
		return NULL;
	chore = container_of(item, struct chore, item);
	chore->queue = NULL;
	if (is_limited)
		q->sources[q->running++] = chore->source;
	return chore;
}

/* It was run: another one of its source may be. */
static void leave_source(struct chore_queue *q, uint64_t source)
{
	for (uint32_t i = 0; i < q->running; i++) {
		if (q->sources[i] == source) {
			q->sources[i] = q->sources[--q->running];
			return;
		}
	}
}

/* The same, by a thread that waits for one.  NULL: it is to end. */
static struct chore *await_chore(struct chore_queue *q)
{
	struct chore *chore = next_chore(q);
	struct timespec until;
	int ret = 0;

	if (chore != NULL || !q->computes)
		return chore;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += CHORE_LINGER_S;
	q->idle++;
	while (chore == NULL && ret == 0 && !q->all->is_closed) {
		ret = pthread_cond_timedwait(&q->has_work, &q->all->lock, &until);
		chore = next_chore(q);
	}
	q->idle--;
	return chore;
}

/* Under the lock, so that the worker is there until chores_close(). */
static void give_back(struct chores *all, struct chore *chore)
{
	if (all->is_closed)
		chore->done(chore, NULL);
	else
		worker_post(chore->worker, &chore->mail);
}

static void *work(void *arg)
{
	struct chore_queue *q = arg;
	struct chores *all = q->all;
	struct chore *chore;

	/* It would have the name of the worker that has started it. */
	(void)pthread_setname_np(pthread_self(), "chore");
	/* In Linux a thread has a niceness of its own; without it, all is as before. */
	if (q->computes)
		(void)setpriority(PRIO_PROCESS, 0, CHORE_NICE);
	pthread_mutex_lock(&all->lock);
	while ((chore = await_chore(q)) != NULL) {
		bool is_closed = all->is_closed;

		pthread_mutex_unlock(&all->lock);
		chore->was_run = !is_closed &&
			(chore->until_us == 0 || clock_now_us() < chore->until_us);
		if (chore->was_run)
			chore->run(chore);
		pthread_mutex_lock(&all->lock);
		leave_source(q, chore->source);
		give_back(all, chore);
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

/* Under the lock: one more waits.  False: there is no thread, and none can be had. */
static bool see_to_threads(struct chore_queue *q, uint32_t most, uint64_t source)
{
	if (q->waiting.count < q->idle || q->threads >= most ||
		(q->of_source > 0 && !source_has_room(q, source)))
		return true;
	if (start_thread(q)) {
		q->threads++;
		q->all->refs++;
	}
	return q->threads > 0;
}

static uint32_t most_threads(const struct worker *w, enum chore_kind kind)
{
	if (limits[kind].threads > 0)
		return limits[kind].threads;
	return w->router->worker_count > 2 ? w->router->worker_count : 2;
}

/* Under the lock. */
static bool enqueue(struct chore_queue *q, struct chore *chore)
{
	struct fair_item *out;
	struct chore *victim;

	if (!fair_push(&q->waiting, &chore->item, chore->source, &out))
		return false;
	chore->queue = q;
	if (out != NULL) {
		victim = container_of(out, struct chore, item);
		victim->queue = NULL;
		victim->was_crowded_out = true;
		give_back(q->all, victim);
	}
	if (q->idle > 0)
		pthread_cond_signal(&q->has_work);
	return true;
}

bool chore_start(struct worker *w, enum chore_kind kind, struct chore *chore)
{
	struct chores *all = w->router->chores;
	struct chore_queue *q = &all->queues[kind];
	bool is_fine;

	chore->worker = w;
	chore->was_run = false;
	chore->was_crowded_out = false;
	chore->queue = NULL;
	chore->mail.deliver = deliver;
	list_node_init(&chore->mail.node);
	fair_item_init(&chore->item);
	pthread_mutex_lock(&all->lock);
	is_fine = see_to_threads(q, most_threads(w, kind), chore->source) && enqueue(q, chore);
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
		(void)fair_remove(&chore->queue->waiting, &chore->item);
		chore->queue = NULL;
	}
	pthread_mutex_unlock(&all->lock);
	if (waited)
		chore->done(chore, NULL);
	return waited;
}

/* Under the lock. */
static void close_all(struct chores *all)
{
	all->is_closed = true;
	for (size_t i = 0; i < CHORE_KINDS; i++)
		pthread_cond_broadcast(&all->queues[i].has_work);
}

void chores_close(struct chores *all)
{
	pthread_mutex_lock(&all->lock);
	close_all(all);
	pthread_mutex_unlock(&all->lock);
}

void chores_destroy(struct chores *all)
{
	struct chore *chore;

	if (all == NULL)
		return;
	pthread_mutex_lock(&all->lock);
	close_all(all);
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
