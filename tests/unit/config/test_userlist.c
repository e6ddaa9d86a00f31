/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/diag.h"
#include "config/userlist.h"

Suite *userlist_suite(void);

static const char good[] =
	"; a comment\n"
	"# another\n"
	"\n"
	"\"app\" \"md5abc\"\n"
	"  \"two words\"\t\"p\"\"q\" ; why\r\n"
	"\"quote\"\"d\" \"\"\n"
	"\"last\" \"SCRAM-SHA-256$4096:c2FsdA==$a:b\"";

static struct userlist *parse(const char *text, struct diag *diag)
{
	return userlist_parse(text, strlen(text), "users.txt", diag);
}

START_TEST(reads_what_pgbouncer_writes)
{
	struct diag diag = { 0 };
	struct userlist *list = parse(good, &diag);

	ck_assert_msg(list != NULL, "%u:%u: %s", diag.line, diag.column, diag.text);
	ck_assert_uint_eq(userlist_count(list), 4);
	ck_assert_pstr_eq(userlist_find(list, "app"), "md5abc");
	ck_assert_pstr_eq(userlist_find(list, "two words"), "p\"q");
	ck_assert_pstr_eq(userlist_find(list, "quote\"d"), "");
	ck_assert_pstr_eq(userlist_find(list, "last"), "SCRAM-SHA-256$4096:c2FsdA==$a:b");
	ck_assert_ptr_null(userlist_find(list, "nobody"));
	ck_assert_ptr_null(userlist_find(list, ""));
	userlist_destroy(&list);
	ck_assert_ptr_null(list);
	userlist_destroy(&list);
}
END_TEST

START_TEST(an_empty_file_has_nobody)
{
	struct diag diag = { 0 };
	struct userlist *list = parse("", &diag);

	ck_assert_ptr_nonnull(list);
	ck_assert_uint_eq(userlist_count(list), 0);
	ck_assert_ptr_null(userlist_find(list, "app"));
	userlist_destroy(&list);
}
END_TEST

START_TEST(finds_each_of_many)
{
	struct diag diag = { 0 };
	char *text = malloc(5000 * 32), *to = text, name[16];
	struct userlist *list;

	for (int i = 0; i < 5000; i++)
		to += sprintf(to, "\"user%d\" \"secret%d\"\n", i, i);
	list = userlist_parse(text, (size_t)(to - text), "users.txt", &diag);
	free(text);
	ck_assert_ptr_nonnull(list);
	ck_assert_uint_eq(userlist_count(list), 5000);
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "user%d", i);
		ck_assert_int_eq(atoi(userlist_find(list, name) + 6), i);
	}
	userlist_destroy(&list);
}
END_TEST

static const struct {
	const char *text;
	uint32_t line;
	uint32_t column;
	const char *message;
} bad[] = {
	{ "app secret\n", 1, 1, "needs a line of the form \"user\" \"secret\"" },
	{ "\"app\"\n", 1, 6, "needs a blank and \"secret\" after the user name" },
	{ "\"app\" \n", 1, 7, "needs \"secret\" after the user name" },
	{ "\"app\"\"secret\"\n", 1, 14,
		"needs a blank and \"secret\" after the user name" },
	{ "\"app\" secret\n", 1, 7, "needs \"secret\" after the user name" },
	{ "\n \"app\" \"secret\n", 2, 8, "the closing quote is missing" },
	{ "\"app", 1, 1, "the closing quote is missing" },
	{ "\"\" \"secret\"\n", 1, 1, "the user name is empty" },
	{ "\"a\" \"b\" \"c\"\n", 1, 9, "only a comment may follow the secret" },
	{ "\"a\" \"b\"\n\"c\" \"d\"\n \"a\" \"e\"\n", 3, 2,
		"the user \"a\" stands here a second time; the first is on line 1" },
	{ "\"a\" \"b\001\"\n", 1, 7, "a control character within quotes" },
	{ "\"0123456789012345678901234567890123456789012345678901234567890123\" \"b\"", 1,
		1, "the user name is longer than 63 bytes" },
};

START_TEST(says_what_is_wrong_and_where)
{
	struct diag diag = { 0 };
	struct userlist *list = parse(bad[_i].text, &diag);

	ck_assert_ptr_null(list);
	ck_assert_str_eq(diag.text, bad[_i].message);
	ck_assert_uint_eq(diag.line, bad[_i].line);
	ck_assert_uint_eq(diag.column, bad[_i].column);
	ck_assert_str_eq(diag.file, "users.txt");
}
END_TEST

START_TEST(limits_the_secret)
{
	struct diag diag = { 0 };
	struct userlist *list;
	char text[5000];

	memset(text, 'x', sizeof(text));
	memcpy(text, "\"a\" \"", 5);
	text[5 + 4096] = '"';
	list = userlist_parse(text, 5 + 4096 + 1, "users.txt", &diag);
	ck_assert_ptr_nonnull(list);
	ck_assert_uint_eq(strlen(userlist_find(list, "a")), 4096);
	userlist_destroy(&list);
	text[5 + 4096] = 'x';
	text[5 + 4097] = '"';
	ck_assert_ptr_null(userlist_parse(text, 5 + 4097 + 1, "users.txt", &diag));
	ck_assert_str_eq(diag.text, "the secret is longer than 4096 bytes");
}
END_TEST

START_TEST(survives_every_cut)
{
	for (size_t cut = 0; cut <= strlen(good); cut++) {
		struct diag diag = { 0 };
		struct userlist *list = userlist_parse(good, cut, "users.txt", &diag);

		ck_assert((list == NULL) == diag_is_set(&diag));
		userlist_destroy(&list);
	}
}
END_TEST

START_TEST(warns_when_everybody_may_read_the_file)
{
	char path[] = "/tmp/pgtandem-userlist-XXXXXX", *warning;
	struct diag diag = { 0 };
	struct userlist *list;
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "\"a\" \"b\"\n", 8), 8);
	ck_assert_int_eq(fchmod(fd, 0644), 0);
	list = userlist_load(path, &warning, &diag);
	ck_assert_ptr_nonnull(list);
	ck_assert_ptr_nonnull(strstr(warning, path));
	free(warning);
	userlist_destroy(&list);

	ck_assert_int_eq(fchmod(fd, 0640), 0);
	list = userlist_load(path, &warning, &diag);
	ck_assert_ptr_nonnull(list);
	ck_assert_ptr_null(warning);
	userlist_destroy(&list);

	close(fd);
	unlink(path);
	ck_assert_ptr_null(userlist_load(path, &warning, &diag));
	ck_assert_ptr_null(warning);
	ck_assert_str_eq(diag.text, "cannot open: No such file or directory");
}
END_TEST

Suite *userlist_suite(void)
{
	Suite *s = suite_create("config/userlist");
	TCase *tc = tcase_create("parse");

	tcase_add_test(tc, reads_what_pgbouncer_writes);
	tcase_add_test(tc, an_empty_file_has_nobody);
	tcase_add_test(tc, finds_each_of_many);
	tcase_add_loop_test(tc, says_what_is_wrong_and_where, 0, (int)COUNT_OF(bad));
	tcase_add_test(tc, limits_the_secret);
	tcase_add_test(tc, survives_every_cut);
	tcase_add_test(tc, warns_when_everybody_may_read_the_file);
	suite_add_tcase(s, tc);
	return s;
}
