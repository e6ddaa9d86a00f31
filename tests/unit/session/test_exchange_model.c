/* SPDX-License-Identifier: ISC */
/*
 * Millions of random events of a client, the queue of exchanges and a PostgreSQL
 * (world.h).  A failure prints its seed and the shortest story of all that failed.
 *
 * EXCHANGE_MODEL_RUNS says how many seeds, EXCHANGE_MODEL_SEED which is the first.
 */
#include <stdio.h>
#include <stdlib.h>

#include <check.h>

#include "base/rand.h"
#include "suites.h"
#include "world.h"

enum { RUNS = 40000, STEPS_MAX = 160 };

static uint64_t env_number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static uint32_t choose(void *arg, uint32_t below)
{
	return (uint32_t)rand_small_below(arg, below);
}

/* Few errors and many, short stories and long ones. */
static uint64_t run(struct world *w, uint64_t seed)
{
	struct rand_small r;
	uint64_t steps, done = 0;

	rand_small_init(&r, seed * UINT64_C(0x9e3779b97f4a7c15) + 11);
	world_begin(w, choose, &r);
	w->backend.error_one_in = 2 + (uint32_t)rand_small_below(&r, 20);
	steps = 8 + rand_small_below(&r, STEPS_MAX);
	while (done < steps && world_step(w))
		done++;
	world_end(w);
	return done;
}

START_TEST(queue_agrees_with_postgresql_in_any_story)
{
	static struct world w, shortest;
	uint64_t first = env_number("EXCHANGE_MODEL_SEED", 1);
	uint64_t runs = env_number("EXCHANGE_MODEL_RUNS", RUNS);
	uint64_t events = 0, doubts = 0, lost = 0, failed = 0, failed_seed = 0;

	for (uint64_t seed = first; seed < first + runs; seed++) {
		events += run(&w, seed);
		doubts += w.doubts;
		lost += w.backend.is_lost;
		if (w.error == NULL)
			continue;
		if (failed++ == 0 || w.story_len < shortest.story_len) {
			shortest = w;
			failed_seed = seed;
		}
	}
	printf("exchange: seeds %llu to %llu, %llu events, %llu doubts, %llu FATAL\n",
		(unsigned long long)first, (unsigned long long)(first + runs - 1),
		(unsigned long long)events, (unsigned long long)doubts,
		(unsigned long long)lost);
	ck_assert_msg(failed == 0, "%llu stories, the shortest with seed %llu: %s:%s",
		(unsigned long long)failed, (unsigned long long)failed_seed,
		shortest.error, shortest.story);
	ck_assert_uint_gt(doubts, 0);
}
END_TEST

Suite *exchange_model_suite(void)
{
	Suite *s = suite_create("session/exchange_model");
	TCase *tc = tcase_create("model");

	/* EXCHANGE_MODEL_RUNS may ask for hours. */
	tcase_set_timeout(tc, 0);
	tcase_add_test(tc, queue_agrees_with_postgresql_in_any_story);
	suite_add_tcase(s, tc);
	return s;
}
