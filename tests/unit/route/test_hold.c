/* SPDX-License-Identifier: ISC */
/*
 * Databases that the console pauses or disables: which pools that holds, and how long
 * it lasts.
 */
#include "base/clock.h"
#include "suites.h"
#include "world.h"

#define ALIASES HOSTS WORKLOADS USERS \
	"databases:\n" \
	"  one: { host: main, dbname: same }\n" \
	"  two: { host: main, dbname: same }\n" \
	"  far: { host: other, dbname: same }\n"

static bool is_paused(const char *database)
{
	return world_pool("web", database, "anna")->pool.is_paused;
}

static struct route_held held(const char *name)
{
	struct route_held out;

	directory_held(directory, name, &out);
	return out;
}

static bool is_held(struct route_held held)
{
	return held.paused_us != 0;
}

static bool holds_any(void)
{
	struct buf text;
	bool holds;

	buf_init(&text, 0);
	(void)directory_holds_write(directory, &text);
	holds = buf_len(&text) > 0;
	buf_finish(&text);
	return holds;
}

START_TEST(a_pause_holds_all_names_of_a_database)
{
	world_begin(ALIASES);
	ck_assert(!is_paused("one"));
	ck_assert_int_eq(directory_pause(directory, "two", true), ROUTE_HOLD_DONE);
	ck_assert(is_paused("one") && is_paused("two") && !is_paused("far"));
	ck_assert(is_held(held("one")) && is_held(held("two")) && !is_held(held("far")));
	ck_assert(!is_held(held(NULL)));
	/* Pools that are made now, too. */
	ck_assert(world_pool("jobs", "one", "bert")->pool.is_paused);
	ck_assert_int_eq(directory_pause(directory, "one", false), ROUTE_HOLD_ALREADY);
	ck_assert_int_eq(directory_pause(directory, "two", false), ROUTE_HOLD_DONE);
	ck_assert(!is_paused("one") && !is_paused("two"));
	world_end();
}
END_TEST

START_TEST(each_pause_is_ended_by_itself)
{
	world_begin(ALIASES);
	ck_assert_int_eq(directory_pause(directory, NULL, true), ROUTE_HOLD_DONE);
	ck_assert_int_eq(directory_pause(directory, NULL, true), ROUTE_HOLD_ALREADY);
	ck_assert_int_eq(directory_pause(directory, "one", true), ROUTE_HOLD_DONE);
	ck_assert(is_paused("one") && is_paused("far") && is_held(held(NULL)));
	ck_assert_int_eq(directory_pause(directory, NULL, false), ROUTE_HOLD_DONE);
	ck_assert(is_paused("one") && !is_paused("far"));
	ck_assert_int_eq(directory_pause(directory, NULL, false), ROUTE_HOLD_ALREADY);
	ck_assert_int_eq(directory_pause(directory, "one", false), ROUTE_HOLD_DONE);
	ck_assert_int_eq(directory_pause(directory, "nosuch", true), ROUTE_HOLD_NO_DATABASE);
	ck_assert_int_eq(directory_disable(directory, "nosuch", true), ROUTE_HOLD_NO_DATABASE);
	world_end();
}
END_TEST

START_TEST(it_stays_over_sweeps_and_reloads)
{
	world_begin(ALIASES);
	ck_assert_int_eq(directory_pause(directory, "one", true), ROUTE_HOLD_DONE);
	ck_assert_int_eq(directory_disable(directory, "two", true), ROUTE_HOLD_DONE);
	ck_assert_int_eq(directory_disable(directory, "two", true), ROUTE_HOLD_ALREADY);
	directory_sweep(directory);
	ck_assert(is_held(held("one")) && held("two").is_disabled && !held("one").is_disabled);
	/* The name leads to another database now: that one is held. */
	world_reload(HOSTS WORKLOADS USERS
		"databases:\n"
		"  one: { host: other, dbname: same }\n"
		"  two: { host: main, dbname: same }\n"
		"  far: { host: other, dbname: same }\n");
	ck_assert(is_paused("one") && is_paused("far") && !is_paused("two"));
	ck_assert(held("two").is_disabled);
	ck_assert_int_eq(directory_disable(directory, "two", false), ROUTE_HOLD_DONE);
	ck_assert(!held("two").is_disabled);
	world_end();
}
END_TEST

START_TEST(anything_held_is_told_and_every_pause_ends)
{
	world_begin(ALIASES);
	(void)world_pool("web", "one", "anna");
	ck_assert(!holds_any() && !directory_resume_all(directory));
	ck_assert_int_eq(directory_disable(directory, "two", true), ROUTE_HOLD_DONE);
	ck_assert(holds_any() && !directory_resume_all(directory));
	ck_assert_int_eq(directory_disable(directory, "two", false), ROUTE_HOLD_DONE);
	ck_assert(!holds_any());
	ck_assert_int_eq(directory_pause(directory, NULL, true), ROUTE_HOLD_DONE);
	ck_assert(holds_any());
	ck_assert_int_eq(directory_pause(directory, "one", true), ROUTE_HOLD_DONE);
	ck_assert_int_eq(directory_pause(directory, "far", true), ROUTE_HOLD_DONE);
	ck_assert_int_eq(directory_pause(directory, NULL, false), ROUTE_HOLD_DONE);
	ck_assert(holds_any() && is_paused("one"));
	ck_assert(directory_resume_all(directory));
	ck_assert(!holds_any());
	ck_assert(!is_paused("one") && !is_held(held("one")) && !is_held(held("far")));
	/* Each of them has ended. */
	ck_assert_int_eq(directory_pause(directory, "one", false), ROUTE_HOLD_ALREADY);
	ck_assert_int_eq(directory_pause(directory, "one", true), ROUTE_HOLD_DONE);
	ck_assert(is_paused("one"));
	world_end();
}
END_TEST

/* What another process reads of it. */
static void check_as(const char *text, size_t len, bool all, bool one, bool far, bool two)
{
	directory_hold_as(directory, text, len);
	ck_assert_int_eq(is_held(held(NULL)), all);
	ck_assert_int_eq(is_held(held("one")), all || one);
	ck_assert_int_eq(is_held(held("far")), all || far);
	ck_assert_int_eq(held("two").is_disabled, two);
	ck_assert_int_eq(is_paused("one"), all || one);
	ck_assert_int_eq(is_paused("far"), all || far);
}

START_TEST(another_process_holds_the_same)
{
	struct buf text;
	uint64_t version;

	world_begin(ALIASES);
	version = directory_holds_version(directory);
	ck_assert_int_eq(directory_pause(directory, "one", true), ROUTE_HOLD_DONE);
	ck_assert_int_eq(directory_disable(directory, "two", true), ROUTE_HOLD_DONE);
	ck_assert_int_eq(directory_pause(directory, NULL, true), ROUTE_HOLD_DONE);
	ck_assert_uint_eq(directory_holds_version(directory), version + 3);
	buf_init(&text, 0);
	ck_assert_uint_eq(directory_holds_write(directory, &text), version + 3);
	check_as("", 0, false, false, false, false);
	check_as((const char *)buf_data(&text), buf_len(&text), true, true, false, true);
	/* Each ends by itself, as before. */
	ck_assert_int_eq(directory_pause(directory, NULL, false), ROUTE_HOLD_DONE);
	ck_assert(is_paused("one") && !is_paused("far"));
	ck_assert_int_eq(directory_pause(directory, "one", false), ROUTE_HOLD_DONE);
	ck_assert_int_eq(directory_disable(directory, "two", false), ROUTE_HOLD_DONE);
	ck_assert(!holds_any());
	buf_finish(&text);
	world_end();
}
END_TEST

/* Records that are all there count; what is none ends it, and harms nobody. */
START_TEST(holds_are_read_cut_at_every_byte)
{
	static const char text[] = "pone\0dtwo\0pfar\0pnosuch\0?what\0a\0";
	const size_t all = sizeof(text) - 1;

	world_begin(ALIASES);
	for (size_t len = 0; len <= all; len++)
		check_as(text, len, len == all, len >= 5, len >= 15, len >= 10);
	check_as("\0\0\0\0pone", 8, false, false, false, false);
	check_as("p\0d\0p", 5, false, false, false, false);
	world_end();
}
END_TEST

static struct route_pause pause_of(const char *workload)
{
	struct route_pause out;

	directory_pause_of(directory, world_workload(workload), &out);
	return out;
}

static void check_pause(const char *workload, const char *name, uint64_t since_us)
{
	struct route_pause pause = pause_of(workload);

	ck_assert_str_eq(pause.name, name);
	ck_assert_uint_eq(pause.since_us, since_us);
}

/* The first that holds any of its clients, by the name that ends it. */
START_TEST(a_workload_is_held_by_what_its_clients_ask_for)
{
	uint64_t begin_us = clock_now_us(), one_us, all_us;
	struct route_holds holds;

	world_begin(HOSTS USERS
		"workloads:\n"
		"  web: { listen: '*:6432', pool_mode: transaction, databases: [ two ] }\n"
		"  jobs: { listen: '*:6433', pool_mode: session, databases: [ far ] }\n"
		"  any: { listen: '*:6434', pool_mode: session }\n"
		"databases:\n"
		"  one: { host: main, dbname: same }\n"
		"  two: { host: main, dbname: same }\n"
		"  far: { host: other, dbname: same }\n");
	check_pause("web", "", 0);
	ck_assert_int_eq(directory_pause(directory, "one", true), ROUTE_HOLD_DONE);
	one_us = held("one").paused_us;
	ck_assert(one_us >= begin_us && one_us <= clock_now_us());
	ck_assert_uint_eq(held("two").paused_us, one_us);
	check_pause("web", "one", one_us);
	check_pause("any", "one", one_us);
	check_pause("jobs", "", 0);
	while (clock_now_us() == one_us)
		;
	ck_assert_int_eq(directory_pause(directory, NULL, true), ROUTE_HOLD_DONE);
	all_us = held(NULL).paused_us;
	ck_assert(all_us > one_us);
	check_pause("web", "one", one_us);
	check_pause("jobs", "", all_us);
	ck_assert_uint_eq(held("one").paused_us, one_us);
	directory_holds_count(directory, &holds);
	ck_assert(holds.paused == 2 && holds.paused_us == one_us);
	ck_assert_int_eq(directory_pause(directory, "one", false), ROUTE_HOLD_DONE);
	check_pause("web", "", all_us);
	ck_assert(directory_resume_all(directory));
	check_pause("web", "", 0);
	directory_holds_count(directory, &holds);
	ck_assert(holds.paused == 0 && holds.paused_us == 0);
	world_end();
}
END_TEST

/* It is as old there as it is here; what cannot be, or is not told, begins now. */
START_TEST(another_process_knows_since_when)
{
	static const char times[] = "t17\0a\0t18\0pone\0pfar\0t99999999999999999999\0ptwo\0";
	uint64_t begin_us = clock_now_us(), one_us;
	struct buf text;

	world_begin(ALIASES);
	ck_assert_int_eq(directory_pause(directory, "one", true), ROUTE_HOLD_DONE);
	one_us = held("one").paused_us;
	buf_init(&text, 0);
	(void)directory_holds_write(directory, &text);
	while (clock_now_us() == one_us)
		;
	check_as("", 0, false, false, false, false);
	check_as((const char *)buf_data(&text), buf_len(&text), false, true, false, false);
	ck_assert_uint_eq(held("one").paused_us, one_us);
	buf_finish(&text);
	directory_hold_as(directory, times, sizeof(times) - 1);
	ck_assert_uint_eq(held(NULL).paused_us, 17);
	ck_assert_int_eq(directory_pause(directory, NULL, false), ROUTE_HOLD_DONE);
	ck_assert_uint_eq(held("one").paused_us, 18);
	ck_assert_int_eq(directory_pause(directory, "one", false), ROUTE_HOLD_DONE);
	ck_assert(held("two").paused_us >= begin_us && held("two").paused_us <= clock_now_us());
	ck_assert(held("far").paused_us >= begin_us && held("far").paused_us <= clock_now_us());
	world_end();
}
END_TEST

static void count(struct route_pool *p, void *arg)
{
	uint32_t *n = arg;

	(void)p;
	++*n;
}

START_TEST(pools_are_found_by_where_names_lead)
{
	struct route_pool *p;
	uint32_t n = 0;

	world_begin(ALIASES);
	p = world_pool("web", "one", "anna");
	(void)world_pool("web", "one", "bert");
	(void)world_pool("web", "far", "anna");
	directory_each_pool(directory, "two", count, &n);
	ck_assert_uint_eq(n, 2);
	n = 0;
	directory_each_pool(directory, NULL, count, &n);
	ck_assert_uint_eq(n, 3);
	ck_assert(directory_leads_to(directory, "two", p));
	ck_assert(!directory_leads_to(directory, "far", p));
	ck_assert(!directory_leads_to(directory, "nosuch", p));
	world_end();
}
END_TEST

Suite *hold_suite(void)
{
	Suite *s = suite_create("route/hold");
	TCase *tc = tcase_create("hold");

	tcase_add_test(tc, a_pause_holds_all_names_of_a_database);
	tcase_add_test(tc, each_pause_is_ended_by_itself);
	tcase_add_test(tc, it_stays_over_sweeps_and_reloads);
	tcase_add_test(tc, anything_held_is_told_and_every_pause_ends);
	tcase_add_test(tc, another_process_holds_the_same);
	tcase_add_test(tc, holds_are_read_cut_at_every_byte);
	tcase_add_test(tc, a_workload_is_held_by_what_its_clients_ask_for);
	tcase_add_test(tc, another_process_knows_since_when);
	tcase_add_test(tc, pools_are_found_by_where_names_lead);
	suite_add_tcase(s, tc);
	return s;
}
