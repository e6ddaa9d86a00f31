/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <stdio.h>

#include "base/rand.h"
#include "config/config.h"
#include "config/share.h"
#include "config/support.h"

Suite *share_suite(void);

enum { WORKLOADS = 3, RANDOM_CONFIGS = 2000, RANDOM_BUDGETS = 20, RANDOM_WORKLOADS = 7 };

#define TX(n)   "listen: '*:" #n "', pool_mode: transaction"
#define SESS(n) "listen: '*:" #n "', pool_mode: session"

/* One host with a budget of 35. */
static const struct {
	const char *why;
	const char *workloads[WORKLOADS];
	uint32_t guaranteed[WORKLOADS];
	uint32_t max[WORKLOADS];
} cases[] = {
	{ "alone it gets everything", { TX(1) }, { 35 }, { 35 } },
	{ "two share evenly, the first the odd one; a session port lends nothing",
		{ TX(1), SESS(2) }, { 18, 17 }, { 35, 17 } },
	{ "three share evenly", { TX(1), TX(2), SESS(3) }, { 12, 12, 11 },
		{ 35, 35, 11 } },
	{ "what is said is kept",
		{ TX(1) ", guaranteed_connections: 25, max_connections: 30",
			SESS(2) ", guaranteed_connections: 10, max_connections: 12" },
		{ 25, 10 }, { 30, 12 } },
	{ "the rest is for those that do not say",
		{ TX(1) ", guaranteed_connections: 5", SESS(2), TX(3) }, { 5, 15, 15 },
		{ 35, 15, 35 } },
	{ "nobody is guaranteed more than its max",
		{ TX(1) ", max_connections: 3", SESS(2) ", max_connections: 7", TX(3) },
		{ 3, 7, 25 }, { 3, 7, 35 } },
	{ "unclaimed units may stay so",
		{ TX(1) ", guaranteed_connections: 5",
			SESS(2) ", guaranteed_connections: 5" },
		{ 5, 5 }, { 35, 5 } },
	{ "a floor of nothing is fine where one may borrow",
		{ TX(1) ", guaranteed_connections: 0",
			SESS(2) ", guaranteed_connections: 35" },
		{ 0, 35 }, { 35, 35 } },
	{ "a session port may borrow when it says so",
		{ TX(1) ", guaranteed_connections: 35",
			SESS(2) ", guaranteed_connections: 0, max_connections: 4" },
		{ 35, 0 }, { 35, 4 } },
	{ "max is never above the budget", { TX(1) ", max_connections: 500" }, { 35 },
		{ 35 } },
	{ "statement mode is as transaction mode",
		{ "listen: '*:1', pool_mode: statement", TX(2) }, { 18, 17 },
		{ 35, 35 } },
};

START_TEST(divides_the_budget)
{
	char text[2000];
	size_t count = 0;
	struct config *config;
	int len = snprintf(text, sizeof(text), "%sworkloads:\n", HOST);

	while (count < WORKLOADS && cases[_i].workloads[count] != NULL) {
		len += snprintf(text + len, sizeof(text) - (size_t)len,
			"  w%zu: { %s }\n", count, cases[_i].workloads[count]);
		count++;
	}
	config = load(text);
	ck_assert_uint_eq(config->workload_count, count);
	for (size_t i = 0; i < count; i++) {
		const struct config_share *s = &config->workloads[i].shares[0];

		ck_assert(s->is_used);
		ck_assert_msg(s->guaranteed == cases[_i].guaranteed[i] &&
				s->max == cases[_i].max[i],
			"%s: w%zu has %u to %u", cases[_i].why, i, s->guaranteed, s->max);
	}
	config_unref(config);
}
END_TEST

static const char two_hosts[] =
	"hosts: { a: { host: x, connection_budget: 10 },\n"
	"  b: { host: y, connection_budget: 30 } }\n"
	"workloads:\n"
	"  web: { listen: '*:1', pool_mode: transaction, guaranteed_connections: 6,\n"
	"    hosts: { b: { guaranteed_connections: 20, max_connections: 25 } } }\n"
	"  job: { listen: '*:2', pool_mode: session, databases: [ on_b ] }\n"
	"databases: { on_a: { host: a }, on_b: { host: b } }\n";

START_TEST(each_host_is_divided_by_itself)
{
	struct config *config = load(two_hosts);
	const struct config_share *web = config->workloads[0].shares;
	const struct config_share *job = config->workloads[1].shares;

	ck_assert_uint_eq(web[0].guaranteed, 6);
	ck_assert_uint_eq(web[0].max, 10);
	ck_assert_uint_eq(web[1].guaranteed, 20);
	ck_assert_uint_eq(web[1].max, 25);
	ck_assert(!job[0].is_used);
	ck_assert_uint_eq(job[0].max, 0);
	ck_assert_uint_eq(job[1].guaranteed, 10);
	ck_assert_uint_eq(job[1].max, 10);
	config_unref(config);
}
END_TEST

/* Whatever the budget: floors add up to no more, and all that is free is given. */
START_TEST(holds_its_promises_for_every_budget)
{
	for (int budget = 3; budget < 200; budget++) {
		char text[500];
		struct config *config;
		uint32_t sum = 0;

		snprintf(text, sizeof(text),
			"hosts: { h: { host: x, connection_budget: %d } }\n"
			"workloads:\n  a: { %s }\n  b: { %s }\n  c: { %s }\n",
			budget, TX(1), SESS(2), TX(3));
		config = load(text);
		for (size_t i = 0; i < config->workload_count; i++) {
			const struct config_share *s = &config->workloads[i].shares[0];

			sum += s->guaranteed;
			ck_assert(s->guaranteed <= s->max && s->max <= (uint32_t)budget);
		}
		ck_assert_uint_eq(sum, (uint32_t)budget);
		config_unref(config);
	}
}
END_TEST

/* --- a budget that is told at run time ------------------------------------------------ */

#define AUTO                                                                             \
	"hosts: { h: { host: x, connection_budget: auto, user: u } }\n"                  \
	"workloads:\n"

/* What is known of budgets below and above the floors of 25, 10 and the router's 1. */
static const struct {
	const char *why;
	uint32_t budget;
	uint32_t own;
	uint32_t guaranteed[2];
	uint32_t max[2];
	bool fits;
} told[] = {
	{ "as the file says", 97, 1, { 25, 10 }, { 97, 10 }, true },
	{ "exactly the floors", 36, 1, { 25, 10 }, { 36, 10 }, true },
	{ "one less: the smallest loss by remainders", 35, 1, { 24, 10 }, { 35, 10 }, false },
	{ "in proportion, and the router keeps 1", 15, 1, { 10, 4 }, { 15, 4 }, false },
	{ "one for each", 3, 1, { 1, 1 }, { 3, 1 }, false },
	{ "one too few: in the order of the file", 2, 1, { 1, 0 }, { 2, 1 }, false },
	{ "the router is first: it learns of a larger one", 1, 1, { 0, 0 }, { 1, 1 }, false },
};

START_TEST(divides_what_it_is_told)
{
	struct config *config = load(AUTO
		"  t: { " TX(1) ", guaranteed_connections: 25 }\n"
		"  s: { " SESS(2) ", guaranteed_connections: 10 }\n");
	struct share_part parts[2], own;
	char text[100];

	ck_assert_uint_eq(config->hosts[0].budget, 36);
	ck_assert_uint_eq(share_floors(config, 0), 36);
	ck_assert_str_eq(share_spell(config, 0, text, sizeof(text)),
		"t 25 + s 10 + router itself 1");
	ck_assert(share_divide(config, 0, told[_i].budget, parts, &own) == told[_i].fits);
	ck_assert_msg(own.guaranteed == told[_i].own, "%s: %u", told[_i].why,
		own.guaranteed);
	ck_assert_uint_eq(own.max, 1);
	for (size_t i = 0; i < 2; i++)
		ck_assert_msg(parts[i].guaranteed == told[_i].guaranteed[i] &&
				parts[i].max == told[_i].max[i],
			"%s: %zu has %u to %u", told[_i].why, i, parts[i].guaranteed,
			parts[i].max);
	config_unref(config);
}
END_TEST

/* Who does not say counts as 1 until it is known how many there are. */
START_TEST(begins_with_one_for_each_who_does_not_say)
{
	struct config *config = load(AUTO "  t: { " TX(1) " }\n  s: { " SESS(2)
		" }\n  k: { " SESS(3) ", guaranteed_connections: 4 }\n");
	struct share_part parts[3], own;

	ck_assert_uint_eq(config->hosts[0].budget, 7);
	ck_assert_uint_eq(config->workloads[0].shares[0].guaranteed, 1);
	ck_assert_uint_eq(config->workloads[0].shares[0].max, 7);
	ck_assert_uint_eq(config->workloads[1].shares[0].guaranteed, 1);
	ck_assert_uint_eq(config->workloads[1].shares[0].max, 1);
	ck_assert(share_divide(config, 0, 27, parts, &own));
	ck_assert_uint_eq(parts[0].guaranteed, 11);
	ck_assert_uint_eq(parts[1].guaranteed, 11);
	ck_assert_uint_eq(parts[2].guaranteed, 4);
	config_unref(config);
}
END_TEST

/* With a budget of its own in the file the router takes what is free just then. */
START_TEST(a_fixed_budget_has_no_floor_for_the_router)
{
	struct config *config = load(
		"hosts: { h: { host: x, connection_budget: 4, user: u } }\n" WEB);
	struct share_part part, own;

	ck_assert(share_divide(config, 0, 4, &part, &own));
	ck_assert_uint_eq(part.guaranteed, 4);
	ck_assert_uint_eq(own.guaranteed, 0);
	ck_assert_uint_eq(own.max, 1);
	config_unref(config);
}
END_TEST

static struct config *random_config(struct rand_small *rand)
{
	size_t count = 1 + rand_small_below(rand, RANDOM_WORKLOADS);
	char text[2000];
	int len = snprintf(text, sizeof(text), AUTO);

	for (size_t i = 0; i < count; i++) {
		uint64_t floor = rand_small_below(rand, rand_small_below(rand, 2) ? 4 : 80);
		bool is_session = rand_small_below(rand, 2) != 0;

		len += snprintf(text + len, sizeof(text) - (size_t)len,
			"  w%zu: { listen: '*:%zu', pool_mode: %s", i, i + 1,
			is_session ? "session" : "transaction");
		if (rand_small_below(rand, 3) != 0)
			len += snprintf(text + len, sizeof(text) - (size_t)len,
				", guaranteed_connections: %lu",
				(unsigned long)floor + is_session);
		if (rand_small_below(rand, 3) == 0)
			len += snprintf(text + len, sizeof(text) - (size_t)len,
				", max_connections: %lu",
				(unsigned long)(floor + 1 + rand_small_below(rand, 40)));
		len += snprintf(text + len, sizeof(text) - (size_t)len, " }\n");
	}
	return load(text);
}

static uint64_t claim_of(const struct config *config, size_t i)
{
	uint32_t given = config->workloads[i].shares[0].given.guaranteed_connections;

	return given == OPTION_AUTO ? 1 : given;
}

/* Floors that had to become smaller. */
static void check_scaled(const struct config *config, uint64_t budget,
	const struct share_part *parts, uint64_t sum)
{
	uint64_t claims = share_floors(config, 0), claimants = 1;

	ck_assert_uint_eq(sum, budget);
	for (size_t i = 0; i < config->workload_count; i++)
		claimants += claim_of(config, i) > 0;
	for (size_t i = 0; i < config->workload_count; i++) {
		uint64_t claim = claim_of(config, i), part = parts[i].guaranteed;

		ck_assert_uint_le(part, claim);
		if (claimants > budget)
			continue;
		ck_assert(claim == 0 || part >= 1);
		/* Never more than its part, but for the one that all get. */
		ck_assert(part <= 1 || (part - 1) * claims < claim * budget);
		for (size_t k = 0; k < config->workload_count; k++)
			ck_assert(claim <= claim_of(config, k) ||
				part >= parts[k].guaranteed);
	}
}

static void check_fitting(const struct config *config, uint64_t budget,
	const struct share_part *parts, uint64_t sum)
{
	bool all_have_all = true;

	for (size_t i = 0; i < config->workload_count; i++) {
		uint32_t given =
			config->workloads[i].shares[0].given.guaranteed_connections;
		uint32_t max = config->workloads[i].shares[0].given.max_connections;

		if (given != OPTION_AUTO)
			ck_assert_uint_eq(parts[i].guaranteed, given);
		else
			all_have_all = all_have_all && parts[i].guaranteed == max;
		ck_assert(given != OPTION_AUTO || parts[i].guaranteed >= 1);
	}
	for (size_t i = 0; i < config->workload_count; i++) {
		if (config->workloads[i].shares[0].given.guaranteed_connections == OPTION_AUTO)
			ck_assert(sum == budget || all_have_all);
	}
}

START_TEST(holds_its_promises_whatever_it_is_told)
{
	struct rand_small rand;
	uint32_t scaled = 0;

	rand_small_init(&rand, 20261120);
	for (int round = 0; round < RANDOM_CONFIGS; round++) {
		struct config *config = random_config(&rand);
		uint64_t floors = share_floors(config, 0);

		for (int k = 0; k < RANDOM_BUDGETS; k++) {
			struct share_part parts[RANDOM_WORKLOADS], own;
			uint32_t budget = 1 + (uint32_t)rand_small_below(&rand, floors * 2);
			bool fits = share_divide(config, 0, budget, parts, &own);
			uint64_t sum = own.guaranteed;

			for (size_t i = 0; i < config->workload_count; i++) {
				sum += parts[i].guaranteed;
				ck_assert(parts[i].guaranteed <= parts[i].max);
				ck_assert(parts[i].max >= 1 && parts[i].max <= budget);
			}
			ck_assert_uint_le(sum, budget);
			ck_assert_uint_eq(own.guaranteed, 1);
			ck_assert(fits == (floors <= budget));
			scaled += !fits;
			if (fits)
				check_fitting(config, budget, parts, sum);
			else
				check_scaled(config, budget, parts, sum);
		}
		config_unref(config);
	}
	ck_assert_uint_gt(scaled, RANDOM_CONFIGS);
}
END_TEST

Suite *share_suite(void)
{
	Suite *s = suite_create("config/share");
	TCase *tc = tcase_create("compute");

	tcase_add_loop_test(tc, divides_the_budget, 0, (int)COUNT_OF(cases));
	tcase_add_test(tc, each_host_is_divided_by_itself);
	tcase_add_test(tc, holds_its_promises_for_every_budget);
	suite_add_tcase(s, tc);
	tc = tcase_create("divide");
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, divides_what_it_is_told, 0, (int)COUNT_OF(told));
	tcase_add_test(tc, begins_with_one_for_each_who_does_not_say);
	tcase_add_test(tc, a_fixed_budget_has_no_floor_for_the_router);
	tcase_add_test(tc, holds_its_promises_whatever_it_is_told);
	suite_add_tcase(s, tc);
	return s;
}
