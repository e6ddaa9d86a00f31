/* SPDX-License-Identifier: ISC */
/*
 * Where a host is: its list of places, which address comes first, and which servers
 * go when that changes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"
#include "suites.h"
#include "world.h"

#define AT(host) \
	"hosts: { main: { host: " host ", connection_budget: 20 } }\n" WORKLOADS DATABASES USERS
#define A "127.0.0.1:5432"
#define B "127.0.0.2:5432"
#define C "127.0.0.3:5432"

static struct route *route;
static struct route_host *host;

static void begin_with(const char *text)
{
	names_begin();
	world_begin(text);
	route = world_route("web", "rag", "anna");
	host = route->host;
}

static void begin(void)
{
	begin_with(AT("[ 127.0.0.1, 127.0.0.2, 127.0.0.3 ]"));
}

static void end(void)
{
	monitor_retire(&host->monitor, NULL);
	(void)world_close_retired(host);
	route_leave(route);
	world_end();
}

static struct addr addr_of(const char *text)
{
	struct addr addr;
	char why[200];

	ck_assert_int_eq(addr_parse_listen(text, &addr, why, sizeof(why)), 0);
	return addr;
}

/* All of them in their order, the one to begin with first. */
static const char *order(void)
{
	static char text[DIRECTORY_ADDRS_MAX * 32];
	struct host_target target;
	char one[ADDR_TEXT_MAX];
	size_t used = 0;

	text[0] = '\0';
	route_host_target(host, &target);
	for (uint32_t i = 0; i < target.addr_count; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s",
			i == 0 ? "" : " ",
			addr_text(&target.addrs[(target.first + i) % target.addr_count], one,
				sizeof(one)));
	return text;
}

static uint32_t generation(void)
{
	struct host_target target;

	route_host_target(host, &target);
	return target.generation;
}

/* A client gets a server, which has logged in there. */
static bool log_in(struct lease *lease, uint32_t began, const char *text)
{
	struct addr addr = addr_of(text);
	bool moved;

	world_hold(route, lease);
	(void)route_host_reached(host, began, &addr, lease->server, &moved);
	return moved;
}

/* --- the list ------------------------------------------------------------------- */

START_TEST(addresses_are_in_the_order_of_the_file)
{
	ck_assert_str_eq(order(), A " " B " " C);
	ck_assert_uint_eq(route_host_place(host), 0);
}
END_TEST

START_TEST(address_that_failed_is_not_tried_first)
{
	struct addr a = addr_of(A), b = addr_of(B);

	route_host_failed(host, &b);
	ck_assert_str_eq(order(), A " " B " " C);
	route_host_failed(host, &a);
	ck_assert_str_eq(order(), B " " C " " A);
	ck_assert_uint_eq(route_host_place(host), 1);
	/* Others who had begun before find the same. */
	route_host_failed(host, &a);
	ck_assert_str_eq(order(), B " " C " " A);
	route_host_failed(host, &b);
	ck_assert_str_eq(order(), C " " A " " B);
}
END_TEST

START_TEST(a_name_may_have_several_addresses)
{
	names_set("db", "127.0.0.2 127.0.0.3");
	world_reload(AT("[ 127.0.0.1, db ]"));
	ck_assert_str_eq(order(), A " " B " " C);
	host->target.first = 2;
	ck_assert_uint_eq(route_host_place(host), 1);
}
END_TEST

START_TEST(one_machine_by_two_names_is_tried_once)
{
	names_set("one", "127.0.0.2");
	names_set("two", "127.0.0.2 127.0.0.1");
	world_reload(AT("[ 127.0.0.1, one, two ]"));
	ck_assert_str_eq(order(), A " " B);
}
END_TEST

START_TEST(a_name_with_many_addresses_leaves_room_for_others)
{
	char addrs[40 * 16];
	size_t used = 0;
	struct host_target target;

	for (int i = 0; i < 40; i++)
		used += (size_t)snprintf(addrs + used, sizeof(addrs) - used, "127.0.1.%d ", i);
	names_set("many", addrs);
	world_reload(AT("[ many, 127.0.0.1, 127.0.0.2 ]"));
	route_host_target(host, &target);
	ck_assert_uint_eq(target.addr_count, DIRECTORY_ADDRS_MAX);
	ck_assert_uint_eq(target.places[DIRECTORY_ADDRS_MAX - 3], 0);
	ck_assert_uint_eq(target.places[DIRECTORY_ADDRS_MAX - 2], 1);
	ck_assert_uint_eq(target.places[DIRECTORY_ADDRS_MAX - 1], 2);
}
END_TEST

START_TEST(names_that_do_not_resolve_do_not_keep_others_from_being_used)
{
	route_leave(route);
	world_end();
	begin_with(AT("[ none, 127.0.0.2 ]"));
	ck_assert_str_eq(order(), B);
	ck_assert_uint_eq(route_host_place(host), 1);
}
END_TEST

START_TEST(a_new_name_that_does_not_resolve_is_refused_in_a_reload)
{
	ck_assert(!world_try_reload(AT("[ 127.0.0.2, none ]")));
	ck_assert_str_eq(order(), A " " B " " C);
}
END_TEST

START_TEST(a_name_that_was_known_keeps_its_address)
{
	names_set("db", "127.0.0.2");
	world_reload(AT("[ 127.0.0.1, db ]"));
	names_set("db", NULL);
	world_reload(AT("[ db, 127.0.0.3 ]"));
	ck_assert_str_eq(order(), B " " C);
}
END_TEST

/* --- who goes ------------------------------------------------------------------- */

START_TEST(first_login_says_where_the_host_is)
{
	struct lease lease;

	ck_assert(!log_in(&lease, generation(), B));
	ck_assert_str_eq(order(), B " " C " " A);
	ck_assert_ptr_nonnull(world_give_back(&lease));
}
END_TEST

START_TEST(servers_of_the_old_address_go_and_the_new_one_stays)
{
	struct lease old, new;
	uint32_t began;

	ck_assert(!log_in(&old, generation(), A));
	began = generation();
	ck_assert(log_in(&new, began, B));
	ck_assert_uint_ne(generation(), began);
	ck_assert_str_eq(order(), B " " C " " A);
	ck_assert_ptr_null(world_give_back(&old));
	ck_assert_ptr_nonnull(world_give_back(&new));
	ck_assert_uint_eq(world_close_retired(host), 0);
}
END_TEST

START_TEST(login_that_began_before_a_move_does_not_move_back)
{
	struct lease first, second, third;
	uint32_t began = generation();
	struct addr a = addr_of(A);
	bool moved;

	(void)log_in(&first, began, A);
	world_hold(route, &third);
	ck_assert(log_in(&second, began, B));
	ck_assert_uint_eq(route_host_reached(host, began, &a, third.server, &moved), 0);
	ck_assert(!moved);
	ck_assert_str_eq(order(), B " " C " " A);
	ck_assert_ptr_nonnull(world_give_back(&second));
	ck_assert_ptr_null(world_give_back(&first));
	ck_assert_ptr_null(world_give_back(&third));
}
END_TEST

START_TEST(login_that_began_before_a_move_stays_at_the_new_address)
{
	struct lease first, second, third;
	uint32_t began = generation();
	struct addr b = addr_of(B);
	bool moved;

	(void)log_in(&first, began, A);
	world_hold(route, &third);
	ck_assert(log_in(&second, began, B));
	ck_assert_uint_eq(route_host_reached(host, began, &b, third.server, &moved),
		generation());
	ck_assert(!moved);
	ck_assert_ptr_nonnull(world_give_back(&third));
	ck_assert_ptr_nonnull(world_give_back(&second));
	ck_assert_ptr_null(world_give_back(&first));
}
END_TEST

/* RECONNECT, while one logs in: it is of before, whether or not the host moves, too. */
START_TEST(login_that_began_before_its_pool_was_retired_is_not_kept)
{
	struct lease first, second;
	uint32_t began = generation();
	struct addr a = addr_of(A), b = addr_of(B);
	bool moved;

	world_hold(route, &first);
	monitor_retire(&host->monitor, NULL);
	(void)route_host_reached(host, began, &a, first.server, &moved);
	ck_assert_ptr_null(world_give_back(&first));

	world_hold(route, &second);
	monitor_retire(&host->monitor, NULL);
	(void)route_host_reached(host, began, &b, second.server, &moved);
	ck_assert(moved);
	ck_assert_ptr_null(world_give_back(&second));
}
END_TEST

START_TEST(login_at_an_address_that_is_gone_does_not_count)
{
	struct addr a = addr_of(A);
	uint32_t began = generation();
	bool moved;

	world_reload(AT("[ 127.0.0.2, 127.0.0.3 ]"));
	ck_assert_uint_eq(route_host_reached(host, began, &a, NULL, &moved), 0);
	ck_assert(!moved);
	ck_assert_str_eq(order(), B " " C);
}
END_TEST

START_TEST(unfit_servers_go_once)
{
	struct lease old, new;
	uint32_t began = generation();

	(void)log_in(&old, began, A);
	ck_assert(route_host_unfit(host, began));
	(void)log_in(&new, generation(), A);
	/* The next one of the old ones says so, too. */
	ck_assert(!route_host_unfit(host, began));
	ck_assert_ptr_nonnull(world_give_back(&new));
	ck_assert_ptr_null(world_give_back(&old));
}
END_TEST

START_TEST(other_attributes_are_for_other_servers)
{
	struct lease lease;

	(void)log_in(&lease, generation(), A);
	world_reload("hosts: { main: { host: [ 127.0.0.1, 127.0.0.2, 127.0.0.3 ],\n"
		"  connection_budget: 20, target_session_attrs: read-write } }\n"
		WORKLOADS DATABASES USERS);
	ck_assert_int_eq(route_host_wants(host), ROUTE_TARGET_READ_WRITE);
	ck_assert_ptr_null(world_give_back(&lease));
}
END_TEST

START_TEST(reload_of_the_same_list_stays_where_it_is)
{
	struct lease lease;

	(void)log_in(&lease, generation(), B);
	world_reload(AT("[ 127.0.0.1, 127.0.0.2, 127.0.0.3 ]"));
	ck_assert_str_eq(order(), B " " C " " A);
	ck_assert_ptr_nonnull(world_give_back(&lease));
}
END_TEST

START_TEST(another_list_begins_with_its_first)
{
	struct lease lease;

	(void)log_in(&lease, generation(), B);
	world_reload(AT("[ 127.0.0.2, 127.0.0.1 ]"));
	ck_assert_str_eq(order(), B " " A);
	world_reload(AT("[ 127.0.0.1, 127.0.0.2 ]"));
	ck_assert_str_eq(order(), A " " B);
	ck_assert_ptr_null(world_give_back(&lease));
}
END_TEST

START_TEST(every_target_has_its_word)
{
	ck_assert_str_eq(route_target_name(ROUTE_TARGET_ANY), "any");
	ck_assert_str_eq(route_target_name(ROUTE_TARGET_READ_WRITE), "read-write");
	ck_assert_str_eq(route_target_name(ROUTE_TARGET_READ_ONLY), "read-only");
	ck_assert_str_eq(route_target_name(ROUTE_TARGET_PRIMARY), "primary");
	ck_assert_str_eq(route_target_name(ROUTE_TARGET_STANDBY), "standby");
	ck_assert_str_eq(route_target_name(ROUTE_TARGET_PREFER_STANDBY), "prefer-standby");
}
END_TEST

Suite *host_suite(void)
{
	Suite *s = suite_create("route/host");
	TCase *tc = tcase_create("host");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, addresses_are_in_the_order_of_the_file);
	tcase_add_test(tc, address_that_failed_is_not_tried_first);
	tcase_add_test(tc, a_name_may_have_several_addresses);
	tcase_add_test(tc, one_machine_by_two_names_is_tried_once);
	tcase_add_test(tc, a_name_with_many_addresses_leaves_room_for_others);
	tcase_add_test(tc, names_that_do_not_resolve_do_not_keep_others_from_being_used);
	tcase_add_test(tc, a_new_name_that_does_not_resolve_is_refused_in_a_reload);
	tcase_add_test(tc, a_name_that_was_known_keeps_its_address);
	tcase_add_test(tc, first_login_says_where_the_host_is);
	tcase_add_test(tc, servers_of_the_old_address_go_and_the_new_one_stays);
	tcase_add_test(tc, login_that_began_before_a_move_does_not_move_back);
	tcase_add_test(tc, login_that_began_before_a_move_stays_at_the_new_address);
	tcase_add_test(tc, login_that_began_before_its_pool_was_retired_is_not_kept);
	tcase_add_test(tc, login_at_an_address_that_is_gone_does_not_count);
	tcase_add_test(tc, unfit_servers_go_once);
	tcase_add_test(tc, other_attributes_are_for_other_servers);
	tcase_add_test(tc, reload_of_the_same_list_stays_where_it_is);
	tcase_add_test(tc, another_list_begins_with_its_first);
	tcase_add_test(tc, every_target_has_its_word);
	suite_add_tcase(s, tc);
	return s;
}
