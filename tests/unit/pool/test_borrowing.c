/* SPDX-License-Identifier: ISC */
/*
 * Borrowing by weight, reserves, what goes first after a shrink, replacements of old
 * servers, and leases that do not come back.
 */
#include "host.h"
#include "suites.h"

enum { LEASES = 17, BORROWED = 16, TURNS = 200 };

static struct lease leases[LEASES];
static struct share third;
static struct slice third_slices[POOL_COUNT];

static void begin(void)
{
	host_begin();
	for (uint32_t i = 0; i < LEASES; i++)
		lease_init(&leases[i], 0, i + 1);
	/* A third workload, transient as well. */
	share_init(&third, "third");
	monitor_share_add(&host.m, &third);
	for (int p = 0; p < POOL_COUNT; p++) {
		slice_init(&third_slices[p], &host.pools[p], &third);
		monitor_slice_add(&host.m, &third_slices[p]);
	}
}

static void weigh(uint32_t web, uint32_t other)
{
	monitor_share_set(&host.m, &host.shares[WEB], SHARE_TRANSIENT, 0, 16, web);
	monitor_share_set(&host.m, &third, SHARE_TRANSIENT, 0, 16, other);
}

/* Both want all they can get, in one pool: each server that comes back goes to whom
 * the weights say.  Returns what web has when nothing changes any more. */
static uint32_t share_out(uint32_t budget, uint32_t web, uint32_t other)
{
	static struct lease turns[2 * TURNS];
	struct pool_server *s[BORROWED];
	uint32_t held;

	host_limits(budget, 16);
	weigh(web, other);
	for (uint32_t i = 0; i < budget; i++)
		s[i] = hold(&leases[i], host_slice(POOL_A, WEB));
	for (uint32_t turn = 0; turn < TURNS; turn++) {
		struct lease *of_web = &turns[2 * turn], *of_other = of_web + 1;

		host_wait(1);
		lease_init(of_web, 1, 100);
		lease_init(of_other, 1, 101);
		wait_in(of_other, &third_slices[POOL_A]);
		host_wait(1);
		wait_in(of_web, host_slice(POOL_A, WEB));
		give_back(s[turn % budget]);
		withdraw(inbox(1) == of_web ? of_other : of_web);
	}
	held = host.shares[WEB].used;
	for (uint32_t i = 0; i < budget; i++)
		give_back(s[i]);
	return held;
}

START_TEST(borrowers_share_by_weight)
{
	ck_assert_uint_eq(share_out(12, 3, 1), 9);
}
END_TEST

START_TEST(equal_weights_share_evenly)
{
	ck_assert_uint_eq(share_out(8, 1, 1), 4);
}
END_TEST

START_TEST(returned_unit_goes_to_who_has_nothing_by_age)
{
	struct pool_server *s;

	host_limits(1, 16);
	weigh(1000, 1);
	s = hold(&leases[0], host_slice(POOL_A, WEB));
	wait_in(&leases[1], &third_slices[POOL_A]);
	host_wait(1);
	wait_in(&leases[2], host_slice(POOL_A, WEB));
	give_back(s);
	ck_assert_ptr_eq(inbox(0), &leases[1]);
}
END_TEST

START_TEST(weights_move_units_between_pools_after_20_ms)
{
	struct pool_server *s[4];

	host_limits(4, 16);
	weigh(1, 1);
	for (uint32_t i = 0; i < 4; i++)
		s[i] = hold(&leases[i], host_slice(POOL_A, WEB));
	host_wait(SEC);
	wait_in(&leases[4], host_slice(POOL_A, WEB));
	wait_in(&leases[5], &third_slices[POOL_B]);
	give_back(s[0]);
	ck_assert_ptr_eq(inbox(0), &leases[4]);
	host_wait(20 * MSEC);
	wait_in(&leases[6], host_slice(POOL_A, WEB));
	give_back(s[1]);
	ck_assert_ptr_eq(to_close(), s[1]);
	ck_assert_ptr_eq(s[1]->promised_to, &third_slices[POOL_B]);
}
END_TEST

/* --- the reserve ---------------------------------------------------------------------
 */

static void limit_pool(uint32_t servers, uint32_t reserve)
{
	const struct slice_limits limits = {
		.servers_max = servers, .reserve = reserve, .reserve_after_us = SEC
	};

	monitor_slice_set_limits(&host.m, host_slice(POOL_A, WEB), &limits);
}

START_TEST(reserve_opens_when_somebody_has_waited_for_long)
{
	struct pool_server *s;

	limit_pool(1, 1);
	(void)hold(&leases[0], host_slice(POOL_A, WEB));
	wait_in(&leases[1], host_slice(POOL_A, WEB));
	host_wait(SEC - 1);
	ck_assert(!upkeep());
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 0);
	host_wait(1);
	ck_assert(!upkeep());
	s = begin_open();
	ck_assert_ptr_nonnull(s);
	ready(s);
	ck_assert_ptr_eq(inbox(0), &leases[1]);
	/* Not a third one. */
	wait_in(&leases[2], host_slice(POOL_A, WEB));
	host_wait(10 * SEC);
	ck_assert(!upkeep());
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 0);
	/* It stays while it is wanted, and goes soon when it is not. */
	give_back(s);
	ck_assert_ptr_eq(inbox(0), &leases[2]);
	give_back(s);
	ck_assert_int_eq(s->state, SERVER_IDLE);
	ck_assert(!upkeep());
	ck_assert_ptr_null(to_close());
	host_wait(SEC);
	ck_assert(!upkeep());
	ck_assert_ptr_eq(to_close(), s);
}
END_TEST

START_TEST(without_a_reserve_nothing_opens)
{
	limit_pool(1, 0);
	(void)hold(&leases[0], host_slice(POOL_A, WEB));
	wait_in(&leases[1], host_slice(POOL_A, WEB));
	host_wait(60 * SEC);
	ck_assert(!upkeep());
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 0);
}
END_TEST

/* --- limits that were lowered
 * ----------------------------------------------------------- */

START_TEST(shrink_takes_from_the_borrower_first)
{
	struct pool_server *web[3], *job;

	host_share(WEB, 0, 4);
	host_share(JOBS, 1, 4);
	for (uint32_t i = 0; i < 3; i++)
		web[i] = hold(&leases[i], host_slice(POOL_A, WEB));
	job = hold(&leases[3], host_slice(POOL_A, JOBS));
	host_limits(3, 16);
	wait_in(&leases[4], host_slice(POOL_A, JOBS));
	give_back(job);
	ck_assert_ptr_null(to_close());
	ck_assert_ptr_eq(inbox(0), &leases[4]);
	give_back(web[0]);
	ck_assert_ptr_eq(to_close(), web[0]);
	give_back(web[1]);
	ck_assert_ptr_null(to_close());
}
END_TEST

START_TEST(lowered_quota_drains)
{
	struct quota quota = { .max = 0 };
	struct pool_server *s[3];

	host_slice(POOL_A, WEB)->quotas[SLICE_QUOTA_USER] = &quota;
	for (uint32_t i = 0; i < 3; i++)
		s[i] = hold(&leases[i], host_slice(POOL_A, WEB));
	monitor_quota_set(&host.m, &quota, 1);
	for (uint32_t i = 0; i < 2; i++) {
		give_back(s[i]);
		ck_assert_ptr_eq(to_close(), s[i]);
	}
	give_back(s[2]);
	ck_assert_int_eq(s[2]->state, SERVER_IDLE);
	gone(s[0]);
	gone(s[1]);
	ck_assert_uint_eq(quota.used, 1);
}
END_TEST

START_TEST(two_idle_servers_go_for_a_unit_and_a_quota)
{
	struct quota quota = { .max = 1 };
	struct pool_server *of_user, *of_web;

	/* The user's only connection is the third workload's, idle; all that web may have
	 * is idle in another pool. */
	host_limits(4, 16);
	weigh(1, 1);
	monitor_share_set(&host.m, &host.shares[WEB], SHARE_TRANSIENT, 0, 1, 1);
	host_slice(POOL_A, WEB)->quotas[SLICE_QUOTA_USER] = &quota;
	third_slices[POOL_B].quotas[SLICE_QUOTA_USER] = &quota;
	of_user = idle_server(&third_slices[POOL_B]);
	of_web = idle_server(host_slice(POOL_C, WEB));
	wait_in(&leases[0], host_slice(POOL_A, WEB));
	ck_assert_ptr_eq(to_close(), of_web);
	gone(of_web);
	ck_assert_ptr_eq(to_close(), of_user);
	gone(of_user);
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 1);
	ready(begin_open());
	ck_assert_ptr_eq(inbox(0), &leases[0]);
	third_slices[POOL_B].quotas[SLICE_QUOTA_USER] = NULL;
	host_slice(POOL_A, WEB)->quotas[SLICE_QUOTA_USER] = NULL;
}
END_TEST

/* --- connections that end
 * -------------------------------------------------------------------- */

/* One client of POOL_B beside all those of POOL_A. */
static void lonely_pool_keeps_its_server(void)
{
	struct pool_server *busy[3], *lonely;

	for (uint32_t i = 0; i < 3; i++)
		busy[i] = hold(&leases[i], host_slice(POOL_A, WEB));
	lonely = hold(&leases[3], host_slice(POOL_B, WEB));
	wait_in(&leases[4], host_slice(POOL_A, WEB));
	host_wait(SEC);
	/* Its client is between two queries. */
	give_back(lonely);
	ck_assert_ptr_null(to_close());
	ck_assert_int_eq(ask(&leases[3], host_slice(POOL_B, WEB)), LEASE_VERDICT_HELD);
	give_back(lonely);
	host_wait(MONITOR_KEEP_US);
	give_back(busy[0]);
	ck_assert_ptr_eq(inbox(0), &leases[4]);
	/* It has left: the others need not wait for ever. */
	wait_in(&leases[5], host_slice(POOL_A, WEB));
	ck_assert_ptr_eq(to_close(), lonely);
}

START_TEST(lonely_pool_keeps_what_it_has_just_used)
{
	lonely_pool_keeps_its_server();
}
END_TEST

/* That the workload is below or at its floor is no argument within it. */
START_TEST(lonely_pool_keeps_it_within_the_floor_too)
{
	host_limits(4, 16);
	host_share(JOBS, 0, 4);
	host_share(WEB, 4, 4);
	lonely_pool_keeps_its_server();
}
END_TEST

/* The unit that one workload gave up for another one's floor is not for a third waiter who
 * would only have to give it up again: that one has an idle server to give. */
START_TEST(freed_unit_goes_to_the_floor_it_was_freed_for)
{
	struct pool_server *idle, *s;

	host_limits(2, 1);
	host_share(WEB, 1, 2);
	host_share(JOBS, 1, 1);
	idle = idle_server(host_slice(POOL_A, WEB));
	wait_in(&leases[0], host_slice(POOL_B, WEB));
	s = begin_open();
	host_wait(1);
	/* As many connects as there may be are under way. */
	wait_in(&leases[1], host_slice(POOL_C, JOBS));
	ready(s);
	ck_assert_ptr_eq(to_close(), s);
	gone(s);
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 1);
	ck_assert_ptr_eq(host.todo.list[0].slice, host_slice(POOL_C, JOBS));
	ready(begin_open());
	ck_assert_ptr_eq(inbox(0), &leases[1]);
	ck_assert_ptr_eq(to_close(), idle);
	gone(idle);
	ready(begin_open());
	ck_assert_ptr_eq(inbox(0), &leases[0]);
}
END_TEST

START_TEST(floor_does_not_wait_for_that_moment)
{
	struct pool_server *web;

	host_limits(2, 16);
	host_share(JOBS, 2, 2);
	(void)hold(&leases[0], host_slice(POOL_A, JOBS));
	web = idle_server(host_slice(POOL_B, WEB));
	wait_in(&leases[1], host_slice(POOL_A, JOBS));
	ck_assert_ptr_eq(to_close(), web);
}
END_TEST

START_TEST(server_that_does_not_close_is_not_counted_on)
{
	struct pool_server *s[2];

	host_limits(2, 16);
	for (uint32_t i = 0; i < 2; i++)
		s[i] = hold(&leases[i], host_slice(POOL_A, WEB));
	give_back(s[0]);
	host_wait(1);
	give_back(s[1]);
	wait_in(&leases[2], host_slice(POOL_B, WEB));
	ck_assert_ptr_eq(to_close(), s[0]);
	ck_assert(!upkeep());
	ck_assert_ptr_null(to_close());
	host_wait(MONITOR_CLOSING_PATIENCE_US);
	ck_assert(!upkeep());
	ck_assert_ptr_eq(to_close(), s[1]);
}
END_TEST

START_TEST(replacement_is_ready_before_the_old_one_goes)
{
	const struct slice_limits limits = { .lifetime_us = 100 * SEC };
	struct pool_server *old, *new;

	monitor_slice_set_limits(&host.m, host_slice(POOL_A, WEB), &limits);
	old = hold(&leases[0], host_slice(POOL_A, WEB));
	host.now = old->expires_at_us - 5 * SEC - 1;
	ck_assert(!upkeep());
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 0);
	host_wait(1);
	ck_assert(!upkeep());
	new = begin_open();
	ck_assert_ptr_nonnull(new);
	ready(new);
	ck_assert_int_eq(new->state, SERVER_IDLE);
	/* One is enough. */
	ck_assert(!upkeep());
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 0);
	host_wait(5 * SEC);
	give_back(old);
	ck_assert_ptr_eq(to_close(), old);
	ck_assert_int_eq(ask(&leases[1], host_slice(POOL_A, WEB)), LEASE_VERDICT_HELD);
}
END_TEST

START_TEST(no_replacement_where_somebody_had_to_give_up_something)
{
	const struct slice_limits limits = { .lifetime_us = 100 * SEC };
	struct pool_server *old;

	host_share(JOBS, 3, 3);
	monitor_slice_set_limits(&host.m, host_slice(POOL_A, WEB), &limits);
	old = hold(&leases[0], host_slice(POOL_A, WEB));
	host.now = old->expires_at_us - SEC;
	ck_assert(!upkeep());
	ck_assert_uint_eq(todo_count(MONITOR_OPEN), 0);
}
END_TEST

START_TEST(login_refused_for_one_more_does_not_refuse_who_can_wait)
{
	struct pool_server *s = hold(&leases[0], host_slice(POOL_A, WEB));

	wait_in(&leases[1], host_slice(POOL_A, WEB));
	refuse(begin_open(), CONNECT_FAILED_LOGIN, "53300");
	ck_assert_ptr_null(inbox(0));
	give_back(s);
	ck_assert_ptr_eq(inbox(0), &leases[1]);
}
END_TEST

START_TEST(denied_connects_are_counted)
{
	wait_in(&leases[0], host_slice(POOL_A, WEB));
	refuse(begin_open(), CONNECT_FAILED_DENIED, "53300");
	ck_assert_uint_eq(host.m.denied, 1);
	ck_assert_int_eq(leases[0].state, LEASE_WAITING);
}
END_TEST

/* --- leases that do not come back
 * --------------------------------------------------------------- */

static void grace(uint64_t us)
{
	struct monitor_limits limits = host.m.limits;

	limits.reclaim_grace_us = us;
	monitor_set_limits(&host.m, &limits);
}

START_TEST(stalled_lease_is_promised_to_one_waiter_below_its_floor)
{
	host_limits(3, 16);
	host_share(WEB, 1, 3);
	host_share(JOBS, 2, 2);
	grace(SEC);
	for (uint32_t i = 0; i < 3; i++)
		(void)hold(&leases[i], host_slice(POOL_A, WEB));
	ck_assert(!monitor_wants_back(&host.m, host.now));
	wait_in(&leases[3], host_slice(POOL_B, JOBS));
	ck_assert(!monitor_end_stalled(&host.m, &leases[0], host.now));
	host_wait(SEC);
	ck_assert(monitor_wants_back(&host.m, host.now));
	ck_assert(monitor_end_stalled(&host.m, &leases[0], host.now));
	ck_assert_uint_eq(host.shares[WEB].stalled_ended, 1);
	/* One waiter, one unit. */
	ck_assert(!monitor_wants_back(&host.m, host.now));
	ck_assert(!monitor_end_stalled(&host.m, &leases[1], host.now));
	wait_in(&leases[4], host_slice(POOL_A, JOBS));
	host_wait(SEC);
	ck_assert(monitor_end_stalled(&host.m, &leases[1], host.now));
	/* What is left is within the floor. */
	wait_in(&leases[5], host_slice(POOL_A, JOBS));
	host_wait(SEC);
	ck_assert(!monitor_end_stalled(&host.m, &leases[2], host.now));
}
END_TEST

START_TEST(no_grace_ends_no_lease)
{
	host_limits(1, 16);
	host_share(JOBS, 1, 1);
	grace(0);
	(void)hold(&leases[0], host_slice(POOL_A, WEB));
	wait_in(&leases[1], host_slice(POOL_B, JOBS));
	host_wait(60 * SEC);
	ck_assert(!monitor_wants_back(&host.m, host.now));
	ck_assert(!monitor_end_stalled(&host.m, &leases[0], host.now));
}
END_TEST

START_TEST(reclaim_is_measured_from_asking_to_getting)
{
	struct pool_server *s;

	host_limits(1, 16);
	host_share(JOBS, 1, 1);
	s = hold(&leases[0], host_slice(POOL_A, WEB));
	wait_in(&leases[1], host_slice(POOL_A, JOBS));
	host_wait(7);
	give_back(s);
	ck_assert_ptr_eq(inbox(0), &leases[1]);
	ck_assert_uint_eq(host.shares[JOBS].reclaims.count, 1);
	ck_assert_uint_eq(host.shares[JOBS].reclaims.max, 7);
	/* What was free needs no reclaim. */
	give_back(s);
	ck_assert_int_eq(ask(&leases[2], host_slice(POOL_A, JOBS)), LEASE_VERDICT_HELD);
	ck_assert_uint_eq(host.shares[JOBS].reclaims.count, 1);
}
END_TEST

/* --- what waiters are told
 * ------------------------------------------------------------------------ */

static enum wait_reason why(const struct lease *l)
{
	struct monitor_wait wait;

	monitor_explain(&host.m, l, host.now, &wait);
	return wait.reason;
}

START_TEST(reasons_are_named)
{
	struct quota quota = { .max = 1 };

	host_limits(3, 16);
	(void)hold(&leases[0], host_slice(POOL_A, WEB));
	(void)hold(&leases[1], host_slice(POOL_A, WEB));
	wait_in(&leases[2], host_slice(POOL_A, WEB));
	ck_assert_int_eq(why(&leases[2]), WAIT_CONNECTING);
	refuse(begin_open(), CONNECT_FAILED_HOST, "08006");
	ck_assert_int_eq(why(&leases[2]), WAIT_HOST);
	/* Until it has let somebody in. */
	host_wait(10 * SEC);
	ck_assert_int_eq(why(&leases[2]), WAIT_HOST);
	host.m.failures = 0;
	host_limits(2, 16);
	ck_assert_int_eq(why(&leases[2]), WAIT_BUDGET);
	host_share(WEB, 0, 2);
	ck_assert_int_eq(why(&leases[2]), WAIT_WORKLOAD);
	host.m.limits.elsewhere = 1;
	ck_assert_int_eq(why(&leases[2]), WAIT_ELSEWHERE);
	/* They would not help. */
	host_share(WEB, 0, 1);
	ck_assert_int_eq(why(&leases[2]), WAIT_WORKLOAD);
	host.m.limits.elsewhere = 0;
	host_slice(POOL_A, WEB)->quotas[SLICE_QUOTA_USER] = &quota;
	quota.used = 1;
	ck_assert_int_eq(why(&leases[2]), WAIT_USER);
	host_slice(POOL_A, WEB)->quotas[SLICE_QUOTA_DATABASE] = &quota;
	ck_assert_int_eq(why(&leases[2]), WAIT_DATABASE);
	limit_pool(1, 0);
	ck_assert_int_eq(why(&leases[2]), WAIT_POOL);
	quota.used = 0;
	host_slice(POOL_A, WEB)->quotas[SLICE_QUOTA_USER] = NULL;
	host_slice(POOL_A, WEB)->quotas[SLICE_QUOTA_DATABASE] = NULL;
}
END_TEST

START_TEST(lasting_borrower_is_told_of_the_floors)
{
	host_share(WEB, 4, 4);
	wait_in(&leases[0], host_slice(POOL_A, JOBS));
	ck_assert_int_eq(why(&leases[0]), WAIT_FLOORS);
}
END_TEST

static uint64_t last_since_us;

static void count_waiter(
	const struct lease *l, const struct monitor_wait *wait, void *arg)
{
	uint32_t *count = arg;

	++*count;
	ck_assert_ptr_eq(l, &leases[wait->position]);
	ck_assert_uint_eq(wait->waiting, 3);
	ck_assert_uint_ge(wait->since_us, last_since_us);
	last_since_us = wait->since_us;
}

START_TEST(each_waiter_is_visited_in_the_order_of_asking)
{
	uint32_t count = 0;

	host_limits(1, 16);
	for (uint32_t i = 0; i < 4; i++) {
		host_wait(1);
		if (i == 0)
			(void)hold(&leases[i], host_slice(POOL_A, WEB));
		else
			wait_in(&leases[i], host_slice(POOL_A, WEB));
	}
	last_since_us = 0;
	monitor_each_waiter(&host.m, host.now, count_waiter, &count);
	ck_assert_uint_eq(count, 3);
}
END_TEST

/* A worker reads its clock, and another one takes the lock first. */
START_TEST(clocks_of_workers_do_not_turn_the_order_around)
{
	uint32_t count = 0;

	host_limits(1, 16);
	host_wait(100);
	for (uint32_t i = 0; i < 4; i++) {
		if (i == 0)
			(void)hold(&leases[i], host_slice(POOL_A, WEB));
		else
			wait_in(&leases[i], host_slice(POOL_A, WEB));
		host.now -= 10;
	}
	last_since_us = 0;
	monitor_each_waiter(&host.m, host.now, count_waiter, &count);
	ck_assert_uint_eq(count, 3);
	host_wait(100);
}
END_TEST

Suite *borrowing_suite(void)
{
	Suite *s = suite_create("pool/borrowing");
	TCase *tc = tcase_create("borrowing");

	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, begin, host_end);
	tcase_add_test(tc, borrowers_share_by_weight);
	tcase_add_test(tc, equal_weights_share_evenly);
	tcase_add_test(tc, returned_unit_goes_to_who_has_nothing_by_age);
	tcase_add_test(tc, weights_move_units_between_pools_after_20_ms);
	tcase_add_test(tc, reserve_opens_when_somebody_has_waited_for_long);
	tcase_add_test(tc, without_a_reserve_nothing_opens);
	tcase_add_test(tc, shrink_takes_from_the_borrower_first);
	tcase_add_test(tc, lowered_quota_drains);
	tcase_add_test(tc, two_idle_servers_go_for_a_unit_and_a_quota);
	tcase_add_test(tc, lonely_pool_keeps_what_it_has_just_used);
	tcase_add_test(tc, lonely_pool_keeps_it_within_the_floor_too);
	tcase_add_test(tc, floor_does_not_wait_for_that_moment);
	tcase_add_test(tc, freed_unit_goes_to_the_floor_it_was_freed_for);
	tcase_add_test(tc, server_that_does_not_close_is_not_counted_on);
	tcase_add_test(tc, replacement_is_ready_before_the_old_one_goes);
	tcase_add_test(tc, no_replacement_where_somebody_had_to_give_up_something);
	tcase_add_test(tc, login_refused_for_one_more_does_not_refuse_who_can_wait);
	tcase_add_test(tc, denied_connects_are_counted);
	tcase_add_test(tc, stalled_lease_is_promised_to_one_waiter_below_its_floor);
	tcase_add_test(tc, no_grace_ends_no_lease);
	tcase_add_test(tc, reclaim_is_measured_from_asking_to_getting);
	tcase_add_test(tc, reasons_are_named);
	tcase_add_test(tc, lasting_borrower_is_told_of_the_floors);
	tcase_add_test(tc, each_waiter_is_visited_in_the_order_of_asking);
	tcase_add_test(tc, clocks_of_workers_do_not_turn_the_order_around);
	suite_add_tcase(s, tc);
	return s;
}
