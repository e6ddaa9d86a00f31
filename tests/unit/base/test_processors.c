/* SPDX-License-Identifier: ISC */
#include "base/processors.h"

#include <check.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "suites.h"

static char root[] = "/tmp/pgtandem-processors-XXXXXX";

static void make_group(const char *name, const char *limit)
{
	char path[256];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s%s", root, name);
	ck_assert(mkdir(path, 0700) == 0 || name[0] == '\0');
	if (limit == NULL)
		return;
	(void)snprintf(path, sizeof(path), "%s%s/cpu.max", root, name);
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_gt(fprintf(file, "%s\n", limit), 0);
	ck_assert_int_eq(fclose(file), 0);
}

static void remove_group(const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s%s/cpu.max", root, name);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s%s", root, name);
	ck_assert_int_eq(rmdir(path), 0);
}

START_TEST(limits_of_groups)
{
	ck_assert_ptr_nonnull(mkdtemp(root));
	make_group("/a", "350000 100000");
	make_group("/a/b", "max 100000");
	make_group("/a/b/c", "100000 100000");
	make_group("/d", "50000 100000");
	make_group("/e", NULL);
	make_group("/f", "nonsense");
	/* Rounded up; a group has no more than those that it is in. */
	ck_assert_uint_eq(processors_limit("0::/a\n", root), 4);
	ck_assert_uint_eq(processors_limit("0::/a/b\n", root), 4);
	ck_assert_uint_eq(processors_limit("1:cpu:/x\n0::/a/b/c\n", root), 1);
	ck_assert_uint_eq(processors_limit("0::/d", root), 1);
	ck_assert_uint_eq(processors_limit("0::/e\n", root), UINT32_MAX);
	ck_assert_uint_eq(processors_limit("0::/f\n", root), UINT32_MAX);
	ck_assert_uint_eq(processors_limit("0::/\n", root), UINT32_MAX);
	ck_assert_uint_eq(processors_limit("4:cpu:/a\n", root), UINT32_MAX);
	ck_assert_uint_eq(processors_limit("", root), UINT32_MAX);
	/* In a container the first may be its own, whatever it is named outside. */
	make_group("", "200000 100000");
	ck_assert_uint_eq(processors_limit("0::/kubepods/pod1/x\n", root), 2);
	ck_assert_uint_eq(processors_limit("0::/\n", root), 2);
	remove_group("/a/b/c");
	remove_group("/a/b");
	remove_group("/a");
	remove_group("/d");
	remove_group("/e");
	remove_group("/f");
	remove_group("");
}
END_TEST

START_TEST(those_it_may_run_on)
{
	cpu_set_t all, one;
	size_t first = 0;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(all), &all), 0);
	ck_assert_uint_ge(processors_usable(), 1);
	ck_assert_uint_le(processors_usable(), (uint32_t)CPU_COUNT(&all));
	while (!CPU_ISSET(first, &all))
		first++;
	CPU_ZERO(&one);
	CPU_SET(first, &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
	ck_assert_uint_eq(processors_usable(), 1);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(all), &all), 0);
}
END_TEST

Suite *processors_suite(void)
{
	Suite *suite = suite_create("processors");
	TCase *tcase = tcase_create("all");

	tcase_add_test(tcase, limits_of_groups);
	tcase_add_test(tcase, those_it_may_run_on);
	suite_add_tcase(suite, tcase);
	return suite;
}
