/* SPDX-License-Identifier: ISC */
/*
 * What workloads lend, take back and evict, and how units move between pools:
 * one sentence of the rules, one test.
 */
#include "host.h"
#include "suites.h"

static struct lease leases[8];
static struct share third;

static void begin(void)
{
	host_begin();
	for (uint32_t i = 0; i < COUNT_OF(leases); i++)
		lease_init(&leases[i], 0, i + 1);
}

/* Fills the budget with servers that the first leases hold. */
static void hold_many(struct pool_server **servers, uint32_t count, struct slice *slice)
{
	for (uint32_t i = 0; i < count; i++)
		servers[i] = hold(&leases[i], slice);
}

/* --- floors, lending, reclaim ------------------------------------------------ */

START_TEST(transient_borrows_the_idle_floor_of_others)
{
	struct pool_server *s[4];

	host_share(JOBS, 3, 3);
	hold_many(s, 4, host_slice(POOL_A, WEB));
	ck_assert_uint_eq(host.shares[WEB].used, 4);
}
END_TEST

START_TEST(lasting_does_not_borrow_an_open_floor)
{
	struct pool_server *s[2];

	host_share(WEB, 2, 4);
	host_share(JOBS, 0, 4);
	hold_many(s, 2, host_slice(POOL_A, JOBS));
	wait_in(&leases[2], host_slice(POOL_A, JOBS));
	ck_assert_uint_eq(host.todo.count, 0);
	/* WEB gets its two at once. */
	(void)hold(&leases[3], host_slice(POOL_A, WEB));
	(void)hold(&leases[4], host_slice(POOL_A, WEB));
}
END_TEST

/* A waiter who may not have one more does not stand in the way of one who may. */
START_TEST(blocked_waiter_does_not_block_others)
{
	struct pool_server *s[2];

	host_share(JOBS, 0, 2);
	hold_many(s, 2, host_slice(POOL_A, JOBS));
	wait_in(&leases[2], host_slice(POOL_A, JOBS));
	ck_assert_uint_eq(host.todo.count, 0);
	host_wait(1);
	wait_in(&leases[3], host_slice(POOL_B, WEB));
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 1);
	ck_assert_ptr_eq(host.todo.list[0].slice, host_slice(POOL_B, WEB));
}
END_TEST

START_TEST(borrower_returns_to_waiter_below_floor)
{
	struct pool_server *s[4];

	host_share(JOBS, 2, 2);
	hold_many(s, 4, host_slice(POOL_A, WEB));
	wait_in(&leases[4], host_slice(POOL_A, WEB));
	host_wait(1);
	wait_in(&leases[5], host_slice(POOL_A, JOBS));
	give_back(s[0]);
	ck_assert_ptr_eq(inbox(0), &leases[5]);
	ck_assert_uint_eq(host.shares[JOBS].used, 1);
	give_back(s[1]);
	ck_assert_ptr_eq(inbox(0), &leases[4]);
}
END_TEST

START_TEST(borrowed_server_of_another_pool_closes_for_a_floor)
{
	struct pool_server *s[4], *opened;

	host_share(JOBS, 2, 2);
	hold_many(s, 4, host_slice(POOL_A, WEB));
	wait_in(&leases[5], host_slice(POOL_B, JOBS));
	give_back(s[2]);
	ck_assert_ptr_eq(to_close(), s[2]);
	gone(s[2]);
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 1);
	opened = begin_open();
	ck_assert_ptr_eq(opened->slice, host_slice(POOL_B, JOBS));
	ready(opened);
	ck_assert_ptr_eq(inbox(0), &leases[5]);
}
END_TEST

START_TEST(one_floor_waiter_takes_back_one_server_only)
{
	struct pool_server *s[4];

	host_share(JOBS, 2, 2);
	hold_many(s, 4, host_slice(POOL_A, WEB));
	wait_in(&leases[4], host_slice(POOL_A, WEB));
	wait_in(&leases[5], host_slice(POOL_A, WEB));
	wait_in(&leases[6], host_slice(POOL_B, JOBS));
	give_back(s[0]);
	ck_assert_ptr_eq(to_close(), s[0]);
	give_back(s[1]);
	ck_assert_uint_eq(todo_count(MONITOR_CLOSE), 0);
	ck_assert_ptr_eq(inbox(0), &leases[4]);
	/* Nor while the new one connects. */
	gone(s[0]);
	ck_assert_ptr_nonnull(begin_open());
	give_back(s[2]);
	ck_assert_uint_eq(todo_count(MONITOR_CLOSE), 0);
	ck_assert_ptr_eq(inbox(0), &leases[5]);
}
END_TEST

START_TEST(floor_takes_nothing_back_that_it_could_not_use)
{
	struct pool_server *s[4], *failed;

	host_share(JOBS, 2, 2);
	hold_many(s, 3, host_slice(POOL_A, WEB));
	wait_in(&leases[3], host_slice(POOL_C, WEB));
	failed = begin_open();
	refuse(failed, CONNECT_FAILED_HOST, "57P03");
	gone(failed);
	host_share(WEB, 0, 3);
	wait_in(&leases[5], host_slice(POOL_B, JOBS));
	/* The host lets nobody in: closing a server would help nobody. */
	give_back(s[0]);
	ck_assert_uint_eq(todo_count(MONITOR_CLOSE), 0);
	ck_assert_int_eq(s[0]->state, SERVER_IDLE);
}
END_TEST

START_TEST(blocked_slice_does_not_hide_another_below_the_same_floor)
{
	const struct slice_limits none = { .servers_max = 1 };
	struct pool_server *s[4];

	host_share(JOBS, 3, 3);
	monitor_slice_set_limits(&host.m, host_slice(POOL_B, JOBS), &none);
	(void)hold(&leases[3], host_slice(POOL_B, JOBS));
	hold_many(s, 3, host_slice(POOL_A, WEB));
	wait_in(&leases[4], host_slice(POOL_B, JOBS));
	host_wait(1);
	wait_in(&leases[5], host_slice(POOL_C, JOBS));
	wait_in(&leases[6], host_slice(POOL_A, WEB));
	give_back(s[0]);
	ck_assert_ptr_eq(to_close(), s[0]);
}
END_TEST

START_TEST(unit_within_a_floor_serves_its_own_workload_first)
{
	struct pool_server *s;

	host_limits(2, 16);
	host_share(JOBS, 1, 1);
	(void)hold(&leases[0], host_slice(POOL_A, WEB));
	s = hold(&leases[1], host_slice(POOL_A, JOBS));
	wait_in(&leases[2], host_slice(POOL_A, WEB));
	host_wait(1);
	wait_in(&leases[3], host_slice(POOL_A, JOBS));
	give_back(s);
	ck_assert_ptr_eq(inbox(0), &leases[3]);
}
END_TEST

/* --- evicting idle servers --------------------------------------------------- */

START_TEST(idle_server_of_another_pool_is_evicted_for_a_waiter)
{
	struct pool_server *s, *opened;

	host_limits(1, 16);
	s = idle_server(host_slice(POOL_A, WEB));
	wait_in(&leases[0], host_slice(POOL_B, WEB));
	ck_assert_ptr_eq(to_close(), s);
	gone(s);
	opened = begin_open();
	ck_assert_ptr_nonnull(opened);
	ready(opened);
	ck_assert_ptr_eq(inbox(0), &leases[0]);
}
END_TEST

START_TEST(no_two_evictions_for_one_waiter)
{
	struct pool_server *s[3];

	host_limits(3, 16);
	host_share(WEB, 0, 3);
	host_share(JOBS, 1, 1);
	hold_many(s, 3, host_slice(POOL_A, WEB));
	/* Who is at a maximum waits too, and cannot use what is closed. */
	host_share(WEB, 0, 1);
	wait_in(&leases[3], host_slice(POOL_C, WEB));
	wait_in(&leases[4], host_slice(POOL_C, WEB));
	host_share(WEB, 0, 3);
	for (uint32_t i = 0; i < 3; i++)
		s[i]->slice->pool->retry_at_us = 0;
	host.pools[POOL_C].retry_at_us = host.now + SEC;
	give_back(s[0]);
	give_back(s[1]);
	give_back(s[2]);
	wait_in(&leases[5], host_slice(POOL_B, JOBS));
	ck_assert_uint_eq(todo_count(MONITOR_CLOSE), 1);
	ck_assert(!upkeep());
	ck_assert_uint_eq(host.todo.count, 0);
}
END_TEST

START_TEST(evicts_the_borrowers_idle_server_first)
{
	struct pool_server *jobs, *web;

	host_limits(3, 16);
	host_share(JOBS, 2, 2);
	jobs = idle_server(host_slice(POOL_A, JOBS));
	host_wait(SEC);
	web = idle_server(host_slice(POOL_C, WEB));
	(void)hold(&leases[0], host_slice(POOL_B, WEB));
	wait_in(&leases[1], host_slice(POOL_B, WEB));
	/* Also when it has to wait for it. */
	ck_assert_ptr_null(to_close());
	host_wait(MONITOR_KEEP_US);
	ck_assert(!upkeep());
	ck_assert_ptr_eq(to_close(), web);
	ck_assert_int_eq(jobs->state, SERVER_IDLE);
}
END_TEST

START_TEST(evicts_its_own_idle_server_when_at_its_maximum)
{
	struct pool_server *own, *other;

	host_share(WEB, 0, 1);
	own = idle_server(host_slice(POOL_A, WEB));
	/* Hide it behind one that this share may not take. */
	ck_assert_int_eq(ask(&leases[0], host_slice(POOL_A, WEB)), LEASE_VERDICT_HELD);
	other = idle_server(host_slice(POOL_A, JOBS));
	host_wait(1);
	give_back(own);
	ck_assert_int_eq(own->state, SERVER_IDLE);
	wait_in(&leases[1], host_slice(POOL_B, WEB));
	ck_assert_ptr_eq(to_close(), own);
	ck_assert_int_eq(other->state, SERVER_IDLE);
}
END_TEST

START_TEST(server_taken_from_a_workload_lets_it_open_another)
{
	struct pool_server *s;

	host_share(JOBS, 0, 1);
	s = idle_server(host_slice(POOL_A, JOBS));
	/* Where it waits, it could not use the one it has. */
	host.m.retry_at_us = host.now + 1;
	wait_in(&leases[0], host_slice(POOL_B, JOBS));
	ck_assert_uint_eq(host.todo.count, 0);
	host_wait(1);
	ck_assert_int_eq(ask(&leases[1], host_slice(POOL_A, WEB)), LEASE_VERDICT_HELD);
	ck_assert_ptr_eq(leases[1].server, s);
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 1);
}
END_TEST

/* --- moving between pools ---------------------------------------------------- */

START_TEST(unit_moves_to_a_pool_that_has_waited_20_ms)
{
	struct pool_server *s[4];

	hold_many(s, 4, host_slice(POOL_A, WEB));
	host_wait(SEC);
	wait_in(&leases[4], host_slice(POOL_B, WEB));
	host_wait(1);
	for (uint32_t i = 5; i < 8; i++)
		wait_in(&leases[i], host_slice(POOL_A, WEB));
	host_wait(MONITOR_SWITCH_AFTER_US - 2);
	give_back(s[0]);
	ck_assert_uint_eq(todo_count(MONITOR_CLOSE), 0);
	ck_assert_ptr_eq(inbox(0), &leases[5]);
	host_wait(1);
	give_back(s[1]);
	ck_assert_ptr_eq(to_close(), s[1]);
	/* One for one. */
	give_back(s[2]);
	ck_assert_uint_eq(todo_count(MONITOR_CLOSE), 0);
	ck_assert_ptr_eq(inbox(0), &leases[6]);
}
END_TEST

START_TEST(pools_with_as_many_servers_do_not_change_places)
{
	struct pool_server *s[2];

	host_limits(2, 16);
	s[0] = hold(&leases[0], host_slice(POOL_A, WEB));
	s[1] = hold(&leases[1], host_slice(POOL_B, WEB));
	host_wait(SEC);
	wait_in(&leases[2], host_slice(POOL_B, WEB));
	host_wait(1);
	wait_in(&leases[3], host_slice(POOL_A, WEB));
	host_wait(SEC);
	give_back(s[0]);
	ck_assert_ptr_eq(inbox(0), &leases[3]);
}
END_TEST

START_TEST(unit_that_has_moved_stays_for_20_ms)
{
	struct pool_server *a, *b;

	host_limits(1, 16);
	a = hold(&leases[0], host_slice(POOL_A, WEB));
	host_wait(SEC);
	wait_in(&leases[1], host_slice(POOL_B, WEB));
	host_wait(1);
	wait_in(&leases[2], host_slice(POOL_A, WEB));
	host_wait(1);
	wait_in(&leases[3], host_slice(POOL_B, WEB));
	host_wait(MONITOR_SWITCH_AFTER_US);
	give_back(a);
	ck_assert_ptr_eq(to_close(), a);
	gone(a);
	b = begin_open();
	ready(b);
	ck_assert_ptr_eq(inbox(0), &leases[1]);
	/* A has waited longer; the unit has only just come from there. */
	host_wait(MONITOR_SWITCH_AFTER_US - 1);
	give_back(b);
	ck_assert_ptr_eq(inbox(0), &leases[3]);
	host_wait(1);
	wait_in(&leases[4], host_slice(POOL_B, WEB));
	give_back(b);
	ck_assert_ptr_eq(to_close(), b);
}
END_TEST

START_TEST(clock_of_another_worker_may_be_ahead)
{
	struct pool_server *s[4];

	hold_many(s, 4, host_slice(POOL_A, WEB));
	host_wait(SEC);
	host.now += 2;
	wait_in(&leases[4], host_slice(POOL_B, WEB));
	host.now += 1;
	wait_in(&leases[5], host_slice(POOL_A, WEB));
	host.now -= 3;
	give_back(s[0]);
	ck_assert_uint_eq(todo_count(MONITOR_CLOSE), 0);
	ck_assert_ptr_eq(inbox(0), &leases[5]);
}
END_TEST

START_TEST(idle_unit_within_a_floor_serves_its_own_workload_first)
{
	struct pool_server *web, *idle;

	host_limits(2, 1);
	host_share(JOBS, 1, 2);
	idle = idle_server(host_slice(POOL_A, JOBS));
	wait_in(&leases[0], host_slice(POOL_C, WEB));
	web = begin_open();
	host_share(WEB, 0, 1);
	wait_in(&leases[1], host_slice(POOL_A, WEB));
	host_wait(1);
	wait_in(&leases[2], host_slice(POOL_B, JOBS));
	host_share(WEB, 0, 2);
	ready(web);
	ck_assert_ptr_eq(to_close(), idle);
	ck_assert_ptr_eq(idle->promised_to, host_slice(POOL_B, JOBS));
}
END_TEST

START_TEST(lasting_loan_closes_as_many_idle_servers_as_it_takes)
{
	struct pool_server *s[2];

	host_share(WEB, 0, 4);
	host_share(JOBS, 0, 4);
	for (uint32_t i = 0; i < 2; i++)
		s[i] = hold(&leases[i], host_slice(POOL_A, WEB));
	for (uint32_t i = 0; i < 2; i++) {
		host_wait(1);
		give_back(s[i]);
	}
	/* A third workload, whose floor nobody uses, is all but one of the budget. */
	share_init(&third, "third");
	monitor_share_add(&host.m, &third);
	monitor_share_set(&host.m, &third, SHARE_TRANSIENT, 3, 4, 1);
	wait_in(&leases[0], host_slice(POOL_B, JOBS));
	ck_assert_ptr_eq(to_close(), s[0]);
	gone(s[0]);
	ck_assert_ptr_eq(to_close(), s[1]);
	gone(s[1]);
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 1);
}
END_TEST

START_TEST(floor_counts_a_connect_that_is_ready_as_over)
{
	struct pool_server *web;

	host_limits(1, 1);
	host_share(JOBS, 1, 1);
	wait_in(&leases[0], host_slice(POOL_A, WEB));
	web = begin_open();
	wait_in(&leases[1], host_slice(POOL_B, JOBS));
	ready(web);
	ck_assert_ptr_eq(to_close(), web);
}
END_TEST

static void add_sharing(Suite *s)
{
	TCase *tc = tcase_create("sharing");

	tcase_add_checked_fixture(tc, begin, host_end);
	tcase_add_test(tc, transient_borrows_the_idle_floor_of_others);
	tcase_add_test(tc, lasting_does_not_borrow_an_open_floor);
	tcase_add_test(tc, blocked_waiter_does_not_block_others);
	tcase_add_test(tc, borrower_returns_to_waiter_below_floor);
	tcase_add_test(tc, borrowed_server_of_another_pool_closes_for_a_floor);
	tcase_add_test(tc, one_floor_waiter_takes_back_one_server_only);
	tcase_add_test(tc, floor_takes_nothing_back_that_it_could_not_use);
	tcase_add_test(tc, blocked_slice_does_not_hide_another_below_the_same_floor);
	tcase_add_test(tc, unit_within_a_floor_serves_its_own_workload_first);
	tcase_add_test(tc, idle_unit_within_a_floor_serves_its_own_workload_first);
	tcase_add_test(tc, lasting_loan_closes_as_many_idle_servers_as_it_takes);
	tcase_add_test(tc, floor_counts_a_connect_that_is_ready_as_over);
	tcase_add_test(tc, idle_server_of_another_pool_is_evicted_for_a_waiter);
	tcase_add_test(tc, no_two_evictions_for_one_waiter);
	tcase_add_test(tc, evicts_the_borrowers_idle_server_first);
	tcase_add_test(tc, evicts_its_own_idle_server_when_at_its_maximum);
	tcase_add_test(tc, server_taken_from_a_workload_lets_it_open_another);
	tcase_add_test(tc, unit_moves_to_a_pool_that_has_waited_20_ms);
	tcase_add_test(tc, pools_with_as_many_servers_do_not_change_places);
	tcase_add_test(tc, unit_that_has_moved_stays_for_20_ms);
	tcase_add_test(tc, clock_of_another_worker_may_be_ahead);
	suite_add_tcase(s, tc);
}

Suite *sharing_suite(void)
{
	Suite *s = suite_create("pool/sharing");

	add_sharing(s);
	return s;
}
