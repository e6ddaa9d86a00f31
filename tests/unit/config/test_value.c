/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <string.h>

#include "config/value.h"

Suite *value_suite(void);

static const struct {
	const char *text;
	uint64_t us;
} durations[] = {
	{ "0", 0 },
	{ "0s", 0 },
	{ "1us", 1 },
	{ "250ms", 250000 },
	{ "5s", 5000000 },
	{ "5 s", 5000000 },
	{ "10min", 600000000 },
	{ "2h", UINT64_C(7200000000) },
	{ "1d", UINT64_C(86400000000) },
	{ "999999999999999999d", UINT64_MAX },
	{ "99999999999999999999999999us", UINT64_MAX },
};

START_TEST(reads_durations)
{
	char why[200];
	uint64_t us;

	ck_assert(value_read_duration(durations[_i].text, &us, why, sizeof(why)));
	ck_assert_uint_eq(us, durations[_i].us);
}
END_TEST

static const char *const not_durations[] = { "", " ", "5", "s", "-5s", "5 ", "5  s", "5S",
	"5m", "5sec", "1.5h", "05s", "1h30min", "5s ", " 5s", "infinity", "00" };

START_TEST(refuses_what_is_no_duration)
{
	char why[200] = "";
	uint64_t us;

	ck_assert(!value_read_duration(not_durations[_i], &us, why, sizeof(why)));
	ck_assert_str_ne(why, "");
}
END_TEST

START_TEST(reads_sizes)
{
	char why[200];
	uint64_t bytes;

	ck_assert(value_read_size("0", &bytes, why, sizeof(why)) && bytes == 0);
	ck_assert(value_read_size("12B", &bytes, why, sizeof(why)) && bytes == 12);
	ck_assert(value_read_size("64kB", &bytes, why, sizeof(why)) && bytes == 65536);
	ck_assert(value_read_size("1 MB", &bytes, why, sizeof(why)) && bytes == 1 << 20);
	ck_assert(value_read_size("3GB", &bytes, why, sizeof(why)) &&
		bytes == UINT64_C(3) << 30);
	ck_assert(!value_read_size("64KB", &bytes, why, sizeof(why)));
	ck_assert(!value_read_size("64", &bytes, why, sizeof(why)));
	ck_assert_str_eq(why,
		"64 has no unit; did you mean 64B? (units are B, kB, MB and GB)");
}
END_TEST

static const char *const not_numbers[] = { "", "-1", "+1", "1.0", "1e3", "0x1", "010",
	"1 ", " 1", "1_000", "one", "9999999999999999999" };

START_TEST(refuses_what_is_no_number)
{
	char why[200] = "";
	uint64_t value;

	ck_assert(!value_read_number(not_numbers[_i], &value, why, sizeof(why)));
	ck_assert_str_ne(why, "");
}
END_TEST

START_TEST(reads_modes_as_octal)
{
	char why[200];
	uint64_t mode;

	ck_assert(value_read_mode("0770", &mode, why, sizeof(why)) && mode == 0770);
	ck_assert(value_read_mode("600", &mode, why, sizeof(why)) && mode == 0600);
	ck_assert(!value_read_mode("0o770", &mode, why, sizeof(why)));
	ck_assert(!value_read_mode("77", &mode, why, sizeof(why)));
	ck_assert(!value_read_mode("00777", &mode, why, sizeof(why)));
}
END_TEST

/* Whatever is printed reads back as the same. */
START_TEST(prints_what_it_reads)
{
	static const uint64_t values[] = { 0, 1, 999, 1000, 1001, 1000000, 60000000,
		61000000, UINT64_C(3600000000), UINT64_C(86400000000), 1 << 10, 1 << 20,
		UINT64_C(5) << 30 };
	char text[40], why[200];

	for (size_t i = 0; i < COUNT_OF(values); i++) {
		uint64_t back;

		value_print_duration(values[i], text, sizeof(text));
		ck_assert(value_read_duration(text, &back, why, sizeof(why)));
		ck_assert_uint_eq(back, values[i]);
		value_print_size(values[i], text, sizeof(text));
		ck_assert(value_read_size(text, &back, why, sizeof(why)));
		ck_assert_uint_eq(back, values[i]);
	}
	ck_assert_str_eq(
		value_print_duration(90 * USEC_PER_SEC, text, sizeof(text)), "90s");
	ck_assert_str_eq(value_print_duration(120 * USEC_PER_SEC, text, sizeof(text)),
		"2min");
}
END_TEST

static const char *const names[] = { "query_wait_timeout", "default_pool_size", "listen",
	"port", "host" };

static const struct {
	const char *written;
	const char *meant;
} guesses[] = {
	{ "query_wait_timout", "query_wait_timeout" },
	{ "qurey_wait_timeout", "query_wait_timeout" },
	{ "Query_Wait_Timeout", "query_wait_timeout" },
	{ "pool_size", "default_pool_size" },
	{ "lisen", "listen" },
	{ "prot", "port" },
	{ "hosts", "host" },
	{ "zebra", NULL },
	{ "x", NULL },
	{ "", NULL },
};

START_TEST(guesses_what_was_meant)
{
	const char *near = value_nearest(guesses[_i].written, names, COUNT_OF(names));

	if (guesses[_i].meant == NULL)
		ck_assert_ptr_null(near);
	else
		ck_assert_pstr_eq(near, guesses[_i].meant);
}
END_TEST

START_TEST(does_not_guess_at_very_long_words)
{
	char word[300];

	memset(word, 'a', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	ck_assert_ptr_null(value_nearest(word, names, COUNT_OF(names)));
}
END_TEST

Suite *value_suite(void)
{
	Suite *s = suite_create("config/value");
	TCase *tc = tcase_create("read and print");
	TCase *near = tcase_create("nearest");

	tcase_add_loop_test(tc, reads_durations, 0, (int)COUNT_OF(durations));
	tcase_add_loop_test(
		tc, refuses_what_is_no_duration, 0, (int)COUNT_OF(not_durations));
	tcase_add_test(tc, reads_sizes);
	tcase_add_loop_test(tc, refuses_what_is_no_number, 0, (int)COUNT_OF(not_numbers));
	tcase_add_test(tc, reads_modes_as_octal);
	tcase_add_test(tc, prints_what_it_reads);
	suite_add_tcase(s, tc);
	tcase_add_loop_test(near, guesses_what_was_meant, 0, (int)COUNT_OF(guesses));
	tcase_add_test(near, does_not_guess_at_very_long_words);
	suite_add_tcase(s, near);
	return s;
}
