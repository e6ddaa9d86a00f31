/* SPDX-License-Identifier: ISC */
/*
 * Databases that the console pauses or disables: which pools that holds, and how long
 * it lasts.
 */
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
	ck_assert(held("one").is_paused && held("two").is_paused && !held("far").is_paused);
	ck_assert(!held(NULL).is_paused);
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
	ck_assert(is_paused("one") && is_paused("far") && held(NULL).is_paused);
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
	ck_assert(held("one").is_paused && held("two").is_disabled && !held("one").is_disabled);
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
	ck_assert(!is_paused("one") && !held("one").is_paused && !held("far").is_paused);
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
	ck_assert_int_eq(held(NULL).is_paused, all);
	ck_assert_int_eq(held("one").is_paused, all || one);
	ck_assert_int_eq(held("far").is_paused, all || far);
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
	tcase_add_test(tc, pools_are_found_by_where_names_lead);
	suite_add_tcase(s, tc);
	return s;
}
