/* SPDX-License-Identifier: ISC */
/*
 * Logins that are put off as their password is fetched: what they hold meanwhile is nothing,
 * and who waits is served when it is there.
 */
#include "host.h"
#include "suites.h"

static struct lease leases[8];

static void begin(void)
{
	host_begin();
	for (uint32_t i = 0; i < COUNT_OF(leases); i++)
		lease_init(&leases[i], 0, i + 1);
}

static enum wait_reason why(const struct lease *l)
{
	struct monitor_wait wait;

	monitor_explain(&host.m, l, host.now, &wait);
	return wait.reason;
}

/* The first two leases wait, and a login is under way for each. */
static void wait_for_two(struct slice *slice, struct pool_server *s[2])
{
	for (uint32_t i = 0; i < 2; i++) {
		wait_in(&leases[i], slice);
		s[i] = begin_open();
	}
}

START_TEST(fetch_holds_no_unit_and_no_place)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *s;

	host_limits(1, 1);
	wait_in(&leases[0], slice);
	s = begin_open();
	wait_in(&leases[1], host_slice(POOL_B, WEB));
	ck_assert_uint_eq(host.todo.count, 0);
	postpone(s);
	ck_assert_int_eq(s->state, SERVER_GONE);
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 1);
	ck_assert_ptr_eq(host.todo.list[0].slice, host_slice(POOL_B, WEB));
	ck_assert_uint_eq(slice->servers + slice->connecting + slice->pool->servers, 0);
	ck_assert_uint_eq(host.m.connecting, 1);
	ck_assert_uint_eq(host.m.budget.used, 1);
	ready(begin_open());
	ck_assert_ptr_eq(inbox(0), &leases[1]);
	ck_assert_int_eq(leases[0].state, LEASE_WAITING);
}
END_TEST

/* ... in their order, and the first of the servers is told that it was waited for. */
START_TEST(who_waits_is_served_when_it_is_there)
{
	struct slice *slice = host_slice(POOL_A, WEB);

	wait_in(&leases[0], slice);
	postpone(begin_open());
	ck_assert_uint_eq(host.todo.count, 0);
	wait_in(&leases[1], slice);
	ck_assert(!upkeep());
	ck_assert_uint_eq(host.todo.count, 0);
	ck_assert_int_eq(why(&leases[0]), WAIT_PASSWORD);
	ck_assert_int_eq(why(&leases[1]), WAIT_PASSWORD);
	fetched(POOL_A, NULL);
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 2);
	ck_assert(host.todo.list[0].is_fetched);
	ck_assert(!host.todo.list[1].is_fetched);
	ck_assert_int_eq(why(&leases[1]), WAIT_CONNECTING);
	ready(begin_open());
	ck_assert_ptr_eq(inbox(0), &leases[0]);
	ck_assert_int_eq(leases[1].state, LEASE_WAITING);
}
END_TEST

/* Several workers were about to connect. */
START_TEST(nothing_is_opened_before_all_are_told)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *s[2];

	wait_for_two(slice, s);
	postpone(s[0]);
	postpone(s[1]);
	fetched(POOL_A, NULL);
	ck_assert_uint_eq(host.todo.count, 0);
	fetched(POOL_A, NULL);
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 2);
}
END_TEST

START_TEST(who_waits_is_told_that_it_cannot_be_had)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *s[2];
	struct pool_error error;
	bool refused = false;

	wait_in(&leases[0], slice);
	s[0] = begin_open();
	wait_in(&leases[1], host_slice(POOL_A, JOBS));
	s[1] = begin_open();
	postpone(s[0]);
	postpone(s[1]);
	/* The other one may still get it. */
	fetched(POOL_A, "28000");
	ck_assert_int_eq(leases[0].state, LEASE_WAITING);
	fetched(POOL_A, "28000");
	for (uint32_t i = 0; i < 2; i++) {
		ck_assert_ptr_eq(monitor_inbox_take(&host.m, 0, &refused), &leases[i]);
		ck_assert(refused);
	}
	monitor_refusal(&host.m, &host.pools[POOL_A], &error);
	ck_assert_str_eq(error.sqlstate, "28000");
	ck_assert_uint_eq(host.m.failed[CONNECT_FAILED_LOGIN], 1);
	ck_assert_int_eq(ask(&leases[2], slice), LEASE_VERDICT_ERROR);
	host_wait(100 * MSEC);
	wait_in(&leases[2], slice);
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 1);
}
END_TEST

/* It was asked for by nobody who looked at the host. */
START_TEST(failed_fetch_says_nothing_of_the_host)
{
	struct pool_error error;
	struct pool_server *s[2];

	wait_in(&leases[0], host_slice(POOL_A, WEB));
	s[0] = begin_open();
	wait_in(&leases[1], host_slice(POOL_B, WEB));
	s[1] = begin_open();
	postpone(s[0]);
	refuse(s[1], CONNECT_FAILED_HOST, "08006");
	gone(s[1]);
	fetched(POOL_A, "28000");
	ck_assert(monitor_last_error(&host.m, &host.pools[POOL_B], &error));
	ck_assert_str_eq(error.sqlstate, "08006");
	ck_assert_uint_eq(host.m.failures, 1);
}
END_TEST

/* A server of the pool is there: it comes back. */
START_TEST(who_waits_beside_a_server_is_not_refused)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *s = hold(&leases[0], slice);

	wait_in(&leases[1], slice);
	postpone(begin_open());
	fetched(POOL_A, "28000");
	ck_assert_int_eq(leases[1].state, LEASE_WAITING);
	give_back(s);
	ck_assert_ptr_eq(inbox(0), &leases[1]);
}
END_TEST

/* A login of the pool is refused while another one fetches a password that may do. */
START_TEST(refused_login_refuses_nobody_while_another_password_is_fetched)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *s[2];

	wait_for_two(slice, s);
	postpone(s[0]);
	refuse(s[1], CONNECT_FAILED_LOGIN, "28P01");
	gone(s[1]);
	ck_assert_int_eq(leases[0].state, LEASE_WAITING);
	wait_in(&leases[2], slice);
	host_wait(100 * MSEC);
	fetched(POOL_A, NULL);
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 3);
}
END_TEST

START_TEST(no_idle_server_goes_for_who_cannot_use_its_unit_yet)
{
	struct pool_server *s;

	host_limits(1, 16);
	s = idle_server(host_slice(POOL_B, WEB));
	host_wait(SEC);
	wait_in(&leases[0], host_slice(POOL_A, WEB));
	ck_assert_ptr_eq(to_close(), s);
	gone(s);
	postpone(begin_open());
	s = idle_server(host_slice(POOL_B, WEB));
	host_wait(SEC);
	ck_assert(!upkeep());
	ck_assert_uint_eq(host.todo.count, 0);
	fetched(POOL_A, NULL);
	ck_assert_ptr_eq(to_close(), s);
	gone(s);
	ck_assert(host.todo.list[0].is_fetched);
	ready(begin_open());
	ck_assert_ptr_eq(inbox(0), &leases[0]);
}
END_TEST

START_TEST(no_stalled_lease_ends_for_who_cannot_use_its_unit_yet)
{
	struct monitor_limits limits;

	host_limits(2, 16);
	limits = host.m.limits;
	limits.reclaim_grace_us = SEC;
	monitor_set_limits(&host.m, &limits);
	host_share(JOBS, 1, 1);
	wait_in(&leases[0], host_slice(POOL_B, JOBS));
	postpone(begin_open());
	(void)hold(&leases[1], host_slice(POOL_A, WEB));
	(void)hold(&leases[2], host_slice(POOL_A, WEB));
	host_wait(60 * SEC);
	ck_assert(!monitor_wants_back(&host.m, host.now));
	ck_assert(!monitor_end_stalled(&host.m, &leases[1], host.now));
	fetched(POOL_B, NULL);
	ck_assert(monitor_wants_back(&host.m, host.now));
	ck_assert(monitor_end_stalled(&host.m, &leases[1], host.now));
}
END_TEST

START_TEST(pool_stays_until_it_was_told)
{
	struct pool *pool = &host.pools[POOL_A];

	wait_in(&leases[0], host_slice(POOL_A, WEB));
	postpone(begin_open());
	withdraw(&leases[0]);
	ck_assert(!monitor_pool_remove(&host.m, pool));
	fetched(POOL_A, NULL);
	ck_assert(monitor_pool_remove(&host.m, pool));
}
END_TEST

/* What is kept in stock is opened by upkeep, a while after. */
START_TEST(stock_is_opened_with_what_was_fetched_for_it)
{
	const struct slice_limits limits = { .servers_min = 1 };

	monitor_slice_set_limits(&host.m, host_slice(POOL_A, WEB), &limits);
	ck_assert(!upkeep());
	ck_assert(!host.todo.list[0].is_fetched);
	postpone(begin_open());
	ck_assert(!upkeep());
	ck_assert_uint_eq(host.todo.count, 0);
	fetched(POOL_A, NULL);
	ck_assert_uint_eq(host.todo.count, 0);
	host_wait(SEC);
	ck_assert(!upkeep());
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 1);
	ck_assert(host.todo.list[0].is_fetched);
	ready(begin_open());
}
END_TEST

START_TEST(what_was_fetched_does_not_stay_fresh)
{
	wait_in(&leases[0], host_slice(POOL_A, WEB));
	postpone(begin_open());
	withdraw(&leases[0]);
	fetched(POOL_A, NULL);
	host_wait(MONITOR_FRESH_US);
	wait_in(&leases[0], host_slice(POOL_A, WEB));
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 1);
	ck_assert(!host.todo.list[0].is_fetched);
}
END_TEST

Suite *fetching_suite(void)
{
	Suite *s = suite_create("pool/fetching");
	TCase *tc = tcase_create("fetching");

	tcase_add_checked_fixture(tc, begin, host_end);
	tcase_add_test(tc, fetch_holds_no_unit_and_no_place);
	tcase_add_test(tc, who_waits_is_served_when_it_is_there);
	tcase_add_test(tc, nothing_is_opened_before_all_are_told);
	tcase_add_test(tc, who_waits_is_told_that_it_cannot_be_had);
	tcase_add_test(tc, failed_fetch_says_nothing_of_the_host);
	tcase_add_test(tc, who_waits_beside_a_server_is_not_refused);
	tcase_add_test(tc, refused_login_refuses_nobody_while_another_password_is_fetched);
	tcase_add_test(tc, no_idle_server_goes_for_who_cannot_use_its_unit_yet);
	tcase_add_test(tc, no_stalled_lease_ends_for_who_cannot_use_its_unit_yet);
	tcase_add_test(tc, pool_stays_until_it_was_told);
	tcase_add_test(tc, stock_is_opened_with_what_was_fetched_for_it);
	tcase_add_test(tc, what_was_fetched_does_not_stay_fresh);
	suite_add_tcase(s, tc);
	return s;
}
