/* SPDX-License-Identifier: ISC */
#include "net/timers.h"

#include <check.h>
#include <stdlib.h>

#include "base/rand.h"
#include "net/suites.h"

static const uint64_t start_us = UINT64_C(1000000007);

struct probe {
	struct timer timer;
	struct timers *timers;
	uint64_t due_us;
	uint64_t fired_us;
	uint32_t fired;
	uint64_t again_us;              /* set anew when it fires, by so much */
	struct probe *victim;           /* finished when it fires */
};

static void fired(struct timer *t, uint64_t now_us)
{
	struct probe *p = container_of(t, struct probe, timer);

	ck_assert_uint_ge(now_us, p->due_us);
	ck_assert(!timer_is_set(t));
	p->fired++;
	p->fired_us = now_us;
	if (p->again_us != 0) {
		p->due_us = now_us + p->again_us;
		timer_set(p->timers, t, p->due_us);
	}
	if (p->victim != NULL)
		timer_finish(p->timers, &p->victim->timer);
}

static void probe_init(struct probe *p, struct timers *ts)
{
	*p = (struct probe){ .timers = ts };
	timer_init(&p->timer, fired);
}

static void probe_set(struct probe *p, uint64_t due_us)
{
	p->due_us = due_us;
	timer_set(p->timers, &p->timer, due_us);
}

static const uint64_t delays[] = { 0, 1, 4095, 4096, 4097, 100000,
	1023 * UINT64_C(4096), 1024 * UINT64_C(4096), 1025 * UINT64_C(4096), 10000000,
	3600 * UINT64_C(1000000) };

/* Driven by timers_next_us() alone, as a loop would: fires within one tick. */
START_TEST(fires_on_time_and_never_early)
{
	struct timers ts;
	struct probe p;
	uint64_t now_us = start_us;
	int turns = 0;

	timers_init(&ts, now_us);
	probe_init(&p, &ts);
	probe_set(&p, now_us + delays[_i]);
	while (p.fired == 0) {
		uint64_t next_us = timers_next_us(&ts);

		ck_assert_uint_ne(next_us, UINT64_MAX);
		if (next_us > now_us)
			now_us = next_us;
		timers_run(&ts, now_us);
		ck_assert_int_lt(turns++, 1000);
	}
	ck_assert_uint_le(p.fired_us, start_us + delays[_i] + TIMERS_TICK_US);
	ck_assert_uint_eq(timers_next_us(&ts), UINT64_MAX);
	ck_assert_uint_eq(ts.count, 0);
}
END_TEST

START_TEST(fires_what_is_past_at_the_next_run)
{
	struct timers ts;
	struct probe p;

	timers_init(&ts, start_us);
	timers_run(&ts, start_us);
	probe_init(&p, &ts);
	probe_set(&p, start_us - 5000000);
	ck_assert_uint_le(timers_next_us(&ts), start_us);
	timers_run(&ts, start_us);
	ck_assert_uint_eq(p.fired, 1);
}
END_TEST

START_TEST(fires_after_a_long_sleep)
{
	struct timers ts;
	struct probe near, far;

	timers_init(&ts, start_us);
	probe_init(&near, &ts);
	probe_init(&far, &ts);
	probe_set(&near, start_us + 100);
	probe_set(&far, start_us + 20000000);
	timers_run(&ts, start_us + 15000000);
	ck_assert_uint_eq(near.fired, 1);
	ck_assert_uint_eq(far.fired, 0);
	timers_run(&ts, start_us + 60000000);
	ck_assert_uint_eq(far.fired, 1);
}
END_TEST

START_TEST(moves_later_and_earlier)
{
	struct timers ts;
	struct probe p;

	timers_init(&ts, start_us);
	probe_init(&p, &ts);
	probe_set(&p, start_us + 50000);
	probe_set(&p, start_us + 500000);
	timers_run(&ts, start_us + 400000);
	ck_assert_uint_eq(p.fired, 0);
	probe_set(&p, start_us + 410000);
	ck_assert_uint_le(timers_next_us(&ts), start_us + 410000 + TIMERS_TICK_US);
	timers_run(&ts, start_us + 420000);
	ck_assert_uint_eq(p.fired, 1);
}
END_TEST

START_TEST(stays_silent_when_stopped)
{
	struct timers ts;
	struct probe p;

	timers_init(&ts, start_us);
	probe_init(&p, &ts);
	probe_set(&p, start_us + 50000);
	ck_assert(timer_is_set(&p.timer));
	timer_stop(&p.timer);
	ck_assert(!timer_is_set(&p.timer));
	timers_run(&ts, start_us + 100000);
	ck_assert_uint_eq(p.fired, 0);
	ck_assert_uint_eq(ts.count, 0);
	probe_set(&p, start_us + 200000);
	timer_finish(&ts, &p.timer);
	timer_finish(&ts, &p.timer);
	ck_assert_uint_eq(timers_next_us(&ts), UINT64_MAX);
}
END_TEST

START_TEST(lets_handlers_set_and_finish)
{
	struct timers ts;
	struct probe a, b;

	timers_init(&ts, start_us);
	probe_init(&a, &ts);
	probe_init(&b, &ts);
	probe_set(&a, start_us + 10000);
	probe_set(&b, start_us + 10000);
	a.again_us = 30000;
	a.victim = &b;
	timers_run(&ts, start_us + 20000);
	ck_assert_uint_eq(a.fired, 1);
	ck_assert_uint_eq(b.fired, 0);
	timers_run(&ts, start_us + 40000);
	ck_assert_uint_eq(a.fired, 1);
	timers_run(&ts, start_us + 60000);
	ck_assert_uint_eq(a.fired, 2);
}
END_TEST

/* A handler that is always late by its own choice must not keep the run going. */
START_TEST(ends_a_run_whose_handlers_set_the_past)
{
	struct timers ts;
	struct probe p;

	timers_init(&ts, start_us);
	probe_init(&p, &ts);
	probe_set(&p, start_us);
	p.again_us = 1;
	p.due_us = 0;
	timers_run(&ts, start_us + 10000);
	ck_assert_uint_le(p.fired, 2);
}
END_TEST

enum { MANY = 500, STEPS = 20000 };

/* As idle clients have them: a loop that nothing happens to is woken for few of them. */
START_TEST(wakes_seldom_for_what_is_far_away)
{
	enum { COUNT = 5000 };
	const uint64_t hour_us = 3600 * UINT64_C(1000000);
	struct probe *probes = calloc(COUNT, sizeof(*probes));
	uint64_t now_us = start_us;
	struct timers ts;
	uint32_t wakes = 0;

	ck_assert_ptr_nonnull(probes);
	timers_init(&ts, now_us);
	/* They have come over ten seconds. */
	for (uint32_t i = 0; i < COUNT; i++) {
		probe_init(&probes[i], &ts);
		timers_run(&ts, start_us + UINT64_C(2000) * i);
		probe_set(&probes[i], start_us + UINT64_C(2000) * i + hour_us);
	}
	for (;;) {
		now_us = timers_next_us(&ts);
		if (now_us >= start_us + hour_us)
			break;
		timers_run(&ts, now_us);
		wakes++;
	}
	ck_assert_uint_le(wakes, 3600 / 2);
	while (ts.count > 0) {
		now_us = timers_next_us(&ts);
		timers_run(&ts, now_us);
	}
	for (uint32_t i = 0; i < COUNT; i++) {
		ck_assert_uint_eq(probes[i].fired, 1);
		ck_assert_uint_le(probes[i].fired_us, probes[i].due_us + TIMERS_TICK_US);
	}
	free(probes);
}
END_TEST

/* Against the plain rule: fired by now if and only if due more than a tick ago,
 * never before. */
START_TEST(keeps_the_rule_at_random)
{
	static struct probe probes[MANY];
	struct rand_small random;
	struct timers ts;
	uint64_t now_us = start_us;

	rand_small_init(&random, (uint64_t)_i + 1);
	timers_init(&ts, now_us);
	for (size_t i = 0; i < MANY; i++)
		probe_init(&probes[i], &ts);
	for (size_t step = 0; step < STEPS; step++) {
		struct probe *p = &probes[rand_small_below(&random, MANY)];
		uint64_t what = rand_small_below(&random, 10);

		if (what < 6)
			probe_set(p, now_us + rand_small_below(&random,
						      what == 0 ? 400000000 : 9000000));
		else if (what < 7)
			timer_stop(&p->timer);
		else if (what < 8)
			timer_finish(&ts, &p->timer);
		now_us += rand_small_below(&random, step % 1000 == 0 ? 5000000 :
				what == 9			   ? 50000 :
								     500);
		timers_run(&ts, now_us);
		if (timer_is_set(&p->timer))
			ck_assert_uint_gt(p->due_us + TIMERS_TICK_US, now_us);
	}
	timers_run(&ts, now_us + 500000000);
	ck_assert_uint_eq(ts.count, 0);
}
END_TEST

/* What is stopped stays so; nothing fires early, and all within a tick. */
START_TEST(delays_all_that_are_set)
{
	struct timers ts;
	struct probe near, far, none;
	uint64_t by_us = delays[_i];

	timers_init(&ts, start_us);
	probe_init(&near, &ts);
	probe_init(&far, &ts);
	probe_init(&none, &ts);
	probe_set(&near, start_us + 5000);
	probe_set(&far, start_us + 20000000);
	probe_set(&none, start_us + 5000);
	timer_stop(&none.timer);
	timers_delay(&ts, by_us);
	near.due_us += by_us;
	far.due_us += by_us;
	for (uint64_t now_us = start_us; far.fired == 0;) {
		now_us = timers_next_us(&ts) > now_us ? timers_next_us(&ts) : now_us + 1;
		timers_run(&ts, now_us);
	}
	ck_assert_uint_eq(near.fired, 1);
	ck_assert_uint_lt(near.fired_us, near.due_us + 2 * TIMERS_TICK_US);
	ck_assert_uint_lt(far.fired_us, far.due_us + 2 * TIMERS_TICK_US);
	ck_assert_uint_eq(none.fired, 0);
}
END_TEST

Suite *timers_suite(void)
{
	Suite *s = suite_create("net/timers");
	TCase *tc = tcase_create("wheel");

	tcase_add_loop_test(
		tc, fires_on_time_and_never_early, 0, (int)COUNT_OF(delays));
	tcase_add_test(tc, fires_what_is_past_at_the_next_run);
	tcase_add_test(tc, fires_after_a_long_sleep);
	tcase_add_test(tc, moves_later_and_earlier);
	tcase_add_test(tc, stays_silent_when_stopped);
	tcase_add_test(tc, lets_handlers_set_and_finish);
	tcase_add_test(tc, ends_a_run_whose_handlers_set_the_past);
	tcase_add_test(tc, wakes_seldom_for_what_is_far_away);
	tcase_add_loop_test(tc, delays_all_that_are_set, 0, (int)COUNT_OF(delays));
	tcase_add_loop_test(tc, keeps_the_rule_at_random, 0, 5);
	suite_add_tcase(s, tc);
	return s;
}
