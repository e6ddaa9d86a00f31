/* SPDX-License-Identifier: ISC */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/exposition.h"
#include "suites.h"

static const struct {
	const char *family;
	const char *kind;
	const char *unit;
	const char *help;
} metrics[] = {
#define METRIC(name, family, kind, unit, labels, help) { family, #kind, unit, help },
#include "metrics.def"
#undef METRIC
};

static bool ends_in(const char *text, const char *end)
{
	size_t len = strlen(text), more = strlen(end);

	return len > more && strcmp(text + len - more, end) == 0;
}

/* Prometheus' conventions, which both formats rely on. */
START_TEST(names_are_as_prometheus_wants_them)
{
	const char *family = metrics[_i].family, *unit = metrics[_i].unit;
	char end[32];

	ck_assert(strspn(family, "abcdefghijklmnopqrstuvwxyz_") == strlen(family));
	ck_assert_msg(!ends_in(family, "_total") && !ends_in(family, "_info"),
		"%s: it is added where it belongs", family);
	ck_assert_msg(strncmp(family, "pgtandem_", 9) == 0 ||
			strncmp(family, "process_", 8) == 0,
		"%s", family);
	if (unit[0] != '\0') {
		snprintf(end, sizeof(end), "_%s", unit);
		ck_assert_msg(ends_in(family, end), "%s", family);
	} else {
		ck_assert_msg(!ends_in(family, "_seconds") && !ends_in(family, "_bytes"),
			"%s", family);
	}
	if (strcmp(metrics[_i].kind, "HISTOGRAM") == 0)
		ck_assert_str_eq(unit, "seconds");
	ck_assert(isupper((unsigned char)metrics[_i].help[0]) ||
		isdigit((unsigned char)metrics[_i].help[0]));
	ck_assert(ends_in(metrics[_i].help, "."));
	for (size_t i = 0; i < COUNT_OF(metrics); i++)
		ck_assert((int)i == _i || strcmp(metrics[i].family, family) != 0);
}
END_TEST

static void check_text(struct buf *out, const char *wanted)
{
	buf_add_u8(out, 0);
	ck_assert(buf_ok(out));
	ck_assert_str_eq((const char *)buf_data(out), wanted);
	buf_finish(out);
}

START_TEST(formats_differ_where_they_must)
{
	struct buf out;
	struct exposition e = { .out = &out, .is_openmetrics = true };

	buf_init(&out, 0);
	exposition_begin(&e, METRIC_RECEIVED);
	exposition_u64(&e, 7, LABELS("workload", "a\"b\\c\nd"));
	exposition_begin(&e, METRIC_BUILD);
	exposition_u64(&e, 1, NO_LABELS);
	exposition_end(&e);
	check_text(&out,
		"# TYPE pgtandem_received_bytes counter\n"
		"# UNIT pgtandem_received_bytes bytes\n"
		"# HELP pgtandem_received_bytes Bytes received from clients.\n"
		"pgtandem_received_bytes_total{workload=\"a\\\"b\\\\c\\nd\"} 7\n"
		"# TYPE pgtandem_build info\n"
		"# HELP pgtandem_build The program that runs.\n"
		"pgtandem_build_info 1\n"
		"# EOF\n");
	e.is_openmetrics = false;
	buf_init(&out, 0);
	exposition_begin(&e, METRIC_RECEIVED);
	exposition_u64(&e, 7, NO_LABELS);
	exposition_begin(&e, METRIC_BUILD);
	exposition_u64(&e, 1, NO_LABELS);
	exposition_end(&e);
	check_text(&out,
		"# TYPE pgtandem_received_bytes_total counter\n"
		"# HELP pgtandem_received_bytes_total Bytes received from clients.\n"
		"pgtandem_received_bytes_total 7\n"
		"# TYPE pgtandem_build_info gauge\n"
		"# HELP pgtandem_build_info The program that runs.\n"
		"pgtandem_build_info 1\n");
}
END_TEST

/* Names are what clients send; the page is UTF-8 all the same. */
START_TEST(labels_are_utf8)
{
	struct buf out;
	struct exposition e = { .out = &out };

	buf_init(&out, 0);
	exposition_begin(&e, METRIC_RECEIVED);
	exposition_u64(&e, 1, LABELS("database", "\xff\"\xc3\xa4\n\xe2\x82", "user", "w\xf6rk"));
	check_text(&out,
		"# TYPE pgtandem_received_bytes_total counter\n"
		"# HELP pgtandem_received_bytes_total Bytes received from clients.\n"
		"pgtandem_received_bytes_total{database=\"\\\\xff\\\"\xc3\xa4\\n\\\\xe2\\\\x82\","
		"user=\"w\\\\xf6rk\"} 1\n");
}
END_TEST

START_TEST(histograms_add_up)
{
	struct times_sum times = { .sum_us = 1500001 };
	struct buf out;
	struct exposition e = { .out = &out };
	const char *text;

	for (size_t i = 0; i <= TIMES_BOUNDS; i++)
		times.up_to[i] = i;
	buf_init(&out, 0);
	exposition_begin(&e, METRIC_WAIT);
	exposition_times(&e, &times, LABELS("workload", "w"));
	buf_add_u8(&out, 0);
	text = (const char *)buf_data(&out);
	ck_assert_ptr_nonnull(
		strstr(text, "_bucket{workload=\"w\",le=\"5e-05\"} 0\n"));
	ck_assert_ptr_nonnull(
		strstr(text, "_bucket{workload=\"w\",le=\"1.0\"} 13\n"));
	ck_assert_ptr_nonnull(
		strstr(text, "_bucket{workload=\"w\",le=\"+Inf\"} 21\n"));
	ck_assert_ptr_nonnull(strstr(text, "_sum{workload=\"w\"} 1.500001\n"));
	ck_assert_ptr_nonnull(strstr(text, "_count{workload=\"w\"} 21\n"));
	buf_finish(&out);
}
END_TEST

START_TEST(format_is_chosen_by_what_is_liked_best)
{
	static const struct {
		const char *accept;
		bool is_openmetrics;
	} cases[] = {
		{ NULL, false },
		{ "", false },
		{ ",,,;;q", false },
		{ "*/*", false },
		{ "text/plain", false },
		{ "application/openmetrics-text", true },
		{ "Application/OpenMetrics-Text; version=1.0.0", true },
		{ "application/openmetrics-text;q=0", false },
		{ "text/plain;q=0.5, application/openmetrics-text;version=1.0.0;q=0.4",
			false },
		{ "application/openmetrics-text;version=1.0.0,"
		  "application/openmetrics-text;version=0.0.1;q=0.75,"
		  "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
			true },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		ck_assert_msg(exposition_is_openmetrics(cases[i].accept) ==
				cases[i].is_openmetrics,
			"%s", cases[i].accept);
}
END_TEST

Suite *exposition_suite(void)
{
	Suite *s = suite_create("http/exposition");
	TCase *tc = tcase_create("exposition");

	tcase_add_loop_test(tc, names_are_as_prometheus_wants_them, 0,
		(int)COUNT_OF(metrics));
	tcase_add_test(tc, formats_differ_where_they_must);
	tcase_add_test(tc, labels_are_utf8);
	tcase_add_test(tc, histograms_add_up);
	tcase_add_test(tc, format_is_chosen_by_what_is_liked_best);
	suite_add_tcase(s, tc);
	return s;
}
