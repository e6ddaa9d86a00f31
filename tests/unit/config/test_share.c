/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <stdio.h>

#include "config/config.h"
#include "config/support.h"

Suite *share_suite(void);

enum { WORKLOADS = 3 };

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

Suite *share_suite(void)
{
	Suite *s = suite_create("config/share");
	TCase *tc = tcase_create("compute");

	tcase_add_loop_test(tc, divides_the_budget, 0, (int)COUNT_OF(cases));
	tcase_add_test(tc, each_host_is_divided_by_itself);
	tcase_add_test(tc, holds_its_promises_for_every_budget);
	suite_add_tcase(s, tc);
	return s;
}
