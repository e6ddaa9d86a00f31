/* SPDX-License-Identifier: ISC */
/*
 * Millions of random steps of the model.  A failure prints the seed and the
 * shortest story found that still fails.
 *
 * POOL_MODEL_RUNS says how many seeds (each MODEL_STEPS steps), POOL_MODEL_SEED
 * which is the first.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

#include "model.h"
#include "suites.h"

enum {
	MODEL_STEPS = 1000,
	MODEL_RUNS = 3000,
	CALM_RUNS = 150,
	CALM_ROUNDS = 150,
	/* A waiter is served after at most so many rounds in which all return. */
	PATIENCE = 4 * MODEL_CLIENTS,
	DRAIN_ROUNDS = 400,
	REPLAYS_MAX = 5000
};

struct script {
	uint64_t seed;
	struct model_op ops[MODEL_STEPS];
	size_t count;
	bool drains; /* it ends with everything being returned */
};

static struct model world;

static uint64_t env_number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

/* An assertion of the monitor is a failure like others: it can be replayed. */
static sigjmp_buf on_abort;

static void abort_handler(int signal)
{
	siglongjmp(on_abort, signal);
}

static void step(enum model_verb verb, uint32_t arg)
{
	const struct model_op op = { verb, arg };

	if (world.error == NULL)
		(void)model_step(&world, &op);
}

static bool is_fetching(void)
{
	for (int i = 0; i < MODEL_POOLS; i++) {
		if (world.fetches[i] > 0)
			return true;
	}
	return false;
}

/* Passwords have to be fetched for all that is to be opened. */
static void fetch_all(void)
{
	for (uint32_t i = 0; i < MODEL_SERVERS; i++) {
		step(MODEL_OPEN, i);
		step(MODEL_POSTPONE, i);
	}
	while (world.error == NULL && is_fetching())
		step(MODEL_FETCHED, 0);
}

/* Everybody does what they are due to do, once. */
static void calm_round(void)
{
	step(MODEL_TICK, 3 + 8 * 25000);
	for (uint32_t i = 0; i < MODEL_SERVERS; i++) {
		step(MODEL_GONE, i);
		step(MODEL_OPEN, i);
		step(MODEL_READY, i);
		step(MODEL_CLEANED, i);
		step(MODEL_CHECK_GOOD, i);
	}
	while (world.error == NULL && is_fetching())
		step(MODEL_FETCHED, 0);
	for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
		step(MODEL_INBOX, i);
	for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
		step(MODEL_RETURN, i);
	step(MODEL_UPKEEP, 0);
}

/* Who still waits may never have had a chance. */
static void withdraw_the_hopeless(void)
{
	for (uint32_t i = 0; i < MODEL_CLIENTS; i++) {
		const struct model_client *client = &world.clients[i];

		if (client->place == CLIENT_WAITS &&
			!model_has_hope(&world, client->lease.slice->share))
			step(MODEL_WITHDRAW, i);
	}
}

static bool is_drained(void)
{
	return world.m.waiting == 0 && world.open_count == 0 && !is_fetching() &&
		world.m.budget.used == world.m.idle &&
		model_client_in(&world, CLIENT_WAITS, 0) == NULL &&
		model_client_in(&world, CLIENT_HOLDS, 0) == NULL;
}

/* All clients are served and return, nothing fails: no unit is lost. */
static void drain(void)
{
	for (uint32_t i = 0; i < MODEL_POOLS; i++)
		step(MODEL_PAUSE, 4 * i);
	for (int i = 0; i < DRAIN_ROUNDS && !is_drained(); i++) {
		calm_round();
		step(MODEL_TICK, 5 + 8 * 1000000);
		if (i == DRAIN_ROUNDS / 2)
			withdraw_the_hopeless();
	}
	if (!is_drained())
		model_fail(&world, "not all were served and returned");
	for (int p = 0; p < MODEL_POOLS; p++) {
		for (int i = 0; i < MODEL_SHARES; i++)
			world.slices[p][i].limits.servers_min = 0;
	}
	step(MODEL_RETIRE, 0);
	for (uint32_t i = 0; i < MODEL_SERVERS; i++)
		step(MODEL_GONE, i);
	if (world.error == NULL && world.m.budget.used != 0)
		model_fail(&world, "a unit was lost");
}

/* What was wrong, or NULL; *at is the number of steps it took. */
static const char *replay(const struct script *script, size_t *at)
{
	static volatile size_t done;
	const char *error;

	done = 0;
	if (sigsetjmp(on_abort, 1) != 0) {
		*at = done;
		return "an assertion failed";
	}
	model_begin(&world, script->seed);
	while (done < script->count && model_step(&world, &script->ops[done]))
		done = done + 1;
	if (world.error == NULL && script->drains)
		drain();
	error = world.error;
	*at = done;
	model_end(&world);
	return error;
}

static void script_remove(struct script *s, size_t at, size_t len)
{
	memmove(&s->ops[at], &s->ops[at + len],
		(s->count - at - len) * sizeof(s->ops[0]));
	s->count -= len;
}

/* Leaves out what is not needed to fail: large pieces first, then each one. */
static void shorten(struct script *s)
{
	size_t piece = s->count, at;
	int replays = 0;

	while (piece > 0 && replays < REPLAYS_MAX) {
		bool removed = false;

		for (size_t i = 0; i + piece <= s->count; replays++) {
			static struct script less;

			less = *s;
			script_remove(&less, i, piece);
			if (replay(&less, &at) == NULL) {
				i += piece;
				continue;
			}
			*s = less;
			removed = true;
		}
		if (!removed || piece > 1)
			piece /= 2;
	}
}

static void report(struct script *s, const char *why)
{
	int quiet = open("/dev/null", O_WRONLY), saved = dup(STDERR_FILENO);
	size_t at;

	/* Each assertion on the way would be printed. */
	(void)dup2(quiet, STDERR_FILENO);
	shorten(s);
	(void)dup2(saved, STDERR_FILENO);
	close(quiet);
	close(saved);
	fprintf(stderr, "model: seed %llu: %s; in short:\n", (unsigned long long)s->seed,
		why);
	for (size_t i = 0; i < s->count; i++)
		fprintf(stderr, "\t%s %u\n", model_verb_name(s->ops[i].verb),
			s->ops[i].arg);
	why = replay(s, &at);
	ck_abort_msg(
		"seed %llu: %s (%zu steps)", (unsigned long long)s->seed, why, s->count);
}

static void script_make(struct script *s, uint64_t seed)
{
	struct rand_small r;

	s->seed = seed;
	s->count = MODEL_STEPS;
	s->drains = true;
	rand_small_init(&r, seed * UINT64_C(0x9e3779b97f4a7c15) + 7);
	for (size_t i = 0; i < s->count; i++)
		s->ops[i] = model_op_random(&r);
}

START_TEST(rules_hold_after_every_step_of_any_story)
{
	static struct script script;
	uint64_t first = env_number("POOL_MODEL_SEED", 1);
	uint64_t runs = env_number("POOL_MODEL_RUNS", MODEL_RUNS);
	void (*old)(int) = signal(SIGABRT, abort_handler);

	printf("model: seeds %llu to %llu, %d steps each\n", (unsigned long long)first,
		(unsigned long long)(first + runs - 1), MODEL_STEPS);
	for (uint64_t seed = first; seed < first + runs; seed++) {
		const char *why;
		size_t at;

		script_make(&script, seed);
		why = replay(&script, &at);
		if (why == NULL)
			continue;
		/* Nothing after the failure matters. */
		if (at < script.count) {
			script.count = at + 1;
			script.drains = false;
		}
		report(&script, why);
	}
	(void)signal(SIGABRT, old);
}
END_TEST

/* A lasting share gets no loan while transient ones are busy with what is free. */
static bool is_sure_to_be_served(const struct share *share)
{
	return share->guaranteed > 0 ||
		(share->kind == SHARE_TRANSIENT && model_has_hope(&world, share));
}

static void check_patience(uint64_t seed, int round)
{
	for (int i = 0; i < MODEL_CLIENTS; i++) {
		struct model_client *client = &world.clients[i];

		if (client->place != CLIENT_WAITS) {
			client->rounds = 0;
			continue;
		}
		client->rounds++;
		if (is_sure_to_be_served(client->lease.slice->share))
			ck_assert_msg(client->rounds <= PATIENCE,
				"seed %llu, round %d: a waiter is never served",
				(unsigned long long)seed, round);
	}
}

/* Where all of a user's connections are wanted by workloads below their floors, others
 * of that user may wait for ever: so it is said, and not what is tested here. */
static void lift_quotas(void)
{
	for (int i = 0; i < MODEL_QUOTAS; i++)
		monitor_quota_set(&world.m, &world.quotas[i], 0);
	step(MODEL_UPKEEP, 0);
}

/* Also where each round begins with what is opened in vain (_i is 1). */
START_TEST(every_waiter_is_served_when_nothing_fails)
{
	for (uint64_t seed = 1; seed <= CALM_RUNS; seed++) {
		struct rand_small r;

		model_begin(&world, seed);
		lift_quotas();
		rand_small_init(&r, seed);
		for (int round = 0; round < CALM_ROUNDS && world.error == NULL; round++) {
			for (int i = 0; i < MODEL_CLIENTS; i++) {
				if (rand_small_below(&r, 4) != 0)
					step(MODEL_ASK,
						(uint32_t)(rand_small_next(&r) >> 33));
			}
			if (_i == 1)
				fetch_all();
			calm_round();
			if (world.error == NULL)
				check_patience(seed, round);
		}
		drain();
		ck_assert_msg(world.error == NULL, "seed %llu: %s",
			(unsigned long long)seed, world.error);
		model_end(&world);
	}
}
END_TEST

/* Takes back what it may, as workers do, and lets what follows happen. */
static void take_back(uint32_t round)
{
	step(MODEL_TICK, 3 + 8 * 25000);
	for (uint32_t i = 0; i < MODEL_SERVERS; i++) {
		step(MODEL_GONE, i);
		step(MODEL_OPEN, i);
		step(MODEL_READY, i);
		step(MODEL_CLEANED, i);
	}
	for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
		step(MODEL_INBOX, i);
	step(MODEL_UPKEEP, 0);
	for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
		step(MODEL_END_STALLED, i + 32 * (round % 2));
}

/* Nobody but the router ever gives anything back, and nobody leaves: a share below its
 * floor gets its floor all the same, where only the budget could keep it from it.  Also
 * where clients pin what they have (_i is 1). */
START_TEST(floor_is_met_though_no_client_gives_back)
{
	for (uint64_t seed = 1; seed <= CALM_RUNS; seed++) {
		struct rand_small r;

		model_begin(&world, seed);
		rand_small_init(&r, seed);
		for (int i = 0; i < MODEL_QUOTAS; i++)
			monitor_quota_set(&world.m, &world.quotas[i], 0);
		world.m.limits.reclaim_grace_us = 100 * USEC_PER_MSEC;
		for (int i = 0; i < MODEL_POOLS * MODEL_SHARES; i++)
			world.slices[i / MODEL_SHARES][i % MODEL_SHARES].limits =
				(struct slice_limits){ .idle_timeout_us = USEC_PER_SEC };
		for (uint32_t round = 0; round < 3 * PATIENCE; round++) {
			if (round < PATIENCE)
				step(MODEL_ASK, (uint32_t)(rand_small_next(&r) >> 33));
			for (uint32_t i = 0; _i == 1 && i < MODEL_CLIENTS; i++)
				step(MODEL_PIN, (uint32_t)(rand_small_next(&r) >> 33));
			take_back(round);
		}
		for (int i = 0; i < MODEL_SHARES && world.error == NULL; i++)
			ck_assert_msg(world.shares[i].waiting == 0 ||
					world.shares[i].used >=
						world.shares[i].guaranteed,
				"seed %llu: share %d waits below its floor",
				(unsigned long long)seed, i);
		ck_assert_msg(world.error == NULL, "seed %llu: %s",
			(unsigned long long)seed, world.error);
		model_end(&world);
	}
}
END_TEST

Suite *model_suite(void)
{
	Suite *s = suite_create("pool/model");
	TCase *tc = tcase_create("model");

	/* POOL_MODEL_RUNS may ask for hours. */
	tcase_set_timeout(tc, 0);
	tcase_add_test(tc, rules_hold_after_every_step_of_any_story);
	tcase_add_loop_test(tc, every_waiter_is_served_when_nothing_fails, 0, 2);
	tcase_add_loop_test(tc, floor_is_met_though_no_client_gives_back, 0, 2);
	suite_add_tcase(s, tc);
	return s;
}
