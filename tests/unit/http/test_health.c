/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "http/health.h"
#include "suites.h"

enum { NOW_US = 1000000000 };

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
		"\"waiting_for\": null, \"oldest_lease_ms\": 0}, "
		"\"se\\\"s\": {\"size\": 3, \"checked_out\": 1, \"utilization\": 33.3, "
		"\"limit\": 3, \"borrowed\": 0, \"waiting\": 0, \"maxwait_ms\": 0, "
		"\"level\": \"ok\", \"idle\": 0, \"used\": 1, \"clients\": 0, "
		"\"wait_timeouts\": 0, \"pool_mode\": \"transaction\", "
		"\"waiting_for\": null, \"oldest_lease_ms\": 0}}\n");
	/* A workload that cannot have anything. */
	look->workload_count = 1;
	look->workloads[0].guaranteed = look->workloads[0].max = 0;
	look->workloads[0].leased = look->workloads[0].used = 0;
	check_health(look,
		"{\"web\": {\"size\": 0, \"checked_out\": 0, \"utilization\": 0.0, "
		"\"limit\": 0, \"borrowed\": 0, \"waiting\": 0, \"maxwait_ms\": 0, "
		"\"level\": \"ok\", \"idle\": 0, \"used\": 0, \"clients\": 0, "
		"\"wait_timeouts\": 0, \"pool_mode\": \"transaction\", "
		"\"waiting_for\": null, \"oldest_lease_ms\": 0}}\n");
	free(look);
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
	tcase_add_test(tc, three_keys_come_first);
	tcase_add_test(tc, ready_while_one_host_is);
	suite_add_tcase(s, tc);
	return s;
}
