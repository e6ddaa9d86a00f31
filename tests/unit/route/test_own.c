/* SPDX-License-Identifier: ISC */
/*
 * The router's own workload and pools, and budgets that PostgreSQL tells.
 */
#include <string.h>

#include "suites.h"
#include "world.h"

#define OWN(more) \
	"hosts:\n" \
	"  main: { host: 127.0.0.1, connection_budget: auto, user: own, password: p" more \
	" }\n"
#define AUTO  OWN("") WORKLOADS DATABASES USERS
#define FIXED(n) \
	"hosts:\n" \
	"  main: { host: 127.0.0.1, connection_budget: " #n ", user: own, password: p }\n" \
	WORKLOADS DATABASES USERS

static struct route_host *h;

static void begin(void)
{
	world_begin(AUTO);
	h = directory_host(directory, 0);
}

static struct share *share_of(const char *name)
{
	for (uint32_t i = 0; i < h->monitor.budget.share_count; i++) {
		if (strcmp(h->monitor.budget.shares[i]->name, name) == 0)
			return h->monitor.budget.shares[i];
	}
	ck_abort_msg("no share of %s", name);
}

static void tell(uint32_t max_connections, uint32_t others)
{
	directory_set_budget(directory, h, max_connections, 3, others);
}

static struct host_limits limits(void)
{
	struct host_limits l;

	route_host_limits(h, &l);
	return l;
}

/* --- the budget ----------------------------------------------------------------- */

START_TEST(budget_is_the_floors_until_it_is_told)
{
	ck_assert_uint_eq(h->monitor.budget.limit, 3);
	ck_assert_int_eq(limits().source, BUDGET_NOT_READ);
	ck_assert_str_eq(budget_source_name(limits().source), "auto (not read yet)");
	tell(100, 0);
	ck_assert_uint_eq(h->monitor.budget.limit, 97);
	ck_assert_int_eq(limits().source, BUDGET_FROM_SERVER);
	ck_assert_uint_eq(share_of("web")->guaranteed, 48);
	ck_assert_uint_eq(share_of("jobs")->guaranteed, 48);
	ck_assert_uint_eq(share_of(DIRECTORY_OWN_WORKLOAD)->guaranteed, 1);
	ck_assert_uint_eq(share_of(DIRECTORY_OWN_WORKLOAD)->max, 1);
}
END_TEST

START_TEST(another_process_may_have_been_told)
{
	struct host_part part = { .elsewhere = 12, .most = UINT32_MAX };

	directory_share_budget(directory, h, &part);
	ck_assert_uint_eq(h->monitor.budget.limit, 0);
	directory_set_limits(directory, h, 100, 3);
	ck_assert_uint_eq(h->monitor.budget.limit, 85);
	ck_assert_int_eq(limits().source, BUDGET_FROM_SERVER);
	ck_assert(directory_budget_covers(directory, h));
	tell(14, 0);
	ck_assert_uint_eq(h->monitor.budget.limit, 0);
	ck_assert(!directory_budget_covers(directory, h));
	/* What the file says is not what that one was told. */
	world_reload(FIXED(11));
	directory_set_limits(directory, h, 50, 3);
	ck_assert_uint_eq(limits().max_connections, 14);
}
END_TEST

START_TEST(own_is_promised_nothing_where_all_ends)
{
	struct host_part part = { .most = 1, .lasting = 1 };

	directory_share_budget(directory, h, &part);
	ck_assert_uint_eq(h->monitor.budget.limit, 1);
	ck_assert_uint_eq(share_of(DIRECTORY_OWN_WORKLOAD)->guaranteed, 0);
	ck_assert_uint_eq(share_of(DIRECTORY_OWN_WORKLOAD)->max, 1);
}
END_TEST

START_TEST(what_was_told_holds_after_a_reload)
{
	tell(100, 0);
	world_reload(OWN(", auto_leave: 7, auto_share: 50") WORKLOADS DATABASES USERS);
	ck_assert_uint_eq(h->monitor.budget.limit, 45);
	world_reload(AUTO);
	ck_assert_uint_eq(h->monitor.budget.limit, 97);
	/* Another PostgreSQL. */
	world_reload("hosts:\n  main: { host: 127.0.0.2, connection_budget: auto, "
		"user: own }\n" WORKLOADS DATABASES USERS);
	ck_assert_uint_eq(h->monitor.budget.limit, 3);
	ck_assert(!limits().is_known);
}
END_TEST

START_TEST(budget_is_at_least_one)
{
	static const struct {
		uint32_t max_connections;
		uint32_t budget;
	} cases[] = { { 0, 1 }, { 3, 1 }, { 4, 1 }, { 5, 2 }, { UINT32_MAX, 262143 } };

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		tell(cases[i].max_connections, 0);
		ck_assert_uint_eq(h->monitor.budget.limit, cases[i].budget);
	}
}
END_TEST

START_TEST(reload_above_what_there_is_changes_nothing)
{
	uint64_t generation;

	world_reload(FIXED(97));
	/* Nothing is known yet. */
	world_reload(FIXED(120));
	tell(100, 0);
	ck_assert(limits().is_above);
	generation = directory_generation(directory);
	ck_assert(!world_try_reload(FIXED(98)));
	ck_assert_uint_eq(directory_generation(directory), generation);
	ck_assert_uint_eq(h->monitor.budget.limit, 120);
	world_reload(FIXED(97));
	tell(100, 0);
	ck_assert(!limits().is_above);
	/* The other one has not been asked. */
	world_reload("hosts:\n  main: { host: 127.0.0.2, connection_budget: 120, "
		"user: own }\n" WORKLOADS DATABASES USERS);
}
END_TEST

START_TEST(others_may_leave_too_little)
{
	world_reload(FIXED(90));
	tell(100, 7);
	ck_assert(!limits().is_crowded && !limits().is_above);
	tell(100, 8);
	ck_assert(limits().is_crowded && !limits().is_above);
	ck_assert_uint_eq(limits().others, 8);
	tell(92, 8);
	ck_assert(!limits().is_crowded && limits().is_above);
	ck_assert_uint_eq(h->monitor.budget.limit, 90);
}
END_TEST

START_TEST(an_error_keeps_what_was_known)
{
	static const struct pool_error error = { "28P01", "no" };

	tell(100, 0);
	directory_budget_unread(directory, h, &error);
	ck_assert_str_eq(limits().error, "no");
	ck_assert_uint_eq(h->monitor.budget.limit, 97);
	tell(100, 0);
	ck_assert_str_eq(limits().error, "");
	world_reload("hosts:\n  main: { host: 127.0.0.1, connection_budget: 120 }\n"
		WORKLOADS DATABASES USERS);
	ck_assert(!limits().is_known);
	/* An answer to a question from before that. */
	tell(50, 0);
	ck_assert(!limits().is_known);
}
END_TEST

/* --- the router's own ----------------------------------------------------------- */

START_TEST(own_pool_is_nobody_elses)
{
	struct slice *slice, *again;
	struct route_pool *own;

	ck_assert(directory_own(directory, h, NULL, &slice));
	own = slice->pool->owner;
	ck_assert_str_eq(own->dbname, "postgres");
	ck_assert_str_eq(own->user, "own");
	ck_assert_str_eq(own->password, "p");
	ck_assert_ptr_eq(slice->share, share_of(DIRECTORY_OWN_WORKLOAD));
	/* A client with the same names has a pool of its own. */
	ck_assert_ptr_ne(world_pool("web", "postgres", "own"), own);
	directory_sweep(directory);
	ck_assert(directory_own(directory, h, NULL, &again));
	ck_assert_ptr_eq(again, slice);
	directory_own_done(again);
	ck_assert(directory_own(directory, h, "rag", &again));
	ck_assert_ptr_ne(again->pool, slice->pool);
	directory_own_done(again);
	directory_own_done(slice);
	directory_sweep(directory);
	ck_assert_int_eq(world_sessions, 0);
}
END_TEST

START_TEST(own_pool_goes_with_its_password)
{
	struct slice *before, *after;

	ck_assert(directory_own(directory, h, NULL, &before));
	world_reload("hosts:\n  main: { host: 127.0.0.1, connection_budget: auto, "
		"user: own, password: other }\n" WORKLOADS DATABASES USERS);
	ck_assert(directory_own(directory, h, NULL, &after));
	ck_assert_ptr_ne(before->pool, after->pool);
	ck_assert_str_eq(((struct route_pool *)after->pool->owner)->password, "other");
	directory_own_done(before);
	directory_own_done(after);
	world_reload("hosts:\n  main: { host: 127.0.0.1, connection_budget: 5 }\n"
		WORKLOADS DATABASES USERS);
	ck_assert(!directory_own(directory, h, NULL, &after));
	ck_assert_uint_eq(share_of(DIRECTORY_OWN_WORKLOAD)->max, 0);
}
END_TEST

START_TEST(no_client_finds_the_own_workload)
{
	ck_assert_ptr_null(directory_current_workload(directory, DIRECTORY_OWN_WORKLOAD));
	for (uint32_t i = 0; i < directory_workload_count(directory); i++) {
		struct route_workload *w = directory_workload(directory, i);
		struct route *r;

		if (strcmp(w->name, DIRECTORY_OWN_WORKLOAD) != 0)
			continue;
		ck_assert_int_eq(directory_find(directory, w, "rag", "anna", &r),
			ROUTE_NOT_HERE);
		return;
	}
	ck_abort_msg("it is not there");
}
END_TEST

Suite *own_suite(void)
{
	Suite *s = suite_create("route/own");
	TCase *tc = tcase_create("own");

	tcase_add_checked_fixture(tc, begin, world_end);
	tcase_add_test(tc, budget_is_the_floors_until_it_is_told);
	tcase_add_test(tc, another_process_may_have_been_told);
	tcase_add_test(tc, own_is_promised_nothing_where_all_ends);
	tcase_add_test(tc, what_was_told_holds_after_a_reload);
	tcase_add_test(tc, budget_is_at_least_one);
	tcase_add_test(tc, reload_above_what_there_is_changes_nothing);
	tcase_add_test(tc, others_may_leave_too_little);
	tcase_add_test(tc, an_error_keeps_what_was_known);
	tcase_add_test(tc, own_pool_is_nobody_elses);
	tcase_add_test(tc, own_pool_goes_with_its_password);
	tcase_add_test(tc, no_client_finds_the_own_workload);
	suite_add_tcase(s, tc);
	return s;
}
