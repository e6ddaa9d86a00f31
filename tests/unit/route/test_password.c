/* SPDX-License-Identifier: ISC */
/*
 * Passwords that are fetched: when, by whom, and how often.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/slog.h"
#include "route/password.h"
#include "suites.h"
#include "world.h"

#define NOW clock_now_us()

static char path[] = "/tmp/pgtandem-password-XXXXXX";
static char text[1000];
static struct route_password *source;
static struct route_password_waiter waiters[4];
static char *value;
static uint64_t version;

static void put(const char *password)
{
	int fd = open(path, O_WRONLY | O_TRUNC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, password, strlen(password)), (ssize_t)strlen(password));
	close(fd);
}

static const char *config_with(const char *more)
{
	(void)snprintf(text, sizeof(text), HOSTS WORKLOADS USERS
		"databases: { app: { host: main, user: x, password_file: %s%s } }\n", path, more);
	return text;
}

static void begin_with(const char *more)
{
	int fd;

	memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	close(fd);
	put("first\n");
	world_begin(config_with(more));
	source = world_pool("web", "app", "anna")->source;
	ck_assert_ptr_nonnull(source);
	slog_set_level(SLOG_ERROR);
}

static void begin(void)
{
	begin_with("");
}

static void end(void)
{
	free(value);
	value = NULL;
	world_end();
	unlink(path);
}

static enum route_password_result get(size_t i, uint64_t now_us)
{
	free(value);
	list_node_init(&waiters[i].node);
	return route_password_get(source, now_us, &waiters[i], &value, &version);
}

/* How many are told. */
static size_t fetch(void)
{
	struct list told;
	size_t count = 0;

	route_password_fetch(source);
	route_password_report(source);
	list_init(&told);
	route_password_settle(source, &told);
	while (list_pop_front(&told) != NULL)
		count++;
	return count;
}

static void is_known(uint64_t now_us, const char *password)
{
	ck_assert_int_eq(get(0, now_us), ROUTE_PASSWORD_KNOWN);
	ck_assert_str_eq(value, password);
}

static void has_to_fetch(uint64_t now_us)
{
	ck_assert_int_eq(get(0, now_us), ROUTE_PASSWORD_ASK);
	ck_assert_uint_eq(fetch(), 1);
}

START_TEST(one_asks_and_all_are_told)
{
	struct route_host *h = directory_host(directory, 0);

	ck_assert_int_eq(get(0, NOW), ROUTE_PASSWORD_ASK);
	ck_assert_int_eq(get(1, NOW), ROUTE_PASSWORD_WAIT);
	ck_assert_int_eq(get(2, NOW), ROUTE_PASSWORD_WAIT);
	ck_assert_uint_eq(fetch(), 3);
	is_known(NOW, "first");
	put("second\n");
	is_known(NOW + 1000 * USEC_PER_SEC, "first");
	ck_assert_uint_eq(h->password_fetches, 1);
	ck_assert_uint_eq(h->password_failures, 0);
}
END_TEST

START_TEST(what_is_refused_is_fetched_again)
{
	uint64_t old;

	has_to_fetch(NOW);
	is_known(NOW, "first");
	old = version;
	put("second\n");
	ck_assert(route_password_refused(source, old, NOW));
	/* Another server says the same of the same. */
	ck_assert(route_password_refused(source, old, NOW));
	has_to_fetch(NOW);
	is_known(NOW, "second");
	/* And one that had the old one only now. */
	ck_assert(route_password_refused(source, old, NOW));
	is_known(NOW, "second");
}
END_TEST

/* What is there may be right after all: PostgreSQL decides, and the file has its rest. */
START_TEST(there_are_pauses)
{
	has_to_fetch(NOW);
	is_known(NOW, "first");
	ck_assert(route_password_refused(source, version, NOW));
	has_to_fetch(NOW);
	is_known(NOW, "first");
	ck_assert(!route_password_refused(source, version, NOW));
	is_known(NOW, "first");
	ck_assert_int_eq(get(0, NOW + 1100000), ROUTE_PASSWORD_ASK);
	ck_assert_uint_eq(fetch(), 1);
	/* Twice as long. */
	is_known(NOW, "first");
	ck_assert(!route_password_refused(source, version, NOW));
	is_known(NOW + 1100000, "first");
	ck_assert_int_eq(get(0, NOW + 2100000), ROUTE_PASSWORD_ASK);
	ck_assert_uint_eq(fetch(), 1);
	is_known(NOW, "first");
	route_password_worked(source, version);
	/* All over again. */
	ck_assert(route_password_refused(source, version, NOW));
	has_to_fetch(NOW);
}
END_TEST

START_TEST(there_is_none)
{
	struct route_host *h = directory_host(directory, 0);

	unlink(path);
	has_to_fetch(NOW);
	has_to_fetch(NOW);
	ck_assert_int_eq(get(0, NOW), ROUTE_PASSWORD_FAILED);
	ck_assert_ptr_null(value);
	ck_assert_uint_eq(h->password_fetches, 2);
	ck_assert_uint_eq(h->password_failures, 2);
	ck_assert_int_eq(get(0, NOW + 1100000), ROUTE_PASSWORD_ASK);
	route_password_give_up(source, "no room");
	ck_assert_uint_eq(fetch(), 1);
}
END_TEST

START_TEST(it_has_a_lifetime)
{
	end();
	begin_with(", password_lifetime: 1h");
	has_to_fetch(NOW);
	is_known(NOW + 3590 * USEC_PER_SEC, "first");
	ck_assert_int_eq(get(0, NOW + 3610 * USEC_PER_SEC), ROUTE_PASSWORD_ASK);
	ck_assert_uint_eq(fetch(), 1);
	unlink(path);
	has_to_fetch(NOW + 3610 * USEC_PER_SEC);
	has_to_fetch(NOW + 3610 * USEC_PER_SEC);
	/* The old one, while the pause lasts. */
	ck_assert_int_eq(get(0, NOW), ROUTE_PASSWORD_KNOWN);
	ck_assert_str_eq(value, "first");
}
END_TEST

/* However long it takes until it is used; only whether it is there may be asked, too. */
START_TEST(what_was_waited_for_will_do)
{
	end();
	begin_with(", password_lifetime: 1h");
	has_to_fetch(NOW);
	waiters[1].has_waited = true;
	ck_assert_int_eq(route_password_get(source, NOW + 3610 * USEC_PER_SEC, &waiters[1],
		NULL, NULL), ROUTE_PASSWORD_KNOWN);
	ck_assert_int_eq(get(1, NOW + 3610 * USEC_PER_SEC), ROUTE_PASSWORD_KNOWN);
	ck_assert_str_eq(value, "first");
	ck_assert(route_password_refused(source, version, NOW));
	ck_assert_int_eq(get(1, NOW), ROUTE_PASSWORD_ASK);
	ck_assert_uint_eq(fetch(), 1);
	waiters[1].has_waited = false;
}
END_TEST

/* One more is asked for, once, whoever logs in with it and however long that takes; what
 * was asked for an hour ago was no answer to this. */
START_TEST(what_was_fetched_in_answer_is_the_last)
{
	has_to_fetch(NOW);
	is_known(NOW, "first");
	ck_assert(route_password_refused(source, version, NOW));
	has_to_fetch(NOW);
	is_known(NOW, "first");
	ck_assert(!route_password_refused(source, version, NOW + 20 * USEC_PER_SEC));
	ck_assert(route_password_refused(source, version, NOW + 3600 * USEC_PER_SEC));
}
END_TEST

/* Pools have the source, whatever it tells. */
START_TEST(a_pool_outlives_its_password)
{
	struct route_pool *pool = world_pool("web", "app", "anna");

	ck_assert_ptr_eq(world_pool("jobs", "app", "bert"), pool);
	has_to_fetch(NOW);
	put("second\n");
	world_reload(config_with(""));
	ck_assert_ptr_eq(world_pool("web", "app", "anna"), pool);
	ck_assert_ptr_eq(pool->source, source);
	/* A reload is a reason to look. */
	has_to_fetch(NOW);
	is_known(NOW, "second");
	(void)snprintf(text, sizeof(text), HOSTS WORKLOADS USERS
		"databases: { app: { host: main, user: x, password_file: %s.other } }\n", path);
	world_reload(text);
	ck_assert_ptr_ne(world_pool("web", "app", "anna"), pool);
}
END_TEST

Suite *password_suite(void)
{
	Suite *s = suite_create("route/password");
	TCase *tc = tcase_create("sources");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, one_asks_and_all_are_told);
	tcase_add_test(tc, what_is_refused_is_fetched_again);
	tcase_add_test(tc, there_are_pauses);
	tcase_add_test(tc, there_is_none);
	tcase_add_test(tc, it_has_a_lifetime);
	tcase_add_test(tc, what_was_waited_for_will_do);
	tcase_add_test(tc, what_was_fetched_in_answer_is_the_last);
	tcase_add_test(tc, a_pool_outlives_its_password);
	suite_add_tcase(s, tc);
	return s;
}
