/* SPDX-License-Identifier: ISC */
/*
 * Limits that change, and what happens without anybody asking.
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

static void limit_slice(struct slice *slice, struct slice_limits limits)
{
	monitor_slice_set_limits(&host.m, slice, &limits);
}

/* --- limits ------------------------------------------------------------------ */

START_TEST(pool_size_limits_the_servers_of_a_slice)
{
	struct slice *slice = host_slice(POOL_A, WEB);

	limit_slice(slice, (struct slice_limits){ .servers_max = 1 });
	(void)hold(&leases[0], slice);
	wait_in(&leases[1], slice);
	ck_assert_uint_eq(host.todo.count, 0);
	(void)hold(&leases[2], host_slice(POOL_A, JOBS));
}
END_TEST

START_TEST(lowered_budget_closes_what_is_too_many_and_no_more)
{
	struct pool_server *s[4];

	for (uint32_t i = 0; i < 4; i++)
		s[i] = hold(&leases[i], host_slice(POOL_A, WEB));
	host_limits(3, 16);
	give_back(s[0]);
	ck_assert_ptr_eq(to_close(), s[0]);
	give_back(s[1]);
	ck_assert_int_eq(s[1]->state, SERVER_IDLE);
	gone(s[0]);
	ck_assert_uint_eq(host.m.budget.used, 3);
}
END_TEST

START_TEST(lowered_maximum_closes_what_is_too_many_and_no_more)
{
	struct pool_server *s[4];

	for (uint32_t i = 0; i < 4; i++)
		s[i] = hold(&leases[i], host_slice(POOL_A, WEB));
	host_share(WEB, 0, 2);
	give_back(s[0]);
	ck_assert_ptr_eq(to_close(), s[0]);
	give_back(s[1]);
	ck_assert_ptr_eq(to_close(), s[1]);
	give_back(s[2]);
	ck_assert_int_eq(s[2]->state, SERVER_IDLE);
}
END_TEST

START_TEST(lowered_pool_size_closes_what_is_too_many_and_no_more)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *s[3];

	for (uint32_t i = 0; i < 3; i++)
		s[i] = hold(&leases[i], slice);
	for (uint32_t i = 0; i < 3; i++) {
		host_wait(1);
		give_back(s[i]);
	}
	limit_slice(slice, (struct slice_limits){ .servers_max = 2 });
	ck_assert(!upkeep());
	/* The one unused for longest. */
	ck_assert_ptr_eq(to_close(), s[0]);
	gone(s[0]);
	ck_assert(!upkeep());
	ck_assert_uint_eq(host.todo.count, 0);
}
END_TEST

START_TEST(raised_budget_serves_waiters_at_upkeep)
{
	host_limits(1, 16);
	(void)hold(&leases[0], host_slice(POOL_A, WEB));
	wait_in(&leases[1], host_slice(POOL_A, WEB));
	wait_in(&leases[2], host_slice(POOL_B, WEB));
	host_limits(3, 16);
	ck_assert(!upkeep());
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 2);
}
END_TEST

/* --- retiring and expiring --------------------------------------------------- */

START_TEST(retired_servers_close_on_return_and_when_idle)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *held, *idle, *other;

	held = hold(&leases[0], slice);
	idle = idle_server(slice);
	other = idle_server(host_slice(POOL_B, WEB));
	monitor_retire(&host.m, &host.pools[POOL_A]);
	ck_assert_int_eq(held->state, SERVER_LEASED);
	give_back(held);
	ck_assert_ptr_eq(to_close(), held);
	ck_assert(!upkeep());
	ck_assert_ptr_eq(to_close(), idle);
	ck_assert_int_eq(other->state, SERVER_IDLE);
	monitor_retire(&host.m, NULL);
	ck_assert(!upkeep());
	ck_assert_ptr_eq(to_close(), other);
}
END_TEST

START_TEST(retired_server_is_not_given_out_again)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *s;

	host_limits(1, 16);
	s = idle_server(slice);
	monitor_retire(&host.m, slice->pool);
	wait_in(&leases[0], slice);
	ck_assert_ptr_eq(to_close(), s);
	gone(s);
	s = begin_open();
	ready(s);
	ck_assert_ptr_eq(inbox(0), &leases[0]);
	give_back(s);
	ck_assert_int_eq(s->state, SERVER_IDLE);
}
END_TEST

START_TEST(connect_begun_before_retiring_is_not_used)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *s;

	wait_in(&leases[0], slice);
	s = begin_open();
	monitor_retire(&host.m, slice->pool);
	ready(s);
	ck_assert_ptr_eq(to_close(), s);
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 1);
}
END_TEST

START_TEST(lifetimes_differ_by_up_to_a_tenth)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	uint64_t low = UINT64_MAX, high = 0;

	host_limits(16, 16);
	host_share(WEB, 0, 16);
	limit_slice(slice, (struct slice_limits){ .lifetime_us = 100 * SEC });
	for (uint32_t i = 0; i < 8; i++) {
		uint64_t life = hold(&leases[i], slice)->expires_at_us - host.now;

		ck_assert_uint_le(life, 100 * SEC);
		ck_assert_uint_ge(life, 90 * SEC);
		low = u64_min(low, life);
		high = life > high ? life : high;
	}
	ck_assert_uint_lt(low, high);
}
END_TEST

START_TEST(expired_server_closes_on_return_and_when_idle)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *held, *idle;

	limit_slice(slice, (struct slice_limits){ .lifetime_us = SEC, .servers_min = 2 });
	held = hold(&leases[0], slice);
	idle = idle_server(slice);
	host_wait(SEC);
	give_back(held);
	ck_assert_ptr_eq(to_close(), held);
	ck_assert(!upkeep());
	ck_assert_ptr_eq(to_close(), idle);
}
END_TEST

START_TEST(idle_timeout_spares_the_minimum)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *s[4];

	for (uint32_t i = 0; i < 4; i++)
		s[i] = hold(&leases[i], slice);
	for (uint32_t i = 0; i < 4; i++)
		give_back(s[i]);
	limit_slice(
		slice, (struct slice_limits){ .idle_timeout_us = SEC, .servers_min = 2 });
	host_wait(SEC - 1);
	ck_assert(!upkeep());
	ck_assert_uint_eq(host.todo.count, 0);
	host_wait(1);
	ck_assert(!upkeep());
	ck_assert_uint_eq(todo_count(MONITOR_CLOSE), 2);
	ck_assert_uint_eq(host.m.idle, 2);
}
END_TEST

START_TEST(clock_of_another_worker_does_not_expire_servers)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *taken;

	limit_slice(slice, (struct slice_limits){ .idle_timeout_us = SEC });
	(void)idle_server(slice);
	host.now -= 1;
	ck_assert(!upkeep());
	ck_assert_uint_eq(host.todo.count, 0);
	ck_assert_uint_eq(monitor_take_idle(&host.m, host.now, 1, &taken, 1), 0);
}
END_TEST

START_TEST(minimum_is_kept_open)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *s;

	limit_slice(slice, (struct slice_limits){ .servers_min = 2 });
	ck_assert(!upkeep());
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 2);
	s = begin_open();
	ready(s);
	ck_assert_int_eq(s->state, SERVER_IDLE);
	ck_assert(!upkeep());
	ck_assert_uint_eq(host.todo.count, 0);
}
END_TEST

START_TEST(waiters_come_before_the_minimum)
{
	host_limits(1, 16);
	host_share(WEB, 0, 0);
	limit_slice(host_slice(POOL_A, JOBS), (struct slice_limits){ .servers_min = 1 });
	wait_in(&leases[0], host_slice(POOL_B, WEB));
	host_share(WEB, 0, 1);
	ck_assert(!upkeep());
	ck_assert_ptr_eq(host.todo.list[0].slice, host_slice(POOL_B, WEB));
}
END_TEST

START_TEST(upkeep_says_when_there_is_more)
{
	struct slice *slice = host_slice(POOL_A, WEB);

	host_limits(40, 40);
	host_share(WEB, 0, 40);
	limit_slice(slice, (struct slice_limits){ .servers_min = 20 });
	ck_assert(upkeep());
	ck_assert_uint_eq(host.todo.count, MONITOR_ACTIONS_MAX);
	ck_assert(!upkeep());
	ck_assert_uint_eq(host.m.budget.used, 20);
}
END_TEST

/* --- looking at idle servers ------------------------------------------------- */

START_TEST(idle_check_takes_the_longest_unused_first)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *s[3], *taken[3];

	for (uint32_t i = 0; i < 3; i++)
		s[i] = hold(&leases[i], slice);
	for (uint32_t i = 0; i < 3; i++) {
		host_wait(SEC);
		give_back(s[i]);
	}
	ck_assert_uint_eq(monitor_take_idle(&host.m, host.now, SEC, taken, 3), 2);
	ck_assert_ptr_eq(taken[0], s[0]);
	ck_assert_ptr_eq(taken[1], s[1]);
	ck_assert_int_eq(s[0]->state, SERVER_CHECKING);
	/* It cannot be leased meanwhile; afterwards a waiter gets it. */
	limit_slice(slice, (struct slice_limits){ .servers_max = 3 });
	ck_assert_int_eq(ask(&leases[0], slice), LEASE_VERDICT_HELD);
	wait_in(&leases[1], slice);
	give_back(taken[0]);
	ck_assert_ptr_eq(inbox(0), &leases[1]);
	/* One that was found dead. */
	monitor_closing(&host.m, taken[1]);
	gone(taken[1]);
}
END_TEST

START_TEST(idle_server_that_is_cleaned_keeps_its_place)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *s[2], *taken[2];

	for (uint32_t i = 0; i < 2; i++)
		s[i] = hold(&leases[i], slice);
	for (uint32_t i = 0; i < 2; i++) {
		host_wait(SEC);
		give_back(s[i]);
	}
	host_wait(SEC);
	ck_assert_uint_eq(monitor_take_idle(&host.m, host.now, SEC, taken, 1), 1);
	ck_assert_ptr_eq(taken[0], s[0]);
	monitor_cleaning(&host.m, s[0]);
	ck_assert_int_eq(s[0]->state, SERVER_CHECKING);
	give_back(s[0]);
	ck_assert_int_eq(s[0]->state, SERVER_IDLE);
	ck_assert_int_eq(ask(&leases[0], slice), LEASE_VERDICT_HELD);
	ck_assert_ptr_eq(leases[0].server, s[1]);
}
END_TEST

START_TEST(idle_check_reaches_every_server_in_turn)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *s[4], *taken[2];

	for (uint32_t i = 0; i < 4; i++)
		s[i] = hold(&leases[i], slice);
	for (uint32_t i = 0; i < 4; i++) {
		host_wait(1);
		give_back(s[i]);
	}
	for (uint32_t i = 0; i < 8; i += 2) {
		ck_assert_uint_eq(monitor_take_idle(&host.m, host.now, 0, taken, 2), 2);
		ck_assert_ptr_eq(taken[0], s[i % 4]);
		ck_assert_ptr_eq(taken[1], s[i % 4 + 1]);
		give_back(taken[0]);
		give_back(taken[1]);
	}
}
END_TEST

START_TEST(idle_check_does_not_make_a_server_look_used)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *old, *young, *taken;
	uint64_t used_at;

	old = hold(&leases[0], slice);
	young = hold(&leases[1], slice);
	give_back(old);
	host_wait(SEC);
	give_back(young);
	used_at = old->used_at_us;
	ck_assert_uint_eq(monitor_take_idle(&host.m, host.now, SEC, &taken, 1), 1);
	ck_assert_ptr_eq(taken, old);
	give_back(old);
	ck_assert_uint_eq(old->used_at_us, used_at);
	/* The one used last is still the first to be used again. */
	ck_assert_int_eq(ask(&leases[0], slice), LEASE_VERDICT_HELD);
	ck_assert_ptr_eq(leases[0].server, young);
}
END_TEST

START_TEST(pool_is_removed_only_when_nobody_uses_it)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *s;

	monitor_client_count(&host.m, slice, 1);
	ck_assert(!monitor_pool_remove(&host.m, slice->pool));
	monitor_client_count(&host.m, slice, -1);
	s = idle_server(slice);
	ck_assert(!monitor_pool_remove(&host.m, slice->pool));
	host_limits(1, 16);
	wait_in(&leases[0], host_slice(POOL_B, WEB));
	ck_assert_ptr_eq(to_close(), s);
	withdraw(&leases[0]);
	/* Somebody gives up a unit for it. */
	ck_assert(!monitor_pool_remove(&host.m, &host.pools[POOL_B]));
	gone(s);
	ck_assert(monitor_pool_remove(&host.m, &host.pools[POOL_B]));
	ck_assert(monitor_pool_remove(&host.m, slice->pool));
}
END_TEST

static void add_upkeep(Suite *s)
{
	TCase *tc = tcase_create("upkeep");

	tcase_add_checked_fixture(tc, begin, host_end);
	tcase_add_test(tc, pool_size_limits_the_servers_of_a_slice);
	tcase_add_test(tc, lowered_budget_closes_what_is_too_many_and_no_more);
	tcase_add_test(tc, lowered_maximum_closes_what_is_too_many_and_no_more);
	tcase_add_test(tc, lowered_pool_size_closes_what_is_too_many_and_no_more);
	tcase_add_test(tc, raised_budget_serves_waiters_at_upkeep);
	tcase_add_test(tc, retired_servers_close_on_return_and_when_idle);
	tcase_add_test(tc, retired_server_is_not_given_out_again);
	tcase_add_test(tc, connect_begun_before_retiring_is_not_used);
	tcase_add_test(tc, lifetimes_differ_by_up_to_a_tenth);
	tcase_add_test(tc, expired_server_closes_on_return_and_when_idle);
	tcase_add_test(tc, idle_timeout_spares_the_minimum);
	tcase_add_test(tc, clock_of_another_worker_does_not_expire_servers);
	tcase_add_test(tc, minimum_is_kept_open);
	tcase_add_test(tc, waiters_come_before_the_minimum);
	tcase_add_test(tc, upkeep_says_when_there_is_more);
	tcase_add_test(tc, idle_check_takes_the_longest_unused_first);
	tcase_add_test(tc, idle_server_that_is_cleaned_keeps_its_place);
	tcase_add_test(tc, idle_check_reaches_every_server_in_turn);
	tcase_add_test(tc, idle_check_does_not_make_a_server_look_used);
	tcase_add_test(tc, pool_is_removed_only_when_nobody_uses_it);
	suite_add_tcase(s, tc);
}

Suite *upkeep_suite(void)
{
	Suite *s = suite_create("pool/upkeep");

	add_upkeep(s);
	return s;
}
