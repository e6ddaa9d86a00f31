/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "pg/valid_until.h"

Suite *valid_until_suite(void);

static const struct {
	const char *text;
	int64_t us;
} good[] = {
	{ "1970-01-01 00:00:00+00", 0 },
	{ "2026-11-20 17:00:00+00", INT64_C(1795194000000000) },
	{ "2026-11-20 17:00:00.25+00", INT64_C(1795194000250000) },
	{ "2026-11-20 17:00:00.000001+00", INT64_C(1795194000000001) },
	{ "0001-01-01 00:00:00+00", INT64_C(-62135596800000000) },
	{ "9999-12-31 23:59:59.999999+00", INT64_C(253402300799999999) },
	{ "294276-12-31 23:59:59.999999+00", INT64_MAX },
	{ "infinity", INT64_MAX },
	{ "-infinity", INT64_MIN },
};

START_TEST(reads_what_postgresql_writes)
{
	int64_t us;

	ck_assert(valid_until_parse(good[_i].text, strlen(good[_i].text), &us));
	ck_assert_int_eq(us, good[_i].us);
}
END_TEST

static const char *const bad[] = { "", "x", "2026-11-20", "2026-11-20 17:00:00",
	"2026-11-20 17:00:00+01", "2026-11-20 17:00:00-00", "2026-11-20 17:00:00+00 BC",
	"20.11.2026 17:00:00 UTC", "2026-13-20 17:00:00+00", "2026-00-20 17:00:00+00",
	"2026-11-20 17:61:00+00", "2026-11-20 17:00:00+00x", "Infinity", "infinity " };

START_TEST(refuses_anything_else)
{
	int64_t us;

	ck_assert(!valid_until_parse(bad[_i], strlen(bad[_i]), &us));
}
END_TEST

START_TEST(refuses_every_cut)
{
	static const char text[] = "2026-11-20 17:00:00.25+00";
	int64_t us;

	for (size_t cut = 0; cut < strlen(text); cut++) {
		char *copy = malloc(cut == 0 ? 1 : cut);

		memcpy(copy, text, cut);
		ck_assert(!valid_until_parse(copy, cut, &us));
		free(copy);
	}
}
END_TEST

Suite *valid_until_suite(void)
{
	Suite *s = suite_create("pg/valid_until");
	TCase *tc = tcase_create("parse");

	tcase_add_loop_test(tc, reads_what_postgresql_writes, 0, (int)COUNT_OF(good));
	tcase_add_loop_test(tc, refuses_anything_else, 0, (int)COUNT_OF(bad));
	tcase_add_test(tc, refuses_every_cut);
	suite_add_tcase(s, tc);
	return s;
}
