/* SPDX-License-Identifier: ISC */
/*
 * Chores with threads as they are, and a worker that has nothing but its letters.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "session/chore.h"
#include "suites.h"

enum { PATIENCE_US = 20 * 1000 * 1000, SIGN_THREADS = 2, PAM_THREADS = 8, PAM_WAITING = 1000 };

/* Where threads stay until the test lets them go on. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool is_open;
	uint32_t inside;
	uint32_t order;         /* chores that were run */
} barrier;

struct job {
	struct chore chore;
	uint32_t order;         /* in which they were run, from 1; 0: it was not */
	bool is_barrier;
	bool is_done;
	bool is_freed;          /* done without a worker */
};

static struct router router;
static struct worker worker;
static struct job jobs[PAM_WAITING + 100];

static void run(struct chore *chore)
{
	struct job *job = container_of(chore, struct job, chore);

	pthread_mutex_lock(&barrier.lock);
	job->order = ++barrier.order;
	barrier.inside++;
	pthread_cond_broadcast(&barrier.changed);
	while (job->is_barrier && !barrier.is_open)
		pthread_cond_wait(&barrier.changed, &barrier.lock);
	pthread_mutex_unlock(&barrier.lock);
}

static void done(struct chore *chore, struct worker *w)
{
	struct job *job = container_of(chore, struct job, chore);

	ck_assert(!job->is_done && !job->is_freed);
	if (w == NULL)
		job->is_freed = true;
	else
		job->is_done = true;
}

static void begin(void)
{
	pthread_mutex_init(&barrier.lock, NULL);
	pthread_cond_init(&barrier.changed, NULL);
	barrier.is_open = false;
	barrier.inside = barrier.order = 0;
	router = (struct router){ .worker_count = 1, .chores = chores_create() };
	ck_assert_ptr_nonnull(router.chores);
	worker = (struct worker){ .router = &router };
	pthread_mutex_init(&worker.mail_lock, NULL);
	list_init(&worker.mail);
	/* Nobody is to be woken: its letters are looked for. */
	atomic_store(&worker.has_ended, true);
	memset(jobs, 0, sizeof(jobs));
}

static void end(void)
{
	chores_destroy(router.chores);
	pthread_mutex_destroy(&worker.mail_lock);
}

static bool start(size_t i, enum chore_kind kind, uint64_t source)
{
	jobs[i].chore.run = run;
	jobs[i].chore.done = done;
	jobs[i].chore.source = source;
	return chore_start(&worker, kind, &jobs[i].chore);
}

/* So many threads are busy from now on. */
static void block(size_t first, uint32_t count, enum chore_kind kind)
{
	for (uint32_t i = 0; i < count; i++) {
		jobs[first + i].is_barrier = true;
		ck_assert(start(first + i, kind, 0));
	}
	pthread_mutex_lock(&barrier.lock);
	while (barrier.inside < count)
		pthread_cond_wait(&barrier.changed, &barrier.lock);
	pthread_mutex_unlock(&barrier.lock);
}

static void unblock(void)
{
	pthread_mutex_lock(&barrier.lock);
	barrier.is_open = true;
	pthread_cond_broadcast(&barrier.changed);
	pthread_mutex_unlock(&barrier.lock);
}

static void await(size_t i)
{
	uint64_t until_us = clock_now_us() + PATIENCE_US;

	while (!jobs[i].is_done) {
		ck_assert_uint_lt(clock_now_us(), until_us);
		if (!worker_read_last_mail(&worker))
			sched_yield();
	}
}

START_TEST(threads_stay_for_the_next_one)
{
	for (size_t i = 0; i < 100; i++) {
		ck_assert(start(i, CHORE_SIGN, i));
		await(i);
		ck_assert(jobs[i].chore.was_run);
		ck_assert_uint_eq(jobs[i].order, i + 1);
	}
}
END_TEST

START_TEST(nobody_waits_for_an_idle_thread)
{
	uint64_t began_us = clock_now_us();

	ck_assert(start(0, CHORE_SIGN, 0));
	await(0);
	end();
	ck_assert_uint_lt(clock_now_us() - began_us, 5000000);
	begin();
}
END_TEST

START_TEST(addresses_take_turns)
{
	size_t other = SIGN_THREADS + 50;

	block(0, SIGN_THREADS, CHORE_SIGN);
	for (size_t i = SIGN_THREADS; i < other; i++)
		ck_assert(start(i, CHORE_SIGN, 17));
	/* Some of these may share a lane, but not all. */
	for (size_t i = 0; i < 8; i++)
		ck_assert(start(other + i, CHORE_SIGN, 100 + i));
	unblock();
	for (size_t i = 0; i < other + 8; i++)
		await(i);
	for (size_t i = 0, late = 0; i < 8; i++) {
		late += jobs[other + i].order > SIGN_THREADS + 8 + 2 + SIGN_THREADS;
		ck_assert_uint_le(late, 4);
	}
}
END_TEST

START_TEST(who_has_most_makes_room)
{
	size_t first = PAM_THREADS, last = PAM_THREADS + PAM_WAITING;
	uint64_t other = 100;
	size_t victim;

	block(0, PAM_THREADS, CHORE_PAM);
	for (size_t i = first; i < last; i++)
		ck_assert(start(i, CHORE_PAM, 17));
	ck_assert(!start(last, CHORE_PAM, 17));
	/* Unless it happens to have the first one's lane. */
	while (!start(last, CHORE_PAM, other))
		ck_assert_uint_lt(++other, 110);
	/* The last one of one of its two lanes. */
	victim = jobs[last - 1].chore.was_crowded_out ? last - 1 : last - 2;
	await(victim);
	ck_assert(jobs[victim].chore.was_crowded_out);
	ck_assert(!jobs[victim].chore.was_run);
	ck_assert(!jobs[victim].is_freed);
	unblock();
	await(last);
	ck_assert(jobs[last].chore.was_run && !jobs[last].chore.was_crowded_out);
	for (size_t i = 0; i < last; i++)
		await(i);
}
END_TEST

START_TEST(withdrawn_or_too_late)
{
	block(0, SIGN_THREADS, CHORE_SIGN);
	ck_assert(start(10, CHORE_SIGN, 1));
	ck_assert(start(11, CHORE_SIGN, 1));
	ck_assert(chore_withdraw(&worker, &jobs[10].chore));
	ck_assert(jobs[10].is_freed);
	ck_assert(!chore_withdraw(&worker, &jobs[0].chore));
	jobs[11].chore.until_us = clock_now_us() - 1;
	unblock();
	await(11);
	ck_assert(!jobs[11].chore.was_run && !jobs[11].chore.was_crowded_out);
	ck_assert_uint_eq(jobs[10].order, 0);
}
END_TEST

/* Two of one host's commands hang: its others wait, and another host's are run. */
START_TEST(commands_of_one_host_leave_threads_to_others)
{
	enum { HANGING = 2, OF_IT = 20, ELSEWHERE = 40 };

	for (size_t i = 0; i < HANGING; i++)
		jobs[i].is_barrier = true;
	for (size_t i = 0; i < OF_IT; i++)
		ck_assert(start(i, CHORE_COMMAND, 17));
	pthread_mutex_lock(&barrier.lock);
	while (barrier.inside < HANGING)
		pthread_cond_wait(&barrier.changed, &barrier.lock);
	pthread_mutex_unlock(&barrier.lock);
	/* With one source for each two of them: some may share its lanes. */
	for (size_t i = OF_IT; i < ELSEWHERE; i++)
		ck_assert(start(i, CHORE_COMMAND, 100 + i / 2));
	for (size_t i = OF_IT; i < ELSEWHERE; i++)
		await(i);
	for (size_t i = HANGING; i < OF_IT; i++)
		ck_assert_uint_eq(jobs[i].order, 0);
	unblock();
	for (size_t i = 0; i < OF_IT; i++) {
		await(i);
		ck_assert(jobs[i].chore.was_run);
	}
}
END_TEST

/* What waits then is not run, and what runs comes to nobody. */
START_TEST(closed)
{
	block(0, SIGN_THREADS, CHORE_SIGN);
	ck_assert(start(10, CHORE_SIGN, 1));
	chores_close(router.chores);
	ck_assert(!chore_withdraw(&worker, &jobs[10].chore));
	unblock();
	chores_destroy(router.chores);
	router.chores = NULL;
	ck_assert(jobs[0].is_freed && jobs[1].is_freed && jobs[10].is_freed);
	ck_assert_uint_eq(jobs[10].order, 0);
	ck_assert(!worker_read_last_mail(&worker));
}
END_TEST

Suite *chore_suite(void)
{
	Suite *suite = suite_create("chore");
	TCase *tc = tcase_create("chore");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, threads_stay_for_the_next_one);
	tcase_add_test(tc, nobody_waits_for_an_idle_thread);
	tcase_add_test(tc, addresses_take_turns);
	tcase_add_test(tc, who_has_most_makes_room);
	tcase_add_test(tc, withdrawn_or_too_late);
	tcase_add_test(tc, commands_of_one_host_leave_threads_to_others);
	tcase_add_test(tc, closed);
	suite_add_tcase(suite, tc);
	return suite;
}
