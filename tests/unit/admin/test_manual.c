/* SPDX-License-Identifier: ISC */
/* The manual of the console says something on every command, view and wait reason, and its
 * tables are those of the program. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/manual.h"
#include "admin/show.h"
#include "suites.h"

enum { MANUAL_MAX = 256 * 1024 };

static char manual[MANUAL_MAX];

static FILE *open_file(const char *variable, const char *name)
{
	const char *top = getenv(variable);
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/%s", top == NULL ? "." : top, name);
	return fopen(path, "r");
}

static void read_opened(FILE *file, const char *name)
{
	size_t len;

	ck_assert_msg(file != NULL, "%s is missing", name);
	len = fread(manual, 1, sizeof(manual) - 1, file);
	manual[len] = '\0';
	(void)fclose(file);
}

static void read_file(const char *name)
{
	read_opened(open_file("top_srcdir", name), name);
}

static void read_manual(void)
{
	read_file("man/pgtandem-console.7.in");
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

/* And of no other. */
START_TEST(tells_of_no_other_view)
{
	static const char begin[] = "\n.It Cm SHOW ";
	size_t count = 0;

	for (const char *at = manual; (at = strstr(at, begin)) != NULL; count++) {
		bool is_view = strncmp(at + sizeof(begin) - 1, "Ar ", 3) == 0;

		at += sizeof(begin) - 1;
		for (size_t i = 0; i < show_view_count; i++) {
			size_t len = strlen(show_views[i].word);

			is_view = is_view ||
				(strncmp(at, show_views[i].word, len) == 0 && at[len] == '\n');
		}
		ck_assert_msg(is_view, "there is no SHOW %.20s", at);
	}
	ck_assert_uint_eq(count, show_view_count + 1);
}
END_TEST

static bool ends_in(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

/* Whatever a column is, the manual tells it. */
START_TEST(every_column_has_a_sentence)
{
	const struct table *table = show_views[_i].table;

	for (size_t i = 0; i < table->count; i++) {
		const struct table_column *c = &table->columns[i];
		size_t len;

		ck_assert_msg(c->help != NULL && c->unit != NULL, "nothing on %s", c->name);
		len = strlen(c->help);
		ck_assert_msg(len > 5 && c->help[len - 1] == '.', "%s: %s", c->name, c->help);
		/* Of mdoc(7). */
		ck_assert_msg(c->help[0] != '.' && c->help[0] != '\'' &&
			strpbrk(c->help, "\\\n\"") == NULL, "%s: %s", c->name, c->help);
		/* A time that is a number has a unit. */
		ck_assert_msg(c->unit[0] != '\0' || c->type == TABLE_TEXT ||
			c->type == TABLE_TIME ||
			(!ends_in(c->name, "_us") && !ends_in(c->name, "_ms") &&
				!ends_in(c->name, "_time")),
			"%s has no unit", c->name);
	}
}
END_TEST

/* What is installed is what the tables say now. */
START_TEST(the_page_has_the_tables)
{
	static char tables[MANUAL_MAX];
	FILE *out = fmemopen(tables, sizeof(tables) - 1, "w");
	FILE *page = open_file("top_builddir", "man/pgtandem-console.7");
	const char *at;

	ck_assert_ptr_nonnull(out);
	manual_write(out);
	(void)fclose(out);
	ck_assert_uint_gt(strlen(tables), 10000);
	ck_assert_uint_lt(strlen(tables), sizeof(tables) - 1);
	/* In a tarball it is made already. */
	if (page == NULL)
		page = open_file("top_srcdir", "man/pgtandem-console.7");
	read_opened(page, "man/pgtandem-console.7");
	at = strstr(manual, ".Sh RIGHTS\n");
	ck_assert_ptr_nonnull(at);
	ck_assert_msg(strncmp(at, tables, strlen(tables)) == 0,
		"man/pgtandem-console.7 is of other tables: make man/pgtandem-console.7");
	ck_assert_int_eq(strncmp(at + strlen(tables), ".Sh EXAMPLES\n", 13), 0);
	read_manual();
}
END_TEST

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
	tcase_add_test(tc, tells_of_no_other_view);
	tcase_add_loop_test(tc, every_column_has_a_sentence, 0, (int)show_view_count);
	tcase_add_test(tc, the_page_has_the_tables);
	tcase_add_loop_test(tc, tells_of_every_command, 0, (int)COUNT_OF(commands));
	tcase_add_loop_test(tc, tells_of_every_wait_reason, 0, (int)COUNT_OF(reasons));
	tcase_add_loop_test(
		tc, troubleshooting_has_every_wait_reason, 0, (int)COUNT_OF(reasons));
	suite_add_tcase(s, tc);
	return s;
}
