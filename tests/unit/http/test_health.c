/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "http/health.h"
#include "suites.h"

enum { NOW_US = 1000000000 };

#define NOTHING_HELD                                                                      \
	"\"hold\": null, \"hold_database\": null, \"hold_ms\": 0, \"reason\": null"

static struct look_workload workload(uint32_t leased)
{
	return (struct look_workload){ .name = "web",
		.mode = "transaction",
		.is_configured = true,
		.guaranteed = 25,
		.max = 40,
		.leased = leased,
		.used = leased,
		.query_wait_timeout_us = 8000000 };
}

static enum health_level level(const struct look_workload *w)
{
	return look_level(w, NOW_US);
}

START_TEST(levels_begin_above_their_percent)
{
	static const struct {
		uint32_t leased;
		enum health_level level;
	} cases[] = {
		{ 0, HEALTH_OK },
		{ 30, HEALTH_OK },
		{ 31, HEALTH_WARNING },
		{ 36, HEALTH_WARNING },
		{ 37, HEALTH_CRITICAL },
		{ 40, HEALTH_CRITICAL },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct look_workload w = workload(cases[i].leased);

		ck_assert_int_eq(level(&w), cases[i].level);
	}
}
END_TEST

START_TEST(emergency_needs_the_ceiling_and_a_wait)
{
	struct look_workload w = workload(40);

	w.waiting = 1;
	w.wait_us = 4000000;
	ck_assert_int_eq(level(&w), HEALTH_CRITICAL);
	w.wait_us = 4000001;
	ck_assert_int_eq(level(&w), HEALTH_EMERGENCY);
	/* Five seconds at most, also without a limit. */
	w.query_wait_timeout_us = 60000000;
	w.wait_us = 5000000;
	ck_assert_int_eq(level(&w), HEALTH_CRITICAL);
	w.wait_us = 5000001;
	ck_assert_int_eq(level(&w), HEALTH_EMERGENCY);
	w.query_wait_timeout_us = 0;
	ck_assert_int_eq(level(&w), HEALTH_EMERGENCY);
	w.leased = 39;
	ck_assert_int_eq(level(&w), HEALTH_CRITICAL);
	/* What others leave is a ceiling, too. */
	w.leased = 10;
	ck_assert_int_eq(level(&w), HEALTH_OK);
	w.is_blocked = true;
	ck_assert_int_eq(level(&w), HEALTH_EMERGENCY);
}
END_TEST

START_TEST(timeout_is_remembered_for_thirty_seconds)
{
	struct look_workload w = workload(40);

	w.wait_timeout_at_us = NOW_US - 29999999;
	ck_assert_int_eq(level(&w), HEALTH_EMERGENCY);
	w.wait_timeout_at_us = NOW_US - 30000000;
	ck_assert_int_eq(level(&w), HEALTH_CRITICAL);
	w.wait_timeout_at_us = NOW_US;
	w.leased = 1;
	ck_assert_int_eq(level(&w), HEALTH_OK);
}
END_TEST

/* Whoever waits while it is paused can have nothing, whatever is free; and who has said so
 * is reminded before anybody has waited. */
START_TEST(what_the_console_holds_is_told)
{
	struct look_workload w = workload(0);

	w.hold = (struct look_hold){ .by = LOOK_HOLDER_PAUSE, .us = 3600000000 };
	ck_assert_int_eq(level(&w), HEALTH_WARNING);
	w.clients = 7;
	ck_assert_int_eq(level(&w), HEALTH_WARNING);
	w.waiting = 1;
	w.wait_us = 4000000;
	ck_assert_int_eq(level(&w), HEALTH_WARNING);
	w.wait_us = 4000001;
	ck_assert_int_eq(level(&w), HEALTH_EMERGENCY);
	w.waiting = 0;
	w.wait_us = 0;
	w.wait_timeout_at_us = NOW_US - 29999999;
	ck_assert_int_eq(level(&w), HEALTH_EMERGENCY);
	w.wait_timeout_at_us = 0;
	w.leased = 37;
	ck_assert_int_eq(level(&w), HEALTH_CRITICAL);
	/* Nobody is read: who waits is not known. */
	w.leased = 0;
	w.hold = (struct look_hold){ .by = LOOK_HOLDER_SUSPEND, .us = 4000000 };
	ck_assert_int_eq(level(&w), HEALTH_WARNING);
	w.hold.us = 4000001;
	ck_assert_int_eq(level(&w), HEALTH_EMERGENCY);
	w.clients = 0;
	ck_assert_int_eq(level(&w), HEALTH_WARNING);
}
END_TEST

static void check_health(const struct look *look, const char *wanted)
{
	struct buf out;

	buf_init(&out, 0);
	health_write(&out, look);
	buf_add_u8(&out, 0);
	ck_assert_str_eq((const char *)buf_data(&out), wanted);
	buf_finish(&out);
}

START_TEST(three_keys_come_first)
{
	struct look *look = calloc(1, sizeof(*look));

	look->workload_count = 3;
	look->workloads[0] = workload(18);
	look->workloads[1] = workload(3);
	look->workloads[1].is_configured = false;
	look->workloads[2] = workload(1);
	look->workloads[2].name = "se\"s";
	look->workloads[2].guaranteed = 0;
	look->workloads[2].max = 3;
	check_health(look,
		"{\"web\": {\"size\": 25, \"checked_out\": 18, \"utilization\": 72.0, "
		"\"limit\": 40, \"borrowed\": 0, \"waiting\": 0, \"maxwait_ms\": 0, "
		"\"level\": \"ok\", \"idle\": 0, \"used\": 18, \"clients\": 0, "
		"\"wait_timeouts\": 0, \"pool_mode\": \"transaction\", "
		"\"waiting_for\": null, \"oldest_lease_ms\": 0, " NOTHING_HELD "}, "
		"\"se\\\"s\": {\"size\": 3, \"checked_out\": 1, \"utilization\": 33.3, "
		"\"limit\": 3, \"borrowed\": 0, \"waiting\": 0, \"maxwait_ms\": 0, "
		"\"level\": \"ok\", \"idle\": 0, \"used\": 1, \"clients\": 0, "
		"\"wait_timeouts\": 0, \"pool_mode\": \"transaction\", "
		"\"waiting_for\": null, \"oldest_lease_ms\": 0, " NOTHING_HELD "}}\n");
	/* A workload that cannot have anything. */
	look->workload_count = 1;
	look->workloads[0].guaranteed = look->workloads[0].max = 0;
	look->workloads[0].leased = look->workloads[0].used = 0;
	check_health(look,
		"{\"web\": {\"size\": 0, \"checked_out\": 0, \"utilization\": 0.0, "
		"\"limit\": 0, \"borrowed\": 0, \"waiting\": 0, \"maxwait_ms\": 0, "
		"\"level\": \"ok\", \"idle\": 0, \"used\": 0, \"clients\": 0, "
		"\"wait_timeouts\": 0, \"pool_mode\": \"transaction\", "
		"\"waiting_for\": null, \"oldest_lease_ms\": 0, " NOTHING_HELD "}}\n");
	free(look);
}
END_TEST

/* The end of the object of a workload, as levels and reasons make it. */
static void check_reason(struct look_workload w, const char *wanted)
{
	struct look *look = calloc(1, sizeof(*look));
	const char *at;
	struct buf out;

	look->now_us = NOW_US;
	look->workload_count = 1;
	w.level = look_level(&w, NOW_US);
	look->workloads[0] = w;
	buf_init(&out, 0);
	health_write(&out, look);
	buf_add_u8(&out, 0);
	at = strstr((const char *)buf_data(&out), "\"hold\": ");
	ck_assert_ptr_nonnull(at);
	ck_assert_str_eq(at, wanted);
	buf_finish(&out);
	free(look);
}

START_TEST(reason_is_told_with_the_level)
{
	struct look_workload w = workload(31);

	check_reason(w, "\"hold\": null, \"hold_database\": null, \"hold_ms\": 0, "
			"\"reason\": \"31 of 40 servers are out\"}}\n");
	w = workload(40);
	w.waiting = 12;
	w.wait_us = 7500000;
	w.reason = WAIT_WORKLOAD;
	check_reason(w, "\"hold\": null, \"hold_database\": null, \"hold_ms\": 0, "
			"\"reason\": \"12 wait, the first for 7.5 s: all connections that the "
			"workload may have are in use\"}}\n");
	w = workload(40);
	w.wait_timeout_at_us = NOW_US - 12000000;
	check_reason(w, "\"hold\": null, \"hold_database\": null, \"hold_ms\": 0, "
			"\"reason\": \"query_wait_timeout has ended a wait 12 s ago\"}}\n");
	w = workload(0);
	w.hold = (struct look_hold){ .by = LOOK_HOLDER_SUSPEND, .us = 1234567 };
	check_reason(w, "\"hold\": \"suspend\", \"hold_database\": null, \"hold_ms\": 1234, "
			"\"reason\": \"suspended for 1.2 s by SUSPEND; RESUME ends that\"}}\n");
	w.hold = (struct look_hold){ .by = LOOK_HOLDER_PAUSE, .us = 11580000000 };
	w.waiting = 1;
	w.wait_us = 300000000;
	w.reason = WAIT_PAUSED;
	check_reason(w, "\"hold\": \"pause\", \"hold_database\": null, \"hold_ms\": 11580000, "
			"\"reason\": \"paused for 3 h 13 min by PAUSE or KILL; RESUME ends that; "
			"1 waits, the first for 5 min: the database is paused on the console\"}}\n");
	w = workload(0);
	w.hold = (struct look_hold){ .by = LOOK_HOLDER_PAUSE, .us = 45000000, .name = "rag" };
	check_reason(w, "\"hold\": \"pause\", \"hold_database\": \"rag\", \"hold_ms\": 45000, "
			"\"reason\": \"paused for 45 s by PAUSE or KILL of rag; RESUME rag ends "
			"that\"}}\n");
	/* As the command takes it. */
	w.hold = (struct look_hold){ .by = LOOK_HOLDER_PAUSE, .us = 0, .name = "my-\"db" };
	check_reason(w, "\"hold\": \"pause\", \"hold_database\": \"my-\\\"db\", \"hold_ms\": 0, "
			"\"reason\": \"paused for 0.0 s by PAUSE or KILL of \\\"my-\\\"\\\"db\\\"; "
			"RESUME \\\"my-\\\"\\\"db\\\" ends that\"}}\n");
}
END_TEST

START_TEST(ready_while_one_host_is)
{
	struct look_host hosts[2] = { { .is_configured = true, .is_up = true },
		{ .is_configured = true, .is_up = false } };
	struct look *look = calloc(1, sizeof(*look));

	look->hosts = hosts;
	look->host_count = 2;
	ck_assert_str_eq(look_not_ready(look, ROUTER_SERVES, false), "starting");
	ck_assert_str_eq(look_not_ready(look, ROUTER_DRAINS_CLIENTS, true), "draining");
	ck_assert_ptr_null(look_not_ready(look, ROUTER_SERVES, true));
	ck_assert_ptr_null(look_not_ready(look, ROUTER_HANDED_OVER, true));
	hosts[0].is_up = false;
	ck_assert_str_eq(look_not_ready(look, ROUTER_SERVES, true), "no host is reached");
	/* One that is not configured any more does not count. */
	hosts[0].is_up = true;
	hosts[0].is_configured = false;
	ck_assert_str_eq(look_not_ready(look, ROUTER_SERVES, true), "no host is reached");
	free(look);
}
END_TEST

Suite *health_suite(void)
{
	Suite *s = suite_create("http/health");
	TCase *tc = tcase_create("health");

	tcase_add_test(tc, levels_begin_above_their_percent);
	tcase_add_test(tc, emergency_needs_the_ceiling_and_a_wait);
	tcase_add_test(tc, timeout_is_remembered_for_thirty_seconds);
	tcase_add_test(tc, what_the_console_holds_is_told);
	tcase_add_test(tc, three_keys_come_first);
	tcase_add_test(tc, reason_is_told_with_the_level);
	tcase_add_test(tc, ready_while_one_host_is);
	suite_add_tcase(s, tc);
	return s;
}
