/* SPDX-License-Identifier: ISC */
/*
 * Logins that are refused, hosts that do not answer, servers that are lost.
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

static const char *refusal(int pool)
{
	static struct pool_error error;

	monitor_refusal(&host.m, &host.pools[pool], &error);
	return error.sqlstate;
}

START_TEST(refused_login_tells_all_waiters_with_the_sqlstate)
{
	struct pool_server *s;
	bool refused;

	host_limits(1, 16);
	wait_in(&leases[0], host_slice(POOL_A, WEB));
	s = begin_open();
	wait_in(&leases[1], host_slice(POOL_A, WEB));
	wait_in(&leases[2], host_slice(POOL_A, JOBS));
	wait_in(&leases[3], host_slice(POOL_B, WEB));
	refuse(s, CONNECT_FAILED_LOGIN, "28P01");
	for (uint32_t i = 0; i < 3; i++) {
		struct lease *l = monitor_inbox_take(&host.m, 0, &refused);

		ck_assert_ptr_eq(l, &leases[i]);
		ck_assert(refused);
		ck_assert_int_eq(l->state, LEASE_NONE);
		ck_assert_str_eq(refusal(POOL_A), "28P01");
	}
	ck_assert_ptr_null(monitor_inbox_take(&host.m, 0, &refused));
	/* Nobody else's business. */
	ck_assert_int_eq(leases[3].state, LEASE_WAITING);
	gone(s);
	ck_assert_ptr_eq(host.todo.list[0].slice, host_slice(POOL_B, WEB));
}
END_TEST

START_TEST(refused_login_refuses_newcomers_until_retry)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_error error;
	struct pool_server *s;

	wait_in(&leases[0], slice);
	s = begin_open();
	refuse(s, CONNECT_FAILED_LOGIN, "3D000");
	/* Its socket is still closing. */
	ck_assert_int_eq(ask(&leases[1], slice), LEASE_VERDICT_ERROR);
	ck_assert_str_eq(refusal(POOL_A), "3D000");
	gone(s);
	ck_assert_int_eq(ask(&leases[1], slice), LEASE_VERDICT_ERROR);
	ck_assert_int_eq(leases[1].state, LEASE_NONE);
	ck_assert(monitor_last_error(&host.m, slice->pool, &error));
	ck_assert_str_eq(error.sqlstate, "3D000");
	ck_assert(!monitor_last_error(&host.m, &host.pools[POOL_B], &error));
	host_wait(100 * MSEC);
	wait_in(&leases[1], slice);
	ready(begin_open());
	ck_assert_ptr_eq(inbox(0), &leases[0]);
	ck_assert_ptr_eq(inbox(0), &leases[1]);
	ck_assert(!monitor_last_error(&host.m, slice->pool, &error));
}
END_TEST

START_TEST(refused_login_is_tried_at_once_with_another_proof)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_error error;
	struct pool_server *s;

	wait_in(&leases[0], slice);
	s = begin_open();
	refuse(s, CONNECT_FAILED_LOGIN, "28000");
	gone(s);
	ck_assert_ptr_eq(inbox(0), &leases[0]);
	ck_assert_int_eq(ask(&leases[1], slice), LEASE_VERDICT_ERROR);
	monitor_proven(&host.m, slice->pool);
	ck_assert(!monitor_last_error(&host.m, slice->pool, &error));
	wait_in(&leases[1], slice);
	ready(begin_open());
	ck_assert_ptr_eq(inbox(0), &leases[1]);
}
END_TEST

START_TEST(refused_login_lets_others_connect_at_once)
{
	struct pool_server *s;

	host_limits(4, 1);
	wait_in(&leases[0], host_slice(POOL_A, WEB));
	s = begin_open();
	wait_in(&leases[1], host_slice(POOL_B, WEB));
	ck_assert_uint_eq(host.todo.count, 0);
	refuse(s, CONNECT_FAILED_LOGIN, "28P01");
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 1);
}
END_TEST

START_TEST(refused_login_is_an_answer_of_the_host)
{
	struct pool_error error;
	struct pool_server *s;

	wait_in(&leases[0], host_slice(POOL_A, WEB));
	s = begin_open();
	refuse(s, CONNECT_FAILED_HOST, "08006");
	gone(s);
	ck_assert(monitor_last_error(&host.m, &host.pools[POOL_A], &error));
	host_wait(100 * MSEC);
	(void)upkeep();
	s = begin_open();
	ck_assert_ptr_nonnull(s);
	refuse(s, CONNECT_FAILED_LOGIN, "28P01");
	ck_assert(!monitor_last_error(&host.m, &host.pools[POOL_B], &error));
	ck_assert_uint_eq(host.m.failed[CONNECT_FAILED_HOST], 1);
	ck_assert_uint_eq(host.m.failed[CONNECT_FAILED_LOGIN], 1);
}
END_TEST

/* One connect at a time, no more often than who waits would try, and no more once it
 * is back. */
START_TEST(host_that_nobody_asks_for_is_tried_again)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_error error;
	struct pool_server *s;

	wait_in(&leases[0], slice);
	s = begin_open();
	refuse(s, CONNECT_FAILED_HOST, "08006");
	gone(s);
	withdraw(&leases[0]);
	ck_assert(!upkeep());
	ck_assert_uint_eq(host.todo.count, 0);
	host_wait(100 * MSEC);
	ck_assert(!upkeep());
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 1);
	s = begin_open();
	ck_assert(!upkeep());
	ck_assert_uint_eq(host.todo.count, 0);
	refuse(s, CONNECT_FAILED_HOST, "57P03");
	gone(s);
	ck_assert(!upkeep());
	ck_assert_uint_eq(host.todo.count, 0);
	host_wait(SEC);
	ck_assert(!upkeep());
	ready(begin_open());
	ck_assert(!monitor_last_error(&host.m, slice->pool, &error));
	ck_assert_uint_eq(slice->pool->idle_count, 1);
	host_wait(SEC);
	ck_assert(!upkeep());
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 0);
}
END_TEST

/* Nobody uses them any more: that of the failed host goes when the host is back, that of
 * the failed login when it was there to be seen for a while. */
START_TEST(failed_pools_can_be_seen)
{
	struct pool *pool = &host.pools[POOL_A];
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *s;

	wait_in(&leases[0], slice);
	s = begin_open();
	refuse(s, CONNECT_FAILED_HOST, "08006");
	gone(s);
	withdraw(&leases[0]);
	ck_assert(!monitor_pool_remove(&host.m, pool));
	ck_assert(!monitor_pool_remove(&host.m, pool));
	host_wait(100 * MSEC);
	ck_assert(!upkeep());
	s = begin_open();
	refuse(s, CONNECT_FAILED_LOGIN, "28P01");
	gone(s);
	ck_assert(!monitor_pool_remove(&host.m, pool));
	ck_assert(monitor_pool_remove(&host.m, pool));
	monitor_pool_add(&host.m, pool);
}
END_TEST

START_TEST(host_backoff_keeps_waiters)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *s;

	wait_in(&leases[0], slice);
	s = begin_open();
	refuse(s, CONNECT_FAILED_HOST, "08006");
	ck_assert_ptr_null(inbox(0));
	gone(s);
	ck_assert_uint_eq(host.todo.count, 0);
	wait_in(&leases[1], host_slice(POOL_B, WEB));
	ck_assert_uint_eq(host.todo.count, 0);
	ck_assert(!upkeep());
	ck_assert_uint_eq(host.todo.count, 0);
	host_wait(100 * MSEC);
	ck_assert(!upkeep());
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 2);
}
END_TEST

/* Each failure doubles the wait, up to a maximum, less up to a half of it. */
START_TEST(host_backoff_grows_to_its_maximum)
{
	uint64_t full = 100 * MSEC;

	wait_in(&leases[0], host_slice(POOL_A, WEB));
	for (int i = 0; i < 12; i++) {
		struct pool_server *s = begin_open();
		uint64_t wait;

		ck_assert_ptr_nonnull(s);
		refuse(s, CONNECT_FAILED_HOST, "57P03");
		gone(s);
		wait = host.m.retry_at_us - host.now;
		ck_assert_uint_ge(wait, full / 2);
		ck_assert_uint_le(wait, full);
		full = u64_min(full * 2, MONITOR_BACKOFF_MAX_US);
		host_wait(wait);
		ck_assert(!upkeep());
	}
	ready(begin_open());
	ck_assert_uint_eq(host.m.failures, 0);
	ck_assert_uint_eq(host.m.retry_at_us, 0);
}
END_TEST

START_TEST(connects_that_fail_together_are_one_failure)
{
	struct pool_server *s[3];

	for (uint32_t i = 0; i < 3; i++) {
		wait_in(&leases[i], host_slice(POOL_A, WEB));
		s[i] = begin_open();
	}
	for (uint32_t i = 0; i < 3; i++)
		refuse(s[i], CONNECT_FAILED_HOST, "08006");
	ck_assert_uint_eq(host.m.failures, 1);
	ck_assert_uint_eq(host.m.closing, 3);
}
END_TEST

START_TEST(open_that_cannot_begin_frees_the_unit_and_waits)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct unit unit;

	wait_in(&leases[0], slice);
	unit = unit_move(&host.todo.list[0].unit);
	host.todo = (struct monitor_actions){ 0 };
	monitor_open_failed(&host.m, slice, &unit, host.now, &host.todo);
	ck_assert_ptr_null(unit.share);
	monitor_check(&host.m);
	ck_assert_uint_eq(host.m.budget.used, 0);
	ck_assert_uint_eq(host.todo.count, 0);
	host_wait(100 * MSEC);
	ck_assert(!upkeep());
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 1);
}
END_TEST

START_TEST(open_that_cannot_begin_does_not_shorten_the_backoff)
{
	struct unit unit;

	wait_in(&leases[0], host_slice(POOL_A, WEB));
	host.m.retry_at_us = host.now + 10 * SEC;
	unit = unit_move(&host.todo.list[0].unit);
	monitor_open_failed(
		&host.m, host_slice(POOL_A, WEB), &unit, host.now, &host.todo);
	ck_assert_uint_eq(host.m.retry_at_us, host.now + 10 * SEC);
}
END_TEST

START_TEST(no_more_connects_at_once_than_allowed)
{
	struct pool_server *s;

	host_limits(4, 2);
	for (uint32_t i = 0; i < 4; i++)
		wait_in(&leases[i], host_slice(POOL_A, WEB));
	ck_assert_uint_eq(host.m.connecting, 2);
	ck_assert_uint_eq(host.m.budget.used, 2);
	/* The last that was begun within the limit was for leases[1]. */
	host.todo.count = 1;
	host.todo.list[0] = (struct monitor_action){ .verb = MONITOR_OPEN,
		.slice = host_slice(POOL_A, WEB),
		.unit = { &host.shares[WEB] } };
	s = begin_open();
	ready(s);
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 1);
	ck_assert_uint_eq(host.m.connecting, 2);
}
END_TEST

START_TEST(server_lost_while_leased_ends_the_lease)
{
	struct pool_server *s = hold(&leases[0], host_slice(POOL_A, WEB));

	wait_in(&leases[1], host_slice(POOL_A, WEB));
	gone(s);
	ck_assert_int_eq(leases[0].state, LEASE_NONE);
	ck_assert_ptr_null(leases[0].server);
	ck_assert_uint_eq(host.m.budget.used, 1);
}
END_TEST

START_TEST(unit_stays_taken_until_the_server_is_gone)
{
	struct pool_server *s;

	host_limits(1, 16);
	s = hold(&leases[0], host_slice(POOL_A, WEB));
	monitor_closing(&host.m, s);
	monitor_closing(&host.m, s);
	ck_assert_int_eq(leases[0].state, LEASE_NONE);
	wait_in(&leases[1], host_slice(POOL_A, WEB));
	ck_assert_uint_eq(host.todo.count, 0);
	gone(s);
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 1);
}
END_TEST

START_TEST(server_is_cleaned_before_the_next_client_has_it)
{
	struct pool_server *s;

	host_limits(1, 16);
	s = hold(&leases[0], host_slice(POOL_A, JOBS));
	wait_in(&leases[1], host_slice(POOL_A, JOBS));
	monitor_cleaning(&host.m, s);
	monitor_cleaning(&host.m, s);
	ck_assert_int_eq(leases[0].state, LEASE_NONE);
	ck_assert_int_eq(leases[1].state, LEASE_WAITING);
	give_back(s);
	ck_assert_ptr_eq(inbox(0), &leases[1]);
}
END_TEST

static void add_failing(Suite *s)
{
	TCase *tc = tcase_create("failing");

	tcase_add_checked_fixture(tc, begin, host_end);
	tcase_add_test(tc, refused_login_tells_all_waiters_with_the_sqlstate);
	tcase_add_test(tc, refused_login_refuses_newcomers_until_retry);
	tcase_add_test(tc, refused_login_is_tried_at_once_with_another_proof);
	tcase_add_test(tc, refused_login_lets_others_connect_at_once);
	tcase_add_test(tc, refused_login_is_an_answer_of_the_host);
	tcase_add_test(tc, host_that_nobody_asks_for_is_tried_again);
	tcase_add_test(tc, failed_pools_can_be_seen);
	tcase_add_test(tc, host_backoff_keeps_waiters);
	tcase_add_test(tc, host_backoff_grows_to_its_maximum);
	tcase_add_test(tc, connects_that_fail_together_are_one_failure);
	tcase_add_test(tc, open_that_cannot_begin_frees_the_unit_and_waits);
	tcase_add_test(tc, open_that_cannot_begin_does_not_shorten_the_backoff);
	tcase_add_test(tc, no_more_connects_at_once_than_allowed);
	tcase_add_test(tc, server_lost_while_leased_ends_the_lease);
	tcase_add_test(tc, unit_stays_taken_until_the_server_is_gone);
	tcase_add_test(tc, server_is_cleaned_before_the_next_client_has_it);
	suite_add_tcase(s, tc);
}

Suite *failing_suite(void)
{
	Suite *s = suite_create("pool/failing");

	add_failing(s);
	return s;
}
