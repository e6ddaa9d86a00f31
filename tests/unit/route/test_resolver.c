/* SPDX-License-Identifier: ISC */
/*
 * Names are looked up while everything else goes on.
 */
#include <stdio.h>
#include <time.h>

#include "names.h"
#include "route/resolver.h"
#include "suites.h"
#include "world.h"

enum { PATIENCE_MS = 20000, TTL_US = 15000000 };

#define AT(host) \
	"hosts: { main: { host: " host ", connection_budget: 20 } }\n" WORKLOADS DATABASES USERS

static struct resolver *resolver;
static struct route *route;
static struct lease lease;
static uint64_t now_us;

static void begin(void)
{
	names_begin();
	names_set("db", "127.0.0.2");
	world_begin(AT("db"));
	route = world_route("web", "rag", "anna");
	world_hold(route, &lease);
	now_us = 1000000;
	resolver = resolver_create(now_us);
	ck_assert_ptr_nonnull(resolver);
}

static void close_servers(void)
{
	if (lease.state == LEASE_HELD)
		(void)world_give_back(&lease);
	monitor_retire(&route->host->monitor, NULL);
	(void)world_close_retired(route->host);
}

static void end(void)
{
	resolver_destroy(&resolver);
	ck_assert_ptr_null(resolver);
	close_servers();
	route_leave(route);
	world_end();
}

/* What another thread does shows only after a while. */
static bool comes_true(bool (*is_true)(void))
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	for (int i = 0; i < PATIENCE_MS; i++) {
		if (is_true())
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

static const char *address(void)
{
	static char text[ADDR_TEXT_MAX];
	struct host_target target;

	route_host_target(route->host, &target);
	if (target.addr_count == 0)
		return "";
	return addr_text(&target.addrs[0], text, sizeof(text));
}

static void tick(void)
{
	resolver_tick(resolver, directory, now_us);
}

static bool somebody_waits(void)
{
	return names_waiting() > 0;
}

static uint32_t asked_until;

static bool has_asked(void)
{
	tick();
	now_us += TTL_US;
	return names_asked() >= asked_until;
}

/* When a second round has begun the first has come into force. */
static void look_up(void)
{
	asked_until = names_asked() + 2;
	ck_assert(comes_true(has_asked));
}

START_TEST(a_changed_address_gets_new_servers)
{
	names_set("db", "127.0.0.3");
	look_up();
	ck_assert_str_eq(address(), "127.0.0.3:5432");
	ck_assert_ptr_null(world_give_back(&lease));
}
END_TEST

START_TEST(the_same_addresses_in_another_order_change_nothing)
{
	names_set("db", "127.0.0.2 127.0.0.3");
	world_reload(AT("db"));
	(void)world_give_back(&lease);
	(void)world_close_retired(route->host);
	world_hold(route, &lease);
	names_set("db", "127.0.0.3 127.0.0.2");
	look_up();
	ck_assert_ptr_nonnull(world_give_back(&lease));
}
END_TEST

START_TEST(a_name_that_is_gone_keeps_its_address)
{
	names_set("db", NULL);
	look_up();
	ck_assert_str_eq(address(), "127.0.0.2:5432");
	ck_assert_ptr_nonnull(world_give_back(&lease));
}
END_TEST

/* A slow name service keeps nobody waiting: neither who ticks, nor who ends. */
START_TEST(nobody_waits_for_the_name_service)
{
	names_stop(true);
	tick();
	ck_assert(comes_true(somebody_waits));
	for (int i = 0; i < 100; i++) {
		now_us += TTL_US;
		tick();
	}
	ck_assert_uint_eq(names_waiting(), 1);
	ck_assert_str_eq(address(), "127.0.0.2:5432");
	resolver_destroy(&resolver);
	/* What is left of it must not touch what has gone by then. */
	close_servers();
	route_leave(route);
	world_end();
	names_stop(false);
	begin();
}
END_TEST

START_TEST(a_round_from_before_a_reload_is_dropped)
{
	struct host_target before, after;

	names_set("other", "127.0.0.9");
	names_stop(true);
	tick();
	ck_assert(comes_true(somebody_waits));
	names_set("db", "127.0.0.3");
	world_reload(AT("127.0.0.9"));
	names_stop(false);
	world_reload(AT("other"));
	route_host_target(route->host, &before);
	look_up();
	look_up();
	route_host_target(route->host, &after);
	ck_assert_uint_eq(after.generation, before.generation);
	ck_assert_str_eq(address(), "127.0.0.9:5432");
}
END_TEST

START_TEST(numbers_are_not_looked_up)
{
	uint32_t before;

	world_reload(AT("[ 127.0.0.2, /run, '127.0.0.3:1' ]"));
	before = names_asked();
	for (int i = 0; i < 10; i++) {
		now_us += TTL_US;
		tick();
	}
	ck_assert_uint_eq(names_asked(), before);
}
END_TEST

Suite *resolver_suite(void)
{
	Suite *s = suite_create("route/resolver");
	TCase *tc = tcase_create("resolver");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, a_changed_address_gets_new_servers);
	tcase_add_test(tc, the_same_addresses_in_another_order_change_nothing);
	tcase_add_test(tc, a_name_that_is_gone_keeps_its_address);
	tcase_add_test(tc, nobody_waits_for_the_name_service);
	tcase_add_test(tc, a_round_from_before_a_reload_is_dropped);
	tcase_add_test(tc, numbers_are_not_looked_up);
	suite_add_tcase(s, tc);
	return s;
}
