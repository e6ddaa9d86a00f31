/* SPDX-License-Identifier: ISC */
/*
 * Who gets the server that is free: one sentence of the rules, one test.
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

/* Fills the budget with servers that the first leases hold. */
static void hold_many(struct pool_server **servers, uint32_t count, struct slice *slice)
{
	for (uint32_t i = 0; i < count; i++)
		servers[i] = hold(&leases[i], slice);
}

/* --- hand-off ---------------------------------------------------------------- */

START_TEST(opens_one_server_for_one_waiter)
{
	wait_in(&leases[0], host_slice(POOL_A, WEB));
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 1);
	ck_assert_uint_eq(host.m.budget.used, 1);
}
END_TEST

START_TEST(gives_idle_server_at_once)
{
	struct pool_server *s = idle_server(host_slice(POOL_A, WEB));

	ck_assert_int_eq(ask(&leases[0], host_slice(POOL_A, WEB)), LEASE_VERDICT_HELD);
	ck_assert_ptr_eq(leases[0].server, s);
	ck_assert_uint_eq(host.todo.count, 0);
}
END_TEST

START_TEST(returned_server_goes_to_waiter_not_idle)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *s;

	host_limits(1, 16);
	s = hold(&leases[0], slice);
	wait_in(&leases[1], slice);
	ck_assert_uint_eq(host.todo.count, 0);
	give_back(s);
	ck_assert_int_eq(s->state, SERVER_LEASED);
	ck_assert_int_eq(leases[0].state, LEASE_NONE);
	ck_assert_uint_eq(host.todo.wake, 1);
	ck_assert_ptr_eq(inbox(0), &leases[1]);
}
END_TEST

START_TEST(gives_returned_server_to_oldest_waiter_of_any_worker)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *s;

	host_limits(1, 16);
	s = hold(&leases[0], slice);
	for (uint32_t i = 1; i < 4; i++) {
		leases[i].worker = 4 - i;
		host_wait(1);
		wait_in(&leases[i], slice);
	}
	for (uint32_t i = 1; i < 4; i++) {
		give_back(s);
		ck_assert_uint_eq(host.todo.wake, UINT64_C(1) << (4 - i));
		ck_assert_ptr_null(inbox(0));
		ck_assert_ptr_eq(inbox(4 - i), &leases[i]);
	}
}
END_TEST

START_TEST(gives_idle_server_to_oldest_waiter_of_any_workload)
{
	struct pool_server *s[2];

	host_limits(2, 16);
	hold_many(s, 2, host_slice(POOL_A, WEB));
	wait_in(&leases[2], host_slice(POOL_A, JOBS));
	host_wait(1);
	wait_in(&leases[3], host_slice(POOL_A, WEB));
	give_back(s[0]);
	ck_assert_ptr_eq(inbox(0), &leases[2]);
	ck_assert_uint_eq(host.shares[JOBS].used, 1);
	ck_assert_uint_eq(host.shares[WEB].used, 1);
}
END_TEST

/* A raised limit is felt at the next upkeep; who comes before that must not
 * overtake. */
START_TEST(newcomer_does_not_overtake_a_waiter)
{
	struct slice *slice = host_slice(POOL_A, JOBS);
	struct pool_server *s;

	host_share(JOBS, 0, 0);
	s = idle_server(host_slice(POOL_A, WEB));
	wait_in(&leases[0], slice);
	host_share(JOBS, 0, 4);
	wait_in(&leases[1], slice);
	ck_assert_ptr_eq(inbox(0), &leases[0]);
	ck_assert_ptr_eq(leases[0].server, s);
}
END_TEST

/* What it was given was not for it: it does not wait once more behind all others. */
START_TEST(who_comes_back_has_its_place)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *s;

	host_limits(1, 1);
	s = hold(&leases[0], slice);
	for (uint32_t i = 1; i < 3; i++) {
		host_wait(10);
		wait_in(&leases[i], slice);
	}
	host_wait(10);
	give_back(s);
	ck_assert_ptr_eq(inbox(0), &leases[1]);
	gone(s);
	s = begin_open();
	leases[1].is_back = true;
	wait_in(&leases[1], slice);
	ck_assert(!leases[1].is_back);
	ready(s);
	ck_assert_ptr_eq(inbox(0), &leases[1]);
	give_back(leases[1].server);
	ck_assert_ptr_eq(inbox(0), &leases[2]);
}
END_TEST

START_TEST(idle_server_is_given_even_while_connects_are_paced)
{
	struct pool_server *jobs;

	host_limits(4, 1);
	host_share(JOBS, 0, 1);
	jobs = hold(&leases[0], host_slice(POOL_B, JOBS));
	(void)idle_server(host_slice(POOL_A, WEB));
	wait_in(&leases[1], host_slice(POOL_A, JOBS));
	wait_in(&leases[2], host_slice(POOL_C, WEB));
	ck_assert_ptr_nonnull(begin_open());
	monitor_closing(&host.m, jobs);
	gone(jobs);
	ck_assert_ptr_eq(inbox(0), &leases[1]);
}
END_TEST

START_TEST(prefers_idle_server_with_the_clients_state)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *s[3];

	hold_many(s, 3, slice);
	for (uint32_t i = 0; i < 3; i++) {
		s[i]->state_key = i + 10;
		give_back(s[i]);
	}
	leases[5].state_key = 11;
	ck_assert_int_eq(ask(&leases[5], slice), LEASE_VERDICT_HELD);
	ck_assert_ptr_eq(leases[5].server, s[1]);
	/* Else the one used last. */
	ck_assert_int_eq(ask(&leases[6], slice), LEASE_VERDICT_HELD);
	ck_assert_ptr_eq(leases[6].server, s[2]);
}
END_TEST

START_TEST(state_does_not_change_the_order_of_waiters)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *s;

	host_limits(1, 16);
	s = hold(&leases[0], slice);
	wait_in(&leases[1], slice);
	leases[2].state_key = 7;
	wait_in(&leases[2], slice);
	s->state_key = 7;
	give_back(s);
	ck_assert_ptr_eq(inbox(0), &leases[1]);
}
END_TEST

START_TEST(finds_own_idle_server_behind_many_of_others)
{
	struct lease many[12];
	struct pool_server *own, *others[12];

	host_limits(16, 16);
	host_share(WEB, 0, 16);
	host_share(JOBS, 0, 1);
	own = idle_server(host_slice(POOL_A, JOBS));
	/* Taken by WEB they would count for WEB: hold the first one meanwhile. */
	ck_assert_int_eq(ask(&leases[0], host_slice(POOL_A, JOBS)), LEASE_VERDICT_HELD);
	for (uint32_t i = 0; i < 12; i++) {
		lease_init(&many[i], 0, 0);
		others[i] = hold(&many[i], host_slice(POOL_A, WEB));
	}
	give_back(own);
	host_wait(1);
	for (uint32_t i = 0; i < 12; i++)
		give_back(others[i]);
	ck_assert_int_eq(ask(&leases[1], host_slice(POOL_A, JOBS)), LEASE_VERDICT_HELD);
	ck_assert_ptr_eq(leases[1].server, own);
}
END_TEST

/* ... as long as it is in use: one that is not needed may expire. */
START_TEST(finds_the_server_with_its_own_session_behind_many)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *s[12];
	static struct lease many[12];

	host_limits(16, 16);
	host_share(WEB, 0, 16);
	for (uint32_t i = 0; i < 12; i++) {
		lease_init(&many[i], 0, i + 1);
		s[i] = hold(&many[i], slice);
	}
	for (uint32_t i = 0; i < 12; i++) {
		s[i]->last_client = i + 1;
		give_back(s[i]);
	}
	ck_assert_int_eq(ask(&many[0], slice), LEASE_VERDICT_HELD);
	ck_assert_ptr_eq(many[0].server, s[0]);
	give_back(s[0]);
	host_wait(MONITOR_KEEP_US + 1);
	ck_assert_int_eq(ask(&many[11], slice), LEASE_VERDICT_HELD);
	ck_assert_ptr_eq(many[11].server, s[11]);
	give_back(s[11]);
	ck_assert_int_eq(ask(&many[1], slice), LEASE_VERDICT_HELD);
	ck_assert_ptr_eq(many[1].server, s[11]);
}
END_TEST

START_TEST(connect_under_way_serves_whoever_is_oldest_when_it_is_ready)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *s;

	host_limits(1, 16);
	wait_in(&leases[0], slice);
	s = begin_open();
	wait_in(&leases[1], slice);
	withdraw(&leases[0]);
	ready(s);
	ck_assert_ptr_eq(inbox(0), &leases[1]);
}
END_TEST

/* --- withdrawing ------------------------------------------------------------- */

START_TEST(withdrawn_waiter_is_passed_over)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *s;

	host_limits(1, 16);
	s = hold(&leases[0], slice);
	wait_in(&leases[1], slice);
	wait_in(&leases[2], slice);
	withdraw(&leases[1]);
	give_back(s);
	ck_assert_ptr_eq(inbox(0), &leases[2]);
	ck_assert_ptr_null(inbox(0));
}
END_TEST

START_TEST(withdraw_of_a_granted_lease_passes_the_server_on)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct pool_server *s;

	host_limits(1, 16);
	s = hold(&leases[0], slice);
	wait_in(&leases[1], slice);
	leases[2].worker = 3;
	wait_in(&leases[2], slice);
	give_back(s);
	ck_assert_int_eq(leases[1].state, LEASE_GRANTED);
	withdraw(&leases[1]);
	ck_assert_uint_eq(host.todo.wake, UINT64_C(1) << 3);
	ck_assert_ptr_null(inbox(0));
	ck_assert_ptr_eq(inbox(3), &leases[2]);
	ck_assert_ptr_eq(leases[2].server, s);
}
END_TEST

START_TEST(withdraw_of_nothing_is_harmless)
{
	withdraw(&leases[0]);
	ck_assert_uint_eq(host.todo.count, 0);
}
END_TEST

START_TEST(queue_limit_refuses_at_once)
{
	const struct slice_limits limits = { .waiting_max = 2 };
	struct slice *slice = host_slice(POOL_A, WEB);

	monitor_slice_set_limits(&host.m, slice, &limits);
	wait_in(&leases[0], slice);
	wait_in(&leases[1], slice);
	ck_assert_int_eq(ask(&leases[2], slice), LEASE_VERDICT_FULL);
	ck_assert_int_eq(leases[2].state, LEASE_NONE);
	/* Only this slice is full. */
	wait_in(&leases[2], host_slice(POOL_A, JOBS));
	withdraw(&leases[0]);
	wait_in(&leases[3], slice);
}
END_TEST

START_TEST(position_counts_those_before)
{
	struct slice *slice = host_slice(POOL_A, WEB);
	struct monitor_wait wait;

	host_limits(1, 16);
	host_share(WEB, 0, 3);
	(void)hold(&leases[0], slice);
	wait_in(&leases[1], slice);
	wait_in(&leases[2], slice);
	monitor_explain(&host.m, &leases[2], host.now, &wait);
	ck_assert_uint_eq(wait.position, 2);
	ck_assert_uint_eq(wait.waiting, 2);
	ck_assert_uint_eq(wait.pool_leased, 1);
	ck_assert_uint_eq(wait.used, 1);
	ck_assert_uint_eq(wait.max, 3);
	ck_assert_int_eq(wait.reason, WAIT_BUDGET);
	monitor_explain(&host.m, &leases[0], host.now, &wait);
	ck_assert_uint_eq(wait.position, 0);
}
END_TEST

START_TEST(has_waiters_sees_those_of_other_pools)
{
	struct slice *slice = host_slice(POOL_A, WEB);

	host_limits(1, 16);
	(void)hold(&leases[0], slice);
	ck_assert(!monitor_has_waiters(&host.m, slice));
	wait_in(&leases[1], host_slice(POOL_B, JOBS));
	ck_assert(monitor_has_waiters(&host.m, slice));
}
END_TEST

static void add_hand_off(Suite *s)
{
	TCase *tc = tcase_create("hand-off");

	tcase_add_checked_fixture(tc, begin, host_end);
	tcase_add_test(tc, opens_one_server_for_one_waiter);
	tcase_add_test(tc, gives_idle_server_at_once);
	tcase_add_test(tc, returned_server_goes_to_waiter_not_idle);
	tcase_add_test(tc, gives_returned_server_to_oldest_waiter_of_any_worker);
	tcase_add_test(tc, gives_idle_server_to_oldest_waiter_of_any_workload);
	tcase_add_test(tc, newcomer_does_not_overtake_a_waiter);
	tcase_add_test(tc, who_comes_back_has_its_place);
	tcase_add_test(tc, idle_server_is_given_even_while_connects_are_paced);
	tcase_add_test(tc, prefers_idle_server_with_the_clients_state);
	tcase_add_test(tc, state_does_not_change_the_order_of_waiters);
	tcase_add_test(tc, finds_own_idle_server_behind_many_of_others);
	tcase_add_test(tc, finds_the_server_with_its_own_session_behind_many);
	tcase_add_test(tc, connect_under_way_serves_whoever_is_oldest_when_it_is_ready);
	tcase_add_test(tc, withdrawn_waiter_is_passed_over);
	tcase_add_test(tc, withdraw_of_a_granted_lease_passes_the_server_on);
	tcase_add_test(tc, withdraw_of_nothing_is_harmless);
	tcase_add_test(tc, queue_limit_refuses_at_once);
	tcase_add_test(tc, position_counts_those_before);
	tcase_add_test(tc, has_waiters_sees_those_of_other_pools);
	suite_add_tcase(s, tc);
}

Suite *monitor_suite(void)
{
	Suite *s = suite_create("pool/monitor");

	add_hand_off(s);
	return s;
}
