/* SPDX-License-Identifier: ISC */
/* The manual of the console says something on every command, view and wait reason. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/show.h"
#include "suites.h"

enum { MANUAL_MAX = 256 * 1024 };

static char manual[MANUAL_MAX];

static void read_file(const char *name)
{
	const char *top = getenv("top_srcdir");
	char path[4096];
	size_t len;
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", top == NULL ? "." : top, name);
	file = fopen(path, "r");
	ck_assert_msg(file != NULL, "%s is missing", path);
	len = fread(manual, 1, sizeof(manual) - 1, file);
	manual[len] = '\0';
	(void)fclose(file);
}

static void read_manual(void)
{
	read_file("man/pgtandem-console.7");
}

START_TEST(tells_of_every_view)
{
	char entry[128];

	(void)snprintf(entry, sizeof(entry), "\n.It Cm SHOW %s\n", show_views[_i].word);
	ck_assert_msg(strstr(manual, entry) != NULL, "no entry for SHOW %s",
		show_views[_i].word);
}
END_TEST

static const char *const commands[] = {
#define COMMAND(word, arguments, who, handler, help) #word,
#include "commands.def"
#undef COMMAND
};

START_TEST(tells_of_every_command)
{
	char entry[128];

	(void)snprintf(entry, sizeof(entry), "Cm %s", commands[_i]);
	ck_assert_msg(strstr(manual, entry) != NULL, "nothing on %s", commands[_i]);
}
END_TEST

static const struct {
	const char *word;
	const char *text;
} reasons[] = {
#define WAIT_REASON(name, word, text) { word, text },
#include "wait_reasons.def"
#undef WAIT_REASON
};

/* One entry for each, in the order of the table, which is the order in which they are
 * looked for. */
START_TEST(tells_of_every_wait_reason)
{
	const char *section = strstr(manual, "\n.Sh WAITING\n"), *end, *at;
	char entry[128];

	ck_assert_ptr_nonnull(section);
	end = strstr(section + 1, "\n.Sh ");
	at = section;
	for (int i = 0; i <= _i; i++) {
		(void)snprintf(entry, sizeof(entry), "\n.It Cm %s\n", reasons[i].word);
		at = strstr(at, entry);
		ck_assert_msg(at != NULL && (end == NULL || at < end),
			"no entry for %s (%s), or not in its place", reasons[i].word,
			reasons[i].text);
	}
}
END_TEST

/* So does the page on what to do about it. */
START_TEST(troubleshooting_has_every_wait_reason)
{
	char entry[128];

	read_file("docs/troubleshooting.md");
	(void)snprintf(entry, sizeof(entry), "`%s`", reasons[_i].word);
	ck_assert_msg(strstr(manual, entry) != NULL, "nothing on %s", reasons[_i].word);
	read_manual();
}
END_TEST

Suite *manual_suite(void)
{
	Suite *s = suite_create("admin/manual");
	TCase *tc = tcase_create("manual");

	tcase_add_unchecked_fixture(tc, read_manual, NULL);
	tcase_add_loop_test(tc, tells_of_every_view, 0, (int)show_view_count);
	tcase_add_loop_test(tc, tells_of_every_command, 0, (int)COUNT_OF(commands));
	tcase_add_loop_test(tc, tells_of_every_wait_reason, 0, (int)COUNT_OF(reasons));
	tcase_add_loop_test(
		tc, troubleshooting_has_every_wait_reason, 0, (int)COUNT_OF(reasons));
	suite_add_tcase(s, tc);
	return s;
}
